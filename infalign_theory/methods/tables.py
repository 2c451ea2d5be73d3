"""Methods compared at equal KL."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from infalign_theory.comparison.frontiers import OPTIMAL, frontier
from infalign_theory.errors import InputError
from infalign_theory.methods.core import Method
from infalign_theory.methods.registry import METHODS, method
from infalign_theory.policies.base import Base, as_base
from infalign_theory.policies.budgets import budget
from infalign_theory.procedures import Procedure
from infalign_theory.procedures.names import as_procedure

if TYPE_CHECKING:
    import pandas as pd

_ROUNDING = 1e-14


@dataclass(frozen=True)
class Row:
    """One method at one KL; regret = win rate of the optimum minus its own."""

    method: str
    paper: str
    transform: str
    divergence: str
    kl: float
    win_rate: float
    regret: float


@dataclass(frozen=True)
class Table:
    """Methods at equal KL, best first.

    Attributes
    ----------
    rows : tuple of Row
    procedure : Procedure
    optimal : float
        Win rate of the optimum at that KL.
    outside : tuple of Method
        Methods that this theory gives no win rate, with the reason in ``exact``.
    """

    rows: tuple[Row, ...]
    procedure: Procedure
    optimal: float
    outside: tuple[Method, ...]

    def to_frame(self) -> pd.DataFrame:
        """A row a method: method, paper, transform, divergence, kl, win_rate, regret."""
        import pandas as pd

        return pd.DataFrame([asdict(row) for row in self.rows])

    def __repr__(self) -> str:
        return (
            f"<{len(self.rows)} methods under {self.procedure.name}: best {self.rows[0].method}, "
            f"win_rate={self.rows[0].win_rate:.6g}, optimum {self.optimal:.6g}>"
        )

    def _repr_html_(self) -> str:
        return str(self.to_frame()._repr_html_())  # type: ignore[operator]


def table(
    procedure: Procedure | str,
    *,
    kl: float,
    base: Base | None = None,
    methods: Iterable[str] | None = None,
    against_procedure: Procedure | str | None = None,
) -> Table:
    """Win rate and regret of every alignment method at the same KL.

    Parameters
    ----------
    procedure : Procedure or str
        What inference does; to the base as well unless ``against_procedure`` is given.
    kl : float
        Reverse KL of the result, nats, whatever the method is penalised by.
    base : Continuous or Discrete, optional
        Continuous by default.
    methods : sequence of str, optional
        Names; all by default.
    against_procedure : Procedure or str, optional
        What inference does to the base.

    Returns
    -------
    Table
        Best first; methods outside the theory stand in ``outside`` with the reason.

    Raises
    ------
    InputError, OutOfReachError
        As :func:`infalign_theory.align`.

    Examples
    --------
    >>> found = table("bon:4", kl=0.5, methods=["rloo", "grpo-k3"])
    >>> [(row.method, round(row.win_rate, 3)) for row in found.rows]
    [('grpo-k3', 0.858), ('rloo', 0.8)]
    """
    ours, where, nats = as_procedure(procedure), as_base(base), budget(None, kl)[1]
    if isinstance(methods, str):
        methods = [methods]
    chosen = [method(name) for name in (METHODS if methods is None else methods)]
    inside = [entry for entry in chosen if entry.inside]
    if not inside:
        raise InputError("no method given that this theory gives a win rate; name at least one.")
    best = float(
        frontier(
            OPTIMAL, ours, kl=[nats], base=where, against_procedure=against_procedure
        ).win_rate[0]
    )
    known: dict[tuple[str, str], float] = {}
    rows = []
    for entry in inside:
        transform, divergence = str(entry.transform), str(entry.divergence)
        key = transform, divergence
        if key not in known:
            curve = frontier(
                transform,
                ours,
                kl=[nats],
                base=where,
                divergence=divergence,
                against_procedure=against_procedure,
            )
            known[key] = float(curve.win_rate[0])
        short = best - known[key]
        regret = short if abs(short) > _ROUNDING else 0.0
        rows.append(
            Row(
                method=entry.name,
                paper=entry.paper,
                transform=transform,
                divergence=divergence,
                kl=nats,
                win_rate=known[key],
                regret=regret,
            )
        )
    rows.sort(key=lambda row: -row.win_rate)
    outside = tuple(entry for entry in chosen if not entry.inside)
    return Table(tuple(rows), ours, best, outside)
