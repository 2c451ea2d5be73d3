"""A transform written as a formula."""

from __future__ import annotations

import numpy as np

from infalign_theory.checks import plain_number
from infalign_theory.errors import InputError
from infalign_theory.formulas.compiled import CompiledExpression, compile_expression
from infalign_theory.quadrature.points import Points
from infalign_theory.transforms.core import Transform
from infalign_theory.typing import Array


class Expression(Transform):
    """A transform written as text, parsed by a whitelist and never executed.

    Parameters
    ----------
    text : str
        Formula in ``u``, the named parameters, ``pi``, ``e``, the operators ``+ - * / **`` and
        the functions listed in :mod:`infalign_theory.formulas.compiled`.
    **parameters : float
        A value for every other name in the formula.

    Raises
    ------
    InputError
        For anything the whitelist does not know, or a formula that is not finite inside (0, 1).

    Examples
    --------
    >>> phi = Expression("exp(t*u) - u**2", t=5)
    >>> float(phi(0.0))
    1.0
    """

    def __init__(self, text: str, /, **parameters: float) -> None:
        self._compiled: CompiledExpression = compile_expression(text, "u", **parameters)
        interior = Points.from_logit(np.linspace(-36.0, 36.0, 1001))
        values = self._compiled.at(interior.u, interior.v)
        bad = np.isnan(values) | (values == np.inf)
        if bad.any() or not np.isfinite(values).any():
            u = interior.u[bad][0] if bad.any() else 0.5
            raise InputError(
                f"expression {text!r} has no finite value at u = {u:.6g}; a transform must be "
                "defined on all of 0 < u < 1 (minus infinity is allowed: that reward is refused)."
            )
        pole = _pole(self._compiled, interior.s, values)
        if pole is not None:
            raise InputError(
                f"expression {text!r} grows without bound near u = {pole:.6g}; a transform must "
                "be finite on all of 0 < u < 1."
            )
        self._end = 1.0 if np.argmax(values) >= values.size // 2 else 0.0
        self._anchor = float(self._compiled.near(self._end, np.array([0.5 - self._end]))[0])

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Expression) and self._compiled == other._compiled

    def __hash__(self) -> int:
        return hash(self._compiled)

    def __repr__(self) -> str:
        parameters = "".join(f", {k}={plain_number(v)}" for k, v in self._compiled.parameters)
        return f"Expression({self._compiled.text!r}{parameters})"

    @property
    def name(self) -> str:
        parameters = "".join(f";{k}={plain_number(v)}" for k, v in self._compiled.parameters)
        return f"expr:{self._compiled.text}{parameters}"

    @property
    def anchor(self) -> float:
        return self._anchor

    def differences(self, points: Points) -> Array:
        step, far = (-points.v, points.u) if self._end == 1.0 else (points.u, points.v)
        out = self._compiled.near(self._end, step)[1]
        # the step from the anchor no longer tells points near the other end apart
        distant = far < 0.1
        values = self._compiled.at(points.u[distant], points.v[distant])
        out[distant] = values - self._anchor
        return out

    def changes(self, points: Points, origin: Points) -> Array:
        if origin.u.size == 1:
            return self._compiled.near(float(origin.u.item()), points.minus(origin))[1]
        return self._values(points) - self._values(origin)

    def _values(self, points: Points) -> Array:
        return self._compiled.at(points.u, points.v)

    @property
    def slopes(self) -> tuple[float, float]:
        """Measured far out in the tails, where a logarithm has become a straight line."""
        out = np.array([690.0 - 2 * _FAR_STEP, 690.0 - _FAR_STEP, 690.0])
        far = Points.from_logit(np.concatenate([-out[::-1], out]))
        values = self._compiled.at(far.u, far.v)
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


def _pole(f: CompiledExpression, s: Array, values: Array) -> float | None:
    """A u inside (0, 1) next to which f grows beyond all bounds, if the samples betray one."""
    peaks = np.flatnonzero((values[1:-1] >= values[:-2]) & (values[1:-1] >= values[2:])) + 1
    size = 1.0 + float(np.median(np.abs(values[np.isfinite(values)])))
    for at in peaks[np.argsort(-values[peaks])][:5]:
        low, high = s[at - 1], s[at + 1]
        for _ in range(60):
            inner = np.linspace(low, high, 9)
            points = Points.from_logit(inner)
            found = f.at(points.u, points.v)
            top = int(np.nanargmax(np.where(np.isnan(found), -np.inf, found)))
            if found[top] > 1e9 * size:
                return float(points.u[top])
            low, high = inner[max(top - 1, 0)], inner[min(top + 1, 8)]
    return None


_FAR_STEP = 200.0
