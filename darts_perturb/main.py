"""The binary of darts_perturb: python -m darts_perturb.main --config=configs/darts_perturb/RUN.py --workdir=DIR."""

from experiment import app

# one run, seven configs
SEARCHES = ("textures", "digits", "nb201_cifar10", "darts_cifar10", "s1_s4", "fixed_alpha", "sdarts")
ANALYSES = ("skip_domination", "op_strength", "unrolled", "optimal_alpha", "criteria", "pilot")
RUNS = {
    **dict.fromkeys(SEARCHES, "darts_perturb.runs.selections"),
    "retrain": "darts_perturb.runs.retrain",
    **{name: f"darts_perturb.runs.analysis.{name}" for name in ANALYSES},
}


def main(argv=None):
    """Runs the binary; argv as sys.argv."""
    app.main(system="darts_perturb", runs=RUNS, default_config="configs/darts_perturb/textures.py", argv=argv)


if __name__ == "__main__":
    main()
