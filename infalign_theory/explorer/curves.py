"""The numbers behind the explorer's panels."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from infalign_theory.comparison.efficiency import first_order_efficiency
from infalign_theory.comparison.frontiers import OPTIMAL, frontier
from infalign_theory.errors import InfalignError
from infalign_theory.explorer.view import View
from infalign_theory.optima.solve import optimum
from infalign_theory.policies.alignment import align
from infalign_theory.policies.base import Base, Continuous, Discrete
from infalign_theory.policies.core import Policy
from infalign_theory.policies.win_rates import win_rate
from infalign_theory.procedures import BestOfN, Procedure, WorstOfN, power_sides
from infalign_theory.transforms import Transform, as_transform
from infalign_theory.typing import Array

MINE = "yours"
U = np.linspace(0.0025, 0.9975, 200)
SIZES = (1, 2, 4, 8, 16, 32, 64)
_BUDGETS = 13


@dataclass(frozen=True, kw_only=True)
class Curve:
    """One line of a panel; ``name`` decides its style."""

    name: str
    x: Array
    y: Array


@dataclass(frozen=True, kw_only=True)
class Panels:
    """Everything that is drawn for one view."""

    transform: tuple[Curve, ...]
    density: tuple[Curve, ...]
    frontier: tuple[Curve, ...]
    regret: tuple[Curve, ...]
    efficiency: tuple[Curve, ...]
    by_size: tuple[Curve, ...]
    win_rate: float
    optimal: float
    kl: float
    beta: float

    @property
    def regret_here(self) -> float:
        """What the transform loses at the chosen KL."""
        return self.optimal - self.win_rate


def panels(view: View) -> Panels:
    """Solve everything a view shows.

    Raises
    ------
    InfalignError
        For a text, number or budget that cannot be used; the message is for the page.
    """
    base = view.law
    policy = align(view.phi, kl=view.kl, base=base)
    known = references(view.procedure, view.base, view.kl)
    best = next(curve for curve in known.frontier if curve.name == OPTIMAL)
    mine = _frontier(MINE, view.phi, view.rule, best.x, base)
    won = win_rate(policy, view.rule)
    optimal = float(np.interp(view.kl, best.x, best.y))
    return Panels(
        transform=(*known.transform, _shape(MINE, view.phi)),
        density=(*known.density, Curve(name=MINE, x=U, y=policy.pdf(U))),
        frontier=(*known.frontier, mine),
        regret=tuple(
            Curve(name=curve.name, x=curve.x, y=100.0 * (best.y[: curve.x.size] - curve.y))
            for curve in (*known.frontier, mine)
            if curve.name != OPTIMAL
        ),
        efficiency=_efficiencies(view),
        by_size=(*known.by_size, _by_size(MINE, policy, view.rule)),
        win_rate=won,
        optimal=optimal,
        kl=policy.kl,
        beta=policy.beta,
    )


def budgets(kl: float) -> Array:
    """KL budgets of a frontier: they cover the chosen one, which is among them."""
    largest = max(1.0, 1.6 * kl)
    grid = largest * np.linspace(0.0, 1.0, _BUDGETS) ** 1.5
    return np.unique(np.append(grid, kl))


@dataclass(frozen=True, kw_only=True)
class References:
    """The curves that do not depend on the user's transform."""

    transform: tuple[Curve, ...]
    density: tuple[Curve, ...]
    frontier: tuple[Curve, ...]
    by_size: tuple[Curve, ...]


@lru_cache(maxsize=64)
def references(procedure: str, base: str, kl: float) -> References:
    """Identity, the usual exponential and the optimum, solved once for many transforms."""
    view = View(procedure=procedure, base=base, kl=kl)
    rule, law = view.rule, view.law
    names = ("identity", exponential_for(rule))
    best = optimum(rule, kl=kl, base=law)
    policies = {name: align(name, kl=kl, base=law) for name in names}
    nats = budgets(kl)
    return References(
        transform=(
            *(_shape(name, as_transform(name)) for name in names),
            _shape(OPTIMAL, best.transform),
        ),
        density=(
            Curve(name="identity", x=U, y=policies["identity"].pdf(U)),
            Curve(name=OPTIMAL, x=U, y=best.policy.pdf(U)),
        ),
        frontier=tuple(_frontier(name, name, rule, nats, law) for name in (*names, OPTIMAL)),
        by_size=tuple(_by_size(name, policy, rule) for name, policy in policies.items()),
    )


def exponential_for(rule: Procedure) -> str:
    """The exponential that theory suggests at small KL: exponent 2N, negative for Worst-of-N."""
    sign, n = power_sides(rule)
    return f"exp:{(-2 if sign < 0 else 2) * min(max(n, 2), 50)}"


def _shape(name: str, phi: Transform) -> Curve:
    """The transform from its smallest value on the panel, 0, to its largest, 1."""
    values = phi(U)
    low, high = float(values.min()), float(values.max())
    return Curve(name=name, x=U, y=(values - low) / ((high - low) or 1.0))


def _frontier(name: str, phi: Transform | str, rule: Procedure, nats: Array, base: Base) -> Curve:
    """Win rate against KL, as far as the base lets the transform spend."""
    if isinstance(base, Discrete):
        nats = nats[nats <= _spendable(phi, base)]
    found = frontier(phi, rule, kl=nats, base=base)
    return Curve(name=name, x=nats, y=found.win_rate)


def _spendable(phi: Transform | str, base: Discrete) -> float:
    """Just below the KL at which all mass sits on the top atom."""
    values = base.u if isinstance(phi, str) and phi == OPTIMAL else as_transform(phi)(base.u)
    return -0.999 * float(np.log(np.sum(base.probs[values == values.max()])))


def _by_size(name: str, policy: Policy, rule: Procedure) -> Curve:
    kind = WorstOfN if power_sides(rule)[0] < 0 else BestOfN
    won = [win_rate(policy, kind(n)) for n in SIZES]
    return Curve(name=name, x=np.array(SIZES, dtype=np.float64), y=np.array(won))


def _efficiencies(view: View) -> tuple[Curve, ...]:
    """First-order efficiency by N; nothing where a transform has no variance."""
    if not isinstance(view.law, Continuous):
        return ()
    sign = "won" if power_sides(view.rule)[0] < 0 else "bon"
    out = []
    for name, phi in (("identity", as_transform("identity")), (MINE, view.phi)):
        found = _efficiency_by_size(phi, sign)
        if found is not None:
            out.append(Curve(name=name, x=np.array(SIZES[1:], dtype=np.float64), y=found))
    return tuple(out)


@lru_cache(maxsize=64)
def _efficiency_by_size(phi: Transform, sign: str) -> Array | None:
    try:
        return np.array([first_order_efficiency(phi, f"{sign}:{n}") for n in SIZES[1:]])
    except InfalignError:
        return None
