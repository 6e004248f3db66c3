"""A graph of any size through every phase: made, loaded, indexed, trained on, and asked, with what each phase takes."""

import functools

import jax
import jax.numpy as jnp
import numpy as np

import cqd
from cqd import graph, link_ranking, loading, predictor, query, ranking, sharded, symbolic, synthetic, training
from cqd.runs import fitting, meter
from cqd.runs import large_graph_plots as plots
from experiment import mesh

INPUTS = ()
TYPES = ("2p", "2i")
_GRAPH = ("num_entities", "num_relations", "num_triples", "num_clusters")
_OTHERS = ("rank", "steps", "batch_size", "num_tested", "num_queries", "queries_per_batch", "beam_size", "num_answers")
_STATIC = ("num_entities", "num_parts", "tile_rows")
_DRAWN = 2**12  # rows of entities drawn at a time
_step = functools.partial(jax.jit, static_argnames=_STATIC, donate_argnums=0)(training.step)


def load(config):
    """Returns nothing: the run makes its own graph. Every field of the config is checked."""
    for name in _GRAPH + _OTHERS:
        if config[name] < 1:
            raise ValueError(f"config.{name}={config[name]}: at least 1 is due")
    for name in ("learning_rate", "regularization", "tile_rows", "seed"):
        if not 0 <= config[name] < float("inf"):
            raise ValueError(f"config.{name}={config[name]}: a number from 0 up is due")
    for name, most in (("num_answers", config.num_entities), ("num_tested", config.num_triples - 1)):
        if config[name] > most:
            raise ValueError(f"config.{name}={config[name]}: {most} at most")
    synthetic.check(**_sizes(config))


def _sizes(config):
    return {name: config[name] for name in _GRAPH}


def run(config, data, workdir):
    """Returns the figures: sizes in bytes, seconds and peak memory of every phase, loss, MRR, and the questions."""
    del data
    on = mesh.over(mesh.MODEL)
    file = workdir.path / "graph.tsv"
    phases = {"generate": workdir.stage("generate", lambda: _made(config, file))}
    world = _World(config, file)
    phases["load"] = workdir.stage("load", world.load)
    phases["index"] = workdir.stage("index", world.index)
    params, phases["train"] = _train(config, world, on, workdir)
    phases["rank"] = workdir.stage("rank", lambda: _ranked(config, world, params))
    placed = cqd.place(params, on, num_entities=config.num_entities)
    for name in TYPES:
        phases[name] = workdir.stage(f"answer_{name}", lambda name=name: _answered(config, world, placed, name))
    rows = [{"phase": name, **{key: float(took[key]) for key in plots.PLOTTED}} for name, took in phases.items()]
    workdir.save_figure("phases", plots.plot_phases(rows), rows)
    return {
        "entities": config.num_entities,
        "triples": config.num_triples,
        "devices_of_the_table": on.shape[mesh.MODEL],
        "bytes": world.sizes() | _bytes(placed),
        "phases": {name: _plain(took) for name, took in phases.items()},
    }


def _plain(tree):
    return {name: float(value) for name, value in tree.items()}


def _made(config, file):
    def make():
        triples = synthetic.triples(config.seed, **_sizes(config))
        synthetic.write(triples, file, num_entities=config.num_entities, num_relations=config.num_relations)
        return np.bincount(triples[:, [0, 2]].reshape(-1), minlength=config.num_entities)

    degrees, took = meter.measured(make)
    counts = {"least_degree": degrees.min(), "median_degree": np.median(degrees), "greatest_degree": degrees.max()}
    return took | counts | {"file_mb": file.stat().st_size / 1e6}


class _World:
    """The graph as it is read back from its file; a resumed run reads it again."""

    def __init__(self, config, file):
        self._file, self._num_tested = file, config.num_tested

    @functools.cached_property
    def loaded(self):
        return loading.load(str(self._file))

    @functools.cached_property
    def full(self):
        """The Index of all edges, those held out included: the filter of ranks."""
        sizes = self.loaded.vocabulary
        return graph.build_index(
            self.loaded.parts["all"], num_entities=sizes.num_entities, num_relations=sizes.num_relations
        )

    def load(self):
        loaded, took = meter.measured(lambda: self.loaded)
        return took | {"entities": loaded.vocabulary.num_entities, "triples": len(loaded.parts["all"])}

    def index(self):
        return meter.measured(lambda: self.full)[1]

    def train(self):
        return self.loaded.parts["all"][: -self._num_tested]

    def test(self):
        return self.loaded.parts["all"][-self._num_tested :]

    def sizes(self):
        """Returns the bytes of the triples and of the index."""
        index = sum(part.nbytes for part in self.full if isinstance(part, np.ndarray))
        return {"triples": self.loaded.parts["all"].nbytes, "index": index}


def _bytes(placed):
    """Returns the bytes of the tables, of as many sums of squares, and of one device's part of the entities."""
    tables = sum(table.nbytes for table in placed.params)
    entity = placed.params.entity
    part = int(np.prod(entity.sharding.shard_shape(entity.shape))) * entity.dtype.itemsize
    return {"tables": tables, "optimiser": tables, "entities_of_a_device": part}


def _train(config, world, on, workdir):
    """Returns (params over the mesh, what the training took)."""
    num_parts = on.shape[mesh.MODEL]
    key = jax.random.fold_in(jax.random.key(config.seed), 0)
    train = world.train()

    def step(state, number):
        batch = _batch(config, train, number)

        def one():
            return _step(
                state,
                batch,
                jnp.ones(len(batch)),
                learning_rate=config.learning_rate,
                regularization=config.regularization,
                num_entities=config.num_entities,
                num_parts=num_parts,
                tile_rows=config.tile_rows or None,
            )

        (state, loss), took = meter.measured(one)
        return state, {"loss": loss, **took}

    start, took = meter.measured(lambda: _start(config, key, on))
    state = workdir.loop("train", start, step, num_steps=config.steps)
    rows = workdir.rows("train")
    later = rows[1:] or rows  # the first step compiles
    medians = {f"{name}_a_step": float(np.median([row[name] for row in later])) for name in ("cpu_s", "wall_s")}
    totals = {name: took[name] + sum(row[name] for row in rows) for name in ("cpu_s", "wall_s")}
    peak = {"peak_mb": max(took["peak_mb"], *(row["peak_mb"] for row in rows))}
    losses = {"first_loss": rows[0]["loss"], "last_loss": rows[-1]["loss"]}
    return state.params, totals | medians | peak | losses


def _start(config, key, on):
    """Returns the State before the first step, made where its parts lie."""
    init = _starting(config, on)

    def place(path, leaf):
        del leaf
        spec = [mesh.MODEL] if path[-1].name in predictor.OF_ENTITIES else []
        return jax.sharding.NamedSharding(on, jax.sharding.PartitionSpec(*spec))

    placing = jax.tree_util.tree_map_with_path(place, jax.eval_shape(init, key))
    return jax.jit(init, out_shardings=placing)(key)


def _starting(config, on):
    """Returns the function of a key that makes the State; every device draws the rows that it holds, some at a time.

    To draw the whole table at once takes four times its bytes besides, more than a step of the training does. A row
    follows from its entity's id: it is the same over any number of devices.
    """
    num_parts = on.shape[mesh.MODEL]
    size = sharded.num_rows(config.num_entities, num_parts) // num_parts

    def rows_of_a_device(key):
        def row(entity):
            drawn = _init(jax.random.fold_in(key, entity), config.rank).entity[0]
            return jnp.where(entity < config.num_entities, drawn, 0)

        ids = jax.lax.axis_index(mesh.MODEL) * size + jnp.arange(size)
        return jax.lax.map(row, ids, batch_size=_DRAWN)

    def init(key):
        entity_key, relation_key = jax.random.split(key)
        everywhere, parts = jax.sharding.PartitionSpec(), jax.sharding.PartitionSpec(mesh.MODEL)
        entity = jax.shard_map(rows_of_a_device, mesh=on, in_specs=everywhere, out_specs=parts, check_vma=False)
        relation = _init(relation_key, config.rank, 2 * config.num_relations).relation
        params = predictor.ComplEx(entity(entity_key), relation)
        return training.State(params, training.adagrad(0.0).init(params))

    return init


def _init(key, rank, num_relations=1):
    return predictor.init(key, num_entities=1, num_relations=num_relations, rank=rank)


def _batch(config, train, number):
    """Returns int32 [b, 3]: training triples drawn for a step, each in one of its two directions."""
    rng = np.random.default_rng((config.seed, number))
    head, relation, tail = train[rng.integers(len(train), size=config.batch_size)].T
    backward = rng.integers(2, size=config.batch_size, dtype=np.int32)
    return np.stack([np.where(backward, tail, head), relation ^ backward, np.where(backward, head, tail)], axis=1)


def _ranked(config, world, params):
    triples = graph.with_inverses(world.test())

    def rank():
        with fitting.finite("link prediction"):
            return link_ranking.filtered_ranks(params, triples, world.full, batch_size=config.queries_per_batch)

    ranks, took = meter.measured(rank)
    return took | ranking.metrics([[rank] for rank in ranks])


def _answered(config, world, placed, name):
    """Returns what questions of a type take, and the share of the best answers that are edges of the graph."""
    queries = _questions(config, world, name)
    ask = functools.partial(
        cqd.top_answers,
        num_answers=config.num_answers,
        beam_size=config.beam_size,
        batch_size=config.queries_per_batch,
    )
    first, compiling = meter.measured(lambda: ask(placed, queries))
    found, took = meter.measured(lambda: ask(placed, queries))
    right = [np.isin(ids, answers).mean() for ids, answers in zip(found.ids, symbolic.answers(world.full, queries))]
    same = {"is_the_same_again": np.array_equal(first.ids, found.ids)}
    if config.compare:
        alone = ask(_on_one_device(placed), queries)
        same["is_as_on_one_device"] = np.array_equal(alone.ids, found.ids)
    times = {"first_call_wall_s": compiling["wall_s"], "wall_s_a_query": took["wall_s"] / len(queries)}
    return took | times | {"share_in_graph": np.mean(right)} | same


def _on_one_device(placed):
    rows = (
        slice(placed.num_entities) if name in predictor.OF_ENTITIES else slice(None) for name in placed.params._fields
    )
    return type(placed.params)(*(jnp.asarray(np.asarray(table)[own]) for table, own in zip(placed.params, rows)))


def _questions(config, world, name):
    """Returns queries of a type that have an answer in the graph, walked along edges drawn at random."""
    edges, index = world.train(), world.full
    rng = np.random.default_rng((config.seed, TYPES.index(name), 1))
    queries = []
    while len(queries) < config.num_queries:
        head, relation, tail = edges[rng.integers(len(edges))].tolist()
        onward = rng.permutation(index.num_relations)
        positions, ends = index.expand(np.full(len(onward), tail), onward)
        other = (onward[positions] != graph.inverse(relation)) | (ends != head)
        if not other.any():
            continue
        pick = rng.choice(np.flatnonzero(other))
        second, end = int(onward[positions[pick]]), int(ends[pick])
        row = (head, relation, second) if name == "2p" else (head, relation, end, graph.inverse(second))
        queries.append(query.from_benchmark(name, row))
    return queries
