"""What a transform made from a user's function must satisfy on (0, 1)."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from infalign_theory.errors import InputError
from infalign_theory.quadrature.points import Points
from infalign_theory.typing import Array

_FAR_STEP = 200.0


def interior() -> Points:
    """Points across (0, 1), dense towards both ends."""
    return Points.from_logit(np.linspace(-36.0, 36.0, 1001))


def refuse_undefined(what: str, points: Points, values: Array) -> None:
    """Refuse values that are no transform's: NaN or plus infinity inside, or nowhere finite."""
    bad = np.isnan(values) | (values == np.inf)
    if bad.any() or not np.isfinite(values).any():
        u = points.u[bad][0] if bad.any() else 0.5
        raise InputError(
            f"{what} has no finite value at u = {u:.6g}; a transform must be defined on all of "
            "0 < u < 1 (minus infinity is allowed: that reward is refused)."
        )


def tail_slopes(at: Callable[[Points], Array]) -> tuple[float, float]:
    """Growth per unit of |logit u|, far out, where a logarithm has become a straight line."""
    out = np.array([690.0 - 2 * _FAR_STEP, 690.0 - _FAR_STEP, 690.0])
    values = at(Points.from_logit(np.concatenate([-out[::-1], out])))
    return _growth(*values[2::-1]), _growth(*values[3:])


def _growth(near: float, middle: float, far: float) -> float:
    """Slope per unit of logit far out; infinite where Phi grows faster than any line."""
    if not far > middle:
        return 0.0
    slope = (far - middle) / _FAR_STEP
    earlier = (middle - near) / _FAR_STEP
    # rounding of a bounded Phi is no growth
    if slope * _FAR_STEP <= 1e-12 * abs(middle):
        return 0.0
    return float(slope) if slope <= 1.001 * earlier else np.inf
