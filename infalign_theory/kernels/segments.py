"""Many small discrete laws laid end to end."""

from __future__ import annotations

import numpy as np

from infalign_theory.kernels._jit import kernel
from infalign_theory.typing import Array, IntArray


@kernel
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
