"""Complex query answering with neural link predictors (arXiv 2011.03459).

`cqd.answer` scores every entity as the answer of a query, `cqd.top_answers` gives the best alone; `cqd.place` spreads a
predictor over devices for both. `cqd.query` builds queries, `cqd.predictor` holds embeddings.
"""

import importlib

__all__ = ["answer", "place", "predictor", "query", "top_answers"]
_FROM = {"answer": "answering", "place": "sharded", "top_answers": "answering"}


def __dir__():
    return [*globals(), *__all__]


def __getattr__(name):
    if name in _FROM:
        return getattr(importlib.import_module(f"cqd.{_FROM[name]}"), name)
    if name in __all__:
        return importlib.import_module(f"cqd.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
