"""Scores of one policy, grouped by prompt: what predictions need.

DuckDB reads, checks, groups and sorts; what leaves this module are flat arrays.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from infalign_theory.empirical.scores.sources import Source, database, some
from infalign_theory.errors import InputError
from infalign_theory.typing import Array, IntArray

if TYPE_CHECKING:
    import duckdb


@dataclass(frozen=True)
class PromptScores:
    """Rewards of one policy, prompt after prompt, sorted within each.

    Attributes
    ----------
    prompts : tuple of str
        Prompt of each group, in increasing order.
    rewards : ndarray, shape (M,)
        Finite, increasing within a prompt.
    offsets : ndarray, shape (P + 1,)
        Group i is ``rewards[offsets[i]:offsets[i + 1]]``.
    """

    prompts: tuple[str, ...]
    rewards: Array
    offsets: IntArray


def read_scores(
    scores: Any,
    *,
    prompt: str = "prompt",
    reward: str = "reward",
    policy: str | None = None,
    base: str | None = None,
) -> PromptScores:
    """Scores of one policy from files or from a table in memory.

    Parameters
    ----------
    scores : path, sequence of paths, or DataFrame
        CSV, JSON lines or Parquet files, or a pandas DataFrame (or any table DuckDB can scan).
    prompt, reward : str
        Names of the columns.
    policy, base : str, optional
        Column that names the policy, and the policy to keep; needed where a table holds several.

    Returns
    -------
    PromptScores

    Raises
    ------
    InputError
        For missing files or columns, empty tables, and rewards that are missing, text or not
        finite (true and false count as 1 and 0); the message counts them and names the first.
    """
    if base is not None and policy is None:
        raise InputError(f"base = {base!r} needs the column that names policies; give policy=.")
    source = Source.of(scores, {"prompt": prompt, "reward": reward, "policy": policy})
    with database() as connection:
        source.load(connection)
        _select(connection, policy, base)
        _refuse_bad_rewards(connection, reward)
        return _grouped(connection)


def _select(connection: duckdb.DuckDBPyConnection, policy: str | None, base: str | None) -> None:
    """Keep the rows of one policy in a table ``chosen``."""
    condition, values = "", []
    if policy is not None:
        rows = connection.execute("SELECT DISTINCT policy FROM source ORDER BY 1").fetchall()
        names = [row[0] for row in rows]
        if base is None and len(names) > 1:
            raise InputError(
                f"column {policy!r} holds {len(names)} policies ({some(names)}); say which is the "
                "base with base= (--base)."
            )
        if base is not None and base not in names:
            raise InputError(
                f"policy {base!r} is not in column {policy!r}, which holds {some(names)}."
            )
        if base is not None:
            condition, values = " WHERE policy = ?", [base]
    connection.execute(
        f"CREATE TEMP TABLE chosen AS SELECT prompt, odd, reward, word FROM source{condition}",
        values,
    )


def _refuse_bad_rewards(connection: duckdb.DuckDBPyConnection, reward: str) -> None:
    rows, unnamed, words = connection.execute(
        "SELECT count(*), count(*) FILTER (prompt IS NULL), count(*) FILTER (word) FROM chosen"
    ).fetchall()[0]
    if rows == 0:
        raise InputError("the scores hold no rows; give a row a sample.")
    if unnamed:
        raise InputError(f"{unnamed} of {rows} rows name no prompt; fill or remove them.")
    if words not in (0, rows):
        raise InputError(mixed_words(reward, words, rows))
    bad = connection.execute(
        "SELECT prompt, odd, count(*) OVER () FROM chosen WHERE odd IS NOT NULL "
        "ORDER BY prompt, odd LIMIT 1"
    ).fetchall()
    if bad:
        prompt, value, count = bad[0]
        shown = repr(value) if value else "missing"
        raise InputError(
            f"column {reward!r}: {count} of {rows} rewards are not finite numbers (the first, for "
            f"prompt {prompt!r}, is {shown}); repair or remove those rows."
        )


def mixed_words(reward: str, words: int, rows: int) -> str:
    """What is wrong with a column that holds truth values among other things."""
    return (
        f"column {reward!r}: {words} of {rows} rewards are truth values, the others are not; "
        "give numbers throughout, or true and false throughout."
    )


def _grouped(connection: duckdb.DuckDBPyConnection) -> PromptScores:
    groups = connection.execute(
        "SELECT prompt, count(*) FROM chosen GROUP BY prompt ORDER BY prompt"
    ).fetchall()
    sizes = np.array([size for _, size in groups], dtype=np.intp)
    values = connection.execute("SELECT reward FROM chosen ORDER BY prompt, reward").fetchnumpy()
    rewards = np.ascontiguousarray(values["reward"], dtype=np.float64)
    offsets = np.concatenate([[0], np.cumsum(sizes)]).astype(np.intp)
    return PromptScores(tuple(name for name, _ in groups), rewards, offsets)
