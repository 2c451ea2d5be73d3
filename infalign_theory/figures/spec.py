"""What a theory figure is: its drawing, its numbers, its common parts."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

from matplotlib import figure as mpl_figure
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

Cell: TypeAlias = str | float | int | None
WIDTH = 9.0  # inches: 900 px of a README show 9.5 pt text at about 13 px


@dataclass(frozen=True)
class Table:
    """Plotted numbers: columns and rows, in plotting order; None is an empty cell."""

    columns: tuple[str, ...]
    rows: list[tuple[Cell, ...]] = field(default_factory=list)

    def csv(self) -> bytes:
        """CSV with the digits that are certain and newline line ends.

        Win rates, their differences and scaled transforms are certain to 1e-10, other numbers
        relatively.
        """
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(self.columns)
        writer.writerows(
            [_cell(column, value) for column, value in zip(self.columns, row, strict=True)]
            for row in self.rows
        )
        return text.getvalue().encode()


_DECIMALS = 10
# certain to 1e-10, like the win rate; a scaled transform is a difference of numbers of size 1
_ABSOLUTE = {"win_rate", "optimal", "regret", "value", "objective", "scaled_transform"}
_DIGITS = {"best_exponent": 8, "achieved": 8}  # significant; of others 10


def _cell(column: str, value: Cell) -> str:
    if value is None:
        return ""
    if not isinstance(value, float):
        return str(value)
    certain = round(value, _DECIMALS) + 0.0 if column in _ABSOLUTE else value
    return f"{certain:.{_DIGITS.get(column, _DECIMALS)}g}"


def same_numbers(old: bytes, new: bytes) -> bool:
    """Whether two CSV files differ by no more than the rounding of their last digits."""
    if old == new:
        return True
    try:
        first, second = (list(csv.reader(io.StringIO(text.decode()))) for text in (old, new))
    except (UnicodeDecodeError, csv.Error):
        return False
    if not first or len(first) != len(second) or first[0] != second[0]:
        return False
    return all(
        len(one) == len(other) == len(first[0]) and all(map(_same_cell, first[0], one, other))
        for one, other in zip(first[1:], second[1:], strict=True)
    )


def _same_cell(column: str, one: str, other: str) -> bool:
    if one == other:
        return True
    unit = 10.0 ** (1 - _DIGITS.get(column, _DECIMALS))
    allowed = {"rel_tol": 1.5 * unit, "abs_tol": 0.0}
    if column in _ABSOLUTE:
        allowed = {"rel_tol": 0.0, "abs_tol": 1.5 * 10.0**-_DECIMALS}
    try:
        return math.isclose(float(one), float(other), **allowed)
    except ValueError:
        return False


@dataclass(frozen=True)
class Drawing:
    """A drawn figure with its numbers: ``tables`` maps a file name suffix to a table."""

    figure: mpl_figure.Figure
    tables: dict[str, Table]


@dataclass(frozen=True)
class Figure:
    """One theory figure.

    Attributes
    ----------
    name : str
        Its file name without ending, and its name on the command line.
    title : str
        One line: what it is.
    shows : str
        One sentence: what it shows.
    draw : callable
        Makes the :class:`Drawing`; call inside :func:`drawing_style`.
    """

    name: str
    title: str
    shows: str
    draw: Callable[[], Drawing]


@dataclass(frozen=True)
class Result:
    """A figure that was made: its files and what it shows.

    ``unchanged`` are those of its files that showed the same already, to the last certain digit,
    and were left as they are.
    """

    name: str
    title: str
    shows: str
    files: tuple[Path, ...]
    seconds: float
    unchanged: tuple[Path, ...] = ()


def canvas(height: float, title: str) -> mpl_figure.Figure:
    """An empty figure of the common width (inches), without touching pyplot."""
    figure = mpl_figure.Figure(figsize=(WIDTH, height))
    figure.suptitle(title, x=0.012, y=1.0 - 0.12 / height, ha="left", va="top", weight="bold")
    return figure


def shared_legend(
    figure: mpl_figure.Figure,
    box: tuple[float, float, float, float],
    axes: Sequence[Axes],
    columns: int,
    order: Sequence[str] = (),
) -> Axes:
    """One legend for all panels, in a place of its own: ``box`` is left, bottom, width, height.

    ``order`` puts labels first, column by column; an empty one leaves its cell blank.
    """
    place = figure.add_axes(box)
    place.set_axis_off()
    handles: dict[str, Any] = {}
    for ax in axes:
        for handle, label in zip(*ax.get_legend_handles_labels(), strict=True):
            handles.setdefault(label, handle)
    labels = [*order, *(label for label in handles if label not in order)]
    blank = Line2D([], [], linestyle="none")
    place.legend(
        [handles.get(label, blank) for label in labels],
        labels,
        loc="center",
        ncols=columns,
        borderaxespad=0.0,
        columnspacing=1.6,
        labelspacing=0.6,
    )
    return place
