"""What people write: each text means what it says, or its message names the remedy."""

import itertools
import re

import numpy as np
import pytest

import infalign_theory as it
from infalign_theory.comparison.choices import Optimal, as_choice, as_choices
from infalign_theory.procedures.names import as_procedure
from infalign_theory.procedures.names import several as procedures
from infalign_theory.transforms.names import as_transform
from infalign_theory.transforms.names import several as transforms

PROCEDURES = {
    "best-of-4": "bon:4", "Best-of-4": "bon:4", "best of 4": "bon:4", "best_of_4": "bon:4",
    "BoN:4": "bon:4", "bon4": "bon:4", "bon 4": "bon:4", "bon-4": "bon:4", "BoN=4": "bon:4",
    "Best-of-N:4": "bon:4", "Best-of-N, N = 4": "bon:4", "BestOfN(4)": "bon:4",
    "BestOfN(n=4)": "bon:4", "bo4": "bon:4", "worst of 4": "won:4", "worst-of-4": "won:4",
    "WoN 8": "won:8", "WorstOfN(n=8)": "won:8", "Standard": "standard", "one sample": "standard",
    "median of 3": "order:2/3", "order 2/3": "order:2/3", "OrderStatistic(k=2, n=3)": "order:2/3",
    "BestOfPoisson(mu=3)": "bop:3", "0.5*bon:4 + 0.5*worst-of-4": "mix:0.5*bon:4+0.5*won:4",
    "g:p^2*(3-2p)": "g:p**2*(3-2*p)", "mix:0.5*g:p+0*p**2+0.5*bon:2": None,
}  # fmt: skip
TRANSFORMS = {
    "Identity": "identity", "u": "identity", "log u": "log", "log(u)": "log", "ln(u)": "log",
    "logit(u)": "logit", "exp(10u)": "exp:10", "exp(10*u)": "exp:10", "exp(u*10)": "exp:10",
    "exp( 10 u )": "exp:10", "-exp(-10u)": "exp:-10", "-exp(-10*u)": "exp:-10",
    "\N{MINUS SIGN}exp(\N{MINUS SIGN}10\N{MIDDLE DOT}u)": "exp:-10", "e^(10u)": "exp:10",
    "exp10": "exp:10", "exp 10": "exp:10", "EXP:10": "exp:10", "exp:10u": "exp:10",
    "Exponential(t=10.0)": "exp:10", "u^7": "power:7", "u**7": "power:7", "Power(p=7)": "power:7",
    "power 7": "power:7", "exp(3*u)-u": "expr:exp(3*u)-u", "exp(3u)-u": "expr:exp(3*u)-u",
    "exp(t*u)-u;t=3": "expr:exp(t*u)-u;t=3", "exp(t*u)-u, t=3": "expr:exp(t*u)-u;t=3",
    "1-u": "expr:1-u", "max(u, 0.5)": "expr:max(u, 0.5)", "exp(-10u)": "expr:exp(-10*u)",
    "2(1-u)^2 + ln(u)": "expr:2*(1-u)**2 + log(u)",
}  # fmt: skip
REMEDIES = {
    "bestt-of-8": "bon:8", "best:4": "bon:4", "ban:4": "bon:4", "wurst of 3": "won:3",
    "bon": "bon:N", "bon:1,2": "several", "bon:1-32": "several", "bon -1": "at least 1",
    "greedy": "standard", "median of 4": "odd", "bon:0": "at least 1", "bon:two": "bon:N",
}  # fmt: skip
TRANSFORM_REMEDIES = {
    "identitty": "identity", "exponental:5": "exp:5", "powr:3": "power:3", "exp": "exp:10",
    "exp-10": "exp:-10", "optimally": "optimal", "optimal": "optimum(", "exp:5,10": "list of 2",
    "logg": "log", "x**2": "in u", "log:2": "did you mean log", "exp:ten": "exp:10",
    "-log": "not known", "-identity": "not known", "-quantile:norm": "not known", "u_": "not known",
    "log -u": "write log(...)", "u-": "invalid syntax",
}  # fmt: skip


@pytest.mark.parametrize("text", PROCEDURES)
def test_procedures_as_people_write_them(text):
    if PROCEDURES[text] is None:  # a plus sign in a formula is no plus sign of the mixture
        p = np.array([0.3])
        assert as_procedure(text).cdf(p, 1 - p)[0] == pytest.approx(0.5 * 0.3 + 0.5 * 0.09)
        return
    assert as_procedure(text).name == PROCEDURES[text]
    assert as_procedure(PROCEDURES[text]) == as_procedure(text)


@pytest.mark.parametrize("text", TRANSFORMS)
def test_transforms_as_people_write_them(text):
    assert as_transform(text).name == TRANSFORMS[text]
    assert as_transform(TRANSFORMS[text]) == as_transform(text)


VALUES = {
    "-exp(-10u)": lambda u: -np.exp(-10 * u), "exp(-10u)": lambda u: np.exp(-10 * u),
    "e^(10u)": lambda u: np.exp(10 * u), "exp(3u)-u": lambda u: np.exp(3 * u) - u,
    "2(1-u)^2 + ln(u)": lambda u: 2 * (1 - u) ** 2 + np.log(u), "u^7": lambda u: u**7,
    "1e-1u + 2.5e0(1-u)": lambda u: 0.1 * u + 2.5 * (1 - u), "expm1(2u)": lambda u: np.expm1(2 * u),
    "log1p(3u)": lambda u: np.log1p(3 * u), "2e*u": lambda u: 2 * np.e * u,
}  # fmt: skip


@pytest.mark.parametrize("text", VALUES)
def test_a_formula_has_the_values_it_says(text):
    u = np.array([0.1, 0.6, 0.9])
    assert as_transform(text)(u) == pytest.approx(VALUES[text](u), rel=1e-13)


TOKENS = ("-", "+", "*", "^", "u", "2", " ", "log", "exp", "(u)", "(-u)")


@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_every_short_formula_means_what_it_means_in_python(count):
    """Whatever is taken has Python's values; nothing loses its sign on the way to a name."""
    u = np.array([0.1, 0.6, 0.9])
    names = {"u": u, "log": np.log, "exp": np.exp, "__builtins__": {}}
    compared = 0
    for tokens in itertools.product(TOKENS, repeat=count):
        text = "".join(tokens)
        try:
            found = as_transform(text)(u)
        except it.InfalignError:
            continue
        written = text.strip().replace("^", "**")
        written = re.sub(r"(?<=[u)])\s*(?=[u2(]|log|exp)|(?<=2)\s*(?=[u(]|log|exp)", "*", written)
        written = re.sub(r"^log( *u)?$", "log(u)", written)
        written = re.sub(r"^exp *(2+)(\*u)?$", r"exp(\1*u)", written)
        expected = eval(written, names)  # noqa: S307 - a text of the tokens above
        assert found == pytest.approx(expected, rel=1e-13), text
        compared += 1
    assert compared >= count


@pytest.mark.parametrize("text", REMEDIES)
def test_unknown_procedures_name_the_remedy(text, refused):
    refused(lambda: as_procedure(text), REMEDIES[text], "give")


@pytest.mark.parametrize("text", TRANSFORM_REMEDIES)
def test_unknown_transforms_name_the_remedy(text, refused):
    refused(lambda: as_transform(text), TRANSFORM_REMEDIES[text])


def test_lists_and_ranges():
    assert [p.name for p in procedures("bon:1-4,8; ".strip("; "))] == [
        "bon:1",
        "bon:2",
        "bon:3",
        "bon:4",
        "bon:8",
    ]
    assert [p.name for p in procedures(["best of 2, 4", "standard,won8"])] == [
        "bon:2",
        "bon:4",
        "standard",
        "won:8",
    ]
    assert len(procedures("bon:1..32")) == len(procedures("bon 1 to 32")) == 32
    assert [str(t) for t in transforms("identity,exp:8")] == ["identity", "exp:8"]
    assert [str(t) for t in transforms("exp:5,10,-3")] == ["exp:5", "exp:10", "exp:-3"]
    assert transforms("max(u,0.5),clip(u,0.1,0.9)") == ["max(u,0.5)", "clip(u,0.1,0.9)"]


@pytest.mark.parametrize("text", ["bon:5-3", "bon:1-100000", "bon:2,,4", ",", "bon:2,-4", ""])
def test_lists_that_are_none(text, refused):
    refused(lambda: procedures(text), "N")


def test_what_may_be_compared_is_one_type():
    assert as_choice("optimal") == as_choice("Optimum") == Optimal()
    four = Optimal(it.BestOfN(4))
    for text in (
        "optimal@bon:4",
        "optimal@best-of-4",
        "optimal for bon4",
        "optimal(bon:4)",
        "optimal@BestOfN(4)",
        "optimal@bon:4|bon:4",
    ):
        assert as_choice(text) == four
        assert as_choice(four.name) == four
    assert as_choice("optimal@bon:4|standard") == Optimal(it.BestOfN(4), it.Standard())
    assert [c.name for c in as_choices("optimal@bon:2,16,exp:5,10")] == [
        "optimal@bon:2",
        "optimal@bon:16",
        "exp:5",
        "exp:10",
    ]
    assert as_choices([Optimal(), it.Log()]) == [Optimal(), it.Log()]


def test_optimally_is_an_unknown_transform(refused):
    error = refused(lambda: it.compare(["optimally"], "bon:4", kl=0.5), "transform 'optimally'")
    assert "procedure" not in str(error)


def test_an_optimum_for_another_opponent_is_compared():
    (row,) = it.compare(["optimal@bon:4|standard"], "bon:4", kl=0.5).rows
    policy = it.optimum("bon:4", kl=0.5, against_procedure="standard").policy
    assert row.win_rate == pytest.approx(it.win_rate(policy, "bon:4"), abs=1e-12)
