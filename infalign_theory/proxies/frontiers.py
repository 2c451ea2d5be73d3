"""True against proxy win rate along a transform."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike

from infalign_theory.checks import numbers, vector
from infalign_theory.policies.alignment import align
from infalign_theory.policies.base import Base
from infalign_theory.policies.budgets import budget
from infalign_theory.policies.win_rates import win_rate
from infalign_theory.procedures import Procedure
from infalign_theory.procedures.names import as_procedure
from infalign_theory.proxies.core import Proxy
from infalign_theory.proxies.win_rates import true_win_rate
from infalign_theory.transforms.core import Transform
from infalign_theory.transforms.names import as_transform
from infalign_theory.typing import Array

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class TrueFrontier:
    """Proxy and true win rate of one transform at many KL budgets.

    Attributes
    ----------
    transform, procedure, proxy : str
    kl, beta : ndarray, shape (M,)
        KL in nats.
    proxy_win_rate, true_win_rate : ndarray, shape (M,)
        In [0, 1].
    """

    transform: str
    procedure: str
    proxy: str
    kl: Array
    beta: Array
    proxy_win_rate: Array
    true_win_rate: Array

    def to_frame(self) -> pd.DataFrame:
        """A row a KL."""
        import pandas as pd

        frame = pd.DataFrame(
            {
                "kl": self.kl,
                "beta": self.beta,
                "proxy_win_rate": self.proxy_win_rate,
                "true_win_rate": self.true_win_rate,
            }
        )
        for at, name in enumerate(("transform", "procedure", "proxy")):
            frame.insert(at, name, getattr(self, name))
        return frame


def frontier(
    transform: Transform | str,
    procedure: Procedure | str,
    proxy: Proxy,
    *,
    kl: ArrayLike,
    base: Base | None = None,
    against_procedure: Procedure | str | None = None,
) -> TrueFrontier:
    """Proxy and true win rate along one transform: how far the truth follows.

    Parameters
    ----------
    transform : Transform or str
    procedure : Procedure or str
    proxy : Proxy
    kl : array_like, shape (M,)
        Budgets in nats, at least 0, in any order.
    base : Continuous or Discrete, optional
        Continuous by default; ``proxy.base`` for a tabulated proxy.
    against_procedure : Procedure or str, optional
        The base's procedure; the same by default.

    Returns
    -------
    TrueFrontier

    Raises
    ------
    InputError, OutOfReachError, PrecisionError
        As :func:`infalign_theory.align` and :func:`true_win_rate`.

    Examples
    --------
    >>> from infalign_theory.proxies import Gaussian
    >>> curve = frontier("identity", "bon:4", Gaussian(0.7), kl=[0.0, 0.5])
    >>> curve.true_win_rate.round(6).tolist(), curve.proxy_win_rate.round(5).tolist()
    ([0.5, 0.669392], [0.5, 0.79983])
    """
    chosen, ours = as_transform(transform), as_procedure(procedure)
    theirs = ours if against_procedure is None else as_procedure(against_procedure)
    budgets = vector(np.atleast_1d(numbers(kl, "kl")), "kl")
    for nats in budgets:
        budget(None, nats)
    policies = [align(chosen, kl=float(nats), base=base) for nats in budgets]
    return TrueFrontier(
        transform=chosen.name,
        procedure=ours.name if theirs == ours else f"{ours.name}|{theirs.name}",
        proxy=proxy.name,
        kl=budgets,
        beta=np.array([policy.beta for policy in policies]),
        proxy_win_rate=np.array(
            [win_rate(policy, ours, against_procedure=theirs) for policy in policies]
        ),
        true_win_rate=np.array([true_win_rate(policy, ours, proxy, theirs) for policy in policies]),
    )
