"""What a random order of the entities gives, which a method's figures are held against."""

import numpy as np


def mrr(samples, num_entities):
    """Returns the expected MRR of a uniformly random order: H_n / n of n candidates, a mean over queries.

    A hard answer is ranked among the n = N - (all answers) + 1 entities that are no other answer, so that every rank
    from 1 to n is equally likely; all hard answers of a query have the same n.

    Args:
        samples: list of `cqd.sampling.Sample`.
        num_entities: N.
    """
    harmonic = np.cumsum(1 / np.arange(1, num_entities + 1))
    candidates = np.array([num_entities - len(np.union1d(sample.easy, sample.hard)) + 1 for sample in samples])
    return float(np.mean(harmonic[candidates - 1] / candidates))
