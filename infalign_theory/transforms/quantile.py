"""Raw rewards: the transform of a run that was never calibrated."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from infalign_theory.checks import plain_number, real
from infalign_theory.errors import InputError
from infalign_theory.quadrature.points import Points
from infalign_theory.spelling import NUMBER, did_you_mean, squeezed
from infalign_theory.transforms.core import Transform
from infalign_theory.transforms.tails import StudentT, Tails, normal
from infalign_theory.typing import Array

_WIDEST_SPREAD = 3.0  # of log scales: the middle 95% of prompts then differ by e^12
_SPACING = 2.0**-52
_FEW = 4.0  # units in the last place that a quantile may be off
_FAR_STEP = 200.0
_LIGHT = 1e-300  # a slope that bounds nothing, of laws whose tails are lighter than exponential
_ALLOWED = (
    "the name of a continuous distribution of scipy.stats with its shapes, such as norm, gumbel_r "
    "or t:3, or a frozen one"
)
_ALIASES = {"normal": "norm", "gaussian": "norm", "gumbel": "gumbel_r", "studentt": "t"}

# distribution -> its quantile function with both tails to all digits; others are SciPy's own
_CLOSED: dict[str, Callable[[Points], Array]] = {
    "norm": normal,
    "gumbel_r": lambda points: -np.log(-points.log_u),
    "logistic": lambda points: points.s,
}


@dataclass(frozen=True)
class Quantile(Transform):
    r"""Phi(u) = Q(u), the quantile function of raw rewards: RLHF as practised.

    A trainer that is given the reward itself, not its calibrated version, tilts by
    :math:`r = Q(u)`. Where the scale of rewards differs from prompt to prompt, one beta spends
    different KL on each: with ``spread`` s the prompts' scales are :math:`\sigma`, with
    :math:`\log\sigma \sim N(0, s^2)`, and KL and win rates are means over prompts.

    Parameters
    ----------
    distribution : str or frozen scipy.stats distribution
        Law of the raw reward under the base: ``"norm"``, ``"gumbel_r"``, ``"t:3"``,
        ``scipy.stats.gamma(2.0)``. Its location does not matter; its scale is that of beta.
    spread : float, optional
        Standard deviation of the log scale over prompts, 0 to 3.

    Raises
    ------
    InputError
        For what is no continuous distribution.
    PrecisionError
        For a distribution whose quantiles do not keep their digits in the tails.

    Notes
    -----
    Rewards with exponential tails (gumbel_r, logistic) need a beta above their scale, so under the
    reverse KL no spread at all; those with heavier ones (t:3) have no policy under the reverse KL
    at any beta, but one under chi2. A distribution is assumed smooth between the nodes of a grid,
    as a function given to :func:`infalign_theory.align` is.

    References
    ----------
    InfAlign, arXiv 2412.19792, on calibration; ``docs/mathematics/raw-rewards.md``.

    Examples
    --------
    >>> phi = Quantile("norm")
    >>> round(float(phi(0.975)), 6), phi.name
    (1.959964, 'quantile:norm')
    >>> Quantile("norm", spread=0.5).name
    'quantile:norm@0.5'
    """

    distribution: Any  # a text, or whatever SciPy freezes
    spread: float = 0.0
    _quantile: Callable[[Points], Array] = field(init=False, repr=False, compare=False)
    _end: float = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        allowed = f"a number from 0 to {_WIDEST_SPREAD:g}: the deviation of the log scale"
        spread = real(self.spread, "spread", allowed)
        if not 0.0 <= spread <= _WIDEST_SPREAD:
            raise InputError(f"spread = {plain_number(spread)}; give {allowed}.")
        object.__setattr__(self, "spread", spread)
        law: Any = self.distribution
        if isinstance(law, str):
            object.__setattr__(self, "distribution", _canonical(law))
            closed = _CLOSED.get(self.distribution)
            if closed is not None:
                self._hold(closed, np.inf)
                return
            law = _from_scipy(self.distribution)
            if self.distribution.startswith("t:"):
                law = StudentT(float(self.distribution[2:]))
        if not all(callable(getattr(law, part, None)) for part in ("ppf", "isf", "cdf", "sf")):
            raise InputError(f"distribution {law!r:.80} is not one; give {_ALLOWED}.")
        if hasattr(law, "pmf") or hasattr(getattr(law, "dist", None), "pmf"):
            raise InputError(
                "the distribution is discrete, so rewards tie; give Discrete(probs, rewards) as "
                "the base and a continuous distribution, or none, as transform."
            )
        self._hold(Tails.of(law, self.label), float(law.isf(0.0)))

    def _hold(self, quantile: Callable[[Points], Array], end: float) -> None:
        object.__setattr__(self, "_quantile", quantile)
        object.__setattr__(self, "_end", end)

    @property
    def label(self) -> str:
        """The distribution in words."""
        if isinstance(self.distribution, str):
            return self.distribution
        frozen = self.distribution
        name = getattr(getattr(frozen, "dist", None), "name", type(frozen).__name__)
        given = [f"{value:g}" for value in getattr(frozen, "args", ())]
        given += [f"{key}={value:g}" for key, value in getattr(frozen, "kwds", {}).items()]
        return f"{name}({', '.join(given)})"

    @property
    def name(self) -> str:
        """As text; that of a frozen distribution cannot be read back."""
        at = f"@{plain_number(self.spread)}" if self.spread else ""
        return f"quantile:{self.label}{at}"

    @property
    def of_one_prompt(self) -> Quantile:
        """The same rewards at scale 1."""
        return replace(self, spread=0.0)

    @property
    def anchor(self) -> float:
        """The largest reward there is; 0 where rewards are unbounded."""
        return self._end if np.isfinite(self._end) else 0.0

    @property
    def slopes(self) -> tuple[float, float]:
        """Growth per unit of logit: 0 at a bounded end."""
        far = np.array([690.0 - 2 * _FAR_STEP, 690.0 - _FAR_STEP, 690.0])
        low, high = (self._values(Points.from_logit(sign * far)) for sign in (-1.0, 1.0))
        return _growth(*low), 0.0 if np.isfinite(self._end) else _growth(*high)

    @property
    def in_logit(self) -> bool:
        return bool(self.distribution == "logistic")

    def differences(self, points: Points) -> Array:
        return self.measured(points)[0]

    def measured(self, points: Points) -> tuple[Array, Array]:
        """Rewards from their largest, and what rounding may have done to them."""
        values = self._values(points)
        error = _FEW * _SPACING * (np.abs(values) + abs(self.anchor))
        return values - self.anchor, np.where(np.isfinite(values), error, 0.0)

    def _values(self, points: Points) -> Array:
        if self.spread > 0.0:
            raise InputError(
                f"transform {self.name} is another one at every prompt; align, frontier and "
                "compare take it, this function takes one transform: give "
                f"{self.of_one_prompt.name}."
            )
        with np.errstate(all="ignore"):
            return np.asarray(self._quantile(points))


def read(text: str) -> Quantile:
    """From what follows ``quantile:``, such as ``norm``, ``t:3`` or ``norm@0.5``."""
    law, at, spread = text.partition("@")
    if at and not re.fullmatch(rf"\s*(?:spread\s*=)?\s*{NUMBER}\s*", spread):
        raise InputError(
            f"spread {spread.strip()!r} is not a number of at least 0; write for example "
            "quantile:norm@0.5."
        )
    return Quantile(law, float(spread.rpartition("=")[2]) if at else 0.0)


def _canonical(text: str) -> str:
    """The text with SciPy's own name and plain numbers."""
    parts = [part.strip() for part in re.split(r"[:()]", text) if part.strip()]
    if not parts:
        raise InputError(f"no distribution is named; give {_ALLOWED}.")
    name, *shapes = parts
    if not all(re.fullmatch(NUMBER, shape) and np.isfinite(float(shape)) for shape in shapes):
        raise InputError(f"distribution {text!r}: shapes are finite numbers; give {_ALLOWED}.")
    plain = _ALIASES.get(squeezed(name), name.lower())
    return ":".join([plain, *(plain_number(float(shape)) for shape in shapes)])


def _from_scipy(text: str) -> Any:  # noqa: ANN401 - SciPy freezes into a class without a type
    from scipy import stats

    name, *shapes = text.split(":")
    family = getattr(stats, name, None) if name.isidentifier() else None
    if not isinstance(family, stats.rv_continuous):
        known = ["norm", "gumbel_r", "gumbel_l", "logistic", "expon", "gamma", "uniform", "laplace"]
        hint = did_you_mean(name, {squeezed(word): word for word in known})
        raise InputError(f"distribution {text!r} is not known{hint}; give {_ALLOWED}.")
    if len(shapes) != family.numargs:
        names = (family.shapes or "").replace(" ", "").split(",") if family.numargs else []
        wanted = ", ".join(names) if names else "no shape"
        raise InputError(f"distribution {name} takes {wanted}; got {len(shapes)} numbers.")
    numbers = [float(shape) for shape in shapes]
    if not family._argcheck(*numbers):
        raise InputError(f"distribution {text}: its shapes are not allowed by scipy.stats.")
    return family(*numbers)


def _growth(near: float, middle: float, far: float) -> float:
    """Slope per unit of logit far out; infinite where it grows faster than any line."""
    if not far - middle > 1e-12 * abs(middle):
        return 0.0
    slope, earlier = (far - middle) / _FAR_STEP, (middle - near) / _FAR_STEP
    if slope > 1.001 * earlier:
        return np.inf
    return float(slope) if slope > 0.99 * earlier else _LIGHT
