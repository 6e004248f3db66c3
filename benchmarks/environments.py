"""The peers' environments: made once, reused, and left out with one line where they do not install.

A peer needs an environment of its own because it pins what this project does not: the last release of neural-tangents,
0.6.5, imports names that jax has since moved, and 0.5.3 is the newest jax that still has them; PyKEEN 1.11.1 wants a
PyTorch, and runs on 2.13.0. One environment holds PyTorch and PyKEEN. Versions are pinned here alone, so that a ratio
means the same next year.
"""

import json
import logging
import pathlib
import subprocess
import sys
from typing import NamedTuple

_ARRAYS = ("numpy==2.4.6", "scipy==1.17.1")


class Peer(NamedTuple):
    """A library beside which this project is measured.

    Attributes:
        folder: of its environment.
        requirements: what pip installs.
        module: what must be there to import.
    """

    folder: str
    requirements: tuple
    module: str


PEERS = {
    "torch": Peer("torch", ("torch==2.13.0", *_ARRAYS), "torch"),
    "pykeen": Peer("torch", ("pykeen==1.11.1", "torch==2.13.0", *_ARRAYS), "pykeen"),
    "neural-tangents": Peer(
        "neural_tangents",
        ("neural-tangents==0.6.5", "jax==0.5.3", "jaxlib==0.5.3", *_ARRAYS),
        "neural_tangents",
    ),
}
_LOG = logging.getLogger(__name__)


def interpreter(name, folder, peers=None):
    """Returns the interpreter of a peer's environment, made if need be; an empty text where it cannot be made.

    What is complete carries a stamp of its requirements and is used as it stands. What is not, such as an installation
    that was killed, is installed again.

    Args:
        name: of PEERS.
        folder: pathlib.Path where environments lie.
        peers: {name: Peer}, PEERS without.
    """
    peer = (PEERS if peers is None else peers)[name]
    environment = folder / peer.folder
    python, stamp = environment / "bin" / "python", environment / f"{name}.json"
    if _read(stamp) == list(peer.requirements) and python.exists():
        return str(python)
    _LOG.info("%s: installing %s in %s", name, " ".join(peer.requirements), environment)
    environment.parent.mkdir(parents=True, exist_ok=True)
    install = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *peer.requirements]
    steps = [install, [python, "-c", f"import importlib.util as u; assert u.find_spec({peer.module!r})"]]
    if not any(environment.glob("*.json")):
        steps.insert(0, [sys.executable, "-m", "venv", "--clear", environment])
    for command in steps:
        reason = _failure(command)
        if reason:
            _LOG.warning("%s is left out: %s", name, reason)
            return ""
    stamp.write_text(json.dumps(peer.requirements), encoding="utf-8")
    return str(python)


def _failure(command):
    """Returns in one line why a command failed, or an empty text."""
    try:
        done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)
    except OSError as error:
        return f"{command[0]}: {error.strerror}"
    lines = [line for line in done.stderr.splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith("ERROR")] or lines
    return "" if done.returncode == 0 else f"exit status {done.returncode}: {errors[-1] if errors else 'no word'}"


def _read(stamp):
    try:
        return json.loads(pathlib.Path(stamp).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
