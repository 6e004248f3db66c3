"""The truth of a query in plain float64 numpy, every entity tried for every variable: the yardstick of all methods."""

import functools

import numpy as np

from cqd.calibration import CAP
from cqd.query import And, Entity, Not, Or, Projection

_CONJUNCTION = {"product": np.multiply, "min": np.minimum, "lukasiewicz": lambda a, b: np.maximum(a + b - 1, 0)}


def truth(params, query, *, tnorm="product", normalize="sigmoid", observed=None, known=None, aggregate="max"):
    """Returns [N] float64: the truth of every answer over all entities for every variable, by ComplEx.

    Args:
        params: `predictor.ComplEx`; host code, N^2 numbers a relation.
        query: a query with ids.
        tnorm: "product", "min" or "lukasiewicz".
        normalize, observed, known, aggregate: as in `cqd.answer`.
    """
    entity, relation = (_complex(np.asarray(table, np.float64)) for table in params)
    conjoin = _CONJUNCTION[tnorm]

    def disjoin(a, b):
        return 1 - conjoin(1 - a, 1 - b)

    def atom_nn(number):
        scores = ((entity * relation[number]) @ entity.conj().T).real
        values = _NORMALIZED[normalize](scores, number, observed)
        if known == "certain":
            for head in range(len(values)):
                values[head, observed.tails_of(head, number)] = 1
        return values

    def walk(node):
        match node:
            case Entity(name):
                return (np.arange(len(entity)) == name).astype(np.float64)
            case Projection(number, Entity(name)):
                return atom_nn(number)[name]
            case Projection(number, child):
                through_nn = conjoin(walk(child)[:, None], atom_nn(number))
                return through_nn.max(axis=0) if aggregate == "max" else functools.reduce(disjoin, through_nn)
            case Not(child):
                return 1 - walk(child)
            case And(parts):
                return functools.reduce(conjoin, map(walk, parts))
            case Or(parts):
                return functools.reduce(disjoin, map(walk, parts))

    return walk(query)


def _sigmoid(scores, number, observed):
    return 1 / (1 + np.exp(-scores))


def _softmax(scores, number, observed):
    weights = np.exp(scores - scores.max(axis=1, keepdims=True))
    return weights / weights.sum(axis=1, keepdims=True)


def _calibrated(scores, number, observed):
    degrees = [max(1, len(observed.tails_of(head, number))) for head in range(len(scores))]
    return np.minimum(_softmax(scores, number, observed) * np.array(degrees)[:, None], CAP)


_NORMALIZED = {"sigmoid": _sigmoid, "softmax": _softmax, "calibrated": _calibrated}


def _complex(table):
    real, imaginary = np.split(table, 2, axis=1)
    return real + 1j * imaginary
