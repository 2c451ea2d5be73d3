"""A first look at all exponentials at one KL: their win rates on one grid, all at once.

Every exponential of a size is E(u) = K w(u), w = exp(-t (1-u)) for t > 0 and -exp(t u) for t < 0.
The grid is fine enough to choose a bracket by; exact policies do the rest.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np

from infalign_theory.procedures import Procedure
from infalign_theory.quadrature import panels
from infalign_theory.quadrature.grid import Grid
from infalign_theory.typing import Array

__all__ = ["losses"]

# short in the middle, where a steep decreasing exponential turns within 1/t of u
_EDGES = np.union1d(
    np.linspace(-6.0, 6.0, 17), [*np.linspace(-36.0, -6.0, 9), *np.linspace(6.0, 46.0, 13)]
)
_SMALLEST_KL = 1e-8  # below it exponentials stand to each other as they do here
_MISSED = 0.05  # relative error of a KL that makes a win rate worthless
_STEEP = 3.0  # of |t|, from which an exponential is far from straight
_LEADING_KL = 1e-6  # below it the leading term of KL is enough


@lru_cache(maxsize=1)
def _grid() -> Grid:
    return Grid(_EDGES)


def losses(
    exponents: Array,
    kl: float,
    pairs: Sequence[tuple[Procedure, Procedure]],
    settled: float = 1e-7,
) -> tuple[Array, Array]:
    """1 - win rate of every exponential under every pair of procedures, and its log K.

    Parameters
    ----------
    exponents : ndarray, shape (T,)
        All of one sign.
    kl : float
        Nats, positive.
    pairs : sequence of (Procedure, Procedure)
        What inference does to the policy and to the base.
    settled : float
        Relative error of K that is small enough.

    Returns
    -------
    losses : ndarray, shape (P, T)
        To about six digits where K is settled; infinite where the grid is too coarse for it.
    log_strength : ndarray, shape (T,)
        log of K = max |E|.
    """
    grid, kl = _grid(), max(kl, _SMALLEST_KL)
    u, v = grid.points.u.ravel(), grid.points.v.ravel()
    mass = (grid.jacobian * grid.half[:, None] * panels.WEIGHTS).ravel()
    mass = mass / mass.sum()
    size = np.abs(exponents)[:, None]
    shape = np.exp(-size * v) if exponents[0] > 0.0 else -np.exp(-size * u)
    log_strength = _strengths(shape, exponents, kl, mass, settled)
    spent, _, density = _tilted(shape, np.exp(log_strength)[:, None], mass)
    missed = (np.abs(np.log(spent / kl)) > _MISSED) & (kl >= _LEADING_KL)
    density = density.reshape(-1, *grid.points.u.shape)
    weights = density * grid.jacobian
    p, q = (side.reshape(exponents.size, -1) for side in grid.running(weights).fractions)
    lost = [ours.cdf(p, q)[0] @ (theirs.pdf(u, v) * mass) for ours, theirs in pairs]
    return np.where(missed, np.inf, np.array(lost)), log_strength


def _strengths(shape: Array, exponents: Array, kl: float, mass: Array, settled: float) -> Array:
    """log K of each exponential at a KL: Newton's method on log KL, bisected where it is slow."""
    centred = shape - (shape @ mass)[:, None]
    found = np.log(np.sqrt(2.0 * kl / (centred**2 @ mass)))
    if kl < _LEADING_KL:
        return found
    size = np.abs(exponents)
    # steep ones leave the law of small budgets early: mass gathers within 1/t of the top, or
    # leaves what lies below 1 - exp(-KL)
    if exponents[0] > 0.0:
        late = np.log(np.log1p(size * kl) + 2.0)
        found = np.where(size > _STEEP, np.minimum(found, late), found)
    else:
        found = np.where(size > _STEEP, np.maximum(found, size * -np.expm1(-kl)), found)
    low, high = np.full(size.size, -np.inf), np.full(size.size, np.inf)
    before, last = np.full((2, size.size), np.inf)  # the last two moves
    at = np.arange(size.size)
    for _ in range(60):
        x = found[at]
        spent, growth, _ = _tilted(shape[at], np.exp(x)[:, None], mass)
        short = spent < kl
        low[at], high[at] = np.where(short, x, low[at]), np.where(short, high[at], x)
        longest = np.maximum(6.0, size[at] / 4.0)
        new = x + np.clip(np.log(kl / spent) * spent / growth, -longest, longest)
        outside = (new < low[at]) | (new > high[at]) | (np.abs(new - x) > 0.5 * before[at])
        outside &= np.isfinite(high[at] - low[at])
        new[outside] = (low[at][outside] + high[at][outside]) / 2
        found[at] = np.clip(new, -600.0, 600.0)
        before[at], last[at] = last[at], np.abs(new - x)
        at = at[np.abs(new - x) >= settled]
        if not at.size:
            break
    return found


def _tilted(shape: Array, strength: Array, mass: Array) -> tuple[Array, Array, Array]:
    """KL, its growth per log K, and the density of each tilt."""
    exponent = strength * shape
    exponent = np.maximum(exponent - exponent.max(axis=1)[:, None], -745.0)  # exp gives 0 there
    density = np.exp(exponent)
    normaliser = density @ mass
    density /= normaliser[:, None]
    mean = (density * exponent) @ mass
    growth = (density * (exponent - mean[:, None]) ** 2) @ mass
    spent = np.maximum(mean - np.log(normaliser), 1e-300)
    return spent, np.maximum(growth, 1e-300), density
