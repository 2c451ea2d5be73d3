"""Calibrated rewards from base samples, for training and for streaming use while it runs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import Enum
from functools import cached_property
from inspect import iscoroutinefunction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from infalign_theory.checks import numbers
from infalign_theory.errors import InputError
from infalign_theory.training.choosing import best_anchor, tail_scores
from infalign_theory.training.laws import Law, Pooled
from infalign_theory.training.pooling import Anchor
from infalign_theory.training.samples import BaseSamples
from infalign_theory.training.uniformity import Uniformity
from infalign_theory.typing import Array, BoolArray

