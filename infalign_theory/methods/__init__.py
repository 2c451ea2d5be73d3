"""Alignment methods as data: what each optimises, on one chart."""
