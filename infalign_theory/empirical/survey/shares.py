"""What one share of the prompts says: numbers a prompt, counts of what is wrong, and their union.

A share is asked for by a :class:`Question`, which can be sent to another process; the answer for
a prompt depends on that prompt's rows alone, and shares are put together in the order of prompts,
so that the union is the same bit for bit however many shares there are and whoever measured them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from infalign_theory.empirical.scores.findings import Findings, audit
from infalign_theory.empirical.scores.groups import Groups
from infalign_theory.empirical.scores.sources import Source, database
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
    _choose(connection, question.policies, share, shares)
    findings = audit(connection, question.source.columns)
    names = _number_prompts(connection)
    columns = question.source.columns
    values, ends = _sorted_rows(connection, columns, len(names), len(question.policies))
    sides = [
        _Side.of({role: column[first:last] for role, column in values.items()}, len(names))
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
    return Share(findings, _base_numbers(base, question.procedures), measured, extremes)


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
    connection: duckdb.DuckDBPyConnection, columns: Any, prompts: int, policies: int
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
class _Side:
    """Samples of one policy, prompt after prompt, sorted by score."""

    scores: Groups
    truth: Array | None
    log_ratio: Array | None

    @classmethod
    def of(cls, columns: dict[str, Array], prompts: int) -> _Side:
        offsets = np.searchsorted(columns["place"], np.arange(prompts + 1))
        scores = Groups(columns["reward"], offsets)
        return cls(scores, columns.get("truth"), columns.get("log_ratio"))

    def picks(self, procedures: Sequence[str]) -> Picks:
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


def _rows(arrays: Any) -> Array:
    return np.stack(list(arrays))


def _base_numbers(base: _Side, procedures: Sequence[str]) -> BaseNumbers:
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


def _policy_numbers(side: _Side, base: _Side, procedures: Sequence[str]) -> PolicyNumbers:
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
        scores.sizes, win_rates, truths, side.picks(procedures),
        estimators.cross_tie_fractions(scores, base.scores), k1, k3,
        ranks.below.astype(np.int32), ranks.equal.astype(np.int32),
    )  # fmt: skip
