"""Procedures beyond powers: order statistics, random numbers of samples, mixtures, any g."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from scipy import special

from infalign_theory.errors import InputError
from infalign_theory.expressions import CompiledExpression, compile_expression
from infalign_theory.kernels import panels
from infalign_theory.procedures.core import Procedure
from infalign_theory.types import Array, plain_number, real, whole


@dataclass(frozen=True)
class OrderStatistic(Procedure):
    """The k-th best of n samples; k = (n + 1)/2 is the median.

    g(p) = P(at least n - k + 1 of n uniforms are below p), a regularised incomplete beta function.

    Examples
    --------
    >>> OrderStatistic(2, 3).name
    'order:2/3'
    """

    k: int
    n: int

    def __post_init__(self) -> None:
        object.__setattr__(self, "n", whole(self.n, "order statistic: n", "a whole n >= 1"))
        k = whole(self.k, "order statistic: k", "a whole k from 1 (the best) to n (the worst)")
        if k > self.n:
            raise InputError(
                f"order statistic: k = {k} of n = {self.n} does not exist; give a whole k from 1 "
                "(the best) to n (the worst)."
            )
        object.__setattr__(self, "k", k)

    @property
    def name(self) -> str:
        return f"order:{self.k}/{self.n}"

    def cdf(self, p: Array, q: Array) -> tuple[Array, Array]:
        below = special.betainc(self.n - self.k + 1, self.k, p)
        return np.asarray(below), np.asarray(special.betainc(self.k, self.n - self.k + 1, q))

    def pdf(self, p: Array, q: Array) -> Array:
        exponent = special.xlogy(self.n - self.k, p) + special.xlogy(self.k - 1, q)
        return np.asarray(np.exp(self._log_constant + exponent))

    @property
    def _log_constant(self) -> float:
        return float(-special.betaln(self.n - self.k + 1, self.k))

    @property
    def slope_terms(self) -> Array:
        return np.array([[self._log_constant, self.n - self.k, self.k - 1.0, 0.0, 1.0]])

    @property
    def value_terms(self) -> Array:
        j = np.arange(self.n - self.k + 1.0, self.n + 1.0)
        log_binomial = -np.log(self.n + 1.0) - special.betaln(j + 1.0, self.n - j + 1.0)
        zeros = np.zeros(j.size)
        return np.column_stack([log_binomial, j, self.n - j, zeros, zeros + 1.0])

    @property
    def curvature(self) -> int:
        return 1 if self.k == 1 else (-1 if self.k == self.n else 0)


@dataclass(frozen=True)
class BestOfPoisson(Procedure):
    """The best of 1 + Poisson(mu) samples: g(p) = p exp(mu (p - 1)).

    A Best-of-N with a continuous budget; arXiv 2506.19248.

    Examples
    --------
    >>> BestOfPoisson(3).name
    'bop:3'
    """

    mu: float
    curvature = 1

    def __post_init__(self) -> None:
        mu = real(self.mu, "best of Poisson: mu", "a mean number of extra samples, at least 0")
        if mu < 0.0:
            raise InputError(
                f"best of Poisson: mu = {plain_number(mu)} is negative; give a mean number of "
                "extra samples, at least 0."
            )
        object.__setattr__(self, "mu", mu)

    @property
    def name(self) -> str:
        return f"bop:{plain_number(self.mu)}"

    def cdf(self, p: Array, q: Array) -> tuple[Array, Array]:
        return p * np.exp(-self.mu * q), q - p * np.expm1(-self.mu * q)

    def pdf(self, p: Array, q: Array) -> Array:
        return np.asarray((1.0 + self.mu * p) * np.exp(-self.mu * q))

    @property
    def slope_terms(self) -> Array:
        rows = [[0.0, 0.0, 0.0, self.mu, 1.0]]
        if self.mu > 0.0:
            rows.append([np.log(self.mu), 1.0, 0.0, self.mu, 1.0])
        return np.array(rows)

    @property
    def value_terms(self) -> Array:
        return np.array([[0.0, 1.0, 0.0, self.mu, 1.0]])


class Mixture(Procedure):
    """One of several procedures, drawn anew for every answer: g is their weighted mean.

    Parameters
    ----------
    parts : iterable of (weight, Procedure)
        Positive weights that sum to 1 within 1e-9.

    Examples
    --------
    >>> from infalign_theory.procedures.powers import BestOfN, Standard
    >>> Mixture([(0.25, BestOfN(4)), (0.75, Standard())]).name
    'mix:0.25*bon:4+0.75*standard'
    """

    def __init__(self, parts: Iterable[tuple[float, Procedure]]) -> None:
        given = list(parts)
        if not given:
            raise InputError("a mixture has no parts; give (weight, procedure) pairs.")
        weights = [real(w, "mixture: weight", "a positive weight") for w, _ in given]
        for weight, (_, inner) in zip(weights, given, strict=True):
            if weight <= 0.0 or not isinstance(inner, Procedure):
                raise InputError(
                    f"mixture: ({plain_number(weight)}, {inner!r}) is not a positive weight with "
                    "a procedure; give pairs such as (0.5, BestOfN(4))."
                )
        if abs(sum(weights) - 1.0) > 1e-9:
            raise InputError(f"mixture: weights sum to {sum(weights):.12g}; they must sum to 1.")
        total = sum(weights)
        self.parts = tuple((w / total, inner) for w, (_, inner) in zip(weights, given, strict=True))

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Mixture) and self.parts == other.parts

    def __hash__(self) -> int:
        return hash(self.parts)

    def __repr__(self) -> str:
        return f"Mixture({list(self.parts)!r})"

    @property
    def name(self) -> str:
        return "mix:" + "+".join(f"{plain_number(w)}*{inner.name}" for w, inner in self.parts)

    def cdf(self, p: Array, q: Array) -> tuple[Array, Array]:
        pairs = [(w, inner.cdf(p, q)) for w, inner in self.parts]
        below = sum(w * pair[0] for w, pair in pairs)
        return np.asarray(below), np.asarray(sum(w * pair[1] for w, pair in pairs))

    def pdf(self, p: Array, q: Array) -> Array:
        return np.asarray(sum(w * inner.pdf(p, q) for w, inner in self.parts))

    @property
    def slope_terms(self) -> Array:
        return self._joined([inner.slope_terms for _, inner in self.parts], self.pdf)

    @property
    def value_terms(self) -> Array:
        return self._joined([inner.value_terms for _, inner in self.parts], self._value)

    def _value(self, p: Array, q: Array) -> Array:
        return self.cdf(p, q)[0]

    def _joined(
        self, blocks: list[Array], whole_function: Callable[[Array, Array], Array]
    ) -> Array:
        if any(block.shape[1] != 5 for block in blocks):
            return tabulate(whole_function)
        rows = []
        for (weight, _), block in zip(self.parts, blocks, strict=True):
            scaled = block.copy()
            scaled[:, 0] += np.log(weight)
            rows.append(scaled)
        return np.concatenate(rows)

    @property
    def curvature(self) -> int:
        signs = {inner.curvature for _, inner in self.parts}
        # a linear part (one sample) bends neither way
        signs -= {1} if signs == {1, -1} and self._linear_only_convex() else set()
        return signs.pop() if len(signs) == 1 else 0

    def _linear_only_convex(self) -> bool:
        return all(
            inner.name in ("standard", "bon:1", "won:1")
            for _, inner in self.parts
            if inner.curvature == 1
        )


class Distortion(Procedure):
    """Any calibrated procedure, given by its g.

    Parameters
    ----------
    g : str or callable
        A formula in ``p``, parsed by the whitelist of :class:`infalign_theory.Expression`, or a
        function of an array. It must run from g(0) = 0 to g(1) = 1 without decreasing.
    derivative : callable, optional
        g', needed with a callable.
    name : str, optional
        How to call a callable.
    **parameters : float
        Values of the names in a formula.

    Raises
    ------
    InputError
        Where g is not such a function, or its derivative does not fit it.

    Examples
    --------
    >>> Distortion("p**2 * (3 - 2*p)").name
    'g:p**2 * (3 - 2*p)'
    """

    def __init__(
        self,
        g: str | Callable[[Array], Any],
        derivative: Callable[[Array], Any] | None = None,
        *,
        name: str | None = None,
        **parameters: float,
    ) -> None:
        self._formula: CompiledExpression | None = None
        self._g: Callable[[Array], Array]
        self._slope: Callable[[Array], Array]
        if isinstance(g, str):
            if derivative is not None:
                raise InputError("a formula is differentiated here; give no derivative with it.")
            formula = compile_expression(g, "p", **parameters)
            values = "".join(f";{k}={plain_number(v)}" for k, v in formula.parameters)
            self._name = f"g:{formula.text}{values}"
            self._g, self._slope = formula.value, formula.derivative
            self._formula = formula
        elif callable(g):
            if derivative is None or not callable(derivative) or parameters:
                raise InputError(
                    f"distortion {g!r}: give a callable with its derivative and no parameters, as "
                    "in Distortion(g, derivative); or give a formula in p."
                )
            self._name = name or f"g:{getattr(g, '__name__', 'callable')}"
            self._g, self._slope = _vectorised(g), _vectorised(derivative)
        else:
            raise InputError(f"distortion {g!r} is neither a formula in p nor a callable.")
        self._check()

    def _check(self) -> None:
        ends = self._g(np.array([0.0, 1.0]))
        if not np.allclose(ends, [0.0, 1.0], rtol=0.0, atol=1e-9):
            raise InputError(
                f"distortion {self._name}: g(0) = {ends[0]:.6g} and g(1) = {ends[1]:.6g}; a "
                "procedure has g(0) = 0 and g(1) = 1."
            )
        p = (1.0 - np.cos(np.linspace(0.0, np.pi, 2001))) / 2
        inner = p[1:-1]
        slope = self._slope(inner)
        bad = ~(slope >= -1e-10) | ~np.isfinite(slope)
        if bad.any():
            raise InputError(
                f"distortion {self._name}: g'({inner[bad][0]:.6g}) = {slope[bad][0]:.6g}; g must "
                "be smooth and nowhere decrease."
            )
        middle, half = (p[1:] + p[:-1]) / 2, (p[1:] - p[:-1]) / 2
        nodes = middle[:, None] + half[:, None] * panels.X
        climbed = half * (self._slope(nodes.ravel()).reshape(nodes.shape) @ panels.WEIGHTS)
        gap = np.abs(np.diff(self._g(p)) - climbed)
        if not gap.max() <= 1e-8:
            at = int(np.argmax(gap))
            raise InputError(
                f"distortion {self._name}: between p = {p[at]:.6g} and {p[at + 1]:.6g} g rises by "
                f"{np.diff(self._g(p))[at]:.6g}, its derivative says {climbed[at]:.6g}; give the "
                "derivative of g, and a g without jumps."
            )

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Distortion):
            return NotImplemented
        if self._formula is None or other._formula is None:
            return self is other
        return bool(self._formula == other._formula)

    def __hash__(self) -> int:
        return hash(self._name)

    def __repr__(self) -> str:
        return f"<procedure {self._name}>"

    @property
    def name(self) -> str:
        return self._name

    def cdf(self, p: Array, q: Array) -> tuple[Array, Array]:
        if self._formula is None:
            below = np.clip(self._g(p), 0.0, 1.0)
            return below, 1.0 - below
        below = np.clip(self._formula.at(p, q), 0.0, 1.0)
        anchor, change = self._formula.near(1.0, -q)
        above = np.where(q < 0.5, -change if anchor else 1.0 - change, 1.0 - below)
        return below, np.clip(above, 0.0, 1.0)

    def pdf(self, p: Array, q: Array) -> Array:
        return np.maximum(self._slope(p), 0.0)

    @cached_property
    def slope_terms(self) -> Array:
        return tabulate(self.pdf)

    @cached_property
    def value_terms(self) -> Array:
        return tabulate(lambda p, q: self.cdf(p, q)[0])


def _vectorised(function: Callable[[Array], Any]) -> Callable[[Array], Array]:
    def call(x: Array) -> Array:
        return np.broadcast_to(np.asarray(function(x), dtype=np.float64), np.shape(x)).copy()

    return call


def tabulate(function: Callable[[Array, Array], Array]) -> Array:
    """A function of (p, q) as a table of Legendre series; see :mod:`kernels.terms`.

    Panels are bisected until the series have died away to 1e-14 of the function's size.
    """
    rows: list[list[float]] = []
    for side in (0.0, 1.0):
        waiting = [(0.0, 0.5)]
        while waiting:
            low, high = waiting.pop()
            x = (low + high) / 2 + (high - low) / 2 * panels.X
            values = function(x, 1.0 - x) if side == 0.0 else function(1.0 - x, x)
            coefficients = panels.ANALYSIS @ values
            tail = np.abs(coefficients[-3:]).sum()
            if tail > 1e-14 * (1.0 + np.abs(values).max()) and high - low > 1e-9:
                middle = (low + high) / 2
                waiting += [(middle, high), (low, middle)]
            else:
                rows.append([side, low, high, *coefficients])
    return np.array(rows)
