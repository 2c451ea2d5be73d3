"""Where a run stands: the least KL that any policy needs for the win rate it has."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from scipy.interpolate import PchipInterpolator
from scipy.optimize import brentq

from infalign_theory.empirical.fitting.laws import Law
from infalign_theory.empirical.fitting.tied_ranks import TiedRanks
from infalign_theory.empirical.scores.groups import Groups
from infalign_theory.empirical.statistics.kl import kl_floor
from infalign_theory.empirical.statistics.prompt_bases import PromptBases, PromptOptima
from infalign_theory.errors import OutOfReachError
from infalign_theory.optima.powers import Powers, Trajectory
from infalign_theory.procedures import BestOfN, Procedure, WorstOfN, power_sides
from infalign_theory.procedures.names import as_procedure
from infalign_theory.typing import Array, IntArray

_LARGEST_KL = 40.0
_LOG_K = np.linspace(-4.5, 10.5, 31)
# one optimum costs microseconds an atom, and a curve has many: what all prompts would cost is
# spent on an even selection of them
_ATOMS = 3000
_ENOUGH = 100


def optimal_kl(procedure: Procedure, win_rate: float) -> float | None:
    """Least KL in nats of any policy with this win rate, on a continuous base.

    The inverse of the optimal frontier, below 1/2 that of losing (Best-of-N of rewards in the
    opposite order is Worst-of-N); None where no finite KL is enough within float64. For single
    samples it
    is the KL floor.
    """
    if win_rate == 0.5:
        return 0.0
    if win_rate < 0.5:
        return optimal_kl(reversed_order(procedure), 1.0 - win_rate)
    powers = Powers.of(procedure, procedure)
    if powers is None:
        floor = kl_floor(win_rate)
        return floor if np.isfinite(floor) else None
    nats = 0.25
    while True:
        try:
            path = Trajectory.to_kl(powers, nats)
        except OutOfReachError:
            return None
        if path.win_rate > win_rate:
            break
        nats *= 2.0
        if nats > _LARGEST_KL:
            return None
    found = brentq(
        lambda kappa: float(path.at(np.array([kappa]))[0][0]) - win_rate,
        powers.leading,
        path.last,
        xtol=1e-12,
    )
    return float(path.at(np.array([found]))[1][0])


def reversed_order(procedure: Procedure) -> Procedure:
    """What a procedure is for rewards in the opposite order."""
    sign, n = power_sides(procedure)
    if sign == 0:
        return procedure
    return WorstOfN(n) if sign > 0 else BestOfN(n)


@dataclass(frozen=True)
class DiscreteStanding:
    """The same on each prompt's own discrete law, one beta for all prompts, KL their mean.

    The optimum is computed at steps of beta and interpolated by monotone cubics. Laws known from
    K samples are corrected by the jackknife, to order 1/K, where that leaves 100 prompts or all;
    of very many prompts an even selection stands for all.
    """

    counts: IntArray
    atoms: IntArray
    procedure: Procedure

    @cached_property
    def _optima(self) -> tuple[PromptOptima, Array]:
        laws, weight = self._laws_and_weights()
        return PromptOptima(laws, self.procedure), weight

    @cached_property
    def _known(self) -> dict[int, tuple[float, float]]:
        return {}

    def _point(self, at: int) -> tuple[float, float]:
        """(win rate, KL) of the optimum at a step of log k."""
        if at not in self._known:
            optima, weight = self._optima
            ratio = optima.at(float(np.exp(_LOG_K[at])))
            won = float(weight @ optima.bases.win_rates(ratio, self.procedure))
            self._known[at] = won, float(weight @ optima.bases.kls(ratio))
        return self._known[at]

    @cached_property
    def _reversed(self) -> DiscreteStanding:
        """The same with the order of scores turned round."""
        atoms = self.atoms[-1] - self.atoms[::-1]
        return DiscreteStanding(self.counts[::-1], atoms, reversed_order(self.procedure))

    def _laws_and_weights(self) -> tuple[PromptBases, Array]:
        """Each prompt's law, and with one sample less, with weights that sum to 1."""
        each = np.diff(self.atoms)
        cost = float(np.mean(each * (each + 1.0)))
        corrected = _ATOMS / cost >= min(_ENOUGH, each.size)
        affordable = int(_ATOMS / (cost if corrected else np.mean(each)))
        prompts = min(max(affordable, 1), each.size)
        chosen = np.linspace(0, each.size - 1, prompts).astype(int)
        masses, sizes, weights = [], [], []
        for i in chosen.tolist():
            held = self.counts[self.atoms[i] : self.atoms[i + 1]].astype(np.float64)
            total = held.sum()
            less_one = corrected and total > 1
            masses.append(held / total)
            weights.append(total if less_one else 1.0)
            sizes.append(held.size)
            for j in range(held.size if less_one else 0):
                less = held.copy()
                less[j] -= 1.0
                less = less[less > 0.0]
                masses.append(less / (total - 1.0))
                weights.append(-(total - 1.0) * held[j] / total)
                sizes.append(less.size)
        laws = PromptBases(Groups(np.concatenate(masses), np.cumsum([0, *sizes])))
        return laws, np.array(weights) / chosen.size

    def optimal_kl(self, win_rate: float) -> float | None:
        """Least mean KL; None above what all mass on the top scores wins."""
        if win_rate == 0.5:
            return 0.0
        if win_rate < 0.5:
            return self._reversed.optimal_kl(1.0 - win_rate)
        last = _LOG_K.size - 1
        if win_rate >= self._point(last)[0]:
            return None
        above = bisect_left(range(last), win_rate, key=lambda at: self._point(at)[0])
        # a cubic through the steps around it, as long as both numbers rise
        points = [(0.5, 0.0)]
        for at in range(max(above - 2, 0), min(above + 2, last + 1)):
            won, nats = self._point(at)
            if won > points[-1][0] + 1e-12 and nats > points[-1][1]:
                points.append((won, nats))
        if len(points) == 1:  # every prompt's base scores are all equal: nothing can be won
            return None
        won_at, nats_at = np.array(points).T
        if win_rate >= won_at[-1]:  # corrected numbers need not rise at every step
            return float(nats_at[-1])
        return max(float(PchipInterpolator(won_at, nats_at)(win_rate)), 0.0)


class LeastKL:
    """The least KL for a win rate under any procedure, on the base that the law has."""

    def __init__(self, law: Law, ranks: TiedRanks) -> None:
        self._law, self._ranks = law, ranks
        self._standings: dict[str, DiscreteStanding] = {}

    def of(self, name: str, win_rate: float) -> float | None:
        """Least KL in nats; None where no finite one is enough."""
        if self._law == Law.CONTINUOUS:
            return optimal_kl(as_procedure(name), win_rate)
        if name not in self._standings:
            self._standings[name] = DiscreteStanding(
                self._ranks.counts, self._ranks.atoms, as_procedure(name)
            )
        return self._standings[name].optimal_kl(win_rate)

    def interval(
        self, name: str, ci: tuple[float, float], estimate: float
    ) -> tuple[float | None, float | None]:
        """Least KLs of all win rates in an interval: from 0 where it holds 1/2, where it costs 0.

        The cost rises to both sides of 1/2. None is one without bound.
        """
        low, high = ci
        costs = [self.of(name, low), self.of(name, high)]
        if low <= estimate <= high:
            costs.append(self.of(name, estimate))
        finite = [cost for cost in costs if cost is not None]
        top = None if len(finite) < len(costs) else max(finite)
        if low <= 0.5 <= high:
            return 0.0, top
        return (min(finite) if finite else None), top
