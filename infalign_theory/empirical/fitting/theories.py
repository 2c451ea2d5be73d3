"""What theory expects of a policy: the law fitted to its ranks, or the one its maker names.

Four cases, one result: a tilt fitted or given, of a continuous base or, with frequent ties, of
each prompt's own discrete law.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from scipy.optimize import brentq

from infalign_theory.empirical.fitting.discrete_fit import (
    DiscreteFit,
    TiedRanks,
    fit_discrete,
    fixed_family,
)
from infalign_theory.empirical.fitting.families import LARGEST_T
from infalign_theory.empirical.fitting.tilt_fit import (
    FREE,
    TiltFit,
    exponential_k,
    fit_tilt,
    judge_tilt,
)
from infalign_theory.empirical.scores.groups import Groups
from infalign_theory.empirical.statistics.calibration import Calibration
from infalign_theory.empirical.statistics.prompt_bases import PromptBases, tilted
from infalign_theory.empirical.statistics.uncertainty import Estimate, mean_over_prompts
from infalign_theory.errors import InfalignError, PrecisionError
from infalign_theory.kernels.jackknife import LEAST
from infalign_theory.policies.alignment import align
from infalign_theory.policies.families import solve
from infalign_theory.policies.win_rates import win_rate
from infalign_theory.transforms.core import Transform
from infalign_theory.transforms.elementary import Identity, Log
from infalign_theory.transforms.exponential import Exponential
from infalign_theory.typing import Array, BoolArray

CONTINUOUS, DISCRETE = "continuous", "discrete"
BINS = 20
_STAND_INS = (-10.0, -5.0, 5.0, 10.0)
_ENOUGH = 5000  # prompts that choose a family
_TRIED = 3  # laws, where the exponent is determined
ENOUGH_BASE = 12  # samples a prompt, for a fit of discrete laws


@dataclass(frozen=True)
class Goodness:
    """Test of the calibrated law: statistic, its degrees of freedom and p-value."""

    statistic: float
    df: float
    p_value: float


@dataclass(frozen=True)
class Shares:
    """Shares of ranks between ``edges``: observed (means over prompts) and expected."""

    edges: Array
    observed: Array
    stderr: Array
    expected: Array


@dataclass(frozen=True)
class Theory:
    """A law and what it says about every prompt.

    ``law`` is "continuous" or "discrete" (each prompt's own), ``fitted`` whether its parameters
    come from the samples. ``local`` and ``influence``, shape (P, R), are the expected win rate of
    each prompt, NaN where it has none, and its influence on the means through the fit.
    """

    law: str
    transform: str
    fitted: bool
    k: Estimate
    t: Estimate | None
    kl: Estimate
    goodness: Goodness | None
    shares: Shares | None = field(repr=False)
    local: Array = field(repr=False)
    influence: Array = field(repr=False)

    @property
    def beta(self) -> float:
        """1/k; infinite where k is not positive, which no regularised training gives."""
        return 1.0 / self.k.value if self.k.value > 0.0 else float("inf")


@dataclass(frozen=True)
class Ask:
    """What is wanted of theory: a transform (None: fit the exponent too) and beta or kl, if any."""

    transform: Transform | None
    beta: float | None
    kl: float | None
    procedures: tuple[str, ...]
    level: float

    @property
    def given(self) -> bool:
        """Whether the law is named beforehand, nothing left to fit."""
        return self.beta is not None or self.kl is not None


def theory_of(ranks: TiedRanks, law: str, ask: Ask) -> tuple[Theory | None, tuple[str, ...]]:
    """The law expected of a policy, and what to know about how it was found.

    Without a transform the exponential of any exponent, the logarithm (Best-of-N distillation)
    and the identity are fitted and the best by their criterion is taken; where no exponent is
    determined, a few fixed ones stand in for it or none. Where nothing can be fitted there is no
    theory, and a note says why. A law given beforehand that cannot be is an error.
    """
    build = _continuous if law == CONTINUOUS else _discrete
    if law == DISCRETE and not ranks.usable.any():
        return None, (f"no prompt has {LEAST} base samples: no discrete law can be known",)
    if ask.given:
        return build(ranks, ask), ()
    chosen, fit, notes = ask.transform, None, tuple[str, ...]()
    some = _selection(ranks)
    if chosen is None:
        chosen, fit, notes = _family(some, law, ask.level)
    try:
        if fit is None or some is not ranks:
            fit = _fitted(ranks, law, chosen, ask.level)
    except InfalignError as error:
        return None, (f"no law was fitted: {error}",)
    return build(ranks, replace(ask, transform=chosen), fit), notes


def _family(
    ranks: TiedRanks, law: str, level: float
) -> tuple[Transform | None, TiltFit | DiscreteFit | None, tuple[str, ...]]:
    """The best family by its criterion and its fit; None is the exponential of any exponent."""
    candidates: list[Transform | None] = [None, Log(), Identity()]
    # the correction of a discrete law gives out for steep transforms on few base samples
    if law == DISCRETE and np.median(ranks.base_sizes) < ENOUGH_BASE:
        candidates = candidates[1:]
    best: Transform | None = Identity()
    fit: TiltFit | DiscreteFit | None = None
    for transform in candidates:
        try:
            found = _fitted(ranks, law, transform, level)
        except InfalignError:
            if transform is None:
                steepest = _steepest(ranks, law)
                candidates += [Exponential(t) for t in _STAND_INS if abs(t) <= steepest]
            continue
        if fit is None or found.criterion > fit.criterion:
            best, fit = transform, found
    notes: tuple[str, ...] = ()
    if len(candidates) != _TRIED:
        notes = ("the samples do not determine an exponent: the best of a few laws was taken",)
    return best, fit, notes


def _selection(ranks: TiedRanks) -> TiedRanks:
    """As many prompts as it takes to choose a family, evenly selected."""
    if ranks.prompts <= _ENOUGH:
        return ranks
    chosen = np.zeros(ranks.prompts, dtype=bool)
    chosen[np.linspace(0, ranks.prompts - 1, _ENOUGH).astype(int)] = True
    return ranks.only(chosen)


def _fitted(
    ranks: TiedRanks, law: str, transform: Transform | None, level: float
) -> TiltFit | DiscreteFit:
    if law == DISCRETE:
        fit = fit_discrete(ranks, transform, level=level)
        if transform is None and abs(fit.theta[1]) > _steepest(ranks, law):
            raise PrecisionError(
                f"an exponent of {fit.theta[1]:.3g} is too steep for the base samples there are; "
                "name the transform, or give more of them.",
                float(fit.theta[1]),
            )
        return fit
    return fit_tilt(calibration_of(ranks), transform or FREE, level=level)


def _steepest(ranks: TiedRanks, law: str) -> float:
    """The largest exponent worth fitting: a discrete law's correction is a series in t / K."""
    return float(np.median(ranks.base_sizes)) / 2 if law == DISCRETE else LARGEST_T


def calibration_of(ranks: TiedRanks) -> Calibration:
    """The same ranks without the base's own ties."""
    held = Groups(np.zeros(ranks.below.size), ranks.offsets)
    return Calibration(ranks.below, ranks.equal, held, ranks.base_sizes)


def _continuous(ranks: TiedRanks, ask: Ask, fit: Any = None) -> Theory:
    calibration = calibration_of(ranks)
    usable = (np.diff(ranks.offsets) > 0) & (ranks.base_sizes > 0)
    shape = (ranks.prompts, len(ask.procedures))
    influence = np.zeros(shape)
    if ask.given and ask.transform is not None:
        policy = align(ask.transform, beta=ask.beta, kl=ask.kl)
        rates = [win_rate(policy, name) for name in ask.procedures]
        test = judge_tilt(calibration, ask.transform, 1.0 / policy.beta)
        name, k, t, kl = ask.transform.name, _known(1.0 / policy.beta), None, _known(policy.kl)
    else:
        rates = [fit.win_rate(name).value for name in ask.procedures]
        for i, procedure in enumerate(ask.procedures):
            influence[usable, i] = fit.influence(procedure)
        test, k, t, kl = fit.goodness, fit.k, fit.t, fit.kl
        name = fit.transform.name if t is None else _exponential_name(t.value)
    local = np.where(usable[:, None], np.array(rates), np.nan)
    goodness, shares = None, None
    if test is not None:
        goodness = Goodness(test.statistic, test.df, test.p_value)
        shares = Shares(test.edges, test.observed, test.stderr, test.expected)
    return Theory(CONTINUOUS, name, not ask.given, k, t, kl, goodness, shares, local, influence)


def _discrete(ranks: TiedRanks, ask: Ask, fit: Any = None) -> Theory:
    fit = fit or _given(ranks, ask)
    local, influence = fit.outcomes(ask.procedures)
    usable = ranks.usable
    spent = mean_over_prompts((local + influence)[usable, 0], level=ask.level, bounds=(0.0, np.inf))
    spent = replace(spent, value=max(spent.value, 0.0))  # a correction may overshoot
    t = None
    if ask.transform is None:
        t = fit.parameter(1, bounds=(-LARGEST_T, LARGEST_T))
        k = exponential_k(fit.theta, fit.covariance, fit.prompts, t.excluded, ask.level)
        name = _exponential_name(t.value)
    else:
        k, name = fit.parameter(0, fit.scale), ask.transform.name
    observed = calibration_of(ranks).shares(_bins(ranks))[usable]
    error = observed.std(axis=0, ddof=1) / np.sqrt(len(observed))
    edges = np.linspace(0.0, 1.0, observed.shape[1] + 1)
    shares = Shares(edges, observed.mean(axis=0), error, fit.shares(observed.shape[1]))
    test = fit.goodness()
    return Theory(
        DISCRETE, name, not ask.given, _known(k.value) if ask.given else k, t, spent,
        None if test is None else Goodness(*test), shares, local[:, 1:], influence[:, 1:],
    )  # fmt: skip


def _given(ranks: TiedRanks, ask: Ask) -> DiscreteFit:
    """The tilt of the prompts' laws that its maker names, nothing fitted."""
    assert ask.transform is not None
    family, size = fixed_family(ask.transform, ranks.table[1])
    influence = np.zeros((int(np.count_nonzero(ranks.usable)), 1))

    def at(k: float) -> DiscreteFit:
        return DiscreteFit(
            ranks, family, np.array([k * size]), influence, size, np.nan, np.nan, ask.level
        )

    if ask.beta is not None:
        return at(1.0 / ask.beta)
    nats = float(ask.kl or 0.0)
    if nats == 0.0:
        return at(0.0)
    # the plug-in laws tell what can be spent at all; the corrected mean KL is then met
    near = solve(tilted(ask.transform, laws_of(ranks, ranks.usable)), nats).k

    def excess(log_k: float) -> float:
        spent = ranks.outcomes(at(float(np.exp(log_k))).eta(), ())[ranks.usable, 0]
        return float(spent.mean()) - nats

    ends = np.log(near) - 1.5, np.log(near) + 1.5
    if excess(ends[0]) >= 0.0 or excess(ends[1]) <= 0.0:
        return at(near)
    return at(float(np.exp(brentq(excess, *ends, xtol=1e-10))))


def laws_of(ranks: TiedRanks, chosen: BoolArray) -> PromptBases:
    """The empirical laws of the base on some prompts."""
    each = np.diff(ranks.atoms)
    kept = np.repeat(chosen, each)
    mass = (ranks.counts / np.repeat(ranks.base_sizes, each))[kept]
    return PromptBases(Groups(mass, np.concatenate([[0], np.cumsum(each[chosen])])))


def _bins(ranks: TiedRanks) -> int:
    return int(min(BINS, ranks.base_sizes.max() + 1))


def _known(value: float) -> Estimate:
    """A number without uncertainty."""
    return Estimate(float(value), None, None, 0, 0)


def _exponential_name(t: float) -> str:
    return "identity" if t == 0.0 else f"exp:{t:.4g}"
