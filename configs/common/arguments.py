"""Strict typed arguments behind the colon of `--config=FILE:ARGS`."""

from ml_collections import ConfigDict

_BOOLS = {"": True, "true": True, "1": True, "false": False, "0": False}


def parse_arg(arg, **defaults):
    """Returns the arguments of a config as a ConfigDict, typed as their defaults are.

    Args:
        arg: comma-separated `name=value` or bare `name` (true), as in "runlocal,dim=3".
        **defaults: every argument the config knows, with its default (bool, int, float or str).

    Raises:
        ValueError: an unknown argument, or a value that its type does not take.
    """
    args = ConfigDict(defaults)
    for item in filter(None, (arg or "").split(",")):
        name, _, text = item.partition("=")
        if name not in defaults:
            known = ", ".join(sorted(defaults)) or "none"
            raise ValueError(f"unknown config argument {name!r} (known: {known})")
        kind = type(defaults[name])
        try:
            args[name] = _BOOLS[text.lower()] if kind is bool else kind(text)
        except (KeyError, ValueError):
            raise ValueError(f"config argument {name}={text!r} is not of type {kind.__name__}") from None
    return args
