"""The findings in sentences."""

from __future__ import annotations

from collections.abc import Sequence

from infalign_theory.empirical.hacking.agreement import Agreement
from infalign_theory.empirical.hacking.results import Onset, PickRow


def verdict(
    picks: Sequence[PickRow], onsets: Sequence[Onset], agreed: Agreement, level: float
) -> tuple[str, ...]:
    """What to do with these numbers, the most important first."""
    share = f"{100 * level:g} %"
    first, last = picks[0], picks[-1]
    out = []
    for onset in onsets:
        unit = "N = {:.0f}" if onset.name == "best-of-n" else "{:.2g} nats"
        what = "best-of-N" if onset.name == "best-of-n" else f"training with {onset.name}"
        if onset.at is not None:
            out.append(
                f"{what} is hacked beyond {unit.format(onset.at)}: the truth falls while the "
                f"proxy rises{_interval(onset, unit, share)}."
            )
        else:
            out.append(
                f"{what}: no significant fall of the truth up to "
                f"{unit.format(onset.searched_to)} ({onset.limited_by})."
            )
    out.append(
        f"Best of {last.n} by proxy has truth {last.truth:.3f}, one random sample "
        f"{first.truth:.3f}."
    )
    if agreed.auroc is not None:
        quality = "well" if agreed.auroc.value > 0.75 else "weakly"
        if agreed.auroc.ci is not None and agreed.auroc.ci[0] <= 0.5:
            quality = "no better than chance"
        out.append(
            f"Within a prompt the proxy orders answers of different truth {quality} "
            f"(AUROC {agreed.auroc.value:.3f}); its top tenth has truth "
            f"{agreed.top_decile.value:.3f} against {agreed.overall.value:.3f} overall."
        )
    else:
        out.append("No prompt has samples of different truth: the proxy cannot be judged here.")
    return tuple(out)


def _interval(onset: Onset, unit: str, share: str) -> str:
    if onset.ci is None:
        return ""
    low, high = (unit.format(end) for end in onset.ci)
    ends = f"{low} to {high}" if onset.ci[1] < onset.searched_to else f"{low} or more"
    return f" ({share} interval of the peak: {ends})"
