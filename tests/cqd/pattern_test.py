"""Patterns against all assignments of their variables, tried one by one."""

import itertools

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

import cqd
from cqd import cutset, enumeration, predictor, rooting, symbolic
from cqd.graph import Vocabulary, build_index
from cqd.pattern import Atom, Either, Is, Variable, Without, mentioned, variables
from cqd.query import Entity, Projection, to_text

SIZE = 4
NUM_RELATIONS = 4
X, Y, Z, W = (Variable(name) for name in "xyzw")
A, B = Entity(0), Entity(1)


def fuzzy(pattern, env, atom, conjoin):
    """Returns the truth of a pattern: the best over the variables that its own parts have or share.

    Args:
        pattern: tuple of parts.
        env: {variable: entity} of the variables around.
        atom: (head, relation, tail) -> truth.
        conjoin: t-norm of two numbers; `or` is its dual.
    """
    pattern = tuple(dict.fromkeys(pattern))
    plain = mentioned(part for part in pattern if not isinstance(part, Either))
    eithers = [part for part in pattern if isinstance(part, Either)]
    shared = {
        v for part in eithers for other in pattern if other is not part for v in mentioned([part]) & variables(other)
    }
    own = sorted((plain | shared) - set(env))
    best = 0.0
    for values in itertools.product(range(SIZE), repeat=len(own)):
        inner = env | dict(zip(own, values))
        value = 1.0
        for part in pattern:
            match part:
                case Atom(head, relation, tail):
                    ends = (inner[one] if isinstance(one, Variable) else one.name for one in (head, tail))
                    truth = atom(*ends, relation)
                case Is(variable, entity):
                    truth = float(inner[variable] == entity.name)
                case Either(patterns):
                    truth = 0.0
                    for one in patterns:
                        truth = 1 - conjoin(1 - truth, 1 - fuzzy(one, inner, atom, conjoin))
                case Without(negated):
                    truth = 1 - fuzzy(negated, inner, atom, conjoin)
            value = conjoin(value, truth)
        best = max(best, value)
    return best


def random_graph(seed):
    rng = np.random.default_rng(seed)
    count = rng.integers(6, 16)
    triples = np.stack(
        [rng.integers(SIZE, size=count), 2 * rng.integers(2, size=count), rng.integers(SIZE, size=count)]
    )
    index = build_index(triples.T.astype(np.int32), num_entities=SIZE, num_relations=NUM_RELATIONS)
    edges = {(h, t, r) for h, r, t in triples.T.tolist()} | {(t, h, r + 1) for h, r, t in triples.T.tolist()}
    return index, lambda head, tail, relation: float((head, tail, relation) in edges)


def by_symbols(index):
    def evaluate(queries):
        truths = np.zeros((len(queries), SIZE))
        for slot, found in zip(truths, symbolic.answers(index, queries)):
            slot[found] = 1
        return truths

    return evaluate


def random_params(seed):
    """Returns a ComplEx whose r^-1 is the conjugate of r, so that an edge has one truth from both ends."""
    rng = np.random.default_rng(seed)
    real, imaginary = rng.normal(size=(2, 2, 3))
    relation = np.stack([np.hstack([real, imaginary]), np.hstack([real, -imaginary])], axis=1).reshape(NUM_RELATIONS, 6)
    return predictor.complex_params(2 * rng.normal(size=(SIZE, 6)), relation)


def random_model(seed, tnorm):
    """Returns (evaluate, atom) of random_params, by the yardstick in float64."""
    params = random_params(seed)
    truths = [
        [enumeration.truth(params, Projection(relation, Entity(head))) for relation in range(NUM_RELATIONS)]
        for head in range(SIZE)
    ]
    return (
        lambda queries: np.stack([enumeration.truth(params, query, tnorm=tnorm) for query in queries]),
        lambda head, tail, relation: float(truths[head][relation][tail]),
    )


def brute(pattern, select, atom, conjoin=min):
    """Returns the truths of all values of the selected variables, [N] or [N, N]."""
    names = [Variable(name) for name in select]
    grid = np.zeros((SIZE,) * len(names))
    for values in itertools.product(range(SIZE), repeat=len(names)):
        grid[values] = fuzzy(pattern, dict(zip(names, values)), atom, conjoin)
    return grid


def check(pattern, select, evaluate, atom, conjoin=min):
    compiled = rooting.compile(pattern, select)
    wanted = brute(pattern, select, atom, conjoin)
    if len(select) == 1:
        options = {"num_entities": SIZE, "batch_size": 3}
        np.testing.assert_allclose(cutset.answer(compiled, evaluate, **options), wanted, atol=1e-6)
        best = cutset.answer(compiled, evaluate, num_answers=2, **options)
        np.testing.assert_allclose(np.sort(best)[-2:], np.sort(wanted)[-2:], atol=1e-6)
    else:
        found = cutset.pairs(compiled, evaluate, num_entities=SIZE, num_pairs=5, batch_size=3)
        truths = [truth for _, _, truth in found]
        np.testing.assert_allclose(truths, [t for t in np.sort(wanted.ravel())[::-1][:5] if t > 0], atol=1e-6)
        np.testing.assert_allclose(truths, [wanted[a, b] for a, b, _ in found], atol=1e-6)
        assert len({(a, b) for a, b, _ in found}) == len(found)
    return compiled


CONJUNCTIONS = {"product": lambda a, b: a * b, "lukasiewicz": lambda a, b: max(a + b - 1, 0)}
TERMS = st.sampled_from([X, X, Y, Y, Z, Z, W, A, B])
ATOMS = st.builds(Atom, TERMS, st.integers(0, NUM_RELATIONS - 1), TERMS).filter(lambda atom: variables(atom))
LINKS = st.builds(Is, st.sampled_from([X, Y, Z]), st.sampled_from([A, B]))


def conjunctions(largest):
    return st.lists(ATOMS, min_size=1, max_size=largest).map(tuple)


NEGATIONS = st.builds(Without, conjunctions(2))
NEGATIONS |= st.builds(lambda inner, deeper: Without((*inner, Without(deeper))), conjunctions(2), conjunctions(1))
CONDITIONS = st.sampled_from([X, Y]).map(
    lambda v: Either(((Atom(v, 0, A),), (Atom(v, 2, Variable("u")), Atom(Variable("u"), 1, B))))
)
EITHERS = st.lists(conjunctions(2), min_size=2, max_size=3).map(tuple).map(Either)
PATTERNS = st.builds(
    lambda first, atoms, links, eithers, negations: (first, *atoms, *links, *eithers, *negations),
    st.builds(Atom, st.just(X), st.integers(0, NUM_RELATIONS - 1), TERMS),
    conjunctions(3),
    st.lists(LINKS, max_size=1),
    st.lists(EITHERS, max_size=1),
    st.lists(NEGATIONS, max_size=2),
)
SELECTS = st.sampled_from([("x",), ("x",), ("x", "y")])


@settings(max_examples=120, deadline=None, derandomize=True)
@given(pattern=PATTERNS, select=SELECTS, seed=st.integers(0, 9))
def test_any_pattern_on_a_graph(pattern, select, seed):
    index, atom = random_graph(seed)
    try:
        rooting.compile(pattern, select)
    except ValueError:
        assume(False)
    check(pattern, select, by_symbols(index), atom)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(pattern=PATTERNS, select=SELECTS, seed=st.integers(0, 9))
def test_any_pattern_by_truths_under_min(pattern, select, seed):
    """min and max distribute, so that even an Either that links variables has the truth of its definition."""
    try:
        rooting.compile(pattern, select)
    except ValueError:
        assume(False)
    check(pattern, select, *random_model(seed, "min"))


@pytest.mark.parametrize(("tnorm", "conjoin"), CONJUNCTIONS.items())
@settings(max_examples=40, deadline=None, derandomize=True)
@given(
    atoms=conjunctions(4),
    unions=st.lists(CONDITIONS, max_size=1),
    negations=st.lists(NEGATIONS, max_size=1),
    select=SELECTS,
    seed=st.integers(0, 9),
)
def test_patterns_by_truths(tnorm, conjoin, atoms, unions, negations, select, seed):
    """Either of one variable alone is an `or` there under any t-norm."""
    pattern = (*atoms, *unions, *negations)
    try:
        rooting.compile(pattern, select)
    except ValueError:
        assume(False)
    check(pattern, select, *random_model(seed, tnorm), conjoin)


SHAPES = {
    "2p": ((Atom(A, 0, Y), Atom(Y, 2, X)), "#2(#0(#0))"),
    "backwards": ((Atom(X, 2, Y), Atom(Y, 0, A)), "#3(#1(#0))"),
    "3i": ((Atom(A, 0, X), Atom(B, 2, X), Atom(X, 2, B)), "#0(#0) & #2(#1) & #3(#1)"),
    "pi": ((Atom(A, 0, Y), Atom(Y, 2, X), Atom(B, 0, X)), "#2(#0(#0)) & #0(#1)"),
    "up": ((Either(((Atom(A, 0, Y),), (Atom(B, 0, Y),))), Atom(Y, 2, X)), "#2(#0(#0) | #0(#1))"),
    "inp": ((Atom(A, 0, Y), Without((Atom(B, 2, Y),)), Atom(Y, 2, X)), "#2(#0(#0) & !#2(#1))"),
    "pni": ((Without((Atom(A, 0, Y), Atom(Y, 2, X))), Atom(B, 0, X)), "!#2(#0(#0)) & #0(#1)"),
    "some": ((Atom(X, 0, Y),), "#1(#0 | !#0)"),
    "all": (
        (Atom(X, 0, A), Without((Atom(X, 2, Y), Without((Atom(Y, 0, B),))))),
        "#1(#0) & !#3(!#1(#1))",
    ),
    "is": ((Atom(X, 0, Y), Is(Y, A), Atom(X, 2, Y)), "#1(#0) & #3(#0)"),
    "own names": (
        (Atom(A, 0, X), Without((Atom(X, 0, Z),)), Without((Atom(X, 2, Z),))),
        "#0(#0) & !#1(#0 | !#0) & !#3(#0 | !#0)",
    ),
    "said twice": ((Atom(A, 0, X), Without((Atom(X, 0, Z),)), Without((Atom(X, 0, Z),))), "#0(#0) & !#1(#0 | !#0)"),
    "alternatives": ((Either(((Atom(X, 0, Y),), (Atom(X, 2, Y),))), Atom(Y, 0, A)), "#1(#1(#0)) | #3(#1(#0))"),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_patterns_without_cycles_are_trees(shape):
    pattern, text = SHAPES[shape]
    compiled = rooting.compile(pattern, "x")
    assert compiled.cuts == ()
    assert to_text(compiled.at()) == text


CYCLES = {
    "two edges": ((Atom(X, 0, Y), Atom(X, 2, Y)), ("y",)),
    "loop": ((Atom(X, 0, X), Atom(A, 0, X)), ("x",)),
    "triangle": ((Atom(X, 0, Y), Atom(Y, 0, Z), Atom(Z, 2, X)), ("y",)),
    "anchored triangle": ((Atom(X, 0, Y), Atom(Y, 0, Z), Atom(Z, 2, X), Atom(Z, 0, A)), ("z",)),
    "square": ((Atom(X, 0, Y), Atom(Y, 0, Z), Atom(Z, 2, W), Atom(W, 2, X)), ("w",)),
    "triangle aside": ((Atom(A, 0, X), Atom(X, 0, Y), Atom(Y, 0, Z), Atom(Z, 2, W), Atom(W, 0, Y)), ("y",)),
    "all four": (tuple(Atom(a, 0, b) for a, b in itertools.combinations([X, Y, Z, W], 2)), ("w", "y")),
    "negated chord": ((Atom(X, 0, Y), Atom(Y, 0, Z), Without((Atom(X, 0, Z),))), ("z",)),
    "loop in a negation": ((Atom(A, 0, X), Without((Atom(X, 0, X),))), ("x",)),
}


@pytest.mark.parametrize("shape", CYCLES)
def test_cycles_are_cut(shape):
    pattern, cuts = CYCLES[shape]
    found = 0
    for seed in range(6):
        index, atom = random_graph(seed)
        compiled = check(pattern, ("x",), by_symbols(index), atom)
        check(pattern, ("x",), *random_model(seed, "product"), CONJUNCTIONS["product"])
        assert len(compiled.cuts) == len(cuts)
        assert compiled.cuts == cuts
        found += brute(pattern, ("x",), atom).sum()
    assert found > 0


def test_pairs_of_a_tree_take_about_as_many_queries_as_pairs():
    """Its bounds are the best truth of a first entity, and attained: those below the m-th pair are never tried."""
    evaluate, _ = random_model(3, "product")
    compiled = rooting.compile((Atom(A, 0, X), Atom(X, 2, Y)), ("x", "y"))
    asked = []

    def counted(queries):
        asked.extend(queries)
        return evaluate(queries)

    best = cutset.pairs(compiled, counted, num_entities=SIZE, num_pairs=1, batch_size=1)
    assert len(asked) == 2  # the bound, and the best first entity
    unpruned = cutset.pairs(compiled, evaluate, num_entities=SIZE, num_pairs=1, prune=False)
    assert best == unpruned


@pytest.mark.parametrize("select", [("x", "y"), ("y", "x"), ("z", "x")])
@pytest.mark.parametrize("shape", ["triangle", "negated chord", "square", "all four"])
def test_pairs_around_a_cycle(shape, select):
    pattern = CYCLES[shape][0]
    for seed in range(4 if shape == "all four" else 8):
        index, atom = random_graph(seed)
        check(pattern, select, by_symbols(index), atom)
        check(pattern, select, *random_model(seed, "product"), CONJUNCTIONS["product"])


@pytest.mark.parametrize("shape", ["two edges", "anchored triangle", "negated chord", "all four"])
def test_beam_search_answers_cut_patterns(shape):
    pattern = (*CYCLES[shape][0], Atom(X, 2, Variable("free")))
    _, atom = random_model(1, "product")
    check(
        pattern, ("x",), lambda queries: cqd.answer(random_params(1), queries, beam_size=SIZE), atom, lambda a, b: a * b
    )


def test_no_bound_where_alternatives_are_distributed():
    """Their or may exceed the truth of what they share, which is all that a bound would keep of them."""
    links = Either(((Atom(X, 0, Y),), (Atom(X, 2, Y),)))
    ring = (Atom(Y, 0, Z), Atom(Y, 2, Z))
    assert rooting.compile((*ring, Atom(X, 0, Y)), "x").bounds != (None,)
    assert rooting.compile((*ring, links), "x").bounds == (None,)


def test_candidates_limit_a_cut_variable():
    index, atom = random_graph(1)
    pattern = (Atom(X, 0, Y), Atom(X, 2, Y))
    compiled = rooting.compile(pattern, "x")
    for allowed in range(SIZE):
        options = {"num_entities": SIZE, "candidates": {"y": [allowed]}}
        found = cutset.answer(compiled, by_symbols(index), **options)
        np.testing.assert_array_equal(found, brute((*pattern, Is(Y, Entity(allowed))), ("x",), atom))


BAD = {
    "no positive condition binds": ((Without((Atom(X, 0, A),)),), "x", r"negation of \?x shares no variable"),
    "only in a negation": ((Atom(Y, 0, A), Without((Atom(X, 0, Y),))), "x", r"\?x .* occurs only in a negation"),
    "nowhere": ((Atom(Y, 0, A),), "x", r"\?x is selected but does not occur"),
    "some branches": ((Either(((Atom(X, 0, A),), (Atom(Y, 0, A),))),), "x", r"\?x .* only some branches of a union"),
    "negated in some": (
        (Atom(X, 0, A), Either(((Atom(X, 0, Z),), (Atom(X, 2, A),))), Without((Atom(Z, 0, B),))),
        "x",
        r"\?z is negated but bound in only some branches",
    ),
    "unbound negation": ((Atom(X, 0, A), Without((Atom(Z, 0, B),))), "x", r"negation of \?z shares no variable"),
    "apart": ((Atom(X, 0, A), Atom(Z, 0, B)), "x", r"no positive condition links \?z to \?x"),
    "linked by a negation": ((Atom(X, 0, A), Atom(Z, 0, B), Without((Atom(X, 0, Z),))), "x", r"links \?z"),
    "no variable": ((Atom(X, 0, A), Atom(A, 0, B)), "x", "a condition without variables"),
    "cycle in a negation": (
        (Atom(X, 0, A), Without((Atom(X, 0, Y), Atom(Y, 0, Z), Atom(Z, 0, Y)))),
        "x",
        r"a cycle through \?y and \?z",
    ),
    "three cuts": (
        tuple(Atom(a, 0, b) for a, b in itertools.combinations([X, Y, Z, W, Variable("v")], 2)),
        "x",
        "a cycle through .* stays whatever 2 variables are fixed",
    ),
    "three selected": ((Atom(X, 0, Y), Atom(Y, 0, Z)), ("x", "y", "z"), "3 selected variables"),
    "too many": (tuple(Atom(X, 0, Entity(i)) for i in range(65)), "x", "65 parts: at most 64"),
    "another thing": ((Atom(X, 0, A), "y"), "x", "'y' is no part of a pattern"),
}


@pytest.mark.parametrize("case", BAD)
def test_unsafe_patterns_are_refused_by_name(case):
    pattern, select, message = BAD[case]
    with pytest.raises(ValueError, match=message):
        rooting.compile(pattern, select)


def test_unions_that_multiply_are_refused():
    links = [(Variable(a), Variable(b)) for a, b in itertools.pairwise("xabcdefghijklm")]
    with pytest.raises(ValueError, match="alternatives"):
        rooting.compile([Either(((Atom(a, 0, b),), (Atom(a, 2, b),))) for a, b in links], "x")


def test_labels_are_looked_up():
    vocabulary = Vocabulary(("Chad", "Chile"), ("borders",))
    pattern = (Atom(X, "borders", Y), Atom(Y, "borders^-1", Entity("Chile")))
    assert to_text(rooting.compile(pattern, "x", vocabulary=vocabulary).at()) == "#1(#0(#1))"
    assert to_text(rooting.compile(pattern, "x").at()) == "borders^-1(borders(Chile))"
    with pytest.raises(ValueError, match=r"unknown entity 'Chle' \(nearest: 'Chile'"):
        rooting.compile((Atom(X, "borders", Entity("Chle")),), "x", vocabulary=vocabulary)


def test_wrong_calls_of_the_search():
    one, two = (rooting.compile((Atom(X, 0, Y), Atom(Y, 0, A)), select) for select in ("x", ("x", "y")))
    with pytest.raises(ValueError, match=r"pairs\(\)"):
        cutset.answer(two, None, num_entities=SIZE)
    with pytest.raises(ValueError, match=r"answer\(\)"):
        cutset.pairs(one, None, num_entities=SIZE, num_pairs=1)
    with pytest.raises(ValueError, match=r"candidates for \?z: the variables to enumerate are x"):
        cutset.pairs(two, None, num_entities=SIZE, num_pairs=1, candidates={"z": [0]})
    with pytest.raises(ValueError, match="num_pairs=0"):
        cutset.pairs(two, None, num_entities=SIZE, num_pairs=0)
    with pytest.raises(ValueError, match="num_answers=0"):
        cutset.answer(rooting.compile((Atom(X, 0, X),), "x"), None, num_entities=SIZE, num_answers=0)
