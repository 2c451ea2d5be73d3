"""Policies under any divergence on a discrete base."""

from __future__ import annotations

import numpy as np

from infalign_theory.divergences import Divergence
from infalign_theory.policies.base import Discrete
from infalign_theory.policies.discrete_tilt import DiscreteTilt, changes_at_atoms
from infalign_theory.policies.families import _deviation
from infalign_theory.policies.penalised import Penalty, Spent, level_of_mass, solve_kl
from infalign_theory.transforms.atoms import AtomTransform
from infalign_theory.transforms.core import Transform
from infalign_theory.typing import Array


def align_atoms(
    transform: Transform, divergence: Divergence, base: Discrete, beta: float | None, kl: float
) -> tuple[DiscreteTilt, float]:
    """The solution at a beta or a KL, as a tilt by its effective transform, and its beta."""
    changes = changes_at_atoms(transform, base)

    def log_ratio(k: float) -> Array:
        penalty = Penalty(divergence, k)
        level = level_of_mass(
            penalty,
            lambda x: penalty.mass(x, changes, base.probs),
            changes,
            penalty.first_level(changes, base.probs),
        )
        log_f = penalty.log_density(level, changes)
        return np.asarray(log_f - np.log(np.sum(base.probs * np.exp(log_f))))

    def tilt(k: float) -> DiscreteTilt:
        values = log_ratio(k)
        name = f"effective:{transform.name}|{divergence.name}"
        effective = AtomTransform(name, base.u, base.below[1:-1], values)
        return DiscreteTilt(effective, base, 1.0, values)

    def at(k: float) -> Spent:
        found = tilt(k)
        growth = Penalty(divergence, k).growth(found.log_ratio, changes, base.probs)
        return Spent(found.kl, growth)

    if beta is not None:
        return tilt(1.0 / beta), beta
    if kl == 0.0:
        return tilt(0.0), np.inf
    limit = abs(float(np.log(np.sum(base.probs[changes == changes.max()]))))
    spread = _deviation(changes, base.probs) / divergence.curvature
    name = f"transform {transform.name} under {divergence.name}"
    k = solve_kl(name, at, kl, spread=spread, limit=limit)
    return tilt(k), 1.0 / k
