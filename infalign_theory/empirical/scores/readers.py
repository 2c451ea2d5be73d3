"""One file or table as SQL that reads its rows, with the type of every column.

Every value of a text file arrives as text, so that no guess from the first rows decides what the
later ones are.
"""

from __future__ import annotations

import csv
import gzip
import json
import re
import shutil
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING

from infalign_theory.empirical.scores.database import (
    first_names,
    quoted_name,
    quoted_text,
    scratch_folder,
)
from infalign_theory.empirical.scores.paths import FileKind, ScoreFile, room_for_copy
from infalign_theory.empirical.scores.tables import (
    as_table,
    column_names,
    refuse_complex,
    scannable,
)
from infalign_theory.errors import InputError

if TYPE_CHECKING:
    import duckdb

_GIVEN = "given"  # what a table in memory is called in SQL
_LARGEST_OBJECT = 1 << 28  # bytes of one JSON document that is not a row a line
_SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}


@dataclass(frozen=True)
class Relation:
    """SQL that reads rows, its parameters, the type of every column, and how messages call it."""

    sql: str
    parameters: tuple[str, ...]
    types: Mapping[str, str]
    shown: str


def relation(
    connection: duckdb.DuckDBPyConnection, given: object, wanted: Mapping[str, str]
) -> Relation:
    """How to read one file or table; ``wanted`` are the columns asked for, by role."""
    if isinstance(given, ScoreFile):
        try:
            if given.kind is FileKind.JSON:
                return _json(connection, given, wanted)
            if given.kind is FileKind.PARQUET:
                return _parquet(connection, given)
            return _csv(connection, given, wanted)
        except (gzip.BadGzipFile, zlib.error, EOFError):
            raise InputError(f"{given.shown} is not whole gzip data; pack it again.") from None
    return _table(connection, given, wanted, "the table")


def check_distinct(types: Sequence[str], name: str, where: str) -> None:
    """Refuse a column that another one differs from in case only."""
    alike = [column for column in types if column.lower() == name.lower()]
    if len(alike) > 1:
        raise InputError(
            f"columns {first_names(alike)} of {where} differ only in case or not at all; rename "
            "them so that one can be told from the other."
        )


def _table(
    connection: duckdb.DuckDBPyConnection, given: object, wanted: Mapping[str, str], where: str
) -> Relation:
    table = as_table(given, wanted)
    refuse_complex(table, wanted)
    scannable(connection, table, _GIVEN)
    described = connection.execute(f"DESCRIBE {_GIVEN}").fetchall()
    for name in wanted.values():
        check_distinct(column_names(table), name, where)
    return Relation(_GIVEN, (), {row[0]: row[1] for row in described}, where)


def _opened(file: ScoreFile) -> IO[bytes]:
    return gzip.open(file.path) if file.zipped else file.path.open("rb")  # type: ignore[return-value]


def _literal(path: Path) -> str:
    """A path that means itself: brackets keep the database from reading it as a pattern."""
    return re.sub(r"([*?\[])", r"[\1]", str(path))


def _compression(file: ScoreFile) -> str:
    return "compression = 'gzip'" if file.zipped else "compression = 'uncompressed'"


# ---------------------------------------------------------------------------------------- CSV, TSV
def _csv(
    connection: duckdb.DuckDBPyConnection, file: ScoreFile, wanted: Mapping[str, str]
) -> Relation:
    separator = "\t" if file.kind is FileKind.TSV else ","
    header = _csv_header(file, separator)
    _refuse_separator(file, header, wanted)
    for name in wanted.values():
        check_distinct(header, name, file.shown)
    reader = (
        f"read_csv(?, all_varchar = true, header = true, delim = {quoted_text(separator)}, "
        f"quote = '\"', escape = '\"', hive_partitioning = false, {_compression(file)})"
    )
    literal = _literal(file.path)
    rows = connection.execute(f"DESCRIBE SELECT * FROM {reader}", [literal]).fetchall()
    return Relation(reader, (literal,), {row[0]: row[1] for row in rows}, file.shown)


def _refuse_separator(file: ScoreFile, header: list[str], wanted: Mapping[str, str]) -> None:
    """Say so where the wanted columns are there, between other separators."""
    if any(name in header for name in wanted.values()):
        return
    for separator, called in _SEPARATORS.items():
        if any(name in _csv_header(file, separator) for name in wanted.values()):
            raise InputError(
                f"the columns of {file.shown} are separated by {called}; save it with commas"
                + (", or call it .tsv." if separator == "\t" else " (and points in numbers).")
            )


def _csv_header(file: ScoreFile, separator: str) -> list[str]:
    """Column names of a CSV file, which may hold line breaks inside quotes."""
    try:
        with _opened(file) as data:
            lines = (
                line.decode("utf-8-sig" if at == 0 else "utf-8") for at, line in enumerate(data)
            )
            return next(csv.reader(lines, delimiter=separator), [])
    except (ValueError, UnicodeDecodeError, csv.Error):
        raise InputError(
            f"{file.shown} is not readable text; give a CSV file in UTF-8 (iconv -t utf-8 "
            "converts others)."
        ) from None


# --------------------------------------------------------------------------------------- Parquet
def _parquet(connection: duckdb.DuckDBPyConnection, file: ScoreFile) -> Relation:
    path = file.path
    if file.zipped:  # Parquet is read from its end, so it is unpacked whole
        path = Path(scratch_folder(connection)) / f"{abs(hash(file.path))}.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        with room_for_copy(file.shown), _opened(file) as packed, path.open("wb") as unpacked:
            shutil.copyfileobj(packed, unpacked)
    reader, literal = "read_parquet(?, hive_partitioning = false)", _literal(path)
    rows = connection.execute(f"DESCRIBE SELECT * FROM {reader}", [literal]).fetchall()
    return Relation(reader, (literal,), {row[0]: row[1] for row in rows}, file.shown)


# ------------------------------------------------------------------------------------------ JSON
def _json(
    connection: duckdb.DuckDBPyConnection, file: ScoreFile, wanted: Mapping[str, str]
) -> Relation:
    """Rows a line, an array of rows, or one object of columns."""
    first, alone = _first_json_line(file)
    keys: list[str] = []
    if first.startswith("["):
        layout = "array"
    else:
        layout = "newline_delimited"
        pairs = _pairs(first)
        if pairs is None or (alone and _is_one_table(dict(pairs), wanted)):
            return _json_object(connection, file, wanted)
        keys = [key for key, _ in pairs]
    options = f"format = '{layout}', hive_partitioning = false, {_compression(file)}"
    literal = _literal(file.path)
    more = connection.execute(
        f"SELECT DISTINCT unnest(json_keys(json)) FROM read_json_objects(?, {options})", [literal]
    ).fetchall()
    keys += sorted(row[0] for row in more if row[0] not in keys)
    if layout == "array" and not keys:
        raise InputError(f"{file.shown}: the array holds no JSON objects; give a row a sample.")
    for name in wanted.values():
        check_distinct(keys, name, file.shown)
    known = {name.lower(): name for name in keys}
    listed = ", ".join(f"{quoted_text(name)}: 'JSON'" for name in known.values())
    reader = f"read_json(?, {options}, columns = {{{listed}}})"
    return Relation(reader, (literal,), dict.fromkeys(known.values(), "JSON"), file.shown)


def _first_json_line(file: ScoreFile) -> tuple[str, bool]:
    """The first line with anything on it, and whether it is the only one."""
    try:
        with _opened(file) as data:
            lines = (line.decode("utf-8").strip() for line in data)
            first = next((line for line in lines if line), "")
            alone = next((False for line in lines if line), True)
    except UnicodeDecodeError:
        raise _not_json(file) from None
    if first.startswith("\ufeff"):
        raise InputError(
            f"{file.shown} starts with a byte order mark; save it as UTF-8 without one."
        )
    return first, alone


def _pairs(text: str) -> list[tuple[str, object]] | None:
    """Keys and values of a JSON object that is whole, in its order; None of anything else."""
    try:
        given = json.loads(text, object_pairs_hook=_Pairs)
    except json.JSONDecodeError:
        return None
    return list(given) if isinstance(given, _Pairs) else None


class _Pairs(list[tuple[str, object]]):
    """Keys and values of a JSON object: told from an array by its type."""


def _is_one_table(row: Mapping[str, object], wanted: Mapping[str, str]) -> bool:
    """Whether one object is a whole table: its columns are lists, or its prompts are."""
    columns = [row.get(wanted[role]) for role in ("prompt", "reward")]
    if any(column is not None for column in columns):
        return all(type(column) is list for column in columns)
    return len(row) > 0 and all(
        type(value) is list and all(isinstance(item, (int, float)) for item in value)
        for value in row.values()
    )


def _json_object(
    connection: duckdb.DuckDBPyConnection, file: ScoreFile, wanted: Mapping[str, str]
) -> Relation:
    """A file that is one object: a dict of columns, or of prompts with their rewards."""
    with _opened(file) as data:
        text = data.read(_LARGEST_OBJECT)
    try:
        given = json.loads(text)
    except (ValueError, RecursionError):
        given = None
    if not isinstance(given, dict):
        raise _not_json(file)
    if not _is_one_table(given, wanted):
        lists = [key for key, value in given.items() if isinstance(value, list)]
        raise InputError(
            f"{file.shown} is one JSON object, not a row a sample; its keys are "
            f"{first_names(list(given)) or 'none'}"
            + (f": save what {lists[0]!r} holds as an array of its own." if lists else ".")
        )
    return _table(connection, given, wanted, file.shown)


def _not_json(file: ScoreFile) -> InputError:
    return InputError(f"{file.shown}: the first line is not a JSON object; give a row a sample.")


def listed_columns(columns: Sequence[str]) -> str:
    """The first few column names for a message, shortened and printable."""
    plain = [name if name.isprintable() else ascii(name) for name in columns[:12]]
    shown = ", ".join(name if len(name) <= 40 else name[:37] + "..." for name in plain)
    return (shown + (", ..." if len(columns) > 12 else "")) or "none"


def nested_path(keys: Sequence[str]) -> str:
    """The path of nested keys in the database's own notation."""
    return "$" + "".join("." + quoted_name(key).replace('""', '\\"') for key in keys)
