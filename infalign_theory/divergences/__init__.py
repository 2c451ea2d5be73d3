"""Divergences: what training is penalised by, D = integral of h(f) for the density f.

A family is one small file: h, its slope h' and the inverse of the slope, each in the form that
keeps its relative accuracy near f = 1 and where f is huge. ``names.py`` reads all their texts.
"""

from infalign_theory.divergences.alpha import Alpha, ChiSquared, ForwardKL
from infalign_theory.divergences.chi_squared_kl import ChiSquaredKL
from infalign_theory.divergences.core import Divergence
from infalign_theory.divergences.jensen_shannon import JensenShannon
from infalign_theory.divergences.names import as_divergence
from infalign_theory.divergences.reverse_kl import ReverseKL

__all__ = [
    "Alpha",
    "ChiSquared",
    "ChiSquaredKL",
    "Divergence",
    "ForwardKL",
    "JensenShannon",
    "ReverseKL",
    "as_divergence",
]
