"""Laws of the truth of two picks, by quadrature over the proxy.

H(v) = int P(V <= v | U = u) dA(u) for the law A of a pick by proxy. The panels of u are bisected
until H is resolved at every v asked for, so that the dependence may be as close as it likes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from infalign_theory.errors import PrecisionError
from infalign_theory.proxies.core import Copula
from infalign_theory.proxies.picks import Picks
from infalign_theory.quadrature import panels
from infalign_theory.quadrature.grid import Grid
from infalign_theory.quadrature.points import Points
from infalign_theory.typing import Array, IntArray

_MOST_PANELS = 40_000
_ALLOWED = 2e-14  # of the error of a panel; some tens of panels matter to each v
_ROUNDING = 4e-15
_EMPTY = 1e-19
_AT_ONCE = 2_000_000


@dataclass
class TruthLaws:
    """H of both picks at any points v; keeps the grid that the last points needed."""

    copula: Copula
    picks: Picks

    def __post_init__(self) -> None:
        cuts = np.array(self.copula.cuts, dtype=np.float64)
        self.grid = self.picks.start().with_edges(np.log(cuts) - np.log1p(-cuts))

    def reach(self) -> float:
        """Largest |logit u| that either pick reaches with a mass that matters."""
        ours, theirs = self.picks.densities(self.grid)
        held = self.grid.sums(ours) + self.grid.sums(theirs) > 1e-16
        edges = np.abs(self.grid.edges)
        return float(max(edges[:-1][held].max(), edges[1:][held].max()))

    def hacked(self) -> tuple[float, float]:
        """Share of each pick that is hacked."""
        share = self.copula.hacked(self.grid.points)
        ours, theirs = self.picks.densities(self.grid)
        return self.grid.integral(ours * share), self.grid.integral(theirs * share)

    def at(self, s: Array) -> tuple[Array, Array]:
        """H of our pick and of theirs at logits s, shape (m,)."""
        v = Points.from_logit(s)
        totals = np.zeros((2, s.size))
        grid, done = self.grid, np.zeros(self.grid.half.size, dtype=bool)
        while True:
            densities = np.stack(self.picks.densities(grid))
            masses = grid.sums(densities[0]) + grid.sums(densities[1])
            done |= masses <= _EMPTY
            split = np.zeros(done.size, dtype=bool)
            step = max(1, _AT_ONCE // (panels.NODES * s.size))
            waiting = np.flatnonzero(~done)
            for first in range(0, waiting.size, step):
                chosen = waiting[first : first + step]
                sums, errors = self._panels(grid, chosen, densities[:, chosen], v)
                allowed = _ALLOWED + _ROUNDING * masses[chosen]
                good = (errors <= allowed) | ~grid.splittable()[chosen]
                totals += sums[:, good].sum(axis=1)
                split[chosen[~good]] = True
            done |= ~split
            if not split.any():
                break
            grid = grid.split(split)
            done = np.repeat(done, 1 + split)
            if done.size > _MOST_PANELS:
                raise PrecisionError(
                    f"the truth behind {self.copula.name} changes too sharply with the proxy to "
                    "be integrated to 1e-9; the dependence is so close that the proxy's own win "
                    "rate stands for it.",
                    float("nan"),
                )
        self.grid = grid
        return totals[0], totals[1]

    def _panels(
        self, grid: Grid, chosen: IntArray, densities: Array, v: Points
    ) -> tuple[Array, Array]:
        """Integrals of some panels, shape (2, panels, m), and the largest error of each."""
        u = grid.points[chosen]
        share = self.copula.conditional(v, Points(u.u[..., None], u.v[..., None], u.s[..., None]))
        values = densities[..., None] * share
        half = grid.half[chosen]
        sums = half[None, :, None] * np.einsum("apnm,n->apm", values, panels.WEIGHTS)
        tails = np.abs(np.einsum("kn,apnm->akpm", panels.ANALYSIS[-3:], values)).sum(axis=1)
        return sums, (half[None, :, None] * tails).max(axis=(0, 2))
