r"""The coupled optimum of rewind-and-repeat: a search over one number.

With q = F(c) the law after inference is :math:`q^{N-1} f` below c and :math:`s(q) f` above,
:math:`s(q) = (1 - q^N)/(1 - q)`: linear in f on each side. Given q both sides are exponential
tilts of G, the opponent's CDF; what remains is q (docs/mathematics/procedures.md).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from infalign_theory.checks import plain_number
from infalign_theory.errors import InputError, OutOfReachError
from infalign_theory.optima.record import Optimum, refuse_residual
from infalign_theory.policies.base import Base, Continuous, Discrete
from infalign_theory.policies.bracketing import Bracket, root_within
from infalign_theory.policies.continuous import ContinuousPolicy
from infalign_theory.policies.continuous_tilt import ContinuousTilt
from infalign_theory.policies.discrete import DiscretePolicy
from infalign_theory.policies.discrete_tilt import DiscreteTilt
from infalign_theory.policies.win_rates import win_rate
from infalign_theory.procedures import Procedure, Standard
from infalign_theory.procedures.rewind import Rewind
from infalign_theory.quadrature.points import Points
from infalign_theory.transforms.atoms import AtomTransform
from infalign_theory.transforms.solved import SolvedTransform
from infalign_theory.typing import Array, BoolArray

_SCAN = 2001
_FARTHEST = 36.0  # logit of q
_SMALL = 0.05  # a tilt below it is summed as a series
_STRONGEST = 700.0  # of log k


@dataclass(frozen=True)
class Tilted:
    """A tilt of one side by its own G: mean of G, KL from the base on that side."""

    mean: float
    kl: float


@dataclass(frozen=True)
class Linear:
    """A side on which G rises linearly: a continuous base."""

    low: float
    high: float

    def at(self, strength: float) -> Tilted:
        """The tilt by exp(strength G)."""
        x = strength * (self.high - self.low)
        if x < _SMALL:
            mean = 0.5 + x / 12.0 - x**3 / 720.0 + x**5 / 30240.0
            kl = x**2 / 24.0 - x**4 / 960.0 + x**6 / 36288.0
        else:
            mean = -1.0 / np.expm1(-x) - 1.0 / x
            kl = x * (mean - 1.0) - float(np.log(-np.expm1(-x) / x))
        return Tilted(self.low + (self.high - self.low) * float(mean), float(kl))


@dataclass(frozen=True, eq=False)
class Listed:
    """A side of finitely many atoms."""

    values: Array
    masses: Array

    def at(self, strength: float) -> Tilted:
        """The tilt by exp(strength G)."""
        exponent = strength * (self.values - self.values[-1])
        weights = self.masses * np.exp(exponent)
        total = float(weights.sum())
        share = weights / total
        base = float(self.masses.sum())
        kl = float(share @ exponent) - float(np.log(total / base))
        return Tilted(float(share @ self.values), max(kl, 0.0))


@dataclass(frozen=True)
class Point:
    """One q at one k: what it wins and spends, and the slope of W - KL/k in q."""

    q: float
    k: float
    won: float
    kl: float
    slope: float
    means: tuple[float, float]


@dataclass(frozen=True)
class RewindProblem:
    """Maximise W - beta KL under rewind-and-repeat against rewind-and-repeat at the same c."""

    ours: Rewind
    theirs: Rewind
    base: Base

    def reference(self, points: Points) -> Array:
        """G at points of a continuous base: the opponent's CDF."""
        n, c = self.theirs.n, self.ours.threshold
        climb = (1.0 - c**n) / (1.0 - c)
        return np.where(points.u >= c, 1.0 - climb * points.v, c ** (n - 1) * points.u)

    def atoms(self) -> tuple[Array, BoolArray]:
        """G at the atoms of a discrete base, ties half, and which lie below c."""
        assert isinstance(self.base, Discrete)
        below = self.base.u < self.ours.threshold
        if below.all() or not below.any():
            raise InputError(
                f"procedure {self.ours.name}: every atom of this base lies on the same side of "
                f"{plain_number(self.ours.threshold)}, so inference changes nothing; give another "
                "threshold."
            )
        share = self.base.probs
        q0 = float(share[below].sum())
        masses = share * np.where(below, q0 ** (self.theirs.n - 1), _repeats(q0, self.theirs.n))
        return np.cumsum(masses) - masses / 2.0, below

    def sides(self) -> tuple[Linear | Listed, Linear | Listed, float]:
        """Below c, above c, and the base's share below c."""
        if isinstance(self.base, Continuous):
            c = self.ours.threshold
            middle = c**self.theirs.n
            return Linear(0.0, middle), Linear(middle, 1.0), c
        values, below = self.atoms()
        p = self.base.probs
        lower, upper = (Listed(values[side], p[side]) for side in (below, ~below))
        return lower, upper, float(p[below].sum())

    def at(self, x: float, k: float) -> Point:
        """Both sides at their best for q = expit(x)."""
        lower, upper, q0 = self.sides()
        q, rest = _pair(x)
        n = self.ours.n
        one = lower.at(k * q ** (n - 1))
        two = upper.at(k * _repeats(q, n, rest))
        divide = float(np.log(q) - np.log(q0)), float(np.log(rest) - np.log1p(-q0))
        spent = q * (one.kl + divide[0]) + rest * (two.kl + divide[1])
        won = q**n * one.mean + rest * _repeats(q, n, rest) * two.mean
        gain = n * q ** (n - 1) * (one.mean - two.mean)
        price = (one.kl + divide[0]) - (two.kl + divide[1])
        return Point(q, k, won, spent, k * gain - price, (one.mean, two.mean))

    def solutions(self, k: float) -> list[tuple[Point, bool]]:
        """Stationary points at k, the best first, and whether each is a maximum."""

        def slope(x: float) -> float:
            return self.at(x, k).slope

        found = [(self.at(x, k), peak) for x, peak in _roots(slope, -_FARTHEST, _FARTHEST)]
        return sorted(found, key=lambda one: one[0].kl / k - one[0].won)

    def spending(self, x: float, kl: float) -> Point | None:
        """The point of q = expit(x) that spends a KL; None where q alone spends more."""
        at_rest = self.at(x, 0.0)
        if at_rest.kl >= kl:
            return None

        def excess(log_k: float) -> float:
            return self.at(x, float(np.exp(log_k))).kl - kl

        low, high = -40.0, 2.0
        while excess(high) < 0.0:
            high += 4.0
            if high > _STRONGEST:
                return None
        bracket = Bracket(low, high, excess(low), excess(high))
        if bracket.at_low >= 0.0:
            return at_rest
        return self.at(x, float(np.exp(root_within(excess, bracket))))

    def best(self, kl: float) -> Point:
        """The point of most win rate that spends a KL."""
        lower, upper, q0 = self.sides()
        centre = float(np.log(q0) - np.log1p(-q0))
        # the division between the sides may spend the whole budget, no more
        low, high = (self._allowed(kl, centre, way) for way in (-_FARTHEST, _FARTHEST))

        if all(isinstance(side, Listed) and side.values.size == 1 for side in (lower, upper)):
            return self._of_two(low, kl)

        def slope(x: float) -> float:
            point = self.spending(x, kl)
            return np.nan if point is None else point.slope

        found = [self.spending(x, kl) for x, _ in _roots(slope, low, high, 241)]
        points = [point for point in found if point is not None and point.k > 0.0]
        if not points:
            raise self._beyond(kl, float("nan"))
        return max(points, key=lambda point: point.won)

    def _of_two(self, x: float, kl: float) -> Point:
        """Two atoms: the budget alone decides q, and k makes it stationary."""
        at_rest, pulled = self.at(x, 0.0), self.at(x, 1.0)
        if abs(at_rest.kl - kl) > 1e-9 * kl:
            raise self._beyond(kl, at_rest.kl)
        return self.at(x, at_rest.slope / (at_rest.slope - pulled.slope))

    def _beyond(self, kl: float, limit: float) -> OutOfReachError:
        return OutOfReachError(
            f"kl = {plain_number(kl)} nats is out of reach of {self.ours.name} on this base; "
            "give a smaller budget.",
            limit,
        )

    def _allowed(self, kl: float, centre: float, end: float) -> float:
        def excess(x: float) -> float:
            return self.at(x, 0.0).kl - kl

        if excess(end) <= 0.0:
            return end
        return root_within(excess, Bracket(centre, end, -kl, excess(end)), 1e-13)


def _pair(x: float) -> tuple[float, float]:
    small = float(np.exp(-abs(x)) / (1.0 + np.exp(-abs(x))))
    large = 1.0 - small
    return (large, small) if x >= 0.0 else (small, large)


def _repeats(q: float, n: int, rest: float | None = None) -> float:
    """(1 - q^N) / (1 - q), the mean number of draws."""
    rest = 1.0 - q if rest is None else rest
    return float(-np.expm1(n * np.log1p(-rest)) / rest)


def _roots(
    f: Callable[[float], float], low: float, high: float, count: int = _SCAN
) -> list[tuple[float, bool]]:
    """Where a function changes sign, and whether it falls there."""
    grid = np.linspace(low, high, count)
    values = np.array([f(x) for x in grid])
    out = []
    for i in np.flatnonzero(values[:-1] * values[1:] < 0.0):
        bracket = Bracket(*grid[i : i + 2].tolist(), *values[i : i + 2].tolist())
        out.append((root_within(f, bracket), bool(values[i] > 0.0)))
    return out


@dataclass(frozen=True, eq=False)
class RewindChange:
    """Phi* of rewind-and-repeat: q^(N-1) G below c, s(q) G above, and a step between them."""

    problem: RewindProblem
    factors: tuple[float, float]
    step: float

    def __call__(self, points: Points) -> Array:
        """Phi(u) - Phi(1)."""
        n, c = self.problem.theirs.n, self.problem.ours.threshold
        climb = (1.0 - c**n) / (1.0 - c)
        lower, upper = self.factors
        below = lower * self.problem.reference(points) + self.step - upper
        return np.where(points.u >= c, -upper * climb * points.v, below)


def _label(problem: RewindProblem) -> str:
    versus = "" if problem.ours == problem.theirs else f"|{problem.theirs.name}"
    return f"optimal@{problem.ours.name}{versus}"


def _force(n: int, q: float, rest: float, means: tuple[float, float]) -> tuple[float, float, float]:
    """Derivative of W: factors of G below and above c, and what is added below."""
    last, repeats = q ** (n - 1), _repeats(q, n, rest)
    step = (n - 1) * last * means[0] + (repeats - n * last) * means[1]
    return last, repeats, step


def rewind_optimum(
    ours: Procedure, theirs: Procedure, base: Base, beta: float | None, kl: float
) -> Optimum:
    """The optimum where a procedure acts on the whole law: rewind-and-repeat alone has one."""
    if isinstance(theirs, Standard) and isinstance(ours, Rewind):
        theirs = Rewind(1, ours.threshold)
    if not (isinstance(ours, Rewind) and isinstance(theirs, Rewind)):
        raise InputError(
            f"procedure {ours.name} against {theirs.name}: a procedure that acts on the whole law "
            "of a policy has an optimum here only where it is rewind:N@C against the same; "
            "win_rate takes every pair."
        )
    if ours.threshold != theirs.threshold:
        raise InputError(
            f"the optimum of {ours.name} against {theirs.name} needs the same threshold on both "
            "sides (or standard against it)."
        )
    problem = RewindProblem(ours, theirs, base)
    if beta is None and kl == 0.0:
        start = problem.sides()[2]
        point = problem.at(float(np.log(start) - np.log1p(-start)), 0.0)
        return _record(problem, point, maximum=True)
    if beta is not None:
        (point, maximum), *others = problem.solutions(1.0 / beta)
        found = _record(problem, point, maximum=maximum)
    else:
        point = problem.best(kl)
        every = problem.solutions(point.k)
        others = [one for one in every if abs(one[0].q - point.q) > 1e-6]
        same = [one[1] for one in every if abs(one[0].q - point.q) <= 1e-6]
        found = _record(problem, point, maximum=any(same))
    alternatives = tuple(_record(problem, one, maximum=peak) for one, peak in others)
    return replace(found, alternatives=alternatives)


def _record(problem: RewindProblem, point: Point, *, maximum: bool) -> Optimum:
    lower, upper, step = _force(problem.ours.n, point.q, 1.0 - point.q, point.means)
    policy = _policy(problem, point.k, (lower, upper), step)
    return refuse_residual(
        Optimum(
            procedure=problem.ours,
            against_procedure=problem.theirs,
            base=problem.base,
            beta=policy.beta,
            kl=policy.kl,
            win_rate=win_rate(policy, problem.ours, against_procedure=problem.theirs),
            policy=policy,
            transform=policy.transform,
            residual=_residual(problem, policy),
            gap=None,
            maximum=maximum,
        )
    )


def _policy(
    problem: RewindProblem, k: float, factors: tuple[float, float], step: float
) -> ContinuousPolicy | DiscretePolicy:
    if isinstance(problem.base, Continuous):
        change = RewindChange(problem, factors, step)
        transform = SolvedTransform(_label(problem), change, problem.ours.edges)
        return ContinuousPolicy(ContinuousTilt.resolve(transform, k))
    values, below = problem.atoms()
    phi = np.where(below, factors[0] * values + step, factors[1] * values)
    phi = phi - phi[-1]
    atoms = AtomTransform(_label(problem), problem.base.u, problem.base.below[1:-1], phi)
    return DiscretePolicy(DiscreteTilt.of(atoms, problem.base, k))


def _residual(problem: RewindProblem, policy: ContinuousPolicy | DiscretePolicy) -> float:
    """Total variation distance from the tilt by the derivative of W at the policy itself."""
    if isinstance(policy, DiscretePolicy):
        values, below = problem.atoms()
        base, mass = policy.base.probs, policy.probs
    else:
        from infalign_theory.policies.penalised_density import base_weights

        points = policy.grid.points
        values, below = problem.reference(points), points.u < problem.ours.threshold
        base = base_weights(policy.grid)
        mass = base * np.exp(policy.tilt.log_density(points))
    q, rest = float(mass[below].sum()), float(mass[~below].sum())
    means = (float((mass * values)[below].sum()) / q, float((mass * values)[~below].sum()) / rest)
    lower, upper, step = _force(problem.ours.n, q, rest, means)
    phi = np.where(below, lower * values + step, upper * values)
    response = base * np.exp(policy.tilt.k * (phi - phi.max()))
    return float(0.5 * np.abs(response / response.sum() - mass).sum())
