"""Families of tilts exp(eta(u; theta)) that can be fitted, with derivatives in theta."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from infalign_theory.empirical.statistics.uncertainty import ANYWHERE, Bounds
from infalign_theory.errors import InputError
from infalign_theory.quadrature.grid import Grid
from infalign_theory.quadrature.points import Points
from infalign_theory.transforms.core import Transform
from infalign_theory.typing import Array

LARGEST_T = 100.0
_STEEPEST = 1e6  # growth per unit of logit


class Exponents(Protocol):
    """Exponents eta(u; theta) of a family of tilts, with derivatives in theta."""

    def at(self, theta: Array) -> tuple[Array, Array, Array]:
        """Values (n,), slopes (p, n) and second derivatives (p, p, n) at the n points."""

    def allowed(self, theta: Array) -> bool:
        """Whether theta is inside the family."""


@dataclass(frozen=True)
class FixedTransform:
    """eta = theta phi(u), theta between limits that keep the normaliser finite."""

    phi: Array
    limits: Bounds = ANYWHERE

    def at(self, theta: Array) -> tuple[Array, Array, Array]:
        """Values, slopes and second derivatives, as :class:`Exponents` has them."""
        return theta[0] * self.phi, self.phi[None], np.zeros((1, 1, self.phi.size))

    def allowed(self, theta: Array) -> bool:
        """Whether the strength keeps the normaliser finite."""
        return bool(self.limits[0] < theta[0] < self.limits[1])


def _langevin(x: Array) -> tuple[Array, Array]:
    """L = d/dx log(expm1(x)/x) = 1/(1 - exp(-x)) - 1/x and its derivative."""
    small = np.abs(x) < 0.3
    safe = np.where(small, 1.0, np.clip(x, -700.0, 700.0))
    s = np.where(small, x, 0.0) ** 2
    series = 0.5 + x * (1 / 12 - s * (1 / 720 - s * (1 / 30240 - s * (1 / 1209600))))
    slope = 1 / 12 - s * (1 / 240 - s * (1 / 6048 - s * (1 / 172800 - s / 5322240)))
    return (
        np.where(small, series, -1.0 / np.expm1(-safe) - 1.0 / safe),
        np.where(small, slope, 1.0 / safe**2 - 0.25 / np.sinh(safe / 2) ** 2),
    )


@dataclass(frozen=True)
class FreeExponential:
    """eta = a phi_t(u), phi_t = expm1(tu)/expm1(t): exp(k sign(t) e^(tu)) with a = k |expm1(t)|.

    phi_t runs from 0 to 1 and is smooth through t = 0, the identity; k itself spans hundreds of
    decades as t varies.
    """

    points: Points

    def phi(self, t: float) -> Array:
        """phi_t at the points."""
        u, v = self.points.u, self.points.v
        if t == 0.0:
            return u
        if t < 0.0:
            return np.asarray(np.expm1(t * u) / np.expm1(t))
        return np.asarray(np.exp(-t * v) * np.expm1(-t * u) / np.expm1(-t))

    def at(self, theta: Array) -> tuple[Array, Array, Array]:
        """Values, slopes and second derivatives, as :class:`Exponents` has them."""
        (a, t), u = theta, self.points.u
        phi = self.phi(t)
        (inner, inner_slope), (outer, outer_slope) = _langevin(t * u), _langevin(np.asarray(t))
        rate = u * inner - outer
        phi_t = phi * rate
        phi_tt = phi * (rate**2 + u**2 * inner_slope - outer_slope)
        return (
            a * phi,
            np.stack([phi, a * phi_t]),
            np.array([[0 * phi, phi_t], [phi_t, a * phi_tt]]),
        )

    def allowed(self, theta: Array) -> bool:
        """Whether the exponent is one that is fitted."""
        return bool(abs(theta[1]) <= LARGEST_T)


def fixed_transform(
    transform: Transform, points: Points, grid: Grid
) -> tuple[FixedTransform, float]:
    """The family theta Phi / scale, scale about the standard deviation of Phi under the base."""
    with np.errstate(over="ignore", under="ignore"):
        phi = transform.differences(points)
    if not np.isfinite(phi).all():
        raise InputError(
            f"transform {transform.name} is not finite at every calibrated reward the fit visits; "
            "give one that is finite inside (0, 1) and keep the correction, which stays inside."
        )
    count = grid.points.s.size  # the grid comes first among the points
    s, inner, weight = points.s[:count], phi[:count], grid.jacobian.ravel()
    middle = np.abs(s) < 8.0
    size = float(np.max(np.abs(inner[middle]))) or 1.0
    relative = inner[middle] / size
    centred = relative - np.average(relative, weights=weight[middle])
    spread = float(np.sqrt(np.average(centred**2, weights=weight[middle])))
    if spread <= 1e-14:
        raise InputError(f"transform {transform.name} is constant; no k can be fitted.")
    scale = spread * size
    phi = phi / scale
    # growth per unit of logit far out, where a logarithm has become a straight line
    ends = ((0, 48), (count - 1, count - 49))
    rises = [(phi[i] - phi[j]) / abs(s[i] - s[j]) for i, j in ends]
    if max(np.abs(rises)) > _STEEPEST:
        raise InputError(
            f"transform {transform.name} grows or falls faster than any logarithm at an end, where "
            "k = 0 is no regular point of the likelihood; give a bounded or logarithmic one."
        )
    up, down = max(*rises, 0.0), -min(*rises, 0.0)
    limits = [0.94 / slope if slope > 1e-9 else np.inf for slope in (down, up)]
    return FixedTransform(phi, (-limits[0], limits[1])), scale
