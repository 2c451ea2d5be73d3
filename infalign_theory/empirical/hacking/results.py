"""What a look at proxy and truth found."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from infalign_theory.empirical.hacking.agreement import Agreement
from infalign_theory.empirical.hacking.decay import Decay

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
class SoftRow:
    """Soft best-of-N by proxy, weights exp(``strength``) of ranks: as :class:`PickRow`."""

    strength: str
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
        ``"best-of-n"``, ``"soft:N@5"`` or the transform.
    by_n : bool
        Whether places are N, not nats.
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
    by_n: bool
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
    soft_best_of_n : tuple of SoftRow
    tilt : tuple of TiltRow
    onset_n, onset_kl : float or None
        Where the truth starts to fall: for best-of-N, and for the first transform.
    onsets : tuple of Onset
        Best-of-N first, then every transform, then soft best-of-N.
    agreement : Agreement
    decay : tuple of Decay
        AUROC on each trained policy's own samples, where the scores hold any.
    prompts, samples : int
    verdict, notes : tuple of str
        Sentences.
    level : float
        Of all intervals.
    """

    best_of_n: tuple[PickRow, ...]
    soft_best_of_n: tuple[SoftRow, ...]
    tilt: tuple[TiltRow, ...]
    onset_n: int | None
    onset_kl: float | None
    onsets: tuple[Onset, ...]
    agreement: Agreement
    decay: tuple[Decay, ...]
    prompts: int
    samples: int
    verdict: tuple[str, ...]
    notes: tuple[str, ...]
    level: float

    def to_frame(self) -> pd.DataFrame:
        """A row an N."""
        import pandas as pd

        return pd.DataFrame([asdict(row) for row in self.best_of_n])

    def to_dict(self) -> dict[str, Any]:
        """All numbers in plain types, as the command line prints them."""
        return asdict(self)

    def report(self, path: str | Path, command: str | None = None) -> None:
        """Write the findings as one self-contained HTML page with pictures.

        ``command`` is shown at its end as what made it.
        """
        from infalign_theory.empirical.report.hacking_page import write_report

        write_report(self, Path(path), command)
