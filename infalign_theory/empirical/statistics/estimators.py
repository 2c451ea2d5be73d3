"""What scores say by themselves: statistics of each prompt, without bias.

Functions of samples return one number a prompt, NaN where a prompt has too few samples;
:mod:`infalign_theory.empirical.statistics.uncertainty` turns those numbers into an estimate over
prompts.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from infalign_theory.checks import whole
from infalign_theory.empirical.scores.groups import Groups, check_sorted, share_out
from infalign_theory.empirical.statistics.whole_laws import law_win_rates
from infalign_theory.errors import InputError
from infalign_theory.kernels import ustatistics
from infalign_theory.procedures import Procedure, power_sides
from infalign_theory.procedures.laws import LawProcedure
from infalign_theory.procedures.names import as_procedure
from infalign_theory.typing import Array


def win_rates(
    aligned: Groups,
    base: Groups,
    procedure: Procedure | str = "standard",
    against_procedure: Procedure | str | None = None,
) -> Array:
    r"""Unbiased win rate of each prompt under Best-of-N, Worst-of-N or single samples.

    .. math:: \hat W = \sum_{ij} w_i v_j [1\{a_i > b_j\} + \tfrac12 1\{a_i = b_j\}], \qquad
              w_i = \binom{i-1}{N-1} \Big/ \binom{m_a}{N}

    over sorted scores (v likewise with m_b; reversed for Worst-of-N): the two-sample U-statistic,
    equal to the average over all pairs of size-N subsets, ties counted half. One merge per prompt,
    O(m_a + m_b).

    Parameters
    ----------
    aligned, base : Groups
        Sorted scores of the same prompts in the same order.
    procedure, against_procedure : Procedure or str
        ``"standard"``, ``"bon:N"`` or ``"won:N"``; the base's is the same by default.
        ``"soft:N@K"`` and ``"rewind:N@C"`` need calibrated rewards, for which ranks among the base
        samples stand in: a bias of the order 1/m in m base samples a prompt.

    Returns
    -------
    ndarray, shape (P,)
        In [0, 1], NaN with fewer than N samples on a side; bit for bit the same on any threads.

    References
    ----------
    Hoeffding (1948), U-statistics; InfAlign, arXiv 2412.19792, for the procedures.

    Examples
    --------
    >>> win_rates(Groups.stack([[1, 2, 2]]), Groups.stack([[0, 2]]), "bon:2").round(12).tolist()
    [0.5]
    """
    check_sorted("scores", aligned, base)
    ours = as_procedure(procedure)
    theirs = ours if against_procedure is None else as_procedure(against_procedure)
    if isinstance(ours, LawProcedure) and isinstance(theirs, LawProcedure):
        return law_win_rates(aligned, base, ours, theirs)
    n_a, best_a = _side(procedure)
    n_b, best_b = (n_a, best_a) if against_procedure is None else _side(against_procedure)
    out = np.empty(aligned.prompts)

    def run(first: int, last: int) -> None:
        ustatistics.win_rates(
            aligned.values,
            aligned.offsets,
            n_a,
            best_a,
            base.values,
            base.offsets,
            n_b,
            best_b,
            out,
            first,
            last,
        )

    share_out(run, aligned.prompts, aligned.values.size + base.values.size)
    return out


def picked_truth(proxy: Groups, truth: ArrayLike, procedure: Procedure | str) -> Array:
    r"""Mean truth of the sample that Best-of-N or Worst-of-N picks by proxy, in each prompt.

    A group of equal proxies is picked with probability
    :math:`[\binom{F}{N} - \binom{F_-}{N}] / \binom{m}{N}` (F, F_-: samples up to and below it) and
    shares it equally: the average over all size-N subsets.

    ``proxy`` holds sorted scores and ``truth``, shape (M,), the true reward of each sample in the
    same order. Returns shape (P,), NaN for a prompt with fewer than N samples or a missing truth.

    Examples
    --------
    >>> picked_truth(Groups.stack([[1, 5, 5]]), [0, 1, 0], "bon:3").tolist()
    [0.5]
    """
    check_sorted("proxy scores", proxy)
    values = _truth_of(proxy, truth)
    n, best = _side(procedure)
    out = np.empty(proxy.prompts)

    def run(first: int, last: int) -> None:
        ustatistics.picked_means(proxy.values, values, proxy.offsets, n, best, out, first, last)

    share_out(run, proxy.prompts, proxy.values.size)
    return out


def picked_win_rates(
    aligned: Groups,
    truth: ArrayLike,
    base: Groups,
    base_truth: ArrayLike,
    procedure: Procedure | str,
    *,
    against_procedure: Procedure | str | None = None,
) -> Array:
    """Win rate of each prompt by *true* reward, both picks made by the proxy.

    P(truth of the aligned pick > truth of the base pick), an equal truth counted half, averaged
    over all pairs of size-N subsets; equal proxies share a pick. The base's procedure is the same
    by default. The proxy's win rate beside it shows reward hacking. NaN with fewer than N samples
    or a missing (NaN) truth on a side.

    Examples
    --------
    >>> picked_win_rates(Groups.stack([[1, 9]]), [1, 0], Groups.stack([[0, 1]]), [0, 0], "bon:2")
    array([0.5])
    """
    check_sorted("proxy scores", aligned, base)
    ours, theirs = (_truth_of(g, t) for g, t in ((aligned, truth), (base, base_truth)))
    n_a, best_a = _side(procedure)
    n_b, best_b = (n_a, best_a) if against_procedure is None else _side(against_procedure)
    out = np.empty(aligned.prompts)

    def run(first: int, last: int) -> None:
        ustatistics.picked_win_rates(
            aligned.values,
            ours,
            aligned.offsets,
            base.values,
            theirs,
            base.offsets,
            n_a,
            best_a,
            n_b,
            best_b,
            out,
            first,
            last,
        )

    share_out(run, aligned.prompts, aligned.values.size + base.values.size)
    return out


def _truth_of(proxy: Groups, truth: ArrayLike) -> Array:
    values = np.ascontiguousarray(truth, dtype=np.float64)
    if values.shape != proxy.values.shape:
        raise InputError(
            f"truth has {values.size} entries for {proxy.values.size} samples; give one each."
        )
    if np.isinf(values).any():
        raise InputError("truth is not finite throughout; give NaN where it is not known.")
    return values


def cross_tie_fractions(aligned: Groups, base: Groups) -> Array:
    """Chance that an aligned and a base sample of a prompt score the same; NaN without a pair.

    Examples
    --------
    >>> cross_tie_fractions(Groups.stack([[1, 2]]), Groups.stack([[2, 2, 3]])).round(4).tolist()
    [0.3333]
    """
    check_sorted("scores", aligned, base)
    out = np.empty(aligned.prompts)

    def run(first: int, last: int) -> None:
        ustatistics.cross_tie_fractions(
            aligned.values, aligned.offsets, base.values, base.offsets, out, first, last
        )

    share_out(run, aligned.prompts, aligned.values.size + base.values.size)
    return out


def pass_at(truth: Groups, n: int) -> Array:
    """pass@n of each prompt, 1 - C(m-c, n)/C(m, n) with c of m samples correct (truth 0 or 1).

    The Best-of-N of a Bernoulli reward; Chen et al., arXiv 2107.03374, equation 1. Never a
    resampling with replacement: one correct of four has pass@4 = 1.

    Examples
    --------
    >>> pass_at(Groups.stack([[1, 0, 0, 0]]), 4).tolist()
    [1.0]
    """
    return 1.0 - _none_of(truth, n, 1.0)


def all_at(truth: Groups, n: int) -> Array:
    """Chance that n samples are all correct, C(c, n)/C(m, n): the Worst-of-N of a Bernoulli.

    Examples
    --------
    >>> all_at(Groups.stack([[1, 1, 1, 0]]), 2).tolist()
    [0.5]
    """
    return _none_of(truth, n, 0.0)


def _none_of(truth: Groups, n: int, hit: float) -> Array:
    if not np.isin(truth.values, (0.0, 1.0)).all():
        bad = truth.values[~np.isin(truth.values, (0.0, 1.0))][0]
        raise InputError(f"truth holds {bad}; pass@n and all-n need 0 (wrong) or 1 (correct).")
    size = whole(n, "n", "a whole number of samples of at least 1")
    hits = np.asarray(
        np.bincount(truth.owner, truth.values == hit, truth.prompts), dtype=np.float64
    )
    out = np.empty(truth.prompts)
    ustatistics.all_missed(hits, truth.offsets, size, out)
    return out


def tie_fractions(scores: Groups) -> Array:
    """Chance that two different samples of a prompt score the same; NaN with fewer than two."""
    check_sorted("scores", scores)
    out = np.empty(scores.prompts)
    ustatistics.tie_fractions(scores.values, scores.offsets, out, 0, scores.prompts)
    return out


def mean_tie_fraction(scores: Groups) -> float:
    """Chance that two different samples of a prompt have equal scores; 0 for single samples."""
    return float(np.mean(np.nan_to_num(tie_fractions(scores))))


def _side(procedure: Procedure | str) -> tuple[int, bool]:
    """(N, whether the best is kept)."""
    chosen = as_procedure(procedure)
    sign, n = power_sides(chosen)
    if n == 0:
        raise InputError(
            f"procedure {chosen.name} has no estimator here; give standard, bon:N or won:N "
            "(soft:N@K and rewind:N@C against their own kind)."
        )
    return n, sign >= 0
