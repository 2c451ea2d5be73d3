"""Several files read as one base: told apart where their samples are not of one policy."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from infalign_theory.empirical.scores.database import first_names
from infalign_theory.empirical.scores.groups import Groups
from infalign_theory.empirical.statistics.estimators import win_rates
from infalign_theory.errors import InputError

# standard errors from 1/2 of a file's win rate against the others, on the prompts they share
_TOO_FAR = 4.0


def one_policy(by_file: Mapping[str, Groups]) -> tuple[str, ...]:
    """A note that files are pooled; refuses those that win against each other."""
    if len(by_file) < 2:
        return ()
    names = list(by_file)
    for at, first in enumerate(names):
        for second in names[at + 1 :]:
            _refuse_unequal(names, (first, second), by_file[second], by_file[first])
    return (
        f"{len(names)} files are read as samples of one base policy ({first_names(names)}); if "
        "they are different policies, name the base with base= (--base)",
    )


def _refuse_unequal(names: list[str], pair: tuple[str, str], ours: Groups, theirs: Groups) -> None:
    rates = win_rates(ours, theirs)
    known = ~np.isnan(rates)
    won = rates[known]
    if not won.size:
        return
    # a prompt's win rate of equal policies varies by (m + n + 1) / 12 m n, ties make it less
    m, n = (side.sizes[known].astype(np.float64) for side in (ours, theirs))
    error = float(np.sqrt(np.sum((m + n + 1.0) / (12.0 * m * n)))) / won.size
    mean = float(np.mean(won))
    if abs(mean - 0.5) > _TOO_FAR * error:
        first, second = pair
        raise InputError(
            f"the files ({first_names(names)}) do not hold samples of one policy: on {won.size} "
            f"shared prompts those of {second!r} beat those of {first!r} {100 * mean:.1f} % of the "
            "time. Say which is the base with base= (--base); files of one policy in spite of "
            "that belong in one folder, which is then given instead."
        )
