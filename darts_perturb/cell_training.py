"""Training of any cell of NAS-Bench-201 from new weights in one call of one compiled program.

All epochs run on the device: random batches, SGD with momentum, a cosine that ends at 0. There is no epoch to choose,
so no validation images. All cells of one seed start from the same weights and see the same batches, so they are
compared in pairs.

Letters: n images, b batch.
"""

import jax
import jax.numpy as jnp
import optax
from jax import lax

from darts_perturb import retraining
from darts_perturb.networks import one_program
from darts_perturb.retraining import Recipe
from darts_perturb.training import plans

__all__ = ("Recipe", "accuracy", "step", "train", "trained_accuracy")


def train(
    key, choice, x, y, learning_rate, recipe, *, channels, layers, num_classes, batch_size, epochs, reduction="residual"
):
    """Returns the parameters of a cell after training and the mean loss of every epoch, [epochs], in nats.

    Args:
        key: typed key of weights and batches.
        choice: int32 [edges], the operation of every edge; traced.
        x: training images [n, H, W, 1 or 3].
        y: labels [n].
        learning_rate: at the start of the cosine; traced.
        recipe: `Recipe`; traced. Its weight of an auxiliary loss has no meaning here.
        channels: see `one_program.shapes`, as layers, num_classes and reduction.
        layers: cells a stage.
        num_classes: outputs.
        batch_size: b.
        epochs: of n // b steps.
        reduction: of `one_program.REDUCTIONS`.

    Raises:
        ValueError: sizes that make no network, or a batch larger than the data.
    """
    init_key, plan_key = jax.random.split(key)
    sizes = {"channels": channels, "layers": layers, "num_classes": num_classes, "reduction": reduction}
    params = one_program.init(init_key, **sizes)
    plan = plans.weight_plan(
        plan_key,
        jnp.arange(len(y)),
        batch_size=batch_size,
        num_steps=epochs * (len(y) // batch_size),
        learning_rate=learning_rate,
        final_learning_rate=0.0,
    )

    def body(carry, inputs):
        rows, rate = inputs
        params, momentum, loss = step(*carry, choice, x[rows], y[rows], rate, recipe)
        return (params, momentum), loss

    start = params, jax.tree.map(jnp.zeros_like, params)
    (params, _), losses = lax.scan(body, start, (plan.index, plan.learning_rate))
    return params, losses.reshape(epochs, -1).mean(axis=1)


def step(params, momentum, choice, x, y, learning_rate, recipe):
    """Returns (parameters, momentum, loss before the step) of one batch, x [b, H, W, C] and y [b]."""

    def loss_fn(params):
        logits = one_program.apply(params, choice, x)
        return optax.softmax_cross_entropy_with_integer_labels(logits, y).mean()

    loss, gradient = jax.value_and_grad(loss_fn)(params)
    return *retraining.sgd(params, momentum, gradient, learning_rate, recipe), loss


def accuracy(params, choice, x, y, *, batch_size):
    """Returns the share of images whose label is found; every image counts once, in batches of one size.

    The images of a batch share their statistics of normalisation, so they should be in random order.

    Raises:
        ValueError: the batch is larger than the data.
    """
    if batch_size > len(y):
        raise ValueError(f"batch_size={batch_size} is larger than the {len(y)} images")
    starts = jnp.arange(0, len(y), batch_size)

    def found(start):
        # the last batch reaches back, and counts what no other has
        rows = jnp.minimum(start, len(y) - batch_size) + jnp.arange(batch_size)
        correct = one_program.apply(params, choice, x[rows]).argmax(axis=1) == y[rows]
        return (correct & (rows >= start)).sum()

    return lax.map(found, starts).sum() / len(y)


def trained_accuracy(seed, choice, images, learning_rate, recipe, *, eval_batch_size, **sizes):
    """Returns {accuracy: on the test images after training, loss: mean of the last epoch}.

    Args:
        seed: whole number, traced.
        choice: see `train`.
        images: (x_train, y_train, x_test, y_test).
        learning_rate: see `train`.
        recipe: see `train`.
        eval_batch_size: images at once of a test.
        **sizes: of `train`.
    """
    x, y, x_test, y_test = images
    params, losses = train(jax.random.key(seed), choice, x, y, learning_rate, recipe, **sizes)
    return {"accuracy": accuracy(params, choice, x_test, y_test, batch_size=eval_batch_size), "loss": losses[-1]}
