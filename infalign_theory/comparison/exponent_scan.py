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

_EDGES = np.linspace(-36.0, 46.0, 51)
_SMALLEST_KL = 1e-8  # below it exponentials stand to each other as they do here
_MISSED = 0.05  # relative error of a KL that makes a win rate worthless
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
    centred = shape - (shape @ mass)[:, None]
    log_strength = np.log(np.sqrt(2.0 * kl / (centred**2 @ mass)))
    low, high = np.full(exponents.size, -np.inf), np.full(exponents.size, np.inf)
    for turn in range(0 if kl < _LEADING_KL else 60):
        spent, growth, _ = _tilted(shape, np.exp(log_strength)[:, None], mass)
        short = spent < kl
        low, high = np.where(short, log_strength, low), np.where(short, high, log_strength)
        new = log_strength + np.clip(np.log(kl / spent) * spent / growth, -6.0, 6.0)
        # where both ends are known; every third time whatever Newton says, which may creep
        outside = (new < low) | (new > high) | ((turn % 3 == 2) & np.isfinite(high - low))
        new[outside] = (low[outside] + high[outside]) / 2
        moved, log_strength = np.max(np.abs(new - log_strength)), np.clip(new, -600.0, 600.0)
        if moved < settled:
            break
    spent, _, density = _tilted(shape, np.exp(log_strength)[:, None], mass)
    missed = (np.abs(np.log(spent / kl)) > _MISSED) & (kl >= _LEADING_KL)
    density = density.reshape(-1, *grid.points.u.shape)
    weights = density * grid.jacobian
    inside = weights @ panels.WEIGHTS * grid.half
    below = np.cumsum(inside, axis=1) - inside
    above = np.cumsum(inside[:, ::-1], axis=1)[:, ::-1] - inside
    total = inside.sum(axis=1)[:, None]
    half = grid.half[:, None]
    left = np.maximum(weights @ panels.FROM_LEFT.T, 0.0) * half + below[:, :, None]
    right = np.maximum(weights @ panels.FROM_RIGHT.T, 0.0) * half + above[:, :, None]
    p = np.minimum(left.reshape(len(total), -1) / total, 1.0)
    q = np.minimum(right.reshape(len(total), -1) / total, 1.0)
    lost = [ours.cdf(p, q)[0] @ (theirs.pdf(u, v) * mass) for ours, theirs in pairs]
    return np.where(missed, np.inf, np.array(lost)), log_strength


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
