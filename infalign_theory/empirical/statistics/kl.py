"""KL of a policy from its base: estimated from log-ratios, bounded by wins, and plugged in."""

from __future__ import annotations

import numpy as np

from infalign_theory.checks import real
from infalign_theory.empirical.scores.groups import Groups, check_sorted
from infalign_theory.empirical.statistics.prompt_bases import PromptBases
from infalign_theory.errors import InputError
from infalign_theory.kernels.segments import merge_ties
from infalign_theory.policies.bracketing import root_between
from infalign_theory.policies.closed_forms import identity_kl, identity_win_rate
from infalign_theory.procedures import Procedure
from infalign_theory.procedures.names import as_procedure
from infalign_theory.quadrature.panels import entropy_terms
from infalign_theory.typing import Array


def sequence_kl(log_ratios: Groups, estimator: str = "k1") -> Array:
    r"""KL(pi || pi_ref) of each prompt in nats, from r = log pi/pi_ref of samples of pi.

    ``k1``, the mean of r, is unbiased. ``k3``, the mean of exp(-r) - 1 + r, is unbiased where
    pi_ref(y) > 0 implies pi(y) > 0 (else too small by the missing mass), never negative, and has
    the lower variance when the policies are close; far apart exp(-r) has a heavy tail, and below
    r = -709 it is infinite. Both want
    r of *whole sequences*, summed over tokens: k3 of single tokens, added up, is another number.

    Source: Schulman, "Approximating KL divergence" (2020), joschu.net/blog/kl-approx.html.

    Examples
    --------
    >>> sequence_kl(Groups.stack([[-1.0, 2.0]])).tolist()
    [0.5]
    """
    r = log_ratios.values
    if estimator == "k1":
        return log_ratios.means(r)
    if estimator != "k3":
        raise InputError(f"KL estimator {estimator!r} is not known; give 'k1' or 'k3'.")
    with np.errstate(over="ignore"):
        return log_ratios.means(np.expm1(-r) + r)


def kl_floor(win_rate: float) -> float:
    r"""Least KL in nats with which any policy has this standard win rate against its base.

    The identity tilt is the cheapest policy for a win rate, so solve
    :math:`w = 1/(1 - e^{-k}) - 1/k` for k and return :math:`k w - \log((e^k - 1)/k)`. Convex in w:
    the floor at the mean win rate bounds the mean KL over prompts. Below 1/2 the reflected tilt
    costs the same. Infinite at 0 and 1.

    Source: BoNBoN, arXiv 2406.00832, theorem 1 (the identity tilt is optimal).

    Examples
    --------
    >>> kl_floor(0.5)
    0.0
    >>> round(kl_floor(2 / 3), 4)  # Best-of-2 spends log 2 - 1/2 = 0.1931
    0.1726
    """
    w = real(win_rate, "win rate", "a number in [0, 1]")
    if not 0.0 <= w <= 1.0:
        raise InputError(f"win rate = {w} is not allowed; give a number in [0, 1].")
    lost = min(w, 1.0 - w)
    if lost == 0.5:
        return 0.0
    if lost < 1e-300:
        return float("inf")

    def excess(log_k: float) -> float:
        k = np.exp(log_k)
        # from k = 1 on, the lost share itself keeps its relative accuracy
        left = 1.0 / k - 1.0 / np.expm1(min(k, 700.0)) if k > 1.0 else 1.0 - identity_win_rate(k)
        return float(left / lost - 1.0)

    # 1/2 - lost <= k/12 and lost <= 1/k hold for every k
    low, high = np.log(6.0 * (0.5 - lost)), -np.log(lost) + 1e-9
    k = float(np.exp(root_between(excess, low, high, 1e-14)))
    return identity_kl(k) if k < 50.0 else float(np.log(k) - 1.0)


def plugin_kl(scores: Groups, procedure: Procedure | str) -> Array:
    r"""KL in nats of a procedure applied to each prompt's empirical law.

    :math:`\sum_j b_j \log(b_j / p_j)`, b_j the mass the procedure gives atom j; for Best-of-N
    :math:`b_j = G_j^N - G_{j-1}^N`. With ties or a small sample it lies below the continuous
    log N - (N-1)/N, which is an upper bound (Beirami et al., arXiv 2401.01879).

    Examples
    --------
    >>> plugin_kl(Groups.stack([[0, 1]]), "bon:2").round(6).tolist()  # masses 1/4 and 3/4
    [0.130812]
    """
    check_sorted("scores", scores)
    held = scores.sizes > 0
    filled = np.append(scores.offsets[:-1][held], scores.values.size)
    bases = PromptBases(Groups(*merge_ties(scores.values, filled)))
    with np.errstate(divide="ignore"):
        log_ratio = np.log(bases.increments(as_procedure(procedure)) / bases.mass)
    out = np.full(scores.prompts, np.nan)
    out[held] = bases.sums(entropy_terms(log_ratio, np.log(bases.mass)))
    return out
