"""A smallest system, for the tests of the binaries' contract."""

from experiment import app

RUNS = {"walk": "toy.walk"}


def main(argv=None):
    app.main(system="toy", runs=RUNS, default_config="toy/config.py", argv=argv)


if __name__ == "__main__":
    main()
