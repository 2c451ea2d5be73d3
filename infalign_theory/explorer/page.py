"""The explorer as widgets: the same in a notebook and as a page of its own."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from html import escape
from typing import TYPE_CHECKING

from infalign_theory.errors import InfalignError
from infalign_theory.explorer import export
from infalign_theory.explorer.curves import Panels, panels
from infalign_theory.explorer.drawing import AXES, legend, svg
from infalign_theory.explorer.inputs import Inputs
from infalign_theory.explorer.uploads import take_in
from infalign_theory.explorer.view import View

if TYPE_CHECKING:
    import panel

_FIRST = ("transform", "density", "frontier", "regret")
_LAST = ("efficiency", "by_size")
_PAUSE = 200  # milliseconds without a change after which the last panels follow
_BAD = "color:#842029;background:#f8d7da;padding:6px 10px;border-radius:4px"


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
        self._waiting: Callable[[], None] | None = None
        self._listeners: list[Callable[[View], None]] = []
        self.inputs = Inputs.of(self.view, self._changed)
        self.inputs.upload.param.watch(self._uploaded, "value")
        wide = {"sizing_mode": "stretch_width"}
        self.message = pn.pane.HTML("", visible=False, **wide)
        self.note = pn.pane.HTML("", visible=False, **wide)
        self.summary, self.legend = pn.pane.HTML("", **wide), pn.pane.HTML("", **wide)
        self._panes = {name: pn.pane.HTML("", margin=0, **wide) for name in AXES}
        self._downloads = self._make_downloads()
        self.draw()
        self.finish()

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

    def _changed(self) -> None:
        shown = self.found is not None and not self.message.visible
        if self._loading or (shown and self.inputs.view(self.view) == self.view):
            return
        self.draw()
        self._follow()

    def _uploaded(self, _event: object) -> None:
        try:
            for filename, content in (self.inputs.upload.value or {}).items():
                given = content if isinstance(content, bytes) else content.encode()
                found = take_in(filename, given)
                self.note.object, self.note.visible = escape(found.note), True
                self.inputs.base.value = found.base
        except InfalignError as error:
            self._tell(str(error))

    def show(self, view: View) -> None:
        """Set the widgets to a view, as a shared address does."""
        self._loading = True
        try:
            self.inputs.show(view)
        finally:
            self._loading = False
        self.draw()
        self.finish()

    def draw(self) -> None:
        """Solve the present view and redraw, or say beside the box what is wrong with it.

        The first four panels and the summary change at once, in one message to the page; the last
        two follow with :meth:`finish`.
        """
        import panel as pn

        view = self.inputs.view(self.view)
        try:
            found = panels(view)
        except InfalignError as error:
            self._tell(str(error))
            return
        self.view, self.found = view, found
        with pn.io.hold():
            self.message.visible = False
            self.summary.object = _summary(view, found)
            self.legend.object = legend([curve.name for curve in found.transform])
            self._redraw(_FIRST)

    def finish(self) -> None:
        """Draw the panels that were left for last, and tell the listeners."""
        import panel as pn

        self._waiting = None
        if self.found is None:
            return
        with pn.io.hold():
            self._redraw(_LAST)
        for listener in self._listeners:
            listener(self.view)

    def _follow(self) -> None:
        """Let the last panels follow: at once in a notebook, after a pause on a page."""
        import panel as pn

        document = pn.state.curdoc
        if document is None or document.session_context is None:
            self.finish()
        else:
            if self._waiting is not None:
                document.remove_timeout_callback(self._waiting)
            self._waiting = document.add_timeout_callback(self.finish, _PAUSE)

    def _redraw(self, names: Sequence[str]) -> None:
        for name in names:
            self._panes[name].object = svg(name, getattr(self.found, name), self.view.kl)

    def _tell(self, text: str) -> None:
        self.message.object = f'<div role="alert" style="{_BAD}">{escape(text)}</div>'
        self.message.visible = True

    def layout(self) -> panel.viewable.Viewable:
        """Inputs on top, six linked panels below; one column on a phone."""
        import panel as pn

        inputs = self.inputs
        columns = (
            (inputs.transform, inputs.sliders, self.message),
            (inputs.procedure, inputs.kl, inputs.divergence),
            (inputs.base, inputs.upload, self.note),
        )
        flexible = {"flex": "1 1 260px", "min-width": "0"}
        plots = {"flex": "1 1 30%", "min-width": "min(100%, 290px)"}
        return pn.Column(
            pn.FlexBox(*(pn.Column(*column, styles=flexible) for column in columns)),
            self.summary,
            self.legend,
            pn.FlexBox(*(pn.Column(pane, styles=plots) for pane in self._panes.values())),
            pn.FlexBox(*self._downloads),
            sizing_mode="stretch_width",
            margin=8,
        )


def _summary(view: View, found: Panels) -> str:
    return (
        f'<p role="status" style="margin:4px 0">At <b>{found.kl:.3g} nats</b> under '
        f"<b>{escape(view.procedure)}</b> your transform wins "
        f"<b>{100 * found.win_rate:.2f} %</b>; the best possible policy wins "
        f"{100 * found.optimal:.2f} %: it gives up <b>{100 * found.regret_here:.2f} points</b>. "
        f"β = {found.beta:.4g} in the units of the transform.</p>"
    )
