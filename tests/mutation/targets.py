"""What is broken on purpose, and the tests that are asked."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Group:
    """Modules that are broken, the tests that may notice, and whether kernels run as Python.

    Kernels run uncompiled where they are what is broken: a mutant need not be compiled, and the
    tests are the same.
    """

    name: str
    modules: list[str]
    tests: list[str]
    plain: bool


def _modules(room: str, *names: str) -> list[str]:
    return [f"infalign_theory/{room}/{name}.py" for name in names]


def _tests(*names: str) -> list[str]:
    return [f"tests/test_{name}.py" for name in names]


GROUPS = [
    Group(
        "kernels",
        _modules(
            "kernels", "ustatistics", "perfect_proxy", "jackknife", "segments", "sums", "terms",
            "sorting", "races", "mutual", "shooting", "descent", "climbing",
        ),
        _tests(
            "kernel_corners", "kernel_atoms", "kernels", "estimators", "choices", "whole_laws",
            "truth", "theories", "verdicts", "self_play", "pairs", "fitting", "spread",
            "discrete_optimum", "optimum", "frontiers", "win_rate",
            "rewind_optimum", "soft_optimum", "hacking", "divergences",
        ),
        plain=True,
    ),
    Group(
        "formulas",
        [
            *_modules(
                "empirical/statistics", "calibration", "choices", "duels", "estimators", "kl",
                "pairs_over_prompts", "prompt_bases", "soft_picks", "thinning", "truth", "turning",
                "uncertainty", "whole_laws",
            ),
            *_modules(
                "empirical/fitting", "discrete_fit", "families", "goodness", "likelihood", "spread",
                "tied_ranks", "tilt_fit",
            ),
            *_modules("empirical/prediction", "continuous", "discrete", "truths"),
            *_modules("empirical/hacking", "agreement", "attackers", "decay", "picks", "tilts"),
        ],
        [
            *_tests(
                "statistics_corners", "prediction_corners", "estimators", "choices", "whole_laws",
                "truth", "fitting", "spread", "theories", "hacking_corners", "hacking",
                "intervals", "predict", "verdicts", "validate", "validate_against",
            ),
            *(f"infalign_theory/empirical/{room}" for room in (
                "statistics", "fitting", "prediction", "hacking",
            )),
        ],
        plain=False,
    ),
]  # fmt: skip
