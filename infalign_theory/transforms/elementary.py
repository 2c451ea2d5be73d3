"""Identity, log and logit."""

from __future__ import annotations

from dataclasses import dataclass

from infalign_theory.quadrature.points import Points
from infalign_theory.transforms.core import Transform
from infalign_theory.typing import Array


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
