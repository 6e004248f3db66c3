"""The binary of darts_perturb: python -m darts_perturb.main --config=configs/darts_perturb/RUN.py --workdir=DIR."""

from experiment import app

RUNS = {"textures": "darts_perturb.runs.textures"}


def main(argv=None):
    """Runs the binary; argv as sys.argv."""
    app.main(system="darts_perturb", runs=RUNS, default_config="configs/darts_perturb/textures.py", argv=argv)


if __name__ == "__main__":
    main()
