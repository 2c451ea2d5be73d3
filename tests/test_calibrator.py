"""Calibrators against brute force, known laws and the regret they are made to reduce."""

from __future__ import annotations

import json
import pickle

import numpy as np
import pandas as pd
import pytest
from scipy import stats

import infalign_theory as it
from infalign_theory.cli import main
from infalign_theory.errors import InputError
from infalign_theory.training.calibrator import Calibrator
from infalign_theory.training.choosing import tail_scores
from infalign_theory.training.pooling import Anchor, Moments, order_bounds
from infalign_theory.training.samples import BaseSamples


def frame_of(law, prompts=64, size=16, seed=0):
    """Base scores of one shape, location and scale differing by prompt."""
    rng = np.random.default_rng(seed)
    raw = law.rvs((prompts, size), random_state=rng)
    raw = raw * np.exp(rng.normal(0, 1, prompts))[:, None] + rng.normal(0, 9, prompts)[:, None]
    names = np.repeat([f"p{i:03d}" for i in range(prompts)], size)
    return pd.DataFrame({"prompt": names, "reward": raw.ravel()})


def brute_ranks(frame, prompts, rewards):
    out = []
    for prompt, reward in zip(prompts, rewards, strict=True):
        base = frame.reward[frame.prompt == prompt].to_numpy()
        places = np.sum(base < reward) + np.sum(base == reward) / 2
        out.append((places + 0.5) / (base.size + 1))
    return np.array(out)


@pytest.mark.parametrize("graded", [False, True])
def test_ranks_are_those_of_brute_force(graded):
    frame = frame_of(stats.norm(), prompts=5, size=9)
    frame = frame.iloc[:-4]  # prompts of unequal size
    if graded:
        frame["reward"] = frame.reward.round()
    rng = np.random.default_rng(1)
    prompts = rng.choice(frame.prompt.unique(), 200)
    rewards = rng.choice(frame.reward, 200) + (0 if graded else rng.normal(0, 1, 200))
    cal = Calibrator.fit(frame, method="ranks")
    np.testing.assert_allclose(
        cal.calibrate(prompts.tolist(), rewards), brute_ranks(frame, prompts, rewards), rtol=1e-14
    )


def test_left_out_moments_are_those_of_the_others():
    frame = frame_of(stats.gumbel_r(), prompts=4, size=6)
    samples = BaseSamples.read(frame, "prompt", "reward")
    moments = Moments.of(samples, lower=False)
    for anchor in Anchor:
        found = moments.left_out(anchor, samples.owner, samples.rewards)
        for at, prompt in enumerate(samples.owner):
            first, last = samples.offsets[prompt : prompt + 2]
            others = np.delete(samples.rewards[first:last], at - first)
            spread = others.std(ddof=1)
            if anchor is Anchor.END:
                expected = (samples.rewards[at] - others.max()) / spread
            else:
                spread *= np.sqrt(1 + 1 / others.size)
                expected = (samples.rewards[at] - others.mean()) / spread
            assert found[at] == pytest.approx(expected, rel=1e-9)


def test_order_bounds_are_quantiles_of_the_beta_laws():
    below, sizes = np.array([0, 1, 3, 7]), np.array([7, 7, 7, 7])
    lower, upper = order_bounds(below, below, sizes)
    np.testing.assert_allclose(lower[1:], stats.beta.ppf(0.1, [1, 3, 7], [7, 5, 1]), rtol=1e-12)
    np.testing.assert_allclose(upper[:-1], stats.beta.ppf(0.9, [1, 2, 4], [7, 6, 4]), rtol=1e-12)
    assert lower[0] == 0.0
    assert upper[-1] == 1.0


def test_tail_scores_are_those_of_a_loop_over_pairs():
    """Every ordered pair by hand: ranks of the others against the indicator."""
    frame = frame_of(stats.norm(), prompts=3, size=6, seed=3)
    samples = BaseSamples.read(frame, "prompt", "reward")
    scores = tail_scores(samples, lower=False)
    totals = {"ranks": 0.0, "mean": 0.0}
    z, owners = [], []
    for p in range(3):
        x = samples.rewards[samples.offsets[p] : samples.offsets[p + 1]]
        for i in range(6):
            o = np.delete(x, i)
            z.append((x[i] - o.mean()) / o.std(ddof=1) / np.sqrt(1 + 1 / 5))
            owners.append(p)
    z, owners = np.array(z), np.array(owners)
    for p in range(3):
        x = samples.rewards[samples.offsets[p] : samples.offsets[p + 1]]
        pool = np.sort(z[owners != p])
        for i in range(6):
            for j in set(range(6)) - {i}:
                o = np.delete(x, [i, j])
                below = np.sum(o < x[i])
                rank, win = (below + 0.5) / 5, float(x[j] < x[i])
                new = (x[i] - o.mean()) / o.std(ddof=1) / np.sqrt(1 + 1 / 4)
                guess = np.interp(new, pool, (np.arange(pool.size) + 0.5) / pool.size)
                if new > pool[-1]:
                    beyond = (new - pool[-1]) / (pool[-1] - pool[0])
                    guess = 1 - 0.5 / pool.size / (1 + beyond)
                if below > 0:
                    guess = max(guess, stats.beta.ppf(0.1, below, 5 - below))
                if below < 4:
                    guess = min(guess, stats.beta.ppf(0.9, below + 1, 4 - below))
                totals["ranks"] += rank**20 * (rank - win) ** 2
                totals["mean"] += rank**20 * (guess - win) ** 2
    assert scores["mean"] == pytest.approx(totals["mean"] / totals["ranks"], rel=1e-6)


# --------------------------------------------------------------- the regret it is there to reduce
POINTS = 1000
EDGES = 1 - (1 - np.arange(POINTS + 1) / POINTS) ** 2
MIDDLES = (EDGES[1:] + EDGES[:-1]) / 2
MASS = np.diff(EDGES)


def regret(calibrated, kl=0.5):
    """Of exp(10u) at BoN-4, one row a prompt on a grid of true u, mean KL held."""
    phi = np.exp(10 * (calibrated - 1))

    def law(k):
        f = np.exp(k * (phi - phi.max(axis=1, keepdims=True)))
        f /= (f * MASS).sum(axis=1, keepdims=True)
        return f, float((f * MASS * np.log(np.maximum(f, 1e-300))).sum(axis=1).mean())

    low, high = 1e-2, 1e4
    for _ in range(30):
        k = np.sqrt(low * high)
        low, high = (k, high) if law(k)[1] < kl else (low, k)
    f, _ = law(k)
    cdf = np.concatenate([np.zeros((len(f), 1)), np.cumsum(f * MASS, axis=1)], axis=1)
    lost = ((cdf[:, 1:] ** 4 + cdf[:, :-1] ** 4) / 2 * np.diff(EDGES**4)).sum(axis=1)
    return it.optimum("bon:4", kl=kl).win_rate - (1 - lost).mean()


LAWS = {
    "normal": stats.norm(),
    "logistic": stats.logistic(),
    "gumbel": stats.gumbel_r(),
    "t3": stats.t(3),
    "exponential": stats.expon(),
    "beta": stats.beta(5, 1.2),
}


@pytest.mark.simulation
@pytest.mark.parametrize("size", [8, 16, 32, 64])
@pytest.mark.parametrize("name", LAWS)
def test_auto_against_ranks(name, size):
    """At most 0.7 of the regret of ranks where tails thin out; never worse at a wall."""
    law, prompts = LAWS[name], 64
    truth = np.tile(law.ppf(MIDDLES), prompts)
    names = [f"p{i:03d}" for i in range(prompts) for _ in range(POINTS)]
    found = {"ranks": [], "auto": []}
    for seed in range(2):
        raw = law.rvs((prompts, size), random_state=np.random.default_rng(seed))
        base = pd.DataFrame({"prompt": np.repeat(names[::POINTS], size), "reward": raw.ravel()})
        for method, values in found.items():
            cal = Calibrator.fit(base, method=method)
            u = cal.calibrate(names, truth).reshape(prompts, POINTS)
            assert (np.diff(u, axis=1) >= 0).all()
            assert u.min() > 0.0
            assert u.max() < 1.0
            values.append(regret(u))
    allowed = 1.05 if name == "beta" else 0.7
    assert np.mean(found["auto"]) <= allowed * np.mean(found["ranks"])


@pytest.mark.slow
def test_lower_tail_is_the_mirror_of_the_upper():
    frame = frame_of(stats.beta(5, 1.2), size=24)
    mirrored = frame.assign(reward=-frame.reward)
    upper, lower = Calibrator.fit(frame), Calibrator.fit(mirrored, tail="lower")
    assert upper.uniformity.chosen == lower.uniformity.chosen == "end"
    prompts, rewards = frame.prompt.tolist(), frame.reward.to_numpy() + 0.01
    np.testing.assert_allclose(
        upper.calibrate(prompts, rewards), 1 - lower.calibrate(prompts, -rewards), atol=1e-12
    )


@pytest.mark.slow
def test_affine_changes_by_prompt_change_nothing():
    frame = frame_of(stats.logistic(), size=10)
    place = frame.prompt.str[1:].astype(int)
    moved = frame.assign(reward=frame.reward * (place + 1) - 3 * place)
    first, second = Calibrator.fit(frame), Calibrator.fit(moved)
    np.testing.assert_allclose(
        first.calibrate(frame.prompt.tolist(), frame.reward),
        second.calibrate(moved.prompt.tolist(), moved.reward),
        atol=1e-9,
    )


def test_held_out_rewards_of_the_base_are_uniform():
    law = stats.norm()
    cal = Calibrator.fit(frame_of(law, prompts=200, size=8))
    assert cal.method == "pooled"
    report = cal.uniformity
    assert report.samples == 1600
    assert report.distance < 1.63 / np.sqrt(1600)
    assert report.shares.sum() == pytest.approx(1.0)


# --------------------------------------------------------------- graded rewards
def test_graded_rewards_stay_graded():
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(
        {"prompt": np.repeat(list("abcdefgh"), 24), "reward": rng.integers(0, 4, 192)}
    )
    cal = Calibrator.fit(frame)
    assert cal.method == "ranks"
    u = cal.calibrate("a", [0.0, 1.0, 2.0, 3.0, 1.0])
    assert u[1] == u[4]
    base = frame.reward[frame.prompt == "a"]
    assert np.average(cal.calibrate("a", base), weights=np.ones(24)) == pytest.approx(0.5)
    pooled = Calibrator.fit(frame, method="pooled").calibrate("a", [1.0, 2.0, 1.0])
    assert pooled[0] == pooled[2] < pooled[1]


def test_a_prompt_whose_samples_agree_falls_back_to_ranks():
    frame = frame_of(stats.norm(), prompts=10, size=8)
    frame.loc[frame.prompt == "p003", "reward"] = 2.5
    cal = Calibrator.fit(frame, method="pooled")
    assert cal.calibrate("p003", [2.4, 2.5, 2.6]).tolist() == pytest.approx([1 / 18, 0.5, 17 / 18])


def test_real_judge_scores_are_graded(judge_scores):
    cal = Calibrator.fit(judge_scores, prompt="task_id", reward="judge_score")
    assert (len(cal.prompts), cal.samples, cal.method) == (120, 2880, "ranks")
    assert cal.uniformity.ties > 0.2


# --------------------------------------------------------------- streaming and files
@pytest.mark.slow
def test_adding_samples_is_fitting_all_of_them():
    frame = frame_of(stats.norm(), prompts=8, size=12)
    half = Calibrator.fit(frame.iloc[::2])
    whole = Calibrator.fit(frame)
    rest = frame.iloc[1::2]
    assert half.add(rest.prompt.tolist(), rest.reward) is half
    again = Calibrator.fit(frame.iloc[::2]).add(rest)
    x = np.linspace(-20, 20, 50)
    for cal in (half, again):
        np.testing.assert_array_equal(cal.calibrate("p001", x), whole.calibrate("p001", x))
    half.add(["new"] * 5, np.arange(5.0))
    assert half.calibrate("new", [4.5])[0] > 0.8


@pytest.mark.parametrize("method", ["auto", "ranks", "pooled"])
def test_files_bring_back_the_same(tmp_path, method):
    frame = frame_of(stats.expon(), prompts=6, size=9)
    frame["prompt"] = frame.prompt + " 'ü\"\n"
    cal = Calibrator.fit(frame, method=method)
    cal.save(tmp_path / "c.parquet")
    back = Calibrator.load(tmp_path / "c.parquet")
    prompts = frame.prompt.tolist()
    np.testing.assert_array_equal(
        cal.calibrate(prompts, frame.reward), back.calibrate(prompts, frame.reward)
    )
    assert back.method == cal.method
    assert [f.name for f in tmp_path.iterdir()] == ["c.parquet"]
    copy = pickle.loads(pickle.dumps(cal))
    np.testing.assert_array_equal(
        copy.calibrate(prompts, frame.reward), cal.calibrate(prompts, frame.reward)
    )


@pytest.mark.slow
def test_damaged_and_foreign_files_are_refused(tmp_path, refused):
    frame = frame_of(stats.norm(), prompts=3, size=5)
    frame.to_parquet(tmp_path / "scores.parquet")
    refused(lambda: Calibrator.load(tmp_path / "scores.parquet"), "not a calibration")
    (tmp_path / "text.parquet").write_text("hello")
    refused(lambda: Calibrator.load(tmp_path / "text.parquet"), "not a readable Parquet")
    refused(lambda: Calibrator.load(tmp_path / "none.parquet"), "no such file")
    import duckdb

    Calibrator.fit(frame).save(tmp_path / "c.parquet")
    with duckdb.connect() as connection:
        facts = connection.execute(
            "SELECT key, value FROM parquet_kv_metadata(?)", [str(tmp_path / "c.parquet")]
        ).fetchall()
        for change, told in (("reward + 1", "damaged"), ("reward", "version")):
            held = {k.decode(): v.decode() for k, v in facts}
            held["version"] = "1" if told == "damaged" else "9"
            listed = ", ".join(f"{k}: '{v}'" for k, v in held.items())
            connection.execute(
                f"COPY (SELECT prompt, {change} AS reward FROM '{tmp_path}/c.parquet') "
                f"TO '{tmp_path}/d.parquet' (FORMAT parquet, KV_METADATA {{{listed}}})"
            )
            refused(lambda: Calibrator.load(tmp_path / "d.parquet"), told)


# --------------------------------------------------------------- refusals
@pytest.mark.slow
def test_what_cannot_be_calibrated_is_told(refused):
    frame = frame_of(stats.norm(), prompts=3, size=5)
    cal = Calibrator.fit(frame)
    error = refused(
        lambda: cal.calibrate(["p000", "other"], [0.0, 1.0]), "'other'", "add()", "unseen"
    )
    assert isinstance(error, InputError)
    refused(lambda: cal.calibrate("p000", [np.nan, 1.0]), "rewards[0] = nan")
    refused(lambda: cal.calibrate(["p000"], [0.0, 1.0]), "1 prompts and 2 rewards")
    refused(lambda: Calibrator.fit(frame, method="best"), "auto, ranks, pooled")
    refused(lambda: Calibrator.fit(frame, tail="both"), "upper, lower")
    few = frame.groupby("prompt").head(2)
    refused(lambda: Calibrator.fit(few, method="pooled"), "no shape to pool")
    assert Calibrator.fit(few).method == "ranks"


def test_unseen_prompts_get_the_pooled_law_where_asked():
    frame = pd.DataFrame({"prompt": ["a", "a", "b", "b", "b", "b"], "reward": [0.0, 1, 2, 3, 4, 5]})
    cal = Calibrator.fit(frame, method="ranks")
    found = cal.calibrate(["a", "zz"], [0.5, 3.5], unseen="pooled")
    assert found[0] == 0.5
    assert found[1] == pytest.approx((0.75 * 6 + 0.5) / 7)


def test_command_line(tmp_path, capsys):
    frame_of(stats.norm(), prompts=20, size=8).to_json(
        tmp_path / "base.jsonl", orient="records", lines=True
    )
    out = tmp_path / "calibration.parquet"
    arguments = ["calibrate", str(tmp_path / "base.jsonl"), "--out", str(out), "--json"]
    with pytest.raises(SystemExit) as ended:
        main([*arguments, "--picture", str(tmp_path / "u.png")])
    assert ended.value.code == 0
    found = json.loads(capsys.readouterr().out)
    assert list(found) == ["prompts", "samples", "method", "uniformity"]
    assert (found["prompts"], found["samples"], found["method"]) == (20, 160, "pooled")
    assert found["uniformity"]["distance"] < 0.1
    assert Calibrator.load(out).samples == 160
    out.unlink()
    with pytest.raises(SystemExit) as ended:
        main([*arguments, "--picture", str(tmp_path / "u.txt")])
    assert ended.value.code == 2
    assert "a picture ends in" in capsys.readouterr().err
    assert not out.exists()  # refused before anything is written
    scores = tmp_path / "other.csv"
    scores.write_text("kept")
    with pytest.raises(SystemExit):
        main([*arguments[:3], str(scores)])
    assert "a calibration is a Parquet file" in capsys.readouterr().err
    assert scores.read_text() == "kept"
    (tmp_path / "one.csv").write_text("prompt,reward\na,1\n")
    with pytest.raises(SystemExit):
        main(["calibrate", str(tmp_path / "one.csv"), "--out", str(tmp_path / "one.parquet")])
    assert "fewer than 8 base samples" in capsys.readouterr().err
    assert (tmp_path / "u.png").stat().st_size > 1000
    with pytest.raises(SystemExit) as ended:
        main(["calibrate", str(out), "--out", str(out)])
    assert ended.value.code == 2
    assert "another name" in capsys.readouterr().err
