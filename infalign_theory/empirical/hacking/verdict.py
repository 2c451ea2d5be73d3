"""The findings in sentences."""

from __future__ import annotations

from collections.abc import Sequence

from infalign_theory.empirical.hacking.agreement import Agreement
from infalign_theory.empirical.hacking.decay import Decay
from infalign_theory.empirical.hacking.results import Onset, PickRow


def verdict(
    picks: Sequence[PickRow],
    onsets: Sequence[Onset],
    agreed: Agreement,
    decay: Sequence[Decay],
    level: float,
) -> tuple[str, ...]:
    """What to do with these numbers, the most important first."""
    share = f"{100 * level:g} %"
    first, last = picks[0], picks[-1]
    out = [_turned(onset, share) for onset in sorted(onsets, key=lambda one: one.at is None)]
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
    out += [_decayed(one) for one in decay]
    return tuple(out)


def _turned(onset: Onset, share: str) -> str:
    """Whether pushing the proxy one way is hacked, and where from."""
    unit = "N = {:.0f}" if onset.by_n else "{:.2g} nats"
    what = {"best-of-n": "Best-of-N"}.get(onset.name)
    if what is None:
        what = f"Soft best-of-N ({onset.name})" if onset.by_n else f"Training with {onset.name}"
    if onset.at is None:
        return (
            f"{what}: no significant fall of the truth up to {unit.format(onset.searched_to)} "
            f"({onset.limited_by})."
        )
    return (
        f"{what} is hacked beyond {unit.format(onset.at)}: the truth falls while the proxy "
        f"rises{_interval(onset, unit, share)}."
    )


def _decayed(found: Decay) -> str:
    """Whether the proxy tells less on a trained policy's own samples."""
    seen = (
        f"On the samples of {found.policy} the proxy orders answers with AUROC "
        f"{found.tuned.value:.3f}, on the base's {found.base.value:.3f}"
    )
    if found.expected is not None and found.unexplained is not None:
        told = f"{seen}; selection alone would leave {found.expected.value:.3f}"
        ci = found.unexplained.ci
        if ci is not None and ci[1] < 0.0:
            return f"{told}: the answers changed in kind, and the reward is being hacked."
        if ci is not None and ci[0] > 0.0:
            return f"{told}: the proxy tells more there than expected."
        return f"{told}: no decay beyond that can be told."
    ci = found.change.ci
    if ci is not None and ci[1] < 0.0:
        return f"{seen}: it has decayed."
    return f"{seen}: no decay can be told."


def _interval(onset: Onset, unit: str, share: str) -> str:
    if onset.ci is None:
        return ""
    low, high = (unit.format(end) for end in onset.ci)
    ends = f"{low} to {high}" if onset.ci[1] < onset.searched_to else f"{low} or more"
    return f" ({share} interval of the peak: {ends})"
