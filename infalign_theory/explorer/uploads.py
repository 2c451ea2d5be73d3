"""Uploaded score files: checked before they are read, kept while the page is open."""

from __future__ import annotations

import hashlib
import re
import tempfile
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from infalign_theory.empirical.scores.reading import read_scores
from infalign_theory.empirical.statistics.estimators import tie_fractions
from infalign_theory.empirical.statistics.prompt_bases import PromptBases
from infalign_theory.empirical.statistics.ties import BaseLaw
from infalign_theory.errors import InputError

LARGEST_UPLOAD = 50 * 2**20  # bytes
PREFIX = "scores:"
CONTINUOUS = "continuous"
_KINDS = (".csv", ".tsv", ".json", ".jsonl")
_MOST_ATOMS = 30_000  # different scores within prompts, all prompts together
_MOST_KEPT = 8  # files

_kept: OrderedDict[str, PromptBases] = OrderedDict()


@dataclass(frozen=True)
class Upload:
    """What an uploaded file makes of the base.

    Attributes
    ----------
    base : str
        For the base box: ``"continuous"``, or ``"scores:NAME@DIGEST"`` where ties matter.
    note : str
        One sentence on what was read.
    """

    base: str
    note: str


def take_in(filename: str, content: bytes) -> Upload:
    """Read a score file as ``infalign predict`` does: each prompt is a base of its own.

    Where ties are rare the base is continuous, whatever the scores; where they matter, each
    prompt's empirical law is a discrete base, and the laws are kept under the file's name.

    Raises
    ------
    InputError
        For other kinds of files, files above 50 MiB or with too many different scores to be
        drawn while one types, and scores that cannot be read.
    """
    suffix = Path(filename or "").suffix.lower()
    if suffix not in _KINDS:
        kinds = f"{', '.join(_KINDS[:-1])} or {_KINDS[-1]}"
        raise InputError(f"{filename!r:.80} is not a score file; upload {kinds}.")
    if len(content) > LARGEST_UPLOAD:
        raise InputError(
            f"{filename!r:.80} has {len(content) / 2**20:.0f} MiB; upload at most "
            f"{LARGEST_UPLOAD // 2**20} MiB, or use infalign predict on the file."
        )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, f"scores{suffix}")
        path.write_bytes(content)
        rewards = read_scores(path).rewards
    ties = float(np.mean(np.nan_to_num(tie_fractions(rewards))))
    name = re.sub(r"[^\w.-]", "_", Path(filename).name)[-60:]
    read = f"{name}: {rewards.prompts} prompts, {rewards.values.size} samples, "
    read += f"{100 * ties:.1f} % of pairs tie. "
    if BaseLaw.AUTO.chosen(ties) is BaseLaw.CONTINUOUS:
        return Upload(CONTINUOUS, read + "So few ties: the base counts as continuous.")
    bases = PromptBases.of(rewards)
    if bases.mass.size > _MOST_ATOMS:
        raise InputError(
            f"{name} has {bases.mass.size} different scores within its prompts; the page draws at "
            f"most {_MOST_ATOMS}: upload some of the prompts, or use infalign predict on the file."
        )
    text = f"{PREFIX}{name}@{hashlib.sha256(content).hexdigest()[:12]}"
    _kept[text] = bases
    _kept.move_to_end(text)
    while len(_kept) > _MOST_KEPT:
        _kept.popitem(last=False)
    return Upload(text, read + "Each prompt is a base of its own; KL is the mean over prompts.")


def kept(text: str) -> PromptBases:
    """The prompts of a file uploaded earlier, or an InputError that asks for it again."""
    if text not in _kept:
        raise InputError(
            f"{file_of(text)!r:.80} is not on this page (scores do not travel with an address); "
            "upload the file again."
        )
    return _kept[text]


def file_of(text: str) -> str:
    """The file's name in ``"scores:NAME@DIGEST"``."""
    return text.strip().removeprefix(PREFIX).rpartition("@")[0] or text
