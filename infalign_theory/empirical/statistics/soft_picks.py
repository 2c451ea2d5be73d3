"""Truth of what soft best-of-N picks, from a prompt's own samples."""

from __future__ import annotations

import numpy as np

from infalign_theory.empirical.statistics.truth import TruthPairs
from infalign_theory.errors import PrecisionError
from infalign_theory.kernels import races
from infalign_theory.procedures.weights import Weight
from infalign_theory.typing import Array

_WIDEST = 1e4  # range of log weights within a prompt that is integrated over


def soft_picks(pairs: TruthPairs, weight: Weight, most: int) -> tuple[Array, Array]:
    r"""Mean proxy and truth of the pick of soft best-of-N for N = 1 ... most, shape (P, most) both.

    One of N samples is chosen with a chance proportional to its weight w(u), u its rank among all
    samples of the prompt, ties half. The mean is over all size-N subsets, a U-statistic given the
    weights:

    .. math:: \binom{m}{N}^{-1} \sum_{|S| = N} \frac{\sum_{j \in S} w_j y_j}{\sum_{j \in S} w_j}

    by the integral over time of exponential clocks of rates w. Prompts with fewer than ``most``
    samples are NaN beyond their own number.

    Examples
    --------
    >>> from infalign_theory.empirical.scores.groups import Groups
    >>> from infalign_theory.transforms.elementary import Identity
    >>> pairs = TruthPairs.of(Groups.stack([[1, 2, 3]]), [0, 1, 0])
    >>> soft_picks(pairs, Weight(2.0, Identity()), 3)[1].round(6).tolist()
    [[0.333333, 0.333333, 0.288921]]
    """
    log_weights = weight.log(pairs.bases.points)[pairs.atom]
    proxy, truth = (np.full((pairs.proxy.prompts, most), np.nan) for _ in range(2))
    values = np.stack([pairs.proxy.values, pairs.truth])
    edges = zip(pairs.proxy.offsets[:-1].tolist(), pairs.proxy.offsets[1:].tolist(), strict=True)
    for at, (first, last) in enumerate(edges):
        here = log_weights[first:last]
        spread = float(np.ptp(here))
        if not spread <= _WIDEST:
            raise PrecisionError(
                f"log weights exp({weight.name}) range over {spread:.3g} within a prompt, too far "
                f"to be integrated (at most {_WIDEST:g}); take best-of-N, or a smaller strength.",
                float("nan"),
            )
        found = np.empty((2, min(most, last - first)))
        races.subset_winners(here, np.ascontiguousarray(values[:, first:last]), found)
        proxy[at, : found.shape[1]], truth[at, : found.shape[1]] = found
    return proxy, truth
