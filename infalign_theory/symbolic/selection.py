"""The law of Best-of-N on the base itself."""

from __future__ import annotations

from typing import NamedTuple

import sympy as sp

from infalign_theory.symbolic.reading import sample_count
from infalign_theory.symbolic.symbols import alpha, u


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
    count = sample_count(n)
    return BestOfNPolicy(
        density=count * u ** (count - 1),
        cdf=u**count,
        kl=sp.log(count) - (count - 1) / count,
        chi2=(count - 1) ** 2 / (2 * count - 1),
        renyi=sp.log(count**alpha / (alpha * (count - 1) + 1)) / (alpha - 1),
        win_rate=count / (count + 1),
    )
