"""Pictures of the hacking report: how the truth goes as the proxy is pushed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.ticker import MaxNLocator, NullLocator

from infalign_theory.empirical.hacking.agreement import Agreement
from infalign_theory.empirical.hacking.results import Hacking, Onset, PickRow, SoftRow, TiltRow
from infalign_theory.empirical.report.plates import Plate, empty_axes, plate, report_style
from infalign_theory.plotting.style import BLACK, GREY, styles_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_SOFT = ((0, (5.0, 2.0)), (0, (1.0, 1.6)), (0, (6.0, 1.8, 1.2, 1.8)))
_SOFT_GREYS = ("#555555", "#777777", "#999999")
_TICKS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096)
_BAND = 0.16  # opacity
_ROUND = (1, 2, 5, 10)  # steps between ticks, so that their numbers stay short


def by_size(found: Hacking) -> Plate:
    """Truth and proxy of the pick against N, for best-of-N and soft best-of-N."""
    with report_style():
        truth, reward = empty_axes("Truth of the pick"), empty_axes("Proxy of the pick")
        for ax, field in ((truth, "truth"), (reward, "reward")):
            _picks(ax, found.best_of_n, field, {"color": BLACK, "label": "best-of-N"})
            for at, (name, rows) in enumerate(_by_strength(found.soft_best_of_n)):
                look = {"color": _SOFT_GREYS[at % 3], "linestyle": _SOFT[at % 3]}
                _picks(ax, rows, field, look | {"label": f"soft best-of-N, strength {name}"})
            _sizes(ax, found.best_of_n[-1].n)
            ax.yaxis.set_major_locator(MaxNLocator(5, steps=_ROUND))
            ax.set(xlabel="N", ylabel=f"Mean {'truth' if field == 'truth' else 'proxy reward'}")
        _fall(truth, found.onsets[0])
        first, last = found.best_of_n[0], found.best_of_n[-1]
        told = f"Truth {first.truth:.3f} at N = 1, {last.truth:.3f} at N = {last.n}."
        climbed = f"Proxy {first.reward:.4g} at N = 1, {last.reward:.4g} at N = {last.n}."
        return plate([(truth, told), (reward, climbed)])


def by_kl(found: Hacking) -> Plate:
    """Truth against the KL of training, a line a transform."""
    styles = styles_of([row.transform for row in found.tilt])
    with report_style():
        ax = empty_axes()
        told = []
        for name, rows in groupby(found.tilt, key=lambda row: row.transform):
            tilts = tuple(rows)
            style = styles[name].line(len(tilts))
            kl, truth = _columns(tilts)
            ax.plot(kl, truth, **style)
            _band(ax, kl, tilts, styles[name].color)
            told.append(f"{name} {truth[0]:.3f} to {truth[-1]:.3f} at {kl[-1]:.3g} nats")
        turned = {one.name: one for one in found.onsets if not one.by_n}
        _fall(ax, turned[found.tilt[0].transform])
        ax.yaxis.set_major_locator(MaxNLocator(5, steps=_ROUND))
        ax.set(xlim=(0.0, None), xlabel="KL (nats)", ylabel="Mean truth")
        return plate([(ax, "Mean truth along training: " + "; ".join(told) + ".")])


def by_tenth(agreed: Agreement) -> Plate:
    """Truth of each tenth by proxy."""
    values = [one.value for one in agreed.by_decile]
    with report_style():
        ax = empty_axes()
        places = np.arange(len(values)) + 0.5
        ax.plot(places, values, "o", color=BLACK, markersize=5.5, label="tenth by proxy")
        for x, one in zip(places.tolist(), agreed.by_decile, strict=True):
            if one.ci is not None:
                ax.plot([x, x], one.ci, color=BLACK, linewidth=1.2)
        ax.axhline(agreed.overall.value, color=GREY, linestyle=_SOFT[1], label="all samples")
        ax.set_xticks([0, 2, 4, 6, 8, 10], ["0", "0.2", "0.4", "0.6", "0.8", "1"])
        ax.set(xlim=(0.0, 10.0), xlabel="Rank by proxy within the prompt", ylabel="Mean truth")
        told = ", ".join(f"{value:.2f}" for value in values)
        return plate([(ax, f"Mean truth of the ten tenths by proxy, lowest first: {told}.")])


def _by_strength(rows: Iterable[SoftRow]) -> list[tuple[str, tuple[SoftRow, ...]]]:
    return [(name, tuple(each)) for name, each in groupby(rows, key=lambda row: row.strength)]


def _picks(
    ax: Axes, rows: Sequence[PickRow] | Sequence[SoftRow], field: str, look: dict[str, Any]
) -> None:
    sizes = np.array([row.n for row in rows])
    ax.plot(sizes, [getattr(row, field) for row in rows], linewidth=1.9, **look)
    if field == "truth" and look["color"] == BLACK:
        _band(ax, sizes, rows, BLACK)


def _columns(rows: Sequence[TiltRow]) -> tuple[np.ndarray, np.ndarray]:
    return np.array([row.kl for row in rows]), np.array([row.truth for row in rows])


def _band(
    ax: Axes,
    places: np.ndarray,
    rows: Sequence[PickRow] | Sequence[SoftRow] | Sequence[TiltRow],
    color: str,
) -> None:
    """The intervals as an area."""
    if all(row.ci is not None for row in rows):
        low, high = np.array([row.ci for row in rows]).T
        ax.fill_between(places, low, high, color=color, alpha=_BAND, linewidth=0.0)


def _fall(ax: Axes, onset: Onset) -> None:
    """A line where the truth starts to fall, with the interval of its peak."""
    if onset.at is None:
        return
    ax.axvline(onset.at, color=BLACK, linewidth=1.1, linestyle=_SOFT[2], label="the truth peaks")
    if onset.ci is not None:
        ax.axvspan(*onset.ci, color=GREY, alpha=_BAND, linewidth=0.0, label="where it may peak")


def _sizes(ax: Axes, largest: int) -> None:
    shown = [n for n in _TICKS if n <= largest]
    ax.set_xscale("log", base=2)
    ax.set_xticks(shown, [str(n) for n in shown])
    ax.xaxis.set_minor_locator(NullLocator())
