"""What every aligned policy offers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from html import escape

import numpy as np
from numpy.typing import ArrayLike

from infalign_theory.divergences import Divergence, ReverseKL
from infalign_theory.errors import InputError
from infalign_theory.policies.base import Base
from infalign_theory.transforms.core import Transform
from infalign_theory.typing import Array


@dataclass(frozen=True)
class Training:
    """What a policy was trained by: a transform, a divergence and its strength."""

    transform: Transform
    beta: float
    divergence: Divergence


class Policy(ABC):
    """An aligned policy, as the law of the calibrated reward of its samples; immutable.

    Attributes
    ----------
    transform : Transform
    divergence : Divergence
        What training was penalised by: reverse KL unless said.
    effective_transform : Transform
        The transform that leads to the same policy under reverse KL: log f, up to a scale and an
        offset; the transform itself under reverse KL.
    base : Continuous or Discrete
    beta : float
        Infinite for the base policy itself (kl = 0).
    kl : float
        KL(policy || base) in nats, whatever the divergence.
    """

    transform: Transform
    divergence: Divergence
    effective_transform: Transform
    base: Base
    beta: float
    kl: float
    _sealed = False

    def _seal(self, training: Training | None, tilted: Transform, k: float) -> None:
        """Note what the policy was trained by, and let nothing be changed from here on."""
        self.effective_transform = tilted
        known = training or Training(tilted, 1.0 / k if k > 0.0 else np.inf, ReverseKL())
        self.transform, self.beta = known.transform, known.beta
        self.divergence = known.divergence
        self._sealed = True

    def __setattr__(self, name: str, value: object) -> None:
        if self._sealed:
            raise AttributeError(f"a policy is immutable; {name} cannot be set. Align another one.")
        object.__setattr__(self, name, value)

    def __delattr__(self, name: str) -> None:
        raise AttributeError(f"a policy is immutable; {name} cannot be deleted.")

    @abstractmethod
    def mean(self) -> float:
        """Expected calibrated reward, in [0, 1]: the standard win rate on a continuous base."""

    @abstractmethod
    def std(self) -> float:
        """Standard deviation of the calibrated reward."""

    @abstractmethod
    def pdf(self, u: ArrayLike) -> Array:
        """Density f(u) relative to the base, at u in [0, 1]."""

    @abstractmethod
    def cdf(self, u: ArrayLike) -> Array:
        """F(u): probability that a sample's calibrated reward is at most u."""

    @abstractmethod
    def sf(self, u: ArrayLike) -> Array:
        """1 - F(u), accurate where it is small."""

    @abstractmethod
    def ppf(self, q: ArrayLike) -> Array:
        """Smallest u with F(u) >= q, at q in [0, 1]."""

    def rvs(
        self, size: int | tuple[int, ...] = 1, rng: np.random.Generator | int | None = None
    ) -> Array:
        """Calibrated rewards of independent samples.

        Parameters
        ----------
        size : int or tuple of int
        rng : numpy.random.Generator or int, optional
            A generator or a seed.
        """
        try:
            draws = np.random.default_rng(rng).random(size)
        except (TypeError, ValueError):
            raise InputError(
                f"size = {size!r}, rng = {rng!r}: give a whole size of at least 0 (or a tuple of "
                "them) and a numpy Generator or a whole seed."
            ) from None
        return self.ppf(draws)

    def __repr__(self) -> str:
        under = "" if self.divergence == ReverseKL() else f" under {self.divergence.name}"
        return f"<policy {self.transform.name}{under}: beta={self.beta:.6g}, kl={self.kl:.6g} nats>"

    def _repr_html_(self) -> str:
        rows = {
            "transform": self.transform.name,
            "divergence": self.divergence.name,
            "beta": f"{self.beta:.6g}",
            "KL (nats)": f"{self.kl:.6g}",
            "mean calibrated reward": f"{self.mean():.6g}",
        }
        cells = "".join(f"<tr><th>{k}</th><td>{escape(v)}</td></tr>" for k, v in rows.items())
        return f"<table>{cells}</table>"
