"""Samples of each policy, prompt after prompt, sorted by score: what leaves the database."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from infalign_theory.empirical.scores.findings import Findings, audit
from infalign_theory.empirical.scores.groups import Groups
from infalign_theory.typing import Array, IntArray

if TYPE_CHECKING:
    import duckdb


@dataclass(frozen=True)
class Side:
    """Samples of one policy: sorted scores, and in the same order what else is known of them.

    ``truth`` and ``log_ratio``, shape (M,), are NaN where not known, None where no column has
    them.
    """

    scores: Groups
    truth: Array | None
    log_ratio: Array | None


@dataclass(frozen=True)
class Sides:
    """All policies over the same prompts, the base first, and what is wrong with their rows."""

    prompts: list[str]
    policies: tuple[Side, ...]
    findings: Findings


def sides_of(
    connection: duckdb.DuckDBPyConnection,
    columns: Mapping[str, str],
    policies: Sequence[str],
    share: int = 0,
    shares: int = 1,
) -> Sides:
    """Check, group and sort one share of the rows of ``source``."""
    choose(connection, policies, share, shares)
    findings = audit(connection, columns)
    prompts = _number_prompts(connection)
    values, ends = _sorted_rows(connection, columns, len(prompts), len(policies))
    sides = []
    for first, last in pairwise(ends):
        held = {role: column[first:last] for role, column in values.items()}
        offsets = np.searchsorted(held["place"], np.arange(len(prompts) + 1))
        scores = Groups(held["reward"], offsets)
        sides.append(Side(scores, held.get("truth"), held.get("log_ratio")))
    return Sides(prompts, tuple(sides), findings)


def choose(
    connection: duckdb.DuckDBPyConnection, policies: Sequence[str], share: int = 0, shares: int = 1
) -> None:
    """Rows of the share in a view ``chosen``, policies as numbers, unknown ones NULL."""
    connection.execute("CREATE OR REPLACE TEMP TABLE policies (pid TINYINT, policy VARCHAR)")
    connection.executemany("INSERT INTO policies VALUES (?, ?)", list(enumerate(policies)))
    condition = f"WHERE ((key >> 32) * {shares}) >> 32 = {share}" if shares > 1 else ""
    connection.execute(
        "CREATE OR REPLACE TEMP VIEW chosen AS SELECT source.*, pid FROM source "
        f"LEFT JOIN policies USING (policy) {condition}"
    )


def _number_prompts(connection: duckdb.DuckDBPyConnection) -> list[str]:
    """Prompts of usable rows in the order of their hashes, numbered in a table ``prompts``."""
    connection.execute(
        "CREATE OR REPLACE TEMP TABLE prompts AS SELECT prompt, "
        "CAST(row_number() OVER (ORDER BY key, prompt) - 1 AS INTEGER) AS id "
        "FROM (SELECT DISTINCT key, prompt FROM usable)"
    )
    rows = connection.execute("SELECT prompt FROM prompts ORDER BY id").fetchall()
    return [row[0] for row in rows]


def _sorted_rows(
    connection: duckdb.DuckDBPyConnection,
    columns: Mapping[str, str],
    prompts: int,
    policies: int,
) -> tuple[dict[str, Array], IntArray]:
    """Usable rows sorted by policy, prompt and values, and where each policy ends."""
    roles = ["reward", *(role for role in ("truth", "log_ratio") if role in columns)]
    values = ", ".join(f"coalesce({role}, 'nan'::DOUBLE) AS {role}" for role in roles)
    # rows of equal scores in one order, whoever sorts: sums over them are then the same
    found = connection.execute(
        f"SELECT CAST(pid AS BIGINT) * {prompts} + id AS place, {values} "
        f"FROM usable JOIN prompts USING (prompt) ORDER BY place, {', '.join(roles)}"
    ).fetchnumpy()
    place = np.asarray(found["place"])
    out = {role: np.ascontiguousarray(found[role], dtype=np.float64) for role in roles}
    ends = np.searchsorted(place, np.arange(policies + 1) * prompts)
    out["place"] = place % max(prompts, 1)
    return out, ends
