"""What the explorer hands out: the Python that makes a view, its numbers, its pictures."""

from __future__ import annotations

import csv
import io

from infalign_theory.divergences import ReverseKL
from infalign_theory.explorer.curves import MINE, Panels
from infalign_theory.explorer.uploads import CONTINUOUS, PREFIX, file_of
from infalign_theory.explorer.view import View, free_names

PANELS = ("transform", "density", "frontier", "regret", "efficiency", "by_size")


def python_code(view: View) -> str:
    """A program that computes the view's numbers and draws its frontier; runs as it stands.

    One on scores expects the file beside it.
    """
    names = free_names(view.transform)
    if names:
        formula = view.transform.strip().removeprefix("expr:")
        values = "".join(f", {name}={view.parameters.get(name, 3.0)!r}" for name in names)
        transform = f"it.Expression({formula!r}{values})"
    else:
        transform = repr(view.transform)
    head = ["import infalign_theory as it", "", f"transform = {transform}"]
    head += [f"procedure = {view.procedure!r}"]
    if view.base.strip().startswith(PREFIX):
        return "\n".join([*head, *_on_scores(view), ""])
    return "\n".join([*head, *_on_base(view), ""])


def _on_scores(view: View) -> list[str]:
    return [
        f"scores = {file_of(view.base)!r}  # columns prompt, reward; each prompt its own base",
        "found = it.predict(",
        "    scores, procedure=procedure, transform=[transform, 'identity', 'optimal'],",
        f"    kl={view.kl!r}, law='discrete',",
        ")",
        "print('win rate', found.rows[0].win_rate)",
        "print(found.to_frame())",
        "found.plot()",
    ]


def _on_base(view: View) -> list[str]:
    masses = "" if view.base == CONTINUOUS else f"it.Discrete([{view.base.replace(';', ',')}])"
    given = ", base=base" if masses else ""
    if view.penalty != ReverseKL():
        given += f", divergence={view.divergence!r}"
    return [
        *([f"base = {masses}"] if masses else []),
        f"policy = it.align(transform, kl={view.kl!r}{given})",
        "print('win rate', it.win_rate(policy, procedure))",
        f"table = it.compare([transform, 'identity'], procedure, kl={view.kl!r}{given})",
        "print(table.to_frame())",
        "",
        "# the frontier, as the page draws it",
        f"curve = it.frontier(transform, procedure, kl=[{view.kl / 4!r}, {view.kl!r}]{given})",
        "curve.plot()",
    ]


def numbers_csv(found: Panels) -> str:
    """Every curve of every panel, a row a point."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(["panel", "curve", "x", "y"])
    for panel in PANELS:
        for curve in getattr(found, panel):
            for x, y in zip(curve.x.tolist(), curve.y.tolist(), strict=True):
                writer.writerow([panel, curve.name, f"{x:.10g}", f"{y:.10g}"])
    return stream.getvalue()


def picture(view: View, found: Panels, kind: str) -> bytes:
    """Transform, frontier and regret side by side, as PNG or SVG."""
    import matplotlib.pyplot as plt

    from infalign_theory.plotting.curves import draw_curve
    from infalign_theory.plotting.rendering import drawing_style, image

    labels = {
        "transform": ("calibrated reward u", "scaled transform"),
        "frontier": ("KL (nats)", "win rate"),
        "regret": ("KL (nats)", "regret (points)"),
    }
    with drawing_style():
        figure, axes = plt.subplots(1, 3, figsize=(12.0, 3.6), layout="constrained")
        try:
            for ax, (panel, (x, y)) in zip(axes, labels.items(), strict=True):
                for curve in getattr(found, panel):
                    name = view.phi.name if curve.name == MINE else curve.name
                    draw_curve(ax, name, curve.x, curve.y, label=name)
                ax.set(xlabel=x, ylabel=y)
            axes[0].legend(fontsize=8)
            return image(figure, kind)
        finally:
            plt.close(figure)
