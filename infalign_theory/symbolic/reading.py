"""Texts of transforms and procedures that have closed forms."""

from __future__ import annotations

import re
from fractions import Fraction

import sympy as sp

from infalign_theory.errors import InputError
from infalign_theory.symbolic.symbols import t

MAX_N = 12


FORMS = {
    "exp": "'exp' (exponent t left as a symbol) or 'exp:T' with a decimal T other than 0",
    "power": "'power:P' with a whole number P >= 1",
}


# Digit counts are bounded because int() refuses, with its own error, more than 4300 digits.
_DECIMAL = re.compile(r"-?[0-9]{1,12}(\.[0-9]{1,30})?")


_WHOLE = re.compile(r"[1-9][0-9]{0,8}")


def parse_transform(text: str, allowed: tuple[str, ...]) -> tuple[str, sp.Expr]:
    """Name and parameter of a transform; power:1 is the identity."""
    if isinstance(text, str):
        name, colon, value = text.partition(":")
        if name in allowed:
            if not colon and name != "power":
                return name, t
            if colon and name == "exp" and _DECIMAL.fullmatch(value) and Fraction(value) != 0:
                return name, sp.Rational(*Fraction(value).as_integer_ratio())
            if colon and name == "power" and _WHOLE.fullmatch(value):
                return ("identity" if value == "1" else name), sp.Integer(int(value))
    forms = "; ".join(FORMS.get(name, repr(name)) for name in allowed)
    raise InputError(
        f"transform {text!r} has no closed form here. Allowed: {forms}. "
        "Evaluate others numerically."
    )


def parse_procedure(text: str) -> tuple[str, int]:
    """Kind ('bon' or 'won') and N of a procedure; standard sampling is ('bon', 1)."""
    if isinstance(text, str):
        if text == "standard":
            return "bon", 1
        kind, colon, value = text.partition(":")
        if kind in ("bon", "won") and colon and _WHOLE.fullmatch(value) and int(value) <= MAX_N:
            return kind, int(value)
    raise InputError(
        f"procedure {text!r} has no closed form here. Allowed: 'standard', 'bon:N' or 'won:N' with "
        f"a whole number N from 1 to {MAX_N}. Evaluate larger N numerically."
    )


def sample_count(n: int | sp.Expr, name: str = "n") -> sp.Expr:
    """Check a number of samples: a whole number >= 1, or a symbol declared to be one."""
    if isinstance(n, (int, sp.Integer)) and not isinstance(n, bool) and n >= 1:
        return sp.Integer(int(n))
    if isinstance(n, sp.Symbol) and n.is_integer and n.is_positive:
        return n
    raise InputError(
        f"{name} = {n!r} is not a number of samples. Give a whole number >= 1 or a symbol declared "
        "as sympy.Symbol('N', integer=True, positive=True)."
    )
