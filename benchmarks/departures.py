"""How often a run that follows the law is told that it departs from it, cell by cell.

    python benchmarks/departures.py [--seeds 200] [--grades 2,3] [--base 3,5] [--prompts 5,10]

Each cell is a number of grades (inf: no ties), base samples a prompt and prompts. Runs are exact
tilts of each prompt's own law, by the identity and by exp(5u), fitted, and judged as ``validate``
judges them. Told for each: how often it departs, and how often the verdict is that these samples
cannot tell. At most 2 % may depart, or the samples cannot tell.
"""

from __future__ import annotations

import argparse
import itertools
import math
import sys
from collections import Counter
from dataclasses import dataclass

import numpy as np

import infalign_theory as it
from infalign_theory.empirical.fitting.laws import Law, TheoryRequest
from infalign_theory.empirical.fitting.theories import theory_of
from infalign_theory.empirical.fitting.tied_ranks import TiedRanks
from infalign_theory.empirical.scores.groups import Groups
from infalign_theory.empirical.statistics.calibration import calibrate
from infalign_theory.empirical.statistics.duels import Duel
from infalign_theory.empirical.statistics.estimators import tie_fractions, win_rates
from infalign_theory.empirical.validation.agreement import agreement
from infalign_theory.empirical.validation.entry import FREQUENT_TIES
from infalign_theory.empirical.validation.predictions import predicted
from infalign_theory.empirical.validation.results import Pick, WinRate
from infalign_theory.kernels.segments import merge_ties

GRADES = (2, 3, 5, 20, math.inf)
BASE = (3, 5, 8, 12, 32)
PROMPTS = (5, 10, 30, 300)
TRANSFORMS = ("identity", "exp:5")
KL = 0.2  # nats, on a continuous base


@dataclass(frozen=True)
class Cell:
    """A number of grades, base samples a prompt and prompts."""

    grades: float
    base: int
    prompts: int
    samples: int = 16
    uneven: bool = False  # prompts have laws of their own


def scores(rng: np.random.Generator, cell: Cell, transform: str) -> tuple[Groups, Groups]:
    """Scores of a base and of its exact tilt."""
    policy = it.align(transform, kl=KL)
    if math.isinf(cell.grades):
        ours = policy.ppf(rng.random((cell.prompts, cell.samples)).ravel())
        base = rng.random((cell.prompts, cell.base))
        return Groups.stack(np.reshape(ours, (cell.prompts, -1))), Groups.stack(base)
    grades = int(cell.grades)
    mass = np.full((cell.prompts, grades), 1.0 / grades)
    if cell.uneven:
        mass = rng.dirichlet(np.ones(grades), cell.prompts)
    phi = policy.transform(np.cumsum(mass, axis=1) - mass / 2)
    tilted = mass * np.exp((phi - phi.max()) / policy.beta)
    tilted /= tilted.sum(axis=1, keepdims=True)

    def draw(law: np.ndarray, size: int) -> np.ndarray:
        steps = np.cumsum(law, axis=1)[:, None, :-1]
        return (rng.random((cell.prompts, size, 1)) > steps).sum(axis=2)

    return Groups.stack(draw(tilted, cell.samples)), Groups.stack(draw(mass, cell.base))


def told(aligned: Groups, base: Groups, procedures: tuple[str, ...], **plan: object) -> str:
    """Tell "departs", "cannot tell", "agrees" or "no law" of one run."""
    mass, atoms = merge_ties(base.values, base.offsets)
    counts = np.rint(mass * np.repeat(base.sizes, np.diff(atoms))).astype(np.int32)
    found = calibrate(aligned, base)
    ranks = TiedRanks(counts, atoms, found.below, found.equal, aligned.offsets)
    law = Law.DISCRETE if tie_fractions(base).mean() > FREQUENT_TIES else Law.CONTINUOUS
    request = TheoryRequest(
        transform=plan.get("transform"),
        beta=plan.get("beta"),
        kl=plan.get("kl"),
        duels=tuple(Duel.of(name) for name in procedures),
        level=0.95,
    )
    theory, _ = theory_of(ranks, law, request)
    if theory is None:
        return "no law"
    rows = []
    for at, name in enumerate(procedures):
        rates = win_rates(aligned, base, name)
        n = int(name.partition(":")[2] or 1)
        blocks = min(aligned.sizes[0], base.sizes[0]) // n
        value, ci, z = predicted(rates, theory, at, blocks, 0.95)
        rows.append(
            WinRate(
                name,
                float(rates.mean()),
                0.0,
                None,
                value,
                ci,
                z,
                rates.size,
                0,
                None,
                None,
                None,
                Pick(0.0, 0.0),
                None,
            )
        )
    verdict = agreement(rows, theory)
    if verdict.untold is not None:
        return "cannot tell"
    return "departs" if verdict.departs else "agrees"


def counted(cell: Cell, transform: str, seeds: int, planned: bool = False) -> Counter[str]:
    """What is told of so many runs of a cell."""
    n = 2 if cell.base < 4 else 4
    procedures = ("standard", f"bon:{n}", f"won:{n}")
    plan: dict[str, object] = {}
    if planned:
        policy = it.align(transform, kl=KL)
        plan = {"transform": policy.transform, "beta": policy.beta}
    out: Counter[str] = Counter()
    for seed in range(seeds):
        rng = np.random.default_rng([seed, cell.base, cell.prompts])
        out[told(*scores(rng, cell, transform), procedures, **plan)] += 1
    return out


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=200)
    for name, values in (("grades", GRADES), ("base", BASE), ("prompts", PROMPTS)):
        parser.add_argument(f"--{name}", default=",".join(str(x) for x in values))
    parser.add_argument("--planned", action="store_true", help="laws named beforehand")
    parser.add_argument("--uneven", action="store_true", help="a law of grades for each prompt")
    asked = parser.parse_args()
    axes = [
        [float(x) for x in getattr(asked, name).split(",")]
        for name in ("grades", "base", "prompts")
    ]
    print(
        f"{'grades':>6} {'base':>5} {'prompts':>7} {'transform':>9}  departs  cannot tell  no law"
    )
    for grades, base, prompts in itertools.product(*axes):
        cell = Cell(grades, int(base), int(prompts), uneven=asked.uneven)
        for transform in TRANSFORMS:
            found = counted(cell, transform, asked.seeds, asked.planned)
            shares = (
                100 * found[key] / asked.seeds for key in ("departs", "cannot tell", "no law")
            )
            print(
                f"{grades:6g} {cell.base:5d} {cell.prompts:7d} {transform:>9} "
                + " ".join(f"{share:7.1f} %" for share in shares)
            )
            sys.stdout.flush()


if __name__ == "__main__":
    main()
