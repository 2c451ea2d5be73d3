"""The scale of a transform, and beta on the scale where every transform runs from 0 to 1.

A tilt depends on Phi and beta through Phi / beta alone, so beta means nothing without the scale of
Phi. Trainers clip or normalise rewards to [0, 1]; ``scaled_beta`` is what they must be given.
"""

from __future__ import annotations

import numpy as np

from infalign_theory.quadrature.points import Points
from infalign_theory.transforms.core import Transform
from infalign_theory.transforms.elementary import Identity, Log, Logit
from infalign_theory.transforms.exponential import Exponential
from infalign_theory.transforms.power import Power
from infalign_theory.transforms.quantile import Quantile
from infalign_theory.typing import Array

_SAMPLES = 4096  # evenly in u; as many again evenly in logit u
_FAR = 700.0
_HALFWAY = 1e-9  # of the way, in log distance, from a sample to rounding level


def transform_bounds(transform: Transform) -> tuple[float, float] | None:
    """Infimum and supremum of Phi over 0 < u < 1, relative to its value at the anchor.

    Only their difference is a property of the tilt. None where Phi is unbounded. Built-in
    transforms are exact; others are sampled at 4096 points in u and in logit u each, and
    every local extremum is refined, so a feature narrower than about 1e-4 may be missed.

    Examples
    --------
    >>> from infalign_theory.transforms import Identity, Log
    >>> transform_bounds(Identity()), transform_bounds(Log())
    ((-1.0, 0.0), None)
    """
    if isinstance(transform, (Log, Logit)):
        return None
    if isinstance(transform, (Identity, Power)):
        return -1.0, 0.0
    if isinstance(transform, Exponential):
        # -exp(t u), t < 0, climbs from -1 to -exp(t); both signs are anchored at u = 1
        return -float(np.sign(transform.t) * np.exp(transform.t) * -np.expm1(-transform.t)), 0.0
    if isinstance(transform, Quantile) and transform.spread > 0.0:
        return None  # rewards of one prompt may be bounded, those of all are not
    return _sampled_bounds(transform)


def scaled_beta(transform: Transform, beta: float) -> float | None:
    r"""Beta for the same policy when Phi is mapped affinely to [0, 1].

    .. math:: \beta_\mathrm{scaled} = \beta / (\sup \Phi - \inf \Phi).

    Parameters
    ----------
    transform : Transform
    beta : float
        In the units of Phi; infinite for the base policy.

    Returns
    -------
    float or None
        None where Phi is unbounded (log, logit) or constant.

    Examples
    --------
    >>> from infalign_theory.transforms import Exponential, Log
    >>> round(scaled_beta(Exponential(10), 7011.9072), 6)  # exp(10 u) at half a nat
    0.318355
    >>> scaled_beta(Log(), 0.5) is None
    True
    """
    bounds = transform_bounds(transform)
    if bounds is None or not bounds[1] > bounds[0]:
        return None
    return beta / (bounds[1] - bounds[0])


def _sampled_bounds(transform: Transform) -> tuple[float, float] | None:
    """Bounds of any transform: two sweeps, the ends, and each local extremum refined."""
    inner = (np.arange(_SAMPLES) + 0.5) / _SAMPLES
    s = np.union1d(np.log(inner) - np.log1p(-inner), np.linspace(-_FAR, _FAR, _SAMPLES + 1))
    values = _values(transform, s)
    ends = [float(v) for v in transform(np.array([0.0, 1.0])) - transform.anchor]
    if np.isinf(ends).any() or not np.isfinite(values).all():
        return None
    # an end without a value of its own must have settled by logit 700
    moved = np.abs(values[[0, -1]] - _values(transform, np.array([-_FAR / 2, _FAR / 2])))
    if (moved[np.isnan(ends)] > 1e-9 * np.ptp(values)).any():
        return None
    found = [_extremum(transform, s, sign * values, sign) for sign in (-1.0, 1.0)]
    if None in found:
        return None
    low, high = (float(value) for value in found if value is not None)
    known = [end for end in ends if np.isfinite(end)]
    return min([low, *known]), max([high, *known])


def _values(transform: Transform, s: Array) -> Array:
    with np.errstate(all="ignore"):
        return transform.differences(Points.from_logit(s))


def _extremum(transform: Transform, s: Array, signed: Array, sign: float) -> float | None:
    """The largest sign * Phi, times sign; None where it grows without end as one comes closer."""
    top = int(np.argmax(signed))
    size = float(signed.max() - signed.min())
    low, high = s[max(top - 1, 0)], s[min(top + 1, s.size - 1)]
    first = best = float(signed[top])
    halfway = None
    while high - low > 4e-16 * max(1.0, abs(high)):
        tried = np.linspace(low, high, 9)
        values = sign * _values(transform, tried)
        if not np.isfinite(values).all():
            return None
        if halfway is None and high - low <= _HALFWAY:
            halfway = best
        at = int(np.argmax(values))
        best = max(best, float(values[at]))
        closer = float(tried[max(at - 1, 0)]), float(tried[min(at + 1, 8)])
        if closer == (low, high):
            break
        low, high = closer
    if halfway is None or not 0 < top < s.size - 1:
        return sign * best
    # a logarithm gains as much on the way from 1e-9 to 1e-16 as on the way to 1e-9
    endless = best - halfway > max(0.5 * (halfway - first), 1e-3 * size)
    return None if endless else sign * best
