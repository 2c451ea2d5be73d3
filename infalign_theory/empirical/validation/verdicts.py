"""What the numbers of one policy say, in sentences."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from scipy import special

from infalign_theory.empirical.fitting.theories import Ask, Theory
from infalign_theory.empirical.validation.results import PolicyValidation, WinRate

_LARGE_Z = 3.0
_DOUBTFUL = 0.01
_MOST = 5


def verdict(result: PolicyValidation, ask: Ask, base: str) -> PolicyValidation:
    """The same result with its verdict: did it win, as theory said, at what cost, truly?"""
    sentences = [
        _won(result, base, ask.level),
        _others(result.win_rates),
        _agreement(result),
        _cost(result),
        _hacking(result),
    ]
    return replace(result, verdict=tuple(sentence for sentence in sentences if sentence))


def procedure_words(name: str) -> str:
    """A procedure as prose has it."""
    kind, _, n = name.partition(":")
    if n == "1":
        return "single samples"
    return {"bon": f"Best-of-{n}", "won": f"Worst-of-{n}"}.get(kind, "single samples")


def percent(value: float) -> str:
    """A share of one in percent with one decimal."""
    return f"{100 * value:.1f} %"


def _listed(texts: Sequence[str]) -> str:
    return texts[0] if len(texts) == 1 else ", ".join(texts[:-1]) + " and " + texts[-1]


def _won(result: PolicyValidation, base: str, level: float) -> str:
    row = result.win_rates[0]
    text = f"Under {procedure_words(row.procedure)}, {result.name} beats {base} "
    text += f"{percent(row.estimate)} of the time"
    if row.ci is None:
        return text + " on the one prompt there is."
    low, high = row.ci
    if low == high:
        return text + " on every prompt alike."
    text += f" ({100 * level:g} % interval {percent(low)} to {percent(high)})"
    if low <= 0.5 <= high:
        text += ": no difference can be told"
    elif high < 0.5:
        text += ": it is worse than the base"
    return text + "."


def _others(rows: Sequence[WinRate]) -> str:
    # Best-of-1 and Worst-of-1 are both single samples: told once
    rates = {procedure_words(row.procedure): percent(row.estimate) for row in rows}
    told = [f"{rate} under {where}" for where, rate in list(rates.items())[1:]]
    if not told:
        return ""
    more = f" ({len(told) - _MOST} more in the table)" if len(told) > _MOST else ""
    return f"It is {_listed(told[:_MOST])}{more}."


def _agreement(result: PolicyValidation) -> str:
    theory = result.theory
    if theory is None:
        return "No law was found to compare it with."
    which = "fitted" if theory.fitted else "planned"
    tested = [row for row in result.win_rates if row.z is not None and not _matched(row, theory)]
    far = [row for row in tested if abs(row.z or 0.0) > _limit(row)]
    bad = theory.goodness is not None and theory.goodness.p_value < _DOUBTFUL
    law = f"the {which} law ({theory.transform}, {theory.kl.value:.3g} nats)"
    if not far and not bad:
        if theory.goodness is None and not tested:
            return f"There is too little data to test {law}."
        return f"Win rates and calibrated rewards agree with {law}."
    parts = []
    if far:
        worst = max(far, key=lambda row: abs(row.z or 0.0))
        where = _listed([procedure_words(row.procedure) for row in far])
        parts.append(f"win rates under {where} depart from {law} (z up to {worst.z:+.1f})")
    if bad and theory.goodness is not None:
        subject = "calibrated rewards do not follow it" if far else (
            f"calibrated rewards do not follow {law}"
        )  # fmt: skip
        parts.append(f"{subject} (p = {theory.goodness.p_value:.1g})")
    text = " and ".join(parts)
    return text[0].upper() + text[1:] + "."


def _matched(row: WinRate, theory: Theory) -> bool:
    """Whether a fit makes the prediction equal to the estimate: single samples, by any tilt."""
    return theory.fitted and procedure_words(row.procedure) == "single samples"


def _limit(row: WinRate) -> float:
    """|z| that chance exceeds as rarely as a normal number exceeds 3: Student over prompts."""
    return float(special.stdtrit(max(row.prompts - 1, 1), special.ndtr(_LARGE_Z)))


def _cost(result: PolicyValidation) -> str:
    rated = [
        row for row in result.win_rates
        if row.efficiency is not None and row.ci is not None and row.ci[0] > 0.5
    ]  # fmt: skip
    if not rated or result.kl_spent is None:
        return ""
    rated.sort(key=lambda row: row.efficiency or 0.0)
    how = "measured from log-ratios" if result.kl_source == "log-ratios" else "by the law"
    spent = f"It spent {result.kl_spent:.3g} nats ({how})"

    def share(row: WinRate) -> str:
        efficiency = row.efficiency or 0.0
        what = "more than that" if efficiency >= 1.0 else f"{percent(efficiency)} of that"
        return f"{what} under {procedure_words(row.procedure)}"

    ends = [rated[0]] if len(rated) == 1 else [rated[0], rated[-1]]
    return f"{spent}; the optimum needs {_listed([share(row) for row in ends])}."


def _hacking(result: PolicyValidation) -> str:
    rows = [row for row in result.win_rates if row.truth is not None]
    if not rows:
        return ""

    def least_gap(row: WinRate) -> float:
        gap = row.truth.gap.ci if row.truth is not None else None
        return gap[0] if gap is not None else -1.0

    row = max(rows, key=least_gap)
    truth = row.truth
    if truth is None or truth.gap.ci is None:
        return ""
    text = (
        f"By the true reward it wins {percent(truth.win_rate.value)} under "
        f"{procedure_words(row.procedure)}"
    )
    low, high = truth.gap.ci
    if low > 0.0:
        points = f"{100 * truth.gap.value:.1f} points less than by the reward"
        return f"{text}, {points}: the reward is being hacked."
    if high < 0.0:
        return f"{text}, {-100 * truth.gap.value:.1f} points more than by the reward."
    return f"{text}; no gap between the two can be told."
