"""The coupled optimum on a discrete base by one-dimensional shooting.

Atoms are ordered from the highest reward down. With b the base's mass under its procedure, the
optimum satisfies, between neighbouring atoms i and i + 1 (next lower),

    log r_i - log r_{i+1} = k g'(F_i) (b_i + b_{i+1}) / 2,   r = density ratio, k = 1/beta,

F_i being the policy's mass strictly below atom i. So the mass of the top atom fixes everything:
march down once and compare the mass that came out below the top atom with the mass that was left
for it. The unknown is x = logit of the top atom's mass, which keeps both nearly empty and nearly
full top atoms accurate; the mismatch is a log ratio, so no total ever overflows.

g and g' enter in the form of :mod:`infalign_theory.kernels.terms`.
"""

from __future__ import annotations

import numpy as np

from infalign_theory.kernels._jit import kernel
from infalign_theory.kernels.climbing import climbed, decay, slope_at
from infalign_theory.kernels.sorting import sorted_copy
from infalign_theory.kernels.terms import evaluate, single_power
from infalign_theory.typing import Array, IntArray

SCAN_STEP = 0.1
SATURATED = 700.0  # a top atom with 1 - mass < exp(-700) holds everything


@kernel
def descend(x: float, k: float, p: Array, half_b: Array, slope: Array, log_ratio: Array) -> float:
    """March down from a top atom of mass expit(x); returns log(mass that came out / mass left).

    Fills ``log_ratio`` (same order as the masses ``p``, from the top down).
    """
    small = np.exp(-abs(x))
    small, large = small / (1.0 + small), 1.0 / (1.0 + small)
    top, rest = (large, small) if x > 0.0 else (small, large)
    log_top = min(x, 0.0) - np.log1p(np.exp(-abs(x)))
    log_rest = log_top - x
    current = log_top - np.log(p[0])
    log_ratio[0] = current
    ratio = np.exp(current)
    power, weight = single_power(slope), np.exp(slope[0, 0])
    out = 0.0
    for i in range(1, p.size):
        left, kept = max(rest - out, 0.0), min(top + out, 1.0)
        drop = k * half_b[i - 1] * slope_at(left, kept, slope, power, weight)
        current -= drop
        ratio *= decay(drop)
        log_ratio[i] = current
        out += p[i] * ratio
    return float(np.log(out) - log_rest)


@kernel
def _bracketed_root(
    negative: float,
    positive: float,
    f_negative: float,
    f_positive: float,
    k: float,
    p: Array,
    half_b: Array,
    slope: Array,
    work: Array,
) -> float:
    """Root in a sign change, either way round: secant with a halved stale end, or bisection."""
    side = 0
    best, best_value = positive, abs(f_positive)
    for count in range(200):
        x = (negative * f_positive - positive * f_negative) / (f_positive - f_negative)
        inside = min(negative, positive) < x < max(negative, positive)
        if not inside or count % 4 == 3:
            x = 0.5 * (negative + positive)
        value = descend(x, k, p, half_b, slope, work)
        if abs(value) <= best_value:
            best, best_value = x, abs(value)
        if value == 0.0 or abs(positive - negative) <= 4e-16 * max(1.0, abs(x)):
            break
        if value < 0.0:
            negative, f_negative = x, value
            f_positive = f_positive / 2.0 if side == -1 else f_positive
            side = -1
        else:
            positive, f_positive = x, value
            f_negative = f_negative / 2.0 if side == 1 else f_negative
            side = 1
    return best


@kernel
def _touching_point(
    low: float,
    high: float,
    sign: float,
    k: float,
    p: Array,
    half_b: Array,
    slope: Array,
    work: Array,
) -> tuple[float, float]:
    """Golden section for the smallest sign * mismatch; stops as soon as it turns negative."""
    golden = 0.381966011250105
    a, b = low, high
    x1, x2 = a + golden * (b - a), b - golden * (b - a)
    f1 = sign * descend(x1, k, p, half_b, slope, work)
    f2 = sign * descend(x2, k, p, half_b, slope, work)
    for _ in range(60):
        if f1 < 0.0 or f2 < 0.0:
            break
        if f1 < f2:
            b, x2, f2 = x2, x1, f1
            x1 = a + golden * (b - a)
            f1 = sign * descend(x1, k, p, half_b, slope, work)
        else:
            a, x1, f1 = x1, x2, f2
            x2 = b - golden * (b - a)
            f2 = sign * descend(x2, k, p, half_b, slope, work)
    return (x1, sign * f1) if f1 < f2 else (x2, sign * f2)


@kernel
def _scanned(k: float, p: Array, half_b: Array, slope: Array, curvature: int, work: Array) -> Array:
    """The places at which the mismatch is looked at, in increasing order, both ends included."""
    # not 1 - p[0]: a top atom may round to 1
    low_end = np.log(p[0]) - np.log(np.sum(p[1:]))
    high_end = max(SATURATED, low_end + 1.0)
    # from x = 40 on the rest no longer feels its own mass, and the mismatch is linear in x
    linear = max(min(high_end, 40.0), low_end + 1.0)
    if curvature > 0:
        return np.array([low_end, linear, high_end])
    stable = climbed(k, p, half_b, slope, curvature < 0)
    first, last = low_end, linear
    if curvature < 0:  # all solutions lie between the ends of the map
        first = min(max(low_end, stable[0] - SCAN_STEP), linear)
        last = max(min(linear, stable[-1] + SCAN_STEP), first)
    count = int((last - first) / SCAN_STEP) + 2
    xs = np.empty(count + 4 + 2 * stable.size)
    xs[0], xs[1], xs[2] = low_end, linear, high_end
    for i in range(count + 1):
        xs[3 + i] = first + (last - first) * i / count
    used = count + 4
    for x in stable:
        for exponent in range(-11, -1):
            side = 10.0**exponent * max(1.0, abs(x))
            low, high = x - side, x + side
            below = descend(low, k, p, half_b, slope, work)
            if low > low_end and below < 0.0 and descend(high, k, p, half_b, slope, work) > 0.0:
                xs[used], xs[used + 1] = low, high
                used += 2
                break
    return sorted_copy(xs[:used])


@kernel
def all_roots(
    k: float, p: Array, half_b: Array, slope: Array, curvature: int
) -> tuple[Array, Array]:
    """Every x at which the march closes, with the direction of the crossing.

    Direction +1 (mismatch turns from negative to positive) is a maximum of W - beta KL, -1 is
    not. ``curvature`` is that of g: where positive the problem is concave, and one bracket holds
    the one root; where negative the ends of the fixed-point map enclose all of them.
    """
    work = np.empty(p.size)
    xs = _scanned(k, p, half_b, slope, curvature, work)
    used, count = xs.size, xs.size - 2
    values = np.empty(used)
    for i in range(used):
        values[i] = descend(xs[i], k, p, half_b, slope, work)
    # at the low end every ratio is at most 1: rounding must not hide the first crossing
    values[0] = min(values[0], -1e-300)

    roots = np.empty(2 * count + 8)
    directions = np.empty(2 * count + 8)
    found = 0
    for i in range(count + 1):
        f0, f1 = values[i], values[i + 1]
        if (f0 < 0.0) != (f1 < 0.0):
            left, right = (i, i + 1) if f0 < 0.0 else (i + 1, i)
            roots[found] = _bracketed_root(
                xs[left], xs[right], values[left], values[right], k, p, half_b, slope, work
            )
            directions[found] = 1.0 if f0 < 0.0 else -1.0
            found += 1
        elif 0 < i < count and (values[i - 1] < 0.0) == (f0 < 0.0):
            before = values[i - 1]
            if not (abs(f0) < abs(before) and abs(f0) <= abs(f1)):
                continue
            # the mismatch turns back without a sign change: it may have touched zero in between
            sign = -1.0 if f0 < 0.0 else 1.0
            x, value = _touching_point(xs[i - 1], xs[i + 1], sign, k, p, half_b, slope, work)
            if sign * value < 0.0:
                for end in (i - 1, i + 1):
                    other, f_other = xs[end], values[end]
                    if sign > 0.0:
                        root = _bracketed_root(x, other, value, f_other, k, p, half_b, slope, work)
                    else:
                        root = _bracketed_root(other, x, f_other, value, k, p, half_b, slope, work)
                    roots[found] = root
                    directions[found] = -sign if end < i else sign
                    found += 1
    if values[count + 1] < 0.0:
        roots[found], directions[found] = xs[count + 1], 1.0
        found += 1
    return roots[:found].copy(), directions[:found].copy()


@kernel
def win_rate_of(p: Array, log_ratio: Array, b: Array, value: Array) -> tuple[float, float]:
    """Win rate and KL of atoms from the top down; ``value`` are the terms of g."""
    won, kl, above = 0.0, 0.0, 0.0
    lost_above = 0.0
    total = 0.0
    for i in range(p.size):
        total += p[i] * np.exp(log_ratio[i])
    for i in range(p.size):
        mass = p[i] * np.exp(log_ratio[i]) / total
        kl += mass * log_ratio[i] if mass > 0.0 else 0.0
        above = min(above + mass, 1.0)
        lost = 1.0 - evaluate(1.0 - above, above, value)
        won += b[i] * (lost + lost_above) / 2.0
        lost_above = lost
    return won, kl - np.log(total)


@kernel
def best_root(
    k: float,
    p: Array,
    b: Array,
    half_b: Array,
    slope: Array,
    value: Array,
    curvature: int,
    log_ratio: Array,
) -> int:
    """Fill ``log_ratio`` with the root of the largest W - KL/k; returns the number of roots."""
    roots, directions = all_roots(k, p, half_b, slope, curvature)
    chosen, best = 0, -np.inf
    if roots.size > 1:
        for i in range(roots.size):
            if directions[i] > 0.0:
                descend(roots[i], k, p, half_b, slope, log_ratio)
                won, kl = win_rate_of(p, log_ratio, b, value)
                if won - kl / k > best:
                    chosen, best = i, won - kl / k
    descend(roots[chosen], k, p, half_b, slope, log_ratio)
    return roots.size


@kernel
def best_roots(
    k: float,
    p: Array,
    b: Array,
    half_b: Array,
    offsets: IntArray,
    slope: Array,
    value: Array,
    curvature: int,
) -> Array:
    """Log ratios of the optimum of many problems laid end to end, each from the top down."""
    log_ratio = np.zeros(p.size)
    for i in range(offsets.size - 1):
        part = slice(offsets[i], offsets[i + 1])
        if offsets[i + 1] - offsets[i] > 1:
            best_root(k, p[part], b[part], half_b[part], slope, value, curvature, log_ratio[part])
    return log_ratio
