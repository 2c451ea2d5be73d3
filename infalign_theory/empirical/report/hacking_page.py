"""The report of a look at proxy and truth: one HTML page that needs nothing but itself."""

from __future__ import annotations

from pathlib import Path

from infalign_theory.empirical.hacking.results import Hacking, Onset
from infalign_theory.empirical.report import hacking_pictures as pictures
from infalign_theory.empirical.report.writing import NOTHING, environment, number, prose, versions
from infalign_theory.output import write_atomically

_MOST_SIZES = 12  # rows of a table by N


def write_report(found: Hacking, path: Path, command: str | None) -> None:
    """Write the page, whole or not at all."""
    write_atomically(path, render(found, command).encode())


def render(found: Hacking, command: str | None) -> str:
    """The page: the verdict, pictures, every number of weight, then how it was made."""
    pages = environment()
    pages.filters["place"] = _place
    pages.filters["title"] = _title
    names = [*(one.policy for one in found.decay), *(one.name for one in found.onsets)]
    alarming = {one.name for one in found.onsets if one.at is not None}
    sizes = _sizes([row.n for row in found.best_of_n])
    return pages.get_template("hacking.html.j2").render(
        found=found,
        verdict=[(prose(text, names), _alarms(text)) for text in found.verdict],
        notes=[prose(text, names) for text in found.notes],
        level=f"{100 * found.level:g} %",
        alarming=alarming,
        by_size=pictures.by_size(found),
        by_kl=pictures.by_kl(found),
        by_tenth=pictures.by_tenth(found.agreement),
        picks=[row for row in found.best_of_n if row.n in sizes],
        softs=[row for row in found.soft_best_of_n if row.n in sizes],
        left_out=len(found.best_of_n) - len(sizes),
        nothing=NOTHING,
        command=command,
        call="hacking(…).report(…)",
        versions=versions(),
    )


def _alarms(sentence: str) -> bool:
    """Whether a sentence of the verdict tells of hacking; names in it do not count."""
    pushed = sentence.startswith(("Best-of-N is", "Training with", "Soft best-of-N"))
    turned = pushed and " is hacked beyond " in sentence
    return turned or sentence.endswith("the reward is being hacked.")


def _sizes(every: list[int]) -> set[int]:
    """Powers of two and the largest where there are too many to list."""
    if len(every) <= _MOST_SIZES:
        return set(every)
    return {n for n in every if n & (n - 1) == 0} | {every[-1]}


def _place(value: float | None, onset: Onset) -> str:
    """A place on the axis of an onset."""
    if value is None:
        return NOTHING
    return f"N = {value:.0f}" if onset.by_n else f"{number(value)} nats"


def _title(onset: Onset) -> str:
    return "Best-of-N" if onset.name == "best-of-n" else onset.name
