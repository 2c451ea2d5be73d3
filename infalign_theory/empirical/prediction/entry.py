"""What theory predicts for a training run, from scores of the base model alone."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from infalign_theory.comparison.choices import Choice, as_choices
from infalign_theory.empirical.prediction.continuous import continuous_row
from infalign_theory.empirical.prediction.discrete import Contest, discrete_row
from infalign_theory.empirical.prediction.files import one_policy
from infalign_theory.empirical.prediction.results import PredictedRow, Prediction
from infalign_theory.empirical.prediction.truths import TruthRows
from infalign_theory.empirical.scores.reading import read_scores
from infalign_theory.empirical.scores.sources import ScoresLike
from infalign_theory.empirical.scores.wide import WideLike
from infalign_theory.empirical.statistics.estimators import mean_tie_fraction
from infalign_theory.empirical.statistics.prompt_bases import PromptBases
from infalign_theory.empirical.statistics.ties import BaseLaw
from infalign_theory.empirical.statistics.truth import TruthPairs
from infalign_theory.errors import InputError
from infalign_theory.policies.budgets import budget
from infalign_theory.procedures import Procedure, power_sides
from infalign_theory.procedures.names import as_procedure, several
from infalign_theory.transforms.core import Transform

_ENOUGH = 8  # samples a prompt for each draw of a procedure
_WHOLE_LAW = (
    "the base counts as continuous ({ties:.1f} % of pairs tie): these numbers hold for any reward "
    "without ties and do not depend on the scores, hence no interval; the scores are still good "
    "for law='discrete' (--law discrete), for the truth behind them (truth=, --truth), for "
    "calibrating a reward and for judging the run afterwards"
)


def predict(
    scores: ScoresLike,
    *,
    procedure: Procedure | str | Sequence[Procedure | str],
    transform: Transform | str | Sequence[Transform | str],
    kl: float | None = None,
    beta: float | None = None,
    against_procedure: Procedure | str | None = None,
    prompt: str = "prompt",
    reward: str = "reward",
    policy: str | None = None,
    base: str | None = None,
    truth: str | None = None,
    law: str = "auto",
    wide: WideLike | None = None,
    memory: str = "1GB",
) -> Prediction:
    """Predict the win rate of a training run from scores of the base model.

    Where ties are rare the base is continuous and the answer is that of theory for any reward.
    Where they matter, each prompt's empirical law, ties and all, is a discrete base; training uses
    one beta for all prompts, so a KL budget is the mean KL over prompts.

    Parameters
    ----------
    scores : ScoresLike
        A row a sample of the base model: CSV, TSV, JSON, JSON lines or Parquet files, each also
        gzipped, folders, patterns, ``"-"`` for standard input; a pandas, Polars or Arrow table, a
        list of dicts or a dict of columns. Lists of rewards per prompt are unrolled.
    procedure : Procedure or str, or a sequence of them
        What inference will do: ``"bon:4"``, ``"bon:2,4"``.
    transform : Transform or str, or a sequence of them
        Candidates for training: ``"exp:10"``; ``"optimal"`` for each prompt's coupled optimum,
        ``"optimal@bon:4"`` for the optimum of another procedure.
    kl, beta : float, optional
        Exactly one: the mean KL over prompts in nats, or the regularisation strength.
    against_procedure : Procedure or str, optional
        What inference does to the base; the same by default.
    prompt, reward, truth : str
        Column names, ``scores.rm`` for nested keys. With ``truth``, rows tell the true win rate.
    policy, base : str, optional
        Column that names the policy, and which one is the base, where a table holds several;
        ``base`` alone names one of several files, by its stem.
    law : {"auto", "continuous", "discrete"}
        Base of each prompt. "auto" takes the discrete one where two samples of a prompt tie with
        a chance above 2 %.
    wide : bool, str, list or mapping, optional
        Several columns of rewards a row: True, a pattern, names, or one of them a policy.
    memory : str
        What DuckDB may use before it spills to disk.

    Returns
    -------
    Prediction

    Raises
    ------
    InputError
        For unusable scores, names or numbers, and for files that are not of one policy.
    OutOfReachError
        For a budget that no policy on these scores can spend; the largest is named.

    References
    ----------
    InfAlign, arXiv 2412.19792; the intervals are derived in docs/mathematics/scores.md.

    Examples
    --------
    >>> rewards = {"a": [0, 1, 1, 3], "b": [2, 2, 5, 7]}
    >>> row = predict(rewards, procedure="bon:4", transform="exp:10", kl=0.3).rows[0]
    >>> row.prompts, row.law, round(row.kl, 12)
    (2, 'discrete', 0.3)
    """
    strength, nats = budget(beta, kl)
    procedures = _listed(procedure)
    choices = _choices(transform)
    against = None if against_procedure is None else as_procedure(against_procedure)
    wished = BaseLaw.of(law)
    table = read_scores(
        scores,
        prompt=prompt,
        reward=reward,
        policy=policy,
        base=base,
        truth=truth,
        wide=wide,
        memory=memory,
    )
    notes = list(one_policy(table.by_file)) + [found.text for found in table.findings]
    ties = mean_tie_fraction(table.rewards)
    chosen = wished.chosen(ties)
    pairs = None
    if truth is not None and table.truth is not None:
        pairs = TruthPairs.of(table.rewards, table.truth)
    bases = PromptBases.of(table.rewards)
    rows: list[PredictedRow] = []
    for ours in procedures:
        contest = Contest(table.rewards, bases, ours, against)
        found = _rows(choices, contest, chosen, strength, nats)
        if pairs is not None:
            true = TruthRows(pairs, contest)
            completed = [true.completed(row, c) for row, c in zip(found, choices, strict=True)]
            found = [row for row, _ in completed]
            notes += [note for _, told in completed for note in told]
        rows += found
    if chosen is BaseLaw.CONTINUOUS:
        notes.append(_WHOLE_LAW.format(ties=100 * ties))
    else:
        notes += _few_samples(procedures, int(table.rewards.sizes.min()))
    return Prediction(
        tuple(rows),
        int(table.rewards.values.size),
        ties,
        tuple(dict.fromkeys(notes)),
        pairs is not None,
    )


def _rows(
    choices: list[Choice], contest: Contest, law: BaseLaw, beta: float | None, nats: float
) -> list[PredictedRow]:
    """A row a choice, on the kind of base that was chosen."""
    if law is BaseLaw.CONTINUOUS:
        ours, against, prompts = contest.procedure, contest.against, contest.bases.prompts
        kl = nats if beta is None else None
        return [continuous_row(c, ours, against, prompts, beta=beta, kl=kl) for c in choices]
    best = contest.optima.win_rates_at_kl(nats) if beta is None else None
    return [discrete_row(c, contest, beta, nats, best) for c in choices]


def _listed(procedure: Procedure | str | Sequence[Procedure | str]) -> list[Procedure]:
    if not isinstance(procedure, (Procedure, str)) and not isinstance(procedure, Iterable):
        raise InputError(f"procedure = {procedure!r} is not one; give one or a list of them.")
    return several(procedure)


def _choices(transform: Transform | str | Sequence[Transform | str]) -> list[Choice]:
    if not isinstance(transform, (Transform, str)) and not isinstance(transform, Iterable):
        raise InputError(f"transform = {transform!r} is not one; give one or a list of them.")
    found = as_choices(transform)
    if not found:
        raise InputError("no transform given; name at least one.")
    return found


def _few_samples(procedures: list[Procedure], fewest: int) -> list[str]:
    """A note for each procedure that draws more samples than an empirical law can stand for."""
    return [
        f"{ours.name} with {fewest} samples of some prompt: an empirical law has no tail beyond "
        "its own samples, so win_rate leans towards 0.5; corrected and the interval make up for "
        "most of that, less so for steep transforms: take at least "
        f"{_ENOUGH * power_sides(ours)[1]} samples a prompt"
        for ours in procedures
        if _ENOUGH * power_sides(ours)[1] > fewest and power_sides(ours)[1] > 1
    ]
