"""Procedures: what inference does to a policy, as a distortion g of its CDF.

A family is one small file; ``names.py`` reads all their texts.
"""

from infalign_theory.procedures.core import Procedure
from infalign_theory.procedures.distortion import Distortion
from infalign_theory.procedures.mixture import Mixture
from infalign_theory.procedures.names import as_procedure, several
from infalign_theory.procedures.order_statistic import OrderStatistic
from infalign_theory.procedures.poisson import BestOfPoisson
from infalign_theory.procedures.powers import BestOfN, Standard, WorstOfN, power_sides

__all__ = [
    "BestOfN",
    "BestOfPoisson",
    "Distortion",
    "Mixture",
    "OrderStatistic",
    "Procedure",
    "Standard",
    "WorstOfN",
    "as_procedure",
    "power_sides",
    "several",
]
