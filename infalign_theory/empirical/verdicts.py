"""What the numbers of one policy say, in sentences."""

from __future__ import annotations

from dataclasses import replace

from infalign_theory.empirical.results import PolicyValidation, WinRate
from infalign_theory.empirical.theories import Ask

_LARGE_Z = 3.0
_DOUBTFUL = 0.01


def verdict(result: PolicyValidation, ask: Ask, base: str) -> PolicyValidation:
    """The same result with its verdict: did it win, as theory said, at what cost, truly?"""
    sentences = [
        *(_won(row, result.name, base, ask.level) for row in result.win_rates[:1]),
        _agreement(result),
        _cost(result),
        _hacking(result),
    ]
    return replace(result, verdict=tuple(sentence for sentence in sentences if sentence))


def procedure_words(name: str) -> str:
    """A procedure as prose has it."""
    kind, _, n = name.partition(":")
    return {"bon": f"Best-of-{n}", "won": f"Worst-of-{n}"}.get(kind, "single samples")


def percent(value: float) -> str:
    """A share of one in percent with one decimal."""
    return f"{100 * value:.1f} %"


def _won(row: WinRate, name: str, base: str, level: float) -> str:
    text = f"Under {procedure_words(row.procedure)}, {name} beats {base} {percent(row.estimate)} "
    text += "of the time"
    if row.ci is not None:
        low, high = row.ci
        text += f" ({100 * level:g} % interval {percent(low)} to {percent(high)})"
        if low <= 0.5 <= high:
            text += ": no difference can be told"
        elif high < 0.5:
            text += ": it is worse than the base"
    return text + "."


def _agreement(result: PolicyValidation) -> str:
    theory = result.theory
    if theory is None:
        return "No law was found to compare it with."
    which = "fitted" if theory.fitted else "planned"
    far = [row for row in result.win_rates if row.z is not None and abs(row.z) > _LARGE_Z]
    bad = theory.goodness is not None and theory.goodness.p_value < _DOUBTFUL
    law = f"the {which} law ({theory.transform}, {theory.kl.value:.3g} nats)"
    if not far and not bad:
        return f"Win rates and calibrated rewards agree with {law}."
    parts = []
    if far:
        worst = max(far, key=lambda row: abs(row.z or 0.0))
        where = ", ".join(procedure_words(row.procedure) for row in far)
        parts.append(f"win rates under {where} depart from {law} (z up to {worst.z:+.1f})")
    if bad and theory.goodness is not None:
        subject = "calibrated rewards do not follow it" if far else (
            f"calibrated rewards do not follow {law}"
        )  # fmt: skip
        parts.append(f"{subject} (p = {theory.goodness.p_value:.1g})")
    text = " and ".join(parts)
    return text[0].upper() + text[1:] + "."


def _cost(result: PolicyValidation) -> str:
    rated = [row for row in result.win_rates if row.efficiency is not None]
    if not rated or result.kl_spent is None:
        return ""
    row = rated[0]
    how = "measured from log-ratios" if result.kl_source == "log-ratios" else "by the law"
    text = (
        f"It spent {result.kl_spent:.3g} nats ({how}); the optimum reaches its win rate under "
        f"{procedure_words(row.procedure)} with {row.optimal_kl:.3g} nats"
    )
    if row.efficiency is not None and row.efficiency < 1.0:
        return f"{text}: {percent(row.efficiency)} of what was spent."
    return text + ", no less than it spent."


def _hacking(result: PolicyValidation) -> str:
    rows = [row for row in result.win_rates if row.truth is not None]
    if not rows or rows[0].truth is None:
        return ""
    row, truth = rows[0], rows[0].truth
    text = (
        f"By the true reward it wins {percent(truth.win_rate.value)} under "
        f"{procedure_words(row.procedure)}"
    )
    gap = truth.gap
    if gap.ci is not None and gap.ci[0] > 0.0:
        return f"{text}, {percent(gap.value)} less than by the reward: the reward is being hacked."
    return text + "; its lead by the reward is no larger than chance allows."
