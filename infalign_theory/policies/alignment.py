"""Regularised RL on a transformed calibrated reward, solved."""

from __future__ import annotations

from typing import overload

from infalign_theory.divergences import Divergence, ReverseKL, as_divergence
from infalign_theory.errors import InputError
from infalign_theory.policies.base import Base, Continuous, Discrete, as_base
from infalign_theory.policies.budgets import budget
from infalign_theory.policies.continuous import ContinuousPolicy
from infalign_theory.policies.core import Policy, Training
from infalign_theory.policies.discrete import DiscretePolicy
from infalign_theory.policies.families import continuous_family, discrete_family, solve
from infalign_theory.policies.penalised_atoms import align_atoms
from infalign_theory.policies.penalised_density import EffectiveTransform, align_density
from infalign_theory.policies.prompts import PromptPolicy, over_prompts
from infalign_theory.transforms.core import Transform
from infalign_theory.transforms.names import as_transform
from infalign_theory.transforms.quantile import Quantile


@overload
def align(
    transform: Transform | str,
    *unnamed: object,
    beta: float | None = ...,
    kl: float | None = ...,
    base: Continuous | None = ...,
    divergence: Divergence | str = ...,
) -> ContinuousPolicy: ...


@overload
def align(
    transform: Transform | str,
    *unnamed: object,
    beta: float | None = ...,
    kl: float | None = ...,
    base: Discrete,
    divergence: Divergence | str = ...,
) -> DiscretePolicy: ...


def align(
    transform: Transform | str,
    *unnamed: object,
    beta: float | None = None,
    kl: float | None = None,
    base: Base | None = None,
    divergence: Divergence | str = "kl",
) -> Policy:
    r"""Solve regularised RL on a transformed calibrated reward.

    Training maximises :math:`E_\pi[\Phi] - \beta D(\pi)`. Under reverse KL the solution has
    density :math:`f(u) = e^{\Phi(u)/\beta} / Z` relative to the base; under any divergence
    :math:`D = \int h(f) \, du` it is

    .. math:: f(u) = (h')^{-1}\left(\frac{\Phi(u) - \lambda}{\beta}\right)

    where that is positive and 0 elsewhere, with :math:`\lambda` such that f integrates to 1.
    Budgets are always :math:`\mathrm{KL} = \int f \log f \, du`.

    Parameters
    ----------
    transform : Transform or str
        Phi, for example ``Exponential(10)`` or ``"exp:10"``.
    *unnamed
        Nothing: a bare number is refused, because it could be a beta or a KL.
    beta : float, optional
        Strength of the regularisation, positive, in the units of Phi.
    kl : float, optional
        KL(policy || base) in nats instead, at least 0; beta is then solved for.
    base : Continuous or Discrete, optional
        Continuous by default.
    divergence : Divergence or str, optional
        What training is penalised by: ``"kl"`` (reverse, the default), ``"forward-kl"``,
        ``"chi2"``, ``"chi2+kl"``, ``"js"`` or ``"alpha:0.5"``.

    Returns
    -------
    ContinuousPolicy or DiscretePolicy
        With ``kl``, ``beta``, ``pdf(u)``, ``cdf(u)``, ``ppf(q)``, ``rvs(size, rng)``. A
        ``Quantile`` with a spread has one policy a prompt: a ``PromptPolicy`` of the same methods,
        whose KL and win rates are means over prompts.

    Raises
    ------
    InputError
        Unless exactly one of beta and kl is given and usable, and for a transform whose tilt has
        no finite normaliser at that beta.
    OutOfReachError
        Where no beta spends that KL, the message and ``limit`` name the largest; where a bounded
        h' leaves no density at that beta, they name the smallest beta.

    References
    ----------
    InfAlign, arXiv 2412.19792: the solution of KL-regularised RL and the calibrated reward.
    ``docs/mathematics/divergences.md``: other divergences.

    Examples
    --------
    >>> policy = align("exp:10", kl=0.5)
    >>> round(policy.kl, 12)
    0.5
    >>> round(float(policy.cdf(0.5)), 4)
    0.2615
    >>> align("identity", kl=0.5, divergence="forward-kl")
    <policy identity under forward-kl: beta=0.275149, kl=0.5 nats>
    """
    if unnamed:
        first = f"{unnamed[0]!s:.20}"
        raise InputError(
            f"align({transform!s:.40}, {first}) does not say what {first} is; write beta={first} "
            f"or kl={first}."
        )
    chosen = as_transform(transform)
    where = as_base(base)
    penalty = as_divergence(divergence)
    beta, kl = budget(beta, kl)
    if isinstance(chosen, Quantile) and chosen.spread > 0.0:
        return _over_prompts(chosen, penalty, where, beta, kl)
    if isinstance(where, Discrete):
        return _on_atoms(chosen, penalty, where, beta, kl)
    if penalty != ReverseKL() or isinstance(chosen, EffectiveTransform):
        tilt, strength = align_density(chosen, penalty, beta, kl)
        return ContinuousPolicy(tilt, Training(chosen, strength, penalty))
    tilts = continuous_family(chosen)
    if beta is None:
        return ContinuousPolicy(solve(tilts, kl))
    # the beta given, not 1/(1/beta)
    return ContinuousPolicy(tilts.at(1 / beta, None), Training(chosen, beta, penalty))


def _over_prompts(
    transform: Quantile, penalty: Divergence, base: Base, beta: float | None, kl: float
) -> PromptPolicy:
    alike = transform.of_one_prompt

    def aligned(k: float) -> Policy:
        if k == 0.0:
            return align(alike, kl=0.0, base=base, divergence=penalty)
        return align(alike, beta=1.0 / k, base=base, divergence=penalty)

    return over_prompts(transform, aligned, beta, kl)


def _on_atoms(
    transform: Transform, penalty: Divergence, base: Discrete, beta: float | None, kl: float
) -> DiscretePolicy:
    if penalty != ReverseKL():
        tilt, strength = align_atoms(transform, penalty, base, beta, kl)
        return DiscretePolicy(tilt, Training(transform, strength, penalty))
    family = discrete_family(transform, base)
    if beta is None:
        return DiscretePolicy(solve(family, kl))
    return DiscretePolicy(family.at(1 / beta, None), Training(transform, beta, penalty))
