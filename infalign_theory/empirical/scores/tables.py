"""Tables in memory, of whatever library or none, as something the database can scan."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Protocol, TypeAlias, TypeGuard, cast

import numpy as np

from infalign_theory.errors import InputError

if TYPE_CHECKING:
    import duckdb
    import pandas as pd
    from narwhals.typing import IntoDataFrame


class ArrowTable(Protocol):
    """A table that hands out Arrow data: Polars, Arrow, recent pandas and many others."""

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object: ...


class LazyTable(Protocol):
    """A query that becomes a table when asked: a Polars LazyFrame."""

    def collect(self) -> ArrowTable: ...


Table: TypeAlias = "pd.DataFrame | ArrowTable | LazyTable | duckdb.DuckDBPyRelation"
Column: TypeAlias = "Sequence[object] | np.ndarray[tuple[int, ...], np.dtype[np.generic]]"
Records: TypeAlias = "Sequence[Mapping[str, object]] | Mapping[str, Column]"

_TABLES = "a pandas, Polars or Arrow table, a list of dicts or a dict of columns"


def is_records(given: object) -> TypeGuard[Sequence[Mapping[str, object]]]:
    """Whether it is a list of dicts, a row each."""
    return isinstance(given, (list, tuple)) and bool(given) and isinstance(given[0], Mapping)


def is_columns(given: object, wanted: Mapping[str, str]) -> TypeGuard[Mapping[str, Column]]:
    """Whether a mapping is one table: a dict of columns, or one of prompts to lists of rewards."""
    if not isinstance(given, Mapping) or not given:
        return False
    names = {name for role in ("prompt", "reward") for name in _heads(wanted[role])}
    return bool(names & set(given)) or all(_holds_numbers(value) for value in given.values())


def _heads(name: str) -> list[str]:
    """The name, and what stands before each of its points."""
    parts = name.split(".")
    return [".".join(parts[:end]) for end in range(len(parts), 0, -1)]


def _holds_numbers(value: object) -> bool:
    if isinstance(value, np.ndarray):
        return value.ndim == 1 and value.dtype.kind in "iufb"
    plain = (int, float, np.number, np.bool_)
    return isinstance(value, (list, tuple)) and all(isinstance(item, plain) for item in value)


def as_table(given: object, wanted: Mapping[str, str]) -> object:
    """A table that the database can scan, made from records, columns or a lazy query."""
    if is_records(given):
        return _from_records(given)
    if is_columns(given, wanted):
        prompt, reward = wanted["prompt"], wanted["reward"]
        if not {*_heads(prompt), *_heads(reward)} & set(given):  # prompts with their rewards
            return _from_columns({prompt: list(given), reward: list(given.values())})
        return _from_columns(given)
    if type(given).__name__ == "LazyFrame":
        return given.collect()  # type: ignore[attr-defined]
    return given


def scannable(connection: duckdb.DuckDBPyConnection, given: object, name: str) -> None:
    """Make a table known to the database under a name, or say what can be read."""
    try:
        try:
            connection.register(name, given)
        except Exception:  # Polars without pyarrow, or text of a newer pandas
            connection.register(name, _as_pandas(given))
        connection.execute(f"DESCRIBE {name}")
    except Exception:
        raise InputError(
            f"scores of type {type(given).__name__} cannot be read; give a score file, a list of "
            f"them, or {_TABLES}."
        ) from None


def column_names(table: object) -> list[str]:
    """Names as the table itself spells them: the database joins those that differ in case only."""
    names = getattr(getattr(table, "schema", None), "names", None) or getattr(table, "columns", [])
    return [str(name) for name in (names() if callable(names) else names)]


def refuse_complex(table: object, wanted: Mapping[str, str]) -> None:
    """Complex numbers have no order: one clear message instead of the database's."""
    for name in wanted.values():
        try:
            column = table[name]  # type: ignore[index]
        except Exception:
            continue
        if getattr(getattr(column, "dtype", None), "kind", "") == "c":
            raise InputError(f"column {name!r} holds complex numbers; give real numbers.")


def _as_pandas(table: object) -> pd.DataFrame:
    """Any eager table that narwhals knows, column by column."""
    import narwhals as nw
    import pandas as pd

    frame = nw.from_native(cast("IntoDataFrame", table), eager_only=True)
    arrays = {name: frame.get_column(name).to_numpy() for name in frame.columns}
    # text as objects: pandas' own text type is news to older databases
    return pd.DataFrame({name: pd.Series(x, dtype=x.dtype) for name, x in arrays.items()})


def _from_records(rows: Sequence[Mapping[str, object]]) -> pd.DataFrame:
    for number, row in enumerate(rows):
        if not isinstance(row, Mapping):
            raise InputError(
                f"record {number} is {row!r:.60}, not a dict of columns; give a dict a sample."
            )
    names = list(dict.fromkeys(name for row in rows for name in row))
    return _from_columns({name: [row.get(name) for row in rows] for name in names})


def _from_columns(columns: Mapping[str, Column]) -> pd.DataFrame:
    import pandas as pd

    listed = {}
    for name, values in columns.items():
        if isinstance(values, (str, bytes, os.PathLike, Mapping)) or not hasattr(values, "__len__"):
            raise InputError(
                f"column {name!r:.60} is {values!r:.60}; give a list or an array, a value a row."
            )
        listed[str(name)] = values
    sizes = {name: len(values) for name, values in listed.items()}
    if len(set(sizes.values())) > 1:
        shown = ", ".join(f"{name!r}: {size}" for name, size in list(sizes.items())[:5])
        raise InputError(f"the columns differ in length ({shown}); give one value a row in each.")
    return pd.DataFrame({name: _series(name, values) for name, values in listed.items()})


def _series(name: str, values: Column) -> pd.Series[float] | pd.Series[bool] | pd.Series[str]:
    """Numbers as numbers, truth values as such, all else as text or JSON."""
    import pandas as pd

    items = values.tolist() if hasattr(values, "tolist") else list(values)
    if any(isinstance(item, (complex, np.complexfloating)) for item in items):
        raise InputError(f"column {name!r} holds complex numbers; give real numbers.")
    known = [item for item in items if item is not None]
    if known and len(known) == len(items):
        if all(isinstance(item, (bool, np.bool_)) for item in known):
            return pd.Series(np.array(known, dtype=bool))
        if all(isinstance(item, (float, np.floating)) for item in known):
            return pd.Series(np.array(known, dtype=np.float64))
    return pd.Series([_text(item) for item in items], dtype=object)


def _text(item: object) -> str | None:
    if item is None or isinstance(item, str):
        return item
    if isinstance(item, (Mapping, list, tuple, np.ndarray)):
        return json.dumps(_plain(item))
    if isinstance(item, (bool, np.bool_)):
        return "true" if item else "false"
    return repr(float(item)) if isinstance(item, (float, np.floating)) else str(item)


def _plain(item: object) -> object:
    """What JSON can hold: other numbers than finite ones become their text, to be told of."""
    if isinstance(item, Mapping):
        return {str(key): _plain(value) for key, value in item.items()}
    if isinstance(item, np.ndarray):
        return _plain(item.tolist())
    if isinstance(item, (list, tuple)):
        return [_plain(value) for value in item]
    if isinstance(item, (bool, np.bool_)) or item is None:
        return None if item is None else bool(item)
    if isinstance(item, (int, np.integer)):
        return int(item)
    if isinstance(item, (float, np.floating)) and math.isfinite(item):
        return float(item)
    return str(item)
