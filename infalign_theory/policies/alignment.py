"""KL-regularised RL on a transformed calibrated reward, solved."""

from __future__ import annotations

from typing import Any, overload

from infalign_theory.policies.base import Base, Continuous, Discrete, as_base
from infalign_theory.policies.budgets import budget
from infalign_theory.policies.continuous import ContinuousPolicy
from infalign_theory.policies.core import Policy
from infalign_theory.policies.discrete import DiscretePolicy
from infalign_theory.policies.families import continuous_family, discrete_family, solve
from infalign_theory.transforms.core import Transform
from infalign_theory.transforms.names import as_transform


@overload
def align(
    transform: Transform | str, beta: Any = ..., *, kl: Any = ..., base: Continuous | None = ...
) -> ContinuousPolicy: ...


@overload
def align(
    transform: Transform | str, beta: Any = ..., *, kl: Any = ..., base: Discrete
) -> DiscretePolicy: ...


def align(
    transform: Transform | str, beta: Any = None, *, kl: Any = None, base: Base | None = None
) -> Policy:
    r"""Solve KL-regularised RL on a transformed calibrated reward.

    The solution has density :math:`f(u) = e^{\Phi(u)/\beta} / Z` relative to the base, and
    :math:`\mathrm{KL} = \int f \log f \, du`.

    Parameters
    ----------
    transform : Transform or str
        Phi, for example ``Exponential(10)`` or ``"exp:10"``.
    beta : float, optional
        Strength of the regularisation, positive, in the units of Phi.
    kl : float, optional
        KL(policy || base) in nats instead, at least 0; beta is then solved for.
    base : Continuous or Discrete, optional
        Continuous by default.

    Returns
    -------
    ContinuousPolicy or DiscretePolicy
        With ``kl``, ``beta``, ``pdf(u)``, ``cdf(u)``, ``ppf(q)``, ``rvs(size, rng)``.

    Raises
    ------
    InputError
        Unless exactly one of beta and kl is given and usable, and for a transform whose tilt has
        no finite normaliser at that beta.
    OutOfReachError
        Where no beta spends that KL; the message and ``limit`` name the largest.

    References
    ----------
    InfAlign, arXiv 2412.19792: the solution of KL-regularised RL and the calibrated reward.

    Examples
    --------
    >>> policy = align("exp:10", kl=0.5)
    >>> round(policy.kl, 12)
    0.5
    >>> round(float(policy.cdf(0.5)), 4)
    0.2615
    """
    chosen = as_transform(transform)
    where = as_base(base)
    beta, kl = budget(beta, kl)
    policy: Policy
    if isinstance(where, Discrete):
        family = discrete_family(chosen, where)
        policy = DiscretePolicy(solve(family, kl) if beta is None else family.at(1 / beta, None))
    else:
        tilts = continuous_family(chosen)
        policy = ContinuousPolicy(solve(tilts, kl) if beta is None else tilts.at(1 / beta, None))
    if beta is not None:
        policy.beta = beta  # not 1/(1/beta)
    return policy
