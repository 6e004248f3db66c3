"""Complex query answering with neural link predictors (arXiv 2011.03459).

`cqd.answer` scores every entity as the answer of a query; `cqd.query` builds queries, `cqd.predictor` holds
embeddings.
"""

import importlib

__all__ = ["answer", "predictor", "query"]


def __dir__():
    return [*globals(), *__all__]


def __getattr__(name):
    if name == "answer":
        return importlib.import_module("cqd.answering").answer
    if name in __all__:
        return importlib.import_module(f"cqd.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
