"""What is wrong with scores: counted, told, never silently dropped."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from infalign_theory.errors import InputError

if TYPE_CHECKING:
    import duckdb

# how many rows or prompts, and what became of them
_TEXTS = {
    "unnamed_prompt": "{rows} without a prompt left out",
    "unnamed_policy": "{rows} without a policy left out",
    "bad_reward": "{rows} with a missing or unusable reward left out",
    "repeated_sample": "{rows} repeating a sample already counted left out",
    "conflicting_sample": "{rows} with a sample's name given before but other numbers, kept",
    "repeated_row": "{rows} repeating another in every column, kept: name the column that tells "
    "samples apart (sample=, --sample) to leave repeated samples out",
    "doubled": "{prompts}, in all of which every score of the base occurs an even number of "
    "times: were its rows read twice?",
    "missing_truth": "{rows} without a true reward; their prompts are left out of its numbers",
    "missing_log_ratio": "{rows} without a log-ratio, left out of its KL",
    "no_samples": "no sample with a usable reward; it is left out",
    "nothing_shared": "no prompt in common with the base; it is left out",
    "only_base": "{prompts} with base samples only left out",
    "only_policy": "{prompts} without base samples left out",
    "too_few": "{prompts} with fewer than N samples left out of {where}",
}


@dataclass(frozen=True)
class Finding:
    """Something about the scores that the reader must know.

    ``kind`` is a short name, ``policy`` whose rows they are (None: of no policy), ``count`` how
    many rows or prompts, ``example`` one prompt or value, ``where`` the procedure concerned.
    """

    kind: str
    policy: str | None
    count: int
    example: str | None = None
    where: str | None = None

    @property
    def text(self) -> str:
        """One readable line."""
        one = self.count == 1
        text = _TEXTS[self.kind].format(
            rows=f"{self.count} row{'' if one else 's'}",
            prompts=f"{self.count} prompt{'' if one else 's'}",
            where=self.where,
        )
        owner = "" if self.policy is None else f"{self.policy}: "
        return owner + text + ("" if self.example is None else f" (e.g. {self.example})")


@dataclass(frozen=True)
class Findings:
    """Counts over one share of the rows; ``places`` are (kind, policy number) of each finding."""

    rows: int
    words: int
    samples: tuple[int, ...]
    found: dict[tuple[str, int | None], tuple[int, str | None]]

    @classmethod
    def total(cls, parts: Sequence[Findings]) -> Findings:
        """Counts added up; examples are those of the first part that has one."""
        found: dict[tuple[str, int | None], tuple[int, str | None]] = {}
        for part in parts:
            for place, (count, example) in part.found.items():
                before, first = found.get(place, (0, None))
                found[place] = (before + count, example if first is None else first)
        return cls(
            sum(part.rows for part in parts),
            sum(part.words for part in parts),
            tuple(map(sum, zip(*(part.samples for part in parts), strict=True))),
            found,
        )

    def listed(self, policies: Sequence[str], reward: str) -> list[Finding]:
        """All findings in words; refuses scores that cannot be told numbers from truth values."""
        if self.rows == 0:
            raise InputError("the scores hold no rows; give a row a sample.")
        if self.words not in (0, self.rows):
            raise InputError(mixed_words(reward, self.words, self.rows))
        order = list(_TEXTS)
        return [
            Finding(kind, None if pid is None else policies[pid], count, example)
            for (kind, pid), (count, example) in sorted(
                self.found.items(),
                key=lambda item: (
                    order.index(item[0][0]),
                    -1 if item[0][1] is None else item[0][1],
                ),
            )
        ]


def mixed_words(reward: str, words: int, rows: int) -> str:
    """What is wrong with a column that holds truth values among other things."""
    return (
        f"column {reward!r}: {words} of {rows} rewards are truth values, the others are not; "
        "give numbers throughout, or true and false throughout."
    )


def audit(connection: duckdb.DuckDBPyConnection, columns: Mapping[str, str]) -> Findings:
    """Count what is wrong with the rows of ``chosen`` and put the good ones in ``usable``."""
    by_policy = (
        "SELECT pid, count(*), min({example}) FROM chosen WHERE prompt IS NOT NULL AND "
        "pid IS NOT NULL AND ({test}) GROUP BY pid"
    )
    asked = {"bad_reward": ("odd IS NOT NULL", "concat(prompt, ': ', odd)")}
    if "truth" in columns:
        asked["missing_truth"] = ("odd IS NULL AND truth IS NULL", "prompt")
    if "log_ratio" in columns:
        asked["missing_log_ratio"] = ("odd IS NULL AND log_ratio IS NULL AND pid > 0", "prompt")
    found: dict[tuple[str, int | None], tuple[int, str | None]] = {}
    rows, words, unnamed, lost = connection.execute(
        "SELECT count(*), count(*) FILTER (word), count(*) FILTER (prompt IS NULL), "
        "count(*) FILTER (prompt IS NOT NULL AND pid IS NULL) FROM chosen"
    ).fetchall()[0]
    for kind, count in (("unnamed_prompt", unnamed), ("unnamed_policy", lost)):
        if count:
            found[kind, None] = (count, None)
    for kind, (test, example) in asked.items():
        query = by_policy.format(test=test, example=example)
        for pid, count, first in connection.execute(query).fetchall():
            found[kind, pid] = (count, first)
    usable = "SELECT * FROM chosen WHERE prompt IS NOT NULL AND pid IS NOT NULL AND odd IS NULL"
    connection.execute(f"CREATE OR REPLACE TEMP VIEW usable AS {usable}")
    if "sample" in columns:
        _repeated_samples(connection, usable, found)
    else:
        repeats = connection.execute(
            "SELECT pid, sum(n - 1), min(prompt) FROM (SELECT pid, min(prompt) AS prompt, "
            "count(*) AS n FROM usable WHERE whole_row IS NOT NULL GROUP BY pid, whole_row "
            "HAVING n > 1) GROUP BY pid"
        ).fetchall()
        for pid, count, first in repeats:
            found["repeated_row", pid] = (int(count), first)
    counted = dict(connection.execute("SELECT pid, count(*) FROM usable GROUP BY pid").fetchall())
    policies = connection.execute("SELECT count(*) FROM policies").fetchall()[0][0]
    samples = tuple(int(counted.get(pid, 0)) for pid in range(policies))
    return Findings(rows, words, samples, found)


def _repeated_samples(
    connection: duckdb.DuckDBPyConnection,
    usable: str,
    found: dict[tuple[str, int | None], tuple[int, str | None]],
) -> None:
    """Count samples named more than once and keep one row of those that agree."""
    connection.execute(
        "CREATE OR REPLACE TEMP TABLE kept AS SELECT *, row_number() OVER (PARTITION BY pid, "
        "prompt, sample, reward, truth, log_ratio) AS copy, dense_rank() OVER (PARTITION BY pid, "
        f"prompt, sample ORDER BY reward, truth, log_ratio) AS version FROM ({usable})"
    )
    kinds = {"repeated_sample": "copy > 1", "conflicting_sample": "copy = 1 AND version > 1"}
    for kind, test in kinds.items():
        query = (
            "SELECT pid, count(*), min(concat(prompt, ' / ', sample)) FROM kept "
            f"WHERE sample IS NOT NULL AND {test} GROUP BY pid"
        )
        for pid, count, first in connection.execute(query).fetchall():
            found[kind, pid] = (count, first)
    connection.execute(
        "CREATE OR REPLACE TEMP VIEW usable AS SELECT * FROM kept WHERE copy = 1 OR sample IS NULL"
    )
