"""The explorer: its address, its numbers, its exports, and the page in a real browser."""

from __future__ import annotations

import csv
import io
import json
import shutil
import subprocess
import sys
import time

import numpy as np
import pytest

import infalign_theory as it
from infalign_theory.errors import InputError
from infalign_theory.explorer import export
from infalign_theory.explorer.curves import MINE, panels
from infalign_theory.explorer.uploads import masses_of_upload
from infalign_theory.explorer.view import View, free_names, read_base

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


def test_numbers_are_the_engine_s():
    view = View(procedure="won:4", transform="-exp(t*u)", parameters={"t": -8.0}, kl=0.3)
    found = panels(view)
    policy = it.align(it.Exponential(-8), kl=0.3)
    assert found.win_rate == pytest.approx(it.win_rate(policy, "won:4"), abs=1e-10)
    assert found.optimal == pytest.approx(it.optimum("won:4", kl=0.3).win_rate, abs=1e-10)
    assert all(np.isfinite(c.y).all() for name in export.PANELS for c in getattr(found, name))
    mine = next(curve for curve in found.frontier if curve.name == MINE)
    at = int(np.flatnonzero(mine.x == 0.3)[0])
    assert mine.y[at] == pytest.approx(found.win_rate, abs=1e-10)
    assert all((curve.y >= -1e-8).all() for curve in found.regret)


@pytest.mark.slow
def test_atoms_cut_curves_where_no_kl_is_left_to_spend():
    found = panels(View(base="0.5, 0.3, 0.2", kl=0.3))
    reach = -np.log(0.2)
    assert all(curve.x.max() < reach for curve in found.frontier)
    assert found.efficiency == ()


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
    run = subprocess.run(
        [sys.executable, str(program)],
        capture_output=True,
        text=True,
        check=True,
        env={"MPLBACKEND": "agg", "PATH": ""} | _python_path(),
    )
    printed = float(run.stdout.splitlines()[0].removeprefix("win rate "))
    assert printed == pytest.approx(panels(view).win_rate, abs=1e-12)


def _python_path():
    return {"PYTHONPATH": ":".join(path for path in sys.path if path)}


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


def test_an_upload_becomes_a_base(tmp_path):
    rows = "prompt,reward\n" + "".join(f"p{i},{i % 3}\n" for i in range(12))
    assert masses_of_upload("scores.csv", rows.encode()) == ", ".join(["0.333333333333"] * 3)


@pytest.mark.parametrize(
    ("name", "content", "hint"),
    [("scores.exe", b"x", "not a score file"), ("a.csv", b"prompt,reward\np,x\n", "not finite")],
)
def test_a_bad_upload_says_what_is_wrong(name, content, hint):
    with pytest.raises(InputError, match=hint):
        masses_of_upload(name, content)


# ---------------------------------------------------------------------------------- the page

pytest.importorskip("panel", reason="the extra 'explore' is not installed")


def test_the_widget_redraws_tells_and_recovers():
    from infalign_theory.explorer.page import Explorer

    page = Explorer()
    first = page.found.win_rate
    page.sliders[0].value = 4.0
    assert page.found.win_rate == pytest.approx(
        it.win_rate(it.align("exp:4", kl=0.5), "bon:4"), abs=1e-10
    )
    page.transform.value_input = "exp(t*u"
    assert page.message.visible
    assert page.found.win_rate != first
    page.transform.value_input = "u"
    assert not page.message.visible
    assert page.found.win_rate == pytest.approx(
        it.win_rate(it.align("identity", kl=0.5), "bon:4"), abs=1e-10
    )
    page.transform.value_input = "9**9**9**9*u"  # a formula bomb
    assert page.message.visible


FIND = """
const seen = [];
const walk = root => root.querySelectorAll('*').forEach(e => {
  seen.push(e); if (e.shadowRoot) walk(e.shadowRoot);
});
walk(document);
const input = seen.find(e => e.tagName === 'INPUT' && e.type === 'text');
"""
TYPE = (
    FIND
    + """
const [text, done] = [arguments[0], arguments[arguments.length - 1]];
const source = Bokeh.documents[0].get_model_by_name('frontier/yours');
const start = performance.now();
const seenChange = () => {
  source.properties.data.change.disconnect(seenChange);
  requestAnimationFrame(() => done(performance.now() - start));
};
source.properties.data.change.connect(seenChange);
input.value = text;
input.dispatchEvent(new Event('input', {bubbles: true}));
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
def driver(tmp_path):
    webdriver = pytest.importorskip("selenium.webdriver")
    from selenium.webdriver.chrome.service import Service

    if not (shutil.which("chromium") and shutil.which("chromedriver")):
        pytest.skip("chromium and chromedriver are not installed")
    options = webdriver.ChromeOptions()
    options.binary_location = shutil.which("chromium")
    flags = ["headless", "no-sandbox", "disable-gpu", "disable-quic", "no-first-run"]
    flags += ["disable-background-networking", "disable-component-update", "disable-sync"]
    for flag in [*flags, "window-size=1280,1400", f"user-data-dir={tmp_path / 'profile'}"]:
        options.add_argument(f"--{flag}")
    several = "profile.default_content_setting_values.automatic_downloads"
    folder = {"download.default_directory": str(tmp_path), several: 1}
    options.add_experimental_option("prefs", folder)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    browser = webdriver.Chrome(options=options, service=Service(shutil.which("chromedriver")))
    browser.set_script_timeout(30)
    yield browser
    browser.quit()


def opened(driver, address):
    """Open the page and wait until its curves are there."""
    driver.get(address)
    ready = "return !!(window.Bokeh && Bokeh.documents.length && "
    ready += "Bokeh.documents[0].get_model_by_name('frontier/yours'))"
    deadline = time.monotonic() + 60
    while not driver.execute_script(ready):
        assert time.monotonic() < deadline, "the page did not draw its curves"
        time.sleep(0.2)


def shown(driver, curve="frontier/yours"):
    text = f"return Array.from(Bokeh.documents[0].get_model_by_name('{curve}').data.y)"
    return driver.execute_script(text)


def arrived(wanted):
    """Whether a download is there; a browser holds programs back until its user confirms them."""
    held_back = wanted.suffix == ".py" and any(wanted.parent.glob("*.crdownload"))
    return wanted.exists() or held_back


@pytest.mark.browser
@pytest.mark.slow
def test_the_page_in_a_browser(server, driver, tmp_path, record_property):
    opened(driver, server)
    before = shown(driver)
    times = [driver.execute_async_script(TYPE, f"exp({4 + 0.1 * i:.1f}*u)") for i in range(50)]
    assert shown(driver) != before
    record_property("median_redraw_ms", float(np.median(times)))
    print(f"median redraw {np.median(times):.0f} ms, largest {max(times):.0f} ms")
    # a bad formula leaves the curve, tells, and recovers
    held = shown(driver)
    driver.execute_script(FIND + "input.value = 'exp(('; input.dispatchEvent(new Event('input'));")
    time.sleep(2.0)
    assert shown(driver) == held
    text = "return seen.some(e => (e.textContent || '').includes('exp((') && e.offsetParent)"
    assert driver.execute_script(FIND + text)
    driver.execute_async_script(TYPE, "u")
    # the address holds the state: a second visit sees the same curve
    time.sleep(1.0)
    mine, address = shown(driver), driver.current_url
    assert "transform=u" in address
    driver.get("about:blank")
    opened(driver, address)
    assert shown(driver) == pytest.approx(mine, abs=1e-12)
    # downloads
    for button in ("CSV", "PNG", "SVG", "Python"):
        driver.execute_script(
            FIND
            + f"seen.find(e => e.tagName === 'A' && e.textContent.includes('{button}')).click()"
        )
        wanted = tmp_path / f"view.{'py' if button == 'Python' else button.lower()}"
        deadline = time.monotonic() + 30
        while not arrived(wanted) and time.monotonic() < deadline:
            time.sleep(0.2)
        assert arrived(wanted), button


@pytest.mark.browser
@pytest.mark.slow
def test_the_page_asks_its_own_origin_only(server, driver):
    opened(driver, server)
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


@pytest.mark.browser
@pytest.mark.slow
def test_without_the_token_there_is_no_page(server, driver):
    driver.get(server.split("?")[0])
    time.sleep(4.0)
    assert "address that the command printed" in driver.execute_script(
        FIND + "return seen.map(e => e.textContent).join(' ')"
    )
    assert not driver.execute_script(
        "return !!Bokeh.documents[0].get_model_by_name('frontier/yours')"
    )
