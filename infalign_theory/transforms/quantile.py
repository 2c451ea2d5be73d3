"""Raw rewards: the transform of a run that was never calibrated."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from infalign_theory.checks import plain_number, real
from infalign_theory.errors import InputError, PrecisionError
from infalign_theory.quadrature.points import Points
from infalign_theory.spelling import NUMBER, did_you_mean, squeezed
from infalign_theory.transforms.core import Transform
from infalign_theory.typing import Array

_WIDEST_SPREAD = 3.0  # of log scales: the middle 95% of prompts then differ by e^12
_LADDER = (704.0, 600.0, 500.0, 400.0, 300.0, 200.0, 150.0, 100.0, 70.0)  # of logits
_ENOUGH = 30.0  # the same of a lower tail: 1e-13 of the base lies below
_MIDDLE = 0.25
_SPACING = 2.0**-52
_FEW = 4.0  # units in the last place that a quantile may be off
_SLACK = 1e-12  # relative, of a tail probability found back
_FAR_STEP = 200.0
_LIGHT = 1e-300  # a slope that bounds nothing, of laws whose tails are lighter than exponential
_ALLOWED = (
    "the name of a continuous distribution of scipy.stats with its shapes, such as norm, gumbel_r "
    "or t:3, or a frozen one"
)
_ALIASES = {"normal": "norm", "gaussian": "norm", "gumbel": "gumbel_r", "studentt": "t"}

Function = Callable[[Array], Array]


def _special() -> ModuleType:
    """SciPy's special functions, whose import costs half a second that few need."""
    from scipy import special as module

    return module


def _normal(points: Points) -> Array:
    near = _special().ndtri(np.where(points.upper, points.v, points.u))
    return np.where(points.upper, -near, near)


# distribution -> its quantile function with both tails to all digits; others are SciPy's own
_CLOSED: dict[str, Callable[[Points], Array]] = {
    "norm": _normal,
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
                law = _StudentT(float(self.distribution[2:]))
        if not all(callable(getattr(law, part, None)) for part in ("ppf", "isf", "cdf", "sf")):
            raise InputError(f"distribution {law!r:.80} is not one; give {_ALLOWED}.")
        if hasattr(law, "pmf") or hasattr(getattr(law, "dist", None), "pmf"):
            raise InputError(
                "the distribution is discrete, so rewards tie; give Discrete(probs, rewards) as "
                "the base and a continuous distribution, or none, as transform."
            )
        self._hold(_Tails.of(law, self.label), float(law.isf(0.0)))

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
            f"spread {spread.strip()!r} is not a number; write for example quantile:norm@0.5."
        )
    return Quantile(law, float(spread.rpartition("=")[2]) if at else 0.0)


def _canonical(text: str) -> str:
    """The text with SciPy's own name and plain numbers."""
    name, *shapes = (part.strip() for part in re.split(r"[:()]", text) if part.strip())
    if not all(re.fullmatch(NUMBER, shape) for shape in shapes):
        raise InputError(f"distribution {text!r}: shapes are numbers; give {_ALLOWED}.")
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


@dataclass(frozen=True)
class _StudentT:
    """Student's t by the incomplete beta function, smoother than SciPy's own quantiles of it."""

    degrees: float

    def isf(self, q: ArrayLike) -> Array:
        inverse, half, mass = _special().betaincinv, self.degrees / 2.0, np.asarray(q)
        upper = np.minimum(mass, 1.0 - mass)
        with np.errstate(all="ignore"):
            far = inverse(half, 0.5, 2.0 * np.minimum(upper, _MIDDLE))  # nu / (nu + x^2)
            near = inverse(0.5, half, 1.0 - 2.0 * np.maximum(upper, _MIDDLE))
            ratio = np.where(upper < _MIDDLE, (1.0 - far) / far, near / (1.0 - near))
        return np.asarray(np.copysign(np.sqrt(self.degrees * ratio), 0.5 - mass))

    def ppf(self, q: ArrayLike) -> Array:
        return -self.isf(q)

    def sf(self, x: ArrayLike) -> Array:
        share = self.degrees / (self.degrees + np.square(x))
        tail = _special().betainc(self.degrees / 2.0, 0.5, share) / 2.0
        return np.where(np.asarray(x) > 0.0, tail, 1.0 - tail)

    def cdf(self, x: ArrayLike) -> Array:
        return self.sf(-np.asarray(x))


@dataclass(frozen=True)
class _Tail:
    """One tail of a distribution: its quantiles are exact up to a logit and continued beyond it.

    Beyond, a quantile grows by a fixed factor per unit of logit, as power tails do; of lighter
    ones there is no mass left.
    """

    quantile: Function
    limit: float
    end: float = 0.0
    rate: float = 0.0

    @classmethod
    def of(cls, quantile: Function, tail: Function, sign: float, coarse: float) -> _Tail | None:
        """None where not even probabilities of e^-``coarse`` are found back."""
        exact = (s for s in _LADDER if _found_back(quantile, tail, sign, s))
        limit = next(exact, 0.0)
        if limit == 0.0 and coarse < _LADDER[-1] and _found_back(quantile, tail, sign, coarse):
            limit = coarse
        if limit == 0.0:
            return None
        inner, end = (float(quantile(np.exp(np.array(-s)))) for s in (limit - 10.0, limit))
        return cls(quantile, limit, end, float(np.log(end / inner)) / 10.0 if inner * end > 0 else 0)

    def __call__(self, mass: Array, depth: Array) -> Array:
        """Quantiles at tail probabilities, and at their logits away from the middle."""
        values = np.asarray(self.quantile(np.maximum(mass, np.exp(-self.limit))))
        beyond = depth - self.limit
        if not (beyond > 0.0).any():
            return values
        return np.where(beyond > 0.0, self.end * np.exp(np.maximum(beyond, 0) * self.rate), values)


@dataclass(frozen=True)
class _Tails:
    """Quantiles of a distribution from its two tails."""

    lower: _Tail
    upper: _Tail

    @classmethod
    def of(cls, law: Any, label: str) -> _Tails:  # noqa: ANN401
        # of the lower tail only its mass could be missed
        lower = _Tail.of(law.ppf, law.cdf, -1.0, _ENOUGH)
        upper = _Tail.of(law.isf, law.sf, 1.0, _LADDER[-1])
        if lower is None or upper is None:
            raise PrecisionError(
                f"distribution {label} does not find its own tail probabilities back, so its "
                "policies would be wrong; give one whose isf and ppf are accurate.",
                float("nan"),
            )
        return cls(lower, upper)

    def __call__(self, points: Points) -> Array:
        values, upper = np.empty(points.s.shape), points.upper
        for tail, mine, mass, sign in (
            (self.lower, ~upper, points.u, -1.0),
            (self.upper, upper, points.v, 1.0),
        ):
            if mine.any():
                values[mine] = tail(mass[mine], sign * points.s[mine])
        return values


def _found_back(quantile: Function, tail: Function, sign: float, depth: float) -> bool:
    """Whether a quantile lies between neighbours whose tail probabilities enclose its own."""
    mass = float(np.exp(-depth))
    with np.errstate(all="ignore"):
        x = float(quantile(np.array(mass)))
        if not np.isfinite(x):
            return False
        width = 2.0 * _FEW * _SPACING * abs(x) + 1e-300
        less = float(tail(np.array(x + sign * width)))
        more = float(tail(np.array(x - sign * width)))
    return less <= mass * (1.0 + _SLACK) and more >= mass * (1.0 - _SLACK)


def _growth(near: float, middle: float, far: float) -> float:
    """Slope per unit of logit far out; infinite where it grows faster than any line."""
    if not far - middle > 1e-12 * abs(middle):
        return 0.0
    slope, earlier = (far - middle) / _FAR_STEP, (middle - near) / _FAR_STEP
    if slope > 1.001 * earlier:
        return np.inf
    return float(slope) if slope > 0.99 * earlier else _LIGHT
