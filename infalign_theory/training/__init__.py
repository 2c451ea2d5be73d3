"""From theory to a training run: calibrated rewards, what they cost, and trainers' settings."""

from __future__ import annotations

from infalign_theory.training.calibrator import Calibrator

__all__ = ["Calibrator"]
