"""Transforms compared at equal KL."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from numpy.typing import ArrayLike

from infalign_theory.comparison.choices import Choice, Optimal, as_choices
from infalign_theory.comparison.frontiers import budgets_of, frontier
from infalign_theory.display import html_table, latex_table, span
from infalign_theory.divergences import Divergence
from infalign_theory.policies.base import Base
from infalign_theory.procedures import Procedure
from infalign_theory.procedures.names import as_procedure

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

__all__ = ["Comparison", "Row", "compare", "short_of"]

_ROUNDING = 1e-14


@dataclass(frozen=True)
class Row:
    """One transform under one procedure at one budget; regret = optimal - win_rate.

    ``scaled_beta`` is beta for the transform mapped to [0, 1]; None where it is unbounded.
    """

    transform: str
    procedure: str
    beta: float
    scaled_beta: float | None
    kl: float
    win_rate: float
    optimal: float
    regret: float


@dataclass(frozen=True, repr=False)
class Comparison:
    """Transforms at equal KL, budget by budget, each in the order given.

    Attributes
    ----------
    rows : tuple of Row
    """

    rows: tuple[Row, ...]

    def to_frame(self) -> pd.DataFrame:
        """A row a transform and budget; columns as the fields of :class:`Row`."""
        import pandas as pd

        return pd.DataFrame([asdict(row) for row in self.rows])

    def to_latex(self, digits: int = 4) -> str:
        """The table in LaTeX, for ``booktabs``."""
        return latex_table([asdict(row) for row in self.rows], digits)

    def plot(self, ax: Axes | None = None) -> Axes:
        """Draw the regrets: bars at one budget, curves against KL at several."""
        from infalign_theory.plotting.curves import plot_comparison

        return plot_comparison(self, ax)

    def __repr__(self) -> str:
        names = dict.fromkeys(row.transform for row in self.rows)
        kl = span((row.kl for row in self.rows), "nats")
        return f"<comparison of {', '.join(names)} under {self.rows[0].procedure}: {kl}>"

    def _repr_html_(self) -> str:
        return html_table([asdict(row) for row in self.rows], repr(self).strip("<>"))


def compare(
    transforms: Choice | str | Iterable[Choice | str],
    procedure: Procedure | str,
    *,
    kl: ArrayLike,
    base: Base | None = None,
    against_procedure: Procedure | str | None = None,
    divergence: Divergence | str = "kl",
) -> Comparison:
    """Win rate and regret of several transforms at the same KL.

    Parameters
    ----------
    transforms : sequence of Transform or str
        Or one text that holds a list, such as ``"identity,exp:5,10"``.
    procedure : Procedure or str
    kl : float or array_like
        Budget in nats, or several.
    base, against_procedure, divergence
        As in :func:`frontier`; regret is always against the best policy of that reverse KL.

    Returns
    -------
    Comparison

    Examples
    --------
    >>> rows = compare(["identity", "exp:10"], "bon:4", kl=0.5).rows
    >>> [round(row.regret, 4) for row in rows]
    [0.0734, 0.0017]
    >>> round(rows[1].beta), round(rows[1].scaled_beta, 4)
    (7012, 0.3184)
    >>> round(compare("identity", "bon:4", kl=0.5, divergence="forward-kl").rows[0].win_rate, 6)
    0.85816
    """
    chosen = as_choices(transforms)
    ours = as_procedure(procedure)
    nats = budgets_of(kl)
    best = frontier(Optimal(), ours, kl=nats, base=base, against_procedure=against_procedure)
    curves = frontier(
        chosen,
        ours,
        kl=nats,
        base=base,
        against_procedure=against_procedure,
        divergence=divergence,
    )
    return Comparison(
        tuple(
            Row(
                transform=curve.name,
                procedure=ours.name,
                beta=float(curve.beta[i]),
                scaled_beta=curve.scaled_beta[i],
                kl=float(nats[i]),
                win_rate=float(curve.win_rate[i]),
                optimal=float(best.win_rate[i]),
                regret=short_of(float(best.win_rate[i]), float(curve.win_rate[i])),
            )
            for i in range(nats.size)
            for curve in curves
        )
    )


def short_of(best: float, won: float) -> float:
    """The regret; a difference that is only rounding is none."""
    return best - won if abs(best - won) > _ROUNDING else 0.0
