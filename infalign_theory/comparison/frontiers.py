"""Frontiers of win rate against KL."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, overload

import numpy as np
from numpy.typing import ArrayLike

from infalign_theory.checks import numbers, vector
from infalign_theory.comparison.along import Setting, along, along_optimum, along_penalised
from infalign_theory.comparison.choices import (
    OPTIMAL,
    OPTIMAL_FOR,
    Choice,
    Optimal,
    as_choice,
    as_choices,
)
from infalign_theory.display import html_table, latex_table, rows_of, span
from infalign_theory.divergences import Divergence, ReverseKL, as_divergence
from infalign_theory.errors import InputError
from infalign_theory.optima.solve import optimum
from infalign_theory.policies.base import Base, as_base
from infalign_theory.policies.budgets import SMALLEST_KL, budget
from infalign_theory.policies.scaling import scaled_beta
from infalign_theory.policies.win_rates import win_rate
from infalign_theory.procedures import Procedure
from infalign_theory.procedures.names import as_procedure
from infalign_theory.transforms.core import Transform
from infalign_theory.transforms.quantile import Quantile
from infalign_theory.typing import Array

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

__all__ = ["OPTIMAL", "OPTIMAL_FOR", "Frontier", "Frontiers", "budgets_of", "frontier"]


@dataclass(frozen=True, repr=False, eq=False)
class Frontier:
    """Win rate against KL along one transform, or along the optimum of each beta.

    Attributes
    ----------
    name : str
        The transform as text, or ``"optimal"``.
    procedure, against_procedure : Procedure
        What inference does to the policy and to the base.
    kl : ndarray
        Nats.
    beta : ndarray
        Infinite at kl = 0; 0 where the optimal beta is below 1e-300, in which case the win rate
        is 1 to all digits.
    win_rate : ndarray
        In [0, 1].
    choice : Transform or Optimal
    base : Continuous or Discrete
    divergence : Divergence
        What training was penalised by; reverse KL along the optimum.
    """

    name: str
    procedure: Procedure
    kl: Array
    beta: Array
    win_rate: Array
    choice: Choice
    against_procedure: Procedure
    base: Base
    divergence: Divergence = field(default_factory=ReverseKL)

    @cached_property
    def scaled_beta(self) -> list[float | None]:
        """Beta for the transform mapped to [0, 1]; None where it is unbounded."""
        if isinstance(self.choice, Transform):
            unit = scaled_beta(self.choice, 1.0)
            return [None if unit is None else unit * float(beta) for beta in self.beta]
        return [
            self._optimal_scale(float(b), float(kl))
            for b, kl in zip(self.beta, self.kl, strict=True)
        ]

    def _optimal_scale(self, beta: float, kl: float) -> float | None:
        """The scaled beta of one optimum, whose transform is another at each beta."""
        if not 0.0 < beta < np.inf:
            return None if beta == 0.0 else np.inf
        assert isinstance(self.choice, Optimal)
        ours = self.choice.procedure or self.procedure
        theirs = self.choice.against_procedure or (
            ours if self.choice.procedure else self.against_procedure
        )
        found = optimum(ours, kl=kl, base=self.base, against_procedure=theirs)
        return scaled_beta(found.transform, found.beta)

    def to_frame(self) -> pd.DataFrame:
        """A row a KL: transform, procedure, kl, beta, scaled_beta, win_rate."""
        import pandas as pd

        frame = pd.DataFrame({"kl": self.kl, "beta": self.beta})
        frame.insert(0, "transform", self.name)
        frame.insert(1, "procedure", self.procedure.name)
        frame["scaled_beta"] = np.array(self.scaled_beta, dtype=np.float64)  # None becomes NaN
        frame["win_rate"] = self.win_rate
        return frame

    def to_latex(self, digits: int = 4) -> str:
        """The table in LaTeX, for ``booktabs``."""
        return latex_table(rows_of(self), digits)

    def plot(
        self,
        ax: Axes | None = None,
        **style: Any,  # noqa: ANN401 - keywords of Axes.plot
    ) -> Axes:
        """Draw the curve on the given or current axes and return them."""
        from infalign_theory.plotting.curves import plot_frontier

        return plot_frontier(self, ax, **style)

    def __repr__(self) -> str:
        return f"<frontier of {self.name} under {self.procedure.name}: {span(self.kl, 'nats')}>"

    def _repr_html_(self) -> str:
        return html_table(rows_of(self), repr(self).strip("<>"))


@dataclass(frozen=True, repr=False, eq=False)
class Frontiers:
    """Frontiers of several transforms at the same budgets, in the order given.

    Attributes
    ----------
    curves : tuple of Frontier
    """

    curves: tuple[Frontier, ...]

    def __iter__(self) -> Iterator[Frontier]:
        return iter(self.curves)

    def __len__(self) -> int:
        return len(self.curves)

    def __getitem__(self, which: int | str) -> Frontier:
        """By position, or by the transform's text."""
        if isinstance(which, str):
            name = as_choice(which).name
            found = [curve for curve in self.curves if curve.name == name]
            if not found:
                names = ", ".join(curve.name for curve in self.curves)
                raise InputError(f"there is no frontier of {which!r} here; give one of {names}.")
            return found[0]
        return self.curves[which]

    def to_frame(self) -> pd.DataFrame:
        """A row a transform and KL: transform, procedure, kl, beta, scaled_beta, win_rate."""
        import pandas as pd

        return pd.concat([curve.to_frame() for curve in self.curves], ignore_index=True)

    def to_latex(self, digits: int = 4) -> str:
        """The table in LaTeX, for ``booktabs``."""
        return latex_table(rows_of(self), digits)

    def plot(
        self,
        ax: Axes | None = None,
        **style: Any,  # noqa: ANN401 - keywords of Axes.plot
    ) -> Axes:
        """Draw all curves, with a legend, on the given or current axes and return them."""
        from infalign_theory.plotting.curves import plot_frontiers

        return plot_frontiers(self.curves, ax, **style)

    def __repr__(self) -> str:
        names = ", ".join(curve.name for curve in self.curves)
        first = self.curves[0]
        return f"<frontiers of {names} under {first.procedure.name}: {span(first.kl, 'nats')}>"

    def _repr_html_(self) -> str:
        return html_table(rows_of(self), repr(self).strip("<>"))


@overload
def frontier(  # type: ignore[overload-overlap]  # a text is one name, no list of them
    transform: Choice | str,
    procedure: Procedure | str,
    *,
    kl: ArrayLike,
    base: Base | None = None,
    against_procedure: Procedure | str | None = None,
    divergence: Divergence | str = "kl",
) -> Frontier: ...


@overload
def frontier(
    transform: Iterable[Choice | str],
    procedure: Procedure | str,
    *,
    kl: ArrayLike,
    base: Base | None = None,
    against_procedure: Procedure | str | None = None,
    divergence: Divergence | str = "kl",
) -> Frontiers: ...


def frontier(
    transform: Choice | str | Iterable[Choice | str],
    procedure: Procedure | str,
    *,
    kl: ArrayLike,
    base: Base | None = None,
    against_procedure: Procedure | str | None = None,
    divergence: Divergence | str = "kl",
) -> Frontier | Frontiers:
    """Win rate of one transform, or of the optimum, at each of many KL budgets.

    Parameters
    ----------
    transform : Transform or str, or a sequence of them
        A transform; ``"optimal"`` for the best policy of every budget; ``"optimal@bon:4"`` for
        the optimum of one procedure judged under another (``"optimal@bon:4|standard"`` where its
        base's procedure differs).
    procedure : Procedure or str
    kl : array_like, shape (M,)
        Budgets in nats, at least 0, in any order.
    base : Continuous or Discrete, optional
    against_procedure : Procedure or str, optional
        The base's procedure; the same by default.
    divergence : Divergence or str, optional
        What the transform is penalised by, as in :func:`infalign_theory.align`; budgets are of the
        reverse KL, and ``"optimal"`` is the best policy of the budget, whatever it is.

    Returns
    -------
    Frontier, or Frontiers for a sequence of transforms

    Raises
    ------
    InputError, OutOfReachError
        As :func:`infalign_theory.align` and :func:`infalign_theory.optimum`.

    Examples
    --------
    >>> curve = frontier("log", "bon:4", kl=[0.0, 0.5])
    >>> curve.win_rate.round(6).tolist()
    [0.5, 0.768221]
    >>> frontier(["identity", "exp:10"], "bon:4", kl=[0.1, 0.5])["exp:10"].win_rate.round(4)
    array([0.7057, 0.8715])
    """
    ours = as_procedure(procedure)
    theirs = ours if against_procedure is None else as_procedure(against_procedure)
    nats = budgets_of(kl)
    where = as_base(base)
    setting = Setting(ours, theirs, where, as_divergence(divergence))
    if isinstance(transform, (str, Transform, Optimal)) or not isinstance(transform, Iterable):
        return _frontier(as_choice(transform), setting, nats)
    return Frontiers(tuple(_frontier(one, setting, nats) for one in as_choices(transform)))


def budgets_of(kl: ArrayLike) -> Array:
    """One or many budgets in nats, checked."""
    nats = vector(np.atleast_1d(numbers(kl, "kl")), "kl")
    odd = nats[nats < SMALLEST_KL]
    for one in odd:
        budget(None, one)
    return nats


def _differs_by_prompt(chosen: Choice) -> bool:
    return isinstance(chosen, Quantile) and chosen.spread > 0.0


def _frontier(chosen: Choice, setting: Setting, budgets: Array) -> Frontier:
    ours, theirs, base = setting.ours, setting.theirs, setting.base
    apart = setting.divergence != ReverseKL() or _differs_by_prompt(chosen)
    if isinstance(chosen, Transform) and apart:
        beta, won = along_penalised(chosen, setting, budgets)
    elif isinstance(chosen, Transform):
        beta, won = along(chosen, ours, theirs, budgets, base)
    elif chosen.procedure is None:
        beta, won = along_optimum(ours, theirs, budgets, base)
    else:
        policies = [
            optimum(
                chosen.procedure, kl=nats, base=base, against_procedure=chosen.against_procedure
            ).policy
            for nats in budgets
        ]
        beta = np.array([policy.beta for policy in policies])
        won = np.array([win_rate(policy, ours, against_procedure=theirs) for policy in policies])
    return Frontier(
        name=chosen.name,
        procedure=ours,
        kl=budgets,
        beta=beta,
        win_rate=won,
        choice=chosen,
        against_procedure=theirs,
        base=base,
        divergence=setting.divergence if isinstance(chosen, Transform) else ReverseKL(),
    )
