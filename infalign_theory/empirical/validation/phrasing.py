"""Procedures, duels and shares as prose has them."""

from __future__ import annotations

from typing import Protocol

from infalign_theory.procedures import power_sides
from infalign_theory.procedures.names import as_procedure

SINGLE = "single samples"


def procedure_words(name: str) -> str:
    """A procedure as prose has it; with N = 1 all are single samples."""
    sign, n = power_sides(as_procedure(name))
    if n == 1:
        return SINGLE
    return f"Best-of-{n}" if sign > 0 else f"Worst-of-{n}"


class Paired(Protocol):
    """Anything that is told of the run under one procedure and of the base under another."""

    @property
    def procedure(self) -> str:
        """What inference does to the run."""

    @property
    def against_procedure(self) -> str | None:
        """What it does to the base, where that is not the same."""


def duel_words(row: Paired) -> str:
    """The procedures of a row as prose has them; the base's only where it is another."""
    ours = procedure_words(row.procedure)
    theirs = ours if row.against_procedure is None else procedure_words(row.against_procedure)
    return ours if theirs == ours else f"{ours} against the base's {theirs}"


def percent(value: float) -> str:
    """A share of one in percent with one decimal."""
    return f"{100 * value:.1f} %"
