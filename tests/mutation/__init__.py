"""Numerical code broken on purpose, one place at a time; see ``python -m tests.mutation --help``."""
