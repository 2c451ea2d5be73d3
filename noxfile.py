"""The gates of this project, one verb each; ``nox -l`` lists them."""

import os
from pathlib import Path

import nox

nox.options.sessions = ["lint", "types", "imports", "tests"]
nox.options.reuse_existing_virtualenvs = True


def install(session: nox.Session, *what: str) -> None:
    """Install into the session's own environment; with --no-venv the present one is used."""
    if session.virtualenv.is_sandboxed:
        session.install(*what)


@nox.session
def lint(session: nox.Session) -> None:
    """Ruff, rules and format."""
    install(session, "-e", ".[lint]")
    session.run("ruff", "check", ".")
    session.run("ruff", "format", "--check", ".")


@nox.session
def types(session: nox.Session) -> None:
    """mypy --strict."""
    install(session, "-e", ".[lint,distributed]")
    session.run("mypy")


@nox.session
def imports(session: nox.Session) -> None:
    """The direction of travel between the rooms."""
    install(session, "-e", ".[lint]")
    session.run("lint-imports")


@nox.session
def tests(session: nox.Session) -> None:
    """The default tests."""
    install(session, "-e", ".[test]")
    session.run("python", "-m", "pytest", *session.posargs)


@nox.session
def tests_marked(session: nox.Session) -> None:
    """What the default run leaves out and CI runs: slow, dask, notebook, browser, train."""
    install(session, "-e", ".[test,lint,train]")
    marked = "(slow or dask or notebook or browser or train) and not simulation"
    session.run("python", "-m", "pytest", "tests", "-m", marked, "--durations=30", *session.posargs)


@nox.session
def nightly(session: nox.Session) -> None:
    """Simulations and longer training runs: many minutes to hours."""
    install(session, "-e", ".[test,train]")
    session.run("python", "-m", "pytest", "tests", "-m", "simulation", *session.posargs)


@nox.session
def attack(session: nox.Session) -> None:
    """Random attacks: formulas with kinks and spikes, pairs to N = 10^6, calls, tables, texts."""
    install(session, "-e", ".[test]")
    session.run("python", "-m", "tests.attack.formulas", "--count", "2000")
    session.run("python", "-m", "tests.attack.pairs", "--count", "500")
    session.run("python", "-m", "tests.attack.calls")
    session.run("python", "-m", "tests.attack.laws")
    counts = ["--texts", "1000000", "--files", "100000", "--commands", "10000"]
    session.run("python", "-m", "tests.attack.texts", *counts)


@nox.session
def mutation(session: nox.Session) -> None:
    """Kernels and formulas broken on purpose; which test sees it, as a page of the manual."""
    install(session, "-e", ".[test]")
    session.run("python", "-m", "tests.mutation", "--page", "docs/robustness.md")


@nox.session
def benchmarks(session: nox.Session) -> None:
    """Our times and those of others for the same work; writes the manual's page."""
    install(session, "-e", ".[test]")
    session.run("python", "-m", "benchmarks", "--output", "docs/benchmarks.md")


@nox.session
def docs(session: nox.Session) -> None:
    """The manual, warnings as errors."""
    install(session, "-e", ".[docs]")
    strict = ["-W", "--keep-going", "-q"]
    session.run("sphinx-build", *strict, "-b", "html", "docs", "docs/_build/html")


@nox.session
def figures(session: nox.Session) -> None:
    """Every theory figure again; fails where a committed file changes."""
    install(session, "-e", ".")
    session.run("infalign", "reproduce")
    session.run("git", "diff", "--exit-code", "--stat", "--", "figures", external=True)


@nox.session(python=["3.11", "3.12", "3.13"])
def versions(session: nox.Session) -> None:
    """The default tests under every supported Python."""
    session.install("-e", ".[test]")
    session.run("python", "-m", "pytest")


@nox.session
def lowest(session: nox.Session) -> None:
    """The default tests with the lowest versions that pyproject.toml allows."""
    session.install("uv")
    lowest_direct = ["--resolution", "lowest-direct", "--upgrade"]
    session.run("uv", "pip", "install", *lowest_direct, "-e", ".[test]")
    # old releases say that parts of newer ones, which they stand on, are deprecated
    old = ["-W", "ignore::DeprecationWarning"]
    session.run("python", "-m", "pytest", *old, *session.posargs)


@nox.session
def release(session: nox.Session) -> None:
    """Wheel and source distribution, each installed by itself and run away from the repository."""
    session.install("build", "uv")
    made = Path(session.create_tmp()).resolve()
    session.run("python", "-m", "build", "--outdir", str(made / "dist"))
    for file in sorted((made / "dist").iterdir()):
        home = made / file.suffix.strip(".")
        session.run("uv", "venv", "--clear", "--python", session.python or "3", str(home))
        python = str(home / ("Scripts" if os.name == "nt" else "bin") / "python")
        session.run("uv", "pip", "install", "--python", python, str(file))
        with session.chdir(home):
            session.run(python, "-m", "infalign_theory", "doctor", external=True)
            session.run(python, "-m", "infalign_theory", "reproduce", "--help", external=True)
