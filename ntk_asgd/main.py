"""The binary of this system: python -m ntk_asgd.main --config=configs/ntk_asgd/RUN.py --workdir=DIR."""

from experiment import app

RUNS = {
    "averaging": "ntk_asgd.runs.averaging",
    "bound": "ntk_asgd.runs.bound",
    "digits": "ntk_asgd.runs.digits",
    "eigen_decay": "ntk_asgd.runs.eigen_decay",
    "eps_gap": "ntk_asgd.runs.eps_gap",
    "layers": "ntk_asgd.runs.layers",
    "misspecified": "ntk_asgd.runs.misspecified",
    "rates": "ntk_asgd.runs.rates",
}


def main(argv=None):
    """Runs the binary."""
    app.main(system="ntk_asgd", runs=RUNS, default_config="configs/ntk_asgd/rates.py", argv=argv)


if __name__ == "__main__":
    main()
