"""What a law says about a run: the words that fits, theory and verdicts share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple, Protocol

from infalign_theory.empirical.statistics.duels import Duel
from infalign_theory.empirical.statistics.uncertainty import Estimate
from infalign_theory.transforms.core import Transform
from infalign_theory.typing import Array


class Law(StrEnum):
    """The base of a law: a continuum of rewards, or each prompt's own grades."""

    CONTINUOUS = "continuous"
    DISCRETE = "discrete"


@dataclass(frozen=True)
class Goodness:
    """Test of the calibrated law: statistic, its degrees of freedom and p-value."""

    statistic: float
    df: float
    p_value: float


@dataclass(frozen=True)
class RankShares:
    """Shares of ranks between ``edges``: observed (means over prompts) and expected."""

    edges: Array
    observed: Array
    stderr: Array
    expected: Array


class Expectation(NamedTuple):
    """What a law expects of every prompt in R duels.

    ``local``, shape (P, R), is the win rate of each prompt, NaN where it has none; ``influence``,
    of the same shape, that of the prompt on the means through the fit; ``doubt``, shape (R,), the
    size of what the means may be off by because laws of prompts are known from few samples.
    """

    local: Array
    influence: Array
    doubt: Array


class Fit(Protocol):
    """A law of a run, fitted or named beforehand, on either kind of base.

    ``t`` is None unless an exponent was fitted. ``criterion`` is the log-likelihood less its
    optimism, to choose among laws; NaN where nothing was fitted.
    """

    @property
    def transform(self) -> Transform:
        """Its transform."""

    @property
    def k(self) -> Estimate:
        """Its strength, 1/beta."""

    @property
    def t(self) -> Estimate | None:
        """Its exponent."""

    @property
    def kl(self) -> Estimate:
        """Its KL in nats."""

    @property
    def criterion(self) -> float:
        """What families are chosen by."""

    @property
    def goodness(self) -> Goodness | None:
        """Whether ranks are where it puts them; None where nothing tests it."""

    @property
    def shares(self) -> RankShares | None:
        """Observed and expected shares of ranks."""

    def expected(self, duels: Sequence[Duel]) -> Expectation:
        """What it says about every prompt."""


@dataclass(frozen=True)
class Theory:
    """A law and what it says about every prompt.

    ``law`` tells the kind of base, ``fitted`` whether the parameters come from the samples.
    ``local``, ``influence`` and ``doubt`` are those of :class:`Expectation`. ``base_samples`` is
    the median of what prompts have, ``prompts`` how many the law was compared with; ``determined``
    is False where only a few laws were tried, the right one perhaps not among them.
    """

    law: Law
    transform: str
    fitted: bool
    k: Estimate
    t: Estimate | None
    kl: Estimate
    goodness: Goodness | None
    shares: RankShares | None = field(repr=False)
    local: Array = field(repr=False)
    influence: Array = field(repr=False)
    doubt: Array = field(repr=False)
    base_samples: int = field(repr=False)
    prompts: int = field(repr=False)
    determined: bool = field(repr=False)

    @property
    def beta(self) -> float:
        """1/k; infinite where k is not positive, which no regularised training gives."""
        return 1.0 / self.k.value if self.k.value > 0.0 else float("inf")


@dataclass(frozen=True)
class TheoryRequest:
    """What is wanted of theory: a transform (None: fit the exponent too) and beta or kl, if any."""

    transform: Transform | None
    beta: float | None
    kl: float | None
    duels: tuple[Duel, ...]
    level: float

    @property
    def planned(self) -> bool:
        """Whether the law is named beforehand, nothing left to fit."""
        return self.beta is not None or self.kl is not None
