"""Training steps of ComplEx with N3 by PyTorch, in PyTorch's own environment.

The official recipe (arXiv 1806.07297, 2011.03459): embeddings as real halves, cross-entropy against every entity, the
mean over the batch of the cubed moduli, Adagrad. Started by `benchmarks.cqd.training` with the interpreter that has
torch. Reads one JSON line {"candidate", "num_triples", "num_epochs"} at a time, computes, and answers with one {"loss",
"cpu_s"}, the processor time taken. Imports nothing of this project.
"""

import importlib.metadata
import json
import os
import sys
import time
import warnings

import numpy as np

NUM_ENTITIES, NUM_RELATIONS, RANK, BATCH = 14505, 474, 100, 1000  # FB15k-237, inverses counted
LEARNING_RATE, REGULARIZATION, SCALE = 0.1, 0.05, 0.3  # embeddings as large as trained ones
CANDIDATES = ("torch", "torch, sparse rows", "torch, fused Adagrad")


def draw(num_triples):
    """Returns (entity [N, 2 rank], relation [R, 2 rank], triples [num_triples, 3])."""
    rng = np.random.default_rng(0)
    entity = SCALE * rng.standard_normal((NUM_ENTITIES, 2 * RANK), np.float32)
    relation = SCALE * rng.standard_normal((NUM_RELATIONS, 2 * RANK), np.float32)
    sizes = (NUM_ENTITIES, NUM_RELATIONS, NUM_ENTITIES)
    return entity, relation, np.stack([rng.integers(size, size=num_triples) for size in sizes], axis=1)


def trainer(candidate, num_triples):
    """Returns the function of a number of epochs that trains on and returns the last epoch's mean loss."""
    import torch

    entity, relation, triples = map(torch.from_numpy, draw(num_triples))
    tables = [
        torch.nn.Embedding.from_pretrained(table, freeze=False, sparse=candidate == "torch, sparse rows")
        for table in (entity, relation)
    ]
    fused = {"fused": True} if candidate == "torch, fused Adagrad" else {}
    optimizer = torch.optim.Adagrad([table.weight for table in tables], lr=LEARNING_RATE, **fused)
    cross_entropy = torch.nn.CrossEntropyLoss()

    def halves(rows):
        return rows[:, :RANK], rows[:, RANK:]

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
            losses = [step(batch) for batch in triples[torch.randperm(num_triples)].split(BATCH)]
        return sum(losses) / len(losses)

    return train


def main():
    """Answers requests until the input ends."""
    import torch

    warnings.simplefilter("ignore")
    torch.set_num_threads(len(os.sched_getaffinity(0)))
    trainers = {}
    answer = {"torch": importlib.metadata.version("torch")}
    while True:
        print(json.dumps(answer), flush=True)
        line = sys.stdin.readline()
        if not line:
            return
        request = json.loads(line)
        which = (request["candidate"], request["num_triples"])
        if which not in trainers:
            trainers[which] = trainer(*which)
        start = time.process_time()
        loss = trainers[which](request["num_epochs"])
        answer = {"loss": loss, "cpu_s": time.process_time() - start}


if __name__ == "__main__":
    main()
