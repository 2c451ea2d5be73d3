"""The root of an increasing function: Newton's method inside a bracket."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

_STEPS = 200
_LONGEST_STEP = 20.0


def increasing_root(
    function: Callable[[float], tuple[float, float]],
    start: float,
    *,
    low: float = -np.inf,
    high: float = np.inf,
    tolerance: float = 4e-15,
    resolution: float = 4e-16,
) -> tuple[float, float]:
    """Where an increasing function crosses zero, or comes nearest to it inside a bracket.

    Parameters
    ----------
    function : callable
        x to (value, slope); values may be infinite, which only says on which side the root lies.
    start : float
        First guess.
    low, high : float
        Bracket; the root is looked for inside.
    tolerance : float
        Size of a value that counts as zero.
    resolution : float
        Relative width of a bracket, or of a step, that is not narrowed any further.

    Returns
    -------
    tuple of float
        The argument whose value was smallest in size, and that value.
    """
    x = float(np.clip(start, low, high))
    best, left, previous = x, np.inf, np.inf
    for _ in range(_STEPS):
        value, slope = function(x)
        if abs(value) < abs(left):
            best, left = x, value
        if abs(left) <= tolerance or (value < 0.0 and x >= high) or (value > 0.0 and x <= low):
            break
        low, high = (x, high) if value < 0.0 else (low, x)
        usable = np.isfinite(value) and slope > 1e-300
        step = -value / slope if usable else -np.copysign(_LONGEST_STEP, value)
        new = x + float(np.clip(step, -_LONGEST_STEP, _LONGEST_STEP))
        # Newton may creep or cycle: bisect whenever a step did not halve the value
        slow = abs(value) > previous / 2
        previous = abs(value)
        if (slow or not usable or not low <= new <= high) and np.isfinite(high - low):
            new = (low + high) / 2
        new = float(np.clip(new, low, high))
        if min(abs(new - x), high - low) <= resolution * abs(x):
            break
        x = new
    return best, left
