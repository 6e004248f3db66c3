"""The binary of darts_perturb: python -m darts_perturb.main --config=configs/darts_perturb/RUN.py --workdir=DIR."""

from experiment import app

# one run, seven configs
SEARCHES = ("textures", "digits", "nb201_cifar10", "darts_cifar10", "s1_s4", "fixed_alpha", "sdarts")
RUNS = {**dict.fromkeys(SEARCHES, "darts_perturb.runs.selections"), "retrain": "darts_perturb.runs.retrain"}


def main(argv=None):
    """Runs the binary; argv as sys.argv."""
    app.main(system="darts_perturb", runs=RUNS, default_config="configs/darts_perturb/textures.py", argv=argv)


if __name__ == "__main__":
    main()
