"""Transforms: what training applies to the calibrated reward before KL-regularised RL.

A transform is one short class: its name, its value at the end where it is largest (the anchor),
and its differences from that value. Differences, not values, decide the tilted policy, and they
must keep their relative accuracy: at 20 nats all the mass sits within 1e-9 of the anchor.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np

from infalign_theory.errors import InputError
from infalign_theory.expressions import CompiledExpression, compile_expression
from infalign_theory.points import Points
from infalign_theory.types import Array, numbers, plain_number, real

EXPONENT_LIMIT = 600.0  # exp(t) and the beta that goes with it must stay inside float64


class Transform(ABC):
    """An increasing or other function Phi of the calibrated reward u in (0, 1).

    Calling it returns Phi(u). Subclasses give :attr:`name`, :attr:`anchor` and
    :meth:`differences`.
    """

    @property
    @abstractmethod
    def name(self) -> str:
        """The transform as text, as the command line reads it."""

    @property
    @abstractmethod
    def anchor(self) -> float:
        """Phi at the end where it is largest: Phi(1) if increasing; 0 where that is infinite."""

    @abstractmethod
    def differences(self, points: Points) -> Array:
        """Phi(u) - anchor, to full relative accuracy."""

    def changes(self, points: Points, origin: Points) -> Array:
        """Phi(u) - Phi(origin), for origins at the atoms of a discrete base.

        Where Phi is much larger at u = 1 than at any atom, differences from the anchor would say
        nothing about the atoms.
        """
        return self._values(points) - self._values(origin)

    @property
    def slopes(self) -> tuple[float, float]:
        """Growth of Phi per unit of |logit u| towards u = 0 and u = 1.

        The tilt exp(Phi/beta) has a finite normaliser if and only if beta exceeds both.
        """
        return 0.0, 0.0

    @property
    def in_logit(self) -> bool:
        """Whether differences stay exact where u or 1 - u underflow."""
        return False

    def __call__(self, u: object) -> Array:
        """Phi at calibrated rewards u in [0, 1], any shape."""
        array = unit_interval(u, "u")
        points = Points.from_pair(array, 1.0 - array)
        with np.errstate(all="ignore"):
            return np.asarray(self._values(points))

    def _values(self, points: Points) -> Array:
        return self.differences(points) + self.anchor

    def __str__(self) -> str:
        return self.name


def unit_interval(values: object, name: str) -> Array:
    """An array of numbers in [0, 1], or one clear message."""
    array = numbers(values, name, "numbers in [0, 1]")
    outside = ~((array >= 0.0) & (array <= 1.0))
    if outside.any():
        raise InputError(
            f"{name} contains {array[outside].flat[0]}, outside [0, 1]; calibrated rewards and "
            "probabilities lie in [0, 1]."
        )
    return array


@dataclass(frozen=True)
class Identity(Transform):
    """Phi(u) = u: plain calibrated reward, optimal for the standard win rate.

    Examples
    --------
    >>> float(Identity()(0.25))
    0.25
    """

    name = "identity"
    anchor = 1.0

    def differences(self, points: Points) -> Array:
        return -points.v

    def changes(self, points: Points, origin: Points) -> Array:
        return points.minus(origin)

    def _values(self, points: Points) -> Array:
        return points.u


@dataclass(frozen=True)
class Log(Transform):
    """Phi(u) = log u: with 1/beta = N - 1 the aligned policy is Best-of-N itself.

    Examples
    --------
    >>> float(Log()(1.0))
    0.0
    """

    name = "log"
    anchor = 0.0

    def differences(self, points: Points) -> Array:
        return points.log_u


@dataclass(frozen=True)
class Logit(Transform):
    """Phi(u) = log(u / (1 - u)): needs beta > 1, or the tilt has no finite normaliser.

    Examples
    --------
    >>> float(Logit()(0.5))
    0.0
    """

    name = "logit"
    anchor = 0.0
    slopes = (0.0, 1.0)
    in_logit = True

    def differences(self, points: Points) -> Array:
        return points.s


@dataclass(frozen=True)
class Exponential(Transform):
    """Phi(u) = sign(t) exp(t u): t > 0 favours Best-of-N, t < 0 Worst-of-N.

    Parameters
    ----------
    t : float
        Exponent, non-zero, at most 600 in size.

    References
    ----------
    InfAlign, arXiv 2412.19792, section on exponential transforms (CTRL).

    Examples
    --------
    >>> float(Exponential(10)(0.0)), float(Exponential(-10)(0.0))
    (1.0, -1.0)
    """

    t: float

    def __post_init__(self) -> None:
        allowed = f"a non-zero exponent of size 1e-100 to {EXPONENT_LIMIT:g}"
        number = real(self.t, "exponent t", allowed)
        if not 1e-100 <= abs(number) <= EXPONENT_LIMIT:
            hint = " (as t tends to 0 use identity)" if abs(number) < 1e-100 else ""
            raise InputError(f"exponent t = {plain_number(number)}: give {allowed}{hint}.")
        object.__setattr__(self, "t", number)

    @property
    def name(self) -> str:
        return f"exp:{plain_number(self.t)}"

    @property
    def anchor(self) -> float:
        return float(np.sign(self.t) * np.exp(self.t))

    def differences(self, points: Points) -> Array:
        return self.anchor * np.expm1(-self.t * points.v)

    def changes(self, points: Points, origin: Points) -> Array:
        return np.asarray(self._values(origin) * np.expm1(self.t * points.minus(origin)))

    def _values(self, points: Points) -> Array:
        return np.asarray(np.sign(self.t) * np.exp(self.t * points.u))


@dataclass(frozen=True)
class Power(Transform):
    """Phi(u) = u**p: with p = 2N - 1 first-order optimal for Best-of-N at small KL.

    Parameters
    ----------
    p : float
        Power, positive.

    Examples
    --------
    >>> float(Power(2)(0.5))
    0.25
    """

    p: float

    def __post_init__(self) -> None:
        number = real(self.p, "power p", "a positive power between 1e-100 and 1e9")
        if not 1e-100 <= number <= 1e9:
            raise InputError(
                f"power p = {plain_number(number)}: give a positive power from 1e-100 to 1e9 "
                "(log is the limit at 0; for a negative power write an expression)."
            )
        object.__setattr__(self, "p", number)

    anchor = 1.0

    @property
    def name(self) -> str:
        return f"power:{plain_number(self.p)}"

    def differences(self, points: Points) -> Array:
        return np.expm1(self.p * points.log_u)

    def changes(self, points: Points, origin: Points) -> Array:
        ratio = np.expm1(self.p * (points.log_u - origin.log_u))
        return np.asarray(self._values(origin) * ratio)

    def _values(self, points: Points) -> Array:
        return np.asarray(np.exp(self.p * points.log_u))


class Expression(Transform):
    """A transform written as text, parsed by a whitelist and never executed.

    Parameters
    ----------
    text : str
        Formula in ``u``, the named parameters, ``pi``, ``e``, the operators ``+ - * / **`` and
        the functions listed in :mod:`infalign_theory.expressions`.
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
_WITHOUT_NUMBER: dict[str, Transform] = {
    "identity": Identity(),
    "log": Log(),
    "logit": Logit(),
}
ALLOWED = "identity, log, logit, power:P, exp:T, expr:FORMULA (in u) or optimal"


def as_transform(transform: Transform | str) -> Transform:
    """A transform from itself or from text such as ``exp:10``.

    Text parameters of an expression follow semicolons: ``expr:exp(t*u)-u;t=3``.

    Examples
    --------
    >>> as_transform("exp:10")
    Exponential(t=10.0)
    """
    if isinstance(transform, Transform):
        return transform
    if not isinstance(transform, str):
        raise InputError(
            f"transform {transform!r:.80} is not a transform; give one of {ALLOWED}, or .transform "
            "of an optimum."
        )
    head, colon, tail = transform.strip().partition(":")
    if head in _WITHOUT_NUMBER and not colon:
        return _WITHOUT_NUMBER[head]
    if head == "expr" and colon:
        text, *assignments = tail.split(";")
        return Expression(text, **_parameters(assignments, transform))
    if head in ("exp", "power") and colon:
        number = _number(tail, transform)
        return Exponential(number) if head == "exp" else Power(number)
    raise InputError(f"transform {transform!r} is not known; give one of {ALLOWED}.")


def _number(text: str, whole: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise InputError(
            f"transform {whole!r}: {text!r} is not a number; write for example exp:10 or power:7."
        ) from None


def _parameters(assignments: list[str], whole: str) -> dict[str, float]:
    out: dict[str, float] = {}
    for assignment in assignments:
        name, equals, value = (part.strip() for part in assignment.partition("="))
        if not equals or not name.isidentifier() or name in out:
            raise InputError(
                f"transform {whole!r}: {assignment!r} is not a parameter; after the formula write "
                "each once, as in expr:exp(t*u)-u;t=3."
            )
        out[name] = _number(value, whole)
    return out
