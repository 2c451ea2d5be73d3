"""The coupled optimum on a discrete base: every solution, the best of them, and its evidence."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from infalign_theory.checks import plain_number
from infalign_theory.errors import OutOfReachError
from infalign_theory.kernels import shooting
from infalign_theory.kernels.sums import divergence
from infalign_theory.optima.solutions import Jump, Solution, ranked
from infalign_theory.optima.spending import at_kl
from infalign_theory.policies.base import Discrete
from infalign_theory.policies.discrete import DiscretePolicy
from infalign_theory.policies.discrete_tilt import DiscreteTilt
from infalign_theory.policies.win_rates import increments
from infalign_theory.procedures import Procedure
from infalign_theory.transforms.atoms import AtomTransform
from infalign_theory.typing import Array

_MANY_ATOMS = 4000


_GRADING = 128  # merged atoms grow by this share of their distance from the nearer end


@dataclass(frozen=True)
class DiscreteProblem:
    """Maximise W - beta KL over the policies on one discrete base."""

    base: Discrete
    ours: Procedure
    theirs: Procedure
    opponent: tuple[Array, Array] | None = None  # edges F, 1 - F of its law; the base by default

    @cached_property
    def weights(self) -> Array:
        """Mass b_j of the opponent under its procedure."""
        edges = (self.base.below, self.base.above) if self.opponent is None else self.opponent
        return increments(self.theirs, edges)

    @cached_property
    def _downward(self) -> tuple[Array, Array]:
        """Masses and half sums of neighbouring b, from the top atom down."""
        b = self.weights[::-1]
        return self.base.probs[::-1].copy(), (b[:-1] + b[1:]) / 2

    @property
    def label(self) -> str:
        """The procedures, for messages."""
        versus = "" if self.ours == self.theirs else f" against {self.theirs.name}"
        return f"{self.ours.name}{versus} on this base"

    @property
    def largest_log_k(self) -> float:
        """Where float64 ends."""
        return 690.0

    @property
    def name(self) -> str:
        """Name of the optimal transform."""
        versus = "" if self.ours == self.theirs else f"|{self.theirs.name}"
        return f"optimal@{self.ours.name}{versus}"

    def solutions(self, k: float) -> list[Solution[DiscretePolicy]]:
        """All solutions, the largest objective first."""
        p, half_b = self._downward
        if k == 0.0 or p.size == 1:
            return [self.solution(k, np.zeros(p.size), True)]
        found = self._coarse_to_fine(k) if p.size > _MANY_ATOMS else None
        if found is None:
            found = []
            roots, directions = shooting.all_roots(
                k, p, half_b, self.ours.slope_terms, self.ours.curvature > 0
            )
            for x, direction in zip(roots, directions, strict=True):
                ratio = np.empty(p.size)
                shooting.descend(float(x), k, p, half_b, self.ours.slope_terms, ratio)
                found.append((ratio, bool(direction > 0)))
        return ranked([self.solution(k, ratio[::-1], maximum) for ratio, maximum in found])

    @cached_property
    def _grouped(self) -> tuple[Array, Array]:
        """Masses and half sums of b of neighbouring atoms merged, finest at both ends."""
        p = self._downward[0]
        position = np.arange(p.size)
        size = np.minimum(position, p.size - 1 - position) // _GRADING + 1
        group = np.cumsum(1.0 / size).astype(np.intp)
        starts = np.flatnonzero(np.diff(group, prepend=-1))
        b = np.add.reduceat(self.weights[::-1], starts)
        return np.add.reduceat(p, starts), (b[:-1] + b[1:]) / 2

    def _coarse_to_fine(self, k: float) -> list[tuple[Array, bool]] | None:
        """Roots located on merged atoms, then closed on all atoms by a few secant steps.

        The merged problem gives the first slope, so that each march over all atoms gains several
        digits. None where that does not settle.
        """
        p, half_b = self._downward
        coarse_p, coarse_half_b = self._grouped
        terms = self.ours.slope_terms
        work = np.empty(coarse_p.size)
        roots, directions = shooting.all_roots(
            k, coarse_p, coarse_half_b, terms, self.ours.curvature > 0
        )
        found = []
        for x, direction in zip(roots.tolist(), directions, strict=True):
            step = 1e-6 * max(1.0, abs(x))
            sides = [
                shooting.descend(x + s, k, coarse_p, coarse_half_b, terms, work)
                for s in (-step, step)
            ]
            slope = (sides[1] - sides[0]) / (2.0 * step)
            ratio = np.empty(p.size)
            previous: tuple[float, float] | None = None
            for _ in range(8):
                mismatch = shooting.descend(x, k, p, half_b, terms, ratio)
                if not np.isfinite(mismatch) or abs(mismatch) <= 1e-12:
                    break
                if previous is not None and previous[1] != mismatch:
                    slope = (mismatch - previous[1]) / (x - previous[0])
                previous = x, mismatch
                x -= mismatch / slope
            if not abs(mismatch) <= 1e-12:
                return None
            found.append((ratio, bool(direction > 0)))
        return found

    def best(self, k: float) -> Solution[DiscretePolicy]:
        """The solution of the largest objective."""
        return self.solutions(k)[0]

    def mismatch(self, end: float, log_k: float) -> float:
        """Log of the mass that came out below a top atom of mass expit(end), over what was left."""
        p, half_b = self._downward
        work = np.empty(p.size)
        value = shooting.descend(end, float(np.exp(log_k)), p, half_b, self.ours.slope_terms, work)
        return float(np.clip(value, -1e3, 1e3))

    def closed(self, end: float, log_k: float, maximum: bool) -> Solution[DiscretePolicy]:
        """The solution at an end and log k that close the march."""
        p, half_b = self._downward
        ratio = np.empty(p.size)
        k = float(np.exp(log_k))
        shooting.descend(end, k, p, half_b, self.ours.slope_terms, ratio)
        return self.solution(k, ratio[::-1], maximum)

    def at_kl(
        self, kl: float
    ) -> tuple[list[Solution[DiscretePolicy]], Jump[DiscretePolicy] | None]:
        """The best policy that spends a KL budget, the others at its beta, and its jump."""
        limit = abs(float(np.log(self.base.probs[-1])))
        if kl >= limit * (1.0 - 1e-14):
            raise OutOfReachError(
                f"kl = {plain_number(kl)} nats is out of reach on this base: all mass on its top "
                f"atom spends {limit:.12g} nats; give less.",
                limit,
            )
        return at_kl(self, kl, 0.0, longest=8.0)

    def solution(self, k: float, log_ratio: Array, maximum: bool) -> Solution[DiscretePolicy]:
        """The record of one policy, whether or not it solves the equation."""
        log_ratio = log_ratio - np.log(np.sum(self.base.probs * np.exp(log_ratio)))
        beta = 1.0 / k if k > 0.0 else 0.0
        values = beta * (log_ratio - log_ratio[-1])
        transform = AtomTransform(self.name, self.base.u, self.base.below[1:-1], values)
        policy = DiscretePolicy(DiscreteTilt(transform, self.base, k, log_ratio))
        below = self.ours.cdf(*policy.tilt.edges)[0]
        loss = float(np.sum(self.weights * (below[1:] + below[:-1]) / 2))
        with np.errstate(divide="ignore"):
            end = float(np.log(policy.probs[-1]) - np.log(np.sum(policy.probs[:-1])))
        return Solution(policy=policy, loss=loss, kl=policy.kl, end=end, maximum=maximum)

    def response(self, edges: tuple[Array, Array], k: float) -> Array:
        """Log density ratios of the best response to a policy with the given F and 1 - F."""
        below, above = edges
        force = self.ours.pdf(below[1:-1], above[1:-1]) * (self.weights[:-1] + self.weights[1:]) / 2
        climbed = np.concatenate([np.cumsum(force[::-1])[::-1], [0.0]])
        return np.asarray(-k * climbed - np.log(np.sum(self.base.probs * np.exp(-k * climbed))))

    def fixed_point_step(self, policy: DiscretePolicy) -> tuple[float, float]:
        """Distance of a policy from its best response: total variation, KL(policy || response)."""
        response = self.response(policy.tilt.edges, policy.tilt.k)
        mass = self.base.probs * np.exp(response)
        distance = 0.5 * np.sum(np.abs(policy.probs - mass))
        difference = policy.tilt.log_ratio - response
        return float(distance), divergence(mass, difference)
