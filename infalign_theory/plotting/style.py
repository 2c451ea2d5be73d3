"""One colour, line and marker a transform, everywhere."""

from __future__ import annotations

import re
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from infalign_theory.comparison.frontiers import OPTIMAL
from infalign_theory.procedures import BestOfN, Procedure, WorstOfN
from infalign_theory.procedures.names import as_procedure

__all__ = [
    "BLACK",
    "BLUE",
    "GREEN",
    "GREY",
    "ORANGE",
    "PURPLE",
    "RC",
    "SCALED_LABEL",
    "SKY",
    "STYLE",
    "VERMILLION",
    "Style",
    "minus",
    "procedure_title",
    "style_of",
    "styles_of",
]

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
_FALLBACK = ("#332288", "#882255", "#999933", "#44AA99", "#AA4499", "#661100")
_LINES = (DASHDOT, (0, (3.0, 1.2)), (0, (8.0, 2.0)), (0, (2.0, 1.0, 1.0, 1.0)))
_MARKERS = "DPX*<>"


_OPTIMA = ("#000000", "#4d4d4d", "#7a7a7a")
_LONGEST_LABEL = 44


def style_of(name: str) -> Style:
    """The style of any transform by name; the same name always looks the same.

    Examples
    --------
    >>> style_of("exp:10").color == STYLE["exp:10"].color
    True
    >>> style_of("power:7") == style_of("power:7")
    True
    >>> style_of("optimal@bon:16").label
    'optimum for Best-of-16'
    """
    return _look(name, zlib.crc32(name.encode()))  # unlike hash(), the same in every process


def styles_of(names: Sequence[str]) -> dict[str, Style]:
    """Styles of transforms drawn together: no two look alike, the first keeps its own.

    Examples
    --------
    >>> many = styles_of([f"power:{p}" for p in range(2, 40)])
    >>> len({(s.color, s.linestyle, s.marker) for s in many.values()})
    38
    """
    found: dict[str, Style] = {}
    taken: set[tuple[object, ...]] = set()
    for name in dict.fromkeys(names):
        pick = zlib.crc32(name.encode())
        style = style_of(name)
        for step in range(1, 400):
            look = (style.color, str(style.linestyle), style.marker, style.filled)
            if look not in taken:
                break
            style = _look(name, pick + 37 * step)
        found[name] = style
        taken.add(look)
    return found


def _look(name: str, pick: int) -> Style:
    """The style of a name; of one without a place in :data:`STYLE`, the one of that number."""
    if name in STYLE:
        return STYLE[name]
    kind, _, number = name.partition(":")
    line, marker = _LINES[pick // 7 % len(_LINES)], _MARKERS[pick // 31 % len(_MARKERS)]
    trained = name.partition("@")[2] if kind != "quantile" else ""
    if trained:
        color = _OPTIMA[pick % len(_OPTIMA)]
        label = f"optimum for {' against '.join(map(_short_title, trained.split('|')))}"
        return Style(label, color, line, marker, 1.7, filled=False, order=8)
    if kind == "exp":
        sign = "-" if number.startswith("-") else ""
        color = (SKY if pick % 2 else BLUE) if sign else (ORANGE if pick % 2 else VERMILLION)
        return Style(minus(f"{sign}exp({number}u)"), color, line, marker, filled=False)
    words = {
        "power": f"u^{number}",
        "expr": number,
        "logit": "logit u",
        "quantile": f"raw reward, {number.replace('@', ', spread ')}",
    }
    label = words.get(kind, name)
    if len(label) > _LONGEST_LABEL:
        label = label[: _LONGEST_LABEL - 1] + "\N{HORIZONTAL ELLIPSIS}"
    return Style(label, _FALLBACK[pick % len(_FALLBACK)], line, marker)


def _short_title(text: str) -> str:
    return re.sub(r"-of-N, N = (\d+)$", r"-of-\1", procedure_title(text))


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
