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

Panels of Gauss collocation, solved by Picard iteration, keep rounding-level accuracy.
"""

from __future__ import annotations

import numpy as np

from infalign_theory.kernels._jit import kernel
from infalign_theory.typing import Array


@kernel
def start_values(kappa: float, sign: float, n: float, m: float) -> Array:
    """State (h, gain, loss, KL) by its leading term, exact where n m exp(kappa) < 1e-16.

    gain is W minus its value at the base policy, loss is 1 - W.
    """
    k = np.exp(kappa)
    rise = n * m / (n + m)
    slope = rise**2 / (2.0 * (n + m) - 1.0)
    base_loss = (m if sign > 0.0 else n) / (n + m)
    return np.array([sign * rise * k, slope * k, base_loss - slope * k, slope * k * k / 2.0])


@kernel
def _advance(rate: Array, half: float, start: float, from_left: Array, out: Array) -> float:
    """out = start + running integral of rate; returns the largest relative change of out."""
    nodes = rate.size
    change, size = 0.0, 0.0
    for i in range(nodes):
        total = 0.0
        for j in range(nodes):
            total += from_left[i, j] * rate[j]
        new = start + half * total
        change = max(change, abs(new - out[i]))
        size = max(size, abs(new))
        out[i] = new
    return change / size if size > 0.0 else 0.0


@kernel
def _rate_from_gain(h: float, gain: float, sign: float, n: float, m: float) -> float:
    """dW/dkappa written with the gain: does not cancel near the base policy."""
    phi = np.exp(h)
    top = sign * (n * m / (n + m)) * np.expm1(h) - gain * (m + n * phi)
    return float(top / (m + (n - 1.0) * phi))


@kernel
def _rate_from_loss(h: float, loss: float, sign: float, n: float, m: float) -> float:
    """dW/dkappa written with the loss: does not cancel far from the base policy."""
    phi = np.exp(h)
    top = loss * (m + n * phi) - m if sign > 0.0 else m * loss - n * phi * (1.0 - loss)
    return float(top / (m + (n - 1.0) * phi))


@kernel
def win_rate_slope(state: Array, sign: float, n: float, m: float) -> float:
    """dW/dkappa at a state (h, gain, loss, KL)."""
    if abs(state[0]) < 1.0:
        return _rate_from_gain(state[0], state[1], sign, n, m)
    return _rate_from_loss(state[0], state[2], sign, n, m)


@kernel
def solve_panel(
    left: float,
    half: float,
    state: Array,
    sign: float,
    n: float,
    m: float,
    x: Array,
    weights: Array,
    from_left: Array,
) -> tuple[Array, Array, bool]:
    """Nodes of (h, gain, loss, KL) on a panel of kappa, the state at its end, and success."""
    nodes = x.size
    out = np.empty((4, nodes))
    for i in range(4):
        out[i, :] = state[i]
    k = np.exp(left + half * (1.0 + x))
    rate = np.empty(nodes)
    end = np.empty(4)

    settled = True
    for which in range(3):
        previous = np.inf
        change = np.inf
        for _ in range(60):
            for j in range(nodes):
                h = out[0, j]
                if which == 0:
                    scale = m + (n - 1.0) * np.exp(h)
                    rate[j] = (sign * n * m * k[j] - np.expm1(h)) / scale
                elif which == 1:
                    rate[j] = _rate_from_gain(h, out[1, j], sign, n, m)
                else:
                    rate[j] = -_rate_from_loss(h, out[2, j], sign, n, m)
            change = _advance(rate, half, state[which], from_left, out[which])
            # at rounding level the change stops shrinking
            if change == 0.0 or (change <= 1e-15 and change >= previous / 2.0):
                break
            previous = change
        settled = settled and change <= 1e-13
        end[which] = state[which] + half * np.sum(weights * rate)

    for j in range(nodes):
        rate[j] = k[j] * win_rate_slope(out[:, j], sign, n, m)
    _advance(rate, half, state[3], from_left, out[3])
    end[3] = state[3] + half * np.sum(weights * rate)
    return out, end, settled


@kernel
def _unresolved(nodes: Array, analysis: Array) -> float:
    """Size of the last Legendre terms of h and of the loss, relative to the functions."""
    worst = 0.0
    for row in (0, 2):
        tail, size = 0.0, 0.0
        for j in range(nodes.shape[1]):
            size = max(size, abs(nodes[row, j]))
        for degree in range(analysis.shape[0] - 2, analysis.shape[0]):
            term = 0.0
            for j in range(nodes.shape[1]):
                term += analysis[degree, j] * nodes[row, j]
            tail += abs(term)
        # an absolute scale of one for h: its exponential is what enters
        worst = max(worst, tail / max(size, 1.0 if row == 0 else 1e-290))
    return worst


@kernel
def march(
    first: float,
    last: float,
    width: float,
    kl_stop: float,
    sign: float,
    n: float,
    m: float,
    x: Array,
    weights: Array,
    from_left: Array,
    analysis: Array,
) -> tuple[Array, Array, Array]:
    """Solve panel after panel from kappa = first until kappa = last or KL = kl_stop.

    Panels are at most ``width`` wide; one that does not settle or is not resolved is halved.
    Returns edges of kappa (panels + 1,), node values (panels, 4, nodes) and edge states
    (panels + 1, 4); it stops short of ``last`` where no panel settles.
    """
    capacity = int((last - first) / width) + 4096
    kappa = np.empty(capacity + 1)
    nodes = np.empty((capacity, 4, x.size))
    edges = np.empty((capacity + 1, 4))
    kappa[0] = first
    edges[0] = start_values(first, sign, n, m)
    done, step = 0, width
    while done < capacity and kappa[done] < last and edges[done, 3] < kl_stop:
        left = kappa[done]
        right = last if last - left <= 1.000001 * step else left + step
        solved, end, settled = solve_panel(
            left, (right - left) / 2.0, edges[done], sign, n, m, x, weights, from_left
        )
        if settled and _unresolved(solved, analysis) < 1e-14:
            kappa[done + 1], nodes[done], edges[done + 1] = right, solved, end
            done += 1
            step = min(2.0 * step, width)
        elif step < 1e-9 * width:
            break
        else:
            step = step / 2.0
    return kappa[: done + 1].copy(), nodes[:done].copy(), edges[: done + 1].copy()


@kernel
def _legendre_integral(coefficients: Array, t: float) -> tuple[float, float]:
    """Value at t of a Legendre series, and its integral from t to 1."""
    before, current = 1.0, t
    value = coefficients[0] + coefficients[1] * t
    integral = coefficients[0] * (1.0 - t)
    for degree in range(1, coefficients.size):
        after = ((2 * degree + 1) * t * current - degree * before) / (degree + 1)
        integral += coefficients[degree] * (before - after) / (2 * degree + 1)
        if degree + 1 < coefficients.size:
            value += coefficients[degree + 1] * after
        before, current = current, after
    return value, integral


@kernel
def along_trajectory(
    target: Array,
    speed: Array,
    force: Array,
    speed_after: Array,
    force_edge: Array,
    half: Array,
    from_end: bool,
    tail_rate: float,
    tail_force: float,
) -> Array:
    """Integral of force at the points where the remaining integral of speed equals target.

    ``speed`` and ``force`` are Legendre coefficients (panels, nodes) of functions of kappa;
    ``speed_after[p]`` is the integral of speed from the end of panel p to the end of all.
    ``force_edge[p]`` is, at the end of panel p, the integral of force to the end of all
    (from_end) or from the beginning. Before the first panel speed is constant 1/tail_rate and
    force decays like exp(kappa) from tail_force.
    """
    panels = speed.shape[0]
    total = speed_after[0] + half[0] * 2.0 * speed[0, 0]
    whole_force = force_edge[0] + half[0] * 2.0 * force[0, 0] if from_end else 0.0
    out = np.empty(target.size)
    for i in range(target.size):
        goal = target[i]
        if goal >= total:
            rest = tail_force * np.exp(-(goal - total) * tail_rate)
            out[i] = whole_force + (tail_force - rest) if from_end else rest
            continue
        low, high = 0, panels - 1
        while low < high:  # the last panel whose end lies at or before the goal
            middle = (low + high + 1) // 2
            if speed_after[middle - 1] > goal:
                low = middle
            else:
                high = middle - 1
        p = low
        want = (goal - speed_after[p]) / half[p]
        t_low, t_high = -1.0, 1.0
        t = 1.0 - want / speed[p, 0]
        t = min(max(t, -1.0), 1.0)
        for _ in range(60):
            value, integral = _legendre_integral(speed[p], t)
            excess = integral - want
            if excess > 0.0:
                t_low = t
            else:
                t_high = t
            new = t + excess / value
            if not t_low <= new <= t_high:
                new = (t_low + t_high) / 2.0
            if abs(new - t) <= 2e-16:
                t = new
                break
            t = new
        _, piece = _legendre_integral(force[p], t)
        out[i] = force_edge[p] + half[p] * piece if from_end else force_edge[p] - half[p] * piece
    return out
