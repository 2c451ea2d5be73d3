"""Compensated sums of probabilities and of divergences."""

from __future__ import annotations

from typing import TypeVar

import numpy as np

from infalign_theory.kernels._jit import kernel
from infalign_theory.typing import Array

Numbers = TypeVar("Numbers", float, Array)


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
        above[i] = min((total + carry) / whole, 1.0)
        below[i] = min(below[i] / whole, 1.0)
    below[count] = 1.0
    above[0] = 1.0
    return below, above


NEAR = 0.05


def near_one(a: Numbers) -> Numbers:
    """r log r - r + 1 at r = exp(a) for |a| < NEAR: the sum over n >= 2 of (n - 1) a^n / n!."""
    tail = a * (1 / 144 + a * (1 / 840 + a * (1 / 5760 + a / 45360)))
    return a * a * (1 / 2 + a * (1 / 3 + a * (1 / 8 + a * (1 / 30 + tail))))


_near_one = kernel(near_one)


@kernel
def divergence(weights: Array, log_ratio: Array) -> float:
    """Sum of w (r log r - r + 1) over r = exp(log_ratio): KL without cancellation near r = 1."""
    total, carry = 0.0, 0.0
    for i in range(weights.size):
        a = log_ratio[i]
        if a == -np.inf:
            term = weights[i]
        elif abs(a) < NEAR:
            term = weights[i] * _near_one(a)
        else:
            tilted = weights[i] * np.exp(a)
            term = a * tilted - (tilted - weights[i])
        step = total + term
        carry += (total - step) + term if total >= term else (term - step) + total
        total = step
    return total + carry
