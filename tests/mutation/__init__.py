"""Numerical code broken on purpose, a place at a time: ``python -m tests.mutation --help``."""
