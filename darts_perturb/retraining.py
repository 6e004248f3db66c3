"""Training of selected cells from new weights, the epoch chosen on validation images.

In two forms. `init_network`, `plan`, `steps` and `evaluate` train the network of a genotype by the papers' recipe, with
running statistics, auxiliary classifier and drop path; every genotype is a program of its own. `init` makes of a cell
the supernet with all its edges decided, which `search.steps` trains: one compiled program for every cell, and weights
of operations that were not chosen get no gradient and change nothing. `keep_best` chooses the epoch in both.

Letters: n images, t steps, b batch.

References:
    DARTS: Liu et al. 2019, arXiv:1806.09055, appendix A.3; NAS-Bench-201: Dong & Yang 2020, arXiv:2001.00326, table 1;
    Nesterov momentum: Sutskever et al. 2013, section 2, in the form of PyTorch.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax import lax

from darts_perturb import data, network, search
from darts_perturb import genotype as genotypes
from darts_perturb.networks import darts, nas_bench_201
from darts_perturb.training import plans


class State(NamedTuple):
    """A cell in training, with the weights of the best epoch so far."""

    search: search.State
    best_params: Any
    best_accuracy: jax.Array  # on validation images
    best_epoch: jax.Array


class NetworkState(NamedTuple):
    """The network of a genotype in training, with what it was at the best epoch so far."""

    params: Any
    stats: Any  # running statistics of normalisation
    momentum: Any
    best_params: Any
    best_stats: Any
    best_accuracy: jax.Array  # on validation images
    best_epoch: jax.Array


class Recipe(NamedTuple):
    """Numbers of a training beside those of its `Plan`, DARTS's own; traced, so that they can be swept."""

    momentum: float = 0.9
    weight_decay: float = 3e-4
    clip: float = 5.0  # largest norm of the gradient; infinity for none
    auxiliary: float = 0.4  # weight of the auxiliary classifier's loss, where the network has one


class Plan(NamedTuple):
    """A list of steps."""

    index: jax.Array  # int32 [t, b]: rows of the training images
    learning_rate: jax.Array  # float32 [t]
    drop_path: Any = None  # float32 [t], rates; None trains without drop path


def init(state, genotype):
    """Returns a cell before training, in the form of the supernet.

    Args:
        state: `search.State` with new weights.
        genotype: `genotype.Genotype` or `genotype.DartsGenotype`; decides or drops every edge.
    """
    # an edge that the cell does not keep has the choice -1
    choice = jax.tree.map(lambda rows: jnp.where(rows < 0, search.DROPPED, rows), genotypes.to_choice(genotype))
    state = state._replace(choice=choice)
    return State(state, state.params, jnp.float32(-1.0), jnp.zeros((), jnp.int32))


def init_network(key, genotype, *, channels, layers, num_classes, auxiliary=False):
    """Returns the `NetworkState` of a genotype before training.

    Args:
        key: typed key.
        genotype: `genotype.Genotype` or `genotype.DartsGenotype`.
        channels: C of the first cells.
        layers: cells a stage; of a `DartsGenotype`, all cells.
        num_classes: outputs.
        auxiliary: whether there is an auxiliary classifier; of a `DartsGenotype`, for images of 32x32.

    Raises:
        ValueError: sizes that make no network, or an auxiliary classifier that the space does not have.
    """
    sizes = {"channels": channels, "layers": layers, "num_classes": num_classes}
    if isinstance(genotype, genotypes.DartsGenotype):
        params, stats = darts.init(key, genotype, auxiliary=auxiliary, **sizes)
    elif auxiliary:
        raise ValueError(f"auxiliary: the network of a {genotype.space} cell has no auxiliary classifier")
    else:
        params, stats = network.init(key, genotype, **sizes), nas_bench_201.init_stats(genotype, **sizes)
    momentum = jax.tree.map(jnp.zeros_like, params)
    return NetworkState(params, stats, momentum, params, stats, jnp.float32(-1.0), jnp.zeros((), jnp.int32))


def plan(key, num_images, *, batch_size, epochs, learning_rate, final_learning_rate=0.0, drop_path=None):
    """Returns the `Plan` of a whole training: every epoch all images in a new order, but for a batch that is not full.

    The learning rate falls along a cosine and the rate of drop path grows from 0 along a line; both change once an
    epoch, as in the public code.

    Args:
        key: typed key of the orders.
        num_images: n.
        batch_size: b.
        epochs: number of epochs of n // b steps.
        learning_rate: in the first epoch.
        final_learning_rate: where the cosine ends, after the last epoch.
        drop_path: where the line ends, after the last epoch; None for no drop path.

    Raises:
        ValueError: the batch is larger than the data.
    """
    epoch_steps = num_images // batch_size
    num_steps = epochs * epoch_steps
    made = plans.weight_plan(
        key,
        jnp.arange(num_images),
        batch_size=batch_size,
        num_steps=num_steps,
        learning_rate=learning_rate,
        final_learning_rate=final_learning_rate,
        epoch_steps=epoch_steps,
    )
    rates = None if drop_path is None else drop_path * plans.share_done(num_steps, epoch_steps)
    return Plan(made.index, made.learning_rate, rates)


def steps(
    key,
    state,
    x,
    y,
    plan,
    recipe,
    start=0,
    *,
    genotype,
    layers,
    nesterov=False,
    shift=0,
    flip=False,
    cutout=0,
    fill=0.0,
    dtype=jnp.float32,
):
    """Returns the state after all steps of a plan, and {loss [t], accuracy [t]} of the batches before each.

    The loss is the cross entropy of the main classifier, in nats. Several devices share the work where the batches,
    `plan.index`, are sharded along their second axis.

    Args:
        key: typed key; step number s of the whole training draws from fold_in(key, s).
        state: `NetworkState`.
        x: all training images [n, H, W, 1 or 3].
        y: all training labels [n].
        plan: `Plan`, or a slice of one.
        recipe: `Recipe`.
        start: number of the plan's first step.
        genotype: of the network; static.
        layers: see `init_network`; static.
        nesterov: whether momentum looks ahead; static.
        shift: see `data.augment`, as flip, cutout and fill.
        flip: see `data.augment`.
        cutout: see `data.augment`.
        fill: see `data.augment`.
        dtype: of the activations; statistics, losses and updates are float32; static.
    """
    options = {"genotype": genotype, "layers": layers, "dtype": dtype}

    def loss_fn(params, stats, key, x, y, drop_path):
        out = _apply(params, stats, x, train=True, key=key, drop_path=drop_path, **options)
        loss = total = optax.softmax_cross_entropy_with_integer_labels(out.logits, y).mean()
        if out.auxiliary is not None:
            extra = optax.softmax_cross_entropy_with_integer_labels(out.auxiliary, y).mean()
            total = loss + recipe.auxiliary * extra
        return total, (out.stats, {"loss": loss, "accuracy": (out.logits.argmax(axis=1) == y).mean()})

    def body(state, inputs):
        number, (rows, learning_rate, drop_path) = inputs
        augment_key, network_key = jax.random.split(jax.random.fold_in(key, number))
        images = data.augment(augment_key, x[rows], shift=shift, flip=flip, cutout=cutout, fill=fill)
        gradient_fn = jax.grad(loss_fn, has_aux=True)
        gradient, (stats, info) = gradient_fn(state.params, state.stats, network_key, images, y[rows], drop_path)
        params, momentum = sgd(state.params, state.momentum, gradient, learning_rate, recipe, nesterov=nesterov)
        return state._replace(params=params, stats=stats, momentum=momentum), info

    return lax.scan(body, state, (start + jnp.arange(len(plan.index)), plan))


def sgd(params, momentum, gradient, learning_rate, recipe, *, nesterov=False):
    """Returns (parameters, momentum) after a step: clip the gradient's norm, add weight decay, then momentum.

    m <- mu m + g and w <- w - rate m, or with Nesterov w <- w - rate (g + mu m).
    """
    optimiser = optax.chain(
        optax.clip_by_global_norm(recipe.clip),
        optax.add_decayed_weights(recipe.weight_decay),
        optax.trace(recipe.momentum, nesterov=nesterov),
    )
    before = (*optimiser.init(params)[:2], optax.TraceState(momentum))
    direction, (_, _, after) = optimiser.update(gradient, before, params)
    return jax.tree.map(lambda w, d: w - learning_rate * d, params, direction), after.trace


def evaluate(params, stats, x, y, *, genotype, layers, batch_size, dtype=jnp.float32):
    """Returns of how many images the label is found, int32; every image counts once, whatever the batch size.

    The operation `noise` of s4 draws the same in every call.

    Args:
        params: of a `NetworkState`, those of now or the best.
        stats: the running statistics that go with them.
        x: images [n, H, W, 1 or 3].
        y: labels [n].
        genotype: of the network; static.
        layers: see `init_network`; static.
        batch_size: images at once; static.
        dtype: of the activations; static.
    """
    rows = jnp.arange(-(-len(y) // batch_size) * batch_size).reshape(-1, batch_size)

    def num_found(inputs):
        number, rows = inputs
        # the last batch is filled up with an image that is not counted
        filled = jnp.minimum(rows, len(y) - 1)
        noise_key = jax.random.fold_in(jax.random.key(0), number)
        options = {"genotype": genotype, "layers": layers, "dtype": dtype, "key": noise_key}
        out = _apply(params, stats, x[filled], train=False, drop_path=None, **options)
        return ((out.logits.argmax(axis=1) == y[filled]) & (rows < len(y))).sum()

    return lax.map(num_found, (jnp.arange(len(rows)), rows)).sum()


def _apply(params, stats, x, *, genotype, layers, train, key, drop_path, dtype):
    """Returns the `networks.darts.Output` of a batch of either kind of network."""
    if isinstance(genotype, genotypes.DartsGenotype):
        options = {"train": train, "key": key, "drop_path": drop_path, "dtype": dtype}
        return darts.apply(params, stats, x, genotype=genotype, layers=layers, **options)
    if drop_path is not None:
        raise ValueError(f"drop_path: the network of a {genotype.space} cell is trained without; give None")
    params = jax.tree.map_with_path(lambda path, leaf: leaf.astype(dtype) if path[-1].key == "kernel" else leaf, params)
    logits, stats = nas_bench_201.apply(params, stats, x.astype(dtype), genotype=genotype, layers=layers, train=train)
    return darts.Output(logits.astype(jnp.float32), None, stats)


def keep_best(state, accuracy, epoch):
    """Returns the state that remembers its weights of now if their validation accuracy is the best so far.

    The first of equal epochs stays. Test images have no part in it.

    Args:
        state: `State` or `NetworkState`.
        accuracy: validation accuracy of the weights of now.
        epoch: number of epochs trained.
    """
    better = accuracy > state.best_accuracy
    if isinstance(state, State):
        now = {"best_params": state.search.params}
    else:
        now = {"best_params": state.params, "best_stats": state.stats}
    now |= {"best_accuracy": accuracy, "best_epoch": epoch}
    chosen = {
        name: jax.tree.map(lambda new, old: jnp.where(better, new, old), value, getattr(state, name))
        for name, value in now.items()
    }
    return state._replace(**chosen)
