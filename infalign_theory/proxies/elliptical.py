"""Gaussian and Student-t copulas."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import special

from infalign_theory.checks import plain_number, real
from infalign_theory.errors import InputError
from infalign_theory.proxies.core import Copula
from infalign_theory.quadrature.points import Points
from infalign_theory.typing import Array

_CORRELATION = (
    "a correlation strictly between -1 and 1 (at 1 the proxy is the truth: use win_rate itself)"
)
_FEWEST, _MOST = 0.5, 1e6  # degrees of freedom: quantiles stay inside float64; Gaussian beyond


def _correlation(value: object) -> float:
    rho = real(value, "rho", _CORRELATION)
    if not -1.0 < rho < 1.0:
        raise InputError(f"rho = {plain_number(rho)} is not allowed; give {_CORRELATION}.")
    return rho


@dataclass(frozen=True)
class Gaussian(Copula):
    r"""Normal scores of proxy and truth are jointly normal with correlation rho.

    .. math:: P(V \le v \mid U = u) = \Phi_N\big((z_v - \rho z_u)/\sqrt{1-\rho^2}\big)

    Parameters
    ----------
    rho : float
        Strictly between -1 and 1; Spearman's rank correlation is (6/pi) arcsin(rho/2).

    Examples
    --------
    >>> Gaussian(0.7).increasing, Gaussian(-0.2).increasing
    (True, False)
    """

    rho: float

    def __post_init__(self) -> None:
        object.__setattr__(self, "rho", _correlation(self.rho))

    @property
    def name(self) -> str:
        return f"gaussian:{plain_number(self.rho)}"

    @property
    def increasing(self) -> bool:
        return self.rho >= 0.0

    def conditional(self, v: Points, u: Points) -> Array:
        rest = np.sqrt((1.0 - self.rho) * (1.0 + self.rho))
        return np.asarray(special.ndtr((_score(v) - self.rho * _score(u)) / rest))


def _score(points: Points) -> Array:
    """Normal quantile, from the nearer end."""
    tail = special.ndtri(np.minimum(points.u, points.v))
    return np.asarray(np.where(points.upper, -tail, tail))


@dataclass(frozen=True)
class StudentT(Copula):
    r"""Scores of proxy and truth are jointly Student-t: extreme proxies come with fat tails.

    .. math:: P(V \le v \mid U = u) = T_{\nu+1}\Big((x_v - \rho x_u)
              \sqrt{\tfrac{\nu + 1}{(1 - \rho^2)(\nu + x_u^2)}}\Big)

    The truth is *not* stochastically increasing in the proxy for any finite nu: an extreme proxy
    widens the law of the truth, so the truth may fall however large rho is.

    Parameters
    ----------
    rho : float
        Strictly between -1 and 1.
    nu : float
        Degrees of freedom, 0.5 to 1e6.

    Examples
    --------
    >>> StudentT(0.7, nu=3).increasing
    False
    """

    rho: float
    nu: float

    def __post_init__(self) -> None:
        object.__setattr__(self, "rho", _correlation(self.rho))
        allowed = f"degrees of freedom from {_FEWEST:g} to {_MOST:g} (Gaussian beyond)"
        nu = real(self.nu, "nu", allowed)
        if not _FEWEST <= nu <= _MOST:
            raise InputError(f"nu = {plain_number(nu)} is not allowed; give {allowed}.")
        object.__setattr__(self, "nu", nu)

    @property
    def name(self) -> str:
        return f"student-t:{plain_number(self.rho)},{plain_number(self.nu)}"

    @property
    def increasing(self) -> bool:
        return False

    def conditional(self, v: Points, u: Points) -> Array:
        x, y = self._quantile(u), self._quantile(v)
        # divided by the larger scale first: x**2 may overflow where nu is small
        scale = np.sqrt(1.0 - self.rho**2) * np.hypot(np.sqrt(self.nu), x) / np.sqrt(self.nu + 1.0)
        return np.asarray(special.stdtr(self.nu + 1.0, (y - self.rho * x) / scale))

    def _quantile(self, points: Points) -> Array:
        """Student quantile, from the nearer end."""
        tail = special.stdtrit(self.nu, np.minimum(points.u, points.v))
        return np.asarray(np.where(points.upper, -tail, tail))
