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


_CLOSED = 1e-12  # mismatch of a march that has closed
_LINEAR = 1e-15  # product of two mismatches from which one step between them leaves rounding
_GRADING = 128  # merged atoms grow by this share of their distance from the nearer end


@dataclass(frozen=True)
class Merged:
    """Masses and half sums of neighbouring b of groups of atoms, from the top down."""

    mass: Array
    half_b: Array

    @classmethod
    def of(cls, mass: Array, b: Array, grading: int) -> Merged:
        """Of groups whose size is the distance from the nearer end over the grading."""
        starts, at = [0], 0
        while (at := at + min(at, mass.size - 1 - at) // grading + 1) < mass.size:
            starts.append(at)
        merged = np.add.reduceat(b, starts)
        return cls(np.add.reduceat(mass, starts), (merged[:-1] + merged[1:]) / 2)

    def closed(self, x: float, k: float, terms: Array) -> tuple[float, float]:
        """The root of the mismatch next to x, and its slope there, by Newton's method."""
        work = np.empty(self.mass.size)

        def mismatch(at: float) -> float:
            return shooting.descend(at, k, self.mass, self.half_b, terms, work)

        step = 1e-5 * max(1.0, abs(x))
        slope = (mismatch(x + step) - mismatch(x - step)) / (2.0 * step)
        for _ in range(3):
            x -= mismatch(x) / slope
        return x, (mismatch(x + step) - mismatch(x - step)) / (2.0 * step)


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
                k, p, half_b, self.ours.slope_terms, self.ours.curvature
            )
            for x, direction in zip(roots, directions, strict=True):
                ratio = np.empty(p.size)
                shooting.descend(float(x), k, p, half_b, self.ours.slope_terms, ratio)
                found.append((ratio, bool(direction > 0)))
        return ranked([self.solution(k, ratio[::-1], maximum) for ratio, maximum in found])

    @cached_property
    def _grouped(self) -> tuple[Merged, Merged]:
        """Neighbouring atoms merged, finest at both ends, by one grading and by half of it."""
        downward = self._downward[0], self.weights[::-1]
        fine, coarse = (Merged.of(*downward, one) for one in (_GRADING, _GRADING // 2))
        return fine, coarse

    def _coarse_to_fine(self, k: float) -> list[tuple[Array, bool]] | None:
        """Roots located on merged atoms, then closed on all atoms by a few secant steps.

        Merging errs by the square of the groups' size, so two sizes give the root and the slope of
        the mismatch to many digits, and each march over all atoms gains several. None where that
        does not settle.
        """
        terms = self.ours.slope_terms
        fine, coarse = self._grouped
        roots, directions = shooting.all_roots(
            k, fine.mass, fine.half_b, terms, self.ours.curvature
        )
        found = []
        for root, direction in zip(roots.tolist(), directions, strict=True):
            (x, slope), (other, other_slope) = (
                one.closed(root, k, terms) for one in (fine, coarse)
            )
            x, slope = x + (x - other) / 3.0, slope + (slope - other_slope) / 3.0
            ratio = self._closed(x, slope, k)
            if ratio is None:
                return None
            found.append((ratio, bool(direction > 0)))
        return found

    def _closed(self, x: float, slope: float, k: float) -> Array | None:
        """Log ratios of the march that closes near x, where the mismatch has the given slope."""
        p, half_b = self._downward
        terms = self.ours.slope_terms
        ratio, before = np.empty((2, p.size))
        last_x, last = np.inf, np.inf
        for _ in range(8):
            mismatch = shooting.descend(x, k, p, half_b, terms, ratio)
            if not np.isfinite(mismatch) or abs(mismatch) <= _CLOSED:
                break
            if np.isfinite(last) and last != mismatch:
                slope = (mismatch - last) / (x - last_x)
            new = x - mismatch / slope
            if abs(mismatch * last) <= _LINEAR:  # between two marches the ratios are straight
                before -= ratio
                before *= (new - x) / (last_x - x)
                ratio += before
                return ratio
            last_x, last, x = x, mismatch, new
            ratio, before = before, ratio
        return ratio if abs(mismatch) <= _CLOSED else None

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
        log_ratio = log_ratio - np.log(np.exp(log_ratio) @ self.base.probs)
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
        force = self.ours.pdf(below[1:-1], above[1:-1])
        force *= self.weights[:-1] + self.weights[1:]
        force *= -k / 2.0
        response = np.zeros(force.size + 1)
        np.cumsum(force[::-1], out=response[-2::-1])
        response -= np.log(np.exp(response) @ self.base.probs)
        return response

    def fixed_point_step(self, policy: DiscretePolicy) -> tuple[float, float]:
        """Distance of a policy from its best response: total variation, KL(policy || response)."""
        response = self.response(policy.tilt.edges, policy.tilt.k)
        mass = np.exp(response)
        mass *= self.base.probs
        off = np.subtract(policy.tilt.log_ratio, response, out=response)
        spent = divergence(mass, off)
        mass -= policy.probs
        return 0.5 * float(np.abs(mass, out=mass).sum()), spent
