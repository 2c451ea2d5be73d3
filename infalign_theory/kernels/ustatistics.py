"""Two-sample U-statistics of many prompts laid end to end: exact with ties, linear in samples.

Every kernel fills its output in place for the prompts ``first`` to ``last - 1``, so that callers
may share prompts out among threads; a prompt's number depends on that prompt alone.
"""

from __future__ import annotations

import numpy as np

from infalign_theory.kernels._jit import kernel, light_kernel
from infalign_theory.kernels.sorting import any_missing, sorted_order
from infalign_theory.typing import Array, IntArray


@light_kernel
def pick_weights(m: int, n: int, best: bool, out: Array) -> None:
    """Chance that each of m sorted samples is the best (or worst) of a random size-n subset.

    C(i-1, n-1) / C(m, n) at rank i, from the certain end by ratios at most 1: no factorials, and
    nothing larger than 1 is ever formed. Needs 1 <= n <= m.
    """
    weight = n / m
    for rank in range(m, 0, -1):
        out[rank - 1 if best else m - rank] = weight
        if rank > 1:
            weight *= (rank - n) / (rank - 1)


@light_kernel
def win_rates(
    a: Array,
    a_offsets: IntArray,
    n_a: int,
    best_a: bool,
    b: Array,
    b_offsets: IntArray,
    n_b: int,
    best_b: bool,
    out: Array,
    first: int,
    last: int,
) -> None:
    """P(pick of a > pick of b) + P(tie) / 2 over all pairs of subsets; NaN with too few samples."""
    w, v = np.empty(0), np.empty(0)
    for group in range(first, last):
        i, i_end = a_offsets[group], a_offsets[group + 1]
        j, j_end = b_offsets[group], b_offsets[group + 1]
        if i_end - i < n_a or j_end - j < n_b:
            out[group] = np.nan
            continue
        if w.size != i_end - i:
            w = np.empty(i_end - i)
            pick_weights(w.size, n_a, best_a, w)
        if v.size != j_end - j:
            v = np.empty(j_end - j)
            pick_weights(v.size, n_b, best_b, v)
        i0, j0 = i, j
        total, b_below = 0.0, 0.0
        while i < i_end:
            score = a[i]
            while j < j_end and b[j] < score:
                b_below += v[j - j0]
                j += 1
            a_mass, b_mass = 0.0, 0.0
            while i < i_end and a[i] == score:
                a_mass += w[i - i0]
                i += 1
            while j < j_end and b[j] == score:
                b_mass += v[j - j0]
                j += 1
            total += a_mass * (b_below + b_mass / 2)
            b_below += b_mass
        out[group] = min(total, 1.0)


@light_kernel
def picked_means(
    scores: Array,
    values: Array,
    offsets: IntArray,
    n: int,
    best: bool,
    out: Array,
    first: int,
    last: int,
) -> None:
    """Mean value of the sample with the best (or worst) score of n; equal scores share equally."""
    w = np.empty(0)
    for group in range(first, last):
        i, end = offsets[group], offsets[group + 1]
        if end - i < n:
            out[group] = np.nan
            continue
        if w.size != end - i:
            w = np.empty(end - i)
            pick_weights(w.size, n, best, w)
        start = i
        total = 0.0
        while i < end:
            j = i
            mass, value = 0.0, 0.0
            while j < end and scores[j] == scores[i]:
                mass += w[j - start]
                value += values[j]
                j += 1
            total += mass * (value / (j - i))
            i = j
        out[group] = total


@kernel
def _pick_chances(scores: Array, n: int, best: bool, out: Array) -> None:
    """Chance that each sample is picked, equal scores sharing equally. Needs 1 <= n <= m."""
    pick_weights(scores.size, n, best, out)
    i = 0
    while i < scores.size:
        j, mass = i, 0.0
        while j < scores.size and scores[j] == scores[i]:
            mass += out[j]
            j += 1
        for at in range(i, j):
            out[at] = mass / (j - i)
        i = j


@kernel
def picked_win_rates(
    a: Array,
    a_truth: Array,
    a_offsets: IntArray,
    b: Array,
    b_truth: Array,
    b_offsets: IntArray,
    n_a: int,
    best_a: bool,
    n_b: int,
    best_b: bool,
    out: Array,
    first: int,
    last: int,
) -> None:
    """P(truth of a's pick > truth of b's) + P(equal) / 2, both picked by score among n."""
    for group in range(first, last):
        i0, i1 = a_offsets[group], a_offsets[group + 1]
        j0, j1 = b_offsets[group], b_offsets[group + 1]
        ours, theirs = a_truth[i0:i1], b_truth[j0:j1]
        if i1 - i0 < n_a or j1 - j0 < n_b or any_missing(ours) or any_missing(theirs):
            out[group] = np.nan
            continue
        w, v = np.empty(i1 - i0), np.empty(j1 - j0)
        _pick_chances(a[i0:i1], n_a, best_a, w)
        _pick_chances(b[j0:j1], n_b, best_b, v)
        by_a, by_b = sorted_order(ours), sorted_order(theirs)
        low = high = 0
        below, up_to, total = 0.0, 0.0, 0.0
        for i in by_a:
            while low < v.size and theirs[by_b[low]] < ours[i]:
                below += v[by_b[low]]
                low += 1
            while high < v.size and theirs[by_b[high]] <= ours[i]:
                up_to += v[by_b[high]]
                high += 1
            total += w[i] * (below + up_to) / 2
        out[group] = min(total, 1.0)


@light_kernel
def rank_counts(
    a: Array,
    a_offsets: IntArray,
    b: Array,
    b_offsets: IntArray,
    below: IntArray,
    equal: IntArray,
    first: int,
    last: int,
) -> None:
    """How many samples of b score below, and how many equal, each sample of a."""
    for group in range(first, last):
        start, end = b_offsets[group], b_offsets[group + 1]
        low = high = start
        for i in range(a_offsets[group], a_offsets[group + 1]):
            while low < end and b[low] < a[i]:
                low += 1
            high = max(high, low)
            while high < end and b[high] == a[i]:
                high += 1
            below[i] = low - start
            equal[i] = high - low


@light_kernel
def tie_fractions(scores: Array, offsets: IntArray, out: Array, first: int, last: int) -> None:
    """Chance that two different samples of a prompt score the same; NaN with fewer than two."""
    for group in range(first, last):
        i, end = offsets[group], offsets[group + 1]
        m = end - i
        pairs = 0.0
        while i < end:
            j = i
            while j < end and scores[j] == scores[i]:
                j += 1
            pairs += (j - i) * (j - i - 1.0)
            i = j
        out[group] = pairs / (m * (m - 1.0)) if m > 1 else np.nan


@light_kernel
def cross_tie_fractions(
    a: Array,
    a_offsets: IntArray,
    b: Array,
    b_offsets: IntArray,
    out: Array,
    first: int,
    last: int,
) -> None:
    """Chance that a sample of a and one of b score the same; NaN where a side has none."""
    for group in range(first, last):
        i, i_end = a_offsets[group], a_offsets[group + 1]
        j, j_end = b_offsets[group], b_offsets[group + 1]
        pairs, equal, at = float(i_end - i) * (j_end - j), 0.0, j
        while i < i_end:
            score = a[i]
            while j < j_end and b[j] < score:
                j += 1
            at = max(at, j)
            while at < j_end and b[at] == score:
                at += 1
            equal += at - j
            i += 1
        out[group] = equal / pairs if pairs > 0.0 else np.nan


@kernel
def all_missed(hits: Array, offsets: IntArray, n: int, out: Array) -> None:
    """C(m - c, n) / C(m, n): chance that n of m samples, c of them hits, hold no hit.

    A product of at most min(n, c) factors in [0, 1].
    """
    for group in range(offsets.size - 1):
        m = offsets[group + 1] - offsets[group]
        if m < n:
            out[group] = np.nan
            continue
        c = hits[group]
        short, long = min(c, n), max(c, n)
        chance = 1.0
        for j in range(int(short)):
            chance *= max(m - long - j, 0.0) / (m - j)
        out[group] = chance


@light_kernel
def _kept(k: int, smaller: int, c: int, out: Array) -> tuple[int, int]:
    """Hypergeometric law of c' among ``smaller`` of k things, c of them marked.

    Fills ``out[first:last]`` outward from the mode by ratios, down to 1e-25 of it; no factorials.
    """
    low, high = max(0, smaller - (k - c)), min(c, smaller)
    mode = min(max(int((smaller + 1.0) * (c + 1.0) / (k + 2.0)), low), high)
    out[mode] = total = 1.0
    first, last = mode, mode + 1
    while last <= high and out[last - 1] > 1e-25:
        x = last - 1.0
        out[last] = out[last - 1] * (c - x) * (smaller - x) / ((x + 1) * (k - c - smaller + x + 1))
        total += out[last]
        last += 1
    while first > low and out[first] > 1e-25:
        x = float(first)
        out[first - 1] = out[first] * x * (k - c - smaller + x) / ((c - x + 1) * (smaller - x + 1))
        total += out[first - 1]
        first -= 1
    for i in range(first, last):
        out[i] /= total
    return first, last


@light_kernel
def averaged_over_thinning(values: Array, k: int, smaller: int) -> Array:
    """Mean of values[c'] (rows) at each count c = 0 ... k; the values themselves at smaller = k."""
    chances = np.empty(smaller + 1)
    out = np.zeros((k + 1, values.shape[1]))
    for c in range(k + 1):
        first, last = _kept(k, smaller, c, chances)
        for i in range(first, last):
            for q in range(values.shape[1]):
                out[c, q] += chances[i] * values[i, q]
    return out


@light_kernel
def thinned_weights(weights: Array, k: int, smaller: int) -> Array:
    """Weights of counts c = 0 ... k passed on to counts c' = 0 ... smaller."""
    chances = np.empty(smaller + 1)
    out = np.zeros(smaller + 1)
    for c in range(k + 1):
        if weights[c] > 0.0:
            first, last = _kept(k, smaller, c, chances)
            for i in range(first, last):
                out[i] += chances[i] * weights[c]
    return out


@light_kernel
def range_means(
    values: Array, start: IntArray, stop: IntArray, owner: IntArray, sizes: Array
) -> Array:
    """Mean over each owner's samples of the mean of values[start:stop] (rows)."""
    running = np.zeros((values.shape[0] + 1, values.shape[1]))
    for row in range(values.shape[0]):
        for q in range(values.shape[1]):
            running[row + 1, q] = running[row, q] + values[row, q]
    out = np.zeros((sizes.size, values.shape[1]))
    for i in range(start.size):
        share = sizes[owner[i]] * (stop[i] - start[i])
        for q in range(values.shape[1]):
            out[owner[i], q] += (running[stop[i], q] - running[start[i], q]) / share
    return out


@light_kernel
def range_weights(
    rows: int, start: IntArray, stop: IntArray, owner: IntArray, sizes: Array
) -> Array:
    """The transpose of :func:`range_means`, averaged over owners: weight of each row."""
    steps, visits = np.zeros(rows + 1), np.zeros(rows + 1, dtype=np.intp)
    for i in range(start.size):
        share = 1.0 / (sizes.size * sizes[owner[i]] * (stop[i] - start[i]))
        steps[start[i]] += share
        steps[stop[i]] -= share
        visits[start[i]] += 1
        visits[stop[i]] -= 1
    total, seen = 0.0, 0
    out = np.zeros(rows)
    for row in range(rows):
        total += steps[row]
        seen += visits[row]
        # sums of differences leave rounding where no sample is
        out[row] = total if seen > 0 else 0.0
    return out


@kernel
def weighted_win_rates(
    truth: Array, order: IntArray, offsets: IntArray, ours: Array, theirs: Array, out: Array
) -> None:
    """P(truth of our pick > truth of theirs) + P(equal) / 2, picks by given chances.

    ``order`` sorts each prompt's samples by truth; ``ours`` and ``theirs`` are the chances that
    each sample is picked, which sum to 1 within a prompt.
    """
    for group in range(offsets.size - 1):
        first, last = offsets[group], offsets[group + 1]
        below, total, i = 0.0, 0.0, first
        while i < last:
            value = truth[order[i]]
            our_mass, their_mass = 0.0, 0.0
            while i < last and truth[order[i]] == value:
                our_mass += ours[order[i]]
                their_mass += theirs[order[i]]
                i += 1
            total += our_mass * (below + their_mass / 2)
            below += their_mass
        out[group] = min(total, 1.0)
