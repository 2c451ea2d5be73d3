"""Plates of pictures: SVG inside data URIs, the same bytes for the same numbers.

Panels are pictures of their own, so that a page can put them side by side or below each other.
The keys of a plate are pictures too, with their words beside them in the page: names that users
chose are never drawn, so neither formulas nor missing letters in them can disturb a picture.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
from matplotlib.artist import Artist
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from infalign_theory.plotting.rendering import drawing_style, image

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_SIZE = (3.9, 2.9)  # inches: what a phone shows without shrinking it much


@dataclass(frozen=True)
class Picture:
    """An image with what it shows in words; of a key, the words beside it. Size in pixels."""

    uri: str
    text: str
    width: int
    height: int


@dataclass(frozen=True)
class Plate:
    """Pictures that belong together, and the key to what is drawn in them."""

    pictures: tuple[Picture, ...]
    keys: tuple[Picture, ...]


@contextmanager
def report_style() -> Iterator[None]:
    """The house style; no text is a formula."""
    with drawing_style(), mpl.rc_context({"text.parse_math": False, "svg.fonttype": "path"}):
        yield


def empty_axes(title: str = "") -> Axes:
    """Axes of a panel, with room for a title where there is one."""
    height = 0.735 if title else 0.8
    ax = Figure(figsize=_SIZE).add_axes((0.145, 0.165, 0.825, height))
    ax.set_title(title)
    return ax


def plate(panels: Sequence[tuple[Axes, str]]) -> Plate:
    """Panels as pictures, with one key to all of them."""
    handles: dict[str, Any] = {}
    pictures = []
    for ax, text in panels:
        if ax.get_ylabel().startswith("Win rate"):
            ax.yaxis.set_major_formatter(PercentFormatter(1.0, symbol=""))
        for handle, label in zip(*ax.get_legend_handles_labels(), strict=True):
            handles.setdefault(label, handle)
        figure = ax.get_figure(root=True)
        assert figure is not None  # they were made together
        pictures.append(_picture(figure, text))
    return Plate(tuple(pictures), tuple(_key(handle, label) for label, handle in handles.items()))


def _key(handle: Artist, label: str) -> Picture:
    """The sample of a line, marker or patch that a legend would show."""
    figure = Figure(figsize=(0.5, 0.24))
    figure.legend([handle], [""], loc="center", borderpad=0.0, handletextpad=0.0, handlelength=3.4)
    return _picture(figure, label)


def _picture(figure: Figure, text: str) -> Picture:
    code = base64.b64encode(image(figure, "svg")).decode()
    width, height = (round(96 * inches) for inches in figure.get_size_inches())
    return Picture(f"data:image/svg+xml;base64,{code}", text, width, height)
