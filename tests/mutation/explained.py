"""Mutants that no test can or need kill, and why."""

EXPLAINED: dict[str, str] = {}
