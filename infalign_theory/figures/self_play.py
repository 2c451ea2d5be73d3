"""Self-play: which step settles, and what its equilibrium wins."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes

from infalign_theory.comparison.frontiers import frontier
from infalign_theory.figures.spec import Drawing, Table, canvas
from infalign_theory.optima.self_play import Equilibrium, equilibrium
from infalign_theory.plotting.style import (
    BLACK,
    BLUE,
    DASHED,
    DOTTED,
    ORANGE,
    VERMILLION,
    style_of,
)

PROCEDURE = "bon:4"
BETA = 0.2
STEPS = (1.0, 0.5, 0.25)
BETAS = (1.2, 0.5, 0.3, 0.2)
_ROUNDS = 24
_CERTAIN = 8  # decimals of a distance after so many rounds
_LINES: tuple[dict[str, Any], ...] = (
    {"color": VERMILLION, "linestyle": "-", "marker": "^"},
    {"color": BLUE, "linestyle": DASHED, "marker": "o"},
    {"color": ORANGE, "linestyle": DOTTED, "marker": "s"},
)


def self_play() -> Drawing:
    """Rounds of self-play under Best-of-4, and the equilibria beside the optimum."""
    figure = canvas(3.9, "Self-play under Best-of-4: plain rounds cycle, mixed ones settle")
    grid = figure.add_gridspec(1, 2, left=0.085, right=0.985, bottom=0.14, top=0.84, wspace=0.24)
    left, right = (figure.add_subplot(grid[0, at]) for at in range(2))
    found = [equilibrium(PROCEDURE, beta=beta) for beta in BETAS]
    return Drawing(figure, {"": _rounds(left, found[-1]), "-equilibria": _equilibria(right, found)})


def _rounds(ax: Axes, settled: Equilibrium) -> Table:
    table = Table(("step", "round", "distance"))
    for step, style in zip(STEPS, _LINES, strict=True):
        distances = settled.play(step, _ROUNDS).distances
        label = "plain best responses (step 1)" if step == 1.0 else f"mixed, step {step:g}"
        ax.plot(distances, markersize=4.0, markevery=3, label=label, **style)
        table.rows.extend(
            (step, turn, round(float(d), _CERTAIN)) for turn, d in enumerate(distances)
        )
    ax.set_yscale("log")
    ax.set_xlabel("Round of self-play")
    ax.set_ylabel("Total variation to the equilibrium")
    ax.set_title(f"β = {BETA:g}; settles below step {settled.critical_step:.2f}")
    ax.legend(loc="lower left")
    return table


def _equilibria(ax: Axes, found: list[Equilibrium]) -> Table:
    table = Table(("policy", "kl", "win_rate"))
    budgets = np.geomspace(0.01, max(one.kl for one in found), 40)
    for name in ("optimal", "identity"):
        curve = frontier(name, PROCEDURE, kl=budgets)
        ax.plot(curve.kl, curve.win_rate, **style_of(name).line())
        table.rows.extend(
            (name, float(kl), float(won)) for kl, won in zip(curve.kl, curve.win_rate, strict=True)
        )
    points = [(one.kl, one.win_rate) for one in found]
    ax.plot(
        *zip(*points, strict=True),
        color=BLACK,
        linestyle="none",
        marker="D",
        markersize=6.0,
        markerfacecolor="white",
        label="equilibrium of self-play",
        zorder=10,
    )
    table.rows.extend(("equilibrium", kl, won) for kl, won in points)
    ax.set_xlabel("KL in nats")
    ax.set_ylabel("Best-of-4 win rate against the base")
    ax.set_title("What the equilibrium wins")
    ax.legend(loc="lower right")
    return table
