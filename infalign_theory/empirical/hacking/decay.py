"""Does the proxy still tell good from bad on a trained policy's own samples?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from infalign_theory.empirical.hacking.agreement import weighted_auroc
from infalign_theory.empirical.hacking.samples import Pairs
from infalign_theory.empirical.statistics.prompt_bases import tilted
from infalign_theory.empirical.statistics.uncertainty import (
    Estimate,
    mean_over_prompts,
    paired_difference,
)
from infalign_theory.errors import InfalignError
from infalign_theory.policies.families import solve
from infalign_theory.transforms.core import Transform
from infalign_theory.typing import Array, IntArray

_CLOSE = 1e-6
_FEWEST = 2  # prompts


@dataclass(frozen=True)
class Decay:
    """Within-prompt AUROC of the proxy on the base's and on a trained policy's own samples.

    Prompts count where both have samples of different truth.

    Attributes
    ----------
    policy : str
    base, tuned, change : Estimate
        ``change`` is tuned minus base, paired by prompt.
    expected : Estimate or None
        What selection alone leaves: the base's samples reweighted by the tilt of the first
        transform under which they rank as high as the policy's. None where no tilt does.
    unexplained : Estimate or None
        Tuned minus expected, paired: what the proxy lost because the answers changed in kind.
    reward, truth : tuple of float
        Mean proxy and mean truth, base then tuned, over the prompts of both.
    """

    policy: str
    base: Estimate
    tuned: Estimate
    change: Estimate
    expected: Estimate | None
    unexplained: Estimate | None
    reward: tuple[float, float]
    truth: tuple[float, float]


def decays(
    base: Pairs, trained: Mapping[str, Pairs], transform: Transform, level: float = 0.95
) -> tuple[tuple[Decay, ...], tuple[str, ...]]:
    """The decay of each trained policy, and notes on those that cannot be judged."""
    found, notes = [], []
    for name, tuned in trained.items():
        one = _decay(base, name, tuned, transform, level)
        if one is None:
            notes.append(
                f"{name}: fewer than {_FEWEST} prompts have samples of different truth of both "
                "policies; the proxy cannot be judged on its samples"
            )
        else:
            found.append(one)
    return tuple(found), tuple(notes)


def _decay(
    base: Pairs, name: str, tuned: Pairs, transform: Transform, level: float
) -> Decay | None:
    ours, theirs = _shared(base, tuned)
    if not ours.size:
        return None
    base, tuned = base.only(ours), tuned.only(theirs)
    at_base, at_tuned = (_aurocs(one) for one in (base, tuned))
    both = ~np.isnan(at_base) & ~np.isnan(at_tuned)
    if np.count_nonzero(both) < _FEWEST:
        return None
    expected = _expected(base, tuned, transform)
    judged, beyond = None, None
    if expected is not None and np.count_nonzero(both & ~np.isnan(expected)) >= _FEWEST:
        kept = np.where(both, expected, np.nan)
        judged = mean_over_prompts(kept, level=level, bounds=(0.0, 1.0))
        beyond = paired_difference(np.where(both, at_tuned, np.nan), kept, level=level)
    return Decay(
        policy=name,
        base=mean_over_prompts(at_base[both], level=level, bounds=(0.0, 1.0)),
        tuned=mean_over_prompts(at_tuned[both], level=level, bounds=(0.0, 1.0)),
        change=paired_difference(at_tuned[both], at_base[both], level=level),
        expected=judged,
        unexplained=beyond,
        reward=_means(base.proxy.values, tuned.proxy.values, base, tuned),
        truth=_means(base.truth, tuned.truth, base, tuned),
    )


def _shared(base: Pairs, tuned: Pairs) -> tuple[IntArray, IntArray]:
    """Positions of the prompts of both."""
    there = {prompt: at for at, prompt in enumerate(tuned.prompts)}
    both = [(i, there[prompt]) for i, prompt in enumerate(base.prompts) if prompt in there]
    ours, theirs = np.array(both, dtype=np.intp).reshape(-1, 2).T
    return ours, theirs


def _means(ours: Array, theirs: Array, base: Pairs, tuned: Pairs) -> tuple[float, float]:
    return float(base.proxy.means(ours).mean()), float(tuned.proxy.means(theirs).mean())


def _aurocs(pairs: Pairs, weights: Array | None = None) -> Array:
    each = np.ones(pairs.truth.size) if weights is None else weights
    cuts = pairs.proxy.offsets[1:-1]
    parts = (np.split(x, cuts) for x in (pairs.proxy.values, pairs.truth, each))
    return np.array([weighted_auroc(*part) for part in zip(*parts, strict=True)])


def _expected(base: Pairs, tuned: Pairs, transform: Transform) -> Array | None:
    """AUROC of each prompt's base samples under the tilt that ranks as high as the policy."""
    samples = base.samples
    goal = float(np.mean(_ranks(base, tuned)))
    if goal <= 0.5 + _CLOSE:
        return None
    family = tilted(transform, samples.bases)
    low, high, tilt = 0.0, 0.98 * family.limit, None
    try:
        for _ in range(60):
            middle = (low + high) / 2.0
            tilt = solve(family, middle, tilt, 0.0 if tilt is None else tilt.k)
            mass = samples.bases.mass * np.exp(tilt.log_ratio)
            rank = float(np.mean(samples.bases.sums(mass * samples.bases.points.u)))
            if abs(rank - goal) < _CLOSE:
                break
            low, high = (middle, high) if rank < goal else (low, middle)
        else:
            return None
    except InfalignError:
        return None
    weights = samples.shared(samples.bases.mass * np.exp(tilt.log_ratio))
    return _aurocs(base, weights)


def _ranks(base: Pairs, tuned: Pairs) -> Array:
    """Mean over each prompt's tuned samples of their rank among the base's, ties half."""
    out = []
    for p, (a, b) in enumerate(zip(tuned.proxy.offsets[:-1], tuned.proxy.offsets[1:], strict=True)):
        own = base.proxy.values[base.proxy.offsets[p] : base.proxy.offsets[p + 1]]
        x = tuned.proxy.values[a:b]
        below = np.searchsorted(own, x, side="left") + np.searchsorted(own, x, side="right")
        out.append(float(below.mean()) / (2.0 * own.size))
    return np.array(out)
