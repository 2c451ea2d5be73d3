"""Soft best-of-N: one of N samples, chosen with probability proportional to a weight."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from infalign_theory.checks import whole
from infalign_theory.errors import InputError, PrecisionError
from infalign_theory.kernels import races
from infalign_theory.procedures.laws import LawProcedure, Sample
from infalign_theory.procedures.weights import Weight
from infalign_theory.quadrature.points import Points
from infalign_theory.transforms.core import Transform
from infalign_theory.transforms.elementary import Identity
from infalign_theory.typing import Array

_WIDEST = 5e5  # range of log w that is integrated over
_OVERFLOW = 50.0


@dataclass(frozen=True)
class SoftBestOfN(LawProcedure):
    r"""One of N samples, chosen with probability proportional to w = exp(k Phi(u)).

    With M(s) = E exp(-s w) the density after inference is

    .. math:: N \int_0^\infty w e^{-s w} M(s)^{N-1} ds \; f(u).

    Self-normalised importance resampling: it tends to the tilt w f as N grows, to Best-of-N by Phi
    as k does.

    Parameters
    ----------
    n : int
        Samples drawn.
    strength : float
        k; negative for an attacker.
    transform : Transform or str, optional
        Phi, the identity by default.

    References
    ----------
    arXiv 2506.19248 (soft best-of-N), 2505.19700 (resampling).

    Examples
    --------
    >>> SoftBestOfN(8, 5).name, SoftBestOfN(8, 5, "exp:10").name
    ('soft:8@5', 'soft:8@5*exp:10')
    """

    n: int
    strength: float
    transform: Transform | str = field(default=Identity())

    def __post_init__(self) -> None:
        object.__setattr__(self, "n", whole(self.n, "soft best-of-N: N", "a whole N of at least 1"))
        weight = Weight.checked("soft best-of-N", self.strength, self.transform)
        object.__setattr__(self, "strength", weight.strength)
        object.__setattr__(self, "transform", weight.transform)

    @cached_property
    def weight(self) -> Weight:
        """What samples are chosen by."""
        return Weight.checked("soft best-of-N", self.strength, self.transform)

    @property
    def name(self) -> str:
        return f"soft:{self.n}@{self.weight.name}"

    @property
    def edges(self) -> tuple[float, ...]:
        return self.weight.transform.breaks

    def steepness(self, points: Points) -> Array:
        return self.weight.log(points)

    def features(self, points: Points) -> list[Array]:
        x = self.weight.log(points)
        finite = np.where(np.isfinite(x), x, np.min(x, initial=0.0, where=np.isfinite(x)))
        middle = finite.mean(axis=-1, keepdims=True)
        with np.errstate(under="ignore"):
            near = np.clip(finite - middle, -_OVERFLOW, _OVERFLOW)
            return [np.exp(-np.exp(near + early)) for early in (0.0, 2.0, 4.0)]

    def ratio(self, sample: Sample) -> Callable[[Points], Array]:
        if self.n == 1 or self.strength == 0.0:
            return lambda points: np.ones(points.u.shape)
        x, masses = self.weight.log(sample.points).ravel(), sample.masses.ravel()
        refused = x == -np.inf
        if masses[refused].sum() > 0.0:
            raise InputError(
                f"procedure {self.name} gives some rewards no weight at all, and N of them leave "
                "nothing to choose; give a transform that is finite on (0, 1)."
            )
        x, masses = x[~refused], masses[~refused]
        top, width = float(x.max()), float(np.ptp(x))
        if not width <= _WIDEST:
            raise PrecisionError(
                f"procedure {self.name}: log weights range over {width:.3g}, too far to be "
                f"integrated (at most {_WIDEST:g}); it is bon:{self.n} by that transform to nearly "
                "all digits: use that.",
                float("nan"),
            )
        first = races.EARLIEST
        count = int((width + races.LATEST - first) / races.STEP) + 2
        table = races.silent(x - top, masses / masses.sum(), first, count, self.n - 1.0)

        def at(points: Points) -> Array:
            relative = np.minimum(self.weight.log(points).ravel() - top, 0.0)
            found = self.n * races.winning(relative, first, table)
            return np.asarray(found.reshape(points.u.shape))

        return at

    def draws(self, sample: Sample) -> float:
        return float(self.n)
