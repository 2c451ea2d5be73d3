"""How prompts differ from each other, and what a departure from a law is of: plain records."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any


class Departure(StrEnum):
    """What a departure from a law is of."""

    NONE = "none"
    """There is none."""
    STRENGTH = "strength"
    """The transform at another k, the same on every prompt."""
    SPREAD = "spread"
    """The transform at a k that differs by prompt."""
    SHAPE = "shape"
    """No strengths of the transform explain it."""


@dataclass(frozen=True)
class Spread:
    """How prompts differ from each other beyond the noise of their samples.

    Attributes
    ----------
    win_rate_sd : float
        Standard deviation of the standard win rate over prompts, sampling noise taken out.
    p_value : float
        Chance of one as large where all prompts have the same win rate.
    told : bool
        Whether prompts are known to differ, at 1 %.
    k, log_sd : float or None
        Median of k over prompts and the standard deviation of log k; None where prompts do not
        differ and the law holds, and where no log-normal law of k has these win rates.
    kl, kl_sd : float or None
        Mean and standard deviation over prompts of the KL in nats, by that law.
    measured_kl_sd : float or None
        That standard deviation from log-ratios, sampling noise taken out.
    departure : Departure
    """

    win_rate_sd: float
    p_value: float
    told: bool
    k: float | None
    log_sd: float | None
    kl: float | None
    kl_sd: float | None
    measured_kl_sd: float | None
    departure: Departure

    def to_dict(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)
