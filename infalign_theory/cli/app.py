"""The command line: finds the commands, runs one, turns errors into one readable line."""

from __future__ import annotations

import os
import pkgutil
import sys
from collections.abc import Sequence
from importlib import import_module
from itertools import pairwise
from typing import Annotated, Any

import typer

from infalign_theory.cli import commands
from infalign_theory.errors import InfalignError

app = typer.Typer(
    name="infalign",
    help="Exact win rates, optimal reward transforms and honest validation for Best-of-N and "
    "Worst-of-N inference.",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


_STOPPED = 130  # what shells call a program that was interrupted

# Typer carries its own copy of Click from some version on: reach the base class by inheritance
_UsageError: Any = typer.BadParameter.__mro__[2]


def _version(wanted: bool) -> None:
    if wanted:
        from infalign_theory import __version__

        typer.echo(f"infalign {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


def _register() -> None:
    """Every file of ``commands`` is a command: the function of the same name.

    Its ``EXAMPLES``, command lines that run, are shown below its help.
    """
    for found in pkgutil.iter_modules(commands.__path__):
        module = import_module(f"{commands.__name__}.{found.name}")
        examples = getattr(module, "EXAMPLES", ())
        epilog = "\n\n".join(["Examples:", *examples]) if examples else None
        app.command(found.name, epilog=epilog)(getattr(module, found.name))


_register()


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line: exit 0 when done, 2 on bad input with one readable line."""
    if sys.stdout is None:  # closed by the shell; the descriptor lives as long as the process
        nowhere = os.open(os.devnull, os.O_WRONLY)
        sys.stdout = open(nowhere, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    given = list(sys.argv[1:] if arguments is None else arguments)
    try:
        code = app(args=given or ["--help"], standalone_mode=False)
        sys.stdout.flush()  # while a full disk or a closed pipe can still be told
    except InfalignError as error:
        _fail(f"{str(error).splitlines()[0].rstrip('.')}. See {_help(given)}.")
    except _UsageError as error:
        _fail(f"{_usage(error, given)}; see {_help(given)}.")
    except (typer.Abort, KeyboardInterrupt):
        _fail("stopped.", _STOPPED)
    except (BrokenPipeError, SystemExit):
        # the reader has seen enough (Typer itself exits on a broken pipe)
        _let_go_of_output()
        sys.exit(0)
    except MemoryError:
        _fail("there is not enough memory for this; ask for less at once, or allow more.")
    except ImportError as error:
        _fail(_unloaded(error))
    except OSError as error:
        _let_go_of_output()
        told = error.strerror and f"{error.filename or 'output'}: {error.strerror}."
        _fail(told or _unloaded(error))
    if code == _STOPPED:  # Typer has turned the interrupt into a status
        _fail("stopped.", _STOPPED)
    sys.exit(code or 0)


def _let_go_of_output() -> None:
    """Keep the interpreter from complaining at its end of what could not be written."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _unloaded(error: Exception) -> str:
    """A compiled library that the system could not load."""
    reason = str(error).partition(". ")[0].rstrip(".")
    return f"{reason}: the installation is damaged, or there is too little memory to load it."


def _help(given: Sequence[str]) -> str:
    """The help of the command that was called."""
    names = [command.name for command in app.registered_commands]
    called = next((word for word in given if word in names), None)
    return f"infalign {called} --help" if called else "infalign --help"


def _usage(error: Any, given: Sequence[str]) -> str:  # noqa: ANN401 - Typer's own Click, see above
    """What is wrong with the words given: the option and its meaning, the value that is unfit."""
    message = str(error.format_message()).rstrip(".")
    param = getattr(error, "param", None)
    help_ = getattr(param, "help", None)
    meaning = f" ({help_.rstrip('.')})" if help_ else ""
    if param is None or "unable to parse" not in message:
        return f"{message}{meaning}"
    whole = "integer" in message
    value = next((text for text in _values(given, param.opts) if not _reads(text, whole)), "")
    kind = "whole number" if whole else "number"
    return f"{max(param.opts, key=len)} {value!r} is not a {kind}; give one{meaning}"


def _values(given: Sequence[str], names: Sequence[str]) -> list[str]:
    """What follows an option of these names: ``--kl 1``, ``--kl=1``."""
    after = [text for name, text in pairwise(given) if name in names]
    joined = [text.partition("=")[2] for text in given if text.partition("=")[0] in names]
    return after + joined


def _reads(text: str, whole: bool) -> bool:
    try:
        int(text) if whole else float(text)
    except ValueError:
        return False
    return True


def _fail(message: str, code: int = 2) -> None:
    readable = "".join(c if c.isprintable() else "?" for c in " ".join(message.split()))
    typer.echo(f"infalign: {readable}", err=True)
    sys.exit(code)
