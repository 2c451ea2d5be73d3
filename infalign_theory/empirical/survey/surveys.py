"""Asking all shares of the prompts: one after the other here, or all over a Dask cluster."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from infalign_theory.empirical.scores.database import database, first_names
from infalign_theory.empirical.scores.reading import DEFAULT_BASE
from infalign_theory.empirical.scores.sources import Source
from infalign_theory.empirical.survey.shares import Question, Share, measure, together
from infalign_theory.errors import InputError

SHARE_ROWS = 1 << 23


def survey(
    source: Source,
    base: str | None,
    procedures: tuple[str, ...],
    memory: str,
    dask: Any,
    step: Callable[[str], None],
) -> tuple[Question, Share]:
    """Measure all prompts: the question that was asked, policies named, and its answer."""
    if dask is not None and dask is not False:
        from infalign_theory.empirical.survey.distributed import survey_on_dask

        return survey_on_dask(source, base, procedures, memory, dask, step)
    step("reading")
    with database(memory) as connection:
        source.load(connection)
        rows = connection.execute("SELECT count(*) FROM source").fetchall()[0][0]
        question = Question(
            source, named(source, base, source.policies(connection)), procedures, memory
        )
        shares = max(1, -(-rows // SHARE_ROWS))
        found = []
        for share in range(shares):
            step("measuring" if shares == 1 else f"measuring, part {share + 1} of {shares}")
            found.append(measure(connection, question, share, shares))
    return question, together(found)


def named(source: Source, base: str | None, policies: list[str]) -> tuple[str, ...]:
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
    if len(others) > 100:
        raise InputError(f"{where} {len(policies)} policies; at most 101 can be compared at once.")
    return (chosen, *others)
