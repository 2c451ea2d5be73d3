"""Frontiers of win rate against KL, and transforms compared at equal KL."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from infalign_theory.base import Base, Continuous, Discrete, as_base
from infalign_theory.errors import InputError, OutOfReachError, PrecisionError
from infalign_theory.optima import optimum
from infalign_theory.policy import ContinuousPolicy, DiscretePolicy, Policy, budget
from infalign_theory.procedures import Procedure, as_procedure
from infalign_theory.tilt import continuous_family, discrete_family, solve
from infalign_theory.trajectory import Powers, Trajectory
from infalign_theory.transforms import EXPONENT_LIMIT, Exponential, Transform, as_transform
from infalign_theory.types import Array, numbers, plain_number, vector
from infalign_theory.winrate import win_rate

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

OPTIMAL = "optimal"
OPTIMAL_FOR = "optimal@"


@dataclass(frozen=True)
class Frontier:
    """Win rate against KL along one transform, or along the optimum of each beta.

    Attributes
    ----------
    name : str
        The transform as text, or ``"optimal"``.
    procedure : Procedure
    kl : ndarray
        Nats.
    beta : ndarray
        Infinite at kl = 0; 0 where the optimal beta is below 1e-300, in which case the win rate
        is 1 to all digits.
    win_rate : ndarray
        In [0, 1].
    """

    name: str
    procedure: Procedure
    kl: Array
    beta: Array
    win_rate: Array

    def to_frame(self) -> pd.DataFrame:
        """A row a KL: transform, procedure, kl, beta, win_rate."""
        import pandas as pd

        columns = {"kl": self.kl, "beta": self.beta, "win_rate": self.win_rate}
        frame = pd.DataFrame(columns)
        frame.insert(0, "transform", self.name)
        frame.insert(1, "procedure", self.procedure.name)
        return frame

    def plot(self, ax: Axes | None = None, **style: Any) -> Axes:
        """Draw the curve on the given or current axes and return them."""
        from infalign_theory.plotting import plot_frontier

        return plot_frontier(self, ax, **style)


def frontier(
    transform: Transform | str,
    procedure: Procedure | str,
    *,
    kl: Any,
    base: Base | None = None,
    against_procedure: Procedure | str | None = None,
) -> Frontier:
    """Win rate of one transform, or of the optimum, at each of many KL budgets.

    Parameters
    ----------
    transform : Transform or str
        A transform; ``"optimal"`` for the best policy of every budget; ``"optimal@bon:4"`` for
        the optimum of one procedure judged under another (``"optimal@bon:4|standard"`` where its
        base's procedure differs).
    procedure : Procedure or str
    kl : array_like, shape (M,)
        Budgets in nats, at least 0, in any order.
    base : Continuous or Discrete, optional
    against_procedure : Procedure or str, optional
        The base's procedure; the same by default.

    Returns
    -------
    Frontier

    Raises
    ------
    InputError, OutOfReachError
        As :func:`infalign_theory.align` and :func:`infalign_theory.optimum`.

    Examples
    --------
    >>> curve = frontier("log", "bon:4", kl=[0.0, 0.5])
    >>> curve.win_rate.round(6).tolist()
    [0.5, 0.768221]
    """
    ours = as_procedure(procedure)
    theirs = ours if against_procedure is None else as_procedure(against_procedure)
    budgets = vector(np.atleast_1d(numbers(kl, "kl")), "kl")
    for nats in budgets:
        budget(None, nats)
    where = as_base(base)
    if isinstance(transform, str) and transform.strip() == OPTIMAL:
        return _optimal(ours, theirs, budgets, where)
    if isinstance(transform, str) and transform.strip().startswith(OPTIMAL_FOR):
        name, policies = _trained_for(transform.strip(), budgets, where)
    else:
        chosen = as_transform(transform)
        name, policies = chosen.name, _walk(chosen, budgets, where)
    beta, won = np.empty(budgets.size), np.empty(budgets.size)
    for i, policy in policies:
        beta[i] = policy.beta
        won[i] = win_rate(policy, ours, against_procedure=theirs)
    return Frontier(name, ours, budgets, beta, won)


def _trained_for(text: str, budgets: Array, base: Base) -> tuple[str, list[tuple[int, Policy]]]:
    """Optima for one procedure, to be judged under another: ``optimal@bon:4``."""
    first, _, second = text.removeprefix(OPTIMAL_FOR).partition("|")
    trained = as_procedure(first)
    versus = as_procedure(second) if second else trained
    name = f"{OPTIMAL_FOR}{trained.name}" + ("" if versus == trained else f"|{versus.name}")
    return name, [
        (i, optimum(trained, kl=nats, base=base, against_procedure=versus).policy)
        for i, nats in enumerate(budgets)
    ]


def _walk(transform: Transform, budgets: Array, base: Base) -> list[tuple[int, Policy]]:
    """The policies of all budgets in increasing order, each solved from the one before."""
    out: list[tuple[int, Policy]] = []
    order = np.argsort(budgets, kind="stable")
    if isinstance(base, Discrete):
        atoms = discrete_family(transform, base)
        return [(int(i), DiscretePolicy(solve(atoms, float(budgets[i])))) for i in order]
    family = continuous_family(transform)
    guess = 0.0
    for i in order:
        tilt = solve(family, float(budgets[i]), None, guess)
        guess = tilt.k
        out.append((int(i), ContinuousPolicy(tilt)))
    return out


def _optimal(ours: Procedure, theirs: Procedure, budgets: Array, base: Base) -> Frontier:
    powers = Powers.of(ours, theirs) if isinstance(base, Continuous) else None
    if powers is None:
        found = [optimum(ours, kl=nats, base=base, against_procedure=theirs) for nats in budgets]
        beta = np.array([best.beta for best in found])
        return Frontier(OPTIMAL, ours, budgets, beta, np.array([b.win_rate for b in found]))
    beta = np.full(budgets.size, np.inf)
    won = np.full(budgets.size, powers.base_win_rate)
    positive = budgets > 0.0
    if positive.any():
        try:
            path = Trajectory.to_kl(powers, float(budgets.max()))
            within = positive
        except OutOfReachError as error:
            path = Trajectory.to_kl(powers, error.limit)
            within = positive & (budgets <= error.limit)
            beyond = positive & ~within
            beta[beyond], won[beyond] = 0.0, 1.0
        kappa = path.kappa_at_kl(budgets[within])
        beta[within], won[within] = np.exp(-kappa), path.at(kappa)[0]
    return Frontier(OPTIMAL, ours, budgets, beta, won)


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
    transforms: Iterable[Transform | str],
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
    if isinstance(transforms, (str, Transform)):
        transforms = [transforms]
    if not isinstance(transforms, Iterable) or getattr(transforms, "ndim", 1) == 0:
        raise InputError(f'transforms = {transforms!r}: give a list, as in ["identity", "exp:10"].')
    transforms = list(transforms)
    if not transforms:
        raise InputError("no transforms given; name at least one, such as identity or exp:10.")
    nats = budget(None, kl)[1]

    def at(transform: Transform | str) -> Frontier:
        return frontier(
            transform, procedure, kl=[nats], base=base, against_procedure=against_procedure
        )

    best = float(at(OPTIMAL).win_rate[0])
    rows = []
    for transform in transforms:
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


_SMALLEST_EXPONENT = 1e-2
_TOLD_APART = 1e-9  # losses below this are too close to the accuracy of a win rate


def best_exponent(
    procedure: Procedure | str,
    *,
    kl: Any,
    base: Base | None = None,
    against_procedure: Procedure | str | None = None,
) -> float:
    """The exponent t whose transform sign(t) exp(t u) has the least regret at a KL.

    For Best-of-N at small KL it is close to 2N (design of the first-order law); for Worst-of-N
    close to -2N.

    Parameters
    ----------
    procedure : Procedure or str
    kl : float
        Budget in nats, positive.
    base, against_procedure
        As in :func:`frontier`.

    Returns
    -------
    float
        t, negative where a decreasing exponential is better; between 0.01 and 600 in size.

    Raises
    ------
    OutOfReachError
        Where the best exponent lies outside that range.

    Examples
    --------
    >>> round(best_exponent("bon:4", kl=0.5), 3)
    12.634
    """
    from scipy.optimize import minimize_scalar

    nats = budget(None, kl)[1]
    if nats == 0.0:
        raise InputError("kl = 0: every exponent gives the base policy; give a positive KL.")

    def lost(log_size: float, sign: float) -> float:
        t = sign * float(np.exp(log_size))
        curve = frontier(
            Exponential(t), procedure, kl=[nats], base=base, against_procedure=against_procedure
        )
        return 1.0 - float(curve.win_rate[0])

    grid = np.linspace(np.log(_SMALLEST_EXPONENT), np.log(EXPONENT_LIMIT), 24)
    scan = {sign: np.array([lost(x, sign) for x in grid]) for sign in (1.0, -1.0)}
    if min(float(lossless.min()) for lossless in scan.values()) < _TOLD_APART:
        raise PrecisionError(
            f"at kl = {plain_number(nats)} some exponent already wins "
            f"{as_procedure(procedure).name} all but 1e-9 of the time: exponents cannot be told "
            "apart; give a smaller KL.",
            float("nan"),
        )
    sign = min(scan, key=lambda s: float(scan[s].min()))
    at = int(np.argmin(scan[sign]))
    if at in (0, grid.size - 1):
        edge = sign * float(np.exp(grid[at]))
        hint = "identity, its limit" if at == 0 else "a power or an expression"
        raise OutOfReachError(
            f"the best exponent for {as_procedure(procedure).name} at kl = {plain_number(nats)} "
            f"lies beyond t = {edge:.3g}; use {hint}.",
            edge,
        )
    found = minimize_scalar(
        lost, args=(sign,), bounds=(grid[at - 1], grid[at + 1]), method="bounded",
        options={"xatol": 1e-7},
    )  # fmt: skip
    return sign * float(np.exp(found.x))
