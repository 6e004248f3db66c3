"""Tables of entities over eight devices: the answers of one device, bit for bit, and no device with them all."""

import os
import subprocess
import sys

import jax
import numpy as np
import pytest

import cqd
from cqd import predictor, sharded
from tests.cqd.answering_test import params  # noqa: F401

WORLD = """
import functools, re
import jax, numpy as np
import cqd
from cqd import answering, graph, loading, predictor, query, sharded
from cqd.tnorm import T_NORMS

assert jax.device_count() == 8
rng = np.random.default_rng(0)


def mesh(data, model):
    devices = np.array(jax.devices()[: data * model]).reshape(data, model)
    return jax.sharding.Mesh(devices, ("data", "model"))


def model(num_entities, num_relations=18, rank=10, name="complex", scale=0.5):
    sizes = {"num_entities": num_entities, "num_relations": num_relations, "rank": rank}
    return predictor.init(jax.random.key(0), **sizes, model=name, scale=scale)


def draw(type_name, count=11, limit=18):
    length = len(query.row(query.parse(query.TEMPLATES[type_name])))
    return [query.from_benchmark(type_name, row) for row in rng.integers(limit, size=(count, length))]


def both(params, placed, queries, same=np.testing.assert_array_equal, **options):
    '''Holds the answers over devices, all and the best, against those of one device.'''
    wanted = np.asarray(cqd.answer(params, queries, batch_size=4, **options))
    found = cqd.answer(placed, queries, batch_size=4, **options)
    assert found.shape == wanted.shape
    same(found, wanted)
    top = cqd.top_answers(placed, queries, num_answers=20, batch_size=4, **options)
    order = np.argsort(-wanted, axis=1, kind="stable")[:, :20]
    np.testing.assert_array_equal(top.ids, order)
    same(top.truths, np.take_along_axis(wanted, order, axis=1))


def edges(num_entities, num_relations=18):
    columns = [rng.integers(size, size=3 * num_entities) for size in (num_entities, num_relations // 2, num_entities)]
    triples = np.stack(columns, axis=1) * [1, 2, 1]
    return graph.build_index(triples, num_entities=num_entities, num_relations=num_relations)


params = model(530)  # six parts of 82 rows, one of 38 beside added rows, and one of these alone
"""


def over_eight_devices(program):
    env = os.environ | {"XLA_FLAGS": "--xla_force_host_platform_device_count=8", "JAX_PLATFORMS": "cpu"}
    done = subprocess.run([sys.executable, "-c", WORLD + program], env=env, capture_output=True, text=True, check=False)
    assert done.stdout.split()[-1:] == ["agree"], done.stdout + done.stderr


def test_beams_of_every_type_are_those_of_one_device():
    over_eight_devices("""
placed = {shape: cqd.place(params, mesh(*shape)) for shape in ((1, 8), (2, 4))}
norms = sorted(T_NORMS)
for number, type_name in enumerate(query.TEMPLATES):
    shape = [(1, 8), (2, 4)][number % 2]
    both(params, placed[shape], draw(type_name), tnorm=norms[number % 3], beam_size=[7, 80][number % 2])
for type_name in ("2p", "pi", "2in"):  # one query's scores are another kernel's, which takes in what is before it
    both(params, placed[1, 8], draw(type_name, 1), beam_size=7)
print("agree")
""")


def test_exact_answers_of_every_type_are_those_of_one_device():
    over_eight_devices("""
from cqd import exact

placed = cqd.place(params, mesh(2, 4))
both(params, placed, [one for type_name in query.TEMPLATES for one in draw(type_name, 1)], method="exact")
for tnorm in ("min", "lukasiewicz"):
    both(params, placed, draw("2p", 2) + draw("pni", 2), method="exact", tnorm=tnorm)
both(params, placed, draw("2p", 2), method="exact", aggregate="sum")

exact.FEW = 100  # from here on hops are streamed in blocks of heads
placed = cqd.place(params, mesh(2, 3))
both(params, placed, draw("pni", 2), method="exact", tnorm="min")
both(params, placed, draw("2p", 2), method="exact", aggregate="sum")
print("agree")
""")


def test_ties_edges_and_normalizers():
    over_eight_devices("""
levels = np.random.default_rng(1).integers(3, size=530)
tied = params._replace(entity=params.entity[levels])  # three different rows, each on every device
placed = cqd.place(tied, mesh(1, 8))
both(tied, placed, draw("pin"), tnorm="min", beam_size=30)
both(tied, placed, draw("2p", 2), method="exact")

low = predictor.DistMult(abs(params.entity), -abs(params.relation))  # all truths below 1/2, that of added rows
both(low, cqd.place(low, mesh(1, 8)), draw("2p", 2), beam_size=7)

vocabulary, parts = loading.countries()
sizes = {"num_entities": vocabulary.num_entities, "num_relations": vocabulary.num_relations}
observed = graph.build_index(parts["all"], **sizes)
countries = model(**sizes)
placed = cqd.place(countries, mesh(2, 4))
close = functools.partial(np.testing.assert_allclose, rtol=3e-6, atol=1e-9)  # a softmax adds up in another order
certain = {"known": "certain", "observed": observed}
both(countries, placed, draw("2in", 5), **certain)
both(countries, placed, draw("2p", 5), close, normalize="softmax")
both(countries, placed, draw("2p", 2), close, method="exact", normalize="calibrated", **certain)
print("agree")
""")


@pytest.mark.slow
def test_other_models_and_gradient_search():
    over_eight_devices("""
close = functools.partial(np.testing.assert_allclose, rtol=1e-5, atol=1e-7)  # sums over dimensions, not products
for name, same in (("cp", np.testing.assert_array_equal), ("rotate", close)):
    other = model(530, name=name, rank=5)
    both(other, cqd.place(other, mesh(2, 4)), draw("2p"), same, beam_size=9)
found, wanted = (cqd.answer(which, query.parse("#1(#0(#5))"), method="continuous")
                 for which in (cqd.place(params, mesh(1, 8)), params))
np.testing.assert_allclose(found, wanted, atol=1e-5)
print("agree")
""")


def test_no_device_holds_the_table_or_the_truths_of_all():
    over_eight_devices("""
num_entities, rank, k = 4096 * 8, 4, 16
large = predictor.ComplEx(*(np.ones((rows, 2 * rank), np.float32) for rows in (num_entities, 18)))
placed = cqd.place(large, mesh(1, 8))
assert [shard.data.shape for shard in placed.params.entity.addressable_shards] == [(4096, 2 * rank)] * 8
structure = query.structure(draw("pi")[0])
rows = np.zeros((8, len(query.row(draw("pi")[0]))), np.int32)
options = {"structure": structure, "tnorm": "product", "beam_size": k, "normalize": "sigmoid", "certain": False}
on = {"mesh": placed.mesh, "num_entities": num_entities}
compiled = sharded._beam.lower(placed.params, rows, None, **on, **options).compile()
assert compiled.memory_analysis().temp_size_in_bytes < 8 * 8 * num_entities * 4  # a few parts [b, n], on 8 devices
gathered = re.findall(r"= (\\S+\\[([\\d,]*)\\]).{0,40} all-gather", compiled.as_text())
assert gathered
for _, shape in gathered:
    assert np.prod([int(size) for size in shape.split(",")]) <= 8 * 8 * k, gathered
truths = sharded.beam_truth(placed, rows, **{**options, "edges": None})
assert {shard.data.shape for shard in truths.addressable_shards} == {(8, 4096)}
exact_truths = sharded.exact_truth(placed, rows, structure=structure, tnorm="min", normalize="sigmoid")
assert {shard.data.shape for shard in exact_truths.addressable_shards} == {(8, 4096)}
print("agree")
""")


@pytest.mark.slow
@pytest.mark.parametrize("num_entities", [97, 530, 1500])
def test_all_types_norms_meshes_and_sizes(num_entities):
    over_eight_devices(f"""
params, observed = model({num_entities}), edges({num_entities})
for shape in ((1, 8), (2, 4), (8, 1), (1, 3)):
    placed = cqd.place(params, mesh(*shape))
    for tnorm in T_NORMS:
        for type_name in query.TEMPLATES:
            both(params, placed, draw(type_name), tnorm=tnorm, beam_size=20, known="certain", observed=observed)
            both(params, placed, draw(type_name), tnorm=tnorm, method="exact")
print("agree")
""")


def one_device(*names):
    return jax.sharding.Mesh(np.array(jax.devices()[:1]).reshape([1] * len(names)), names)


@pytest.mark.parametrize("names", [("model",), ("data",), ("model", "data")])
def test_a_mesh_of_one_device(params, names):  # noqa: F811
    placed = cqd.place(params, one_device(*names))
    query = cqd.query.parse("#1(#0(#5))")
    np.testing.assert_array_equal(cqd.answer(placed, query), cqd.answer(params, query))
    assert cqd.answer(placed, []).shape == (0, 6)


def test_tables_with_rows_of_padding(params):  # noqa: F811
    padded = params._replace(entity=np.pad(params.entity, ((0, 5), (0, 0)), constant_values=9))
    placed = cqd.place(padded, one_device("model"), num_entities=6)
    query = cqd.query.parse("#1(#0(#5)) & !#1(#2)")
    np.testing.assert_array_equal(cqd.answer(placed, query), cqd.answer(params, query))
    with pytest.raises(ValueError, match=r"entity #7: ids run from 0 to 5"):
        cqd.answer(placed, cqd.query.parse("#1(#7)"))


def test_rows_of_a_device_leave_the_remainder_of_all():
    for num_entities in (1, 63, 64, 65, 1000, 14505):
        for num_devices in (1, 2, 3, 8):
            total = sharded.num_rows(num_entities, num_devices)
            assert total % num_devices == 0
            assert num_entities <= total < num_entities + 64 * num_devices + num_devices
            assert (total // num_devices - num_entities) % 64 == 0
    assert sharded.num_rows(14505, 1) == 14505


def test_what_cannot_be_placed(params):  # noqa: F811
    with pytest.raises(ValueError, match="a tuple is no link predictor"):
        cqd.place(tuple(params), one_device("model"))
    with pytest.raises(ValueError, match="has the axes model, x; 'data' and 'model' are due"):
        cqd.place(params, one_device("model", "x"))
    with pytest.raises(ValueError, match="num_entities=7: from 1 to 6"):
        cqd.place(params, one_device("model"), num_entities=7)
    placed = cqd.place(params, one_device("model"))
    with pytest.raises(ValueError, match="on placed tables it has normalize='sigmoid'"):
        cqd.answer(placed, cqd.query.parse("#1(#0)"), method="continuous", normalize="softmax")


def test_cp_has_two_tables_of_entities():
    cp = predictor.init(jax.random.key(0), num_entities=9, num_relations=2, rank=3, model="cp", scale=1.0)
    placed = cqd.place(cp, one_device("model"))
    query = cqd.query.parse("#1(#0(#5))")
    np.testing.assert_array_equal(cqd.answer(placed, query), cqd.answer(cp, query))
