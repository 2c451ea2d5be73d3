"""Where the truth turns: the KL and the N beyond which pushing the proxy hurts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import numpy as np
from scipy.optimize import minimize_scalar

from infalign_theory.checks import plain_number, real, whole
from infalign_theory.errors import InputError, OutOfReachError
from infalign_theory.policies.alignment import align
from infalign_theory.policies.base import Base
from infalign_theory.policies.core import Policy
from infalign_theory.policies.win_rates import win_rate
from infalign_theory.procedures import BestOfN, Procedure
from infalign_theory.procedures.names import as_procedure
from infalign_theory.proxies.core import Copula, Proxy
from infalign_theory.proxies.win_rates import true_win_rate
from infalign_theory.transforms.core import Transform
from infalign_theory.transforms.names import as_transform
from infalign_theory.typing import Array

_SMALLEST_KL = 1e-3
_SCAN = 33
_VISIBLE = 1e-8  # a fall of the truth below the accuracy of win rates is none
_RELATIVE = 1e-7  # of the KL at the peak: a maximum is flat


@dataclass(frozen=True)
class Turning:
    """Where the truth peaks as the proxy is pushed further.

    Attributes
    ----------
    at : float or None
        The KL in nats, or the N, of the peak; None where the truth never falls.
    true_win_rate, proxy_win_rate : float
        At the peak; where there is none, at the end of what was searched.
    searched_to : float
        The largest KL or N looked at.
    proved : bool
        Whether "never" is a theorem here (an increasing transform, and a truth that is
        stochastically increasing in the proxy) rather than the outcome of the search.
    """

    at: float | None
    true_win_rate: float
    proxy_win_rate: float
    searched_to: float
    proved: bool

    @property
    def text(self) -> str:
        """The finding in one sentence."""
        if self.at is not None:
            return f"the truth peaks at {self.at:.4g} and falls beyond"
        how = "by proof" if self.proved else f"up to {self.searched_to:.4g}"
        return f"the truth never falls, {how}"


def tuned_kl(
    transform: Transform | str,
    procedure: Procedure | str,
    proxy: Proxy,
    *,
    largest_kl: float = 10.0,
    base: Base | None = None,
    against_procedure: Procedure | str | None = None,
) -> Turning:
    """The KL at which the true win rate along a transform is largest.

    Where the truth has several peaks it is the highest of those that a scan of 33 budgets, equally
    spaced in log KL from 0.001 nats, tells apart. The KL is good to about 1e-4 of itself: the
    truth is flat at its peak.

    Parameters
    ----------
    transform : Transform or str
    procedure : Procedure or str
    proxy : Proxy
    largest_kl : float, optional
        Where the search ends, in nats.
    base : Continuous or Discrete, optional
    against_procedure : Procedure or str, optional
        The base's procedure; the same by default.

    Returns
    -------
    Turning
        With ``at`` None where the truth never falls up to there.

    Examples
    --------
    >>> from infalign_theory.proxies import Contaminated, Gaussian
    >>> tuned_kl("identity", "standard", Gaussian(0.7)).text
    'the truth never falls, by proof'
    >>> hacked = Contaminated(Gaussian(0.7), share=0.6, from_u=0.9)
    >>> tuned_kl("identity", "standard", hacked, largest_kl=3.0).at < 0.5
    True
    """
    chosen, ours = as_transform(transform), as_procedure(procedure)
    theirs = ours if against_procedure is None else as_procedure(against_procedure)
    end = real(largest_kl, "largest_kl", "nats, more than 0.001")
    if end <= _SMALLEST_KL:
        raise InputError(f"largest_kl = {plain_number(end)}; give nats, more than 0.001.")
    end = _within_reach(chosen, base, end)

    @cache
    def truth(log_kl: float) -> float:
        policy: Policy = align(chosen, kl=float(np.exp(log_kl)), base=base)
        return true_win_rate(policy, ours, proxy, theirs)

    scan = np.linspace(np.log(_SMALLEST_KL), np.log(end), _SCAN)
    proved = _cannot_fall(proxy) and _increasing(chosen)
    log_kl = None if proved else _peak(truth, scan)
    at = end if log_kl is None else float(np.exp(log_kl))
    policy = align(chosen, kl=at, base=base)
    return Turning(
        None if log_kl is None else at,
        true_win_rate(policy, ours, proxy, theirs),
        win_rate(policy, ours, against_procedure=theirs),
        end,
        proved,
    )


def tuned_n(
    policy: Policy,
    proxy: Proxy,
    *,
    largest_n: int = 1024,
    against_procedure: Procedure | str = "standard",
) -> Turning:
    """The N at which best-of-N by proxy is best by truth, for one policy.

    Parameters
    ----------
    policy : ContinuousPolicy or DiscretePolicy
        ``align("identity", kl=0)`` for the base itself.
    proxy : Proxy
    largest_n : int, optional
        Where the search ends; powers of two are scanned, then every N around the best of them is
        closed in on.
    against_procedure : Procedure or str, optional
        What the base does, the same for every N: one sample by default.

    Returns
    -------
    Turning
        With ``at`` None where the truth never falls up to there.

    Examples
    --------
    >>> from infalign_theory import align
    >>> from infalign_theory.proxies import Contaminated, Gaussian
    >>> base = align("identity", kl=0)
    >>> tuned_n(base, Gaussian(0.7), largest_n=64).at is None
    True
    >>> tuned_n(base, Contaminated(Gaussian(0.7), share=0.6, from_u=0.9), largest_n=64).at
    3.0
    """
    end = whole(largest_n, "largest_n", "a whole N of at least 2")
    theirs = as_procedure(against_procedure)

    @cache
    def truth(n: int) -> float:
        return true_win_rate(policy, BestOfN(n), proxy, theirs)

    proved = _cannot_fall(proxy)
    best = None if proved else _best_n(truth, end)
    shown = end if best is None else best
    return Turning(
        None if best is None else float(best),
        truth(shown),
        win_rate(policy, BestOfN(shown), against_procedure=theirs),
        float(end),
        proved,
    )


def _best_n(truth: Callable[[int], float], end: int) -> int | None:
    """The best N up to ``end``, None where the largest is as good as any."""
    scan = sorted({min(2**i, end) for i in range(end.bit_length() + 1)})
    values = [truth(n) for n in scan]
    at = int(np.argmax(values))
    if values[at] - values[-1] <= _VISIBLE:
        return None
    low, high = scan[max(at - 1, 0)], scan[min(at + 1, len(scan) - 1)]
    while high - low > 8:  # thirds: the truth has one peak between the neighbours of the best
        third = (high - low) // 3
        if truth(low + third) < truth(high - third):
            low += third
        else:
            high -= third
    return max(range(low, high + 1), key=truth)


def _peak(truth: Callable[[float], float], scan: Array) -> float | None:
    values = np.array([truth(float(x)) for x in scan])
    at = int(np.argmax(values))
    if values[at] - values[-1] <= _VISIBLE:
        return None
    bounds = scan[max(at - 1, 0)], scan[min(at + 1, scan.size - 1)]
    found = minimize_scalar(
        lambda x: -truth(float(x)), bounds=bounds, method="bounded", options={"xatol": _RELATIVE}
    )
    return float(found.x)


def _cannot_fall(proxy: Proxy) -> bool:
    return isinstance(proxy, Copula) and proxy.increasing


def _increasing(transform: Transform) -> bool:
    """Whether Phi rises throughout, on a fine grid."""
    values = transform(np.linspace(0.0, 1.0, 4001)[1:-1])
    return bool((np.diff(values) >= 0.0).all())


def _within_reach(transform: Transform, base: Base | None, kl: float) -> float:
    """The largest KL to look at: a little below what the base can spend."""
    try:
        align(transform, kl=kl, base=base)
    except OutOfReachError as error:
        if not error.limit > _SMALLEST_KL:
            raise
        return 0.999 * error.limit
    return kl
