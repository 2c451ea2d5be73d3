"""What a weighted sum of win rates is computed on: cells of nodes between edges.

F grows from cell to cell by the masses inside, the fall of log f from the top down by the forces.
Both need only what reaches a cell's edges, so that the equations linearised at a policy are small
systems within cells and one banded system between their edges: linear in the number of nodes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import linalg

from infalign_theory.errors import InputError
from infalign_theory.policies.base import Discrete
from infalign_theory.policies.win_rates import increments
from infalign_theory.procedures import Procedure
from infalign_theory.quadrature import panels
from infalign_theory.quadrature.grid import Grid
from infalign_theory.typing import Array

_MOST_ATOMS = 100_000
_BEND = 1e-5  # of the nearer tail: step of the difference that stands for g''


@dataclass(frozen=True)
class Stage:
    """The nodes of one problem, in C cells of q: panels of a grid, or single atoms.

    Attributes
    ----------
    log_mass : ndarray, shape (C, q)
        log of the base's mass at each node.
    left, above : ndarray, shape (q, q)
        From masses in a cell to their part of F and 1 - F at the places where forces act.
    fall : ndarray, shape (q, q)
        From forces in a cell to their part of the fall of log f between a node and the top.
    forces : ndarray, shape (m, C, q)
        Mass that inference on the base gives those places, a block a procedure.
    constants : ndarray, shape (m,)
        What each win rate has beside its sum over places.
    """

    procedures: tuple[Procedure, ...]
    log_mass: Array
    left: Array
    above: Array
    fall: Array
    forces: Array
    constants: Array

    def laws(self, log_density: Array) -> tuple[Array, Array]:
        """F and 1 - F where forces act, of the policy normalised."""
        mass = np.exp(log_density + self.log_mass)
        mass /= mass.sum()
        cells = mass.sum(axis=1)
        before = np.concatenate([[0.0], np.cumsum(cells[:-1])])
        after = np.concatenate([np.cumsum(cells[:0:-1])[::-1], [0.0]])
        # a running integral may round below 0 where a panel holds nothing
        return (
            np.clip(before[:, None] + mass @ self.left.T, 0.0, 1.0),
            np.clip(after[:, None] + mass @ self.above.T, 0.0, 1.0),
        )

    def falls(self, forces: Array) -> Array:
        """Fall of log f from the top to each node under forces, shape (..., C, q)."""
        cells = forces.sum(axis=-1)
        after = np.zeros_like(cells)
        after[..., :-1] = np.cumsum(cells[..., :0:-1], axis=-1)[..., ::-1]
        return np.asarray(after[..., None] + forces @ self.fall.T)

    def win_rates(self, log_density: Array) -> Array:
        """Win rate of each procedure."""
        laws = self.laws(log_density)
        kept = np.stack([one.cdf(*laws)[1] for one in self.procedures])
        return np.asarray(self.constants + (kept * self.forces).sum(axis=(1, 2)))

    def slopes(self, log_density: Array) -> tuple[Array, Array]:
        """g_i'(F) and g_i''(F) times the base's force, shape (m, C, q) each."""
        p, q = self.laws(log_density)
        step = _BEND * np.minimum(p, q)
        up = np.minimum(p + step, 1.0), np.maximum(q - step, 0.0)
        down = np.maximum(p - step, 0.0), np.minimum(q + step, 1.0)
        width = np.where(step > 1e-290, 2.0 * step, np.inf)  # nothing bends where nothing is left
        first, second = [], []
        for one in self.procedures:
            first.append(one.pdf(p, q))
            second.append((one.pdf(*up) - one.pdf(*down)) / width)
        return np.stack(first) * self.forces, np.stack(second) * self.forces


@dataclass(frozen=True)
class Linearised:
    r"""The equations around a policy, :math:`\delta y + k\,\delta\mathrm{fall} = r`.

    ``mass`` are the policy's masses, which need not sum to 1, ``bends`` the weighted g'' forces;
    y is log f.
    """

    stage: Stage
    mass: Array
    bends: Array
    k: float

    def solve(self, right: Array) -> tuple[Array, Array]:
        r"""Changes of log f and of F for right sides, shape (r, C, q) all three.

        F is that of the policy normalised, so that its change ends at 0: the change of the total
        mass is one more unknown, found from that end.
        """
        shares = self.mass / self.mass.sum()
        local = self.bends[:, :, None] * self.stage.left * shares[:, None, :]
        matrix = np.eye(shares.shape[1]) + self.k * (self.stage.fall @ local)
        lifted = self.bends @ self.stage.fall.T
        whole = self.k * np.einsum("ij,cj->ci", self.stage.fall, local.sum(axis=2))
        columns = np.stack([*right, whole, np.ones_like(shares), lifted], axis=2)
        *inner, from_above, from_below = np.moveaxis(np.linalg.solve(matrix, columns), 2, 0)
        y = np.stack(inner)
        # the last right side stands for one unit of relative total mass
        y_shift = np.zeros(len(inner))
        y_shift[-1] = 1.0
        into = y - y_shift[:, None, None]
        pushes = local.sum(axis=1)  # from a change at a node to the forces of its cell
        h, g = self._edges(
            np.stack([(pushes * x).sum(axis=1) for x in (from_above, from_below)]),
            np.stack([(shares * x).sum(axis=1) for x in (from_above, from_below)]),
            np.stack([(pushes * into).sum(axis=2), (shares * into).sum(axis=2)]),
        )
        y = y - self.k * (h[:, 1:, None] * from_above + g[:, :-1, None] * from_below)
        p = g[:, :-1, None] + (shares * (y - y_shift[:, None, None])) @ self.stage.left.T
        total = -g[:-1, -1] / g[-1, -1]
        return y[:-1] + total[:, None, None] * y[-1], p[:-1] + total[:, None, None] * p[-1]

    def _edges(self, pushed: Array, moved: Array, right: Array) -> tuple[Array, Array]:
        """Fall above each edge and change of F at each edge, shape (r, C + 1) both.

        Unknowns (fall at the lower edge, F at the upper edge) of each cell in turn make a band.
        """
        k, cells = self.k, right.shape[2]
        held = self.bends.sum(axis=1)
        band = np.zeros((5, 2 * cells))  # row 2 + i - j of column j holds entry (i, j)
        band[2] = 1.0
        band[0, 2::2] = -(1.0 - k * pushed[0, :-1])  # falls: from the fall above
        band[3, 1:-1:2] = -(held[1:] - k * pushed[1, 1:])  # and from F at the lower edge
        band[1, 2::2] = k * moved[0, :-1]  # F: from the fall above
        band[4, 1:-1:2] = -(1.0 - k * moved[1, 1:])  # and from F at the lower edge
        sides = np.stack([right[0].T, right[1].T], axis=1).reshape(2 * cells, -1)
        found = linalg.solve_banded((2, 2), band, sides).T.reshape(right.shape[1], cells, 2)
        h, g = np.zeros((2, right.shape[1], cells + 1))
        h[:, :-1], g[:, 1:] = found[:, :, 0], found[:, :, 1]
        return h, g


def on_atoms(
    base: Discrete, procedures: Sequence[Procedure], against: Sequence[Procedure]
) -> Stage:
    """A discrete base: a cell an atom, whose force acts at its upper edge."""
    if len(base) > _MOST_ATOMS:
        raise InputError(
            f"the base has {len(base)} atoms; a robust policy is solved on at most {_MOST_ATOMS}: "
            "merge neighbouring rewards."
        )
    weights = np.stack([increments(one, (base.below, base.above)) for one in against])
    forces = np.zeros((*weights.shape, 1))
    forces[:, :-1, 0] = (weights[:, :-1] + weights[:, 1:]) / 2.0
    return Stage(
        procedures=tuple(procedures),
        log_mass=np.log(base.probs)[:, None],
        left=np.ones((1, 1)),
        above=np.zeros((1, 1)),
        fall=np.ones((1, 1)),
        forces=forces,
        constants=weights[:, 0] / 2.0,
    )


def on_grid(grid: Grid, procedures: Sequence[Procedure], against: Sequence[Procedure]) -> Stage:
    """A continuous base: a cell a panel of the logit, forces at its nodes."""
    points = grid.points
    shares = grid.half[:, None] * panels.WEIGHTS
    left, right = panels.FROM_LEFT / panels.WEIGHTS, panels.FROM_RIGHT / panels.WEIGHTS
    return Stage(
        procedures=tuple(procedures),
        log_mass=np.log(shares) + grid.log_jacobian,
        left=left,
        above=right,
        fall=right,
        forces=np.stack([one.pdf(points.u, points.v) * grid.jacobian * shares for one in against]),
        constants=np.zeros(len(procedures)),
    )
