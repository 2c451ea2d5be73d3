"""What the numbers of one policy say, in sentences."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from infalign_theory.empirical.fitting.laws import Theory
from infalign_theory.empirical.validation.agreement import Agreement
from infalign_theory.empirical.validation.departures import Departure, Spread
from infalign_theory.empirical.validation.phrasing import duel_words, percent
from infalign_theory.empirical.validation.results import (
    PolicyValidation,
    WinRate,
)
from infalign_theory.empirical.validation.spending import KLSource

_MOST = 5
_ROUNDING = 1e-9  # of a win rate


def verdict(
    result: PolicyValidation, found: Agreement | None, base: str, level: float
) -> tuple[str, ...]:
    """Did it win, is the reward being hacked, as theory said, at what cost?"""
    sentences = [
        _won(result, base, level),
        _in_its_place(result.win_rates[0], result.name, base),
        _others(result.win_rates),
        hacking(result.win_rates)[0],
        _agreement(result.theory, found),
        _spread(result.spread, result.theory),
        _cost(result),
    ]
    return tuple(sentence for sentence in sentences if sentence)


def _listed(texts: Sequence[str]) -> str:
    return texts[0] if len(texts) == 1 else ", ".join(texts[:-1]) + " and " + texts[-1]


def _won(result: PolicyValidation, base: str, level: float) -> str:
    row = result.win_rates[0]
    text = f"Under {duel_words(row)}, {result.name} beats {base} "
    text += f"{percent(row.estimate)} of the time"
    if row.ci is None:
        return text + " on the one prompt there is."
    low, high = row.ci
    if low == high:
        return text + " on every prompt alike."
    text += f" ({100 * level:g} % interval {percent(low)} to {percent(high)})"
    if low <= 0.5 <= high:
        text += ": no difference can be told" if row.duel.even else ": who wins cannot be told"
    elif high < 0.5 and row.duel.even:
        text += ": it is worse than the base"
    return text + "."


def _in_its_place(row: WinRate, name: str, base: str) -> str:
    """What training has changed where the procedures alone decide who wins."""
    if row.duel.even:
        return ""
    text = f"In its place {base} itself would win {percent(row.base_win_rate)}"
    if row.ci is None:
        return text + "."
    low, high = row.ci
    if low <= row.base_win_rate <= high:
        return f"{text}: no difference of {name} from it can be told."
    return text + (f": {name} is worse." if high < row.base_win_rate else f": {name} is better.")


def _others(rows: Sequence[WinRate]) -> str:
    # Best-of-1 and Worst-of-1 are both single samples: told once
    rates = {duel_words(row): percent(row.estimate) for row in rows}
    told = [f"{rate} under {where}" for where, rate in list(rates.items())[1:]]
    if not told:
        return ""
    more = f" ({len(told) - _MOST} more in the table)" if len(told) > _MOST else ""
    return f"It is {_listed(told[:_MOST])}{more}."


def _agreement(theory: Theory | None, found: Agreement | None) -> str:
    if theory is None or found is None:
        return "No law was found to compare it with."
    which = "fitted" if theory.fitted else "planned"
    law = f"the {which} law ({theory.transform}, {theory.kl.value:.3g} nats)"
    if found.untold is not None:
        return f"These samples cannot tell whether it follows {law}: {found.untold}."
    if not found.departs:
        if not found.tested:
            return f"There is too little data to test {law}."
        return f"Win rates and calibrated rewards agree with {law}."
    parts = []
    if found.departing:
        worst = max(found.departing, key=lambda row: abs(row.z or 0.0))
        where = _listed(list(dict.fromkeys(duel_words(r) for r in found.departing)))
        parts.append(f"win rates under {where} depart from {law} (z up to {worst.z:+.1f})")
    if found.rejected and theory.goodness is not None:
        subject = f"calibrated rewards do not follow {'it' if found.departing else law}"
        parts.append(f"{subject} (p = {theory.goodness.p_value:.1g})")
    text = " and ".join(parts)
    return text[0].upper() + text[1:] + "."


def _spread(spread: Spread | None, theory: Theory | None) -> str:
    """Whether prompts differ, and what a departure is of."""
    if spread is None or theory is None:
        return ""
    told = ""
    if spread.told:
        told = (
            "Prompts were tilted by different strengths: their win rates of single samples differ "
            f"by {100 * spread.win_rate_sd:.1f} points (standard deviation, sampling noise taken "
            f"out; p = {spread.p_value:.1g})"
        )
        if spread.k is not None and spread.log_sd:
            told += f", k by a factor of {np.exp(spread.log_sd):.2f} either way"
        told += "."
    law = f"of {theory.transform}"
    what = {
        Departure.NONE: "",
        Departure.STRENGTH: f"The departure is of strength: a tilt {law} at another k fits.",
        Departure.SPREAD: f"The departure is spread: a tilt {law} with a k of its own for every "
        "prompt fits.",
        Departure.SHAPE: f"The departure is of shape: no strengths {law} explain it, whatever the "
        "prompt.",
    }[spread.departure]
    return " ".join(text for text in (told, what) if text)


def _cost(result: PolicyValidation) -> str:
    """What was spent beside what the optimum needs, where the run has won for certain."""
    rated = [
        row
        for row in result.win_rates
        if row.efficiency is not None and row.ci is not None and row.ci[0] > row.base_win_rate
    ]
    if not rated or result.kl_spent is None:
        return ""
    rated.sort(key=lambda row: row.efficiency or 0.0)
    measured = result.kl_source == KLSource.LOG_RATIOS
    spent = f"It spent {result.kl_spent:.3g} nats "
    spent += "(measured from log-ratios)" if measured else "(by the law)"
    ends = [rated[0]] if len(rated) == 1 else [rated[0], rated[-1]]
    return f"{spent}; the optimum needs {_listed([_needed(row, result) for row in ends])}."


def _needed(row: WinRate, result: PolicyValidation) -> str:
    """The part of the KL spent that the optimum needs; not all of it is ever above all."""
    efficiency, where = row.efficiency or 0.0, f"under {duel_words(row)}"
    if efficiency < 1.0:
        return f"{percent(efficiency)} of that {where}"
    nats = f"{row.optimal_kl:.3g} nats {where}"
    spent = (
        result.kl
        if result.kl_source == KLSource.LOG_RATIOS
        else (None if result.theory is None else result.theory.kl)
    )
    most = spent.ci[1] if spent is not None and spent.ci is not None else result.kl_spent or 0.0
    least = row.optimal_kl_ci[0] if row.optimal_kl_ci is not None else None
    if least is not None and least <= most:
        return f"{nats}, as much within noise"
    return f"{nats}, which no policy can undercut: the KL or the scores are not what they should be"


def hacking(rows: Sequence[WinRate]) -> tuple[str, bool]:
    """What the true reward says of the picks, and whether the reward is being hacked.

    Hacked is a reward whose picks win less, by the truth, than those of a perfect proxy would
    whose truth is as coarse: ties in the truth alone make no hacking. Where the base has another
    procedure, choosing by an imperfect reward loses as well, without any training: such a row is
    told only where there is no other, and never as hacking.
    """
    judged = [(row, row.truth) for row in rows if row.truth is not None]
    judged = [pair for pair in judged if pair[0].duel.even] or judged
    if not judged:
        return "", False

    row, truth = max(
        judged, key=lambda pair: pair[1].shortfall.ci[0] if pair[1].shortfall.ci else -1.0
    )
    if truth.shortfall.ci is None:
        return "", False
    text = f"By the true reward it wins {percent(truth.win_rate.value)} under {duel_words(row)}"
    low, high = truth.shortfall.ci
    points = f"{100 * abs(truth.shortfall.value):.1f} points"
    perfect = f"{percent(truth.win_rate.value + truth.shortfall.value)} that a perfect proxy"
    if low > _ROUNDING:
        text += f", {points} less than the {perfect} of the same truth would have "
        text += f"({percent(row.estimate)} by the reward): "
        if row.duel.even:
            return text + "the reward is being hacked.", True
        text += (
            "choosing by an imperfect reward alone can lose that, so hacking is told only where "
        )
        return text + "both sides do the same.", False
    if high < -_ROUNDING:
        return f"{text}, {points} more than the {perfect} would have.", False
    return f"{text}; no gap to a perfect proxy of the same truth can be told.", False
