"""What one share of the prompts says: numbers a prompt, counts of what is wrong, and their union.

A share is asked for by a :class:`Question`, which can be sent to another process; the answer for
a prompt depends on that prompt's rows alone, and shares are put together in the order of prompts,
so that the union is the same bit for bit however many shares there are and whoever measured them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

import numpy as np

from infalign_theory.empirical.scores.database import database
from infalign_theory.empirical.scores.findings import Findings
from infalign_theory.empirical.scores.groups import Groups
from infalign_theory.empirical.scores.sides import Side, sides_of
from infalign_theory.empirical.scores.sources import Source
from infalign_theory.empirical.statistics import estimators
from infalign_theory.empirical.statistics.calibration import calibrate
from infalign_theory.empirical.statistics.kl import sequence_kl
from infalign_theory.kernels.segments import merge_ties
from infalign_theory.typing import Array, IntArray

if TYPE_CHECKING:
    import duckdb

EXTREMES = 5


@dataclass(frozen=True)
class Question:
    """What to measure: of which scores, policies (the base first) and procedures."""

    source: Source
    policies: tuple[str, ...]
    procedures: tuple[str, ...]
    memory: str


@dataclass(frozen=True)
class Picks:
    """Means over the pick of each procedure (rows) in each prompt: what inference returns.

    ``truth`` and ``oracle`` (the pick made by the truth itself: pass@N and all-N where truth is 0
    or 1) are NaN without a true reward.
    """

    reward: Array
    truth: Array
    oracle: Array


@dataclass(frozen=True)
class BaseNumbers:
    """The base policy, one entry a prompt; ``atoms`` counts equal scores, prompt after prompt."""

    samples: IntArray
    ties: Array
    picks: Picks
    atoms: IntArray
    atoms_each: IntArray


@dataclass(frozen=True)
class PolicyNumbers:
    """One aligned policy against the base, one entry a prompt, a row a procedure.

    ``below`` and ``equal`` rank each sample, prompt after prompt, among the base's; ``k1`` and
    ``k3`` are NaN without log-ratios.
    """

    samples: IntArray
    win_rates: Array
    true_win_rates: Array
    picks: Picks
    ties: Array
    k1: Array
    k3: Array
    below: IntArray
    equal: IntArray


@dataclass(frozen=True)
class Share:
    """The answer for one share of the prompts, or for several put together.

    ``extremes``, for each policy, are (standard win rate, prompt) of the prompts it lost and won
    most, from the lowest to the highest.
    """

    findings: Findings
    base: BaseNumbers
    policies: tuple[PolicyNumbers, ...]
    extremes: tuple[tuple[tuple[float, str], ...], ...]

    @property
    def prompts(self) -> int:
        """Number of prompts, those on one side only included."""
        return self.base.samples.size


def together(shares: Sequence[Share]) -> Share:
    """The union of shares given in the order of their prompts."""
    return Share(
        Findings.total([share.findings for share in shares]),
        _joined([share.base for share in shares]),
        tuple(_joined(list(each)) for each in zip(*(s.policies for s in shares), strict=True)),
        tuple(
            _ends([pair for found in each for pair in found])
            for each in zip(*(s.extremes for s in shares), strict=True)
        ),
    )


def _joined(parts: Sequence[Any]) -> Any:
    """Arrays joined along prompts, field by field."""
    if isinstance(parts[0], np.ndarray):
        return np.concatenate(parts, axis=-1)
    names = [field.name for field in fields(parts[0])]
    return type(parts[0])(*(_joined([getattr(part, name) for part in parts]) for name in names))


def _ends(pairs: list[tuple[float, str]]) -> tuple[tuple[float, str], ...]:
    ordered = sorted(pairs)
    if len(ordered) <= 2 * EXTREMES:
        return tuple(ordered)
    return tuple(ordered[:EXTREMES] + ordered[-EXTREMES:])


def answer(question: Question, share: int, shares: int) -> Share:
    """Read one share of the prompts from the files and measure it: what a worker does."""
    with database(question.memory) as connection:
        question.source.load(connection, share, shares)
        return measure(connection, question)


def measure(
    connection: duckdb.DuckDBPyConnection, question: Question, share: int = 0, shares: int = 1
) -> Share:
    """Measure one share of the prompts of the loaded table."""
    sides = sides_of(connection, question.source.columns, question.policies, share, shares)
    findings, names = sides.findings, sides.prompts
    base, aligned = sides.policies[0], sides.policies[1:]
    for pid, side in enumerate(aligned, 1):
        ours, theirs = side.scores.sizes > 0, base.scores.sizes > 0
        for kind, alone in (("only_base", theirs & ~ours), ("only_policy", ours & ~theirs)):
            if alone.any():
                at = np.flatnonzero(alone)
                findings.found[kind, pid] = (at.size, names[at[0]])
    measured = tuple(_policy_numbers(side, base, question.procedures) for side in aligned)
    extremes = tuple(
        _ends([(float(w), names[i]) for i, w in _outermost(p.win_rates[0])]) for p in measured
    )
    return Share(findings, _base_numbers(base, question.procedures), measured, extremes)


def _outermost(rates: Array) -> list[tuple[int, float]]:
    known = np.flatnonzero(~np.isnan(rates))
    order = known[np.argsort(rates[known], kind="stable")]
    if order.size > 2 * EXTREMES:
        order = np.concatenate([order[:EXTREMES], order[-EXTREMES:]])
    return [(int(i), float(rates[i])) for i in order]


def _picks(side: Side, procedures: Sequence[str]) -> Picks:
    nothing = np.full((len(procedures), side.scores.prompts), np.nan)
    reward = _rows(estimators.picked_truth(side.scores, side.scores.values, p) for p in procedures)
    if side.truth is None:
        return Picks(reward, nothing, nothing)
    truth = _rows(estimators.picked_truth(side.scores, side.truth, p) for p in procedures)
    owner, missing = side.scores.owner, np.isnan(side.truth)
    filled = np.where(missing, 0.0, side.truth)
    by_truth = Groups(filled[np.lexsort((filled, owner))], side.scores.offsets)
    oracle = _rows(estimators.picked_truth(by_truth, by_truth.values, p) for p in procedures)
    oracle[:, np.unique(owner[missing])] = np.nan
    return Picks(reward, truth, oracle)


def _rows(arrays: Any) -> Array:
    return np.stack(list(arrays))


def _base_numbers(base: Side, procedures: Sequence[str]) -> BaseNumbers:
    scores = base.scores
    held = scores.sizes > 0
    each = np.zeros(scores.prompts, dtype=np.int32)
    atoms = np.empty(0, dtype=np.int32)
    if held.any():
        filled = np.append(scores.offsets[:-1][held], scores.values.size)
        mass, ends = merge_ties(scores.values, filled)
        each[held] = np.diff(ends)
        atoms = np.rint(mass * np.repeat(scores.sizes, each)).astype(np.int32)
    return BaseNumbers(
        scores.sizes, estimators.tie_fractions(scores), _picks(base, procedures), atoms, each
    )


def _policy_numbers(side: Side, base: Side, procedures: Sequence[str]) -> PolicyNumbers:
    scores, nothing = side.scores, np.full(side.scores.prompts, np.nan)
    ranks = calibrate(scores, base.scores)
    win_rates = _rows(estimators.win_rates(scores, base.scores, p) for p in procedures)
    truths = np.full(win_rates.shape, np.nan)
    if side.truth is not None and base.truth is not None:
        ours, theirs = side.truth, base.truth
        truths = _rows(
            estimators.picked_win_rates(scores, ours, base.scores, theirs, p) for p in procedures
        )
    k1, k3 = nothing, nothing
    if side.log_ratio is not None:
        known = ~np.isnan(side.log_ratio)
        left = np.concatenate([[0], np.cumsum(known)])[scores.offsets]
        ratios = Groups(side.log_ratio[known], left)
        k1, k3 = sequence_kl(ratios, "k1"), sequence_kl(ratios, "k3")
    return PolicyNumbers(
        scores.sizes, win_rates, truths, _picks(side, procedures),
        estimators.cross_tie_fractions(scores, base.scores), k1, k3,
        ranks.below.astype(np.int32), ranks.equal.astype(np.int32),
    )  # fmt: skip
