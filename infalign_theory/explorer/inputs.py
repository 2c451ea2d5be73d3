"""The explorer's inputs: what a view is made of, as widgets."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from infalign_theory.explorer.uploads import LARGEST_UPLOAD
from infalign_theory.explorer.view import DEFAULT_PARAMETER, LARGEST_KL, View, free_names

if TYPE_CHECKING:
    import panel

PROCEDURES: tuple[str, ...] = ("standard", "bon:2", "bon:4", "bon:8", "bon:16", "bon:32")
PROCEDURES += ("won:2", "won:4", "won:8", "won:16", "won:32", "bop:3", "order:2/3")
DIVERGENCES = {
    "reverse KL": "kl",
    "forward KL": "forward-kl",
    "χ²": "chi2",
    "χ² + KL": "chi2+kl",
    "Jensen-Shannon": "js",
    "alpha = 0.5": "alpha:0.5",
}
_SLIDER_KL = (0.01, 4.0)
_WAIT = 8  # milliseconds in which changes are gathered, where Panel waits 50


@dataclass(frozen=True)
class Inputs:
    """Widgets that make up a view; ``changed`` is called whenever one of them changes."""

    transform: panel.widgets.TextInput
    procedure: panel.widgets.AutocompleteInput
    kl: panel.widgets.FloatSlider
    divergence: panel.widgets.Select
    base: panel.widgets.TextInput
    upload: panel.widgets.FileDropper
    sliders: panel.Column
    changed: Callable[[], None]

    @classmethod
    def of(cls, view: View, changed: Callable[[], None]) -> Inputs:
        """Widgets that start at a view."""
        import panel as pn

        choices = dict(DIVERGENCES)
        if view.divergence not in choices.values():
            choices[view.divergence] = view.divergence
        wide = {"sizing_mode": "stretch_width"}
        made = cls(
            transform=pn.widgets.TextInput(
                label="Transform (a formula in u, or exp:10, log, ...)",
                value=view.transform,
                **wide,
            ),
            procedure=pn.widgets.AutocompleteInput(
                label="Procedure",
                options=list(dict.fromkeys([*PROCEDURES, view.procedure])),
                value=view.procedure,
                restrict=False,
                min_characters=0,
                **wide,
            ),
            kl=pn.widgets.FloatSlider(
                label="KL (nats)",
                start=_SLIDER_KL[0],
                end=_SLIDER_KL[1],
                step=0.01,
                value=_on_slider(view.kl),
                **wide,
            ),
            divergence=pn.widgets.Select(
                label="Training is penalised by", options=choices, value=view.divergence, **wide
            ),
            base=pn.widgets.TextInput(
                label="Base: continuous, or masses: 0.5, 0.3, 0.2",
                value=view.base,
                **wide,
            ),
            upload=pn.widgets.FileDropper(
                label="Base from a score file (prompt, reward)",
                accepted_filetypes=[".csv", ".tsv", ".json", ".jsonl"],
                max_file_size=f"{LARGEST_UPLOAD // 2**20}MB",
                multiple=False,
                height=90,
                **wide,
            ),
            sliders=pn.Column(**wide),
            changed=changed,
        )
        made.make_sliders(view)
        made.transform.param.watch(made._typed, "value_input")
        for widget in (made.transform, made.procedure, made.kl, made.divergence, made.base):
            _watch(widget, changed)
        return made

    def view(self, before: View) -> View:
        """The view that the widgets ask for, solvable or not."""
        typed = self.transform.value_input
        return View(
            procedure=self.procedure.value or before.procedure,
            transform=typed if typed else self.transform.value,
            kl=min(float(self.kl.value), LARGEST_KL),
            divergence=self.divergence.value,
            base=self.base.value,
            parameters={slider.label: float(slider.value) for slider in self.sliders},
        )

    def show(self, view: View) -> None:
        """Set every widget to a view."""
        self.transform.value = self.transform.value_input = view.transform
        self.procedure.value, self.base.value = view.procedure, view.base
        self.divergence.value = view.divergence
        self.kl.value = _on_slider(view.kl)
        self.make_sliders(view)

    def make_sliders(self, view: View) -> None:
        """A slider for each name in the formula that wants a value."""
        import panel as pn

        kept = {slider.label: slider.value for slider in self.sliders}
        made = []
        for name in free_names(view.transform):
            value = view.parameters.get(name, kept.get(name, DEFAULT_PARAMETER))
            reach = max(20.0, 2.0 * abs(value))
            slider = pn.widgets.FloatSlider(
                label=name,
                start=-reach,
                end=reach,
                step=0.1,
                value=value,
                sizing_mode="stretch_width",
            )
            _watch(slider, self.changed)
            made.append(slider)
        self.sliders[:] = made

    def _typed(self, _event: object) -> None:
        text = self.transform.value_input
        if free_names(text) != tuple(slider.label for slider in self.sliders):
            self.make_sliders(replace(View(), transform=text, parameters={}))
        self.changed()


def _watch(widget: panel.widgets.Widget, changed: Callable[[], None]) -> None:
    widget._debounce = _WAIT
    widget.param.watch(lambda _event: changed(), "value")


def _on_slider(kl: float) -> float:
    return min(max(kl, _SLIDER_KL[0]), _SLIDER_KL[1])
