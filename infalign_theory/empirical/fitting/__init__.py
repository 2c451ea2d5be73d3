"""Tilts fitted to calibrated rewards, and how well they fit."""
