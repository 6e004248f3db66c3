"""CQD-CO: variables are free embeddings, found by gradient ascent on the truth of the query.

Every variable of the tree, the answer among them, is a vector z of its own. An atom's truth is sigmoid(score) with
vectors of entities or variables at its ends, and

    maximise  truth of the tree  -  regularization sum over variables of |z|^3        (N3)

by Adam from N(0, 1) 1e-3, until it changes by less than 1e-9 or after 1000 steps. Then the answer's vector is dropped:
the other variables stay as found, and the atoms that end in the answer score every entity. Types without another
variable (1p, 2i, 3i, 2u, 2in, 3in) need no search.

    not       1 - v. Variables inside are those that make v true, not those that make 1 - v true: they are searched with
              an answer of their own, for a term v that is added to the objective, and are constants elsewhere
    entity    exp(-|z - a|^2) for a variable that must be the entity a

Every query is searched on its own from the same start: a batch changes no answer. The Lukasiewicz norm has no gradient
where it is 0, as it is at the start from three atoms on; the search then ends where it began.

Normalizers and certain edges apply to the last step, where atoms score entities; only edges out of anchors can be
certain there, and a variable, which is no entity, has the out-degree 1.

Axes: b queries of one structure, v variables, d real dimensions, n entities.

References:
    arXiv 2011.03459, section 3.1 and appendix (continuous optimisation); Adam: arXiv 1412.6980.
"""

import copy
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax

from cqd import calibration, predictor
from cqd.query import And, Entity, Not, Or, Projection, children
from cqd.tnorm import conjunction, disjunction


class Search(NamedTuple):
    """How variables are searched; the defaults are the paper's.

    Attributes:
        learning_rate: of Adam.
        regularization: weight of N3 on the variables; the public code takes the weight its predictor was trained with.
        max_steps: steps at most.
        tolerance: a query is done when its objective changes by less.
        scale: standard deviation of the start.
        seed: fixes the start.
    """

    learning_rate: float = 0.1
    regularization: float = 0.05
    max_steps: int = 1000
    tolerance: float = 1e-9
    scale: float = 1e-3
    seed: int = 0


PAPER = Search()


def check(params, search):
    """Raises ValueError for a predictor or a setting that the search cannot work with."""
    if isinstance(params, predictor.CP):
        raise ValueError(
            "method='continuous': CP gives an entity two vectors, a variable has one; choose another method"
        )
    for name, value in search._asdict().items():
        if not 0 <= value < float("inf"):
            raise ValueError(f"search.{name}={value}: a number from 0 up is due")


def truth(params, rows, search=PAPER, *, structure, tnorm, normalize="sigmoid", edges=None, certain=False):
    """Returns [b, n]: the truth of every entity as the answer of each query, at the variables found.

    Args:
        params: link predictor, not CP.
        rows: [b, L] entities and relations of the queries in the order of `query.row`.
        search: Search.
        structure: static, `query.structure` of all of them.
        tnorm: static, a name of `tnorm.T_NORMS`.
        normalize, edges, certain: how the last atoms score every entity, as in `calibration.truths`.
    """
    atoms = {"normalize": normalize, "edges": edges, "certain": certain}
    others = []
    if num_variables(structure) > 1:
        found = find(params, rows, search, structure=structure, tnorm=tnorm)
        others = jnp.unstack(found.variables, axis=1)[1:]
    return _Walk(params, rows, others, tnorm, atoms).walk(structure, None)


class Found(NamedTuple):
    """Variables [b, v, d], the answer first, with the objective [b], that of the start [b], and the steps taken [b]."""

    variables: jax.Array
    objective: jax.Array
    start: jax.Array
    steps: jax.Array


def find(params, rows, search=PAPER, *, structure, tnorm):
    """Returns Found: the variables of each query, from the root down, at the end of the search.

    Args:
        params, rows, search, structure, tnorm: as in `truth`.
    """
    rows = jnp.asarray(rows)
    shape = (num_variables(structure), params.entity.shape[1])
    start_vd = search.scale * jax.random.normal(jax.random.key(search.seed), shape, params.entity.dtype)
    start_bvd = jnp.broadcast_to(start_vd, (len(rows), *shape))
    optimizer = optax.adam(search.learning_rate)

    def objective(variables_bvd):
        answer_bd, *others = jnp.unstack(variables_bvd, axis=1)
        walk = _Walk(params, rows, others, tnorm)
        truth_b = walk.walk(structure, answer_bd)
        truth_b = sum(walk.inside_not, start=truth_b)
        nothing = jnp.zeros_like(variables_bvd)
        penalty_b = predictor.penalty(params, variables_bvd, nothing, nothing).sum(axis=1)
        return truth_b - search.regularization * penalty_b

    def evaluate(variables_bvd):
        objective_b, pull = jax.vjp(objective, variables_bvd)
        return objective_b, *pull(jnp.ones_like(objective_b))

    def step(state):
        variables_bvd, moments, last_b, active_b, steps_b = state
        objective_b, ascent_bvd = evaluate(variables_bvd)
        active_b = active_b & (jnp.abs(objective_b - last_b) >= search.tolerance)
        updates_bvd, moments = optimizer.update(-ascent_bvd, moments)
        variables_bvd = jnp.where(active_b[:, None, None], variables_bvd + updates_bvd, variables_bvd)
        return variables_bvd, moments, objective_b, active_b, steps_b + active_b

    def going(state):
        *_, active_b, steps_b = state
        return active_b.any() & (steps_b.max() < search.max_steps)

    beyond_b = jnp.full(len(rows), jnp.inf, start_bvd.dtype)
    state = (start_bvd, optimizer.init(start_bvd), beyond_b, beyond_b > 0, jnp.zeros(len(rows), int))
    variables_bvd, *_, steps_b = jax.lax.while_loop(going, step, state)
    return Found(variables_bvd, objective(variables_bvd), objective(start_bvd), steps_b)


def query_truth(params, rows, variables_bvd, *, structure, tnorm):
    """Returns [b]: the truth of each query with vectors [b, v, d] in the place of its variables, the answer first."""
    answer_bd, *others = jnp.unstack(variables_bvd, axis=1)
    return _Walk(params, rows, others, tnorm).walk(structure, answer_bd)


def num_variables(structure):
    """Returns the number of variables: the answer, children of projections that are no entities, answers under `not`.

    A `not` has an answer of its own where there is another variable inside it.
    """
    return 1 + _num_inside(structure)


def _num_inside(node):
    inside = sum(map(_num_inside, children(node)))
    free = isinstance(node, Projection) and not isinstance(node.child, Entity)
    return inside + (free or (isinstance(node, Not) and inside > 0))


class _Walk:
    """The truth of a tree, given its variables from the root down, with the answer a vector or any entity.

    Columns of the rows and variables are taken one by one as the walk meets them.
    """

    def __init__(self, params, rows, variables, tnorm, atoms=None):
        self.params = params
        self.columns = iter([*jnp.asarray(rows).T])
        self.variables = iter([*variables])
        self.tnorm = tnorm
        self.atoms = atoms
        self.inside_not = []  # truths [b] that are maximised beside that of the whole

    def walk(self, node, place_bd):
        """Returns the truth of a node, [b] at vectors [b, d], or [b, n] at every entity where the place is None."""
        match node:
            case Entity():
                return self.identity(next(self.columns), place_bd)
            case Projection(_, Entity()):
                anchor_b = next(self.columns)
                return self.from_anchor(anchor_b, next(self.columns), place_bd)
            case Projection(_, child):
                variable_bd = next(self.variables)
                inside_b = self.walk(child, variable_bd)
                atom = self.from_variable(variable_bd, next(self.columns), place_bd)
                inside = inside_b if atom.ndim == 1 else inside_b[:, None]
                return conjunction(self.tnorm, jnp.stack(jnp.broadcast_arrays(inside, atom)))
            case Not(child):
                return 1 - self.negated(child, place_bd)
            case Or((Entity(), Not(Entity()))):
                return self.identity_or_not(next(self.columns), next(self.columns), place_bd)
            case And() | Or():
                parts = jnp.stack([self.walk(child, place_bd) for child in children(node)])
                return (conjunction if isinstance(node, And) else disjunction)(self.tnorm, parts)

    def negated(self, child, place_bd):
        """Returns the truth of what stands under a `not`, its variables constants."""
        if not _num_inside(child):
            return self.walk(child, place_bd)
        own_answer_bd = next(self.variables)
        if place_bd is None:
            return self.walk(child, None)
        columns, constants = copy.copy(self.columns), map(jax.lax.stop_gradient, copy.copy(self.variables))
        outside = _Walk(self.params, jnp.stack([*columns], axis=1), constants, self.tnorm)
        self.inside_not.append(self.walk(child, own_answer_bd))
        return outside.walk(child, place_bd)

    def identity(self, entity_b, place_bd):
        if place_bd is None:
            return jax.nn.one_hot(entity_b, self.params.entity.shape[0])
        return jnp.exp(-jnp.sum((place_bd - self.params.entity[entity_b]) ** 2, axis=-1))

    def identity_or_not(self, first_b, second_b, place_bd):
        """Returns the truth of "is the first or is not the second", 1 where they are one, as in `query.ANYTHING`."""
        first, second = self.identity(first_b, place_bd), self.identity(second_b, place_bd)
        either = disjunction(self.tnorm, jnp.stack([first, 1 - second]))
        same_b = first_b == second_b
        return jnp.where(same_b if either.ndim == 1 else same_b[:, None], 1, either)

    def from_anchor(self, anchor_b, relation_b, place_bd):
        if place_bd is None:
            return calibration.truths(self.params, anchor_b, relation_b, **self.atoms)
        head_bd = predictor.head_table(self.params)[anchor_b]
        return jax.nn.sigmoid(predictor.row_scores(self.params, head_bd, self.params.relation[relation_b], place_bd))

    def from_variable(self, head_bd, relation_b, place_bd):
        relation_bd = self.params.relation[relation_b]
        if place_bd is not None:
            return jax.nn.sigmoid(predictor.row_scores(self.params, head_bd, relation_bd, place_bd))
        point_bd = predictor.project(self.params, head_bd, relation_bd)
        scores_bn = predictor.compare(self.params, point_bd, self.params.entity)
        return calibration.normalized(scores_bn, self.atoms["normalize"])
