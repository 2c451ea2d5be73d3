"""Density, CDF and KL of exponential tilts."""

from __future__ import annotations

from typing import NamedTuple

import sympy as sp

from infalign_theory.symbolic.reading import parse_transform
from infalign_theory.symbolic.symbols import k, u


class Tilt(NamedTuple):
    """The aligned policy: density norm * weight, its CDF, and k E[Phi]."""

    norm: sp.Expr
    weight: sp.Expr
    cdf: sp.Expr
    gain: sp.Expr


def tilt_of(transform: str) -> Tilt:
    """The exponential tilt of a transform with closed forms: weight, normaliser, CDF and gain."""
    name, p = parse_transform(transform, ("identity", "log", "logit", "exp", "power"))
    if name == "identity":
        span = sp.exp(k) - 1
        share = (sp.exp(k * u) - 1) / span
        return Tilt(k / span, sp.exp(k * u), share, k / (1 - sp.exp(-k)) - 1)
    if name == "log":
        return Tilt(k + 1, u**k, u ** (k + 1), -k / (k + 1))
    if name == "logit":
        # B(1+k, 1-k) = pi k / sin(pi k) and psi(1+k) - psi(1-k) = 1/k - pi cot(pi k).
        norm = sp.sin(sp.pi * k) / (sp.pi * k)
        share = sp.betainc_regularized(1 + k, 1 - k, 0, u)
        return Tilt(norm, (u / (1 - u)) ** k, share, 1 - sp.pi * k * sp.cot(sp.pi * k))
    if name == "power":
        a, b = 1 / p, 1 + 1 / p
        z = sp.hyper((a,), (b,), k)
        share = u * sp.hyper((a,), (b,), k * u**p) / z
        return Tilt(1 / z, sp.exp(k * u**p), share, (sp.exp(k) / z - 1) / p)
    s = sp.sign(p)
    low, high, here = s * k, s * k * sp.exp(p), s * k * sp.exp(p * u)
    span = sp.Ei(high) - sp.Ei(low)
    gain = (sp.exp(high) - sp.exp(low)) / span
    return Tilt(p / span, sp.exp(here), (sp.Ei(here) - sp.Ei(low)) / span, gain)


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
    tilt = tilt_of(transform)
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
    return tilt_of(transform).cdf


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
    tilt = tilt_of(transform)
    return tilt.gain + sp.log(tilt.norm)
