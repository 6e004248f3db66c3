"""The network of a DARTS genotype against the same network written plainly with XLA's own convolutions and pools."""

import functools
import json
import os
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from darts_perturb import genotype, network
from darts_perturb.layers import windows
from darts_perturb.networks import counts, darts

# every operation, on edges of stride 1 and 2; the smallest depth with equal cells in a row is 10
EVERY = genotype.parse(
    "Genotype(normal=[('sep_conv_3x3', 0), ('skip_connect', 1), ('dil_conv_5x5', 0), ('avg_pool_3x3', 2), "
    "('max_pool_3x3', 1), ('skip_connect', 3), ('skip_connect', 0), ('max_pool_3x3', 4)], normal_concat=range(2, 6), "
    "reduce=[('skip_connect', 0), ('sep_conv_5x5', 1), ('max_pool_3x3', 0), ('avg_pool_3x3', 1), ('dil_conv_3x3', 0), "
    "('skip_connect', 2), ('avg_pool_3x3', 2), ('skip_connect', 4)], reduce_concat=range(2, 6))"
)
POOLS = genotype.parse(
    "Genotype(normal=[('skip_connect', 0), ('skip_connect', 1), ('skip_connect', 0), ('avg_pool_3x3', 2), "
    "('skip_connect', 0), ('skip_connect', 1), ('skip_connect', 0), ('skip_connect', 1)], normal_concat=[2, 3], "
    "reduce=[('max_pool_3x3', 0), ('max_pool_3x3', 1), ('max_pool_3x3', 0), ('max_pool_3x3', 1), ('skip_connect', 2), "
    "('skip_connect', 3), ('skip_connect', 2), ('skip_connect', 3)], reduce_concat=[2, 3])"
)
SIZES = {"channels": 2, "layers": 10, "num_classes": 5}
VECTORS = os.environ.get("VECTORS", "")


def plain(params, stats, x, cell_genotype, layers, train):
    """Returns (logits, auxiliary logits) of images [B, H, W, 3], one cell after the other, in the layout NHWC."""

    def at(tree, path, index):
        leaf = functools.reduce(lambda node, name: node[name], path.split("/"), tree)
        return leaf if index is None else jax.tree.map(lambda part: part[index], leaf)

    def norm(x, path, index):
        p, s = at(params, path, index), at(stats, path, index)
        mean, variance = (x.mean((0, 1, 2)), x.var((0, 1, 2))) if train else (s["mean"], s["variance"])
        mean, variance, scale, bias = (v[None, None, None] for v in (mean, variance, p["scale"], p["bias"]))
        return (x - mean) / jnp.sqrt(variance + 1e-5) * scale + bias

    def conv(x, kernel, stride=1, dilation=1, groups=1):
        border = dilation * (kernel.shape[0] // 2)
        return lax.conv_general_dilated(
            x,
            kernel,
            (stride, stride),
            ((border, border),) * 2,
            rhs_dilation=(dilation, dilation),
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
            feature_group_count=groups,
        )

    def pool(x, start, combine, stride):
        return lax.reduce_window(
            x, start, combine, (1, 3, 3, 1), (1, stride, stride, 1), ((0, 0), (1, 1), (1, 1), (0, 0))
        )

    def halved(x, path, index):
        even, odd = (at(params, f"{path}/{name}/kernel", index) for name in ("even", "odd"))
        x = jax.nn.relu(x)
        return norm(jnp.concatenate([conv(x, even, 2), conv(x[:, 1:, 1:], odd, 2)], axis=3), f"{path}/norm", index)

    def pointwise(x, path, index):
        return norm(conv(jax.nn.relu(x), at(params, f"{path}/conv/kernel", index)), f"{path}/norm", index)

    def operation(x, op, stride, path, index):
        if op == "skip_connect":
            return x if stride == 1 else halved(x, f"{path}/reduce", index)
        if op == "avg_pool_3x3":
            return pool(x, 0.0, lax.add, stride) / pool(jnp.ones((1, *x.shape[1:3], 1)), 0.0, lax.add, stride)
        if op == "max_pool_3x3":
            return pool(x, -jnp.inf, lax.max, stride)
        dilation = 2 if op.startswith("dil") else 1
        for part in range(3 - dilation):
            kernel = at(params, f"{path}/depthwise_{part}/kernel", index)[0][:, :, None]
            x = conv(jax.nn.relu(x), kernel, stride if part == 0 else 1, dilation, x.shape[3])
            x = norm(conv(x, at(params, f"{path}/pointwise_{part}/kernel", index)), f"{path}/norm_{part}", index)
        return x

    names = {}
    for first, count, *_ in darts.runs(layers, 1):
        for layer in range(first, first + count):
            names[layer] = (f"cell_{first}", None) if count == 1 else (f"cells_{first}", layer - first)
    x = norm(conv(x, params["stem"]["kernel"]), "stem_norm", None)
    before, last, auxiliary, was_reduction = x, x, None, False
    for layer in range(layers):
        name, index = names[layer]
        kind = "reduce" if layer in (layers // 3, 2 * layers // 3) else "normal"
        nodes = [(halved if was_reduction else pointwise)(before, f"{name}/input_0", index)]
        nodes.append(pointwise(last, f"{name}/input_1", index))
        for node in range(2, 6):
            parts = []
            for place in (2 * node - 4, 2 * node - 3):
                op, source = getattr(cell_genotype, kind)[place]
                stride = 2 if kind == "reduce" and source < 2 else 1
                parts.append(operation(nodes[source], op, stride, f"{name}/edge_{place}", index))
            nodes.append(sum(parts))
        before, last = last, jnp.concatenate([nodes[node] for node in cell_genotype.concat(kind)], axis=3)
        was_reduction = kind == "reduce"
        if layer == 2 * layers // 3 and "auxiliary" in params and train:
            rows = jax.nn.relu(last)
            rows = lax.reduce_window(rows, 0.0, lax.add, (1, 5, 5, 1), (1, 3, 3, 1), "VALID") / 25
            rows = jax.nn.relu(norm(conv(rows, params["auxiliary"]["conv_0"]["kernel"]), "auxiliary/norm_0", None))
            flat = rows.reshape(len(rows), -1) @ params["auxiliary"]["conv_1_kernel"].reshape(-1, 768)
            flat = jax.nn.relu(norm(flat[:, None, None], "auxiliary/norm_1", None))[:, 0, 0]
            head = params["auxiliary"]["classifier"]
            auxiliary = flat @ head["kernel"] + head["bias"][None]
    head = params["classifier"]
    return last.mean((1, 2)) @ head["kernel"] + head["bias"][None], auxiliary


def perturbed(tree, by):
    """Returns arrays moved by little waves, so that scales are not 1 and statistics not 0 and 1."""

    def moved(leaf):
        wave = 1 + np.cos(1.7 * np.arange(leaf.size, dtype=np.float32))
        return np.asarray(leaf) + np.float32(by) * wave.reshape(leaf.shape)

    return jax.tree.map(moved, tree)


def init(cell, **sizes):
    """Returns (params, stats); compiled, because op by op takes far longer."""
    return jax.jit(functools.partial(darts.init, genotype=cell, **sizes))(jax.random.key(0))


@pytest.fixture(scope="module")
def drawn():
    """(params, stats) of a network with every operation and an auxiliary classifier, as they are drawn."""
    return init(EVERY, **SIZES, auxiliary=True)


@pytest.fixture(scope="module")
def every(drawn):
    """(params, stats, images) of that network, no scale 1 and no statistic 0 or 1."""
    params, stats = drawn
    return perturbed(params, 0.1), perturbed(stats, 0.2), jax.random.normal(jax.random.key(1), (3, 32, 32, 3))


@pytest.fixture(scope="module")
def pools():
    """(params, stats, images) of a small network that compiles in a moment."""
    return *init(POOLS, channels=2, layers=3, num_classes=5), jax.random.normal(jax.random.key(1), (8, 8, 8, 3))


@pytest.fixture(scope="module")
def trained(every):
    """The Output of a pass in training."""
    fn = functools.partial(darts.apply, genotype=EVERY, layers=10, train=True)
    return jax.jit(fn)(*every)


def test_training_is_the_plain_network_with_batch_statistics(every, trained):
    logits, auxiliary = jax.jit(functools.partial(plain, cell_genotype=EVERY, layers=10, train=True))(*every)
    np.testing.assert_allclose(trained.logits, logits, atol=2e-4)
    np.testing.assert_allclose(trained.auxiliary, auxiliary, atol=2e-4)


def test_evaluation_is_the_plain_network_with_stored_statistics(every):
    params, stats, x = every
    fn = jax.jit(functools.partial(darts.apply, genotype=EVERY, layers=10))
    found = fn(params, stats, x)
    logits, _ = jax.jit(functools.partial(plain, cell_genotype=EVERY, layers=10, train=False))(params, stats, x)
    np.testing.assert_allclose(found.logits, logits, rtol=1e-4)
    assert found.auxiliary is None
    assert jax.tree.all(jax.tree.map(np.array_equal, found.stats, stats))
    # an image's logits do not depend on what is beside it
    beside = fn(params, stats, jnp.concatenate([x[:1], 3.0 * x[1:]])).logits
    np.testing.assert_allclose(beside[0], found.logits[0], rtol=1e-5)
    assert (abs(beside[1:] - found.logits[1:]) > 1e-3 * abs(found.logits[1:])).all()


def test_running_statistics_move_a_tenth_of_the_way_to_the_batch_s(every, trained):
    params, stats, x = every
    stem = lax.conv_general_dilated(
        x, params["stem"]["kernel"], (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
    )
    stem = np.asarray(stem, np.float64).reshape(-1, stem.shape[-1])
    old, new = stats["stem_norm"], trained.stats["stem_norm"]
    np.testing.assert_allclose(new["mean"], 0.9 * old["mean"] + 0.1 * stem.mean(axis=0), atol=1e-5)
    np.testing.assert_allclose(new["variance"], 0.9 * old["variance"] + 0.1 * stem.var(axis=0, ddof=1), atol=1e-5)
    moved = jax.tree.map(lambda a, b: bool((a != b).any()), stats, trained.stats)
    assert jax.tree.all(moved)
    assert jax.tree.map(jnp.shape, trained.stats) == jax.tree.map(jnp.shape, stats)


@pytest.mark.parametrize(
    ("name", "text", "c36", "c16"),
    [
        (
            "blank_pt_s5_0",
            "Genotype(normal=[('sep_conv_3x3', 0), ('sep_conv_5x5', 1), ('sep_conv_3x3', 0), ('sep_conv_3x3', 1), "
            "('avg_pool_3x3', 1), ('skip_connect', 3), ('max_pool_3x3', 0), ('avg_pool_3x3', 2)], normal_concat=range(2"
            ", 6), reduce=[('skip_connect', 0), ('sep_conv_5x5', 1), ('dil_conv_3x3', 1), ('sep_conv_5x5', 2), "
            "('max_pool_3x3', 0), ('skip_connect', 3), ('max_pool_3x3', 0), ('max_pool_3x3', 2)], reduce_concat=range(2"
            ", 6))",
            3039598,
            279092,
        ),
        (
            "darts_v2, 3.349342 M in the public log",
            "Genotype(normal=[('sep_conv_3x3', 0), ('sep_conv_3x3', 1), ('sep_conv_3x3', 0), ('sep_conv_3x3', 1), "
            "('sep_conv_3x3', 1), ('skip_connect', 0), ('skip_connect', 0), ('dil_conv_3x3', 2)], normal_concat=[2, 3, "
            "4, 5], reduce=[('max_pool_3x3', 0), ('max_pool_3x3', 1), ('skip_connect', 2), ('max_pool_3x3', 1), "
            "('max_pool_3x3', 0), ('skip_connect', 2), ('skip_connect', 2), ('max_pool_3x3', 1)], reduce_concat=[2, 3, "
            "4, 5])",
            3349342,
            None,
        ),
    ],
)
def test_parameter_counts_are_the_reference_s(name, text, c36, c16):
    found = genotype.parse(text)
    assert genotype.format(found) == text
    assert network.num_params(found, channels=36, layers=20, num_classes=10) == c36, name
    if c16:
        assert network.num_params(found, channels=16, layers=8, num_classes=100) == c16, name


@pytest.mark.skipif(not VECTORS, reason="VECTORS names no folder")
def test_every_published_parameter_count_is_the_reference_s():
    rows = json.loads((pathlib.Path(VECTORS) / "darts_param_counts.json").read_text())
    assert len(rows) == 14
    for row in rows:
        found = genotype.parse(row["genotype"])
        assert network.num_params(found, channels=36, layers=20, num_classes=10) == row["C36_L20_10"], row["name"]
        assert network.num_params(found, channels=16, layers=8, num_classes=100) == row["C16_L8_100"], row["name"]


@pytest.mark.parametrize("auxiliary", [False, True])
@pytest.mark.parametrize("cell", [EVERY, POOLS], ids=["every", "pools"])
def test_init_draws_what_is_counted(cell, auxiliary):
    shapes = darts.shapes(cell, **SIZES, auxiliary=auxiliary)["params"]
    assert sum(leaf.size for leaf in jax.tree.leaves(shapes)) == network.num_params(cell, **SIZES, auxiliary=auxiliary)


def test_init_draws_within_the_fan_in(drawn):
    params, stats = drawn
    for kernel, fan_in in (
        (params["stem"]["kernel"], 27),
        (params["cells_8"]["edge_0"]["depthwise_0"]["kernel"], 9),
        (params["classifier"]["kernel"], 32),
    ):
        largest = float(jnp.abs(kernel).max()) * np.sqrt(fan_in)
        assert 0.8 < largest <= 1.0
    first, second = params["cells_8"]["edge_0"]["depthwise_0"]["kernel"]
    assert (first != second).all()
    assert all((leaf == 1).all() for leaf in (stats["stem_norm"]["variance"], params["stem_norm"]["scale"]))


def multiply_adds(jaxpr):
    """Returns the multiply-adds of the matrix products and convolutions of a computation, loops unrolled."""
    total = 0
    for equation in jaxpr.eqns:
        inner = [value for value in equation.params.values() if hasattr(value, "jaxpr") or hasattr(value, "eqns")]
        times = equation.params["length"] if equation.primitive.name == "scan" else 1
        total += times * sum(multiply_adds(getattr(value, "jaxpr", value)) for value in inner)
        if equation.primitive.name not in ("dot_general", "conv_general_dilated"):
            continue
        out = equation.outvars[0].aval
        if equation.primitive.name == "dot_general":
            ((axes, _), _), left = equation.params["dimension_numbers"], equation.invars[0].aval
            total += out.size * int(np.prod([left.shape[axis] for axis in axes]))
        if equation.primitive.name == "conv_general_dilated":
            numbers, kernel = equation.params["dimension_numbers"], equation.invars[1].aval
            total += out.size * kernel.size // kernel.shape[numbers.rhs_spec[0]]
    return total


@pytest.mark.parametrize("cell", [EVERY, POOLS], ids=["every", "pools"])
def test_flops_are_the_multiply_adds_of_the_computation(cell, monkeypatch):
    monkeypatch.setattr(windows, "on_accelerator", lambda: True)  # shifted copies are no convolution to count
    variables = darts.shapes(cell, **SIZES)
    fn = functools.partial(darts.apply, genotype=cell, layers=10)
    x = jax.ShapeDtypeStruct((1, 16, 16, 3), jnp.float32)
    found = multiply_adds(jax.make_jaxpr(fn)(variables["params"], variables["batch_stats"], x).jaxpr)
    assert found == network.flops(cell, **SIZES, image_size=16)
    with_head = network.flops(cell, **SIZES, auxiliary=True) - network.flops(cell, **SIZES)
    channels = 8 * len(cell.concat("reduce"))
    assert with_head == 4 * channels * 128 + 4 * 128 * 768 + 768 * 5


def test_equal_cells_in_a_row_are_one_loop():
    for layers in range(3, 25):
        found = darts.runs(layers, 4)
        assert [layer for first, count, *_ in found for layer in range(first, first + count)] == list(range(layers))
        assert [run[0] for run in found if run[2] == "reduce"] == [layers // 3, 2 * layers // 3]
        assert [run[3] for run in found] == [
            4 * 2 ** sum(run[0] >= at for at in (layers // 3, 2 * layers // 3)) for run in found
        ]
    assert len(darts.runs(20, 36)) == 9


def test_drop_path_leaves_out_whole_images_and_keeps_the_mean():
    x = jnp.ones((2, 3, 4, 5000))
    found = np.asarray(darts._dropped(jax.random.key(0), x, 0.3))
    assert (found == found[:1, :1, :1]).all()
    np.testing.assert_allclose(np.unique(found), [0.0, 1 / 0.7], rtol=1e-6)
    np.testing.assert_allclose(found.mean(), 1.0, atol=0.03)


def test_drop_path_acts_on_what_is_no_identity_and_in_training_alone(pools):
    params, stats, x = pools

    @functools.partial(jax.jit, static_argnames="train")
    def logits(key, rate, train):
        options = {"genotype": POOLS, "layers": 3, "train": train, "key": key, "drop_path": rate}
        return darts.apply(params, stats, x, **options).logits

    none = logits(jax.random.key(2), None, True)
    np.testing.assert_allclose(logits(jax.random.key(2), 0.0, True), none, atol=1e-5)
    one, other = (logits(jax.random.key(key), 0.5, True) for key in (2, 3))
    assert (abs(one - none) > 1e-4).any()
    assert (abs(one - other) > 1e-4).any()
    np.testing.assert_array_equal(logits(jax.random.key(2), 0.5, False), logits(jax.random.key(3), 0.5, False))


def test_none_adds_nothing_and_noise_is_drawn():
    pairs = (("none", 0), ("sep_conv_3x3", 1)) * 4
    none, noise = (
        genotype.DartsGenotype(
            space, *(tuple((op.replace("none", name), source) for op, source in pairs) for _ in range(2))
        )
        for space, name in (("s3", "none"), ("s4", "noise"))
    )
    params, stats = init(none, channels=2, layers=3, num_classes=5)
    x = jax.random.normal(jax.random.key(1), (2, 8, 8, 1))

    @functools.partial(jax.jit, static_argnames="cell")
    def logits(key, cell):
        return darts.apply(params, stats, x, genotype=cell, layers=3, key=key).logits

    without = logits(jax.random.key(0), none)
    assert jnp.isfinite(without).all()
    one, same, other = (logits(jax.random.key(key), noise) for key in (0, 0, 1))
    np.testing.assert_array_equal(one, same)
    assert (one != other).all()
    assert (one != without).all()
    with pytest.raises(ValueError, match="key is missing"):
        darts.apply(params, stats, x, genotype=noise, layers=3)


def test_half_precision_is_near_and_its_statistics_are_not_half(pools):
    params, stats, x = pools
    fn = jax.jit(functools.partial(darts.apply, genotype=POOLS, layers=3, train=True), static_argnames="dtype")
    full, half = fn(params, stats, x), fn(params, stats, x, dtype=jnp.bfloat16)
    assert half.logits.dtype == jnp.float32
    assert {leaf.dtype for leaf in jax.tree.leaves(half.stats)} == {jnp.dtype("float32")}
    np.testing.assert_allclose(half.logits, full.logits, atol=0.05)


def test_what_does_not_fit_is_refused(every):
    params, stats, x = every
    options = {"genotype": EVERY, "layers": 10}
    with pytest.raises(ValueError, match=r"images of shape \(3, 30, 32, 3\): need"):
        darts.apply(params, stats, x[:, :30], **options)
    with pytest.raises(ValueError, match="made for images of 32x32"):
        darts.apply(params, stats, x[:, :16, :16], **options, train=True)
    with pytest.raises(ValueError, match="key is missing"):
        darts.apply(params, stats, x, **options, train=True, drop_path=0.2)
    with pytest.raises(ValueError, match="layers=2: a network of a DARTS genotype has at least 3 cells"):
        darts.init(jax.random.key(0), EVERY, channels=2, layers=2, num_classes=5)
    with pytest.raises(ValueError, match="need numbers above 0"):
        network.num_params(EVERY, channels=0, layers=20, num_classes=10)
    cell = genotype.Genotype("nas_bench_201", ("none",) * 6)
    with pytest.raises(ValueError, match="has no auxiliary classifier"):
        network.num_params(cell, channels=1, layers=1, num_classes=10, auxiliary=True)


def test_a_layer_counts_its_kernel_its_bias_and_its_normalisation():
    layers = [counts.Layer(weights=6, pixels=10, norm=2), counts.Layer(weights=5, pixels=1, bias=5)]
    assert counts.num_params(layers) == 6 + 4 + 5 + 5
    assert counts.num_multiply_adds(layers) == 65
