"""Transforms from their texts."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any

from infalign_theory.errors import InputError
from infalign_theory.spelling import (
    NUMBER,
    arguments,
    did_you_mean,
    pieces,
    repaired_formula,
    squeezed,
    tidy,
)
from infalign_theory.transforms.core import Transform
from infalign_theory.transforms.elementary import Identity, Log, Logit
from infalign_theory.transforms.exponential import Exponential
from infalign_theory.transforms.expression import Expression
from infalign_theory.transforms.power import Power
from infalign_theory.transforms.quantile import read as read_quantile

__all__ = ["ALLOWED", "as_transform", "several", "unknown"]

ALLOWED = (
    "identity, log, logit, power:P, exp:T, quantile:LAW, optimal, or a formula in u as exp(3*u) - u"
)


def _expression(text: str) -> Transform:
    """A formula in u; values of its parameters follow semicolons."""
    formula, *assignments = text.split(";")
    return Expression(repaired_formula(formula), **_parameters(assignments, text))


# word without spaces -> transform (a hyphen would be a sign); add yours here
_WITHOUT_NUMBER: dict[str, Transform] = {
    "identity": Identity(),
    "identityu": Identity(),
    "id": Identity(),
    "u": Identity(),
    "log": Log(),
    "logu": Log(),
    "ln": Log(),
    "lnu": Log(),
    "logit": Logit(),
    "logitu": Logit(),
}
# squeezed word -> reader of its one number; add yours here
_WITH_NUMBER: dict[str, Callable[[float], Transform]] = {
    "exp": Exponential,
    "exponential": Exponential,
    "power": Power,
    "pow": Power,
}
# how a formula of a family with a name of its own is written; each holds one number
_T = rf"\s*(?:({NUMBER})\s*\*?\s*u|u\s*\*\s*({NUMBER}))\s*"
_SHAPES: tuple[tuple[re.Pattern[str], Callable[[float], Transform]], ...] = (
    (re.compile(rf"(?:exp|e\s*(?:\*\*|\^))\s*\({_T}\)"), Exponential),
    (re.compile(rf"-\s*(?:exp|e\s*(?:\*\*|\^))\s*\(\s*-{_T}\)"), lambda t: Exponential(-t)),
    (re.compile(rf"u\s*(?:\*\*|\^)\s*({NUMBER})"), Power),
)
_FUNCTION_OF_U = re.compile(r"(log|ln|logit|identity)\s*\(\s*u?\s*\)")


def as_transform(transform: Transform | str) -> Transform:
    """A transform from itself or from text such as ``exp:10``.

    Texts are read as people write them: ``exp(10u)``, ``-exp(-10*u)``, ``u^7``, ``log u``. Any
    other formula in u is one: ``exp(3*u)-u`` is short for ``expr:exp(3*u)-u``. Parameters of a
    formula follow semicolons: ``exp(t*u)-u;t=3``.

    Examples
    --------
    >>> as_transform("exp:10"), as_transform("-exp(-10u)")
    (Exponential(t=10.0), Exponential(t=-10.0))
    >>> as_transform("exp(3u) - u").name
    'expr:exp(3*u) - u'
    """
    if isinstance(transform, Transform):
        return transform
    if not isinstance(transform, str):
        raise InputError(
            f"transform {transform!r:.80} is not a transform; give one of {ALLOWED}, or .transform "
            "of an optimum."
        )
    text, *others = pieces(transform)
    if others:
        raise unknown(transform)
    head, colon, tail = text.partition(":")
    if colon and squeezed(head) in ("expr", "expression", "formula"):
        return _expression(tail)
    if colon and squeezed(head) in ("quantile", "ppf", "raw"):
        return read_quantile(tail)
    named = _named(text, transform)
    if named is not None:
        return named
    if re.search(r"(?<![A-Za-z_])u(?![A-Za-z_0-9])", text) and "@" not in text and not colon:
        return _expression(text)
    raise unknown(transform)


def _named(text: str, given: str) -> Transform | None:
    """A transform of a family that has a name, or None."""
    for pattern, family in _SHAPES:
        found = pattern.fullmatch(text)
        if found:
            return family(float(next(filter(None, found.groups()))))
    found = _FUNCTION_OF_U.fullmatch(text.lower())
    if found:
        return _WITHOUT_NUMBER[found[1]]
    word = "".join(text.split()).lower()
    if word in _WITHOUT_NUMBER:
        return _WITHOUT_NUMBER[word]
    found = re.match(r"([A-Za-z]+)(.*)$", text, re.DOTALL)
    family_ = _WITH_NUMBER.get(found[1].lower()) if found else None
    if found is None or family_ is None:
        return None
    if re.match(r"\s*-", found[2]):
        if not re.fullmatch(rf"\s*-\s*{NUMBER}", found[2]):
            return None
        size = found[2].strip().lstrip("- ")
        raise InputError(
            f"transform {given!r} may mean {found[1]}:{size} or {found[1]}:-{size}; give one of "
            "them."
        )
    tail = arguments(found[2])
    if not tail or not (found[2].strip()[0] in ":=(@" or re.fullmatch(NUMBER, tail)):
        return None
    if found[2].strip()[0] == "(" and re.search(r"[A-Za-z(]", tail):
        return None  # a formula that begins with the word
    return family_(_number(re.sub(r"\s*\*?\s*u$", "", tail), given))


def several(
    transforms: Transform | str | Iterable[object],
) -> list[Transform | str]:
    """Transforms and texts of one transform each; ``exp:5,10`` stands for exp:5 and exp:10.

    Examples
    --------
    >>> several(["identity,exp:8,16", Log()])
    ['identity', 'exp:8', 'exp:16', Log()]
    """
    given: list[Any]
    if isinstance(transforms, (str, Transform)):
        given = [transforms]
    elif not isinstance(transforms, Iterable) or getattr(transforms, "ndim", 1) == 0:
        raise InputError(f'transforms = {transforms!r}: give a list, as in ["identity", "exp:10"].')
    else:
        given = list(transforms)
    if not given:
        raise InputError("no transforms given; name at least one, such as identity or exp:10.")
    return [part for item in given for part in (pieces(item) if isinstance(item, str) else [item])]


def unknown(given: str) -> InputError:
    """The error for a text that names no transform."""
    text = tidy(given)
    found = re.match(r"([A-Za-z][A-Za-z\s_]*)(.*)$", text, re.DOTALL)
    word = squeezed(found[1]) if found else ""
    if len(pieces(text)) > 1:
        remedy = f" as one transform: it is a list of {len(pieces(text))}"
    elif word in _WITH_NUMBER:
        remedy = f": write its number, as in {word}:10"
    elif word in ("optimal", "optimum"):
        remedy = (
            " here: it has a policy, not a formula; compare it with compare or frontier, or "
            "take .transform of optimum(...)"
        )
    else:
        size = re.match(rf"\W?\s*(-?{NUMBER})", found[2]) if found else None
        names = {
            **{name: name for name in ("identity", "log", "logit", "optimal", "optimum")},
            **{name: f"{name[:5]}:{size[1] if size else 'T'}" for name in ("exp", "power")},
            "exponential": f"exp:{size[1] if size else 'T'}",
            "expression": "expr:FORMULA",
            "quantile": "quantile:norm",
        }
        remedy = did_you_mean(word, names)
    return InputError(f"transform {given!r} is not known{remedy}; give one of {ALLOWED}.")


def _number(text: str, whole: str) -> float:
    try:
        return float(text if text.isascii() else "")
    except ValueError:
        raise InputError(
            f"transform {whole!r}: {text!r} is not a number; write for example exp:10 or power:7."
        ) from None


def _parameters(assignments: list[str], whole: str) -> dict[str, float]:
    out: dict[str, float] = {}
    for assignment in assignments:
        name, equals, value = (part.strip() for part in assignment.partition("="))
        if not equals or not name.isidentifier() or name in out:
            raise InputError(
                f"transform {whole!r}: {assignment!r} is not a parameter; after the formula write "
                "each once, as in expr:exp(t*u)-u;t=3."
            )
        out[name] = _number(value, whole)
    return out
