"""Integrals over panels: many short intervals, each carrying the same Gauss-Legendre nodes.

A function is an array of shape (panels, nodes). Running integrals are accumulated from both
ends, so that a CDF F and its complement 1-F both keep their relative accuracy in the tails.
"""

from __future__ import annotations

import numpy as np

from infalign_theory.kernels.sums import NEAR, near_one
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


def panel_sums(values: Array, half: Array, weights: Array) -> Array:
    """Integral of each panel."""
    return np.asarray(half * (values @ weights))


def running_integrals(values: Array, half: Array) -> tuple[Array, Array, Array, Array]:
    """Integral below and above every node and every panel edge.

    Returns ``below, above`` of shape (panels, nodes) and ``edge_below, edge_above`` of shape
    (panels + 1,).
    """
    masses = panel_sums(values, half, WEIGHTS)
    edge_below = np.concatenate([[0.0], np.cumsum(masses)])
    edge_above = np.concatenate([np.cumsum(masses[::-1])[::-1], [0.0]])
    # rounding must not push a running integral of a density below its own edge
    left, right = (np.maximum(values @ rule.T, 0.0) for rule in (FROM_LEFT, FROM_RIGHT))
    below = edge_below[:-1, None] + half[:, None] * left
    above = edge_above[1:, None] + half[:, None] * right
    return below, above, edge_below, edge_above


def entropy_terms(log_ratio: Array, log_weight: Array) -> Array:
    """w (r log r - r + 1) at r = exp(log_ratio), w = exp(log_weight): never negative.

    Summed over the base's weights it is the KL divergence, without the cancellation of
    E[log r] at small KL; a large ratio may meet a weight that underflows on its own.
    """
    weight = np.exp(log_weight)
    with np.errstate(invalid="ignore", over="ignore"):
        tilted = np.exp(log_ratio + log_weight)
        terms = log_ratio * tilted - (tilted - weight)
    near = np.abs(log_ratio) < NEAR
    terms[near] = weight[near] * near_one(log_ratio[near])
    empty = log_ratio == -np.inf
    terms[empty] = weight[empty]
    return np.asarray(terms)
