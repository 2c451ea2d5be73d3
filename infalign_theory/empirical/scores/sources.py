"""Where scores come from: files and tables as rows of one DuckDB table with columns of known names.

Column names and paths come from users: they reach SQL as quoted identifiers and bound parameters,
whatever they contain.
"""

from __future__ import annotations

import csv
import glob
import json
import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from infalign_theory.errors import InputError

if TYPE_CHECKING:
    import duckdb
    import pandas as pd

ALLOWED_FILES = "a .csv, .jsonl, .ndjson or .parquet file, a folder or a pattern of them"
NUMBER_ROLES = ("reward", "truth", "log_ratio")
TEXT_ROLES = ("prompt", "policy", "sample")

# every value arrives as text, so that no guess from the first rows decides what the later ones are
_CSV = (
    "read_csv(?, all_varchar = true, header = true, delim = ',', quote = '\"', escape = '\"', "
    "hive_partitioning = false)"
)
_JSON = "read_json(?, format = 'newline_delimited', hive_partitioning = false, columns = {columns})"
_PARQUET = "read_parquet(?, hive_partitioning = false)"
_KINDS = {".csv": _CSV, ".jsonl": _JSON, ".ndjson": _JSON, ".parquet": _PARQUET}
_NUMERIC = re.compile(r"U?(TINY|SMALL|BIG|HUGE)?INT(EGER)?|FLOAT|DOUBLE|DECIMAL.*|BOOLEAN")


@dataclass(frozen=True)
class Part:
    """One file or table, and the policy it belongs to where files are policies."""

    label: str | None
    given: Any


@dataclass(frozen=True)
class Source:
    """Score files or tables in memory, and the columns that matter by role.

    ``columns`` maps roles (prompt, reward, and where given policy, truth, log_ratio, sample) to
    column names.
    """

    parts: tuple[Part, ...]
    columns: Mapping[str, str]

    @classmethod
    def of(cls, scores: Any, columns: Mapping[str, str | None], by_part: bool = False) -> Source:
        """From paths, a table, or with ``by_part`` one of them a policy: a mapping or paths."""
        wanted = {role: name for role, name in columns.items() if name is not None}
        for role, name in wanted.items():
            if not isinstance(name, str):
                raise InputError(f"{role} = {name!r:.60} is not a column name; give a text.")
        listed: list[tuple[str | None, list[Any]]]
        if isinstance(scores, Mapping):
            if "policy" in wanted:
                raise InputError(
                    "scores by policy name and the column that names policies are both given; "
                    "give one or the other."
                )
            if len({str(label) for label in scores}) < len(scores):
                raise InputError("two policies have the same name as text; give them others.")
            listed = [
                (str(label), list(given) if isinstance(given, (list, tuple)) else [given])
                for label, given in scores.items()
            ]
        elif isinstance(scores, (str, Path)):
            listed = [(None, [scores])]
        elif isinstance(scores, Sequence) and not isinstance(scores, bytes):
            listed = [(None, list(scores))]
        else:
            return cls((Part(None, scores),), wanted)
        if not any(given for _, given in listed):
            raise InputError(f"scores = {scores!r:.60} names no file; give {ALLOWED_FILES}.")
        parts = [
            Part(label or (policy if by_part else None), file)
            for label, given in listed
            for item in given
            for policy, file in _expanded(item)
        ]
        if by_part and not isinstance(scores, Mapping):
            _refuse_namesakes(parts)
        _refuse_twice([part.given for part in parts if isinstance(part.given, Path)])
        return cls(tuple(parts), wanted)

    @property
    def in_files(self) -> bool:
        """Whether any process that sees the same disk can read it."""
        return all(isinstance(part.given, Path) for part in self.parts)

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
        columns = {r: c for r, c in self.columns.items() if roles is None or r in roles}
        connection.execute(
            "CREATE OR REPLACE TEMP TABLE source (key UBIGINT, prompt VARCHAR, policy VARCHAR, "
            "sample VARCHAR, reward DOUBLE, truth DOUBLE, log_ratio DOUBLE, odd VARCHAR, "
            "word BOOLEAN, whole_row UBIGINT)"
        )
        for part in self.parts:
            reader, given, types = _reader(connection, part.given, columns)
            selected, label = _selection(columns, types), part.label
            policy = "CAST(? AS VARCHAR)" if label is not None else selected["policy"]
            query = (
                f"INSERT INTO source SELECT * FROM (SELECT coalesce(hash({selected['prompt']}), 0) "
                f"AS key, {selected['prompt']} AS prompt, {policy} AS policy, "
                f"{selected['sample']} AS sample, {selected['reward']} AS reward, "
                f"{selected['truth']} AS truth, {selected['log_ratio']} AS log_ratio, "
                f"{selected['odd']} AS odd, {selected['word']} AS word, "
                f"{selected['whole_row']} AS whole_row FROM {reader})"
            )
            if shares > 1:
                query += f" WHERE ((key >> 32) * {shares}) >> 32 = {share}"
            connection.execute(query, ([label] if label is not None else []) + given)


@contextmanager
def database(memory: str | None = None) -> Iterator[duckdb.DuckDBPyConnection]:
    """A database in memory that spills into a temporary folder, its errors made readable."""
    import duckdb

    with tempfile.TemporaryDirectory(prefix="infalign-") as folder:
        connection = None
        try:
            connection = duckdb.connect(
                config={"autoinstall_known_extensions": "false", "temp_directory": folder}
            )
            if memory is not None:
                _limit(connection, memory)
            yield connection
        except duckdb.OutOfMemoryException:
            raise InputError(
                f"the scores do not fit a database limit of {memory or 'this machine'}; allow it "
                "more memory (memory=, --memory)."
            ) from None
        except RuntimeError as error:
            if "interrupt" in str(error).lower():  # DuckDB's word for Ctrl-C
                raise KeyboardInterrupt from None
            raise
        except duckdb.Error as error:
            first = str(error).splitlines()[0]
            raise InputError(f"the scores cannot be read: {first}; give {ALLOWED_FILES}.") from None
        finally:
            if connection is not None:
                connection.close()


def _limit(connection: duckdb.DuckDBPyConnection, memory: str) -> None:
    import duckdb

    try:
        connection.execute(f"SET memory_limit = {_text(memory)}")
    except duckdb.Error:
        raise InputError(f"memory = {memory!r} is not possible; give a size such as 2GB.") from None


def check_memory(memory: str) -> str:
    """A size such as 2GB or 500MB, or one clear message."""
    text = memory.strip() if isinstance(memory, str) else ""
    if not re.fullmatch(r"\d+(\.\d+)?\s*[KMGT]i?B", text, flags=re.IGNORECASE) or not float(
        re.sub(r"[^\d.]", "", text)
    ):
        raise InputError(f"memory = {memory!r:.40} is not a size; give one such as '2GB'.")
    return text


def some(names: Sequence[Any]) -> str:
    """The first few names, quoted."""
    shown = ", ".join(repr(name) for name in names[:5])
    return shown + (", ..." if len(names) > 5 else "")


def _selection(columns: Mapping[str, str], types: Mapping[str, str]) -> dict[str, str]:
    """SQL of every column of ``source``; ``types`` gives DuckDB's type of each column."""
    out = {}
    for role in TEXT_ROLES:
        name = columns.get(role)
        if name is None:
            out[role] = "NULL"
        elif types[name] == "JSON":
            out[role] = f"{_quoted(name)} ->> '$'"
        else:
            out[role] = f"CAST({_quoted(name)} AS VARCHAR)"
    for role in NUMBER_ROLES:
        out[role], text, word = _number(columns.get(role), types)
        if role == "reward":
            out["odd"] = f"CASE WHEN {out[role]} IS NULL THEN coalesce({text}, '') END"
            out["word"] = word
    others = set(types) - set(columns.values())
    out["whole_row"] = "NULL"
    if others and "sample" not in columns and "reward" in columns:
        out["whole_row"] = f"hash({', '.join(_quoted(name) for name in sorted(types))})"
    return out


def _number(name: str | None, types: Mapping[str, str]) -> tuple[str, str, str]:
    """SQL of a column's finite number or NULL, of its text, and of whether it is true or false."""
    if name is None:
        return "NULL", "NULL", "FALSE"
    column = _quoted(name)
    if _NUMERIC.fullmatch(types[name]):
        value, text = f"CAST({column} AS DOUBLE)", f"CAST({column} AS VARCHAR)"
        word = "TRUE" if types[name] == "BOOLEAN" else "FALSE"
    else:
        text = f"CAST({column} AS VARCHAR)"
        if types[name] == "JSON":  # what is no number keeps its quotes or letters
            text = f"CASE WHEN json_type({column}) = 'NULL' THEN NULL ELSE {text} END"
        # a verifier's true and false are 1 and 0
        value = (
            f"CASE lower({text}) WHEN 'true' THEN 1.0 WHEN 'false' THEN 0.0 "
            f"ELSE TRY_CAST({text} AS DOUBLE) END"
        )
        word = f"coalesce(lower({text}) IN ('true', 'false'), FALSE)"
    return f"CASE WHEN isfinite({value}) THEN {value} END", text, word


def _reader(
    connection: duckdb.DuckDBPyConnection, given: Any, wanted: Mapping[str, str]
) -> tuple[str, list[str], dict[str, str]]:
    """SQL that reads one part, its parameters, and the type of every column."""
    if not isinstance(given, Path):
        return "given", [], _table_columns(connection, given, wanted)
    reader = _KINDS[given.suffix.lower()]
    # a path is meant literally: brackets keep DuckDB from reading it as a pattern
    literal = [re.sub(r"([*?\[])", r"[\1]", str(given))]
    if reader is _JSON:
        keys = _json_keys(given)
        more = connection.execute(
            "SELECT DISTINCT unnest(json_keys(json)) FROM read_json_objects(?, "
            "format = 'newline_delimited', hive_partitioning = false) "
            "WHERE json_type(json) = 'OBJECT'", literal,
        ).fetchall()  # fmt: skip
        keys += sorted(row[0] for row in more if row[0] not in keys)
        _check_columns(keys, wanted, str(given))
        known = {name.lower(): name for name in [*keys, *wanted.values()]}
        listed = ", ".join(f"{_text(name)}: 'JSON'" for name in known.values())
        return (
            reader.format(columns="{" + listed + "}"), literal,
            dict.fromkeys(known.values(), "JSON"),
        )  # fmt: skip
    if reader is _CSV:
        header = _csv_header(given)
        _check_columns(header, wanted, str(given))
    rows = connection.execute(f"DESCRIBE SELECT * FROM {reader}", literal).fetchall()
    types = {row[0]: row[1] for row in rows}
    _check_columns(list(types), wanted, str(given))
    return reader, literal, types


def _table_columns(
    connection: duckdb.DuckDBPyConnection, table: Any, wanted: Mapping[str, str]
) -> dict[str, str]:
    try:
        try:
            connection.register("given", table)
        except Exception:  # Polars without pyarrow, or text of a newer pandas
            connection.register("given", _as_pandas(table))
        described = connection.execute("DESCRIBE given").fetchall()
    except Exception:
        raise InputError(
            f"scores of type {type(table).__name__} cannot be read; give {ALLOWED_FILES}, a "
            "list of them, or a pandas, Polars or Arrow table."
        ) from None
    types = {row[0]: row[1] for row in described}
    # DuckDB renames columns that differ only in case: the table itself is asked where it can be
    names = getattr(getattr(table, "schema", None), "names", None) or getattr(table, "columns", [])
    listed = [str(name) for name in (names() if callable(names) else names)]
    _check_columns(listed or list(types), wanted, "the table")
    return types


def _as_pandas(table: Any) -> pd.DataFrame:
    """Any eager table that narwhals knows, column by column."""
    import narwhals as nw
    import pandas as pd

    frame = nw.from_native(table, eager_only=True)
    arrays = {name: frame.get_column(name).to_numpy() for name in frame.columns}
    # text as objects: pandas' own text type is news to older databases
    return pd.DataFrame({name: pd.Series(x, dtype=x.dtype) for name, x in arrays.items()})


def _json_keys(path: Path) -> list[str]:
    """Keys of the first object of a JSON lines file."""
    try:
        with path.open(encoding="utf-8") as lines:
            first = next((line for line in lines if line.strip()), "")
        if first.startswith("\ufeff"):
            raise InputError(f"{path} starts with a byte order mark; save it as UTF-8 without one.")
        given = json.loads(first, object_pairs_hook=lambda pairs: [key for key, _ in pairs])
    except (json.JSONDecodeError, UnicodeDecodeError):
        given = None
    if not isinstance(given, list) or not all(isinstance(key, str) for key in given):
        raise InputError(f"{path}: the first line is not a JSON object; give a row a sample.")
    return given


def _csv_header(path: Path) -> list[str]:
    """Column names of a CSV file."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as lines:
            return next(csv.reader(lines), [])
    except (ValueError, UnicodeDecodeError, csv.Error):
        raise InputError(f"{path} is not readable text; give a CSV file in UTF-8.") from None


def _check_columns(columns: Sequence[str], wanted: Mapping[str, str], where: str) -> None:
    for role, name in wanted.items():
        alike = [column for column in columns if column.lower() == name.lower()]
        if name not in columns:
            raise InputError(
                f"column {name!r} is not in {where}; there are: {_listed(columns)}. "
                f"Name columns with prompt=, reward= and policy= (--prompt, --reward, --policy)."
                if role in ("prompt", "reward", "policy")
                else f"column {name!r} ({role}=, --{role.replace('_', '-')}) is not in {where}; "
                f"there are: {_listed(columns)}."
            )
        if len(alike) > 1:
            raise InputError(
                f"columns {some(alike)} of {where} differ only in case or not at all; rename "
                "them so that one can be told from the other."
            )


def _listed(columns: Sequence[str]) -> str:
    plain = [name if name.isprintable() else ascii(name) for name in columns[:12]]
    shown = ", ".join(name if len(name) <= 40 else name[:37] + "..." for name in plain)
    return (shown + (", ..." if len(columns) > 12 else "")) or "none"


def _expanded(name: Any) -> list[tuple[str, Any]]:
    """(policy name, file) of all files that a path, a folder or a pattern stands for.

    A folder is one policy under its own name, other files are called by their stems. A table
    stands for itself.
    """
    if not isinstance(name, (str, Path)):
        if isinstance(name, (bytes, int, float, type(None))):
            raise InputError(f"{name!r:.60} is not a path; give {ALLOWED_FILES}.")
        return [("", name)]
    try:
        path = Path(name)
        folder = path.is_dir()
        if folder:
            found = sorted(f for f in path.iterdir() if f.suffix.lower() in _KINDS)
        elif path.exists() or not glob.has_magic(str(path)):
            found = [path]
        else:
            found = [Path(f) for f in sorted(glob.glob(str(path), recursive=True))]
        missing = [f for f in found if not f.exists()]
    except (TypeError, ValueError, OSError):
        raise InputError(f"{name!r:.60} is not a path; give {ALLOWED_FILES}.") from None
    if missing or not found:
        what = "holds no score file" if folder else "no such file"
        raise InputError(f"{path}: {what}; give {ALLOWED_FILES}.")
    for file in found:
        if not file.is_file() or file.suffix.lower() not in _KINDS:
            raise InputError(f"{file}: not a score file; give {ALLOWED_FILES}.")
        if file.stat().st_size == 0:
            raise InputError(f"{file} is empty; it must hold a row a sample.")
    return [(path.resolve().name if folder else file.stem, file) for file in found]


def _refuse_namesakes(parts: list[Part]) -> None:
    """Files of one name in two places are two policies, unless a folder makes them one."""
    homes: dict[str | None, Path] = {}
    for part in parts:
        if isinstance(part.given, Path):
            file = part.given.resolve()
            home = file.parent if part.label == file.parent.name else file
            if homes.setdefault(part.label, home) != home:
                raise InputError(
                    f"two policies would be called {part.label!r}; give them names: a mapping of "
                    "names to files, or a column with policy= (--policy)."
                )


def _refuse_twice(files: list[Path]) -> None:
    seen = set()
    for file in files:
        if file.resolve() in seen:
            raise InputError(f"{file} is given twice; its samples would count double. Give once.")
        seen.add(file.resolve())


def _quoted(name: str) -> str:
    """A column name as an SQL identifier, whatever it contains."""
    return '"' + name.replace('"', '""') + '"'


def _text(value: str) -> str:
    """A string as an SQL literal, whatever it contains."""
    return "'" + value.replace("'", "''") + "'"
