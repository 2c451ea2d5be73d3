"""A proxy that is hacked near its top."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from infalign_theory.checks import plain_number, real
from infalign_theory.errors import InputError
from infalign_theory.proxies.core import Copula
from infalign_theory.quadrature.points import Points
from infalign_theory.typing import Array


@dataclass(frozen=True)
class Contaminated(Copula):
    """A share of the samples above some proxy reward is hacked: worse than every honest one.

    A sample with u above ``from_u`` is hacked with probability ``share``. By truth a hacked sample
    loses to every honest one and ties with the other hacked ones; the truth of honest samples
    follows ``base``.

    Parameters
    ----------
    base : Copula
        The law of the honest samples; itself possibly contaminated.
    share : float
        In [0, 1].
    from_u : float
        In [0, 1): the calibrated proxy reward above which samples are hacked.

    Examples
    --------
    >>> from infalign_theory.proxies import Gaussian
    >>> Contaminated(Gaussian(0.7), share=0.5, from_u=0.99).name
    'contaminated:gaussian:0.7;share=0.5;from_u=0.99'
    """

    base: Copula
    share: float
    from_u: float

    def __post_init__(self) -> None:
        if not isinstance(self.base, Copula):
            raise InputError(
                f"base = {self.base!r:.60} is not a copula; give the law of the honest samples, "
                "such as Gaussian(0.7)."
            )
        share = real(self.share, "share", "a share in [0, 1]")
        from_u = real(self.from_u, "from_u", "a calibrated reward in [0, 1)")
        if not 0.0 <= share <= 1.0:
            raise InputError(f"share = {plain_number(share)} is not allowed; give one in [0, 1].")
        if not 0.0 <= from_u < 1.0:
            raise InputError(f"from_u = {plain_number(from_u)} is not allowed; give one in [0, 1).")
        object.__setattr__(self, "share", share)
        object.__setattr__(self, "from_u", from_u)

    @property
    def name(self) -> str:
        return (
            f"contaminated:{self.base.name};share={plain_number(self.share)};"
            f"from_u={plain_number(self.from_u)}"
        )

    @property
    def increasing(self) -> bool:
        # hacking everything alike from the bottom on does not depend on u
        return self.base.increasing and (self.share == 0.0 or self.from_u == 0.0)

    @property
    def cuts(self) -> tuple[float, ...]:
        return (*self.base.cuts, *((self.from_u,) if self.from_u > 0.0 else ()))

    def hacked(self, u: Points) -> Array:
        own = np.where(u.u > self.from_u, self.share, 0.0)
        return np.asarray(own + (1.0 - own) * self.base.hacked(u))

    def conditional(self, v: Points, u: Points) -> Array:
        own = np.where(u.u > self.from_u, self.share, 0.0)
        return np.asarray(own + (1.0 - own) * self.base.conditional(v, u))
