"""A run made inside this process, without its binary."""

import json

from ml_collections import FrozenConfigDict

from experiment.workdir import Workdir


def smoke_config(file, **changes):
    """Returns the frozen smoke config of a config module, with fields changed; a.b is a field of a group."""
    config = file.get_config("smoke")
    for name, value in changes.items():
        group, _, field = name.rpartition(".")
        (config[group] if group else config)[field] = value
    return FrozenConfigDict(config)


def execute(run, path, config):
    """Returns the figures of a run in a workdir, as JSON gives them back.

    Args:
        run: module with `load` and `run`.
        path: of the workdir.
        config: FrozenConfigDict.
    """
    with Workdir(path, json.loads(config.to_json_best_effort())) as workdir:
        summary = workdir.finish({"figures": run.run(config, run.load(config), workdir)})
    return json.loads(json.dumps(summary["figures"]))
