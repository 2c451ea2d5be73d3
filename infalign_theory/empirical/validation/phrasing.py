"""Procedures and shares as prose has them."""

from __future__ import annotations

from infalign_theory.procedures import power_sides
from infalign_theory.procedures.names import as_procedure

SINGLE = "single samples"


def procedure_words(name: str) -> str:
    """A procedure as prose has it; with N = 1 all are single samples."""
    sign, n = power_sides(as_procedure(name))
    if n == 1:
        return SINGLE
    return f"Best-of-{n}" if sign > 0 else f"Worst-of-{n}"


def percent(value: float) -> str:
    """A share of one in percent with one decimal."""
    return f"{100 * value:.1f} %"
