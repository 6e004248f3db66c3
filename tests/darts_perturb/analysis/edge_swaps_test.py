import jax
import jax.numpy as jnp
import numpy as np
import pytest

from darts_perturb import search, supernet
from darts_perturb import space as spaces
from darts_perturb.analysis import edge_swaps, unrolled
from tests.darts_perturb import tiny

NB201 = spaces.NAS_BENCH_201
IMAGES = jax.random.normal(jax.random.key(1), (3, 8, 8, 3))


def state_of(space, layers):
    """Returns a state before a search, with an alpha that differs by edge; drawn in numpy, which compiles nothing."""
    rng = np.random.default_rng(0)
    shapes = jax.eval_shape(
        lambda: search.init(jax.random.key(0), space, channels=2, layers=layers, num_classes=5)
    )._asdict()
    drawn = {
        name: jax.tree.map(lambda leaf: rng.standard_normal(leaf.shape), shapes[name]) for name in ("params", "alpha")
    }
    choice = jax.tree.map(lambda leaf: np.full(leaf.shape, -1, np.int32), shapes["choice"])
    return search.State(drawn["params"], None, drawn["alpha"], None, choice)


def orders(space, pair=None, kind=None):
    count = len(space.edges)
    found = {each: np.arange(count) for each in space.kinds}
    if pair:
        found[kind] = unrolled.exchanged(count, pair)
    return found


@pytest.mark.parametrize(("space", "layers"), [(NB201, 2), (spaces.get("s2"), 6), (spaces.get("s1"), 3)])
def test_no_exchange_changes_nothing_and_two_cancel(space, layers):
    state = state_of(space, layers)
    jax.tree.map(np.testing.assert_array_equal, edge_swaps.exchanged(state, space, orders(space)), state)
    for kind in space.kinds:
        for pair in edge_swaps.pairs(space, kind)[::7]:
            order = orders(space, pair, kind)
            once = edge_swaps.exchanged(state, space, order)
            changed = jax.tree.map(lambda a, b: bool((a != b).any()), once[:3:2], state[:3:2])
            assert any(jax.tree.leaves(changed))
            jax.tree.map(np.testing.assert_array_equal, edge_swaps.exchanged(once, space, order), state)


def test_every_operation_moves_with_its_edge():
    state = state_of(NB201, 2)
    # 0 -> 1 with 2 -> 3: the first of three edges from node 0, the only one from node 2
    found = edge_swaps.exchanged(state, NB201, orders(NB201, (0, 5), "cell"))
    for op in ("nor_conv_1x1", "nor_conv_3x3"):
        before = [state.params["stage_1"][f"from_{n}_{op}"]["conv"]["kernel"] for n in (0, 2)]
        after = [found.params["stage_1"][f"from_{n}_{op}"]["conv"]["kernel"] for n in (0, 2)]
        np.testing.assert_array_equal(after[0][..., :4], before[1])
        np.testing.assert_array_equal(after[1], before[0][..., :4])
        np.testing.assert_array_equal(after[0][..., 4:], before[0][..., 4:])
    np.testing.assert_array_equal(found.alpha, state.alpha[[5, 1, 2, 3, 4, 0]])
    assert found.params["residual_0"] is not None


def test_edges_that_are_alike_may_change_places():
    space = tiny.STAGES_SPACE
    state = state_of(space, 1)
    kernel = state.params["stage_0"]["from_0_nor_conv_1x1"]["conv"]["kernel"]
    assert kernel.shape == (1, 1, 1, 2, 4)
    same, order = state.params, orders(space, (0, 2), "cell")
    for stage in range(3):
        own = same[f"stage_{stage}"]
        first = own["from_0_nor_conv_1x1"]["conv"]["kernel"]
        own["from_1_nor_conv_1x1"]["conv"]["kernel"] = first[..., : first.shape[-1] // 2].copy()
    state.alpha[2] = state.alpha[0]
    apply = jax.jit(
        lambda state: supernet.apply(state.params, jnp.asarray(jax.nn.softmax(state.alpha)), IMAGES, space=space)
    )
    logits = apply(jax.tree.map(jnp.float32, state))
    np.testing.assert_array_equal(apply(jax.tree.map(jnp.float32, edge_swaps.exchanged(state, space, order))), logits)
    other = edge_swaps.exchanged(state, space, orders(space, (0, 1), "cell"))
    assert np.abs(apply(jax.tree.map(jnp.float32, other)) - logits).max() > 1e-3


def test_only_edges_of_one_stride_and_the_same_operations_change_places():
    assert len(edge_swaps.pairs(NB201, "cell")) == 15
    darts = spaces.get("darts")
    assert len(edge_swaps.pairs(darts, "normal")) == 14 * 13 // 2
    # in a reduction 8 edges from the inputs, 6 from nodes
    assert len(edge_swaps.pairs(darts, "reduce")) == 8 * 7 // 2 + 6 * 5 // 2
    for i, j in edge_swaps.pairs(spaces.get("s1"), "normal"):
        assert spaces.get("s1").edge_ops("normal")[i] == spaces.get("s1").edge_ops("normal")[j]
