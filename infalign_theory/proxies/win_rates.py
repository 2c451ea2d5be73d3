"""True win rates: how often the pick by proxy is the better one by truth."""

from __future__ import annotations

import numpy as np

from infalign_theory.errors import InputError, PrecisionError
from infalign_theory.policies.continuous import ContinuousPolicy
from infalign_theory.policies.core import Policy
from infalign_theory.policies.discrete import DiscretePolicy
from infalign_theory.policies.win_rates import increments
from infalign_theory.procedures import Procedure
from infalign_theory.procedures.names import as_procedure
from infalign_theory.proxies.core import Copula, Proxy
from infalign_theory.proxies.laws import TruthLaws
from infalign_theory.proxies.picks import Picks
from infalign_theory.proxies.tabulated import Tabulated
from infalign_theory.quadrature import panels
from infalign_theory.quadrature.grid import Grid
from infalign_theory.quadrature.points import Points
from infalign_theory.typing import Array

_PROMISE = 1e-9
_ALLOWED = 1e-13  # of the unresolved part of a panel of v
_MOST_PANELS = 2000
_WIDTH = 2.5  # of the first panels, in the logit of v
_REACH = 40.0


def true_win_rate(
    policy: Policy,
    procedure: Procedure | str,
    proxy: Proxy,
    against_procedure: Procedure | str | None = None,
) -> float:
    r"""Probability that T(policy) beats T(base) by truth, where both pick by proxy.

    .. math:: W = \int H_\mathrm{ref}\,dH, \qquad
              H(v) = \int P(V \le v \mid U = u)\, d\,g(F(u))

    with ties, which hacked samples and tabulated truths have, counted half.

    Parameters
    ----------
    policy : ContinuousPolicy or DiscretePolicy
        From :func:`infalign_theory.align` or ``optimum(...).policy``, as seen by the proxy.
    procedure : Procedure or str
        What inference does to the policy, by proxy: ``"bon:4"``.
    proxy : Proxy
        The joint law of proxy and truth under the base: ``Gaussian(0.7)``.
    against_procedure : Procedure or str, optional
        What inference does to the base; the same procedure by default.

    Returns
    -------
    float
        Win rate in [0, 1]; absolute error at most 1e-9.

    Raises
    ------
    InputError
        For what is not a policy, procedure or proxy, and for a tabulated proxy whose samples are
        not the policy's base.
    PrecisionError
        Where quadrature cannot keep the promised accuracy.

    References
    ----------
    Gao, Schulman and Hilton, arXiv 2210.10760, for proxy against gold reward; InfAlign, arXiv
    2412.19792, for procedures.

    Examples
    --------
    >>> from infalign_theory import align
    >>> from infalign_theory.proxies import Gaussian
    >>> round(true_win_rate(align("exp:10", kl=0.5), "bon:4", Gaussian(0.7)), 9)
    0.733195962
    """
    ours = as_procedure(procedure)
    theirs = ours if against_procedure is None else as_procedure(against_procedure)
    picks = Picks(policy, ours, theirs)
    grid = picks.start()
    if isinstance(proxy, Tabulated):
        return _tabulated(picks, proxy, grid)
    if not isinstance(proxy, Copula):
        raise InputError(
            f"proxy {proxy!r:.80} is not a proxy; give Gaussian(0.7), StudentT, Clayton, Gumbel, "
            "Frank, Contaminated or Tabulated."
        )
    return _integrated(TruthLaws(proxy, picks))


def _tabulated(picks: Picks, proxy: Tabulated, grid: Grid) -> float:
    """Sum over the distinct truths of both picks."""
    base = proxy.base
    if isinstance(picks.policy, DiscretePolicy):
        own = picks.policy.base
        if not (np.array_equal(own.rewards, base.rewards) and np.allclose(own.probs, base.probs)):
            raise InputError(
                "the policy is not on the base of the tabulated samples; align it with "
                "base=proxy.base."
            )
        masses = picks.masses()
    else:
        assert isinstance(picks.policy, ContinuousPolicy)
        points = Points.from_pair(base.below, base.above)
        masses = (
            increments(picks.ours, picks.policy.tails(points)),
            increments(picks.theirs, (base.below, base.above)),
        )
    ours, theirs = (mass @ proxy.shares for mass in masses)
    below = np.concatenate([[0.0], np.cumsum(theirs)])
    return float(np.clip(np.sum(ours * (below[:-1] + below[1:]) / 2.0), 0.0, 1.0))


def _integrated(laws: TruthLaws) -> float:
    """Integral of one law against the other, on panels of v that resolve both."""
    reach = max(_REACH, laws.reach() + 10.0)
    grid = Grid(np.linspace(-reach, reach, 2 * int(np.ceil(reach / _WIDTH)) + 1))
    ours, theirs = _at(laws, grid.points.s)
    while True:
        errors = np.maximum(_tail(ours), _tail(theirs))
        marked = (errors > _ALLOWED) & grid.splittable()
        if not marked.any() or grid.half.size > _MOST_PANELS:
            break
        grid, kept = grid.split(marked), np.repeat(~marked, 1 + marked)
        new_ours, new_theirs = (np.empty((kept.size, panels.NODES)) for _ in range(2))
        new_ours[kept], new_theirs[kept] = ours[~marked], theirs[~marked]
        new_ours[~kept], new_theirs[~kept] = _at(laws, grid.points.s[~kept])
        ours, theirs = new_ours, new_theirs
    total = float(np.sum(theirs @ _DERIVATIVE * ours)) + _ends(laws, ours, theirs)
    error = float(errors.sum())
    if not error <= _PROMISE:
        raise PrecisionError(
            f"the true win rate behind {laws.copula.name} is known only to {error:.1g}; its "
            f"estimate is {total:.12g}.",
            total,
        )
    return float(np.clip(total, 0.0, 1.0))


def _at(laws: TruthLaws, s: Array) -> tuple[Array, Array]:
    ours, theirs = laws.at(s.ravel())
    return ours.reshape(s.shape), theirs.reshape(s.shape)


def _tail(values: Array) -> Array:
    """Size of the last Legendre terms of each panel."""
    return np.asarray(np.abs(values @ panels.ANALYSIS[-3:].T).sum(axis=1))


def _ends(laws: TruthLaws, ours: Array, theirs: Array) -> float:
    """What the panels of v leave out: ties of hacked samples, and both ends of the range."""
    low, high = ((-1.0) ** np.arange(panels.NODES), np.ones(panels.NODES))
    h0, r0 = laws.hacked()
    h1, r1 = (float(low @ panels.ANALYSIS @ law[0]) for law in (ours, theirs))
    h2, r2 = (float(high @ panels.ANALYSIS @ law[-1]) for law in (ours, theirs))
    return h0 * r0 / 2.0 + (h1 - h0) * (r0 + r1) / 2.0 + (1.0 - h2) * (r2 + 1.0) / 2.0


def _derivative_weights() -> Array:
    """M with R M H = int R dH over a panel, for values R and H at its nodes."""
    count = panels.NODES
    slopes = np.polynomial.legendre.legder(np.eye(count), axis=0)  # of each basis polynomial
    at_nodes = np.polynomial.legendre.legvander(panels.X, count - 2) @ slopes
    return np.asarray(panels.WEIGHTS[:, None] * (at_nodes @ panels.ANALYSIS))


_DERIVATIVE = _derivative_weights()
