"""From base scores to trained models of sentences and back: predicted before, validated after.

    python examples/ctrl/sentence_run.py [--out examples/ctrl/sentences] [--steps 300] [--seeds 3]
    python examples/ctrl/sentence_run.py --report     # judge the scores that stand there again

Needs the extra ``train``. Every arm starts at the beta that ``infalign_theory.training.settings``
gives and is steered to the same KL; runs whose scores are there already are not trained again.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from infalign_theory.training import Calibrator, settings

KL = 0.3  # nats, of every arm
CALIBRATION = 512  # base samples a prompt that rewards are calibrated by
JUDGED = 256  # samples a prompt of every policy, the base's apart from those
ABOVE, FALL = 4.0, 0.25  # beta starts so many times higher, for that part of the steps
PAIRS = 1000  # compared sentences a prompt, for the reward model
KEPT = Path(__file__).parent / "sentences"


@dataclass(frozen=True)
class Arm:
    """One way to train; ``transform`` is None for the raw reward.

    ``tuned`` times theory's beta is where a run starts, after pilot runs of the identity and of
    -exp(-10u) on a seed of their own, which is not reported.
    """

    name: str
    transform: str | None
    trainer: str = "trl-grpo"
    choices: dict[str, Any] = field(default_factory=dict)
    steps: int | None = None  # where not those of all
    batch: int = 256
    width: int = 64
    seeds: int | None = None
    tuned: float = 0.75


ARMS = (
    Arm("identity", "identity", tuned=0.75),
    Arm("exp-10", "exp:-10", tuned=1.6),
    Arm("exp10", "exp:10", tuned=0.8),
    Arm("raw", None, tuned=0.75),
    Arm("optimal", "optimal@bon:4", tuned=0.8),
    Arm("log", "log", tuned=0.8),
    Arm("rloo-identity", "identity", "trl-rloo", seeds=1, tuned=0.75),
    Arm("rloo-exp10", "exp:10", "trl-rloo", seeds=1, tuned=0.8),
)
# the same for twice the steps
LONG = tuple(replace(arm, name=f"{arm.name}-600", steps=600) for arm in ARMS[:4])
# how far from the prediction the identity ends, and why: one thing at a time is changed
STUDY = (
    Arm("steps-30", "identity", steps=30),
    Arm("steps-75", "identity", steps=75),
    Arm("batch-64", "identity", batch=64),
    Arm("batch-1024", "identity", batch=1024),
    Arm("width-16", "identity", width=16),
    Arm("width-128", "identity", width=128),
)


class Workshop:
    """What is made once: the world, base models, the reward model, and the calibration.

    Models are kept in a folder, so that a run cut short goes on where it was.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def kept(self, name: str, make: Callable[[], Any]) -> Any:
        """What stands in the folder under a name, or made and put there."""
        import torch

        path = self.folder / f"{name}.pt"
        if not path.exists():
            started = time.perf_counter()
            made = make()
            self.folder.mkdir(parents=True, exist_ok=True)
            torch.save(made, path)
            told(name, started)
        return torch.load(path, weights_only=False)

    @cached_property
    def world(self) -> Any:
        """The law of sentences and the gold reward."""
        from sentences import World

        return World.make()

    @cached_property
    def bases(self) -> dict[int, Any]:
        """Base models by width."""
        return {}

    def base(self, width: int = 64) -> Any:
        """The base model of that width, fitted to the corpus."""
        from sentences import base_model

        if width not in self.bases:
            self.bases[width] = self.kept(
                f"base-{width}", lambda: base_model(self.world, width=width, steps=600)
            )
        return self.bases[width]

    @cached_property
    def judge(self) -> Any:
        """The reward model: what policies are trained on and judged by."""
        from sentences import PROMPTS, RewardModel

        prompts = np.repeat(np.tile(np.arange(PROMPTS), PAIRS), 2)
        said = self.world.sentences(prompts, np.random.default_rng(5))
        return self.kept("reward-model", lambda: RewardModel.fit(self.world, prompts, said))

    def scores(self, model: Any, count: int, seed: int, width: int = 64) -> pd.DataFrame:
        """Samples of a model: prompt, proxy reward, gold reward, log pi/pi_ref."""
        from sentences import PROMPT_TEXTS, log_ratios, sample

        prompts, tokens = sample(model, count, seed)
        return pd.DataFrame(
            {
                "prompt": np.array(PROMPT_TEXTS)[prompts],
                "reward": self.judge.score(prompts, tokens).round(4),
                "gold": self.world.gold(prompts, tokens).round(2),
                "log_ratio": log_ratios(model, self.base(width), prompts, tokens).round(3)
                if model is not self.base(width)
                else 0.0,
            }
        )

    @cached_property
    def calibrations(self) -> dict[int, pd.DataFrame]:
        """Base samples for calibration by width."""
        return {}

    def calibration(self, width: int = 64) -> pd.DataFrame:
        """Base samples that rewards are calibrated by, never those that policies are judged by."""
        if width not in self.calibrations:
            self.calibrations[width] = self.kept(
                f"calibration-{width}",
                lambda: self.scores(self.base(width), CALIBRATION, 11, width),
            )
        return self.calibrations[width]


class Raw:
    """The reward as it is, over one scale for all prompts, as RLHF is practised."""

    __name__ = "raw"

    def __init__(self, judge: Any, scale: float) -> None:
        self.judge, self.scale = judge, scale

    def __call__(self, prompts: Any, completions: Any, **columns: object) -> list[float]:
        """Rewards of a batch."""
        return [value / self.scale for value in self.judge(prompts, completions)]


def told(what: str, started: float) -> None:
    """Progress on standard error."""
    sys.stderr.write(f"{what}: {time.perf_counter() - started:.0f} s\n")
    sys.stderr.flush()


def steered(beta: float, steps: int) -> tuple[Any, Callable[[Any], None]]:
    """A callback that moves a trainer's beta until KL is what was asked for, and its binding.

    Theory's beta is for a model of any capacity that has converged; one of 10^5 parameters spends
    another KL at it. Arms are compared at equal KL, so each finds its own beta, slower and slower.
    Over the first quarter beta falls from four times where it starts: a policy that overshoots
    spends KL in directions that it hardly finds back from.
    """
    from transformers import TrainerCallback

    held: dict[str, Any] = {"log": np.log(beta)}

    class Steering(TrainerCallback):
        """Multiplies beta by a power of KL over its target."""

        def on_log(
            self, args: object, state: Any, control: object, logs: Any = None, **given: object
        ) -> None:
            """After every few steps."""
            if not logs or "kl" not in logs:
                return
            done = state.global_step / steps
            nats = float(logs["kl"]) * float(logs["completions/mean_length"])
            if done > FALL:
                gap = float(np.clip(np.log(max(nats, 1e-3) / KL), -0.5, 0.5))
                held["log"] += gap * (0.3 * (1.0 - done) + 0.08)
            above = max(0.0, 1.0 - done / FALL) * np.log(ABOVE)
            held["trainer"].beta = float(np.exp(held["log"] + above))

    return Steering(), lambda trainer: held.__setitem__("trainer", trainer)


def trained(shop: Workshop, arm: Arm, seed: int, steps: int) -> tuple[Any, float, float]:
    """A trained model, theory's beta, and the one it ended with."""
    from sentences import train

    base = shop.base(arm.width)
    chosen = "identity" if arm.transform is None else arm.transform
    if arm.transform is None:
        spread = shop.calibration().groupby("prompt")["reward"].std()
        reward: Any = Raw(shop.judge, float(np.sqrt((spread**2).mean() * 12.0)))
    else:
        cal = Calibrator.fit(
            shop.calibration(arm.width), tail="lower" if arm.transform == "exp:-10" else "upper"
        )
        chosen = transform_of(arm)
        reward = cal.reward_function(shop.judge, transform=chosen)
    found = settings(chosen, kl=KL, trainer=arm.trainer, **arm.choices)
    theirs = arm.steps or steps
    start = arm.tuned * found.arguments["beta"]
    steering, bind = steered(start, theirs)
    model, trainer = train(
        base,
        reward,
        arm.trainer,
        dict(found.arguments) | {"beta": ABOVE * start},
        steps=theirs,
        batch=arm.batch,
        seed=seed,
        callbacks=[steering],
        bind=bind,
    )
    return model, float(found.arguments["beta"]), float(trainer.beta)


def transform_of(arm: Arm) -> Any:
    """The transform, for the optimum that of the coupled equation at this KL."""
    import infalign_theory as it

    if arm.transform is not None and arm.transform.startswith("optimal@"):
        return it.optimum(arm.transform.partition("@")[2], kl=KL).transform
    return arm.transform


def run(shop: Workshop, arm: Arm, seed: int, steps: int, folder: Path) -> None:
    """One run, its scores on disk; nothing where they stand already."""
    path = folder / f"{arm.name}-{seed}.parquet"
    if path.exists():
        return
    beside = folder / f"base-{arm.width}.parquet"
    if not beside.exists():
        base = shop.scores(shop.base(arm.width), JUDGED, 99, arm.width)
        base.to_parquet(beside, compression="zstd")
    started = time.perf_counter()
    model, asked, ended = trained(shop, arm, seed, steps)
    scores = shop.scores(model, JUDGED, 100 + seed, arm.width)
    scores["beta_asked"], scores["beta_ended"] = asked, ended
    scores.to_parquet(path, compression="zstd")
    told(f"{path.stem}, {scores['log_ratio'].mean():.3f} nats, beta {asked:.3f}->{ended:.3f}",
         started)  # fmt: skip


def main() -> None:
    """Train what is missing, then judge all of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=KEPT)
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--only", nargs="*", default=[arm.name for arm in (*ARMS, *LONG, *STUDY)])
    parser.add_argument("--report", action="store_true", help="train nothing")
    given = parser.parse_args()
    folder = given.out / "scores"
    folder.mkdir(parents=True, exist_ok=True)
    if not given.report:
        import torch

        torch.set_num_threads(1)
        shop = Workshop(given.out / "models")
        for seed in range(1, given.seeds + 1):
            for arm in (*ARMS, *LONG):
                if arm.name in given.only and seed <= (arm.seeds or given.seeds):
                    run(shop, arm, seed, given.steps, folder)
        for arm in STUDY:
            if arm.name in given.only:
                run(shop, arm, 1, given.steps, folder)
    from sentence_report import judge

    judge(folder, given.out)


if __name__ == "__main__":
    main()
