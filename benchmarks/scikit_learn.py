"""Speed beside scikit-learn, on what both compute.

    python -m benchmarks.scikit_learn [--out=FILE] [--repeats=7] [--size=small]

Kernel ridge regression on a Gram matrix; averaged SGD of a linear model, one pass, which is the reference ASGD in an
eigenbasis; and the monotone map of truths to probabilities. Results have to be the same.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import sklearn
from sklearn.isotonic import IsotonicRegression
from sklearn.kernel_ridge import KernelRidge
from sklearn.linear_model import SGDRegressor

from benchmarks import options, timing
from cqd import recalibration
from ntk_asgd import infinite, rkhs

OUT = "scikit_learn.json"
LIBRARIES = ()
SIZES = {  # n of kernel ridge; samples and eigenfunctions of ASGD; truths
    "full": {"ridge": (2000, 10), "asgd": (20_000, 200), "isotonic": 2_000_000},
    "small": {"ridge": (60, 5), "asgd": (200, 20), "isotonic": 5000},
}
_ETA, _LAM = 0.1, 1e-3
_BESIDE = timing.Beside(timing.LIBRARY, 1.0, f"scikit-learn {sklearn.__version__}")


def kernel_ridge(size, repeats):
    """Returns the row of kernel ridge regression on a Gram matrix in float32.

    Raises:
        ValueError: other coefficients, as in the rows below other results.
    """
    n, dim = SIZES[size]["ridge"]
    rng = np.random.default_rng(0)
    x = rng.standard_normal((n, dim)).astype(np.float32)
    gram = infinite.ntk(jnp.asarray(x), activation="relu")
    y = jnp.asarray(rng.standard_normal(n).astype(np.float32))
    gram_host, y_host = np.asarray(gram), np.asarray(y)
    ours = functools.partial(jax.jit(rkhs.kernel_ridge), gram, y, _LAM)

    def theirs():
        return KernelRidge(alpha=n * _LAM, kernel="precomputed").fit(gram_host, y_host).dual_coef_

    _check("kernel ridge", ours(), theirs(), 1e-3)
    return _row("ntk_asgd", f"kernel ridge regression; n = {n:,}", "rkhs.kernel_ridge", ours, theirs, repeats)


def asgd(size, repeats):
    """Returns the row of one pass of averaged SGD on a linear model."""
    num_samples, num_functions = SIZES[size]["asgd"]
    rng = np.random.default_rng(0)
    features = rng.standard_normal((num_samples, num_functions)).astype(np.float32)
    eigenvalues = (1.0 + np.arange(num_functions, dtype=np.float32)) ** -2
    y = rng.standard_normal(num_samples).astype(np.float32)
    inputs = features * np.sqrt(eigenvalues)  # scikit-learn's weights are the coefficients over these roots

    @jax.jit
    def descent(features, y, eigenvalues):
        step = functools.partial(rkhs.reference_step, eigenvalues=eigenvalues, learning_rate=_ETA, regularization=_LAM)
        start = rkhs.reference_init(features.shape[1])
        return jax.lax.scan(lambda state, sample: (step(state, *sample)[0], None), start, (features, y))[0].mean

    ours = functools.partial(descent, *map(jnp.asarray, (features, y, eigenvalues)))
    constant = {"learning_rate": "constant", "eta0": _ETA, "alpha": _LAM, "average": True}
    once = {"max_iter": 1, "tol": None, "shuffle": False, "fit_intercept": False}

    def theirs():
        return SGDRegressor(**constant, **once).fit(inputs, y).coef_

    from_first = num_samples / (num_samples + 1)  # the share of the iterates but the zeros before the first step
    _check("averaged SGD", ours(), theirs() * np.sqrt(eigenvalues) * from_first, 1e-3)
    case = f"averaged SGD, one pass over {num_samples:,} samples; {num_functions} features"
    return _row("ntk_asgd", case, "scan of rkhs.reference_step", ours, theirs, repeats)


def isotonic(size, repeats):
    """Returns the row of the monotone map of truths to probabilities; ours counts them by log odds to two decimals."""
    num_truths = SIZES[size]["isotonic"]
    rng = np.random.default_rng(0)
    truths = rng.beta(0.2, 2.0, num_truths)
    answers = rng.random(num_truths) < truths**2

    def ours():
        return recalibration.fit("isotonic", recalibration.count(truths, answers))

    def theirs():
        return IsotonicRegression(y_min=0, y_max=1, out_of_bounds="clip").fit(truths, answers)

    at = np.linspace(0.01, 0.9, 50)
    apart = np.abs(recalibration.apply(ours(), at) - theirs().predict(at)).mean()
    if apart > (0.01 if size == "full" else 0.1):
        raise ValueError(f"isotonic: probabilities apart by {apart:.3f} in the mean")
    case = f"isotonic map of {num_truths:,} truths; ours of their counts by log odds to two decimals"
    return _row("cqd", case, "recalibration.fit", ours, theirs, repeats, mean_difference=float(apart))


def _row(system, case, name, ours, theirs, repeats, **described):
    times = timing.alternate({name: ours, "scikit-learn": theirs}, repeats)
    return timing.row(system, case, times, name, {"scikit-learn": _BESIDE}, **described)


def _check(what, ours, theirs, tolerance):
    apart = float(np.abs(np.asarray(ours) - theirs).max() / np.abs(theirs).max())
    if not apart < tolerance:
        raise ValueError(f"{what}: apart by {apart:.2g} of the largest entry")


def main():
    """Measures, and writes the rows."""
    asked_for = options.parser(__doc__, out=OUT, repeats=7).parse_args()
    rows = [measure(asked_for.size, asked_for.repeats) for measure in (kernel_ridge, asgd, isotonic)]
    timing.say(rows)
    timing.write(asked_for.out, rows, size=asked_for.size, peers=[], precision="float32")


if __name__ == "__main__":
    main()
