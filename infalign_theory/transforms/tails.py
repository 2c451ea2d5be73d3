"""Quantile functions of distributions, to all digits in both tails."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from infalign_theory.errors import PrecisionError
from infalign_theory.quadrature.points import Points
from infalign_theory.typing import Array

__all__ = ["StudentT", "Tails", "normal"]

_LADDER = (704.0, 600.0, 500.0, 400.0, 300.0, 200.0, 150.0, 100.0, 70.0)  # of logits
_ENOUGH = 30.0  # the same of a lower tail: 1e-13 of the base lies below
_MIDDLE = 0.25
_SPACING = 2.0**-52
_FEW = 8.0  # units in the last place that a quantile may be off
_SLACK = 1e-12  # relative, of a tail probability found back

Function = Callable[[Array], Array]


def _special() -> ModuleType:
    """SciPy's special functions, whose import costs half a second that few need."""
    import scipy.special

    module: ModuleType = scipy.special
    return module


def normal(points: Points) -> Array:
    """Quantiles of the standard normal law."""
    near = _special().ndtri(np.where(points.upper, points.v, points.u))
    return np.asarray(np.where(points.upper, -near, near))


@dataclass(frozen=True)
class StudentT:
    """Student's t by the incomplete beta function, smoother than SciPy's own quantiles of it."""

    degrees: float

    def isf(self, q: ArrayLike) -> Array:
        inverse, half, mass = _special().betaincinv, self.degrees / 2.0, np.asarray(q)
        upper = np.minimum(mass, 1.0 - mass)
        with np.errstate(all="ignore"):
            far = inverse(half, 0.5, 2.0 * np.minimum(upper, _MIDDLE))  # nu / (nu + x^2)
            near = inverse(0.5, half, 1.0 - 2.0 * np.maximum(upper, _MIDDLE))
            ratio = np.where(upper < _MIDDLE, (1.0 - far) / far, near / (1.0 - near))
        return np.asarray(np.copysign(np.sqrt(self.degrees * ratio), 0.5 - mass))

    def ppf(self, q: ArrayLike) -> Array:
        return -self.isf(q)

    def sf(self, x: ArrayLike) -> Array:
        share = self.degrees / (self.degrees + np.square(x))
        tail = _special().betainc(self.degrees / 2.0, 0.5, share) / 2.0
        return np.asarray(np.where(np.asarray(x) > 0.0, tail, 1.0 - tail))

    def cdf(self, x: ArrayLike) -> Array:
        return self.sf(-np.asarray(x))


@dataclass(frozen=True)
class _Tail:
    """One tail of a distribution: its quantiles are exact up to a logit and continued beyond it.

    Beyond, a quantile grows by a fixed factor per unit of logit, as power tails do; of lighter
    ones there is no mass left.
    """

    quantile: Function
    limit: float
    end: float = 0.0
    rate: float = 0.0

    @classmethod
    def of(cls, quantile: Function, tail: Function, sign: float, coarse: float) -> _Tail | None:
        """None where not even probabilities of e^-``coarse`` are found back."""
        exact = (s for s in _LADDER if _found_back(quantile, tail, sign, s))
        limit = next(exact, 0.0)
        if limit == 0.0 and coarse < _LADDER[-1] and _found_back(quantile, tail, sign, coarse):
            limit = coarse
        if limit == 0.0:
            return None
        inner, end = (float(quantile(np.exp(np.array(-s)))) for s in (limit - 10.0, limit))
        return cls(
            quantile, limit, end, float(np.log(end / inner)) / 10.0 if inner * end > 0 else 0
        )

    def __call__(self, mass: Array, depth: Array) -> Array:
        """Quantiles at tail probabilities, and at their logits away from the middle."""
        values = np.asarray(self.quantile(np.maximum(mass, np.exp(-self.limit))))
        beyond = depth - self.limit
        if not (beyond > 0.0).any():
            return values
        return np.where(beyond > 0.0, self.end * np.exp(np.maximum(beyond, 0) * self.rate), values)


@dataclass(frozen=True)
class Tails:
    """Quantiles of a distribution from its two tails."""

    lower: _Tail
    upper: _Tail

    @classmethod
    def of(cls, law: Any, label: str) -> Tails:  # noqa: ANN401
        # of the lower tail only its mass could be missed
        lower = _Tail.of(law.ppf, law.cdf, -1.0, _ENOUGH)
        upper = _Tail.of(law.isf, law.sf, 1.0, _LADDER[-1])
        if lower is None or upper is None:
            raise PrecisionError(
                f"distribution {label} does not find its own tail probabilities back, so its "
                "policies would be wrong; give one whose isf and ppf are accurate.",
                float("nan"),
            )
        return cls(lower, upper)

    def __call__(self, points: Points) -> Array:
        values, upper = np.empty(points.s.shape), points.upper
        for tail, mine, mass, sign in (
            (self.lower, ~upper, points.u, -1.0),
            (self.upper, upper, points.v, 1.0),
        ):
            if mine.any():
                values[mine] = tail(mass[mine], sign * points.s[mine])
        return values


def _found_back(quantile: Function, tail: Function, sign: float, depth: float) -> bool:
    """Whether a quantile lies between neighbours whose tail probabilities enclose its own."""
    mass = float(np.exp(-depth))
    with np.errstate(all="ignore"):
        x = float(quantile(np.array(mass)))
        if not np.isfinite(x):
            return False
        width = _FEW * _SPACING * abs(x) + 1e-300
        less = float(tail(np.array(x + sign * width)))
        more = float(tail(np.array(x - sign * width)))
    return less <= mass * (1.0 + _SLACK) and more >= mass * (1.0 - _SLACK)
