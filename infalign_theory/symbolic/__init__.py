"""The closed forms of the theory as exact SymPy expressions.

Everything here is for a continuous base, where the calibrated reward of a base sample is uniform
on (0, 1). Expressions are written in these symbols:

=========  ==========================================================================
``u``      calibrated reward, 0 < u < 1
``k``      1/beta > 0, the strength of the tilt: the aligned density is ~ exp(k Phi(u))
``t``      exponent of the exponential transform, real and not 0
``x``      independent variable of the ODE of the optimum
``alpha``  order of a Renyi divergence, positive and not 1
=========  ==========================================================================

KL and Renyi divergences are in nats, win rates in [0, 1]. Bad arguments raise `InputError` with
the allowed ones. Many expressions are differences of nearly equal terms when k is small: put exact
numbers in (``sp.Rational``) and let ``evalf`` raise its precision, with ``maxn`` high enough.

[1] Balashankar et al., "InfAlign: Inference-aware language model alignment", arXiv 2412.19792.

[2] Beirami et al., "Theoretical guarantees on the best-of-n alignment policy", arXiv 2401.01879.

[3] Gui et al., "BoNBoN alignment for large language models and the sweetness of best-of-n
sampling", arXiv 2406.00832.
"""

from infalign_theory.symbolic.optimum import (
    MAX_ORDER,
    OptimumSeries,
    StandardOptimum,
    first_order_efficiency,
    optimal_standard,
    series_optimum,
    small_kl_slope,
)
from infalign_theory.symbolic.reading import MAX_N
from infalign_theory.symbolic.selection import BestOfNPolicy, best_of_n
from infalign_theory.symbolic.symbols import alpha, k, t, u, x
from infalign_theory.symbolic.tilts import cdf, density, kl
from infalign_theory.symbolic.win_rates import win_rate

__all__ = [
    "MAX_N",
    "MAX_ORDER",
    "BestOfNPolicy",
    "OptimumSeries",
    "StandardOptimum",
    "alpha",
    "best_of_n",
    "cdf",
    "density",
    "first_order_efficiency",
    "k",
    "kl",
    "optimal_standard",
    "series_optimum",
    "small_kl_slope",
    "t",
    "u",
    "win_rate",
    "x",
]
