"""The exponential transform of least regret."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from infalign_theory.checks import plain_number
from infalign_theory.comparison.along import Setting
from infalign_theory.comparison.exponent_scan import losses
from infalign_theory.comparison.frontiers import frontier
from infalign_theory.divergences import Divergence, ReverseKL, as_divergence
from infalign_theory.errors import InputError, OutOfReachError, PrecisionError
from infalign_theory.policies.base import Base, Continuous, as_base
from infalign_theory.policies.budgets import budget
from infalign_theory.policies.continuous_tilt import ContinuousTilt
from infalign_theory.policies.families import continuous_family, solve
from infalign_theory.procedures import Procedure
from infalign_theory.procedures.names import as_procedure
from infalign_theory.transforms.exponential import EXPONENT_LIMIT, Exponential
from infalign_theory.typing import Array

__all__ = ["LARGEST", "SMALLEST", "best_exponent", "out_of_range"]

SMALLEST, LARGEST = 1e-2, EXPONENT_LIMIT
_COARSE, _FINE = 14, 9  # exponents looked at over the whole range and around the best
_TOLD_APART = 1e-9  # win rates lost below this are too close to what atoms can tell apart
_ALWAYS = 1e-14  # a loss below it is rounding of the win rate
_SETTLED = 1e-11  # of log t
_FIRST_STEP = 0.005  # of log t: what a look at all exponents leaves open
_MAX_PANELS = 4000
_VAST = 1e100


def best_exponent(
    procedure: Procedure | str,
    *,
    kl: float,
    base: Base | None = None,
    against_procedure: Procedure | str | None = None,
    divergence: Divergence | str = "kl",
) -> float:
    """The exponent t whose transform sign(t) exp(t u) has the least regret at a KL.

    For Best-of-N at small KL it is close to 2N (first-order law); for Worst-of-N close to -2N.
    On a continuous base it is the zero of the win rate's derivative along equal KL, certain to
    about ten digits; on atoms and under other divergences a minimum, certain to about six.

    Parameters
    ----------
    procedure : Procedure or str
    kl : float
        Budget in nats, positive.
    base, against_procedure, divergence
        As in :func:`frontier`.

    Returns
    -------
    float
        t, negative where a decreasing exponential is better; between 0.01 and 600 in size.

    Raises
    ------
    OutOfReachError
        Where the best exponent lies outside that range: beyond 600 exp(t) leaves float64.
    PrecisionError
        Where every exponent wins all but a share that float64 cannot hold.

    Examples
    --------
    >>> round(best_exponent("bon:4", kl=0.5), 8)
    12.63382516
    >>> round(best_exponent("bon:4", kl=5.0), 5)
    215.77555
    """
    nats = budget(None, kl)[1]
    if nats == 0.0:
        raise InputError("kl = 0: every exponent gives the base policy; give a positive KL.")
    ours = as_procedure(procedure)
    theirs = ours if against_procedure is None else as_procedure(against_procedure)
    where = as_base(base)
    penalty = as_divergence(divergence)
    if not isinstance(where, Continuous) or penalty != ReverseKL():
        return _scanned(Setting(ours, theirs, where, penalty), nats)
    log_size, sign, log_strength = _first_look(ours, theirs, nats)
    known = [(log_size, log_strength)]  # x = log |t| and log K
    nearby: ContinuousTilt | None = None

    def slope(x: float) -> float:
        nonlocal nearby
        t = sign * float(np.exp(x))
        shift = max(t, 0.0)  # from log K to log k of Phi, whose size is exp(t) at u = 1
        guess = float(np.exp(_extrapolated(known[-2:], x) - shift))
        nearby = solve(continuous_family(Exponential(t)), nats, nearby, guess)
        known.append((x, float(np.log(nearby.k)) + shift))
        return _slope(nearby, t, ours, theirs)

    x = _root(slope, log_size)
    if not np.log(SMALLEST) < x < np.log(LARGEST) - 1e-6:
        raise out_of_range(ours.name, nats, sign * float(np.clip(np.exp(x), SMALLEST, LARGEST)))
    return sign * float(np.exp(x))


def _first_look(ours: Procedure, theirs: Procedure, kl: float) -> tuple[float, float, float]:
    """log |t|, sign and log K of about the best exponent, from two scans."""
    grid = np.linspace(np.log(SMALLEST), np.log(LARGEST), _COARSE)
    pair = [(ours, theirs)]
    scans = {
        sign: losses(sign * np.exp(grid), kl, pair, settled=1e-3)[0][0] for sign in (1.0, -1.0)
    }
    sign = min(scans, key=lambda s: float(scans[s].min()))
    at = int(np.argmin(scans[sign]))
    if not scans[sign][at] > _ALWAYS:
        raise _not_told_apart(ours, kl)
    closer = np.linspace(grid[max(at - 1, 0)], grid[min(at + 1, _COARSE - 1)], _FINE)
    found, strengths = losses(sign * np.exp(closer), kl, pair)
    at = int(np.argmin(found[0]))
    if closer[at] == grid[0]:
        raise out_of_range(ours.name, kl, sign * SMALLEST)
    move = _turn(found[0], at)
    beside = strengths[at + (1 if move > 0.0 else -1)] if move else strengths[at]
    strength = strengths[at] + abs(move) * (beside - strengths[at])
    return float(closer[at] + move * (closer[1] - closer[0])), sign, float(strength)


def _turn(values: Array, at: int) -> float:
    """Where the parabola through a least value and its neighbours turns, in steps from there."""
    if not 0 < at < values.size - 1 or not np.isfinite(values[at - 1 : at + 2]).all():
        return 0.0
    left, right = values[at - 1] - values[at], values[at + 1] - values[at]
    return float((left - right) / (2.0 * (left + right))) if left + right > 0.0 else 0.0


def _extrapolated(points: list[tuple[float, float]], x: float) -> float:
    """The line through two points, at x; the value of the last where they are one."""
    (first, before), (last, value) = points[0], points[-1]
    return value if last == first else value + (value - before) * (x - last) / (last - first)


def _root(slope: Callable[[float], float], start: float) -> float:
    """Where a decreasing function of log |t| is zero: interpolated inside a bracket that grows."""
    low, high = float(np.log(SMALLEST)) - 0.1, float(np.log(LARGEST))
    seen: list[tuple[float, float]] = []  # values and where they were found
    x = float(start)
    for _ in range(60):
        value = slope(x)
        if x >= high and value > 0.0:
            return high
        low, high = (x, high) if value > 0.0 else (low, x)
        if value == 0.0 or any(value == other for other, _ in seen):
            return x
        seen = [*seen[-2:], (value, x)]
        new = _zero(seen) if len(seen) > 1 else x + float(np.copysign(_FIRST_STEP, value))
        new = x + float(np.clip(new - x, -0.7, 0.7))
        if not low < new < high:
            new = (low + high) / 2
        if abs(new - x) <= _SETTLED:
            return new
        x = new
    return x


def _zero(seen: list[tuple[float, float]]) -> float:
    """The polynomial in the value through two or three points, at the value 0."""
    total = 0.0
    for value, x in seen:
        for other, _ in seen:
            x *= other / (other - value) if other != value else 1.0
        total += x
    return total


def _slope(tilt: ContinuousTilt, t: float, ours: Procedure, theirs: Procedure) -> float:
    """dW / dlog |t| along equal KL, up to a positive factor.

    With E the exponent and A(u) the integral of g'(F) dg_ref above u, dW = -Cov_f(A, dE); the
    part of dE along E is taken out, so that Cov_f(E, dE) = 0 keeps KL.
    """
    grid = tilt.grid
    while True:
        u, v = grid.points.u, grid.points.v
        weights = tilt.weights(grid)
        law = grid.running(weights)
        reach = ours.pdf(*law.fractions) * theirs.pdf(u, v) * grid.jacobian
        above = grid.running(reach).above
        density = weights / law.total
        # where |E| is vast the density is zero
        exponent = np.maximum(tilt.exponent(grid.points), -_VAST)
        size = np.minimum(np.exp(np.minimum(np.log(tilt.k) + t * u, 300.0)), _VAST)
        turned = size * (-v if t > 0.0 else u)
        change = _orthogonal(turned, exponent, density, grid.integral)
        values = density * above * change
        sums = grid.sums(values)
        whole = float(np.abs(sums).sum())
        marked = grid.unresolved(values) > 1e-13 * whole + 4e-15 * np.abs(sums)
        marked |= grid.unresolved(reach) > 1e-13 * grid.integral(reach)
        marked &= grid.splittable()
        if not marked.any() or grid.half.size > _MAX_PANELS:
            return -float(sums.sum()) / max(whole, 1e-300)
        grid = grid.split(marked)


def _orthogonal(
    values: Array, other: Array, density: Array, integral: Callable[[Array], float]
) -> Array:
    """Values without their mean and without their part along others, under a density."""
    first = values - integral(density * values)
    second = other - integral(density * other)
    along = integral(density * first * second) / integral(density * second**2)
    return np.asarray(first - along * second)


def out_of_range(name: str, kl: float, edge: float) -> OutOfReachError:
    """The error of a best exponent outside of what can be trained."""
    if abs(edge) < 1.0:
        why = "use identity, the limit of exponents that tend to 0"
    else:
        why = (
            f"exponents end at {LARGEST:g}, where exp(t) leaves float64; give a smaller KL, or use "
            "optimal, a power or an expression"
        )
    return OutOfReachError(
        f"the best exponent for {name} at kl = {plain_number(kl)} lies beyond t = {edge:.3g}; "
        f"{why}.",
        edge,
    )


def _not_told_apart(ours: Procedure, kl: float) -> PrecisionError:
    return PrecisionError(
        f"at kl = {plain_number(kl)} some exponent already wins {ours.name} always, to all digits "
        "that can be told: exponents cannot be told apart; give a smaller KL.",
        float("nan"),
    )


def _scanned(setting: Setting, kl: float) -> float:
    """The best of a scan, then a minimum: where the win rate is all there is."""
    from scipy.optimize import minimize_scalar

    name = setting.ours.name

    def lost(log_size: float, sign: float) -> float:
        try:
            curve = frontier(
                Exponential(sign * float(np.exp(log_size))),
                setting.ours,
                kl=[kl],
                base=setting.base,
                against_procedure=setting.theirs,
                divergence=setting.divergence,
            )
        except (OutOfReachError, PrecisionError):
            return np.inf  # this exponent cannot spend the budget, or not to all digits
        return 1.0 - float(curve.win_rate[0])

    grid = np.linspace(np.log(SMALLEST), np.log(LARGEST), 24)
    scan = {sign: np.array([lost(x, sign) for x in grid]) for sign in (1.0, -1.0)}
    if min(float(lossless.min()) for lossless in scan.values()) < _TOLD_APART:
        raise _not_told_apart(setting.ours, kl)
    sign = min(scan, key=lambda s: float(scan[s].min()))
    at = int(np.argmin(scan[sign]))
    if at in (0, grid.size - 1) or not np.isfinite(scan[sign][at - 1 : at + 2]).all():
        raise out_of_range(name, kl, sign * float(np.exp(grid[at])))
    found = minimize_scalar(
        lost,
        args=(sign,),
        bounds=(grid[at - 1], grid[at + 1]),
        method="bounded",
        options={"xatol": 1e-7},
    )
    return sign * float(np.exp(found.x))
