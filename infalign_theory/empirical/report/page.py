"""The report of a validation: one HTML page that needs nothing but itself."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from infalign_theory.empirical.fitting.laws import Law, Theory
from infalign_theory.empirical.report import pictures
from infalign_theory.empirical.report.plates import Plate
from infalign_theory.empirical.report.writing import NOTHING, environment, prose, versions
from infalign_theory.empirical.statistics.uncertainty import Estimate
from infalign_theory.empirical.validation.phrasing import Paired, duel_words, procedure_words
from infalign_theory.empirical.validation.results import PolicyValidation, Validation, WinRate
from infalign_theory.empirical.validation.verdicts import hacking
from infalign_theory.output import write_atomically

MOST_ROWS = 300  # of paired differences: a hundred policies make thousands
_NO_RATIOS = "No log-ratios were given (log_ratio=, --log-ratio)."
_K1 = "Mean log-ratio: unbiased, may be negative by chance."
_K3 = (
    "Never negative. Unbiased only where the run can still write all that the base can, else too "
    "small by the share it no longer writes; far from the base it is mostly too small, and rarely "
    "far too large."
)
_LAW = "Exact for the law; right as far as the law is."
_CALIBRATED = "Without any law: a lower bound, since ranks in bins forget part of what changed."
_FLOOR = "Least KL of any policy with this win rate of single samples."


def write_report(result: Validation, path: Path, command: str | None) -> None:
    """Write the page, whole or not at all."""
    write_atomically(path, render(result, command).encode())


def render(result: Validation, command: str | None) -> str:
    """The page: verdicts first, then pictures, then every number, then how it was made."""
    pages = environment()
    pages.filters["duel"] = _duel
    return pages.get_template("report.html.j2").render(
        result=result,
        sections=[_Section.of(result, policy) for policy in result.policies.values()],
        differences=result.differences[:MOST_ROWS],
        findings=[
            prose(finding.text, (finding.policy, finding.example)) for finding in result.findings
        ],
        level=f"{100 * result.level:g} %",
        discrete=Law.DISCRETE,
        panels=pictures.PANELS,
        nothing=NOTHING,
        command=command,
        call="validate(…).report(…)",
        versions=versions(),
    )


@dataclass(frozen=True)
class _Divergence:
    """A row of the table of KL."""

    label: str
    value: float | None
    ci: tuple[float, float] | None
    meaning: str


@dataclass(frozen=True)
class _Section:
    """What the page shows of one policy beside its record.

    ``verdict`` pairs sentences with whether they are alarming; ``rows`` names nothing twice;
    ``against`` is the base's procedure where it is another than the run's.
    """

    policy: PolicyValidation
    rows: tuple[WinRate, ...]
    against: str | None
    verdict: tuple[tuple[str, bool], ...]
    notes: tuple[str, ...]
    frontiers: Plate
    calibrated: Plate | None
    by_size: Plate
    by_truth: Plate | None
    divergences: tuple[_Divergence, ...]
    parameters: tuple[tuple[str, float, tuple[float, float] | None], ...]
    missing: tuple[str, ...]

    @classmethod
    def of(cls, result: Validation, policy: PolicyValidation) -> _Section:
        """Everything about one policy that the template puts on the page."""
        told = partial(prose, names=(policy.name, result.base))
        alarm, hacked = hacking(policy.win_rates)
        return cls(
            policy=policy,
            rows=pictures.different_rows(policy.win_rates),
            against=_against(policy.win_rates),
            verdict=tuple((told(text), hacked and text == alarm) for text in policy.verdict),
            notes=tuple(map(told, policy.notes)),
            frontiers=pictures.frontiers(policy),
            calibrated=pictures.calibrated(policy, result.level),
            by_size=pictures.by_size(policy),
            by_truth=pictures.by_truth(policy),
            divergences=tuple(_divergences(policy)),
            parameters=tuple(_parameters(policy.theory)),
            missing=tuple(_missing(policy)),
        )


def _against(rows: Sequence[WinRate]) -> str | None:
    """The procedure that the base has throughout, in words; None where both sides do the same."""
    other = [row.against_procedure for row in rows if row.against_procedure is not None]
    return procedure_words(other[0]) if other else None


def _divergences(policy: PolicyValidation) -> Iterator[_Divergence]:
    def row(label: str, estimate: Estimate | None, meaning: str, absent: str) -> _Divergence:
        if estimate is None:
            return _Divergence(label, None, None, absent)
        return _Divergence(label, estimate.value, estimate.ci, meaning)

    yield row("From log-ratios, k1", policy.kl, _K1, _NO_RATIOS)
    if policy.kl_k3 is not None:
        yield row("From log-ratios, k3", policy.kl_k3, _K3, "")
    theory = policy.theory
    yield row("Of the law", None if theory is None else theory.kl, _LAW, "No law was found.")
    yield row("Of calibrated rewards", policy.calibrated_kl, _CALIBRATED, "")
    floor = policy.kl_floor
    yield _Divergence(
        "Floor",
        floor,
        None,
        _FLOOR
        if math.isfinite(floor)
        else "Without bound: every comparison of single samples has the same winner.",
    )


def _parameters(theory: Theory | None) -> Iterator[tuple[str, float, tuple[float, float] | None]]:
    if theory is None:
        return
    if theory.t is not None:
        yield "Exponent t", theory.t.value, theory.t.ci
    yield "Strength k", theory.k.value, theory.k.ci
    low, high = theory.k.ci or (0.0, 0.0)
    yield (
        "Regularisation \N{GREEK SMALL LETTER BETA} = 1/k",
        theory.beta,
        ((1.0 / high, 1.0 / low) if low > 0.0 else None),
    )


def _missing(policy: PolicyValidation) -> Iterator[str]:
    """Why the table of win rates has empty cells."""
    rows = policy.win_rates
    if any(row.ci is None for row in rows):
        yield "no interval: it takes at least two prompts"
    if policy.theory is None:
        yield "no prediction and no z: no law was found"
    elif any(row.z is None for row in rows):
        yield "no z: too few prompts, or no spread between them"
    if any(None in (row.optimal_kl, *(row.optimal_kl_ci or ())) for row in rows):
        yield "no optimal KL: no finite KL is known to be enough for the win rate, or its interval"
    if policy.kl_spent is None:
        yield "no efficiency: the KL spent is not known"
    elif policy.kl_spent <= 0.0:
        yield "no efficiency: the KL spent was estimated as not positive"
    elif any(row.efficiency is None for row in rows):
        yield "no efficiency: the run does not win, or its KL cannot be what was given"


def _duel(row: Paired) -> str:
    words = duel_words(row)
    return words[0].upper() + words[1:]
