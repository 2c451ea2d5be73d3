"""Alignment methods as data: what each optimises, on one chart.

``METHODS`` holds every method by name; :func:`table` compares them at equal KL.
"""

from infalign_theory.methods.core import Method
from infalign_theory.methods.registry import METHODS, method
from infalign_theory.methods.tables import Table, table

__all__ = ["METHODS", "Method", "Table", "method", "table"]
