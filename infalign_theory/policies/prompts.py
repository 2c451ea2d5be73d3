"""One beta, many scales: the policies of prompts whose raw rewards differ in scale.

With log sigma ~ N(0, s^2) over prompts, prompt sigma is tilted at k = sigma / beta. Means over
prompts are trapezoidal sums on one lattice of log k, whose error falls geometrically with its step
(docs/mathematics/raw-rewards.md).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NoReturn

import numpy as np
from numpy.typing import ArrayLike

from infalign_theory.checks import plain_number, unit_interval
from infalign_theory.errors import InfalignError, InputError, OutOfReachError, PrecisionError
from infalign_theory.policies.bracketing import bracket_increasing, root_within
from infalign_theory.policies.core import Policy
from infalign_theory.quadrature.points import Points
from infalign_theory.transforms.quantile import Quantile
from infalign_theory.typing import Array

_STEP = 1.0 / 6.0  # of log k: tilts are analytic up to pi / 4 away from the real line
_LARGEST_SHARE = 0.5  # of the spread that a step may be
_REACH = 7.5  # standard deviations: 6e-14 of the prompts lie beyond
_FAR_NORMAL = 30.0  # k beyond which float64 cannot hold a tilted normal law
_ALL_BUT = 1e-12  # what a policy may lack of always winning
_SQUARED = 100.0  # up to which factor an error counts as the square of the one before
_PROMISE = 1e-10
_LOWEST, _HIGHEST = -300.0, 300.0
_ZOOMS, _POINTS = 10, 65


@dataclass(frozen=True)
class Part:
    """The prompts of one scale: their share, their KL, and their policy.

    The policy is None where all its mass lies beyond float64 from the base's.
    """

    weight: float
    kl: float
    policy: Policy | None


class PromptPolicy(Policy):
    """What one run makes of prompts with different scales; means over prompts.

    Attributes
    ----------
    parts : tuple of Part
        From the smallest scale to the largest; weights sum to 1.
    kl : float
        Mean KL over prompts, in nats.
    beta : float
        The one beta of all prompts, in units of the median prompt's scale.
    """

    def __init__(self, transform: Quantile, beta: float, parts: tuple[Part, ...]) -> None:
        self.transform, self.beta, self.parts = transform, beta, parts
        first = next(part.policy for part in parts if part.policy is not None)
        self.divergence, self.base = first.divergence, first.base
        self.kl = float(sum(part.weight * part.kl for part in parts))
        self._sealed = True

    @property
    def effective_transform(self) -> NoReturn:  # type: ignore[override]
        """Each prompt has its own: see the policies in ``parts``."""
        raise InputError(_NOT_ONE.format(self.transform.name))

    @property
    def tilt(self) -> NoReturn:
        """Each prompt has its own: see the policies in ``parts``."""
        raise InputError(_NOT_ONE.format(self.transform.name))

    def average(self, value: Callable[[Policy], Array | float], beyond: Array | float) -> Array:
        """Mean over prompts of a function of policies; ``beyond`` stands for policies beyond."""
        return np.asarray(
            sum(
                part.weight * np.asarray(beyond if part.policy is None else value(part.policy))
                for part in self.parts
            )
        )

    def win_rate(self, of: Callable[[Policy], float]) -> float:
        """Mean of the prompts' win rates.

        Raises
        ------
        PrecisionError
            Where prompts beyond float64 may still lose, or the sum over scales is too coarse.
        """
        won = np.array([np.nan if part.policy is None else of(part.policy) for part in self.parts])
        weights = np.array([part.weight for part in self.parts])
        beyond = np.isnan(won)
        if beyond.any():
            nearest = float(won[~beyond][-1])
            if (1.0 - nearest) * float(weights[beyond].sum()) > _ALL_BUT:
                raise PrecisionError(
                    f"{weights[beyond].sum():.1g} of the prompts have policies beyond float64 that "
                    f"win {nearest:.6g} at least; give a smaller spread or a smaller KL.",
                    float(weights[~beyond] @ won[~beyond]),
                )
            won = np.where(beyond, 1.0, won)  # larger k, larger win rate: Phi rises with u
        _refuse_coarse(weights, won, self.transform.name)
        return float(np.clip(weights @ won, 0.0, 1.0))

    def mean(self) -> float:
        return float(self.average(lambda policy: policy.mean(), 1.0))

    def std(self) -> float:
        centre = self.mean()
        square = self.average(
            lambda policy: policy.std() ** 2 + (policy.mean() - centre) ** 2, (1.0 - centre) ** 2
        )
        return float(np.sqrt(square))

    def pdf(self, u: ArrayLike) -> Array:
        array = unit_interval(u, "u")
        return self.average(lambda policy: policy.pdf(array), np.where(array < 1.0, 0.0, np.inf))

    def cdf(self, u: ArrayLike) -> Array:
        array = unit_interval(u, "u")
        return self.average(lambda policy: policy.cdf(array), np.where(array < 1.0, 0.0, 1.0))

    def sf(self, u: ArrayLike) -> Array:
        array = unit_interval(u, "u")
        return self.average(lambda policy: policy.sf(array), np.where(array < 1.0, 1.0, 0.0))

    def ppf(self, q: ArrayLike) -> Array:
        array = unit_interval(q, "q")
        q = np.ravel(array)
        low, high = np.full(q.size, -704.0), np.full(q.size, 704.0)
        for _ in range(_ZOOMS):  # many points at once: a call costs more than its points
            s = np.linspace(low, high, _POINTS)
            reached = self.cdf(Points.from_logit(s).u) >= q
            at = np.clip(np.argmax(reached, axis=0), 1, _POINTS - 1)
            low, high = s[at - 1, np.arange(q.size)], s[at, np.arange(q.size)]
        u = np.where(q <= 0.0, 0.0, Points.from_logit(high).u)
        return np.asarray(u.reshape(array.shape))


_NOT_ONE = (
    "{} has another policy at every prompt, so this is not defined for it; take the policies of "
    "its .parts, or a transform without spread."
)


def over_prompts(
    transform: Quantile, aligned: Callable[[float], Policy], beta: float | None, kl: float
) -> PromptPolicy:
    """The policies of all prompts, at one beta or at a mean KL.

    Parameters
    ----------
    transform : Quantile
        With a spread above 0.
    aligned : callable
        k to the policy of the prompts whose scale is k beta; k = 0 to the base policy.
    beta, kl : float
        As checked by :func:`budget`.
    """
    lattice = _Lattice(transform, aligned)
    if beta is None and kl == 0.0:
        return PromptPolicy(transform, np.inf, (Part(1.0, 0.0, aligned(0.0)),))
    centre = -float(np.log(beta)) if beta is not None else lattice.spending(kl)
    return PromptPolicy(transform, beta or float(np.exp(-centre)), lattice.parts(centre))


class _Lattice:
    """Policies at equal steps of log k, each found once."""

    def __init__(self, transform: Quantile, aligned: Callable[[float], Policy]) -> None:
        if max(transform.of_one_prompt.slopes) >= 1e-200 and _is_tilt(aligned):
            raise InputError(
                f"transform {transform.name}: rewards with so heavy a tail have no policy where "
                "their scale is large, whatever beta; give a distribution with a lighter one "
                "(norm), no spread, or another divergence (chi2)."
            )
        self._transform = transform
        self._aligned = aligned
        self._closed = transform.distribution == "norm" and _is_tilt(aligned)
        self._step = _STEP
        while self._step > _LARGEST_SHARE * transform.spread:
            self._step /= 2.0
        self._known: dict[int, Policy] = {}

    def _policy(self, j: int) -> Policy | None:
        k = float(np.exp(j * self._step))
        if self._closed and k > _FAR_NORMAL:
            return None
        if j not in self._known:
            try:
                self._known[j] = self._aligned(k)
            except OutOfReachError as error:
                raise OutOfReachError(self._told(k, error), error.limit) from error
            except PrecisionError as error:
                raise PrecisionError(self._told(k, error), error.estimate) from error
        return self._known[j]

    def _told(self, k: float, error: InfalignError) -> str:
        return (
            f"transform {self._transform.name}: prompts of scale / beta = {k:.4g} have no policy "
            f"({error}) Give a smaller spread or a smaller KL."
        )

    def _kl(self, j: int) -> float:
        if self._closed:  # a shifted normal law
            return float(np.exp(2.0 * j * self._step)) / 2.0
        policy = self._policy(j)
        return 0.0 if policy is None else policy.kl

    def weights(self, centre: float) -> tuple[range, Array]:
        """Points of the lattice that matter, and their shares of the prompts."""
        s = self._transform.spread
        # the KL of light tails grows by k^2 at most, which moves its centre by 2 s^2
        low = int(np.floor((centre - _REACH * s) / self._step))
        high = int(np.ceil((centre + (_REACH + 2.0 * s) * s) / self._step))
        points = range(low, high + 1)
        z = (np.array(points) * self._step - centre) / s
        shares = np.exp(-0.5 * z * z)
        return points, shares / shares.sum()

    def spending(self, kl: float) -> float:
        """The centre of log k at which the mean KL is the budget."""

        def excess(centre: float) -> float:
            points, shares = self.weights(centre)
            spent = float(shares @ np.array([self._kl(j) for j in points]))
            return float(np.log(spent / kl)) if spent > 0.0 else -np.inf

        scale = self._kl(0)
        start = 0.5 * float(np.log(kl / scale)) if scale > 0.0 else 0.0
        start -= self._transform.spread**2 if start < 2.0 else 0.0
        found = bracket_increasing(
            excess, start, step=0.25, longest=1.0, lowest=_LOWEST, highest=_HIGHEST
        )
        if found is None:
            raise OutOfReachError(
                f"kl = {plain_number(kl)} nats is out of reach of {self._transform.name}: its "
                f"largest mean KL is {self._kl(int(_HIGHEST / self._step)):.12g} nats; give a "
                "smaller budget.",
                self._kl(int(_HIGHEST / self._step)),
            )
        return root_within(excess, found, 1e-14)

    def parts(self, centre: float) -> tuple[Part, ...]:
        """The prompts, scale by scale."""
        points, shares = self.weights(centre)
        kls = np.array([self._kl(j) for j in points])
        _refuse_coarse(shares, kls / max(float(shares @ kls), 1e-300), self._transform.name)
        return tuple(
            Part(float(share), float(kl), self._policy(j))
            for j, share, kl in zip(points, shares, kls, strict=True)
        )


def _is_tilt(aligned: Callable[[float], Policy]) -> bool:
    """Whether policies are exponential tilts of a continuous base."""
    from infalign_theory.divergences import ReverseKL
    from infalign_theory.policies.base import Continuous

    base = aligned(0.0)
    return base.divergence == ReverseKL() and isinstance(base.base, Continuous)


def _refuse_coarse(weights: Array, values: Array, name: str) -> None:
    """Refuse where coarser lattices say that the sum has not converged.

    The error of a sum over analytic values is squared when the step is halved; where it is not,
    the values have a kink, and only the difference itself bounds it.
    """
    if weights.size < 8:
        return
    whole, half, quarter = (
        float(weights[::step] @ values[::step]) / float(weights[::step].sum()) for step in (1, 2, 4)
    )
    last, before = abs(whole - half), abs(half - quarter)
    error = last * last if last <= _SQUARED * before * before else last
    if error > _PROMISE * max(1.0, abs(whole)):
        raise PrecisionError(
            f"the mean over prompts of {name} is known only to {error:.1g}; give a smaller spread.",
            whole,
        )
