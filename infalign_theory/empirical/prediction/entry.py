"""What theory predicts for a training run, from scores of the base model alone."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from infalign_theory.empirical.scores.reading import read_scores
from infalign_theory.empirical.statistics.prompt_bases import (
    PromptBases,
    PromptOptima,
    PromptTilt,
    tilted,
)
from infalign_theory.errors import InputError
from infalign_theory.policies.budgets import budget
from infalign_theory.policies.families import solve
from infalign_theory.procedures import Procedure, power_sides
from infalign_theory.procedures.names import as_procedure
from infalign_theory.transforms.core import Transform
from infalign_theory.transforms.names import as_transform
from infalign_theory.typing import Array, IntArray

if TYPE_CHECKING:
    import pandas as pd

OPTIMAL = "optimal"


@dataclass(frozen=True)
class PredictedRow:
    """One transform under one procedure.

    Attributes
    ----------
    transform, procedure : str
    beta, kl : float
        One beta for all prompts; KL in nats, the mean over prompts.
    win_rate : float
        Mean over prompts, in [0, 1].
    ci : tuple of float or None
        95 % interval for the mean over prompts like these; None with a single prompt.
    optimal, regret : float
        The largest mean win rate at that mean KL, and what the transform falls short of it.
    prompts : int
    """

    transform: str
    procedure: str
    beta: float
    kl: float
    win_rate: float
    ci: tuple[float, float] | None
    optimal: float
    regret: float
    prompts: int


@dataclass(frozen=True)
class Prediction:
    """Predicted win rates, a row a transform and procedure.

    Attributes
    ----------
    rows : tuple of PredictedRow
    samples : int
        Scores read.
    tie_fraction : float
        Probability that two different samples of a prompt score the same, averaged over prompts.
    notes : tuple of str
        What to keep in mind when reading the rows.
    """

    rows: tuple[PredictedRow, ...]
    samples: int
    tie_fraction: float
    notes: tuple[str, ...] = ()

    def to_frame(self) -> pd.DataFrame:
        """A row a transform and procedure."""
        import pandas as pd

        return pd.DataFrame([asdict(row) for row in self.rows])

    def _repr_html_(self) -> str:
        return str(self.to_frame()._repr_html_())  # type: ignore[operator]


def predict(
    scores: Any,
    *,
    procedure: Procedure | str | Sequence[Procedure | str],
    transform: Transform | str | Sequence[Transform | str],
    kl: Any = None,
    beta: Any = None,
    prompt: str = "prompt",
    reward: str = "reward",
    policy: str | None = None,
    base: str | None = None,
) -> Prediction:
    """Predict the win rate of a training run from scores of the base model.

    Each prompt's empirical law, ties and all, is a discrete base; training uses one beta for all
    prompts, so a KL budget is the mean KL over prompts.

    Parameters
    ----------
    scores : path, sequence of paths, or DataFrame
        A row a sample of the base model.
    procedure : Procedure or str, or a sequence of them
        What inference will do: ``"bon:4"``.
    transform : Transform or str, or a sequence of them
        Candidates for training: ``"exp:10"``; ``"optimal"`` for each prompt's coupled optimum,
        ``"optimal@bon:4"`` for the optimum of another procedure.
    kl, beta : float, optional
        Exactly one: the mean KL over prompts in nats, or the regularisation strength.
    prompt, reward : str
        Column names.
    policy, base : str, optional
        Column that names the policy, and which one is the base, where a table holds several.

    Returns
    -------
    Prediction

    Raises
    ------
    InputError
        For unusable scores, names or numbers.
    OutOfReachError
        For a budget that no policy on these scores can spend; the largest is named.

    Examples
    --------
    >>> import pandas as pd
    >>> table = pd.DataFrame({"prompt": ["a"] * 4 + ["b"] * 4, "reward": [0, 1, 1, 3, 2, 2, 5, 7]})
    >>> row = predict(table, procedure="bon:4", transform="exp:10", kl=0.3).rows[0]
    >>> row.prompts, round(row.kl, 12)
    (2, 0.3)
    """
    beta, kl = budget(beta, kl)
    procedures = [as_procedure(p) for p in _several(procedure, (Procedure, str), "procedure")]
    transforms = [
        t.strip() if isinstance(t, str) and t.strip().startswith(OPTIMAL) else as_transform(t)
        for t in _several(transform, (Transform, str), "transform")
    ]
    table = read_scores(scores, prompt=prompt, reward=reward, policy=policy, base=base)
    laws = PromptBases.of(table.rewards)
    rows = []
    for ours in procedures:
        optima = PromptOptima(laws, ours)
        best = None if beta is not None else optima.win_rates_at_kl(kl)
        for chosen in transforms:
            if chosen == OPTIMAL:
                rows.append(_optimal_row(optima, beta, kl, best))
            elif isinstance(chosen, str):
                trained = PromptOptima(laws, as_procedure(chosen.removeprefix(OPTIMAL + "@")))
                rows.append(_trained_row(chosen, optima, _trained(trained, beta, kl), best))
            else:
                family = tilted(chosen, laws)
                tilt = solve(family, kl) if beta is None else family.at(1.0 / beta, None)
                rows.append(_trained_row(chosen.name, optima, tilt, best))
    return Prediction(
        tuple(rows), int(table.rewards.values.size), _tie_fraction(laws, table.rewards.offsets),
        _few_samples(procedures, np.diff(table.rewards.offsets)),
    )  # fmt: skip


def _few_samples(procedures: list[Procedure], samples: IntArray) -> tuple[str, ...]:
    """A note for each procedure that draws more samples than an empirical law can stand for."""
    fewest = int(samples.min())
    return tuple(
        f"{ours.name} with {fewest} samples of some prompt: an empirical law has no tail beyond "
        "its own samples, so these win rates lean towards 0.5, which the interval does not cover; "
        f"take at least {8 * power_sides(ours)[1]} samples a prompt"
        for ours in procedures
        if 8 * power_sides(ours)[1] > fewest and power_sides(ours)[1] > 1
    )


def _several(given: Any, kinds: tuple[type, ...], name: str) -> list[Any]:
    if isinstance(given, kinds):
        return [given]
    if not isinstance(given, Iterable):
        raise InputError(f"{name} = {given!r} is not one; give a {name} or a list of them.")
    items = list(given)
    if not items:
        raise InputError(f"no {name} given; name at least one.")
    return items


def _trained(trained: PromptOptima, beta: float | None, kl: float) -> PromptTilt:
    """The prompts' optima for another procedure, as the policies of a training run."""
    spent = trained.win_rates_at_kl(kl)[0] if beta is None else beta
    k = 1.0 / spent if np.isfinite(spent) else 0.0
    ratio = trained.at(k) if k > 0.0 else np.zeros(trained.bases.mass.size)
    return PromptTilt(trained.bases, k, ratio)


def _trained_row(
    name: str, optima: PromptOptima, tilt: PromptTilt, best: tuple[float, float] | None
) -> PredictedRow:
    won = optima.bases.win_rates(tilt.log_ratio, optima.procedure)
    mean = float(np.mean(won))
    top = (best or optima.win_rates_at_kl(tilt.kl, saturated=True))[1]
    beta = 1.0 / tilt.k if tilt.k > 0.0 else float("inf")
    return PredictedRow(
        name, optima.procedure.name, beta, tilt.kl, mean, interval(won), top,
        top - mean, optima.bases.prompts,
    )  # fmt: skip


def _optimal_row(
    optima: PromptOptima, beta: float | None, kl: float, best: tuple[float, float] | None
) -> PredictedRow:
    laws = optima.bases
    spent = beta if best is None else best[0]
    ratio = optima.at(1.0 / spent) if spent and np.isfinite(spent) else np.zeros(laws.mass.size)
    won = laws.win_rates(ratio, optima.procedure)
    if best is None:
        kl = float(np.mean(laws.kls(ratio)))
    top = float(np.mean(won)) if best is None else best[1]
    return PredictedRow(
        OPTIMAL, optima.procedure.name, spent or 0.0, kl, top, interval(won), top, 0.0,
        laws.prompts,
    )  # fmt: skip


def interval(values: Array, level: float = 0.95) -> tuple[float, float] | None:
    """Student interval for the mean of independent prompts, cut to [0, 1]."""
    from scipy import stats

    if values.size < 2:
        return None
    error = float(np.std(values, ddof=1) / np.sqrt(values.size))
    reach = float(stats.t.ppf(0.5 + level / 2, values.size - 1)) * error
    mean = float(np.mean(values))
    return max(mean - reach, 0.0), min(mean + reach, 1.0)


def _tie_fraction(laws: PromptBases, offsets: IntArray) -> float:
    """Chance that two different samples of a prompt have equal scores; 0 for single samples."""
    samples = np.diff(offsets).astype(np.float64)
    same = laws.sums((laws.mass * laws.spread_out(samples)) ** 2) - samples
    pairs = samples * (samples - 1.0)
    fractions = np.where(pairs > 0, same / np.maximum(pairs, 1.0), 0.0)
    return float(np.mean(fractions))
