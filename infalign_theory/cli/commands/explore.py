"""Open the live explorer as a local page."""

from __future__ import annotations

from typing import Annotated

import typer

EXAMPLES = (
    "infalign explore",
    "infalign explore --port 8080 --no-browser",
)


def explore(
    port: Annotated[int, typer.Option(help="Port on this machine; 0 takes a free one.")] = 0,
    browser: Annotated[bool, typer.Option(help="Open the page in a browser.")] = True,
) -> None:
    """Explore transforms live in the browser: a page at 127.0.0.1, for its address's token only."""
    from infalign_theory.explorer.entry import serve

    serve(port=port, browser=browser)
