"""Frontiers and regrets of every transform under every procedure."""

from __future__ import annotations

from functools import cache

import numpy as np
from matplotlib import figure as mpl_figure
from matplotlib.axes import Axes

from infalign_theory.comparison.frontiers import OPTIMAL, Frontier, frontier
from infalign_theory.figures.spec import Drawing, Table, canvas, shared_legend
from infalign_theory.plotting.curves import draw_curve, plot_frontier
from infalign_theory.plotting.style import GREY, procedure_title
from infalign_theory.typing import Array

TRANSFORMS = ("identity", "log", "exp:5", "exp:10", "exp:-5", "exp:-10")
PROCEDURES = ("standard", "bon:2", "bon:4", "bon:10", "won:2", "won:4", "won:10")
LARGEST_KL = 2.0
_REGRET_AXIS = (1e-6, 0.5)  # the engine promises 1e-10; below 1e-6 nothing is worth choosing by


def budgets() -> Array:
    """KL in nats, equally spaced in its square root, in which win rates are smooth."""
    return np.linspace(0.0, np.sqrt(LARGEST_KL), 81) ** 2


@cache
def curves(procedure: str) -> dict[str, Frontier]:
    """The frontier of every transform and of the optimum; computed once for both figures."""
    kl = budgets()
    return {name: frontier(name, procedure, kl=kl) for name in (*TRANSFORMS, OPTIMAL)}


def frontiers() -> Drawing:
    """Panels of win rate against KL."""
    table = Table(("panel", "procedure", "transform", "kl", "beta", "win_rate"))
    figure, axes, box = _panels("Win rate against the base policy, at equal KL")
    for procedure, ax in zip(PROCEDURES, axes, strict=True):
        for curve in curves(procedure).values():
            plot_frontier(curve, ax)
            rows = zip(curve.kl, curve.beta, curve.win_rate, strict=True)
            panel = procedure_title(procedure)
            table.rows.extend(
                (panel, procedure, curve.name, float(k), float(b), float(w)) for k, b, w in rows
            )
        ax.set_ylim(0.49, 1.01)
    _finish(figure, axes, box, "Win rate")
    return Drawing(figure, {"": table})


def regret() -> Drawing:
    """Panels of optimal win rate minus each transform's, on a logarithmic axis."""
    table = Table(("panel", "procedure", "transform", "kl", "win_rate", "optimal", "regret"))
    figure, axes, box = _panels("Regret: win rate lost against the optimum at equal KL")
    for procedure, ax in zip(PROCEDURES, axes, strict=True):
        best = curves(procedure)[OPTIMAL].win_rate[1:]
        panel = procedure_title(procedure)
        for name in TRANSFORMS:
            curve = curves(procedure)[name]
            kl, won = curve.kl[1:], curve.win_rate[1:]
            lost = best - won
            for k, w, b, r in zip(kl, won, best, lost, strict=True):
                table.rows.append((panel, procedure, name, float(k), float(w), float(b), float(r)))
            draw_curve(ax, name, kl, np.where(lost > 0.0, lost, np.nan))
        ax.set(yscale="log", ylim=_REGRET_AXIS, xlabel="KL (nats)", title=panel)
        ax.set_yticks([1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 1e-1])
        ax.minorticks_off()
    axes[0].text(
        0.5,
        0.06,
        "identity is the optimum here:\nno regret to draw",
        ha="center",
        va="bottom",
        transform=axes[0].transAxes,
        fontsize=9.0,
        color=GREY,
    )
    _finish(figure, axes, box, "Regret in win rate")
    return Drawing(figure, {"": table})


def _panels(title: str) -> tuple[mpl_figure.Figure, list[Axes], tuple[float, float, float, float]]:
    """Standard above, a row of Best-of-N, a row of Worst-of-N; the box is free for the legend."""
    figure = canvas(8.4, title)
    grid = figure.add_gridspec(
        3, 3, left=0.075, right=0.985, bottom=0.06, top=0.915, wspace=0.12, hspace=0.42
    )
    first = figure.add_subplot(grid[0, 0])
    axes = [first]
    for row in (1, 2):
        axes += [figure.add_subplot(grid[row, c], sharex=first, sharey=first) for c in range(3)]
    free = grid[0, 1:].get_position(figure)
    return figure, axes, (free.x0, free.y0, free.width, free.height)


def _finish(
    figure: mpl_figure.Figure,
    axes: list[Axes],
    box: tuple[float, float, float, float],
    label: str,
) -> None:
    for i, ax in enumerate(axes):
        leftmost = i in (0, 1, 4)
        ax.set_ylabel(label if leftmost else "")
        ax.tick_params(labelleft=leftmost)
        ax.set_xlim(0.0, LARGEST_KL)
        ax.set_xticks([0.0, 0.5, 1.0, 1.5, 2.0])
    shared_legend(figure, box, axes, 1)
