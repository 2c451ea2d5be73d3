"""What miscalibration costs: raw rewards in place of calibrated ones."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes

from infalign_theory.comparison.frontiers import frontier
from infalign_theory.figures.spec import Drawing, Table, canvas
from infalign_theory.plotting.style import (
    BLACK,
    BLUE,
    DASHED,
    DOTTED,
    ORANGE,
    PURPLE,
    VERMILLION,
    style_of,
)
from infalign_theory.policies.alignment import align
from infalign_theory.policies.win_rates import win_rate
from infalign_theory.transforms.quantile import Quantile

KL = 0.5
SPREADS = (0.0, 0.25, 0.5, 0.75, 1.0)
BUDGETS = np.geomspace(0.02, 2.0, 9)
PROCEDURES = (("standard", "one sample"), ("bon:4", "Best-of-4"))
_LAWS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("quantile:norm", {"label": "raw, normal", "color": VERMILLION, "marker": "^"}),
    ("quantile:logistic", {"label": "raw, logistic", "color": BLUE, "linestyle": DASHED}),
    ("quantile:gumbel_r", {"label": "raw, Gumbel", "color": ORANGE, "linestyle": DOTTED}),
)


def miscalibration() -> Drawing:
    """Win rate lost to scales that differ by prompt, and to the shape of raw rewards."""
    figure = canvas(3.9, "What miscalibration costs: one β on raw rewards")
    grid = figure.add_gridspec(1, 2, left=0.085, right=0.985, bottom=0.14, top=0.84, wspace=0.24)
    left, right = (figure.add_subplot(grid[0, at]) for at in range(2))
    return Drawing(figure, {"": _spreads(left), "-shapes": _shapes(right)})


def _spreads(ax: Axes) -> Table:
    table = Table(("transform", "procedure", "spread", "kl", "win_rate"))
    policies = [align(Quantile("norm", spread), kl=KL) for spread in SPREADS]
    calibrated = align("identity", kl=KL)
    looks = ((VERMILLION, "^", "-"), (PURPLE, "o", DASHED))
    for (procedure, words), (color, marker, line) in zip(PROCEDURES, looks, strict=True):
        won = [win_rate(policy, procedure) for policy in policies]
        ax.plot(
            SPREADS, won, color=color, marker=marker, linestyle=line, label=f"raw normal, {words}"
        )
        level = win_rate(calibrated, procedure)
        ax.plot([0.0, 1.0], [level, level], color=BLACK, linewidth=1.1, linestyle=line)
        ax.text(1.0, level + 0.003, f"calibrated, {words}", ha="right", va="bottom", fontsize=9.0)
        table.rows.extend(
            ("quantile:norm", procedure, s, KL, w) for s, w in zip(SPREADS, won, strict=True)
        )
        table.rows.append(("identity", procedure, None, KL, level))
    ax.set_xlabel("Spread: deviation of log scale over prompts")
    ax.set_ylabel("Mean win rate")
    ax.set_title(f"Scales that differ by prompt, mean KL {KL:g} nats")
    ax.legend(loc="lower left")
    return table


def _shapes(ax: Axes) -> Table:
    table = Table(("transform", "procedure", "kl", "win_rate"))
    looks = [("identity", style_of("identity").line(1)), *_LAWS]
    for name, style in looks:
        curve = frontier(name, "standard", kl=BUDGETS)
        ax.plot(curve.kl, curve.win_rate, **style)
        table.rows.extend(
            (name, "standard", float(kl), float(won))
            for kl, won in zip(curve.kl, curve.win_rate, strict=True)
        )
    ax.set_xscale("log")
    ax.set_xlabel("KL in nats")
    ax.set_ylabel("Win rate of one sample")
    ax.set_title("Shape of the reward, no spread")
    ax.legend(loc="upper left")
    return table
