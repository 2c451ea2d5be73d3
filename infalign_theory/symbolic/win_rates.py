"""Win rates in closed form."""

from __future__ import annotations

from fractions import Fraction
from functools import cache
from math import comb, factorial, prod

import sympy as sp

from infalign_theory.symbolic.reading import parse_procedure, parse_transform
from infalign_theory.symbolic.symbols import k, rate, u


def win_rate(transform: str, procedure: str) -> sp.Expr:
    r"""Win rate of the aligned policy against the base, both under one procedure.

    .. math:: W = 1 - \int_0^1 g(F(u))\,g'(u)\,du

    with g(p) = p for standard sampling, p^N for Best-of-N, 1-(1-p)^N for Worst-of-N [1]. The
    powers are expanded by the binomial theorem and integrated term by term, so the result is
    elementary: rational in k and e^k for the identity, rational in k for the log.

    Parameters
    ----------
    transform : str
        ``'identity'`` (or ``'power:1'``) or ``'log'``.
    procedure : str
        ``'standard'``, ``'bon:N'`` or ``'won:N'`` with N from 1 to 12.

    Returns
    -------
    sympy.Expr
        In ``k``; 1/2 at k = 0, increasing to 1. The identity's forms lose about 2 N log10(1/k)
        digits to cancellation at small k (``maxn`` must exceed that), the log's none.

    Examples
    --------
    >>> win_rate("log", "bon:8")
    (k + 1)/(k + 2)
    >>> win_rate("log", "won:2")
    (k + 1)**2*(2*k + 9)/((k + 2)*(k + 3)*(2*k + 3))
    >>> win_rate("identity", "standard")
    ((k - 1)*exp(k) + 1)/(k*(exp(k) - 1))
    >>> win_rate("identity", "bon:4").subs(k, sp.Rational(1, 10**9)).evalf(15, maxn=200)
    0.500000000111111
    """
    if transform == "power:1":
        transform = "identity"
    name, _ = parse_transform(transform, ("identity", "log"))
    return _win_rate(name, *parse_procedure(procedure))


@cache
def _win_rate(name: str, kind: str, n: int) -> sp.Expr:
    if name == "identity":
        return _identity_win_rate(n, worst=kind == "won")
    if kind == "won":
        return _log_worst_of_n(n)
    power = sp.integrate(u**rate, (u, 0, 1)).subs(rate, n * (k + 1) + n - 1)
    return sp.factor(1 - n * power)


def _exp_moment(n: sp.Expr) -> sp.Expr:
    """Integral of u^(n-1) e^(a u) over (0, 1), elementary for whole n; a is ``rate``."""
    return sp.integrate(u ** (n - 1) * sp.exp(rate * u), (u, 0, 1))


def _identity_win_rate(n: int, worst: bool) -> sp.Expr:
    """Best-of-n; Worst-of-n is 1 - W(-k), by the reflection u -> 1 - u."""
    growth = sp.Symbol("E", positive=True)  # stands for e^k, so that all is rational
    moment = _exp_moment(sp.Integer(n))
    total = sp.Rational((-1) ** n, n)
    for j in range(1, n + 1):
        term = moment.subs(sp.exp(rate), growth**j).subs(rate, j * k)
        total += (-1) ** (n - j) * comb(n, j) * term
    loss = n * total / (growth - 1) ** n
    result = loss.subs({k: -k, growth: 1 / growth}, simultaneous=True) if worst else 1 - loss
    top, bottom = sp.fraction(sp.cancel(sp.together(result)))
    top = sp.collect(sp.expand(top), growth, sp.factor)
    return (top / sp.factor(bottom)).subs(growth, sp.exp(k))


def _log_worst_of_n(n: int) -> sp.Expr:
    """Sum of (-1)^i C(n,i) int n u^a (1-u)^(n-1) du, a = i(k+1), each a Beta integral."""
    field, rate = sp.field("k", sp.ZZ)  # far faster than expressions at adding up fractions
    total = field(0)
    for i in range(n + 1):
        rising = prod((i * (rate + 1) + j for j in range(1, n + 1)), start=field(1))
        total += (-1) ** i * comb(n, i) * factorial(n) / rising
    # The linear factors are known beforehand; a general factorisation takes seconds at n = 12.
    top, bottom = (sp.Poly(part.as_expr(k), k) for part in (total.numer, total.denom))
    shifts = sorted({1 + Fraction(j, i) for i in range(1, n + 1) for j in range(1, n + 1)})
    factors = []
    for q in shifts:
        factor = sp.Poly([q.denominator, q.numerator], k)
        if bottom.rem(factor).is_zero:
            factors.append(factor.as_expr())
            bottom = bottom.quo(factor)
    rest = top.exquo(sp.Poly(k + 1, k) ** n)
    return (k + 1) ** n * rest.as_expr() / (bottom.as_expr() * sp.prod(factors))
