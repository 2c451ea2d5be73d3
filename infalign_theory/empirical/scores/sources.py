"""Where scores come from: files and tables as rows of one database table with known columns.

This is the one way in, for predictions from base scores and for judging trained policies alike.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from infalign_theory.empirical.scores.columns import Column, cells, find, selection
from infalign_theory.empirical.scores.database import ALLOWED_FILES, quoted_name
from infalign_theory.empirical.scores.paths import STANDARD_INPUT, ScoreFile, score_files
from infalign_theory.empirical.scores.readers import Relation, relation
from infalign_theory.empirical.scores.tables import Records, Table, is_columns, is_records
from infalign_theory.empirical.scores.wide import Wide, WideLike
from infalign_theory.errors import InputError

if TYPE_CHECKING:
    import duckdb

OneScores: TypeAlias = "str | os.PathLike[str] | Table | Records"
ScoresLike: TypeAlias = (
    "OneScores | Sequence[str | os.PathLike[str] | Table] | "
    "Mapping[str, OneScores | Sequence[str | os.PathLike[str] | Table]]"
)
"""What scores may be: paths, patterns, ``-``, tables, records, or a mapping of policies to them."""


@dataclass(frozen=True)
class Part:
    """One file or table, and the policy it belongs to where files are policies."""

    label: str | None
    given: ScoreFile | object

    @property
    def origin(self) -> str:
        """What tells it from other parts: files of one folder are one."""
        return self.given.name if isinstance(self.given, ScoreFile) else "table"


@dataclass(frozen=True)
class Source:
    """Score files or tables in memory, and the columns that matter by role.

    ``columns`` maps roles (prompt, reward, and where given policy, truth, log_ratio, sample) to
    column names; ``wide`` names the columns of rewards of a wide table, which are policies where
    ``wide_policies`` says so.
    """

    parts: tuple[Part, ...]
    columns: Mapping[str, str]
    wide: Wide | None = None
    wide_policies: bool = False

    @classmethod
    def of(
        cls,
        scores: ScoresLike,
        columns: Mapping[str, str | None],
        by_part: bool = False,
        wide: WideLike | None = None,
    ) -> Source:
        """From paths, a table, or with ``by_part`` one of them a policy: a mapping or paths."""
        wanted = {role: name for role, name in columns.items() if name is not None}
        for role, name in wanted.items():
            if not isinstance(name, str):
                raise InputError(f"{role} = {name!r:.60} is not a column name; give a text.")
        melted = Wide.of(wide, wanted["reward"])
        parts = _parts(scores, wanted)
        named = any(part.label is not None for part in parts)
        if by_part and not named:
            if melted is not None and len(parts) == 1:
                return cls(parts, wanted, melted, wide_policies=True)
            parts = tuple(
                replace(part, label=part.origin) if isinstance(part.given, ScoreFile) else part
                for part in parts
            )
            _refuse_namesakes(parts)
        return cls(parts, wanted, melted, by_part and isinstance(wide, Mapping))

    @property
    def in_files(self) -> bool:
        """Whether any process that sees the same disk can read it."""
        return all(
            isinstance(part.given, ScoreFile) and part.given.temporary is None
            for part in self.parts
        )

    @property
    def origins(self) -> tuple[str, ...]:
        """Names of the files or folders the parts come from, each once."""
        return tuple(dict.fromkeys(part.origin for part in self.parts))

    @property
    def named(self) -> bool:
        """Whether files, tables or columns are policies."""
        return self.wide_policies or any(part.label is not None for part in self.parts)

    def labelled(self, policy: str) -> Source:
        """The same scores as samples of one policy."""
        return replace(self, parts=tuple(replace(p, label=policy) for p in self.parts))

    def values_of(self, connection: duckdb.DuckDBPyConnection, column: str) -> list[str]:
        """Distinct values of a column, sorted, over the parts that have one of that name."""
        found: set[str] = set()
        for part in self.parts:
            given = relation(connection, part.given, self.columns)
            if column in given.types:
                query = f"SELECT DISTINCT CAST({quoted_name(column)} AS VARCHAR) FROM {given.sql}"
                rows = connection.execute(query, list(given.parameters)).fetchall()
                found |= {row[0] for row in rows if row[0] is not None}
        return sorted(found)

    def by_origin(self) -> Source:
        """The same scores with the file or folder of each row as its policy."""
        return replace(self, parts=tuple(replace(p, label=p.origin) for p in self.parts))

    def resolved(self) -> Source:
        """The same files by absolute paths, for processes that work elsewhere."""
        return replace(
            self,
            parts=tuple(
                replace(part, given=replace(part.given, path=part.given.path.resolve()))
                if isinstance(part.given, ScoreFile)
                else part
                for part in self.parts
            ),
        )

    def only(self, part: Part) -> Source:
        """The same question of one part alone."""
        return replace(self, parts=(part,))

    def policies(self, connection: duckdb.DuckDBPyConnection) -> list[str]:
        """Names of the policies, sorted: those of the parts, and those in the loaded table."""
        rows = connection.execute("SELECT DISTINCT policy FROM source").fetchall()
        labels = {part.label for part in self.parts}
        return sorted(name for name in {row[0] for row in rows} | labels if name is not None)

    def load(
        self,
        connection: duckdb.DuckDBPyConnection,
        share: int = 0,
        shares: int = 1,
        roles: Sequence[str] | None = None,
    ) -> None:
        """Fill the table ``source`` with one share of the prompts, or with all.

        A prompt's share is that of its hash, so that shares in order are prompts in the order of
        ``key``. Numbers that are none are NULL, with what was given as text in ``odd`` (empty for
        a missing one); ``word`` marks true and false; ``whole_row`` is a hash of every column
        where there are others than those named and no column tells samples apart.
        """
        wanted = {r: c for r, c in self.columns.items() if roles is None or r in roles}
        connection.execute(
            "CREATE OR REPLACE TEMP TABLE source (key UBIGINT, prompt VARCHAR, policy VARCHAR, "
            "sample VARCHAR, reward DOUBLE, truth DOUBLE, log_ratio DOUBLE, odd VARCHAR, "
            "word BOOLEAN, whole_row UBIGINT)"
        )
        condition = f" WHERE ((key >> 32) * {shares}) >> 32 = {share}" if shares > 1 else ""
        for part in self.parts:
            given = relation(connection, part.given, self.columns)
            if self.wide is None:
                columns = {r: find(connection, given, r, c) for r, c in wanted.items()}
                _insert(connection, given, columns, part.label, condition)
                continue
            rest = {r: find(connection, given, r, c) for r, c in wanted.items() if r != "reward"}
            for name, policy in self.wide.melted(list(given.types), self.columns, given.shown):
                label = policy if self.wide_policies else part.label
                reward = Column(quoted_name(name), given.types[name])
                _insert(
                    connection, given, {**rest, "reward": reward}, label, condition, melted=True
                )


def _insert(
    connection: duckdb.DuckDBPyConnection,
    given: Relation,
    columns: Mapping[str, Column],
    label: str | None,
    condition: str,
    *,
    melted: bool = False,
) -> None:
    """Append the rows of one relation to ``source``; an empty cell of a wide table is none."""
    named = {column.sql for column in columns.values()}
    others = not melted and "sample" not in columns and len(given.types) > len(named)
    raw = cells(connection, given, columns, others and "reward" in columns)
    chosen = selection(raw.types)
    policy = "CAST(? AS VARCHAR)" if label is not None else chosen["policy"]
    where = " WHERE reward IS NOT NULL AND CAST(reward AS VARCHAR) <> 'nan'" if melted else ""
    query = (
        f"INSERT INTO source SELECT * FROM (SELECT coalesce(hash({chosen['prompt']}), 0) "
        f"AS key, {chosen['prompt']} AS prompt, {policy} AS policy, "
        f"{chosen['sample']} AS sample, {chosen['reward']} AS reward, "
        f"{chosen['truth']} AS truth, {chosen['log_ratio']} AS log_ratio, "
        f"{chosen['odd']} AS odd, {chosen['word']} AS word, "
        f"whole_row FROM ({raw.sql}){where}){condition}"
    )
    connection.execute(query, ([label] if label is not None else []) + list(raw.parameters))


def _parts(scores: ScoresLike, wanted: Mapping[str, str]) -> tuple[Part, ...]:
    """Every file and table, labelled where a mapping names policies."""
    listed: list[tuple[str | None, list[object]]]
    if isinstance(scores, Mapping) and not is_columns(scores, wanted):
        if "policy" in wanted:
            raise InputError(
                "scores by policy name and the column that names policies are both given; "
                "give one or the other."
            )
        if len({str(label) for label in scores}) < len(scores):
            raise InputError("two policies have the same name as text; give them others.")
        listed = [(str(label), _as_list(given)) for label, given in scores.items()]
    else:
        listed = [(None, _as_list(scores))]
    if not any(given for _, given in listed):
        raise InputError(f"scores = {scores!r:.60} names no file; give {ALLOWED_FILES}.")
    parts = tuple(
        Part(label, item) for label, given in listed for one in given for item in _expanded(one)
    )
    _refuse_twice(parts)
    return parts


def _as_list(given: object) -> list[object]:
    """One path, table or list of records by itself; several of them as they are."""
    if is_records(given):
        return [given]
    return list(given) if isinstance(given, (list, tuple)) else [given]


def _expanded(given: object) -> list[ScoreFile] | list[object]:
    if isinstance(given, (str, os.PathLike)):
        return score_files(given)
    if isinstance(given, (bytes, int, float, complex, type(None))):
        raise InputError(f"{given!r:.60} is not a path; give {ALLOWED_FILES}.")
    return [given]


def _refuse_namesakes(parts: Sequence[Part]) -> None:
    """Files of one name in two places are two policies, unless a folder makes them one."""
    homes: dict[str | None, Path] = {}
    for part in parts:
        if isinstance(part.given, ScoreFile):
            file = part.given.path.resolve()
            home = file.parent if part.given.in_folder else file
            if homes.setdefault(part.label, home) != home:
                raise InputError(
                    f"two policies would be called {part.label!r}; give them names: a mapping of "
                    "names to files, or a column with policy= (--policy)."
                )


def _refuse_twice(parts: Sequence[Part]) -> None:
    seen = set()
    for part in parts:
        if not isinstance(part.given, ScoreFile):
            continue
        place = part.given.path.resolve()
        if place in seen:
            raise InputError(f"{place} is given twice; its samples would count double. Give once.")
        if part.given.temporary is not None and STANDARD_INPUT in seen:
            raise InputError("standard input (-) is given twice; it can be read once. Give once.")
        seen.add(STANDARD_INPUT if part.given.temporary is not None else place)
