"""How a drawing becomes the same bytes on every run."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import matplotlib as mpl
import matplotlib.style
import numpy as np
from matplotlib import figure as mpl_figure

from infalign_theory.plotting.style import RC

# nothing that changes from run to run
_METADATA: dict[str, dict[str, Any]] = {
    "png": {"Software": None},
    "svg": {"Date": None, "Creator": None},
    "pdf": {"CreationDate": None, "Creator": None, "Producer": None},
}
FORMATS = tuple(_METADATA)
_NOISE = 3 / 255  # what the last digits of a coordinate may change of a pixel

__all__ = ["FORMATS", "drawing_style", "image", "same_picture"]


@contextmanager
def drawing_style() -> Iterator[None]:
    """The project's style whatever the user's settings, which are as before afterwards."""
    with mpl.style.context(["default", RC]):
        yield


def image(figure: mpl_figure.Figure, kind: str) -> bytes:
    """The figure in a format of :data:`FORMATS`, the same bytes every time."""
    stream = io.BytesIO()
    figure.savefig(stream, format=kind, metadata=_METADATA[kind])
    return stream.getvalue()


def same_picture(old: bytes, new: bytes) -> bool:
    """Whether two PNG files show the same, up to what rounding does to a pixel."""
    from matplotlib.image import imread

    try:
        first, second = (imread(io.BytesIO(content), format="png") for content in (old, new))
    except (OSError, SyntaxError, ValueError):  # not a picture
        return False
    return first.shape == second.shape and bool(np.max(np.abs(first - second)) <= _NOISE)
