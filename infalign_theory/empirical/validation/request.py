"""What is asked of a validation, checked before any score is read."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from infalign_theory.empirical.fitting.laws import Law, TheoryRequest
from infalign_theory.empirical.statistics.duels import Duel
from infalign_theory.empirical.statistics.uncertainty import mean_over_prompts
from infalign_theory.errors import InputError
from infalign_theory.policies.budgets import budget
from infalign_theory.procedures import Procedure, power_sides
from infalign_theory.procedures.names import as_procedure
from infalign_theory.transforms.core import Transform
from infalign_theory.transforms.names import as_transform

STANDARD = "standard"
AUTO = "auto"
_FEWEST_RESAMPLES = 100
_MOST_RESAMPLES = 1_000_000  # whose noise is a thousandth of the interval


def duels_asked(
    procedure: Procedure | str | Sequence[Procedure | str], against: Procedure | str | None
) -> tuple[Duel, ...]:
    """What stands against what, without repetition; all have unbiased estimators.

    ``against`` is the base's procedure for all of them, or by default each one's own.
    """
    given = [procedure] if isinstance(procedure, (Procedure, str)) else procedure
    if not isinstance(given, Iterable):
        raise InputError(f"procedure = {given!r:.60} is not one; give one or a list of them.")
    chosen = [as_procedure(item) for item in given]
    if not chosen:
        raise InputError("no procedure given; name at least one, as in 'bon:4'.")
    theirs = None if against is None else as_procedure(against)
    for item in chosen:
        _refuse_without_estimator(item, "procedure")
    if theirs is not None:
        _refuse_without_estimator(theirs, "against_procedure")
    return tuple(dict.fromkeys(Duel.of(item, theirs) for item in chosen))


def _refuse_without_estimator(procedure: Procedure, what: str) -> None:
    if power_sides(procedure)[1] == 0:
        raise InputError(
            f"{what} {procedure.name} has no unbiased estimator here; give standard, bon:N or "
            "won:N."
        )


def law_named(law: str) -> Law | None:
    """The kind of base asked for; None to choose by how often scores tie."""
    if law == AUTO:
        return None
    if law not in list(Law):
        raise InputError(f"law = {law!r} is not known; give 'auto', 'continuous' or 'discrete'.")
    return Law(law)


def resampling(bootstrap: int, seed: int) -> tuple[int, int]:
    """Resamples and seed of bootstrap intervals."""
    resamples = _natural(bootstrap, "bootstrap")
    if resamples and not _FEWEST_RESAMPLES <= resamples <= _MOST_RESAMPLES:
        why = "make no interval" if resamples < _FEWEST_RESAMPLES else "are more than ever help"
        raise InputError(
            f"bootstrap = {resamples} resamples {why}; give {_FEWEST_RESAMPLES} to "
            f"{_MOST_RESAMPLES}, or 0 for Student intervals."
        )
    return resamples, _natural(seed, "seed")


def _natural(value: int, name: str) -> int:
    if not isinstance(value, (int, np.integer)) or isinstance(value, bool) or value < 0:
        raise InputError(f"{name} = {value!r:.40} is not allowed; give a whole number from 0 on.")
    return int(value)


def theory_request(
    transform: Transform | str | None,
    *,
    beta: float | None,
    kl: float | None,
    duels: tuple[Duel, ...],
    level: float,
) -> TheoryRequest:
    """What theory is asked, for the duels named and, before them, of single samples."""
    mean_over_prompts([0.0], level=level)  # refuses a bad level
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
    # single samples on both sides come first: the KL floor needs them, asked for or not
    return TheoryRequest(chosen, beta, kl, tuple(dict.fromkeys((Duel.of(STANDARD), *duels))), level)
