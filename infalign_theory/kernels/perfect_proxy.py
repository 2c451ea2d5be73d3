"""What the win rate by truth would be, had the reward put the samples in the order of their truth.

The truths that the two policies' samples of a prompt have are dealt out anew, the lowest to the
lowest rewards: a perfect proxy whose truth is as coarse as the real one. Equal rewards share the
truths that fall to them evenly.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from infalign_theory.kernels._jit import kernel
from infalign_theory.kernels.sorting import any_missing, sorted_copy
from infalign_theory.kernels.ustatistics import pick_weights
from infalign_theory.typing import Array, IntArray


class Judged(NamedTuple):
    """Samples with their truth, prompt after prompt, sorted by score, and what picks among them.

    The pick is the best of ``n`` of them, or the worst.
    """

    scores: Array
    truth: Array
    offsets: IntArray
    n: int
    best: bool


@kernel
def win_rates(ours: Judged, theirs: Judged, out: Array, span: tuple[int, int]) -> None:
    """P(truth of our pick > truth of theirs) + P(equal) / 2 of each prompt under a perfect proxy.

    NaN with fewer samples than a pick takes or a missing truth on a side. Picks of different
    reward differ in truth unless both fall to one value of it: with s the part of a reward's
    truths that has the value, the win rate by reward loses half of the sum, over values and over
    pairs of rewards g below h, of s_g s_h (a_h b_g - a_g b_h), a and b the chances of the picks.
    """
    for group in range(span[0], span[1]):
        i0, i1 = ours.offsets[group], ours.offsets[group + 1]
        j0, j1 = theirs.offsets[group], theirs.offsets[group + 1]
        truths = np.empty(i1 - i0 + j1 - j0)
        for i in range(i0, i1):
            truths[i - i0] = ours.truth[i]
        for j in range(j0, j1):
            truths[i1 - i0 + j - j0] = theirs.truth[j]
        if i1 - i0 < ours.n or j1 - j0 < theirs.n or any_missing(truths):
            out[group] = np.nan
            continue
        truths = sorted_copy(truths)
        w, v = np.empty(i1 - i0), np.empty(j1 - j0)
        pick_weights(w.size, ours.n, ours.best, w)
        pick_weights(v.size, theirs.n, theirs.best, v)
        a, b = ours.scores[i0:i1], theirs.scores[j0:j1]
        i, j, at = 0, 0, 0
        won, lost, below = 0.0, 0.0, 0.0
        value, a_there, b_there = truths[0], 0.0, 0.0
        while at < truths.size:
            score = a[i] if j == b.size or (i < a.size and a[i] <= b[j]) else b[j]
            a_mass, b_mass, start = 0.0, 0.0, at
            while i < a.size and a[i] == score:
                a_mass += w[i]
                i += 1
            while j < b.size and b[j] == score:
                b_mass += v[j]
                j += 1
            end = i + j
            won += a_mass * (below + b_mass / 2)
            below += b_mass
            while at < end:
                run = at
                while run < end and truths[run] == truths[at]:
                    run += 1
                if truths[at] != value:
                    value, a_there, b_there = truths[at], 0.0, 0.0
                part = (run - at) / (end - start)
                lost += part * (a_mass * b_there - b_mass * a_there) / 2
                a_there += part * a_mass
                b_there += part * b_mass
                at = run
        out[group] = min(max(won - lost, 0.0), 1.0)
