"""Whether a run agrees with a law, or whether its samples cannot tell."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from scipy import special

from infalign_theory.empirical.fitting.laws import Law, Theory
from infalign_theory.empirical.fitting.theories import ENOUGH_BASE
from infalign_theory.empirical.validation.results import WinRate

FEWEST_PROMPTS = 10
_LARGE_Z = 3.0
_DOUBTFUL = 0.002


@dataclass(frozen=True)
class Agreement:
    """What departs from a law: win rates of ``departing`` rows, ranks where ``rejected``.

    ``untold`` says why these samples cannot tell, where they cannot; then nothing departs.
    ``tested`` is False where nothing was there to be compared.
    """

    departing: tuple[WinRate, ...]
    rejected: bool
    untold: str | None
    tested: bool

    @property
    def departs(self) -> bool:
        """Whether anything does."""
        return self.rejected or bool(self.departing)


def agreement(rows: Sequence[WinRate], theory: Theory) -> Agreement:
    """Compare all win rates, and ranks, with what a law expects.

    Chance alone condemns a run that follows the law in at most 2 % of cases, whatever the number
    of grades, base samples and prompts: too few of them are told instead.
    """
    tested = [row for row in rows if row.z is not None and not _matched(row, theory)]
    untold = _untold(theory)
    if untold is not None:
        return Agreement((), False, untold, bool(tested))
    # several procedures are looked at, and the largest z counts
    # where only a few laws were tried the right one may lie between them
    strict = 1 if theory.determined else 2
    departing = tuple(
        row for row in tested if abs(row.z or 0.0) > strict * _limit(row, len(tested))
    )
    rejected = theory.goodness is not None and theory.goodness.p_value < _DOUBTFUL**strict
    return Agreement(departing, rejected, None, bool(tested) or theory.goodness is not None)


def _untold(theory: Theory) -> str | None:
    """Why samples cannot tell whether they follow a law."""
    if theory.prompts < FEWEST_PROMPTS:
        one = theory.prompts == 1
        return f"{theory.prompts} prompt{'' if one else 's'} {'is' if one else 'are'} too few"
    if theory.law == Law.DISCRETE and theory.base_samples < ENOUGH_BASE:
        return (
            f"{theory.base_samples} base samples a prompt with many ties are too few to know the "
            f"laws of prompts by; {ENOUGH_BASE} or more are needed"
        )
    return None


def _matched(row: WinRate, theory: Theory) -> bool:
    """Whether a fit makes the prediction equal to the estimate: single samples, by any tilt."""
    return theory.fitted and row.duel.single


def _limit(row: WinRate, rows: int) -> float:
    """|z| that chance exceeds, in any of the rows, as rarely as a normal number exceeds 3.

    Student over prompts; the tail is shared among the rows (Bonferroni).
    """
    tail = special.ndtr(-_LARGE_Z) / max(rows, 1)
    return -float(special.stdtrit(max(row.prompts - 1, 1), tail))
