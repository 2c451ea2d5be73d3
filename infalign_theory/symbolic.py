"""The closed forms of the theory as exact SymPy expressions.

Everything here is for a continuous base, where the calibrated reward of a base sample is uniform
on (0, 1). Expressions are written in these module-level symbols:

=========  ==========================================================================
``u``      calibrated reward, 0 < u < 1
``k``      1/beta > 0, the strength of the tilt: the aligned density is ~ exp(k Phi(u))
``t``      exponent of the exponential transform, real and not 0
``x``      independent variable of the ODE of the optimum
``alpha``  order of a Renyi divergence, positive and not 1
=========  ==========================================================================

KL and Renyi divergences are in nats, win rates in [0, 1]. Bad arguments raise `InputError` with
the allowed ones. Many expressions are differences of nearly equal terms when k is small: put exact
numbers in (``sp.Rational``) and let ``evalf`` raise its precision, with ``maxn`` high enough.

[1] Balashankar et al., "InfAlign: Inference-aware language model alignment", arXiv 2412.19792.
[2] Beirami et al., "Theoretical guarantees on the best-of-n alignment policy", arXiv 2401.01879.
[3] Gui et al., "BoNBoN alignment for large language models and the sweetness of best-of-n
    sampling", arXiv 2406.00832.
"""

from __future__ import annotations

import re
from fractions import Fraction
from functools import cache
from math import comb, factorial, prod
from typing import NamedTuple

import sympy as sp

from infalign_theory.errors import InputError

u = sp.Symbol("u", positive=True)
k = sp.Symbol("k", positive=True)
t = sp.Symbol("t", real=True, nonzero=True)
x = sp.Symbol("x", positive=True)
alpha = sp.Symbol("alpha", positive=True)

_rate = sp.Symbol("a", positive=True)  # sign known, or SymPy integrates to a list of cases
MAX_N = 12
MAX_ORDER = 60

_FORMS = {
    "exp": "'exp' (exponent t left as a symbol) or 'exp:T' with a decimal T other than 0",
    "power": "'power:P' with a whole number P >= 1",
}
# Digit counts are bounded because int() refuses, with its own error, more than 4300 digits.
_DECIMAL = re.compile(r"-?[0-9]{1,12}(\.[0-9]{1,30})?")
_WHOLE = re.compile(r"[1-9][0-9]{0,8}")


def _parse_transform(text: str, allowed: tuple[str, ...]) -> tuple[str, sp.Expr]:
    """Name and parameter of a transform; power:1 is the identity."""
    if isinstance(text, str):
        name, colon, value = text.partition(":")
        if name in allowed:
            if not colon and name != "power":
                return name, t
            if colon and name == "exp" and _DECIMAL.fullmatch(value) and Fraction(value) != 0:
                return name, sp.Rational(*Fraction(value).as_integer_ratio())
            if colon and name == "power" and _WHOLE.fullmatch(value):
                return ("identity" if value == "1" else name), sp.Integer(int(value))
    forms = "; ".join(_FORMS.get(name, repr(name)) for name in allowed)
    raise InputError(
        f"transform {text!r} has no closed form here. Allowed: {forms}. "
        "Evaluate others numerically."
    )


def _parse_procedure(text: str) -> tuple[str, int]:
    """Kind ('bon' or 'won') and N of a procedure; standard sampling is ('bon', 1)."""
    if isinstance(text, str):
        if text == "standard":
            return "bon", 1
        kind, colon, value = text.partition(":")
        if kind in ("bon", "won") and colon and _WHOLE.fullmatch(value) and int(value) <= MAX_N:
            return kind, int(value)
    raise InputError(
        f"procedure {text!r} has no closed form here. Allowed: 'standard', 'bon:N' or 'won:N' with "
        f"a whole number N from 1 to {MAX_N}. Evaluate larger N numerically."
    )


def _count(n: int | sp.Expr, name: str = "n") -> sp.Expr:
    """Check a number of samples: a whole number >= 1, or a symbol declared to be one."""
    if isinstance(n, (int, sp.Integer)) and not isinstance(n, bool) and n >= 1:
        return sp.Integer(int(n))
    if isinstance(n, sp.Symbol) and n.is_integer and n.is_positive:
        return n
    raise InputError(
        f"{name} = {n!r} is not a number of samples. Give a whole number >= 1 or a symbol declared "
        "as sympy.Symbol('N', integer=True, positive=True)."
    )


class _Tilt(NamedTuple):
    """The aligned policy: density norm * weight, its CDF, and k E[Phi]."""

    norm: sp.Expr
    weight: sp.Expr
    cdf: sp.Expr
    gain: sp.Expr


def _tilt(transform: str) -> _Tilt:
    name, p = _parse_transform(transform, ("identity", "log", "logit", "exp", "power"))
    if name == "identity":
        span = sp.exp(k) - 1
        share = (sp.exp(k * u) - 1) / span
        return _Tilt(k / span, sp.exp(k * u), share, k / (1 - sp.exp(-k)) - 1)
    if name == "log":
        return _Tilt(k + 1, u**k, u ** (k + 1), -k / (k + 1))
    if name == "logit":
        # B(1+k, 1-k) = pi k / sin(pi k) and psi(1+k) - psi(1-k) = 1/k - pi cot(pi k).
        norm = sp.sin(sp.pi * k) / (sp.pi * k)
        share = sp.betainc_regularized(1 + k, 1 - k, 0, u)
        return _Tilt(norm, (u / (1 - u)) ** k, share, 1 - sp.pi * k * sp.cot(sp.pi * k))
    if name == "power":
        a, b = 1 / p, 1 + 1 / p
        z = sp.hyper((a,), (b,), k)
        share = u * sp.hyper((a,), (b,), k * u**p) / z
        return _Tilt(1 / z, sp.exp(k * u**p), share, (sp.exp(k) / z - 1) / p)
    s = sp.sign(p)
    low, high, here = s * k, s * k * sp.exp(p), s * k * sp.exp(p * u)
    span = sp.Ei(high) - sp.Ei(low)
    gain = (sp.exp(high) - sp.exp(low)) / span
    return _Tilt(p / span, sp.exp(here), (sp.Ei(here) - sp.Ei(low)) / span, gain)


def density(transform: str) -> sp.Expr:
    r"""Density of the aligned policy relative to the base, in the calibrated reward.

    .. math:: f(u) = e^{k \Phi(u)} / Z(k), \qquad Z(k) = \int_0^1 e^{k \Phi(v)} dv

    in ``u`` and ``k`` (and ``t`` for ``'exp'``), with Z: identity (e^k-1)/k; log 1/(k+1);
    logit B(1+k, 1-k) = pi k/sin(pi k); power p 1F1(1/p; 1+1/p; k); exponential, where
    Phi = s e^(tu) with s = sign(t), (Ei(s k e^t) - Ei(s k))/t. Source: KL-regularised RL on a
    transformed calibrated reward [1].

    Parameters
    ----------
    transform : str
        ``'identity'``, ``'log'``, ``'logit'`` (valid for k < 1 only: beyond, no policy exists),
        ``'exp'`` (symbol ``t``), ``'exp:T'`` or ``'power:P'`` with a whole number P.

    Examples
    --------
    >>> density("log")
    u**k*(k + 1)
    >>> density("identity")
    k*exp(k*u)/(exp(k) - 1)
    """
    tilt = _tilt(transform)
    return tilt.norm * tilt.weight


def cdf(transform: str) -> sp.Expr:
    r"""Distribution function of the aligned policy in the calibrated reward.

    .. math:: F(u) = \int_0^u f(v) dv

    Parameters and source as for `density`; F rises from 0 at u = 0 to 1 at u = 1.

    Examples
    --------
    >>> cdf("log")
    u**(k + 1)
    >>> cdf("exp:2")
    (-Ei(k) + Ei(k*exp(2*u)))/(-Ei(k) + Ei(k*exp(2)))
    """
    return _tilt(transform).cdf


def kl(transform: str) -> sp.Expr:
    r"""KL divergence of the aligned policy from the base, in nats.

    .. math:: KL = \int_0^1 f \log f\,du = k\,E_f[\Phi] - \log Z = k A'(k) - A(k), \quad A = \log Z

    Parameters as for `density`; in ``k`` (and ``t``), growing from 0 at k = 0. The identity's is
    k W - log((e^k-1)/k) [3]; the log's, with k + 1 = N, is Best-of-N's log N - (N-1)/N [2].

    Examples
    --------
    >>> kl("log")
    -k/(k + 1) + log(k + 1)
    >>> kl("logit")
    -pi*k*cot(pi*k) + log(sin(pi*k)/(pi*k)) + 1
    """
    tilt = _tilt(transform)
    return tilt.gain + sp.log(tilt.norm)


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
    name, _ = _parse_transform(transform, ("identity", "log"))
    return _win_rate(name, *_parse_procedure(procedure))


@cache
def _win_rate(name: str, kind: str, n: int) -> sp.Expr:
    if name == "identity":
        return _identity_win_rate(n, worst=kind == "won")
    if kind == "won":
        return _log_worst_of_n(n)
    power = sp.integrate(u**_rate, (u, 0, 1)).subs(_rate, n * (k + 1) + n - 1)
    return sp.factor(1 - n * power)


def _exp_moment(n: sp.Expr) -> sp.Expr:
    """Integral of u^(n-1) e^(a u) over (0, 1), elementary for whole n; a is ``_rate``."""
    return sp.integrate(u ** (n - 1) * sp.exp(_rate * u), (u, 0, 1))


def _identity_win_rate(n: int, worst: bool) -> sp.Expr:
    """Best-of-n; Worst-of-n is 1 - W(-k), by the reflection u -> 1 - u."""
    growth = sp.Symbol("E", positive=True)  # stands for e^k, so that all is rational
    moment = _exp_moment(sp.Integer(n))
    total = sp.Rational((-1) ** n, n)
    for j in range(1, n + 1):
        term = moment.subs(sp.exp(_rate), growth**j).subs(_rate, j * k)
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


class BestOfNPolicy(NamedTuple):
    """Density and CDF in ``u``; divergences from the base; win rate against one base sample."""

    density: sp.Expr
    cdf: sp.Expr
    kl: sp.Expr
    chi2: sp.Expr
    renyi: sp.Expr
    win_rate: sp.Expr


def best_of_n(n: int | sp.Expr) -> BestOfNPolicy:
    r"""Describe the Best-of-N policy itself: what distilling Best-of-N aims at.

    .. math::
        f = N u^{N-1}, \quad KL = \log N - \frac{N-1}{N}, \quad \chi^2 = \frac{(N-1)^2}{2N-1},
        \quad D_\alpha = \frac{1}{\alpha-1} \log \frac{N^\alpha}{\alpha(N-1)+1}

    with D the Renyi divergence, whose limit at ``alpha`` = 1 is the KL. It is the log transform
    with k + 1 = N. With tied rewards the KL is an upper bound [2].

    Parameters
    ----------
    n : int or sympy.Symbol
        Number of samples, >= 1; a symbol must be declared a positive integer.

    Examples
    --------
    >>> policy = best_of_n(4)
    >>> policy.kl, policy.chi2, policy.win_rate
    (-3/4 + log(4), 9/7, 4/5)
    """
    count = _count(n)
    return BestOfNPolicy(
        density=count * u ** (count - 1),
        cdf=u**count,
        kl=sp.log(count) - (count - 1) / count,
        chi2=(count - 1) ** 2 / (2 * count - 1),
        renyi=sp.log(count**alpha / (alpha * (count - 1) + 1)) / (alpha - 1),
        win_rate=count / (count + 1),
    )


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
    name, p = _parse_transform(transform, ("identity", "log", "exp", "power"))
    count = _count(n)
    if name == "log":
        return sp.sqrt(4 * count - 1) / (2 * count)
    if name == "identity":
        p = sp.S.One
    if name != "exp":
        return sp.sqrt((2 * p + 1) * (4 * count - 1)) / (p + 2 * count)
    mean = (sp.exp(p) - 1) / p
    variance = (sp.exp(2 * p) - 1) / (2 * p) - mean**2
    if count.is_Integer and count <= MAX_N:
        moment = _exp_moment(2 * count).subs(_rate, p)
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
    count = _count(n)
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
    ours = _count(n)
    theirs = ours if m is None else _count(m, "m")
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
