"""Attacker's tries against the aligned model and against the base."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.image import AxesImage
from matplotlib.patheffects import withStroke

from infalign_theory.figures.spec import Drawing, Table, canvas
from infalign_theory.plotting.style import BLACK, style_of
from infalign_theory.policies.alignment import align
from infalign_theory.policies.win_rates import win_rate

KL = 0.5
TRIES = (1, 2, 4, 8, 16, 32)
TRANSFORMS = ("identity", "exp:-10", "exp:10")


def attackers() -> Drawing:
    """Win rate of the aligned model under N tries against the base under M tries."""
    table = Table(("transform", "kl", "tries_aligned", "tries_base", "win_rate"))
    figure = canvas(3.9, f"Attackers with unequal numbers of tries, at {KL:g} nats")
    grid = figure.add_gridspec(
        1,
        4,
        left=0.075,
        right=0.935,
        bottom=0.14,
        top=0.80,
        wspace=0.12,
        width_ratios=(1, 1, 1, 0.05),
    )
    axes = [figure.add_subplot(grid[0, at]) for at in range(3)]
    for transform, ax in zip(TRANSFORMS, axes, strict=True):
        policy = align(transform, kl=KL)
        won = np.array(
            [
                [win_rate(policy, f"won:{n}", against_procedure=f"won:{m}") for n in TRIES]
                for m in TRIES
            ]
        )
        for row, m in zip(won, TRIES, strict=True):
            table.rows.extend(
                (transform, KL, n, m, float(w)) for n, w in zip(TRIES, row, strict=True)
            )
        image = ax.imshow(won, origin="lower", cmap="RdBu", vmin=0.0, vmax=1.0, aspect="auto")
        ax.contour(won, levels=[0.5], colors=BLACK, linewidths=1.0)
        _label(ax, image, style_of(transform).label)
    axes[0].set_ylabel("Tries against the base")
    for ax in axes[1:]:
        ax.tick_params(labelleft=False)
    bar = figure.colorbar(image, cax=figure.add_subplot(grid[0, 3]))
    bar.set_label("Win rate of the aligned model's worst")
    return Drawing(figure, {"": table})


def _label(ax: Axes, image: AxesImage, title: str) -> None:
    """Numbers in the cells, so that the map reads without colour, and clear of the line."""
    for (m, n), value in np.ndenumerate(image.get_array()):
        shade = "white" if abs(value - 0.5) > 0.33 else "black"
        text = ax.text(n, m, f"{value:.2f}", ha="center", va="center", fontsize=9.0, color=shade)
        text.set_path_effects([withStroke(linewidth=3.0, foreground=image.to_rgba(value))])
    ticks = range(len(TRIES))
    ax.set_xticks(ticks, [str(n) for n in TRIES])
    ax.set_yticks(ticks, [str(n) for n in TRIES])
    ax.grid(visible=False)
    ax.set_xlabel("Tries against the aligned model")
    ax.set_title(title, fontsize=10.5)
