"""Transforms against each other and against the optimum: frontiers, regret, best exponents."""
