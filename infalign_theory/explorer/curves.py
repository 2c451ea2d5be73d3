"""The numbers behind the explorer's panels."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np

from infalign_theory.comparison.efficiency import first_order_efficiency
from infalign_theory.comparison.frontiers import OPTIMAL
from infalign_theory.errors import InfalignError
from infalign_theory.explorer.grounds import ContinuousGround
from infalign_theory.explorer.paths import Path, level
from infalign_theory.explorer.trained import Trained
from infalign_theory.explorer.view import View
from infalign_theory.procedures import BestOfN, Procedure, WorstOfN, power_sides
from infalign_theory.transforms import Transform, as_transform
from infalign_theory.typing import Array

MINE = "yours"
IDENTITY = "identity"
U = np.linspace(0.0025, 0.9975, 200)
SIZES = (1, 2, 4, 8, 16, 32, 64)
_BEYOND = 1.1  # the optimum is known a little beyond what is drawn


@dataclass(frozen=True, kw_only=True)
class Curve:
    """One line of a panel; ``name`` decides its style."""

    name: str
    x: Array
    y: Array


@dataclass(frozen=True, kw_only=True)
class Panels:
    """Everything that is drawn for one view.

    ``by_size`` and ``efficiency`` are computed when asked for: a page draws them last.
    """

    view: View
    transform: tuple[Curve, ...]
    density: tuple[Curve, ...]
    frontier: tuple[Curve, ...]
    regret: tuple[Curve, ...]
    trained: Trained
    win_rate: float
    optimal: float

    @property
    def kl(self) -> float:
        """What the policy spends, in nats."""
        return self.trained.kl

    @property
    def beta(self) -> float:
        """In the units of the transform."""
        return self.trained.beta

    @property
    def regret_here(self) -> float:
        """What the transform loses at the chosen KL."""
        return self.optimal - self.win_rate

    @cached_property
    def by_size(self) -> tuple[Curve, ...]:
        """Win rates of the same policies under other N."""
        others = _sizes(*_key(self.view), self.view.kl)
        return (*others, _by_size(MINE, self.trained, self.view.rule))

    @cached_property
    def efficiency(self) -> tuple[Curve, ...]:
        """First-order efficiency by N; nothing where a transform has no variance."""
        if not isinstance(self.view.ground, ContinuousGround):
            return ()
        sign = "won" if power_sides(self.view.rule)[0] < 0 else "bon"
        out = []
        for name, phi in ((IDENTITY, as_transform(IDENTITY)), (MINE, self.view.phi)):
            found = _efficiency_by_size(phi, sign)
            if found is not None:
                out.append(Curve(name=name, x=np.array(SIZES[1:], dtype=np.float64), y=found))
        return tuple(out)


def panels(view: View) -> Panels:
    """Solve what a view shows.

    Raises
    ------
    InfalignError
        For a text, number or budget that cannot be used; the message is for the page.
    """
    trained, path = view.ground.along(view.phi, view.rule, view.kl)
    known = _along(*_key(view), level(view.kl))
    here = _at_budget(*_key(view), view.kl)
    inside = path.kl <= known.best.kl[-1]
    mine = Curve(name=MINE, x=path.kl[inside], y=path.win_rate[inside])
    won, optimal = trained.win_rate(view.rule), here.best.win_rate(view.rule)
    short = known.best.at(mine.x) - mine.y
    short[mine.x == trained.kl] = optimal - won
    return Panels(
        view=view,
        transform=(*here.transform, _shape(MINE, view.phi)),
        density=(*here.density, Curve(name=MINE, x=U, y=trained.density(U))),
        frontier=(*known.frontier, mine),
        regret=(*known.regret, Curve(name=MINE, x=mine.x, y=100.0 * short)),
        trained=trained,
        win_rate=won,
        optimal=optimal,
    )


def _key(view: View) -> tuple[str, str, str]:
    """What the curves beside the user's own depend on."""
    return view.procedure, view.base, view.divergence


@dataclass(frozen=True, kw_only=True)
class _Along:
    """Frontiers and regrets that do not depend on the user's transform or KL."""

    best: Path
    frontier: tuple[Curve, ...]
    regret: tuple[Curve, ...]


@lru_cache(maxsize=64)
def _along(procedure: str, base: str, divergence: str, largest: float) -> _Along:
    """Identity, the usual exponential and the optimum, solved once for many transforms."""
    view = View(procedure=procedure, base=base, divergence=divergence)
    best = view.ground.best_along(view.rule, _BEYOND * largest)
    middle = 0.4 * largest
    frontiers, regrets = [], []
    for name in (IDENTITY, exponential_for(view.rule)):
        try:
            _, path = view.ground.along(as_transform(name), view.rule, middle)
        except InfalignError:  # out of its reach on this base
            continue
        inside = path.kl <= best.kl[-1]
        curve = Curve(name=name, x=path.kl[inside], y=path.win_rate[inside])
        frontiers.append(curve)
        regrets.append(Curve(name=name, x=curve.x, y=100.0 * (best.at(curve.x) - curve.y)))
    frontiers.append(Curve(name=OPTIMAL, x=best.kl, y=best.win_rate))
    return _Along(best=best, frontier=tuple(frontiers), regret=tuple(regrets))


@dataclass(frozen=True, kw_only=True)
class _AtBudget:
    """The policies of the identity and of the optimum at one KL."""

    transform: tuple[Curve, ...]
    density: tuple[Curve, ...]
    best: Trained


@lru_cache(maxsize=64)
def _at_budget(procedure: str, base: str, divergence: str, kl: float) -> _AtBudget:
    view = View(procedure=procedure, base=base, divergence=divergence, kl=kl)
    best = view.ground.best(view.rule, kl)
    usual = [(name, as_transform(name)) for name in (IDENTITY, exponential_for(view.rule))]
    shapes = [*usual, (OPTIMAL, best.transform)]
    drawn = [*_reaching(view, [IDENTITY]), (OPTIMAL, best)]
    return _AtBudget(
        transform=tuple(_shape(name, phi) for name, phi in shapes if phi is not None),
        density=tuple(Curve(name=name, x=U, y=at.density(U)) for name, at in drawn),
        best=best,
    )


@lru_cache(maxsize=64)
def _sizes(procedure: str, base: str, divergence: str, kl: float) -> tuple[Curve, ...]:
    """Win rates of the usual transforms' policies under other N."""
    view = View(procedure=procedure, base=base, divergence=divergence, kl=kl)
    found = _reaching(view, [IDENTITY, exponential_for(view.rule)])
    return tuple(_by_size(name, trained, view.rule) for name, trained in found)


def _reaching(view: View, names: list[str]) -> list[tuple[str, Trained]]:
    """Policies of some transforms, without those that cannot spend so much on this base."""
    found = []
    for name in names:
        try:
            found.append((name, view.ground.trained(as_transform(name), view.kl)))
        except InfalignError:
            continue
    return found


def exponential_for(rule: Procedure) -> str:
    """The exponential that theory suggests at small KL: exponent 2N, negative for Worst-of-N."""
    sign, n = power_sides(rule)
    return f"exp:{(-2 if sign < 0 else 2) * min(max(n, 2), 50)}"


def _shape(name: str, phi: Transform) -> Curve:
    """The transform from its smallest value on the panel, 0, to its largest, 1."""
    values = phi(U)
    low, high = float(values.min()), float(values.max())
    return Curve(name=name, x=U, y=(values - low) / ((high - low) or 1.0))


def _by_size(name: str, trained: Trained, rule: Procedure) -> Curve:
    kind = WorstOfN if power_sides(rule)[0] < 0 else BestOfN
    won = [trained.win_rate(kind(n)) for n in SIZES]
    return Curve(name=name, x=np.array(SIZES, dtype=np.float64), y=np.array(won))


@lru_cache(maxsize=64)
def _efficiency_by_size(phi: Transform, sign: str) -> Array | None:
    try:
        return np.array([first_order_efficiency(phi, f"{sign}:{n}") for n in SIZES[1:]])
    except InfalignError:
        return None
