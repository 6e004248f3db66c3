"""Supernet training: the bilevel search of DARTS, first or second order, with alpha fixed, or smoothed (SDARTS).

The search alternates two half-steps on different halves of the training data: Adam on alpha, then SGD with momentum on
the weights (Liu et al. 2019, arXiv:1806.09055, algorithm 1; first order is xi = 0). Both need the same gradient graph,
so one compiled loop runs any list of half-steps: bilevel search, search with fixed alpha (a list without steps of
alpha), fine-tuning between projections, and the training of a network whose edges are all decided.

Letters: n images, t half-steps, b batch, e edges, o operations.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import lax

from darts_perturb import data, edges, supernet
from darts_perturb.training import plans, sdarts, second_order, updates
from darts_perturb.training.plans import Plan, batches, bilevel_plan, halves, weight_plan
from darts_perturb.training.updates import ALPHA_BETAS, DROPPED, UNDECIDED, Settings, State, init, op_weights

__all__ = (
    "ALPHA_BETAS",
    "DROPPED",
    "METHODS",
    "UNDECIDED",
    "Images",
    "Plan",
    "Settings",
    "State",
    "batches",
    "bilevel_plan",
    "check_finite",
    "halves",
    "init",
    "losses",
    "op_weights",
    "step",
    "steps",
    "tune",
    "watch",
    "weight_plan",
)

METHODS = ("first_order", "second_order", "sdarts_rs", "sdarts_adv")


class Images(NamedTuple):
    """The training data on the device, and which rows train what."""

    x: jax.Array  # [n, H, W, C]
    y: jax.Array  # int32 [n]
    weight_rows: jax.Array
    alpha_rows: jax.Array  # of alpha, and of the removal scores


def losses(params, weights, x, y, *, space, key=None, dtype=None):
    """Returns the cross entropy of every image [b], in nats, and whether its label is found, bool [b].

    Args:
        params: of `supernet.init`.
        weights: op weights, see `supernet.apply`.
        x: images [b, H, W, C].
        y: labels [b].
        space: `space.Space`.
        key: of the noise operation, see `supernet.apply`.
        dtype: see `supernet.apply`.
    """
    logits = supernet.apply(params, weights, x, space=space, key=key, dtype=dtype)
    loss = optax.softmax_cross_entropy_with_integer_labels(logits, y)
    return loss, logits.argmax(axis=1) == y


def step(
    key,
    state,
    x,
    y,
    for_alpha,
    learning_rate,
    settings,
    epsilon=0.0,
    *,
    space,
    shift=0,
    flip=False,
    augment=None,
    method="first_order",
    dtype=None,
):
    """Returns the state after one half-step, and its loss and accuracy before it.

    Args:
        key: typed key of the augmentation; noise and SDARTS draw from keys folded from it.
        state: `State`.
        x: images [b, H, W, C].
        y: labels [b].
        for_alpha: traced; moves alpha where true, the weights where false.
        learning_rate: of the weights.
        settings: `Settings`.
        epsilon: of SDARTS.
        space: `space.Space`.
        shift: see `data.augment`.
        flip: see `data.augment`.
        augment: (key, x) -> x instead of `data.augment`.
        method: of `METHODS`, but second_order, whose step is not made of halves.
        dtype: see `supernet.apply`.

    Raises:
        ValueError: unknown method.
    """
    _check_method(method, METHODS[:1] + METHODS[2:])
    x = _augmented(key, x, shift, flip, augment)
    noise_key, smooth_key = (jax.random.fold_in(key, number) for number in (1, 2))

    def loss_of(params, weights):
        loss, correct = losses(params, weights, x, y, space=space, key=noise_key, dtype=dtype)
        return loss.mean(), correct.mean()

    offset = None
    if method != "first_order":
        offset = lax.cond(
            for_alpha,
            lambda: jax.tree.map(jnp.zeros_like, state.alpha),
            lambda: _offset(smooth_key, state, lambda weights: loss_of(state.params, weights)[0], epsilon, method),
        )

    def loss_fn(params, alpha):
        weights = op_weights(alpha, state.choice)
        return loss_of(params, weights if offset is None else jax.tree.map(jnp.add, weights, offset))

    (loss, accuracy), gradients = jax.value_and_grad(loss_fn, argnums=(0, 1), has_aux=True)(state.params, state.alpha)
    state = lax.cond(
        for_alpha,
        lambda: updates.move_alpha(state, gradients[1], settings),
        lambda: updates.move_weights(state, gradients[0], learning_rate, settings),
    )
    return state, {"loss": loss, "accuracy": accuracy}


def _check_method(method, known=METHODS):
    if method not in known:
        raise ValueError(f"unknown method {method!r}; known: {', '.join(known)}")


def _augmented(key, x, shift, flip, augment):
    return data.augment(key, x, shift=shift, flip=flip) if augment is None else augment(key, x)


def _offset(key, state, loss_fn, epsilon, method):
    """Returns what SDARTS adds to the op weights."""
    weights = op_weights(state.alpha, state.choice)
    free = jax.tree.map(lambda choice: choice == UNDECIDED, state.choice)
    if method == "sdarts_rs":
        moved = sdarts.uniform(key, weights, epsilon, free=free)
    else:
        moved = sdarts.adversarial(key, weights, epsilon, loss_fn, free=free)
    return jax.tree.map(jnp.subtract, sdarts.normalised(moved, free=free), weights)


def _second_order(key, state, x, y, learning_rate, settings, *, space, shift, flip, augment, dtype):
    """Returns the state after a step of alpha and one of the weights, and {loss, accuracy} [2].

    x [2, b, H, W, C] and y [2, b]: the batch of alpha, then that of the weights, one augmentation for all gradients.
    """
    keys = jax.random.split(key, 2)
    x = jnp.stack([_augmented(keys[half], x[half], shift, flip, augment) for half in range(2)])
    noise_key = jax.random.fold_in(key, 1)

    def gradient_fn(params, alpha, on_alpha_rows):
        batch = jnp.where(on_alpha_rows, 0, 1)

        def loss_fn(params, alpha):
            weights = op_weights(alpha, state.choice)
            loss, correct = losses(params, weights, x[batch], y[batch], space=space, key=noise_key, dtype=dtype)
            return loss.mean(), correct.mean()

        return jax.value_and_grad(loss_fn, argnums=(0, 1), has_aux=True)(params, alpha)

    return second_order.step(state, gradient_fn, learning_rate, settings)


def steps(
    key,
    state,
    x,
    y,
    plan,
    settings,
    start=0,
    *,
    space,
    shift=0,
    flip=False,
    augment=None,
    method="first_order",
    dtype=None,
    trajectory=False,
):
    """Returns the state after all half-steps of a plan, and {loss [t], accuracy [t]}.

    Several devices share the work where the batches of the plan, `plan.index`, are sharded along their second axis.

    Args:
        key: typed key; half-step number s of the whole search draws from fold_in(key, s).
        state: `State`.
        x: all training images [n, H, W, C].
        y: all training labels [n].
        plan: `Plan`, or a slice of one; of `bilevel_plan`, from an even half-step on, for second_order.
        settings: `Settings`.
        start: number of the plan's first half-step.
        space: `space.Space`.
        shift: see `data.augment`.
        flip: see `data.augment`.
        augment: (key, x) -> x instead of `data.augment`.
        method: of `METHODS`; the half-steps of SDARTS need `plan.epsilon`.
        dtype: see `supernet.apply`.
        trajectory: also returns the course of alpha, {alpha: alpha before every half-step, [t, edges, ops]}.

    Raises:
        ValueError: unknown method, or a plan that does not fit it.
    """
    _check_method(method)
    if method.startswith("sdarts") and plan.epsilon is None:
        raise ValueError(f"method={method!r}: the plan has no epsilon; give bilevel_plan one, (.03, .3) in the paper")
    options = {"space": space, "shift": shift, "flip": flip, "augment": augment, "dtype": dtype}
    numbers = start + jnp.arange(len(plan.for_alpha))
    if method == "second_order":
        if len(numbers) % 2:
            raise ValueError(
                f"second_order: {len(numbers)} half-steps; a step of alpha and one of the weights go together"
            )
        plan, numbers = jax.tree.map(lambda leaf: leaf.reshape(-1, 2, *leaf.shape[1:]), (plan, numbers))

    def body(state, inputs):
        number, (rows, for_alpha, learning_rate, epsilon) = inputs
        shown = {"alpha": state.alpha} if trajectory else {}
        if method == "second_order":
            this_key = jax.random.fold_in(key, number[0])
            state, info = _second_order(this_key, state, x[rows], y[rows], learning_rate[1], settings, **options)
            return state, info | jax.tree.map(lambda leaf: jnp.stack([leaf, leaf]), shown)
        this_key = jax.random.fold_in(key, number)
        epsilon = 0.0 if epsilon is None else epsilon
        args = (this_key, state, x[rows], y[rows], for_alpha, learning_rate, settings, epsilon)
        state, info = step(*args, method=method, **options)
        return state, info | shown

    state, info = lax.scan(body, state, (numbers, plan))
    if method == "second_order":
        info = jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:]), info)
    return state, info


def tune(
    key,
    state,
    images,
    call,
    settings,
    *,
    batch_size,
    num_steps,
    learning_rate,
    train_alpha=True,
    num_calls=1,
    **options,
):
    """Returns the state after one part of a training at a constant rate, and its {loss, accuracy}, means.

    The fine-tuning between two projections: 5 epochs at .0025 with alpha still trained, in the paper.

    Args:
        key: typed key of all parts.
        state: `State`.
        images: `Images`.
        call: which part, from 0; traced.
        settings: `Settings`.
        batch_size: images a step.
        num_steps: steps of the weights in all parts.
        learning_rate: of the weights.
        train_alpha: whether a step of alpha precedes each; false for a search with fixed alpha.
        num_calls: parts.
        **options: of `steps`; those of SDARTS have no place here.

    Raises:
        ValueError: the batch is larger than a half of the data, or parts of unequal length.
    """
    if num_steps % num_calls:
        raise ValueError(f"num_steps={num_steps} do not divide into num_calls={num_calls} equal parts")
    plan_key, step_key = (jax.random.fold_in(key, number) for number in range(2))
    recipe = {
        "batch_size": batch_size,
        "num_steps": num_steps,
        "learning_rate": learning_rate,
        "final_learning_rate": learning_rate,
    }
    if train_alpha:
        plan = plans.bilevel_plan(plan_key, images.weight_rows, images.alpha_rows, **recipe)
    else:
        plan = plans.weight_plan(plan_key, images.weight_rows, **recipe)
    length = len(plan.for_alpha) // num_calls
    part = jax.tree.map(lambda leaf: lax.dynamic_slice_in_dim(leaf, call * length, length), plan)
    state, info = steps(step_key, state, images.x, images.y, part, settings, call * length, **options)
    return state, {name: info[name].mean() for name in ("loss", "accuracy")}


def watch(alpha, choice, space):
    """Returns what to log of a search beside its loss, scalars.

    Args:
        alpha: of a `State`.
        choice: of a `State`.
        space: `space.Space`.

    Returns:
        {entropy: of the op weights in nats, mean over undecided edges, 0 when there is none; skip_share: weight of the
        skip connections, mean over the edges that may take one and are not dropped}.
    """
    weights, choice = (edges.flat(tree) for tree in (op_weights(alpha, choice), choice))
    free = choice == UNDECIDED
    entropy = -(weights * jnp.log(jnp.maximum(weights, jnp.finfo(weights.dtype).tiny))).sum(axis=1)
    skip = edges.holding(space, "skip_connect")
    counted = jnp.asarray(skip.any(axis=1)) & (choice != DROPPED)
    share = jnp.where(skip, weights, 0.0).sum(axis=1)
    return {
        "entropy": jnp.where(free, entropy, 0.0).sum() / jnp.maximum(free.sum(), 1),
        "skip_share": jnp.where(counted, share, 0.0).sum() / jnp.maximum(counted.sum(), 1),
    }


def check_finite(info, start=0):
    """Checks the losses of a call of `steps`; host code.

    Args:
        info: what `steps` returned.
        start: number of the first half-step.

    Raises:
        ValueError: a loss is not finite; the line names the half-step.
    """
    bad = np.flatnonzero(~np.isfinite(np.asarray(info["loss"])))
    if bad.size:
        value = float(np.asarray(info["loss"])[bad[0]])
        raise ValueError(f"half-step {start + bad[0]}: the loss is {value}; lower the learning rate")
