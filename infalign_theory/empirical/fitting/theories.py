"""What theory expects of a policy: the law fitted to its ranks, or the one its maker names.

A tilt fitted or given, of a continuous base or, with frequent ties, of each prompt's own law.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain

import numpy as np

from infalign_theory.empirical.fitting.discrete_fit import fit_discrete, planned_discrete
from infalign_theory.empirical.fitting.families import LARGEST_T
from infalign_theory.empirical.fitting.laws import Fit, Law, Theory, TheoryRequest
from infalign_theory.empirical.fitting.tied_ranks import TiedRanks
from infalign_theory.empirical.fitting.tilt_fit import FREE, PlannedTilt, fit_tilt
from infalign_theory.errors import InfalignError, PrecisionError
from infalign_theory.kernels.jackknife import LEAST
from infalign_theory.policies.alignment import align
from infalign_theory.transforms.core import Transform
from infalign_theory.transforms.elementary import Identity, Log
from infalign_theory.transforms.exponential import Exponential

_STAND_INS = (-10.0, -5.0, 5.0, 10.0)
_ENOUGH = 5000  # prompts that choose a family
ENOUGH_BASE = 12  # samples a prompt, for a fit of discrete laws

Notes = tuple[str, ...]


def theory_of(ranks: TiedRanks, law: Law, request: TheoryRequest) -> tuple[Theory | None, Notes]:
    """The law expected of a policy, and what to know about how it was found.

    Without a transform the exponential of any exponent, the logarithm (Best-of-N distillation)
    and the identity are fitted and the best by their criterion is taken; where no exponent is
    determined, a few fixed ones stand in for it or none. Where nothing can be fitted there is no
    theory, and a note says why. A law given beforehand that cannot be is an error.
    """
    # a fit looks at where single samples of the policy rank among single samples of the base;
    # what inference then does to either side decides what is expected, never what is fitted
    if law == Law.DISCRETE and not ranks.usable.any():
        return None, (f"no prompt has {LEAST} base samples: no discrete law can be known",)
    if request.planned and request.transform is not None:
        planned, notes = _planned(ranks, law, request, request.transform)
        return _theory(ranks, law, request, planned, determined=True), notes
    few = ranks.spread_over(np.ones(ranks.prompts, dtype=bool), _ENOUGH)
    choice = _Choice(request.transform, None, determined=True)
    if request.transform is None:
        choice = _family(few, law, request.level)
    notes = ()
    if not choice.determined:
        notes = ("the samples do not determine an exponent: the best of a few laws was taken",)
    try:
        fit = choice.fit
        if fit is None or few is not ranks:
            fit = _fitted(ranks, law, choice.transform, request.level)
    except InfalignError as error:
        return None, (f"no law was fitted: {error}",)
    return _theory(ranks, law, request, fit, determined=choice.determined), notes


@dataclass(frozen=True)
class _Choice:
    """A family (None: the exponential of any exponent) and its fit, if it could be fitted.

    ``determined`` tells whether all exponents were tried, or the family named.
    """

    transform: Transform | None
    fit: Fit | None
    determined: bool


def _family(ranks: TiedRanks, law: Law, level: float) -> _Choice:
    """The best family by its criterion."""
    # the correction of a discrete law gives out for steep transforms on few base samples
    free = _attempt(ranks, law, None, level) if _enough(ranks, law) else None
    stand_ins: list[Transform] = []
    if free is None and _enough(ranks, law):
        steepest = _steepest(ranks, law)
        stand_ins = [Exponential(t) for t in _STAND_INS if abs(t) <= steepest]
    best = _Choice(None if free is not None else Identity(), free, determined=free is not None)
    for transform in chain((Log(), Identity()), stand_ins):
        found = _attempt(ranks, law, transform, level)
        if found is not None and (best.fit is None or found.criterion > best.fit.criterion):
            best = _Choice(transform, found, determined=free is not None)
    return best


def _enough(ranks: TiedRanks, law: Law) -> bool:
    """Whether an exponent can be fitted at all."""
    return law == Law.CONTINUOUS or bool(np.median(ranks.base_sizes) >= ENOUGH_BASE)


def _attempt(ranks: TiedRanks, law: Law, transform: Transform | None, level: float) -> Fit | None:
    try:
        return _fitted(ranks, law, transform, level)
    except InfalignError:
        return None


def _fitted(ranks: TiedRanks, law: Law, transform: Transform | None, level: float) -> Fit:
    """A law fitted to ranks; None is the exponential of any exponent."""
    if law == Law.CONTINUOUS:
        return fit_tilt(ranks.calibration, transform or FREE, level=level)
    fit = fit_discrete(ranks, transform, level=level)
    if transform is None and abs(fit.theta[1]) > _steepest(ranks, law):
        raise PrecisionError(
            f"an exponent of {fit.theta[1]:.3g} is too steep for the base samples there are; "
            "name the transform, or give more of them.",
            float(fit.theta[1]),
        )
    return fit


def _planned(
    ranks: TiedRanks, law: Law, request: TheoryRequest, transform: Transform
) -> tuple[Fit, Notes]:
    """The law that its maker names."""
    if law == Law.CONTINUOUS:
        policy = align(transform, beta=request.beta, kl=request.kl)
        return PlannedTilt(transform, policy, ranks.calibration), ()
    fit, doubt = planned_discrete(
        ranks, transform, beta=request.beta, kl=request.kl, level=request.level
    )
    return fit, () if doubt is None else (doubt,)


def _steepest(ranks: TiedRanks, law: Law) -> float:
    """The largest exponent worth fitting: a discrete law's correction is a series in t / K."""
    return float(np.median(ranks.base_sizes)) / 2 if law == Law.DISCRETE else LARGEST_T


def _theory(
    ranks: TiedRanks, law: Law, request: TheoryRequest, fit: Fit, *, determined: bool
) -> Theory:
    """Everything a law says about a policy."""
    expected, t = fit.expected(request.duels), fit.t
    return Theory(
        law=law,
        transform=fit.transform.name if t is None else _exponential_name(t.value),
        fitted=not request.planned,
        k=fit.k,
        t=t,
        kl=fit.kl,
        goodness=fit.goodness,
        shares=fit.shares,
        local=expected.local,
        influence=expected.influence,
        doubt=expected.doubt,
        base_samples=int(np.median(ranks.base_sizes)),
        prompts=int(np.count_nonzero(~np.isnan(expected.local[:, 0]))),
        determined=determined,
    )


def _exponential_name(t: float) -> str:
    return "identity" if t == 0.0 else f"exp:{t:.4g}"
