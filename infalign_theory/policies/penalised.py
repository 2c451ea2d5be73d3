"""Policies under any divergence: the density (h')^-1((Phi - lambda)/beta), by beta or by KL.

k stands for 1/beta throughout. The multiplier lambda is carried as the *level*: log f at the
reward where Phi is largest, which keeps its digits however large f is; where Phi has no largest
value, the level is h' at the reward where Phi is 0.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from infalign_theory.checks import plain_number
from infalign_theory.divergences import Divergence
from infalign_theory.errors import OutOfReachError, PrecisionError
from infalign_theory.policies.roots import increasing_root
from infalign_theory.typing import Array

LARGEST_LEVEL = 650.0  # log of the largest density that a grid in the logit still resolves
_LOG_SCALE_LIMIT = 660.0
_KL_PROMISE = 1e-9
_MASS_PROMISE = 1e-9  # what is left is divided out


@dataclass(frozen=True)
class Penalty:
    """A divergence at one k, and whether Phi has a largest value from which it is measured."""

    divergence: Divergence
    k: float
    bounded: bool = True

    def edge(self, level: float) -> float:
        """The change of Phi at which the density reaches zero; minus infinity where it never does.

        Examples
        --------
        >>> from infalign_theory.divergences import ChiSquared
        >>> Penalty(ChiSquared(), 4.0).edge(0.0)  # f = 1 + 4 (Phi - peak)
        -0.25
        """
        smallest = self.divergence.smallest_slope
        if smallest == -np.inf or self.k == 0.0:
            return -np.inf
        with np.errstate(all="ignore"):
            top = float(self.divergence.slope(np.exp(level))) if self.bounded else level
            return (smallest - top) / self.k

    def log_density(self, level: float, changes: Array) -> Array:
        """log f, given Phi minus its largest value."""
        with np.errstate(all="ignore"):
            if self.bounded:
                return self.divergence.log_moved(level, np.maximum(-self.k * changes, 0.0))
            return self.divergence.log_inverse(level + self.k * changes)

    def _response(self, level: float, log_f: Array) -> Array:
        """d log f / d level."""
        with np.errstate(all="ignore"):
            give = self.divergence.log_compliance(log_f) - log_f
            if self.bounded:
                give = give - (self.divergence.log_compliance(np.array(level)) - level)
            return np.where(log_f == -np.inf, 0.0, np.exp(give))

    def mass(self, level: float, changes: Array, weights: Array) -> tuple[float, float]:
        """Log of the total mass, and its slope in the level; weights are the base's."""
        log_f = self.log_density(level, changes)
        with np.errstate(all="ignore"):
            mass = np.exp(log_f) * weights
            total = float(mass.sum())
            if not total > 0.0:
                return -np.inf, 0.0
            slope = float((mass * self._response(level, log_f)).sum()) / total
            return float(np.log(total)), slope

    def bracket(self, changes: Array) -> tuple[float, float]:
        """Levels between which the mass reaches 1."""
        if self.bounded:
            return 0.0, LARGEST_LEVEL
        finite = changes[np.isfinite(changes)]
        ends = -self.k * float(finite.max()), -self.k * float(finite.min())
        return ends[0], ends[1] if finite.size == changes.size else np.inf

    def first_level(self, changes: Array, weights: Array) -> float:
        """The level at which a small k has mass 1 to second order."""
        finite = np.isfinite(changes)
        mean = float((changes[finite] * weights[finite]).sum() / weights[finite].sum())
        if not self.bounded:
            return -self.k * mean
        slope = min(-self.k * mean, 0.7 * self.divergence.largest_slope)
        return float(self.divergence.log_inverse(np.array(slope)))

    def growth(self, log_f: Array, changes: Array, weights: Array) -> float:
        """dKL / dlog k at fixed mass: a covariance under the weights 1 / h''(f)."""
        with np.errstate(all="ignore"):
            give = np.exp(self.divergence.log_compliance(log_f) - log_f) * (np.exp(log_f) * weights)
            give = np.where(log_f > -np.inf, give, 0.0)
            rise = np.where(give > 0.0, self.k * changes, 0.0)
            rise = rise - (give * rise).sum() / give.sum()
            return float((give * rise * np.where(give > 0.0, log_f, 0.0)).sum())


class Condensed(Exception):
    """No density has mass 1 at this k: part of it would have to sit on the best reward alone."""


@dataclass(frozen=True)
class Spent:
    """What the search over k needs to know of a solution."""

    kl: float
    growth: float


def solve_kl(
    name: str, at: Callable[[float], Spent], kl: float, *, spread: float, limit: float = np.inf
) -> float:
    """The k whose policy spends a given KL.

    Parameters
    ----------
    name : str
        Transform and divergence, for messages.
    at : callable
        k to the KL and its growth; raises :class:`Condensed` beyond the largest possible k.
    kl : float
        Nats, positive.
    spread : float
        Standard deviation of Phi under the base, over h''(1).
    limit : float
        Supremum of the KL where it is known.
    """
    if spread == 0.0 or kl >= limit * (1.0 - 1e-14):
        raise _out_of_reach(name, kl, limit if spread > 0.0 else 0.0, certain=True)
    known: dict[float, float] = {}
    condensed = [np.inf]

    def excess(x: float) -> tuple[float, float]:
        try:
            found = at(float(np.exp(x)))
        except Condensed:
            condensed[0] = min(condensed[0], x)
            return np.inf, 0.0
        known[x] = found.kl
        if not found.kl > 0.0:
            return -np.inf, 0.0
        return float(np.log(found.kl / kl)), found.growth / found.kl

    highest = _LOG_SCALE_LIMIT - float(np.log(spread))
    start = 0.5 * float(np.log(2.0 * kl)) - float(np.log(spread))
    x, _ = increasing_root(excess, start, high=highest, tolerance=2e-14, resolution=1e-13)
    ratio = known.get(x, 0.0) / kl
    if abs(ratio - 1.0) <= _KL_PROMISE:
        return float(np.exp(x))
    if ratio < 1.0 and (x >= highest or np.isfinite(condensed[0])):
        raise _out_of_reach(name, kl, max(known.values(), default=0.0), certain=x >= highest)
    raise PrecisionError(
        f"no beta found at which {name} spends kl = {plain_number(kl)} nats; the closest spends "
        f"{ratio * kl:.12g}.",
        ratio * kl,
    )


def level_of_mass(
    penalty: Penalty, mass: Callable[[float], tuple[float, float]], changes: Array, start: float
) -> float:
    """The level at which the mass is 1."""
    low, high = penalty.bracket(changes)
    level, missing = increasing_root(mass, start, low=low, high=high)
    if not abs(missing) <= _MASS_PROMISE:
        raise Condensed
    return level


def _out_of_reach(name: str, kl: float, limit: float, *, certain: bool) -> OutOfReachError:
    what = "the largest KL is" if certain else "its density stays finite only up to"
    return OutOfReachError(
        f"kl = {plain_number(kl)} nats is out of reach of {name} on this base: {what} "
        f"{limit:.12g} nats; give a smaller budget.",
        limit,
    )
