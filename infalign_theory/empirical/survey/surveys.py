"""Asking all shares of the prompts: one after the other here, or all over a Dask cluster."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from infalign_theory.empirical.scores.database import database
from infalign_theory.empirical.scores.sources import Source
from infalign_theory.empirical.statistics.duels import Duel
from infalign_theory.empirical.survey.measurements import Measurements, measure, united
from infalign_theory.empirical.survey.questions import SHARE_ROWS, Question, name_policies

if TYPE_CHECKING:
    from dask.distributed import Client


def survey(
    source: Source,
    base: str | None,
    duels: tuple[Duel, ...],
    *,
    memory: str,
    dask: Client | str | bool | None,
    step: Callable[[str], None],
) -> tuple[Question, Measurements]:
    """Measure all prompts: the question that was asked, policies named, and its answer."""
    if dask is not None and dask is not False:
        from infalign_theory.empirical.survey.distributed import survey_on_dask

        return survey_on_dask(source, base, duels, memory=memory, dask=dask, step=step)
    step("reading")
    with database(memory) as connection:
        source.load(connection)
        rows = connection.execute("SELECT count(*) FROM source").fetchall()[0][0]
        question = Question(
            source, name_policies(source, base, source.policies(connection)), duels, memory
        )
        shares = max(1, -(-rows // SHARE_ROWS))
        found = []
        for share in range(shares):
            step("measuring" if shares == 1 else f"measuring, part {share + 1} of {shares}")
            found.append(measure(connection, question, share, shares))
    return question, united(found)
