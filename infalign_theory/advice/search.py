"""The exponential whose largest regret over several procedures is smallest."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from infalign_theory.advice.judges import Judge, Theory
from infalign_theory.comparison.exponent_scan import losses
from infalign_theory.comparison.exponents import LARGEST, SMALLEST, best_exponent
from infalign_theory.errors import OutOfReachError, PrecisionError
from infalign_theory.policies.base import Continuous
from infalign_theory.transforms.core import Transform
from infalign_theory.transforms.elementary import Identity
from infalign_theory.transforms.exponential import Exponential
from infalign_theory.typing import Array

__all__ = ["best_exponential"]

_DIGITS = 6  # of an exponent: all of them certain
_COARSE, _FINE = 15, 9
_CLOSE, _CLOSE_ON_SCORES = 1e-7, 1e-2  # of log t
_AROUND = 1e-3


def best_exponential(judge: Judge, optimal: Array) -> Transform | None:
    """The exponential of least worst regret, or identity, its limit; None where none is best."""
    if isinstance(judge, Theory) and len(judge.procedures) == 1:
        try:
            t = best_exponent(
                judge.procedures[0],
                kl=judge.kl,
                base=judge.base,
                against_procedure=judge.opponents[0],
            )
        except OutOfReachError as error:
            return Identity() if abs(error.limit) < 1.0 else None
        except PrecisionError:  # many win always
            return None
        return _rounded(t)
    exact = _exactly(judge, optimal)
    if isinstance(judge, Theory) and isinstance(judge.base, Continuous):
        theory, base_loss = judge, (1.0 - optimal)[:, None]

        def quickly(exponents: Array) -> Array:
            pairs = list(zip(theory.procedures, theory.opponents, strict=True))
            return np.asarray((losses(exponents, theory.kl, pairs)[0] - base_loss).max(axis=0))

        found = _zoomed(quickly, _CLOSE)
        if found is None or abs(found) < 2 * SMALLEST:
            return _zoomed_transform(found)
        beside = exact(found * np.array([1.0 - _AROUND, 1.0, 1.0 + _AROUND]))
        if beside[1] <= min(beside[0], beside[2]):
            return _rounded(found)
    close = _CLOSE_ON_SCORES if not isinstance(judge, Theory) else 1e-5
    return _zoomed_transform(_zoomed(exact, close))


def _exactly(judge: Judge, optimal: Array) -> Callable[[Array], Array]:
    def worst(exponents: Array) -> Array:
        won = judge.win_rates([Exponential(float(t)) for t in exponents])[0]
        return np.asarray((optimal[:, None] - won).max(axis=0))

    return worst


def _rounded(t: float) -> Transform:
    return Exponential(float(f"{t:.{_DIGITS}g}"))


def _zoomed_transform(t: float | None) -> Transform | None:
    if t is None:
        return None
    return Identity() if abs(t) < 2 * SMALLEST else _rounded(t)


def _zoomed(worst: Callable[[Array], Array], close: float) -> float | None:
    """The exponent of least worst regret: ever closer grids; None at the largest."""
    grid = np.linspace(np.log(SMALLEST), np.log(LARGEST), _COARSE)
    scans = {sign: worst(sign * np.exp(grid)) for sign in (1.0, -1.0)}
    sign = min(scans, key=lambda s: float(scans[s].min()))
    values = scans[sign]
    while True:
        at = int(np.argmin(values))
        low, high = grid[max(at - 1, 0)], grid[min(at + 1, grid.size - 1)]
        if high - low < close or (at == 0 and grid[0] <= np.log(SMALLEST)):
            break
        grid = np.linspace(low, high, _FINE)
        values = worst(sign * np.exp(grid))
    if grid[at] >= np.log(LARGEST) - 1e-6:
        return None
    return sign * float(np.exp(grid[at]))
