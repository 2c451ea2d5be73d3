"""Elementary laws of the aligned policy on a continuous base, where there are any.

Each entry takes k = 1/beta. They serve as the fast exact path; the quadrature computes the same
numbers a second way, and the tests hold the two together.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from infalign_theory.quadrature.points import Points
from infalign_theory.transforms.core import Transform
from infalign_theory.transforms.elementary import Identity, Log, Logit
from infalign_theory.typing import Array

_SERIES = 0.05


def identity_kl(k: float) -> float:
    """KL = k W - log(expm1(k)/k), W the standard win rate: (eq-tilt) for Phi = u."""
    if k < _SERIES:
        # the two terms agree to order k^2: their difference needs the Bernoulli series
        return k**2 / 24 - k**4 / 960 + k**6 / 36288 - k**8 / 1382400 + k**10 / 53222400
    # k (W - 1) = k / expm1(k) - 1, which cancels nothing however large k is
    rest = k / np.expm1(k) if k < 700.0 else 0.0
    return float(rest - 1.0 + np.log(k) - np.log(-np.expm1(-k)))


def identity_win_rate(k: float) -> float:
    """Standard win rate 1/(1 - exp(-k)) - 1/k."""
    if k < _SERIES:
        return 0.5 + k / 12 - k**3 / 720 + k**5 / 30240 - k**7 / 1209600
    return float(-1.0 / np.expm1(-k) - 1.0 / k)


def _identity_law(k: float, points: Points) -> tuple[Array, Array]:
    if k == 0.0:
        return points.u, points.v
    below = np.exp(-k * points.v) * np.expm1(-k * points.u) / np.expm1(-k)
    above = np.expm1(-k * points.v) / np.expm1(-k)
    return below, above


def log_kl(k: float) -> float:
    """KL = log(k + 1) - k/(k + 1)."""
    if k < _SERIES:
        return float(sum((-1) ** n * (n - 1) / n * k**n for n in range(2, 16)))
    return float(np.log1p(k) - k / (k + 1.0))


def _log_law(k: float, points: Points) -> tuple[Array, Array]:
    exponent = (k + 1.0) * points.log_u
    return np.exp(exponent), -np.expm1(exponent)


def logit_kl(k: float) -> float:
    """KL of the Beta(1 + k, 1 - k) law: k (psi(1+k) - psi(1-k)) - log(pi k / sin(pi k))."""
    from scipy import special  # here: half a second of import that few need

    if k < _SERIES:
        # both terms expand in even powers of k with zeta values
        powers = np.arange(1, 9)
        zeta = special.zeta(2.0 * powers)
        return float(np.sum(zeta * k ** (2 * powers) * (2.0 - 1.0 / powers)))
    digammas = special.digamma(1 + k) - special.digamma(1 - k)
    return float(k * digammas - np.log(np.pi * k / np.sin(np.pi * (1.0 - k))))


def _logit_law(k: float, points: Points) -> tuple[Array, Array]:
    from scipy import special

    below = np.asarray(special.betainc(1 + k, 1 - k, points.u))
    above = np.asarray(special.betainc(1 - k, 1 + k, points.v))
    # a u that rounds to 1 says nothing about a heavy tail: take the complement there
    return np.where(points.upper, 1.0 - above, below), above


KL: dict[type[Transform], Callable[[float], float]] = {
    Identity: identity_kl,
    Log: log_kl,
    Logit: logit_kl,
}
LAW: dict[type[Transform], Callable[[float, Points], tuple[Array, Array]]] = {
    Identity: _identity_law,
    Log: _log_law,
    Logit: _logit_law,
}


def kl(transform: Transform, k: float, integrated: float) -> float:
    """KL where it is elementary, else the one that was integrated."""
    closed = KL.get(type(transform))
    return closed(k) if closed else integrated


def win_rate(transform: Transform, k: float, sides: tuple[int, int, int, int]) -> float | None:
    """Win rate against the base where it is elementary and well conditioned, else None.

    ``sides`` holds (sign, N) of the policy's and of the base's procedure: sign +1 for Best-of-N,
    0 for one sample.
    """
    sign, n, base_sign, m = sides
    if isinstance(transform, Identity) and n == m == 1:
        return identity_win_rate(k)
    if isinstance(transform, Log) and n * m >= 1 and min(sign, base_sign) >= 0:
        return (k + 1.0) * n / ((k + 1.0) * n + m)
    return None
