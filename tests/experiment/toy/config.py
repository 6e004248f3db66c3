from ml_collections import ConfigDict, config_dict

from configs import common


def get_config(arg=""):
    args = common.parse_arg(arg, long=False)
    config = ConfigDict()
    config.run = "walk"
    config.seed = 0
    config.num_steps = 200 if args.long else 50
    config.sleep_s = 0.0
    config.nan_at = -1
    config.shape = (4, 1)
    config.input = config_dict.placeholder(str)
    config.inner = ConfigDict({"rate": 0.5})
    return config


def sweep():
    return [{"seed": seed, "inner.rate": rate} for seed in (0, 1) for rate in (0.5, 1.0)]
