"""What configs share, by system: `graphs` of cqd, `searches` of darts_perturb, `arguments` of all."""

from configs.common.arguments import parse_arg
from configs.common.graphs import (
    NEGATIVE_TYPES,
    POSITIVE_TYPES,
    complex_queries,
    knowledge_graph,
    link_predictor,
    query2box,
    small_benchmark,
    small_predictor,
    smoke_complex_queries,
    smoke_predictor,
)
from configs.common.searches import (
    architecture_search,
    cifar,
    darts_retraining,
    image_fields,
    nas_bench_201_retraining,
    small_search,
    smoke_search,
    supernet_alone,
)

__all__ = (
    "NEGATIVE_TYPES",
    "POSITIVE_TYPES",
    "architecture_search",
    "cifar",
    "complex_queries",
    "darts_retraining",
    "image_fields",
    "knowledge_graph",
    "link_predictor",
    "nas_bench_201_retraining",
    "parse_arg",
    "query2box",
    "small_benchmark",
    "small_predictor",
    "small_search",
    "smoke_complex_queries",
    "smoke_predictor",
    "smoke_search",
    "supernet_alone",
)
