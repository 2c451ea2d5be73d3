"""Roots of functions of one number: brackets found by steps, then closed.

The functions here are expensive and possibly steep or discontinuous (a KL that jumps), so no call
is wasted: ends already evaluated are kept, and a jump is closed to rounding like a root.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from infalign_theory.errors import PrecisionError

Function = Callable[[float], float]
_ROUNDING = 4e-16  # relative width below which no bracket shrinks


@dataclass(frozen=True)
class Bracket:
    """Two points at which a function has different signs (or is 0), with its values there."""

    low: float
    high: float
    at_low: float
    at_high: float


def bracket_increasing(
    f: Function,
    start: float,
    *,
    step: float = 2.0,
    longest: float = 2.0,
    lowest: float = -np.inf,
    highest: float = np.inf,
) -> Bracket | None:
    """Points on either side of the root of an increasing function, found by doubling steps.

    Steps double up to ``longest``. None where f keeps one sign up to ``lowest`` or ``highest``;
    these ends are tried themselves.

    Examples
    --------
    >>> found = bracket_increasing(lambda x: x - 5.0, 0.0)
    >>> found.low, found.high
    (4.0, 6.0)
    """
    x = min(max(start, lowest), highest)
    value = f(x)
    sign = -1.0 if value > 0.0 else 1.0  # the direction of travel
    end = highest if sign > 0.0 else lowest
    while value * sign < 0.0 or np.isnan(value):
        if x == end:
            return None
        before, at_before = x, value
        x = min(x + step, end) if sign > 0.0 else max(x - step, end)
        value = f(x)
        step = min(2.0 * step, longest)
        if value * sign >= 0.0:
            pair = (before, x, at_before, value)
            return Bracket(*pair) if sign > 0.0 else Bracket(x, before, value, at_before)
    return Bracket(x, x, value, value)


def bracket_around(f: Function, guess: float, *, width: float, widest: float) -> Bracket | None:
    """Points around a guess with a sign change between them, f rising or falling.

    None where there is none within ``widest`` of the guess.
    """
    while width <= widest:
        low, high = guess - width, guess + width
        at_low, at_high = f(low), f(high)
        if at_low * at_high <= 0.0:
            return Bracket(low, high, at_low, at_high)
        width *= 2.0
    return None


def root_within(f: Function, bracket: Bracket, tolerance: float = 1e-15) -> float:
    """The root (or the jump through zero) inside a bracket.

    Inverse quadratic interpolation where Chandrupatla's criterion trusts it, bisection elsewhere;
    ``tolerance`` is absolute and relative to the root. Written out because importing
    ``scipy.optimize`` takes longer than most commands.

    References
    ----------
    T. R. Chandrupatla, Advances in Engineering Software 28 (1997) 145.

    Examples
    --------
    >>> round(root_within(lambda x: x**3 - 8.0, Bracket(0.0, 5.0, -8.0, 117.0)), 12)
    2.0
    """
    if bracket.at_low == 0.0:
        return bracket.low
    if bracket.at_high == 0.0:
        return bracket.high
    # new is the newest point, other the end across the root, old the one that new replaced
    (new, at_new), (other, at_other) = sorted(
        [(bracket.low, bracket.at_low), (bracket.high, bracket.at_high)], key=lambda x: abs(x[1])
    )
    share = 0.5  # of the way from new to other
    for _ in range(300):
        x = new + share * (other - new)
        value = f(x)
        if (value > 0.0) == (at_new > 0.0):
            old, at_old = new, at_new
        else:
            old, at_old, other, at_other = other, at_other, new, at_new
        new, at_new = x, value
        best = new if abs(at_new) < abs(at_other) else other
        least = tolerance + max(tolerance, _ROUNDING) * abs(best)
        if value == 0.0 or abs(other - new) <= 2.0 * least:
            return float(best)
        share = _inverse_quadratic((new, at_new), (other, at_other), (old, at_old))
        edge = least / abs(other - new)
        share = min(max(share, edge), 1.0 - edge)
    return float(best)


def _inverse_quadratic(
    new: tuple[float, float], other: tuple[float, float], old: tuple[float, float]
) -> float:
    """Share of the way from new to other at which the root is expected; half where in doubt."""
    (a, at_a), (b, at_b), (c, at_c) = new, other, old
    if not (np.isfinite([at_a, at_b, at_c]).all() and at_c != at_b and at_c != at_a):
        return 0.5
    along, up = (a - b) / (c - b), (at_a - at_b) / (at_c - at_b)
    if not (up**2 < along and (1.0 - up) ** 2 < 1.0 - along):
        return 0.5
    first = at_a / (at_b - at_a) * at_c / (at_b - at_c)
    return first + (c - a) / (b - a) * at_a / (at_c - at_a) * at_b / (at_c - at_b)


def root_between(f: Function, low: float, high: float, tolerance: float = 1e-15) -> float:
    """:func:`root_within` two ends at which f has not been evaluated yet.

    Examples
    --------
    >>> round(root_between(lambda x: x - 3.0, 0.0, 10.0), 12)
    3.0
    """
    at_low, at_high = float(f(low)), float(f(high))
    if not at_low * at_high <= 0.0:
        raise PrecisionError(
            f"no change of sign between {low:.6g} and {high:.6g}: {at_low:.6g} and {at_high:.6g}.",
            float("nan"),
        )
    return root_within(f, Bracket(low, high, at_low, at_high), tolerance)


@dataclass
class SafeguardedNewton:
    """Newton's steps for the root of an increasing function, kept inside what is known of it.

    Examples
    --------
    >>> steps, x = SafeguardedNewton(highest=100.0), 9.0
    >>> for _ in range(50):
    ...     x = steps.next(x, np.arctan(x - 2.0), 1.0 / (1.0 + (x - 2.0) ** 2))
    >>> round(x, 12)
    2.0
    """

    highest: float
    longest: float = 20.0
    low: float = -np.inf
    high: float = np.inf
    _moves: tuple[float, float] = (np.inf, np.inf)  # the last two, the older one first

    def next(self, x: float, value: float, slope: float) -> float:
        """The next point, from f and f' at x; equal to x where nothing is left to gain."""
        if value < 0.0:
            self.low = x
        else:
            self.high = x
        step = -value / slope if slope > 1e-300 and np.isfinite(value) else np.inf
        step = float(np.copysign(min(abs(step), self.longest), -value))
        new = x + step
        # Newton may creep or cycle: bisect whenever a step is not half of the one before the last
        slow = abs(step) > 0.5 * self._moves[0]
        if (slow or not self.low < new < self.high) and np.isfinite(self.high - self.low):
            new = (self.low + self.high) / 2
        self._moves = self._moves[1], abs(new - x)
        return min(new, self.highest)
