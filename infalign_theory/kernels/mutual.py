"""Self-play on a discrete base: a policy that is stationary against itself, marched from the top.

Between an atom i and the next lower one the coupled equation against oneself reads

    log r_i - log r_{i+1} = k g'(F_i) (g(F_{i-1}) - g(F_{i+1})) / 2,   F_i the mass below atom i,

atoms counted from the top down and F_{-1} = 1. The lower ratio stands on both sides; as a
function of it the equation is increasing, so that it has one solution, found by Newton's method.
"""

from __future__ import annotations

import numpy as np

from infalign_theory.kernels._jit import kernel
from infalign_theory.kernels.terms import evaluate
from infalign_theory.typing import Array


@kernel
def _lower_ratio(
    current: float,
    pull: float,
    mass: float,
    left: float,
    g_above: float,
    slope: Array,
    value: Array,
) -> float:
    """log r of the next lower atom: root of y + pull (g_above - g(left - mass e^y)) - current."""
    low, high = current - pull * g_above - 1e-12, current
    y = current
    for _ in range(200):
        rest = min(max(left - mass * np.exp(y), 0.0), 1.0)
        excess = y - current + pull * (g_above - evaluate(rest, 1.0 - rest, value))
        if excess > 0.0:
            high = y
        else:
            low = y
        climb = 1.0
        if rest > 0.0:
            climb += pull * evaluate(rest, 1.0 - rest, slope) * mass * np.exp(y)
        new = y - excess / climb
        if not low < new < high:
            new = 0.5 * (low + high)
        if abs(new - y) <= 4e-16 * max(1.0, abs(y)):
            return new
        y = new
    return y


@kernel
def descend_mutual(
    x: float, k: float, p: Array, slope: Array, value: Array, log_ratio: Array
) -> float:
    """March down from a top atom of mass expit(x); returns log(mass that came out / mass left)."""
    small = np.exp(-abs(x))
    small, large = small / (1.0 + small), 1.0 / (1.0 + small)
    top, rest = (large, small) if x > 0.0 else (small, large)
    log_top = min(x, 0.0) - np.log1p(np.exp(-abs(x)))
    current = log_top - np.log(p[0])
    log_ratio[0] = current
    g_above, out = 1.0, 0.0
    for i in range(1, p.size):
        left, kept = max(rest - out, 0.0), min(top + out, 1.0)
        pull = 0.5 * k * evaluate(left, kept, slope)
        g_here = evaluate(left, kept, value)
        current = _lower_ratio(current, pull, p[i], left, g_above, slope, value)
        log_ratio[i] = current
        out += p[i] * np.exp(current)
        g_above = g_here
    return float(np.log(out) - (log_top - x))
