"""Many small discrete laws laid end to end."""

from __future__ import annotations

import numpy as np

from infalign_theory.kernels._jit import kernel, light_kernel
from infalign_theory.typing import Array, IntArray


@light_kernel
def merge_ties(rewards: Array, offsets: IntArray) -> tuple[Array, IntArray]:
    """Relative frequency of each distinct reward of sorted groups, and the groups' new offsets."""
    mass = np.empty(rewards.size)
    ends = np.empty(offsets.size, dtype=np.intp)
    ends[0] = 0
    atom = 0
    for group in range(offsets.size - 1):
        first, last = offsets[group], offsets[group + 1]
        i = first
        while i < last:
            j = i
            while j < last and rewards[j] == rewards[i]:
                j += 1
            mass[atom] = (j - i) / (last - first)
            atom += 1
            i = j
        ends[group + 1] = atom
    return mass[:atom].copy(), ends


@kernel
def running_masses(mass: Array, offsets: IntArray) -> tuple[Array, Array]:
    """Mass below and above each edge of each group: groups have one edge more than atoms."""
    groups = offsets.size - 1
    below = np.zeros(mass.size + groups)
    above = np.zeros(mass.size + groups)
    for group in range(groups):
        first, last = offsets[group], offsets[group + 1]
        shift = group
        for i in range(first, last):
            below[i + shift + 1] = below[i + shift] + mass[i]
        for i in range(last - 1, first - 1, -1):
            above[i + shift] = above[i + shift + 1] + mass[i]
        whole = below[last + shift]
        for i in range(first + shift, last + shift + 1):
            below[i] = min(below[i] / whole, 1.0)
            above[i] = min(above[i] / whole, 1.0)
    return below, above


@kernel
def _jackknife_weight(counts: Array, k: float, order: int, one: int, two: int) -> float:
    """Weight of the law without a sample of atoms ``one`` and ``two`` (-1: none), of K in all."""
    chance = 1.0
    if one >= 0:
        chance = counts[one] / k
    if two >= 0:
        # unordered pairs: twice the chance of an ordered one unless the atoms are the same
        left = counts[two] - 1.0 if one == two else 2.0 * counts[two]
        chance *= left / (k - 1.0)
    less = int(one >= 0) + int(two >= 0)
    if order <= 0:
        return chance
    if order == 1:
        return chance * (k if less == 0 else -(k - 1.0))
    if less == 1:
        return -chance * (k - 1.0) ** 2
    return chance * (k - less) ** 2 / 2.0


@kernel
def leave_out(
    counts: Array, offsets: IntArray, order: int
) -> tuple[Array, IntArray, IntArray, Array]:
    """Laws of all prompts, and with one (and two) samples less, with jackknife weights.

    Returns counts of the copies, their offsets, the prompt of each, and its weight: the weighted
    sum of a statistic over the copies of a prompt is free of bias of order 1/K (1/K^2 for order
    2). Prompts with too few samples for an order get the highest they allow.
    """
    copies, cells = 0, 0
    for group in range(offsets.size - 1):
        a = offsets[group + 1] - offsets[group]
        own = 1 + a * order if order < 2 else 1 + a + a * (a + 1) // 2
        copies += own
        cells += a * own
    out = np.empty(cells)
    ends = np.zeros(copies + 1, dtype=np.intp)
    owner = np.empty(copies, dtype=np.intp)
    weights = np.empty(copies)
    copy, at = 0, 0
    for group in range(offsets.size - 1):
        first, last = offsets[group], offsets[group + 1]
        a = last - first
        k = counts[first:last].sum()
        reach = min(order, int(k) - 1)
        for one in range(-1, a if reach >= 1 else 0):
            for two in range(-1, one + 1 if reach >= 2 else 0):
                if one >= 0 and one == two and counts[first + one] < 1.5:
                    continue
                for j in range(a):
                    left = counts[first + j] - (j == one) - (j == two)
                    if left > 0.5:
                        out[at] = left
                        at += 1
                weights[copy] = _jackknife_weight(counts[first:last], k, reach, one, two)
                owner[copy] = group
                copy += 1
                ends[copy] = at
    return out[:at].copy(), ends[: copy + 1].copy(), owner[:copy].copy(), weights[:copy].copy()
