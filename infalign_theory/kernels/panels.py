"""Integrals over panels: many short intervals, each carrying the same Gauss-Legendre nodes.

A function is an array of shape (panels, nodes). Running integrals are accumulated from both
ends, so that a CDF F and its complement 1-F both keep their relative accuracy in the tails.
"""

from __future__ import annotations

import numpy as np

from infalign_theory.kernels._jit import kernel
from infalign_theory.kernels.sums import NEAR, entropy_near_one
from infalign_theory.typing import Array

NODES = 16


def _legendre_tables(count: int) -> tuple[Array, Array, Array, Array]:
    """Nodes, weights, analysis matrix and antiderivative matrix on [-1, 1].

    ``analysis @ values`` gives Legendre coefficients; ``antiderivative @ values`` the integral
    from -1 to each node. Both are exact for polynomials of degree count - 1.
    """
    nodes, weights = np.polynomial.legendre.leggauss(count)
    basis = np.polynomial.legendre.legvander(nodes, count)
    degrees = np.arange(count)
    analysis = (degrees[:, None] + 0.5) * basis[:, :count].T * weights
    running = np.empty((count, count))
    running[:, 0] = nodes + 1.0
    for degree in range(1, count):
        running[:, degree] = (basis[:, degree + 1] - basis[:, degree - 1]) / (2 * degree + 1)
    return nodes, weights, analysis, running @ analysis


X, WEIGHTS, ANALYSIS, FROM_LEFT = _legendre_tables(NODES)
# the rule is symmetric, so the integral from a node to +1 is the mirrored matrix: no subtraction
FROM_RIGHT = np.ascontiguousarray(FROM_LEFT[::-1, ::-1])


@kernel
def panel_sums(values: Array, half: Array, weights: Array) -> Array:
    """Integral of each panel."""
    panels, nodes = values.shape
    out = np.empty(panels)
    for p in range(panels):
        total = 0.0
        for j in range(nodes):
            total += weights[j] * values[p, j]
        out[p] = half[p] * total
    return out


@kernel
def running_integrals(
    values: Array, half: Array, weights: Array, from_left: Array, from_right: Array
) -> tuple[Array, Array, Array, Array]:
    """Integral below and above every node and every panel edge.

    Returns ``below, above`` of shape (panels, nodes) and ``edge_below, edge_above`` of shape
    (panels + 1,).
    """
    panels, nodes = values.shape
    masses = panel_sums(values, half, weights)
    edge_below = np.zeros(panels + 1)
    edge_above = np.zeros(panels + 1)
    for p in range(panels):
        edge_below[p + 1] = edge_below[p] + masses[p]
    for p in range(panels - 1, -1, -1):
        edge_above[p] = edge_above[p + 1] + masses[p]
    below = np.empty((panels, nodes))
    above = np.empty((panels, nodes))
    for p in range(panels):
        for i in range(nodes):
            left = 0.0
            right = 0.0
            for j in range(nodes):
                left += from_left[i, j] * values[p, j]
                right += from_right[i, j] * values[p, j]
            # rounding must not push a running integral of a density below its own edge
            below[p, i] = edge_below[p] + half[p] * max(left, 0.0)
            above[p, i] = edge_above[p + 1] + half[p] * max(right, 0.0)
    return below, above, edge_below, edge_above


@kernel
def entropy_terms(log_ratio: Array, log_weight: Array) -> Array:
    """w (r log r - r + 1) at r = exp(log_ratio), w = exp(log_weight): never negative.

    Summed over the base's weights it is the KL divergence, without the cancellation of
    E[log r] at small KL; a large ratio may meet a weight that underflows on its own.
    """
    out = np.empty(log_ratio.shape)
    ratios, weights, terms = log_ratio.ravel(), log_weight.ravel(), out.ravel()
    for i in range(ratios.size):
        a = ratios[i]
        weight = np.exp(weights[i])
        if a == -np.inf:
            terms[i] = weight
        elif abs(a) < NEAR:
            terms[i] = weight * entropy_near_one(a)
        else:
            tilted = np.exp(a + weights[i])
            terms[i] = a * tilted - (tilted - weight)
    return out
