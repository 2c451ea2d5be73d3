"""The explorer: its address, its numbers, its exports, and the page in a real browser."""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import sys
import time
from importlib.util import find_spec
from xml.etree import ElementTree

import numpy as np
import pytest

import infalign_theory as it
from infalign_theory.errors import InputError
from infalign_theory.explorer import export
from infalign_theory.explorer.curves import MINE, panels
from infalign_theory.explorer.paths import Path as Frontier
from infalign_theory.explorer.prompts import PromptsGround
from infalign_theory.explorer.uploads import take_in
from infalign_theory.explorer.view import View, free_names, read_base
from tests import headless

ODD = "x</script><script>alert(1)</script>&p=1"


@pytest.mark.parametrize(
    "view",
    [
        View(),
        View(procedure="won:8", transform="exp(a*u)-b*u", parameters={"a": -3.5, "b": 1e-3}),
        View(transform="log", base="0.5, 0.3, 0.2", kl=0.25, parameters={}),
        View(transform=ODD, parameters={}),
    ],
    ids=["default", "parameters", "atoms", "hostile"],
)
def test_the_address_holds_the_whole_view(view):
    assert View.from_query("?" + view.query()) == view


@pytest.mark.parametrize(
    "query", ["", "kl=nan", "kl=1e999", "p.=3", "p.t=x", "token=3&%zz", "a=b=c"]
)
def test_a_broken_address_shows_the_default(query):
    view = View.from_query(query)
    assert 0.0 <= view.kl <= 10.0
    assert view.procedure == "bon:4"


def test_names_that_want_a_value():
    assert free_names("exp(t*u)-a*u**2") == ("a", "t")
    assert free_names("exp(3*u)+pi") == ()
    assert free_names("identity") == ()
    assert free_names("__import__('os').system('x')") == ()
    assert free_names("u" * 10**7) == ()
    assert free_names("(" * 5000 + "u" + ")" * 5000) == ()


@pytest.mark.slow
def test_numbers_are_the_engine_s():
    view = View(procedure="won:4", transform="-exp(t*u)", parameters={"t": -8.0}, kl=0.3)
    found = panels(view)
    policy = it.align(it.Exponential(-8), kl=0.3)
    assert found.win_rate == pytest.approx(it.win_rate(policy, "won:4"), abs=1e-10)
    assert found.optimal == pytest.approx(it.optimum("won:4", kl=0.3).win_rate, abs=1e-10)
    assert all(np.isfinite(c.y).all() for name in export.PANELS for c in getattr(found, name))
    mine = next(curve for curve in found.frontier if curve.name == MINE)
    at = int(np.argmin(abs(mine.x - 0.3)))
    assert mine.x[at] == pytest.approx(0.3, rel=1e-9)
    assert mine.y[at] == pytest.approx(found.win_rate, abs=1e-10)
    regret = next(curve for curve in found.regret if curve.name == MINE)
    assert regret.y[at] == pytest.approx(100 * found.regret_here, abs=1e-12)
    assert all((curve.y >= -1e-8).all() for curve in found.regret)


@pytest.mark.slow
@pytest.mark.parametrize("divergence", ["forward-kl", "chi2"])
def test_a_penalty_is_the_engine_s(divergence):
    view = View(transform="identity", parameters={}, kl=0.4, divergence=divergence)
    found = panels(view)
    policy = it.align("identity", kl=0.4, divergence=divergence)
    assert found.win_rate == pytest.approx(it.win_rate(policy, "bon:4"), abs=1e-10)
    mine = next(curve for curve in found.frontier if curve.name == MINE)
    for kl, won in list(zip(mine.x, mine.y, strict=True))[2::4]:
        exact = it.align("identity", kl=float(kl), divergence=divergence)
        assert won == pytest.approx(it.win_rate(exact, "bon:4"), abs=1e-9)


@pytest.mark.slow
def test_every_point_of_a_frontier_is_exact():
    found = panels(View(transform="exp(t*u)-u", parameters={"t": 5.0}, kl=1.3))
    mine, regret = (next(c for c in p if c.name == MINE) for p in (found.frontier, found.regret))
    phi = it.Expression("exp(t*u)-u", t=5.0)
    table = it.compare(phi, "bon:4", kl=mine.x[1:]).rows
    assert mine.x.max() > 1.5
    assert [row.win_rate for row in table] == pytest.approx(mine.y[1:].tolist(), abs=1e-9)
    assert [100 * row.regret for row in table] == pytest.approx(regret.y[1:].tolist(), abs=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("procedure", ["standard", "bop:3"])
def test_between_points_the_optimum_is_known_closely(procedure):
    ground = View().ground
    path = ground.best_along(View(procedure=procedure).rule, 1.0)
    between = np.array([0.011, 0.2, 0.61])
    exact = [it.optimum(procedure, kl=kl).win_rate for kl in between]
    assert path.at(between) == pytest.approx(exact, abs=2e-6)


def test_a_path_of_few_points_is_read_at_its_points():
    path = Frontier(kl=np.array([0.0, 1.0]), win_rate=np.array([0.5, 0.7]))
    assert path.at(np.array([1.0])) == pytest.approx([0.7])


def test_atoms_cut_curves_where_no_kl_is_left_to_spend():
    found = panels(View(base="0.5, 0.3, 0.2", kl=0.3))
    reach = -np.log(0.2)
    assert all(curve.x.max() < reach for curve in found.frontier)
    assert found.efficiency == ()
    mine = next(curve for curve in found.frontier if curve.name == MINE)
    base = it.Discrete([0.5, 0.3, 0.2])
    exact = it.frontier("exp:10", "bon:4", kl=mine.x, base=base).win_rate
    assert mine.y == pytest.approx(exact, abs=1e-10)
    assert found.optimal == pytest.approx(it.optimum("bon:4", kl=0.3, base=base).win_rate, abs=1e-9)


@pytest.mark.parametrize(
    ("text", "hint"), [("0.5, x", "masses of atoms"), ("0.5, 0.3", "sum to"), ("-1, 2", "negative")]
)
def test_a_bad_base_says_what_is_wrong(text, hint):
    with pytest.raises(InputError, match=hint):
        read_base(text)


@pytest.mark.slow
def test_the_exported_python_gives_the_same_numbers(tmp_path):
    view = View(transform="exp(t*u)-u**2", parameters={"t": 6.5}, base="0.4, 0.4, 0.2", kl=0.2)
    program = tmp_path / "view.py"
    program.write_text(export.python_code(view))
    assert printed_win_rate(program) == pytest.approx(panels(view).win_rate, abs=1e-12)


def printed_win_rate(program):
    """What an exported program prints first, run as it stands."""
    run = subprocess.run(
        [sys.executable, str(program)],
        capture_output=True,
        text=True,
        check=True,
        cwd=program.parent,
        env=os.environ | {"MPLBACKEND": "agg", "PATH": ""} | _python_path(),
    )
    return float(run.stdout.splitlines()[0].removeprefix("win rate "))


def _python_path():
    return {"PYTHONPATH": ":".join(path for path in sys.path if path)}


@pytest.mark.slow
def test_the_exported_python_of_scores_and_of_a_penalty(tmp_path):
    program = tmp_path / "view.py"
    (tmp_path / "scores.csv").write_bytes(score_file(SCORES))
    base = take_in("scores.csv", score_file(SCORES)).base
    for view in (
        View(base=base, kl=0.3),
        View(transform="identity", parameters={}, divergence="forward-kl"),
    ):
        program.write_text(export.python_code(view))
        assert printed_win_rate(program) == pytest.approx(panels(view).win_rate, abs=1e-10)


def test_hostile_text_stays_text_in_the_exported_python():
    code = export.python_code(View(transform="');import os;('", parameters={}))
    tree = compile(code, "view", "exec")
    assert "os" not in tree.co_names


@pytest.mark.slow
def test_csv_and_pictures():
    view = View(kl=0.4)
    found = panels(view)
    rows = list(csv.DictReader(io.StringIO(export.numbers_csv(found))))
    mine = [row for row in rows if (row["panel"], row["curve"]) == ("frontier", MINE)]
    best = it.win_rate(it.align("exp:10", kl=0.4), "bon:4")
    assert any(abs(float(row["y"]) - best) < 1e-9 for row in mine if float(row["x"]) == 0.4)
    png, svg = (export.picture(view, found, kind) for kind in ("png", "svg"))
    assert png.startswith(b"\x89PNG")
    assert b"<svg" in svg
    assert png == export.picture(view, found, "png")


SCORES = [[1, 1, 2, 2], [5, 5, 5, 9], [3, 4, 4, 4], [1, 2, 2, 7]]


def score_file(rows):
    lines = [f"p{i},{score}" for i, scores in enumerate(rows) for score in scores]
    return "\n".join(["prompt,reward", *lines]).encode()


@pytest.mark.slow
def test_an_upload_is_judged_prompt_by_prompt_as_predict_does():
    found = take_in("my scores.csv", score_file(SCORES))
    assert found.base.startswith("scores:my_scores.csv@")
    assert "4 prompts, 16 samples" in found.note
    view = View(base=found.base, transform="exp:10", parameters={}, kl=0.3)
    assert isinstance(view.ground, PromptsGround)
    shown = panels(view)
    prompts = {f"p{i}": scores for i, scores in enumerate(SCORES)}
    row = it.predict(prompts, procedure="bon:4", transform="exp:10", kl=0.3, law="discrete").rows[0]
    assert shown.win_rate == pytest.approx(row.win_rate, abs=1e-10)
    assert shown.optimal == pytest.approx(row.optimal, abs=1e-10)
    assert shown.beta == pytest.approx(row.beta, rel=1e-8)
    mine = next(curve for curve in shown.density if curve.name == MINE)
    assert np.mean(mine.y) == pytest.approx(1.0, abs=0.01)  # a density over the base


@pytest.mark.slow
def test_pooled_scores_would_tell_something_else():
    """Prompts on scales of their own: one law of all scores together is another base."""
    apart = [[10 * i + s for s in scores] for i, scores in enumerate(SCORES)]
    view = View(base=take_in("a.csv", score_file(apart)).base, kl=0.3)
    same = View(base=take_in("b.csv", score_file(SCORES)).base, kl=0.3)
    assert panels(view).win_rate == pytest.approx(panels(same).win_rate, abs=1e-12)


def test_scores_without_ties_are_a_continuous_base():
    rows = [[i + 0.1 * j for j in range(5)] for i in range(3)]
    assert take_in("scores.csv", score_file(rows)).base == "continuous"


def test_scores_that_are_gone_are_asked_for_again():
    with pytest.raises(InputError, match="upload the file again"):
        panels(View(base="scores:lost.csv@0123456789ab"))


def test_scores_know_the_reverse_kl_alone():
    base = take_in("scores.csv", score_file(SCORES)).base
    with pytest.raises(InputError, match="reverse KL alone"):
        panels(View(base=base, divergence="chi2"))


@pytest.mark.parametrize(
    ("name", "content", "hint"),
    [("scores.exe", b"x", "not a score file"), ("a.csv", b"prompt,reward\np,x\n", "not finite")],
)
def test_a_bad_upload_says_what_is_wrong(name, content, hint):
    with pytest.raises(InputError, match=hint):
        take_in(name, content)


# ---------------------------------------------------------------------------------- the page

# found, not imported: that takes seconds, which only the tests that need it should
needs_panel = pytest.mark.skipif(
    find_spec("panel") is None, reason="the extra 'explore' is not installed"
)


@pytest.mark.slow
@needs_panel
def test_the_widget_redraws_tells_and_recovers():
    from infalign_theory.explorer.page import Explorer

    page = Explorer()
    first = page.found.win_rate
    page.inputs.sliders[0].value = 4.0
    assert page.found.win_rate == pytest.approx(
        it.win_rate(it.align("exp:4", kl=0.5), "bon:4"), abs=1e-10
    )
    page.inputs.transform.value_input = "exp(t*u"
    assert page.message.visible
    assert page.found.win_rate != first
    page.inputs.transform.value_input = "u"
    assert not page.message.visible
    assert page.found.win_rate == pytest.approx(
        it.win_rate(it.align("identity", kl=0.5), "bon:4"), abs=1e-10
    )
    page.inputs.transform.value_input = "9**9**9**9*u"  # a formula bomb
    assert page.message.visible


FIND = """
const seen = [];
const walk = root => root.querySelectorAll('*').forEach(e => {
  seen.push(e); if (e.shadowRoot) walk(e.shadowRoot);
});
walk(document);
const input = seen.find(e => e.tagName === 'INPUT' && e.type === 'text');
const handle = seen.find(e => e.className === 'noUi-handle noUi-handle-lower');
const paths = ['transform', 'density', 'frontier', 'regret'].map(
  panel => seen.find(e => e.dataset && e.dataset.curve === panel + '/yours'));
"""
# from an event to the end of the frame that shows another transform: the four panels that change
# first come in one message, and which of them moves by more than a tenth of a pixel depends
CHANGE = (
    FIND
    + """
const [act, text, done] = arguments;
const before = paths.map(path => [path.getRootNode(), path.dataset.curve, path.getAttribute('d')]);
const moved = ([root, name, d]) => {
  const now = root.querySelector(`[data-curve="${name}"]`);
  return now && now.getAttribute('d') !== d;
};
const start = performance.now();
const look = () => {
  if (before.some(moved)) setTimeout(() => done(performance.now() - start), 0);
  else requestAnimationFrame(look);
};
if (act === 'type') {
  input.value = text;
  input.dispatchEvent(new Event('input', {bubbles: true}));
} else handle.dispatchEvent(new KeyboardEvent('keydown', {key: text, bubbles: true}));
requestAnimationFrame(look);
"""
)


@pytest.fixture(scope="module")
def server():
    run = subprocess.Popen(
        [sys.executable, "-m", "infalign_theory", "explore", "--no-browser"],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert run.stdout is not None
    line = run.stdout.readline()
    yield line.split()[-1]
    run.terminate()
    run.wait(10)
    run.stdout.close()


@pytest.fixture
def downloads(tmp_path):
    folder = tmp_path / "downloads"
    folder.mkdir()
    return folder


@pytest.fixture
def driver(downloads, tmp_path):
    with headless.browser(tmp_path / "profile", downloads) as browser:
        browser.set_script_timeout(30)
        yield browser


def until(driver, condition, what):
    """Wait until a script's condition holds."""
    deadline = time.monotonic() + 60
    while not driver.execute_script(FIND + f"return !!({condition})"):
        assert time.monotonic() < deadline, what
        time.sleep(0.1)


def opened(driver, address):
    """Open the page and wait until its curves are there."""
    driver.get(address)
    until(driver, "paths.every(path => path)", "the page did not draw its curves")


def shown(driver):
    return driver.execute_script(FIND + "return paths.map(path => path.getAttribute('d'))")


def said(text):
    return f"seen.some(e => e.textContent.includes({text!r}) && e.getClientRects().length)"


def downloaded(driver, folder, button, suffix):
    """The content of a download; a browser holds programs back until its user confirms them."""
    for old in folder.iterdir():
        old.unlink()
    driver.execute_script(
        FIND + f"seen.find(e => e.tagName === 'A' && e.textContent.includes('{button}')).click()"
    )
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        time.sleep(0.2)
        wanted = folder / f"view.{suffix}"
        found = [wanted] if wanted.exists() else list(folder.glob("*.crdownload"))
        if found and found[0].stat().st_size:
            return found[0].read_bytes()
    raise AssertionError(f"{button} was not downloaded")


@needs_panel
@pytest.mark.browser
@headless.survives_a_lost_browser
@pytest.mark.slow
def test_the_page_follows_every_keystroke_and_drag(server, driver, record_property, capsys):
    opened(driver, server)
    before = shown(driver)
    times = {
        "drag": [
            driver.execute_async_script(CHANGE, "drag", key)
            for key in ["ArrowRight"] * 13 + ["ArrowLeft"] * 12
        ],
        "type": [
            driver.execute_async_script(CHANGE, "type", f"exp({4 + 0.1 * i:.1f}*u)")
            for i in range(25)
        ],
    }
    assert all(now != then for now, then in zip(shown(driver), before, strict=True))
    median = float(np.median(times["drag"] + times["type"]))
    record_property("median_redraw_ms", median)
    with capsys.disabled():
        each = ", ".join(f"{np.median(t):.0f} ms of {len(t)} by {way}" for way, t in times.items())
        print(f"\nfrom keystroke or drag to redrawn picture: median {median:.0f} ms ({each})")
    # a bad formula leaves the curves, tells, and recovers
    held = shown(driver)
    driver.execute_script(FIND + "input.value = 'exp(('; input.dispatchEvent(new Event('input'));")
    until(driver, said("exp(("), "no message for a bad formula")
    assert shown(driver) == held
    driver.execute_async_script(CHANGE, "type", "u")
    assert not driver.execute_script(FIND + "return " + said("exp(("))


@needs_panel
@pytest.mark.browser
@headless.survives_a_lost_browser
@pytest.mark.slow
def test_the_address_holds_the_state_and_every_download_opens(server, driver, downloads):
    # a shared link is a whole view
    view = View(procedure="won:4", transform="-exp(t*u)", parameters={"t": -6.0}, kl=0.3)
    opened(driver, f"{server}&{view.query()}")
    mine = shown(driver)
    driver.execute_async_script(CHANGE, "drag", "ArrowRight")
    moved = shown(driver)
    assert moved != mine
    deadline = time.monotonic() + 20
    while "p.t=-5.9" not in driver.current_url and time.monotonic() < deadline:
        time.sleep(0.1)
    address = driver.current_url
    driver.get("about:blank")
    opened(driver, address)
    assert shown(driver) == moved
    shared = View.from_query(driver.current_url.partition("?")[2])
    found = panels(shared)
    assert downloaded(driver, downloads, "PNG", "png").startswith(b"\x89PNG\r\n")
    assert ElementTree.fromstring(downloaded(driver, downloads, "SVG", "svg")).tag.endswith("svg")
    rows = list(csv.DictReader(downloaded(driver, downloads, "CSV", "csv").decode().splitlines()))
    last = [row for row in rows if (row["panel"], row["curve"]) == ("frontier", MINE)][-1]
    mine = next(curve for curve in found.frontier if curve.name == MINE)
    assert float(last["y"]) == pytest.approx(mine.y[-1], abs=1e-9)
    program = downloads / "program.py"
    program.write_bytes(downloaded(driver, downloads, "Python", "py"))
    assert printed_win_rate(program) == pytest.approx(found.win_rate, abs=1e-12)


@needs_panel
@pytest.mark.browser
@headless.survives_a_lost_browser
@pytest.mark.slow
def test_an_upload_changes_the_base_and_nothing_is_asked_elsewhere(server, driver, tmp_path):
    opened(driver, server)
    before = shown(driver)
    file = tmp_path / "graded.csv"
    file.write_bytes(score_file(SCORES))
    chooser = driver.execute_script(FIND + "return seen.find(e => e.type === 'file')")
    chooser.send_keys(str(file))
    until(driver, said("4 prompts, 16 samples"), "the upload was not read")
    until(driver, f"paths[2].getAttribute('d') !== {before[2]!r}", "the upload changed nothing")
    asked = [json.loads(entry["message"])["message"] for entry in driver.get_log("performance")]
    urls = [
        e["params"]["request"]["url"] for e in asked if e["method"] == "Network.requestWillBeSent"
    ]
    origin = server.split("/?")[0]
    # the browser's own start page (chrome://) is not the page's doing
    outside = {u for u in urls if u.startswith(("http", "ws")) and not u.startswith(origin)}
    assert outside == set()
    assert any(u.startswith(origin) for u in urls)
    severe = [entry for entry in driver.get_log("browser") if entry["level"] == "SEVERE"]
    assert severe == []


@needs_panel
@pytest.mark.browser
@headless.survives_a_lost_browser
@pytest.mark.slow
def test_the_page_fits_its_window_and_wants_its_token(server, driver):
    for width in (360, 1280):
        size = {"width": width, "height": 1200, "deviceScaleFactor": 1, "mobile": False}
        driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
        opened(driver, server)
        assert driver.execute_script("return document.documentElement.scrollWidth") <= width
        right = FIND + "return Math.max(...paths.map(p => p.ownerSVGElement"
        assert driver.execute_script(right + ".getBoundingClientRect().right))") <= width
    # without the token there is no page
    driver.get(server.split("?")[0])
    until(driver, said("address that the command printed"), "no word on the token")
    assert not driver.execute_script(FIND + "return paths.some(path => path)")
