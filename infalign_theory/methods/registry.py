"""Every method by name."""

from __future__ import annotations

from difflib import get_close_matches

from infalign_theory.errors import InputError
from infalign_theory.methods import distillation, online, preferences
from infalign_theory.methods.core import Method

METHODS: dict[str, Method] = {
    entry.name: entry for entry in (*online.METHODS, *preferences.METHODS, *distillation.METHODS)
}


def method(name: str) -> Method:
    """A method by its name.

    Examples
    --------
    >>> method("grpo-k3").divergence
    'forward-kl'
    """
    if name in METHODS:
        return METHODS[name]
    family = [known for known in METHODS if name and known.startswith(f"{name}-")]
    close = family or get_close_matches(str(name), METHODS, 1)
    hint = f" (did you mean {' or '.join(close)}?)" if close else ""
    raise InputError(f"method {name!r} is not known{hint}; give one of {', '.join(METHODS)}.")
