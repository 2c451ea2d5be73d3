"""The policies of one transform, one after another, as frontiers need them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic

import numpy as np

from infalign_theory.policies.base import Base, Discrete
from infalign_theory.policies.continuous import ContinuousPolicy
from infalign_theory.policies.continuous_tilt import ContinuousTilt
from infalign_theory.policies.core import Policy
from infalign_theory.policies.discrete import DiscretePolicy
from infalign_theory.policies.discrete_tilt import DiscreteTilt
from infalign_theory.policies.families import (
    Family,
    T,
    continuous_family,
    discrete_family,
    solve,
)
from infalign_theory.transforms.core import Transform
from infalign_theory.transforms.expression import Expression
from infalign_theory.transforms.remembered import Remembered
from infalign_theory.typing import Array

__all__ = ["Policies", "policies_of"]

_CLOSE = 0.7  # share of an end's KL that is close enough to start or stop a march


class Policies(Generic[T]):
    """The policies of one transform, each found from the one before.

    They are ordered by x, the logarithm of 1/beta; where the normaliser bounds 1/beta by
    1/slope, the logit of slope/beta.
    """

    def __init__(self, family: Family[T], policy: Callable[[T], Policy], warm: bool) -> None:
        self._family = family
        self._policy = policy
        self._warm = warm
        self._nearby: T | None = None
        self._guess = 0.0

    def at(self, x: float) -> Policy:
        """The policy of one x."""
        slope = self._family.slope
        k = np.exp(x) if slope == 0.0 else 1.0 / (slope * (1.0 + np.exp(-x)))
        self._nearby = self._family.at(float(k), self._nearby)
        return self._policy(self._nearby)

    def spending(self, kl: float) -> Policy:
        """The policy of a KL; its grid does not depend on those before."""
        policy = self._policy(solve(self._family, kl, None, self._guess))
        if self._warm and kl > 0.0:
            self._guess = 1.0 / policy.beta
        return policy

    def around(self, least: float, most: float) -> tuple[float, float]:
        """Two values of x whose KLs enclose two budgets, not too far from them."""
        low = self._near(least, below=True)
        return low, max(self._near(most, below=False), low + 1e-3)

    def _near(self, kl: float, *, below: bool) -> float:
        """An x at which a little less, or a little more, than a budget is spent."""
        slope = self._family.slope
        aim = float(np.log(kl)) + (0.15 if not below else -0.15)
        if slope == 0.0 and kl < self._family.limit * 0.8:
            x = float(np.log(np.sqrt(2.0 * kl) / self._family.spread))
            for _ in range(12):
                with np.errstate(all="ignore"):
                    tilt = self._family.at(float(np.exp(x)), self._nearby)
                if not (0.0 < tilt.kl < np.inf and tilt.growth > 0.0):
                    break
                self._nearby = tilt
                ratio = tilt.kl / kl
                if (_CLOSE <= ratio <= 1.0) if below else (1.0 <= ratio <= 1.0 / _CLOSE):
                    return x
                x += float(np.clip((aim - np.log(tilt.kl)) * tilt.kl / tilt.growth, -3.0, 3.0))
        beta = self.spending(kl).beta
        return float(-np.log(beta) if slope == 0.0 else -np.log(beta / slope - 1.0))

    def x_to_beta(self, x: Array) -> Array:
        """Beta at each x."""
        slope = self._family.slope
        return np.asarray(np.exp(-x) if slope == 0.0 else slope * (1.0 + np.exp(-x)))


def policies_of(
    transform: Transform, base: Base
) -> Policies[ContinuousTilt] | Policies[DiscreteTilt]:
    """The policies of a transform on either base."""
    if isinstance(base, Discrete):
        return Policies(discrete_family(transform, base), DiscretePolicy, warm=False)
    if isinstance(transform, Expression):  # costs more than the rest together
        transform = Remembered(transform)
    return Policies(continuous_family(transform), ContinuousPolicy, warm=True)
