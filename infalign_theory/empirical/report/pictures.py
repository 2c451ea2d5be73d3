"""Pictures of the validation report: what each of them shows."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from matplotlib.ticker import NullLocator

from infalign_theory.comparison.frontiers import OPTIMAL, frontier
from infalign_theory.empirical.fitting.laws import Theory
from infalign_theory.empirical.report.plates import Plate, empty_axes, plate, report_style
from infalign_theory.empirical.statistics.uncertainty import Estimate, student_interval
from infalign_theory.empirical.validation.phrasing import duel_words, percent
from infalign_theory.empirical.validation.results import PolicyValidation, WinRate
from infalign_theory.errors import InfalignError, InputError
from infalign_theory.plotting.curves import current_axes, draw_curve
from infalign_theory.plotting.style import BLACK, GREY, style_of
from infalign_theory.procedures.names import as_procedure
from infalign_theory.typing import Array

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Interval: TypeAlias = tuple[float, float] | None
Reading: TypeAlias = Callable[[WinRate], tuple[float | None, Interval]]

PANELS = 6
_DRAWN = 100.0  # nats: every frontier is flat long before
_POINTS = 33
_KINDS = {
    "standard": ("single samples", "o", "none"),
    "bon": ("Best-of-N", "^", "-"),
    "won": ("Worst-of-N", "v", (0, (4.0, 1.6))),
}
_BESIDE = {"standard": 0, "bon": -1, "won": 1}
_OURS: dict[str, Any] = {"color": BLACK, "markersize": 5.5}
_BAR: dict[str, Any] = {
    "fmt": "none",
    "ecolor": BLACK,
    "elinewidth": 1.3,
    "capsize": 3.0,
    "zorder": 11,
}


def law_words(theory: Theory) -> str:
    """The law as keys name it; against its own transform where its strength is below 0."""
    kind = "fitted" if theory.fitted else "planned"
    if theory.k.value < 0.0:
        return f"{kind} law, against {theory.transform}"
    return f"{kind} law, {style_of(theory.transform).label}"


def different_rows(rows: Sequence[WinRate]) -> tuple[WinRate, ...]:
    """Each procedure once: Best-of-1, Worst-of-1 and standard are all single samples."""
    return tuple({duel_words(row): row for row in reversed(rows)}.values())[::-1]


def spent(policy: PolicyValidation) -> Estimate | None:
    """The KL that efficiencies refer to, with its uncertainty."""
    if policy.kl_source == "log-ratios":
        return policy.kl
    return None if policy.theory is None else policy.theory.kl


def frontiers(policy: PolicyValidation) -> Plate:
    """Win rate against KL, a panel a procedure: the optimum, the law's transform and the run.

    Of more than :data:`PANELS` procedures an even selection is drawn.
    """
    every = different_rows(policy.win_rates)
    places = np.unique(np.linspace(0, len(every) - 1, min(len(every), PANELS)).round().astype(int))
    rows = [every[i] for i in places.tolist()]
    left, right = _nats(policy)
    nats = np.linspace(0.0, np.sqrt(min(right, _DRAWN)), _POINTS) ** 2
    panels = []
    with report_style():
        for row in rows:
            ax = empty_axes(_title(row))
            _panel(ax, policy, row, nats)
            ax.set(xlim=(left, right), xlabel="KL (nats)", ylabel="Win rate (%)")
            panels.append((ax, _frontier_words(policy, row)))
        low, high = _shares(rows)
        drawn = [float(np.max(line.get_ydata())) for ax, _ in panels for line in ax.lines]
        for ax, _ in panels:
            ax.set_ylim(low, max(high, min(max(drawn) + 0.03, 1.02)))
        return plate(panels)


def draw_run(policy: PolicyValidation, procedure: str | None, ax: Axes | None) -> Axes:
    """One panel of win rate against KL, on any axes."""
    rows = {row.procedure: row for row in policy.win_rates}
    name = policy.win_rates[0].procedure if procedure is None else as_procedure(procedure).name
    if name not in rows:
        raise InputError(f"{name} was not judged; give one of {', '.join(rows)}.")
    chosen = current_axes(ax)
    left, right = _nats(policy)
    nats = np.linspace(0.0, np.sqrt(min(right, _DRAWN)), _POINTS) ** 2
    _panel(chosen, policy, rows[name], nats)
    chosen.set(xlim=(left, right), xlabel="KL (nats)", ylabel="Win rate", title=_title(rows[name]))
    chosen.legend()
    return chosen


def calibrated(policy: PolicyValidation, level: float) -> Plate | None:
    """Density of calibrated rewards: observed, expected by the law, and that of the base."""
    theory = policy.theory
    if theory is None or theory.shares is None:
        return None
    shares, width = theory.shares, np.diff(theory.shares.edges)
    reach = student_interval(0.0, 1.0, policy.prompts, level)[1] * shares.stderr
    with report_style():
        ax = empty_axes()
        ax.bar(
            shares.edges[:-1],
            shares.observed / width,
            width,
            align="edge",
            color="#dcdcdc",
            edgecolor="#8c8c8c",
            linewidth=0.7,
            label="observed, with intervals",
        )
        middle, density = shares.edges[:-1] + width / 2, shares.observed / width
        ax.errorbar(middle, density, reach / width, fmt="none", ecolor=BLACK, elinewidth=1.1)
        style = style_of(theory.transform)
        ax.stairs(
            shares.expected / width,
            shares.edges,
            baseline=None,
            color=style.color,
            linewidth=2.0,
            label=law_words(theory),
        )
        ax.axhline(1.0, color=GREY, linestyle=(0, (1.0, 1.6)), linewidth=1.4, label="base, uniform")
        ax.set(xlim=(0.0, 1.0), ylim=(0.0, None), xlabel="Calibrated reward u", ylabel="Density")
        seen = ", ".join(f"{value:.2f}" for value in density)
        words = f"Density of calibrated rewards in {density.size} bins from 0 to 1: {seen}."
        return plate([(ax, words)])


def by_size(policy: PolicyValidation) -> Plate:
    """Win rate against N, as observed and as the law predicts."""
    rows = different_rows(policy.win_rates)
    with report_style():
        ax = empty_axes()
        theory = policy.theory
        if theory is not None:
            color = style_of(theory.transform).color
            style = {"color": color, "markerfacecolor": "white", "markersize": 5.5}
            _points(ax, rows, lambda r: (r.predicted, r.predicted_ci), "predicted", 1, style)
        _points(
            ax, rows, lambda r: (r.estimate, r.ci), "observed", -1, _OURS | {"linestyle": "none"}
        )
        told = [
            f"{_name(r)} {percent(r.estimate)}"
            + ("" if r.predicted is None else f", predicted {percent(r.predicted)}")
            for r in rows
        ]
        _finish_sizes(ax, rows)
        return plate([(ax, "Win rates by N: " + "; ".join(told) + ".")])


def by_truth(policy: PolicyValidation) -> Plate | None:
    """Win rate against N, by the reward and by the true reward."""
    rows = [row for row in different_rows(policy.win_rates) if row.truth is not None]
    if not rows:
        return None

    def truth(row: WinRate) -> tuple[float | None, Interval]:
        return (row.truth.win_rate.value, row.truth.win_rate.ci) if row.truth else (None, None)

    with report_style():
        ax = empty_axes()
        hollow = {"color": GREY, "markerfacecolor": "white", "markersize": 6.5}
        _points(ax, rows, truth, "by the true reward", 1, hollow)
        _points(ax, rows, lambda r: (r.estimate, r.ci), "by the reward", -1, _OURS)
        told = [
            f"{_name(r)} {percent(r.estimate)}, in truth {percent(truth(r)[0] or 0.0)}"
            for r in rows
        ]
        _finish_sizes(ax, rows)
        return plate([(ax, "Win rates by N: " + "; ".join(told) + ".")])


def _curve(ax: Axes, name: str, row: WinRate, nats: Array, label: str) -> None:
    """A frontier, as far as it can be computed."""
    duel = row.duel
    if name == OPTIMAL and duel.crossed:  # every point takes seconds where the optimum jumps
        return
    try:
        curve = frontier(name, duel.ours, kl=nats, against_procedure=duel.theirs)
    except InfalignError:  # a transform that only its maker can name, or that ends before
        return
    draw_curve(ax, name, curve.kl, curve.win_rate, count=0, label=label)


def _panel(ax: Axes, policy: PolicyValidation, row: WinRate, nats: Array) -> None:
    """The optimum, what the law says, and the run."""
    _curve(ax, OPTIMAL, row, nats, "optimum")
    if policy.theory is not None:
        _expected(ax, policy.theory, row, nats)
    _run(ax, policy, row)


def _expected(ax: Axes, theory: Theory, row: WinRate, nats: Array) -> None:
    if theory.k.value >= 0.0:  # below 0 the law is on no curve of its transform
        _curve(ax, theory.transform, row, nats, f"transform of the {law_words(theory)}")
    if row.predicted is not None:
        ax.plot(
            theory.kl.value,
            row.predicted,
            "D",
            color=style_of(theory.transform).color,
            markerfacecolor="none",
            markersize=10.0,
            markeredgewidth=1.5,
            zorder=10,
            label="what the law predicts"
            if theory.k.value >= 0.0
            else f"what the {law_words(theory)}, predicts",
        )


def _run(ax: Axes, policy: PolicyValidation, row: WinRate) -> None:
    """The run's point with its intervals; a line across where nobody knows its KL."""
    cost = spent(policy)
    if cost is None:
        ax.axhline(row.estimate, color=BLACK, linewidth=1.6, label="the run, its KL unknown")
        if row.ci is not None:
            ax.axhspan(*row.ci, color=BLACK, alpha=0.12, linewidth=0.0)
        return
    ax.plot(cost.value, row.estimate, "o", zorder=12, label="the run, with intervals", **_OURS)
    _bars(ax, [cost.value], [row.ci])
    if cost.ci is not None:
        low, high = cost.ci
        ax.errorbar((low + high) / 2, row.estimate, xerr=(high - low) / 2, **_BAR)


def _bars(
    ax: Axes, places: Sequence[float], intervals: Sequence[Interval], color: str = BLACK
) -> None:
    """Vertical bars over intervals, which need not hold the estimate: a bootstrap's may not."""
    for x, interval in zip(places, intervals, strict=True):
        if interval is not None:
            low, high = interval
            ax.errorbar(x, (low + high) / 2, yerr=(high - low) / 2, **(_BAR | {"ecolor": color}))


def _points(
    ax: Axes,
    rows: Sequence[WinRate],
    read: Reading,
    label: str,
    side: int,
    style: dict[str, Any],
) -> None:
    """Win rates against N, a little to one side: a marker and a line for each kind of procedure."""
    low, high = _size_range(rows)
    for kind, (words, marker, line) in _KINDS.items():
        # observed and predicted, and Best- and Worst-of-N, stand beside each other
        shift = (high / low) ** (0.009 * side + 0.024 * _BESIDE[kind])
        of_kind = sorted((row for row in rows if _kind(row) == kind), key=_size)
        read_off = [(shift * _size(row), *read(row)) for row in of_kind]
        known = [(x, value, ci) for x, value, ci in read_off if value is not None]
        if not known:
            continue
        places, values, intervals = zip(*known, strict=True)
        look: dict[str, Any] = {
            "linestyle": line,
            "linewidth": 1.2,
            "marker": marker,
            "zorder": 11,
        } | style
        ax.plot(places, values, label=f"{label}, {words}", **look)
        _bars(ax, places, intervals, style["color"])


def _finish_sizes(ax: Axes, rows: Sequence[WinRate]) -> None:
    sizes = sorted({_size(row) for row in rows})
    ax.set_xscale("log", base=2)
    ax.set_xlim(_size_range(rows))
    ax.axhline(0.5, color=GREY, linestyle=(0, (1.0, 1.6)), linewidth=1.4)
    step = -(-len(sizes) // 8)  # room for eight numbers
    ax.set_xticks(sizes[::step], [str(size) for size in sizes[::step]])
    ax.xaxis.set_minor_locator(NullLocator())
    ax.set(xlabel="N", ylabel="Win rate (%)", ylim=_shares(rows))


def _size_range(rows: Sequence[WinRate]) -> tuple[float, float]:
    sizes = [_size(row) for row in rows]
    return min(sizes) / 1.5, max(sizes) * 1.5


def _shares(rows: Sequence[WinRate]) -> tuple[float, float]:
    """Limits of a win rate axis: all that rows hold, and one half."""
    shown = [0.5]
    for row in rows:
        shown += [row.estimate, row.predicted or 0.5, *(row.ci or ()), *(row.predicted_ci or ())]
        if row.truth is not None:
            shown += [row.truth.win_rate.value, *(row.truth.win_rate.ci or ())]
    return max(min(shown) - 0.03, -0.02), min(max(*shown, 0.6) + 0.03, 1.02)


def _nats(policy: PolicyValidation) -> tuple[float, float]:
    """Limits of the KL axis: from 0, or below what is lower, to beyond all that is shown."""
    cost, theory = spent(policy), policy.theory
    shown = [0.05]
    for estimate in (cost, theory.kl if theory else None):
        if estimate is not None:
            shown += [estimate.value, *(estimate.ci or ())]
    if cost is None:
        shown += [policy.calibrated_kl.value, *(row.optimal_kl or 0.0 for row in policy.win_rates)]
    return min(0.0, 1.1 * min(shown)), 1.25 * max(shown)


def _kind(row: WinRate) -> str:
    return row.procedure.partition(":")[0] if _size(row) > 1 else "standard"


def _size(row: WinRate) -> int:
    return int(row.procedure.partition(":")[2] or 1)


def _name(row: WinRate) -> str:
    return duel_words(row)


def _title(row: WinRate) -> str:
    words = _name(row)
    return words[0].upper() + words[1:]


def _frontier_words(policy: PolicyValidation, row: WinRate) -> str:
    cost = spent(policy)
    text = f"{_title(row)}: win rate {percent(row.estimate)}"
    text += " at an unknown KL" if cost is None else f" at {cost.value:.3g} nats"
    if row.predicted is not None:
        text += f", {percent(row.predicted)} predicted"
    if row.optimal_kl is not None:
        text += f"; the optimum needs {row.optimal_kl:.3g} nats"
    return text + "."
