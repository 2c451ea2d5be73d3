"""What one share of the prompts says: numbers a prompt, counts of what is wrong, and their union.

A share of the prompts is asked for by a :class:`Question`; the answer for a prompt depends on that
prompt's rows alone, and shares are put together in the order of prompts, so that the union is the
same bit for bit however many shares there are and whoever measured them.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from infalign_theory.empirical.scores.database import database
from infalign_theory.empirical.scores.findings import Findings
from infalign_theory.empirical.scores.groups import Groups, share_out
from infalign_theory.empirical.scores.sides import Side, sides_of
from infalign_theory.empirical.statistics import estimators
from infalign_theory.empirical.statistics.calibration import Calibration, calibrate
from infalign_theory.empirical.statistics.duels import Duel
from infalign_theory.empirical.statistics.kl import sequence_kl
from infalign_theory.empirical.survey.questions import Question
from infalign_theory.kernels import perfect_proxy
from infalign_theory.kernels.perfect_proxy import Judged
from infalign_theory.kernels.segments import merge_ties
from infalign_theory.typing import Array, IntArray

if TYPE_CHECKING:
    import duckdb

EXTREMES = 5


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
    """One aligned policy against the base, one entry a prompt, a row a duel.

    ``below`` and ``equal`` rank each sample, prompt after prompt, among the base's; ``k1``, the
    variance of that mean and ``k3`` are NaN without log-ratios. ``perfect_win_rates`` are the true
    win rates that a perfect proxy of the same truth would have.
    """

    samples: IntArray
    win_rates: Array
    true_win_rates: Array
    perfect_win_rates: Array
    picks: Picks
    ties: Array
    k1: Array
    k1_variance: Array
    k3: Array
    below: IntArray
    equal: IntArray


Numbers = TypeVar("Numbers", Picks, BaseNumbers, PolicyNumbers)


@dataclass(frozen=True)
class Measurements:
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


def united(shares: Sequence[Measurements]) -> Measurements:
    """The union of shares given in the order of their prompts."""
    policies = zip(*(share.policies for share in shares), strict=True)
    extremes = zip(*(share.extremes for share in shares), strict=True)
    return Measurements(
        Findings.total([share.findings for share in shares]),
        _joined([share.base for share in shares]),
        tuple(_joined(each) for each in policies),
        tuple(_ends([pair for found in each for pair in found]) for each in extremes),
    )


def _joined(parts: Sequence[Numbers]) -> Numbers:
    """Records whose arrays are joined along prompts, field by field."""
    joined: dict[str, Any] = {}  # a field holds an array, or a record of arrays
    for field in fields(parts[0]):
        values = [getattr(part, field.name) for part in parts]
        one = isinstance(values[0], np.ndarray)
        joined[field.name] = np.concatenate(values, axis=-1) if one else _joined(values)
    return type(parts[0])(**joined)


def _ends(pairs: list[tuple[float, str]]) -> tuple[tuple[float, str], ...]:
    ordered = sorted(pairs)
    if len(ordered) <= 2 * EXTREMES:
        return tuple(ordered)
    return tuple(ordered[:EXTREMES] + ordered[-EXTREMES:])


def measure_share(question: Question, share: int, shares: int) -> Measurements:
    """Read one share of the prompts from the files and measure it: what a worker does."""
    with database(question.memory) as connection:
        question.source.load(connection, share, shares)
        return measure(connection, question)


def measure(
    connection: duckdb.DuckDBPyConnection, question: Question, share: int = 0, shares: int = 1
) -> Measurements:
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
    measured = tuple(_policy_numbers(side, base, question.duels) for side in aligned)
    extremes = tuple(
        _ends([(float(w), names[i]) for i, w in _outermost(p.win_rates[0])]) for p in measured
    )
    numbers = _base_numbers(base, [duel.against for duel in question.duels])
    return Measurements(findings, numbers, measured, extremes)


def _outermost(rates: Array) -> list[tuple[int, float]]:
    known = np.flatnonzero(~np.isnan(rates))
    order = known[np.argsort(rates[known], kind="stable")]
    if order.size > 2 * EXTREMES:
        order = np.concatenate([order[:EXTREMES], order[-EXTREMES:]])
    return [(int(i), float(rates[i])) for i in order]


def _picks(side: Side, procedures: Sequence[str]) -> Picks:
    """What inference returns, on average."""
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


def _rows(arrays: Iterable[Array]) -> Array:
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


def _policy_numbers(side: Side, base: Side, duels: Sequence[Duel]) -> PolicyNumbers:
    scores = side.scores
    ranks = calibrate(scores, base.scores)
    true, perfect = _true_win_rates(side, base, duels)
    k1, k1_variance, k3 = _sequence_kls(side)
    return PolicyNumbers(
        samples=scores.sizes,
        win_rates=_win_rates(ranks, base.scores, duels),
        true_win_rates=true,
        perfect_win_rates=perfect,
        picks=_picks(side, [duel.procedure for duel in duels]),
        ties=estimators.cross_tie_fractions(scores, base.scores),
        k1=k1,
        k1_variance=k1_variance,
        k3=k3,
        below=ranks.below.astype(np.int32),
        equal=ranks.equal.astype(np.int32),
    )


def _win_rates(ranks: Calibration, base: Groups, duels: Sequence[Duel]) -> Array:
    """Win rates by prompt, exact where every comparison has the same winner."""
    found = _rows(estimators.win_rates(ranks.groups, base, d.ours, d.theirs) for d in duels)
    size, owner = ranks.groups.prompts, ranks.groups.owner
    alike = (
        (ranks.below == ranks.trials, 1.0),
        (ranks.below + ranks.equal == 0, 0.0),
        (ranks.equal == ranks.trials, 0.5),
    )
    for same, value in alike:
        everywhere = np.bincount(owner, ~same, size) == 0
        found = np.where(everywhere & ~np.isnan(found), value, found)
    return found


def _true_win_rates(side: Side, base: Side, duels: Sequence[Duel]) -> tuple[Array, Array]:
    """Win rates by the true reward: as they are, and as a perfect proxy would have them."""
    nothing = np.full((len(duels), side.scores.prompts), np.nan)
    if side.truth is None or base.truth is None:
        return nothing, nothing
    true = _rows(
        estimators.picked_win_rates(
            side.scores, side.truth, base.scores, base.truth, d.ours, against_procedure=d.theirs
        )
        for d in duels
    )
    perfect = np.empty_like(true)
    samples = side.scores.values.size + base.scores.values.size
    for at, duel in enumerate(duels):
        ours, theirs = (
            Judged(one.scores.values, truth, one.scores.offsets, n, sign >= 0)
            for one, truth, (sign, n) in zip(
                (side, base), (side.truth, base.truth), duel.sides, strict=True
            )
        )

        def run(
            first: int, last: int, ours: Judged = ours, theirs: Judged = theirs, at: int = at
        ) -> None:
            perfect_proxy.win_rates(ours, theirs, out=perfect[at], span=(first, last))

        share_out(run, side.scores.prompts, samples)
    return true, perfect


def _sequence_kls(side: Side) -> tuple[Array, Array, Array]:
    """KL by prompt from the log-ratios that are known: k1, its variance, k3; NaN without any."""
    if side.log_ratio is None:
        nothing = np.full(side.scores.prompts, np.nan)
        return nothing, nothing, nothing
    known = ~np.isnan(side.log_ratio)
    left = np.concatenate([[0], np.cumsum(known)])[side.scores.offsets]
    ratios = Groups(side.log_ratio[known], left)
    k1 = sequence_kl(ratios, "k1")
    off = ratios.values - ratios.spread(k1)
    with np.errstate(invalid="ignore", divide="ignore"):
        variance = ratios.sums(off**2) / (ratios.sizes * (ratios.sizes - 1.0))
    return k1, np.where(ratios.sizes > 1, variance, np.nan), sequence_kl(ratios, "k3")
