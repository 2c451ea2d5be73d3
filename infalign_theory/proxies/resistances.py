"""Which transforms resist a hacked proxy, at equal KL or at equal proxy win rate."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.optimize import brentq

from infalign_theory.checks import plain_number, real
from infalign_theory.errors import InputError, OutOfReachError
from infalign_theory.policies.alignment import align
from infalign_theory.policies.budgets import budget
from infalign_theory.policies.core import Policy
from infalign_theory.policies.win_rates import win_rate
from infalign_theory.procedures import Procedure
from infalign_theory.procedures.names import as_procedure
from infalign_theory.proxies.core import Proxy
from infalign_theory.proxies.win_rates import true_win_rate
from infalign_theory.transforms.core import Transform
from infalign_theory.transforms.names import as_transform

if TYPE_CHECKING:
    import pandas as pd

_RANGE = (1e-6, 20.0)  # nats within which a proxy win rate is looked for


@dataclass(frozen=True)
class Row:
    """One transform: what it spends, what it wins by proxy and by truth."""

    transform: str
    beta: float
    kl: float
    proxy_win_rate: float
    true_win_rate: float


@dataclass(frozen=True)
class Resistance:
    """Transforms side by side, the largest true win rate first."""

    rows: tuple[Row, ...]

    def to_frame(self) -> pd.DataFrame:
        """A row a transform."""
        import pandas as pd

        return pd.DataFrame([asdict(row) for row in self.rows])

    def _repr_html_(self) -> str:
        return str(self.to_frame()._repr_html_())  # type: ignore[operator]


def resistance(
    transforms: Sequence[Transform | str],
    procedure: Procedure | str,
    proxy: Proxy,
    *,
    kl: float | None = None,
    proxy_win_rate: float | None = None,
    against_procedure: Procedure | str | None = None,
) -> Resistance:
    """True win rates of several transforms at equal KL, or at equal proxy win rate.

    At equal proxy win rate a transform resists hacking where it wins with answers that the truth
    likes too, rather than with the very top of the proxy.

    Parameters
    ----------
    transforms : sequence of Transform or str
    procedure : Procedure or str
    proxy : Proxy
    kl, proxy_win_rate : float, optional
        Exactly one: nats, or the proxy win rate in (1/2, 1) that each transform is pushed to.
    against_procedure : Procedure or str, optional
        The base's procedure; the same by default.

    Returns
    -------
    Resistance

    Raises
    ------
    InputError
        Unless exactly one of the two is given.
    OutOfReachError
        Where a transform does not reach the proxy win rate within 20 nats; ``limit`` is what it
        reaches.

    Examples
    --------
    >>> from infalign_theory.proxies import Contaminated, Gaussian
    >>> hacked = Contaminated(Gaussian(0.7), share=0.5, from_u=0.95)
    >>> [row.transform for row in resistance(["log", "exp:10"], "bon:4", hacked, kl=0.5).rows]
    ['log', 'exp:10']
    """
    ours = as_procedure(procedure)
    theirs = ours if against_procedure is None else as_procedure(against_procedure)
    chosen = [as_transform(transform) for transform in transforms]
    if not chosen:
        raise InputError("no transforms given; name at least one, as in ['identity', 'exp:10'].")
    if (kl is None) == (proxy_win_rate is None):
        raise InputError("give exactly one of kl and proxy_win_rate, as in kl=0.5.")
    rows = []
    for transform in chosen:
        policy: Policy
        if kl is not None:
            policy = align(transform, kl=budget(None, kl)[1])
        else:
            policy = _at_proxy_win_rate(transform, ours, theirs, _target(proxy_win_rate))
        won = win_rate(policy, ours, against_procedure=theirs)
        true = true_win_rate(policy, ours, proxy, theirs)
        rows.append(Row(transform.name, policy.beta, policy.kl, won, true))
    return Resistance(tuple(sorted(rows, key=lambda row: -row.true_win_rate)))


def _target(proxy_win_rate: object) -> float:
    allowed = "a win rate strictly between 1/2 and 1"
    value = real(proxy_win_rate, "proxy_win_rate", allowed)
    if not 0.5 < value < 1.0:
        raise InputError(f"proxy_win_rate = {plain_number(value)} is not allowed; give {allowed}.")
    return value


def _at_proxy_win_rate(
    transform: Transform, ours: Procedure, theirs: Procedure, target: float
) -> Policy:
    """The policy along a transform that wins a given share by proxy."""

    def excess(log_kl: float) -> float:
        policy = align(transform, kl=float(np.exp(log_kl)))
        return win_rate(policy, ours, against_procedure=theirs) - target

    low, high = (float(np.log(nats)) for nats in _RANGE)
    if excess(low) > 0.0 or excess(high) < 0.0:
        reached = excess(high) + target
        raise OutOfReachError(
            f"transform {transform.name} wins {excess(low) + target:.6g} to {reached:.6g} by proxy "
            f"between {_RANGE[0]:g} and {_RANGE[1]:g} nats, not {target:.6g}; ask for a rate in "
            "between.",
            reached,
        )
    return align(transform, kl=float(np.exp(brentq(excess, low, high, xtol=1e-14, rtol=1e-14))))
