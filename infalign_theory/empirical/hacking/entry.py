"""Will this reward be hacked: from base samples with a proxy and a truth."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from infalign_theory.checks import plain_number, real
from infalign_theory.empirical.hacking import tilts
from infalign_theory.empirical.hacking.agreement import agreement
from infalign_theory.empirical.hacking.decay import decays
from infalign_theory.empirical.hacking.picks import Picked
from infalign_theory.empirical.hacking.results import Hacking, Onset, TiltRow
from infalign_theory.empirical.hacking.samples import Pairs
from infalign_theory.empirical.hacking.verdict import verdict
from infalign_theory.empirical.scores.sources import ScoresLike
from infalign_theory.empirical.scores.wide import WideLike
from infalign_theory.empirical.statistics.turning import peaks, zero_of_slope
from infalign_theory.empirical.statistics.uncertainty import mean_over_prompts
from infalign_theory.errors import InputError
from infalign_theory.procedures.names import as_procedure
from infalign_theory.procedures.soft import SoftBestOfN
from infalign_theory.procedures.weights import Weight
from infalign_theory.transforms.core import Transform
from infalign_theory.transforms.names import as_transform
from infalign_theory.typing import Array

_ENOUGH = 0.9  # of the prompts must have N samples
_BUDGETS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 5.0, 7.5, 10.0)
TRANSFORMS = ("identity", "exp:10")
SOFT = (5.0,)


def hacking(
    scores: ScoresLike,
    *,
    reward: str = "reward",
    truth: str = "truth",
    prompt: str = "prompt",
    transform: Transform | str | Sequence[Transform | str] = TRANSFORMS,
    soft: float | str | Sequence[float | str] = SOFT,
    policy: str | None = None,
    base: str | None = None,
    wide: WideLike | None = None,
    level: float = 0.95,
) -> Hacking:
    r"""How far a proxy can be pushed before the truth falls, from base samples alone.

    For best-of-N the mean truth of the pick is a U-statistic over all size-N subsets of a prompt's
    samples, equal proxies sharing a pick; for training, each prompt's samples are reweighted by
    the tilt, one beta for all prompts. Prompts are the independent unit of every interval.

    Parameters
    ----------
    scores : ScoresLike
        A row a sample of the base model, as :func:`infalign_theory.predict` takes them.
    reward, truth, prompt : str
        Column names: the proxy, the truth (0/1, true/false or any number), the prompt.
    transform : Transform or str, or a sequence of them
        What training would apply; the first decides ``onset_kl``.
    soft : float or str, or a sequence of them
        Strengths of soft best-of-N, as in ``"soft:8@5"``: 5, or ``"5*exp:10"``; may be empty.
    policy, base : str, optional
        Column that names the policy, and which one is the base, where a table holds several: the
        others are trained policies, for ``decay``.
    wide : optional
        Columns of a wide table, as for :func:`infalign_theory.predict`.
    level : float, optional
        Of the intervals; any alarm is raised in at most a share 1 - level of worlds in which
        the truth never falls, however many N, KL and transforms are looked at.

    Returns
    -------
    Hacking

    Raises
    ------
    InputError
        For unusable scores, fewer than two prompts with a truth, or too few samples a prompt.

    References
    ----------
    Hoeffding (1948), U-statistics; Gao, Schulman and Hilton, arXiv 2210.10760, for
    overoptimisation.

    Examples
    --------
    >>> import numpy as np, pandas as pd
    >>> rng = np.random.default_rng(0)
    >>> proxy = rng.normal(size=(40, 16))
    >>> table = pd.DataFrame({"prompt": np.repeat(np.arange(40), 16), "proxy": proxy.ravel()})
    >>> table["gold"] = np.where(table.proxy > 1.3, 0, rng.random(640) < 0.5 + table.proxy / 4)
    >>> found = hacking(table, reward="proxy", truth="gold")
    >>> found.onset_n is not None and found.onset_n < 5
    True
    """
    share = real(level, "level", "a confidence level between 0.5 and 1")
    if not 0.5 <= share < 1.0:
        raise InputError(f"level = {share:g} is not allowed; give one between 0.5 and 1.")
    given = [transform] if isinstance(transform, (str, Transform)) else list(transform)
    chosen = [as_transform(one) for one in given]
    if not chosen:
        raise InputError("no transform given; name at least one, as in 'identity'.")
    strengths = [soft] if isinstance(soft, (str, float, int)) else list(soft)
    weights = [_weight(one) for one in strengths]
    pairs, trained = Pairs.read(
        scores, prompt=prompt, reward=reward, truth=truth, policy=policy, base=base, wide=wide
    )
    return judge(pairs, chosen, level=share, weights=weights, trained=trained)


def _weight(strength: float | str) -> Weight:
    """The weight of soft best-of-N from text."""
    text = strength if isinstance(strength, str) else plain_number(float(strength))
    try:
        found = as_procedure(f"soft:1@{text}")
    except InputError:
        raise InputError(
            f"soft = {text!r:.60} is not a strength of soft best-of-N; give a positive number such "
            "as 5, or a number and a transform such as 5*exp:10."
        ) from None
    assert isinstance(found, SoftBestOfN)
    return found.weight


def judge(
    pairs: Pairs,
    transforms: Sequence[Transform],
    *,
    level: float = 0.95,
    weights: Sequence[Weight] = (),
    trained: Mapping[str, Pairs] | None = None,
) -> Hacking:
    """The same from samples in memory."""
    sizes = np.sort(pairs.proxy.sizes)
    largest = int(sizes[int(np.floor((1.0 - _ENOUGH) * sizes.size))])
    kept = np.flatnonzero(pairs.proxy.sizes >= largest)
    notes = list(pairs.notes)
    if kept.size < pairs.proxy.sizes.size:
        notes.append(
            f"{pairs.proxy.sizes.size - kept.size} prompts have fewer than {largest} samples and "
            "are left out of best-of-N, so that every N speaks of the same prompts"
        )
    statements = 1 + len(transforms)  # the picks together, and each transform
    picked = Picked.of(pairs.only(kept), largest, weights)
    first, *others = picked.onsets(level, statements)
    rows: list[TiltRow] = []
    by_tilt = []
    for transform in transforms:
        found = tilts.path(pairs.samples, transform)
        rows += _tilt_rows(found, level)
        by_tilt.append(_onset(found, level, statements))
    agreed = agreement(pairs, level)
    decay, untold = decays(pairs, trained or {}, transforms[0], level)
    notes += untold
    picks = picked.best(level)
    onsets = (first, *by_tilt, *others)
    return Hacking(
        best_of_n=picks,
        soft_best_of_n=picked.soft(level),
        tilt=tuple(rows),
        onset_n=None if first.at is None else int(first.at),
        onset_kl=by_tilt[0].at,
        onsets=onsets,
        agreement=agreed,
        decay=decay,
        prompts=len(pairs.prompts),
        samples=pairs.truth.size,
        verdict=verdict(picks, onsets, agreed, decay, level),
        notes=tuple(notes),
        level=level,
    )


def _tilt_rows(found: tilts.Path, level: float) -> list[TiltRow]:
    """Rows at round budgets, interpolated between the fine ones."""
    rows = []
    for nats in _BUDGETS:
        if not found.kl[0] <= nats <= found.kl[-1] * (1.0 + 1e-12):
            continue
        estimate = mean_over_prompts(_at(found, nats), level=level)
        rows.append(TiltRow(found.transform, nats, estimate.value, estimate.ci))
    return rows


def _at(found: tilts.Path, nats: float) -> Array:
    """Truth of every prompt at a KL, linear in its square root between neighbours."""
    x = np.sqrt(found.kl)
    at = int(np.clip(np.searchsorted(x, np.sqrt(nats)) - 1, 0, x.size - 2))
    share = np.clip((np.sqrt(nats) - x[at]) / (x[at + 1] - x[at]), 0.0, 1.0)
    return np.asarray((1.0 - share) * found.truths[:, at] + share * found.truths[:, at + 1])


def _onset(found: tilts.Path, level: float, statements: int) -> Onset:
    """Where the truth along a transform peaks, and whether it falls beyond."""
    # every other budget is enough for the alarm: neighbours hardly differ
    falls = peaks([found.truths[:, ::2]], level, statements)[0].falls
    return Onset(
        name=found.transform,
        by_n=False,
        at=found.peak if falls else None,
        peak=found.peak,
        ci=zero_of_slope(found.kl, found.slopes, level),
        searched_to=float(found.kl[-1]),
        limited_by=found.limited_by,
    )
