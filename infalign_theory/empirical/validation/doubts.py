"""What the numbers of a policy cannot tell by themselves, and what cannot be right about them."""

from __future__ import annotations

from collections.abc import Sequence

from infalign_theory.empirical.fitting.laws import Law, Theory
from infalign_theory.empirical.fitting.theories import ENOUGH_BASE
from infalign_theory.empirical.statistics.kl import kl_floor
from infalign_theory.empirical.statistics.uncertainty import Estimate
from infalign_theory.empirical.survey.measurements import Measurements
from infalign_theory.empirical.validation.phrasing import duel_words
from infalign_theory.empirical.validation.results import WinRate

_MANY = 0.01  # of a policy's rows


def cautions(theory: Theory | None, rows: Sequence[WinRate], *, endless: bool) -> tuple[str, ...]:
    """What few samples, or samples that all agree, leave open; ``endless`` is a k3 without end."""
    out = []
    if theory is not None and theory.law == Law.DISCRETE and theory.base_samples < ENOUGH_BASE:
        what = "the fitted law, its KL and its" if theory.fitted else "the law's KL and its"
        out.append(
            f"{theory.base_samples} base samples a prompt and many ties: {what} predictions may "
            f"be off by more than their errors; {ENOUGH_BASE} or more are needed"
        )
    same = [row for row in rows if row.stderr is not None and row.stderr < 1e-12]
    if same:
        agreed = dict.fromkeys(duel_words(row) for row in same)
        out.append(
            f"every prompt agrees under {', '.join(agreed)}: the interval has no width and says "
            "nothing of rarer outcomes"
        )
    if endless:
        out.append("k3 is beyond measure: some sample has a log-ratio far below 0")
    return tuple(out)


def least_told(standard: Estimate) -> float:
    """The KL in nats that the win rate of single samples needs even at its interval's near end.

    That of the win rate itself where there is no interval: a single prompt is all there is.
    """
    if standard.ci is None:
        return kl_floor(standard.value)
    low, high = standard.ci
    return 0.0 if low <= 0.5 <= high else kl_floor(low if low > 0.5 else high)


def log_ratio_doubts(kl: Estimate | None, standard: Estimate) -> tuple[str, ...]:
    """Log-ratios that cannot be what they should be."""
    if kl is None or kl.ci is None:
        return ()
    if kl.ci[1] < 0.0:
        return (
            "the KL from log-ratios is below 0, which no policy has: give log pi - log pi_ref of "
            "the policy's own samples, not the other way round and not log pi alone",
        )
    if kl.ci[1] < least_told(standard):
        return (
            "the KL from log-ratios is below what this win rate needs at least: are they of "
            "whole sequences, in nats, neither averaged over tokens nor scaled?",
        )
    return ()


def left_out(measured: Measurements, policies: Sequence[str], i: int) -> tuple[str, ...]:
    """A note where so many rewards are unusable that the win rates may be of a selection."""
    out = []
    for pid in (0, i + 1):
        bad, _ = measured.findings.found.get(("bad_reward", pid), (0, None))
        rows = bad + measured.findings.samples[pid]
        if bad > _MANY * rows:
            out.append(
                f"{bad} of {rows} rewards of {policies[pid]} are missing or not finite: win rates "
                "are those of the others, which may flatter it"
            )
    return tuple(out)
