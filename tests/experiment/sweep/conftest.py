"""Sweeps of the quick and the toy system, in this process and in ones of their own."""

import json

import pytest

from tests.experiment import binary


@pytest.fixture(autouse=True)
def _systems_are_found(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", binary.environment()["PYTHONPATH"])
    monkeypatch.syspath_prepend(str(binary.ROOT / "tests" / "experiment"))


@pytest.fixture
def here(capsys):
    """Runs a sweep in this process: (exit status, what its last line on stdout says or None, stderr)."""
    from experiment.sweep.__main__ import main

    def call(*args):
        capsys.readouterr()
        with pytest.raises(SystemExit) as stop:
            main(["sweep", *map(str, args), "--compilation_cache=off"])
        out, err = capsys.readouterr()
        return stop.value.code, json.loads(out) if out else None, err

    return call
