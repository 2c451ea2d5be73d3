r"""Re-used calibration samples, prompt by simulated prompt.

Each prompt's policy is a step function of the true calibrated reward: density
:math:`e^{k\phi_j}/Z` on the interval j of its own partition of (0, 1). One k serves all prompts
and is set so that the *mean* KL is the budget.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import brentq

from infalign_theory.checks import plain_number, whole
from infalign_theory.errors import InputError, OutOfReachError, PrecisionError
from infalign_theory.procedures import Procedure
from infalign_theory.training.laws import Law
from infalign_theory.training.pooling import FEWEST, Anchor
from infalign_theory.training.samples import BaseSamples
from infalign_theory.transforms.core import Transform
from infalign_theory.typing import Array

_GROUP = 64  # prompts that share a pooled shape
_POINTS = 400  # intervals of the common partition where steps are not the prompt's own
_MOST_NODES = 256


@dataclass(frozen=True)
class Steps:
    """Rewards of all prompts as step functions: edges (P or 1, S + 1), values (P, S).

    ``group`` prompts in a row share what they were calibrated with, and so their errors.
    """

    edges: Array
    values: Array
    group: int = 1

    @property
    def widths(self) -> Array:
        return np.diff(self.edges, axis=1)

    def densities(self, k: float) -> Array:
        """Steps of each prompt's density relative to the base."""
        with np.errstate(over="ignore", under="ignore"):
            f = np.exp(k * (self.values - self.values.max(axis=1, keepdims=True)))
        return np.asarray(f / (f * self.widths).sum(axis=1, keepdims=True))

    def kl(self, density: Array) -> Array:
        """KL of each prompt's policy, nats."""
        logs = np.log(np.where(density > 0.0, density, 1.0))
        return np.asarray((density * logs * self.widths).sum(axis=1))

    def win_rates(self, density: Array, procedure: Procedure, nodes: int) -> Array:
        """Win rate of each prompt's policy, by Gauss-Legendre quadrature on every step."""
        x, w = np.polynomial.legendre.leggauss(nodes)
        mass = density * self.widths
        cdf = np.cumsum(mass, axis=1) - mass
        out = np.zeros(density.shape[0])
        for node, weight in zip((x + 1) / 2, w / 2, strict=True):
            u = self.edges[:, :-1] + node * self.widths
            p = np.clip(cdf + node * mass, 0.0, 1.0)
            _, lost = procedure.cdf(p, 1.0 - p)
            out += weight * (lost * procedure.pdf(u, 1.0 - u) * self.widths).sum(axis=1)
        return out


def rank_steps(rewards: Array, prompts: int, seed: int) -> Steps:
    """Rewards by rank on Dirichlet spacings, which is what K re-used base samples leave of u."""
    number = whole(prompts, "prompts", "a whole number of simulated prompts")
    draws = np.random.default_rng(seed).exponential(size=(number, rewards.size))
    cumulative = np.cumsum(draws, axis=1)
    edges = np.concatenate([np.zeros((number, 1)), cumulative / cumulative[:, -1:]], axis=1)
    return Steps(edges, np.broadcast_to(rewards, draws.shape))


def pooled_steps(
    transform: Transform, law: str, samples: int, prompts: int, seed: int, *, fresh: bool
) -> Steps:
    """Rewards by the pooled shape of simulated base samples, on a fine partition of true u.

    With fresh samples training sees the mean over them, one function for all prompts.
    """
    from scipy import stats

    shapes = {
        "normal": stats.norm(),
        "logistic": stats.logistic(),
        "gumbel": stats.gumbel_r(),
        "t3": stats.t(3),
        "exponential": stats.expon(),
        "beta": stats.beta(5, 1.2),
    }
    if law not in shapes:
        raise InputError(f"law = {law!r} is not known; give one of {', '.join(shapes)}.")
    if samples < FEWEST:
        raise InputError(
            f"samples = {samples}: pooling needs {FEWEST} base samples a prompt; give more, or "
            'method="ranks".'
        )
    groups = -(-whole(prompts, "prompts", "a whole number of simulated prompts") // _GROUP)
    bend = np.linspace(-1.0, 1.0, _POINTS + 1)
    edges = (1.0 + np.sin(np.pi / 2 * bend)) / 2  # denser towards both ends
    middles = (edges[1:] + edges[:-1]) / 2
    rng = np.random.default_rng(seed)
    names = tuple(str(i) for i in range(_GROUP))
    owner = np.repeat(np.arange(_GROUP), _POINTS)
    truth = np.tile(shapes[law].ppf(middles), _GROUP)
    values = []
    for _ in range(groups):
        raw = np.sort(shapes[law].rvs((_GROUP, samples), random_state=rng), axis=1)
        base = BaseSamples(names, raw.ravel(), np.arange(_GROUP + 1) * samples)
        u = Law(base, Anchor.MEAN).calibrated(owner, truth)
        values.append(transform(u).reshape(_GROUP, _POINTS))
    if fresh:
        return Steps(edges[None], np.array([v.mean(axis=0) for v in values]))
    return Steps(edges[None], np.concatenate(values), _GROUP)


def outcome(steps: Steps, procedure: Procedure, kl: float) -> tuple[float, float]:
    """Mean win rate at a mean KL, and its standard error.

    k answers to the same prompts as the win rate, so each prompt's influence is its win rate
    minus dW/dKL times its KL.
    """
    k = _strength(steps, kl)
    density = steps.densities(k)
    nodes, won = 4, steps.win_rates(density, procedure, 4)
    while True:
        nodes *= 2
        finer = steps.win_rates(density, procedure, nodes)
        change, won = float(np.abs(finer.mean() - won.mean())), finer
        if change <= 1e-8:
            break
        if nodes >= _MOST_NODES:
            raise PrecisionError(
                f"the {procedure.name} win rate on re-used calibration samples is known only to "
                f"{change:.1g}; give a smaller N.",
                float(won.mean()),
            )
    more = steps.densities(k * 1.001)
    gain = float(steps.win_rates(more, procedure, nodes).mean() - won.mean())
    spent = float(steps.kl(more).mean() - steps.kl(density).mean())
    influence = won - gain / spent * steps.kl(density)
    cut = influence.size // steps.group
    means = influence[: cut * steps.group].reshape(cut, steps.group).mean(axis=1)
    error = float(means.std(ddof=1) / np.sqrt(cut)) if cut > 1 else float(influence.std())
    return float(won.mean()), error


def _strength(steps: Steps, kl: float) -> float:
    """k = 1/beta at which the mean KL is the budget."""
    spread = float(np.ptp(steps.values))
    if not spread > 0.0:
        raise OutOfReachError(f"kl = {plain_number(kl)}: the transform is constant.", 0.0)

    def excess(log_k: float) -> float:
        return float(steps.kl(steps.densities(np.exp(log_k))).mean()) - kl

    low, high = -np.log(spread) - 15.0, -np.log(spread) + 15.0
    if excess(high) < 0.0:
        limit = excess(high) + kl
        raise OutOfReachError(
            f"kl = {plain_number(kl)} nats is out of reach of calibration with so few samples: "
            f"the largest mean KL is {limit:.6g} nats; give more samples or a smaller budget.",
            limit,
        )
    if excess(low) > 0.0:
        raise InputError(f"kl = {plain_number(kl)} nats is too small to tell from none.")
    return float(np.exp(brentq(excess, low, high, xtol=1e-10)))
