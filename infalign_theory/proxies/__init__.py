"""Truth behind a proxy: what a policy tuned on one reward wins by another.

A proxy is the joint law of the calibrated proxy reward u and the calibrated truth v under the
base; see ``docs/mathematics/proxies.md``.
"""

from infalign_theory.proxies.archimedean import Clayton, Frank, Gumbel
from infalign_theory.proxies.contaminated import Contaminated
from infalign_theory.proxies.core import Copula, Proxy
from infalign_theory.proxies.elliptical import Gaussian, StudentT
from infalign_theory.proxies.frontiers import TrueFrontier, frontier
from infalign_theory.proxies.resistances import Resistance, resistance
from infalign_theory.proxies.tabulated import Tabulated
from infalign_theory.proxies.turning import Turning, tuned_kl, tuned_n
from infalign_theory.proxies.win_rates import true_win_rate

__all__ = [
    "Clayton",
    "Contaminated",
    "Copula",
    "Frank",
    "Gaussian",
    "Gumbel",
    "Proxy",
    "Resistance",
    "StudentT",
    "Tabulated",
    "TrueFrontier",
    "Turning",
    "frontier",
    "resistance",
    "true_win_rate",
    "tuned_kl",
    "tuned_n",
]
