"""The HTML report: its numbers, what it must not let through, and how a real browser sees it."""

from __future__ import annotations

import base64
import dataclasses
import json
import re
from collections.abc import Callable
from contextlib import ExitStack
from functools import cache
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from infalign_theory.empirical.hacking.entry import hacking
from infalign_theory.empirical.hacking.results import Hacking
from infalign_theory.empirical.report import hacking_page, pictures
from infalign_theory.empirical.report.page import render, write_report
from infalign_theory.empirical.report.plates import Picture
from infalign_theory.empirical.report.writing import LONGEST, NOTHING, cut, number, visible
from infalign_theory.empirical.validation.entry import validate
from infalign_theory.empirical.validation.phrasing import percent
from infalign_theory.empirical.validation.results import PolicyValidation, Validation
from infalign_theory.errors import InputError
from infalign_theory.plotting.style import minus
from tests import headless

HOSTILE = (
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(2)>',
    "$x^2$ $\\frac{1}{2}$",
    "right\u202eto\u2066left\x1b[31m",
    "日本語 \U0001f600 Ω",
    "{{ 7 * 7 }}{% raw %}",
    "w" * 5000,
)
HOSTILE_COMMAND = 'infalign "</code><script>alert(3)</script>\x00\u202e"'
COMMAND = "infalign validate 'a<b>.csv' --base base --report out.html"


def table(policies: dict[str, float], prompts: list[str], samples: int = 8) -> pd.DataFrame:
    """Scores of a base and of policies whose scores are shifted."""
    rng = np.random.default_rng(5)
    parts = []
    for name, shift in {"base": 0.0, **policies}.items():
        size = (len(prompts), samples)
        reward = rng.normal(shift, 1.0, size)
        parts.append(
            pd.DataFrame(
                {
                    "prompt": np.repeat(prompts, samples),
                    "policy": name,
                    "reward": reward.ravel(),
                    "truth": (rng.uniform(size=size) < 0.4).ravel().astype(float),
                    "ratio": rng.normal(shift**2 / 2, 0.3, size).ravel(),
                }
            )
        )
    return pd.concat(parts, ignore_index=True)


PROMPTS = [f"question {i}" for i in range(40)]


@pytest.fixture(scope="module")
def plain() -> Validation:
    """One policy, no true reward, no log-ratios."""
    scores = table({"tuned": 0.6}, PROMPTS)[["prompt", "policy", "reward"]]
    return validate(scores, policy="policy", procedure=["bon:4", "won:4"])


@pytest.fixture(scope="module")
def rich() -> Validation:
    """Two policies with everything that can be measured."""
    scores = table({"tuned": 0.6, "other": 0.2}, PROMPTS)
    return validate(
        scores,
        policy="policy",
        truth="truth",
        log_ratio="ratio",
        procedure=["standard", "bon:2", "bon:8", "won:4"],
    )


@pytest.fixture(scope="module")
def hostile() -> Validation:
    """Names of policies and prompts that want to be more than names."""
    names = dict.fromkeys([*HOSTILE[:2], " ".join(HOSTILE[2:6]), HOSTILE[6]], 0.5)
    scores = table(names, [*HOSTILE, "p" * 9000], 4)[["prompt", "policy", "reward"]]
    return validate(scores, policy="policy", procedure="bon:2")


@pytest.fixture(scope="module")
def single() -> Validation:
    """A single prompt: no interval, no law."""
    scores = table({"tuned": 0.5}, ["only"])[["prompt", "policy", "reward"]]
    return validate(scores, policy="policy", procedure=["standard", "bon:4"])


@pytest.fixture(scope="module")
def unbounded() -> Validation:
    """Every comparison won: infinite KL floor, no optimal KL, no law."""
    scores = table({"tuned": 90.0}, PROMPTS)[["prompt", "policy", "reward"]]
    return validate(scores, policy="policy", procedure=["bon:4"])


@pytest.fixture(scope="module")
def ties() -> Validation:
    """Few grades and a planned law: discrete laws of prompts."""
    scores = table({"tuned": 0.6}, PROMPTS)[["prompt", "policy", "reward"]]
    scores["reward"] = scores["reward"].round()
    return validate(
        scores, policy="policy", procedure=["standard", "won:2"], transform="exp:5", kl=0.2
    )


@pytest.fixture(scope="module")
def gamed() -> Hacking:
    """A hacked reward, with a trained policy; names that want to be more than names."""
    rng = np.random.default_rng(5)
    parts = []
    for name, top in (("base", 0.75), (HOSTILE[1], 0.4)):
        proxy = rng.random((30, 12))
        gold = (rng.random(proxy.shape) < proxy) & (proxy < top)
        prompts = np.repeat([f"{HOSTILE[i % 7][:40]} {i}" for i in range(30)], 12)
        rows = {"prompt": prompts, "policy": name, "proxy": proxy.ravel(), "gold": gold.ravel()}
        parts.append(pd.DataFrame(rows))
    return hacking(pd.concat(parts), reward="proxy", truth="gold", policy="policy", base="base")


class Page(HTMLParser):
    """Tags with their attributes in order, and all text outside style."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.inside = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self.inside = tag

    def handle_data(self, data: str) -> None:
        if self.inside != "style":
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


CASES = ("plain", "rich", "hostile", "single", "unbounded", "ties", "gamed")


@pytest.fixture(scope="module")
def pages(request: pytest.FixtureRequest) -> Callable[[str], str]:
    """The page of a result by name, made once."""

    @cache
    def page(name: str) -> str:
        command = HOSTILE_COMMAND if name == "hostile" else COMMAND
        result = request.getfixturevalue(name)
        if isinstance(result, Hacking):
            return hacking_page.render(result, command)
        return render(result, command)

    return page


LONG = ("rich", "hostile", "unbounded", "ties")  # to judge


@pytest.fixture(
    params=[pytest.param(c, marks=pytest.mark.slow if c in LONG else ()) for c in CASES]
)
def case(pages: Callable[[str], str], request: pytest.FixtureRequest) -> str:
    """The page of every result."""
    return pages(request.param)


# --- the file


def test_page_needs_nothing_but_itself(case: str) -> None:
    page = Page(case)
    assert case.startswith("<!DOCTYPE html>")
    for tag, attributes in page.tags:
        assert tag not in {"script", "link", "iframe", "object", "embed", "base", "form"}
        assert not [name for name in attributes if name.startswith("on") or name == "style"]
        assert (attributes.get("src") or "data:image/svg+xml;base64,").startswith("data:image/svg")
        assert (attributes.get("href") or "#").startswith("#")
    policy = [a["content"] for _, a in page.tags if a.get("http-equiv")]
    assert policy == ["default-src 'none'; style-src 'unsafe-inline'; img-src data:"]
    assert "http:" not in case
    assert "https:" not in case
    assert "@import" not in case
    assert "url(" not in case


@pytest.mark.slow
def test_file_has_the_same_bytes_every_time(
    plain: Validation, pages: Callable[[str], str], tmp_path: Path
) -> None:
    plain.report(str(tmp_path / "out.html"), COMMAND)
    assert (tmp_path / "out.html").read_bytes() == pages("plain").encode()
    assert [path.name for path in tmp_path.iterdir()] == ["out.html"]


@pytest.mark.slow
def test_failure_leaves_the_old_page(
    single: Validation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "out.html"
    target.write_text("old")

    def broken(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.replace", broken)
    with pytest.raises(InputError, match="No space left"):
        write_report(single, target, None)
    assert [path.name for path in tmp_path.iterdir()] == ["out.html"]
    assert target.read_text() == "old"


# --- names that users chose


def test_hostile_names_stay_names(pages: Callable[[str], str]) -> None:
    text = pages("hostile")
    page = Page(text)
    assert "<script" not in text
    assert "onerror=alert(2)&gt;" in text
    assert {tag for tag, _ in page.tags} & {"script"} == set()
    assert all(c.isprintable() or c == "\n" for c in text)
    for name in HOSTILE[:3]:
        assert name in page.text
    assert "right\\u202eto\\u2066left\\x1b[31m" in page.text
    assert "{{ 7 * 7 }}" in page.text
    assert "</code><script>alert(3)</script>\\x00\\u202e" in page.text


def test_a_hacked_reward_is_told_and_drawn(gamed: Hacking, pages: Callable[[str], str]) -> None:
    text = pages("gamed")
    page = Page(text)
    assert all(c.isprintable() or c == "\n" for c in text)
    alarms = re.findall(r'<p class="hacked" role="alert">(.*?)</p>', text)
    assert gamed.onset_n is not None
    assert f"hacked beyond N = {gamed.onset_n}:" in alarms[0]
    assert HOSTILE[1] in page.text
    rows = cells(text)
    assert [str(gamed.best_of_n[3].n), number(gamed.best_of_n[3].reward, 4)] in [
        row[:2] for row in rows
    ]
    assert [tag for tag, _ in page.tags].count("figure") == 3
    assert any(number(gamed.decay[0].tuned.value) in "".join(row) for row in rows)


def test_long_names_are_cut_but_sentences_are_not(
    hostile: Validation, pages: Callable[[str], str]
) -> None:
    text = pages("hostile")
    assert "w" * LONGEST not in text
    assert "p" * LONGEST not in text
    (long,) = (p for name, p in hostile.policies.items() if name.startswith("www"))
    assert f"{cut(long.name)} beats base {percent(long.win_rates[0].estimate)}" in text


def test_characters_that_act_are_shown() -> None:
    assert visible("a\x00b\u202ec\nd\ud800") == "a\\x00b\\u202ec\\nd\\ud800"
    assert visible("Größe 日本 ½ <b>") == "Größe 日本 ½ <b>"
    assert cut("x" * LONGEST) == "x" * LONGEST
    assert cut("x" * (LONGEST + 1)) == "x" * (LONGEST - 1) + "…"


@pytest.mark.slow
def test_names_cannot_reach_pictures(plain: Validation) -> None:
    policy = plain.policies["tuned"]
    policy = dataclasses.replace(policy, win_rates=policy.win_rates[:1])
    renamed = dataclasses.replace(policy, name="$\\bad{$ 日本\x00")
    assert pictures.frontiers(renamed) == pictures.frontiers(policy)
    assert pictures.by_size(renamed) == pictures.by_size(policy)


@pytest.mark.slow
def test_unknown_transform_leaves_its_line_out(plain: Validation) -> None:
    policy = plain.policies["tuned"]
    assert policy.theory is not None
    theory = dataclasses.replace(policy.theory, transform="$\\mine{日本\x00" + "x" * 5000)
    odd = dataclasses.replace(policy, theory=theory)
    drawn = [key.text for key in pictures.frontiers(odd).keys]
    assert len(drawn) == len(pictures.frontiers(policy).keys) - 1
    text = render(dataclasses.replace(plain, policies={"tuned": odd}), None)
    assert "x" * LONGEST not in text


# --- numbers


def cells(page: str) -> list[list[str]]:
    """Rows of all tables, every cell as text."""
    rows = re.findall(r"<tr>(.*?)</tr>", page, re.DOTALL)
    return [
        [re.sub(r"<[^>]*>", "", cell).strip() for cell in re.findall(r"<t[hd].*?</t[hd]>", row)]
        for row in rows
    ]


def test_numbers_are_those_of_the_record(rich: Validation, pages: Callable[[str], str]) -> None:
    rows = cells(pages("rich"))
    for policy in rich.policies.values():
        for row in policy.win_rates:
            assert row.ci is not None
            assert row.predicted is not None
            assert row.predicted_ci is not None
            assert row.z is not None
            assert (row.efficiency is not None) == (row.estimate > 0.5)
            assert row.truth is not None
            found = [
                cell
                for cell in rows
                if len(cell) == 8
                and cell[1].startswith(percent(row.estimate))
                and cell[3] == minus(f"{row.z:+.2f}")
            ]
            assert found, row
            low, high = row.ci
            assert found[0][1].endswith(f"{100 * low:.1f} to {percent(high)}")
            assert found[0][2].startswith(percent(row.predicted))
            assert found[0][4:6] == ["40", "0"]
            assert found[0][6].startswith(number(row.optimal_kl))
            assert found[0][7] == (NOTHING if row.efficiency is None else percent(row.efficiency))
            gap = minus(f"{100 * row.truth.gap.value:+.1f}")
            assert any(len(c) == 7 and c[4] == gap for c in rows)
        assert policy.kl is not None
        assert policy.kl_k3 is not None
        assert policy.theory is not None
        for estimate in (policy.kl, policy.kl_k3, policy.theory.kl, policy.calibrated_kl):
            assert any(number(estimate.value) in cell for cell in rows)
        for rate, prompt in policy.extremes:
            assert [percent(rate), prompt] in rows
    for difference in rich.differences:
        shown = minus(f"{100 * difference.difference.value:+.1f}")
        assert any(len(cell) == 6 and cell[3] == shown for cell in rows)


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, NOTHING), (float("inf"), NOTHING), (float("nan"), NOTHING),
        (0.28644, "0.286"), (0.5, "0.500"),
        (123.4, "123"), (77773.2, "77773"), (-0.002, minus("-0.00200")), (0.0, "0.00"),
        (2.5e-9, "2.50 \N{MULTIPLICATION SIGN} 10⁻⁹"),
        (8.6552e7, "8.66 \N{MULTIPLICATION SIGN} 10⁷"),
    ],
)  # fmt: skip
def test_numbers_read_well(value: float | None, shown: str) -> None:
    assert number(value) == shown


def test_nothing_is_none_or_nan(case: str) -> None:
    assert not re.search(r"\b(None|nan|inf|NaN|Infinity)\b", Page(case).text)


def test_missing_numbers_have_reasons(pages: Callable[[str], str]) -> None:
    text = Page(pages("single")).text
    assert "it takes at least two prompts" in text
    assert "no law was found" in text
    assert "No log-ratios were given" in text
    text = Page(pages("unbounded")).text
    assert "Without bound" in text
    assert "no finite KL is known" in text


def test_sentences_come_before_pictures(rich: Validation, pages: Callable[[str], str]) -> None:
    text = pages("rich")
    for policy in rich.policies.values():
        start = text.index(f"<bdi>{policy.name}</bdi></h2>")
        first = text.index("<img", start)
        assert all(start < text.index(f">{s}</p>", start) < first for s in policy.verdict)
    levels = [int(tag[1]) for tag, _ in Page(text).tags if re.fullmatch(r"h\d", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert max(np.diff(levels)) <= 1


def test_page_is_whole(pages: Callable[[str], str]) -> None:
    page = Page(pages("rich"))
    assert COMMAND in page.text
    for name in ("infalign-theory", "Python", "NumPy", "SciPy", "DuckDB", "Numba"):
        assert re.search(rf"{name} \d+\.\d+", page.text)
    assert [a["lang"] for tag, a in page.tags if tag == "html"] == ["en"]
    assert all(a.get("scope") in {"col", "row"} for tag, a in page.tags if tag == "th")
    identifiers = [a["id"] for _, a in page.tags if "id" in a]
    assert len(set(identifiers)) == len(identifiers)
    targets = {(a["href"] or "")[1:] for tag, a in page.tags if tag == "a"}
    assert targets <= set(identifiers)
    opened = [tag for tag, _ in page.tags]
    assert opened.count("figure") == opened.count("figcaption") == 2 * 4


@pytest.mark.slow
def test_findings_are_told() -> None:
    scores = table({"tuned": 0.6}, PROMPTS)[["prompt", "policy", "reward"]]
    scores.loc[0, "reward"] = np.nan
    found = validate(scores, policy="policy")
    (finding,) = found.findings
    text = Page(render(found, None)).text
    assert finding.text in text
    assert "1 finding about the scores" in text


@pytest.mark.slow
def test_many_differences_are_cut(plain: Validation, rich: Validation) -> None:
    many = dataclasses.replace(plain, differences=rich.differences * 100)
    text = Page(render(many, None)).text
    assert f"The first 300 of {len(many.differences)} comparisons" in text


# --- pictures


def svg(picture: Picture) -> str:
    return base64.b64decode(picture.uri.partition(",")[2]).decode()


@pytest.mark.slow
def test_a_panel_for_each_procedure_up_to_six(plain: Validation, rich: Validation) -> None:
    assert len(pictures.frontiers(plain.policies["tuned"]).pictures) == 2
    policy = rich.policies["tuned"]
    names = ("standard", "bon:2", "bon:4", "bon:8", "won:2", "won:4", "won:8")
    rows = tuple(dataclasses.replace(policy.win_rates[0], procedure=name) for name in names)
    seven = pictures.frontiers(dataclasses.replace(policy, win_rates=rows))
    assert len(seven.pictures) == 6
    assert seven.pictures[0].text.startswith("Single samples: win rate")
    assert seven.pictures[-1].text.startswith("Worst-of-8: win rate")
    assert all("<text" not in svg(p) for p in (*seven.pictures, *seven.keys))  # paths: no font


@pytest.mark.slow
def test_keys_tell_what_is_drawn(rich: Validation, single: Validation, ties: Validation) -> None:
    def words(policy: PolicyValidation) -> set[str]:
        return {key.text for key in pictures.frontiers(policy).keys}

    assert "the run, with intervals" in words(rich.policies["tuned"])
    assert words(single.policies["tuned"]) == {"optimum", "the run, its KL unknown"}
    assert "transform of the planned law, exp(5u)" in words(ties.policies["tuned"])
    assert pictures.calibrated(single.policies["tuned"], 0.95) is None
    assert pictures.by_truth(ties.policies["tuned"]) is None


@pytest.mark.slow
def test_extreme_estimates_can_be_drawn(rich: Validation) -> None:
    policy = rich.policies["tuned"]
    assert policy.kl is not None
    row = dataclasses.replace(policy.win_rates[0], ci=(0.9, 0.95), estimate=0.89)
    for value, ci in ((-0.2, (-0.5, 0.1)), (2000.0, (1500.0, 2500.0)), (0.0, None)):
        kl = dataclasses.replace(policy.kl, value=value, ci=ci)
        odd = dataclasses.replace(policy, kl=kl, kl_spent=value, win_rates=(row,))
        (panel,) = pictures.frontiers(odd).pictures
        assert f"{value:.3g} nats" in panel.text


# --- a browser


@pytest.fixture(scope="module")
def browsers(tmp_path_factory: pytest.TempPathFactory):
    """One browser for all tests, and a new one when asked."""
    driver = None
    with ExitStack() as started:

        def one(new: bool):
            nonlocal driver
            if driver is None or new:
                profile = tmp_path_factory.mktemp("profile")
                driver = started.enter_context(headless.browser(profile))
                driver.get("about:blank")
            return driver

        yield one


@pytest.fixture
def browser(browsers: Callable, request: pytest.FixtureRequest):
    return browsers(new=request.node.execution_count > 1)


def requests(driver) -> list[str]:
    """Addresses of all requests since the last call."""
    events = [json.loads(entry["message"])["message"] for entry in driver.get_log("performance")]
    return [
        event["params"]["request"]["url"]
        for event in events
        if event["method"] == "Network.requestWillBeSent"
    ]


@pytest.mark.slow
@headless.survives_a_lost_browser
def test_browser_opens_it_offline_at_any_width(browser, case: str, tmp_path: Path) -> None:
    page = tmp_path / "report.html"
    page.write_text(case, "utf-8")
    for width, height in ((360, 740), (1280, 900)):
        browser.execute_cdp_cmd(
            "Emulation.setDeviceMetricsOverride",
            {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 500},
        )
        requests(browser)
        browser.get(page.as_uri())
        images = browser.execute_script("return [...document.images].map(i => i.naturalWidth)")
        assert images
        assert min(images) > 0
        wide = "return [document.documentElement.scrollWidth, window.innerWidth]"
        taken, there = browser.execute_script(wide)
        assert there == width
        assert taken <= there
        sent = requests(browser)
        assert sent.count(page.as_uri()) == 1
        # chrome: is the browser's own first tab, still loading when it is left
        allowed = (page.as_uri(), "data:image/svg+xml;base64,", "chrome:")
        assert [url for url in sent if not url.startswith(allowed)] == []
        assert browser.get_log("browser") == []
        assert browser.execute_script("return document.scripts.length") == 0


@pytest.mark.slow
@headless.survives_a_lost_browser
def test_browser_prints_it_whole(browser, case: str, tmp_path: Path) -> None:
    page = tmp_path / "report.html"
    page.write_text(case, "utf-8")
    paper = {"width": 680, "height": 1000, "deviceScaleFactor": 1, "mobile": False}
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", paper)
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": "print"})
    browser.get(page.as_uri())
    clipped = browser.execute_script(
        "return [...document.querySelectorAll('table, img, pre')]"
        ".filter(e => e.getBoundingClientRect().right > innerWidth + 1).length"
    )
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": ""})
    assert clipped == 0
