"""The exact optimum against float64 enumeration, and against beams."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import cqd
from cqd import beam, calibration, enumeration, exact, graph, predictor, query
from cqd.query import And, Entity, Not, Or, Projection

TOLERANCE = 2e-6
T_NORMS = ("product", "min", "lukasiewicz")
FEW = (0, exact.FEW)  # hops streamed by relation, and hops of one program


def make_params(num_entities=7, num_relations=6, rank=3, seed=0):
    rng = np.random.default_rng(seed)
    tables = rng.normal(size=(num_entities, 2 * rank)), rng.normal(size=(num_relations, 2 * rank))
    return predictor.complex_params(*(table.astype(np.float32) for table in tables))


def make_index(num_entities=7, num_relations=6, num_edges=12, seed=1):
    rng = np.random.default_rng(seed)
    columns = [rng.integers(size, size=num_edges) for size in (num_entities, num_relations // 2, num_entities)]
    return graph.build_index(
        np.stack(columns, axis=1) * [1, 2, 1], num_entities=num_entities, num_relations=num_relations
    )


def draw(type_name, count, limit=6, seed=7):
    length = len(query.row(query.parse(query.TEMPLATES[type_name])))
    rows = np.random.default_rng(seed).integers(limit, size=(count, length))
    return [query.from_benchmark(type_name, row) for row in rows]


@pytest.mark.parametrize("tnorm", T_NORMS)
@pytest.mark.parametrize("type_name", query.TEMPLATES)
def test_every_type_equals_enumeration(type_name, tnorm):
    params, queries = make_params(), draw(type_name, 4)
    scores = cqd.answer(params, queries, method="exact", tnorm=tnorm)
    wanted = np.stack([enumeration.truth(params, one, tnorm=tnorm) for one in queries])
    np.testing.assert_allclose(scores, wanted, atol=TOLERANCE)


def trees(depth):
    """Returns a strategy of trees with up to `depth` projections or connectives one above another."""
    leaf = st.builds(Entity, st.integers(0, 3))
    if depth == 0:
        return leaf
    below = trees(depth - 1)
    parts = st.lists(below, min_size=2, max_size=3).map(tuple)
    return st.one_of(
        st.builds(Projection, st.integers(0, 5), below),
        st.builds(And, parts),
        st.builds(Or, parts),
        st.builds(Not, below),
    )


@settings(max_examples=40, deadline=None, derandomize=True)
@given(
    tree=trees(4).filter(lambda tree: len(query.row(tree)) <= 12),
    tnorm=st.sampled_from(T_NORMS),
    aggregate=st.sampled_from(exact.AGGREGATES),
    few=st.sampled_from(FEW),
)
def test_random_trees_of_depth_4_equal_enumeration_and_the_whole_beam(tree, tnorm, aggregate, few):
    params = make_params(num_entities=4)
    wanted = enumeration.truth(params, tree, tnorm=tnorm, aggregate=aggregate)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(exact, "FEW", few)
        scores = cqd.answer(params, tree, method="exact", tnorm=tnorm, aggregate=aggregate)
    np.testing.assert_allclose(scores, wanted, atol=TOLERANCE)
    if aggregate == "max":
        with jax.disable_jit():
            whole = cqd.answer(params, tree, tnorm=tnorm, beam_size=4)
        np.testing.assert_allclose(whole, wanted, atol=TOLERANCE)


@pytest.mark.parametrize("few", FEW)
@pytest.mark.parametrize("aggregate", exact.AGGREGATES)
@pytest.mark.parametrize(("normalize", "known"), [("sigmoid", "certain"), ("softmax", None), ("calibrated", "certain")])
def test_normalizers_and_certain_edges_equal_enumeration(normalize, known, aggregate, few, monkeypatch):
    monkeypatch.setattr(exact, "FEW", few)
    params, queries = make_params(), [*draw("up", 3), *draw("inp", 3)]
    options = {"normalize": normalize, "known": known, "observed": make_index(), "aggregate": aggregate}
    wanted = np.stack([enumeration.truth(params, one, **options) for one in queries])
    np.testing.assert_allclose(cqd.answer(params, queries, method="exact", **options), wanted, atol=TOLERANCE)
    if aggregate == "max":
        whole = cqd.answer(params, queries, beam_size=7, **options)
        np.testing.assert_allclose(whole, wanted, atol=TOLERANCE)


@pytest.mark.parametrize("block_size", [1, 3, 7])
def test_blocks_of_any_size(block_size, monkeypatch):
    monkeypatch.setattr(exact, "FEW", 0)
    params, queries = make_params(), draw("2p", 5, limit=3)
    rows = np.array([query.row(one) for one in queries])
    structure = query.structure(queries[0])
    found = exact.truth(params, rows, structure=structure, tnorm="product", block_size=block_size)
    wanted = np.stack([enumeration.truth(params, one) for one in queries])
    np.testing.assert_allclose(found, wanted, atol=TOLERANCE)


@pytest.mark.parametrize(
    ("type_name", "tnorm"),
    [("2p", "product"), ("3p", "product"), ("ip", "lukasiewicz"), ("pi", "min"), ("up", "product")],
)
def test_no_beam_is_above(type_name, tnorm):
    params, queries = make_params(num_entities=30, seed=3), draw(type_name, 6)
    optimum = np.asarray(cqd.answer(params, queries, method="exact", tnorm=tnorm))
    for beam_size in (1, 5):
        truth = np.asarray(cqd.answer(params, queries, tnorm=tnorm, beam_size=beam_size))
        assert (truth <= optimum + TOLERANCE).all()
    assert (np.asarray(cqd.answer(params, queries, tnorm=tnorm, beam_size=1)) < optimum - 1e-3).any()


@pytest.mark.parametrize("aggregate", exact.AGGREGATES)
@pytest.mark.parametrize("tnorm", T_NORMS)
def test_streamed_hops_equal_hops_of_one_program(tnorm, aggregate, monkeypatch):
    """37 entities: neither blocks of 20 nor the heads taken in at a time divide them."""
    params, index = make_params(num_entities=37, seed=4), make_index(num_entities=37, num_edges=60)
    rows = np.array([(anchor, anchor % 2, 2) for anchor in range(4)])
    structure = query.structure(query.from_benchmark("2p", rows[0]))
    options = {"structure": structure, "tnorm": tnorm, "aggregate": aggregate}
    options |= {"normalize": "calibrated", "edges": calibration.edges_of(index), "certain": True}
    whole = exact.truth(params, rows, **options)
    monkeypatch.setattr(exact, "FEW", 0)
    np.testing.assert_allclose(exact.truth(params, rows, block_size=20, **options), whole, atol=TOLERANCE)


def test_whole_hops_of_any_mix_of_relations_are_one_program():
    params, rng = make_params(num_entities=11), np.random.default_rng(0)
    before = exact._whole_hop._cache_size()
    for num_relations in (1, 3, 6):
        rows = np.stack([np.arange(8), np.zeros(8, int), rng.integers(num_relations, size=8)], axis=1)
        cqd.answer(params, [query.from_benchmark("2p", row) for row in rows], method="exact")
    assert exact._whole_hop._cache_size() == before + 1


@pytest.mark.parametrize("few", FEW)
def test_what_is_not_a_number_stays_so(few, monkeypatch):
    monkeypatch.setattr(exact, "FEW", few)
    entity, relation = map(np.array, make_params(num_entities=40))
    entity[5] = np.nan
    one = query.from_benchmark("2p", (0, 1, 2))
    for tnorm in T_NORMS:
        found = cqd.answer(predictor.complex_params(entity, relation), one, method="exact", tnorm=tnorm)
        assert np.isnan(found[5])


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_larger_is_the_maximum_of_truths(dtype):
    values = jnp.array([0, 1e-7, 0.5, 1, np.inf, np.nan, -np.nan], dtype)
    a, b = (part.ravel() for part in jnp.meshgrid(values, values))
    np.testing.assert_array_equal(exact._larger(a, b).astype("float32"), jnp.maximum(a, b).astype("float32"))


def test_a_relation_is_computed_once_for_all_its_queries(monkeypatch):
    monkeypatch.setattr(exact, "FEW", 0)
    blocks = []
    gather = exact._gather
    monkeypatch.setattr(exact, "_gather", lambda *args, **options: blocks.append(args[4]) or gather(*args, **options))
    queries = [query.from_benchmark("2p", (anchor, 0, relation)) for anchor in range(4) for relation in (2, 3)]
    cqd.answer(make_params(), queries, method="exact")
    assert sorted(blocks) == [2, 3]


def test_heads_that_cannot_matter_are_left_out(monkeypatch):
    """Every atom has truth sigmoid(0): a head of truth 1 reaches .5 everywhere, one of .4 reaches no more than .4."""
    params = predictor.complex_params(np.zeros((8, 2), np.float32), np.zeros((2, 2), np.float32))
    blocks = []
    gather = exact._gather
    monkeypatch.setattr(exact, "_gather", lambda *args, **options: blocks.append(args[3]) or gather(*args, **options))
    found = make_walker(params, aggregate="max", block_size=2).hop(np.float32([[0.4] * 5 + [1] + [0.4] * 2]), 1)
    np.testing.assert_array_equal(found, np.full((1, 8), 0.5))
    assert [5 in block for block in blocks] == [True]


def make_walker(params, **options):
    atoms = {"normalize": "sigmoid", "edges": None, "certain": False}
    return exact.Exact(params, np.zeros((1, 3), int), "product", atoms, **options)


@pytest.mark.parametrize(
    ("type_name", "atoms"),
    [("3p", {}), ("ip", {}), ("up", {}), ("pi", {"normalize": "softmax"}), ("ip", {"certain": True})],
)
def test_proofs_attain_the_value_and_equal_those_of_the_whole_beam(type_name, atoms):
    params, one = make_params(seed=2), draw(type_name, 1)[0]
    rows, answers = np.array([query.row(one)] * 7), np.arange(7)
    options = {
        "structure": query.structure(one),
        "tnorm": "product",
        "edges": calibration.edges_of(make_index()),
    } | atoms
    found = exact.proofs(params, rows, answers, **options)
    whole = jax.jit(lambda: beam.proofs(params, rows, answers, beam_size=7, **options))()
    np.testing.assert_allclose(found["value"], whole["value"], rtol=1e-5)
    if type_name != "up":
        np.testing.assert_allclose(np.prod(found["truth"], axis=1), found["value"], rtol=1e-4)
    if not atoms.get("certain"):  # certain edges tie
        np.testing.assert_array_equal(found["triples"], whole["triples"])
        np.testing.assert_array_equal(found["needed"], whole["needed"])


def test_small_truths_add_up_under_sum():
    """A thousand heads of truth 1e-3 and atoms of .5: 1 - (1 - 5e-4)^1000."""
    params = predictor.complex_params(np.zeros((1000, 2), np.float32), np.zeros((2, 2), np.float32))
    found = make_walker(params, aggregate="sum", block_size=256).hop(np.full((1, 1000), 1e-3, np.float32), 0)
    np.testing.assert_allclose(found, 1 - (1 - 5e-4) ** 1000, rtol=1e-5)
