"""Ranks of samples among tied base samples, and atoms as kernels read them."""

from __future__ import annotations

import numpy as np

from infalign_theory.empirical.fitting.tied_ranks import TiedRanks
from infalign_theory.empirical.scores.groups import Groups
from infalign_theory.empirical.statistics.calibration import calibrate
from infalign_theory.kernels.segments import merge_ties
from infalign_theory.procedures.names import as_procedure


def tied_ranks(aligned, base):
    """Ranks of samples, one sequence a prompt on each side."""
    ours, theirs = Groups.stack(aligned), Groups.stack(base)
    mass, atoms = merge_ties(theirs.values, theirs.offsets)
    counts = np.rint(mass * np.repeat(theirs.sizes, np.diff(atoms))).astype(np.intp)
    found = calibrate(ours, theirs)
    return TiedRanks(counts, atoms, found.below, found.equal, ours.offsets)


def weighed_by(procedure, p):
    """Masses under a procedure, their half sums and its g, from the top atom down."""
    g = as_procedure(procedure)
    edges = np.concatenate([[0.0], np.cumsum(p[::-1])])[::-1]
    edges[0] = 1.0
    value = g.cdf(edges, 1 - edges)[0]
    b = value[:-1] - value[1:]
    return b, (b[:-1] + b[1:]) / 2, g
