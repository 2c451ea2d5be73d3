"""What one share of the prompts says: numbers a prompt, counts of what is wrong, and their union.

A share of the prompts is asked for by a :class:`Question`; the answer for a prompt depends on that
prompt's rows alone, and shares are put together in the order of prompts, so that the union is the
same bit for bit however many shares there are and whoever measured them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from itertools import pairwise
from typing import TYPE_CHECKING, TypeVar

import numpy as np

from infalign_theory.empirical.scores.findings import Findings, audit
from infalign_theory.empirical.scores.groups import Groups, share_out
from infalign_theory.empirical.scores.sources import database
from infalign_theory.empirical.statistics import estimators
from infalign_theory.empirical.statistics.calibration import Calibration, calibrate
from infalign_theory.empirical.statistics.kl import sequence_kl
from infalign_theory.empirical.survey.questions import Question
from infalign_theory.kernels import perfect_proxy
from infalign_theory.kernels.perfect_proxy import Judged
from infalign_theory.kernels.segments import merge_ties
from infalign_theory.procedures import power_sides
from infalign_theory.procedures.names import as_procedure
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
    """One aligned policy against the base, one entry a prompt, a row a procedure.

    ``below`` and ``equal`` rank each sample, prompt after prompt, among the base's; ``k1`` and
    ``k3`` are NaN without log-ratios. ``perfect_win_rates`` are the true win rates that a perfect
    proxy of the same truth would have.
    """

    samples: IntArray
    win_rates: Array
    true_win_rates: Array
    perfect_win_rates: Array
    picks: Picks
    ties: Array
    k1: Array
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
    joined = {}
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
    _choose(connection, question.policies, share, shares)
    findings = audit(connection, question.source.columns)
    names = _number_prompts(connection)
    columns = question.source.columns
    values, ends = _sorted_rows(connection, columns, len(names), len(question.policies))
    sides = [
        _PolicySamples.of({role: column[first:last] for role, column in values.items()}, len(names))
        for first, last in pairwise(ends)
    ]
    base, aligned = sides[0], sides[1:]
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
    return Measurements(findings, _base_numbers(base, question.procedures), measured, extremes)


def _outermost(rates: Array) -> list[tuple[int, float]]:
    known = np.flatnonzero(~np.isnan(rates))
    order = known[np.argsort(rates[known], kind="stable")]
    if order.size > 2 * EXTREMES:
        order = np.concatenate([order[:EXTREMES], order[-EXTREMES:]])
    return [(int(i), float(rates[i])) for i in order]


def _choose(
    connection: duckdb.DuckDBPyConnection, policies: Sequence[str], share: int, shares: int
) -> None:
    """Rows of the share in a table ``chosen``, policies as numbers, unknown ones NULL."""
    connection.execute("CREATE OR REPLACE TEMP TABLE policies (pid TINYINT, policy VARCHAR)")
    connection.executemany("INSERT INTO policies VALUES (?, ?)", list(enumerate(policies)))
    condition = f"WHERE ((key >> 32) * {shares}) >> 32 = {share}" if shares > 1 else ""
    connection.execute(
        "CREATE OR REPLACE TEMP VIEW chosen AS SELECT source.*, pid FROM source "
        f"LEFT JOIN policies USING (policy) {condition}"
    )


def _number_prompts(connection: duckdb.DuckDBPyConnection) -> list[str]:
    """Prompts of usable rows in the order of their hashes, numbered in a table ``prompts``."""
    connection.execute(
        "CREATE OR REPLACE TEMP TABLE prompts AS SELECT prompt, "
        "CAST(row_number() OVER (ORDER BY key, prompt) - 1 AS INTEGER) AS id "
        "FROM (SELECT DISTINCT key, prompt FROM usable)"
    )
    rows = connection.execute("SELECT prompt FROM prompts ORDER BY id").fetchall()
    return [row[0] for row in rows]


def _sorted_rows(
    connection: duckdb.DuckDBPyConnection, columns: Mapping[str, str], prompts: int, policies: int
) -> tuple[dict[str, Array], IntArray]:
    """Usable rows sorted by policy, prompt and values, and where each policy ends."""
    roles = ["reward", *(role for role in ("truth", "log_ratio") if role in columns)]
    values = ", ".join(f"coalesce({role}, 'nan'::DOUBLE) AS {role}" for role in roles)
    # rows of equal scores in one order, whoever sorts: sums over them are then the same
    found = connection.execute(
        f"SELECT CAST(pid AS BIGINT) * {prompts} + id AS place, {values} "
        f"FROM usable JOIN prompts USING (prompt) ORDER BY place, {', '.join(roles)}"
    ).fetchnumpy()
    place = np.asarray(found["place"])
    out = {role: np.ascontiguousarray(found[role], dtype=np.float64) for role in roles}
    ends = np.searchsorted(place, np.arange(policies + 1) * prompts)
    out["place"] = place % max(prompts, 1)
    return out, ends


@dataclass(frozen=True)
class _PolicySamples:
    """Samples of one policy, prompt after prompt, sorted by score."""

    scores: Groups
    truth: Array | None
    log_ratio: Array | None

    @classmethod
    def of(cls, columns: dict[str, Array], prompts: int) -> _PolicySamples:
        """From sorted columns, among them the number of each row's prompt."""
        offsets = np.searchsorted(columns["place"], np.arange(prompts + 1))
        scores = Groups(columns["reward"], offsets)
        return cls(scores, columns.get("truth"), columns.get("log_ratio"))

    def picks(self, procedures: Sequence[str]) -> Picks:
        """What inference returns, on average."""
        nothing = np.full((len(procedures), self.scores.prompts), np.nan)
        reward = _rows(
            estimators.picked_truth(self.scores, self.scores.values, p) for p in procedures
        )
        if self.truth is None:
            return Picks(reward, nothing, nothing)
        truth = _rows(estimators.picked_truth(self.scores, self.truth, p) for p in procedures)
        owner, missing = self.scores.owner, np.isnan(self.truth)
        filled = np.where(missing, 0.0, self.truth)
        by_truth = Groups(filled[np.lexsort((filled, owner))], self.scores.offsets)
        oracle = _rows(estimators.picked_truth(by_truth, by_truth.values, p) for p in procedures)
        oracle[:, np.unique(owner[missing])] = np.nan
        return Picks(reward, truth, oracle)


def _rows(arrays: Iterable[Array]) -> Array:
    return np.stack(list(arrays))


def _base_numbers(base: _PolicySamples, procedures: Sequence[str]) -> BaseNumbers:
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
        scores.sizes, estimators.tie_fractions(scores), base.picks(procedures), atoms, each
    )


def _policy_numbers(
    side: _PolicySamples, base: _PolicySamples, procedures: Sequence[str]
) -> PolicyNumbers:
    scores = side.scores
    ranks = calibrate(scores, base.scores)
    true, perfect = _true_win_rates(side, base, procedures)
    k1, k3 = _sequence_kls(side)
    return PolicyNumbers(
        samples=scores.sizes,
        win_rates=_win_rates(ranks, base.scores, procedures),
        true_win_rates=true,
        perfect_win_rates=perfect,
        picks=side.picks(procedures),
        ties=estimators.cross_tie_fractions(scores, base.scores),
        k1=k1,
        k3=k3,
        below=ranks.below.astype(np.int32),
        equal=ranks.equal.astype(np.int32),
    )


def _win_rates(ranks: Calibration, base: Groups, procedures: Sequence[str]) -> Array:
    """Win rates by prompt, exact where every comparison has the same winner."""
    found = _rows(estimators.win_rates(ranks.groups, base, p) for p in procedures)
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


def _true_win_rates(
    side: _PolicySamples, base: _PolicySamples, procedures: Sequence[str]
) -> tuple[Array, Array]:
    """Win rates by the true reward: as they are, and as a perfect proxy would have them."""
    nothing = np.full((len(procedures), side.scores.prompts), np.nan)
    if side.truth is None or base.truth is None:
        return nothing, nothing
    true = _rows(
        estimators.picked_win_rates(side.scores, side.truth, base.scores, base.truth, p)
        for p in procedures
    )
    ours = Judged(side.scores.values, side.truth, side.scores.offsets)
    theirs = Judged(base.scores.values, base.truth, base.scores.offsets)
    perfect = np.empty_like(true)
    for at, name in enumerate(procedures):
        sign, n = power_sides(as_procedure(name))

        def run(
            first: int, last: int, n: int = n, best: bool = sign >= 0, out: Array = perfect[at]
        ) -> None:
            perfect_proxy.win_rates(ours, theirs, n, best, out=out, span=(first, last))

        share_out(run, side.scores.prompts, ours.scores.size + theirs.scores.size)
    return true, perfect


def _sequence_kls(side: _PolicySamples) -> tuple[Array, Array]:
    """KL by prompt from the log-ratios that are known, k1 and k3; NaN without any."""
    if side.log_ratio is None:
        nothing = np.full(side.scores.prompts, np.nan)
        return nothing, nothing
    known = ~np.isnan(side.log_ratio)
    left = np.concatenate([[0], np.cumsum(known)])[side.scores.offsets]
    ratios = Groups(side.log_ratio[known], left)
    return sequence_kl(ratios, "k1"), sequence_kl(ratios, "k3")
