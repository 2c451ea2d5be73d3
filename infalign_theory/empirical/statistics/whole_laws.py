"""Estimators for procedures that act on the whole law: soft best-of-N and rewind-and-repeat."""

from __future__ import annotations

import numpy as np

from infalign_theory.empirical.scores.groups import Groups, check_sorted
from infalign_theory.empirical.statistics.calibration import calibrate
from infalign_theory.empirical.statistics.choices import rewind_chances, soft_chances
from infalign_theory.errors import InputError
from infalign_theory.procedures.laws import LawProcedure
from infalign_theory.procedures.rewind import Rewind
from infalign_theory.procedures.soft import SoftBestOfN
from infalign_theory.quadrature.points import Points
from infalign_theory.typing import Array

_LONGEST = 5000.0  # range of log weights that is integrated over


def answer_chances(u: Array, procedure: LawProcedure) -> Array:
    r"""Chance that each of a prompt's m samples is the answer of one use of the procedure.

    The average over all subsets of N samples, in all orders: unbiased for the law behind the
    samples where u is their true calibrated reward. Soft best-of-N chooses i with chance
    :math:`E_S\, w_i / \sum_{j \in S} w_j`.

    Parameters
    ----------
    u : ndarray, shape (m,)
        Calibrated rewards, m at least N.
    procedure : LawProcedure
        ``soft:N@K`` or ``rewind:N@C``.

    Returns
    -------
    ndarray, shape (m,)
        Sums to 1.

    Raises
    ------
    InputError
        For other procedures, and for weights that refuse some rewards.

    Examples
    --------
    >>> answer_chances(np.array([0.1, 0.5, 0.9]), Rewind(2, 0.8)).round(4).tolist()
    [0.1667, 0.1667, 0.6667]
    """
    if isinstance(procedure, Rewind):
        return rewind_chances(u >= procedure.threshold, procedure.n)
    if not isinstance(procedure, SoftBestOfN):
        raise InputError(
            f"procedure {procedure.name} has no estimator; give soft:N@K or rewind:N@C."
        )
    inner = np.clip(u, 2.0**-53, 1.0 - 2.0**-53)
    log_weights = procedure.weight.log(Points.from_pair(inner, 1.0 - inner))
    if not np.isfinite(log_weights).all() or np.ptp(log_weights) > _LONGEST:
        raise InputError(
            f"procedure {procedure.name}: log weights range over more than {_LONGEST:g}; it is "
            f"bon:{procedure.n} by that transform: use that."
        )
    return soft_chances(log_weights - log_weights.max(), procedure.n)


def law_win_rates(
    aligned: Groups,
    base: Groups,
    procedure: LawProcedure,
    against: LawProcedure,
    rewards: tuple[Array, Array] | None = None,
) -> Array:
    """Win rate of each prompt where procedures act on the whole law.

    Parameters
    ----------
    aligned, base : Groups
        Sorted scores of the same prompts in the same order.
    procedure, against : LawProcedure
    rewards : pair of ndarray, optional
        Calibrated rewards of the aligned and of the base samples, where they are known: then the
        estimate is unbiased. By default they are ranks among the base samples of the prompt, ties
        half, which leaves a bias of the order 1/m in m base samples.

    Returns
    -------
    ndarray, shape (P,)
        NaN with fewer than N samples on a side.
    """
    check_sorted("scores", aligned, base)
    sides = (aligned, base)
    known = rewards or (calibrate(aligned, base).rewards, calibrate(base, base).rewards)
    out = np.full(aligned.prompts, np.nan)
    needed = [max(getattr(used, "n", 1), 1) for used in (procedure, against)]
    enough = (aligned.sizes >= needed[0]) & (base.sizes >= needed[1])
    for prompt in np.flatnonzero(enough):
        scores, chances = [], []
        for groups, u, used in zip(sides, known, (procedure, against), strict=True):
            part = slice(int(groups.offsets[prompt]), int(groups.offsets[prompt + 1]))
            scores.append(groups.values[part])
            chances.append(answer_chances(u[part], used))
        out[prompt] = _beaten(scores[0], chances[0], scores[1], chances[1])
    return out


def _beaten(ours: Array, p: Array, theirs: Array, q: Array) -> float:
    """P(our answer > theirs) + P(equal) / 2; scores sorted."""
    below = np.concatenate([[0.0], np.cumsum(q)])
    less = below[np.searchsorted(theirs, ours, side="left")]
    upto = below[np.searchsorted(theirs, ours, side="right")]
    return float(np.clip(p @ (less + upto) / 2.0, 0.0, 1.0))
