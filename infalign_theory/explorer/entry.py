"""The two doors of the explorer: a widget in a notebook, a page at a local address."""

from __future__ import annotations

import hmac
import secrets
from importlib.util import find_spec
from typing import TYPE_CHECKING

from infalign_theory.errors import InputError
from infalign_theory.explorer.view import View

if TYPE_CHECKING:
    import panel

HOST = "127.0.0.1"
_LAST_PORT = 65535


def explore(
    transform: str = "exp(t*u)",
    procedure: str = "bon:4",
    *,
    kl: float = 0.5,
    divergence: str = "kl",
    base: str = "continuous",
    **parameters: float,
) -> panel.viewable.Viewable:
    """Explore transforms live: type a formula, drag its parameters, see where it stands.

    Parameters
    ----------
    transform, procedure : str
        Where to start.
    kl : float
        Budget in nats.
    divergence : str
        What training is penalised by: ``"kl"`` (reverse), ``"forward-kl"``, ``"chi2"``, ...
    base : str
        ``"continuous"`` or masses of atoms, ``"0.5, 0.3, 0.2"``.
    **parameters : float
        Values of the names in the formula.

    Returns
    -------
    panel.viewable.Viewable
        Shows itself in Jupyter, VS Code and Colab.

    Raises
    ------
    InputError
        Without the extra ``explore`` (Panel).
    """
    _require_panel()
    import panel as pn

    from infalign_theory.explorer.page import Explorer

    pn.extension("filedropper")
    given = parameters or {"t": 10.0}
    view = View(
        transform=transform,
        procedure=procedure,
        kl=kl,
        divergence=divergence,
        base=base,
        parameters=given,
    )
    return Explorer(view).layout()


def serve(*, port: int = 0, browser: bool = True, token: str | None = None) -> None:
    """Serve the explorer at 127.0.0.1 until interrupted, to visitors who bring the token."""
    _require_panel()
    import panel as pn

    secret = token or secrets.token_urlsafe(16)
    port = _free_port(port)
    address = f"http://{HOST}:{port}/?token={secret}"
    print(f"infalign explore: {address}", flush=True)  # noqa: T201
    pn.extension("filedropper")
    pn.serve(
        {"/": lambda: _session(secret)},
        address=HOST,
        port=port,
        show=False,
        title="infalign explore",
        websocket_origin=[f"{HOST}:{port}", f"localhost:{port}"],
        on_startup=(lambda: _open(address)) if browser else None,
        threaded=False,
    )


def _session(secret: str) -> panel.viewable.Viewable:
    """One visitor's page; the view comes from, and goes back into, the address."""
    import panel as pn

    from infalign_theory.explorer.page import Explorer

    given = pn.state.session_args.get("token", [b""])[0]
    if not hmac.compare_digest(given, secret.encode()):
        return pn.pane.Markdown("This page opens with the address that the command printed.")
    query = "&".join(
        f"{name}={value.decode(errors='replace')}"
        for name, values in pn.state.session_args.items()
        for value in values[:1]
        if name != "token"
    )
    explorer = Explorer(View.from_query(query) if query else View())
    explorer.on_change(lambda view: _remember(view, secret))
    return explorer.layout()


def _remember(view: View, secret: str) -> None:
    import panel as pn

    if pn.state.location is not None:
        pn.state.location.search = f"?token={secret}&{view.query()}"


def _open(address: str) -> None:
    import webbrowser

    webbrowser.open(address)


def _free_port(wanted: int) -> int:
    """The port itself where it can be opened, any free one for 0."""
    import socket

    if not 0 <= wanted <= _LAST_PORT:
        raise InputError(
            f"port = {wanted} does not exist; give one from 1 to {_LAST_PORT}, or 0 for a free one."
        )
    with socket.socket() as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as the server does
        try:
            listener.bind((HOST, wanted))
        except OSError as error:
            raise InputError(
                f"port {wanted} cannot be opened ({error.strerror}); give another, or 0 for a free "
                "one."
            ) from None
        return int(listener.getsockname()[1])


def _require_panel() -> None:
    if find_spec("panel") is None:
        raise InputError(
            "the explorer needs Panel; install the extra, in a clone of the project with: "
            'python -m pip install -e ".[explore]".'
        )
