"""The explorer as widgets: the same in a notebook and as a page of its own."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from infalign_theory.errors import InfalignError
from infalign_theory.explorer import export
from infalign_theory.explorer.curves import MINE, SIZES, Curve, Panels, panels
from infalign_theory.explorer.uploads import LARGEST_UPLOAD, masses_of_upload
from infalign_theory.explorer.view import DEFAULT_PARAMETER, LARGEST_KL, View, free_names
from infalign_theory.plotting.style import style_of

if TYPE_CHECKING:
    import panel
    from bokeh.models import ColumnDataSource
    from bokeh.plotting import figure

PROCEDURES: tuple[str, ...] = ("standard", "bon:2", "bon:4", "bon:8", "bon:16", "bon:32")
PROCEDURES += ("won:2", "won:4", "won:8", "won:16", "won:32", "bop:3", "order:2/3")
OURS = "#CC0099"  # no other curve of the project has it
_AXES = {
    "transform": ("calibrated reward u", "transform, scaled to [0, 1]"),
    "density": ("calibrated reward u", "density relative to the base"),
    "frontier": ("KL (nats)", "win rate"),
    "regret": ("KL (nats)", "regret (points of win rate)"),
    "efficiency": ("N", "first-order efficiency"),
    "by_size": ("N", "win rate at the chosen KL"),
}
_LEGENDS = {"frontier": "bottom_right", "by_size": "bottom_right", "efficiency": "bottom_left"}
_TITLES = {
    "transform": "Transform",
    "density": "Aligned policy",
    "frontier": "Win rate against KL",
    "regret": "Regret",
    "efficiency": "First bit of KL",
    "by_size": "Win rate against N",
}


class Explorer:
    """Widgets of one view, redrawn whenever one of them changes.

    Attributes
    ----------
    view : View
        What is shown; the last one that could be solved.
    """

    def __init__(self, view: View | None = None) -> None:
        import panel as pn

        self.view = view or View()
        self.found: Panels | None = None
        self._loading = False
        self._listeners: list[Callable[[View], None]] = []
        self._figures = {name: _figure(name) for name in _AXES}
        self._sources: dict[tuple[str, str], ColumnDataSource] = {}
        self._make_inputs(self.view)
        self.message = pn.pane.Alert("", alert_type="danger", visible=False)
        self.summary = pn.pane.Markdown("", sizing_mode="stretch_width")
        self._downloads = self._make_downloads()
        self.draw()

    def _make_inputs(self, view: View) -> None:
        import panel as pn

        self.transform = pn.widgets.TextInput(
            label="Transform (a formula in u, or exp:10, log, ...)", value=view.transform
        )
        self.procedure = pn.widgets.AutocompleteInput(
            label="Procedure",
            options=list(dict.fromkeys([*PROCEDURES, view.procedure])),
            value=view.procedure,
            restrict=False,
            min_characters=0,
        )
        self.kl = pn.widgets.FloatSlider(
            label="KL (nats)", start=0.01, end=4.0, step=0.01, value=min(max(view.kl, 0.01), 4.0)
        )
        self.base = pn.widgets.TextInput(
            label="Base: continuous, or masses of atoms", value=view.base
        )
        self.upload = pn.widgets.FileDropper(
            label="Base from a score file (.csv, .jsonl; columns prompt and reward)",
            accepted_filetypes=[".csv", ".jsonl"],
            max_file_size=f"{LARGEST_UPLOAD // 2**20}MB",
            multiple=False,
            height=90,
        )
        self.sliders = pn.Column(sizing_mode="stretch_width")
        self._make_sliders(view)
        self.transform.param.watch(self._typed, "value_input")
        for widget in (self.transform, self.procedure, self.base):
            widget.param.watch(self._changed, "value")
        self.kl.param.watch(self._changed, "value")
        self.upload.param.watch(self._uploaded, "value")

    def _make_sliders(self, view: View) -> None:
        import panel as pn

        kept = {slider.label: slider.value for slider in self.sliders}
        made = []
        for name in free_names(view.transform):
            value = view.parameters.get(name, kept.get(name, DEFAULT_PARAMETER))
            reach = max(20.0, 2.0 * abs(value))
            slider = pn.widgets.FloatSlider(
                label=name, start=-reach, end=reach, step=0.1, value=value
            )
            slider.param.watch(self._changed, "value")
            made.append(slider)
        self.sliders[:] = made

    def _make_downloads(self) -> list[panel.widgets.FileDownload]:
        import panel as pn

        kinds: Sequence[tuple[str, str, Callable[[], bytes]]] = (
            ("PNG", "view.png", lambda: export.picture(self.view, self._solved(), "png")),
            ("SVG", "view.svg", lambda: export.picture(self.view, self._solved(), "svg")),
            ("CSV", "view.csv", lambda: export.numbers_csv(self._solved()).encode()),
            ("Python", "view.py", lambda: export.python_code(self.view).encode()),
        )
        return [
            pn.widgets.FileDownload(
                callback=lambda make=make: io.BytesIO(make()),
                filename=filename,
                label=label,
                width=110,
            )
            for label, filename, make in kinds
        ]

    def _solved(self) -> Panels:
        if self.found is None:
            self.found = panels(self.view)
        return self.found

    def on_change(self, listener: Callable[[View], None]) -> None:
        """Call ``listener`` with every new view that could be solved."""
        self._listeners.append(listener)

    def _typed(self, event: object) -> None:
        self._make_sliders(replace(self.view, transform=self.transform.value_input, parameters={}))
        self._changed(event)

    def _changed(self, _event: object) -> None:
        if not self._loading:
            self.draw()

    def _uploaded(self, _event: object) -> None:
        try:
            for filename, content in (self.upload.value or {}).items():
                given = content if isinstance(content, bytes) else content.encode()
                self.base.value = masses_of_upload(filename, given)
        except InfalignError as error:
            self._tell(str(error))

    def current(self) -> View:
        """The view that the widgets ask for, solvable or not."""
        typed = self.transform.value_input
        return View(
            procedure=self.procedure.value or self.view.procedure,
            transform=typed if typed else self.transform.value,
            kl=min(float(self.kl.value), LARGEST_KL),
            base=self.base.value,
            parameters={slider.label: float(slider.value) for slider in self.sliders},
        )

    def show(self, view: View) -> None:
        """Set the widgets to a view, as a shared address does."""
        self._loading = True
        try:
            self.transform.value = self.transform.value_input = view.transform
            self.procedure.value, self.base.value = view.procedure, view.base
            self.kl.value = min(max(view.kl, self.kl.start), self.kl.end)
            self._make_sliders(view)
        finally:
            self._loading = False
        self.draw()

    def draw(self) -> None:
        """Solve the present view and redraw, or say beside the box what is wrong with it."""
        view = self.current()
        try:
            found = panels(view)
        except InfalignError as error:
            self._tell(str(error))
            return
        self.view, self.found = view, found
        self.message.visible = False
        for name in _AXES:
            self._draw_panel(name, getattr(found, name))
        self.summary.object = _summary(view, found)
        for listener in self._listeners:
            listener(view)

    def _tell(self, text: str) -> None:
        self.message.object = _escaped(text)
        self.message.visible = True

    def _draw_panel(self, name: str, curves: Sequence[Curve]) -> None:
        from bokeh.models import ColumnDataSource

        fig = self._figures[name]
        fig.visible = bool(curves)
        shown = {curve.name for curve in curves}
        for (panel_name, curve_name), source in self._sources.items():
            if panel_name == name and curve_name not in shown:
                source.data = {"x": [], "y": []}
        for curve in curves:
            data = {"x": curve.x, "y": curve.y}
            source = self._sources.get((name, curve.name))
            if source is None:
                source = ColumnDataSource(data, name=f"{name}/{curve.name}")
                self._sources[(name, curve.name)] = source
                _add_line(fig, curve.name, source)
            else:
                source.data = data

    def layout(self) -> panel.viewable.Viewable:
        """Inputs on top, six linked panels below; one column on a phone."""
        import panel as pn

        inputs = pn.FlexBox(
            *(
                pn.Column(*column, styles={"flex": "1 1 260px", "min-width": "0"})
                for column in (
                    (self.transform, self.sliders, self.message),
                    (self.procedure, self.kl),
                    (self.base, self.upload),
                )
            )
        )
        plots = pn.FlexBox(
            *(
                pn.Column(fig, styles={"flex": "1 1 300px", "min-width": "0"})
                for fig in self._figures.values()
            )
        )
        downloads = pn.FlexBox(*self._downloads)
        return pn.Column(
            inputs, self.summary, plots, downloads, sizing_mode="stretch_width", margin=8
        )


def _figure(name: str) -> figure:
    from bokeh.plotting import figure

    x, y = _AXES[name]
    fig = figure(
        name=name,
        title=_TITLES[name],
        x_axis_label=x,
        y_axis_label=y,
        x_axis_type="log" if name in ("efficiency", "by_size") else "linear",
        height=270,
        visible=False,
        min_width=260,
        sizing_mode="stretch_width",
        toolbar_location=None,
        output_backend="canvas",
    )
    if name in ("efficiency", "by_size"):
        fig.xaxis.ticker = list(SIZES)
        fig.xaxis.major_label_overrides = {n: str(n) for n in SIZES}
    return fig


def _add_line(fig: figure, name: str, source: ColumnDataSource) -> None:
    mine = name == MINE
    color = OURS if mine else style_of(name).color
    dash = "solid" if mine or name == "optimal" else "dashed"
    width = 3.0 if mine else 2.0
    fig.line(
        "x", "y", source=source, color=color, line_dash=dash, line_width=width, legend_label=name
    )
    if len(SIZES) >= np.size(source.data["x"]) > 0:
        fig.scatter("x", "y", source=source, color=color, size=6, legend_label=name)
    fig.legend.location = _LEGENDS.get(str(fig.name), "top_left")
    fig.legend.background_fill_alpha = 0.6
    fig.legend.padding = 2
    fig.legend.spacing = 0
    fig.legend.label_text_font_size = "8pt"


def _summary(view: View, found: Panels) -> str:
    return (
        f"At **{found.kl:.3g} nats** under **{_escaped(view.procedure)}** your transform wins "
        f"**{100 * found.win_rate:.2f} %**; the best possible policy wins "
        f"{100 * found.optimal:.2f} %: it gives up **{100 * found.regret_here:.2f} points**. "
        f"β = {found.beta:.4g} in the units of the transform."
    )


def _escaped(text: str) -> str:
    """Users' text as Markdown shows it literally."""
    import html

    return "".join(f"\\{c}" if c in "\\`*_{}[]()#+!|~" else c for c in html.escape(text))
