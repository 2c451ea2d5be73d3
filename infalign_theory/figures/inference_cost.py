"""Inference without training: what draws buy against what KL buys."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from infalign_theory.comparison.frontiers import frontier
from infalign_theory.figures.spec import Drawing, Table, canvas, shared_legend
from infalign_theory.plotting.style import (
    BLACK,
    BLUE,
    DASHDOT,
    DASHED,
    DOTTED,
    GREEN,
    ORANGE,
    VERMILLION,
)
from infalign_theory.policies.alignment import align
from infalign_theory.policies.inference import inferred
from infalign_theory.policies.win_rates import win_rate

N = (1, 2, 4, 8, 16, 32, 64)
STRENGTHS = (0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0)
BEST = "bon"
TILTS = np.geomspace(0.01, 3.6, 60)


@dataclass(frozen=True)
class Sampler:
    """A way to spend draws: the procedures along its curve, and how it is drawn."""

    label: str
    procedures: tuple[str, ...]
    style: dict[str, Any]


SAMPLERS = (
    Sampler(
        "best-of-N",
        tuple(f"{BEST}:{n}" for n in N),
        {"color": VERMILLION, "linestyle": "-", "marker": "^"},
    ),
    Sampler(
        "soft best-of-N, weights exp(5u)",
        tuple(f"soft:{n}@5" for n in N),
        {"color": BLUE, "linestyle": DASHED, "marker": "o"},
    ),
    Sampler(
        "rejection to the tilt exp(ku)",
        tuple(f"reject:{k:g}" for k in STRENGTHS),
        {"color": ORANGE, "linestyle": DASHDOT, "marker": "s"},
    ),
    Sampler(
        "rewind until u ≥ 0.8, at most N",
        tuple(f"rewind:{n}@0.8" for n in N),
        {"color": GREEN, "linestyle": DOTTED, "marker": "D"},
    ),
)


def inference_cost() -> Drawing:
    """Win rate against one base sample: by expected draws, and by the KL that the answers have."""
    figure = canvas(4.2, "Inference without training: what draws buy, and what KL buys")
    grid = figure.add_gridspec(1, 2, left=0.075, right=0.985, bottom=0.28, top=0.86, wspace=0.2)
    axes = [figure.add_subplot(grid[0, at]) for at in range(2)]
    table = Table(("sampler", "procedure", "draws", "kl", "win_rate"))
    for sampler in SAMPLERS:
        points = np.array([_answers(procedure) for procedure in sampler.procedures])
        axes[0].plot(
            points[:, 0], points[:, 2], label=sampler.label, markersize=5.0, **sampler.style
        )
        alone = sampler.style | {"linestyle": "none"}
        axes[1].plot(points[:, 1], points[:, 2], markersize=5.0, zorder=4, **alone)
        table.rows.extend(
            (sampler.label, procedure, *map(float, row))
            for procedure, row in zip(sampler.procedures, points, strict=True)
        )
    best = frontier("optimal", "standard", kl=TILTS)
    axes[1].plot(best.kl, best.win_rate, color=BLACK, linewidth=1.2, label="trained, the optimum")
    table.rows.extend(
        ("trained", "optimal", None, float(kl), float(won))
        for kl, won in zip(best.kl, best.win_rate, strict=True)
    )
    _labels(axes)
    shared_legend(figure, (0.05, 0.0, 0.9, 0.15), axes, columns=3)
    return Drawing(figure, {"": table})


def _answers(procedure: str) -> tuple[float, float, float]:
    """Expected draws, KL and win rate of the answers of an untrained model."""
    base = align("identity", kl=0.0)
    if procedure.startswith(BEST):
        n = int(procedure.partition(":")[2])
        won = win_rate(base, procedure, against_procedure="standard")
        return float(n), float(np.log(n) - (n - 1) / n), won
    answer = inferred(base, procedure)
    return answer.draws, max(answer.kl, 0.0), answer.mean


def _labels(axes: list[Axes]) -> None:
    axes[0].set_xscale("log", base=2)
    axes[0].set_xticks([2.0**j for j in range(7)], [str(2**j) for j in range(7)])
    axes[0].set_xlabel("Expected draws for one answer")
    axes[0].set_ylabel("Win rate against one base sample")
    axes[0].set_title("At equal draws")
    axes[1].set_xlabel("KL(answers ‖ base) in nats")
    axes[1].set_title("At equal KL")
    axes[1].tick_params(labelleft=False)
    for ax in axes:
        ax.set_ylim(0.48, 1.01)
