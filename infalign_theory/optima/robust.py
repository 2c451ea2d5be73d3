"""One policy for several procedures: the smallest largest regret, or the best weighted mean.

For procedures whose win rates are concave in the policy (one sample, Best-of-N and every other
convex g) this is a saddle point: the largest regret of the best policy equals the value of its
dual weights, and any weights certify a lower bound.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import SupportsIndex, overload

import numpy as np
from numpy.typing import ArrayLike

from infalign_theory.checks import plain_number, vector
from infalign_theory.errors import InputError, PrecisionError
from infalign_theory.optima.record import Optimum
from infalign_theory.optima.responses import response_kl
from infalign_theory.optima.saddle import Game
from infalign_theory.optima.solve import optimum
from infalign_theory.optima.stages import on_atoms, on_grid
from infalign_theory.optima.weighted import Weighted
from infalign_theory.policies.alignment import align
from infalign_theory.policies.base import Base, Discrete, as_base
from infalign_theory.policies.budgets import budget
from infalign_theory.policies.continuous import ContinuousPolicy
from infalign_theory.policies.core import Policy
from infalign_theory.policies.discrete import DiscretePolicy
from infalign_theory.policies.win_rates import win_rate
from infalign_theory.procedures import Procedure
from infalign_theory.procedures.names import as_procedure
from infalign_theory.quadrature.grid import Grid
from infalign_theory.transforms.atoms import AtomTransform
from infalign_theory.transforms.core import Transform
from infalign_theory.transforms.tabulated import TabulatedTransform
from infalign_theory.typing import Array

_WIDTHS = (2.0, 1.0, 0.5)  # of panels in the logit, until the policy is its own best response
_GAP = 1e-9


class PerProcedure(tuple[float, ...]):
    """Numbers in the order of the procedures, which their names read as well.

    Examples
    --------
    >>> regrets = PerProcedure(["standard", "bon:4"], [0.25, 0.5])
    >>> regrets[0], regrets["bon:4"], max(regrets), dict(regrets.items())["standard"]
    (0.25, 0.5, 0.5, 0.25)
    """

    _names: tuple[str, ...]

    def __new__(cls, names: Sequence[str], values: Iterable[float]) -> PerProcedure:
        out = super().__new__(cls, (float(value) for value in values))
        out._names = tuple(names)
        return out

    def __reduce__(self) -> tuple[type, tuple[tuple[str, ...], tuple[float, ...]]]:
        return type(self), (self._names, tuple(self))

    @overload
    def __getitem__(self, key: SupportsIndex | str | Procedure) -> float: ...

    @overload
    def __getitem__(self, key: slice) -> tuple[float, ...]: ...

    def __getitem__(
        self, key: SupportsIndex | slice | str | Procedure
    ) -> float | tuple[float, ...]:
        if isinstance(key, Procedure):
            key = key.name
        if isinstance(key, str):
            if key not in self._names:
                raise InputError(
                    f"procedure {key!r} is none of those solved for: {', '.join(self._names)}."
                )
            key = self._names.index(key)
        return super().__getitem__(key)

    def keys(self) -> tuple[str, ...]:
        """Names of the procedures."""
        return self._names

    def values(self) -> tuple[float, ...]:
        """The numbers alone."""
        return tuple(self)

    def items(self) -> Iterator[tuple[str, float]]:
        """Pairs of name and number."""
        return zip(self._names, self, strict=True)


@dataclass(frozen=True, repr=False)
class Robust:
    """One policy for several procedures.

    Attributes
    ----------
    procedures, against : tuple of Procedure
        What inference does to the policy, and to the base beside each.
    kl, beta : float
        KL in nats.
    policy : ContinuousPolicy or DiscretePolicy
    transform : Transform
        What trains it: aligning with it at ``beta`` gives ``policy`` back.
    win_rates, optimal, regrets : PerProcedure
        Per procedure, in order and by name: the policy's win rate, the largest at that KL, and
        their difference.
    worst_regret, mean_regret : float
        The largest regret, and the mean under ``weights``.
    weights : PerProcedure
        The prior given, or the weights that make the worst case: the procedures with a positive
        one share the largest regret.
    gap : float
        How far the policy is, in win rate, from solving its equations, measured independently.
    lower_bound : float
        Certified: no policy of that KL has a smaller worst regret (mean regret where weights were
        given). The trivial 0 where some win rate is not concave in the policy (Worst-of-N).
    """

    procedures: tuple[Procedure, ...]
    against: tuple[Procedure, ...]
    kl: float
    beta: float
    policy: Policy
    transform: Transform
    win_rates: PerProcedure
    optimal: PerProcedure
    regrets: PerProcedure
    worst_regret: float
    mean_regret: float
    weights: PerProcedure
    lower_bound: float
    gap: float

    def __repr__(self) -> str:
        return (
            f"<robust policy for {len(self.procedures)} procedures: kl={self.kl:.6g} nats, "
            f"worst_regret={self.worst_regret:.6g}, lower_bound={self.lower_bound:.6g}>"
        )


def robust(
    procedures: Sequence[Procedure | str],
    *,
    kl: float,
    weights: ArrayLike | None = None,
    base: Base | None = None,
    against_procedure: Procedure | str | None = None,
) -> Robust:
    r"""The policy to train where the procedure at inference is not known.

    .. math:: \min_{\pi:\ \mathrm{KL}(\pi) \le \kappa}\ \max_i\
              \big[W_i^*(\kappa) - W_i(\pi)\big]

    over procedures i, :math:`W_i^*` being the largest win rate at that KL. With ``weights`` the
    mean regret under that prior is minimised instead.

    Parameters
    ----------
    procedures : sequence of Procedure or str
        At least one, all different: ``["standard", "bon:2", "bon:4"]``.
    kl : float
        Budget in nats, positive.
    weights : array_like, shape (m,), optional
        A prior over the procedures: non-negative, scaled to sum to 1.
    base : Continuous or Discrete, optional
        Continuous by default; at most 100,000 atoms.
    against_procedure : Procedure or str, optional
        What inference does to the base; beside each procedure the same by default.

    Returns
    -------
    Robust
        With ``policy``, ``regrets``, ``worst_regret``, ``lower_bound``. Regrets are win rates of
        :func:`infalign_theory.win_rate` against :func:`infalign_theory.optimum`.

    Raises
    ------
    InputError
        For no or repeated procedures, and for weights that are no prior.
    OutOfReachError
        Where the base cannot spend that KL.
    PrecisionError
        Where no policy was found to rounding.

    Notes
    -----
    With Worst-of-N among the procedures win rates are not concave: the policy satisfies the same
    equations on the branch that starts at the base policy, ``lower_bound`` is 0.

    References
    ----------
    InfAlign, arXiv 2412.19792, for each procedure's own optimum; Sion (1958) for the saddle point.

    Examples
    --------
    >>> found = robust(["standard", "bon:2", "bon:4"], kl=0.5)
    >>> found.worst_regret - found.lower_bound < 1e-9
    True
    >>> [round(regret, 4) for regret in found.regrets]
    [0.0177, 0.0038, 0.0177]
    """
    chosen = _procedures(procedures)
    nats = budget(None, kl)[1]
    if nats == 0.0:
        raise InputError("kl = 0 leaves only the base policy; give a positive budget in nats.")
    where = as_base(base)
    prior = None if weights is None else _prior(weights, len(chosen))
    fixed = None if against_procedure is None else as_procedure(against_procedure)
    against = tuple(one if fixed is None else fixed for one in chosen)
    optima = [
        optimum(one, kl=nats, base=where, against_procedure=other)
        for one, other in zip(chosen, against, strict=True)
    ]
    if isinstance(where, Discrete):
        stage = on_atoms(where, chosen, against)
        logs = [_on_atoms(one).tilt.log_ratio[:, None] for one in optima]
        weighted = Game.of(stage, optima, logs).solve(prior)
        policy: Policy = _discrete(where, chosen, weighted, nats)
        return _record(optima, against, policy, weighted, prior)
    for width in _WIDTHS:
        grid = _grid((*chosen, *against), nats, width)
        logs = [_on_nodes(one).tilt.log_density(grid.points) for one in optima]
        weighted = Game.of(on_grid(grid, chosen, against), optima, logs).solve(prior)
        policy = _continuous(grid, chosen, weighted, nats)
        found = _record(optima, against, policy, weighted, prior)
        if found.gap <= _GAP:
            return found
    raise PrecisionError(
        f"the robust policy at {plain_number(nats)} nats is known only to {found.gap:.1g} in win "
        "rate; give a smaller budget or smaller N.",
        found.worst_regret,
    )


def _procedures(given: Sequence[Procedure | str]) -> tuple[Procedure, ...]:
    if isinstance(given, (str, Procedure)) or not list(given):
        raise InputError(
            f"procedures = {given!r:.60} is not a list of procedures; give for example "
            "['standard', 'bon:4']."
        )
    chosen = tuple(as_procedure(one) for one in given)
    names = [one.name for one in chosen]
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise InputError(f"procedure {twice[0]} is given twice; name each once.")
    return chosen


def _prior(weights: ArrayLike, count: int) -> Array:
    prior = vector(weights, "weights")
    if prior.size != count or (prior < 0.0).any() or not prior.sum() > 0.0:
        raise InputError(
            f"weights = {prior.tolist()} is no prior over {count} procedures; give one "
            "non-negative number each, not all 0."
        )
    return np.asarray(prior / prior.sum())


def _on_atoms(found: Optimum) -> DiscretePolicy:
    assert isinstance(found.policy, DiscretePolicy)
    return found.policy


def _on_nodes(found: Optimum) -> ContinuousPolicy:
    assert isinstance(found.policy, ContinuousPolicy)
    return found.policy


def _grid(procedures: Sequence[Procedure], kl: float, width: float) -> Grid:
    """Panels of one width where the procedures act, wider ones towards both ends."""
    zero, one = np.zeros(1), np.ones(1)
    steepest = [
        max(float(p.pdf(*ends)[0]) for p in procedures) for ends in ((zero, one), (one, zero))
    ]
    left, right = (np.log(max(slope, 1.0)) + kl + 8.0 for slope in steepest)
    inner = np.arange(-np.ceil(left / width), np.ceil(right / width) + 1.0) * width
    outer = 2.0 * width * (2.0 ** np.arange(1, 2 + int(np.ceil(np.log2(40.0 / width)))) - 1.0)
    return Grid(np.concatenate([inner[0] - outer[::-1], inner, inner[-1] + outer]))


def _name(procedures: Sequence[Procedure]) -> str:
    return "robust@" + "+".join(one.name for one in procedures)


def _continuous(
    grid: Grid, procedures: Sequence[Procedure], weighted: Weighted, kl: float
) -> Policy:
    transform = TabulatedTransform(_name(procedures), grid, weighted.log_density, 1.0 / weighted.k)
    return align(transform, kl=kl)


def _discrete(
    base: Discrete, procedures: Sequence[Procedure], weighted: Weighted, kl: float
) -> Policy:
    log_ratio = weighted.log_density[:, 0]
    values = (log_ratio - log_ratio[-1]) / weighted.k
    transform = AtomTransform(_name(procedures), base.u, base.below[1:-1], values)
    return align(transform, kl=kl, base=base)


def _record(
    optima: Sequence[Optimum],
    against: tuple[Procedure, ...],
    policy: Policy,
    weighted: Weighted,
    prior: Array | None,
) -> Robust:
    """Everything measured again on the policy itself, independently of the solver's nodes."""
    procedures = tuple(one.procedure for one in optima)
    names = [one.name for one in procedures]
    best = np.array([one.win_rate for one in optima])
    sides = list(zip(procedures, against, strict=True))
    won = np.array([win_rate(policy, one, against_procedure=other) for one, other in sides])
    weights = weighted.weights
    mean = float(weights @ (best - won))
    step = policy.beta * response_kl(policy, sides, weights)
    concave = all(one.curvature > 0 for one in procedures)
    worst = float((best - won).max())
    bound = mean - step if concave else 0.0
    return Robust(
        procedures=procedures,
        against=against,
        kl=policy.kl,
        beta=policy.beta,
        policy=policy,
        transform=policy.transform,
        win_rates=PerProcedure(names, won),
        optimal=PerProcedure(names, best),
        regrets=PerProcedure(names, best - won),
        worst_regret=worst,
        mean_regret=mean,
        weights=PerProcedure(names, weights),
        lower_bound=bound,
        gap=step if prior is not None else step + worst - mean,
    )
