"""The panels as SVG: small, sharp at any width, readable by a screen reader."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import numpy as np

from infalign_theory.comparison.frontiers import OPTIMAL
from infalign_theory.explorer.curves import IDENTITY, MINE, SIZES, Curve
from infalign_theory.explorer.paths import level
from infalign_theory.plotting.style import style_of
from infalign_theory.typing import Array

WIDTH, HEIGHT = 400, 270
_LEFT, _RIGHT, _TOP, _BOTTOM = 50, 388, 30, 228
_MINE = "#CC0099"  # no other curve of the project has it
_DASHES = {IDENTITY: "7 2 2 2", OPTIMAL: "5 3"}
_OTHER_DASH = "3 2"
_MOST_TICKS = 6
_KL = "KL (nats)"


@dataclass(frozen=True, kw_only=True)
class Axes:
    """What a panel shows; ``sizes`` marks an axis of N, logarithmic, ``unit`` values in [0, 1]."""

    title: str
    x: str
    y: str
    sizes: bool = False
    unit: bool = False


AXES = {
    "transform": Axes(
        title="Transform", x="calibrated reward u", y="Φ(u), scaled to [0, 1]", unit=True
    ),
    "density": Axes(title="Aligned policy", x="calibrated reward u", y="density over the base's"),
    "frontier": Axes(title="Win rate against KL", x=_KL, y="win rate"),
    "regret": Axes(title="Regret", x=_KL, y="points of win rate"),
    "efficiency": Axes(title="First bit of KL", x="N", y="first-order efficiency", sizes=True),
    "by_size": Axes(title="Win rate against N", x="N", y="win rate at this KL", sizes=True),
}


def svg(name: str, curves: Sequence[Curve], kl: float) -> str:
    """One panel; where KL is the axis, a thin line marks the chosen budget."""
    axes = AXES[name]
    if not curves:
        return _empty(axes)
    most = level(kl) if axes.x == _KL else 1.0
    across = _Scale.sizes() if axes.sizes else _Scale.of(np.array([0.0, most]), _LEFT, _RIGHT)
    seen = np.concatenate([c.y if axes.sizes else c.y[c.x <= most] for c in curves])
    up = _Scale.of(np.array([0.0, 1.0]) if axes.unit else seen, _BOTTOM, _TOP)
    drawn = [_frame(axes, across, up)]
    if axes.x == _KL:
        at = f"{float(across(np.array([kl]))[0]):.1f}"
        drawn.append(f'<path d="M{at} {_TOP}V{_BOTTOM}" stroke="#999" stroke-dasharray="1 3"/>')
    drawn += [_line(name, curve, across, up, axes.sizes) for curve in curves]
    said = "; ".join(_said(curve) for curve in curves)
    return _svg(axes, "".join(drawn), said)


def legend(names: Sequence[str]) -> str:
    """What the lines of all panels mean."""
    parts = [
        f'<span style="white-space:nowrap"><svg width="34" height="10" aria-hidden="true">'
        f'<path d="M1 5H33" {_stroke(name)}/></svg> {escape(_label(name))}</span>'
        for name in names
    ]
    return f'<div style="display:flex;flex-wrap:wrap;gap:2px 18px">{"".join(parts)}</div>'


@dataclass(frozen=True)
class _Scale:
    """Numbers to pixels, with ticks."""

    low: float
    high: float
    start: float
    stop: float
    ticks: tuple[float, ...]
    logarithmic: bool = False

    @classmethod
    def of(cls, values: Array, start: float, stop: float) -> _Scale:
        low, high = float(values.min()), float(values.max())
        low = 0.0 if 0.0 <= low < 0.2 * high else low
        if high - low < 1e-9 * max(abs(high), 1e-3):
            low, high = low - 0.5, high + 0.5
        return cls(low, high, start, stop, nice_ticks(low, high))

    @classmethod
    def sizes(cls) -> _Scale:
        return cls(0.0, float(np.log(SIZES[-1])), _LEFT + 6, _RIGHT, SIZES, logarithmic=True)

    def __call__(self, values: Array) -> Array:
        at = np.log(values) if self.logarithmic else values
        share = (at - self.low) / (self.high - self.low)
        return np.asarray(self.start + share * (self.stop - self.start))


def nice_ticks(low: float, high: float) -> tuple[float, ...]:
    """At most six round numbers within a range.

    Examples
    --------
    >>> nice_ticks(0.0, 1.0)
    (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
    >>> nice_ticks(0.5, 0.83)
    (0.5, 0.6, 0.7, 0.8)
    """
    power = 10.0 ** np.floor(np.log10((high - low) / _MOST_TICKS))
    for factor in (1.0, 2.0, 2.5, 5.0, 10.0, 20.0):
        step = factor * power
        first, last = np.ceil(low / step - 1e-9), np.floor(high / step + 1e-9)
        if last - first < _MOST_TICKS:
            break
    return tuple(float(f"{n * step + 0.0:.12g}") for n in np.arange(first, last + 1.0))


def _frame(axes: Axes, across: _Scale, up: _Scale) -> str:
    """Grid, ticks and words."""
    parts = []
    for tick, at in zip(across.ticks, across(np.array(across.ticks, dtype=float)), strict=True):
        parts.append(f'<path d="M{at:.1f} {_TOP}V{_BOTTOM}" stroke="#eee"/>')
        parts.append(f'<text x="{at:.1f}" y="{_BOTTOM + 15}" text-anchor="middle">{tick:g}</text>')
    for tick, at in zip(up.ticks, up(np.array(up.ticks)), strict=True):
        parts.append(f'<path d="M{_LEFT} {at:.1f}H{_RIGHT}" stroke="#eee"/>')
        text = f"{tick:g}".replace("-", "\N{MINUS SIGN}")
        parts.append(f'<text x="{_LEFT - 5}" y="{at + 4:.1f}" text-anchor="end">{text}</text>')
    middle = (_TOP + _BOTTOM) / 2
    parts += [
        f'<path d="M{_LEFT} {_TOP}V{_BOTTOM}H{_RIGHT}" stroke="#555" fill="none"/>',
        f'<text x="{(_LEFT + _RIGHT) / 2}" y="{HEIGHT - 8}" text-anchor="middle">{axes.x}</text>',
        f'<text transform="translate(13 {middle}) rotate(-90)" text-anchor="middle">'
        f"{axes.y}</text>",
        f'<text x="{_LEFT}" y="19" font-size="14" font-weight="bold">{axes.title}</text>',
    ]
    return "".join(parts)


def _line(panel: str, curve: Curve, across: _Scale, up: _Scale, marked: bool) -> str:
    x, y = across(curve.x).tolist(), up(curve.y).tolist()
    path = "M" + "L".join([f"{a:.1f} {b:.1f}" for a, b in zip(x, y, strict=True)])
    named = f'data-curve="{panel}/{escape(curve.name)}"'
    line = f'<path {named} d="{path}" {_stroke(curve.name)} clip-path="url(#inside)"/>'
    if not marked:
        return line
    color = _color(curve.name)
    return line + "".join(
        f'<circle cx="{a:.1f}" cy="{b:.1f}" r="3" fill="{color}"/>'
        for a, b in zip(x, y, strict=True)
    )


def _stroke(name: str) -> str:
    dash = "" if name == MINE else f' stroke-dasharray="{_DASHES.get(name, _OTHER_DASH)}"'
    width = 2.6 if name == MINE else 1.7
    return f'fill="none" stroke="{_color(name)}" stroke-width="{width}"{dash}'


def _color(name: str) -> str:
    return _MINE if name == MINE else style_of(name).color


def _label(name: str) -> str:
    return "your transform" if name == MINE else style_of(name).label


def _said(curve: Curve) -> str:
    """A curve in words, for those who do not see it."""
    return f"{_label(curve.name)}: from {curve.y[0]:.4g} to {curve.y[-1]:.4g}"


def _empty(axes: Axes) -> str:
    text = f'<text x="{_LEFT}" y="19" font-size="14" font-weight="bold">{axes.title}</text>'
    text += f'<text x="{_LEFT}" y="120">only for a continuous base</text>'
    return _svg(axes, text, "nothing to draw")


def _svg(axes: Axes, content: str, said: str) -> str:
    inside = f"M{_LEFT} {_TOP - 4}H{_RIGHT + 1}V{_BOTTOM + 4}H{_LEFT}Z"
    return (
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        f'aria-label="{escape(f"{axes.title}, {axes.y} over {axes.x}. {said}")}" '
        'style="width:100%;height:auto;display:block;background:#fff" '
        'font-family="system-ui,sans-serif" font-size="12" fill="#222">'
        f'<defs><clipPath id="inside"><path d="{inside}"/></clipPath></defs>{content}</svg>'
    )
