"""The optimal transforms, and the densities of the policies at equal KL."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes

from infalign_theory.comparison.frontiers import OPTIMAL
from infalign_theory.figures.spec import Drawing, Table, canvas, shared_legend
from infalign_theory.optima.solve import optimum
from infalign_theory.plotting.curves import draw_curve, unit_scale
from infalign_theory.plotting.style import SCALED_LABEL, STYLE
from infalign_theory.policies.alignment import align
from infalign_theory.policies.core import Policy
from infalign_theory.transforms.names import as_transform

N = 4
DENSITY_KL = 0.5
# darker and more solid as the budget grows
_BUDGETS: dict[float, tuple[str, Any]] = {
    1e-6: ("#a0a0a0", (0, (1.0, 1.2))),
    0.5: ("#707070", (0, (5.0, 1.8))),
    1.0: ("#404040", (0, (7.0, 1.5, 1.5, 1.5))),
    2.0: ("#000000", "-"),
}
_MATCHED = {"bon": ("exp:5", "exp:10"), "won": ("exp:-5", "exp:-10")}
_POINTS = 201
_LEGEND = (
    *(STYLE[name].label for name in ("identity", "log", OPTIMAL)),
    "",
    *(STYLE[name].label for name in ("exp:5", "exp:10", "exp:-5", "exp:-10")),
)


def optimal_transforms() -> Drawing:
    """Top: transforms scaled to run from 0 to 1. Bottom: densities of the aligned policies."""
    shapes = Table(("panel", "procedure", "transform", "kl", "u", "scaled_transform"))
    densities = Table(("panel", "procedure", "transform", "kl", "u", "density"))
    figure = canvas(8.2, f"Optimal transforms Φ* for N = {N}, and the policies they train")
    grid = figure.add_gridspec(
        2, 2, left=0.085, right=0.985, bottom=0.2, top=0.9, wspace=0.2, hspace=0.38
    )
    axes = [figure.add_subplot(grid[row, column]) for row in (0, 1) for column in (0, 1)]
    for ax, lower, kind, words in (
        (axes[0], axes[2], "bon", "Best-of-N"),
        (axes[1], axes[3], "won", "Worst-of-N"),
    ):
        _shapes(ax, kind, f"Transforms, {words}, N = {N}", shapes)
        panel = f"Policies at KL = {DENSITY_KL:g} nats, {words}, N = {N}"
        _densities(lower, kind, panel, densities)
    for ax in axes:
        ax.set_xlim(0.0, 1.0)
        ax.set_xlabel("Calibrated reward u")
    axes[0].set_ylabel(SCALED_LABEL)
    axes[2].set_ylabel("Density relative to the base, f(u)")
    shared_legend(figure, (0.02, 0.01, 0.96, 0.11), axes, 3, _LEGEND)
    return Drawing(figure, {"": shapes, "-densities": densities})


def _shapes(ax: Axes, kind: str, panel: str, table: Table) -> None:
    procedure = f"{kind}:{N}"
    u = np.linspace(0.0, 1.0, _POINTS)

    def note(name: str, kl: float | None, values: np.ndarray) -> None:
        rows = zip(u, values, strict=True)
        table.rows.extend((panel, procedure, name, kl, float(x), float(y)) for x, y in rows)

    for name in ("identity", *_MATCHED[kind]):
        values = unit_scale(as_transform(name), u)
        draw_curve(ax, name, u, values)
        note(name, None, values)
    for kl, (color, line) in _BUDGETS.items():
        values = unit_scale(optimum(procedure, kl=kl).transform, u)
        label = f"Φ*, KL = {kl:g} nats" if kl > 1e-3 else "Φ*, KL → 0"
        ax.plot(u, values, color=color, linestyle=line, linewidth=1.8, label=label, zorder=9)
        note(OPTIMAL, kl, values)
    ax.set_ylim(-0.02, 1.02)
    ax.set_title(panel)


def _densities(ax: Axes, kind: str, panel: str, table: Table) -> None:
    procedure = f"{kind}:{N}"
    u = np.linspace(0.0, 1.0, _POINTS)
    policies: dict[str, Policy] = {
        name: align(name, kl=DENSITY_KL) for name in ("identity", "log", *_MATCHED[kind])
    }
    policies[OPTIMAL] = optimum(procedure, kl=DENSITY_KL).policy
    for name, policy in policies.items():
        density = policy.pdf(u)
        draw_curve(ax, name, u, np.where(density > 0.0, density, np.nan))
        rows = zip(u, density, strict=True)
        table.rows.extend((panel, procedure, name, DENSITY_KL, float(x), float(y)) for x, y in rows)
    ax.axhline(1.0, color="#888888", linewidth=0.8)
    ax.set_yscale("log")
    ax.set_ylim(0.02, 30.0)
    ax.set_yticks([0.1, 1.0, 10.0], ["0.1", "1", "10"])
    ax.minorticks_off()
    ax.set_title(panel)
