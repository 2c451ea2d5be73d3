"""How pages are written: one template engine, and numbers and names as they read well.

No script, no request, no time of day: the same result gives the same bytes. Whatever users named
is escaped by the template engine, and before that freed of characters that act without showing.
"""

from __future__ import annotations

import math
import platform
from collections.abc import Iterable
from importlib import metadata

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from infalign_theory import __version__
from infalign_theory.empirical.validation.phrasing import percent
from infalign_theory.plotting.style import minus

NOTHING = "\N{EN DASH}"
LONGEST = 100  # letters of a name that are shown
_PACKAGES = {"NumPy": "numpy", "SciPy": "scipy", "DuckDB": "duckdb", "Numba": "numba"}
_TIMES = " \N{MULTIPLICATION SIGN} "
_POWERS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def environment() -> Environment:
    """The engine of all pages, with the filters they share."""
    made = Environment(
        loader=PackageLoader("infalign_theory", "empirical/report"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_finalize,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {
        "percent": _percent,
        "points": _points,
        "share_interval": _share_interval,
        "points_interval": _points_interval,
        "number": number,
        "interval": _interval,
        "signed": _signed,
        "cut": cut,
    }
    return made


def versions() -> dict[str, str]:
    """What made a page."""
    return {
        "infalign-theory": __version__,
        "Python": platform.python_version(),
        **{name: metadata.version(package) for name, package in _PACKAGES.items()},
    }


def visible(text: str) -> str:
    """Text with every character that acts without showing, as its escape sequence.

    Examples
    --------
    >>> print(visible("a" + chr(0x202E) + "b" + chr(0)))
    a\\u202eb\\x00
    """
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def cut(text: str) -> str:
    """A name of any length, shortened to what a page can show."""
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"


def prose(text: str, names: Iterable[str | None]) -> str:
    """A sentence with the long ones of the names in it shortened."""
    for name in names:
        if name is not None:
            text = text.replace(name, cut(name)) if len(name) > LONGEST else text
    return text


def number(value: float | None, digits: int = 3) -> str:
    """A number to some significant digits; a dash where there is none.

    Examples
    --------
    >>> number(0.28644), number(77773.2), number(float("inf")) == NOTHING
    ('0.286', '77773', True)
    """
    if value is None or not math.isfinite(value):
        return NOTHING
    if 10.0**digits <= abs(value) < 1e6:
        return minus(f"{value:.0f}")
    text, e, power = f"{value:#.{digits}g}".partition("e")
    return minus(text.removesuffix(".")) + (
        f"{_TIMES}10{str(int(power)).translate(_POWERS)}" if e else ""
    )


def _percent(value: float | None) -> str:
    return NOTHING if value is None else percent(value)


def _points(value: float) -> str:
    """A difference of shares in percentage points."""
    return minus(f"{100 * value:+.1f}")


def _points_interval(pair: tuple[float, float] | None) -> str:
    return NOTHING if pair is None else " to ".join(map(_points, pair))


def _signed(value: float | None) -> str:
    return NOTHING if value is None else minus(f"{value:+.2f}")


def _interval(pair: tuple[float | None, float | None] | None) -> str:
    return NOTHING if pair is None else " to ".join(map(number, pair))


def _share_interval(pair: tuple[float, float] | None) -> str:
    return NOTHING if pair is None else f"{100 * pair[0]:.1f} to {percent(pair[1])}"


def _finalize(value: object) -> object:
    """What every expression of the template goes through; markup is the template's own."""
    return visible(value) if isinstance(value, str) and not isinstance(value, Markup) else value
