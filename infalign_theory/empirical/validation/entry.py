"""Did the run do what theory promised? Scores of base and aligned policies in, an answer out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from infalign_theory.empirical.fitting.laws import Law
from infalign_theory.empirical.scores.database import check_memory
from infalign_theory.empirical.scores.findings import Finding
from infalign_theory.empirical.scores.sources import ScoresLike, Source
from infalign_theory.empirical.scores.wide import WideLike
from infalign_theory.empirical.statistics.duels import Duel
from infalign_theory.empirical.statistics.ties import FREQUENT_TIES
from infalign_theory.empirical.statistics.uncertainty import mean_over_prompts
from infalign_theory.empirical.survey.surveys import survey
from infalign_theory.empirical.validation.judging import Judge
from infalign_theory.empirical.validation.request import (
    AUTO,
    STANDARD,
    duels_asked,
    law_named,
    resampling,
    theory_request,
)
from infalign_theory.empirical.validation.results import Validation
from infalign_theory.errors import InputError
from infalign_theory.procedures import Procedure
from infalign_theory.transforms.core import Transform

if TYPE_CHECKING:
    from dask.distributed import Client


def validate(
    scores: ScoresLike,
    *,
    procedure: Procedure | str | Sequence[Procedure | str] = STANDARD,
    against_procedure: Procedure | str | None = None,
    transform: Transform | str | None = None,
    kl: float | None = None,
    beta: float | None = None,
    prompt: str = "prompt",
    reward: str = "reward",
    policy: str | None = None,
    base: str | None = None,
    truth: str | None = None,
    log_ratio: str | None = None,
    wide: WideLike | None = None,
    sample: str | None = None,
    strict: bool = False,
    law: str = AUTO,
    level: float = 0.95,
    bootstrap: int = 0,
    seed: int = 0,
    memory: str = "1GB",
    dask: Client | str | bool | None = None,
    progress: Callable[[str], None] | None = None,
) -> Validation:
    r"""Judge aligned policies by their scores: win rates, KL, and what theory expected of them.

    Win rates are the unbiased, tie-aware U-statistics over all pairs of size-N subsets of a
    prompt's samples, averaged over prompts, which are the independent unit of every interval.
    Theory is a tilt f(u) proportional to exp(k Phi(u)): by default the best of an exponential of
    any exponent, the logarithm and the identity, fitted to calibrated rewards and corrected for a
    finite number of base samples; or it is the transform and beta (or kl) that the run was meant
    to have.

    Parameters
    ----------
    scores : path, sequence of paths, table, or mapping of policy name to either
        A row a sample. Without ``policy`` every path or entry is one policy, named by the file.
    procedure : Procedure or str, or a sequence of them
        ``"standard"``, ``"bon:4"``, ``"won:4"``; N up to the samples there are.
    against_procedure : Procedure or str, optional
        What inference does to the base, whatever it does to the policies; by default the same as
        each of ``procedure``. With another one the base itself would not win one half: what
        it would win in the policy's place is told beside every win rate.
    transform : Transform or str, optional
        What training applied to the calibrated reward. Alone, its k is fitted.
    kl, beta : float, optional
        At most one, with ``transform``: what the run was meant to spend (nats), or its
        regularisation; then nothing is fitted.
    prompt, reward, policy : str
        Column names.
    base : str, optional
        Name of the base policy; ``"base"`` where there is one of that name.
    truth, log_ratio, sample : str, optional
        Columns of the true reward (0 or 1, or any number), of log pi/pi_ref of the whole sequence
        in nats, and of the name of the sample.
    wide : bool, str, list or mapping, optional
        Several columns of rewards a row: True, a pattern, names, or one of them a policy. In a
        single wide table columns of one stem are a policy: ``base_0``, ``base_1``, ``tuned_0``.
    strict : bool
        Make an error of anything wrong with the scores, instead of counting and reporting it.
    law : {"auto", "continuous", "discrete"}
        Base of the theory. "auto" takes each prompt's own discrete law where two base samples of
        a prompt tie with a chance above 2 %.
    level : float
        Confidence level.
    bootstrap, seed : int
        Resamples of prompts for bootstrap intervals (BCa) of win rates, at least 100; 0 for
        Student intervals.
    memory : str
        What DuckDB may use before it spills to disk.
    dask : str, distributed.Client or True, optional
        A Dask scheduler that shares the prompts out, or True for a cluster on this machine; the
        result is the same bit for bit. Needs the extra ``distributed`` and files that every
        worker sees.
    progress : callable, optional
        Told what starts.

    Returns
    -------
    Validation

    Raises
    ------
    InputError
        For unusable scores, names or numbers; with ``strict`` for any finding.
    OutOfReachError
        For a KL that ``transform`` cannot spend.

    References
    ----------
    InfAlign, arXiv 2412.19792; Hoeffding (1948) for U-statistics.

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> rng = np.random.default_rng(0)
    >>> rows = [(p, "base", x) for p in range(60) for x in rng.normal(size=8)]
    >>> rows += [(p, "tuned", x) for p in range(60) for x in rng.normal(0.6, 1, size=8)]
    >>> table = pd.DataFrame(rows, columns=["prompt", "policy", "reward"])
    >>> found = validate(table, policy="policy", procedure=["bon:4", "won:4"])
    >>> row = found.policies["tuned"].win_rates[0]
    >>> row.procedure, row.prompts, abs(row.z) < 3
    ('bon:4', 60, True)
    """
    duels = duels_asked(procedure, against_procedure)
    kind = law_named(law)
    resamples, start = resampling(bootstrap, seed)
    request = theory_request(transform, beta=beta, kl=kl, duels=duels, level=level)
    columns = {"prompt": prompt, "reward": reward, "policy": policy}
    columns |= {"truth": truth, "log_ratio": log_ratio, "sample": sample}
    source = Source.of(scores, columns, by_part=policy is None, wide=wide)
    step = progress or (lambda name: None)
    question, measured = survey(
        source, base, request.duels, memory=check_memory(memory), dask=dask, step=step
    )
    judge = Judge(question, measured, request, resamples, start)
    kept, findings = _judgeable(judge, duels, reward, strict=strict)
    ties = measured.base.ties[measured.base.samples > 1]
    base_ties = mean_over_prompts(ties).value if ties.size else 0.0
    if kind is None:
        kind = Law.DISCRETE if base_ties > FREQUENT_TIES else Law.CONTINUOUS
    policies = {}
    for i in kept:
        name = question.policies[1 + i]
        step(f"judging {name}")
        policies[name] = judge.judged(i, kind, duels)
    made = f"bootstrap over prompts (BCa, {resamples} resamples, seed {start})"
    return Validation(
        base=question.policies[0],
        base_samples=int(measured.base.samples.sum()),
        base_tie_fraction=base_ties,
        policies=policies,
        differences=tuple(judge.differences(kept, duels)),
        findings=findings,
        level=level,
        interval=made if resamples else "Student t over prompts",
    )


def _judgeable(
    judge: Judge, duels: tuple[Duel, ...], reward: str, *, strict: bool
) -> tuple[list[int], tuple[Finding, ...]]:
    """Policies that can be judged and everything found about the scores; refuses what it must."""
    findings = judge.measured.findings.listed(judge.question.policies, reward)
    kept, lost = judge.judgeable()
    findings += lost
    findings += [finding for i in kept for finding in judge.too_few(i, duels)]
    if strict and findings:
        more = f" (and {len(findings) - 1} more findings)" if len(findings) > 1 else ""
        raise InputError(f"strict: {findings[0].text}{more}; repair the scores or drop strict.")
    if not kept:
        raise InputError(f"{lost[-1].text}; check the columns and that prompts are named alike.")
    return kept, tuple(findings)
