"""Tables of entities spread over devices: queries answered where each part of the tables lies.

A mesh has two axes. Rows of entities are divided over "model", queries over "data". Each device scores the entities it
holds. A beam's candidates are the k best of every device, gathered and cut to the k best of all; the rows of candidates
and anchors come from the device that has them, as a sum of that row and zeros. So no device ever holds the table or the
truths of all entities. Where the number of entities is no multiple of the devices, rows of zeros are added after the
last one; they are no candidate, no answer and no part of a normaliser.

Of equal truths the lower id is taken first, on one device or many: parts lie in the order of ids, and `lax.top_k` takes
the earlier of two equal numbers.

Axes: b queries, k candidates, n entities of a device, g queries that share a relation, x heads of a block.
"""

import dataclasses
import functools
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import NamedSharding, PartitionSpec

from cqd import beam, calibration, exact, predictor

DATA, MODEL = "data", "model"
_TILE = 64


@dataclasses.dataclass(frozen=True)
class Placed:
    """A link predictor whose entities are spread over a mesh; `place` makes it.

    Attributes:
        params: a model of `predictor`, rows of zeros added to its tables of entities.
        num_entities: N, the rows that are entities.
        mesh: with the axes "data" and "model".
    """

    params: NamedTuple
    num_entities: int
    mesh: jax.sharding.Mesh


def place(params, mesh, *, num_entities=None):
    """Returns the Placed of a link predictor: its rows of entities over the axis "model" of a mesh.

    Each device is given its own rows, from host memory or from where they are: no device needs room for a whole table.

    Args:
        params: a model of `predictor`, of numpy arrays or of arrays on devices.
        mesh: jax.sharding.Mesh with the axes "model", "data" or both.
        num_entities: N, where the tables have rows of padding already, as in training; all rows where None.

    Raises:
        ValueError: no link predictor, another axis, or more entities than rows.
    """
    if not isinstance(params, tuple(predictor.MODELS.values())):
        raise ValueError(f"params: a {type(params).__name__} is no link predictor; predictor.complex_params makes one")
    if not set(mesh.axis_names) <= {DATA, MODEL}:
        raise ValueError(f"mesh: has the axes {', '.join(mesh.axis_names)}; 'data' and 'model' are due")
    known_rows = params.entity.shape[0]
    num_entities = known_rows if num_entities is None else num_entities
    if not 0 < num_entities <= known_rows:
        raise ValueError(f"num_entities={num_entities}: from 1 to {known_rows}, the rows of the table, are due")
    mesh = _in_order(mesh)
    tables = [_put(table, spec, num_entities, mesh) for table, spec in zip(params, _specs(params))]
    return Placed(type(params)(*tables), num_entities, mesh)


def _in_order(mesh):
    """Returns the mesh of the same devices with the axes ("data", "model"), one of size 1 where it is not there."""
    names = mesh.axis_names
    devices = mesh.devices.T if names == (MODEL, DATA) else mesh.devices
    shape = [dict(zip(names, mesh.devices.shape)).get(name, 1) for name in (DATA, MODEL)]
    return jax.sharding.Mesh(devices.reshape(shape), (DATA, MODEL))


def _specs(params):
    """Returns the model with the PartitionSpec of each table in its place."""
    return type(params)(
        *(PartitionSpec(MODEL) if name in predictor.OF_ENTITIES else PartitionSpec() for name in params._fields)
    )


def num_rows(num_entities, num_devices):
    """Returns the rows of a table of N entities over as many devices: the same number on each, N and some more.

    A device's rows leave the same remainder by 64 as N does. A matrix product chooses its kernel by what is left beside
    whole tiles of columns, and another kernel adds up in another order: so chosen, each part has the scores, to the
    last bit, that one device has of them all.
    """
    least = -(-num_entities // num_devices)
    return num_devices * (least + (num_entities - least) % _TILE)


def _put(table, spec, num_entities, mesh):
    sharding = NamedSharding(mesh, spec)
    total = num_rows(num_entities, mesh.shape[MODEL]) if spec else table.shape[0]
    if total == table.shape[0]:
        return jax.device_put(table, sharding)

    def part(index):
        start, stop, _ = index[0].indices(total)
        rows = np.asarray(table[start : max(start, min(stop, num_entities))])
        return np.pad(rows, ((0, stop - start - len(rows)), (0, 0)))

    return jax.make_array_from_callback((total, *table.shape[1:]), sharding, part)


def copied(tree, mesh):
    """Returns the tree with a copy of every array on each device of the mesh."""
    return jax.device_put(tree, NamedSharding(mesh, PartitionSpec()))


class Heads(NamedTuple):
    """Entities as heads of atoms: ids [..., b] and their rows [..., b, d], the same on every device of "model"."""

    ids: jax.Array
    rows: jax.Array


class Part:
    """The entities of one device, in a program that every device of the mesh runs on its part of the arrays.

    Args:
        size: rows of the device.
        num_entities: N.
        params: the model with the device's rows, for atoms.
    """

    def __init__(self, size, num_entities, params=None):
        self.params = params
        self.size = size
        self.num_entities = num_entities
        self.first = jax.lax.axis_index(MODEL) * self.size
        self.ids = self.first + jnp.arange(self.size)
        self.is_padded = self.size * jax.lax.axis_size(MODEL) > num_entities

    def identity(self, entity_b):
        """Returns [b, n]: 1 where y is the entity."""
        return (self.ids[None] == entity_b[:, None]).astype(self.params.entity.dtype)

    def heads(self, ids):
        """Returns Heads of the entities [..., b]."""
        return Heads(ids, self._from_owner(ids, lambda at: predictor.head_table(self.params)[at]))

    def values(self, inner_gn, heads_x):
        """Returns [g, x]: the values at heads; 0 where an id is N or more."""
        known_x = jnp.where(heads_x < self.num_entities, heads_x, -1)
        return self._from_owner(known_x, lambda at: inner_gn.T[at]).T

    def _from_owner(self, ids, read):
        """Returns read(places) [..., d] of the device that has each id, zeros for an id that none has."""
        at = ids - self.first
        is_here = (at >= 0) & (at < self.size)
        found = jnp.where(is_here[..., None], read(jnp.where(is_here, at, 0)), 0)
        return jax.lax.psum(found, MODEL)

    def atom(self, heads, relation_b, *, normalize="sigmoid", edges=None, certain=False):
        """Returns [b, n]: the truth of (head, relation, y) for every y of this device, as `calibration.truths`."""
        point_bd = self.point(heads, relation_b)
        return self.compared(point_bd, heads.ids, relation_b, normalize=normalize, edges=edges, certain=certain)

    def point(self, heads, relation_b):
        """Returns [b, d]: what the tails of heads are compared with, the same on every device of "model"."""
        return predictor.project(self.params, heads.rows, self.params.relation[relation_b])

    def compared(self, point_bd, ids_b, relation_b, *, normalize="sigmoid", edges=None, certain=False):
        """Returns [b, n]: the truth of (head, relation, y) for every y of this device, given the point."""
        return calibration.of_scores(
            predictor.compare(self.params, point_bd, self.params.entity),
            ids_b,
            relation_b,
            num_entities=self.num_entities,
            normalize=normalize,
            edges=edges,
            certain=certain,
            first=self.first,
            softmax_fn=self.softmax,
        )

    def softmax(self, scores_bn):
        """Returns [b, n]: the softmax over the entities of all devices."""
        scores_bn = self.masked(scores_bn, -jnp.inf)
        top_b1 = jax.lax.pmax(jnp.max(scores_bn, axis=-1, keepdims=True), MODEL)
        exp_bn = jnp.exp(scores_bn - top_b1)
        return exp_bn / jax.lax.psum(jnp.sum(exp_bn, axis=-1, keepdims=True), MODEL)

    def masked(self, values_bn, filling):
        """Returns the values with another in the place of what stands in added rows."""
        return jnp.where(self.ids[None] < self.num_entities, values_bn, filling) if self.is_padded else values_bn

    def top_k(self, values_bn, k):
        """Returns ([b, k] values, [b, k] entities) of all devices, the greatest first; of equal ones the lower id."""
        values_bk, at_bk = jax.lax.top_k(self.masked(values_bn, -jnp.inf), min(k, self.size))
        gather = functools.partial(jax.lax.all_gather, axis_name=MODEL, axis=1, tiled=True)
        values_bs, ids_bs = gather(values_bk), gather(self.ids[at_bk])
        values_bk, at_bk = jax.lax.top_k(values_bs, k)
        return values_bk, jnp.take_along_axis(ids_bs, at_bk, axis=1)


class _Beam(beam.Beam):
    """The k best entities of a variable, found on every device and merged."""

    def __init__(self, part, rows, tnorm, atoms, beam_size):
        super().__init__(part.params, rows, tnorm, atoms, min(beam_size, part.num_entities))
        self.beam_size = min(beam_size, part.num_entities)
        self.identity, self.heads, self.point, self.top_k = part.identity, part.heads, part.point, part.top_k
        self.atom, self.compared = (functools.partial(fn, **atoms) for fn in (part.atom, part.compared))


class _Exact(exact.Exact):
    """All entities of a variable: tails over "model", and the heads of a block over "data" where a maximum is taken."""

    def __init__(self, placed, rows, tnorm, atoms, aggregate, block_size):
        super().__init__(placed.params, rows, tnorm, atoms, aggregate, block_size)
        self.num_entities = placed.num_entities
        self.block_size = min(block_size, self.num_entities)
        self.on = {"mesh": placed.mesh, "num_entities": placed.num_entities}

    def identity(self, entity_b):
        return _identity(self.params, entity_b, **self.on)

    def atom(self, heads_b, relation_b):
        return _atoms(self.params, heads_b, relation_b, **self.on, **self.atoms)

    def whole_hops(self, inner_bn, relation_b):
        return self.by_relation(relation_b, lambda relation, at_g: self.hop(inner_bn[at_g], relation))

    def blocks(self, inner_gn):
        if self.num_entities > exact.FEW:
            yield from super().blocks(inner_gn)
        else:  # the order in which one device takes the heads, which a sum feels
            yield np.arange(-(-self.num_entities // exact.UNROLLED) * exact.UNROLLED, dtype=np.int32), 1.0

    def gather(self, best_gn, inner_gn, heads_x, relation):
        filling = -len(heads_x) % self.on["mesh"].shape[DATA]
        heads_x = np.pad(heads_x, (0, filling), constant_values=self.num_entities)
        return _gather(self.params, best_gn, inner_gn, heads_x, relation, **self.on, **self.pair, **self.atoms)


_ON = ("mesh", "num_entities")
_ATOMS = ("normalize", "certain")
_QUERIES, _COPIES, _TRUTHS = PartitionSpec(DATA), PartitionSpec(), PartitionSpec(DATA, MODEL)
_ROWS = PartitionSpec(None, MODEL)  # of all queries, as the exact method has them


def beam_truth(placed, rows, *, structure, tnorm, beam_size, edges=None, **atoms):
    """Returns [b, n] over the mesh: `beam.truth`, with columns of added rows.

    Args:
        placed: Placed.
        rows, structure, tnorm, beam_size, edges, **atoms: as in `beam.truth`; b is a multiple of the axis "data".
    """
    on = {"mesh": placed.mesh, "num_entities": placed.num_entities}
    return _beam(placed.params, rows, edges, structure=structure, tnorm=tnorm, beam_size=beam_size, **on, **atoms)


def exact_truth(placed, rows, *, structure, tnorm, aggregate="max", block_size=256, **atoms):
    """Returns [b, n] over the mesh: `exact.truth`, with columns of added rows; arguments as there."""
    different, places = exact.distinct(rows)
    return _Exact(placed, different, tnorm, atoms, aggregate, block_size).walk(structure)[0][places]


def best(placed, truths_bn, k):
    """Returns ([b, k] ids, [b, k] truths), the greatest first, of truths [b, n] over the mesh."""
    return _best(truths_bn, k=k, mesh=placed.mesh, num_entities=placed.num_entities)


def _mapped(local, mesh, in_specs, out_specs):
    return jax.shard_map(local, mesh=mesh, in_specs=in_specs, out_specs=out_specs, check_vma=False)


@functools.partial(jax.jit, static_argnames=(*_ON, *_ATOMS, "structure", "tnorm", "beam_size"))
def _beam(params, rows, edges, *, mesh, num_entities, structure, tnorm, beam_size, **atoms):
    def local(params, rows, edges):
        part = Part(params.entity.shape[0], num_entities, params)
        return _Beam(part, rows, tnorm, {"edges": edges, **atoms}, beam_size).walk(structure)[0]

    return _mapped(local, mesh, (_specs(params), _QUERIES, _COPIES), _TRUTHS)(params, rows, edges)


@functools.partial(jax.jit, static_argnames=(*_ON, "k"))
def _best(truths_bn, *, k, mesh, num_entities):
    def local(truths_bn):
        values_bk, ids_bk = Part(truths_bn.shape[1], num_entities).top_k(truths_bn, k)
        return ids_bk, values_bk

    spec = _ROWS if len(truths_bn) % mesh.shape[DATA] else _TRUTHS
    found = _mapped(local, mesh, (spec,), PartitionSpec(spec[0]))(truths_bn)
    return jax.lax.with_sharding_constraint(found, NamedSharding(mesh, _COPIES))


@functools.partial(jax.jit, static_argnames=_ON)
def _identity(params, entity_b, *, mesh, num_entities):
    def local(params, entity_b):
        return Part(params.entity.shape[0], num_entities, params).identity(entity_b)

    return _mapped(local, mesh, (_specs(params), _COPIES), _ROWS)(params, entity_b)


@functools.partial(jax.jit, static_argnames=(*_ON, *_ATOMS))
def _atoms(params, heads_b, relation_b, *, mesh, num_entities, edges=None, **atoms):
    def local(params, heads_b, relation_b, edges):
        part = Part(params.entity.shape[0], num_entities, params)
        return part.atom(part.heads(heads_b), relation_b, edges=edges, **atoms)

    specs = (_specs(params), _COPIES, _COPIES, _COPIES)
    return _mapped(local, mesh, specs, _ROWS)(params, heads_b, relation_b, edges)


@functools.partial(jax.jit, static_argnames=(*_ON, *_ATOMS, "tnorm", "aggregate"), donate_argnums=1)
def _gather(params, best_gn, inner_gn, heads_x, relation, *, mesh, num_entities, tnorm, aggregate, edges=None, **atoms):
    """Returns ([g, n] best with the block's heads taken in, the least of it)."""

    def local(params, best_gn, inner_gn, heads_x, relation, edges):
        part = Part(params.entity.shape[0], num_entities, params)
        atom_xn = part.atom(part.heads(heads_x), jnp.full_like(heads_x, relation), edges=edges, **atoms)
        best_gn = exact.take_in(best_gn, part.values(inner_gn, heads_x), atom_xn, tnorm, aggregate)
        best_gn = jax.lax.pmax(best_gn, DATA) if aggregate == "max" else best_gn
        return best_gn, jax.lax.pmin(part.masked(best_gn, jnp.inf).min(), MODEL)

    heads = _QUERIES if aggregate == "max" else _COPIES  # a sum takes them in one order, whatever the mesh
    specs = (_specs(params), _ROWS, _ROWS, heads, _COPIES, _COPIES)
    run = _mapped(local, mesh, specs, (_ROWS, _COPIES))
    return run(params, best_gn, inner_gn, heads_x, relation, edges)
