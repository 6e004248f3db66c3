"""Training steps of ComplEx with N3 by PyTorch, in PyTorch's own environment.

The official recipe (arXiv 1806.07297, 2011.03459): embeddings as real halves, cross-entropy against every entity, the
mean over the batch of the cubed moduli, Adagrad. Started by `benchmarks.cqd.training` with the interpreter that has
torch; asked for {"candidate", "size", "num_triples", "num_epochs"} it answers with {"loss"}.
"""

import functools
import importlib.metadata
import os
import warnings
from typing import NamedTuple

import numpy as np

from benchmarks import peers


class Sizes(NamedTuple):
    """Of the tables, inverses counted, and of a batch."""

    num_entities: int
    num_relations: int
    rank: int
    batch: int


SIZES = {"full": Sizes(14505, 474, 100, 1000), "small": Sizes(90, 8, 6, 20)}  # full: FB15k-237
LEARNING_RATE, REGULARIZATION, SCALE = 0.1, 0.05, 0.3  # embeddings as large as trained ones
CANDIDATES = ("torch", "torch, sparse rows", "torch, fused Adagrad")


def draw(size, num_triples):
    """Returns (entity [N, 2 rank], relation [R, 2 rank], triples [num_triples, 3]).

    No two triples share head and relation: one-vs-all losses of several tails would differ by how they are batched.
    """
    num_entities, num_relations, rank, _ = SIZES[size]
    rng = np.random.default_rng(0)
    entity = SCALE * rng.standard_normal((num_entities, 2 * rank), np.float32)
    relation = SCALE * rng.standard_normal((num_relations, 2 * rank), np.float32)
    pairs = rng.choice(num_entities * num_relations, num_triples, replace=False)
    tails = rng.integers(num_entities, size=num_triples)
    return entity, relation, np.stack([pairs // num_relations, pairs % num_relations, tails], axis=1)


def trainer(candidate, size, num_triples):
    """Returns the function of a number of epochs that trains on and returns the last epoch's mean loss."""
    import torch

    entity, relation, triples = map(torch.from_numpy, draw(size, num_triples))
    rank, batch_size = SIZES[size].rank, SIZES[size].batch
    tables = [
        torch.nn.Embedding.from_pretrained(table, freeze=False, sparse=candidate == "torch, sparse rows")
        for table in (entity, relation)
    ]
    fused = {"fused": True} if candidate == "torch, fused Adagrad" else {}
    optimizer = torch.optim.Adagrad([table.weight for table in tables], lr=LEARNING_RATE, **fused)
    cross_entropy = torch.nn.CrossEntropyLoss()

    def halves(rows):
        return rows[:, :rank], rows[:, rank:]

    def step(batch):
        h, r, t = (halves(table(ids)) for table, ids in zip((*tables, tables[0]), batch.T))
        to_re, to_im = halves(tables[0].weight)
        scores = (h[0] * r[0] - h[1] * r[1]) @ to_re.T + (h[0] * r[1] + h[1] * r[0]) @ to_im.T
        moduli = [torch.sqrt(re**2 + im**2) for re, im in (h, r, t)]
        penalty = REGULARIZATION * sum((modulus**3).sum() for modulus in moduli) / len(batch)
        loss = cross_entropy(scores, batch[:, 2]) + penalty
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        return loss.item()

    def train(num_epochs):
        for _ in range(num_epochs):
            losses = [step(batch) for batch in triples[torch.randperm(num_triples)].split(batch_size)]
        return sum(losses) / len(losses)

    return train


def main():
    """Answers requests until the input ends."""
    import torch

    warnings.simplefilter("ignore")
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    ready = functools.cache(trainer)

    def answer(candidate, size, num_triples, num_epochs):
        train = ready(candidate, size, num_triples)
        return lambda: {"loss": train(num_epochs)}

    peers.serve({"torch": importlib.metadata.version("torch")}, answer)


if __name__ == "__main__":
    main()
