"""The best policy that spends a KL budget: along beta where one does, inside a jump where none.

The KL of the optimum falls with beta, but may jump (several solutions, the best of which changes).
Policies with a KL inside the jump are optimal for no beta; the best of them is a stationary
point on the branch that joins the two sides (eq-jump of docs/mathematics/optimum.md).
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Generic, Protocol

import numpy as np

from infalign_theory.checks import plain_number
from infalign_theory.errors import OutOfReachError, PrecisionError
from infalign_theory.optima.solutions import Jump, P, Solution
from infalign_theory.policies.bracketing import (
    Bracket,
    bracket_around,
    bracket_increasing,
    root_within,
)

KL_PROMISE = 1e-9  # relative
_BRANCH_POINTS = 200


class Problem(Protocol[P]):
    """What a problem must offer to be solved by KL."""

    @property
    def label(self) -> str:
        """The procedures, for messages."""
        ...

    @property
    def largest_log_k(self) -> float:
        """Where float64 ends."""
        ...

    def solutions(self, k: float) -> list[Solution[P]]:
        """All solutions at k = 1/beta, the best first."""
        ...

    def mismatch(self, end: float, log_k: float) -> float:
        """By how much the march from an end fails to close; zero at solutions."""
        ...

    def closed(self, end: float, log_k: float, maximum: bool) -> Solution[P]:
        """The solution at an end and log k that close the march."""
        ...


def at_kl(
    problem: Problem[P], kl: float, start: float, longest: float = 2.0
) -> tuple[list[Solution[P]], Jump[P] | None]:
    """The best policy that spends ``kl`` first, then the others at its beta; and its jump.

    log k is sought from ``start`` by steps of at most ``longest``.
    """
    tried: dict[float, list[Solution[P]]] = {}

    def excess(log_k: float) -> float:
        if log_k not in tried:
            tried[log_k] = problem.solutions(float(np.exp(log_k)))
        return float(np.log(max(tried[log_k][0].kl, 1e-300) / kl))

    bracket = bracket_increasing(
        excess,
        start,
        step=0.5,
        longest=longest,
        lowest=-690.0,
        highest=problem.largest_log_k,
    )
    if bracket is None:
        raise OutOfReachError(
            f"kl = {plain_number(kl)} nats needs a beta beyond "
            f"{np.exp(-problem.largest_log_k):.3g} for {problem.label}, where float64 ends; give "
            "a smaller budget.",
            tried[max(tried)][0].kl,
        )
    log_k = root_within(excess, bracket)
    excess(log_k)
    found = tried[log_k]
    if abs(found[0].kl - kl) <= KL_PROMISE * kl:
        return found, None
    near = sorted(tried, key=lambda x: abs(x - log_k))
    return _within_jump(problem, kl, log_k, [one for x in near[:4] for one in tried[x]])


def _within_jump(
    problem: Problem[P], kl: float, log_k: float, around: list[Solution[P]]
) -> tuple[list[Solution[P]], Jump[P]]:
    """The best stationary point that spends ``kl``, and the two optima on either side."""
    sides = [one for one in around if one.maximum]
    lower, upper = [s for s in sides if s.kl <= kl], [s for s in sides if s.kl > kl]
    if not lower or not upper:
        raise PrecisionError(
            f"kl = {plain_number(kl)} nats falls into a jump of the optimal frontier of "
            f"{problem.label} at beta = {np.exp(-log_k):.6g}, one side of which float64 cannot "
            "tell; give a beta.",
            sides[0].kl if sides else float("nan"),
        )
    below = min(lower, key=lambda s: s.cost)
    above = min(upper, key=lambda s: s.cost)
    jump = Jump(below, above, below.win_rate + below.policy.beta * (kl - below.kl))
    found = Branch(problem).at_kl(kl, below, above)
    if found is None:
        raise PrecisionError(
            f"kl = {plain_number(kl)} nats falls into a jump of the optimal frontier of "
            f"{problem.label}: at beta = {below.policy.beta:.6g} the optimum spends "
            f"{below.kl:.6g} or {above.kl:.6g} nats, and between them only a beta outside "
            "float64 does; give one of these.",
            jump.hull_win_rate,
        )
    return [found], jump


@dataclass(frozen=True)
class Branch(Generic[P]):
    """The curve of stationary points of a problem, followed by their end."""

    problem: Problem[P]

    def at_end(self, end: float, near: float) -> Solution[P] | None:
        """The solution with the given end, its log k sought near a given one."""

        def mismatch(log_k: float) -> float:
            return self.problem.mismatch(end, log_k)

        reach = self.problem.largest_log_k - abs(near)
        bracket = bracket_around(mismatch, near, width=0.1, widest=reach)
        if bracket is None:
            return None
        return self.problem.closed(end, root_within(mismatch, bracket), False)

    def at_kl(self, kl: float, below: Solution[P], above: Solution[P]) -> Solution[P] | None:
        """The point of the largest win rate between two that spends ``kl``."""
        low, high = (float(np.clip(s.end, -40.0, 40.0)) for s in (below, above))
        # dense towards both ends, where the KL is that of a side
        grading = np.geomspace(1e-12, 0.5, _BRANCH_POINTS) * (high - low)
        near = -float(np.log(below.policy.beta))
        points: list[Solution[P]] = []
        for end in np.concatenate([low + grading, high - grading[::-1]]):
            one = self.at_end(float(end), near)
            if one is not None:
                near = -float(np.log(one.policy.beta))
                points.append(one)
        crossings = [
            (one, other) for one, other in pairwise(points) if (one.kl < kl) != (other.kl < kl)
        ]
        found = [self._between(kl, *pair) for pair in crossings]
        spent = [one for one in found if one is not None and abs(one.kl - kl) <= KL_PROMISE * kl]
        return min(spent, key=lambda s: s.loss, default=None)

    def _between(self, kl: float, one: Solution[P], other: Solution[P]) -> Solution[P] | None:
        near = -float(np.log(one.policy.beta))

        def excess(end: float) -> float:
            at = self.at_end(end, near)
            return np.nan if at is None else at.kl - kl

        bracket = Bracket(one.end, other.end, one.kl - kl, other.kl - kl)
        return self.at_end(root_within(excess, bracket), near)
