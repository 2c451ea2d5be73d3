"""Whether calibrated rewards are uniform on the base, as a number and a picture."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from infalign_theory.errors import InputError
from infalign_theory.output import write_atomically
from infalign_theory.typing import Array

if TYPE_CHECKING:
    from matplotlib.axes import Axes

BINS = 20


@dataclass(frozen=True, eq=False)
class Uniformity:
    """Base samples calibrated by the others of their prompt, against the uniform law.

    Attributes
    ----------
    samples : int
        Those with others to be calibrated by.
    distance : float
        Largest distance between their distribution and the uniform one (Kolmogorov), in [0, 1].
    chosen : str
        ``ranks``, or where the pooled shape is anchored: ``mean`` or ``end``.
    tail_scores : dict of str to float
        Weighted held-out square error of each candidate over that of ranks, below 1 better than
        ranks; empty where rewards are graded or samples too few to judge.
    ties : float
        Share of tied pairs among the base samples of a prompt.
    shares : ndarray, shape (20,)
        Share of the samples in each twentieth of (0, 1).
    """

    samples: int
    distance: float
    chosen: str
    tail_scores: dict[str, float]
    ties: float
    shares: Array

    @classmethod
    def of(
        cls, calibrated: Array, scores: dict[str, float], chosen: str, ties: float
    ) -> Uniformity:
        u = np.sort(calibrated[np.isfinite(calibrated)])
        if not u.size:
            return cls(0, 0.0, chosen, scores, ties, np.full(BINS, np.nan))
        steps = np.arange(u.size + 1) / u.size
        distance = float(max(np.max(steps[1:] - u), np.max(u - steps[:-1])))
        shares = np.histogram(u, bins=BINS, range=(0.0, 1.0))[0] / u.size
        return cls(u.size, distance, chosen, scores, ties, shares)

    def summary(self) -> dict[str, object]:
        """The numbers, as the command line prints them."""
        return {
            "samples": self.samples,
            "distance": self.distance,
            "chosen": self.chosen,
            "tail_scores": dict(self.tail_scores),
            "ties": self.ties,
        }

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw the share of samples in each twentieth against the even share."""
        from infalign_theory.plotting.curves import current_axes

        ax = current_axes(ax)
        edges = np.linspace(0.0, 1.0, BINS + 1)
        ax.stairs(self.shares * BINS, edges, fill=True, color="#56b4e9", label="base samples")
        ax.axhline(1.0, color="black", linestyle="--", label="uniform")
        ax.set_xlim(0.0, 1.0)
        ax.set_xlabel("Calibrated reward u")
        ax.set_ylabel("Density of held-out base samples")
        ax.set_title(f"Calibration by {self.chosen}: distance {self.distance:.3f}")
        ax.legend()
        return ax

    def save_picture(self, path: Path) -> None:
        """Write the picture as png, svg or pdf, the same bytes every time."""
        kind = kind_of_picture(path)
        from matplotlib.figure import Figure

        from infalign_theory.plotting.rendering import drawing_style, image

        with drawing_style():
            figure = Figure(figsize=(6.0, 4.0))
            self.plot(figure.subplots())
            content = image(figure, kind)
        write_atomically(path, content)


def kind_of_picture(path: Path) -> str:
    """The format that the name of a picture asks for, or one clear message."""
    from infalign_theory.plotting.rendering import FORMATS

    kind = path.suffix.lower().lstrip(".")
    if kind not in FORMATS:
        raise InputError(f"{path}: a picture ends in {', '.join(FORMATS)}; give such a name.")
    return kind
