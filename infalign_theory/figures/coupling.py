"""What the coupling of transform and policy costs: the wrong N, and the wrong branch."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import PowerNorm
from matplotlib.image import AxesImage
from scipy.special import logit

from infalign_theory.comparison.frontiers import OPTIMAL, OPTIMAL_FOR, frontier
from infalign_theory.figures.spec import Drawing, Table, canvas, shared_legend
from infalign_theory.optima.discrete import DiscreteProblem
from infalign_theory.optima.iteration import Options, iterate_atoms
from infalign_theory.optima.solutions import Solution
from infalign_theory.optima.spending import Branch
from infalign_theory.plotting.style import minus
from infalign_theory.policies.base import Discrete
from infalign_theory.policies.discrete import DiscretePolicy
from infalign_theory.procedures import WorstOfN
from infalign_theory.typing import Array

SIZES = (1, 2, 4, 8, 16, 32)
BUDGET = 0.5
TOP, N = 0.3, 8
BETAS = (8e-3, 2.0)
BEST, OTHER, SADDLE = minus("maximum of W - β KL"), "another maximum", "not a maximum"
FOLLOWED = "damped iteration from the base"


def mismatch() -> Drawing:
    """Heat maps of the win rate lost by training for one N and deploying at another."""
    table = Table(
        ("panel", "procedure", "trained_n", "deployed_n", "kl", "win_rate", "optimal", "regret")
    )
    figure = canvas(4.6, f"The cost of training for the wrong N, at KL = {BUDGET:g} nats")
    left, width, height = 0.07, 0.345, 0.66
    for column, (kind, title) in enumerate((("bon", "Best-of-N"), ("won", "Worst-of-N"))):
        regret = _regrets(kind, title, table)
        ax = figure.add_axes((left + column * (width + 0.09), 0.14, width, height))
        image = _heat_map(ax, regret, title)
    bar = figure.colorbar(image, cax=figure.add_axes((0.895, 0.14, 0.018, height)))
    bar.set_label("Regret in win rate")
    return Drawing(figure, {"": table})


def _regrets(kind: str, title: str, table: Table) -> Array:
    regret = np.empty((len(SIZES), len(SIZES)))
    for j, deployed in enumerate(SIZES):
        procedure = f"{kind}:{deployed}"
        best = float(frontier(OPTIMAL, procedure, kl=[BUDGET]).win_rate[0])
        for i, trained in enumerate(SIZES):
            policy = frontier(f"{OPTIMAL_FOR}{kind}:{trained}", procedure, kl=[BUDGET])
            won = float(policy.win_rate[0])
            regret[i, j] = best - won
            table.rows.append((title, kind, trained, deployed, BUDGET, won, best, best - won))
    return regret


def _heat_map(ax: Axes, regret: Array, title: str) -> AxesImage:
    # a root scale: most of the interest lies in small regrets
    image = ax.imshow(regret, cmap="cividis", norm=PowerNorm(0.5, 0.0, 0.2), origin="lower")
    for (i, j), value in np.ndenumerate(regret):
        shade = "black" if value > 0.06 else "white"
        text = "0" if value < 5e-5 else f"{value:.4f}" if value < 0.001 else f"{value:.3f}"
        ax.text(j, i, text.lstrip("0") or "0", ha="center", va="center", color=shade, fontsize=10)
    ax.set_xticks(range(len(SIZES)), [str(n) for n in SIZES])
    ax.set_yticks(range(len(SIZES)), [str(n) for n in SIZES])
    ax.set_xlabel("Deployed N")
    ax.set_ylabel("Trained N")
    ax.set_title(title)
    ax.grid(visible=False)
    return image


def phase_transition() -> Drawing:
    """Every branch of the two-reward Worst-of-N problem, and the one an iteration follows."""
    problem = DiscreteProblem(Discrete([1.0 - TOP, TOP]), WorstOfN(N), WorstOfN(N))
    branches = _branches(problem)
    betas = np.geomspace(*BETAS, 25)
    followed = [_iterated(problem, float(beta)) for beta in betas]
    table = Table(("panel", "branch", "beta", "top_mass", "kl", "win_rate", "objective"))
    figure = canvas(
        4.9, f"Two rewards, Worst-of-{N}: the optimum jumps, a damped iteration does not"
    )
    axes = [figure.add_axes((0.075 + 0.5 * i, 0.27, 0.41, 0.56)) for i in range(2)]
    styles: dict[str, dict[str, Any]] = {
        BEST: {"color": "black", "linewidth": 2.2},
        OTHER: {"color": "#6f6f6f", "linestyle": "--", "linewidth": 1.8},
        SADDLE: {"color": "#9a9a9a", "linestyle": ":", "linewidth": 1.8},
    }
    for name, parts in branches.items():
        for number, part in enumerate(parts):
            x = [s.policy.beta for s in part]
            for ax, y in zip(axes, (_objectives(part), _tops(part)), strict=True):
                ax.plot(x, y, label=name if number == 0 else None, **styles[name])
            table.rows.extend(_row(name, s) for s in part)
    for ax, y in zip(axes, (_objectives(followed), _tops(followed)), strict=True):
        ax.plot(betas, y, "o", color="#d55e00", markersize=5, label=FOLLOWED)
        ax.set_xscale("log")
        ax.set_xlim(*BETAS)
        ax.set_xlabel("β")
    table.rows.extend(_row(FOLLOWED, s) for s in followed)
    axes[0].set_ylabel(minus("Objective W - β KL"))
    axes[0].set_ylim(0.3, 1.02)
    axes[1].set_ylabel("Policy: mass of the better reward")
    shared_legend(figure, (0.05, 0.0, 0.9, 0.13), axes, columns=2)
    return Drawing(figure, {"": table})


def _branches(problem: DiscreteProblem) -> dict[str, list[list[Solution[DiscretePolicy]]]]:
    """The curve of all solutions, by the mass of the top atom, cut where its kind changes."""
    masses = np.concatenate([TOP + np.geomspace(1e-6, 0.1, 120), np.linspace(0.401, 0.98, 150)])
    logits = np.concatenate(
        [logit(masses), np.linspace(3.95, 30.0, 300), np.linspace(31.0, 690.0, 300)]
    )
    near = float(np.log(1.0 / BETAS[1]))
    branch = Branch(problem)
    curve = []
    for x in logits:
        solution = branch.at_end(float(x), near)
        if solution is None:
            break
        near = float(np.log(solution.policy.tilt.k))
        curve.append(solution)
    out: dict[str, list[list[Solution[DiscretePolicy]]]] = {BEST: [], OTHER: [], SADDLE: []}
    previous = ""
    for before, after in pairwise(curve):
        name = _kind(problem, before, after)
        if name != previous:
            out[name].append([before])
        out[name][-1].append(after)
        previous = name
    return out


def _kind(
    problem: DiscreteProblem, before: Solution[DiscretePolicy], after: Solution[DiscretePolicy]
) -> str:
    if after.policy.beta > before.policy.beta:  # more mass for a larger beta: the unstable branch
        return SADDLE
    best = problem.best(after.policy.tilt.k)
    same = abs(best.objective - after.objective) <= 1e-9
    return BEST if same else OTHER


def _iterated(problem: DiscreteProblem, beta: float) -> Solution[DiscretePolicy]:
    run = iterate_atoms(problem, beta, Options())
    return problem.solution(1.0 / beta, run.log_density, True)


def _objectives(solutions: list[Solution[DiscretePolicy]]) -> list[float]:
    return [s.objective for s in solutions]


def _tops(solutions: list[Solution[DiscretePolicy]]) -> list[float]:
    return [float(s.policy.probs[-1]) for s in solutions]


def _row(
    name: str, s: Solution[DiscretePolicy]
) -> tuple[str, str, float, float, float, float, float]:
    top = float(s.policy.probs[-1])
    return "both", name, s.policy.beta, top, s.kl, s.win_rate, s.objective
