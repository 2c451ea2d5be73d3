"""Write reference.json: exact numbers from the oracle, one row a case, about 30 digits each.

Run as ``python -m reference.make_reference`` from the tests directory (a few minutes, one
process). ``specs()`` lists the cases and ``evaluate()`` computes one, so a test can redo any row.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

from . import oracle

PATH = Path(__file__).with_name("reference.json")
EXPRESSIONS = ["expr:exp(3*u)-u", "expr:u**2+log(u)", "expr:u-u**2", "expr:exp(-u)*log(u)"]
TRANSFORMS = ["identity", "log", "logit", "exp:5", "exp:10", "exp:-5", "exp:-10", "power:7"]
TRANSFORMS += ["power:0.5", *EXPRESSIONS]
HARD = ["identity", "log", "logit", "exp:100", "exp:-100"]
MIXED = [("bon:4", "bon:16"), ("won:8", "won:2"), ("bon:4", "standard"), ("won:4", "bon:4")]
POINTS = ["0.01", "0.1", "0.5", "0.9", "0.99", "0.999"]
SMALLEST_BETA = "1e-290"  # below this a float64 beta is about to underflow: the case is dropped

Spec = dict[str, Any]


def _tilts() -> Iterator[Spec]:
    def row(transform: str, procedure: str, against: str, **given: str) -> Spec:
        pair = {"procedure": procedure, "against": against}
        return {"kind": "tilt", "transform": transform, **pair, **given}

    both = [f"{kind}:{n}" for kind in ("bon", "won") for n in (2, 4, 32)]
    for transform in TRANSFORMS:
        for kl in ("1e-8", "1e-3", "0.5", "2"):
            yield from (row(transform, p, p, kl=kl) for p in ("standard", *both))
    given_beta = [("identity", "0.1"), ("identity", "1"), ("identity", "2000"), ("log", "0.25")]
    given_beta += [("exp:10", "2000"), ("exp:-10", "0.01"), ("power:7", "0.5"), ("logit", "2")]
    given_beta += [("power:0.5", "0.1"), ("exp:5", "50"), ("exp:-5", "0.125")]
    given_beta += [("expr:exp(3*u)-u", "5"), ("expr:u-u**2", "0.05")]
    for transform, beta in given_beta:
        yield from (row(transform, p, p, beta=beta) for p in ("standard", "bon:4", "won:4"))
    for transform in HARD:
        for kl in ("1e-8", "0.5", "20"):
            for procedure in ("bon:1000", "won:1000", "bon:1000000", "won:1000000"):
                yield row(transform, procedure, procedure, kl=kl)
    for transform in ("identity", "log", "exp:10", "exp:-10", "expr:exp(3*u)-u"):
        for procedure, against in MIXED:
            for kl in ("1e-3", "0.5", "2"):
                yield row(transform, procedure, against, kl=kl)


def _optima() -> Iterator[Spec]:
    same = [f"{kind}:{n}" for kind in ("bon", "won") for n in (2, 4, 32, 1000)]
    pairs = [(p, p) for p in ["standard", *same]] + MIXED[:3]
    for procedure, against in pairs:
        for beta in ("1", "0.1", "0.01"):
            yield {"kind": "optimum", "procedure": procedure, "against": against, "beta": beta}
        for kl in ("1e-8", "0.5", "2", "20"):
            yield {"kind": "optimum", "procedure": procedure, "against": against, "kl": kl}
    for kl in ("1e-8", "1e-5", "1e-3"):  # at KL 0.5 and N = 1e6, beta is 1.6e-429
        for p in ("bon:1000000", "won:1000000"):
            yield {"kind": "optimum", "procedure": p, "against": p, "kl": kl}


def _discrete() -> Iterator[Spec]:
    laws = {
        "distinct": (["1/10", "1/5", "3/10", "1/4", "3/20"], [0, 1, 2, 3, 4]),
        "ties": (["1/8", "1/8", "1/4", "1/6", "1/3"], [0, 1, 1, 2, 2]),
        "two": (["7/10", "3/10"], [0, 1]),
        "top-heavy": (["1/100", "1/50", "97/100"], [0, 1, 2]),
    }
    pairs = [("standard", "standard"), ("bon:2", "bon:2"), ("bon:4", "bon:4"), ("won:4", "won:4")]
    pairs += [("bon:4", "standard"), ("won:3", "bon:2")]
    for probs, rewards in laws.values():
        for transform, beta in (("identity", "0.5"), ("exp:5", "20"), ("log", "1"), ("logit", "2")):
            for procedure, against in pairs:
                case = {"transform": transform, "probs": probs, "rewards": rewards, "beta": beta}
                yield {"kind": "discrete", **case, "procedure": procedure, "against": against}


def specs() -> list[Spec]:
    """Every case, input only: kind, who, and kl or beta as the input ``given``."""
    rows = [*_tilts(), *_optima(), *_discrete()]
    return [{**row, "given": "kl" if "kl" in row else "beta"} for row in rows]


def evaluate(spec: Spec) -> Spec | None:
    """The row of a case, or None where beta would underflow a float64."""
    given = {spec["given"]: spec[spec["given"]]}
    mine, theirs = spec["procedure"], spec["against"]
    if spec["kind"] == "optimum":
        solve = oracle.optimum_at_kl if "kl" in given else oracle.optimum
        found = solve(mine, *given.values(), theirs, POINTS)
        if oracle.mpf(found["beta"]) < oracle.mpf(SMALLEST_BETA):
            return None
        return {**spec, **found, **given}
    name = spec["transform"]
    if spec["kind"] == "discrete":
        base = [Fraction(p) for p in spec["probs"]]
        policy, kl = oracle.discrete_tilt(name, spec["beta"], base, spec["rewards"])
        numeric = [oracle.num(p) for p in base]
        win = oracle.discrete_win_rate(policy, numeric, spec["rewards"], mine, theirs)
        masses = [oracle.text(p) for p in policy]
        return {**spec, "policy": masses, "kl": oracle.text(kl), "win_rate": oracle.text(win)}
    if "kl" in given:
        other = {"beta": oracle.kl_to_beta(name, given["kl"])}
    else:
        other = {"kl": oracle.tilt(name, given["beta"])["kl"]}
    win_rate = oracle.win_rate(name, procedure=mine, against_procedure=theirs, **given)
    return {**spec, **other, "win_rate": win_rate}


def main() -> None:
    rows, dropped = [], []
    cases = specs()
    for i, spec in enumerate(cases):
        row = evaluate(spec)
        (dropped if row is None else rows).append(row or spec)
        if i % 100 == 0:
            print(f"{i}/{len(cases)}", file=sys.stderr, flush=True)
    about = "Decimal strings; 'given' names the input, the rest follows from it; KL in nats."
    lines = ",\n".join(json.dumps(row) for row in rows)
    gone = ",\n".join(json.dumps(row) for row in dropped)
    PATH.write_text(
        f'{{"about": {json.dumps(about)},\n"dropped": [\n{gone}\n],\n"rows": [\n{lines}\n]}}\n'
    )


if __name__ == "__main__":
    main()
