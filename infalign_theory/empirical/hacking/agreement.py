"""How well the proxy ranks by truth, within prompts."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import stats

from infalign_theory.empirical.hacking.samples import Pairs
from infalign_theory.empirical.statistics.uncertainty import Estimate, mean_over_prompts
from infalign_theory.typing import Array

_WORST = 5
_TENTHS = 10


@dataclass(frozen=True)
class WorstPrompt:
    """A prompt whose proxy misleads: its samples, its AUROC, its truth at random and by proxy."""

    prompt: str
    samples: int
    auroc: float
    truth: float
    truth_of_best: float


@dataclass(frozen=True)
class Agreement:
    """Within-prompt agreement of proxy and truth.

    Attributes
    ----------
    auroc : Estimate or None
        Chance that of two samples of a prompt with different truths the better one has the larger
        proxy, ties half; None where no prompt has two different truths.
    rank_correlation : Estimate or None
        Spearman's, over prompts in which both vary.
    top_decile, overall : Estimate
        Mean truth of the top tenth by proxy of each prompt (ties shared), and of all its samples.
    by_decile : tuple of Estimate
        Mean truth of each tenth by proxy, the lowest first: how reliable the proxy is where.
    worst : tuple of WorstPrompt
        The five with the smallest AUROC.
    """

    auroc: Estimate | None
    rank_correlation: Estimate | None
    top_decile: Estimate
    overall: Estimate
    by_decile: tuple[Estimate, ...]
    worst: tuple[WorstPrompt, ...]


def agreement(pairs: Pairs, level: float = 0.95) -> Agreement:
    """Agreement of proxy and truth within prompts, with intervals over prompts."""
    rows = [
        (pairs.proxy.values[a:b], pairs.truth[a:b])
        for a, b in zip(pairs.proxy.offsets[:-1], pairs.proxy.offsets[1:], strict=True)
    ]
    aurocs = np.array([auroc(x, y) for x, y in rows])
    correlations = np.array([_spearman(x, y) for x, y in rows])
    tenths = np.array([tenth_means(x, y) for x, y in rows])
    deciles = tuple(mean_over_prompts(column, level=level) for column in tenths.T)
    means = np.array([y.mean() for _, y in rows])
    order = [int(i) for i in np.argsort(aurocs, kind="stable") if not np.isnan(aurocs[i])]
    return Agreement(
        None if np.isnan(aurocs).all() else mean_over_prompts(aurocs, level=level, bounds=(0, 1)),
        None
        if np.isnan(correlations).all()
        else mean_over_prompts(correlations, level=level, bounds=(-1, 1)),
        deciles[-1],
        mean_over_prompts(means, level=level),
        deciles,
        tuple(
            WorstPrompt(
                pairs.prompts[i],
                rows[i][0].size,
                float(aurocs[i]),
                float(means[i]),
                float(rows[i][1][rows[i][0] == rows[i][0][-1]].mean()),
            )
            for i in order[:_WORST]
        ),
    )


def auroc(proxy: Array, truth: Array) -> float:
    """Share of pairs of different truth that the proxy orders rightly, ties half; NaN without one.

    Examples
    --------
    >>> import numpy as np
    >>> auroc(np.array([1.0, 2.0, 2.0]), np.array([0.0, 1.0, 0.0]))
    0.75
    """
    return weighted_auroc(proxy, truth, np.ones(proxy.size))


def weighted_auroc(proxy: Array, truth: Array, weights: Array) -> float:
    """The same where samples have weights, a pair that of both."""
    better = (truth[:, None] > truth[None, :]) * weights[:, None] * weights[None, :]
    total = float(better.sum())
    if total <= 0.0:
        return float("nan")
    right = np.sign(proxy[:, None] - proxy[None, :])
    return float(0.5 + 0.5 * np.sum(better * right) / total)


def tenth_means(proxy: Array, truth: Array) -> Array:
    """Mean truth of each tenth by proxy, the lowest first; ties are shared across its edges.

    Examples
    --------
    >>> import numpy as np
    >>> tenth_means(np.arange(20.0), np.arange(20.0)).tolist()[:2]
    [0.5, 2.5]
    """
    values, group = np.unique(proxy, return_inverse=True)
    counts = np.bincount(group, minlength=values.size)
    means = np.bincount(group, weights=truth, minlength=values.size) / counts
    climbed = np.concatenate([[0.0], np.cumsum(counts * means)])
    edges = np.concatenate([[0.0], np.cumsum(counts)])
    sums = np.diff(np.interp(np.linspace(0.0, proxy.size, _TENTHS + 1), edges, climbed))
    return np.asarray(sums * _TENTHS / proxy.size)


def _spearman(proxy: Array, truth: Array) -> float:
    if np.ptp(proxy) == 0.0 or np.ptp(truth) == 0.0:
        return float("nan")
    return float(np.corrcoef(stats.rankdata(proxy), stats.rankdata(truth))[0, 1])
