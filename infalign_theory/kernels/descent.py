"""The coupled optimum of any pair of procedures on a continuous base, marched from the top.

In s = logit u the coupled equation is the system (eq-descent of docs/mathematics/optimum.md)

    dA/ds = k g'(F) g_ref'(u) du/ds,   dF/ds = exp(A) du/ds,   A = log f,

and the log density at u = 1 fixes everything: march down to u = 0 and compare the mass that came
out with 1. Going down, an error decays where going up it would grow: below a pocket of
width 1/N, where the policy ends, the density falls like exp(k N (u - c)).

Two marches: a Runge-Kutta one of seven digits, to find out where solutions are, and panels of Gauss
collocation that are halved until they are resolved to rounding level.
"""

from __future__ import annotations

import numpy as np

from infalign_theory.kernels._jit import kernel
from infalign_theory.kernels.terms import evaluate
from infalign_theory.typing import Array

MOST_PANELS = 6000
MOST_STEPS = 20000
EDGE_SHARE = 0.02  # of half a panel lies beyond its outermost node
NARROWEST = 1e-13  # relative to the position: panels at a jump of g' are not halved further
# Dormand and Prince's pair of orders 5 and 4
_A2, _A3, _A4 = 1 / 5, (3 / 40, 9 / 40), (44 / 45, -56 / 15, 32 / 9)
_A5 = (19372 / 6561, -25360 / 2187, 64448 / 6561, -212 / 729)
_A6 = (9017 / 3168, -355 / 33, 46732 / 5247, 49 / 176, -5103 / 18656)
_B = (35 / 384, 0.0, 500 / 1113, 125 / 192, -2187 / 6784, 11 / 84)
_E = (71 / 57600, 0.0, -71 / 16695, 71 / 1920, -17253 / 339200, 22 / 525, -1 / 40)
_NODES = (0.0, 1 / 5, 3 / 10, 4 / 5, 8 / 9, 1.0, 1.0)
_TABLEAU = np.zeros((7, 6))
for _row, _entries in enumerate(((), (_A2,), _A3, _A4, _A5, _A6, _B)):
    _TABLEAU[_row, : len(_entries)] = _entries
_ERRORS = np.array(_E)
_TIMES = np.array(_NODES)


@kernel
def _unit(s: float) -> tuple[float, float]:
    """u and 1 - u at a logit."""
    small = np.exp(-abs(s))
    near, far = small / (1.0 + small), 1.0 / (1.0 + small)
    return (near, far) if s < 0.0 else (far, near)


@kernel
def rough_mass(
    top: float, k: float, first: float, last: float, ours: Array, theirs: Array
) -> float:
    """Total mass for a log density ``top`` at u = 1, to about seven digits; nan where it stalls.

    ``ours`` and ``theirs`` are the terms of g' and g_ref'; the march goes from logit ``first``
    down to ``last``.
    """
    s, log_f, above = first, top, 0.0
    step = 1.0
    fall, gain = np.empty(7), np.empty(7)
    for _ in range(MOST_STEPS):
        step = min(step, s - last)
        for i in range(7):
            a, m = log_f, above
            for j in range(i):
                a -= step * _TABLEAU[i, j] * fall[j]
                m += step * _TABLEAU[i, j] * gain[j]
            u, v = _unit(s - step * _TIMES[i])
            q = min(max(m, 0.0), 1.0)
            fall[i] = k * evaluate(1.0 - q, q, ours) * evaluate(u, v, theirs) * u * v
            gain[i] = np.exp(min(a, 700.0)) * u * v
        error_a, error_m = 0.0, 0.0
        for i in range(7):
            error_a += step * _ERRORS[i] * fall[i]
            error_m += step * _ERRORS[i] * gain[i]
        # what log f does where the policy has no mass left cannot matter
        scale = 1e-6 * max(1.0, 0.1 * abs(log_f)) if log_f > -60.0 else 1e-2 * abs(log_f)
        worst = max(abs(error_a) / scale, abs(error_m) / (1e-9 * max(1.0, above)))
        if worst <= 1.0 or step <= NARROWEST * max(1.0, abs(s)):
            s, log_f, above = s - step, a, m
            if s <= last:
                return above
        step *= min(4.0, max(0.2, 0.9 * max(worst, 1e-10) ** -0.2))
    return np.nan


@kernel
def rough_masses(
    tops: Array, k: float, first: float, last: float, ours: Array, theirs: Array
) -> Array:
    """:func:`rough_mass` at many log densities."""
    out = np.empty(tops.size)
    for i in range(tops.size):
        out[i] = rough_mass(tops[i], k, first, last, ours, theirs)
    return out


@kernel
def _tail(values: Array, analysis: Array) -> float:
    """Size of the last Legendre coefficients of a function on a panel."""
    worst = 0.0
    for degree in range(analysis.shape[0] - 2, analysis.shape[0]):
        term = 0.0
        for j in range(values.size):
            term += analysis[degree, j] * values[j]
        worst += abs(term)
    return worst


@kernel
def _dot(a: Array, b: Array) -> float:
    """Sum of products; written out, as array expressions take seconds to compile."""
    total = 0.0
    for j in range(a.size):
        total += a[j] * b[j]
    return total


@kernel
def _settle(
    k: float,
    edge: float,
    mass: float,
    half: float,
    force: Array,
    jacobian: Array,
    ours: Array,
    from_right: Array,
    state: Array,
) -> bool:
    """Picard iteration on one panel; ``state`` holds log f, mass above and their rates."""
    nodes = jacobian.size
    log_f, above, rate, gain = state[0], state[1], state[2], state[3]
    for j in range(nodes):
        log_f[j], above[j] = edge, mass
    previous = np.inf
    for _ in range(40):
        for j in range(nodes):
            q = min(max(above[j], 0.0), 1.0)
            rate[j] = k * force[j] * evaluate(1.0 - q, q, ours)
            gain[j] = np.exp(min(log_f[j], 700.0)) * jacobian[j]
        change = 0.0
        for i in range(nodes):
            fall, more = 0.0, 0.0
            for j in range(nodes):
                fall += from_right[i, j] * rate[j]
                more += from_right[i, j] * gain[j]
            new, new_above = edge - half * fall, mass + half * more
            change = max(change, abs(new - log_f[i]) / max(1.0, abs(new)))
            change = max(change, abs(new_above - above[i]) / max(1.0, new_above))
            log_f[i], above[i] = new, new_above
        # at rounding level the change stops shrinking
        if change == 0.0 or (change <= 1e-14 and change >= previous / 2.0):
            return True
        if change > 4.0 * previous:
            return False
        previous = change
    return change <= 1e-13


@kernel
def march(
    start: tuple[float, float],
    k: float,
    first: float,
    last: float,
    ours: Array,
    theirs: Array,
    x: Array,
    weights: Array,
    from_right: Array,
    analysis: Array,
    to_edges: Array,
) -> tuple[float, Array, Array, Array]:
    """Total mass, edges (falling, panels + 1), states there, log f at the nodes (panels, nodes).

    As :func:`rough_mass` to rounding level, from ``start`` = (log f, mass above) at logit
    ``first``; states hold these two. The total is nan where panels run out. ``to_edges``
    extrapolates node values to the left and right edge of a panel: a jump of g' between an edge and
    the node next to it shows in nothing else.
    """
    nodes = x.size
    edges = np.empty(MOST_PANELS + 1)
    states = np.empty((MOST_PANELS + 1, 2))
    log_density = np.empty((MOST_PANELS, nodes))
    state = np.empty((4, nodes))
    force, jacobian = np.empty(nodes), np.empty(nodes)
    edges[0], done = first, 0
    edge, mass, step = start[0], start[1], 2.0
    states[0, 0], states[0, 1] = edge, mass
    while edges[done] > last and done < MOST_PANELS:
        left = max(edges[done] - step, last)
        half = (edges[done] - left) / 2.0
        for j in range(nodes):
            u, v = _unit(left + half * (1.0 + x[j]))
            jacobian[j] = u * v
            force[j] = evaluate(u, v, theirs) * u * v
        settled = _settle(k, edge, mass, half, force, jacobian, ours, from_right, state)
        if settled:
            size = 1.0
            for j in range(nodes):
                size = max(size, abs(state[0, j]))
            gained = half * _dot(weights, state[3])
            settled = _tail(state[0], analysis) <= 1e-13 * size
            settled = settled and half * _tail(state[3], analysis) <= 1e-15 + 1e-14 * gained
            # the win rate integrates against the opponent's law
            settled = settled and half * _tail(force, analysis) <= 1e-11
            for side in range(2):
                s, q = (left, mass + gained) if side == 0 else (edges[done], mass)
                u, v = _unit(s)
                q = min(max(q, 0.0), 1.0)
                there = k * evaluate(u, v, theirs) * u * v * evaluate(1.0 - q, q, ours)
                missed = abs(_dot(to_edges[side], state[2]) - there)
                settled = settled and half * EDGE_SHARE * missed <= 1e-13 * size
        if settled or half <= NARROWEST * max(1.0, abs(left)):
            edge -= half * _dot(weights, state[2])
            mass += half * _dot(weights, state[3])
            for j in range(nodes):
                log_density[done, j] = state[0, j]
            done += 1
            edges[done] = left
            states[done, 0], states[done, 1] = edge, mass
            step = 2.0 * (2.0 * half)
        else:
            step = half
    total = mass if edges[done] <= last else np.nan
    return total, edges[: done + 1].copy(), states[: done + 1].copy(), log_density[:done].copy()
