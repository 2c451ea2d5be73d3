"""What a look at proxy and truth found."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from infalign_theory.empirical.hacking.agreement import Agreement

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class PickRow:
    """Best-of-N by proxy: mean proxy reward and mean truth of the pick, interval of the truth."""

    n: int
    reward: float
    truth: float
    ci: tuple[float, float] | None


@dataclass(frozen=True)
class TiltRow:
    """A transform at a mean KL: mean truth of the tilted samples, with its interval."""

    transform: str
    kl: float
    truth: float
    ci: tuple[float, float] | None


@dataclass(frozen=True)
class Onset:
    """Where the truth turns.

    Attributes
    ----------
    name : str
        ``"best-of-n"`` or the transform.
    at : float or None
        N, or KL in nats, of the peak; None unless the truth falls significantly beyond it.
    peak : float
        Where the mean truth is largest, significant fall or not.
    ci : tuple of float or None
        95 % interval of the true peak; an end that equals ``searched_to`` is open.
    searched_to : float
        How far these samples can tell.
    limited_by : str
        Why not further.
    """

    name: str
    at: float | None
    peak: float
    ci: tuple[float, float] | None
    searched_to: float
    limited_by: str


@dataclass(frozen=True)
class Hacking:
    """Truth of what is picked or trained by proxy, from base samples alone.

    Attributes
    ----------
    best_of_n : tuple of PickRow
    tilt : tuple of TiltRow
    onset_n, onset_kl : float or None
        Where the truth starts to fall: for best-of-N, and for the first transform.
    onsets : tuple of Onset
        Best-of-N first, then every transform.
    agreement : Agreement
    prompts, samples : int
    verdict, notes : tuple of str
        Sentences.
    """

    best_of_n: tuple[PickRow, ...]
    tilt: tuple[TiltRow, ...]
    onset_n: int | None
    onset_kl: float | None
    onsets: tuple[Onset, ...]
    agreement: Agreement
    prompts: int
    samples: int
    verdict: tuple[str, ...]
    notes: tuple[str, ...] = ()

    def to_frame(self) -> pd.DataFrame:
        """A row an N."""
        import pandas as pd

        return pd.DataFrame([asdict(row) for row in self.best_of_n])

    def to_dict(self) -> dict[str, Any]:
        """All numbers in plain types, as the command line prints them."""
        return asdict(self)
