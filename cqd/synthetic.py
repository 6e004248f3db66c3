"""A graph of any size that a link predictor can learn from: clusters of entities, and popular ones among them.

Entities are dealt out to clusters of one size. A relation leads from each cluster to one other, drawn once; an edge
goes from a member of a cluster to a member of that other. Which member is drawn by popularity: the j-th of m with
density proportional to j^(-2/3), so that degrees follow a power law of exponent 5/2. Relations are drawn with density
proportional to i^(-1/2). Every entity is the head of an edge.
"""

import numpy as np

_BLOCK = 2**20  # rows drawn or written at a time


def triples(seed, *, num_entities, num_relations, num_triples, num_clusters):
    """Returns different forward triples, int32 [num_triples, 3], in random order.

    Args:
        seed: fixes the result.
        num_entities: a multiple of num_clusters.
        num_relations: forward relations; their ids are even.
        num_triples: num_entities or more.
        num_clusters: of the entities.

    Raises:
        ValueError: numbers that do not go together.
    """
    sizes = {"num_entities": num_entities, "num_relations": num_relations}
    check(**sizes, num_triples=num_triples, num_clusters=num_clusters)
    rng = np.random.default_rng(seed)
    size = num_entities // num_clusters
    members = rng.permutation(num_entities).reshape(num_clusters, size)
    leads_to = rng.integers(num_clusters, size=(num_relations, num_clusters))

    def draw(cluster, rank):
        relation = (num_relations * rng.random(len(cluster)) ** 2).astype(np.int64)
        tail = members[leads_to[relation, cluster], _popular(rng, size, len(cluster))]
        return (members[cluster, rank] * num_relations + relation) * num_entities + tail

    everyone = np.divmod(np.arange(num_entities), size)
    first, later = np.sort(draw(*everyone)), np.zeros(0, np.int64)
    while len(later) < num_triples - num_entities:
        count = min(_BLOCK * 8, 2 * (num_triples - num_entities - len(later)) + 64)
        drawn = draw(rng.integers(num_clusters, size=count), _popular(rng, size, count))
        later = _distinct(np.append(later, drawn[~_is_in(first, drawn)]))
    codes = np.append(first, rng.permutation(later)[: num_triples - num_entities])
    rest, tail = np.divmod(rng.permutation(codes), num_entities)
    head, relation = np.divmod(rest, num_relations)
    return np.stack([head.astype(np.int32), 2 * relation.astype(np.int32), tail.astype(np.int32)], axis=1)


def check(*, num_entities, num_relations, num_triples, num_clusters):
    """Raises ValueError for numbers that do not go together, as in `triples`."""
    if num_clusters < 1 or num_entities % num_clusters:
        raise ValueError(f"num_entities={num_entities} is not a multiple of num_clusters={num_clusters}")
    room = num_relations * num_entities * (num_entities // num_clusters)
    if not num_entities <= num_triples <= room // 2:
        raise ValueError(
            f"num_triples={num_triples}: from num_entities={num_entities} to {room // 2} are due, half of all "
            f"edges that {num_relations} relations between {num_clusters} clusters leave room for"
        )


def _popular(rng, size, count):
    """Returns [count] places among `size`, with density proportional to place^(-2/3)."""
    return (size * rng.random(count) ** 3).astype(np.int64)


def _distinct(codes):
    in_order = np.sort(codes)
    return in_order[np.append(True, in_order[1:] != in_order[:-1])]


def _is_in(in_order, wanted):
    at = np.minimum(in_order.searchsorted(wanted), len(in_order) - 1)
    return in_order[at] == wanted


def write(triples, path, *, num_entities, num_relations):
    """Writes triples as tab-separated labels, such as e0000042, r007, e0131313.

    Args:
        triples: forward triples [M, 3] with even relations.
        path: of the file.
        num_entities, num_relations: N and the number of forward relations; all labels have the digits of the largest.
    """
    widths = [len(str(count - 1)) for count in (num_entities, num_relations, num_entities)]
    with open(path, "wb") as file:
        for start in range(0, len(triples), _BLOCK):
            columns = (triples[start : start + _BLOCK] // [1, 2, 1]).T
            fields = [_labels(*each) for each in zip(columns, b"ere", widths, b"\t\t\n")]
            file.write(np.concatenate(fields, axis=1).tobytes())


def _labels(ids, letter, width, end):
    """Returns bytes [M, width + 2]: a letter, the digits of each id, and an end."""
    text = np.empty((len(ids), width + 2), np.uint8)
    text[:, 0], text[:, -1] = letter, end
    for column in range(width, 0, -1):
        ids, digit = np.divmod(ids, 10)
        text[:, column] = digit + ord("0")
    return text
