"""The theory figures: the numbers they plot against closed forms, and what a reader relies on."""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl
import mpmath as mp
import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.lines import Line2D
from matplotlib.transforms import Bbox
from scipy.integrate import simpson
from scipy.optimize import minimize_scalar

from infalign_theory import output as files
from infalign_theory import plotting
from infalign_theory.comparison.comparisons import compare
from infalign_theory.comparison.efficiency import first_order_efficiency
from infalign_theory.comparison.frontiers import frontier
from infalign_theory.errors import InputError
from infalign_theory.figures import FIGURES, Drawing, Table, reproduce
from infalign_theory.figures import laws as law_figures
from infalign_theory.figures.curves import PROCEDURES, TRANSFORMS
from infalign_theory.figures.spec import same_numbers
from infalign_theory.optima.solve import optimum
from infalign_theory.plotting.rendering import drawing_style
from infalign_theory.plotting.style import STYLE
from infalign_theory.transforms.exponential import Exponential
from infalign_theory.transforms.expression import Expression

CHEAP = "optimal-transforms"


drawn = pytest.mark.slow  # all figures are drawn, once for the file


@pytest.fixture(scope="module")
def drawings() -> dict[str, Drawing]:
    """All figures, with two sizes instead of nine where the search for an exponent is slow."""
    plain = law_figures.best_exponents
    with pytest.MonkeyPatch.context() as patch, drawing_style():
        patch.setattr(law_figures, "best_exponents", lambda kind, kl: plain(kind, kl, (4, 16)))
        return {name: figure.draw() for name, figure in FIGURES.items()}


def records(table: Table) -> list[dict[str, str]]:
    """The numbers as they were computed; files hold those digits that are certain."""
    return [
        dict(zip(table.columns, ("" if v is None else str(v) for v in row), strict=True))
        for row in table.rows
    ]


def columns(table: Table, *names: str, **where: str) -> np.ndarray:
    rows = [r for r in records(table) if all(r[k] == v for k, v in where.items())]
    assert rows, where
    return np.array([[float(row[name]) for name in names] for row in rows]).T


# --- the numbers plotted


@drawn
def test_frontiers_cover_every_panel_and_transform(drawings: dict[str, Drawing]) -> None:
    rows = records(drawings["frontiers"].tables[""])
    found = {(row["procedure"], row["transform"]) for row in rows}
    assert found == {(p, t) for p in PROCEDURES for t in (*TRANSFORMS, "optimal")}
    for procedure, transform in found:
        kl, won = columns(
            drawings["frontiers"].tables[""],
            "kl",
            "win_rate",
            procedure=procedure,
            transform=transform,
        )
        assert kl[0] == 0.0
        assert kl[-1] >= 2.0
        assert won[0] == pytest.approx(0.5, abs=1e-15)


@drawn
def test_identity_frontier_is_its_closed_form(drawings: dict[str, Drawing]) -> None:
    beta, kl, won = columns(
        drawings["frontiers"].tables[""],
        "beta",
        "kl",
        "win_rate",
        procedure="standard",
        transform="identity",
    )[:, 1:]
    k = 1 / beta
    expected = -1 / np.expm1(-k) - 1 / k
    np.testing.assert_allclose(won, expected, rtol=0, atol=3e-10)
    np.testing.assert_allclose(kl, k * expected - np.log(np.expm1(k) / k), rtol=0, atol=3e-9)


@drawn
@pytest.mark.parametrize("procedure", ["standard", "bon:2", "bon:4", "bon:10"])
def test_log_frontier_is_best_of_n_distillation(
    drawings: dict[str, Drawing], procedure: str
) -> None:
    beta, kl, won = columns(
        drawings["frontiers"].tables[""],
        "beta",
        "kl",
        "win_rate",
        procedure=procedure,
        transform="log",
    )[:, 1:]
    k = 1 / beta
    np.testing.assert_allclose(won, (k + 1) / (k + 2), rtol=0, atol=1e-11)
    np.testing.assert_allclose(kl, np.log1p(k) - k / (k + 1), rtol=0, atol=1e-10)


@drawn
def test_nothing_beats_the_optimum(drawings: dict[str, Drawing]) -> None:
    kl, regret, optimal, won = columns(
        drawings["regret"].tables[""], "kl", "regret", "optimal", "win_rate"
    )
    assert regret.min() >= -1e-9
    assert kl.max() >= 2.0
    np.testing.assert_allclose(regret, optimal - won, rtol=0, atol=2e-12)


@drawn
@pytest.mark.parametrize(
    ("procedure", "transform", "expected", "digits"),
    [
        ("bon:4", "exp:10", 0.0017, 4),
        ("bon:4", "identity", 0.073, 3),
        ("won:4", "exp:-10", 0.0003, 4),
    ],
)
def test_known_regrets(
    drawings: dict[str, Drawing], procedure: str, transform: str, expected: float, digits: int
) -> None:
    kl, regret = columns(
        drawings["regret"].tables[""], "kl", "regret", procedure=procedure, transform=transform
    )
    at = int(np.argmin(np.abs(kl - 0.5)))
    assert kl[at] == pytest.approx(0.5, abs=1e-12)
    assert round(float(regret[at]), digits) == expected


@drawn
def test_optimal_transform_tends_to_the_power_law(drawings: dict[str, Drawing]) -> None:
    """At KL -> 0 the scaled optimum is u**(2N-1), and its reflection for Worst-of-N."""
    table = drawings[CHEAP].tables[""]
    for procedure, law in (("bon:4", lambda u: u**7), ("won:4", lambda u: 1 - (1 - u) ** 7)):
        u, scaled = columns(table, "u", "scaled_transform", procedure=procedure, kl="1e-06")
        np.testing.assert_allclose(scaled, law(u), atol=5e-3)


@drawn
def test_densities_are_densities_and_optimal_one_follows_its_transform(
    drawings: dict[str, Drawing],
) -> None:
    table = drawings[CHEAP].tables["-densities"]
    for procedure in ("bon:4", "won:4"):
        u, density = columns(table, "u", "density", procedure=procedure, transform="optimal")
        assert simpson(density, x=u) == pytest.approx(1.0, abs=2e-4)
        best = optimum(procedure, kl=0.5)
        inside = density > 1e-8
        log_ratio = np.log(density[inside]) - best.transform(u[inside]) / best.beta
        np.testing.assert_allclose(log_ratio, log_ratio[0], atol=1e-7)


@drawn
def test_best_exponents_follow_the_2n_law(drawings: dict[str, Drawing]) -> None:
    table = drawings["best-exponent"].tables[""]
    for kind, sign in (("bon", 1), ("won", -1)):
        for n, first_order in ((4, 7.825), (16, 31.97)):
            [[t]] = columns(table, "best_exponent", procedure=f"{kind}:{n}", kl="0.0001")
            assert sign * t == pytest.approx(first_order, rel=0.015)
            assert sign * t == pytest.approx(2 * n, rel=0.03)


def test_best_exponent_beats_its_neighbours() -> None:
    [(_, t)] = law_figures.best_exponents("bon", 0.5, (4,))
    assert t is not None
    rows = compare([Exponential(x * t) for x in (0.98, 1.0, 1.02)], "bon:4", kl=0.5).rows
    assert rows[1].regret < min(rows[0].regret, rows[2].regret)


def test_exponent_out_of_reach_is_an_empty_cell() -> None:
    assert law_figures.best_exponents("bon", 1.0, (64,)) == [(64, None)]
    assert Table(("n", "t"), [(64, None)]).csv() == b"n,t\n64,\n"


@drawn
def test_large_n_collapse(drawings: dict[str, Drawing]) -> None:
    """The distance from the limit is of order 1/N: four times less at every step."""
    table = drawings["large-n"].tables[""]
    for kind in ("Best-of-N", "Worst-of-N"):
        gaps = [
            columns(table, "value", panel=f"{kind}: distance", n=str(n))[0].max()
            for n in law_figures.LARGE_NS
        ]
        np.testing.assert_allclose(np.array(gaps[1:-1]) / gaps[2:], 4.0, rtol=0.03)
        regrets = columns(table, "value", panel=f"{kind}: regret")[0]
        assert regrets.min() >= -1e-9


@drawn
def test_small_kl_curves_start_at_their_efficiency(drawings: dict[str, Drawing]) -> None:
    table = drawings["small-kl"].tables[""]
    for procedure in ("bon:4", "won:4"):
        for name in (*TRANSFORMS, "optimal"):
            kl, achieved, rho = columns(
                table, "kl", "achieved", "efficiency", procedure=procedure, transform=name
            )
            assert achieved[0] == pytest.approx(rho[0], abs=2e-3)
            near = kl <= 0.01
            np.testing.assert_allclose(achieved[near], rho[near], rtol=0.05)


# --- first-order efficiency


@pytest.mark.parametrize("n", [1, 2, 4, 16, 1000, 10**6])
def test_efficiency_closed_forms(n: int) -> None:
    p = 2 * n - 1
    for procedure in (f"bon:{n}", f"won:{n}"):
        expected = np.sqrt(3 * (2 * p + 1)) / (p + 2)
        assert first_order_efficiency("identity", procedure) == pytest.approx(expected, rel=1e-13)
    log = np.sqrt(2 * p + 1) / (p + 1)
    assert first_order_efficiency("log", f"bon:{n}") == pytest.approx(log, rel=1e-13)
    mirrored = first_order_efficiency(Expression("-log(1-u)"), f"won:{n}")
    assert mirrored == pytest.approx(log, rel=1e-9)
    assert first_order_efficiency(f"power:{p}", f"bon:{n}") == pytest.approx(1.0, abs=1e-13)


@pytest.mark.slow
@pytest.mark.parametrize("t", [-10.0, 5.0, 10.0, 100.0])
def test_efficiency_of_exponentials_against_mpmath(t: float) -> None:
    with mp.workdps(40):
        sign = mp.sign(t)

        def mean(f: object) -> mp.mpf:
            return mp.quad(f, [0, 0.5, 0.9, 0.99, 1])

        phi, best = (lambda u: sign * mp.e ** (t * u)), (lambda u: u**7)
        covariance = mean(lambda u: phi(u) * best(u)) - mean(phi) * mean(best)
        variances = [mean(lambda u, f=f: f(u) ** 2) - mean(f) ** 2 for f in (phi, best)]
        expected = covariance / mp.sqrt(variances[0] * variances[1])
    assert first_order_efficiency(Exponential(t), "bon:4") == pytest.approx(
        float(expected), abs=1e-13
    )
    reflected = first_order_efficiency(Exponential(-t), "won:4")
    assert reflected == pytest.approx(float(expected), abs=1e-12)


@pytest.mark.parametrize(("n", "best_t"), [(4, 7.825), (8, 15.94), (16, 31.97)])
def test_best_first_order_exponent(n: int, best_t: float) -> None:
    found = minimize_scalar(
        lambda t: -first_order_efficiency(Exponential(t), f"bon:{n}"),
        bounds=(n, 4 * n),
        method="bounded",
        options={"xatol": 1e-6},
    )
    assert found.x == pytest.approx(best_t, abs=0.006)
    assert -found.fun >= 0.9989
    assert round(first_order_efficiency("identity", "bon:4"), 3) == 0.745


def test_efficiency_sign_scale_and_slow_tails() -> None:
    assert first_order_efficiency(Expression("1-u"), "bon:4") == pytest.approx(
        -first_order_efficiency("identity", "bon:4"), rel=1e-13
    )
    assert first_order_efficiency(Expression("1e200*exp(3*u)"), "won:4") == pytest.approx(
        first_order_efficiency("exp:3", "won:4"), rel=1e-12
    )
    # E log^3 = -6, E log^6 = 720, E[u^7 log^3] = -6/8^4
    expected = (6 / 8 - 6 / 8**4) / np.sqrt((720 - 36) * (1 / 15 - 1 / 64))
    assert first_order_efficiency(Expression("log(u)**3"), "bon:4") == pytest.approx(
        expected, rel=1e-9
    )


@pytest.mark.parametrize("text", ["3", "0*u+2", "-u**-0.5", "-u**-2", "-(1-u)**-0.6"])
def test_efficiency_refuses_constant_and_infinite_variance(text: str) -> None:
    with pytest.raises(InputError, match=r"variance|constant"):
        first_order_efficiency(Expression(text), "bon:4")


# --- files


@drawn
def test_every_figure_has_its_numbers_and_one_sentence(drawings: dict[str, Drawing]) -> None:
    assert {"frontiers", "regret", CHEAP, "best-exponent", "large-n"} <= set(FIGURES)
    for name, figure in FIGURES.items():
        assert figure.name == name
        assert figure.shows.endswith(".")
        assert figure.title
        assert drawings[name].tables
        for table in drawings[name].tables.values():
            assert len(set(table.columns)) == len(table.columns) > 1
            assert len(table.rows) > 10
            assert all(len(row) == len(table.columns) for row in table.rows)


@pytest.mark.slow
def test_two_runs_write_the_same_bytes(tmp_path: Path) -> None:
    formats = ("png", "svg", "pdf")
    runs = [reproduce(tmp_path / part, [CHEAP], formats) for part in ("a", "b/c")]
    first, second = (run[0].files for run in runs)
    assert [f.name for f in first] == [f.name for f in second]
    assert {f.suffix for f in first} == {".png", ".svg", ".pdf", ".csv"}
    for one, other in zip(first, second, strict=True):
        assert one.read_bytes() == other.read_bytes()
    assert sorted(tmp_path.joinpath("a").iterdir()) == sorted(first)  # and nothing else


@pytest.mark.slow
def test_user_settings_neither_matter_nor_change(tmp_path: Path) -> None:
    plain = reproduce(tmp_path / "a", [CHEAP])[0].files[0].read_bytes()
    with mpl.rc_context({"font.size": 30, "axes.grid": False, "savefig.dpi": 20}):
        before = dict(mpl.rcParams)
        styled = reproduce(tmp_path / "b", [CHEAP])[0].files[0].read_bytes()
        assert dict(mpl.rcParams) == before
    assert plain == styled


@pytest.mark.parametrize(
    ("arguments", "listed"),
    [
        ({"only": ["fronteers"]}, "frontiers"),
        ({"only": []}, "large-n"),
        ({"formats": ["gif"]}, "png, svg, pdf"),
        ({"formats": []}, "svg"),
    ],
)
def test_unknown_names_list_the_allowed(tmp_path: Path, arguments: dict, listed: str) -> None:
    with pytest.raises(InputError, match=listed):
        reproduce(tmp_path / "out", **arguments)
    assert not (tmp_path / "out").exists()


def test_out_that_is_a_file(tmp_path: Path) -> None:
    target = tmp_path / "taken"
    target.write_text("mine")
    for out in (target, target / "below"):
        with pytest.raises(InputError, match="not a directory"):
            reproduce(out, [CHEAP])
    assert target.read_text() == "mine"


def test_failing_write_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "a.csv"
    target.write_bytes(b"old")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(files.os, "replace", full)
    with pytest.raises(InputError, match="No space left"):
        files.write_atomically(target, b"new")
    assert target.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [target]


def test_drawing_failure_writes_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> Drawing:
        raise InputError("no such number")

    figure = FIGURES[CHEAP]
    monkeypatch.setitem(FIGURES, CHEAP, type(figure)(CHEAP, figure.title, figure.shows, broken))
    with pytest.raises(InputError, match="no such number"):
        reproduce(tmp_path, [CHEAP])
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_progress_and_results(tmp_path: Path) -> None:
    lines: list[str] = []
    [result] = reproduce(tmp_path, [CHEAP, CHEAP], progress=lines.append)
    assert len(lines) == 1
    assert CHEAP in lines[0]
    assert result.shows == FIGURES[CHEAP].shows
    assert all(file.exists() for file in result.files)
    for file in result.files[1:]:
        assert b"\r" not in file.read_bytes()


# --- layout


LEGENDS_IN_PANELS = ("self-play", "miscalibration")


def covers(legend: Bbox, line: Line2D) -> bool:
    """Whether a legend lies over a line, which is followed between its points."""
    x, y = line.get_transform().transform(line.get_xydata()).T
    along = np.linspace(0, x.size - 1, 20 * x.size)
    at = np.arange(x.size)
    drawn_at = np.column_stack([np.interp(along, at, x), np.interp(along, at, y)])
    return any(legend.contains(*point) for point in drawn_at)


@drawn
@pytest.mark.parametrize("name", FIGURES)
def test_text_inside_and_legend_clear_of_panels(drawings: dict[str, Drawing], name: str) -> None:
    figure = drawings[name].figure
    with drawing_style():
        canvas = FigureCanvasAgg(figure)
        figure.draw_without_rendering()
        renderer = canvas.get_renderer()
        holders = [ax for ax in figure.axes if ax.get_legend() is not None]
        legends = [ax.get_legend().get_window_extent(renderer) for ax in holders]
        if name in LEGENDS_IN_PANELS:
            for ax, legend in zip(holders, legends, strict=True):
                assert legend.x1 <= ax.bbox.x1
                assert legend.y1 <= ax.bbox.y1
                assert not any(covers(legend, line) for line in ax.lines)
            holders, legends = [], []
        else:
            assert len(holders) == (0 if name in ("mismatch", "attackers") else 1)
        panels = [ax for ax in figure.axes if ax not in holders]
        title = figure._suptitle.get_window_extent(renderer)
        # what is drawn of a panel, its labels included
        boxes = [*(ax.get_tightbbox(renderer) for ax in panels), *legends, title]
    for i, box in enumerate(boxes):
        assert box.x0 >= 0
        assert box.y0 >= 0
        assert box.x1 <= figure.bbox.x1
        assert box.y1 <= figure.bbox.y1
        assert not any(box.overlaps(other) for other in boxes[:i])
    for ax in panels:
        ticks = [*ax.get_xticklabels(), *ax.get_yticklabels()]
        for text in [ax.title, ax.xaxis.label, ax.yaxis.label, *ticks, *ax.texts]:
            assert text.get_fontsize() >= 9.0


# --- style and the plots that notebooks use


def test_styles_differ_without_colour() -> None:
    looks = {(str(s.linestyle), s.marker, s.filled) for s in STYLE.values()}
    assert len(looks) == len(STYLE)
    assert len({s.color for s in STYLE.values()}) == len(STYLE)
    for name in ("exp:3", "exp:-2.5", "power:7", "logit", "expr:exp(3*u)-u", "optimal@bon:4"):
        assert plotting.style_of(name) == plotting.style_of(name)


def test_curves_drawn_together_can_be_told_apart() -> None:
    names = ["optimal", "optimal@bon:2", "optimal@bon:16", *(f"exp:{t}" for t in range(2, 12))]
    ax = mpl.figure.Figure().subplots()
    for name in names:
        plotting.draw_curve(ax, name, [0.0, 1.0], [0.0, 1.0])
    lines = [line for line in ax.get_lines() if line.get_gid()]
    assert [line.get_gid() for line in lines] == names
    looks = {
        (
            line.get_color(),
            str(line._unscaled_dash_pattern),
            line.get_marker(),
            line.get_markerfacecolor(),
        )
        for line in lines
    }
    assert len(looks) == len(names)
    labels = [line.get_label() for line in lines]
    assert len(set(labels)) == len(names)
    assert labels[:3] == ["optimum", "optimum for Best-of-2", "optimum for Best-of-16"]


def test_any_number_of_styles() -> None:
    many = plotting.styles_of([f"expr:u**{p}" for p in range(2, 100)])
    assert len({(s.color, str(s.linestyle), s.marker) for s in many.values()}) == 98
    assert plotting.styles_of(["exp:10", "exp:5"])["exp:5"] == STYLE["exp:5"]
    assert len(plotting.style_of("expr:" + "+".join(["u"] * 99)).label) < 50


@pytest.mark.slow
def test_labels_of_bars_are_inside_the_figure() -> None:
    long = "exp(3*u)-u+u**2-u**3+0.25*u**4-0.1*u**5"
    rows = compare(["identity", long, "exp:10"], "bon:4", kl=0.5)
    figure = mpl.figure.Figure()
    ax = rows.plot(figure.subplots())
    FigureCanvasAgg(figure)
    figure.draw_without_rendering()
    for label in ax.get_yticklabels():
        assert label.get_window_extent().x0 >= 0
    several = compare(["identity", "exp:10"], "bon:4", kl=[0.1, 0.5])
    drawn = several.plot(mpl.figure.Figure().subplots())
    assert drawn.get_xlabel() == "KL (nats)"
    assert len(drawn.get_lines()) == 2


# --- what another machine's last digits may change: nothing


def test_files_hold_the_certain_digits() -> None:
    table = Table(("kl", "win_rate", "best_exponent"), [(1 / 3e6, 2 / 3, 100 / 3)])
    assert table.csv() == b"kl,win_rate,best_exponent\n3.333333333e-07,0.6666666667,33.333333\n"
    tiny = Table(("regret",), [(-4e-17,), (3e-12,)])
    assert tiny.csv() == b"regret\n0\n0\n"


@pytest.mark.parametrize(
    ("old", "new", "same"),
    [
        (b"kl,win_rate\n0.1,0.5\n", b"kl,win_rate\n0.1,0.5000000001\n", True),
        (b"kl,win_rate\n0.1,0.5\n", b"kl,win_rate\n0.1,0.500000001\n", False),
        (b"n,best_exponent\n4,12.633825\n", b"n,best_exponent\n4,12.63385\n", False),
        (b"kl,win_rate\n0.1,0.5\n", b"kl,v\n0.1,0.5\n", False),
        (b"kl,win_rate\n0.1,0.5\n", b"kl,win_rate\n0.1,0.5\n0.2,0.6\n", False),
        (b"\xff", b"kl\n", False),
    ],
)
def test_numbers_that_agree_to_their_last_digit(old: bytes, new: bytes, same: bool) -> None:
    assert same_numbers(old, new) is same


@pytest.mark.slow
def test_reproducing_again_leaves_files_as_they_are(tmp_path: Path) -> None:
    [first] = reproduce(tmp_path, [CHEAP])
    assert first.unchanged == ()
    table = tmp_path / f"{CHEAP}.csv"
    lines = table.read_text().splitlines(keepends=True)
    assert lines[700].endswith("\n")
    head, _, number = lines[700].strip().rpartition(",")
    lines[700] = f"{head},{float(number) * (1 + 1e-9):.10g}\n"  # another machine's last digit
    table.write_text("".join(lines))
    before = table.read_bytes()
    [again] = reproduce(tmp_path, [CHEAP])
    assert again.unchanged == again.files
    assert table.read_bytes() == before
    lines[700] = f"{head},{float(number) + 1e-6}\n"
    table.write_text("".join(lines))
    [mended] = reproduce(tmp_path, [CHEAP])
    assert table not in mended.unchanged
    assert float(table.read_text().splitlines()[700].rpartition(",")[2]) == float(number)


def test_plots_draw_on_the_axes_given() -> None:
    ax = mpl.figure.Figure().subplots()
    curve = frontier("exp:10", "bon:4", kl=[1.0, 0.1, 0.5])
    assert curve.plot(ax, label="mine") is ax
    [line] = ax.get_lines()
    assert line.get_label() == "mine"
    np.testing.assert_array_equal(line.get_xdata(), [0.1, 0.5, 1.0])
    np.testing.assert_array_equal(line.get_ydata(), curve.win_rate[[1, 2, 0]])
    best = frontier("optimal", "bon:4", kl=[1.0, 0.1, 0.5])
    regret = plotting.plot_regret([curve], best, mpl.figure.Figure().subplots())
    np.testing.assert_array_equal(
        regret.get_lines()[0].get_ydata(), (best.win_rate - curve.win_rate)[[1, 2, 0]]
    )
    from_zero = (
        frontier("exp:10", "bon:4", kl=[0.0, 0.5]),
        frontier("optimal", "bon:4", kl=[0.0, 0.5]),
    )
    axes = plotting.plot_regret([from_zero[0]], from_zero[1], mpl.figure.Figure().subplots())
    assert np.isnan(axes.get_lines()[0].get_ydata()).tolist() == [True, False]
    elsewhere = frontier("optimal", "won:4", kl=curve.kl)
    with pytest.raises(InputError, match="same kl and procedure"):
        plotting.plot_regret([curve], elsewhere, mpl.figure.Figure().subplots())


def test_transforms_without_scale_are_refused() -> None:
    for name in ("log", "logit"):
        with pytest.raises(InputError, match="finite and different"):
            plotting.plot_transforms([name], mpl.figure.Figure().subplots())
    with pytest.raises(InputError, match="finite and different"):
        plotting.plot_transforms([Expression("u*(1-u)")], mpl.figure.Figure().subplots())


@drawn
def test_divergences_have_the_published_win_rates_and_methods_group_by_law(
    drawings: dict[str, Drawing],
) -> None:
    rows = drawings["divergences"].tables[""].rows
    assert {row[1] for row in rows} == {"kl", "forward-kl", "chi2", "js"}
    assert all(row[-1] >= 0.0 for row in rows)
    # chi-squared at k: f = 2 (u - a) / (1 - a)^2 once it has a support edge
    effective = drawings["divergences"].tables["-effective-transforms"].rows
    u = np.array([row[2] for row in effective if row[1] == "chi2"])
    log_f = np.array([row[3] for row in effective if row[1] == "chi2"])
    c = 2.0 / np.exp(1.0)  # log(2/c) - 1/2 = 1/2
    assert log_f == pytest.approx(np.log(2.0 * (u - 1.0 + c) / c**2), abs=1e-8)
    won = {row[1]: row[6] for row in drawings["methods"].tables[""].rows if row[4] == "bon:4"}
    assert won["grpo-k3"] == pytest.approx(0.8581602731, abs=1e-9)
    assert won["rloo"] == won["ppo"]
