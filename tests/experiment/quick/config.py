from ml_collections import ConfigDict, config_dict

from configs import common


def get_config(arg=""):
    args = common.parse_arg(arg, long=False)
    config = ConfigDict()
    config.run = "count"
    config.seed = 0
    config.num_steps = 100 if args.long else 2
    config.sleep_s = 0.0
    config.ends = "well"  # what every try ends in: well, crash, nan, mistake, kill; once_crash and so on: the first
    config.rate = 0.5
    config.shape = (4, 1)
    config.word = "a"
    config.input = config_dict.placeholder(str)
    config.inner = ConfigDict({"width": 8})
    return config


def sweep():
    return [{"inner.width": width, "rate": rate} for width in (8, 16) for rate in (0.5, 1)]
