"""The coupled optimum of any pair of procedures on a continuous base, by shooting.

Powers have a trajectory of their own (:mod:`infalign_theory.optima.powers`), faster and valid at
any N; this solver agrees with it and serves order statistics, mixtures, distortions and mixed
pairs.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from infalign_theory.checks import plain_number
from infalign_theory.errors import PrecisionError
from infalign_theory.optima.closures import Closure, Marches
from infalign_theory.optima.solutions import Jump, Solution, ranked
from infalign_theory.optima.spending import KL_PROMISE, at_kl
from infalign_theory.policies.bracketing import bracket_increasing, root_within
from infalign_theory.policies.continuous import ContinuousPolicy
from infalign_theory.policies.continuous_tilt import ContinuousTilt, uniform_grid
from infalign_theory.policies.win_rates import win_rate
from infalign_theory.procedures import Procedure
from infalign_theory.quadrature.grid import Grid
from infalign_theory.quadrature.panels import entropy_terms
from infalign_theory.transforms.tabulated import TabulatedTransform
from infalign_theory.typing import Array

_LARGEST_K = 1e250
_DENSITIES = (1, 4)  # of the scan for solutions: the second where the first finds too little
_TOGETHER = 8  # conditioned bases at once: as many as the processor's cache holds
_LONGEST = 32.0  # step in log k along a solution that is followed
_LOG_K = 1e-13  # to which log k is then found
_BEATEN = 1e-10  # by which a conditioned base must be better to prove a solution missed


@dataclass(frozen=True)
class GeneralProblem:
    """Maximise W - beta KL on a continuous base for any pair of procedures."""

    ours: Procedure
    theirs: Procedure

    @cached_property
    def marches(self) -> Marches:
        """The marches of the pair."""
        return Marches(self.ours, self.theirs)

    @property
    def label(self) -> str:
        """The procedures, for messages."""
        versus = "" if self.ours == self.theirs else f" against {self.theirs.name}"
        return f"{self.ours.name}{versus}"

    @property
    def name(self) -> str:
        """Name of the optimal transform."""
        versus = "" if self.ours == self.theirs else f"|{self.theirs.name}"
        return f"optimal@{self.ours.name}{versus}"

    @property
    def largest_log_k(self) -> float:
        """Where the solver ends."""
        return float(np.log(_LARGEST_K))

    def solutions(self, k: float) -> list[Solution[ContinuousPolicy]]:
        """All solutions at k = 1/beta, the best first."""
        return ranked([self._solution(one) for one in self.closures(k)])

    def closures(self, k: float) -> list[Closure]:
        """All solutions as log densities, the best of them a maximum that nothing simple beats."""
        self._refuse_large(k)
        if self.ours.curvature > 0:
            return self.marches.all_closures(k)
        bound = self._conditioned_cost(k)
        for density in _DENSITIES:
            found = self.marches.all_closures(k, density)
            costs = [one.loss(self.ours, self.theirs) + one.kl / k for one in found]
            best = int(np.argmin(costs))
            if found[best].maximum and costs[best] <= bound + _BEATEN:
                return found
        raise self.marches.unsolved(k, "its solutions lie too close together to be told apart")

    def _conditioned_cost(self, k: float) -> float:
        """The least 1 - W + KL/k of the base conditioned on u > c, over many c."""
        kept, lost = self._conditioned
        return float(np.min(lost - np.log(kept) / k))

    @cached_property
    def _conditioned(self) -> tuple[Array, Array]:
        """1 - c for many c, and 1 - W of the base conditioned on u > c."""
        grid = uniform_grid()
        inner = grid.points
        ours = self.ours.cdf(inner.u, inner.v)[0] * grid.jacobian
        # c towards both ends: 1 - c halves from step to step, c as well
        kept = np.concatenate([0.5 ** np.arange(1.0, 40.0, 0.25), 1.0 - 0.5 ** np.arange(1.0, 24)])
        lost = np.empty(kept.size)
        for first in range(0, kept.size, _TOGETHER):
            part = slice(first, first + _TOGETHER)
            rest = kept[part, None, None]
            v = rest * inner.v
            values = ours * self.theirs.pdf(1.0 - v, v) * rest
            # an upper bound: what the grid does not resolve proves nothing
            lost[part] = grid.integrals(values) + 4.0 * grid.unresolved(values).sum(axis=-1)
        return kept, lost

    def mismatch(self, end: float, log_k: float) -> float:
        """Log of the total mass that a march from log f(1) = end gives."""
        return self.marches.march((end, 0.0), float(np.exp(log_k))).excess

    def closed(self, end: float, log_k: float, maximum: bool) -> Solution[ContinuousPolicy]:
        """The solution at an end and log k that close the march."""
        k = float(np.exp(log_k))
        return self._solution(self.marches.close(end, k, maximum))

    def response(self, grid: Grid, log_density: Array, k: float) -> Array:
        """Log density, not normalised, of the best response to a policy on a grid's nodes."""
        law = grid.running(np.exp(log_density + grid.log_jacobian))
        force = self.ours.pdf(*law.fractions) * self.theirs.pdf(grid.points.u, grid.points.v)
        return -k * grid.running(force * grid.jacobian).above

    def _solution(self, closure: Closure) -> Solution[ContinuousPolicy]:
        policy = self._policy(closure)
        loss = 1.0 - win_rate(policy, self.ours, against_procedure=self.theirs)
        if loss < 1e-3:  # the difference from 1 would lose digits
            loss = closure.loss(self.ours, self.theirs)
        return Solution(
            policy=policy, loss=loss, kl=policy.kl, end=closure.end, maximum=closure.maximum
        )

    def _policy(self, closure: Closure) -> ContinuousPolicy:
        """The policy on the panels of its own march, which resolve it already.

        At large N the density carries N roundings of F: refining further would only chase them.
        """
        k, solved = closure.k, closure.grid
        transform = TabulatedTransform(self.name, solved, closure.log_density, 1.0 / k)
        low, high = solved.edges[0], solved.edges[-1]
        far = uniform_grid().edges
        outer = far[(far < low - 1.0) | (far > high + 1.0)]
        grid = Grid(np.union1d(solved.edges, outer))
        exponent = k * transform.differences(grid.points)
        density = np.exp(exponent + grid.log_jacobian)
        z = grid.integral(density)
        terms = entropy_terms(exponent - np.log(z), grid.log_jacobian)
        centred = exponent - grid.integral(density * exponent) / z
        return ContinuousPolicy(
            ContinuousTilt(
                transform=transform,
                k=k,
                grid=grid,
                peak=0.0,
                log_z=float(np.log(z)),
                kl=grid.integral(terms),
                growth=grid.integral(density * centred**2) / z,
            )
        )

    def policy(self, k: float, grid: Grid, log_density: Array) -> ContinuousPolicy:
        """The policy of a log density on a grid's nodes."""
        transform = TabulatedTransform(self.name, grid, log_density, 1.0 / k)
        start = uniform_grid().with_edges(grid.edges)
        return ContinuousPolicy(ContinuousTilt.resolve(transform, k, start))

    def at_kl(
        self, kl: float
    ) -> tuple[list[Solution[ContinuousPolicy]], Jump[ContinuousPolicy] | None]:
        """The best solution that spends a KL budget, the others at its beta, and its jump."""
        start = self._small_budget_log_k(kl)
        followed = self._followed(kl, start)
        if followed is not None:
            found = self.solutions(followed)
            if abs(found[0].kl - kl) <= KL_PROMISE * kl:
                return found, None
            start = float(np.log(followed))
        return at_kl(self, kl, start)

    def _small_budget_log_k(self, kl: float) -> float:
        """log k by the leading law KL = k^2 Var(Phi) / 2, Phi the derivative at the base."""
        grid = uniform_grid()
        phi = self.response(grid, np.zeros(grid.jacobian.shape), 1.0)
        mean = grid.integral(phi * grid.jacobian)
        variance = grid.integral((phi - mean) ** 2 * grid.jacobian)
        highest = self.largest_log_k
        if not variance > 1e-250:  # the two procedures look at different ends
            return 0.0
        return float(np.clip(0.5 * np.log(2.0 * kl / variance), -600.0, highest))

    def _followed(self, kl: float, start: float) -> float | None:
        """k at which the solution that is best at the start, followed, spends ``kl``.

        The last k tried where none does; None where the solution ends on the way.
        """
        path: list[tuple[float, float]] = []  # log k and t = log(exp(a) - 1), a the end

        def excess(log_k: float) -> float:
            k = float(np.exp(log_k))
            if not path:
                found = self.closures(k)
                one = min(found, key=lambda c: c.loss(self.ours, self.theirs) + c.kl / k)
            else:
                one = self.marches.track(_extrapolated(path, log_k), k)
            path.append((log_k, float(np.log(np.expm1(max(one.end, 1e-300))))))
            return float(np.log(max(one.kl, 1e-300) / kl))

        try:
            bracket = bracket_increasing(
                excess, start, step=0.5, longest=_LONGEST, lowest=-650.0, highest=self.largest_log_k
            )
            found = path[-1][0] if bracket is None else root_within(excess, bracket, _LOG_K)
            return float(np.exp(found))
        except PrecisionError:
            return None

    def _refuse_large(self, k: float) -> None:
        if k > _LARGEST_K * (1.0 + 1e-12):
            raise PrecisionError(
                f"beta = {plain_number(1.0 / k)} is too small for {self.label}; give at least "
                f"{1.0 / _LARGEST_K:g}.",
                float("nan"),
            )


def _extrapolated(path: list[tuple[float, float]], log_k: float) -> float:
    """The end at log k, in a straight line in t through the two nearest points.

    Small ends grow like k, large ones like its log: t is straight in both.
    """
    near = sorted(path, key=lambda point: abs(point[0] - log_k))[:2]
    (x0, y0), (x1, y1) = near[0], near[-1]
    slope = (y1 - y0) / (x1 - x0) if x1 != x0 else 0.0
    return float(np.logaddexp(0.0, y0 + np.clip(slope, 0.0, 1.0) * (log_k - x0)))
