"""Predicted win rates as bars with intervals."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

import numpy as np

from infalign_theory.plotting.curves import current_axes
from infalign_theory.plotting.style import procedure_title, style_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes


class PredictedBar(Protocol):
    """What a picture needs of a predicted row."""

    @property
    def transform(self) -> str: ...
    @property
    def procedure(self) -> str: ...
    @property
    def win_rate(self) -> float: ...
    @property
    def corrected(self) -> float: ...
    @property
    def ci(self) -> tuple[float, float] | None: ...
    @property
    def optimal(self) -> float: ...


def plot_prediction(rows: Sequence[PredictedBar], ax: Axes | None = None) -> Axes:
    """Draw a bar a row, its 95 % interval where it has one, and the optimum as a bar's end.

    Parameters
    ----------
    rows : sequence of PredictedRow
    ax : Axes, optional
        Pyplot's current axes by default.

    Returns
    -------
    Axes
    """
    ax = current_axes(ax)
    places = np.arange(len(rows))[::-1]
    styles = [style_of(row.transform) for row in rows]
    ax.barh(places, [row.win_rate for row in rows], color=[s.color for s in styles], height=0.6)
    for place, row in zip(places.tolist(), rows, strict=True):
        ax.plot([row.optimal] * 2, [place - 0.4, place + 0.4], color="black", linewidth=1.5)
        if row.ci is not None:
            reach = [[row.corrected - row.ci[0]], [row.ci[1] - row.corrected]]
            ax.errorbar(
                [row.corrected],
                [place],
                xerr=np.maximum(reach, 0.0),
                color="0.35",
                capsize=4,
                fmt="o",
                markersize=3,
            )
    one = len({row.procedure for row in rows}) == 1
    labels = [
        style.label if one else f"{style.label}, {procedure_title(row.procedure)}"
        for style, row in zip(styles, rows, strict=True)
    ]
    ax.set_yticks(places, labels)
    ax.set_xlim(0.0, 1.0)
    ax.axvline(0.5, color="0.6", linewidth=0.8, linestyle=":")
    ax.set_xlabel("Predicted win rate (line: optimum; whisker: 95 % interval)")
    if one:
        ax.set_title(procedure_title(rows[0].procedure))
    return ax
