"""Densities on a continuous base at which the march from the top closes: every one of them.

With a = log f(1), eq-end-bounds of docs/mathematics/optimum.md bounds every solution:
0 <= a <= log(1 + k max g_ref'). A scan in t = log(exp(a) - 1) over that range, with a march of
seven digits, finds sign changes and near touches; marches to rounding level close them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from infalign_theory.errors import PrecisionError
from infalign_theory.kernels import descent
from infalign_theory.policies.bracketing import Bracket, bracket_around, root_within
from infalign_theory.procedures import Procedure
from infalign_theory.quadrature import panels
from infalign_theory.quadrature.grid import Grid
from infalign_theory.quadrature.panels import entropy_terms
from infalign_theory.quadrature.points import Points
from infalign_theory.typing import Array

_TAIL = 44.0  # exp(-44) of the mass may be left outside a march
_SPAN = 34.0  # of the scan in t: ends closer to 0 than exp(-34) of the largest are not told apart
_POINTS = 170
_SECANTS = 3
_CLOSED = 1e-12  # of the total mass
_AGREE = 1e-11  # of log f and of the mass above, where two marches count as one
_MOST_SPLICES = 100
_NOISE = 1e-6  # of the log of the total mass in a rough march
_TO_EDGES = np.polynomial.legendre.legvander([-1.0, 1.0], panels.NODES - 1) @ panels.ANALYSIS
_RULE = panels.X, panels.WEIGHTS, panels.FROM_RIGHT, panels.ANALYSIS, _TO_EDGES
_TOUCHES = 12  # halvings of a near touch


@dataclass(frozen=True)
class Closure:
    """One solution of the coupled equation: log f on the nodes of its own grid."""

    k: float
    end: float
    grid: Grid
    log_density: Array
    maximum: bool

    @cached_property
    def kl(self) -> float:
        """KL(policy || base) in nats."""
        return self.grid.integral(entropy_terms(self.log_density, self.grid.log_jacobian))

    def loss(self, ours: Procedure, theirs: Procedure) -> float:
        """1 - W, to full relative accuracy."""
        grid = self.grid
        running = grid.running(np.exp(self.log_density + grid.log_jacobian))
        lost = ours.cdf(*running.fractions)[0]
        return grid.integral(lost * theirs.pdf(grid.points.u, grid.points.v) * grid.jacobian)


@dataclass(frozen=True)
class March:
    """A march from the top down: log of its total mass, panels, and states at their edges."""

    excess: float
    edges: Array
    states: Array
    log_density: Array

    @property
    def start(self) -> tuple[float, float]:
        """log f and the mass above at the first edge."""
        return float(self.states[0, 0]), float(self.states[0, 1])

    def first(self, panels: int) -> March:
        """Its first panels."""
        return March(
            self.excess,
            self.edges[: panels + 1],
            self.states[: panels + 1],
            self.log_density[:panels],
        )

    def rest(self, panels: int) -> March:
        """What follows its first panels."""
        return March(
            self.excess, self.edges[panels:], self.states[panels:], self.log_density[panels:]
        )


@dataclass(frozen=True)
class Marches:
    """The marches of one pair of procedures."""

    ours: Procedure
    theirs: Procedure

    @cached_property
    def _terms(self) -> tuple[Array, Array]:
        return self.ours.slope_terms, self.theirs.slope_terms

    @cached_property
    def steepest(self) -> tuple[float, float]:
        """Largest slopes of g and of g_ref, with room for what lies between the samples."""
        points = Points.from_logit(np.linspace(-_TAIL, _TAIL, 2001))
        ours, theirs = (
            float(np.max(one.pdf(points.u, points.v))) for one in (self.ours, self.theirs)
        )
        return 1.2 * ours, 1.2 * theirs

    def largest_end(self, k: float) -> float:
        """Bound on log f(1)."""
        return float(np.log1p(k * self.steepest[1]))

    def _span(self, end: float, k: float) -> tuple[float, float]:
        """Logits between which the mass and the force lie."""
        ours, theirs = self.steepest
        return _TAIL + end, -_TAIL - float(np.log1p(k * ours * theirs))

    def rough(self, ends: Array, k: float) -> Array:
        """log of the total mass for each log f(1), to about seven digits."""
        first, last = _TAIL + float(ends.max()), self._span(0.0, k)[1]
        with np.errstate(all="ignore"):
            return np.asarray(np.log(descent.rough_masses(ends, k, first, last, *self._terms)))

    def march(self, start: tuple[float, float], k: float, first: float | None = None) -> March:
        """The march from log f and the mass above at a logit, to rounding level."""
        top, bottom = self._span(start[0], k)
        found = descent.march(
            start, k, top if first is None else first, bottom, *self._terms, *_RULE
        )
        if not found[0] > 0.0:
            raise self.unsolved(k, "its density turns too sharply")
        return March(float(np.log(found[0])), *found[1:])

    def unsolved(self, k: float, why: str) -> PrecisionError:
        """The error where the coupled equation cannot be solved to the promise."""
        return PrecisionError(
            f"no optimum of {self.ours.name} against {self.theirs.name} at beta = "
            f"{1.0 / k:.6g} can be held in float64: {why}; give a larger beta or a smaller KL.",
            float("nan"),
        )

    def close(self, guess: float, k: float, maximum: bool) -> Closure:
        """The closure next to a guess of its end.

        Where the win rate is concave in the policy, errors of the end grow on the way down, until
        not even the last bit of the end decides: the march is then spliced (eq-splice). Two marches
        that enclose the solution are followed as long as they agree; from there a point between
        their states takes the place of the end.
        """
        pieces: list[March] = []
        low, high = self._enclosing(guess, k)
        while True:
            low, high = self._narrowed(low, high, k)
            best = min(low, high, key=lambda one: abs(one.excess))
            if abs(best.excess) <= _CLOSED:
                return self._joined([*pieces, best], k, maximum)
            shared = _shared_panels(low, high)
            if shared == 0 or len(pieces) == _MOST_SPLICES:
                raise self.unsolved(k, "its mass cannot be brought to 1")
            pieces.append(best.first(shared))
            low, high = low.rest(shared), high.rest(shared)

    def _enclosing(self, guess: float, k: float) -> tuple[March, March]:
        """Marches of opposite excess on either side of a guess of the end."""
        side = 1e-6 * max(guess, 1e-12)
        rough = self.rough(np.array([max(guess - side, 0.0), guess + side]), k)
        slope = float(rough[1] - rough[0]) / (2.0 * side)
        middle = self.march((guess, 0.0), k)
        for _ in range(_SECANTS):  # each gains digits where the march's last bits still decide
            if abs(middle.excess) <= _CLOSED / 10.0:
                return middle, middle
            new = guess - middle.excess / slope if slope else guess
            if not (new >= 0.0 and abs(new - guess) < 1e-3 * max(guess, 1e-3)):
                break
            further = self.march((new, 0.0), k)
            if not abs(further.excess) < abs(middle.excess) / 8.0:
                break
            slope = (further.excess - middle.excess) / (new - guess) if new != guess else 0.0
            guess, middle = new, further
        missed = abs(middle.excess)
        width = max(2.0 * missed / max(abs(slope), 1e-3), 4.0 * float(np.spacing(guess)))
        while width < 1.0:
            low, high = (self.march((max(guess + w, 0.0), 0.0), k) for w in (-width, width))
            nearer = min(low, high, key=lambda one: abs(one.excess))
            if abs(nearer.excess) <= _CLOSED / 10.0:
                return nearer, nearer
            if low.excess * high.excess <= 0.0:
                return low, high
            width *= 8.0
        raise self.unsolved(k, "no sign change of its mass is found")

    def track(self, guess: float, k: float) -> Closure:
        """The maximum near a guess that may be some way off."""

        def rough(end: float) -> float:
            return float(self.rough(np.array([max(end, 0.0)]), k)[0])

        bracket = bracket_around(rough, guess, width=0.01 * max(guess, 1e-12), widest=8.0)
        if bracket is None:
            raise self.unsolved(k, "the solution followed ends")
        return self.close(max(root_within(rough, bracket, 1e-9), 0.0), k, True)

    def _narrowed(self, low: March, high: March, k: float) -> tuple[March, March]:
        """The enclosing marches moved together until one closes or nothing lies between them."""
        share_of_low, share_of_high = 1.0, 1.0
        for count in range(120):
            if min(abs(low.excess), abs(high.excess)) <= 1e-14:
                break
            weights = share_of_high * abs(high.excess), share_of_low * abs(low.excess)
            share = weights[1] / (weights[0] + weights[1]) if count % 3 != 2 else 0.5
            start = tuple(a + share * (b - a) for a, b in zip(low.start, high.start, strict=True))
            if start in (low.start, high.start):
                start = tuple((a + b) / 2 for a, b in zip(low.start, high.start, strict=True))
            if start in (low.start, high.start):
                break
            middle = self.march((start[0], start[1]), k, float(low.edges[0]))
            # regula falsi; the end that stays counts half (Illinois)
            if (middle.excess > 0.0) == (high.excess > 0.0):
                high, share_of_low, share_of_high = middle, share_of_low / 2.0, 1.0
            else:
                low, share_of_low, share_of_high = middle, 1.0, share_of_high / 2.0
        return low, high

    def _joined(self, pieces: list[March], k: float, maximum: bool) -> Closure:
        edges = np.concatenate([piece.edges[:-1] for piece in pieces] + [pieces[-1].edges[-1:]])
        log_density = np.concatenate([piece.log_density for piece in pieces])[::-1]
        grid = Grid(edges[::-1].copy())
        total = grid.integral(np.exp(log_density + grid.log_jacobian))
        return Closure(k, pieces[0].start[0], grid, log_density - np.log(total), maximum)

    def all_closures(self, k: float, density: int = 1) -> list[Closure]:
        """Every solution; ``density`` multiplies the points of the scan."""
        found: list[Closure] = []
        for bracket in self._brackets(k, density):
            try:
                one = self.close(self._sharpened(bracket, k), k, bracket.at_low < 0.0)
            except PrecisionError:
                if min(abs(bracket.at_low), abs(bracket.at_high)) > _NOISE:
                    raise
                continue  # a sign change in the noise of the rough march, near the base itself
            if found and _same(found[-1], one):
                found[-1] = one if one.maximum else found[-1]
            else:
                found.append(one)
        if not found:
            raise self.unsolved(k, "no solution is found")
        return found

    def _sharpened(self, bracket: Bracket, k: float) -> float:
        def rough(end: float) -> float:
            return float(self.rough(np.array([end]), k)[0])

        return root_within(rough, bracket, 1e-9)

    def _brackets(self, k: float, density: int) -> Iterator[Bracket]:
        """Sign changes of the log of the total mass in log f(1)."""
        highest = float(np.log(np.expm1(self.largest_end(k))))
        unique = self.ours.curvature > 0
        count = 8 if unique else _POINTS * density
        ends = np.log1p(np.exp(np.linspace(highest - _SPAN, highest, count)))
        ends = np.append(0.0, ends)  # a solution next to the base may lie below all of them
        ends[-1] = self.largest_end(k)
        values = self.rough(ends, k)
        if not np.isfinite(values).all():
            raise self.unsolved(k, "its march stalls")
        # at the ends the signs are known; rounding must not hide them
        values[0], values[-1] = min(values[0], -1e-300), max(values[-1], 1e-300)
        if not unique:
            ends, values = self._touched(ends, values, k)
        for i in np.flatnonzero((values[1:] > 0.0) != (values[:-1] > 0.0)):
            yield Bracket(*(float(x) for x in (ends[i], ends[i + 1], values[i], values[i + 1])))

    def _touched(self, ends: Array, values: Array, k: float) -> tuple[Array, Array]:
        """Further points where the mismatch turns back before zero: it may have touched it."""
        size = np.abs(values)
        turns = np.flatnonzero(
            (size[1:-1] < size[:-2])
            & (size[1:-1] <= size[2:])
            & ((values[1:-1] > 0.0) == (values[:-2] > 0.0))
            & ((values[1:-1] > 0.0) == (values[2:] > 0.0))
        )
        for at in turns + 1:
            low, high = float(ends[at - 1]), float(ends[at + 1])
            for _ in range(_TOUCHES):
                inner = np.linspace(low, high, 7)[1:-1]
                found = self.rough(inner, k)
                ends, values = np.append(ends, inner), np.append(values, found)
                if ((found > 0.0) != (values[at] > 0.0)).any():
                    break
                middle = int(np.argmin(np.abs(found)))
                width = (high - low) / 6.0
                low, high = float(inner[middle]) - width, float(inner[middle]) + width
        order = np.argsort(ends)
        return ends[order], values[order]


def _same(one: Closure, other: Closure) -> bool:
    """Whether two closures are one, found twice in the noise of the rough march."""
    return abs(one.end - other.end) <= 1e-9 and abs(one.kl - other.kl) <= 1e-12


def _shared_panels(low: March, high: March) -> int:
    """Number of panels on which two marches agree to rounding level."""
    count = min(low.edges.size, high.edges.size)
    same = low.edges[:count] == high.edges[:count]
    size = np.maximum(1.0, np.abs(low.states[:count]))
    close = (np.abs(low.states[:count] - high.states[:count]) <= _AGREE * size).all(axis=1)
    apart = np.flatnonzero(~(same & close))
    return int(apart[0]) - 1 if apart.size else count - 1
