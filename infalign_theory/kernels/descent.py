"""The coupled optimum of any pair of procedures on a continuous base, marched from the top.

In s = logit u the coupled equation reads

    dA/ds = k g'(F) g_ref'(u) du/ds,   dF/ds = exp(A) du/ds,   A = log f,

and the log density at u = 1 fixes everything: march down to u = 0 and compare the mass that came
out with 1. Going down from where the mass is, the total is no more sensitive than the density.
"""

from __future__ import annotations

import numpy as np

from infalign_theory.kernels._jit import kernel
from infalign_theory.kernels.terms import evaluate
from infalign_theory.typing import Array


@kernel
def march_down(
    top: float, k: float, half: Array, force: Array, jacobian: Array, slope: Array,
    weights: Array, from_right: Array, log_density: Array,
) -> float:  # fmt: skip
    """Total mass for a log density ``top`` at u = 1; fills ``log_density`` at the nodes.

    ``force`` is g_ref'(u) du/ds and ``jacobian`` du/ds, both of shape (panels, nodes); ``slope``
    describes g'. Panels are solved by Gauss collocation with Picard iteration.
    """
    panels, nodes = force.shape
    rate = np.empty(nodes)
    mass_rate = np.empty(nodes)
    above = np.empty(nodes)
    edge_log, edge_mass = top, 0.0
    for p in range(panels - 1, -1, -1):
        for j in range(nodes):
            log_density[p, j] = edge_log
            above[j] = edge_mass
        previous = np.inf
        for _ in range(60):
            for j in range(nodes):
                q = min(max(above[j], 0.0), 1.0)
                rate[j] = k * force[p, j] * evaluate(1.0 - q, q, slope)
                mass_rate[j] = np.exp(log_density[p, j]) * jacobian[p, j]
            change = 0.0
            for i in range(nodes):
                fall, gain = 0.0, 0.0
                for j in range(nodes):
                    fall += from_right[i, j] * rate[j]
                    gain += from_right[i, j] * mass_rate[j]
                new = edge_log - half[p] * fall
                new_above = edge_mass + half[p] * gain
                change = max(change, abs(new - log_density[p, i]) / max(1.0, abs(new)))
                change = max(change, abs(new_above - above[i]))
                log_density[p, i] = new
                above[i] = new_above
            # at rounding level the change stops shrinking
            if change == 0.0 or (change <= 1e-14 and change >= previous / 2.0):
                break
            previous = change
        for j in range(nodes):
            q = min(max(above[j], 0.0), 1.0)
            rate[j] = k * force[p, j] * evaluate(1.0 - q, q, slope)
            mass_rate[j] = np.exp(log_density[p, j]) * jacobian[p, j]
        edge_log -= half[p] * np.sum(weights * rate)
        edge_mass += half[p] * np.sum(weights * mass_rate)
    return edge_mass
