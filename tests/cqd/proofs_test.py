"""The best proofs against all proofs, enumerated in float64."""

import functools
import itertools

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import cqd
from cqd import enumeration, graph, predictor, proof_search, proofs, query, rooting
from cqd.pattern import Atom, Either, Variable, Without
from cqd.query import ANYTHING, And, Entity, Not, Or, Projection

T_NORMS = ("product", "min", "lukasiewicz")
CONJOIN = {"product": lambda a, b: a * b, "min": min, "lukasiewicz": lambda a, b: max(0.0, a + b - 1)}
TOLERANCE = 1e-5
SIZE = 5


def make_params(num_entities=SIZE, num_relations=6, rank=3, seed=0):
    rng = np.random.default_rng(seed)
    tables = rng.normal(size=(num_entities, 2 * rank)), rng.normal(size=(num_relations, 2 * rank))
    return predictor.complex_params(*(table.astype(np.float32) for table in tables))


def make_index(num_entities=SIZE, num_edges=8, seed=1):
    rng = np.random.default_rng(seed)
    columns = [rng.integers(size, size=num_edges) for size in (num_entities, 3, num_entities)]
    return graph.build_index(np.stack(columns, axis=1) * [1, 2, 1], num_entities=num_entities, num_relations=6)


BEST = {"normalize": "calibrated", "known": "certain", "observed": make_index()}


class World:
    """Every proof of a query: tuples (truth, tree, entities of the variables)."""

    def __init__(self, params, tnorm, **atoms):
        self.truth = functools.lru_cache(None)(lambda node: enumeration.truth(params, node, tnorm=tnorm, **atoms))
        self.conjoin = CONJOIN[tnorm]
        self.size = params.entity.shape[0]

    def proofs(self, node, y):
        match node:
            case Entity(name):
                return [(float(y == name), node, ())]
            case Projection(relation, Entity(name)):
                return [(self.truth(node)[y], node, ())]
            case Projection(relation, Or(parts)) if not proof_search.is_anything(node.child):
                return self.proofs(Or(tuple(Projection(relation, part) for part in parts)), y)
            case Projection(relation, child):
                return [
                    (self.conjoin(truth, self.truth(Projection(relation, Entity(x)))[y]), node_of(node, tree), (*xs, x))
                    for x in range(self.size)
                    for truth, tree, xs in self.proofs(child, x)
                ]
            case Not(child):
                return [(1 - self.truth(child)[y], node, ())]
            case Or((Entity(a), Not(Entity(b)))) if a == b:
                return [(1.0, node, ())]
            case Or(parts):
                return list(dict.fromkeys(proof for part in parts for proof in self.proofs(part, y)))
            case And(parts):
                return [
                    (
                        functools.reduce(self.conjoin, (truth for truth, _, _ in chosen)),
                        And(tuple(tree for _, tree, _ in chosen)),
                        tuple(x for _, _, xs in chosen for x in xs),
                    )
                    for chosen in itertools.product(*(self.proofs(part, y) for part in parts))
                ]

    def best(self, node, y, count):
        found = [proof for proof in self.proofs(node, y) if proof[0] > TOLERANCE]
        return sorted(found, key=lambda proof: -proof[0])[:count]


def node_of(node, tree):
    return Projection(node.relation, tree)


def check(params, one, *, tnorm="product", count=4, method="exact", atoms=None):
    """Holds the proofs of every entity against the enumeration."""
    atoms = atoms or {}
    world = World(params, tnorm, **atoms)
    everything = range(params.entity.shape[0])
    found = proofs.prove(params, one, everything, num_proofs=count, method=method, tnorm=tnorm, **atoms)
    for y, of_answer in zip(everything, found):
        wanted = world.best(one, y, count)
        kept = [proof for proof in of_answer if proof.truth > TOLERANCE]
        np.testing.assert_allclose([p.truth for p in kept], [w[0] for w in wanted], atol=TOLERANCE)
        assert len({(proof.query, proof.assignment) for proof in of_answer}) == len(of_answer)
        everything_provable = {(tree, xs): truth for truth, tree, xs in world.proofs(one, y)}
        for proof in of_answer:
            assert proof.answer == y
            key = (proof.query, tuple(entity for _, entity in proof.assignment))
            np.testing.assert_allclose(everything_provable[key], proof.truth, atol=TOLERANCE)
            rests_on = [*(atom.truth for atom in proof.atoms), *(1 - denial.truth for denial in proof.denials)]
            np.testing.assert_allclose(functools.reduce(CONJOIN[tnorm], rests_on, 1), proof.truth, atol=TOLERANCE)


def draw(type_name, seed=7):
    length = len(query.row(query.parse(query.TEMPLATES[type_name])))
    return query.from_benchmark(type_name, np.random.default_rng(seed).integers(SIZE, size=length))


@pytest.mark.parametrize("tnorm", T_NORMS)
@pytest.mark.parametrize("type_name", query.TEMPLATES)
def test_every_type_equals_enumeration(type_name, tnorm):
    check(make_params(), draw(type_name), tnorm=tnorm)


@pytest.mark.parametrize("type_name", query.TEMPLATES)
def test_every_type_with_calibration_and_certain_edges(type_name):
    check(make_params(), draw(type_name), atoms=BEST)


def trees(depth):
    leaf = st.builds(Entity, st.integers(0, 3))
    if depth == 0:
        return leaf | st.just(ANYTHING)
    below = trees(depth - 1)
    parts = st.lists(below, min_size=2, max_size=3).map(tuple)
    return st.one_of(
        st.builds(Projection, st.integers(0, 5), below),
        st.builds(And, parts),
        st.builds(Or, parts),
        st.builds(Not, below),
    )


def num_variables(node):
    below = sum(map(num_variables, query.children(node)))
    return 0 if isinstance(node, Not) else below + (isinstance(node, Projection) and not isinstance(node.child, Entity))


@settings(max_examples=40, deadline=None, derandomize=True)
@given(
    tree=trees(4).filter(lambda tree: len(query.row(tree)) <= 12 and num_variables(tree) <= 4),
    tnorm=st.sampled_from(T_NORMS),
    method=st.sampled_from(["exact", "beam"]),
)
def test_random_trees_equal_enumeration(tree, tnorm, method):
    """A beam of 64 leaves nothing out of 4 entities."""
    with jax.disable_jit():
        check(make_params(num_entities=4), tree, tnorm=tnorm, method=method, count=3)


@pytest.mark.parametrize("type_name", query.TEMPLATES)
def test_the_best_proof_is_as_true_as_the_answer_without_or(type_name):
    params, one = make_params(num_entities=30, seed=3), draw(type_name)
    for options in ({"method": "exact"}, {"beam_size": 2})[: 1 if "u" in type_name else 2]:
        scores = np.asarray(cqd.answer(params, one, **options))
        best = [found[0].truth for found in proofs.prove(params, one, range(30), **options)]
        if "u" in type_name:
            assert (best < scores + TOLERANCE).all()
        else:
            np.testing.assert_allclose(best, scores, atol=TOLERANCE)


def test_variables_under_a_beam_are_the_beams():
    params, one = make_params(num_entities=30, seed=3), query.from_benchmark("2p", (0, 1, 2))
    beam = set(np.argsort(-np.asarray(cqd.answer(params, one.child)))[:4].tolist())
    found = proofs.prove(params, one, range(30), num_proofs=9, beam_size=4)
    assert all({proof.assignment[0][1] for proof in of_answer} == beam for of_answer in found)
    free = proofs.prove(params, one, range(30), num_proofs=9, method="exact")
    assert any({proof.assignment[0][1] for proof in of_answer} - beam for of_answer in free)


def test_blocks_of_heads_leave_none_out(monkeypatch):
    monkeypatch.setattr(proof_search, "_BLOCK", 2)
    for type_name in ("3p", "ip", "up"):
        check(make_params(), draw(type_name))


def test_heads_that_cannot_matter_are_left_out(monkeypatch):
    """Every atom has truth .5: from heads of truth 1 and .4 no other can be better than .5 and .2."""
    params = predictor.complex_params(np.zeros((8, 2), np.float32), np.zeros((2, 2), np.float32))
    monkeypatch.setattr(proof_search, "_BLOCK", 2)
    search = proof_search.Search(params, 2, method="exact")
    tried, into = [], search.into
    monkeypatch.setattr(search, "into", lambda heads, *rest: tried.append(heads.tolist()) or into(heads, *rest))
    found = search.best_heads(np.array([0.1, 1, 0.1, 0.4, 0.2, 0.1, 0.1, 0.1]), 1, np.array([5]))
    np.testing.assert_allclose(found[0], [[0.5, 0.2]])
    assert found[1].tolist() == [[1, 3]]
    assert tried == [[1, 3]]


def test_denials_give_the_strongest_counter_evidence():
    params = make_params()
    one = query.parse("#0(#1) & !#2(#0(#3) | #4(#2))")
    for y, [proof] in enumerate(proofs.prove(params, one, range(SIZE), method="exact", observed=make_index())):
        [denial] = proof.denials
        assert (denial.query, denial.entity) == (one.children[1].child, y)
        np.testing.assert_allclose(denial.truth, enumeration.truth(params, denial.query)[y], atol=TOLERANCE)
        against = World(params, "product").best(denial.query, y, 1)[0]
        np.testing.assert_allclose(denial.evidence.truth, against[0], atol=TOLERANCE)
        assert [entity for _, entity in denial.evidence.assignment] == list(against[2])
        assert all(atom.negated for atom in denial.evidence.atoms)
        assert not any(atom.negated for atom in proof.atoms)


def test_a_double_negation_speaks_for_its_answer():
    [[proof]] = proofs.prove(make_params(), query.parse("!(#0(#1) & !#2(#3))"), [4])
    evidence = proof.denials[0].evidence
    assert [atom.negated for atom in evidence.atoms] == [True]
    assert [atom.negated for atom in evidence.denials[0].evidence.atoms] == [False]


def test_an_or_is_proved_by_every_branch():
    params, index = make_params(), make_index()
    [found] = proofs.prove(params, query.parse("#0(#1) | #3(#2) | #0(#1)"), [0], num_proofs=9, observed=index)
    assert {proof.atoms[0][:3] for proof in found} == {(1, 0, 0), (0, 2, 2)}
    assert found[0].truth >= found[1].truth
    for proof in found:
        observed = index.contains([proof.atoms[0][:3]])[0]
        assert proof.atoms[0].source == ("observed" if observed else "predicted")


def test_certain_edges_are_true_and_observed():
    index = make_index()
    head, relation, tail = next(triple for triple in index.triples().tolist() if triple[1] % 2)
    one = Projection(relation, Entity(head))
    [[proof]] = proofs.prove(make_params(), one, [tail], observed=index, known="certain")
    assert proof.atoms == (proof_search.Atom(tail, relation - 1, head, 1.0, "observed"),)


X, Y, Z = map(Variable, "xyz")
RING = (Atom(X, 0, Y), Atom(X, 2, Y), Atom(Y, 4, Entity(1)))
TRIANGLE = (Atom(X, 0, Y), Atom(Y, 2, Z), Atom(Z, 4, X), Without((Atom(X, 2, Entity(3)),)))
EITHER = (Atom(X, 0, Y), Atom(X, 2, Y), Either(((Atom(Y, 4, Entity(1)),), (Atom(X, 0, Entity(2)),))))


def brute_values(compiled, world, target, count):
    """Returns the truths of the best proofs and the entities of the cut variables of the best one."""
    found = [
        (proof[0], values)
        for values in itertools.product(range(world.size), repeat=len(compiled.cuts))
        for proof in world.best(compiled.at(values), target, count)
    ]
    found.sort(key=lambda item: -item[0])
    return [truth for truth, _ in found[:count]], found[0][1]


@pytest.mark.parametrize("method", ["exact", "beam"])
@pytest.mark.parametrize("pattern", [RING, TRIANGLE, EITHER])
def test_cut_variables_take_their_best_values(pattern, method):
    params = make_reversible(make_params())
    compiled, world = rooting.compile(pattern, "x"), World(params, "product")
    assert compiled.cuts
    found = proofs.prove(params, compiled, range(SIZE), num_proofs=3, method=method)
    for y, of_answer in enumerate(found):
        truths, values = brute_values(compiled, world, y, 3)
        np.testing.assert_allclose([proof.truth for proof in of_answer], truths, atol=TOLERANCE)
        names = dict(of_answer[0].assignment)
        assert names[X] == y
        assert tuple(names[Variable(name)] for name in compiled.cuts) == values


def test_pairs():
    params = make_reversible(make_params())
    compiled, world = rooting.compile(RING, ("x", "y")), World(params, "product")
    pairs = list(itertools.product(range(SIZE), repeat=2))
    for (x, y), [proof] in zip(pairs, proofs.prove(params, compiled, pairs, method="exact")):
        wanted = world.best(compiled.at([x]), y, 1)[0][0]
        np.testing.assert_allclose(proof.truth, wanted, atol=TOLERANCE)
        assert (proof.answer, dict(proof.assignment)[X], dict(proof.assignment)[Y]) == ((x, y), x, y)
    compiled = rooting.compile(TRIANGLE, ("x", "y"))
    for (x, y), [proof] in zip(pairs, proofs.prove(params, compiled, pairs, method="exact")):
        trees = [compiled.at([x])] if len(compiled.cuts) == 1 else [compiled.at([x, z]) for z in range(SIZE)]
        wanted = max(world.best(tree, y, 1)[0][0] for tree in trees)
        np.testing.assert_allclose(proof.truth, wanted, atol=TOLERANCE)


def make_reversible(params):
    """Returns parameters by which an inverse relation scores as its relation read backwards, so that bounds hold."""
    relation = np.array(params.relation)
    relation[1::2] = relation[::2] * [1, 1, 1, -1, -1, -1]
    return predictor.complex_params(params.entity, relation)


def test_continuous_answers_have_exact_proofs():
    params, one = make_params(), draw("ip")
    exact, continuous = (proofs.prove(params, one, range(3), method=name) for name in ("exact", "continuous"))
    assert exact == continuous


def test_truth_on_the_full_graph():
    full = graph.build_index(np.array([(0, 0, 1), (1, 2, 2)]), num_entities=SIZE, num_relations=6)
    chain, denied = query.parse("#2(#0(#0))"), query.parse("#2(#1) & !#2(#0(#0))")
    by_middle = {proof.assignment[0][1]: proof for proof in proofs.prove(make_params(), chain, [2], num_proofs=5)[0]}
    assert [proofs.is_true(by_middle[x], full) for x in range(SIZE)] == [x == 1 for x in range(SIZE)]
    [[proof]] = proofs.prove(make_params(), denied, [2])
    assert not proofs.is_true(proof, full)
    assert proofs.is_true(proof._replace(denials=()), full)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_proofs": 0}, "num_proofs=0: at least 1"),
        ({"official": True}, "raw scores are no truths"),
        ({"normalize": "calibrated"}, "observed= is due"),
        ({"tnorm": "godel"}, "tnorm='godel'"),
        ({"observed": make_index(num_entities=9), "known": "certain"}, "another vocabulary"),
        ({"answers": [SIZE]}, "answer 5: ids run from 0 to 4"),
        ({"answers": [(0, 1)]}, r"answer \(0, 1\): an entity is due"),
        ({"answers": ["Chad"]}, "answer 'Chad': an entity is due"),
        ({"query": query.parse("#9(#1)")}, "relation #9: ids run from 0 to 5"),
        ({"query": And((Or((Projection(0, Entity(0)), Projection(2, Entity(0)))),) * 11)}, "more than 1024"),
        ({"query": rooting.compile(RING, ("x", "y"))}, "a pair of entities is due"),
    ],
)
def test_bad_input(options, message):
    one, answers = options.pop("query", draw("2p")), options.pop("answers", [0])
    with pytest.raises(ValueError, match=message):
        proofs.prove(make_params(), one, answers, **options)


def test_no_answers_no_proofs():
    assert proofs.prove(make_params(), draw("2p"), []) == []
    assert proofs.prove(make_params(), Entity(1), [0, 1])[0] == []


@pytest.mark.parametrize("options", [{"method": "exact", **BEST}, {"beam_size": SIZE, **BEST}, {"tnorm": "min"}])
def test_best_of_many_equals_the_best_of_each(options):
    params = make_params()
    queries = [draw(name, seed) for seed in range(3) for name in ("2p", "ip", "pi", "2in", "1p")]
    answers = [number % SIZE for number in range(len(queries))]
    for one, answer, found in zip(queries, answers, proofs.best(params, queries, answers, batch_size=2, **options)):
        [[proof]] = proofs.prove(params, one, [answer], **options)
        assert (found.query, found.answer) == (one, answer)
        np.testing.assert_allclose(found.value, proof.truth, atol=TOLERANCE)
        assert len(found.truth) == len(proof.atoms)
