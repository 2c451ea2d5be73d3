"""Pictures of frontiers, regrets and transforms, in one style throughout the project.

Every transform has one colour, line and marker everywhere. Warm colours and upward triangles
are exponentials for Best-of-N, cool ones and downward triangles those for Worst-of-N, filled for
the larger exponent, so that the curves stay apart for colour-blind readers and in grey.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from infalign_theory.errors import InputError
from infalign_theory.frontiers import OPTIMAL, Comparison, Frontier
from infalign_theory.procedures import BestOfN, Procedure, WorstOfN, as_procedure
from infalign_theory.transforms import Transform, as_transform

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Okabe and Ito's palette, distinguishable with every common colour vision
BLACK, ORANGE, SKY, GREEN = "#000000", "#E69F00", "#56B4E9", "#009E73"
BLUE, VERMILLION, PURPLE, GREY = "#0072B2", "#D55E00", "#CC79A7", "#777777"

RC: dict[str, Any] = {
    "font.family": "DejaVu Sans",  # ships with Matplotlib: the same on every machine
    "font.size": 9.5,
    "axes.titlesize": 10.5,
    "axes.labelsize": 10.0,
    "xtick.labelsize": 9.0,
    "ytick.labelsize": 9.0,
    "legend.fontsize": 9.5,
    "figure.titlesize": 12.0,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e6e6e6",
    "grid.linewidth": 0.6,
    "axes.edgecolor": "#555555",
    "axes.linewidth": 0.8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "lines.solid_capstyle": "round",
    "legend.frameon": False,
    "legend.handlelength": 3.4,
    "savefig.dpi": 160,
    "svg.hashsalt": "infalign-theory",
    "mathtext.default": "regular",
}


@dataclass(frozen=True)
class Style:
    """How one transform is drawn everywhere.

    Attributes
    ----------
    label : str
        For legends.
    color, linestyle, marker : str or tuple
        As Matplotlib takes them.
    width : float
        Points.
    filled : bool
        Whether the marker is.
    order : int
        Larger is drawn later, on top.
    """

    label: str
    color: str
    linestyle: Any
    marker: str
    width: float = 1.6
    filled: bool = True
    order: int = 3

    def line(self, count: int = 0) -> dict[str, Any]:
        """Keywords of ``Axes.plot``; with ``count`` about that many markers along the line."""
        style: dict[str, Any] = {
            "color": self.color,
            "linestyle": self.linestyle,
            "linewidth": self.width,
            "label": self.label,
            "zorder": self.order,
        }
        if count and self.marker:
            style |= {
                "marker": self.marker,
                "markersize": 5.0,
                "markerfacecolor": self.color if self.filled else "white",
                "markeredgecolor": self.color,
            }
        return style


DASHED, DOTTED, DASHDOT = (0, (5.0, 2.0)), (0, (1.0, 1.6)), (0, (6.0, 1.8, 1.2, 1.8))


def minus(text: str) -> str:
    """Hyphens as minus signs, for formulas."""
    return text.replace("-", "\N{MINUS SIGN}")


SCALED_LABEL = minus("(Φ(u) - Φ(0)) / (Φ(1) - Φ(0))")

STYLE: dict[str, Style] = {
    "identity": Style("identity, u", GREEN, DASHDOT, "o"),
    "log": Style("log u (best-of-N distillation)", PURPLE, DOTTED, "s", 2.0),
    "exp:5": Style("exp(5u)", ORANGE, DASHED, "^", filled=False),
    "exp:10": Style("exp(10u)", VERMILLION, "-", "^"),
    "exp:-5": Style(minus("-exp(-5u)"), SKY, DASHED, "v", filled=False),
    "exp:-10": Style(minus("-exp(-10u)"), BLUE, "-", "v"),
    OPTIMAL: Style("optimum", BLACK, (0, (4.0, 1.6)), "", 1.7, order=9),
}
"""Transform name -> style of the transforms the project shows most."""

_FALLBACK = ("#332288", "#882255", "#999933", "#44AA99", "#AA4499", "#661100")
_LINES = (DASHDOT, (0, (3.0, 1.2)), (0, (8.0, 2.0)), (0, (2.0, 1.0, 1.0, 1.0)))
_MARKERS = "DPX*<>"


def style_of(name: str) -> Style:
    """The style of any transform by name; the same name always looks the same.

    Examples
    --------
    >>> style_of("exp:10").color == STYLE["exp:10"].color
    True
    >>> style_of("power:7") == style_of("power:7")
    True
    """
    head = name.partition("@")[0]
    if head in STYLE:
        return STYLE[head]
    kind, _, number = name.partition(":")
    pick = zlib.crc32(name.encode())  # unlike hash(), the same in every process
    line, marker = _LINES[pick // 7 % len(_LINES)], _MARKERS[pick // 31 % len(_MARKERS)]
    if kind == "exp":
        sign = "-" if number.startswith("-") else ""
        color = (SKY if pick % 2 else BLUE) if sign else (ORANGE if pick % 2 else VERMILLION)
        return Style(minus(f"{sign}exp({number}u)"), color, line, marker, filled=False)
    label = {"power": f"u^{number}", "expr": number, "logit": "logit u"}.get(kind, name)
    return Style(label, _FALLBACK[pick % len(_FALLBACK)], line, marker)


def procedure_title(procedure: Procedure | str) -> str:
    """A panel title: the procedure in words, with its N.

    Examples
    --------
    >>> procedure_title("won:4")
    'Worst-of-N, N = 4'
    """
    chosen = as_procedure(procedure)
    if isinstance(chosen, BestOfN):
        return f"Best-of-N, N = {chosen.n}"
    if isinstance(chosen, WorstOfN):
        return f"Worst-of-N, N = {chosen.n}"
    return "Standard (one sample)" if chosen.name == "standard" else chosen.name


def current_axes(ax: Axes | None) -> Axes:
    """The axes given, or pyplot's current ones."""
    if ax is not None:
        return ax
    from matplotlib import pyplot

    return pyplot.gca()


def draw_curve(ax: Axes, name: str, x: Any, y: Any, count: int = 6, **style: Any) -> None:
    """One transform's curve in its style, with about ``count`` markers spread along the axis."""
    chosen = style_of(name).line(count)
    if name.partition("@")[0] == OPTIMAL:  # a pale bed, so that curves on top of it show
        ax.plot(x, y, color="#bdbdbd", linewidth=5.0, zorder=1.5, solid_capstyle="butt")
    if count and "marker" in chosen:
        places = np.linspace(np.min(x), np.max(x), count + 2)[1:-1]
        if ax.get_xscale() == "log":
            places = np.geomspace(np.min(x), np.max(x), count + 2)[1:-1]
        chosen["markevery"] = sorted({int(np.argmin(np.abs(np.asarray(x) - p))) for p in places})
    ax.plot(x, y, **(chosen | style))


def plot_frontier(frontier: Frontier, ax: Axes | None = None, **style: Any) -> Axes:
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
    frontiers: Iterable[Frontier], optimal: Frontier, ax: Axes | None = None, **style: Any
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
        A regret of exactly zero has no place on a logarithmic axis and is left out.

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
        shown = np.where(regret > 0.0, regret, np.nan)
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
    ax = current_axes(ax)
    rows = sorted(comparison.rows, key=lambda row: -row.regret)
    styles = [style_of(row.transform) for row in rows]
    places = np.arange(len(rows))
    bars = ax.barh(places, [row.regret for row in rows], color=[s.color for s in styles])
    ax.bar_label(bars, [f"{row.regret:.2g}" for row in rows], padding=3)
    ax.set_yticks(places, [style.label for style in styles])
    ax.margins(x=0.15)
    ax.set_xlabel("Regret in win rate")
    ax.set_title(f"{procedure_title(rows[0].procedure)}, KL = {rows[0].kl:g} nats")
    return ax


def plot_transforms(
    transforms: Sequence[Transform | str], ax: Axes | None = None, **style: Any
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


def unit_scale(transform: Transform, u: Any) -> Any:
    """A transform shifted and scaled to 0 at u = 0 and 1 at u = 1, where it can be."""
    low, high = (float(value) for value in transform([0.0, 1.0]))
    if not np.isfinite(high - low) or high == low:
        raise InputError(
            f"transform {transform.name} is {low:g} at u = 0 and {high:g} at u = 1, so it cannot "
            "be scaled to run from 0 to 1; draw one that is finite and different at the ends."
        )
    return (transform(u) - low) / (high - low)
