"""Tilts of many small laws known from samples, bias of finite samples removed by the jackknife.

A prompt's law is given by counts of equal base scores. A sample with ``b`` base scores below and
``e`` equal to it stands at u = (2b + e + 1) / (2K + 2), the mean of the rank that breaks ties at
random; every number at such a u is looked up in the row ``2b + e`` of a table that has one block
of 2K + 1 rows for every K. A statistic S_K of K base samples is replaced by

    [K^2 S_K - 2 (K-1)^2 S_(K-1) + (K-2)^2 S_(K-2)] / 2,

S_(K-1) and S_(K-2) averaged over all ways to leave out one and two base samples: what is left of
its bias is of order 1/K^3.
"""

from __future__ import annotations

import numpy as np

from infalign_theory.kernels._jit import kernel
from infalign_theory.typing import Array, IntArray

LEAST = 3  # base samples of a prompt


@kernel
def _left(counts: IntArray, one: int, two: int, left: IntArray) -> float:
    """Counts without a sample of atoms ``one`` and ``two`` (-1: none), and the term's weight."""
    k = 0.0
    for j in range(counts.size):
        left[j] = counts[j]
        k += counts[j]
    term = k * k / 2
    if one >= 0:
        term = -(k - 1) * (k - 1) * left[one] / k
        left[one] -= 1
    if two >= 0:
        # unordered pairs: twice the chance of an ordered one unless the atoms are the same
        chance = left[two] / (k - 1) * (1.0 if one == two else 2.0)
        term *= -(k - 2) * (k - 2) / (2 * (k - 1) * (k - 1)) * chance
        left[two] -= 1
    return term


@kernel
def _tilted(left: IntArray, start: int, weight: Array, rows: IntArray, law: Array) -> float:
    """Fill table rows and tilted masses of the atoms; returns the normaliser."""
    below, total = 0, 0.0
    for j in range(left.size):
        rows[j] = start + 2 * below + left[j]
        below += left[j]
        law[j] = left[j] * weight[rows[j]] if left[j] > 0 else 0.0
        total += law[j]
    for j in range(left.size):
        law[j] /= total
    return total / below


@kernel
def _lost(counts: IntArray, below: int, equal: int, one: int, two: int) -> int:
    """How far down the table row of a sample moves when atoms lose base samples."""
    moved, up_to = 0, 0
    for j in range(max(one, two) + 1):
        times = (1 if j == one else 0) + (1 if j == two else 0)
        if up_to < below:
            moved += 2 * times
        elif up_to == below and equal > 0:
            moved += times
        up_to += counts[j]
    return moved


@kernel
def residuals(
    counts: IntArray, atoms: IntArray,
    below: IntArray, equal: IntArray, times: IntArray, offsets: IntArray,
    first_row: IntArray, eta: Array, weight: Array, features: Array,
    out: Array, first: int, last: int,
) -> None:  # fmt: skip
    """Log-likelihood of each prompt's samples, and of every feature their mean less the law's.

    ``times`` samples stand at each place (``below``, ``equal``); ``eta`` are exponents and
    ``weight`` is exp(eta) in any scale that keeps it finite; ``out``, shape (P, 1 + q), is NaN for
    prompts with fewer than 3 base samples or no others.
    """
    q = features.shape[1]
    for group in range(first, last):
        held = counts[atoms[group] : atoms[group + 1]]
        trials, samples = held.sum(), times[offsets[group] : offsets[group + 1]].sum()
        if trials < LEAST or samples < 1:
            out[group] = np.nan
            continue
        out[group] = 0.0
        left, rows = np.empty(held.size, dtype=np.intp), np.empty(held.size, dtype=np.intp)
        law = np.empty(held.size)
        for one in range(-1, held.size):
            for two in range(-1, one + 1):
                if two >= 0 and one == two and held[one] < 2:
                    continue
                share = _left(held, one, two, left)
                less = (1 if one >= 0 else 0) + (1 if two >= 0 else 0)
                start = first_row[trials - less]
                out[group, 0] -= share * np.log(_tilted(left, start, weight, rows, law))
                for j in range(held.size):
                    for i in range(q):
                        out[group, 1 + i] -= share * law[j] * features[rows[j], i]
                for s in range(offsets[group], offsets[group + 1]):
                    row = start + 2 * below[s] + equal[s]
                    row -= _lost(held, below[s], equal[s], one, two)
                    part = share * times[s] / samples
                    out[group, 0] += part * eta[row]
                    for i in range(q):
                        out[group, 1 + i] += part * features[row, i]


@kernel
def outcomes(
    counts: IntArray, atoms: IntArray, first_row: IntArray, eta: Array, weight: Array,
    sizes: IntArray, best: IntArray, out: Array, first: int, last: int,
) -> None:  # fmt: skip
    """KL of each prompt's tilted law, and its win rate under Best- or Worst-of-``sizes``.

    ``out`` has shape (P, 1 + R); NaN for prompts with fewer than 3 base samples.
    """
    for group in range(first, last):
        held = counts[atoms[group] : atoms[group + 1]]
        trials = held.sum()
        if trials < LEAST:
            out[group] = np.nan
            continue
        out[group] = 0.0
        left, rows = np.empty(held.size, dtype=np.intp), np.empty(held.size, dtype=np.intp)
        law = np.empty(held.size)
        for one in range(-1, held.size):
            for two in range(-1, one + 1):
                if two >= 0 and one == two and held[one] < 2:
                    continue
                share = _left(held, one, two, left)
                less = (1 if one >= 0 else 0) + (1 if two >= 0 else 0)
                log_z = np.log(_tilted(left, first_row[trials - less], weight, rows, law))
                for j in range(held.size):
                    if law[j] > 0.0:
                        out[group, 0] += share * law[j] * (eta[rows[j]] - log_z)
                for r in range(sizes.size):
                    out[group, 1 + r] += share * _win_rate(left, law, sizes[r], best[r] > 0)


@kernel
def _win_rate(left: IntArray, law: Array, n: int, best: bool) -> float:
    """P(pick of the law > pick of the base) + P(tie) / 2."""
    size = left.sum()
    ours, theirs, ours_n, theirs_n, won = 0.0, 0, 0.0, 0.0, 0.0
    for step in range(left.size):
        j = step if best else left.size - 1 - step
        ours = min(ours + law[j], 1.0)
        theirs += left[j]
        next_ours, next_theirs = ours**n, (theirs / size) ** n
        won += (next_theirs - theirs_n) * (next_ours + ours_n) / 2
        ours_n, theirs_n = next_ours, next_theirs
    return 1.0 - won if best else won
