"""The command line: documents, exit codes, and one readable line for whatever is wrong."""

from __future__ import annotations

import importlib.util
import json
import math
import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import infalign_theory as it
from infalign_theory.cli import app as cli

ROOT = Path(__file__).resolve().parents[1]
COMPARE = ["compare", "--procedure", "bon:4", "--transform", "identity", "--kl", "0.5"]
OPTIMUM = ["optimum", "--procedure", "bon:4", "--kl", "0.5"]
COMPARE_KEYS = [
    "transform", "procedure", "beta", "scaled_beta", "kl", "win_rate", "optimal", "regret",
]  # fmt: skip
OPTIMUM_KEYS = ["procedure", "beta", "scaled_beta", "kl", "win_rate", "residual", "gap"]
OPTIMUM_KEYS += ["alternatives"]
PREDICT_KEYS = [
    "transform", "procedure", "beta", "scaled_beta", "kl", "win_rate", "ci", "optimal", "regret",
    "prompts", "law", "corrected", "notes",
]  # fmt: skip


@pytest.fixture(scope="module")
def scores(tmp_path_factory):
    rng = np.random.default_rng(7)
    path = tmp_path_factory.mktemp("scores") / "scores.csv"
    table = [(f"p{i}", r) for i in range(6) for r in rng.integers(0, 9, 10)]
    pd.DataFrame(table, columns=["prompt", "reward"]).to_csv(path, index=False)
    return str(path)


@pytest.fixture
def run(capsys):
    def call(*arguments):
        with pytest.raises(SystemExit) as stop:
            cli.main([str(a) for a in arguments])
        out, err = capsys.readouterr()
        return stop.value.code or 0, out, err

    return call


def refused(result):
    code, out, err = result
    assert code == 2
    assert out == ""
    assert len(err.strip().splitlines()) == 1
    assert err.startswith("infalign: ")
    assert "Traceback" not in err
    return err


def strict(text):
    """One JSON document by the standard, NaN and Infinity refused."""

    def never(name):
        raise ValueError(name)

    return json.loads(text, parse_constant=never)


# ------------------------------------------------------------------------------------- documents
def test_compare_prints_its_rows(run):
    code, out, err = run(*COMPARE, "--transform", "exp:10", "-p", "won:2,4", "--json")
    rows = strict(out)
    assert (code, err) == (0, "")
    assert [list(row) for row in rows] == [COMPARE_KEYS] * 6
    assert [row["procedure"] for row in rows] == ["bon:4"] * 2 + ["won:2"] * 2 + ["won:4"] * 2
    expected = it.compare(["identity", "exp:10"], "bon:4", kl=0.5).rows
    assert rows[:2] == [vars(row) for row in expected]


@pytest.mark.parametrize("budget", [("--kl", "0.5"), ("--beta", "0.2")])
@pytest.mark.parametrize("name", ["bon:4", "won:4", "standard"])
def test_optimum_prints_its_evidence(run, name, budget):
    code, out, err = run("optimum", "--procedure", name, *budget, "--json")
    found = strict(out)
    assert (code, err) == (0, "")
    assert list(found) == OPTIMUM_KEYS
    expected = it.optimum(name, **{budget[0].strip("-"): float(budget[1])})
    assert found["win_rate"] == expected.win_rate
    assert (found["gap"] is None) == (name == "won:4")
    assert found["alternatives"] == []


@pytest.mark.slow
def test_predict_prints_its_rows_and_nothing_else(run, scores):
    code, out, err = run(
        "predict", scores, "-p", "bon:4", "-t", "exp:10", "-t", "optimal", "--kl", "0.3", "--json"
    )
    rows = strict(out)
    assert code == 0
    assert "6 prompts, 60 samples" in err
    assert [list(row) for row in rows] == [PREDICT_KEYS] * 2
    assert rows[0]["transform"] == "exp:10"
    assert rows[0]["ci"][0] < rows[0]["win_rate"] < rows[0]["ci"][1]
    expected = it.predict(scores, procedure="bon:4", transform=["exp:10", "optimal"], kl=0.3)
    assert [row["win_rate"] for row in rows] == [row.win_rate for row in expected.rows]


def test_predict_into_a_pipe_is_json_without_being_asked(run, scores):
    code, out, _ = run("predict", scores, "-p", "bon:4", "-t", "log", "--beta", "0.5")
    assert code == 0
    assert list(strict(out)[0]) == PREDICT_KEYS


@pytest.mark.slow
def test_what_json_cannot_hold_is_null(run, scores):
    code, out, _ = run(*COMPARE[:-1], "0", "--json")
    assert code == 0
    assert strict(out)[0]["beta"] is None
    code, out, _ = run("predict", scores, "-p", "bon:4", "-t", "log", "--kl", "0")
    assert code == 0
    assert strict(out)[0]["beta"] is None
    code, out, _ = run("optimum", "-p", "bon:4", "--kl", "0", "--json")
    assert code == 0
    assert strict(out)["beta"] is None


@pytest.mark.slow
def test_odd_columns_and_several_policies(run, tmp_path):
    odd = 'x"; DROP TABLE source; --'
    table = [("a", 1.0, "base"), ("a", 2.0, "base"), ("a", 9.0, "tuned"), ("b", 1.0, "base")]
    table += [("b", 3.0, "base"), ("b", 4.0, "base")]
    path = tmp_path / "s.csv"
    pd.DataFrame(table, columns=["the prompt", odd, "π"]).to_csv(path, index=False)
    call = ["predict", path, "-p", "bon:2", "-t", "log", "--kl", ".1", "--prompt", "the prompt"]
    code, out, err = run(*call, "--reward", odd, "--policy", "π", "--base", "base")
    assert code == 0
    assert "2 prompts, 5 samples" in err
    assert strict(out)[0]["prompts"] == 2
    assert "--base" in refused(run(*call, "--reward", odd, "--policy", "π"))
    assert "tuned" in refused(run(*call, "--reward", odd, "--policy", "π", "--base", "nope"))


@pytest.mark.slow
def test_tables_for_people(run):
    code, out, err = run(*COMPARE)
    assert (code, err) == (0, "")
    assert "identity" in out
    assert "0.7998" in out
    code, out, _ = run(*OPTIMUM)
    assert code == 0
    assert "0.8733" in out


# ------------------------------------------------------------------------------------------- help
@pytest.mark.parametrize(
    "arguments",
    [[], ["compare"], ["optimum"], ["predict"], ["reproduce"]],
    ids=lambda a: " ".join(a) or "infalign",
)
@pytest.mark.parametrize("flag", ["--help", "-h"])
def test_help_exits_0(run, arguments, flag):
    code, out, err = run(*arguments, flag)
    assert (code, err) == (0, "")
    assert "Usage" in out


def test_version(run):
    assert run("--version") == (0, f"infalign {it.__version__}\n", "")


def test_nothing_at_all_shows_help(run):
    code, out, err = run()
    assert code in (0, 2)
    assert "Usage" in out + err
    assert "infalign: ;" not in err


# ------------------------------------------------------------------------------------- refusals
@pytest.mark.slow
@pytest.mark.parametrize(
    "procedure",
    [
        "bon:0", "bon:-1", "bon:2.5", "bon:nan", "bon:inf", "bon:", "bon", "best:4", "", " ",
        "won:x", "bon:1e400", "bon:٤x", "standard:2", "bon:4:4", "\x00", "bon:\udcff", "bon:0x4",
    ],
)  # fmt: skip
@pytest.mark.parametrize("command", ["compare", "optimum", "predict"])
def test_bad_procedures(run, scores, command, procedure):
    rest = {"compare": ["-t", "log"], "optimum": [], "predict": [scores, "-t", "log"]}[command]
    message = refused(run(command, *rest, "--procedure", procedure, "--kl", "0.5"))
    assert "give" in message


@pytest.mark.slow
def test_several_procedures_with_a_bad_one(run):
    for text in ("bon:2,,4", "bon:2,x", "bon:2,-4", ",", "bon:,"):
        refused(run("compare", "-p", text, "-t", "log", "--kl", "1"))


@pytest.mark.slow
@pytest.mark.parametrize(
    "transform",
    [
        "identitty", "", "exp", "exp:", "exp:nan", "exp:inf", "exp:1e9", "power:0", "power:-1",
        "power:x", "expr:", "expr:__import__('os').system('x')", "expr:u.__class__", "expr:1/0",
        "expr:u[0]", "expr:(lambda: 1)()", "expr:" + "(" * 5000, "expr:" + "-" * 5000 + "u",
        "expr:" + "9" * 5000, "expr:9**9**9**9", "expr:u**u**", "expr:x", "expr:u;u", "expr:\x00",
        "expr:u\nu", "expr:" + "sin(" * 400 + "u" + ")" * 400, "log:2", "\udcff", "expr:open('x')",
    ],
    ids=range(29),
)  # fmt: skip
@pytest.mark.parametrize("command", ["compare", "predict"])
def test_bad_transforms(run, scores, command, transform):
    files = [scores] if command == "predict" else []
    refused(run(command, *files, "-p", "bon:4", "-t", transform, "--kl", "0.5"))


def test_a_formula_runs_nothing(run, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    refused(run(*COMPARE[:3], "-t", "expr:__import__('os').system('touch owned')", "--kl", "1"))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("kl", ["-1", "nan", "inf", "-inf", "abc", "", "1e400", "--json", "0,5"])
@pytest.mark.parametrize("command", ["compare", "optimum", "predict"])
def test_bad_kl(run, scores, command, kl):
    rest = {"compare": ["-t", "log"], "optimum": [], "predict": [scores, "-t", "log"]}[command]
    refused(run(command, *rest, "-p", "bon:4", "--kl", kl))


@pytest.mark.parametrize("beta", ["0", "-1", "nan", "inf", "abc", "1e-320"])
@pytest.mark.parametrize("command", ["optimum", "predict"])
def test_bad_beta(run, scores, command, beta):
    rest = {"optimum": [], "predict": [scores, "-t", "log"]}[command]
    refused(run(command, *rest, "-p", "bon:4", "--beta", beta))


@pytest.mark.parametrize("budget", [[], ["--kl", "1", "--beta", "1"]])
def test_exactly_one_budget(run, scores, budget):
    assert "exactly one" in refused(run("optimum", "-p", "bon:4", *budget))
    assert "exactly one" in refused(run("predict", scores, "-p", "bon:4", "-t", "log", *budget))


def test_a_budget_out_of_reach(run, scores):
    assert "give less" in refused(run("predict", scores, "-p", "bon:4", "-t", "log", "--kl", "50"))


@pytest.mark.parametrize(
    "arguments",
    [
        ["nope"], ["--nope"], [*COMPARE, "--nope"], [*COMPARE, "extra"], ["compare"], ["predict"],
        ["compare", "--kl"], [*COMPARE, "--json=yes"], [*OPTIMUM, "--json", "--json=1"], ["-x"],
        ["compare", "--procedure", "bon:4", "--kl", "1"], ["compare", "-t", "log", "--kl", "1"],
        ["--", "--"], ["\x00"], ["\udcff"], ["compare\nx"],
    ],
)  # fmt: skip
def test_bad_usage(run, arguments):
    refused(run(*arguments))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["optimum", "bon:4", "--kl", "zero"], "--kl 'zero' is not a number; give one (KL budget"),
        (["optimum", "bon:4", "--kl=zero"], "--kl 'zero' is not a number"),
        (["attack", "x.csv", "-n", "4", "-n", "1,16"], "--n '1,16' is not a whole number"),
        (["recommend", "bon:4"], "Missing option '--kl' (KL budget in nats)"),
        (["predict"], "Missing argument 'scores' (CSV"),
        ([*COMPARE, "--divergence", "alpha:"], "write for example alpha:0.5"),
        ([*COMPARE, "--transform", "x**2"], "a formula in u as exp(3*u) - u"),
        (["methods", "bon:4", "won:4"], "methods are of one procedure; give one"),
        (["explore", "--port", "99999"], "give one from 1 to 65535, or 0 for a free one"),
        (["explore", "--port", "abc"], "--port 'abc' is not a whole number"),
    ],
)
def test_bad_usage_says_what_to_give(run, arguments, said):
    code, out, err = run(*arguments)
    assert (code, out) == (2, "")
    assert said in err
    assert err.count("\n") == 1


@pytest.mark.slow
def test_a_port_in_use_is_said_so(run):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        _, _, err = run("explore", "--port", taken.getsockname()[1])
    assert "cannot be opened" in err
    assert "0 for a free one" in err


def test_methods_take_the_procedure_as_a_word(run):
    _, by_word, _ = run("methods", "bon:4", "--method", "rloo", "--json")
    _, by_option, _ = run("methods", "-p", "bon:4", "--method", "rloo", "--json")
    assert by_word == by_option


def test_bad_files(run, tmp_path, scores):
    rest = ["-p", "bon:4", "-t", "log", "--kl", "0.1"]
    assert "missing.csv" in refused(run("predict", tmp_path / "missing.csv", *rest))
    refused(run("predict", tmp_path, *rest))
    refused(run("predict", scores, tmp_path / "missing.csv", *rest))
    refused(run("predict", "x" * 5000 + ".csv", *rest))
    refused(run("predict", "", *rest))
    assert "prompt, reward" in refused(run("predict", scores, *rest, "--reward", "nope"))
    assert "prompt, reward" in refused(run("predict", scores, *rest, "--prompt", ""))
    junk = tmp_path / "junk.csv"
    for seed in range(5):
        junk.write_bytes(np.random.default_rng(seed).bytes(3000))
        refused(run("predict", junk, *rest))
    for content in (b"", b"prompt,reward\n", b"prompt,reward\na,x\n", b"prompt,reward\n\xff,1\n"):
        junk.write_bytes(content)
        refused(run("predict", junk, *rest))


WORDS = st.one_of(
    st.sampled_from(
        [
            "compare", "optimum", "predict", "reproduce", "--procedure", "-p", "--transform",
            "-t", "--kl", "--beta", "--json", "bon:4", "won:3", "standard", "identity", "log",
            "exp:10", "power:2", "optimal", "expr:u", "0.5", "1", "0", "-1", "nan", "1e-9",
            "--prompt", "--reward", "--policy", "--base", "--only", "--format", "--out",
            "missing.csv", "--", "=", "--kl=0.3", "-pbon:2", "bon:1,2", "bon:1e30",
            "bon:1000000", "exp:-100", "logit", "expr:u/0", "expr:log(u)", "expr:1/u", "1e300",
            "1e-300",
        ]
    ),
    st.text(max_size=6),
    st.floats().map(str),
    st.integers().map(lambda n: f"bon:{n}"),
)  # fmt: skip


def sane(arguments):
    """Do not let a fuzzed reproduce draw every figure: it is run on its own below."""
    return "reproduce" not in arguments or "--help" in arguments


@pytest.mark.slow
@settings(
    max_examples=80, deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.filter_too_much],
)  # fmt: skip
@given(st.lists(WORDS, max_size=9).filter(sane))
def test_any_words_exit_0_or_2(capsys, arguments):
    with pytest.raises(SystemExit) as stop:
        cli.main(arguments)
    out, err = capsys.readouterr()
    assert (stop.value.code or 0) in (0, 2), (arguments, err)
    assert "Traceback" not in out + err
    assert "Warning" not in err


NUMBERS = st.one_of(
    st.floats(), st.floats(-12, 2).map(lambda e: 10.0**e), st.sampled_from([0.0, 1e-300, 1e300])
)
PROCEDURES = st.one_of(
    st.sampled_from(["standard", "bon:1", "won:1", "bon:4", "won:4", "bon:1000", "won:1000"]),
    st.floats(0, 310).map(lambda e: f"bon:1e{int(e)}"),
    st.floats(0, 310).map(lambda e: f"won:1e{int(e)}"),
)
SHAPES = st.one_of(
    st.sampled_from(["identity", "log", "logit", "optimal", "expr:exp(3*u)-u", "expr:step(u-0.5)"]),
    st.floats(-110, 110).map(lambda t: f"exp:{t:.3g}"),
    st.floats(0.01, 200).map(lambda t: f"power:{t:.3g}"),
)


@pytest.mark.slow
@settings(
    max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    st.sampled_from(["compare", "optimum", "predict"]), PROCEDURES, SHAPES,
    st.sampled_from(["--kl", "--beta"]), NUMBERS,
)  # fmt: skip
def test_any_numbers_give_a_document_or_one_line(
    capsys, scores, command, procedure, transform, option, number
):
    rest = {
        "compare": ["-t", transform],
        "optimum": [],
        "predict": [scores, "-t", transform],
    }[command]
    option = "--kl" if command == "compare" else option
    with pytest.raises(SystemExit) as stop:
        cli.main([command, *rest, "-p", procedure, f"{option}={number!r}", "--json"])
    code = stop.value.code or 0
    out, err = capsys.readouterr()
    if code == 2:
        assert out == ""
        assert len(err.strip().splitlines()) == 1
        return
    assert code == 0
    document = strict(out)
    for row in document if isinstance(document, list) else [document]:
        assert 0.0 <= row["win_rate"] <= 1.0
        assert row["kl"] is not None
        assert row.get("regret", 0.0) >= -1e-9


# ------------------------------------------------------------------------------ the real process
def program(*arguments, **options):
    environment = {**os.environ, "PYTHONWARNINGS": "error"}
    code = "import sys; from infalign_theory.cli.app import main; main(sys.argv[1:])"
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        cwd=ROOT,
        env=environment,
        **options,
    )


@pytest.mark.slow
def test_a_process_prints_one_document_and_exits_0():
    done = program(*COMPARE, "--json")
    assert (done.returncode, done.stderr) == (0, "")
    row = strict(done.stdout)[0]
    assert math.isclose(row["win_rate"], 0.7998268740275, abs_tol=1e-10)


@pytest.mark.slow
def test_a_process_says_what_is_wrong_and_exits_2():
    done = program("compare", "-p", "bon:0", "-t", "log", "--kl", "1")
    assert (done.returncode, done.stdout) == (2, "")
    assert len(done.stderr.splitlines()) == 1


def test_importing_the_command_line_loads_nothing_heavy():
    heavy = ["numba", "scipy", "sympy", "pandas", "matplotlib", "duckdb", "IPython"]
    code = f"import sys, infalign_theory.cli.app; print([m for m in {heavy} if m in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True
    )
    assert done.stdout.strip() == "[]"


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="needs a POSIX shell")
@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("json_flag", [[], ["--json"]])
def test_a_reader_that_stops_reading_is_no_error(json_flag, unbuffered):
    """As in `infalign ... | head -0`: quiet, and not a failure."""
    code = "import sys; from infalign_theory.cli.app import main; main(sys.argv[1:])"
    reading, writing = os.pipe()
    os.close(reading)
    try:
        done = subprocess.run(
            [sys.executable, "-c", code, *COMPARE, *json_flag],
            stdout=writing,
            stderr=subprocess.PIPE,
            text=True,
            timeout=120,
            cwd=ROOT,
            env=os.environ | {"PYTHONUNBUFFERED": unbuffered},
        )
    finally:
        os.close(writing)
    assert done.stderr == ""
    assert done.returncode == 0


@pytest.mark.slow
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
@pytest.mark.parametrize("unbuffered", ["", "1"])
@pytest.mark.parametrize("json_flag", [[], ["--json"]])
def test_a_full_disk_is_one_line(json_flag, unbuffered):
    code = "import sys; from infalign_theory.cli.app import main; main(sys.argv[1:])"
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-c", code, *COMPARE, *json_flag],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=120,
            cwd=ROOT,
            env=os.environ | {"PYTHONUNBUFFERED": unbuffered},
        )
    assert done.returncode == 2
    assert len(done.stderr.strip().splitlines()) == 1


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="needs a POSIX shell")
@pytest.mark.parametrize("closed", [">&-", "2>&-"])
def test_closed_streams_cause_no_traceback(closed, tmp_path):
    script = f'"$0" -c "$1" compare -p bon:4 -t log --kl 1 --json {closed}'
    code = "import sys; from infalign_theory.cli.app import main; main(sys.argv[1:])"
    done = subprocess.run(
        ["sh", "-c", script, sys.executable, code],
        capture_output=True,
        text=True,
        timeout=120,
        cwd=ROOT,
    )
    assert "Traceback" not in done.stderr
    assert done.returncode in (0, 2)


# ------------------------------------------------------------------------------------ reproduce
needs_figures = pytest.mark.skipif(
    importlib.util.find_spec("infalign_theory.figures") is None, reason="no figures module here"
)


@needs_figures
@pytest.mark.parametrize(
    "arguments",
    [
        ["--format", "gif"], ["--format", ""], ["--format", "png,,svg"], ["--only", "nope"],
        ["--only", ""], ["--only", "../x"], ["--nope"],
    ],
)  # fmt: skip
def test_reproduce_refuses_before_it_draws(run, tmp_path, arguments):
    out = tmp_path / "figures"
    refused(run("reproduce", "--out", out, *arguments))
    assert not out.exists()


@needs_figures
@pytest.mark.parametrize("name", ["--", "-"])
def test_reproduce_does_not_take_an_option_for_a_folder(run, tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    refused(run("reproduce", "--out", name, "--only", "frontiers"))
    assert not list(tmp_path.iterdir())


@needs_figures
def test_reproduce_into_a_file(run, tmp_path):
    path = tmp_path / "taken"
    path.write_text("mine")
    refused(run("reproduce", "--out", path))
    refused(run("reproduce", "--out", path / "below"))
    assert path.read_text() == "mine"


@needs_figures
@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root may write anywhere")
def test_reproduce_into_a_read_only_folder(run, tmp_path):
    tmp_path.chmod(0o500)
    try:
        refused(run("reproduce", "--out", tmp_path / "figures"))
    finally:
        tmp_path.chmod(0o700)


@needs_figures
@pytest.mark.skipif(not Path("/proc/self").exists(), reason="no /proc here")
def test_reproduce_where_nobody_may_write(run):
    refused(run("reproduce", "--out", "/proc/self/figures"))


# ---------------------------------------------------------------------- recommend, doctor, help
def test_recommend_prints_exactly_its_fields(run):
    code, out, err = run("recommend", "--procedure", "bon:8", "--kl", "0.5", "--json")
    found = strict(out)
    assert (code, err) == (0, "")
    assert list(found) == [
        "kl",
        "procedures",
        "transform",
        "beta",
        "scaled_beta",
        "win_rate",
        "optimal",
        "regret",
        "alternatives",
        "settings",
    ]
    assert found["procedures"] == ["bon:8"]
    assert found["transform"].startswith("exp:34.17")
    assert found["regret"] == pytest.approx(found["optimal"] - found["win_rate"], abs=1e-15)
    policy = it.align(found["transform"], beta=found["beta"])
    assert policy.kl == pytest.approx(0.5, rel=1e-9)
    assert it.win_rate(policy, "bon:8") == pytest.approx(found["win_rate"], abs=1e-10)
    assert {"transform", "regret"} <= set(found["alternatives"][0])


@pytest.mark.slow
def test_recommend_says_why(run):
    code, out, err = run("recommend", "bon:1-4", "--kl", "0.3")
    assert (code, err) == (0, "")
    assert "loses at most" in out.splitlines()[0]
    assert "scaled beta" in out


def test_several_transforms_budgets_and_opponents(run):
    code, out, _ = run(
        "compare",
        "-p",
        "bon:4",
        "identity,exp:5",
        "log",
        "--kl",
        "0.1,0.5",
        "--kl",
        "1",
        "--against-procedure",
        "standard",
        "--json",
    )
    rows = strict(out)
    assert code == 0
    assert [row["kl"] for row in rows[::3]] == [0.1, 0.5, 1.0]
    assert [row["transform"] for row in rows[:3]] == ["identity", "exp:5", "log"]
    policy = it.align("exp:5", kl=0.5)
    expected = it.win_rate(policy, "bon:4", against_procedure="standard")
    assert rows[4]["win_rate"] == pytest.approx(expected, abs=1e-12)
    assert rows[2]["scaled_beta"] is None
    assert "may mean 0.5" in refused(run("compare", "-p", "bon:4", "log", "--kl", "0,5"))


def test_doctor_finds_five_known_numbers(run):
    code, out, _ = run("doctor", "--json")
    found = strict(out)
    assert code == 0
    assert found["healthy"] is True
    assert len(found["self_test"]) == 5
    assert found["versions"]["numpy"] == np.__version__
    code, out, _ = run("doctor")
    assert code == 0
    assert "self-test: all five" in out
    assert "report" in out


def test_doctor_says_when_a_number_is_wrong(run, monkeypatch):
    from infalign_theory.cli.commands import doctor

    monkeypatch.setattr(doctor, "_checks", lambda: iter([("a sum", 2.0, lambda: 2.1)]))
    code, _, err = run("doctor")
    assert code == 2
    assert "a sum is off by 0.1" in err
    assert "report it" in err


COMMANDS = [command.name for command in cli.app.registered_commands]


@pytest.mark.parametrize("name", COMMANDS)
def test_errors_name_the_help_of_their_command(run, name):
    assert f"infalign {name} --help" in refused(run(name, "--nope"))


def test_refusals_name_the_help_too(run):
    error = refused(run("compare", "-p", "best:4", "-t", "log", "--kl", "1"))
    assert "did you mean bon:4" in error
    assert error.rstrip().endswith("See infalign compare --help.")


# these take the whole minute, or the terminal
LONG = {"reproduce", "doctor", "explore"}


@pytest.mark.slow
@pytest.mark.parametrize("name", COMMANDS)
def test_every_help_has_examples_that_run(run, name, monkeypatch, tmp_path):
    import importlib
    import shlex

    (tmp_path / "examples").symlink_to(ROOT / "examples")
    monkeypatch.chdir(tmp_path)
    module = importlib.import_module(f"infalign_theory.cli.commands.{name}")
    code, out, _ = run(name, "--help")
    assert code == 0
    assert "Examples" in out
    for example in module.EXAMPLES:
        words = shlex.split(example)
        assert words[:2] == ["infalign", name]
        if name not in LONG:
            assert run(*words[1:])[0] == 0, example


@pytest.mark.slow
def test_python_m_is_the_same_program():
    done = subprocess.run(
        [sys.executable, "-m", "infalign_theory", "--version"],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=True,
    )
    assert done.stdout == f"infalign {it.__version__}\n"


@pytest.mark.slow
def test_shells_can_complete():
    environment = {
        **os.environ,
        "_INFALIGN_COMPLETE": "complete_bash",
        "COMP_WORDS": "infalign compare -p bon",
        "COMP_CWORD": "3",
    }
    code = "import sys; sys.argv = ['infalign']; from infalign_theory.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment, cwd=ROOT
    )
    assert "bon:4" in done.stdout.split()
