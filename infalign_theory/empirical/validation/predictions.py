"""What a law predicts for a procedure, and how far the observed win rate is from it."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from infalign_theory.empirical.fitting.laws import Law, Theory
from infalign_theory.empirical.statistics.uncertainty import student_interval
from infalign_theory.typing import Array

# a fit can match an estimate by construction; what is left is then measured in this part of the
# estimate's own error. With few grades all win rates are nearly one number, which the fit matches:
# what is left is of second order, and larger than influence functions say
_LEAST_ERROR = {Law.CONTINUOUS: 0.1, Law.DISCRETE: 0.3}
# of the largest error the law allows: well below the real one, which is half of it or more
_LEAST_SHARE = 0.3


class Prediction(NamedTuple):
    """A predicted win rate, its interval and z of the difference; None where there is none."""

    value: float | None
    ci: tuple[float, float] | None
    z: float | None


def predicted(rates: Array, theory: Theory, at: int, blocks: float, level: float) -> Prediction:
    """Prediction on the prompts observed, its interval, and z of the difference.

    ``at`` is the procedure's place in the theory, ``blocks`` the independent comparisons that a
    prompt holds. With both means written as sums of independent contributions of prompts, fitted
    parameters included, their difference has the error of its own contributions. Where nearly all
    prompts agree that error is no estimate: it is kept above a share of what the law itself
    allows, W (1 - W) over the number of independent comparisons (Hoeffding 1963, section 5). What
    few base samples leave open of the law itself is added to it.
    """
    local, through = theory.local[:, at], theory.influence[:, at]
    both = ~np.isnan(rates) & ~np.isnan(local)
    count = int(np.count_nonzero(both))
    if count < 2:
        return Prediction(None, None, None)
    used = both | (through != 0.0)
    total = int(np.count_nonzero(used))
    mean = float(np.clip(local[both].mean(), 0.0, 1.0))
    gap = float(rates[both].mean()) - mean

    def error(values: Array, centre: float, sign: float) -> float:
        each = np.where(both, (values - centre) * (total / count), 0.0) + sign * through
        return float(np.sqrt(np.sum(each[used] ** 2) / (total * (total - 1.0))))

    filled = np.where(both, rates, 0.0), np.where(both, local, 0.0)
    doubt = float(theory.doubt[at])
    wobble = float(np.hypot(error(filled[1], mean, 1.0), doubt))
    interval = student_interval(mean, wobble, total, level, (0.0, 1.0)) if wobble > 0.0 else None
    spread = error(filled[0] - filled[1], gap, -1.0)
    own = float(np.std(rates[both], ddof=1) / np.sqrt(count))
    own = max(own, _LEAST_SHARE * np.sqrt(mean * (1.0 - mean) / (blocks * count)))
    known = theory.law == Law.CONTINUOUS and not theory.fitted
    spread = float(np.hypot(max(spread, own if known else _LEAST_ERROR[theory.law] * own), doubt))
    return Prediction(mean, interval, gap / spread if spread > 0.0 else None)
