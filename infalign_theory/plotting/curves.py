"""Curves and panels drawn on axes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from infalign_theory.comparison.comparisons import Comparison
from infalign_theory.comparison.frontiers import OPTIMAL, Frontier
from infalign_theory.errors import InputError
from infalign_theory.plotting.style import SCALED_LABEL, procedure_title, styles_of
from infalign_theory.transforms.core import Transform
from infalign_theory.transforms.names import as_transform
from infalign_theory.typing import Array

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = [
    "current_axes",
    "draw_curve",
    "plot_comparison",
    "plot_frontier",
    "plot_frontiers",
    "plot_regret",
    "plot_regrets",
    "plot_transforms",
    "unit_scale",
]


_CERTAIN = 1e-10  # win rates are; regrets below are their rounding


def current_axes(ax: Axes | None) -> Axes:
    """The axes given, or pyplot's current ones."""
    if ax is not None:
        return ax
    from matplotlib import pyplot

    return pyplot.gca()


def _make_room(ax: Axes) -> None:
    """Let a figure without a layout of its own make room for long labels."""
    figure = ax.get_figure(root=True)
    if figure is not None and figure.get_layout_engine() is None and len(figure.axes) == 1:
        figure.set_layout_engine("constrained")


def draw_curve(
    ax: Axes,
    name: str,
    x: ArrayLike,
    y: ArrayLike,
    count: int = 6,
    **style: Any,  # noqa: ANN401 - keywords of Axes.plot
) -> None:
    """One transform's curve in its style, with about ``count`` markers spread along the axis.

    A curve that would look like another on these axes takes another look.
    """
    drawn = [str(line.get_gid()) for line in ax.get_lines() if line.get_gid()]
    chosen = styles_of([*drawn, name])[name].line(count)
    if name == OPTIMAL:  # a pale bed, so that curves on top of it show
        ax.plot(x, y, color="#bdbdbd", linewidth=5.0, zorder=1.5, solid_capstyle="butt")
    if count and "marker" in chosen:
        places = np.linspace(np.min(x), np.max(x), count + 2)[1:-1]
        if ax.get_xscale() == "log":
            places = np.geomspace(np.min(x), np.max(x), count + 2)[1:-1]
        chosen["markevery"] = sorted({int(np.argmin(np.abs(np.asarray(x) - p))) for p in places})
    ax.plot(x, y, gid=name, **(chosen | style))


def plot_frontier(
    frontier: Frontier,
    ax: Axes | None = None,
    **style: Any,  # noqa: ANN401 - keywords of Axes.plot
) -> Axes:
    """Draw win rate against KL.

    Parameters
    ----------
    frontier : Frontier
        From :func:`infalign_theory.frontier`.
    ax : Axes, optional
        Where to draw; pyplot's current axes by default.
    **style
        Keywords of ``Axes.plot`` that override the transform's own style.

    Returns
    -------
    Axes

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> from infalign_theory import frontier
    >>> ax = frontier("exp:10", "bon:4", kl=[0.0, 0.5, 1.0]).plot(Figure().subplots())
    >>> ax.get_xlabel(), ax.get_title()
    ('KL (nats)', 'Best-of-N, N = 4')
    """
    ax = current_axes(ax)
    order = np.argsort(frontier.kl, kind="stable")
    draw_curve(ax, frontier.name, frontier.kl[order], frontier.win_rate[order], **style)
    ax.set_xlabel("KL (nats)")
    ax.set_ylabel("Win rate")
    ax.set_title(procedure_title(frontier.procedure))
    return ax


def plot_regret(
    frontiers: Iterable[Frontier],
    optimal: Frontier,
    ax: Axes | None = None,
    **style: Any,  # noqa: ANN401 - keywords of Axes.plot
) -> Axes:
    """Draw regret against KL, on a logarithmic axis: optimal win rate minus each curve's.

    Parameters
    ----------
    frontiers : iterable of Frontier
        All at the budgets and for the procedure of ``optimal``.
    optimal : Frontier
        Of the transform ``"optimal"``.
    ax : Axes, optional
        Pyplot's current axes by default.
    **style
        Keywords of ``Axes.plot`` for every curve.

    Returns
    -------
    Axes
        A regret below 1e-10, what win rates are certain to, is left out.

    Raises
    ------
    InputError
        Where budgets or procedures differ: regret compares at equal KL.

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> from infalign_theory import frontier
    >>> kl = [0.1, 0.5, 1.0]
    >>> curves = [frontier(t, "bon:4", kl=kl) for t in ("identity", "exp:10")]
    >>> best = frontier("optimal", "bon:4", kl=kl)
    >>> plot_regret(curves, best, Figure().subplots()).get_yscale()
    'log'
    """
    ax = current_axes(ax)
    ax.set_yscale("log")
    order = np.argsort(optimal.kl, kind="stable")
    for curve in frontiers:
        if curve.procedure != optimal.procedure or not np.array_equal(curve.kl, optimal.kl):
            raise InputError(
                f"the frontier of {curve.name} under {curve.procedure.name} is not at the budgets "
                f"and procedure of the optimum ({optimal.procedure.name}); compute both with the "
                "same kl and procedure."
            )
        regret = optimal.win_rate - curve.win_rate
        shown = np.where(regret > _CERTAIN, regret, np.nan)
        draw_curve(ax, curve.name, optimal.kl[order], shown[order], **style)
    ax.set_xlabel("KL (nats)")
    ax.set_ylabel("Regret in win rate")
    ax.set_title(procedure_title(optimal.procedure))
    return ax


def plot_comparison(comparison: Comparison, ax: Axes | None = None) -> Axes:
    """Draw the regrets of a comparison as horizontal bars, the smallest on top.

    Parameters
    ----------
    comparison : Comparison
        From :func:`infalign_theory.compare`.
    ax : Axes, optional
        Pyplot's current axes by default.

    Returns
    -------
    Axes

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> from infalign_theory import compare
    >>> rows = compare(["identity", "exp:10"], "bon:4", kl=0.5)
    >>> [t.get_text() for t in plot_comparison(rows, Figure().subplots()).get_yticklabels()]
    ['identity, u', 'exp(10u)']
    """
    kls = dict.fromkeys(row.kl for row in comparison.rows)
    procedure = procedure_title(comparison.rows[0].procedure)
    if len(kls) == 1:
        names = [row.transform for row in comparison.rows]
        title = f"{procedure}, KL = {comparison.rows[0].kl:g} nats"
        return plot_regrets(names, [row.regret for row in comparison.rows], title, ax)
    ax = current_axes(ax)
    ax.set_yscale("log")
    for name in dict.fromkeys(row.transform for row in comparison.rows):
        own = sorted((row.kl, row.regret) for row in comparison.rows if row.transform == name)
        shown = [regret if regret > 0.0 else np.nan for _, regret in own]
        draw_curve(ax, name, [nats for nats, _ in own], shown)
    ax.set(xlabel="KL (nats)", ylabel="Regret in win rate", title=procedure)
    ax.legend()
    return ax


def plot_regrets(
    names: Sequence[str], regrets: Sequence[float], title: str, ax: Axes | None = None
) -> Axes:
    """Draw the regrets of transforms by name as horizontal bars, the smallest on top."""
    ax = current_axes(ax)
    rows = sorted(zip(names, regrets, strict=True), key=lambda row: -row[1])
    looks = styles_of([name for name, _ in rows])
    styles = [looks[name] for name, _ in rows]
    places = np.arange(len(rows))
    bars = ax.barh(places, [regret for _, regret in rows], color=[s.color for s in styles])
    ax.bar_label(bars, [f"{regret:.2g}" for _, regret in rows], padding=3)
    ax.set_yticks(places, [style.label for style in styles])
    ax.margins(x=0.15)
    ax.set_xlabel("Regret in win rate")
    ax.set_title(title)
    _make_room(ax)
    return ax


def plot_transforms(
    transforms: Sequence[Transform | str],
    ax: Axes | None = None,
    **style: Any,  # noqa: ANN401 - keywords of Axes.plot
) -> Axes:
    """Draw transforms on one scale: (Phi(u) - Phi(0)) / (Phi(1) - Phi(0)).

    Parameters
    ----------
    transforms : sequence of Transform or str
        Each finite and different at 0 and 1; ``optimum(...).transform`` is one too.
    ax : Axes, optional
        Pyplot's current axes by default.
    **style
        Keywords of ``Axes.plot`` for every curve.

    Returns
    -------
    Axes

    Raises
    ------
    InputError
        For a transform that is infinite at an end or has the same value at both.

    Examples
    --------
    >>> from matplotlib.figure import Figure
    >>> ax = plot_transforms(["identity", "exp:10"], Figure().subplots())
    >>> ax.lines[1].get_label()
    'exp(10u)'
    """
    ax = current_axes(ax)
    u = np.linspace(0.0, 1.0, 401)
    for transform in transforms:
        chosen = as_transform(transform)
        draw_curve(ax, chosen.name, u, unit_scale(chosen, u), **style)
    ax.set_xlabel("Calibrated reward u")
    ax.set_ylabel(SCALED_LABEL)
    return ax


def unit_scale(transform: Transform, u: ArrayLike) -> Array:
    """A transform shifted and scaled to 0 at u = 0 and 1 at u = 1, where it can be."""
    low, high = (float(value) for value in transform([0.0, 1.0]))
    if not np.isfinite(high - low) or high == low:
        raise InputError(
            f"transform {transform.name} is {low:g} at u = 0 and {high:g} at u = 1, so it cannot "
            "be scaled to run from 0 to 1; draw one that is finite and different at the ends."
        )
    return (transform(u) - low) / (high - low)


def plot_frontiers(
    curves: Sequence[Frontier],
    ax: Axes | None = None,
    **style: Any,  # noqa: ANN401 - keywords of Axes.plot
) -> Axes:
    """Draw several frontiers with a legend; see :func:`plot_frontier`."""
    ax = current_axes(ax)
    for curve in curves:
        plot_frontier(curve, ax, **style)
    ax.legend()
    _make_room(ax)
    return ax
