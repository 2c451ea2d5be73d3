"""Procedures from their texts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from infalign_theory.errors import InputError
from infalign_theory.procedures.core import Procedure
from infalign_theory.procedures.distortion import Distortion
from infalign_theory.procedures.mixture import Mixture
from infalign_theory.procedures.order_statistic import OrderStatistic
from infalign_theory.procedures.poisson import BestOfPoisson
from infalign_theory.procedures.powers import BestOfN, Standard, WorstOfN

ALLOWED = (
    "standard, bon:N, won:N, order:K/N (K-th best of N), bop:MU (best of Poisson), "
    "mix:W*bon:4+W*won:4 or g:FORMULA (in p)"
)


def as_procedure(procedure: Procedure | str) -> Procedure:
    """A procedure from itself or from text such as ``bon:4``.

    Examples
    --------
    >>> as_procedure("won:8")
    WorstOfN(n=8)
    >>> as_procedure("mix:0.5*bon:4+0.5*standard").name
    'mix:0.5*bon:4+0.5*standard'
    """
    if isinstance(procedure, Procedure):
        return procedure
    if isinstance(procedure, str):
        head, colon, tail = procedure.strip().partition(":")
        if head == "standard" and not colon:
            return Standard()
        if head in _READERS and colon:
            try:
                return _READERS[head](tail)
            except _Unreadable:
                pass
    raise InputError(f"procedure {procedure!r} is not known; give {ALLOWED}.")


class _Unreadable(Exception):
    """A text that does not fit its head; its numbers are checked by the procedures themselves."""


def _number(text: str) -> Any:
    try:
        return float(text)
    except ValueError:
        raise _Unreadable from None


def _order(text: str) -> Procedure:
    k, slash, n = text.partition("/")
    if not slash:
        raise _Unreadable
    return OrderStatistic(_number(k), _number(n))


def _mixture(text: str) -> Procedure:
    parts = []
    for part in text.split("+"):
        weight, star, inner = part.partition("*")
        if not star:
            raise _Unreadable
        parts.append((_number(weight), as_procedure(inner)))
    return Mixture(parts)


def _distortion(text: str) -> Procedure:
    formula, *assignments = text.split(";")
    parameters: dict[str, Any] = {}
    for assignment in assignments:
        name, equals, value = assignment.partition("=")
        if not equals or not name.strip().isidentifier():
            raise _Unreadable
        parameters[name.strip()] = _number(value)
    return Distortion(formula, **parameters)


_READERS: dict[str, Callable[[str], Procedure]] = {
    "bon": lambda text: BestOfN(_number(text)),
    "won": lambda text: WorstOfN(_number(text)),
    "order": _order,
    "bop": lambda text: BestOfPoisson(_number(text)),
    "mix": _mixture,
    "g": _distortion,
}


def several(texts: Sequence[str]) -> list[Procedure]:
    """Procedures from texts, in which ``bon:2,4`` stands for bon:2 and bon:4.

    Examples
    --------
    >>> [p.name for p in several(["bon:2,4", "standard"])]
    ['bon:2', 'bon:4', 'standard']
    """
    out = []
    for text in texts:
        head, colon, tail = text.partition(":")
        parts = tail.split(",") if head in ("bon", "won") else [tail]
        for part in parts:
            own = ":" in part and head in ("bon", "won")
            out.append(as_procedure(part if own else f"{head}{colon}{part.strip()}"))
    return out
