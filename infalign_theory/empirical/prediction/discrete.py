r"""Predictions where ties matter: each prompt's empirical law, ties and all, is a discrete base.

The row's numbers are exact for the laws as the scores give them. For the laws *behind* the scores
the win rate W(k) and KL(k) of every prompt are corrected by the jackknife, k is solved anew so
that the corrected mean KL is the budget, and with :math:`s = \bar W' / \overline{KL}'` the numbers
:math:`W_p - s (KL_p - \overline{KL})` of the prompts, independent of each other, carry the
uncertainty of prompts, of the base samples within them and of k.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from infalign_theory.comparison.choices import Choice
from infalign_theory.comparison.comparisons import short_of
from infalign_theory.empirical.prediction.results import PredictedRow
from infalign_theory.empirical.scores.groups import Groups
from infalign_theory.empirical.statistics.prompt_bases import (
    PromptBases,
    PromptOptima,
    PromptTilt,
    tilted,
)
from infalign_theory.empirical.statistics.thinning import ThinnedBases
from infalign_theory.empirical.statistics.ties import BaseLaw
from infalign_theory.empirical.statistics.uncertainty import mean_over_prompts, skewed_interval
from infalign_theory.errors import InfalignError
from infalign_theory.policies.bracketing import root_between
from infalign_theory.policies.families import solve
from infalign_theory.policies.scaling import scaled_beta
from infalign_theory.procedures import Procedure
from infalign_theory.transforms.core import Transform
from infalign_theory.typing import Array

# atoms of all copies of the jackknife: a tilt is one pass over them, an optimum a search in each
_MOST_ATOMS = 4_000_000
_MOST_ATOMS_OF_OPTIMA = 60_000
_NEARBY = 0.7  # of log k, in which the corrected budget is looked for
_STEP = 1e-3  # of log k, for slopes
_UNIT = (0.0, 1.0)

Ratios = Callable[[float], Array]
"""Log density ratios at every atom, for k = 1 / beta."""


@dataclass(frozen=True)
class Contest:
    """Base rewards and what inference does on the two sides."""

    rewards: Groups
    bases: PromptBases
    procedure: Procedure
    against: Procedure | None

    @property
    def optima(self) -> PromptOptima:
        """The prompts' optima of this contest."""
        return PromptOptima(self.bases, self.procedure, self.against)


def ratios_of(choice: Choice, contest: Contest, bases: PromptBases) -> Ratios:
    """How a choice tilts any bases, for every k."""
    if isinstance(choice, Transform):
        family = tilted(choice, bases)
        return lambda k: family.at(k, None).log_ratio
    ours = choice.procedure or contest.procedure
    theirs = contest.against if choice.procedure is None else choice.against_procedure
    optima = PromptOptima(bases, ours, theirs)
    return lambda k: optima.at(k) if k > 0.0 else np.zeros(bases.mass.size)


def trained_tilt(choice: Choice, contest: Contest, beta: float | None, kl: float) -> PromptTilt:
    """The policies that a run ends as, at one beta for all prompts or at a mean KL."""
    bases = contest.bases
    if isinstance(choice, Transform):
        family = tilted(choice, bases)
        return solve(family, kl) if beta is None else family.at(1.0 / beta, None)
    if beta is None:
        ours = choice.procedure or contest.procedure
        theirs = contest.against if choice.procedure is None else choice.against_procedure
        beta = PromptOptima(bases, ours, theirs).win_rates_at_kl(kl)[0]
    k = 1.0 / beta if 0.0 < beta < np.inf else 0.0
    return PromptTilt(bases, k, ratios_of(choice, contest, bases)(k))


def discrete_row(
    choice: Choice,
    contest: Contest,
    beta: float | None,
    kl: float,
    best: tuple[float, float] | None,
) -> PredictedRow:
    """One row; ``best`` is (beta, win rate) of the optimum at a budget, where that is asked."""
    tilt = trained_tilt(choice, contest, beta, kl)
    won = contest.bases.win_rates(tilt.log_ratio, contest.procedure, contest.against)
    mean = float(np.mean(won))
    spent = tilt.kl
    optimal = not isinstance(choice, Transform) and choice.procedure is None
    if optimal:
        # inside a jump of some prompt the budget is met on the concave hull
        mean, spent = (mean, spent) if best is None else (best[1], kl)
        top = mean
    else:
        top = (best or contest.optima.win_rates_at_kl(spent, saturated=True))[1]
    trainer_beta = 1.0 / tilt.k if tilt.k > 0.0 else np.inf
    target = None if beta is not None else kl
    corrected, ci = corrected_win_rate(choice, contest, tilt, target)
    plain = mean_over_prompts(won, bounds=_UNIT).ci
    scaled = None
    if isinstance(choice, Transform) and np.isfinite(trainer_beta):
        scaled = scaled_beta(choice, trainer_beta)
    return PredictedRow(
        transform=choice.name,
        procedure=contest.procedure.name,
        beta=float(trainer_beta),
        kl=spent,
        win_rate=mean,
        ci=_reaching(ci, plain, mean),
        optimal=top,
        regret=0.0 if optimal else short_of(top, mean),
        prompts=contest.bases.prompts,
        scaled_beta=scaled,
        law=BaseLaw.DISCRETE.value,
        corrected=corrected,
    )


def _reaching(
    ci: tuple[float, float] | None, plain: tuple[float, float] | None, value: float
) -> tuple[float, float] | None:
    """The interval, joined with that of the value itself where the value lies outside it."""
    if ci is None or plain is None:
        return None
    return (
        ci[0] if ci[0] < value else min(plain[0], value),
        ci[1] if value < ci[1] else max(plain[1], value),
    )


def corrected_win_rate(
    choice: Choice, contest: Contest, tilt: PromptTilt, kl: float | None
) -> tuple[float, tuple[float, float] | None]:
    """Mean win rate for the laws behind the scores, and its interval over prompts."""
    most = _MOST_ATOMS if isinstance(choice, Transform) else _MOST_ATOMS_OF_OPTIMA
    thinned = ThinnedBases.of(contest.rewards, most) if tilt.k > 0.0 else None
    found = None
    if thinned is not None:
        copies = ratios_of(choice, contest, thinned.bases)
        found = _influences(copies, thinned.bases, thinned.corrected, contest, tilt.k, kl)
    if found is None and tilt.k > 0.0:
        own = ratios_of(choice, contest, contest.bases)
        found = _influences(own, contest.bases, lambda values: values, contest, tilt.k, None)
    if found is None:
        found = contest.bases.win_rates(tilt.log_ratio, contest.procedure, contest.against)
    value = min(max(float(np.mean(found)), 0.0), 1.0)
    # a prompt that cannot spend its share of the budget stands far below the others
    return value, skewed_interval(found, bounds=_UNIT) if found.size > 1 else None


def _influences(
    ratios: Ratios,
    bases: PromptBases,
    corrected: Callable[[Array], Array],
    contest: Contest,
    k: float,
    kl: float | None,
) -> Array | None:
    """Win rate of every prompt less what its KL takes from the budget; None where unsolvable.

    With ``kl`` the corrected mean KL is brought to it; without, k stays as it is.
    """

    def spent(log_k: float) -> Array:
        return corrected(bases.kls(ratios(float(np.exp(log_k)))))

    def won(log_k: float) -> Array:
        ratio = ratios(float(np.exp(log_k)))
        return corrected(bases.win_rates(ratio, contest.procedure, contest.against))

    at = float(np.log(k))
    try:
        if kl is None:
            return won(at)
        ends = at - _NEARBY, at + _NEARBY
        excess = [float(np.mean(spent(end))) - kl for end in ends]
        if not excess[0] < 0.0 < excess[1]:
            return None
        at = root_between(lambda x: float(np.mean(spent(x))) - kl, *ends, 1e-9)
        rise_won = float(np.mean(won(at + _STEP) - won(at - _STEP)))
        rise_spent = float(np.mean(spent(at + _STEP) - spent(at - _STEP)))
        values = won(at) - (rise_won / rise_spent if rise_spent > 0.0 else 0.0) * (spent(at) - kl)
    except InfalignError:
        return None
    return values if np.isfinite(values).all() else None
