"""Samples of many prompts laid end to end, and running kernels over them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike

from infalign_theory.checks import vector
from infalign_theory.errors import InputError
from infalign_theory.typing import Array, IntArray

WORTH_THREADS = 1_000_000


@dataclass(frozen=True)
class Groups:
    """Numbers of many prompts laid end to end; prompt i is ``values[offsets[i]:offsets[i+1]]``.

    ``values``, shape (M,), are finite; scores must increase within each prompt. ``offsets``, shape
    (P + 1,), rise from 0 to M; a prompt may be empty.

    Examples
    --------
    >>> Groups.stack([[3, 1], [2]]).values.tolist()
    [1.0, 3.0, 2.0]
    """

    values: Array
    offsets: IntArray

    def __post_init__(self) -> None:
        values = np.ascontiguousarray(self.values, dtype=np.float64)
        if values.size:
            values = np.ascontiguousarray(vector(self.values, "values"))
        given = vector(self.offsets, "offsets")
        offsets = given.astype(np.intp)
        falls = (np.diff(offsets) < 0).any() or (offsets != given).any()
        if offsets.size < 1 or offsets[0] != 0 or offsets[-1] != values.size or falls:
            raise InputError(
                f"offsets do not cut {values.size} values into prompts; give P + 1 whole numbers "
                f"that rise from 0 to {values.size}."
            )
        object.__setattr__(self, "values", values)
        object.__setattr__(self, "offsets", offsets)

    @classmethod
    def stack(cls, prompts: Iterable[ArrayLike], *, sort: bool = True) -> Groups:
        """From one sequence of numbers a prompt, sorted within each unless told otherwise."""
        parts = [np.asarray(p, dtype=np.float64).ravel() for p in prompts]
        if not parts:
            raise InputError("no prompts given; give at least one sequence of numbers.")
        parts = [np.sort(p) for p in parts] if sort else parts
        return cls(np.concatenate(parts), np.cumsum([0, *(p.size for p in parts)]))

    @property
    def prompts(self) -> int:
        """Number of prompts."""
        return self.offsets.size - 1

    @cached_property
    def sizes(self) -> IntArray:
        """Samples of each prompt."""
        return np.diff(self.offsets)

    @cached_property
    def owner(self) -> IntArray:
        """Prompt of each value."""
        return np.repeat(np.arange(self.prompts), self.sizes)

    @cached_property
    def first_unsorted(self) -> int | None:
        """Prompt of the first value that is below its predecessor, None if all is sorted."""
        falls = np.flatnonzero(np.diff(self.values) < 0) + 1
        falls = falls[~np.isin(falls, self.offsets)]
        return int(self.owner[falls[0]]) if falls.size else None

    def sums(self, values: Array) -> Array:
        """Sum of a number a sample over each prompt; 0 for a prompt without samples."""
        return np.asarray(np.bincount(self.owner, weights=values, minlength=self.prompts))

    def spread(self, values: Array) -> Array:
        """A number a prompt, repeated for its samples."""
        return np.repeat(values, self.sizes)

    def reordered(self, prompts: IntArray) -> tuple[Groups, IntArray]:
        """Some prompts in another order, and where their samples stood."""
        sizes = self.sizes[prompts]
        offsets = np.concatenate([[0], np.cumsum(sizes)]).astype(np.intp)
        at = np.repeat(self.offsets[:-1][prompts] - offsets[:-1], sizes) + np.arange(offsets[-1])
        return Groups(self.values[at], offsets), at

    def means(self, values: Array) -> Array:
        """Mean of a number a sample over each prompt; NaN for a prompt without samples."""
        with np.errstate(invalid="ignore"):
            return np.asarray(self.sums(values) / self.sizes)


def check_sorted(name: str, *all_groups: Groups) -> None:
    """Refuse scores out of order, and sides that do not have the same number of prompts."""
    for groups in all_groups:
        if groups.first_unsorted is not None:
            raise InputError(
                f"{name} of prompt number {groups.first_unsorted} are not in increasing order; "
                "sort them within each prompt (Groups.stack does)."
            )
    if len({groups.prompts for groups in all_groups}) > 1:
        raise InputError(
            f"the two sides have {' and '.join(str(g.prompts) for g in all_groups)} prompts; "
            "give both the same prompts in the same order, empty where one side has none."
        )


def share_out(run: Callable[[int, int], None], prompts: int, samples: int) -> None:
    """Run a kernel over all prompts, on threads where that pays; kernels release the lock."""
    workers = min(os.cpu_count() or 1, prompts)
    if samples < WORTH_THREADS or workers == 1:
        run(0, prompts)
        return
    cuts = np.linspace(0, prompts, 4 * workers + 1).astype(int).tolist()
    with ThreadPoolExecutor(workers) as pool:
        list(pool.map(run, cuts[:-1], cuts[1:]))
