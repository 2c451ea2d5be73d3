"""Scores read from files and tables, checked and grouped by prompt."""
