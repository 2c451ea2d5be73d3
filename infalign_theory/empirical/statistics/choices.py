"""Soft and sequential choices among the samples at hand, averaged over all subsets of size N.

Draws without replacement from independent samples are as good as fresh ones, so an average over
all subsets is unbiased for the law of the samples: what is computed here is that average, exactly.
"""

from __future__ import annotations

import numpy as np

from infalign_theory.kernels.races import EARLIEST, LATEST, STEP
from infalign_theory.typing import Array, BoolArray


def subset_means(x: Array, most: int) -> Array:
    """Mean over subsets of size j of the product of their x, j = 0 to ``most``.

    ``x`` has shape (..., m), the result (..., most + 1). Every step is a convex combination:
    nothing cancels and nothing overflows.

    Examples
    --------
    >>> subset_means(np.array([1.0, 2.0, 3.0]), 2).round(12).tolist()
    [1.0, 2.0, 3.666666666667]
    """
    out = np.zeros((*x.shape[:-1], most + 1))
    out[..., 0] = 1.0
    j = np.arange(1.0, most + 1)
    for size in range(1, x.shape[-1] + 1):
        kept = np.maximum(size - j, 0.0) * out[..., 1:]
        out[..., 1:] = (kept + j * x[..., size - 1, None] * out[..., :-1]) / size
    return out


def _leaving_one_out(x: Array, most: int) -> Array:
    """For each sample, the mean over subsets of size ``most`` of the others; shape of x."""
    m = x.shape[-1]
    if 2 * most > m:  # taking one out again would amplify rounding
        others = [np.delete(x, i, axis=-1) for i in range(m)]
        return np.stack([subset_means(rest, most)[..., -1] for rest in others], axis=-1)
    means, found = subset_means(x, most), np.ones(x.shape)
    for j in range(1, most + 1):
        found = (m * means[..., j, None] - j * x * found) / (m - j)
    return np.maximum(found, 0.0)


def soft_chances(log_weights: Array, n: int) -> Array:
    """Chance that each of m samples is chosen by weight among a random n of them; shape (m,).

    The clock of weight w rings first among n with chance E integral of w exp(-s w) times the chance
    that the n - 1 others are silent, a mean over subsets; the integral is a trapezoidal sum over
    log s. Needs 1 <= n <= m.

    Examples
    --------
    >>> soft_chances(np.log([1.0, 3.0]), 2).round(12).tolist()
    [0.25, 0.75]
    """
    times = np.arange(EARLIEST - log_weights.max(), LATEST - log_weights.min() + STEP, STEP)
    log_rates = np.minimum(times[:, None] + log_weights, LATEST)
    with np.errstate(under="ignore"):
        rates = np.exp(log_rates)
        silent = np.exp(-rates)
        first = rates * silent * _leaving_one_out(silent, n - 1)
    chances = STEP * first.sum(axis=0) * n / log_weights.size
    return np.asarray(chances / chances.sum())


def rewind_chances(good: BoolArray, n: int) -> Array:
    """Chance that each of m samples is the first good one of n in random order, else the last.

    Needs 1 <= n <= m.

    Examples
    --------
    >>> rewind_chances(np.array([False, True]), 2).tolist()
    [0.0, 1.0]
    """
    m, bad = good.size, int(np.count_nonzero(~good))
    draws = np.arange(n)
    # chance that the draws before this one, and this one too, were bad
    so_far = np.cumprod((bad - np.minimum(draws, bad)) / (m - draws))
    before = np.concatenate([[1.0], so_far[:-1]])
    found = float(np.sum(before / (m - draws)))
    return np.where(good, found, so_far[-1] / max(bad, 1))
