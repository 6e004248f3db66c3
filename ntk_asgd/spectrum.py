"""Eigenvalues of Gram matrices, exact spectra by index, decay and degrees of freedom. Host code in float64."""

import numpy as np
import scipy.linalg
import scipy.sparse.linalg


def gram_eigenvalues(gram, num_eigenvalues=None):
    """Returns the largest eigenvalues of gram / n, descending: estimates of the integral operator's eigenvalues.

    Args:
        gram: symmetric kernel matrix [n, n].
        num_eigenvalues: how many; all n where left out. Up to n / 50 take Lanczos iterations, more a dense
            decomposition.

    Returns:
        Eigenvalues [num_eigenvalues], float64.

    Raises:
        ValueError: a matrix that is not square, or a count outside 1..n.
    """
    gram = np.asarray(gram, np.float64)
    if gram.ndim != 2 or gram.shape[0] != gram.shape[1]:
        raise ValueError(f"gram must be a square matrix, not of shape {gram.shape}")
    n = gram.shape[0]
    count = n if num_eigenvalues is None else num_eigenvalues
    if not 1 <= count <= n:
        raise ValueError(f"num_eigenvalues must lie in 1..{n}, not {count}")
    if count <= n // 50:
        start = np.random.default_rng(0).standard_normal(n)  # ARPACK's own start differs from call to call
        values = scipy.sparse.linalg.eigsh(gram, k=count, v0=start, return_eigenvectors=False)
    else:
        values = scipy.linalg.eigh(gram, eigvals_only=True, subset_by_index=(n - count, n - 1))
    return np.sort(values)[::-1] / n


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


def degrees_of_freedom(values, regularization, multiplicity=None):
    """Returns N(lambda) = Tr Sigma (Sigma + lambda)^{-1} = sum_i lambda_i / (lambda_i + lambda).

    Args:
        values: eigenvalues.
        regularization: lambda > 0.
        multiplicity: of each eigenvalue; one each where left out.

    Raises:
        ValueError: regularization <= 0.

    References:
        Nitanda and Suzuki, arXiv 2006.12297, Theorem 1 (the variance term).
    """
    if regularization <= 0:
        raise ValueError(f"regularization must be positive, not {regularization}")
    values = np.asarray(values, np.float64)
    share = values / (values + regularization)
    return float(share.sum() if multiplicity is None else share @ np.asarray(multiplicity, np.float64))
