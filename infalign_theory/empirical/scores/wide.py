"""Wide tables: several columns of rewards a row, melted to a row a sample when asked to."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from infalign_theory.empirical.scores.readers import listed_columns
from infalign_theory.errors import InputError

WideLike = bool | str | Sequence[str] | Mapping[str, str | Sequence[str]]
"""Which columns hold rewards: all others (True), a pattern, a list of them, or one a policy."""


@dataclass(frozen=True)
class Wide:
    """Columns of rewards to melt: patterns, each with the policy it belongs to where named."""

    patterns: tuple[tuple[str, str | None], ...]

    @classmethod
    def of(cls, given: WideLike | None, reward: str) -> Wide | None:
        """None for a long table; True melts the columns that ``reward`` matches, or all others."""
        if given is None or given is False:
            return None
        if given is True:
            return cls(((reward, None),))
        if isinstance(given, str):
            return cls(((given, None),))
        named: tuple[tuple[str, str | None], ...] = ()
        if isinstance(given, Mapping):
            named = tuple(
                (pattern, str(policy))
                for policy, patterns in given.items()
                for pattern in ([patterns] if isinstance(patterns, str) else patterns)
            )
        elif isinstance(given, Sequence):
            named = tuple((pattern, None) for pattern in given)
        if not named or not all(isinstance(pattern, str) for pattern, _ in named):
            raise InputError(
                f"wide = {given!r:.60} is not allowed; give True, the names or patterns of the "
                "columns that hold rewards, or a mapping of policies to them."
            )
        return cls(named)

    def melted(
        self, names: Sequence[str], wanted: Mapping[str, str], shown: str
    ) -> list[tuple[str, str]]:
        """(column, policy) of all columns of rewards; a policy is named by its columns' stem."""
        taken = {name for role, name in wanted.items() if role != "reward"}
        free = [name for name in names if name not in taken]
        found = [
            (name, policy or policy_of(name))
            for pattern, policy in self.patterns
            for name in free
            if fnmatchcase(name, pattern)
        ]
        if not found and self.patterns == ((wanted["reward"], None),):
            found = [(name, policy_of(name)) for name in free]
        if not found:
            asked = ", ".join(repr(pattern) for pattern, _ in self.patterns)
            raise InputError(
                f"no column of {shown} matches {asked} (wide=, --wide); there are: "
                f"{listed_columns(names)}."
            )
        twice = [name for i, (name, _) in enumerate(found) if name in dict(found[:i])]
        if twice:
            raise InputError(f"column {twice[0]!r} is matched twice by wide=; name it once.")
        return found


def policy_of(column: str) -> str:
    """The stem of a numbered column: ``base_3``, ``base.3`` and ``base3`` are of ``base``."""
    return re.sub(r"[\s_.\-]*\d+$", "", column) or column
