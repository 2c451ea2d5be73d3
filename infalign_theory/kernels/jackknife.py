r"""Tilts of many small laws known from samples, bias of finite samples removed by the jackknife.

A prompt's law is given by counts of equal base scores. A sample with ``b`` base scores below and
``e`` equal to it stands at u = (2b + e + 1) / (2K + 2), the mean of the rank that breaks ties at
random; every number at such a u is looked up in the row ``2b + e`` of a table that has one block
of 2K + 1 rows for every K. A statistic S_K of K base samples is replaced by

    [K^2 S_K - 2 (K-h)^2 S_(K-h) + (K-2h)^2 S_(K-2h)] / (2 h^2),

which is free of bias of orders 1/K and 1/K^2 (or by [K S_K - (K-h) S_(K-h)] / h, free of the first
only). S_(K-h) and S_(K-2h) are means over ways to leave out h and 2h base samples: with few grades
h = 1 and all ways are taken; with many, h is an eighth of K and the samples, shuffled, are left
out block by block, so that the cost of a prompt is linear in its samples.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from infalign_theory.kernels._jit import kernel
from infalign_theory.typing import Array, IntArray

LEAST = 3  # base samples of a prompt
BLOCKS = 8  # of base samples left out together
MOST_ATOMS = 12  # with which every single sample is left out
_MODULUS, _FACTOR = 2147483647, 48271  # of Park and Miller's generator


class BaseLaws(NamedTuple):
    """Counts of base samples by atom, prompt after prompt, and how they are left out.

    ``blocks``, shape (atoms, :data:`BLOCKS`), counts the samples of each atom in each block;
    ``step`` is h of each prompt, 0 where every single sample is left out.
    """

    counts: IntArray
    offsets: IntArray
    blocks: IntArray
    step: IntArray


class Places(NamedTuple):
    """Where aligned samples stand: ``times`` of them with ``below`` and ``equal`` base samples."""

    below: IntArray
    equal: IntArray
    times: IntArray
    offsets: IntArray


class Sides(NamedTuple):
    """N of ours and of the base's pick, and whether it is the best or the worst; both (R, 2)."""

    sizes: IntArray
    best: IntArray


class Table(NamedTuple):
    """Exponents eta by row, exp(eta) in a scale that keeps it finite, and each K's first row."""

    first_row: IntArray
    eta: Array
    weight: Array


@kernel
def shuffled_blocks(counts: IntArray, offsets: IntArray, step: IntArray, blocks: IntArray) -> None:
    """Deal the base samples of each prompt to blocks of ``step`` each, in a repeatable shuffle."""
    for group in range(step.size):
        h = step[group]
        if h == 0:
            continue
        first, last = offsets[group], offsets[group + 1]
        size = counts[first:last].sum()
        owner = np.empty(size, dtype=np.intp)
        at = 0
        for j in range(first, last):
            for _ in range(counts[j]):
                owner[at] = j
                at += 1
        state = 1 + (group * 7919 + 12345) % (_MODULUS - 1)
        for i in range(size - 1, 0, -1):
            state = state * _FACTOR % _MODULUS
            other = state % (i + 1)
            owner[i], owner[other] = owner[other], owner[i]
        for i in range(h * BLOCKS):
            blocks[owner[i], i // h] += 1


@kernel
def _share(trials: int, step: int, less: int, order: int) -> float:
    """Weight of the statistic with ``less`` leavings of ``step`` base samples each."""
    n = trials - less * step
    if order == 1:
        return (n if less == 0 else -n) / step if less < 2 else 0.0
    part = n * n / (2.0 * step * step)
    return -2.0 * part if less == 1 else part


@kernel
def _leave(base: BaseLaws, group: int, one: int, two: int, left: IntArray) -> float:
    """Counts without atoms or blocks ``one`` and ``two`` (-1: none), and the chance of it."""
    first = base.offsets[group]
    trials = 0
    for j in range(left.size):
        left[j] = base.counts[first + j]
        trials += left[j]
    if base.step[group] > 0:
        for j in range(left.size):
            if one >= 0:
                left[j] -= base.blocks[first + j, one]
            if two >= 0:
                left[j] -= base.blocks[first + j, two]
        if one < 0:
            return 1.0
        if two < 0:
            return 1.0 / BLOCKS
        return 2.0 / (BLOCKS * (BLOCKS - 1)) if one != two else 0.0
    chance = 1.0
    if one >= 0:
        chance *= left[one] / trials
        left[one] -= 1
    if two >= 0:
        # unordered pairs: twice the chance of an ordered one unless the atoms are the same
        chance *= left[two] / (trials - 1) * (1.0 if one == two else 2.0)
        left[two] -= 1
    return chance


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
def _add_samples(
    held: IntArray,
    left: IntArray,
    places: Places,
    group: int,
    start: int,
    part: float,
    eta: Array,
    features: Array,
    out: Array,
) -> None:
    """Add ``part`` of eta and of every feature at the places of a prompt's aligned samples.

    Places come in increasing order, so one walk over the atoms tells how far down the table each
    place moves when base samples are left out.
    """
    atom, under, gone = 0, 0, 0
    for s in range(places.offsets[group], places.offsets[group + 1]):
        below = places.below[s]
        while atom < held.size and under + held[atom] <= below:
            under += held[atom]
            gone += held[atom] - left[atom]
            atom += 1
        row = start + 2 * (below - gone) + places.equal[s]
        if places.equal[s] > 0:
            row -= held[atom] - left[atom]
        amount = part * places.times[s]
        out[0] += amount * eta[row]
        for i in range(features.shape[1]):
            out[1 + i] += amount * features[row, i]


@kernel
def residuals(
    base: BaseLaws,
    places: Places,
    table: Table,
    features: Array,
    order: int,
    out: Array,
    span: tuple[int, int],
) -> None:
    """Log-likelihood of each prompt's samples, and of every feature their mean less the law's.

    ``out``, shape (P, 1 + q), is NaN for prompts with fewer than 3 base samples or no others.
    """
    for group in range(span[0], span[1]):
        held = base.counts[base.offsets[group] : base.offsets[group + 1]]
        trials = held.sum()
        samples = places.times[places.offsets[group] : places.offsets[group + 1]].sum()
        if trials < LEAST or samples < 1:
            out[group] = np.nan
            continue
        out[group] = 0.0
        step = max(base.step[group], 1)
        ways = BLOCKS if base.step[group] > 0 else held.size
        left, rows = np.empty(held.size, dtype=np.intp), np.empty(held.size, dtype=np.intp)
        law = np.empty(held.size)
        for one in range(-1, ways):
            for two in range(-1, one + 1 if order == 2 else 0):
                chance = _leave(base, group, one, two, left)
                if chance <= 0.0:
                    continue
                less = (1 if one >= 0 else 0) + (1 if two >= 0 else 0)
                part = _share(trials, step, less, order) * chance
                start = table.first_row[trials - less * step]
                out[group, 0] -= part * np.log(_tilted(left, start, table.weight, rows, law))
                for j in range(held.size):
                    for i in range(features.shape[1]):
                        out[group, 1 + i] -= part * law[j] * features[rows[j], i]
                _add_samples(
                    held,
                    left,
                    places,
                    group,
                    start,
                    part / samples,
                    table.eta,
                    features,
                    out[group],
                )


@kernel
def outcomes(
    base: BaseLaws,
    table: Table,
    sides: Sides,
    order: int,
    out: Array,
    span: tuple[int, int],
) -> None:
    """KL of each prompt's tilted law, and its win rate under Best- or Worst-of-N on both sides.

    ``out`` has shape (P, 1 + R); NaN for prompts with fewer than 3 base samples.
    """
    for group in range(span[0], span[1]):
        held = base.counts[base.offsets[group] : base.offsets[group + 1]]
        trials = held.sum()
        if trials < LEAST:
            out[group] = np.nan
            continue
        out[group] = 0.0
        step = max(base.step[group], 1)
        ways = BLOCKS if base.step[group] > 0 else held.size
        left, rows = np.empty(held.size, dtype=np.intp), np.empty(held.size, dtype=np.intp)
        law = np.empty(held.size)
        for one in range(-1, ways):
            for two in range(-1, one + 1 if order == 2 else 0):
                chance = _leave(base, group, one, two, left)
                if chance <= 0.0:
                    continue
                less = (1 if one >= 0 else 0) + (1 if two >= 0 else 0)
                part = _share(trials, step, less, order) * chance
                start = table.first_row[trials - less * step]
                log_z = np.log(_tilted(left, start, table.weight, rows, law))
                for j in range(held.size):
                    if law[j] > 0.0:
                        out[group, 0] += part * law[j] * (table.eta[rows[j]] - log_z)
                for r in range(sides.sizes.shape[0]):
                    out[group, 1 + r] += part * _win_rate(left, law, sides.sizes[r], sides.best[r])


@kernel
def _win_rate(left: IntArray, law: Array, sizes: IntArray, best: IntArray) -> float:
    """P(pick of the law > pick of the base) + P(tie) / 2.

    Grades are gone through from the end that our own pick avoids; where the base's avoids the
    other end its pick is among the grades seen unless all of its samples are beyond them.
    """
    size, n, m = left.sum(), sizes[0], sizes[1]
    from_below = best[0] > 0
    alike = best[0] == best[1] or m == 1
    ours, theirs, ours_n, theirs_n, won = 0.0, 0, 0.0, 0.0, 0.0
    for step in range(left.size):
        j = step if from_below else left.size - 1 - step
        ours = min(ours + law[j], 1.0)
        theirs += left[j]
        next_ours = ours**n
        next_theirs = (theirs / size) ** m if alike else 1.0 - ((size - theirs) / size) ** m
        won += (next_theirs - theirs_n) * (next_ours + ours_n) / 2
        ours_n, theirs_n = next_ours, next_theirs
    return 1.0 - won if from_below else won
