"""From theory to a training run: calibrated rewards, what they cost, and trainers' settings.

Names load when first used: settings alone need no optimiser and no calibration.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import lazy_loader  # type: ignore[import-untyped]

if TYPE_CHECKING:
    from infalign_theory.training.adapters import openrlhf_reward_func, verl_compute_score
    from infalign_theory.training.calibrator import Calibrator
    from infalign_theory.training.cost import CalibrationCost, calibration_cost, cost_table
    from infalign_theory.training.monitor import Progress, callback, progress
    from infalign_theory.training.penalties import GroupScaling
    from infalign_theory.training.rank_rewards import (
        best_rewards,
        exponential_rewards,
        fresh_transform,
        power_rewards,
    )
    from infalign_theory.training.reward_functions import RewardFunction
    from infalign_theory.training.trainers import Settings, settings
    from infalign_theory.transforms.bernstein import Bernstein

__getattr__, __dir__, _ = lazy_loader.attach(
    __name__,
    submod_attrs={
        "adapters": ["openrlhf_reward_func", "verl_compute_score"],
        "calibrator": ["Calibrator"],
        "cost": ["CalibrationCost", "calibration_cost", "cost_table"],
        "monitor": ["Progress", "callback", "progress"],
        "penalties": ["GroupScaling"],
        "rank_rewards": [
            "Bernstein",
            "best_rewards",
            "exponential_rewards",
            "fresh_transform",
            "power_rewards",
        ],
        "reward_functions": ["RewardFunction"],
        "trainers": ["Settings", "settings"],
    },
)

__all__ = [
    "Bernstein",
    "CalibrationCost",
    "Calibrator",
    "GroupScaling",
    "Progress",
    "RewardFunction",
    "Settings",
    "best_rewards",
    "calibration_cost",
    "callback",
    "cost_table",
    "exponential_rewards",
    "fresh_transform",
    "openrlhf_reward_func",
    "power_rewards",
    "progress",
    "settings",
    "verl_compute_score",
]
