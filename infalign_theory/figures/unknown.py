"""Training for an N that is not known."""

from __future__ import annotations

from functools import cache

from matplotlib.axes import Axes

from infalign_theory.comparison.frontiers import OPTIMAL
from infalign_theory.figures.spec import Drawing, Table, canvas
from infalign_theory.optima.robust import Robust, robust
from infalign_theory.optima.solve import optimum
from infalign_theory.plotting.style import (
    BLACK,
    DASHED,
    DOTTED,
    GREY,
    ORANGE,
    PURPLE,
    style_of,
)
from infalign_theory.policies.alignment import align
from infalign_theory.policies.core import Policy
from infalign_theory.policies.win_rates import win_rate

KL = 0.5
PROCEDURES = ("standard", "bon:2", "bon:4", "bon:8", "bon:16", "bon:32")
SHOWN_N = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64)
BEST_SINGLE = "exp:11.16"  # of all exponentials the smallest worst regret over these procedures
PAIR = ("bon:8", "won:8")
_PRIORS = (1.0, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1, 0.0)
_CERTAIN = 9  # decimals: the solver stops at about 1e-12


@cache
def _robust() -> Robust:
    return robust(PROCEDURES, kl=KL)


def unknown_n() -> Drawing:
    """Regret by N of one robust policy and of policies made for one N; helpful against safe."""
    figure = canvas(4.3, f"One policy where N is not known, at {KL:g} nats")
    grid = figure.add_gridspec(
        1, 2, left=0.085, right=0.985, bottom=0.13, top=0.86, wspace=0.25, width_ratios=(1.25, 1.0)
    )
    left, right = (figure.add_subplot(grid[0, at]) for at in (0, 1))
    return Drawing(figure, {"": _regrets(left), "-helpful-and-safe": _helpful_and_safe(right)})


def _regrets(ax: Axes) -> Table:
    table = Table(("policy", "n", "win_rate", "optimal", "regret"))
    robustly = _robust()
    single = style_of("exp:10").line(0) | {"label": "best exponential, exp(11.16u)"}
    four: dict[str, object] = {"color": ORANGE, "linestyle": DASHED, "marker": "s"}
    many: dict[str, object] = {"color": PURPLE, "linestyle": DOTTED, "marker": "D"}
    lines: list[tuple[str, Policy, dict[str, object]]] = [
        ("optimal@bon:4", optimum("bon:4", kl=KL).policy, four | {"label": "optimum for N = 4"}),
        ("optimal@bon:32", optimum("bon:32", kl=KL).policy, many | {"label": "optimum for N = 32"}),
        (BEST_SINGLE, align(BEST_SINGLE, kl=KL), single | {"marker": "^"}),
        (
            "robust",
            robustly.policy,
            {"color": BLACK, "linewidth": 2.2, "marker": "o", "label": "robust policy"},
        ),
    ]
    best = [optimum(f"bon:{n}", kl=KL).win_rate for n in SHOWN_N]
    for name, policy, style in lines:
        won = [win_rate(policy, f"bon:{n}") for n in SHOWN_N]
        lost = [round(b - w, _CERTAIN) for b, w in zip(best, won, strict=True)]
        for n, w, b, r in zip(SHOWN_N, won, best, lost, strict=True):
            table.rows.append((name, n, round(w, _CERTAIN), round(b, _CERTAIN), r))
        ax.plot(SHOWN_N, lost, markersize=4.5, **style)  # type: ignore[arg-type]
    ax.axhline(
        robustly.lower_bound,
        color=GREY,
        linewidth=1.0,
        zorder=1,
        label="no policy keeps all regrets lower",
    )
    ax.set_xscale("log", base=2)
    ax.set_xticks([1, 2, 4, 8, 16, 32, 64], ["1", "2", "4", "8", "16", "32", "64"])
    ax.set(xlabel="N of Best-of-N at inference", ylabel="Regret in win rate", ylim=(-0.005, 0.24))
    ax.legend(loc="upper right", borderaxespad=0.0)
    return table


def _helpful_and_safe(ax: Axes) -> Table:
    """Best-of-8 win rate against Worst-of-8 win rate, over all priors on the two."""
    table = Table(("prior_best_of_8", "best_of_8", "worst_of_8"))
    for prior in _PRIORS:
        found = robust(PAIR, kl=KL, weights=(prior, 1.0 - prior))
        table.rows.append((prior, *(round(w, _CERTAIN) for w in found.win_rates)))
    points = [(float(row[1] or 0.0), float(row[2] or 0.0)) for row in table.rows]
    ax.plot(*zip(*points, strict=True), color=BLACK, marker="o", markersize=4.5)
    for name, offset in (("identity", (6, -12)), ("exp:10", (-56, -3)), ("exp:-10", (6, -12))):
        policy = align(name, kl=KL)
        place = (win_rate(policy, PAIR[0]), win_rate(policy, PAIR[1]))
        style = style_of(name)
        ax.plot(*place, style.marker, color=style.color)
        ax.annotate(style.label, place, xytext=offset, textcoords="offset points", fontsize=9.0)
    ax.set(xlabel="Best-of-8 win rate (helpful)", ylabel="Worst-of-8 win rate (safe)")
    ax.set_title(f"{OPTIMAL.capitalize()} trade-off", fontsize=10.5)
    return table
