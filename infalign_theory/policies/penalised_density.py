"""Policies under any divergence on a continuous base."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from infalign_theory.checks import plain_number
from infalign_theory.divergences import Divergence
from infalign_theory.errors import InputError, OutOfReachError, PrecisionError
from infalign_theory.policies.continuous_tilt import ContinuousTilt, uniform_grid
from infalign_theory.policies.families import _deviation
from infalign_theory.policies.penalised import (
    Condensed,
    Penalty,
    Spent,
    level_of_mass,
    solve_kl,
)
from infalign_theory.policies.tilt_weights import unresolved
from infalign_theory.quadrature.grid import Grid
from infalign_theory.quadrature.panels import entropy_terms
from infalign_theory.quadrature.points import Points
from infalign_theory.transforms.core import Transform
from infalign_theory.typing import Array

_MAX_PANELS = 4000
_BISECTIONS = 120
_GRADING, _STEEP_GRADING = 27, 46  # halvings; the steep one for densities with a vertical edge
_ROUNDING = 2e-14  # of the largest slope: noise of the last Legendre terms next to a support edge
_ZOOMS = 30
_BULK = 1e-3
_LARGEST_POWER = 0.9  # of 1/(1-u), by which a density may grow


class EffectiveTransform(Transform):
    """log f of a policy under any divergence: reverse KL with it at beta = 1 gives the policy."""

    anchor = 0.0

    def __init__(self, density: Density, log_mass: float, grid: Grid) -> None:
        self.grid = grid  # its panels end where the support does
        self._density = density
        self._log_mass = log_mass

    @property
    def name(self) -> str:
        """As text; not readable back."""
        return f"effective:{self._density.transform.name}|{self._density.penalty.divergence.name}"

    def __repr__(self) -> str:
        return f"<transform {self.name}>"

    @property
    def in_logit(self) -> bool:
        return self._density.transform.in_logit

    def differences(self, points: Points) -> Array:
        """log f(u), minus infinity where the policy has given up."""
        return np.asarray(self._density.log_values(points) - self._log_mass)

    def noise(self, points: Points) -> Array:
        """What rounding does to log f: much next to an end of the support."""
        return _log_noise(self._density, self.differences(points), points)


@dataclass(frozen=True)
class Density:
    """f(u) at a level, given Phi measured from its peak: at u = 1 or 0, or at a point between."""

    transform: Transform
    penalty: Penalty
    peak: float
    summit: Points | None
    level: float

    @classmethod
    def at_base(cls, transform: Transform, penalty: Penalty, grid: Grid) -> Density:
        """At level 0, with Phi measured from the largest value that the grid finds."""
        if not penalty.bounded:
            return cls(transform, penalty, 0.0, None, 0.0)
        with np.errstate(over="ignore", under="ignore"):
            values = transform.differences(grid.points).ravel()
        top = int(np.argmax(values))
        if values[top] > 0.0 and 0 < top < values.size - 1:
            s = grid.points.s.ravel()
            return cls(transform, penalty, 0.0, _summit(transform, s[top - 1], s[top + 1]), 0.0)
        return cls(transform, penalty, float(values[top]), None, 0.0)

    def log_values(self, points: Points) -> Array:
        """log f, its level not yet normalised to all digits."""
        return self.penalty.log_density(self.level, self.changes(points))

    def changes(self, points: Points) -> Array:
        """Phi minus its largest value."""
        with np.errstate(over="ignore", under="ignore"):
            if self.summit is not None:
                return self.transform.changes(points, self.summit)
            return np.asarray(self.transform.differences(points) - self.peak)

    def cut(self, level: float, grid: Grid) -> Grid:
        """The grid with the edges of the support among its own: no quadrature across a kink.

        Panels shrink towards each edge, where f log f has no derivatives.
        """
        target = self.penalty.edge(level)
        edges = crossings(self, target, grid) if np.isfinite(target) else np.empty(0)
        if not edges.size:
            return grid
        steep = self.penalty.divergence.log_compliance(np.array(-1.0)) > 0.0
        widths = 2.0 ** -np.arange(0.0, _STEEP_GRADING if steep else _GRADING)
        graded = edges[:, None] + np.concatenate([-widths, [0.0], widths])
        return grid.with_edges(graded.ravel())

    def mass(self, level: float, grid: Grid) -> tuple[float, float]:
        """Log of the mass at another level, and its slope."""
        fine = self.cut(level, grid)
        return self.penalty.mass(level, self.changes(fine.points), base_weights(fine))


def base_weights(grid: Grid) -> Array:
    """What each node of a grid weighs under the base."""
    from infalign_theory.quadrature import panels

    return np.asarray(grid.jacobian * grid.half[:, None] * panels.WEIGHTS)


def crossings(density: Density, target: float, grid: Grid) -> Array:
    """Logits at which Phi minus its largest value passes through a target."""

    def excess(s: Array) -> Array:
        return np.asarray(density.changes(Points.from_logit(s)) - target)

    s, values = grid.points.s.ravel(), (density.changes(grid.points) - target).ravel()
    above = values > 0.0
    flips = np.flatnonzero(above[1:] != above[:-1])
    low, high = s[flips], s[flips + 1]
    at_low, at_high = values[flips], values[flips + 1]
    rising = above[flips + 1]
    for step in range(_BISECTIONS):
        middle = (low + high) / 2
        if step % 2:
            middle = _beyond_secant(low, high, at_low, at_high, middle)
        if ((middle <= low) | (middle >= high)).all():
            break
        found = excess(middle)
        reached = (found > 0.0) == rising
        low, at_low = np.where(reached, low, middle), np.where(reached, at_low, found)
        high, at_high = np.where(reached, middle, high), np.where(reached, found, at_high)
    return np.asarray((low + high) / 2)


def _beyond_secant(low: Array, high: Array, at_low: Array, at_high: Array, middle: Array) -> Array:
    """Just beyond the secant's root, so that the bracket closes in from the far side too."""
    with np.errstate(all="ignore"):
        share = at_low / (at_low - at_high)
        nudge = np.where(share < 0.5, 1.0, -1.0) * 1e-3 * np.minimum(share, 1.0 - share)
        guess = low + (share + nudge) * (high - low)
    return np.where((guess > low) & (guess < high), guess, middle)


def _summit(transform: Transform, low: float, high: float) -> Points:
    """The point between two logits at which Phi is largest."""
    for _ in range(_ZOOMS):
        inner = np.linspace(low, high, 9)
        top = int(np.argmax(transform.differences(Points.from_logit(inner))))
        low, high = inner[max(top - 1, 0)], inner[min(top + 1, 8)]
    return Points.from_logit(np.array([(low + high) / 2]))


def resolve(
    transform: Transform, penalty: Penalty, grid: Grid
) -> tuple[ContinuousTilt, Density, Spent]:
    """The solution at one k, on a grid that resolves density, tails and KL."""
    start = None
    while True:
        trial = Density.at_base(transform, penalty, grid)
        changes = trial.changes(grid.points)
        if start is None:
            start = penalty.first_level(changes, base_weights(grid))
        mass = partial(trial.mass, grid=grid)
        start = level_of_mass(penalty, mass, changes, start)
        density = replace(trial, level=start)
        fine = density.cut(start, grid)
        marked, tilt = _resolution(density, fine)
        if not marked.any():
            break
        if fine.half.size > _MAX_PANELS:
            raise PrecisionError(
                f"transform {transform.name} under {penalty.divergence.name} at beta = "
                f"{1.0 / penalty.k:.6g} varies too fast to be integrated to 1e-10; use a larger "
                "beta or a smaller KL.",
                tilt.kl,
            )
        grid = grid.with_edges(((fine.edges[1:] + fine.edges[:-1]) / 2)[marked])
    log_f = density.log_values(fine.points) - tilt.log_z
    growth = penalty.growth(log_f, density.changes(fine.points), base_weights(fine))
    return tilt, density, Spent(tilt.kl, growth)


def _resolution(density: Density, grid: Grid) -> tuple[np.ndarray, ContinuousTilt]:
    """Panels that must be split, and the solution as far as this grid knows it."""
    raw = density.log_values(grid.points)
    with np.errstate(over="ignore"):
        log_mass = float(np.log(grid.integral(np.exp(raw + grid.log_jacobian))))
    log_f = raw - log_mass
    values = np.exp(log_f + grid.log_jacobian)
    terms = entropy_terms(log_f, grid.log_jacobian)
    masses = grid.sums(values)
    marked = unresolved(grid, values, masses, terms) & grid.splittable()
    floor = grid.sums(_log_noise(density, log_f, grid.points) * values)
    rough = grid.unresolved(values) > floor
    marked &= rough | (grid.unresolved(terms) > floor * (1.0 + abs(float(log_f.max()))))
    if not values[0, 0] + values[-1, -1] <= 1e-13:  # closer to an end than float64 reaches
        raise Condensed
    effective = EffectiveTransform(density, log_mass, grid)
    tilt = ContinuousTilt(
        transform=effective,
        k=1.0,
        grid=grid,
        peak=0.0,
        log_z=0.0,
        kl=grid.integral(terms),
        growth=0.0,
    )
    return marked, tilt


def _log_noise(density: Density, log_f: Array, points: Points) -> Array:
    """What rounding of h' does to log f, as the last Legendre terms of a panel show it."""
    divergence, of_slope = density.penalty.divergence, np.zeros(log_f.shape)
    with np.errstate(all="ignore"):
        if divergence.largest_slope == np.inf:
            of_slope += _ROUNDING * (1.0 + abs(float(divergence.slope(np.exp(log_f.max())))))
        if isinstance(density.transform, EffectiveTransform):
            of_slope += density.penalty.k * density.transform.noise(points)
        give = np.exp(divergence.log_compliance(log_f) - log_f)
        return np.where(log_f > -np.inf, of_slope * give, 0.0)


def align_density(
    transform: Transform, divergence: Divergence, beta: float | None, kl: float
) -> tuple[ContinuousTilt, float]:
    """The solution at a beta or a KL, as a tilt by its effective transform, and its beta."""
    _refuse_unbounded(transform, divergence)
    grid = transform.grid if isinstance(transform, EffectiveTransform) else uniform_grid()
    bounded = max(transform.slopes) == 0.0

    def solved(k: float) -> tuple[ContinuousTilt, Density, Spent]:
        return resolve(transform, Penalty(divergence, k, bounded), grid)

    if beta is not None:
        try:
            return solved(1.0 / beta)[0], beta
        except Condensed:
            raise _too_strong(transform, divergence, beta, solved) from None
    if kl == 0.0:
        return solved(0.0)[0], np.inf
    last: dict[float, ContinuousTilt] = {}

    def at(k: float) -> Spent:
        tilt, _, spent = solved(k)
        last.clear()
        last[k] = tilt
        return spent

    with np.errstate(over="ignore", under="ignore"):
        values = transform.differences(grid.points)
    weights = base_weights(grid)
    if max(transform.slopes) == np.inf:  # its deviation may be infinite; this only sets the scale
        weights = np.where(grid.jacobian > _BULK, weights, 0.0)
        values = np.where(grid.jacobian > _BULK, values, -np.inf)
    spread = _deviation(values, weights) / divergence.curvature
    k = solve_kl(f"transform {transform.name} under {divergence.name}", at, kl, spread=spread)
    if k not in last:
        at(k)
    return last[k], 1.0 / k


def _refuse_unbounded(transform: Transform, divergence: Divergence) -> None:
    slope = max(transform.slopes)
    if slope > 0.0 and np.isfinite(divergence.largest_slope):
        raise InputError(
            f"transform {transform.name} grows without bound, and under {divergence.name} no beta "
            "gives it an aligned policy: its h' is bounded; give a transform that is bounded "
            "above, or another divergence."
        )
    if slope == np.inf and not _integrable(transform, divergence):
        raise InputError(
            f"transform {transform.name} grows faster than any logarithm towards an end of "
            f"(0, 1), so its policy under {divergence.name} may have no finite normaliser; bound "
            "the transform near the ends."
        )


def _integrable(transform: Transform, divergence: Divergence) -> bool:
    """Whether the density, far out, grows so slowly that its mass and KL are finite for sure."""
    far = np.array([-690.0, -490.0, 490.0, 690.0])
    with np.errstate(all="ignore"):
        values = transform.differences(Points.from_logit(far))
        log_f = divergence.log_inverse(values)
    pairs = (log_f[0], log_f[1]), (log_f[3], log_f[2])
    climbs = [(out - near) / 200.0 for out, near in pairs if out > -np.inf]
    return bool(np.isfinite(values).all() and max(climbs, default=0.0) <= _LARGEST_POWER)


def _too_strong(
    transform: Transform, divergence: Divergence, beta: float, solved: Callable[[float], object]
) -> OutOfReachError:
    low, high = 0.0, 1.0 / beta
    while high - low > 1e-6 * high:
        k = (low + high) / 2
        try:
            solved(k)
            low = k
        except Condensed:
            high = k
    smallest = 1.0 / low if low > 0.0 else np.inf
    return OutOfReachError(
        f"beta = {plain_number(beta)} is too small for transform {transform.name} under "
        f"{divergence.name}: part of the probability would have to sit on the best reward alone; "
        f"give a beta above {smallest:.6g}.",
        smallest,
    )
