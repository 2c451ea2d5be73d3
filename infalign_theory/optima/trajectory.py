"""The optimal frontier of power procedures as one scalar differential equation.

The single ODE G'' = s n m G' G^(n-1) x^(m-1) (s = +1 Best-of-n against base Best-of-m, s = -1
Worst-of-n against base Worst-of-m, reflected) has a scaling symmetry. In the invariants

    phi = x G' / G     (the density at the end of the unit interval)
    k   = x^m G^(n-1)  (1/beta)

its second order drops to first: with h = log phi and kappa = log k

    dh/dkappa = (1 - phi + s n m k) / (m + (n-1) phi),

which has no blow-up and varies on a scale of order one in kappa for every n, m and KL. Along it

    d loss/dkappa = (m - L (m + n phi)) / (m + (n-1) phi) * s,   L = loss for s = +1, 1 - loss else
    dKL/dkappa    = k dW/dkappa                                  (the envelope theorem)
    -dlog u/dkappa = 1 / (m + (n-1) phi),  dlog f/dkappa = s n m k / (m + (n-1) phi).

Gauss collocation on panels: Newton's method for h on many panels at once, then two linear systems.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from infalign_theory.quadrature.panels import ANALYSIS, FROM_LEFT, NODES, WEIGHTS, X
from infalign_theory.typing import Array, BoolArray

WIDTH = 0.25  # of a panel: 16 nodes resolve it to rounding level, ends and inside
_WIDEST = 2.0  # of a panel where the solution is a power of k, or nearly
_AT_ONCE = 32  # panels solved together at most
_NEAR = 12.0  # in kappa: how far they reach where the solution turns
_MOST_TURNS = 6  # of Newton's method
_SETTLED = 1e-8  # a step of it, where the next would be below rounding
_NARROWEST = 1e-9 * WIDTH
_RESOLVED = 1e-14  # size of the last two Legendre terms
_SMOOTH = 2e-12  # size of terms 12 and 13 of a wide panel: what is cut off is then below 1e-15
_SMOOTHER = 1e-14  # size of the same from which twice the width is tried


@dataclass(frozen=True, kw_only=True)
class Equation:
    """Best-of-n against Best-of-m (sign +1) or Worst-of-n against Worst-of-m (sign -1)."""

    sign: float
    n: float
    m: float

    @property
    def rise(self) -> float:
        """dh/dk of the base policy, but for its sign."""
        return self.n * self.m / (self.n + self.m)

    def start(self, kappa: float) -> Array:
        """State (h, gain, loss, KL) by its leading term, exact where n m exp(kappa) < 1e-16.

        gain is W minus its value at the base policy, loss is 1 - W.
        """
        k = np.exp(kappa)
        slope = self.rise**2 / (2.0 * (self.n + self.m) - 1.0)
        base_loss = (self.m if self.sign > 0.0 else self.n) / (self.n + self.m)
        states = [self.sign * self.rise * k, slope * k, base_loss - slope * k, slope * k * k / 2.0]
        return np.array(states)

    def scale(self, phi: Array) -> Array:
        """m + (n - 1) phi, by which everything is divided."""
        return self.m + (self.n - 1.0) * phi

    def rate(self, h: Array, k: Array) -> Array:
        """dh/dkappa."""
        force = self.sign * self.n * self.m * k
        return (force - np.expm1(h)) / self.scale(np.exp(h))

    def win_rate_slope(self, h: Array, gain: Array, loss: Array) -> Array:
        """dW/dkappa, from the gain near the base policy and from the loss far from it."""
        phi, scale = np.exp(h), self.scale(np.exp(h))
        near = self.sign * self.rise * np.expm1(h) - gain * (self.m + self.n * phi)
        if self.sign > 0.0:
            far = loss * (self.m + self.n * phi) - self.m
        else:
            far = self.m * loss - self.n * phi * (1.0 - loss)
        return np.asarray(np.where(np.abs(h) < 1.0, near, far) / scale)


def march(
    equation: Equation, first: float, last: float, kl_stop: float
) -> tuple[Array, Array, Array]:
    """Solve panel after panel from kappa = first until kappa = last or KL = kl_stop.

    A panel that does not settle or is not resolved is halved. Returns edges of kappa
    (panels + 1,), node values (panels, 4, nodes) of (h, gain, loss, KL) and edge states
    (panels + 1, 4); it stops short of ``last`` where no panel settles.
    """
    kappas, nodes = [np.array([first])], [np.empty((0, 4, NODES))]
    states = [equation.start(first)]
    ends = [states[0][None]]
    width = _WIDEST
    edges = _next_edges(equation, first, last, width)
    while edges.size > 1:
        solved = _solve(equation, edges, states[-1])
        bad = np.flatnonzero(~solved.good)
        fine = int(bad[0]) if bad.size else edges.size - 1
        # the budget may be spent on the way
        fine = min(fine, 1 + int(np.searchsorted(solved.ends[:fine, 3], kl_stop)))
        if fine:
            kappas.append(edges[1 : fine + 1])
            nodes.append(solved.nodes[:fine])
            ends.append(solved.ends[:fine])
            states.append(solved.ends[fine - 1])
        if states[-1][3] >= kl_stop:
            break
        if fine == edges.size - 1:
            grown = 2.0 if solved.smooth else 1.0
            width = min(grown * float(edges[-1] - edges[-2]), _WIDEST)
            edges = _next_edges(equation, float(edges[-1]), last, max(width, WIDTH))
            continue
        if edges[fine + 1] - edges[fine] < _NARROWEST:
            break
        middles = (edges[1:] + edges[:-1])[bad] / 2
        edges = np.sort(np.concatenate([edges[fine:], middles]))
    return np.concatenate(kappas), np.concatenate(nodes), np.concatenate(ends)


def _next_edges(equation: Equation, left: float, last: float, width: float) -> Array:
    """Edges of the panels to be solved next: wide and many away from where k n m = 1."""
    away = left + float(np.log(equation.n * equation.m))
    reach = max(_NEAR, abs(away + _NEAR / 4))
    if -_NEAR / 2 < away < _NEAR / 2:
        width = min(width, 2.0 * WIDTH)
    count = min(_AT_ONCE, max(int(reach / width), 1), int(np.ceil((last - left) / width - 1e-6)))
    edges = left + width * np.arange(count + 1)
    if count and edges[-1] >= last - 1e-6 * width:
        edges[-1] = last
    return np.asarray(edges)


def strengths(edges: Array) -> Array:
    """k at the nodes of panels of kappa.

    Two factors: the sum of a large kappa and its node would round alike on every panel.
    """
    return np.asarray(np.exp(edges[:-1, None]) * np.exp(np.diff(edges)[:, None] / 2 * (1.0 + X)))


@dataclass(frozen=True, kw_only=True)
class _Solved:
    nodes: Array
    ends: Array
    good: BoolArray
    smooth: bool


def _solve(equation: Equation, edges: Array, start: Array) -> _Solved:
    """All states on consecutive panels, and which panels are settled and resolved."""
    half = np.diff(edges)[:, None] / 2
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        k = strengths(edges)
        h, settled = _newton(equation, edges, k, float(start[0]))
        h_ends, h = _integrated(equation.rate(h, k), half, float(start[0]))
        phi = np.exp(h)
        scale = equation.scale(phi)
        # the loss falls like 1/k, so that k times the loss is what keeps its digits
        decay = (equation.m + equation.n * phi) / scale
        gained = equation.sign * equation.rise * np.expm1(h) / scale
        gain_ends, gain = _linear(decay, gained, half, float(start[1]))
        towards = k * (equation.m if equation.sign > 0.0 else equation.n * phi) / scale
        loss_ends, loss = _linear(decay - 1.0, towards, half, float(start[2] * np.exp(edges[0])))
        loss_ends, loss = loss_ends / np.exp(edges[1:]), loss / k
        kl_ends, kl = _integrated(k * equation.win_rate_slope(h, gain, loss), half, float(start[3]))
    nodes = np.stack([h, gain, loss, kl], axis=1)
    ends = np.stack([h_ends, gain_ends, loss_ends, kl_ends], axis=1)
    last, middle = _terms(nodes, slice(-2, None)), _terms(nodes, slice(12, 14))
    good = settled & np.isfinite(ends).all(axis=1) & (last < _RESOLVED)
    good &= (half[:, 0] <= WIDTH / 2) | (middle < _SMOOTH)
    return _Solved(nodes=nodes, ends=ends, good=good, smooth=bool((middle < _SMOOTHER).all()))


def _integrated(rate: Array, half: Array, start: float) -> tuple[Array, Array]:
    """Running integral of a rate at the ends of the panels and at their nodes."""
    ends = start + np.cumsum(half[:, 0] * (rate @ WEIGHTS))
    return _carried(rate, half, np.concatenate([[start], ends[:-1]]))


def _carried(rate: Array, half: Array, lefts: Array) -> tuple[Array, Array]:
    """Values at the ends of the panels and at their nodes, from those at their left ends."""
    ends = lefts + half[:, 0] * (rate @ WEIGHTS)
    return np.asarray(ends), lefts[:, None] + half * (rate @ FROM_LEFT.T)


def _linear(decay: Array, source: Array, half: Array, start: float) -> tuple[Array, Array]:
    """y of y' = source - decay y at the ends of the panels and at their nodes."""
    matrix = np.eye(NODES) + half[:, :, None] * FROM_LEFT * decay[:, None, :]
    right = np.stack([np.ones_like(decay), half * (source @ FROM_LEFT.T)], axis=2)
    homogeneous, particular = np.moveaxis(np.linalg.solve(matrix, right), 2, 0)
    weights = half * WEIGHTS
    gained = np.sum(weights * (source - decay * particular), axis=1)
    kept = 1.0 - np.sum(weights * decay * homogeneous, axis=1)
    # each panel multiplies what it is left with: what decays keeps its digits
    lefts = _chained(gained, kept, start)
    y = particular + lefts[:, None] * homogeneous
    return _carried(source - decay * y, half, lefts)


def _chained(gained: Array, kept: Array, start: float) -> Array:
    """Values at the left ends of panels, each carrying on what the one before ends with."""
    lefts = [start]
    for more, share in zip(gained[:-1].tolist(), kept[:-1].tolist(), strict=True):
        lefts.append(more + share * lefts[-1])
    return np.array(lefts)


def _newton(equation: Equation, edges: Array, k: Array, start: float) -> tuple[Array, BoolArray]:
    """h on the nodes of all panels, and where it has settled."""
    half = np.diff(edges)[:, None] / 2
    h = _guess(equation, edges, start)
    settled = np.zeros(half.size, dtype=bool)
    for _ in range(_MOST_TURNS):
        phi, rate = np.exp(h), equation.rate(h, k)
        bend = -phi * (1.0 + (equation.n - 1.0) * rate) / equation.scale(phi)
        _, integrated = _integrated(rate, half, start)
        missed = integrated - h
        # what the step adds to the integral solves e' = bend (e + missed)
        _, added = _linear(-bend, bend * missed, half, 0.0)
        size = np.maximum(np.abs(h).max(axis=1), 1e-290)
        settled = np.abs(missed + added).max(axis=1) <= _SETTLED * size
        h = integrated + added
        if settled.all():
            break
    return h, settled


def _guess(equation: Equation, edges: Array, start: float) -> Array:
    """h to a few digits: a Runge-Kutta step a panel, and the cubic between its ends."""
    width = np.diff(edges)
    ends = [start]
    for kappa, w in zip(edges[:-1].tolist(), width.tolist(), strict=True):
        ends.append(_runge_kutta(equation, ends[-1], kappa, w))
    h = np.array(ends)
    slope = equation.rate(h, np.exp(edges))
    t = (1.0 + X) / 2
    blend = t * t * (3.0 - 2.0 * t)
    rise = width[:, None] * (
        slope[:-1, None] * (t * (1.0 - t) ** 2) - slope[1:, None] * (t * t * (1.0 - t))
    )
    return np.asarray(h[:-1, None] * (1.0 - blend) + h[1:, None] * blend + rise)


def _runge_kutta(equation: Equation, h: float, kappa: float, width: float) -> float:
    """h at the end of a panel, by one step of the classical method."""
    force = equation.sign * equation.n * equation.m * math.exp(kappa)
    n, m = equation.n - 1.0, equation.m

    def rate(h: float, force: float) -> float:
        h = min(h, 700.0)
        return (force - math.expm1(h)) / (m + n * math.exp(h))

    middle, last = force * math.exp(width / 2), force * math.exp(width)
    a = rate(h, force)
    b = rate(h + width / 2 * a, middle)
    c = rate(h + width / 2 * b, middle)
    d = rate(h + width * c, last)
    return h + width / 6 * (a + 2.0 * b + 2.0 * c + d)


def _terms(nodes: Array, degrees: slice) -> Array:
    """Size of Legendre terms of h and of the loss, relative to the functions."""
    terms = np.abs(nodes[:, [0, 2]] @ ANALYSIS[degrees].T).sum(axis=2)
    # an absolute scale of one for h: its exponential is what enters
    sizes = np.maximum(np.abs(nodes[:, [0, 2]]).max(axis=2), [1.0, 1e-290])
    return np.asarray((terms / sizes).max(axis=1))
