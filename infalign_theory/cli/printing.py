"""Results for people and programs: tables, JSON documents, progress."""

from __future__ import annotations

import dataclasses
import json
import math
import os
import shlex
import sys
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

_PATIENCE = 1.0  # seconds before a bar appears
_WIDTH = 120  # of a table that is not on a terminal


def fields(record: DataclassInstance) -> dict[str, Any]:
    """The fields of a result in their order."""
    return {f.name: getattr(record, f.name) for f in dataclasses.fields(record)}


def json_ready(value: object) -> object:
    """The same value with infinities as null, the only numbers JSON cannot hold."""
    if isinstance(value, dict):
        return {key: json_ready(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [json_ready(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def json_text(value: object) -> str:
    """One JSON document as text, infinities as null."""
    return json.dumps(json_ready(value), indent=2, allow_nan=False) + "\n"


def json_document(value: object) -> None:
    """Print one JSON document on standard output."""
    sys.stdout.write(json_text(value))


def command_line(arguments: Sequence[str]) -> str:
    """The command that was given, as a shell would take it again."""
    return shlex.join([Path(arguments[0]).name, *arguments[1:]])


def number(value: object) -> str:
    """A value as a table shows it: four significant digits, intervals to three places."""
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, tuple):
        return "[" + ", ".join(f"{item:.3f}" for item in value) + "]"
    return "-" if value is None else str(value)


def printable(text: str) -> str:
    """Text of users without control characters, which could steer a terminal."""
    return "".join(c if c.isprintable() else "?" for c in text)


def table(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Print a table on standard output."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(width=None if sys.stdout.isatty() else _WIDTH, highlight=False)
    grid = Table(box=None, pad_edge=False, header_style="bold")
    for at, column in enumerate(columns):
        numeric = all(isinstance(row[at], (int, float)) for row in rows)
        whole = numeric or all(isinstance(row[at], tuple) for row in rows)
        grid.add_column(
            column.replace("_", " "),
            justify="right" if numeric else "left",
            overflow="fold",
            no_wrap=whole,
        )
    for row in rows:
        grid.add_row(*(Text(number(cell)) for cell in row))
    console.print(grid)


@contextmanager
def working() -> Iterator[None]:
    """A bar on standard error once something takes longer than a second; it says what it is."""
    compiled = kernels_compiled()
    with steps() as step:

        def tell() -> None:
            # many an answer needs no kernel
            compiling = "numba" in sys.modules and not compiled
            step("compiling the kernels, this first time only" if compiling else "computing")

        timer = threading.Timer(_PATIENCE, tell)
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()
            timer.join()


def kernels_compiled() -> bool:
    """Whether machine code of the kernels lies in Numba's cache already."""
    from importlib.util import find_spec

    spec = find_spec("infalign_theory.kernels")
    own = [
        Path(place) / "__pycache__" for place in (spec and spec.submodule_search_locations) or ()
    ]
    set_aside = os.environ.get("NUMBA_CACHE_DIR")
    places = [Path(set_aside)] if set_aside else [*own, Path.home() / ".cache" / "numba"]
    return any(next(place.rglob("*.nbi"), None) is not None for place in places if place.is_dir())


@contextmanager
def steps() -> Iterator[Callable[[str], None]]:
    """A progress bar without a known end on standard error; tell it what starts."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    bar = Progress(
        BarColumn(24),
        TimeElapsedColumn(),
        TextColumn("{task.description}", markup=False),
        console=Console(stderr=True),
        transient=True,
    )
    task = bar.add_task("", total=None)

    def step(name: str) -> None:
        if bar.console.is_terminal:  # elsewhere a bar is an empty line
            bar.start()
        bar.update(task, description=printable(name))

    try:
        yield step
    finally:
        if bar.live.is_started:
            bar.stop()


@contextmanager
def progress(total: int) -> Iterator[Callable[[str], None]]:
    """A progress bar on standard error; tell the callable what starts before each step."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    bar = Progress(
        BarColumn(24),
        TimeElapsedColumn(),
        TextColumn("{task.description}"),
        console=Console(stderr=True),
        transient=True,
    )
    task = bar.add_task("starting", total=total)
    done = -1

    def step(name: str) -> None:
        nonlocal done
        if done < 0 and bar.console.is_terminal:  # not before the input has been found good
            bar.start()
        done += 1
        bar.update(task, description=name, completed=done)

    try:
        yield step
    finally:
        if bar.live.is_started:
            bar.stop()


def show(rows: Sequence[Mapping[str, Any]], as_json: bool) -> None:
    """Rows of equal fields: a table, or a JSON list of objects."""
    if as_json:
        json_document(rows)
    else:
        table(list(rows[0]), [list(row.values()) for row in rows])
