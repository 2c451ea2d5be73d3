"""Score tables from files or memory, grouped by prompt.

DuckDB reads, checks, groups and sorts; what leaves this module are flat arrays.
"""

from __future__ import annotations

import csv
import glob
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from infalign_theory.errors import InputError
from infalign_theory.types import Array, IntArray

if TYPE_CHECKING:
    import duckdb

# every value arrives as text, so that no guess from the first rows decides what the later ones are
_CSV = (
    "read_csv(?, all_varchar = true, header = true, delim = ',', quote = '\"', escape = '\"', "
    "hive_partitioning = false)"
)
_JSON = "read_json(?, format = 'newline_delimited', hive_partitioning = false, columns = {columns})"
_PARQUET = "read_parquet(?, hive_partitioning = false)"
_KINDS = {".csv": _CSV, ".jsonl": _JSON, ".ndjson": _JSON, ".parquet": _PARQUET}
# a verifier's true and false are 1 and 0
_NUMBER = (
    "CASE lower(reward) WHEN 'true' THEN 1.0 WHEN 'false' THEN 0.0 "
    "ELSE TRY_CAST(reward AS DOUBLE) END"
)
_ALLOWED_FILES = "a .csv, .jsonl, .ndjson or .parquet file, a folder or a pattern of them"


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
    import duckdb

    wanted = {"prompt": prompt, "reward": reward} | ({"policy": policy} if policy else {})
    if base is not None and policy is None:
        raise InputError(f"base = {base!r} needs the column that names policies; give policy=.")
    connection = duckdb.connect(config={"autoinstall_known_extensions": "false"})
    try:
        connection.execute(
            "CREATE TEMP TABLE source (prompt VARCHAR, reward VARCHAR, policy VARCHAR)"
        )
        _load(connection, scores, wanted)
        _select(connection, policy, base)
        _refuse_bad_rewards(connection, reward)
        return _grouped(connection)
    except duckdb.Error as error:
        first = str(error).splitlines()[0]
        raise InputError(f"the scores cannot be read: {first}; give {_ALLOWED_FILES}.") from None
    finally:
        connection.close()


def _load(connection: duckdb.DuckDBPyConnection, scores: Any, wanted: dict[str, str]) -> None:
    """Fill the table ``source`` from whatever was given."""
    if isinstance(scores, (str, Path)):
        scores = [scores]
    if not isinstance(scores, Sequence):
        _load_table(connection, scores, wanted)
        return
    if isinstance(scores, bytes) or not scores:
        raise InputError(f"scores = {scores!r:.60} names no file; give {_ALLOWED_FILES}.")
    for path in [path for name in scores for path in _expanded(name)]:
        kind = _KINDS[path.suffix.lower()]
        # a path is meant literally: brackets keep DuckDB from reading it as a pattern
        literal = re.sub(r"([*?\[])", r"[\1]", str(path))
        if kind is _JSON:
            listed = ", ".join(f"{_text(name)}: 'JSON'" for name in wanted.values())
            reader = kind.format(columns="{" + listed + "}")
            _check_columns(_json_keys(path), wanted, str(path))
            values = {role: _json_value(role, name) for role, name in wanted.items()}
        else:
            reader = kind
            if kind is _CSV:
                _check_columns(_csv_header(path), wanted, str(path))
            else:
                rows = connection.execute(f"DESCRIBE SELECT * FROM {reader}", [literal]).fetchall()
                _check_columns([row[0] for row in rows], wanted, str(path))
            values = {role: f"CAST({_quoted(name)} AS VARCHAR)" for role, name in wanted.items()}
        _insert(connection, values, reader, [literal])


def _load_table(connection: duckdb.DuckDBPyConnection, table: Any, wanted: dict[str, str]) -> None:
    try:
        connection.register("given", table)
        described = connection.execute("DESCRIBE given").fetchall()
    except Exception:
        raise InputError(
            f"scores of type {type(table).__name__} cannot be read; give {_ALLOWED_FILES}, a "
            "list of them, or a pandas, Polars or Arrow table."
        ) from None
    _check_columns([str(name) for name in getattr(table, "columns", [])] or
                   [row[0] for row in described], wanted, "the table")  # fmt: skip
    values = {role: f"CAST({_quoted(name)} AS VARCHAR)" for role, name in wanted.items()}
    _insert(connection, values, "given", [])


def _insert(
    connection: duckdb.DuckDBPyConnection, values: dict[str, str], reader: str, given: list[str]
) -> None:
    policy = values.get("policy", "NULL")
    connection.execute(
        f"INSERT INTO source SELECT {values['prompt']}, {values['reward']}, {policy} FROM {reader}",
        given,
    )


def _json_value(role: str, name: str) -> str:
    """A JSON value as text; what is no number in the reward column keeps its quotes or letters."""
    column = _quoted(name)
    if role == "reward":
        return (
            f"CASE WHEN json_type({column}) = 'NULL' THEN NULL ELSE CAST({column} AS VARCHAR) END"
        )
    return f"{column} ->> '$'"


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


def _check_columns(columns: Sequence[str], wanted: dict[str, str], where: str) -> None:
    for name in wanted.values():
        alike = [column for column in columns if column.lower() == name.lower()]
        if name not in columns:
            raise InputError(
                f"column {name!r} is not in {where}; there are: {_listed(columns)}. "
                "Name columns with prompt=, reward= and policy= (--prompt, --reward, --policy)."
            )
        if len(alike) > 1:
            raise InputError(
                f"columns {_some(alike)} of {where} differ only in case or not at all; rename "
                "them so that one can be told from the other."
            )


def _listed(columns: Sequence[str]) -> str:
    plain = [name if name.isprintable() else ascii(name) for name in columns[:12]]
    shown = ", ".join(name if len(name) <= 40 else name[:37] + "..." for name in plain)
    return (shown + (", ..." if len(columns) > 12 else "")) or "none"


def _expanded(name: Any) -> list[Path]:
    """The files that a path, a folder or a pattern stands for."""
    try:
        path = Path(name)
        if path.is_dir():
            found = sorted(f for f in path.iterdir() if f.suffix.lower() in _KINDS)
        elif path.exists() or not glob.has_magic(str(path)):
            found = [path]
        else:
            found = [Path(f) for f in sorted(glob.glob(str(path), recursive=True))]
        missing = [f for f in found if not f.exists()]
    except (TypeError, ValueError, OSError):
        raise InputError(f"{name!r:.60} is not a path; give {_ALLOWED_FILES}.") from None
    if missing or not found:
        what = "holds no score file" if path.is_dir() else "no such file"
        raise InputError(f"{path}: {what}; give {_ALLOWED_FILES}.")
    for file in found:
        if not file.is_file() or file.suffix.lower() not in _KINDS:
            raise InputError(f"{file}: not a score file; give {_ALLOWED_FILES}.")
        if file.stat().st_size == 0:
            raise InputError(f"{file} is empty; it must hold a row a sample.")
    return found


def _quoted(name: str) -> str:
    """A column name as an SQL identifier, whatever it contains."""
    return '"' + name.replace('"', '""') + '"'


def _text(value: str) -> str:
    """A string as an SQL literal, whatever it contains."""
    return "'" + value.replace("'", "''") + "'"


def _select(connection: duckdb.DuckDBPyConnection, policy: str | None, base: str | None) -> None:
    """Keep the rows of one policy in a table ``chosen``."""
    condition, values = "", []
    if policy is not None:
        rows = connection.execute("SELECT DISTINCT policy FROM source ORDER BY 1").fetchall()
        names = [row[0] for row in rows]
        if base is None and len(names) > 1:
            raise InputError(
                f"column {policy!r} holds {len(names)} policies ({_some(names)}); say which is the "
                "base with base= (--base)."
            )
        if base is not None and base not in names:
            raise InputError(
                f"policy {base!r} is not in column {policy!r}, which holds {_some(names)}."
            )
        if base is not None:
            condition, values = " WHERE policy = ?", [base]
    connection.execute(
        "CREATE TEMP TABLE chosen AS SELECT prompt, reward AS given, "
        f"{_NUMBER} AS reward FROM source{condition}",
        values,
    )


def _some(names: Sequence[Any]) -> str:
    shown = ", ".join(repr(name) for name in names[:5])
    return shown + (", ..." if len(names) > 5 else "")


def _refuse_bad_rewards(connection: duckdb.DuckDBPyConnection, reward: str) -> None:
    rows = connection.execute("SELECT count(*) FROM chosen").fetchall()[0][0]
    if rows == 0:
        raise InputError("the scores hold no rows; give a row a sample.")
    missing = connection.execute("SELECT count(*) FROM chosen WHERE prompt IS NULL").fetchall()[0][
        0
    ]
    if missing:
        raise InputError(f"{missing} of {rows} rows name no prompt; fill or remove them.")
    truths = connection.execute(
        "SELECT count(*) FROM chosen WHERE lower(given) IN ('true', 'false')"
    ).fetchall()[0][0]
    if truths not in (0, rows):
        raise InputError(
            f"column {reward!r}: {truths} of {rows} rewards are truth values, the others are not; "
            "give numbers throughout, or true and false throughout."
        )
    bad = connection.execute(
        "SELECT prompt, given, count(*) OVER () FROM chosen "
        "WHERE reward IS NULL OR NOT isfinite(reward) ORDER BY prompt LIMIT 1"
    ).fetchall()
    if bad:
        prompt, value, count = bad[0]
        shown = "missing" if value is None else repr(value)
        raise InputError(
            f"column {reward!r}: {count} of {rows} rewards are not finite numbers (the first, for "
            f"prompt {prompt!r}, is {shown}); repair or remove those rows."
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
