"""Compensated sums of probabilities."""

from __future__ import annotations

import numpy as np

from infalign_theory.kernels._jit import kernel
from infalign_theory.types import Array


@kernel
def cumulative_sums(mass: Array) -> tuple[Array, Array]:
    """Mass below and above each of the K + 1 edges between K atoms.

    Compensated (Neumaier), so that 10^6 atoms cost no accuracy, and scaled so that the two ends
    are exactly 0 and 1.
    """
    count = mass.size
    below = np.zeros(count + 1)
    above = np.zeros(count + 1)
    total, carry = 0.0, 0.0
    for i in range(count):
        step = total + mass[i]
        carry += (total - step) + mass[i] if total >= mass[i] else (mass[i] - step) + total
        total = step
        below[i + 1] = total + carry
    whole = below[count]
    total, carry = 0.0, 0.0
    for i in range(count - 1, -1, -1):
        step = total + mass[i]
        carry += (total - step) + mass[i] if total >= mass[i] else (mass[i] - step) + total
        total = step
        above[i] = total + carry
    for i in range(count + 1):
        below[i] = min(below[i] / whole, 1.0)
        above[i] = min(above[i] / whole, 1.0)
    below[count] = 1.0
    above[0] = 1.0
    return below, above
