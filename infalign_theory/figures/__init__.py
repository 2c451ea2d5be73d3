"""The theory figures: each drawn with the numbers it shows in a CSV file beside it."""

from __future__ import annotations

from infalign_theory.figures.catalogue import FIGURES, reproduce
from infalign_theory.figures.spec import Drawing, Figure, Result, Table

__all__ = ["FIGURES", "Drawing", "Figure", "Result", "Table", "reproduce"]
