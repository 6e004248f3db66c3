"""The binary: python -m cqd.main --config=configs/cqd/countries.py:runlocal --workdir=DIR."""

from experiment import app

RUNS = {"countries": "cqd.runs.countries"}


def main(argv=None):
    """Runs the binary and ends the process with its exit status."""
    app.main(system="cqd", runs=RUNS, default_config="configs/cqd/countries.py", argv=argv)


if __name__ == "__main__":
    main()
