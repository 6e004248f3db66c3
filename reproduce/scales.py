"""The sizes at which the claims are measured: which runs, with which config, on which inputs.

smoke         :smoke, through every line of the laptop's runs; decides nothing
laptop        :runlocal, some of it with fewer seeds, embedded data alone, at most ten minutes on two cores
workstation   :runlocal with more seeds and samples, and every run; CPU hours
gpu           the configs as they stand, the papers' scale
"""

import json
from typing import NamedTuple

from experiment import config as config_files
from experiment.errors import UserError

ARGUMENTS = {"smoke": "smoke", "laptop": "runlocal", "workstation": "runlocal", "gpu": None}


class Run(NamedTuple):
    """A config that claims are measured by.

    Attributes:
        system: package.
        name: of the config in configs/SYSTEM/.
        needs: fields that take a path from the user; without one of them the run is left out.
        scales: at which it is run.
        overrides: (scale, field, value) triples over the argument of the config.
        gpu_needs: as needs, at the scale of the papers, on whose data the laptop's runs are not.
        gpu_argument: of the config at that scale, where it is not the config as it stands.
    """

    system: str
    name: str
    needs: tuple = ()
    scales: tuple = tuple(ARGUMENTS)
    overrides: tuple = ()
    gpu_needs: tuple = ()
    gpu_argument: str = ""

    def needed(self, scale):
        """Returns the fields without which there is nothing to run at a scale."""
        return self.needs + (self.gpu_needs if scale == "gpu" else ())

    def fields(self, scale):
        """Returns {field: value} that a scale sets beside the argument of the config."""
        return {field: value for own, field, value in self.overrides if own == scale}

    def argument(self, scale):
        """Returns what stands behind the colon of --config=FILE:, None for nothing."""
        return self.gpu_argument or None if scale == "gpu" else ARGUMENTS[scale]

    def config(self, scale):
        """Returns the --config of a scale, FILE:ARGUMENT."""
        argument = self.argument(scale)
        return f"configs/{self.system}/{self.name}.py" + (f":{argument}" if argument else "")

    def flags(self, scale, inputs=None):
        """Returns the flags of a scale, of inputs {field: path} too."""
        fields = self.fields(scale) | (inputs or {})
        return [f"--config={self.config(scale)}", *(f"--config.{name}={value}" for name, value in fields.items())]

    def scale_of(self, config):
        """Returns the first scale whose config is the given one but for the paths it needs, None if there is none.

        Args:
            config: as in config.json.
        """
        for scale in self.scales:
            if _without(self._at(scale), self.needed(scale)) == _without(config, self.needed(scale)):
                return scale
        return None

    def _at(self, scale):
        """Returns the config of a scale as plain JSON types."""
        made = config_files.load(config_files.find(self.config(scale).partition(":")[0]), self.argument(scale))
        made.update_from_flattened_dict(self.fields(scale))
        return json.loads(made.to_json_best_effort())


def _without(config, fields):
    return {name: value for name, value in config.items() if name not in fields}


_GPU = ("gpu",)
_IMAGES = ("data_path",)
_ALL_BUT_LAPTOP = ("smoke", "workstation", "gpu")  # of runs for which its ten minutes have no room
_BEYOND_LAPTOP = ("workstation", "gpu")


def _powers(first, end):
    return tuple(2**k for k in range(first, end))


def _larger(**fields):
    """Returns overrides of the workstation."""
    return tuple(("workstation", name, value) for name, value in fields.items())


RUNS = (
    Run("ntk_asgd", "eigen_decay"),
    Run("ntk_asgd", "rates", overrides=_larger(num_seeds=512, num_samples=_powers(10, 18), num_functions=512)),
    Run("ntk_asgd", "averaging"),
    Run("ntk_asgd", "eps_gap", overrides=_larger(num_seeds=100, widths=_powers(6, 14))),
    Run("ntk_asgd", "layers"),
    Run("ntk_asgd", "misspecified", scales=_ALL_BUT_LAPTOP),
    Run("ntk_asgd", "digits", overrides=_larger(num_seeds=10, width=4_096)),
    Run("ntk_asgd", "bound", scales=_BEYOND_LAPTOP),
    Run("cqd", "countries", overrides=_larger(seeds=tuple(range(10)))),
    Run(
        "cqd",
        "query_models",
        overrides=_larger(num_training=(0, 300, 2000)),
        gpu_needs=("graph", "queries"),
        gpu_argument="graph=fb15k237",
    ),
    Run("cqd", "refinement", scales=("workstation",), overrides=_larger(seeds=tuple(range(10)))),
    Run("cqd", "calibration", scales=_ALL_BUT_LAPTOP, overrides=_larger(seeds=tuple(range(10)))),
    Run("cqd", "fb15k237", ("graph", "queries"), _GPU, overrides=(("gpu", "seeds", (0, 1, 2)),)),
    Run(
        "darts_perturb",
        "textures",
        overrides=(("laptop", "seeds", tuple(range(4))), *_larger(seeds=tuple(range(20)))),
    ),
    Run("darts_perturb", "optimal_alpha", scales=_BEYOND_LAPTOP, gpu_needs=_IMAGES),
    Run("darts_perturb", "unrolled", scales=_BEYOND_LAPTOP, gpu_needs=_IMAGES),
    Run("darts_perturb", "skip_domination", (), _BEYOND_LAPTOP, _larger(seeds=tuple(range(10))), _IMAGES),
    Run("darts_perturb", "op_strength", (), _BEYOND_LAPTOP, _larger(seeds=tuple(range(10))), _IMAGES),
    Run("darts_perturb", "criteria", ("table",), ("laptop", "workstation"), overrides=_larger(seeds=tuple(range(10)))),
    Run("darts_perturb", "pilot", scales=_BEYOND_LAPTOP),
    Run("darts_perturb", "nb201_cifar10", ("data_path", "table"), _GPU),
    Run("darts_perturb", "darts_cifar10", ("data_path",), _GPU),
)


def chosen(scale, systems, inputs):
    """Returns the runs of a scale whose inputs are there.

    Args:
        scale: of ARGUMENTS.
        systems: packages.
        inputs: {(system, name): {field: path}}.

    Raises:
        UserError: an input of a run or field that is not known, or of a run that is not of this scale.
    """
    known = {(run.system, run.name): run for run in RUNS}
    for (system, name), fields in inputs.items():
        if (system, name) not in known:
            names = ", ".join(f"{run.system}/{run.name}" for run in RUNS)
            raise UserError(f"--input={system}/{name}: no such run; there are {names}")
        run = known[system, name]
        if scale not in run.scales:
            raise UserError(f"--input={system}/{name}: is not run at --scale={scale}; it is at {', '.join(run.scales)}")
        takes = run.needed(scale)
        if unknown := set(fields) - set(takes):
            raise UserError(
                f"--input={system}/{name}:{min(unknown)}: at --scale={scale} it takes {', '.join(takes) or 'nothing'}; "
                "claims are about the data of the scale, the system's own binary runs on any other"
            )
    return [
        run
        for run in RUNS
        if run.system in systems
        and scale in run.scales
        and set(run.needed(scale)) <= set(inputs.get((run.system, run.name), {}))
    ]


def parse_inputs(words):
    """Returns {(system, name): {field: path}} of SYSTEM/RUN:FIELD=PATH texts.

    Raises:
        UserError: a text of another form.
    """
    found = {}
    for word in words:
        run, colon, rest = word.partition(":")
        system, slash, name = run.partition("/")
        field, equals, path = rest.partition("=")
        if not (colon and slash and equals and all((system, name, field, path))):
            raise UserError(f"--input={word}: SYSTEM/RUN:FIELD=PATH is due, as cqd/umls:graph=FOLDER")
        found.setdefault((system, name), {})[field] = path
    return found
