"""The alpha-divergences, with the forward KL and the chi-squared divergence among them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from infalign_theory.checks import plain_number, real
from infalign_theory.divergences.core import Divergence
from infalign_theory.errors import InputError
from infalign_theory.typing import Array

_ALLOWED = "an alpha from -20 to 20; 0 is forward-kl, 1 is kl, 2 is chi2"
_LARGEST = 20.0
_NEAR_LIMIT = 1e-3  # where h would lose its digits to cancellation


@dataclass(frozen=True)
class Alpha(Divergence):
    r"""The alpha-divergence of Cressie and Read.

    .. math:: h(f) = \frac{f^\alpha - \alpha f + \alpha - 1}{\alpha (\alpha - 1)}, \quad
       h'(f) = \frac{f^{\alpha - 1} - 1}{\alpha - 1}, \quad
       (h')^{-1}(x) = (1 + (\alpha - 1) x)_+^{1/(\alpha - 1)}.

    Its limits are the forward KL at 0 and the reverse KL at 1; 2 is chi-squared, 1/2 is twice the
    squared Hellinger distance. Below 1 densities have power-law peaks, above 1 bounded supports.

    Parameters
    ----------
    alpha : float
        From -20 to 20, other than 1 (that is :class:`ReverseKL`).

    Examples
    --------
    >>> float(Alpha(2).inverse(0.5)), float(Alpha(2).inverse(-1.5))
    (1.5, 0.0)
    """

    alpha: float

    def __post_init__(self) -> None:
        number = real(self.alpha, "alpha", _ALLOWED)
        if not abs(number) <= _LARGEST:
            raise InputError(f"alpha = {plain_number(number)}: give {_ALLOWED}.")
        for limit, name in ((0.0, "forward-kl"), (1.0, "kl")):
            near = abs(number - limit) < _NEAR_LIMIT
            if near and not (limit == 0.0 == number):
                raise InputError(
                    f"alpha = {plain_number(number)} cannot be told from {limit:g}, which is "
                    f"{name}: give {name}."
                )
        object.__setattr__(self, "alpha", number)

    @property
    def name(self) -> str:
        return f"alpha:{plain_number(self.alpha)}"

    @property
    def _rate(self) -> float:
        return self.alpha - 1.0

    @property
    def largest_slope(self) -> float:  # type: ignore[override]
        return np.inf if self.alpha > 1.0 else -1.0 / self._rate

    @property
    def smallest_slope(self) -> float:  # type: ignore[override]
        return -1.0 / self._rate if self.alpha > 1.0 else -np.inf

    def log_inverse(self, x: Array) -> Array:
        return np.asarray(np.log1p(np.maximum(self._rate * x, -1.0)) / self._rate)

    def log_moved(self, start: float, drop: Array) -> Array:
        # f^rate = f_start^rate - rate drop, divided by its first term
        share = -self._rate * np.exp(-self._rate * start) * drop
        return np.asarray(start + np.log1p(np.maximum(share, -1.0)) / self._rate)

    def log_compliance(self, log_f: Array) -> Array:
        return np.asarray((2.0 - self.alpha) * log_f)

    def _value(self, f: Array) -> Array:
        from scipy import special

        a = self.alpha
        if a == 0.0:
            return np.asarray(special.kl_div(1.0, f))
        # f^alpha - 1 - alpha (f - 1) cancels near 1: Taylor's series there
        x = f - 1.0
        near = np.abs(x) < 1e-3
        small = np.where(near, x, 0.0)
        series = small**2 / 2 * (1.0 + (a - 2.0) * small / 3 * (1.0 + (a - 3.0) * small / 4))
        far = (np.expm1(a * np.log(f)) - a * x) / (a * self._rate)
        return np.where(near, series, far)

    def _slope(self, f: Array) -> Array:
        return np.asarray(np.expm1(self._rate * np.log(f)) / self._rate)


@dataclass(frozen=True)
class ForwardKL(Alpha):
    """KL(base || policy): h = -log f + f - 1, whose solution is f = beta / (lambda - Phi).

    The law to which a k3 penalty that is differentiated in the loss leads.

    Examples
    --------
    >>> round(float(ForwardKL().inverse(0.5)), 12)
    2.0
    """

    alpha: float = 0.0
    name = "forward-kl"


@dataclass(frozen=True)
class ChiSquared(Alpha):
    """Half of Pearson's chi-squared: h = (f - 1)^2 / 2, f = (1 + (Phi - lambda)/beta)_+.

    Examples
    --------
    >>> round(float(ChiSquared().value(3.0)), 12)
    2.0
    """

    alpha: float = 2.0
    name = "chi2"
