"""Soft best-of-N: one of N samples, chosen with probability proportional to a weight."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from infalign_theory.checks import plain_number, real, whole
from infalign_theory.errors import InputError
from infalign_theory.procedures.laws import LawProcedure, Sample
from infalign_theory.quadrature.points import Points
from infalign_theory.typing import Array

_STEP = 0.2  # of the trapezoidal rule in log s: its error is exp(-pi^2/step)
_LOWEST = -45.0
_CHUNK = 2048


@dataclass(frozen=True)
class SoftBestOfN(LawProcedure):
    r"""One of N samples, chosen with probability proportional to exp(k u).

    With w = exp(k u) and M(s) = E exp(-s w) the density after inference is

    .. math:: N \int_0^\infty w e^{-s w} M(s)^{N-1} ds \; f(u).

    Self-normalised importance resampling: it tends to the tilt exp(k u) f as N grows, to Best-of-N
    as k does.

    Parameters
    ----------
    n : int
        Samples drawn.
    strength : float
        k, from -500 to 500; negative for an attacker.

    References
    ----------
    arXiv 2506.19248 (soft best-of-N), 2505.19700 (resampling).
    """

    n: int
    strength: float

    def __post_init__(self) -> None:
        object.__setattr__(self, "n", whole(self.n, "soft best-of-N: N", "a whole N of at least 1"))
        k = real(self.strength, "soft best-of-N: strength", "a number from -500 to 500")
        if abs(k) > 500.0:
            raise InputError(f"soft best-of-N: strength = {plain_number(k)}; give -500 to 500.")
        object.__setattr__(self, "strength", k)

    @property
    def name(self) -> str:
        return f"soft:{self.n}@{plain_number(self.strength)}"

    def log_weight(self, points: Points) -> Array:
        """log w, at most 0."""
        k = self.strength
        return np.asarray(-k * points.v if k >= 0.0 else k * points.u)

    def features(self, points: Points) -> list[Array]:
        w = np.exp(self.log_weight(points))
        return [w, *(np.exp(-s * w) for s in (0.3, 3.0, 30.0, 300.0))]

    def ratio(self, sample: Sample, points: Points) -> Array:
        if self.n == 1:
            return np.ones(points.u.shape)
        s = np.exp(np.arange(_LOWEST, np.log(800.0) + abs(self.strength), _STEP))
        weights = np.exp(self.log_weight(sample.points)).ravel()
        masses = sample.masses.ravel()
        with np.errstate(divide="ignore", under="ignore"):
            log_m = np.log(np.array([np.sum(masses * np.exp(-x * weights)) for x in s]))
        at = self.log_weight(points).ravel()
        out = np.empty(at.size)
        for first in range(0, at.size, _CHUNK):
            log_w = at[first : first + _CHUNK, None]
            exponent = log_w + np.log(s) - s * np.exp(log_w) + (self.n - 1) * log_m
            out[first : first + _CHUNK] = _STEP * np.exp(exponent).sum(axis=1)
        return np.asarray(self.n * out.reshape(points.u.shape))

    def draws(self, sample: Sample) -> float:
        return float(self.n)
