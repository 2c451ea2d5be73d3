"""What a user may compare: a transform, or the optimum of each budget for some procedure."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeAlias

from infalign_theory.procedures import Procedure
from infalign_theory.procedures.names import as_procedure
from infalign_theory.spelling import tidy
from infalign_theory.transforms.core import Transform
from infalign_theory.transforms.names import as_transform, several

__all__ = ["OPTIMAL", "OPTIMAL_FOR", "Choice", "Optimal", "as_choice", "as_choices"]

OPTIMAL = "optimal"
OPTIMAL_FOR = f"{OPTIMAL}@"
_TEXT = re.compile(
    r"optim(?:al|um)\s*(?:(?:@|\bfor\b)\s*(.*)|\((.*)\))?", re.IGNORECASE | re.DOTALL
)


@dataclass(frozen=True)
class Optimal:
    """The policies of most win rate at each KL.

    Attributes
    ----------
    procedure, against_procedure : Procedure or None
        Those that the optimum is made for; None: whichever it is judged under.

    Examples
    --------
    >>> as_choice("optimal@bon4|standard").name
    'optimal@bon:4|standard'
    """

    procedure: Procedure | None = None
    against_procedure: Procedure | None = None

    @property
    def name(self) -> str:
        """As text, which :func:`as_choice` reads back."""
        if self.procedure is None:
            return OPTIMAL
        versus = "" if self.against_procedure is None else f"|{self.against_procedure.name}"
        return f"{OPTIMAL_FOR}{self.procedure.name}{versus}"


Choice: TypeAlias = Transform | Optimal


def as_choice(given: Choice | str) -> Choice:
    """A transform or an optimum, from itself or from its text.

    Examples
    --------
    >>> as_choice("exp(10u)"), as_choice("optimal")
    (Exponential(t=10.0), Optimal(procedure=None, against_procedure=None))
    """
    if isinstance(given, Optimal):
        return given
    found = _TEXT.fullmatch(tidy(given)) if isinstance(given, str) else None
    if found is None:
        return as_transform(given)
    trained = next((part for part in found.groups() if part is not None), None)
    if trained is None:
        return Optimal()
    first, bar, second = trained.partition("|")
    ours = as_procedure(first)
    theirs = as_procedure(second) if bar else None
    return Optimal(ours, None if theirs == ours else theirs)


def as_choices(given: Choice | str | Iterable[Choice | str]) -> list[Choice]:
    """All that is to be compared; a text may hold a list, as in ``identity,exp:5,10``."""
    if isinstance(given, Optimal):
        return [given]
    return [item if isinstance(item, Optimal) else as_choice(item) for item in several(given)]
