"""Transforms: what training applies to the calibrated reward before KL-regularised RL.

A family is one small file: its name, its value at the end where it is largest (the anchor), and its
differences from that value. Differences, not values, decide the aligned policy, and they must keep
their relative accuracy: at 20 nats all the mass sits within 1e-9 of the anchor.
"""

from infalign_theory.transforms.core import Transform
from infalign_theory.transforms.elementary import Identity, Log, Logit
from infalign_theory.transforms.exponential import Exponential
from infalign_theory.transforms.expression import Expression
from infalign_theory.transforms.names import as_transform
from infalign_theory.transforms.power import Power
from infalign_theory.transforms.quantile import Quantile

__all__ = [
    "Exponential",
    "Expression",
    "Identity",
    "Log",
    "Logit",
    "Power",
    "Quantile",
    "Transform",
    "as_transform",
]
