"""What the choice of divergence does, with no transform at all."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes

from infalign_theory.comparison.comparisons import compare
from infalign_theory.figures.spec import Drawing, Table, canvas, shared_legend
from infalign_theory.plotting.style import (
    BLUE,
    DASHDOT,
    DASHED,
    DOTTED,
    GREEN,
    ORANGE,
    VERMILLION,
)
from infalign_theory.policies.alignment import align

KL = 0.5
PANEL = f"At {KL:g} nats"
BUDGETS = np.geomspace(0.02, 2.0, 9)
PANELS = (("bon:4", "Best-of-4"), ("won:4", "Worst-of-4"))
STYLES: dict[str, dict[str, Any]] = {
    "kl": {"label": "reverse KL", "color": GREEN, "linestyle": "-", "marker": "o"},
    "forward-kl": {
        "label": "forward KL", "color": VERMILLION, "linestyle": DASHED, "marker": "^"
    },
    "chi2": {"label": "χ²", "color": BLUE, "linestyle": DASHDOT, "marker": "v"},
    "js": {"label": "Jensen-Shannon", "color": ORANGE, "linestyle": DOTTED, "marker": "s"},
}  # fmt: skip


def divergences() -> Drawing:
    """Effective transforms of the identity, and what each divergence loses against KL."""
    figure = canvas(3.9, "The penalty is a transform: identity reward under four divergences")
    grid = figure.add_gridspec(1, 3, left=0.07, right=0.985, bottom=0.27, top=0.82, wspace=0.34)
    axes = [figure.add_subplot(grid[0, at]) for at in range(3)]
    table = Table(("panel", "divergence", "procedure", "kl", "win_rate", "optimal", "regret"))
    for ax, (procedure, title) in zip(axes[1:], PANELS, strict=True):
        _regrets(ax, procedure, title, table)
    axes[1].set_ylabel("Regret in win rate")
    shared_legend(figure, (0.05, 0.0, 0.9, 0.1), axes, columns=4)
    return Drawing(figure, {"": table, "-effective-transforms": _effective(axes[0])})


def _effective(ax: Axes) -> Table:
    table = Table(("panel", "divergence", "u", "log_density"))
    u = np.linspace(0.005, 0.995, 199)
    for name, style in STYLES.items():
        density = align("identity", kl=KL, divergence=name).pdf(u)
        kept = density > 0.0
        values = np.log(density[kept])
        ax.plot(u[kept], values, markevery=40, markersize=4.5, **style)
        table.rows.extend(
            (PANEL, name, float(x), float(y)) for x, y in zip(u[kept], values, strict=True)
        )
    ax.set_ylim(-3.0, 3.0)
    ax.set_xlabel("Calibrated reward u")
    ax.set_ylabel("Effective transform log f(u)")
    ax.set_title(PANEL)
    return table


def _regrets(ax: Axes, procedure: str, title: str, table: Table) -> None:
    for name, style in STYLES.items():
        rows = compare("identity", procedure, kl=BUDGETS, divergence=name).rows
        ax.plot([row.kl for row in rows], [row.regret for row in rows], markersize=4.5, **style)
        table.rows.extend(
            (title, name, procedure, row.kl, row.win_rate, row.optimal, row.regret) for row in rows
        )
    ax.set_title(title)
    ax.set_xscale("log")
    ax.set_ylim(bottom=0.0)
    ax.set_xlabel("KL (nats)")
