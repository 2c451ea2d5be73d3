"""Did the run do what theory promised? Scores of base and aligned policies in, an answer out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from infalign_theory.empirical.fitting.theories import CONTINUOUS, DISCRETE, Ask
from infalign_theory.empirical.scores.database import check_memory
from infalign_theory.empirical.scores.sources import ScoresLike, Source
from infalign_theory.empirical.statistics.uncertainty import mean_over_prompts
from infalign_theory.empirical.survey.surveys import survey
from infalign_theory.empirical.validation.judging import View
from infalign_theory.empirical.validation.results import Validation
from infalign_theory.errors import InputError
from infalign_theory.policies.budgets import budget
from infalign_theory.procedures import Procedure, power_sides
from infalign_theory.procedures.names import as_procedure
from infalign_theory.transforms.core import Transform
from infalign_theory.transforms.names import as_transform

STANDARD = "standard"
# from this chance of a tie on, win rates behind Best-of-N feel the grades
FREQUENT_TIES = 0.02
_FEWEST_RESAMPLES = 100


def validate(
    scores: ScoresLike,
    *,
    procedure: Procedure | str | Sequence[Procedure | str] = STANDARD,
    transform: Transform | str | None = None,
    kl: Any = None,
    beta: Any = None,
    prompt: str = "prompt",
    reward: str = "reward",
    policy: str | None = None,
    base: str | None = None,
    truth: str | None = None,
    log_ratio: str | None = None,
    sample: str | None = None,
    strict: bool = False,
    law: str = "auto",
    level: float = 0.95,
    bootstrap: int = 0,
    seed: int = 0,
    memory: str = "1GB",
    dask: Any = None,
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
    names = _procedure_names(procedure)
    if law not in ("auto", CONTINUOUS, DISCRETE):
        raise InputError(f"law = {law!r} is not known; give 'auto', 'continuous' or 'discrete'.")
    mean_over_prompts([0.0], level=level)  # refuses a bad level
    resamples = _natural(bootstrap, "bootstrap")
    if 0 < resamples < _FEWEST_RESAMPLES:
        raise InputError(
            f"bootstrap = {resamples} resamples make no interval; give {_FEWEST_RESAMPLES} or "
            "more, or 0 for Student intervals."
        )
    start = _natural(seed, "seed")
    wish = _ask(transform, beta, kl, names, level)
    columns = {
        "prompt": prompt, "reward": reward, "policy": policy, "truth": truth,
        "log_ratio": log_ratio, "sample": sample,
    }  # fmt: skip
    source = Source.of(scores, columns, by_part=policy is None)
    step = progress or (lambda name: None)
    question, share = survey(source, base, wish.procedures, check_memory(memory), dask, step)
    findings = share.findings.listed(question.policies, reward)
    view = View(question, share, wish, resamples, start)
    kept, lost = view.judgeable()
    findings += lost
    findings += [f for i in kept for f in view.too_few(i, names)]
    if strict and findings:
        more = f" (and {len(findings) - 1} more findings)" if len(findings) > 1 else ""
        raise InputError(f"strict: {findings[0].text}{more}; repair the scores or drop strict.")
    if not kept:
        raise InputError(f"{lost[-1].text}; check the columns and that prompts are named alike.")
    base_ties = mean_over_prompts(share.base.ties).value if share.base.samples.max() > 1 else 0.0
    chosen = law if law != "auto" else (DISCRETE if base_ties > FREQUENT_TIES else CONTINUOUS)
    policies = {}
    for i in kept:
        name = question.policies[1 + i]
        step(f"judging {name}")
        policies[name] = view.judged(i, chosen, names)
    return Validation(
        question.policies[0], int(share.base.samples.sum()), base_ties, policies,
        tuple(view.differences(kept, names)), tuple(findings), level,
        f"bootstrap over prompts (BCa, {resamples} resamples, seed {start})" if resamples
        else "Student t over prompts",
    )  # fmt: skip


def _procedure_names(procedure: Any) -> tuple[str, ...]:
    given = [procedure] if isinstance(procedure, (Procedure, str)) else procedure
    if not isinstance(given, Iterable):
        raise InputError(f"procedure = {given!r:.60} is not one; give one or a list of them.")
    chosen = [as_procedure(item) for item in given]
    if not chosen:
        raise InputError("no procedure given; name at least one, as in 'bon:4'.")
    for item in chosen:
        if power_sides(item)[1] == 0:
            raise InputError(
                f"procedure {item.name} has no unbiased estimator here; give standard, bon:N or "
                "won:N."
            )
    return tuple(dict.fromkeys(item.name for item in chosen))


def _natural(value: Any, name: str) -> int:
    if not isinstance(value, (int, np.integer)) or isinstance(value, bool) or value < 0:
        raise InputError(f"{name} = {value!r:.40} is not allowed; give a whole number from 0 on.")
    return int(value)


def _ask(transform: Any, beta: Any, kl: Any, names: tuple[str, ...], level: float) -> Ask:
    if isinstance(transform, str) and transform.strip().startswith("optimal"):
        raise InputError(
            f"transform {transform!r} is no transform that training applied; give the run's own, "
            "as in 'exp:10', or none to have one fitted (efficiency tells how far from optimal)."
        )
    chosen = None if transform is None else as_transform(transform)
    if beta is not None or kl is not None:
        if chosen is None:
            raise InputError(
                "beta or kl given without a transform; name the transform of the run, as in "
                "transform='exp:10' (--transform exp:10)."
            )
        beta, nats = budget(beta, kl)
        kl = None if beta is not None else nats
    # the standard win rate comes first: the KL floor needs it, asked for or not
    return Ask(chosen, beta, kl, tuple(dict.fromkeys((STANDARD, *names))), level)
