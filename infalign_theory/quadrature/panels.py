"""Integrals over panels: many short intervals, each carrying the same Gauss-Legendre nodes.

A function is an array of shape (panels, nodes); several at once lie before these two axes. Running
integrals are accumulated from both ends, so that a CDF F and its complement 1-F both keep their
relative accuracy in the tails.
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

    Returns ``below, above`` of shape (..., panels, nodes) and ``edge_below, edge_above`` of shape
    (..., panels + 1).
    """
    masses = panel_sums(values, half, WEIGHTS)
    edge_below = np.zeros((*masses.shape[:-1], half.size + 1))
    edge_above = np.zeros_like(edge_below)
    np.cumsum(masses, axis=-1, out=edge_below[..., 1:])
    np.cumsum(masses[..., ::-1], axis=-1, out=edge_above[..., -2::-1])
    # rounding must not push a running integral of a density below its own edge
    below, above = values @ FROM_LEFT.T, values @ FROM_RIGHT.T
    for inside, edge in ((below, edge_below[..., :-1]), (above, edge_above[..., 1:])):
        np.maximum(inside, 0.0, out=inside)
        inside *= half[:, None]
        inside += edge[..., None]
    return below, above, edge_below, edge_above


def entropy_terms(log_ratio: Array, log_weight: Array) -> Array:
    """w (r log r - r + 1) at r = exp(log_ratio), w = exp(log_weight): never negative.

    Summed over the base's weights it is the KL divergence, without the cancellation of
    E[log r] at small KL; a large ratio may meet a weight that underflows on its own.
    """
    weight = np.broadcast_to(np.exp(log_weight), np.shape(log_ratio))
    with np.errstate(invalid="ignore", over="ignore"):
        tilted = np.asarray(log_ratio + log_weight)
        np.exp(tilted, out=tilted)
        terms = np.asarray(log_ratio * tilted)
        tilted -= weight
        terms -= tilted
    near = np.abs(log_ratio) < NEAR
    terms[near] = weight[near] * near_one(log_ratio[near])
    empty = log_ratio == -np.inf
    if empty.any():
        terms[empty] = weight[empty]
    return terms
