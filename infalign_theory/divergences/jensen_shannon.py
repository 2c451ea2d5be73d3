"""The Jensen-Shannon divergence."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from infalign_theory.divergences.core import Divergence
from infalign_theory.typing import Array


@dataclass(frozen=True)
class JensenShannon(Divergence):
    r"""The mean KL of policy and base to their mixture, at most log 2.

    .. math:: h(f) = \tfrac12 \left[ f \log f - (1 + f) \log \tfrac{1 + f}{2} \right], \quad
       h'(f) = \tfrac12 \log \frac{2 f}{1 + f}, \quad
       (h')^{-1}(x) = \frac{e^{2x}}{2 - e^{2x}}.

    Examples
    --------
    >>> round(float(JensenShannon().inverse(np.log(4 / 3) / 2)), 12)
    2.0
    """

    name = "js"
    curvature = 0.25
    largest_slope = float(np.log(2.0) / 2)

    def log_inverse(self, x: Array) -> Array:
        given = 2.0 * np.asarray(x)
        return np.asarray(given - np.log1p(-np.expm1(given)))

    def log_moved(self, start: float, drop: Array) -> Array:
        # 1/f + 1 grows by the factor exp(2 drop)
        with np.errstate(over="ignore"):
            grown = (1.0 + np.exp(start)) * np.expm1(2.0 * drop)
            far = -2.0 * drop - np.log1p(np.exp(-start))  # where exp(2 drop) is all there is
        return np.asarray(np.where(drop > 300.0, far, start - np.log1p(grown)))

    def log_compliance(self, log_f: Array) -> Array:
        return np.asarray(np.log(2.0) + log_f + np.logaddexp(0.0, log_f))

    def _value(self, f: Array) -> Array:
        from scipy import special

        middle = (1.0 + f) / 2
        # relative entropies to the mixture cancel nothing near f = 1
        apart = special.kl_div(f, middle) + special.kl_div(1.0, middle)
        return np.asarray(np.where(np.isinf(f), np.inf, apart / 2))

    def _slope(self, f: Array) -> Array:
        return np.asarray(np.log1p((f - 1.0) / (f + 1.0)) / 2)
