"""Where a run stands: the least KL that any policy needs for the win rate it has."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass
from functools import cache, cached_property

import numpy as np
from scipy.special import expit

from infalign_theory.empirical.fitting.laws import Law
from infalign_theory.empirical.fitting.tied_ranks import TiedRanks
from infalign_theory.empirical.scores.groups import Groups
from infalign_theory.empirical.statistics.duels import Duel
from infalign_theory.empirical.statistics.kl import kl_floor
from infalign_theory.empirical.statistics.prompt_bases import PromptBases, PromptOptima
from infalign_theory.errors import OutOfReachError
from infalign_theory.optima.powers import Powers, Trajectory
from infalign_theory.optima.solve import optimum
from infalign_theory.policies.bracketing import root_between
from infalign_theory.procedures import Procedure, Standard
from infalign_theory.typing import Array, BoolArray, IntArray

_LARGEST_KL = 40.0
_LEAST_KL = 1e-8
# atoms that stand for a continuum, the logits they end at, and what they can resolve
_FINE, _REACH = 2000, 18.0
_LARGEST_BY_ATOMS, _LEAST_LOG_K = 16.0, -14.0
_LOG_K = np.linspace(-4.5, 10.5, 31)
# one optimum costs microseconds an atom, and a curve has many: what all prompts would cost is
# spent on an even selection of them
_ATOMS = 3000
_ENOUGH = 100


def optimal_kl(
    procedure: Procedure, win_rate: float, against: Procedure | None = None
) -> float | None:
    """Least KL in nats of any policy with this win rate, on a continuous base.

    The inverse of the optimal frontier, below what the base itself wins that of losing (Best-of-N
    of rewards in the opposite order is Worst-of-N); None where no finite KL is enough within
    float64. For single samples it is the KL floor.

    Best against Worst, of several samples each, has a frontier that jumps: there it is the least
    mean KL over many prompts, some on either side of the jump, to about one part in a thousand.
    """
    return _optimal_kl(Duel.of(procedure, against), win_rate)


def _optimal_kl(duel: Duel, win_rate: float) -> float | None:
    even = duel.base_win_rate
    if win_rate == even:
        return 0.0
    if win_rate < even:
        return _least_to_win(duel.reversed, 1.0 - win_rate)
    return _least_to_win(duel, win_rate)


def _least_to_win(duel: Duel, win_rate: float) -> float | None:
    """The same for a win rate above the base's own."""
    if duel.single:
        floor = kl_floor(win_rate)
        return floor if np.isfinite(floor) else None
    powers = Powers.of(duel.ours, duel.theirs)
    if powers is None:
        return _by_atoms(duel, win_rate) if duel.crossed else _one_against(duel.theirs, win_rate)
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
    found = root_between(
        lambda kappa: float(path.at(np.array([kappa]))[0][0]) - win_rate,
        powers.leading,
        path.last,
        1e-12,
    )
    return float(path.at(np.array([found]))[1][0])


def _one_against(theirs: Procedure, win_rate: float) -> float | None:
    """Of one sample: its win rate is linear in the policy, whose best tilt is by theirs' CDF."""
    single = Standard()

    def won(kl: float) -> float:
        return optimum(single, kl=kl, against_procedure=theirs).win_rate

    top = 0.25
    try:
        while won(top) <= win_rate:
            top *= 2.0
            if top > _LARGEST_KL:
                return None
    except OutOfReachError:
        return None
    even, least = won(0.0), won(_LEAST_KL)
    if win_rate <= least:  # what is won rises as the root of the KL there
        return _LEAST_KL * ((win_rate - even) / (least - even)) ** 2
    low, high = np.log([_LEAST_KL, top])
    found = root_between(lambda log_kl: won(float(np.exp(log_kl))) - win_rate, low, high, 1e-12)
    return float(np.exp(found))


def _by_atoms(duel: Duel, win_rate: float) -> float | None:
    """Where one side keeps the best and the other the worst: on a base of many small atoms.

    dW/dKL = beta turns the KL of the optimum at any beta nearby into that at the win rate, on the
    straight line between its two sides where the frontier jumps.
    """
    optima = PromptOptima(_fine_base(), duel.ours, duel.theirs)

    @cache
    def point(log_k: float) -> tuple[float, float]:
        ratio = optima.at(float(np.exp(log_k)))
        won = optima.bases.win_rates(ratio, duel.ours, duel.theirs)
        return float(won[0]), float(optima.bases.kls(ratio)[0])

    flat = np.zeros(optima.bases.mass.size)
    own = float(optima.bases.win_rates(flat, duel.ours, duel.theirs)[0])
    wanted = _carried(win_rate, duel.base_win_rate, own)
    if wanted <= own:  # by less than float64 tells
        return 0.0
    high = 0.0
    while point(high)[0] < wanted:
        high += 2.0
        if point(high)[1] > _LARGEST_BY_ATOMS:
            return None
    least, nats = point(_LEAST_LOG_K)
    if wanted <= least:  # what is won rises as the root of the KL there
        return nats * ((wanted - own) / (least - own)) ** 2
    log_k = root_between(lambda at: point(at)[0] - wanted, _LEAST_LOG_K, high, 1e-7)
    won, nats = point(log_k)
    return nats + float(np.exp(log_k)) * (wanted - won)


def _carried(win_rate: float, base: float, own: float) -> float:
    """A win rate on laws under which the base wins ``own`` for one under which it wins ``base``.

    The part of all that is left to win, or to lose, is the same.
    """
    if win_rate >= base:
        return own if base == 1.0 else 1.0 - (1.0 - win_rate) * (1.0 - own) / (1.0 - base)
    return win_rate * own / base


@cache
def _fine_base() -> PromptBases:
    """A base of so many atoms, finer to both ends, that it stands for a continuous one."""
    logits = np.linspace(-_REACH, _REACH, _FINE - 1)
    below = np.concatenate([[0.0], expit(logits), [1.0]])
    mass = np.diff(below)
    # differences near 1 would lose their digits; the atoms are those near 0 turned round
    mass[_FINE // 2 :] = mass[: _FINE - _FINE // 2][::-1]
    return PromptBases(Groups(mass / mass.sum(), np.array([0, _FINE])))


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
    against: Procedure | None = None

    @cached_property
    def _duel(self) -> Duel:
        return Duel.of(self.procedure, self.against)

    @cached_property
    def _optima(self) -> tuple[PromptOptima, Array]:
        laws, weight = self._laws_and_weights()
        return PromptOptima(laws, self.procedure, self.against), weight

    @cached_property
    def base_win_rate(self) -> float:
        """What the base itself wins in the policy's place, as these laws have it."""
        if self._duel.even:
            return 0.5
        optima, weight = self._optima
        flat = np.zeros(optima.bases.mass.size)
        return float(weight @ optima.bases.win_rates(flat, self.procedure, self.against))

    @cached_property
    def _known(self) -> dict[int, tuple[float, float]]:
        return {}

    def _point(self, at: int) -> tuple[float, float]:
        """(win rate, KL) of the optimum at a step of log k."""
        if at not in self._known:
            optima, weight = self._optima
            ratio = optima.at(float(np.exp(_LOG_K[at])))
            won = float(weight @ optima.bases.win_rates(ratio, self.procedure, self.against))
            self._known[at] = won, float(weight @ optima.bases.kls(ratio))
        return self._known[at]

    @cached_property
    def _reversed(self) -> DiscreteStanding:
        """The same with the order of scores turned round."""
        atoms = self.atoms[-1] - self.atoms[::-1]
        turned = self._duel.reversed
        theirs = None if self.against is None else turned.theirs
        return DiscreteStanding(self.counts[::-1], atoms, turned.ours, theirs)

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
        if win_rate == self.base_win_rate:
            return 0.0
        if win_rate < self.base_win_rate:
            return self._reversed._least_to_win(1.0 - win_rate)
        return self._least_to_win(win_rate)

    def _least_to_win(self, win_rate: float) -> float | None:
        """The same for a win rate above the base's own."""
        last = _LOG_K.size - 1
        if win_rate >= self._point(last)[0]:
            return None
        above = bisect_left(range(last), win_rate, key=lambda at: self._point(at)[0])
        # a cubic through the steps around it, as long as both numbers rise
        points = [(self.base_win_rate, 0.0)]
        for at in range(max(above - 2, 0), min(above + 2, last + 1)):
            won, nats = self._point(at)
            if won > points[-1][0] + 1e-12 and nats > points[-1][1]:
                points.append((won, nats))
        if len(points) == 1:  # every prompt's base scores are all equal: nothing can be won
            return None
        won_at, nats_at = np.array(points).T
        if win_rate >= won_at[-1]:  # corrected numbers need not rise at every step
            return float(nats_at[-1])
        from scipy.interpolate import PchipInterpolator  # here: half a second of import

        return max(float(PchipInterpolator(won_at, nats_at)(win_rate)), 0.0)


class LeastKL:
    """The least KL for a win rate in any duel, on the base that the law has."""

    def __init__(self, law: Law, ranks: TiedRanks) -> None:
        self._law, self._ranks = law, ranks
        self._standings: dict[Duel, DiscreteStanding] = {}

    def base_win_rate(self, duel: Duel, judged: BoolArray) -> float:
        """What the base itself would win in the policy's place, on the prompts judged."""
        if duel.even or self._law == Law.CONTINUOUS:
            return duel.base_win_rate
        known = judged & self._ranks.usable
        if not known.any():
            return self._standing(duel).base_win_rate
        flat = np.zeros(self._ranks.table[1].u.size)
        return float(np.clip(self._ranks.outcomes(flat, [duel])[known, 1].mean(), 0.0, 1.0))

    def _standing(self, duel: Duel) -> DiscreteStanding:
        if duel not in self._standings:
            self._standings[duel] = DiscreteStanding(
                self._ranks.counts,
                self._ranks.atoms,
                duel.ours,
                None if duel.even else duel.theirs,
            )
        return self._standings[duel]

    def of(self, duel: Duel, win_rate: float, base: float = 0.5) -> float | None:
        """Least KL in nats; None where no finite one is enough. ``base`` is what the base wins."""
        if self._law == Law.CONTINUOUS:
            return optimal_kl(duel.ours, win_rate, duel.theirs)
        standing = self._standing(duel)
        if duel.even:
            return standing.optimal_kl(win_rate)
        # a standing knows a selection of the prompts, and by fewer terms of the jackknife
        return standing.optimal_kl(_carried(win_rate, base, standing.base_win_rate))

    def interval(
        self, duel: Duel, ci: tuple[float, float], estimate: float, base: float = 0.5
    ) -> tuple[float | None, float | None]:
        """Least KLs of all win rates in an interval: from 0 where it holds what the base wins.

        The cost rises to both sides of that. None is one without bound.
        """
        low, high = ci
        costs = [self.of(duel, low, base), self.of(duel, high, base)]
        if low <= estimate <= high:
            costs.append(self.of(duel, estimate, base))
        finite = [cost for cost in costs if cost is not None]
        top = None if len(finite) < len(costs) else max(finite)
        if low <= base <= high:
            return 0.0, top
        return (min(finite) if finite else None), top
