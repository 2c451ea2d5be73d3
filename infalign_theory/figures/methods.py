"""Alignment methods at equal KL."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from infalign_theory.comparison.choices import Optimal, as_choice
from infalign_theory.comparison.frontiers import OPTIMAL, frontier
from infalign_theory.figures.spec import Drawing, Table, canvas, shared_legend
from infalign_theory.methods.tables import Row, table
from infalign_theory.optima.solve import optimum
from infalign_theory.plotting.style import (
    BLUE,
    DASHDOT,
    DASHED,
    DOTTED,
    GREEN,
    GREY,
    ORANGE,
    PURPLE,
    SKY,
    VERMILLION,
    style_of,
)
from infalign_theory.policies.alignment import align
from infalign_theory.policies.core import Policy
from infalign_theory.policies.win_rates import win_rate

KL = 0.5
BUDGETS = (0.05, 0.1, 0.2, KL, 1.0, 2.0)
PANELS = (("bon:4", "Best-of-4", VERMILLION), ("won:4", "Worst-of-4", BLUE))
CURVES = (("standard", "One sample"), *((text, title) for text, title, _ in PANELS))
_SHOWN = 4  # names of methods that share a law
_LINES = ("-", DASHED, DASHDOT, DOTTED)
_COLORS = (VERMILLION, BLUE, GREEN, ORANGE, PURPLE, SKY, GREY)
_MARKERS = "^ospDPvX<>"

Law = tuple[str, str]


def methods() -> Drawing:
    """Win rate of every law of methods against KL, and its regret at half a nat."""
    found = {procedure: table(procedure, kl=KL).rows for procedure, _, _ in PANELS}
    groups = _groups(found["bon:4"])
    figure = canvas(8.6, "Alignment methods at equal KL")
    top = figure.add_gridspec(1, 3, left=0.075, right=0.985, bottom=0.7, top=0.92, wspace=0.2)
    upper = [figure.add_subplot(top[0, at]) for at in range(3)]
    curves = _curves(upper, groups)
    shared_legend(figure, (0.04, 0.53, 0.92, 0.12), upper, columns=3)
    low = figure.add_gridspec(1, 2, left=0.36, right=0.97, bottom=0.06, top=0.5, wspace=0.1)
    axes = [figure.add_subplot(low[0, at]) for at in range(2)]
    numbers = Table(
        ("panel", "method", "transform", "divergence", "procedure", "kl", "win_rate", "regret")
    )
    for ax, (procedure, title, color) in zip(axes, PANELS, strict=True):
        lost = {(row.transform, row.divergence): row.regret for row in found[procedure]}
        _bars(ax, [lost[law] for law in groups], color)
        ax.set_title(f"{title}, {KL:g} nats")
        numbers.rows.extend(
            (
                title,
                row.method,
                row.transform,
                row.divergence,
                procedure,
                row.kl,
                row.win_rate,
                row.regret,
            )
            for row in found[procedure]
        )
    labels = [_label(names, law) for law, names in groups.items()]
    axes[0].set_yticks(range(len(groups)), labels)
    axes[1].set_yticks(range(len(groups)), [""] * len(groups))
    return Drawing(figure, {"": numbers, "-curves": curves})


def _groups(rows: Sequence[Row]) -> dict[Law, list[str]]:
    """Methods of the same transform and divergence, in the order of the rows."""
    out: dict[Law, list[str]] = {}
    for row in rows:
        out.setdefault((row.transform, row.divergence), []).append(row.method)
    return out


def _policy(law: Law, kl: float) -> Policy:
    choice = as_choice(law[0])
    if isinstance(choice, Optimal):
        assert choice.procedure is not None
        return optimum(choice.procedure, kl=kl, against_procedure=choice.against_procedure).policy
    return align(choice, kl=kl, divergence=law[1])


def _curves(axes: list[Axes], groups: dict[Law, list[str]]) -> Table:
    """Win rate against KL, the optimum on top."""
    numbers = Table(("transform", "divergence", "procedure", "kl", "win_rate"))
    won = {
        law: np.array(
            [
                [win_rate(policy, procedure) for procedure, _ in CURVES]
                for policy in (_policy(law, kl) for kl in BUDGETS)
            ]
        )
        for law in groups
    }
    for at, (ax, (procedure, title)) in enumerate(zip(axes, CURVES, strict=True)):
        for turn, (law, names) in enumerate(groups.items()):
            rates = won[law][:, at]
            ax.plot(BUDGETS, rates, label=_short(names), **_look(turn))
            numbers.rows.extend(
                (*law, procedure, kl, float(w)) for kl, w in zip(BUDGETS, rates, strict=True)
            )
        best = frontier(OPTIMAL, procedure, kl=BUDGETS)
        ax.plot(best.kl, best.win_rate, **style_of(OPTIMAL).line())
        numbers.rows.extend(
            (OPTIMAL, "kl", procedure, kl, float(w))
            for kl, w in zip(BUDGETS, best.win_rate, strict=True)
        )
        ax.set_xscale("log")
        ax.set_xticks(BUDGETS, [f"{kl:g}" for kl in BUDGETS])
        ax.minorticks_off()
        ax.set_title(title)
        ax.set_xlabel("KL in nats")
    axes[0].set_ylabel("Win rate")
    return numbers


def _look(turn: int) -> dict[str, Any]:
    """A look that no other line shares, in colour or in grey."""
    return {
        "color": _COLORS[turn % len(_COLORS)],
        "linestyle": _LINES[turn % len(_LINES)],
        "marker": _MARKERS[turn % len(_MARKERS)],
        "markersize": 4.5,
        "linewidth": 1.2,
    }


def _short(names: list[str]) -> str:
    return ", ".join(names[:2]) + (f" and {len(names) - 2} more" if len(names) > 2 else "")


def _label(names: list[str], law: Law) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    transform = law[0].split("|")[0]
    return f"{', '.join(names[:_SHOWN])}{more}\n{transform} under {law[1]}"


def _bars(ax: Axes, lost: list[float], color: str) -> None:
    ax.barh(range(len(lost)), lost, height=0.55, color=color)
    for at, value in enumerate(lost):
        ax.text(value + 0.004, at, f"{value:.4f}", va="center", fontsize=9.0)
    ax.set_xlim(0.0, 1.25 * max(lost))
    ax.invert_yaxis()
    ax.grid(visible=False, axis="y")
    ax.set_xlabel("Regret in win rate")
