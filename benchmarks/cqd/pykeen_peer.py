"""Training steps and filtered ranks of ComplEx by PyKEEN, in PyKEEN's own environment.

As its users call it: the model ComplEx, the one-vs-all loop (LCWATrainingLoop) with the softmax cross-entropy and
Adagrad, the rank-based evaluator. Its default regulariser, another one than N3, is off. Started by
`benchmarks.cqd.training` with the interpreter that has pykeen; asked for {"task": "train", "size", "batch",
"num_triples", "num_epochs"} it answers with {"loss"} of the last epoch, to {"task": "rank", "size", "batch",
"num_triples"} with {"mrr"}. The embeddings and triples are those of `training_peer.draw`.
"""

import functools
import importlib.metadata
import logging
import os

from benchmarks import peers
from benchmarks.cqd import training_peer


def model_and_triples(size, num_triples):
    """Returns (model, triples factory)."""
    import torch
    from pykeen.models import ComplEx
    from pykeen.triples import CoreTriplesFactory

    entity, relation, triples = training_peer.draw(size, num_triples)
    num_entities, num_relations, rank, _ = training_peer.SIZES[size]

    def pretrained(table):
        halves = torch.view_as_real(torch.complex(*torch.from_numpy(table).split(rank, dim=1)))
        # a copy: PyKEEN initialises a second time before it trains, and its own PretrainedInitializer shares memory
        return lambda empty: halves.clone().view(empty.shape)

    factory = CoreTriplesFactory(triples, num_entities=num_entities, num_relations=num_relations)
    model = ComplEx(
        triples_factory=factory,
        embedding_dim=rank,
        entity_initializer=pretrained(entity),
        relation_initializer=pretrained(relation),
        regularizer=None,
        loss="crossentropy",
        random_seed=0,
    )
    return model, factory


def trainer(size, batch, num_triples):
    """Returns the function of a number of epochs that trains on and returns the last epoch's mean loss."""
    import torch
    from pykeen.training import LCWATrainingLoop

    model, factory = model_and_triples(size, num_triples)
    optimizer = torch.optim.Adagrad(model.parameters(), lr=training_peer.LEARNING_RATE)
    loop = LCWATrainingLoop(model=model, triples_factory=factory, optimizer=optimizer)
    done = 0

    def train(num_epochs):
        nonlocal done
        done += num_epochs  # PyKEEN counts the epochs of the whole training
        options = {"use_tqdm": False, "continue_training": done > num_epochs, "num_workers": 0}
        return loop.train(factory, num_epochs=done, batch_size=batch, **options)[-1]

    return train


def ranker(size, batch, num_triples):
    """Returns the function that ranks the triples' tails and returns their mean reciprocal filtered rank."""
    from pykeen.evaluation import RankBasedEvaluator

    model, factory = model_and_triples(size, num_triples)
    triples = factory.mapped_triples
    evaluator = RankBasedEvaluator(filtered=True)
    options = {"batch_size": batch, "use_tqdm": False, "targets": ("tail",), "additional_filter_triples": [triples]}

    def rank():
        result = evaluator.evaluate(model, triples, **options)
        return result.get_metric("tail.realistic.inverse_harmonic_mean_rank")

    return rank


def main():
    """Answers requests until the input ends."""
    import torch

    logging.disable(logging.WARNING)
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    trainers, rankers = functools.cache(trainer), functools.cache(ranker)

    def answer(task, size, batch, num_triples, num_epochs=None):
        if task == "train":
            train = trainers(size, batch, num_triples)
            return lambda: {"loss": train(num_epochs)}
        rank = rankers(size, batch, num_triples)
        return lambda: {"mrr": float(rank())}

    peers.serve({name: importlib.metadata.version(name) for name in ("pykeen", "torch")}, answer)


if __name__ == "__main__":
    main()
