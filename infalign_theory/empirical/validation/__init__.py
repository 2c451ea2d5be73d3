"""Trained runs judged: what was won, what theory expected, and the verdict in words."""
