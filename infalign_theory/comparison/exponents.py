"""The exponential transform of least regret."""

from __future__ import annotations

from typing import Any

import numpy as np

from infalign_theory.checks import plain_number
from infalign_theory.comparison.frontiers import frontier
from infalign_theory.errors import InputError, OutOfReachError, PrecisionError
from infalign_theory.policies.base import Base
from infalign_theory.policies.budgets import budget
from infalign_theory.procedures import Procedure
from infalign_theory.procedures.names import as_procedure
from infalign_theory.transforms.exponential import EXPONENT_LIMIT, Exponential

_SMALLEST_EXPONENT = 1e-2


_TOLD_APART = 1e-9  # losses below this are too close to the accuracy of a win rate


def best_exponent(
    procedure: Procedure | str,
    *,
    kl: Any,
    base: Base | None = None,
    against_procedure: Procedure | str | None = None,
) -> float:
    """The exponent t whose transform sign(t) exp(t u) has the least regret at a KL.

    For Best-of-N at small KL it is close to 2N (design of the first-order law); for Worst-of-N
    close to -2N.

    Parameters
    ----------
    procedure : Procedure or str
    kl : float
        Budget in nats, positive.
    base, against_procedure
        As in :func:`frontier`.

    Returns
    -------
    float
        t, negative where a decreasing exponential is better; between 0.01 and 600 in size.

    Raises
    ------
    OutOfReachError
        Where the best exponent lies outside that range.

    Examples
    --------
    >>> round(best_exponent("bon:4", kl=0.5), 3)
    12.634
    """
    from scipy.optimize import minimize_scalar

    nats = budget(None, kl)[1]
    if nats == 0.0:
        raise InputError("kl = 0: every exponent gives the base policy; give a positive KL.")

    def lost(log_size: float, sign: float) -> float:
        t = sign * float(np.exp(log_size))
        curve = frontier(
            Exponential(t), procedure, kl=[nats], base=base, against_procedure=against_procedure
        )
        return 1.0 - float(curve.win_rate[0])

    grid = np.linspace(np.log(_SMALLEST_EXPONENT), np.log(EXPONENT_LIMIT), 24)
    scan = {sign: np.array([lost(x, sign) for x in grid]) for sign in (1.0, -1.0)}
    if min(float(lossless.min()) for lossless in scan.values()) < _TOLD_APART:
        raise PrecisionError(
            f"at kl = {plain_number(nats)} some exponent already wins "
            f"{as_procedure(procedure).name} all but 1e-9 of the time: exponents cannot be told "
            "apart; give a smaller KL.",
            float("nan"),
        )
    sign = min(scan, key=lambda s: float(scan[s].min()))
    at = int(np.argmin(scan[sign]))
    if at in (0, grid.size - 1):
        edge = sign * float(np.exp(grid[at]))
        hint = "identity, its limit" if at == 0 else "a power or an expression"
        raise OutOfReachError(
            f"the best exponent for {as_procedure(procedure).name} at kl = {plain_number(nats)} "
            f"lies beyond t = {edge:.3g}; use {hint}.",
            edge,
        )
    found = minimize_scalar(
        lost, args=(sign,), bounds=(grid[at - 1], grid[at + 1]), method="bounded",
        options={"xatol": 1e-7},
    )  # fmt: skip
    return sign * float(np.exp(found.x))
