"""The link predictor of a run: trained in the workdir, resumed there, or read from another workdir."""

import contextlib
import functools

import jax
import jax.numpy as jnp
import numpy as np

from cqd import graph, link_ranking, predictor, ranking, trained, training
from experiment import errors, mesh, unison

DTYPES = ("float32", "bfloat16")
# Fields of the config that are traced in training: runs that differ in no others are trained as one program.
TRACED = ("seed", "seeds", "learning_rate", "regularization", "relation_weight")
_STATIC = ("num_epochs", "batch_size", "num_entities", "compute_dtype", "num_parts")


@functools.partial(jax.jit, static_argnames=_STATIC, donate_argnums=0)
def _epochs(state, key, epoch, triples, numbers, **static):
    return training.epochs(state, key, epoch, triples, **numbers, **static)


def check(config):
    """Raises ValueError for a field of the training that cannot be."""
    for name in ("rank", "epochs", "epochs_per_call", "batch_size"):
        if config[name] < 1:
            raise ValueError(f"config.{name}={config[name]}: at least 1 is due")
    if config.epochs % config.epochs_per_call:
        raise ValueError(f"config.epochs={config.epochs} is not a multiple of epochs_per_call={config.epochs_per_call}")
    for name in ("learning_rate", "regularization", "relation_weight", "patience"):
        if not 0 <= config[name] < float("inf"):
            raise ValueError(f"config.{name}={config[name]}: a number from 0 up is due")
    for name, known in (("model", predictor.MODELS), ("compute_dtype", DTYPES)):
        if config[name] not in known:
            raise ValueError(f"config.{name}={config[name]!r}: choose one of {', '.join(known)}")


def fit(config, vocabulary, world, seed, workdir):
    """Returns the predictor of one seed, its tables spread over the devices while it is trained.

    With patience > 0 it is evaluated on the validation triples every epochs_per_call epochs; the best one is returned,
    and training ends after so many evaluations without a better one.
    """
    init_key, train_key = jax.random.split(jax.random.fold_in(jax.random.key(config.seed), seed))
    sizes = {"num_entities": vocabulary.num_entities, "num_relations": vocabulary.num_relations}
    state = training.init(init_key, rank=config.rank, model=config.model, **sizes)
    state = training.pad_entities(state, vocabulary.num_entities, jax.device_count())
    state = mesh.shard_leading(state, mesh.MODEL)
    num_parts = mesh.over(mesh.MODEL).shape[mesh.MODEL]
    triples = jnp.asarray(graph.with_inverses(world.splits.train))
    numbers = {name: config[name] for name in ("learning_rate", "regularization")}
    numbers["relation_weight"] = config.relation_weight or None

    def step(state, number):
        return unison.call(
            _epochs,
            state,
            train_key,
            number,
            triples,
            numbers,
            num_epochs=config.epochs_per_call,
            batch_size=config.batch_size,
            num_entities=vocabulary.num_entities,
            compute_dtype=config.compute_dtype,
            num_parts=num_parts,
        )

    loop = functools.partial(
        workdir.loop, f"train_{seed}", num_steps=config.epochs, steps_per_call=config.epochs_per_call
    )
    if not config.patience:
        return _without_padding(loop(state, step).params, vocabulary)
    valid = graph.with_inverses(world.splits.valid)

    @finite("validation")
    def mrr(params):
        return link_ranking.mrr(params, triples=valid, known=world.known, batch_size=config.batch_size)

    watched = training.with_early_stopping(step, mrr, patience=config.patience)
    return _without_padding(loop(training.watched(state), watched).best.params, vocabulary)


def given(config, vocabulary, worlds):
    """Returns the predictor in config.predictor, which must have been trained on the labels of this graph."""
    found = trained.load(config.predictor)
    trained.check_labels(found, vocabulary, source=f"config.predictor={config.predictor}")
    own = set(map(tuple, found.parts["train"].tolist()))
    for seed, world in worlds.items():
        if held_out := own & set(map(tuple, np.concatenate([world.splits.valid, world.splits.test]).tolist())):
            raise ValueError(
                f"config.predictor={config.predictor}: was trained on {len(held_out)} of the triples that seed {seed} "
                "holds out; give the seed and split of its training"
            )
    return found.params


def save(vocabulary, world, params, workdir):
    """Writes a predictor to the workdir, where `cqd.trained.load`, and so a question, finds it."""
    parts = dict(zip(("train", "valid", "test"), world.splits))
    workdir.write_file(trained.FILE, trained.to_bytes(trained.Trained(params, vocabulary, parts)))


def link_prediction(params, world, batch_size=1000):
    """Returns the filtered metrics of the test triples, both directions."""
    triples = graph.with_inverses(world.splits.test)
    size = min(batch_size, len(triples))
    with finite("link prediction"):
        ranks = link_ranking.filtered_ranks(params, triples, world.full, batch_size=size)
    return ranking.metrics([[rank] for rank in ranks])


@contextlib.contextmanager
def finite(what, rate="config.learning_rate"):
    """Turns the ValueError of ranks of scores that are no numbers into NonFiniteError; rate: the field to lower."""
    try:
        yield
    except ValueError as error:
        advice = f"training diverged; lower {rate} in another workdir"
        raise errors.NonFiniteError(f"{what}: {error}; {advice}") from None


def _without_padding(params, vocabulary):
    """Returns the predictor with the rows of its entities alone, on one device."""
    tables = params._asdict()
    rows = {name: vocabulary.num_entities for name in ("entity", "subject") if name in tables}
    return type(params)(
        **{name: jnp.asarray(jax.device_get(mesh.gather(t)))[: rows.get(name)] for name, t in tables.items()}
    )
