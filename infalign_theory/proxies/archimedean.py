"""Clayton, Gumbel and Frank copulas."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from infalign_theory.checks import plain_number, real
from infalign_theory.errors import InputError
from infalign_theory.proxies.core import Copula
from infalign_theory.quadrature.points import Points
from infalign_theory.typing import Array


def _strength(value: object, allowed: str, low: float, high: float) -> float:
    theta = real(value, "theta", allowed)
    if not low <= theta <= high:
        raise InputError(f"theta = {plain_number(theta)} is not allowed; give {allowed}.")
    return theta


@dataclass(frozen=True)
class Clayton(Copula):
    r"""Proxy and truth agree at the bottom and come apart at the top.

    .. math:: P(V \le v \mid U = u) = \big(1 + u^\theta (v^{-\theta} - 1)\big)^{-1 - 1/\theta}

    Good at telling bad from worse, blind among the best: the shape of a reward model trained on
    mediocre answers.

    Parameters
    ----------
    theta : float
        0.001 to 1000; Kendall's tau is theta / (theta + 2).

    Examples
    --------
    >>> round(float(Clayton(2.0).cdf(0.5, 0.5)), 6)
    0.431959
    """

    theta: float

    def __post_init__(self) -> None:
        allowed = "a strength of dependence from 0.001 to 1000"
        object.__setattr__(self, "theta", _strength(self.theta, allowed, 1e-3, 1e3))

    @property
    def name(self) -> str:
        return f"clayton:{plain_number(self.theta)}"

    @property
    def increasing(self) -> bool:
        return True

    def conditional(self, v: Points, u: Points) -> Array:
        drop = -self.theta * v.log_u  # log v^-theta, at least 0
        # log(e^drop - 1) without overflow
        with np.errstate(divide="ignore"):
            log_rest = drop + np.log(-np.expm1(-drop))
        odds = np.logaddexp(0.0, self.theta * u.log_u + log_rest)
        return np.asarray(np.exp(-(1.0 + 1.0 / self.theta) * odds))


@dataclass(frozen=True)
class Gumbel(Copula):
    r"""Proxy and truth agree at the top: the best by proxy are the best.

    With :math:`x = -\log u`, :math:`y = -\log v` and :math:`r = (x^\theta + y^\theta)^{1/\theta}`,

    .. math:: P(V \le v \mid U = u) = e^{x - r} (r / x)^{1 - \theta}

    Parameters
    ----------
    theta : float
        1 (independent) to 1000; Kendall's tau is 1 - 1/theta.

    Examples
    --------
    >>> float(Gumbel(1.0).cdf(0.3, 0.9).round(12))
    0.3
    """

    theta: float

    def __post_init__(self) -> None:
        allowed = "a strength of dependence from 1 (independent) to 1000"
        object.__setattr__(self, "theta", _strength(self.theta, allowed, 1.0, 1e3))

    @property
    def name(self) -> str:
        return f"gumbel:{plain_number(self.theta)}"

    @property
    def increasing(self) -> bool:
        return True

    def conditional(self, v: Points, u: Points) -> Array:
        ratio = np.log(-v.log_u) - np.log(-u.log_u)  # log(y / x)
        growth = np.logaddexp(0.0, self.theta * ratio) / self.theta  # log(r / x), at least 0
        with np.errstate(over="ignore"):
            exponent = u.log_u * np.expm1(growth) + (1.0 - self.theta) * growth
        return np.asarray(np.exp(exponent))


@dataclass(frozen=True)
class Frank(Copula):
    r"""Proxy and truth agree equally well everywhere, without tails.

    .. math:: \operatorname{logit} P(V \le v \mid U = u) = \theta (v - u)
              + \log\frac{1 - e^{-\theta v}}{1 - e^{-\theta (1 - v)}}

    Parameters
    ----------
    theta : float
        -1000 to 1000; 0 is independence, a negative proxy ranks the wrong way round.

    Examples
    --------
    >>> float(Frank(0.0).cdf(0.3, 0.9).round(12))
    0.3
    >>> Frank(-3.0).increasing
    False
    """

    theta: float

    def __post_init__(self) -> None:
        allowed = "a strength of dependence from -1000 to 1000, 0 being independence"
        theta = _strength(self.theta, allowed, -1e3, 1e3)
        # below 1e-12 the law is that of independence to all digits
        object.__setattr__(self, "theta", theta if abs(theta) > 1e-12 else 0.0)

    @property
    def name(self) -> str:
        return f"frank:{plain_number(self.theta)}"

    @property
    def increasing(self) -> bool:
        return self.theta >= 0.0

    def conditional(self, v: Points, u: Points) -> Array:
        if self.theta == 0.0:
            return np.broadcast_to(v.u, np.broadcast_shapes(v.u.shape, u.u.shape))
        low, high = _log_expm1(self.theta, v.u), _log_expm1(self.theta, v.v)
        shift = np.where(v.upper & u.upper, u.v - v.v, v.u - u.u)
        logit = self.theta * shift + low - high
        return np.asarray(0.5 * (1.0 + np.tanh(0.5 * logit)))


def _log_expm1(theta: float, share: Array) -> Array:
    """log |1 - exp(-theta share)|."""
    x = theta * share
    magnitude = np.log(-np.expm1(-np.abs(x)))
    return np.asarray(magnitude + np.maximum(-x, 0.0))
