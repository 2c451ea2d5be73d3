"""Scores of the base policy, prompt by prompt: what predictions need."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from infalign_theory.empirical.scores.columns import LARGEST_NUMBER
from infalign_theory.empirical.scores.database import check_memory, database, first_names
from infalign_theory.empirical.scores.findings import Finding, mixed_words
from infalign_theory.empirical.scores.groups import Groups
from infalign_theory.empirical.scores.sides import choose, sides_of
from infalign_theory.empirical.scores.sources import ScoresLike, Source
from infalign_theory.empirical.scores.wide import WideLike
from infalign_theory.errors import InputError
from infalign_theory.typing import Array

if TYPE_CHECKING:
    import duckdb

DEFAULT_BASE = "base"
_USUAL_COLUMN = "policy"
_MOST_FILES = 100  # that are looked at one by one
_ALL = "all"  # what pooled rows are called


@dataclass(frozen=True)
class PromptScores:
    """Rewards of one policy by prompt.

    Attributes
    ----------
    prompts : tuple of str
        Prompt of each group, in increasing order.
    rewards : Groups
        Finite, sorted within a prompt.
    truth : ndarray or None
        True reward of each sample in the same order, NaN where not known.
    findings : tuple of Finding
        What the reader must know of the rows.
    by_file : dict of str to Groups
        Where several files are read as one policy: the samples of each, over the same prompts.
    """

    prompts: tuple[str, ...]
    rewards: Groups
    truth: Array | None
    findings: tuple[Finding, ...]
    by_file: dict[str, Groups]


def read_scores(
    scores: ScoresLike,
    *,
    prompt: str = "prompt",
    reward: str = "reward",
    policy: str | None = None,
    base: str | None = None,
    truth: str | None = None,
    wide: WideLike | None = None,
    memory: str = "1GB",
) -> PromptScores:
    """Scores of one policy from files or from a table in memory.

    Parameters
    ----------
    scores : ScoresLike
        Files (CSV, TSV, JSON, JSON lines or Parquet, each also gzipped, or ``-``), or a pandas,
        Polars or Arrow table, a list of dicts or a dict of columns.
    prompt, reward, truth : str
        Names of the columns; ``scores.rm`` for nested keys. A list of rewards is a row a sample.
    policy, base : str, optional
        Column that names the policy, and the policy to keep; needed where a table holds several.
        ``base`` alone keeps one of several files, which are called by their stems.
    wide : bool, str, list or mapping, optional
        Columns of rewards of a wide table.
    memory : str
        What DuckDB may use before it spills to disk.

    Returns
    -------
    PromptScores

    Raises
    ------
    InputError
        For missing files or columns, empty tables, and rewards that are missing, text or not
        finite (true and false count as 1 and 0); the message counts them and names the first.
    """
    columns = {"prompt": prompt, "reward": reward, "policy": policy, "truth": truth}
    source = Source.of(scores, columns, by_part=policy is None and base is not None, wide=wide)
    with database(check_memory(memory)) as connection:
        if policy is None and base is None and not source.named:
            return _pooled(connection, source)
        source.load(connection)
        kept = _base_of(source.policies(connection), policy, base)
        return _read(connection, source, kept, {})


def read_policies(
    scores: ScoresLike,
    *,
    prompt: str = "prompt",
    reward: str = "reward",
    policy: str | None = None,
    base: str | None = None,
    truth: str | None = None,
    wide: WideLike | None = None,
    memory: str = "1GB",
) -> dict[str, PromptScores]:
    """Scores of all policies by name, the base's first; arguments as of :func:`read_scores`."""
    columns = {"prompt": prompt, "reward": reward, "policy": policy, "truth": truth}
    source = Source.of(scores, columns, by_part=policy is None and base is not None, wide=wide)
    with database(check_memory(memory)) as connection:
        if policy is None and base is None and not source.named:
            return {_ALL: _pooled(connection, source)}
        source.load(connection)
        names = source.policies(connection)
        kept = _base_of(names, policy, base)
        others = [name for name in names if name != kept]
        return {name: _read(connection, source, name, {}) for name in (kept, *others)}


def _base_of(names: list[str], policy: str | None, base: str | None) -> str:
    """The policy to keep: the one asked for, or the only one."""
    where = "the scores hold" if policy is None else f"column {policy!r} holds"
    if base is None:
        if len(names) > 1 and (policy is not None or DEFAULT_BASE not in names):
            raise InputError(
                f"{where} {len(names)} policies ({first_names(names)}); say which is the base "
                "with base= (--base)."
            )
        return names[0] if len(names) == 1 else DEFAULT_BASE
    if base in names:
        return base
    if policy is not None:
        raise InputError(
            f"policy {base!r} is not in column {policy!r}, which holds {first_names(names)}."
        )
    there = f"there are {first_names(names)}" if names else "files would be named by their stems"
    raise InputError(
        f"no file is called {base!r} ({there}); name the base's file, or the column that tells "
        "policies apart with policy= (--policy)."
    )


def _pooled(connection: duckdb.DuckDBPyConnection, source: Source) -> PromptScores:
    """All rows as samples of one policy, with those of each file beside them."""
    files = source.origins
    if DEFAULT_BASE in files and len(files) > 1:
        raise InputError(
            f"{len(files)} files are given ({first_names(files)}): if they are policies, name the "
            f"base with base={DEFAULT_BASE!r} (--base {DEFAULT_BASE}); files of one policy belong "
            "in one folder, which is then given instead."
        )
    _refuse_hidden_policies(connection, source)
    by_file: dict[str, Groups] = {}
    if 1 < len(files) <= _MOST_FILES:
        source.by_origin().load(connection)
        parted = sides_of(connection, source.columns, files)
        by_file = {f: side.scores for f, side in zip(files, parted.policies, strict=True)}
        connection.execute("UPDATE source SET policy = ?", [_ALL])
    else:
        source.labelled(_ALL).load(connection)
    return _read(connection, source, _ALL, by_file)


def _read(
    connection: duckdb.DuckDBPyConnection, source: Source, kept: str, by_file: dict[str, Groups]
) -> PromptScores:
    reward = source.columns["reward"]
    choose(connection, [kept])
    _refuse_bad_rewards(connection, reward)
    sides = sides_of(connection, source.columns, [kept])
    found = [
        replace(finding, policy=None)
        for finding in sides.findings.listed([kept], reward)
        if finding.kind != "unnamed_policy"  # rows of the other policies
    ]
    side = sides.policies[0]
    held = np.flatnonzero(side.scores.sizes > 0)
    order = held[np.argsort(np.array(sides.prompts, dtype=object)[held], kind="stable")]
    rewards, at = side.scores.reordered(order)
    return PromptScores(
        tuple(sides.prompts[i] for i in order),
        rewards,
        None if side.truth is None else side.truth[at],
        tuple(found),
        by_file,
    )


def _refuse_hidden_policies(connection: duckdb.DuckDBPyConnection, source: Source) -> None:
    """A column called policy that nobody named: its policies are not pooled in silence."""
    names = source.values_of(connection, _USUAL_COLUMN)
    if len(names) > 1:
        raise InputError(
            f"column {_USUAL_COLUMN!r} holds several policies ({first_names(names)}); give "
            f"policy={_USUAL_COLUMN!r} and say which is the base with base= (--policy, --base)."
        )


def _refuse_bad_rewards(connection: duckdb.DuckDBPyConnection, reward: str) -> None:
    rows, unnamed, words = connection.execute(
        "SELECT count(*), count(*) FILTER (prompt IS NULL), count(*) FILTER (word) FROM chosen "
        "WHERE pid IS NOT NULL"
    ).fetchall()[0]
    if rows == 0:
        raise InputError("the scores hold no rows; give a row a sample.")
    if unnamed:
        raise InputError(f"{unnamed} of {rows} rows name no prompt; fill or remove them.")
    if words not in (0, rows):
        raise InputError(mixed_words(reward, words, rows))
    bad = connection.execute(
        "SELECT prompt, odd, count(*) OVER () FROM chosen WHERE odd IS NOT NULL AND pid IS NOT "
        "NULL ORDER BY prompt, odd LIMIT 1"
    ).fetchall()
    if bad:
        prompt, value, count = bad[0]
        shown = f"{value!r:.60}" if value else "missing"
        raise InputError(
            f"column {reward!r}: {count} of {rows} rewards are not finite numbers up to "
            f"{LARGEST_NUMBER:g} (the first, for prompt {prompt!r:.60}, is {shown}); repair or "
            "remove those rows."
        )
