"""Whether prompts were tilted by different strengths, and what a departure from a law is of."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from infalign_theory.empirical.fitting.laws import Law, Theory
from infalign_theory.empirical.fitting.spread import SpreadFit, spread_or_none
from infalign_theory.empirical.statistics.calibration import Calibration
from infalign_theory.empirical.statistics.duels import Duel
from infalign_theory.empirical.statistics.pairs_over_prompts import PairMoments
from infalign_theory.empirical.validation.agreement import FEWEST_PROMPTS, Agreement, agreement
from infalign_theory.empirical.validation.departures import Departure, Spread
from infalign_theory.empirical.validation.predictions import Prediction
from infalign_theory.empirical.validation.results import WinRate
from infalign_theory.errors import InfalignError
from infalign_theory.transforms.core import Transform
from infalign_theory.transforms.names import as_transform
from infalign_theory.typing import Array

_SIGNIFICANT = 0.01


def spread_over_prompts(
    ranks: Calibration,
    theory: Theory,
    transform: Transform | None,
    found: Agreement,
    rows: Sequence[WinRate],
    *,
    duels: Sequence[Duel],
    log_ratios: tuple[Array, Array],
    predicted: Callable[[Theory, WinRate], Prediction],
) -> Spread | None:
    """How prompts differ; None on a discrete base, and where there are too few to tell.

    ``duels`` are those of the theory, in its order; ``log_ratios`` each prompt's mean
    log-ratio and the variance of that mean; ``predicted`` compares the win rates observed in
    the duel of a row with those of another theory.
    """
    moments = PairMoments.of(ranks)
    if theory.law == Law.DISCRETE or moments.prompts < FEWEST_PROMPTS:
        return None
    told = moments.p_value < _SIGNIFICANT
    fit = None
    if told or found.departs:
        chosen = _transform(theory, transform)
        fit = None if chosen is None else spread_or_none(ranks, chosen, duels, moments)
    departure = Departure.NONE
    if found.departs:
        departure = _kind(theory, fit, rows, predicted, told=told)
    return Spread(
        win_rate_sd=float(np.sqrt(max(moments.variance, 0.0))),
        p_value=moments.p_value,
        told=told,
        k=None if fit is None else fit.k,
        log_sd=None if fit is None else fit.log_sd,
        kl=None if fit is None else fit.kl,
        kl_sd=None if fit is None else fit.kl_sd,
        measured_kl_sd=_measured(*log_ratios),
        departure=departure,
    )


def _transform(theory: Theory, transform: Transform | None) -> Transform | None:
    if transform is not None:
        return transform
    try:
        return as_transform(theory.transform)
    except InfalignError:
        return None


def _kind(
    theory: Theory,
    fit: SpreadFit | None,
    rows: Sequence[WinRate],
    predicted: Callable[[Theory, WinRate], Prediction],
    *,
    told: bool,
) -> Departure:
    """What a law of k over prompts makes of the departure."""
    if fit is None:
        return Departure.SHAPE
    spread = replace(
        theory,
        fitted=True,
        goodness=fit.goodness,
        local=fit.expectation.local,
        influence=fit.expectation.influence,
        doubt=fit.expectation.doubt,
    )
    again = []
    for row in rows:
        law = predicted(spread, row)
        again.append(replace(row, predicted=law.value, predicted_ci=law.ci, z=law.z))
    if agreement(again, spread).departs:
        return Departure.SHAPE
    return Departure.SPREAD if told and fit.log_sd > 0.0 else Departure.STRENGTH


def _measured(means: Array, variances: Array) -> float | None:
    """Standard deviation over prompts of the KL, freed of the noise of each mean."""
    both = ~np.isnan(means) & ~np.isnan(variances)
    if np.count_nonzero(both) < FEWEST_PROMPTS:
        return None
    left = float(np.var(means[both], ddof=1) - variances[both].mean())
    return float(np.sqrt(max(left, 0.0)))
