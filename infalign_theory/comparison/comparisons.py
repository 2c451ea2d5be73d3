"""Transforms compared at equal KL."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from infalign_theory.comparison.choices import Choice, as_choices
from infalign_theory.comparison.frontiers import OPTIMAL, Frontier, frontier
from infalign_theory.policies.base import Base
from infalign_theory.policies.budgets import budget
from infalign_theory.procedures import Procedure

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Row:
    """One transform under one procedure at one budget; regret = optimal - win_rate."""

    transform: str
    procedure: str
    beta: float
    kl: float
    win_rate: float
    optimal: float
    regret: float


@dataclass(frozen=True)
class Comparison:
    """Transforms at equal KL, in the order given.

    Attributes
    ----------
    rows : tuple of Row
    """

    rows: tuple[Row, ...]

    def to_frame(self) -> pd.DataFrame:
        """A row a transform: transform, procedure, beta, kl, win_rate, optimal, regret."""
        import pandas as pd

        return pd.DataFrame([asdict(row) for row in self.rows])

    def _repr_html_(self) -> str:
        return str(self.to_frame()._repr_html_())  # type: ignore[operator]


def compare(
    transforms: Choice | str | Iterable[Choice | str],
    procedure: Procedure | str,
    *,
    kl: Any,
    base: Base | None = None,
    against_procedure: Procedure | str | None = None,
) -> Comparison:
    """Win rate and regret of several transforms at the same KL.

    Parameters
    ----------
    transforms : sequence of Transform or str
    procedure : Procedure or str
    kl : float
        Budget in nats.
    base, against_procedure
        As in :func:`frontier`.

    Returns
    -------
    Comparison

    Examples
    --------
    >>> rows = compare(["identity", "exp:10"], "bon:4", kl=0.5).rows
    >>> [round(row.regret, 4) for row in rows]
    [0.0734, 0.0017]
    """
    chosen = as_choices(transforms)
    nats = budget(None, kl)[1]

    def at(transform: Choice | str) -> Frontier:
        return frontier(
            transform, procedure, kl=[nats], base=base, against_procedure=against_procedure
        )

    best = float(at(OPTIMAL).win_rate[0])
    rows = []
    for transform in chosen:
        curve = at(transform)
        won = float(curve.win_rate[0])
        rows.append(
            Row(
                curve.name,
                curve.procedure.name,
                float(curve.beta[0]),
                nats,
                won,
                best,
                _short_of(best, won),
            )
        )
    return Comparison(tuple(rows))


def _short_of(best: float, won: float) -> float:
    """The regret; a difference that is only rounding is none."""
    return best - won if abs(best - won) > 1e-14 else 0.0
