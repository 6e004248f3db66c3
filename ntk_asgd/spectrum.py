"""Eigenvalues of Gram matrices, exact spectra by index, decay and degrees of freedom. Host code in float64."""

import warnings

import numpy as np
import scipy.linalg


def gram_eigenvalues(gram, num_eigenvalues=None):
    """Returns the largest eigenvalues of gram / n, descending: estimates of the integral operator's eigenvalues.

    Args:
        gram: symmetric kernel matrix [n, n]. A warning says where its rounding in float32 hides what is asked for.
        num_eigenvalues: how many; all n where left out. Up to n / 40 take block Lanczos, more a dense
            decomposition.

    Returns:
        Eigenvalues [num_eigenvalues], float64.

    Raises:
        ValueError: a matrix that is not square, or a count outside 1..n.
    """
    rounding = np.finfo(np.float32).eps if np.asarray(gram).dtype == np.float32 else 0.0
    gram = np.asarray(gram, np.float64)
    if gram.ndim != 2 or gram.shape[0] != gram.shape[1]:
        raise ValueError(f"gram must be a square matrix, not of shape {gram.shape}")
    n = gram.shape[0]
    count = n if num_eigenvalues is None else num_eigenvalues
    if not 1 <= count <= n:
        raise ValueError(f"num_eigenvalues must lie in 1..{n}, not {count}")
    if count <= n // 40:
        values = top_eigenvalues(gram.__matmul__, n, count)
    else:
        values = scipy.linalg.eigh(gram, eigvals_only=True, subset_by_index=(n - count, n - 1))[::-1]
    hidden = values < rounding * values[0]
    if hidden.any():
        warnings.warn(
            f"gram is float32, whose rounding hides its eigenvalues from index {np.argmax(hidden) + 1} on: compute it "
            "in float64 (jax.enable_x64)",
            stacklevel=2,
        )
    return values / n


def top_eigenvalues(matmul, n, k, *, dtype=np.float64, seed=0, block_size=24, tolerance=1e-7):
    """Returns the k largest eigenvalues of a symmetric operator known by its products alone, by block Lanczos.

    Every step multiplies a block of vectors, orthogonalises them against all before, and takes the eigenvalues of the
    operator on their span, until the k largest stand still. Blocks turn the work into matrix products: ARPACK, one
    vector at a time, takes as long as a dense decomposition for 100 of 3,000.

    Args:
        matmul: v [n, b] -> A v [n, b], such as kernel-vector products. Divide by n for a Gram matrix to get estimates
            of the integral operator's eigenvalues.
        n: size of the operator.
        k: how many.
        dtype: of the vectors. In float32 eigenvalues below 1e-7 of the largest are rounding.
        seed: of the first block; the same seed gives the same figures.
        block_size: vectors a block.
        tolerance: largest relative change of an eigenvalue in the last step.

    Returns:
        Eigenvalues [k], float64, descending.

    Raises:
        ValueError: k outside 1..n.

    References:
        Golub and Van Loan, Matrix Computations, section 10.3 (block Lanczos); full reorthogonalisation.
    """
    if not 1 <= k <= n:
        raise ValueError(f"k must lie in 1..{n}, not {k}")
    rng = np.random.default_rng(seed)
    basis, projected, found = np.zeros((n, 0), dtype), np.zeros((0, 0), dtype), np.zeros(0)
    image = rng.standard_normal((n, min(block_size, n)))
    while basis.shape[1] < n:
        block = _orthonormal(image[:, : n - basis.shape[1]].astype(dtype), basis, rng)
        basis = np.concatenate([basis, block], axis=1)
        image = np.asarray(matmul(block), dtype)
        columns = basis.T @ image
        above, corner = columns[: -block.shape[1]], columns[-block.shape[1] :]
        projected = np.block([[projected, above], [above.T, (corner + corner.T) / 2]])
        before, found = found, np.linalg.eigvalsh(projected)[::-1][:k]
        still = tolerance * np.abs(found) + 4 * np.finfo(dtype).eps * np.abs(found[0])
        if len(before) == k and (np.abs(found - before) <= still).all():
            break
    return found.astype(np.float64)


def _orthonormal(block, basis, rng):
    """Returns as many orthonormal columns as the block has, orthogonal to the basis, from the block's own where it can.

    A column that is lost to rounding, as when the basis spans an invariant space, is drawn anew.
    """
    size = np.linalg.norm(block, axis=0).max()
    for _ in range(2):
        block = block - basis @ (basis.T @ block)
    block, triangle = np.linalg.qr(block)
    lost = np.abs(np.diag(triangle)) <= 100 * np.finfo(block.dtype).eps * size
    if lost.any():
        block[:, lost] = rng.standard_normal((len(block), lost.sum()))
        for _ in range(2):
            block = np.linalg.qr(block - basis @ (basis.T @ block))[0]
    return block


def by_index(mu, multiplicity, count):
    """Returns the first `count` eigenvalues lambda_1 >= lambda_2 >= ..., each repeated with its multiplicity.

    Args:
        mu: eigenvalue of each degree [K+1].
        multiplicity: of each degree [K+1].
        count: how many.

    Returns:
        Eigenvalues [count], float64, descending.

    Raises:
        ValueError: the degrees hold fewer than `count`, or the list reaches below the last two degrees, where degrees
            left out might belong to it.
    """
    mu, multiplicity = np.asarray(mu, np.float64), np.asarray(multiplicity)
    order = np.argsort(-mu, kind="stable")
    repeats = np.minimum(multiplicity[order], count).astype(np.int64)
    needed = np.searchsorted(np.cumsum(repeats), count) + 1
    listed = np.repeat(mu[order][:needed], repeats[:needed])[:count]
    if len(listed) < count or listed[-1] < mu[-2:].max():
        raise ValueError(f"max_degree {len(mu) - 1} is too small to list {count} eigenvalues: raise max_degree")
    return listed


def by_degree(values, multiplicity):
    """Returns the mean of descending eigenvalues over the block of indices of each degree that they reach in full.

    Sampling spreads eigenvalues that are equal, and the mean over the block takes most of that away.

    Args:
        values: eigenvalues, descending [..., n].
        multiplicity: of each degree, degrees in the order of descending eigenvalues [K+1].

    Returns:
        Means [..., number of degrees in full].

    Raises:
        ValueError: no degree is reached in full.

    >>> by_degree([4.0, 2.5, 1.5, 1.0], [1, 2, 3]).tolist()
    [4.0, 2.0]
    """
    values = np.asarray(values, np.float64)
    ends = np.cumsum(np.asarray(multiplicity, np.float64))
    ends = ends[ends <= values.shape[-1]].astype(np.int64)
    if not len(ends):
        raise ValueError(f"{values.shape[-1]} eigenvalues reach no degree in full: the first has {multiplicity[0]}")
    starts = np.append(0, ends[:-1])
    return np.add.reduceat(values[..., : ends[-1]], starts, axis=-1) / (ends - starts)


def decay_slope(values, first, last):
    """Returns the least-squares slope of log lambda_i over log i for first <= i <= last, indices from 1.

    Raises:
        ValueError: a window outside 1..len(values) or of fewer than two indices, or eigenvalues there not positive.
    """
    values = np.asarray(values, np.float64)
    if not 1 <= first < last <= len(values):
        raise ValueError(f"the window {first}..{last} must hold two indices or more within 1..{len(values)}")
    window = values[first - 1 : last]
    if not (window > 0).all():
        raise ValueError(f"eigenvalues {first}..{last} are not all positive: end the window earlier")
    return float(np.polyfit(np.log(np.arange(first, last + 1)), np.log(window), 1)[0])


def degrees_of_freedom(values, regularization, multiplicity=None, *, order=1):
    """Returns N(lambda) = Tr Sigma (Sigma + lambda)^{-1} = sum_i lambda_i / (lambda_i + lambda).

    Of order 2 it is the trace of that operator's square, which the variance of the averaged iterates tends to in units
    of noise^2 / T.

    Args:
        values: eigenvalues.
        regularization: lambda > 0.
        multiplicity: of each eigenvalue; one each where left out.
        order: power of the operator under the trace.

    Raises:
        ValueError: regularization <= 0.

    References:
        Nitanda and Suzuki, arXiv 2006.12297, Theorem 1 (the variance term).
    """
    if regularization <= 0:
        raise ValueError(f"regularization must be positive, not {regularization}")
    values = np.asarray(values, np.float64)
    share = (values / (values + regularization)) ** order
    return float(share.sum() if multiplicity is None else share @ np.asarray(multiplicity, np.float64))


def degrees_of_freedom_prediction(regularization, *, beta, leading):
    """Returns N(lambda) to leading order for lambda_i = C i^{-beta}: (pi/beta) / sin(pi/beta) (C/lambda)^{1/beta}.

    That is int_0^inf C / (C + lambda u^beta) du, which the sum misses by less than 1.

    Args:
        regularization: lambda > 0, a number or an array.
        beta: decay exponent, above 1.
        leading: C > 0.

    Raises:
        ValueError: regularization or leading not positive, or beta <= 1.

    References:
        Nitanda and Suzuki, arXiv 2006.12297, Corollary 1, where N(lambda) = O(lambda^{-1/beta}).
    """
    for name, value, least in (("regularization", regularization, 0), ("beta", beta, 1), ("leading", leading, 0)):
        if not np.all(np.asarray(value) > least):
            raise ValueError(f"{name} must be above {least}, not {value}")
    return np.pi / beta / np.sin(np.pi / beta) * (leading / regularization) ** (1 / beta)
