"""Procedures from their texts."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

from infalign_theory.errors import InputError
from infalign_theory.procedures.core import Procedure
from infalign_theory.procedures.distortion import Distortion
from infalign_theory.procedures.mixture import Mixture
from infalign_theory.procedures.order_statistic import OrderStatistic
from infalign_theory.procedures.poisson import BestOfPoisson
from infalign_theory.procedures.powers import BestOfN, Standard, WorstOfN
from infalign_theory.spelling import (
    NUMBER,
    arguments,
    did_you_mean,
    pieces,
    repaired_formula,
    squeezed,
    tidy,
)

__all__ = ["ALLOWED", "as_procedure", "several"]

_LONGEST_RANGE = 256


class Unreadable(Exception):
    """A text that does not fit its head; its numbers are checked by the procedures themselves."""


def number(text: str) -> float:
    """A number in plain digits."""
    try:
        return float(text if text.isascii() else "")
    except ValueError:
        raise Unreadable from None


def _made(family: Callable[..., Procedure], *texts: str) -> Procedure:
    """A procedure from its numbers, which the family itself checks."""
    return family(*map(number, texts))


def _order(text: str) -> Procedure:
    found = re.fullmatch(r"(?:k\s*=\s*)?(.*?)\s*(?:/|,| of )\s*(?:n\s*=\s*)?(.*)", text)
    if not found:
        raise Unreadable
    return _made(OrderStatistic, found[1], found[2])


def _median(text: str) -> Procedure:
    n = number(text)
    if n % 2 != 1:
        raise InputError(
            f"the median of {text} samples is no one sample; give an odd number, as in order:2/3."
        )
    return OrderStatistic((int(n) + 1) // 2, int(n))


def _mixture(text: str) -> Procedure:
    parts = []
    # a plus sign inside a formula is not followed by a weight and a procedure
    for part in re.split(rf"\+(?=\s*{NUMBER}\s*\*\s*[A-Za-z]{{2}}|\s*{NUMBER}\s*\*\s*g:)", text):
        weight, star, inner = part.partition("*")
        if not star:
            raise Unreadable
        parts.append((number(weight.strip()), as_procedure(inner)))
    return Mixture(parts)


def _distortion(text: str) -> Procedure:
    formula, *assignments = text.split(";")
    parameters: dict[str, float] = {}
    for assignment in assignments:
        name, equals, value = assignment.partition("=")
        if not equals or not name.strip().isidentifier():
            raise Unreadable
        parameters[name.strip()] = number(value.strip())
    family: Callable[..., Procedure] = Distortion
    return family(repaired_formula(formula), **parameters)


class _Spelling(NamedTuple):
    """How the procedures of one head are written."""

    shape: str  # for messages
    words: tuple[str, ...]  # squeezed, the head itself included
    reader: Callable[[str], Procedure] | None  # of what follows; None where nothing may


# one line a family: add yours here
_SPELLINGS = (
    _Spelling(
        "standard",
        ("standard", "standardsampling", "single", "singlesample", "onesample", "bestofone"),
        None,
    ),
    _Spelling("bon:N", ("bon", "bo", "bestof", "bestofn"), partial(_made, BestOfN)),
    _Spelling("won:N", ("won", "wo", "worstof", "worstofn"), partial(_made, WorstOfN)),
    _Spelling("order:K/N", ("order", "orderstatistic"), _order),
    _Spelling("order:K/N", ("median", "medianof"), _median),
    _Spelling("bop:MU", ("bop", "bestofpoisson", "poisson"), partial(_made, BestOfPoisson)),
    _Spelling("mix:W*bon:4+W*won:4", ("mix", "mixture"), _mixture),
    _Spelling("g:FORMULA", ("g", "distortion"), _distortion),
)
_BY_WORD = {word: spelling for spelling in _SPELLINGS for word in spelling.words}
_NOTES = {"order:K/N": " (K-th best of N)", "bop:MU": " (best of Poisson)", "g:FORMULA": " (in p)"}
_SHAPES = dict.fromkeys(spelling.shape for spelling in _SPELLINGS)
ALLOWED = " or ".join(
    ", ".join(shape + _NOTES.get(shape, "") for shape in part)
    for part in (list(_SHAPES)[:-1], list(_SHAPES)[-1:])
)


def as_procedure(procedure: Procedure | str) -> Procedure:
    """A procedure from itself or from text such as ``bon:4``.

    Texts are read as people write them: ``best-of-4``, ``BoN:4``, ``bon4``, ``worst of 8``,
    ``WorstOfN(8)``; ``median of 3`` is ``order:2/3``.

    Examples
    --------
    >>> as_procedure("won:8")
    WorstOfN(n=8)
    >>> as_procedure("Best-of-4").name
    'bon:4'
    >>> as_procedure("mix:0.5*bon:4+0.5*standard").name
    'mix:0.5*bon:4+0.5*standard'
    """
    if isinstance(procedure, Procedure):
        return procedure
    if not isinstance(procedure, str):
        raise InputError(f"procedure {procedure!r} is not known; give {ALLOWED}.")
    text = tidy(procedure)
    found = re.match(r"([A-Za-z]+(?:[\s_-]+[A-Za-z]+)*)(.*)$", text, re.DOTALL)
    if found:
        spelling = _BY_WORD.get(squeezed(found[1]))
        tail = arguments(found[2])
        try:
            if spelling is not None and spelling.reader is not None and tail:
                return spelling.reader(tail)
        except Unreadable:
            pass
        if spelling is not None and spelling.reader is None and tail is None:
            return Standard()
    elif re.match(rf"{NUMBER}\s*\*", text):
        try:
            return _mixture(text)
        except Unreadable:
            pass
    raise InputError(f"procedure {procedure!r} is not known{_remedy(text)}; give {ALLOWED}.")


def _remedy(text: str) -> str:
    """What the writer of an unknown text may have meant."""
    if len(items := pieces(text)) > 1 or _RANGE.fullmatch(text):
        what = "several procedures" if all(items) else "a list with an empty item"
        return f" as one procedure: it is {what}"
    found = re.match(r"([A-Za-z][A-Za-z\s_-]*)(.*)$", text, re.DOTALL)
    if not found:
        return ""
    word = squeezed(found[1])
    spelling = _BY_WORD.get(word)
    if spelling is not None:
        return f": {found[1].strip()} is written {spelling.shape}"
    size = re.match(r"\D?(\d+)", found[2].strip())
    names = {known: each.shape for known, each in _BY_WORD.items()}
    if size:
        names = {known: shape.replace("N", size[1]) for known, shape in names.items()}
    return did_you_mean(word, names)


_RANGE = re.compile(r"(.*\D)(\d+)\s*(?:-|\.\.|\bto\b)\s*(\d+)", re.DOTALL)


def several(texts: Procedure | str | Sequence[Procedure | str]) -> list[Procedure]:
    """Procedures from texts that may hold lists and ranges of N.

    ``bon:2,4`` stands for bon:2 and bon:4, ``bon:1-32`` for every N from 1 to 32.

    Examples
    --------
    >>> [p.name for p in several(["bon:2,4", "standard"])]
    ['bon:2', 'bon:4', 'standard']
    >>> [p.name for p in several("bon:1-3, won:4")]
    ['bon:1', 'bon:2', 'bon:3', 'won:4']
    """
    given = [texts] if isinstance(texts, (str, Procedure)) else list(texts)
    if not given:
        raise InputError(f"no procedure named; give {ALLOWED}.")
    out: list[Procedure] = []
    for item in given:
        if not isinstance(item, str):
            out.append(as_procedure(item))
            continue
        for part in pieces(item):
            out += _ranged(part)
    return out


def _ranged(part: str) -> list[Procedure]:
    """One procedure, or one for every N of a range such as ``bon:1-32``."""
    found = _RANGE.fullmatch(part)
    if not found or _word(found[1]) not in (BestOfN, WorstOfN):
        return [as_procedure(part)]
    first, last = int(found[2]), int(found[3])
    if not first < last or last - first >= _LONGEST_RANGE:
        raise InputError(
            f"procedure {part!r}: a range runs from a smaller to a larger N over at most "
            f"{_LONGEST_RANGE} values; list those that matter, as in bon:1,4,16,64."
        )
    return [as_procedure(f"{found[1]}{n}") for n in range(first, last + 1)]


def _word(prefix: str) -> type[Procedure] | None:
    """The class that the text before a number names."""
    try:
        return type(as_procedure(f"{prefix}1"))
    except InputError:
        return None
