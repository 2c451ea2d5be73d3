"""Transforms from their texts."""

from __future__ import annotations

from infalign_theory.errors import InputError
from infalign_theory.transforms.core import Transform
from infalign_theory.transforms.elementary import Identity, Log, Logit
from infalign_theory.transforms.exponential import Exponential
from infalign_theory.transforms.expression import Expression
from infalign_theory.transforms.power import Power

_WITHOUT_NUMBER: dict[str, Transform] = {
    "identity": Identity(),
    "log": Log(),
    "logit": Logit(),
}


ALLOWED = "identity, log, logit, power:P, exp:T, expr:FORMULA (in u) or optimal"


def as_transform(transform: Transform | str) -> Transform:
    """A transform from itself or from text such as ``exp:10``.

    Text parameters of an expression follow semicolons: ``expr:exp(t*u)-u;t=3``.

    Examples
    --------
    >>> as_transform("exp:10")
    Exponential(t=10.0)
    """
    if isinstance(transform, Transform):
        return transform
    if not isinstance(transform, str):
        raise InputError(
            f"transform {transform!r:.80} is not a transform; give one of {ALLOWED}, or .transform "
            "of an optimum."
        )
    head, colon, tail = transform.strip().partition(":")
    if head in _WITHOUT_NUMBER and not colon:
        return _WITHOUT_NUMBER[head]
    if head == "expr" and colon:
        text, *assignments = tail.split(";")
        return Expression(text, **_parameters(assignments, transform))
    if head in ("exp", "power") and colon:
        number = _number(tail, transform)
        return Exponential(number) if head == "exp" else Power(number)
    raise InputError(f"transform {transform!r} is not known; give one of {ALLOWED}.")


def _number(text: str, whole: str) -> float:
    try:
        return float(text)
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
