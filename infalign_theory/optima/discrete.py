"""The coupled optimum on a discrete base: every solution, the best of them, and its evidence."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np
from scipy.optimize import brentq
from scipy.special import logit

from infalign_theory.checks import plain_number
from infalign_theory.errors import OutOfReachError, PrecisionError
from infalign_theory.kernels import shooting
from infalign_theory.kernels.sums import divergence
from infalign_theory.policies.base import Discrete
from infalign_theory.policies.discrete import DiscretePolicy
from infalign_theory.policies.discrete_tilt import DiscreteTilt
from infalign_theory.policies.win_rates import increments, weighted_win_rate
from infalign_theory.procedures import Procedure
from infalign_theory.transforms.atoms import AtomTransform
from infalign_theory.typing import Array

_MANY_ATOMS = 4000


_LARGEST_LOG_K = 690.0


_GRADING = 128  # merged atoms grow by this share of their distance from the nearer end


@dataclass(frozen=True)
class Solution:
    """One solution of the coupled equation at one k = 1/beta."""

    policy: DiscretePolicy
    win_rate: float
    kl: float
    maximum: bool

    @property
    def objective(self) -> float:
        """J = W - beta KL."""
        return self.win_rate - self.policy.beta * self.kl


@dataclass(frozen=True)
class Jump:
    """A first-order transition of the optimal frontier at one beta.

    Attributes
    ----------
    below, above : Solution
        The two optima of equal objective, either side of the missing KL.
    hull_win_rate : float
        Win rate of the concave hull at the budget: what a mixture of the two would reach if the
        win rate were linear between them; an upper bound.
    """

    below: Solution
    above: Solution
    hull_win_rate: float


@dataclass(frozen=True)
class DiscreteProblem:
    """Maximise W - beta KL over the policies on one discrete base."""

    base: Discrete
    ours: Procedure
    theirs: Procedure

    @cached_property
    def weights(self) -> Array:
        """Mass b_j of the base under its procedure."""
        return increments(self.theirs, (self.base.below, self.base.above))

    @cached_property
    def _downward(self) -> tuple[Array, Array]:
        """Masses and half sums of neighbouring b, from the top atom down."""
        b = self.weights[::-1]
        return self.base.probs[::-1].copy(), (b[:-1] + b[1:]) / 2

    @property
    def name(self) -> str:
        """Name of the optimal transform."""
        versus = "" if self.ours == self.theirs else f"|{self.theirs.name}"
        return f"optimal@{self.ours.name}{versus}"

    def solutions(self, k: float) -> list[Solution]:
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
        solved = [self.solution(k, ratio[::-1], maximum) for ratio, maximum in found]
        return sorted(solved, key=lambda solution: -solution.objective)

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

    def best(self, k: float) -> Solution:
        """The solution of the largest objective."""
        return self.solutions(k)[0]

    def at_top_mass(self, x: float, near: float) -> Solution | None:
        """The solution whose top atom has mass expit(x): solved for log k near a given one.

        None where no k inside float64 gives one.
        """
        p, half_b = self._downward
        ratio = np.empty(p.size)

        def mismatch(log_k: float) -> float:
            terms = self.ours.slope_terms
            value = shooting.descend(x, float(np.exp(log_k)), p, half_b, terms, ratio)
            return float(np.clip(value, -1e3, 1e3))

        width = 0.1
        while not mismatch(near - width) * mismatch(near + width) <= 0.0:
            width *= 1.5
            if abs(near) + width > _LARGEST_LOG_K:
                return None
        k = float(np.exp(brentq(mismatch, near - width, near + width, xtol=1e-15, rtol=1e-15)))
        shooting.descend(x, k, p, half_b, self.ours.slope_terms, ratio)
        return self.solution(k, ratio[::-1].copy(), False)

    def at_kl(self, kl: float) -> tuple[Solution, Jump | None]:
        """The best policy that spends a KL budget, and the jump of the frontier it lies in."""
        limit = abs(float(np.log(self.base.probs[-1])))
        if kl >= limit * (1.0 - 1e-14):
            raise OutOfReachError(
                f"kl = {plain_number(kl)} nats is out of reach on this base: all mass on its top "
                f"atom spends {limit:.12g} nats; give less.",
                limit,
            )

        def excess(log_k: float) -> float:
            spent = self.best(float(np.exp(log_k))).kl
            return float(np.log(max(spent, 1e-300) / kl))

        low = high = 0.0
        while excess(low) > 0.0:
            low -= 3.0
        while excess(high) < 0.0:
            high += 3.0
            if high > _LARGEST_LOG_K:
                raise OutOfReachError(
                    f"kl = {plain_number(kl)} nats needs a beta below 1e-299 on this base; its "
                    f"largest KL is {limit:.12g} nats, give clearly less.",
                    limit,
                )
        log_k = float(brentq(excess, low, high, xtol=1e-15, rtol=1e-15, maxiter=200))
        found = self.best(float(np.exp(log_k)))
        if abs(found.kl - kl) <= 1e-9 * kl:
            return found, None
        return self._within_jump(kl, log_k)

    def _within_jump(self, kl: float, log_k: float) -> tuple[Solution, Jump]:
        """A budget between the two sides of a first-order transition.

        No beta makes that policy optimal in W - beta KL; it is a stationary point on the branch
        that joins the two sides, traced by the mass of the top atom.
        """
        sides = [s for s in self.solutions(float(np.exp(log_k))) if s.maximum]
        lower, upper = [s for s in sides if s.kl <= kl], [s for s in sides if s.kl > kl]
        if not lower or not upper:
            raise PrecisionError(
                f"kl = {plain_number(kl)} nats falls into a jump of the optimal frontier at beta = "
                f"{np.exp(-log_k):.6g} whose sides cannot be told apart; give a beta.",
                sides[0].kl,
            )
        below = max(lower, key=lambda s: s.objective)
        above = max(upper, key=lambda s: s.objective)
        jump = Jump(below, above, below.win_rate + below.policy.beta * (kl - below.kl))
        found = self._branch_at_kl(kl, log_k, below, above)
        if found is None:
            raise PrecisionError(
                f"kl = {plain_number(kl)} nats falls into a jump of the optimal frontier: at beta "
                f"= {below.policy.beta:.6g} the optimum spends {below.kl:.6g} or {above.kl:.6g} "
                "nats, and between them only a beta outside float64 does; give one of these.",
                jump.hull_win_rate,
            )
        return found, jump

    def _branch_at_kl(
        self, kl: float, log_k: float, below: Solution, above: Solution
    ) -> Solution | None:
        """The best stationary point that spends ``kl`` between the two sides of a jump."""
        low, high = (float(logit(s.policy.probs[-1])) for s in (below, above))
        low, high = max(low, -40.0), min(high, 40.0)
        # dense towards both ends, where the KL is that of a side
        grading = np.geomspace(1e-12, 0.5, 200) * (high - low)
        near = log_k
        branch: list[tuple[float, Solution]] = []
        for x in np.concatenate([low + grading, high - grading[::-1]]):
            one = self.at_top_mass(float(x), near)
            if one is not None:
                near = float(np.log(one.policy.tilt.k))
                branch.append((float(x), one))
        found = []
        for (x0, s0), (x1, s1) in pairwise(branch):
            if (s0.kl < kl) == (s1.kl < kl):
                continue
            start = float(np.log(s0.policy.tilt.k))

            def excess(x: float, start: float = start) -> float:
                one = self.at_top_mass(x, start)
                return np.nan if one is None else one.kl - kl

            x = float(brentq(excess, x0, x1, xtol=1e-15, rtol=1e-15))
            one = self.at_top_mass(x, start)
            if one is not None and abs(one.kl - kl) <= 1e-9 * kl:
                found.append(one)
        return max(found, key=lambda s: s.win_rate, default=None)

    def solution(self, k: float, log_ratio: Array, maximum: bool) -> Solution:
        """The record of one policy, whether or not it solves the equation."""
        log_ratio = log_ratio - np.log(np.sum(self.base.probs * np.exp(log_ratio)))
        beta = 1.0 / k if k > 0.0 else 0.0
        values = beta * (log_ratio - log_ratio[-1])
        transform = AtomTransform(self.name, self.base.u, self.base.below[1:-1], values)
        policy = DiscretePolicy(DiscreteTilt(transform, self.base, k, log_ratio))
        won = weighted_win_rate(policy, self.ours, self.weights)
        return Solution(policy, won, policy.kl, maximum)

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
