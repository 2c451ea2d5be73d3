"""The KL that efficiencies refer to: measured, of the law, or unknown."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from infalign_theory.empirical.fitting.laws import Theory
from infalign_theory.empirical.statistics.uncertainty import Estimate
from infalign_theory.empirical.validation.doubts import least_told, log_ratio_doubts


class KLSource(StrEnum):
    """Where the KL spent comes from."""

    LOG_RATIOS = "log-ratios"
    THEORY = "theory"
    NONE = "none"


@dataclass(frozen=True)
class Spending:
    """KL spent in nats, if anybody knows, where it comes from, and why it is not another."""

    kl: float | None
    source: KLSource
    trusted: bool
    notes: tuple[str, ...] = ()


def spending(
    ratios: Estimate | None, theory: Theory | None, standard: Estimate, *, departs: bool
) -> Spending:
    """Log-ratios before the law; a law's KL only where the data can have spent it.

    A planned KL that the run departs from was planned, not spent; and nothing was spent that is
    below what the win rate needs.
    """
    if ratios is not None:
        doubts = log_ratio_doubts(ratios, standard)
        return Spending(ratios.value, KLSource.LOG_RATIOS, not doubts, doubts)
    if theory is None:
        return Spending(None, KLSource.NONE, trusted=False)
    least = least_told(standard)
    high = theory.kl.value if theory.kl.ci is None else theory.kl.ci[1]
    kind = "fitted" if theory.fitted else "planned"
    if high < least:
        why = f"the win rate of single samples alone needs {least:.3g} nats or more"
    elif departs and not theory.fitted:
        why = "the run departs from that law"
    else:
        return Spending(theory.kl.value, KLSource.THEORY, trusted=True)
    note = f"the {kind} law's KL of {theory.kl.value:.3g} nats is not what the run spent: {why}"
    return Spending(None, KLSource.NONE, trusted=False, notes=(note,))
