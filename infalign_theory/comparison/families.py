"""The policies of one transform, one after another or all at once, as frontiers need them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic

import numpy as np

from infalign_theory.policies import closed_forms
from infalign_theory.policies.base import Base, Discrete
from infalign_theory.policies.continuous import ContinuousPolicy
from infalign_theory.policies.continuous_tilt import ContinuousTilt, TiltStack, uniform_grid
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
from infalign_theory.policies.tilt_weights import Known, TiltWeights
from infalign_theory.policies.win_rates import win_rate, win_rates
from infalign_theory.procedures import Procedure
from infalign_theory.quadrature.grid import Grid
from infalign_theory.transforms.core import Transform
from infalign_theory.transforms.expression import Expression
from infalign_theory.transforms.remembered import Remembered
from infalign_theory.typing import Array

__all__ = ["Policies", "policies_of"]

_TOGETHER = 8  # tilts at once: as many as the processor's cache holds
_CLOSE = 0.7  # share of an end's KL that is close enough to start or stop a march


class Policies(Generic[T]):
    """The policies of one transform.

    They are ordered by x, the logarithm of 1/beta; where the normaliser bounds 1/beta by
    1/slope, the logit of slope/beta.
    """

    def __init__(self, family: Family[T], policy: Callable[[T], Policy]) -> None:
        self._family = family
        self._policy = policy
        self._guess = 0.0

    def measured(self, x: Array, ours: Procedure, theirs: Procedure) -> tuple[Array, Array]:
        """KL and win rate at several x."""
        policies = [self._policy(self._family.at(float(k), None)) for k in self._strength(x)]
        won = [win_rate(one, ours, against_procedure=theirs) for one in policies]
        return np.array([one.kl for one in policies]), np.array(won)

    def spending(self, kl: float) -> Policy:
        """The policy of a KL; its grid does not depend on those before."""
        return self._policy(solve(self._family, kl))

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
                    spent, growth = self._about(float(np.exp(x)))
                if not (0.0 < spent < np.inf and growth > 0.0):
                    break
                ratio = spent / kl
                if (_CLOSE <= ratio <= 1.0) if below else (1.0 <= ratio <= 1.0 / _CLOSE):
                    return x
                x += float(np.clip((aim - np.log(spent)) * spent / growth, -3.0, 3.0))
        beta = self.spending(kl).beta
        return float(-np.log(beta) if slope == 0.0 else -np.log(beta / slope - 1.0))

    def _about(self, k: float) -> tuple[float, float]:
        """KL of a strength and its growth, roughly."""
        tilt = self._family.at(k, None)
        return tilt.kl, tilt.growth

    def _strength(self, x: Array) -> Array:
        """1/beta at each x."""
        slope = self._family.slope
        return np.asarray(np.exp(x) if slope == 0.0 else 1.0 / (slope * (1.0 + np.exp(-x))))

    def x_to_beta(self, x: Array) -> Array:
        """Beta at each x."""
        slope = self._family.slope
        return np.asarray(np.exp(-x) if slope == 0.0 else slope * (1.0 + np.exp(-x)))


class _OnContinuous(Policies[ContinuousTilt]):
    """Policies on a continuous base: several share one grid, and each starts from the last."""

    def __init__(self, transform: Transform) -> None:
        self._known = Known(transform)
        super().__init__(continuous_family(transform, self._known), ContinuousPolicy)

    def measured(self, x: Array, ours: Procedure, theirs: Procedure) -> tuple[Array, Array]:
        k, grid = self._strength(x), self._start
        kl, won = np.empty(x.size), np.empty(x.size)
        for first in range(0, x.size, _TOGETHER):
            part = slice(first, first + _TOGETHER)
            stack = TiltStack.resolve(self._known, k[part], grid)
            grid = stack.grid
            spent = zip(stack.k.tolist(), stack.kl.tolist(), strict=True)
            kl[part] = [closed_forms.kl(self._known.transform, one, about) for one, about in spent]
            won[part] = win_rates(stack, ours, theirs)
        return kl, won

    def spending(self, kl: float) -> Policy:
        policy = self._policy(solve(self._family, kl, None, self._guess))
        if kl > 0.0:
            self._guess = 1.0 / policy.beta
        return policy

    @property
    def _start(self) -> Grid:
        """The grid of the base, with what is known to interrupt the transform."""
        return uniform_grid().with_edges(np.array(self._known.transform.breaks))

    def _about(self, k: float) -> tuple[float, float]:
        grid = self._start
        weights = TiltWeights.of(grid, np.array([k]), self._known.differences(grid))
        return float(weights.kl[0]), float(weights.growth[0])


def policies_of(
    transform: Transform, base: Base
) -> Policies[ContinuousTilt] | Policies[DiscreteTilt]:
    """The policies of a transform on either base."""
    if isinstance(base, Discrete):
        return Policies(discrete_family(transform, base), DiscretePolicy)
    if isinstance(transform, Expression):  # costs more than the rest together
        transform = Remembered(transform)
    return _OnContinuous(transform)
