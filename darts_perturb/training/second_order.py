"""The second-order step of DARTS: alpha descends the loss of weights that have taken one step themselves.

The gradient by alpha of L_valid(w'(alpha), alpha), w' = w - xi (momentum + dL_train(w, alpha) + decay w), is
d_alpha L_valid(w') - xi d_alpha d_w L_train(w) . v with v = d_w L_valid(w'). The product is a central difference of
d_alpha L_train at w +- R v, R = 0.01 / |v|.

References:
    Liu et al. 2019, arXiv:1806.09055, eqs. 6-8; the momentum in w' is that of its public code.
"""

import jax
import jax.numpy as jnp
from jax import lax

from darts_perturb.training import updates

RADIUS = 0.01  # R times |v|
PHASES = ("unroll", "outer", "plus", "minus", "weights")


def step(state, gradient_fn, learning_rate, settings):
    """Returns the state after a step of alpha, then of the weights, and {loss, accuracy} [2].

    The first loss is on alpha's batch at w', the second on the batch of the weights before their step.
    Five gradients, one compiled graph: the step is a loop over phases that differ in where they stand.

    Args:
        state: `updates.State`.
        gradient_fn: (params, alpha, on_alpha_rows) -> ((loss, accuracy), (by params, by alpha)); on_alpha_rows is
            traced and says whether to use the batch that alpha trains on, or that of the weights.
        learning_rate: of the weights, and xi.
        settings: `updates.Settings`.
    """

    def phase(carry, number):
        state, point, ascent, total = carry
        values, (by_params, by_alpha) = gradient_fn(point, state.alpha, number == PHASES.index("outer"))

        def away(sign, vector):
            radius = RADIUS / jnp.maximum(updates.norm(vector), jnp.finfo(jnp.float32).tiny)
            return jax.tree.map(lambda w, v: w + sign * radius * v, state.params, vector)

        def add(scale):
            return jax.tree.map(lambda t, g: t + scale * g, total, by_alpha)

        def unroll():
            def ahead(w, m, g):
                return w - learning_rate * (settings.momentum * m + g + settings.weight_decay * w)

            return state, jax.tree.map(ahead, state.params, state.momentum, by_params), ascent, total

        def outer():
            return state, away(1, by_params), by_params, by_alpha

        def plus():
            return state, away(-1, ascent), ascent, add(-learning_rate * updates.norm(ascent) / (2 * RADIUS))

        def minus():
            gradient = add(learning_rate * updates.norm(ascent) / (2 * RADIUS))
            return updates.move_alpha(state, gradient, settings), state.params, ascent, gradient

        def weights():
            return updates.move_weights(state, by_params, learning_rate, settings), point, ascent, total

        return lax.switch(number, [unroll, outer, plus, minus, weights]), values

    zeros = jax.tree.map(jnp.zeros_like, (state.params, state.alpha))
    (state, *_), (loss, accuracy) = lax.scan(phase, (state, state.params, *zeros), jnp.arange(len(PHASES)))
    shown = jnp.asarray([PHASES.index("outer"), PHASES.index("weights")])
    return state, {"loss": loss[shown], "accuracy": accuracy[shown]}
