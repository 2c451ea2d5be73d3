"""Truth along a tilt of every prompt's own samples."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from infalign_theory.empirical.statistics.prompt_bases import PromptTilt, tilted
from infalign_theory.empirical.statistics.truth import FEWEST_EFFECTIVE, TruthPairs
from infalign_theory.errors import InputError
from infalign_theory.policies.families import solve
from infalign_theory.procedures import Standard
from infalign_theory.quadrature.points import Points
from infalign_theory.transforms.core import Transform
from infalign_theory.typing import Array

_SMALLEST, _LARGEST, _POINTS = 0.01, 12.0, 40
_CLOSEST = 0.98  # of the largest KL that the samples can spend


def slopes(pairs: TruthPairs, transform: Transform, tilt: PromptTilt) -> Array:
    """d truth / d log k of each prompt's *population*, to first order in 1 / samples.

    It is the mean of h(u) = f (log f + const) times the truth. Ranks among m samples scatter
    around u, so that h at a sample's rank has mean h + [h' (1/2 - u) + h'' u (1 - u) / 2] / m
    (less for ties); that bias, which delays the turn, is taken off.
    """
    bases = pairs.bases
    u = bases.points.u
    step = np.minimum(u, 1.0 - u) / 4.0
    mass = bases.mass * np.exp(tilt.log_ratio)
    mean = bases.spread_out(bases.sums(mass * np.where(mass > 0.0, tilt.log_ratio, 0.0)))

    def weight(at: Array) -> Array:
        change = transform.changes(Points.from_pair(at, 1.0 - at), bases.points)
        exponent = tilt.log_ratio + tilt.k * change
        return np.exp(exponent) * np.where(exponent > -700.0, exponent - mean, 0.0)

    with np.errstate(all="ignore"):
        below, here, above = (weight(at) for at in (u - step, u, u + step))
    first = (above - below) / (2.0 * step)
    second = (above - 2.0 * here + below) / step**2
    samples = bases.spread_out(bases.sums(pairs.samples))
    scatter = u * (1.0 - u) - bases.mass / 4.0  # a tie's rank is its middle
    bias = (first * (0.5 - u) + second * scatter / 2.0) / samples
    # a first-order correction: where it is not small there is nothing to correct by
    bias = np.clip(bias, -np.abs(here) / 2.0, np.abs(here) / 2.0)
    centred = pairs.atom_truth - bases.spread_out(bases.sums(bases.mass * pairs.atom_truth))
    return bases.sums(bases.mass * (here - bias) * centred)


@dataclass(frozen=True)
class Path:
    """One transform pushed from the base to where the samples end.

    Attributes
    ----------
    kl : ndarray, shape (G,)
        Mean KL over prompts, nats.
    truths, slopes : ndarray, shape (P, G)
        Of each prompt: mean truth of its tilted samples, and its slope in log k.
    log_k : ndarray, shape (G,)
    limited_by : str
        Why it ends where it ends.
    """

    transform: str
    kl: Array
    truths: Array
    slopes: Array
    log_k: Array
    limited_by: str

    @property
    def peak(self) -> float:
        """KL at which the slopes, added up, are highest."""
        mean = self.slopes.mean(axis=0)
        climbed = np.cumsum((mean[1:] + mean[:-1]) / 2.0 * np.diff(self.log_k))
        return float(self.kl[int(np.argmax(np.append(0.0, climbed)))])


def path(pairs: TruthPairs, transform: Transform) -> Path:
    """Truth along a transform, up to the KL at which too few samples carry the tilted law."""
    family = tilted(transform, pairs.bases)
    largest = min(_LARGEST, _CLOSEST * family.limit)
    if largest <= _SMALLEST:
        raise InputError(
            f"transform {transform.name} can spend {family.limit:.3g} nats on these samples; the "
            "proxy hardly tells them apart: give more samples a prompt, or a finer proxy."
        )
    kl: list[float] = []
    truths, rates, log_k = [], [], []
    limited_by = f"{largest:.3g} nats, about the most these samples can spend"
    tilt: PromptTilt | None = None
    for nats in np.linspace(np.sqrt(_SMALLEST), np.sqrt(largest), _POINTS) ** 2:
        tilt = solve(family, float(nats), tilt, 0.0 if tilt is None else tilt.k)
        if pairs.carrying(tilt.log_ratio) < FEWEST_EFFECTIVE:
            limited_by = (
                f"beyond {kl[-1] if kl else 0.0:.2g} nats fewer than {FEWEST_EFFECTIVE:g} samples "
                "a prompt carry the policy"
            )
            break
        kl.append(float(nats))
        truths.append(pairs.means(tilt.log_ratio, Standard()))
        rates.append(slopes(pairs, transform, tilt))
        log_k.append(float(np.log(tilt.k)))
    if len(kl) < 2:
        raise InputError(
            f"fewer than {FEWEST_EFFECTIVE:g} effective samples a prompt at {_SMALLEST:g} nats; "
            "these samples cannot tell: give more samples a prompt."
        )
    return Path(
        transform.name,
        np.array(kl),
        np.array(truths).T,
        np.array(rates).T,
        np.array(log_k),
        limited_by,
    )
