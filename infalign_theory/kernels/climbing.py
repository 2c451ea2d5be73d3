"""Where the fixed-point map of the coupled optimum ends on a discrete base.

Atoms are ordered from the highest reward down, as in :mod:`infalign_theory.kernels.shooting`. For a
concave g the win rate is convex in the policy, and the undamped map, a policy to its best response,
keeps the stochastic order (eq-order of docs/mathematics/optimum.md): from the base it climbs to the
lowest solution, from all mass on the top atom it falls to the highest, and all others lie between.
"""

from __future__ import annotations

import numpy as np

from infalign_theory.kernels._jit import kernel
from infalign_theory.kernels.sorting import sorted_copy
from infalign_theory.kernels.terms import evaluate, integer_power, single_power
from infalign_theory.typing import Array

MAP_STEPS = 300
MOST_STARTS = 64
_ALIKE = 1e-9  # logits of top masses as close as this are one solution


@kernel
def decay(drop: float) -> float:
    """exp(-drop); a million atoms make most drops tiny, where a polynomial is exact and fast."""
    if drop < 1e-3:
        square = drop * drop  # in pairs: a march waits for every digit of this
        return (1.0 - drop) + square * ((0.5 - drop * (1.0 / 6.0)) + square * (1.0 / 24.0))
    return float(np.exp(-drop))


@kernel
def slope_at(left: float, kept: float, slope: Array, power: bool, weight: float) -> float:
    """g' at F = left; ``power`` and ``weight`` say that it is a single power and its factor."""
    if power:
        return (
            weight * integer_power(left, int(slope[0, 1])) * integer_power(kept, int(slope[0, 2]))
        )
    return evaluate(left, kept, slope)


@kernel
def climb(kept: int, k: float, p: Array, half_b: Array, slope: Array, mass: Array) -> float:
    """Logit of the top mass where the map ends from the base's best ``kept`` atoms."""
    power, weight = single_power(slope), np.exp(slope[0, 0])
    total = np.sum(p[:kept])
    for i in range(p.size):
        mass[i] = p[i] / total if i < kept else 0.0
    for _ in range(MAP_STEPS):
        above, ratio, total = mass[0], 1.0, p[0]
        previous = mass[0]
        mass[0] = p[0]
        for i in range(1, p.size):
            left, inside = max(1.0 - above, 0.0), min(above, 1.0)
            ratio *= decay(k * half_b[i - 1] * slope_at(left, inside, slope, power, weight))
            above += mass[i]
            mass[i] = p[i] * ratio
            total += mass[i]
        change = abs(previous - mass[0] / total)
        for i in range(p.size):
            mass[i] /= total
        if change <= 1e-14 * previous:
            break
    return float(np.log(mass[0]) - np.log(max(np.sum(mass[1:]), 1e-300)))


@kernel
def climbed(k: float, p: Array, half_b: Array, slope: Array, ordered: bool) -> Array:
    """Where the map ends from several truncated bases, in increasing order, each end once.

    ``ordered`` says that the map keeps the stochastic order: then starts between two that end alike
    end there too, and the first and the last end enclose every solution.
    """
    many = ordered or p.size <= 500
    starts = min(p.size, MOST_STARTS if many else MOST_STARTS // 16)
    found = np.full(starts, np.nan)
    mass = np.empty(p.size)
    step = (p.size - 1) / max(starts - 1, 1)
    stack = np.empty((2 * MOST_STARTS, 2), dtype=np.intp)
    stack[0, 0], stack[0, 1], waiting = 0, starts - 1, 1
    while waiting > 0:
        waiting -= 1
        first, last = stack[waiting, 0], stack[waiting, 1]
        for s in (first, last):
            if np.isnan(found[s]):
                found[s] = climb(1 + round(s * step), k, p, half_b, slope, mass)
        alike = abs(found[first] - found[last]) <= _ALIKE * max(1.0, abs(found[last]))
        if last - first > 1 and ordered and alike:
            found[first : last + 1] = found[last]
        elif last - first > 1:
            middle = (first + last) // 2
            stack[waiting, 0], stack[waiting, 1] = first, middle
            stack[waiting + 1, 0], stack[waiting + 1, 1] = middle, last
            waiting += 2
    found = sorted_copy(found)
    last = 0
    for s in range(1, starts):
        if found[s] - found[last] > _ALIKE * max(1.0, abs(found[s])):
            last += 1
            found[last] = found[s]
    return found[: last + 1].copy()
