"""Self-play: the policy that is its own best response under an inference procedure.

Two players train against each other, each with the win rate under the procedure as reward and the
KL to the base as penalty. At a symmetric equilibrium the coupled equation closes on itself
(eq-self-play of docs/mathematics/self-play.md): log f rises by k g'(F)^2 per unit of F.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from infalign_theory.checks import plain_number
from infalign_theory.errors import OutOfReachError, PrecisionError
from infalign_theory.optima.record import RESIDUAL_PROMISE
from infalign_theory.optima.rounds import Rounds, critical_step, play
from infalign_theory.optima.self_play_atoms import AtomsAtPlay
from infalign_theory.optima.self_play_continuous import ContinuousAtPlay
from infalign_theory.policies.base import Base, Discrete, as_base
from infalign_theory.policies.bracketing import bracket_increasing, root_within
from infalign_theory.policies.budgets import budget
from infalign_theory.policies.core import Policy
from infalign_theory.policies.win_rates import win_rate
from infalign_theory.procedures import Procedure
from infalign_theory.procedures.names import as_procedure

if TYPE_CHECKING:
    import pandas as pd

_SMALLEST_LOG_K, _LARGEST_LOG_K = -300.0, 690.0
_KL_PROMISE = 1e-9


@dataclass(frozen=True, repr=False, kw_only=True, eq=False)
class Equilibrium:
    """A symmetric equilibrium of KL-regularised self-play under a procedure.

    Attributes
    ----------
    procedure : Procedure
    base : Continuous or Discrete
    beta, kl : float
        KL to the base in nats.
    policy : ContinuousPolicy or DiscretePolicy
    win_rate : float
        Of the equilibrium against the base, both under the procedure; against itself it is 1/2.
    residual : float
        Total variation distance between the policy and its first-order best response to itself,
        measured independently of the solver; at most 1e-8.
    deviation_gain : float
        What the best response to the equilibrium gains over it in W - beta KL, 0 to 1e-9 at an
        equilibrium. Worst-of-N and other procedures whose g is not convex may have none: every
        policy that is stationary against itself is then beaten by a policy far away, and this is
        by how much.
    unique : bool
        Whether it is proved to be the only equilibrium: g convex (one sample, Best-of-N, best of
        Poisson), where the game is concave and zero-sum.
    """

    procedure: Procedure
    base: Base
    beta: float
    kl: float
    policy: Policy
    win_rate: float
    residual: float
    deviation_gain: float
    unique: bool

    def __repr__(self) -> str:
        only = ", unique" if self.unique else ""
        beaten = (
            f", a deviation gains {self.deviation_gain:.3g}" if self.deviation_gain > 1e-9 else ""
        )
        return (
            f"<self-play under {self.procedure.name}: win_rate={self.win_rate:.6g}, "
            f"kl={self.kl:.6g} nats, beta={self.beta:.6g}, residual={self.residual:.1e}"
            f"{only}{beaten}>"
        )

    @property
    def is_equilibrium(self) -> bool:
        """Whether no policy at all does better against it (to 1e-9)."""
        return self.deviation_gain <= 1e-9

    @cached_property
    def critical_step(self) -> float:
        """The largest step with which self-play by mirror descent converges near here.

        Each round mixes log densities, log pi <- (1 - step) log pi + step log BR(pi), which is
        Nash-MD's and IPO-MD's mixture. Plain self-play is step 1: it converges where this is above
        1, else it runs into a cycle. From the spectrum of the response map at the equilibrium.
        """
        return critical_step(self.policy, self.procedure)

    def play(self, step: float = 1.0, rounds: int = 200) -> Rounds:
        """Self-play from the base by mirror descent with a step in (0, 1], round by round."""
        return play(self.policy, self.procedure, step, rounds)

    def to_frame(self) -> pd.DataFrame:
        """One row with the numbers."""
        import pandas as pd

        return pd.DataFrame(
            [
                {
                    "procedure": self.procedure.name,
                    "beta": self.beta,
                    "kl": self.kl,
                    "win_rate": self.win_rate,
                    "residual": self.residual,
                    "deviation_gain": self.deviation_gain,
                    "unique": self.unique,
                }
            ]
        )

    def _repr_html_(self) -> str:
        return str(self.to_frame().to_html(index=False))


def equilibrium(
    procedure: Procedure | str,
    *,
    beta: float | None = None,
    kl: float | None = None,
    base: Base | None = None,
) -> Equilibrium:
    r"""The equilibrium of self-play: a policy that is its own KL-regularised best response.

    Each player maximises the probability that T(pi) beats T(pi'), less beta KL(pi || base), against
    the other. On a continuous base the quantile function of the solution is explicit,

    .. math:: u(F) = \frac{\int_0^F e^{-H(p)/\beta} \, dp}{\int_0^1 e^{-H(p)/\beta} \, dp},
       \qquad H(p) = \int_0^p g'(x)^2 \, dx,

    for Best-of-N an incomplete gamma function; discrete bases are solved by shooting.

    Parameters
    ----------
    procedure : Procedure or str
        What inference does to both players.
    beta : float, optional
        Strength of the regularisation, positive.
    kl : float, optional
        KL of the equilibrium in nats instead; exactly one of the two.
    base : Continuous or Discrete, optional
        Continuous by default.

    Returns
    -------
    Equilibrium

    Raises
    ------
    InputError
        For bad numbers or names.
    OutOfReachError
        Where no beta gives that KL.
    PrecisionError
        Where float64 cannot hold the equilibrium to a residual of 1e-8.

    References
    ----------
    Online IPO and IPO-MD, arXiv 2403.08635; Nash learning from human feedback, arXiv 2312.00886.

    Examples
    --------
    >>> found = equilibrium("bon:4", beta=0.2)
    >>> round(found.kl, 8), found.unique
    (1.01381372, True)
    >>> found.policy.ppf([0.1, 0.5, 0.9]).round(8).tolist()
    [0.15140037, 0.7487504, 0.99986781]
    """
    chosen = as_procedure(procedure)
    where = as_base(base)
    strength, nats = budget(beta, kl)
    game: AtomsAtPlay | ContinuousAtPlay = (
        AtomsAtPlay(where, chosen) if isinstance(where, Discrete) else ContinuousAtPlay(chosen)
    )
    if strength is not None:
        return _record(game, game.policy(1.0 / strength), strength)
    if nats == 0.0:
        return _record(game, game.policy(0.0), float("inf"))
    if nats >= game.largest_kl * (1.0 - 1e-14):
        raise _beyond(nats, game.largest_kl)

    def excess(log_k: float) -> float:
        return float(np.log(max(game.kl(float(np.exp(log_k))), 1e-300) / nats))

    bracket = bracket_increasing(
        excess, 0.5 * float(np.log(nats)), lowest=_SMALLEST_LOG_K, highest=game.largest_log_k
    )
    if bracket is None:
        raise _beyond(nats, game.kl(float(np.exp(game.largest_log_k))))
    k = float(np.exp(root_within(excess, bracket)))
    policy = game.policy(k)
    if abs(policy.kl - nats) > _KL_PROMISE * nats:
        raise PrecisionError(
            f"the equilibria under {chosen.name} jump over kl = {plain_number(nats)} nats near "
            f"beta = {1.0 / k:.6g}; give a beta.",
            policy.kl,
        )
    return _record(game, policy, 1.0 / k)


def _beyond(nats: float, limit: float) -> OutOfReachError:
    return OutOfReachError(
        f"kl = {plain_number(nats)} nats is out of reach of self-play here: its largest KL is "
        f"{limit:.12g} nats; give less.",
        limit,
    )


def _record(game: AtomsAtPlay | ContinuousAtPlay, policy: Policy, beta: float) -> Equilibrium:
    residual = game.residual(policy)
    if not residual <= RESIDUAL_PROMISE:
        raise PrecisionError(
            f"the equilibrium under {game.procedure.name} at beta = {beta:.6g} is solved only to a "
            f"residual of {residual:.1g}; give a larger beta or a smaller KL.",
            policy.kl,
        )
    convex = game.procedure.curvature > 0
    return Equilibrium(
        procedure=game.procedure,
        base=policy.base,
        beta=beta,
        kl=policy.kl,
        policy=policy,
        win_rate=win_rate(policy, game.procedure),
        residual=residual,
        deviation_gain=0.0 if convex else game.deviation_gain(policy),
        unique=convex,
    )
