"""The embedded database that reads, checks, groups and sorts scores, and the SQL of user texts.

Column names and paths come from users: they reach SQL as quoted identifiers, quoted texts and
bound parameters, whatever they contain.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from infalign_theory.errors import InputError

if TYPE_CHECKING:
    import duckdb

ALLOWED_FILES = (
    "a .csv, .tsv, .json, .jsonl, .ndjson or .parquet file, each also as .gz, a folder or a "
    "pattern of them, or - for standard input"
)


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
            first = re.sub(r"^[\w ]+ Error: ", "", str(error).splitlines()[0]).rstrip(" .")
            raise InputError(f"the scores cannot be read: {first}; give {ALLOWED_FILES}.") from None
        finally:
            if connection is not None:
                connection.close()


def _limit(connection: duckdb.DuckDBPyConnection, memory: str) -> None:
    import duckdb

    try:
        connection.execute(f"SET memory_limit = {quoted_text(memory)}")
    except duckdb.OutOfMemoryException:
        raise
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


def scratch_folder(connection: duckdb.DuckDBPyConnection) -> str:
    """Folder that is removed together with the database."""
    return str(connection.execute("SELECT current_setting('temp_directory')").fetchall()[0][0])


def first_names(names: Sequence[object]) -> str:
    """The first few names, quoted, for a message."""
    shown = ", ".join(repr(name) for name in names[:5])
    return shown + (", ..." if len(names) > 5 else "")


def quoted_name(name: str) -> str:
    """A column name as an SQL identifier, whatever it contains."""
    return '"' + name.replace('"', '""') + '"'


def quoted_text(value: str) -> str:
    """A string as an SQL literal, whatever it contains."""
    return "'" + value.replace("'", "''") + "'"
