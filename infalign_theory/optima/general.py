"""The coupled optimum of any pair of procedures on a continuous base, by shooting.

Powers have a trajectory of their own (:mod:`infalign_theory.optima.powers`), faster and valid at
any N; this solver agrees with it and serves order statistics, mixtures, distortions and mixed
pairs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.optimize import brentq

from infalign_theory.checks import plain_number
from infalign_theory.errors import OutOfReachError, PrecisionError
from infalign_theory.kernels import panels
from infalign_theory.kernels.descent import march_down
from infalign_theory.kernels.panels import entropy_terms
from infalign_theory.optima.discrete import DiscreteProblem
from infalign_theory.policies.base import Discrete
from infalign_theory.policies.continuous import ContinuousPolicy
from infalign_theory.policies.continuous_tilt import ContinuousTilt
from infalign_theory.policies.win_rates import win_rate
from infalign_theory.procedures import Procedure
from infalign_theory.quadrature.grid import REACH, Grid
from infalign_theory.quadrature.points import Points
from infalign_theory.transforms.tabulated import TabulatedTransform
from infalign_theory.typing import Array

_FINE, _FAR = 0.125, 44.0  # panels of the logit: their width, and from where they double


_CELLS = 1200  # of the discrete problem that locates every solution


_LARGEST_K = 1e14


@dataclass(frozen=True)
class Found:
    """One solution: a policy with its win rate and KL."""

    policy: ContinuousPolicy
    win_rate: float
    maximum: bool

    @property
    def objective(self) -> float:
        """J = W - beta KL."""
        return self.win_rate - self.policy.beta * self.policy.kl


@dataclass(frozen=True)
class GeneralProblem:
    """Maximise W - beta KL on a continuous base for any pair of procedures."""

    ours: Procedure
    theirs: Procedure

    @cached_property
    def grid(self) -> Grid:
        """Panels on which log f is solved."""
        inner = np.arange(-_FAR, _FAR + _FINE / 2, _FINE)
        outer = _FAR * 2.0 ** np.arange(1, 5)
        return Grid(np.concatenate([-outer[::-1], inner, outer]).clip(-REACH, REACH))

    @cached_property
    def _force(self) -> Array:
        points = self.grid.points
        return self.theirs.pdf(points.u, points.v) * self.grid.jacobian

    @cached_property
    def _cells(self) -> DiscreteProblem:
        """The same problem on cells of the unit interval, graded towards both ends."""
        points = Points.from_logit(np.linspace(-40.0, 40.0, _CELLS - 1))
        below = np.concatenate([[0.0], points.u, [1.0]])
        above = np.concatenate([[1.0], points.v, [0.0]])
        mass = np.where(below[1:] <= 0.5, np.diff(below), -np.diff(above))
        return DiscreteProblem(Discrete(mass / mass.sum()), self.ours, self.theirs)

    def _march(self, top: float, k: float) -> tuple[float, Array]:
        log_density = np.empty(self._force.shape)
        total = march_down(
            top, k, self.grid.half, self._force, self.grid.jacobian, self.ours.slope_terms,
            panels.WEIGHTS, panels.FROM_RIGHT, log_density,
        )  # fmt: skip
        return total, log_density

    def _close(self, guess: float, k: float) -> Array:
        """log f whose total is 1, from a guess of its value at u = 1."""

        def excess(top: float) -> float:
            return float(np.log(self._march(top, k)[0]))

        width = 1e-4
        while excess(guess - width) * excess(guess + width) > 0.0:
            width *= 4.0
            if width > 20.0:
                raise PrecisionError(
                    f"no optimum found for {self.ours.name} against {self.theirs.name} at beta = "
                    f"{plain_number(1.0 / k)}; use a larger beta.",
                    float("nan"),
                )
        return self._march(
            float(brentq(excess, guess - width, guess + width, xtol=1e-15, rtol=1e-15)), k
        )[1]

    def solutions(self, k: float) -> list[Found]:
        """All solutions at k = 1/beta, the largest objective first."""
        self._refuse_large(k)
        found = []
        for rough in self._cells.solutions(k):
            log_density = self._close(float(rough.policy.tilt.log_ratio[-1]), k)
            found.append(self.found(k, log_density, rough.maximum))
        return sorted(found, key=lambda one: -one.objective)

    def response(self, log_density: Array, k: float) -> Array:
        """Log density, not normalised, of the best response to a policy on the grid's nodes."""
        law = self.grid.running(np.exp(log_density) * self.grid.jacobian)
        force = self.ours.pdf(*law.fractions) * self._force
        return -k * self.grid.running(force).above

    def found(self, k: float, log_density: Array, maximum: bool) -> Found:
        """The record of one policy, whether or not it solves the equation."""
        versus = "" if self.ours == self.theirs else f"|{self.theirs.name}"
        name = f"optimal@{self.ours.name}{versus}"
        transform = TabulatedTransform(name, self.grid, log_density, 1.0 / k)
        policy = ContinuousPolicy(ContinuousTilt.resolve(transform, k))
        won = win_rate(policy, self.ours, against_procedure=self.theirs)
        return Found(policy, won, maximum)

    def at_kl(self, kl: float) -> Found:
        """The best solution that spends a KL budget."""

        def spent(log_k: float) -> float:
            k = float(np.exp(log_k))
            rough = self._cells.best(k)
            log_density = self._close(float(rough.policy.tilt.log_ratio[-1]), k)
            return self.grid.integral(entropy_terms(log_density, self.grid.log_jacobian))

        def excess(log_k: float) -> float:
            return float(np.log(spent(log_k) / kl))

        low, high = _bracket(excess, float(np.log(_LARGEST_K)), kl)
        log_k = float(brentq(excess, low, high, xtol=1e-14, rtol=1e-14))
        best = self.solutions(float(np.exp(log_k)))[0]
        if abs(best.policy.kl - kl) > 1e-9 * kl:
            raise OutOfReachError(
                f"kl = {plain_number(kl)} nats falls into a jump of the optimal frontier of "
                f"{self.ours.name} against {self.theirs.name} at beta = {best.policy.beta:.6g}; "
                "give a beta.",
                best.policy.kl,
            )
        return best

    def _refuse_large(self, k: float) -> None:
        if k > _LARGEST_K:
            raise PrecisionError(
                f"beta = {1.0 / k:.3g} is too small for {self.ours.name} against "
                f"{self.theirs.name}; give at least {1.0 / _LARGEST_K:g}.",
                float("nan"),
            )


def _bracket(excess: Callable[[float], float], highest: float, kl: float) -> tuple[float, float]:
    """log k on either side of a budget, found by steps from k = 1."""
    low = high = 0.0
    if excess(0.0) > 0.0:
        while excess(low) > 0.0:
            low, high = low - 2.0, low
    else:
        while excess(high) < 0.0:
            low, high = high, high + 2.0
            if high > highest:
                raise OutOfReachError(
                    f"kl = {plain_number(kl)} nats needs a beta below {np.exp(-highest):g} for "
                    "these procedures; give a smaller budget.",
                    kl,
                )
    return low, high
