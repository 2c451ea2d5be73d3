"""How people write names: what they mean is read, what is unknown gets "did you mean"."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from difflib import get_close_matches

__all__ = ["NUMBER", "arguments", "did_you_mean", "pieces", "repaired_formula", "squeezed", "tidy"]

NUMBER = r"(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?"

_SIGNED = re.compile(rf"[+-]?\s*{NUMBER}")
_ENDS_IN_NUMBER = re.compile(
    rf"^(.*?[A-Za-z:@|=_^*\s-])([+-]?{NUMBER}(?:\s*(?:-|\.\.|to)\s*{NUMBER})?)$", re.DOTALL
)
_ASSIGNMENT = re.compile(rf"[A-Za-z]\w*\s*=\s*[+-]?\s*{NUMBER}")
_CHARACTERS = str.maketrans({
    "\N{MINUS SIGN}": "-", "\N{EN DASH}": "-", "\N{EM DASH}": "-", "\N{HYPHEN}": "-",
    "\N{NON-BREAKING HYPHEN}": "-", "\N{MIDDLE DOT}": "*", "\N{DOT OPERATOR}": "*",
    "\N{MULTIPLICATION SIGN}": "*", "\N{NO-BREAK SPACE}": " ",
})  # fmt: skip


def tidy(text: str) -> str:
    """The text with plain minus, times and space characters and none at its ends.

    Examples
    --------
    >>> tidy(" exp:\N{MINUS SIGN}10  ")
    'exp:-10'
    """
    return re.sub(r"\s+", " ", text.translate(_CHARACTERS)).strip()


def squeezed(word: str) -> str:
    """A word without what people write differently: case, spaces, hyphens, underscores.

    Only between letters and digits: before a word a hyphen is a sign, after it a slip.

    Examples
    --------
    >>> squeezed("Best-of_N "), squeezed("-N")
    ('bestofn', '-n')
    """
    return re.sub(r"(?<=[^\W_])[\s_-]+(?=[^\W_])", "", word.strip()).lower()


def pieces(text: str) -> list[str]:
    """The items of a list written in one text; a bare number repeats what stood before.

    Commas inside parentheses belong to their formula, ``name=number`` to the item before it.

    Examples
    --------
    >>> pieces("exp:5,10, identity, max(u,0.5), optimal@bon:2,16")
    ['exp:5', 'exp:10', 'identity', 'max(u,0.5)', 'optimal@bon:2', 'optimal@bon:16']
    """
    out: list[str] = []
    for part in _outside_parentheses(tidy(text)):
        before = _ENDS_IN_NUMBER.match(out[-1]) if out else None
        if out and _ASSIGNMENT.fullmatch(part):
            out[-1] += f";{part}"
        elif before is not None and _SIGNED.match(part):
            out.append(before[1] + part)
        else:
            out.append(part)
    return out


def _outside_parentheses(text: str) -> list[str]:
    parts, depth, start = [], 0, 0
    for at, character in enumerate(text):
        depth += (character == "(") - (character == ")")
        if character == "," and depth <= 0:
            parts.append(text[start:at].strip())
            start = at + 1
    return [*parts, text[start:].strip()]


def arguments(rest: str) -> str | None:
    """What follows a head: ``:4``, ``(4)``, ``=4``, ``@4``, ``-4``, `` 4``, ``4``; None if nothing.

    A name in front of the value, as in ``(n=4)``, is dropped.

    Examples
    --------
    >>> [arguments(rest) for rest in (":4", "(n=4)", " 4", "-4", ", N = 4", "")]
    ['4', '4', '4', '4', '4', None]
    """
    text = rest.strip()
    if not text:
        return None
    if text[0] in ":=@,;":
        text = text[1:].strip()
    elif text[0] == "(" and text.endswith(")"):
        text = text[1:-1].strip()
    elif re.match(r"[-_]\d|\s*[\d.]", rest):
        text = text.lstrip("-_")
    else:
        return text
    return re.sub(r"^[A-Za-z]\w*\s*=\s*", "", text)


def repaired_formula(text: str) -> str:
    """A formula as people write it, as the formula language reads it: ``2u^2`` is ``2*u**2``.

    Examples
    --------
    >>> repaired_formula("exp(10u) - 2(1-u)^2 + ln(u)")
    'exp(10*u) - 2*(1-u)**2 + log(u)'
    >>> repaired_formula("log1p(1e3*u)")
    'log1p(1e3*u)'
    """
    text = re.sub(r"\bln\b", "log", text.replace("^", "**"))
    return re.sub(rf"(?<![\w.])((?>{NUMBER}))\s*(?=[A-Za-z_(])", r"\1*", text)


def did_you_mean(word: str, known: Mapping[str, str] | Iterable[str], tail: str = "") -> str:
    """The end of a sentence that names the closest known word, or nothing.

    Parameters
    ----------
    word : str
        What was given.
    known : mapping or iterable of str
        Known words; a mapping says how each is best written.
    tail : str
        Put behind the word that is named.

    Examples
    --------
    >>> did_you_mean("identitty", ["identity", "log"])
    ' (did you mean identity?)'
    """
    written = dict(known) if isinstance(known, Mapping) else {name: name for name in known}
    close = get_close_matches(squeezed(word), written, n=1, cutoff=0.6)
    return f" (did you mean {written[close[0]]}{tail}?)" if close else ""
