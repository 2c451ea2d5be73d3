"""Divergences from their texts."""

from __future__ import annotations

import re

from infalign_theory.divergences.alpha import Alpha, ChiSquared, ForwardKL
from infalign_theory.divergences.chi_squared_kl import ChiSquaredKL
from infalign_theory.divergences.core import Divergence
from infalign_theory.divergences.jensen_shannon import JensenShannon
from infalign_theory.divergences.reverse_kl import ReverseKL
from infalign_theory.errors import InputError
from infalign_theory.spelling import squeezed

ALLOWED = "kl, forward-kl, chi2, chi2+kl, js or alpha:A"

_SPELLINGS: dict[str, Divergence] = {
    spelling: divergence
    for divergence, spellings in (
        (ReverseKL(), "kl reversekl rkl kldivergence kullbackleibler"),
        (ForwardKL(), "forwardkl fkl klforward inclusivekl"),
        (ChiSquared(), "chi2 chisq chisquare chisquared x2 χ2 χ² pearson"),
        (ChiSquaredKL(), "chi2+kl kl+chi2 chisquared+kl kl+chisquared chisq+kl χ2+kl χ²+kl chipo"),
        (JensenShannon(), "js jsd jensenshannon"),
        (Alpha(0.5), "hellinger squaredhellinger"),
    )
    for spelling in spellings.split()
}
_BY_ALPHA: dict[float, Divergence] = {0.0: ForwardKL(), 1.0: ReverseKL(), 2.0: ChiSquared()}


def as_divergence(divergence: Divergence | str) -> Divergence:
    """A divergence from itself or from text such as ``forward-kl``.

    Capitals, spaces, hyphens and underscores do not matter.

    Examples
    --------
    >>> as_divergence("Forward KL")
    ForwardKL(alpha=0.0)
    >>> as_divergence("alpha:0.5").name
    'alpha:0.5'
    >>> as_divergence("alpha:2").name
    'chi2'
    """
    if isinstance(divergence, Divergence):
        return divergence
    if not isinstance(divergence, str):
        raise InputError(f"divergence {divergence!r:.80} is not known; give {ALLOWED}.")
    word = re.sub(r"divergence$", "", squeezed(re.sub(r"\^|\s*(\+)\s*", r"\1", divergence)))
    if word in _SPELLINGS:
        return _SPELLINGS[word]
    found = re.fullmatch(r"(?:alpha|\u03b1)([:=(]?)(.*?)\)?", divergence.strip().lower())
    if found and not found[1] and found[2].strip().startswith("-"):
        size = found[2].strip(" -")
        raise InputError(
            f"divergence {divergence!r} may mean alpha:{size} or alpha:-{size}; give one of them."
        )
    if found:
        return _alpha(found[2].strip(), divergence)
    raise InputError(f"divergence {divergence!r} is not known{_nearest(word)}; give {ALLOWED}.")


def _alpha(text: str, whole: str) -> Divergence:
    try:
        number = float(text)
    except ValueError:
        raise InputError(
            f"divergence {whole!r}: alpha = {text!r} is not a number; write for example alpha:0.5."
        ) from None
    return _BY_ALPHA.get(number) or Alpha(number)


def _nearest(word: str) -> str:
    from difflib import get_close_matches

    close = get_close_matches(word, _SPELLINGS, 1)
    return f" (did you mean {_SPELLINGS[close[0]].name}?)" if close else ""
