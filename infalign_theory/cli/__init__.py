"""The command line: parse, call, print; no arithmetic."""

from infalign_theory.cli.app import main

__all__ = ["main"]
