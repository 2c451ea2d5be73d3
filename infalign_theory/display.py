"""How results show themselves: small tables as HTML and LaTeX, everything in them escaped."""

from __future__ import annotations

import html
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Tabular", "html_table", "latex_table", "rows_of", "span"]

_SHOWN = 12  # rows of a long table in a notebook
_LATEX = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_",
    "{": r"\{", "}": r"\}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}",
    "<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}",
}  # fmt: skip


class Tabular(Protocol):
    """A result that can be made a table of."""

    def to_frame(self) -> pd.DataFrame:
        """A row a number."""
        ...


def rows_of(result: Tabular) -> list[dict[str, object]]:
    """The rows of a result's table."""
    return [{str(k): v for k, v in row.items()} for row in result.to_frame().to_dict("records")]


def html_table(rows: Sequence[Mapping[str, object]], caption: str = "") -> str:
    """A small HTML table; a long one shows its first and last rows and how many there are.

    Examples
    --------
    >>> html_table([{"a<b": 1.23456}], "one")
    '<table><caption>one</caption><thead><tr><th>a&lt;b</th></tr></thead><tbody><tr>\
<td style="text-align:right">1.235</td></tr></tbody></table>'
    """
    if not rows:
        return f"<p>{html.escape(caption)}</p>"
    columns = list(rows[0])
    hidden = len(rows) - _SHOWN
    shown = rows if hidden <= 0 else [*rows[: _SHOWN // 2], *rows[-_SHOWN // 2 :]]
    body = ["".join(map(_td, (row[column] for column in columns))) for row in shown]
    if hidden > 0:
        rest = f'<td colspan="{len(columns)}">… {hidden} more rows</td>'
        body.insert(_SHOWN // 2, rest)
    heads = "".join(f"<th>{html.escape(column.replace('_', ' '))}</th>" for column in columns)
    return (
        f"<table><caption>{html.escape(caption)}</caption><thead><tr>{heads}</tr></thead>"
        f"<tbody>{''.join(f'<tr>{row}</tr>' for row in body)}</tbody></table>"
    )


def latex_table(rows: Sequence[Mapping[str, object]], digits: int = 4) -> str:
    """A LaTeX table for the package ``booktabs``, numbers to so many significant digits.

    Examples
    --------
    >>> print(latex_table([{"transform": "exp:10", "win_rate": 0.87151}]))
    \\begin{tabular}{lr}
    \\toprule
    transform & win rate \\\\
    \\midrule
    exp:10 & 0.8715 \\\\
    \\bottomrule
    \\end{tabular}
    """
    columns = list(rows[0]) if rows else []
    sides = ["r" if all(_is_number(row[c]) for row in rows) else "l" for c in columns]
    lines = [r"\begin{tabular}{" + "".join(sides) + "}", r"\toprule"]
    lines.append(" & ".join(_tex(c.replace("_", " ")) for c in columns) + r" \\")
    lines.append(r"\midrule")
    lines += [" & ".join(_tex(_text(row[c], digits)) for c in columns) + r" \\" for row in rows]
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}"])


def span(values: Iterable[float], unit: str) -> str:
    """How many numbers there are and from where to where they run.

    Examples
    --------
    >>> span([0.5, 0.1], "nats"), span([0.5], "nats")
    ('2 budgets from 0.1 to 0.5 nats', '0.5 nats')
    """
    found = sorted(set(map(float, values)))
    if len(found) == 1:
        return f"{found[0]:.4g} {unit}"
    return f"{len(found)} budgets from {found[0]:.4g} to {found[-1]:.4g} {unit}"


def _is_number(value: object) -> bool:
    return value is None or (isinstance(value, (int, float)) and not isinstance(value, bool))


def _text(value: object, digits: int = 4) -> str:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "-"
    if isinstance(value, float):
        return f"{value:.{digits}g}"
    if isinstance(value, tuple):
        return "[" + ", ".join(_text(item, digits) for item in value) + "]"
    return str(value)


def _td(value: object) -> str:
    side = ' style="text-align:right"' if _is_number(value) else ""
    return f"<td{side}>{html.escape(_text(value))}</td>"


def _tex(text: str) -> str:
    return "".join(_LATEX.get(character, character) for character in text)
