"""Soft best-of-N: the law of the winner among N samples that race with exponential clocks.

A sample of weight exp(x) rings at rate exp(x); the first to ring is the one chosen. With
y the log of time, exp(-exp(x + y)) is the chance that a clock has not rung yet.
"""

from __future__ import annotations

import numpy as np

from infalign_theory.kernels._jit import kernel
from infalign_theory.typing import Array

STEP = 0.25  # in y, of the trapezoidal rule: its error is exp(-pi^2 / STEP)
EARLIEST, LATEST = -45.0, 6.75  # of x + y: before, no clock has rung; after, every one has
_SLOW = 1e-4  # a rate below which four terms of exp are all its digits
_NEVER = -38.0  # of x + y: before, hardly a clock of a few has rung
_FAST = 40.0  # a rate beyond which a clock has rung


@kernel
def silent(x: Array, masses: Array, first: float, count: int, others: float) -> Array:
    """Chance that none of the others has rung, at y = first + j STEP.

    ``masses`` sum to 1.
    """
    rung, all_of = np.zeros(count), np.zeros(count + 1)
    growth = np.exp(STEP)
    for i in range(x.size):
        j = max(int(np.ceil((EARLIEST - x[i] - first) / STEP)), 0)
        rate = np.exp(x[i] + first + j * STEP)
        while j < count and rate < _SLOW:
            rung[j] += masses[i] * rate * (1.0 - rate / 2.0 * (1.0 - rate / 3.0))
            rate *= growth
            j += 1
        while j < count and rate < _FAST:
            rung[j] -= masses[i] * np.expm1(-rate)
            rate *= growth
            j += 1
        all_of[min(j, count)] += masses[i]
    total = 0.0
    for j in range(count):
        total += all_of[j]
        left = 1.0 - rung[j] - total
        rung[j] = np.exp(others * np.log1p(-rung[j] - total)) if left > 0.0 else 0.0
    return rung


@kernel
def winning(x: Array, first: float, table: Array) -> Array:
    """Integral over y of exp(x + y - exp(x + y)) times a table of STEP in y; 0 at x = -inf."""
    out = np.zeros(x.size)
    growth = np.exp(STEP)
    for i in range(x.size):
        if x[i] == -np.inf:
            continue
        j = max(int(np.ceil((EARLIEST - x[i] - first) / STEP)), 0)
        stop = min(int(np.floor((LATEST - x[i] - first) / STEP)) + 1, table.size)
        rate = np.exp(x[i] + first + j * STEP)
        total = 0.0
        while j < stop and rate < _SLOW:
            total += rate * (1.0 - rate * (1.0 - rate / 2.0 * (1.0 - rate / 3.0))) * table[j]
            rate *= growth
            j += 1
        while j < stop:
            total += rate * np.exp(-rate) * table[j]
            rate *= growth
            j += 1
        out[i] = STEP * total
    return out


@kernel
def subset_winners(x: Array, values: Array, out: Array) -> None:
    """Mean value of the winner over all subsets of each size N = 1 ... out.shape[1].

    ``x`` are log weights, ``values``, shape (V, m), what each sample is worth; fills ``out``, shape
    (V, N), with means over subsets, exactly but for rounding. With e the chances that clocks are
    still silent at a time and c the densities with which they ring, the mean over n-subsets S of
    the first j samples of the product of e, and of sum_i c_i v_i prod_(S without i) e, grow with j
    by averages of non-negative terms.
    """
    m, most = x.size, out.shape[1]
    top, low = x.max(), x.min()
    count = int((top - low + LATEST - _NEVER) / STEP) + 2
    silent_all, ringing = np.empty(most + 1), np.empty((values.shape[0], most + 1))
    out[:] = 0.0
    for j in range(count):
        y = _NEVER - top + j * STEP
        silent_all[:] = 0.0
        silent_all[0] = 1.0
        ringing[:] = 0.0
        for i in range(m):
            rate = np.exp(min(x[i] + y, LATEST))
            quiet = np.exp(-rate) if x[i] + y < LATEST else 0.0
            rings = rate * quiet
            for n in range(min(i + 1, most), 0, -1):
                share = n / (i + 1.0)
                for v in range(values.shape[0]):
                    joined = quiet * ringing[v, n - 1] + rings * values[v, i] * silent_all[n - 1]
                    ringing[v, n] = (1.0 - share) * ringing[v, n] + share * joined
                silent_all[n] = (1.0 - share) * silent_all[n] + share * quiet * silent_all[n - 1]
        for v in range(values.shape[0]):
            for n in range(most):
                out[v, n] += STEP * ringing[v, n + 1]
