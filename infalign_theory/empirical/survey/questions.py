"""What is asked of the scores: which policies, which duels, with how much memory."""

from __future__ import annotations

from dataclasses import dataclass

from infalign_theory.empirical.scores.database import first_names
from infalign_theory.empirical.scores.reading import DEFAULT_BASE
from infalign_theory.empirical.scores.sources import Source
from infalign_theory.empirical.statistics.duels import Duel
from infalign_theory.errors import InputError

SHARE_ROWS = 1 << 23  # of scores that are measured at a time
_MOST_POLICIES = 100


@dataclass(frozen=True)
class Question:
    """What to measure: of which scores, policies (the base first) and duels.

    It can be sent to another process: scores are named, not held, where they are in files.
    """

    source: Source
    policies: tuple[str, ...]
    duels: tuple[Duel, ...]
    memory: str


def name_policies(source: Source, base: str | None, policies: list[str]) -> tuple[str, ...]:
    """Names of all policies, the base first, from their sorted names."""
    column = source.columns.get("policy")
    where = "the files hold" if column is None else f"column {column!r} holds"
    if not policies:
        if column is not None:
            raise InputError(f"the scores hold no rows with a policy in column {column!r}.")
        raise InputError(
            "the scores name no policy; name the column that does with policy= (--policy), or "
            "give one file a policy."
        )
    chosen = DEFAULT_BASE if base is None and DEFAULT_BASE in policies else base
    if chosen is None:
        raise InputError(
            f"which policy is the base? {where} {first_names(policies)}; name one of them with "
            "base= (--base)."
        )
    if chosen not in policies:
        raise InputError(f"there is no policy {chosen!r}: {where} {first_names(policies)}.")
    others = [name for name in policies if name != chosen]
    if not others:
        raise InputError(
            f"{where} the base {chosen!r} only; give the aligned policy's scores as well."
        )
    if len(others) > _MOST_POLICIES:
        raise InputError(f"{where} {len(policies)} policies; at most 101 can be compared at once.")
    return (chosen, *others)
