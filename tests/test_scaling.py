"""Beta on the scale where every transform runs from 0 to 1."""

import numpy as np
import pytest

import infalign_theory as it
from infalign_theory.policies.scaling import scaled_beta, transform_bounds
from infalign_theory.transforms import as_transform


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("identity", 1.0),
        ("power:7", 1.0),
        ("exp:10", np.expm1(10.0)),
        ("exp:-10", -np.expm1(-10.0)),
        ("expr:exp(10*u)", np.expm1(10.0)),
        ("expr:-u", 1.0),
        ("expr:u-u**2", 0.25),
        ("expr:u*log(u)", np.exp(-1.0)),
        ("expr:u**0.01", 1.0),
        ("expr:abs(u-0.37)**0.5", np.sqrt(0.63)),
        ("expr:sin(20*u)", 2.0),
        ("expr:3*step(u-0.5)", 3.0),
    ],
)
def test_the_size_of_a_transform(text, size):
    low, high = transform_bounds(as_transform(text))
    assert high - low == pytest.approx(size, rel=1e-8)


@pytest.mark.parametrize("text", ["log", "logit", "expr:log(u)", "expr:u-log(abs(u-0.37))*-1"])
def test_an_unbounded_transform_has_no_scaled_beta(text):
    assert transform_bounds(as_transform(text)) is None
    assert scaled_beta(as_transform(text), 0.5) is None


@pytest.mark.parametrize("text", ["exp:12", "exp:-8", "power:3", "expr:u**3+exp(2*u)"])
def test_the_scaled_transform_at_scaled_beta_is_the_same_policy(text):
    phi = as_transform(text)
    policy = it.align(phi, kl=0.4)
    low, high = transform_bounds(phi)
    again = it.align(
        it.Expression(f"({_formula(text)})*c", c=1.0 / (high - low)),
        beta=scaled_beta(phi, policy.beta),
    )
    assert again.kl == pytest.approx(0.4, rel=1e-9)


def _formula(text):
    head, _, tail = text.partition(":")
    if head == "exp":
        return f"{'-' if tail[0] == '-' else ''}exp({tail}*u)"
    return f"u**{tail}" if head == "power" else tail


def test_an_optimum_knows_its_own_scale():
    for procedure, base in [("bon:4", None), ("won:4", it.Discrete([0.2, 0.3, 0.5]))]:
        best = it.optimum(procedure, beta=0.2, base=base)
        at = np.array([0.0, 1.0]) if base is None else base.u[[0, -1]]
        ends = best.transform(at)
        assert scaled_beta(best.transform, 0.2) == pytest.approx(0.2 / (ends[1] - ends[0]))
