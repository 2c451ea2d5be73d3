"""The optimum: closed under one sample, its first order and its series elsewhere."""

from __future__ import annotations

from typing import NamedTuple

import sympy as sp

from infalign_theory.errors import InputError
from infalign_theory.symbolic.reading import MAX_N, parse_transform, sample_count
from infalign_theory.symbolic.symbols import k, rate, u, x
from infalign_theory.symbolic.win_rates import _exp_moment

MAX_ORDER = 60


class StandardOptimum(NamedTuple):
    """G(x) of the ODE; the policy's density and CDF in ``u``, ``k``; W and KL (nats) in ``k``."""

    growth: sp.Expr
    density: sp.Expr
    cdf: sp.Expr
    win_rate: sp.Expr
    kl: sp.Expr


def optimal_standard() -> StandardOptimum:
    r"""Derive the policy that maximises W - beta KL when both sides are sampled once.

    With n = m = 1 the ODE of the optimum is G'' = G', G(0) = 0, G'(0) = 1, hence G = e^x - 1, and
    at x = k = 1/beta

    .. math:: F(u) = \frac{G(k u)}{G(k)}, \quad W = 1 - \frac{\int_0^k G\,dx}{k\,G(k)}, \quad
              KL = \log\frac{k\,G'(k)}{G(k)} - \frac{\int_0^k G\,dx}{G(k)}

    which is the identity transform: for standard sampling nothing beats it [3].

    Examples
    --------
    >>> from infalign_theory.symbolic import kl, win_rate
    >>> best = optimal_standard()
    >>> best.growth
    exp(x) - 1
    >>> sp.simplify(best.win_rate - win_rate("identity", "standard"))
    0
    >>> sp.simplify(sp.expand_log(best.kl - kl("identity"), force=True))
    0
    """
    growth = sp.exp(x) - 1
    share = growth.subs(x, k * u) / growth.subs(x, k)
    edge = k * sp.diff(growth, x).subs(x, k) / growth.subs(x, k)
    loss = sp.integrate(growth, (x, 0, k)) / (k * growth.subs(x, k))
    cost = sp.log(edge) - k * loss
    return StandardOptimum(growth, sp.diff(share, u), share, win_rate=1 - loss, kl=cost)


def first_order_efficiency(transform: str, n: int | sp.Expr) -> sp.Expr:
    r"""Share of the best possible Best-of-N gain that a transform reaches at small KL.

    .. math:: \rho = \mathrm{corr}(\Phi(U), U^{2N-1}), \qquad
              W \approx \tfrac12 + \rho\,N \sqrt{\frac{KL}{2(4N-1)}}, \quad U \sim U(0,1)

    Power p (identity: p = 1): sqrt((2p+1)(4N-1))/(p+2N); log: sqrt(4N-1)/(2N); exponential:
    through int u^(2N-1) e^(tu) du = 1F1(2N; 2N+1; t)/(2N), written in elementary terms for whole
    N up to 12. Source: the win rate of [1] to first order, its derivative being ~ U^(2N-1).

    Parameters
    ----------
    transform : str
        ``'identity'``, ``'log'``, ``'exp'``, ``'exp:T'`` or ``'power:P'``. For Worst-of-N reflect
        it, Phi(u) -> -Phi(1-u): ``exp:T`` becomes ``exp:-T``.
    n : int or sympy.Symbol
        Samples per side, >= 1; a symbol must be declared a positive integer.

    Examples
    --------
    >>> first_order_efficiency("identity", 4)
    sqrt(5)/3
    >>> first_order_efficiency("power:7", 4)
    1
    """
    name, p = parse_transform(transform, ("identity", "log", "exp", "power"))
    count = sample_count(n)
    if name == "log":
        return sp.sqrt(4 * count - 1) / (2 * count)
    if name == "identity":
        p = sp.S.One
    if name != "exp":
        return sp.sqrt((2 * p + 1) * (4 * count - 1)) / (p + 2 * count)
    mean = (sp.exp(p) - 1) / p
    variance = (sp.exp(2 * p) - 1) / (2 * p) - mean**2
    if count.is_Integer and count <= MAX_N:
        moment = _exp_moment(2 * count).subs(rate, p)
    else:
        moment = sp.hyper((2 * count,), (2 * count + 1,), p) / (2 * count)
    spread = (2 * count - 1) / (2 * count * sp.sqrt(4 * count - 1))  # deviation of U^(2N-1)
    return sp.sign(p) * (moment - mean / (2 * count)) / (spread * sp.sqrt(variance))


def small_kl_slope(n: int | sp.Expr) -> sp.Expr:
    r"""Slope of the optimal win rate in sqrt(KL) at KL = 0, both sides Best- or Worst-of-N.

    .. math:: W = \tfrac12 + \frac{N}{\sqrt{2(4N-1)}} \sqrt{KL} + O(KL)

    A transform reaches `first_order_efficiency` times this slope; ``n`` is as there, the unit win
    rate per square root of a nat. Source: first-order expansion of the win rate of [1].

    Examples
    --------
    >>> small_kl_slope(1)
    sqrt(6)/6
    """
    count = sample_count(n)
    return count / sp.sqrt(2 * (4 * count - 1))


class OptimumSeries(NamedTuple):
    """Polynomials in ``k``: f(1) (Best-of) or f(0) (Worst-of), the win rate, the KL in nats."""

    edge_density: sp.Expr
    win_rate: sp.Expr
    kl: sp.Expr


def series_optimum(
    n: int | sp.Expr, order: int, m: int | sp.Expr | None = None, *, kind: str = "bon"
) -> OptimumSeries:
    r"""Exact power series in 1/beta of the best policy for n samples against m of the base.

    With G'' = s n m G' G^(n-1) x^(m-1), s = 1 for Best-of-n and -1 for Worst-of-n, and
    k = x^m G^(n-1), the density phi = x G'/G at the favoured end obeys

    .. math::
        \frac{d\phi}{dk} = \frac{\phi(1-\phi+s\,n m k)}{k(m+(n-1)\phi)}, \quad \phi(0) = 1, \qquad
        \phi = 1 + mkW \;(s=1), \quad 1 - mk(1-W) \;(s=-1), \qquad \frac{dKL}{dk} = k\frac{dW}{dk}

    The middle one is f(1) - 1 = int u f'(u) du, f' from the ODE; the last, the envelope theorem.

    Parameters
    ----------
    n : int or sympy.Symbol
        Samples of the aligned policy, >= 1; a symbol must be declared a positive integer.
    order : int
        Highest power of k, from 1 to 60 (with symbols, coefficients grow quickly: keep below 8).
    m : int or sympy.Symbol, optional
        Samples of the base; ``n`` if left out.
    kind : {'bon', 'won'}
        Best-of or Worst-of on both sides.

    Notes
    -----
    Follows from the coupled optimum of [1]. Use the series well inside its radius of convergence
    in k: 2 pi for n = m = 1, near 2 for 2, 1 for 4 and 1/2 for 8.

    Examples
    --------
    >>> best = series_optimum(1, 4)
    >>> best.win_rate
    -k**3/720 + k/12 + 1/2
    >>> best.edge_density
    -k**4/720 + k**2/12 + k/2 + 1
    >>> series_optimum(4, 1).win_rate
    4*k/15 + 1/2
    """
    ours = sample_count(n)
    theirs = ours if m is None else sample_count(m, "m")
    if not isinstance(order, int) or isinstance(order, bool) or not 1 <= order <= MAX_ORDER:
        raise InputError(f"order = {order!r}: give a whole number from 1 to {MAX_ORDER}.")
    if kind not in ("bon", "won"):
        raise InputError(f"kind = {kind!r}: give 'bon' (Best-of) or 'won' (Worst-of).")
    sign = 1 if kind == "bon" else -1
    edge = [sp.S.One]
    for j in range(1, order + 2):
        known = sign * ours * theirs * edge[j - 1]
        for i in range(1, j):
            known -= edge[i] * edge[j - i] * (1 + (ours - 1) * (j - i))
        edge.append(sp.factor(known / (j * (theirs + ours - 1) + 1)))
    win = [sp.factor(c / theirs) for c in edge[1:]]
    win[0] = sp.factor(win[0] + sp.Rational(1 - sign, 2))
    cost = [sp.S.Zero] + [sp.Rational(j - 1, j) * win[j - 1] for j in range(1, order + 1)]
    rows = (edge[: order + 1], win, cost)
    return OptimumSeries(*(sum(c * k**j for j, c in enumerate(row)) for row in rows))
