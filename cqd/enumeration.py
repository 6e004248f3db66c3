"""The truth of a query in plain float64 numpy, every entity tried for every variable: the yardstick of beam search."""

import numpy as np

from cqd.query import And, Entity, Not, Or, Projection

_CONJUNCTION = {"product": np.multiply, "min": np.minimum, "lukasiewicz": lambda a, b: np.maximum(a + b - 1, 0)}


def truth(params, query, *, tnorm="product"):
    """Returns [N] float64: the best truth of every answer over all entities for every variable, ComplEx and sigmoid.

    Args:
        params: `predictor.ComplEx`; host code, N^2 numbers a relation.
        query: a query with ids.
        tnorm: "product", "min" or "lukasiewicz".
    """
    entity, relation = (_complex(np.asarray(table, np.float64)) for table in params)
    conjoin = _CONJUNCTION[tnorm]

    def atom_nn(number):
        return 1 / (1 + np.exp(-((entity * relation[number]) @ entity.conj().T).real))

    def walk(node):
        match node:
            case Entity(name):
                return (np.arange(len(entity)) == name).astype(np.float64)
            case Projection(number, Entity(name)):
                return atom_nn(number)[name]
            case Projection(number, child):
                return conjoin(walk(child)[:, None], atom_nn(number)).max(axis=0)
            case Not(child):
                return 1 - walk(child)
            case And((first, *rest)):
                value = walk(first)
                for part in rest:
                    value = conjoin(value, walk(part))
                return value
            case Or((first, *rest)):
                value = 1 - walk(first)
                for part in rest:
                    value = conjoin(value, 1 - walk(part))
                return 1 - value

    return walk(query)


def _complex(table):
    real, imaginary = np.split(table, 2, axis=1)
    return real + 1j * imaginary
