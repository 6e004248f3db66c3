import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from darts_perturb import cell_training, genotype, network, retraining, space
from darts_perturb.networks import one_program

SPACE = space.NAS_BENCH_201
SIZES = {"channels": 2, "layers": 2, "num_classes": 4}
# every operation on an edge that leads to the output, and a dead edge
CELLS = ((3, 1, 2, 4, 3, 0), (0, 3, 2, 0, 4, 1))


def own_params(params, cell):
    """The parameters of `network` cut out of those of every cell."""
    own = {name: value for name, value in params.items() if not name.startswith("stage_")}
    for stage in range(3):
        kernels = {
            f"edge_{edge}": {"conv": {"kernel": params[f"stage_{stage}"][op][:, edge]}}
            for edge, op in enumerate(cell.ops)
            if op in one_program.CONVOLUTIONS
        }
        if kernels:
            own[f"stage_{stage}"] = kernels
    return own


def batch(seed=0):
    rng = np.random.default_rng(seed)
    return jnp.asarray(rng.normal(size=(6, 4, 4, 1))), jnp.asarray(rng.integers(4, size=6))


@pytest.fixture(scope="module")
def step():
    """One step of training, compiled once for all cells."""
    return jax.jit(cell_training.step)


@pytest.mark.slow
@pytest.mark.parametrize("choice", CELLS)
def test_a_step_of_any_cell_is_that_of_its_own_network(choice, step):
    with jax.enable_x64(True):
        params = jax.tree.map(lambda leaf: leaf.astype(jnp.float64), one_program.init(jax.random.key(1), **SIZES))
        momentum = jax.tree.map(jnp.zeros_like, params)
        x, y = batch()
        cell, recipe = genotype.from_choice(SPACE, choice), retraining.Recipe(clip=0.5)
        expected = own_params(params, cell)

        def own_logits(params):
            return network.apply(params, x, genotype=cell, layers=2, affine=False)

        def own_loss(params):
            return -jnp.take_along_axis(jax.nn.log_softmax(own_logits(params)), y[:, None], 1).mean()

        # the classifier of that network is float32
        close = functools.partial(np.testing.assert_allclose, rtol=1e-5, atol=2e-6)
        moved, _, loss = step(params, momentum, jnp.asarray(choice), x, y, 0.3, recipe)
        own, gradient = jax.value_and_grad(own_loss)(expected)
        zeros = jax.tree.map(jnp.zeros_like, expected)
        wanted, _ = retraining.sgd(expected, zeros, gradient, 0.3, recipe)
        close(loss, own)
        jax.tree.map(close, own_params(moved, cell), wanted)
        # weights of what was not chosen only decay
        other = next(op for op in one_program.CONVOLUTIONS if op != cell.ops[0])
        kernel = params["stage_0"][other][:, 0]
        np.testing.assert_allclose(moved["stage_0"][other][:, 0], kernel * (1 - 0.3 * recipe.weight_decay), rtol=1e-9)


def test_a_pooled_reduction_has_one_convolution_and_the_same_cells():
    residual, pooled = (one_program.shapes(**SIZES, reduction=name) for name in one_program.REDUCTIONS)
    assert set(pooled["residual_0"]) == {"shortcut"}
    assert {name: residual[name] for name in residual if "residual" not in name} == {
        name: pooled[name] for name in pooled if "residual" not in name
    }


@pytest.mark.parametrize(
    ("changes", "words"),
    [({"layers": 0}, "layers=0"), ({"reduction": "none"}, "reduction='none': known are residual, pooled")],
)
def test_sizes_that_make_no_network(changes, words):
    with pytest.raises(ValueError, match=words):
        one_program.shapes(**SIZES | changes)
