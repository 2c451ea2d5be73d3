"""What finite calibration costs: fresh against re-used base samples."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes

from infalign_theory.figures.spec import Drawing, Table, canvas, shared_legend
from infalign_theory.optima.solve import optimum
from infalign_theory.policies.alignment import align
from infalign_theory.policies.win_rates import win_rate
from infalign_theory.training.cost import calibration_cost
from infalign_theory.training.rank_rewards import best_rewards, fresh_transform
from infalign_theory.transforms.bernstein import Bernstein

BUDGET, PROCEDURE, TRANSFORM = 0.5, "bon:4", "exp:10"
SAMPLES = (4, 8, 16, 32, 64, 128)
_DRAWN = 4  # decimals of a simulated number that another machine gives again
_LOOKS = {
    "fresh, exp(10u) of ranks": ("#0072b2", "-", "o"),
    "fresh, best rank rewards": ("#009e73", "-.", "^"),
    "re-used, exp(10u) of ranks": ("#d55e00", "--", "s"),
    "re-used, exp(10u) pooled (normal rewards)": ("#cc79a7", ":", "D"),
}


def calibration() -> Drawing:
    """Regret against the number of base samples a prompt, and what training sees of exp(10u)."""
    table = Table(("panel", "rewards", "samples", "u", "value", "stderr"))
    figure = canvas(
        5.4, f"Calibration by K base samples a prompt: Best-of-4 at KL = {BUDGET:g} nats"
    )
    axes = [figure.add_axes((0.085 + 0.5 * i, 0.33, 0.4, 0.52)) for i in range(2)]
    _regrets(axes[0], table)
    _seen(axes[1], table)
    shared_legend(figure, (0.04, 0.01, 0.92, 0.2), axes, columns=2)
    return Drawing(figure, {"": table})


def _regrets(ax: Axes, table: Table) -> None:
    series = dict(
        zip(_LOOKS, (_fresh(), _best(), _reused("ranks"), _reused("pooled")), strict=True)
    )
    for name, points in series.items():
        color, line, marker = _LOOKS[name]
        k, value, error = (np.array(part, dtype=float) for part in zip(*points, strict=True))
        ax.errorbar(k, value, yerr=error, color=color, linestyle=line, marker=marker, label=name)
        table.rows.extend(
            ("Regret", name, int(n), None, v, e or None)
            for n, v, e in zip(k, value.tolist(), error.tolist(), strict=True)
        )
    ax.set_xscale("log")
    ax.set_yscale("log")
    ax.set_ylim(1e-7, 0.2)
    ax.set_xticks(SAMPLES, [str(k) for k in SAMPLES])
    ax.minorticks_off()
    ax.set_xlabel("K (base samples a prompt)")
    ax.set_ylabel("Regret in win rate")
    ax.set_title("Win rate lost against the optimum")


def _fresh() -> list[tuple[int, float, float]]:
    return [
        (k, calibration_cost(TRANSFORM, PROCEDURE, kl=BUDGET, samples=k).regret, 0.0)
        for k in SAMPLES
    ]


def _best() -> list[tuple[int, float, float]]:
    best = optimum(PROCEDURE, kl=BUDGET).win_rate
    rewards = {k: best_rewards(PROCEDURE, kl=BUDGET, samples=k) for k in SAMPLES[:3]}
    won = {k: win_rate(align(Bernstein(a), kl=BUDGET), PROCEDURE) for k, a in rewards.items()}
    return [(k, round(best - value, 8), 0.0) for k, value in won.items()]


def _reused(method: str) -> list[tuple[int, float, float]]:
    out = []
    for k in SAMPLES:
        found = calibration_cost(
            TRANSFORM, PROCEDURE, kl=BUDGET, samples=k, reuse=True, method=method
        )
        out.append((k, round(found.regret, _DRAWN), round(found.stderr, _DRAWN)))
    return out


def _seen(ax: Axes, table: Table) -> None:
    u = np.linspace(0.5, 1.0, 101)
    for k, shade, line in ((4, "#9a9a9a", ":"), (8, "#6f6f6f", "-."), (32, "#3f3f3f", "--")):
        values = fresh_transform(TRANSFORM, k)(u) / np.exp(10.0)
        ax.plot(u, values, color=shade, linestyle=line, label=f"mean reward, K = {k} fresh")
        table.rows.extend(
            ("Mean reward", f"fresh, K = {k}", k, float(x), float(y), None)
            for x, y in zip(u, values, strict=True)
        )
    ax.plot(u, np.exp(10.0 * (u - 1.0)), color="#d55e00", label="exp(10u) itself")
    ax.set_xlim(0.5, 1.0)
    ax.set_xlabel("True calibrated reward u")
    ax.set_ylabel("Mean reward, exp(10) = 1")
    ax.set_title("What training sees")
