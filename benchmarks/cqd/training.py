"""Speed of a training step, beside its own three matrix products, PyTorch and PyKEEN.

    python -m benchmarks.cqd.training [--out=FILE] [--repeats=9] [--size=small]
        [--torch_python=PYTHON] [--pykeen_python=PYTHON]

ComplEx of rank 100 at the size of FB15k-237, batches of 1000, float32, Adagrad: with N3 beside PyTorch, by the official
recipe; without a regulariser beside PyKEEN's one-vs-all loop with the softmax cross-entropy; then filtered ranks of
triples, as in evaluation. A peer is given by an interpreter that has it, and left out without. It runs as a process of
its own that takes turns with ours: the same embeddings and triples, the same threads. Its losses after three steps have
to be ours, and its ranks all but those that rounding decides.
"""

import functools

import jax
import jax.numpy as jnp

from benchmarks import options, peers, timing
from benchmarks.cqd import pykeen_peer
from benchmarks.cqd import training_peer as torch_peer
from cqd import graph, link_ranking, predictor, training

OUT = "cqd_training.json"
LIBRARIES = ("torch", "pykeen")
_STEPS = 5  # a call; what a call costs besides its steps is shared among them
_PYKEEN_STEPS = 20  # whose calls cost more besides
_RANKED = {"full": 1000, "small": 20}  # triples
_SYSTEM = "cqd"


def trainer(size, num_triples, regularization):
    """Returns the function of a number of epochs that trains on and returns the last epoch's mean loss."""
    entity, relation, triples = torch_peer.draw(size, num_triples)
    params = predictor.complex_params(entity, relation)
    state = training.State(params, training.adagrad(0.0).init(params))
    triples = jnp.asarray(triples)
    run = jax.jit(training.epochs, static_argnames=("num_epochs", "batch_size"), donate_argnums=0)

    def train(num_epochs):
        nonlocal state
        state, info = run(
            state,
            jax.random.key(0),
            0,
            triples,
            num_epochs=num_epochs,
            batch_size=torch_peer.SIZES[size].batch,
            learning_rate=torch_peer.LEARNING_RATE,
            regularization=regularization,
        )
        return float(info["loss"][-1])

    return train


def products(size):
    """Returns the function that computes a step's three matrix products, as often as a call takes steps."""
    entity, _, triples = torch_peer.draw(size, torch_peer.SIZES[size].batch)
    entity = jnp.asarray(entity)
    points = entity[triples[:, 0]]

    def one(carry, _):
        points_bd, _ = carry
        scores_bn = points_bd @ entity.T
        return (1e-6 * (scores_bn @ entity), scores_bn.T @ points_bd), None

    run = jax.jit(lambda points: jax.lax.scan(one, (points, jnp.zeros_like(entity)), length=_STEPS)[0])
    return functools.partial(run, points)


def step_row(size, repeats, case, regularization, candidates, bound=None, num_steps=_STEPS):
    """Returns the row of a training step.

    Args:
        size: of options.SIZES.
        repeats: counted calls.
        case: in words.
        regularization: of ours; a candidate that trains otherwise is refused.
        candidates: {name: (function of num_triples and num_epochs, Beside)} of peers.
        bound: {name: (function, Beside)} of what trains nothing.
        num_steps: a call.

    Raises:
        ValueError: a loss after three steps that is not ours.
    """
    batch = torch_peer.SIZES[size].batch
    ours = trainer(size, batch, regularization)(3)
    for name, (train, _) in candidates.items():
        theirs = train(num_triples=batch, num_epochs=3)["loss"]
        if abs(theirs / ours - 1) > 1e-4:
            raise ValueError(f"{case}, {name}: a loss of {theirs} after three steps, ours {ours}")
    num_triples = num_steps * batch
    calls = {"training.epochs": functools.partial(trainer(size, num_triples, regularization), 1)}
    calls |= {name: fn for name, (fn, _) in (bound or {}).items()}
    for name, (train, _) in candidates.items():
        calls[name] = functools.partial(train, num_triples=num_triples, num_epochs=1)
    times = timing.alternate(calls, repeats, dict.fromkeys(calls, num_steps))
    beside = {name: one for name, (_, one) in ((bound or {}) | candidates).items()}
    return timing.row(_SYSTEM, _words(case, size), times, "training.epochs", beside)


def ranks_row(size, repeats, ask, version):
    """Returns the row of filtered ranks of triples' tails.

    Raises:
        ValueError: ranks that are not ours.
    """
    entity, relation, triples = torch_peer.draw(size, _RANKED[size])
    params = predictor.complex_params(entity, relation)
    sizes = torch_peer.SIZES[size]
    known = graph.build_index(triples, num_entities=sizes.num_entities, num_relations=sizes.num_relations)
    request = {"task": "rank", "size": size, "num_triples": len(triples), "batch": sizes.batch}
    rank = functools.partial(link_ranking.filtered_ranks, params, triples, known, batch_size=sizes.batch)
    ours, theirs = float((1 / rank()).mean()), ask(**request)["mrr"]
    if abs(theirs / ours - 1) > 1e-3:
        raise ValueError(f"ranks: an MRR of {theirs} by PyKEEN, {ours} by ours")
    times = timing.alternate({"link_ranking.filtered_ranks": rank, "pykeen": lambda: ask(**request)}, repeats)
    beside = {"pykeen": timing.Beside(timing.LIBRARY, 1.0, version)}
    case = _words(f"filtered ranks of {len(triples):,} triples", size)
    return timing.row(_SYSTEM, case, times, "link_ranking.filtered_ranks", beside)


def _words(case, size):
    num_entities, num_relations, rank, batch = torch_peer.SIZES[size]
    return f"{case}; N = {num_entities:,}, R = {num_relations}, rank {rank}, batch {batch:,}"


def main():
    """Measures, and writes the rows."""
    asked_for = options.parser(__doc__, out=OUT, repeats=9, libraries=LIBRARIES).parse_args()
    size, repeats, rows, asked = asked_for.size, asked_for.repeats, [], []
    torch = {}
    if asked_for.torch_python:
        asked.append("torch")
        first, ask = peers.start(asked_for.torch_python, torch_peer.__spec__.name)
        beside = timing.Beside(timing.LIBRARY, 1.3, f"torch {first['torch']}")
        torch = {name: (functools.partial(ask, candidate=name, size=size), beside) for name in torch_peer.CANDIDATES}
    bound = {"three products": (products(size), timing.Beside(timing.BOUND, 0.5))}
    case = "training step, ComplEx with N3"
    rows.append(step_row(size, repeats, case, torch_peer.REGULARIZATION, torch, bound))
    if asked_for.pykeen_python:
        asked.append("pykeen")
        first, ask = peers.start(asked_for.pykeen_python, pykeen_peer.__spec__.name)
        version = ", ".join(f"{name} {number}" for name, number in first.items())
        train = functools.partial(ask, task="train", size=size, batch=torch_peer.SIZES[size].batch)
        pykeen = {"pykeen": (train, timing.Beside(timing.LIBRARY, 1.0, version))}
        few = max(1, repeats // 2)
        rows.append(step_row(size, few, "training step, ComplEx", 0.0, pykeen, num_steps=_PYKEEN_STEPS))
        rows.append(ranks_row(size, repeats, ask, version))
    timing.say(rows)
    timing.write(asked_for.out, rows, size=size, peers=asked, precision="float32")


if __name__ == "__main__":
    main()
