"""A run is asked for by beta or by KL, never by both."""

from __future__ import annotations

from infalign_theory.checks import plain_number, real
from infalign_theory.errors import InputError

SMALLEST_KL = 1e-100


def budget(beta: float | None, kl: float | None) -> tuple[float | None, float]:
    """Exactly one of beta > 0 and kl >= 0, as numbers; the other None and 0."""
    if (beta is None) == (kl is None):
        given = "neither" if beta is None else "both"
        raise InputError(f"{given} of beta and kl given; give exactly one, as in kl=0.5.")
    if beta is None:
        nats = real(kl, "kl", "a KL budget in nats, at least 0")
        if nats < 0.0:
            raise InputError(f"kl = {plain_number(nats)} is negative; give nats, at least 0.")
        if 0.0 < nats < SMALLEST_KL:
            raise InputError(
                f"kl = {nats!r} is too small to be told from 0; give 0 or at least {SMALLEST_KL}."
            )
        return None, nats
    allowed = "a finite positive number (for the base policy itself use kl=0)"
    number = real(beta, "beta", allowed)
    if number <= 0.0 or number < 1e-300:
        raise InputError(f"beta = {plain_number(number)} is not allowed; give {allowed}.")
    return number, 0.0
