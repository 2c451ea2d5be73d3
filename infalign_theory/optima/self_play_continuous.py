"""The equilibrium of self-play on a continuous base: explicit in its quantile function.

With u as a function of p = F(u), du/dp = exp(-k H(p)) / Z and H(p) the integral of g'^2 from 0
to p (eq-self-play-quantile of docs/mathematics/self-play.md). So u(p) is the CDF of a tilt of the
uniform law of p by -H, and everything a tilt has (tails, quantiles, grids) serves here too.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from infalign_theory.kernels.terms import evaluate_all
from infalign_theory.optima.certificate import response_step
from infalign_theory.optima.general import GeneralProblem
from infalign_theory.policies.continuous import ContinuousPolicy
from infalign_theory.policies.continuous_tilt import ContinuousTilt, uniform_grid
from infalign_theory.policies.core import Policy
from infalign_theory.policies.win_rates import kinks
from infalign_theory.procedures import Procedure
from infalign_theory.procedures.tabulation import tabulate
from infalign_theory.quadrature.grid import Grid, Running
from infalign_theory.quadrature.panels import entropy_terms
from infalign_theory.quadrature.points import Points
from infalign_theory.transforms.solved import SolvedTransform
from infalign_theory.transforms.tabulated import TabulatedTransform
from infalign_theory.typing import Array

_MAX_PANELS = 4000


def declining(procedure: Procedure) -> TabulatedTransform:
    """H(1) - H(p): its tilt of the uniform law of p by -H has CDF u(p)."""
    grid = uniform_grid()
    while True:
        points = grid.points
        values = procedure.pdf(points.u, points.v) ** 2 * grid.jacobian
        running = grid.running(values)
        sums = grid.sums(values)
        marked = grid.unresolved(running.below) > 1e-14 * running.total * grid.half
        marked |= grid.unresolved(values) > 1e-15 * running.total + 4e-15 * sums
        marked &= grid.splittable()
        if not marked.any() or grid.half.size > _MAX_PANELS:
            name = f"quantiles of self-play@{procedure.name}"
            return TabulatedTransform(name, grid, -running.below, 1.0)
        grid = grid.split(marked)


@dataclass(frozen=True, eq=False)
class EquilibriumChange:
    """H(F(u)) - H(1) of the equilibrium, F the quantile function of u(p)."""

    quantiles: ContinuousPolicy

    def __call__(self, points: Points) -> Array:
        """Phi(u) - Phi(1)."""
        at = self.quantiles.quantiles(points.u, points.v)
        return -self.quantiles.transform.differences(at)


class PolicyCdf(Procedure):
    """An opponent's law after its procedure, g(F(u)), as if it were a procedure of the base."""

    def __init__(self, procedure: Procedure, policy: ContinuousPolicy) -> None:
        self._procedure = procedure
        self._policy = policy

    @property
    def name(self) -> str:
        """As text; not readable back."""
        return f"{self._procedure.name} of {self._policy.transform.name}"

    def cdf(self, p: Array, q: Array) -> tuple[Array, Array]:
        """g(F(u)) and its complement."""
        return self._procedure.cdf(*self._policy.tails(Points.from_pair(p, q)))

    def pdf(self, p: Array, q: Array) -> Array:
        """g'(F(u)) f(u), from its table."""
        return evaluate_all(np.asarray(p), np.asarray(q), self.slope_terms)

    def _slope(self, p: Array, q: Array) -> Array:
        points = Points.from_pair(np.asarray(p), np.asarray(q))
        slope = self._procedure.pdf(*self._policy.tails(points))
        return np.asarray(slope * np.exp(self._policy.tilt.log_density(points)))

    @cached_property
    def slope_terms(self) -> Array:
        """Its derivative, tabulated."""
        return tabulate(self._slope)

    @cached_property
    def value_terms(self) -> Array:
        """Itself, tabulated."""
        return tabulate(lambda p, q: self.cdf(p, q)[0])


@dataclass(frozen=True)
class ContinuousAtPlay:
    """Self-play on a continuous base under one procedure."""

    procedure: Procedure
    largest_kl = np.inf
    largest_log_k = 60.0

    @cached_property
    def _declining(self) -> TabulatedTransform:
        return declining(self.procedure)

    def _quantiles(self, k: float) -> ContinuousPolicy:
        """The law of p whose CDF is u(p)."""
        return ContinuousPolicy(ContinuousTilt.resolve(self._declining, k))

    def kl(self, k: float) -> float:
        """KL to the base at k = 1/beta: of the uniform law of p from the law of u(p)."""
        tilt = self._quantiles(k).tilt
        log_slope = tilt.log_density(tilt.grid.points)
        terms = entropy_terms(-log_slope, log_slope + tilt.grid.log_jacobian)
        return tilt.grid.integral(terms)

    def policy(self, k: float) -> ContinuousPolicy:
        """The equilibrium at k = 1/beta."""
        name = f"self-play@{self.procedure.name}"
        change = EquilibriumChange(self._quantiles(k))
        exact = ContinuousTilt.resolve(SolvedTransform(name, change), k)
        if k == 0.0:
            return ContinuousPolicy(exact)
        # held as series, which are quick to evaluate
        log_density = exact.log_density(exact.grid.points)
        transform = TabulatedTransform(name, exact.grid, log_density, 1.0 / k)
        return ContinuousPolicy(ContinuousTilt.resolve(transform, k, exact.grid))

    def residual(self, policy: Policy) -> float:
        """Total variation distance from the first-order best response to itself."""
        assert isinstance(policy, ContinuousPolicy)

        def force(grid: Grid, law: Running) -> Array:
            return self.procedure.pdf(*law.fractions) ** 2 * policy.tilt.weights(grid) / law.total

        start = policy.grid.with_edges(kinks(policy, self.procedure, None, self.procedure))
        return response_step(policy, force, start)[0]

    def deviation_gain(self, policy: Policy) -> float:
        """What the best of all responses gains over the policy itself."""
        assert isinstance(policy, ContinuousPolicy)
        if policy.tilt.k == 0.0:
            return 0.0
        problem = GeneralProblem(self.procedure, PolicyCdf(self.procedure, policy))
        best = problem.solutions(policy.tilt.k)[0]
        return max(best.objective - (0.5 - policy.kl / policy.tilt.k), 0.0)
