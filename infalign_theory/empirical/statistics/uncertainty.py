"""Means over prompts and their uncertainty: prompts are the independent unit throughout.

One number a prompt goes in, NaN where a prompt cannot give it; an :class:`Estimate` comes out,
which counts the prompts left out.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from infalign_theory.checks import real, whole
from infalign_theory.errors import InputError
from infalign_theory.typing import Array

_LARGEST_BATCH = 1 << 22

Bounds = tuple[float, float]
ANYWHERE: Bounds = (-np.inf, np.inf)


@dataclass(frozen=True)
class Estimate:
    """A number with its uncertainty over prompts.

    ``stderr`` and ``ci`` are None with a single prompt; ``prompts`` were used, ``excluded`` could
    not give the number.
    """

    value: float
    stderr: float | None
    ci: tuple[float, float] | None
    prompts: int
    excluded: int


def _usable(values: ArrayLike, level: float) -> tuple[Array, int]:
    real(level, "level", "a confidence level between 0 and 1")
    if not 0.0 < level < 1.0:
        raise InputError(f"level = {level} is not allowed; give a level between 0 and 1.")
    array = np.asarray(values, dtype=np.float64).ravel()
    if np.isinf(array).any():
        raise InputError("a prompt's number is infinite; it has no mean over prompts.")
    kept = array[~np.isnan(array)]
    if not kept.size:
        raise InputError(
            f"none of {array.size} prompts can give this number; it needs at least N samples of "
            "each policy on some prompt: collect more or take a smaller N."
        )
    return kept, array.size - kept.size


def student_interval(
    value: float, stderr: float, prompts: int, level: float = 0.95, bounds: Bounds = ANYWHERE
) -> tuple[float, float]:
    """Student t interval with prompts - 1 degrees of freedom, cut to the bounds."""
    reach = float(special.stdtrit(prompts - 1, 0.5 + level / 2)) * stderr
    return max(value - reach, bounds[0]), min(value + reach, bounds[1])


def skewed_interval(values: Array, level: float = 0.95, bounds: Bounds = ANYWHERE) -> Bounds:
    r"""Interval of a mean that makes up for skewness: Hall's monotone cubic transformation.

    With skewness :math:`\gamma`, :math:`T = \sqrt n (\bar x - \mu)/s` and :math:`r = T/\sqrt n`,
    :math:`r + \gamma r^2/3 + \gamma^2 r^3/27 + \gamma/(6n)` has no skewness to order 1/n (Hall
    1992, "On the removal of skewness by transformation"); Student's quantiles of it are mapped
    back. Without skewness it is Student's interval.

    Examples
    --------
    >>> low, high = skewed_interval(np.array([0.0, 0.1, 0.1, 0.2, 0.9]))
    >>> 0.26 - low < high - 0.26  # the long side is where the mean may have been missed
    True
    """
    n = values.size
    mean, centred = float(np.mean(values)), values - np.mean(values)
    spread = float(np.sqrt(np.mean(centred**2)))
    error = spread / np.sqrt(n - 1.0)
    skewness = float(np.mean((centred / spread) ** 3)) if spread > 0.0 else 0.0
    if abs(skewness) < 1e-6:
        return student_interval(mean, error, n, level, bounds)
    reach = float(special.stdtrit(n - 1, 0.5 + level / 2)) / np.sqrt(n)
    shifted = np.array([reach, -reach]) - skewness / (6.0 * n)
    ends = mean - error * np.sqrt(n) * 3.0 / skewness * (np.cbrt(1.0 + skewness * shifted) - 1.0)
    return max(float(ends[0]), bounds[0]), min(float(ends[1]), bounds[1])


def mean_over_prompts(
    values: ArrayLike, *, level: float = 0.95, bounds: Bounds = ANYWHERE
) -> Estimate:
    r"""Mean of one number a prompt, with a standard error and Student interval by prompt.

    The influence function of a mean is its centred term, so the standard error
    :math:`s / \sqrt P` is that of the jackknife over prompts; correlation of samples within a
    prompt, shared base samples included, is inside it. Where every prompt agrees it is 0.

    NaN entries are left out and counted; ``bounds``, (0, 1) for win rates, cut the interval.

    Examples
    --------
    >>> mean_over_prompts([0.25, 0.75, float("nan")], bounds=(0, 1)).excluded
    1
    """
    kept, excluded = _usable(values, level)
    mean = float(np.mean(kept))
    if kept.size == 1:
        return Estimate(mean, None, None, 1, excluded)
    error = float(np.std(kept, ddof=1) / np.sqrt(kept.size))
    interval = student_interval(mean, error, kept.size, level, bounds)
    return Estimate(mean, error, interval, kept.size, excluded)


def paired_difference(first: ArrayLike, second: ArrayLike, *, level: float = 0.95) -> Estimate:
    """Mean of first minus second over the prompts that have both numbers: two tuned policies.

    Examples
    --------
    >>> paired_difference([0.5, 0.7, float("nan")], [0.4, 0.6, 0.1]).prompts
    2
    """
    a, b = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    if a.shape != b.shape or a.ndim != 1:
        raise InputError(
            f"paired numbers have shapes {a.shape} and {b.shape}; give one a prompt, same order."
        )
    return mean_over_prompts(a - b, level=level)


def bootstrap_over_prompts(
    values: ArrayLike,
    *,
    rng: np.random.Generator | int,
    resamples: int = 2000,
    method: str = "bca",
    level: float = 0.95,
) -> Estimate:
    """Mean over prompts with a bootstrap interval: prompts are drawn with replacement.

    NaN entries are left out and counted. ``rng`` is a Generator or a seed; the same seed gives
    the same interval. ``method`` is ``"bca"``, bias-corrected and accelerated (Efron 1987; the
    acceleration of a mean is sum d^3 / (6 (sum d^2)^(3/2))), or ``"percentile"``.

    Examples
    --------
    >>> bootstrap_over_prompts([0.5, 0.5, 0.5], rng=1).ci
    (0.5, 0.5)
    """
    kept, excluded = _usable(values, level)
    count = whole(resamples, "resamples", "a whole number of resamples")
    if method not in ("bca", "percentile"):
        raise InputError(f"method = {method!r} is not known; give 'bca' or 'percentile'.")
    mean = float(np.mean(kept))
    if kept.size == 1:
        return Estimate(mean, None, None, 1, excluded)
    generator = np.random.default_rng(rng)
    batch = max(1, _LARGEST_BATCH // kept.size)
    means = np.concatenate(
        [
            kept[generator.integers(0, kept.size, (min(batch, count - i), kept.size))].mean(axis=1)
            for i in range(0, count, batch)
        ]
    )
    tails = np.array([(1 - level) / 2, (1 + level) / 2])
    deviations = kept - mean
    spread = float(np.sum(deviations**2))
    if method == "bca" and spread > 0.0:
        below = (np.mean(means < mean) + np.mean(means <= mean)) / 2
        bias = special.ndtri(np.clip(below, 0.5 / count, 1 - 0.5 / count))
        acceleration = np.sum(deviations**3) / (6 * spread**1.5)
        shifted = bias + special.ndtri(tails)
        tails = special.ndtr(bias + shifted / (1 - acceleration * shifted))
    low, high = (float(x) for x in np.quantile(means, tails))
    return Estimate(mean, float(np.std(means, ddof=1)), (low, high), kept.size, excluded)
