"""Judging calibrated ranks: whether a fitted tilt describes them, and KL without any tilt."""

from __future__ import annotations

import numpy as np
from scipy import special

from infalign_theory.checks import whole
from infalign_theory.empirical.fitting.laws import Goodness, RankShares
from infalign_theory.empirical.fitting.likelihood import Counts, Value
from infalign_theory.empirical.statistics.calibration import Calibration, rank_covers
from infalign_theory.empirical.statistics.uncertainty import (
    Estimate,
    mean_over_prompts,
    student_interval,
)
from infalign_theory.typing import Array, IntArray


def goodness_of_fit(
    counts: Counts, value: Value, by_prompt: Array, inverse: Array, largest: int = 100
) -> tuple[Goodness | None, RankShares | None]:
    """Chi-square of ranks in equal bins, merged until each is expected to hold enough samples.

    Under the law Pearson's statistic is a weighted sum of chi-squares, because samples of a prompt
    depend on each other and parameters were fitted. The weights are estimated from the prompts'
    residuals, and mean and variance matched: the statistic over its ``df`` (fractional) degrees of
    freedom is about F-distributed, with ``df`` (P - 1) degrees for those weights (second-order
    correction of Rao and Scott 1984, with the denominator of Thomas and Rao 1987).
    """
    bins = int(min(counts.trials.max() + 1, largest))
    overlap = np.concatenate([_covers(k, bins) for k in counts.trials.tolist()])
    observed = counts.prompt_means(overlap)
    rows = [slice(first, first + k + 1) for _, k, _, first in counts.blocks]
    by_block = np.stack([value.probability[r] @ overlap[r] for r in rows])
    moved = [(value.probability[r, None] * value.scores[r]).T @ overlap[r] for r in rows]
    expected = by_block[counts.block_of]
    slope = np.tensordot(np.bincount(counts.block_of) / counts.prompts, np.stack(moved), 1)
    group = _merged(expected.mean(axis=0), max(5.0 / counts.owner.size, 0.08))
    gather = np.eye(group[-1] + 1)[group]
    if gather.shape[1] - 1 <= inverse.shape[0] or counts.prompts < 2:
        return None, None
    residual = (observed - expected - by_prompt @ inverse @ slope) @ gather
    share = (expected @ gather).mean(axis=0)
    gap = (observed @ gather).mean(axis=0) - share
    centred = (residual - residual.mean(axis=0)) / np.sqrt(share)
    spread = centred.T @ centred / (counts.prompts - 1)
    last = np.append(np.flatnonzero(np.diff(group)), group.size - 1)
    error = (observed @ gather).std(axis=0, ddof=1) / np.sqrt(counts.prompts)
    shares = RankShares(np.concatenate([[0.0], (last + 1.0) / bins]), gap + share, error, share)
    trace, squares = float(np.trace(spread)), float(np.sum(spread**2))
    if squares <= 0.0:
        return None, shares
    statistic = counts.prompts * float(np.sum(gap**2 / share)) * trace / squares
    df = trace**2 / squares
    p_value = float(special.fdtrc(df, df * (counts.prompts - 1), statistic / df))
    return Goodness(statistic, df, p_value), shares


def _covers(k: int, bins: int) -> Array:
    """The part of each count's rank, c = 0 ... K, in each equal bin: shape (K + 1, bins)."""
    return np.stack(list(rank_covers(np.arange(k + 1), 0, k, bins)), axis=1)


def _merged(shares: Array, least: float) -> IntArray:
    """Number of the merged bin of each bin, every merged bin holding at least ``least``."""
    group, held, out = 0, 0.0, []
    for i, share in enumerate(shares):
        if held >= least and np.sum(shares[i:]) >= least:
            group, held = group + 1, 0.0
        held += share
        out.append(group)
    return np.array(out, dtype=np.intp)


def calibrated_kl(calibration: Calibration, bins: int = 10, *, level: float = 0.95) -> Estimate:
    r"""KL of the aligned samples' law of ranks, a lower bound of the mean KL of the policy.

    :math:`\sum_j q_j \log(B q_j)` over B bins of rank (``Calibration.shares``), which the base
    fills evenly: ranking and binning lose information and KL is convex, so the truth is never
    below it (data processing). The plug-in's bias is removed to first order by
    :math:`\frac12 \sum_j \mathrm{Var}(q_j) / q_j`, variances by prompt (after Miller 1955).

    Examples
    --------
    >>> from infalign_theory.empirical.statistics.calibration import calibrate
    >>> from infalign_theory.empirical.scores.groups import Groups
    >>> ranks = calibrate(Groups.stack([[2.0], [2.0]]), Groups.stack([[1.0], [1.0]]))
    >>> round(calibrated_kl(ranks, bins=2).value, 6)  # all in the upper half: log 2
    0.693147
    """
    shares = calibration.shares(whole(bins, "bins", "a whole number of bins"))
    context = mean_over_prompts(shares[:, 0], level=level)
    shares = shares[~np.isnan(shares[:, 0])]
    prompts, excluded = context.prompts, context.excluded
    q = shares.mean(axis=0)
    log_q = np.log(np.where(q > 0.0, q * bins, 1.0))
    value = float(q @ log_q)
    if prompts == 1:
        return Estimate(value, None, None, 1, excluded)
    variance = shares.var(axis=0, ddof=1) / prompts
    value = max(value - float(np.sum(variance / np.where(q > 0.0, q, 1.0))) / 2, 0.0)
    error = float(np.std((shares - q) @ log_q, ddof=1) / np.sqrt(prompts))
    interval = student_interval(value, error, prompts, level, (0.0, np.inf))
    return Estimate(value, error, interval, prompts, excluded)
