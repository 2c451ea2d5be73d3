"""Alignment methods at equal KL."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes

from infalign_theory.figures.spec import Drawing, Table, canvas
from infalign_theory.methods.tables import Row, table
from infalign_theory.plotting.style import BLUE, VERMILLION

KL = 0.5
PANELS = (("bon:4", "Best-of-4", VERMILLION), ("won:4", "Worst-of-4", BLUE))
_SHOWN = 4  # names of methods that share a law


def methods() -> Drawing:
    """Regret of every method, those of one law together, under Best-of-4 and Worst-of-4."""
    found = {procedure: table(procedure, kl=KL).rows for procedure, _, _ in PANELS}
    groups = _groups(found["bon:4"])
    numbers = Table(
        ("panel", "method", "transform", "divergence", "procedure", "kl", "win_rate", "regret")
    )
    figure = canvas(5.2, f"Alignment methods at equal KL, {KL:g} nats")
    grid = figure.add_gridspec(1, 2, left=0.36, right=0.97, bottom=0.11, top=0.87, wspace=0.1)
    axes = [figure.add_subplot(grid[0, at]) for at in range(2)]
    for ax, (procedure, title, color) in zip(axes, PANELS, strict=True):
        lost = {(row.transform, row.divergence): row.regret for row in found[procedure]}
        _bars(ax, [lost[law] for law in groups], color)
        ax.set_title(title)
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
    return Drawing(figure, {"": numbers})


def _groups(rows: Sequence[Row]) -> dict[tuple[str, str], list[str]]:
    """Methods of the same transform and divergence, in the order of the rows."""
    out: dict[tuple[str, str], list[str]] = {}
    for row in rows:
        out.setdefault((row.transform, row.divergence), []).append(row.method)
    return out


def _label(names: list[str], law: tuple[str, str]) -> str:
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
