"""Procedures: g and 1 - g accurate at both ends, slopes, reflection, names, refusals."""

import numpy as np
import pytest
from mpmath import mp, mpf

import infalign_theory as it
from infalign_theory.procedures import power_sides
from infalign_theory.procedures.names import as_procedure, several

ENDS = [1e-300, 1e-17, 1e-9, 1e-4, 0.1, 0.3, 0.5]
NUMBERS = [1, 2, 3, 4, 32, 1000, 10**6]
KINDS = {"bon": it.BestOfN, "won": it.WorstOfN}


def pairs():
    """(p, q = 1 - p) with whichever is small exact."""
    low = [(p, 1.0 - p) for p in ENDS]
    return [*low, *[(q, p) for p, q in low]]


def exact_pair(p, q):
    return (mpf(p), 1 - mpf(p)) if p <= q else (1 - mpf(q), mpf(q))


def exact(kind, n, p, q):
    """g, 1 - g and g' in 340 digits, so that 1 - p with p = 1e-300 is exact."""
    p, q = exact_pair(p, q)
    if kind == "bon":
        return p**n, 1 - p**n, n * p ** (n - 1)
    return 1 - q**n, q**n, n * q ** (n - 1)


@pytest.mark.parametrize("n", NUMBERS)
@pytest.mark.parametrize("kind", KINDS)
def test_both_tails_and_the_slope_keep_relative_accuracy(kind, n):
    p, q = (np.array(x) for x in zip(*pairs(), strict=True))
    procedure = KINDS[kind](n)
    won, lost = procedure.cdf(p, q)
    slope = procedure.pdf(p, q)
    with mp.workdps(340):
        for i in range(p.size):
            for got, true in zip(
                (won[i], lost[i], slope[i]), exact(kind, n, p[i], q[i]), strict=True
            ):
                # an exponent n log p of size up to 745 carries its own rounding
                allowed = mpf("1e-12") * true + mpf("1e-307")
                assert abs(mpf(float(got)) - true) <= allowed


@pytest.mark.parametrize("text", ["standard", "bon:1", "bon:4", "won:4", "won:1000000"])
def test_ends_and_order(text):
    procedure = as_procedure(text)
    p = np.linspace(0.0, 1.0, 101)
    won, lost = procedure.cdf(p, p[::-1])
    assert (won[0], lost[0], won[-1], lost[-1]) == (0.0, 1.0, 1.0, 0.0)
    assert (np.diff(won) >= 0).all()
    assert np.allclose(won + lost, 1.0, rtol=0, atol=1e-15)
    assert (procedure.pdf(p, p[::-1]) >= 0).all()


@pytest.mark.parametrize("n", NUMBERS)
def test_worst_is_best_reflected(n):
    p, q = (np.array(x) for x in zip(*pairs(), strict=True))
    won, lost = it.WorstOfN(n).cdf(p, q)
    best_won, best_lost = it.BestOfN(n).cdf(q, p)
    assert np.array_equal(won, best_lost)
    assert np.array_equal(lost, best_won)
    assert np.array_equal(it.WorstOfN(n).pdf(p, q), it.BestOfN(n).pdf(q, p))


@pytest.mark.parametrize("text", ["standard", "bon:4", "won:4", "bon:1", "won:1", "won:32"])
def test_terms_say_the_same_as_the_functions(text):
    """The kernels read g and g' as sums of sign w p^a q^b exp(-c q)."""
    procedure = as_procedure(text)
    p = np.linspace(0.05, 0.95, 19)
    q = 1.0 - p

    def summed(terms):
        return sum(s * np.exp(w - c * q) * p**a * q**b for w, a, b, c, s in terms)

    assert np.allclose(summed(procedure.value_terms), procedure.cdf(p, q)[0], rtol=1e-14)
    assert np.allclose(summed(procedure.slope_terms), procedure.pdf(p, q), rtol=1e-14)


@pytest.mark.parametrize("text", ["standard", "bon:1", "bon:7", "won:1", "won:7"])
def test_curvature_is_the_sign_of_the_second_difference(text):
    procedure = as_procedure(text)
    p = np.linspace(0, 1, 51)
    bend = np.diff(procedure.cdf(p, p[::-1])[0], 2)
    claimed = procedure.curvature
    assert claimed in (1, -1)
    assert (claimed * bend >= -1e-15).all()


def test_one_sample_is_standard_sampling():
    p = np.linspace(0, 1, 11)
    for one in (it.BestOfN(1), it.WorstOfN(1), it.Standard()):
        assert np.allclose(one.cdf(p, 1 - p)[0], p, rtol=1e-15, atol=0)
        assert (one.pdf(p, 1 - p) == 1.0).all()
        assert power_sides(one) == (0, 1)
    assert power_sides(it.BestOfN(4)) == (1, 4)
    assert power_sides(it.WorstOfN(4)) == (-1, 4)


@pytest.mark.parametrize("text", ["standard", "bon:4", "won:1", "bon:1000000"])
def test_a_name_reads_back(text):
    procedure = as_procedure(text)
    assert procedure.name == str(procedure) == text
    assert as_procedure(procedure.name) == procedure
    assert as_procedure(procedure) is procedure


def test_lists_of_numbers():
    assert [p.name for p in several(["bon:1, 2,4", "won:8"])] == [
        "bon:1",
        "bon:2",
        "bon:4",
        "won:8",
    ]


def test_whole_numbers_of_any_type():
    assert it.BestOfN(np.int64(4)) == it.BestOfN(4.0) == it.BestOfN(4)
    assert isinstance(it.WorstOfN(np.float64(3)).n, int)


@pytest.mark.parametrize(
    "n", [0, -1, 2.5, float("nan"), float("inf"), True, "x", "4", None, [4], 1j, 10**400]
)
@pytest.mark.parametrize("kind", KINDS.values())
def test_bad_n(kind, n, refused):
    refused(lambda: kind(n), "whole number", "" if n == 10**400 else n)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "x",
        "bon",
        "bon:",
        "bon:x",
        "bon:0",
        "bon:-1",
        "bon:2.5",
        "bon:nan",
        "bon:inf",
        "won:0",
        "standard:1",
        "bon:4:4",
        "bon:1,2",
        "bon -1",
    ],
)
def test_texts_that_are_no_procedure(text, refused):
    error = refused(lambda: as_procedure(text), "N")
    number = text.partition(":")[2]
    assert number in str(error)


@pytest.mark.parametrize("thing", [None, 4, ["bon:4"], it.Identity(), it.BestOfN])
def test_things_that_are_no_procedure(thing, refused):
    refused(lambda: as_procedure(thing), "bon:N", repr(thing))
