"""The reverse KL divergence, the penalty of RLHF."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from infalign_theory.divergences.core import Divergence
from infalign_theory.typing import Array


@dataclass(frozen=True)
class ReverseKL(Divergence):
    """KL(policy || base): h = f log f - f + 1, whose solution is the tilt exp(Phi/beta).

    Examples
    --------
    >>> float(ReverseKL().inverse(0.0))
    1.0
    """

    name = "kl"

    def log_inverse(self, x: Array) -> Array:
        return np.asarray(x)

    def log_moved(self, start: float, drop: Array) -> Array:
        return np.asarray(start - drop)

    def log_compliance(self, log_f: Array) -> Array:
        return log_f

    def _value(self, f: Array) -> Array:
        from scipy import special

        return np.asarray(special.kl_div(f, 1.0))

    def _slope(self, f: Array) -> Array:
        return np.log(f)
