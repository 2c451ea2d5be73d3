"""A transform written as a formula."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NoReturn

import numpy as np

from infalign_theory.checks import plain_number
from infalign_theory.errors import InputError
from infalign_theory.formulas.compiled import Change, CompiledExpression, compile_expression
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

    _compiled: CompiledExpression
    _end: float
    _slopes: tuple[float, float]
    _home: float
    _home_error: float
    _across: float
    _across_error: float

    def __init__(self, text: str, /, **parameters: float) -> None:
        self._set("_compiled", compile_expression(text, "u", **parameters))
        interior = Points.from_logit(np.linspace(-36.0, 36.0, 1001))
        values = self._compiled.at(interior.u, interior.v)
        bad = np.isnan(values) | (values == np.inf)
        if bad.any() or not np.isfinite(values).any():
            u = interior.u[bad][0] if bad.any() else 0.5
            raise InputError(
                f"expression {text!r} has no finite value at u = {u:.6g}; a transform must be "
                "defined on all of 0 < u < 1 (minus infinity is allowed: that reward is refused)."
            )
        pole = _pole(self._compiled)
        if pole is not None:
            raise InputError(
                f"expression {text!r} grows without bound near u = {pole:.6g}; a transform must "
                "be finite on all of 0 < u < 1."
            )
        self._set("_slopes", _tail_slopes(self._compiled))
        self._set("_end", self._highest_end(values))
        home = self._compiled.measure(self._end, np.zeros(1), np.array([self._end]))
        self._set("_home", home.anchor)
        self._set("_home_error", home.anchor_error)
        # from the anchor to the other end, where both are finite
        away = np.array([1.0 - self._end])
        across = self._compiled.measure(self._end, away - self._end, away)
        bridged = not across.singular and bool(np.isfinite(across.change[0]))
        self._set("_across", float(across.change[0]) if bridged else np.nan)
        self._set("_across_error", float(across.error[0]) if bridged else np.nan)

    def _set(self, name: str, value: object) -> None:
        object.__setattr__(self, name, value)

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError(
            f"an Expression is immutable; make another one instead of {name} = ..."
        )

    def __reduce__(self) -> tuple[object, ...]:
        return _rebuilt, (self._compiled.text, dict(self._compiled.parameters))

    def _highest_end(self, values: Array) -> float:
        """The end of (0, 1) nearer to the largest of some values."""
        if values.min() == values.max():  # lost behind a large constant, perhaps
            rise = self._compiled.near(0.0, 1.0)[1]
            return 1.0 if rise > 0.0 else 0.0
        return 1.0 if np.argmax(values) >= values.size // 2 else 0.0

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
        return self._home

    @property
    def breaks(self) -> tuple[float, ...]:
        return self._compiled.breaks

    def variation(self, middle: Array, half: Array) -> Array:
        return self._compiled.variation(middle, half)

    def differences(self, points: Points) -> Array:
        return self.measured(points)[0]

    def measured(self, points: Points) -> tuple[Array, Array]:
        """Phi(u) - anchor and a bound on its rounding error, by the most accurate of three ways."""
        u, v = np.ravel(points.u), np.ravel(points.v)
        home = self._from(self._end, u, v)
        out, error = home.change, home.error
        distant = np.flatnonzero((u < 0.5) if self._end == 1.0 else (v < 0.5))
        if distant.size:
            # the step from the anchor no longer tells points near the other end apart
            for there, doubt in self._from_far_end(u[distant], v[distant]):
                better = ~(error[distant] <= doubt)
                out[distant] = np.where(better, there, out[distant])
                error[distant] = np.where(better, doubt, error[distant])
        shape = np.shape(points.u)
        return out.reshape(shape), error.reshape(shape)

    def _from_far_end(self, u: Array, v: Array) -> Iterator[tuple[Array, Array]]:
        """Differences as values less the anchor, and as changes from the other end."""
        away = self._from(1.0 - self._end, u, v)
        value = away.anchor + away.change
        rounding = 0.0 if away.anchor == 0.0 else np.abs(value)
        rounding = rounding + (0.0 if self._home == 0.0 else np.abs(value - self._home))
        error = away.error + away.anchor_error + self._home_error + _SPACING * rounding
        yield value - self._home, error
        if not away.singular and np.isfinite(self._across):
            there = away.change + self._across
            yield there, away.error + self._across_error + _SPACING * np.abs(there)

    def _from(self, end: float, u: Array, v: Array) -> Change:
        return self._compiled.measure(end, -v if end == 1.0 else u, u)

    def changes(self, points: Points, origin: Points) -> Array:
        if origin.u.size == 1:
            start = float(origin.u.item())
            found = self._compiled.measure(
                start, np.ravel(points.minus(origin)), np.ravel(points.u)
            )
            if not found.singular:
                return found.change.reshape(np.shape(points.u))
        return self._values(points) - self._values(origin)

    def _values(self, points: Points) -> Array:
        return self._compiled.at(points.u, points.v)

    @property
    def slopes(self) -> tuple[float, float]:
        return self._slopes


def _tail_slopes(f: CompiledExpression) -> tuple[float, float]:
    """Slopes measured far out in the tails, where a logarithm has become a straight line."""
    out = np.array([690.0 - 2 * _FAR_STEP, 690.0 - _FAR_STEP, 690.0])
    far = Points.from_logit(np.concatenate([-out[::-1], out]))
    values = f.at(far.u, far.v)
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


def _pole(f: CompiledExpression) -> float | None:
    """A u inside (0, 1) next to which f grows faster than any logarithm, if there is one."""
    breaks = np.array(f.breaks)
    if not breaks.size:
        return None
    points = Points.from_logit(breaks[:, None, None] + np.outer([-1.0, 1.0], _CLOSER))
    values = f.at(points.u, points.v)
    with np.errstate(invalid="ignore"):
        climbs = np.diff(values, axis=2)
        size = 1.0 + np.abs(values[:, :, 0])
        endless = (climbs[..., 2] > 1.01 * climbs[..., 1]) & (climbs[..., 1] > 1e-3 * size)
    endless |= np.any(values == np.inf, axis=2)
    found = np.flatnonzero(endless.any(axis=1))
    return float(Points.from_logit(breaks[found[:1]]).u[0]) if found.size else None


def _rebuilt(text: str, parameters: dict[str, float]) -> Expression:
    return Expression(text, **parameters)


_FAR_STEP = 200.0
_CLOSER = np.array([1e-3, 1e-6, 1e-9, 1e-12])
_SPACING = 2.0**-52
