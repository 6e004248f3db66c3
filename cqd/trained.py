"""A trained link predictor in one file, with the labels of its tables and the edges it knows: all a question needs.

The file is an .npz that `cqd.loading.load` reads too, as the graph it was trained on. Beside the arrays of that graph
stand "model", the name of a model of `cqd.predictor`, and "table_NAME" for each of its tables.
"""

import io
from pathlib import Path
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np

from cqd import graph, loading, predictor, safe_files
from cqd.graph import Vocabulary

FILE = "predictor.npz"


class Trained(NamedTuple):
    """What `load` gives.

    Attributes:
        params: a model of `cqd.predictor`.
        vocabulary: the labels of its rows.
        parts: {"train", "valid", "test"} -> forward triples int32 [M, 3].
    """

    params: NamedTuple
    vocabulary: Vocabulary
    parts: dict

    def known(self):
        """Returns the `graph.Index` of the observed edges: train and valid."""
        return self._index("train", "valid")

    def full(self):
        """Returns the `graph.Index` of all edges, those held out for the test included."""
        return self._index(*self.parts)

    def _index(self, *names):
        triples = np.concatenate([self.parts[name] for name in names])
        sizes = {"num_entities": self.vocabulary.num_entities, "num_relations": self.vocabulary.num_relations}
        return graph.build_index(triples, **sizes)


def to_bytes(trained):
    """Returns the content of the file."""
    tables = {f"table_{name}": np.asarray(table, np.float32) for name, table in trained.params._asdict().items()}
    model = next(name for name, kind in predictor.MODELS.items() if isinstance(trained.params, kind))
    file = io.BytesIO()
    arrays = loading.arrays(trained.vocabulary, trained.parts)
    np.savez(file, model=np.frombuffer(model.encode(), np.uint8), **arrays, **tables)
    return file.getvalue()


def load(path):
    """Returns the Trained in a file, or in the workdir of a run that trained one.

    Raises:
        ValueError: no such file in the workdir, tables that are not of its model or do not fit its labels.
        OSError: the file cannot be read.
    """
    path = Path(path)
    if path.is_dir() and not (path / FILE).exists():
        raise ValueError(f"{path}: has no {FILE}; give the workdir of a finished run of cqd.main, or such a file")
    path = path / FILE if path.is_dir() else path
    if not path.exists() or path.suffix != ".npz":
        what = "not an .npz file" if path.exists() else "no such file"
        raise ValueError(f"{path}: {what}; give the workdir of a finished run of cqd.main, or its {FILE}")
    content = safe_files.arrays(path)
    name = content.get("model", np.zeros(0, np.uint8)).tobytes().decode(errors="replace")
    if name not in predictor.MODELS:
        raise ValueError(f"{path}: no trained predictor; a run of cqd.main writes one to its workdir as {FILE}")
    model = predictor.MODELS[name]
    missing = [field for field in model._fields if f"table_{field}" not in content]
    if missing:
        raise ValueError(f"{path}: {name} is due to have the table {missing[0]}; train it again")
    params = model(*(_single(content[f"table_{field}"]) for field in model._fields))
    _check_tables(params, name, source=path)
    vocabulary, parts = loading.load(path)
    if "train" not in parts:
        raise ValueError(f"{path}: holds a graph without the parts train, valid and test; train the predictor again")
    check(params, vocabulary, source=path)
    return Trained(model(*map(jnp.asarray, params)), vocabulary, parts)


def _single(table):
    """Returns a table of real numbers in single precision, in which one too large is infinite."""
    with np.errstate(over="ignore"):
        return table.astype(np.float32) if table.dtype.kind == "f" else table


def _check_tables(params, name, *, source):
    """Raises ValueError, naming the source, for tables that no model of that name has."""
    for field, table in params._asdict().items():
        if table.ndim != 2 or not table.size or table.dtype.kind != "f" or not np.isfinite(table).all():
            raise ValueError(f"{source}: table_{field} is not a matrix of finite numbers; train the predictor again")
    width = params.relation.shape[1] * (2 if name == "rotate" else 1)
    entities = [params.entity, *([params.subject] if name == "cp" else [])]
    if {table.shape for table in entities} != {(len(params.entity), width)} or (name == "complex" and width % 2):
        shapes = ", ".join(f"{field} {list(table.shape)}" for field, table in params._asdict().items())
        raise ValueError(f"{source}: no {name} has the tables {shapes}; train the predictor again")


def check(params, vocabulary, *, source):
    """Raises ValueError, naming the source, where a predictor's tables have another number of rows than labels."""
    sizes = params.entity.shape[0], params.relation.shape[0]
    due = vocabulary.num_entities, vocabulary.num_relations
    if sizes != due:
        raise ValueError(
            f"{source}: the predictor has {sizes[0]} entities and {sizes[1] // 2} relations, the graph {due[0]} and "
            f"{due[1] // 2}: it was trained on another vocabulary; train one on this graph"
        )


def check_labels(trained, vocabulary, *, source):
    """Raises ValueError, naming the source and the first label, where a graph's labels are not the predictor's."""
    check(trained.params, vocabulary, source=source)
    for kind in ("entities", "relations"):
        pairs = enumerate(zip(getattr(trained.vocabulary, kind), getattr(vocabulary, kind)))
        for number, (own, other) in pairs:
            if own != other:
                raise ValueError(
                    f"{source}: {kind} #{number} is {own!r} to the predictor and {other!r} in the graph: "
                    "it was trained on another vocabulary; train one on this graph"
                )
