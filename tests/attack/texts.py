"""Random texts, files and command lines: an answer, or the package's own error in one line.

    python -m tests.attack.texts --texts 1000000 --files 100000 --commands 10000 [--seed 0]

Texts are bred from sound ones: letters swapped, pieces cut, doubled, nested and spliced. Files are
sound tables of every kind whose cells and bytes were spoilt, and what is taken is compared with
what the standard library reads. Command lines are those of the help, spoilt, and nothing may be
written but what they ask for. Prints how many were taken and refused, the slowest, and every case
that escaped; the exit status is 1 where one did.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable

import numpy as np

from infalign_theory.divergences import as_divergence
from infalign_theory.procedures import as_procedure
from infalign_theory.transforms import as_transform
from tests.attack.commandlines import commands
from tests.attack.escapes import Breeder, Escapes
from tests.attack.scorefiles import files
from tests.attack.words import DIVERGENCES, FORMULAS, PIECES, PROCEDURES


def texts(count: int, rng: np.random.Generator) -> int:
    """Transforms, procedures and divergences."""
    escapes = Escapes("texts")
    readers: list[tuple[Callable[[str], object], Breeder]] = [
        (as_transform, Breeder(rng, FORMULAS, PIECES)),
        (as_procedure, Breeder(rng, PROCEDURES, PIECES)),
        (as_divergence, Breeder(rng, DIVERGENCES, PIECES)),
    ]
    as_transform("quantile:norm")  # the first quantile law costs an import
    shares = rng.choice(3, size=count, p=[0.6, 0.3, 0.1])
    for which in shares.tolist():
        read, breeder = readers[which]
        text = breeder.text()
        escapes.run(lambda read=read, text=text: read(text), text)
    return escapes.tell()


def main() -> None:
    """Attack what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--texts", type=int, default=100_000)
    parser.add_argument("--files", type=int, default=10_000)
    parser.add_argument("--commands", type=int, default=1_000)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    escaped = sum(
        attack(count, np.random.default_rng([given.seed, place]))
        for place, (attack, count) in enumerate(
            [(texts, given.texts), (files, given.files), (commands, given.commands)]
        )
        if count
    )
    sys.exit(1 if escaped else 0)


if __name__ == "__main__":
    main()
