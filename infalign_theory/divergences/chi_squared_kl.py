"""Chi-squared plus KL, the penalty of chi-squared preference optimisation."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from infalign_theory.divergences.core import Divergence
from infalign_theory.typing import Array


@dataclass(frozen=True)
class ChiSquaredKL(Divergence):
    """h = (f - 1)^2 / 2 + f log f - f + 1, so that h' = f - 1 + log f.

    References
    ----------
    arXiv 2407.13399: chi-squared preference optimisation, whose link function is f + log f.

    Examples
    --------
    >>> round(float(ChiSquaredKL().inverse(1.0 + np.log(2.0))), 12)
    2.0
    """

    name = "chi2+kl"
    curvature = 2.0

    def log_inverse(self, x: Array) -> Array:
        from scipy import special

        given = np.asarray(x, dtype=np.float64)
        f = special.wrightomega(given + 1.0)
        with np.errstate(divide="ignore"):
            start = np.where(given > 1.0, np.log(f), given + 1.0 - f)
        # near f = 1 that difference cancels; one step of Newton mends it
        step = (np.expm1(start) + start - given) / (np.exp(start) + 1.0)
        return np.asarray(np.where(np.isfinite(step), start - step, start))

    def log_moved(self, start: float, drop: Array) -> Array:
        return self.log_inverse(np.expm1(start) + start - drop)

    def log_compliance(self, log_f: Array) -> Array:
        from scipy import special

        return np.asarray(special.log_expit(log_f))

    def _value(self, f: Array) -> Array:
        from scipy import special

        return np.asarray((f - 1.0) ** 2 / 2 + special.kl_div(f, 1.0))

    def _slope(self, f: Array) -> Array:
        return np.asarray(f - 1.0 + np.log(f))
