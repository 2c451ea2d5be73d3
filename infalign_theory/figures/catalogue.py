"""All theory figures by name, and the one function that writes them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from infalign_theory.errors import InputError
from infalign_theory.figures import (
    attackers,
    calibration,
    coupling,
    curves,
    divergences,
    inference_cost,
    laws,
    methods,
    raw_rewards,
    self_play,
    shapes,
    unknown,
)
from infalign_theory.figures.spec import Figure, Result, same_numbers
from infalign_theory.output import output_directory, write_atomically
from infalign_theory.plotting.rendering import FORMATS, drawing_style, image, same_picture

__all__ = ["FIGURES", "reproduce"]

FIGURES: dict[str, Figure] = {
    figure.name: figure
    for figure in (
        Figure(
            "frontiers",
            "Win rate against KL for every transform and the optimum",
            "What each transform wins for its KL under standard sampling, Best-of-N and "
            "Worst-of-N: an exponential of the right sign and size stays close to the optimum, one "
            "of the wrong sign wins least.",
            curves.frontiers,
        ),
        Figure(
            "regret",
            "Win rate lost against the optimum at equal KL",
            "How far each transform stays below the optimum: at N = 4 and KL = 0.5, exp(10u) "
            "loses 0.0017 of Best-of-N win rate and identity 0.073.",
            curves.regret,
        ),
        Figure(
            "optimal-transforms",
            "The optimal transform itself, and the policies it trains",
            "As the budget grows the optimal transform bends harder towards u = 1 for Best-of-N, "
            "and softer towards u = 0 for Worst-of-N, where the policy has hardly any mass left; "
            "at equal KL the exponential of exponent ±10 trains almost the same policy.",
            shapes.optimal_transforms,
        ),
        Figure(
            "best-exponent",
            "The best exponent against N, and how much of the first gain each transform gets",
            "At small KL the best exponent is near 2N, and 2N gets more than 99.6% of the best "
            "possible first gain; larger budgets want larger exponents, and a fixed exponent "
            "serves only N near half its size (exponents above 600 are left out).",
            laws.best_exponent,
        ),
        Figure(
            "large-n",
            "The large-N law: only N times KL matters",
            "Optimal win rate, and the regret of the exponential of exponent 2N, drawn against "
            "N KL fall on one curve each; the distance from the limit shrinks as 1/N.",
            laws.large_n,
        ),
        Figure(
            "small-kl",
            "The small-KL law: efficiency achieved at a finite budget",
            "Win rate gained per unit of the best possible first-order gain: every curve starts "
            "at the transform's first-order efficiency (marked), and stays near it up "
            "to about 0.01 nats.",
            laws.small_kl,
        ),
        Figure(
            "mismatch",
            "The cost of training for the wrong N",
            "Win rate lost when the optimum for one N is deployed at another, at half a nat: a "
            "factor of two in N costs at most 0.024, a factor of eight up to 0.13.",
            coupling.mismatch,
        ),
        Figure(
            "unknown-n",
            "One policy where N is not known, and one that is helpful and safe",
            "At half a nat one robust policy keeps the regret at 0.031 or below for every N from 1 "
            "to 32, less than half of what the best single exponential loses, and no policy does "
            "better; beside it, what Best-of-8 wins cost under Worst-of-8.",
            unknown.unknown_n,
        ),
        Figure(
            "attackers",
            "How many more tries an attacker needs against the aligned model",
            "Win rate of the aligned model's worst answer of N tries against the base's worst of "
            "M: on the black line both are equally safe. At half a nat -exp(-10u) keeps its lead "
            "against many times the tries, exp(10u) loses it at once.",
            attackers.attackers,
        ),
        Figure(
            "phase-transition",
            "A first-order transition that a damped iteration misses",
            "With two rewards the Worst-of-N objective has several solutions; at a critical beta "
            "the best one jumps, while an iteration from the base stays on the wrong branch far "
            "beyond it.",
            coupling.phase_transition,
        ),
        Figure(
            "calibration",
            "What calibrating by K base samples a prompt costs",
            "Fresh base samples at every step cost little and the best rank rewards next to "
            "nothing; the same few samples re-used all run long cost several times more, because "
            "nothing above the best of them can be told apart; the pooled shape of all prompts' "
            "rewards wins half of that back.",
            calibration.calibration,
        ),
        Figure(
            "divergences",
            "The penalty is a transform: identity reward under four divergences",
            "With no transform at all the forward KL is close to the optimum of Best-of-4 and χ² "
            "to that of Worst-of-4: at half a nat they lose 0.015 and 0.006, the reverse KL 0.073 "
            "and 0.062.",
            divergences.divergences,
        ),
        Figure(
            "methods",
            "Alignment methods at equal KL",
            "Methods are transforms and divergences in disguise: those of one law share a curve, "
            "what is best for Best-of-4 is worst for Worst-of-4, and at half a nat the plain "
            "calibrated reward has .858 of Best-of-4's .873 with GRPO's k3 in the loss where RLOO "
            "has .800.",
            methods.methods,
        ),
        Figure(
            "inference-cost",
            "Inference without training: what draws buy, and what KL buys",
            "Best-of-N wins more for its draws than soft choices or rejection do, and stopping at "
            "the first answer above 0.8 wins most from five draws on; at equal KL rejection is the "
            "trained optimum itself, best-of-N close to it, and rewinding wastes KL.",
            inference_cost.inference_cost,
        ),
        Figure(
            "self-play",
            "Self-play under Best-of-4: plain rounds cycle, mixed ones settle",
            "Plain best responses run into a cycle where steps below 0.59 converge to the one "
            "equilibrium, which wins less of Best-of-4 than the optimum of its KL.",
            self_play.self_play,
        ),
        Figure(
            "miscalibration",
            "What miscalibration costs: one β on raw rewards",
            "One β on normal rewards whose scales differ by prompt wins 0.760, 0.722 and 0.642 at "
            "spreads 0, 0.5 and 1, where calibrated rewards win 0.774 at half a nat.",
            raw_rewards.miscalibration,
        ),
    )
}


def reproduce(
    out: Path | str,
    only: Sequence[str] | None = None,
    formats: Sequence[str] = ("png",),
    progress: Callable[[str], None] | None = None,
) -> list[Result]:
    """Draw the theory figures and write each with its numbers.

    Parameters
    ----------
    out : Path or str
        Directory, created if needed; files of the same names are replaced, unless they show the
        same to the last certain digit.
    only : sequence of str, optional
        Names from :data:`FIGURES`; all by default.
    formats : sequence of str, optional
        Of png, svg and pdf.
    progress : callable, optional
        Told a line of text before each figure.

    Returns
    -------
    list of Result
        In the order of :data:`FIGURES`. Two runs write the same bytes.

    Raises
    ------
    InputError
        For unknown names or formats, and where ``out`` cannot be written.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     [result] = reproduce(folder, only=["optimal-transforms"])
    ...     [file.name for file in result.files]
    ['optimal-transforms.png', 'optimal-transforms.csv', 'optimal-transforms-densities.csv']
    """
    names = _known(list(FIGURES) if only is None else only, FIGURES, "figure")
    kinds = _known(formats, FORMATS, "format")
    folder = output_directory(Path(out))
    results = []
    chosen = [figure for figure in FIGURES.values() if figure.name in names]
    for position, figure in enumerate(chosen, start=1):
        if progress is not None:
            progress(f"{position}/{len(chosen)} {figure.name}: {figure.title}")
        started = time.perf_counter()
        files, unchanged = _write(figure, folder, kinds)
        seconds = time.perf_counter() - started
        results.append(Result(figure.name, figure.title, figure.shows, files, seconds, unchanged))
    return results


def _known(given: Sequence[str], allowed: Iterable[str], what: str) -> list[str]:
    names = [given] if isinstance(given, str) else list(given)
    choices = ", ".join(allowed)
    if not names:
        raise InputError(f"no {what} named; give at least one of {choices}.")
    for name in names:
        if name not in allowed:
            raise InputError(f"{what} {name!r} is not known; give any of {choices}.")
    return list(dict.fromkeys(names))


def _write(
    figure: Figure, folder: Path, kinds: list[str]
) -> tuple[tuple[Path, ...], tuple[Path, ...]]:
    """Everything is drawn before the first file is written; what shows the same already stays.

    So another machine, whose last digits differ, changes no file.
    """
    contents: dict[str, bytes] = {}
    with drawing_style():
        drawing = figure.draw()
        for kind in kinds:
            contents[f"{figure.name}.{kind}"] = image(drawing.figure, kind)
    for suffix, table in drawing.tables.items():
        contents[f"{figure.name}{suffix}.csv"] = table.csv()
    unchanged = []
    for name, content in contents.items():
        path = folder / name
        if _shows_the_same(path, content):
            unchanged.append(path)
        else:
            write_atomically(path, content)
    return tuple(folder / name for name in contents), tuple(unchanged)


def _shows_the_same(path: Path, content: bytes) -> bool:
    """Whether a file has these numbers, or this picture, to the last certain digit."""
    if not path.is_file():
        return False
    old = path.read_bytes()
    if path.suffix == ".csv":
        return same_numbers(old, content)
    return old == content or (path.suffix == ".png" and same_picture(old, content))
