"""The laws: the best exponent and 2N, large N, and small KL."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from infalign_theory.comparison import exponents
from infalign_theory.comparison.efficiency import first_order_efficiency
from infalign_theory.comparison.frontiers import OPTIMAL, frontier
from infalign_theory.errors import OutOfReachError, PrecisionError
from infalign_theory.figures.spec import Drawing, Table, canvas, shared_legend
from infalign_theory.plotting.curves import draw_curve
from infalign_theory.plotting.style import GREY, minus, procedure_title, style_of
from infalign_theory.typing import Array

RHO = "\N{GREEK SMALL LETTER RHO}"
WORDS = {"bon": "Best-of-N", "won": "Worst-of-N"}
SIGN = {"bon": "", "won": "-"}

# budgets and N: one hue that no transform has, darker as they grow
_LOOKS: tuple[tuple[str, Any, str], ...] = (
    ("#b3a2dc", "-", "o"),
    ("#9078c8", (0, (2.0, 1.0)), "s"),
    ("#6f4fb0", (0, (5.0, 1.6)), "D"),
    ("#4a2a86", (0, (7.0, 1.6, 1.4, 1.6)), "v"),
    ("#1c0840", (0, (1.0, 1.2)), "^"),
)

EXPONENT_NS = (2, 3, 4, 6, 8, 12, 16, 32, 64)
EXPONENT_KLS = {"bon": (1e-4, 0.1, 0.5, 1.0), "won": (1e-4, 0.1)}
EFFICIENCY_NS = tuple(int(n) for n in np.unique(np.geomspace(1, 64, 49).round()))


_LAW = "law: exponent ±2N"
_MATCHED = f"exp(2Nu), or {minus('-exp(-2Nu)')} for Worst-of-N"


def best_exponents(
    kind: str, kl: float, sizes: Sequence[int] = EXPONENT_NS
) -> list[tuple[int, float | None]]:
    """(N, best exponent); None where the engine has no exponent of the promised accuracy."""
    out: list[tuple[int, float | None]] = []
    for n in sizes:
        try:
            out.append((n, exponents.best_exponent(f"{kind}:{n}", kl=kl)))
        except (OutOfReachError, PrecisionError):  # beyond exponent 600, or not resolved
            out.append((n, None))
    return out


def best_exponent() -> Drawing:
    """Top: the best exponent with its 2N law. Bottom: first-order efficiencies."""
    exponents = Table(("panel", "procedure", "n", "kl", "best_exponent"))
    efficiencies = Table(("panel", "procedure", "n", "transform", "efficiency"))
    figure = canvas(8.2, "The best exponent, and first-order efficiency, against N")
    grid = figure.add_gridspec(
        2, 2, left=0.085, right=0.985, bottom=0.2, top=0.9, wspace=0.2, hspace=0.38
    )
    axes = [figure.add_subplot(grid[row, column]) for row in (0, 1) for column in (0, 1)]
    for column, kind in enumerate(WORDS):
        _exponent_panel(axes[column], kind, exponents)
        _efficiency_panel(axes[2 + column], kind, efficiencies)
    order = (*(f"KL = {kl:g} nats" for kl in EXPONENT_KLS["bon"]), _LAW, _MATCHED)
    shared_legend(figure, (0.02, 0.01, 0.96, 0.11), axes, 3, order)
    return Drawing(figure, {"": exponents, "-efficiency": efficiencies})


def _sizes_axis(ax: Axes, first: int, limits: tuple[float, float]) -> None:
    ticks = [n for n in (1, 2, 4, 8, 16, 32, 64) if n >= first]
    ax.set_xscale("log")
    ax.set_xticks(ticks, [str(n) for n in ticks])
    ax.set_xlim(*limits)
    ax.minorticks_off()
    ax.set_xlabel("N (samples at inference)")


def _exponent_panel(ax: Axes, kind: str, table: Table) -> None:
    panel = f"Best exponent, {WORDS[kind]}"
    ns = np.array([1.7, 75.0])
    ax.plot(ns, 2 * ns, color="#bdbdbd", linewidth=5.0, zorder=1.5, label=_LAW)
    for (color, line, marker), kl in zip(_LOOKS[3::-1], EXPONENT_KLS[kind], strict=False):
        found = best_exponents(kind, kl)
        table.rows.extend((panel, f"{kind}:{n}", n, kl, t) for n, t in found)
        known = [(n, abs(t)) for n, t in found if t is not None]
        ax.plot(
            [n for n, _ in known],
            [t for _, t in known],
            color=color,
            linestyle=line,
            marker=marker,
            markersize=4.5,
            linewidth=1.5,
            label=f"KL = {kl:g} nats",
        )
    ax.set_yscale("log")
    ax.set_yticks([3, 10, 30, 100, 300], ["3", "10", "30", "100", "300"])
    ax.set_ylim(2.0, 600.0)
    _sizes_axis(ax, 2, (1.7, 75.0))
    ax.set_ylabel("Best exponent t" if kind == "bon" else minus("Best exponent, -t"))
    ax.set_title(panel)


def _efficiency_panel(ax: Axes, kind: str, table: Table) -> None:
    panel = f"First-order efficiency, {WORDS[kind]}"
    sizes = np.array(EFFICIENCY_NS)
    _sizes_axis(ax, 1, (0.95, 68.0))
    names = ("identity", "log", "exp:5", "exp:10", "exp:-5", "exp:-10")

    def note(name: str, values: list[float]) -> None:
        rows = zip(EFFICIENCY_NS, values, strict=True)
        table.rows.extend((panel, f"{kind}:{n}", n, name, value) for n, value in rows)

    for name in names:
        values = [first_order_efficiency(name, f"{kind}:{n}") for n in EFFICIENCY_NS]
        draw_curve(ax, name, sizes, np.array(values))
        note(name, values)
    values = [first_order_efficiency(f"exp:{SIGN[kind]}{2 * n}", f"{kind}:{n}") for n in sizes]
    ax.plot(sizes, values, color=_LOOKS[3][0], linewidth=2.6, label=_MATCHED)
    note("exp:2N" if kind == "bon" else "exp:-2N", values)
    ax.set_ylim(0.0, 1.03)
    ax.set_ylabel(f"Efficiency {RHO}")
    ax.set_title(panel)


LARGE_NS = (4, 16, 64, 256, 1024)
EXPONENTIAL_NS = (4, 16, 64, 256)  # exponent 2N stays within the 600 that Exponential takes
LIMIT_N = 10**6  # stands for the limit: its own distance is of order 1e-6
SMALLEST, LARGEST = 1e-2, 10.0


def scaled_budgets() -> Array:
    """N times KL, in nats."""
    return np.geomspace(SMALLEST, LARGEST, 61)


def large_n() -> Drawing:
    """Columns: optimal win rate, its distance from the limit, regret of exponent 2N."""
    table = Table(("panel", "procedure", "n", "transform", "n_kl", "value"))
    figure = canvas(6.4, "Large N: win rates depend on N · KL alone")
    grid = figure.add_gridspec(
        2, 3, left=0.075, right=0.985, bottom=0.165, top=0.88, wspace=0.36, hspace=0.5
    )
    axes = [figure.add_subplot(grid[row, column]) for row in (0, 1) for column in range(3)]
    for row, kind in enumerate(WORDS):
        _large_n_row(axes[3 * row : 3 * row + 3], kind, table)
    for ax in axes:
        ax.set_xscale("log")
        ax.set_xlim(SMALLEST, LARGEST)
        ax.set_xticks([0.01, 0.1, 1.0, 10.0], ["0.01", "0.1", "1", "10"])
        ax.minorticks_off()
        ax.set_xlabel("N · KL (nats)")
    shared_legend(figure, (0.02, 0.01, 0.96, 0.07), axes, 6)
    return Drawing(figure, {"": table})


def _large_n_row(axes: list[Axes], kind: str, table: Table) -> None:
    x = scaled_budgets()
    won, distance, regret = axes

    def draw(ax: Axes, panel: str, n: int, name: str, values: Array, look: int) -> None:
        color, line, _ = _LOOKS[look]
        ax.plot(x, values, color=color, linestyle=line, linewidth=1.7, label=f"N = {n}")
        rows = zip(x, values, strict=True)
        table.rows.extend((panel, f"{kind}:{n}", n, name, float(a), float(b)) for a, b in rows)

    panels = [f"{WORDS[kind]}: {what}" for what in ("optimum", "distance", "regret")]
    limit = frontier(OPTIMAL, f"{kind}:{LIMIT_N}", kl=x / LIMIT_N).win_rate
    won.plot(x, limit, color="#c8c8c8", linewidth=6.0, zorder=1.5, label="limit of large N")
    rows = zip(x, limit, strict=True)
    table.rows.extend(
        (panels[0], f"{kind}:{LIMIT_N}", LIMIT_N, OPTIMAL, float(a), float(b)) for a, b in rows
    )
    for look, n in enumerate(LARGE_NS):
        best = frontier(OPTIMAL, f"{kind}:{n}", kl=x / n).win_rate
        draw(won, panels[0], n, OPTIMAL, best, look)
        draw(distance, panels[1], n, OPTIMAL, np.abs(best - limit), look)
        if n in EXPONENTIAL_NS:
            name = f"exp:{SIGN[kind]}{2 * n}"
            lost = best - frontier(name, f"{kind}:{n}", kl=x / n).win_rate
            draw(regret, panels[2], n, name, lost, look)
    won.set(ylim=(0.49, 1.01), ylabel="Win rate", title=f"{WORDS[kind]}: optimum")
    distance.set(yscale="log", ylim=(1e-6, 1e-1), ylabel=minus("|win rate - its limit|"))
    distance.set_title(f"{WORDS[kind]}: distance from limit")
    formula = "exp(2Nu)" if kind == "bon" else minus("-exp(-2Nu)")
    regret.set(yscale="log", ylim=(1e-6, 1e-1), ylabel="Regret in win rate")
    regret.set_title(f"{WORDS[kind]}: regret of {formula}")
    for ax in axes:
        ax.title.set_fontsize(9.5)


SMALL_N = 4
_LIMIT = f"limit: first-order efficiency {RHO}"
_BEST_GAIN = minus("N √(KL / (2(4N - 1)))")
_SMALL_TRANSFORMS = ("identity", "log", "exp:5", "exp:10", "exp:-5", "exp:-10", OPTIMAL)


def small_kl() -> Drawing:
    """Gain over 1/2 in units of the best first-order gain, with each transform's limit."""
    table = Table(("panel", "procedure", "transform", "kl", "achieved", "efficiency"))
    figure = canvas(
        4.6,
        f"Small KL: win rate gained, over the best first-order gain {_BEST_GAIN}",
    )
    grid = figure.add_gridspec(1, 2, left=0.085, right=0.985, bottom=0.3, top=0.84, wspace=0.16)
    first = figure.add_subplot(grid[0, 0])
    axes = [first, figure.add_subplot(grid[0, 1], sharey=first)]
    kl = np.geomspace(1e-6, 1.0, 49)
    unit = SMALL_N * np.sqrt(kl / (2.0 * (4 * SMALL_N - 1)))
    for ax, kind in zip(axes, WORDS, strict=True):
        procedure = f"{kind}:{SMALL_N}"
        panel = procedure_title(procedure)
        ax.set_xscale("log")
        for name in _SMALL_TRANSFORMS:
            rho = 1.0 if name == OPTIMAL else first_order_efficiency(name, procedure)
            achieved = (frontier(name, procedure, kl=kl).win_rate - 0.5) / unit
            draw_curve(ax, name, kl, achieved)
            ax.plot([kl[0]], [rho], marker=5, markersize=8, color=style_of(name).color, zorder=8)
            rows = zip(kl, achieved, strict=True)
            table.rows.extend((panel, procedure, name, float(k), float(a), rho) for k, a in rows)
        ax.plot([], [], marker=5, markersize=8, linestyle="none", color=GREY, label=_LIMIT)
        ax.set_xlim(kl[0] * 0.7, kl[-1])
        ax.set_ylim(0.0, 1.1)
        ax.set(title=panel, xlabel="KL (nats)")
    axes[0].set_ylabel("Gain / best first-order gain")
    axes[1].tick_params(labelleft=False)
    shared_legend(figure, (0.02, 0.01, 0.96, 0.17), axes, 3)
    return Drawing(figure, {"": table})
