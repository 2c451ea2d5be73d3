"""A base from an uploaded score file, checked before it is read."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np

from infalign_theory.empirical.scores.reading import read_scores
from infalign_theory.errors import InputError

LARGEST_UPLOAD = 50 * 2**20  # bytes
_MOST_ATOMS = 200
_KINDS = (".csv", ".jsonl")


def masses_of_upload(filename: str, content: bytes) -> str:
    """Masses of the mean discrete base over prompts, as the base box shows them.

    Scores are ranked within their prompt, so that prompts of different scales can be joined; at
    most 200 atoms are kept.

    Raises
    ------
    InputError
        For other kinds of files, files above 50 MiB, and scores that cannot be read.
    """
    suffix = Path(filename or "").suffix.lower()
    if suffix not in _KINDS:
        raise InputError(f"{filename!r:.80} is not a score file; upload .csv or .jsonl.")
    if len(content) > LARGEST_UPLOAD:
        raise InputError(
            f"{filename!r:.80} has {len(content) / 2**20:.0f} MiB; upload at most "
            f"{LARGEST_UPLOAD // 2**20} MiB, or use infalign predict on the file."
        )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, f"scores{suffix}")
        path.write_bytes(content)
        scores = read_scores(path)
    merged = np.unique(scores.rewards.values, return_counts=True)[1]
    if merged.size > _MOST_ATOMS:
        return "continuous"
    return ", ".join(f"{mass:.12g}" for mass in merged / merged.sum())
