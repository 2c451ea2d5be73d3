"""Score tables from files or memory, grouped by prompt.

DuckDB reads, checks, groups and sorts; what leaves this module are flat arrays.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from infalign_theory.errors import InputError
from infalign_theory.types import Array, IntArray

if TYPE_CHECKING:
    import duckdb

_READERS = {
    ".csv": "read_csv(?, all_varchar = true, header = true)",
    ".jsonl": "read_json(?, format = 'newline_delimited')",
    ".ndjson": "read_json(?, format = 'newline_delimited')",
    ".parquet": "read_parquet(?)",
}
_ALLOWED_FILES = "a .csv, .jsonl, .ndjson or .parquet file"


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
        finite; the message counts them and names the first.
    """
    import duckdb

    connection = duckdb.connect(config={"autoinstall_known_extensions": "false"})
    try:
        _load(connection, scores)
        columns = [row[0] for row in connection.execute("DESCRIBE source").fetchall()]
        wanted = [prompt, reward] + ([policy] if policy is not None else [])
        for name in wanted:
            if name not in columns:
                raise InputError(
                    f"column {name!r} is not in the scores; there are: {', '.join(columns)}. "
                    "Name columns with prompt=, reward= and policy= (--prompt, --reward, --policy)."
                )
        _select(connection, prompt, reward, policy, base)
        _refuse_bad_rewards(connection, reward)
        return _grouped(connection)
    except duckdb.Error as error:
        first = str(error).splitlines()[0]
        raise InputError(f"the scores cannot be read: {first}; give {_ALLOWED_FILES}.") from None
    finally:
        connection.close()


def _load(connection: duckdb.DuckDBPyConnection, scores: Any) -> None:
    """Make a table ``source`` of whatever was given."""
    if isinstance(scores, (str, Path)):
        scores = [scores]
    if isinstance(scores, Sequence):
        if not scores:
            raise InputError("no score files given; name at least one.")
        for number, name in enumerate(scores):
            path = _checked(name)
            reader = _READERS[path.suffix.lower()]
            verb = "CREATE TEMP TABLE source AS" if number == 0 else "INSERT INTO source BY NAME"
            connection.execute(f"{verb} SELECT * FROM {reader}", [str(path)])
        return
    try:
        connection.register("given", scores)
    except Exception:
        raise InputError(
            f"scores of type {type(scores).__name__} cannot be read; give {_ALLOWED_FILES}, a "
            "list of them, or a pandas, Polars or Arrow table."
        ) from None
    connection.execute("CREATE TEMP TABLE source AS SELECT * FROM given")


def _checked(name: Any) -> Path:
    path = Path(name)
    if not path.exists():
        raise InputError(f"{path}: no such file; give {_ALLOWED_FILES}.")
    if not path.is_file() or path.suffix.lower() not in _READERS:
        raise InputError(f"{path}: not a score file; give {_ALLOWED_FILES}.")
    if path.stat().st_size == 0:
        raise InputError(f"{path} is empty; it must hold a row a sample.")
    return path


def _quoted(name: str) -> str:
    """A column name as an SQL identifier, whatever it contains."""
    return '"' + name.replace('"', '""') + '"'


def _select(
    connection: duckdb.DuckDBPyConnection,
    prompt: str,
    reward: str,
    policy: str | None,
    base: str | None,
) -> None:
    condition, values = "", []
    if policy is not None:
        column = f"CAST({_quoted(policy)} AS VARCHAR)"
        names = [
            r[0]
            for r in connection.execute(
                f"SELECT DISTINCT {column} FROM source ORDER BY 1"
            ).fetchall()
        ]
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
            condition, values = f" WHERE {column} = ?", [base]
    elif base is not None:
        raise InputError(f"base = {base!r} needs the column that names policies; give policy=.")
    connection.execute(
        f"CREATE TEMP TABLE chosen AS SELECT CAST({_quoted(prompt)} AS VARCHAR) AS prompt, "
        f"CAST({_quoted(reward)} AS VARCHAR) AS given, "
        f"TRY_CAST({_quoted(reward)} AS DOUBLE) AS reward FROM source{condition}",
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
