"""Columns by role: found by name, nested keys too, lists unrolled, and read as text or numbers."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from infalign_theory.empirical.scores.database import quoted_name, quoted_text
from infalign_theory.empirical.scores.readers import (
    Relation,
    check_distinct,
    listed_columns,
    nested_path,
)
from infalign_theory.errors import InputError

if TYPE_CHECKING:
    import duckdb

NUMBER_ROLES = ("reward", "truth", "log_ratio")
TEXT_ROLES = ("prompt", "policy", "sample")
# sums of squares of what is larger leave float64
LARGEST_NUMBER = 1e150

_NUMERIC = re.compile(r"U?(TINY|SMALL|BIG|HUGE)?INT(EGER)?|FLOAT|DOUBLE|DECIMAL[^\[]*|BOOLEAN")
_LIST = re.compile(r"(.*)\[\d*\]")


@dataclass(frozen=True)
class Column:
    """SQL of one column of a relation and its type."""

    sql: str
    type: str

    @property
    def element(self) -> Column | None:
        """Of a list: one entry of it, read from the list's own name; None of anything else."""
        found = _LIST.fullmatch(self.type)
        return None if found is None else Column(self.sql, found[1])


def find(connection: duckdb.DuckDBPyConnection, given: Relation, role: str, name: str) -> Column:
    """A column by its name, or by the keys that lead to it: ``scores.rm``."""
    if name in given.types:
        check_distinct(list(given.types), name, given.shown)
        return Column(quoted_name(name), given.types[name])
    parts = name.split(".")
    for end in range(len(parts) - 1, 0, -1):
        head, keys = ".".join(parts[:end]), parts[end:]
        if head in given.types:
            found = _nested(connection, given, Column(quoted_name(head), given.types[head]), keys)
            if found is not None:
                return found
            raise InputError(
                f"column {head!r} of {given.shown} holds nothing called {'.'.join(keys)!r}; "
                f"see what it holds and name it with {role}= (--{role.replace('_', '-')})."
            )
    there = f"there are: {listed_columns(list(given.types))}"
    if role in ("prompt", "reward", "policy"):
        raise InputError(
            f"column {name!r} is not in {given.shown}; {there}. "
            "Name columns with prompt=, reward= and policy= (--prompt, --reward, --policy)."
        )
    option = f"{role}=, --{role.replace('_', '-')}"
    raise InputError(f"column {name!r} ({option}) is not in {given.shown}; {there}.")


def _nested(
    connection: duckdb.DuckDBPyConnection, given: Relation, outer: Column, keys: Sequence[str]
) -> Column | None:
    """What lies under nested keys of a column, None if no row has it."""
    if outer.type.startswith("STRUCT"):
        sql = outer.sql
        for key in keys:
            sql = f"struct_extract({sql}, {quoted_text(key)})"
        import duckdb

        try:
            query = f"DESCRIBE SELECT {sql} AS found FROM {given.sql}"
            described = connection.execute(query, list(given.parameters)).fetchall()
        except duckdb.BinderException:
            return None
        return Column(sql, described[0][1])
    whole = outer.sql if outer.type == "JSON" else f"TRY_CAST({outer.sql} AS JSON)"
    sql = f"json_extract({whole}, {quoted_text(nested_path(keys))})"
    query = f"SELECT 1 FROM {given.sql} WHERE {sql} IS NOT NULL LIMIT 1"
    return (
        Column(sql, "JSON")
        if connection.execute(query, list(given.parameters)).fetchall()
        else None
    )


@dataclass(frozen=True)
class Cells:
    """SQL of one row a sample: raw columns named after their roles, and their types.

    ``whole_row`` is a hash of every column of the relation, where it has others than those named.
    """

    sql: str
    parameters: tuple[str, ...]
    types: Mapping[str, str]


def cells(
    connection: duckdb.DuckDBPyConnection,
    given: Relation,
    columns: Mapping[str, Column],
    others: bool,
) -> Cells:
    """One row a sample: rewards that come as lists of their prompt are unrolled.

    True rewards, log-ratios and names of samples may be lists as long as that of the rewards;
    what is no list holds for all samples of the row. ``others`` asks for a hash of whole rows.
    """
    reward = None
    if "reward" in columns:
        reward = _list_of(connection, given, columns["reward"])
    row = f"hash({', '.join(quoted_name(name) for name in sorted(given.types))})"
    if reward is None:
        selected = [f"{column.sql} AS {role}" for role, column in columns.items()]
        selected.append(f"{row if others else 'NULL'} AS whole_row")
        types = {role: column.type for role, column in columns.items()}
        return Cells(f"SELECT {', '.join(selected)} FROM {given.sql}", given.parameters, types)
    lists, types = {"reward": reward}, {}
    for role in ("truth", "log_ratio", "sample"):
        found = _list_of(connection, given, columns[role]) if role in columns else None
        if found is not None:
            lists[role] = found
    _refuse_ragged(connection, given, lists, columns)
    size = f"greatest(len({reward.sql}), 0)"
    selected = []
    for role, column in columns.items():
        unrolled = replace(lists[role], type="") if role in lists else column
        if role in lists:
            element = lists[role].element
            types[role] = "JSON" if element is None else element.type
            selected.append(f"unnest({unrolled.sql}) AS {role}")
        elif role == "sample":  # one name for all of them: each gets its number as well
            types[role] = "VARCHAR"
            selected.append(
                f"CAST({column.sql} AS VARCHAR) || ' / ' || unnest(range({size})) AS sample"
            )
        else:
            types[role] = column.type
            selected.append(f"{column.sql} AS {role}")
    hashed = f"hash({row}, unnest(range({size})))" if others else "NULL"
    selected.append(f"{hashed} AS whole_row")
    return Cells(f"SELECT {', '.join(selected)} FROM {given.sql}", given.parameters, types)


def _list_of(
    connection: duckdb.DuckDBPyConnection, given: Relation, column: Column
) -> Column | None:
    """The column as a list, where its first known value is one; a missing list is one gap."""
    if column.element is not None:
        return Column(f"coalesce({column.sql}, [NULL])", column.type)
    if column.type not in ("JSON", "VARCHAR"):
        return None
    text = f"CAST({column.sql} AS VARCHAR)"
    known = f"{column.sql} IS NOT NULL AND {text} <> 'null'"
    query = f"SELECT {text} FROM {given.sql} WHERE {known} LIMIT 1"
    first = connection.execute(query, list(given.parameters)).fetchall()
    # a damaged file may say that nothing is missing and hold a gap all the same
    if not first or not (first[0][0] or "").lstrip().startswith("["):
        return None
    value = column.sql
    if column.type == "VARCHAR":
        value = f"CASE WHEN json_valid({text}) THEN CAST({text} AS JSON) ELSE to_json({text}) END"
    return Column(
        f"CASE WHEN json_type({value}) = 'ARRAY' THEN CAST({value} AS JSON[]) "
        f"ELSE [CAST({value} AS JSON)] END",
        "JSON[]",
    )


def _refuse_ragged(
    connection: duckdb.DuckDBPyConnection,
    given: Relation,
    lists: Mapping[str, Column],
    columns: Mapping[str, Column],
) -> None:
    prompt = columns["prompt"].sql if "prompt" in columns else "NULL"
    for role, column in lists.items():
        query = (
            f"SELECT CAST({prompt} AS VARCHAR), len({lists['reward'].sql}), len({column.sql}) "
            f"FROM {given.sql} WHERE len({lists['reward'].sql}) <> len({column.sql}) LIMIT 1"
        )
        uneven = connection.execute(query, list(given.parameters)).fetchall()
        if uneven:
            name, rewards, entries = uneven[0]
            raise InputError(
                f"prompt {name!r} of {given.shown} has {rewards} rewards in its list, but "
                f"{entries} entries in that of {role}; give one each."
            )


def selection(types: Mapping[str, str]) -> dict[str, str]:
    """SQL of every column of ``source`` from raw cells of the given types."""
    out = {role: _text(role, types.get(role)) for role in TEXT_ROLES}
    for role in NUMBER_ROLES:
        out[role], text, word = _number(role, types.get(role))
        if role == "reward":
            out["odd"] = f"CASE WHEN {out[role]} IS NULL THEN coalesce({text}, '') END"
            out["word"] = word
    return out


def _text(role: str, kind: str | None) -> str:
    if kind is None:
        return "NULL"
    return f"{role} ->> '$'" if kind == "JSON" else f"CAST({role} AS VARCHAR)"


def _number(role: str, kind: str | None) -> tuple[str, str, str]:
    """SQL of a column's finite number or NULL, of its text, and of whether it is true or false."""
    if kind is None:
        return "NULL", "NULL", "FALSE"
    text = f"CAST({role} AS VARCHAR)"
    if _NUMERIC.fullmatch(kind):
        value = f"CAST({role} AS DOUBLE)"
        word = "TRUE" if kind == "BOOLEAN" else "FALSE"
    else:
        if kind == "JSON":  # what is no number keeps its quotes or letters
            text = f"CASE WHEN json_type({role}) = 'NULL' THEN NULL ELSE {text} END"
        # a verifier's true and false are 1 and 0
        value = (
            f"CASE lower({text}) WHEN 'true' THEN 1.0 WHEN 'false' THEN 0.0 "
            f"ELSE TRY_CAST({text} AS DOUBLE) END"
        )
        word = f"coalesce(lower({text}) IN ('true', 'false'), FALSE)"
    usable = f"isfinite({value}) AND abs({value}) <= {LARGEST_NUMBER}"
    return f"CASE WHEN {usable} THEN {value} END", text, word
