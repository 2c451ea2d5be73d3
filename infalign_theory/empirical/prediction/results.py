"""What a prediction says, row by row, and how it shows itself."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from html import escape
from typing import TYPE_CHECKING

from infalign_theory.display import html_table, latex_table

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

_TRUTH = ("true_win_rate", "true_ci", "onset_kl", "onset_ci", "effective_samples")


@dataclass(frozen=True)
class PredictedRow:
    """One transform under one procedure.

    Attributes
    ----------
    transform, procedure : str
    beta, kl : float
        One beta for all prompts; KL in nats, the mean over prompts.
    win_rate : float
        Mean over prompts, in [0, 1], on the base that the scores give as they stand.
    ci : tuple of float or None
        95 % interval of the win rate for other prompts like these *and* other base samples of
        them; None with a single prompt, and on a continuous base, where nothing is estimated.
    optimal, regret : float
        The largest mean win rate at that mean KL, and what the transform falls short of it.
    prompts : int
    scaled_beta : float or None
        beta for the transform mapped affinely to [0, 1]; None where it is unbounded, and for
        optima, whose transform differs from prompt to prompt.
    law : str
        "continuous" or "discrete": the base of each prompt.
    corrected : float
        The win rate with the bias of finite base samples removed (jackknife); ``ci`` is its
        interval, stretched to ``win_rate`` where that lies outside.
    true_win_rate, true_ci : float and tuple of float, or None
        By the true reward, both picks made by the score; None without ``truth`` and where these
        samples cannot tell.
    onset_kl, onset_ci : float and tuple of float, or None
        KL from which on the true win rate falls along this transform's tilt, and its interval
        over prompts; None where no fall is told within what the samples can tell.
    effective_samples : float or None
        Of each prompt, on average, under the tilt (Kish).
    """

    transform: str
    procedure: str
    beta: float
    kl: float
    win_rate: float
    ci: tuple[float, float] | None
    optimal: float
    regret: float
    prompts: int
    scaled_beta: float | None
    law: str
    corrected: float
    true_win_rate: float | None = None
    true_ci: tuple[float, float] | None = None
    onset_kl: float | None = None
    onset_ci: tuple[float, float] | None = None
    effective_samples: float | None = None


@dataclass(frozen=True, repr=False)
class Prediction:
    """Predicted win rates, a row a transform and procedure.

    Attributes
    ----------
    rows : tuple of PredictedRow
    samples : int
        Scores read.
    tie_fraction : float
        Probability that two different samples of a prompt score the same, averaged over prompts.
    notes : tuple of str
        What to keep in mind when reading the rows.
    has_truth : bool
        Whether a true reward was given.
    """

    rows: tuple[PredictedRow, ...]
    samples: int
    tie_fraction: float
    notes: tuple[str, ...] = ()
    has_truth: bool = False

    def to_rows(self) -> list[dict[str, object]]:
        """The fields of each row; those of the truth only where one was given."""
        hidden = () if self.has_truth else _TRUTH
        return [{k: v for k, v in asdict(row).items() if k not in hidden} for row in self.rows]

    def to_frame(self) -> pd.DataFrame:
        """A row a transform and procedure."""
        import pandas as pd

        return pd.DataFrame(self.to_rows())

    def to_latex(self, digits: int = 4) -> str:
        """The table in LaTeX, for ``booktabs``."""
        return latex_table(self.to_rows(), digits)

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw win rates with their intervals, a bar a row, the optimum of each marked."""
        from infalign_theory.plotting.predictions import plot_prediction

        return plot_prediction(self.rows, ax)

    def __repr__(self) -> str:
        first = self.rows[0]
        noted = f"; {len(self.notes)} notes" if self.notes else ""
        return (
            f"<prediction of {len(self.rows)} rows from {first.prompts} prompts, {self.samples} "
            f"samples: {first.transform} under {first.procedure} wins {first.win_rate:.4f} at "
            f"{first.kl:.4g} nats{noted}>"
        )

    def _repr_html_(self) -> str:
        notes = "".join(f"<li>{escape(note)}</li>" for note in self.notes)
        table = html_table(self.to_rows(), repr(self).strip("<>"))
        return table + (f"<ul>{notes}</ul>" if notes else "")
