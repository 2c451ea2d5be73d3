"""Sharing prompts out over a Dask cluster; the numbers are those of one machine, bit for bit.

Every worker reads its share of the prompts from the files itself, so a task carries names only,
and one that dies is simply done again by another worker.
"""

from __future__ import annotations

import logging
import platform
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from infalign_theory import __version__
from infalign_theory.empirical.scores.database import database
from infalign_theory.empirical.scores.sources import Source
from infalign_theory.empirical.statistics.duels import Duel
from infalign_theory.empirical.survey.measurements import Measurements, measure_share, united
from infalign_theory.empirical.survey.questions import SHARE_ROWS, Question, name_policies
from infalign_theory.errors import InputError

if TYPE_CHECKING:
    from dask.distributed import Client

_RETRIES = 5
_PATIENCE = 8.0  # seconds for a scheduler to answer


def survey_on_dask(
    source: Source,
    base: str | None,
    duels: tuple[Duel, ...],
    *,
    memory: str,
    dask: Client | str | bool,
    step: Callable[[str], None],
) -> tuple[Question, Measurements]:
    """Measure all prompts on a cluster: an address, a client, or True for one on this machine."""
    if not source.in_files:
        raise InputError(
            "a table in memory cannot be shared out over Dask; give files that all workers see."
        )
    source = source.resolved()
    step("connecting")
    with _client(dask) as client:
        from dask.distributed import as_completed

        versions = _versions()
        inspected = client.map(
            _inspect,
            [source.only(part) for part in source.parts],
            memory=memory,
            versions=versions,
            retries=_RETRIES,
            pure=False,
        )
        seen = client.gather(inspected)  # type: ignore[no-untyped-call]
        names = sorted({name for _, found in seen for name in found})
        question = Question(source, name_policies(source, base, names), duels, memory)
        workers = max(1, len(client.scheduler_info(n_workers=-1)["workers"]))
        shares = max(2 * workers, -(-sum(rows for rows, _ in seen) // SHARE_ROWS))
        futures = client.map(
            _answer,
            range(shares),
            question=question,
            shares=shares,
            versions=versions,
            retries=_RETRIES,
            pure=False,
        )
        finished = as_completed(futures)  # type: ignore[no-untyped-call]
        for done, _ in enumerate(finished):
            step(f"measuring, {done + 1} of {shares} parts done")
        measured = client.gather(futures)  # type: ignore[no-untyped-call]
        return question, united(measured)


def _inspect(source: Source, memory: str, versions: dict[str, str]) -> tuple[int, list[str]]:
    """Rows of one file, and the policies it names."""
    _refuse_other(versions)
    with database(memory) as connection:
        source.load(connection, roles=("prompt", "policy"))
        rows = connection.execute("SELECT count(*) FROM source").fetchall()[0][0]
        return rows, source.policies(connection)


def _answer(share: int, question: Question, shares: int, versions: dict[str, str]) -> Measurements:
    _refuse_other(versions)
    return measure_share(question, share, shares)


def _versions() -> dict[str, str]:
    """What must be the same on all machines for the numbers to be the same."""
    import duckdb
    import numba
    import numpy

    return {
        "infalign-theory": __version__,
        "Python": platform.python_version(),
        "NumPy": numpy.__version__,
        "DuckDB": duckdb.__version__,
        "Numba": numba.__version__,
    }


def _refuse_other(versions: dict[str, str]) -> None:
    here = _versions()
    for name, wanted in versions.items():
        if here[name] != wanted:
            raise InputError(
                f"a Dask worker has {name} {here[name]}, this process {wanted}; install the same "
                "versions everywhere."
            )


@contextmanager
def _client(dask: Client | str | bool) -> Iterator[Client]:
    try:
        from dask.distributed import Client, LocalCluster
    except ImportError:
        raise InputError(
            "Dask is not installed; install the extra: pip install 'infalign-theory[distributed]'."
        ) from None
    if isinstance(dask, Client):
        yield dask
        return
    if dask is True:
        try:
            cluster = LocalCluster(  # type: ignore[no-untyped-call]
                threads_per_worker=1, dashboard_address=None, silence_logs=logging.CRITICAL
            )
        except RuntimeError:
            raise InputError(
                "no Dask workers could be started; a script that asks for them must keep its own "
                'work under if __name__ == "__main__".'
            ) from None
        with cluster, Client(cluster) as client:  # type: ignore[no-untyped-call]
            yield client
        return
    if not isinstance(dask, str) or not dask:
        raise InputError(
            f"dask = {dask!r:.60} is not a scheduler; give its address, as in tcp://host:8786, a "
            "dask.distributed.Client, or True for a cluster on this machine."
        )
    try:
        client = Client(dask, timeout=_PATIENCE)  # type: ignore[no-untyped-call]
    except (OSError, TimeoutError, ValueError) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise InputError(
            f"no Dask scheduler answers at {dask}: {reason}; check the address, as in "
            "tcp://host:8786."
        ) from None
    with client:
        yield client
