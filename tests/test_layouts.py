"""Scores as people have them: layouts of trainers and harnesses, files of every kind, tables."""

from __future__ import annotations

import gzip
import io
import json
import sys
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import infalign_theory as it
from infalign_theory.empirical.scores.reading import read_scores
from infalign_theory.errors import InfalignError

EXPECTED = {"a": [0.25, 0.5, 3.0], "b": [-1.0, 2.0]}
LONG = [("a", 0.5), ("b", 2.0), ("a", 3.0), ("a", 0.25), ("b", -1.0)]


def grouped(scores, **options):
    found = read_scores(scores, **options)
    parts = np.split(found.rewards.values, found.rewards.offsets[1:-1])
    return {prompt: part.tolist() for prompt, part in zip(found.prompts, parts, strict=True)}


def lines(rows):
    return "".join(json.dumps(row) + "\n" for row in rows)


def table(prompt="prompt", reward="reward", **more):
    return [{prompt: p, reward: r, **more} for p, r in LONG]


def trl(path):
    """GRPOTrainer's log_completions: a Parquet table a step, a column a reward function."""
    frame = pd.DataFrame(table("prompt", "accuracy_reward", step=10, completion="x", advantage=0.1))
    file = path / "completions_00010.parquet"
    frame.to_parquet(file)
    return file, {"reward": "accuracy_reward"}


def trl_conversations(path):
    """The same with chats for prompts: a prompt is then the list of its messages."""
    rows = [{"prompt": [{"role": "user", "content": p}], "reward": r} for p, r in LONG]
    file = path / "completions.parquet"
    pd.DataFrame(rows).to_parquet(file)
    return file, {}


def verl(path):
    """rollout_data_dir: a JSON lines file a step with input, output and score."""
    rows = table("input", "score", output="x", gts="1", step=3, acc=True)
    (path / "3.jsonl").write_text(lines(rows))
    return path / "3.jsonl", {"prompt": "input", "reward": "score"}


def openrlhf(path):
    """batch_inference with a reward model: JSON lines of input, output and reward."""
    (path / "rm.jsonl").write_text(lines(table("input", output="x")))
    return path / "rm.jsonl", {"prompt": "input"}


def lm_eval(path):
    """lm-evaluation-harness --log_samples: a document a line, metrics at its top level."""
    rows = table("doc_hash", "exact_match", doc={"question": "?"}, resps=[["x"]], filter="none")
    (path / "samples_gsm8k.jsonl").write_text(lines(rows))
    return path / "samples_gsm8k.jsonl", {"prompt": "doc_hash", "reward": "exact_match"}


def nested(path):
    rows = [{"meta": {"id": p}, "scores": {"rm": r, "len": 3}} for p, r in LONG]
    (path / "nested.jsonl").write_text(lines(rows))
    return path / "nested.jsonl", {"prompt": "meta.id", "reward": "scores.rm"}


def nested_parquet(path):
    rows = [{"prompt": p, "scores": {"rm": r, "v.2": 1}} for p, r in LONG]
    pd.DataFrame(rows).to_parquet(path / "nested.parquet")
    return path / "nested.parquet", {"reward": "scores.rm"}


def lists(path):
    """A row a prompt, its rewards in a list: best-of-N logs."""
    rows = [{"prompt": p, "rewards": r} for p, r in EXPECTED.items()]
    (path / "lists.json").write_text(json.dumps(rows, indent=2))
    return path / "lists.json", {"reward": "rewards"}


def lists_parquet(path):
    rows = [{"prompt": p, "rewards": r} for p, r in EXPECTED.items()]
    pd.DataFrame(rows).to_parquet(path / "lists.parquet")
    return path / "lists.parquet", {"reward": "rewards"}


def lists_csv(path):
    """pandas writes lists into CSV cells as text."""
    rows = [{"prompt": p, "rewards": r} for p, r in EXPECTED.items()]
    pd.DataFrame(rows).to_csv(path / "lists.csv", index=False)
    return path / "lists.csv", {"reward": "rewards"}


def tsv(path):
    pd.DataFrame(table()).to_csv(path / "a.tsv", sep="\t", index=False)
    return path / "a.tsv", {}


def array(path):
    (path / "a.json").write_text(json.dumps(table(extra=[1, {"b": 2}])))
    return path / "a.json", {}


def columns(path):
    frame = pd.DataFrame(table())
    (path / "columns.json").write_text(json.dumps(frame.to_dict("list"), indent=1))
    return path / "columns.json", {}


def by_prompt(path):
    (path / "prompts.json").write_text(json.dumps(EXPECTED))
    return path / "prompts.json", {}


def wide(path):
    (path / "wide.csv").write_text("prompt,r_0,r_1,r_2,kind\na,0.5,3,.25,x\nb,2,-1,,y\n")
    return path / "wide.csv", {"reward": "r_*", "wide": True}


def wide_alone(path):
    (path / "wide.csv").write_text("task,1,2,3\na,0.5,3,.25\nb,2,-1,\n")
    return path / "wide.csv", {"prompt": "task", "wide": True}


def quoted_header(path):
    (path / "q.csv").write_text('"pro\nmpt","the, reward"\na,.5\nb,2\na,3\na,.25\nb,-1\n')
    return path / "q.csv", {"prompt": "pro\nmpt", "reward": "the, reward"}


LAYOUTS = [
    trl, trl_conversations, verl, openrlhf, lm_eval, nested, nested_parquet, lists, lists_parquet,
    lists_csv, tsv, array, columns, by_prompt, wide, wide_alone, quoted_header,
]  # fmt: skip


@pytest.mark.parametrize("layout", LAYOUTS, ids=lambda f: f.__name__)
@pytest.mark.parametrize("zipped", [False, True], ids=["plain", "gz"])
def test_every_layout_is_read(tmp_path, layout, zipped):
    path, options = layout(tmp_path)
    if zipped:
        packed = path.with_name(path.name + ".gz")
        packed.write_bytes(gzip.compress(path.read_bytes()))
        path.unlink()
        path = packed
    assert list(grouped(path, **options).values()) == list(EXPECTED.values())


@pytest.mark.parametrize("layout", [verl, tsv, lists, trl], ids=lambda f: f.__name__)
@pytest.mark.parametrize("zipped", [False, True], ids=["plain", "gz"])
def test_standard_input_is_read(tmp_path, layout, zipped, monkeypatch):
    path, options = layout(tmp_path)
    content = gzip.compress(path.read_bytes()) if zipped else path.read_bytes()
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))
    given = Path("-") if zipped else "-"  # commands hand over paths
    assert list(grouped(given, **options).values()) == list(EXPECTED.values())


def test_standard_input_is_given_once_and_holds_something(monkeypatch, refused):
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"\n")))
    refused(lambda: read_scores("-"), "standard input is empty")
    refused(lambda: read_scores(["-", "-"]), "standard input")


def tables_in_memory():
    import polars as pl
    import pyarrow as pa

    frame = pd.DataFrame(table())
    return {
        "pandas": frame,
        "polars": pl.DataFrame(table()),
        "lazy": pl.DataFrame(table()).lazy(),
        "arrow": pa.Table.from_pylist(table()),
        "records": table(),
        "columns": frame.to_dict("list"),
        "arrays": {"prompt": np.array(frame["prompt"]), "reward": frame["reward"].to_numpy()},
        "prompts": {p: np.array(r) for p, r in EXPECTED.items()},
        "lists": [{"prompt": p, "reward": r} for p, r in EXPECTED.items()],
        "numpy scalars": [{"prompt": p, "reward": np.float64(r)} for p, r in LONG],
    }


@pytest.mark.parametrize("kind", list(tables_in_memory()))
def test_every_table_in_memory_is_read_without_a_warning(kind):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert grouped(tables_in_memory()[kind]) == EXPECTED


@pytest.mark.slow
def test_records_keep_float64_exactly_and_prompts_as_text():
    tricky = [0.1 + 0.2, 1e-300, -1.7976931348623157e149, 2**53 + 2.0, 5e-324]
    for rows in (
        [{"prompt": 7, "reward": x} for x in tricky],
        {"prompt": [7] * 5, "reward": tricky},
        {"7": tricky},
        [{"prompt": 7, "reward": {"rm": x}} for x in tricky],
    ):
        options = {"reward": "reward.rm"} if rows and "rm" in str(rows) else {}
        assert grouped(rows, **options) == {"7": sorted(tricky)}


@pytest.mark.slow
def test_lists_of_truths_go_with_lists_of_rewards(tmp_path, refused):
    rows = [
        {"prompt": "a", "reward": [3, 1, 2], "gold": [1, 0, 1]},
        {"prompt": "b", "reward": [5], "gold": [0]},
    ]
    path = tmp_path / "a.jsonl"
    path.write_text(lines(rows))
    for scores in (path, rows, pd.DataFrame(rows)):
        found = read_scores(scores, truth="gold")
        assert found.rewards.values.tolist() == [1, 2, 3, 5]
        assert found.truth.tolist() == [0, 1, 1, 0]
    rows[0]["gold"] = [1, 0]
    refused(lambda: read_scores(rows, truth="gold"), "'a'", "3 rewards", "2 entries")


def test_a_missing_list_is_a_missing_reward(refused):
    refused(
        lambda: read_scores([{"prompt": "a", "reward": [1, 2]}, {"prompt": "b", "reward": None}]),
        "1 of 3",
        "missing",
    )


@pytest.mark.slow
def test_wide_tables_name_policies_by_their_stems(tmp_path):
    path = tmp_path / "wide.csv"
    path.write_text("prompt,base_0,base_1,tuned_0,tuned_1\na,1,2,3,4\nb,5,6,7,8\n")
    assert grouped(path, wide=True, base="base") == {"a": [1, 2], "b": [5, 6]}
    columns = {"base": "base_*", "tuned": ["tuned_0", "tuned_1"]}
    assert grouped(path, wide=columns, base="tuned") == {"a": [3, 4], "b": [7, 8]}
    assert grouped(path, wide="base_?") == {"a": [1, 2], "b": [5, 6]}


def test_wide_columns_that_are_not_there_are_told(tmp_path, refused):
    frame = pd.DataFrame({"prompt": ["a"], "r1": [1.0], "r2": [2.0]})
    refused(lambda: read_scores(frame, wide="x*"), "'x*'", "r1, r2")
    refused(lambda: read_scores(frame, wide=["r1", "r*"]), "'r1'", "twice")
    refused(lambda: read_scores(frame, wide=3), "wide = 3")


# ----------------------------------------------------------------------------- what cannot be read
@pytest.mark.parametrize(
    ("name", "remedy"),
    [
        ("a.xlsx", "as CSV"), ("a.zip", "unpack"), ("a.jsonl.zst", "zstd -d"),
        ("a.csv.bz2", "gzip"),
        ("a.arrow", "pyarrow"), ("a.pkl", "Parquet or CSV"), ("a.txt", ".csv, .tsv or .jsonl"),
    ],
)  # fmt: skip
def test_the_remedy_is_in_the_message(tmp_path, name, remedy, refused):
    (tmp_path / name).write_text("x")
    refused(lambda: read_scores(tmp_path / name), remedy, ".parquet")


def test_other_separators_are_named(tmp_path, refused):
    path = tmp_path / "a.csv"
    path.write_text("prompt;reward\na;1\n")
    refused(lambda: read_scores(path), "semicolons", "commas")
    path.write_text("prompt\treward\na\t1\n")
    refused(lambda: read_scores(path), "tabs", ".tsv")


def test_damaged_gzip_and_single_objects_are_told(tmp_path, refused):
    path = tmp_path / "a.jsonl.gz"
    path.write_bytes(gzip.compress(lines(table()).encode())[:-12])
    with pytest.raises(InfalignError) as caught:
        read_scores(path)
    assert "\n" not in str(caught.value)
    packed = gzip.compress(lines(table()).encode())
    path.write_bytes(packed[:40] + bytes(20) + packed[60:])  # whole, but spoilt inside
    refused(lambda: read_scores(path), "not whole gzip data")
    path = tmp_path / "broken.jsonl"
    path.write_text('{"prompt": "a", "reward": 1}\n{"prompt": a}\n')
    told = refused(lambda: read_scores(path), "broken.jsonl", "; give")
    assert ". ;" not in str(told)
    refused(lambda: read_scores("https://example.org/a.csv"), "https://", "download")
    path = tmp_path / "results.json"
    path.write_text(json.dumps({"config": {"a": 1}, "samples": [{"prompt": "a"}]}, indent=1))
    refused(lambda: read_scores(path), "one JSON object", "'samples'")


@pytest.mark.parametrize("value", [1e308, -1e200, complex(1, 2), float("inf"), "x", [1, "y"]])
def test_rewards_that_are_no_usable_numbers_are_told(value, refused):
    rows = [{"prompt": "a", "reward": value}]
    refused(lambda: read_scores(rows), "number")
    if not isinstance(value, (list, str)):
        refused(lambda: read_scores({"prompt": ["a"], "reward": np.array([value])}), "number")
        refused(lambda: read_scores(pd.DataFrame({"prompt": ["a"], "reward": [value]})), "number")


def test_columns_of_unequal_length_are_told(refused):
    refused(lambda: read_scores({"prompt": ["a", "b"], "reward": [1.0]}), "'prompt': 2", "length")


def test_a_nested_key_that_no_row_has_is_told(refused):
    rows = [{"prompt": "a", "scores": {"rm": 1.0}}]
    refused(lambda: read_scores(rows, reward="scores.gold"), "'scores'", "'gold'")


# -------------------------------------------------------------- which of several files is the base
def policies(seed, shift, prompts=40, samples=8):
    rng = np.random.default_rng(seed)
    return [
        {"prompt": str(p), "reward": float(x)}
        for p in range(prompts)
        for x in rng.normal(p + shift, 1.0, samples)
    ]


@pytest.mark.slow
def test_files_of_a_base_and_a_tuned_policy_are_not_pooled(tmp_path, refused):
    (tmp_path / "ok_a.jsonl").write_text(lines(policies(0, 0.0)))
    (tmp_path / "ok_b.jsonl").write_text(lines(policies(1, 1.0)))
    options = {"procedure": "bon:4", "transform": "log", "kl": 0.2}
    refused(lambda: it.predict(str(tmp_path / "ok_*.jsonl"), **options), "ok_a", "ok_b", "base=")
    found = it.predict(str(tmp_path / "ok_*.jsonl"), base="ok_a", **options)
    assert found.samples == 320
    (tmp_path / "base.jsonl").write_text(lines(policies(2, 0.0)))
    pair = [tmp_path / "base.jsonl", tmp_path / "ok_b.jsonl"]
    refused(lambda: it.predict(pair, **options), "base='base'")


@pytest.mark.slow
def test_shards_of_one_policy_are_pooled_and_told(tmp_path):
    for i in range(3):
        (tmp_path / f"part{i}.jsonl").write_text(lines(policies(i, 0.0)))
    options = {"procedure": "bon:4", "transform": "log", "kl": 0.2}
    found = it.predict(str(tmp_path / "part*.jsonl"), **options)
    assert found.samples == 960
    assert any("3 files are read as samples of one base" in note for note in found.notes)
    assert not any("files" in note for note in it.predict(tmp_path, **options).notes)


def test_equal_policies_in_two_files_are_seldom_refused(tmp_path):
    """Four standard errors: none of 60 pairs, continuous or with three grades."""
    from infalign_theory.empirical.prediction.files import one_policy
    from infalign_theory.empirical.scores.groups import Groups

    rng = np.random.default_rng(3)
    for _ in range(30):
        for draw in (lambda: rng.normal(size=(20, 5)), lambda: rng.integers(0, 3, (20, 5))):
            assert one_policy({"a": Groups.stack(draw()), "b": Groups.stack(draw())})


def test_a_column_called_policy_is_not_overlooked(refused):
    rows = [{"prompt": "a", "reward": i, "policy": "xy"[i % 2]} for i in range(6)]
    refused(lambda: read_scores(rows), "'policy'", "'x', 'y'", "base=")
    assert grouped(rows, policy="policy", base="x") == {"a": [0, 2, 4]}


@pytest.mark.slow
def test_a_mapping_of_policies_names_the_base():
    both = {"base": {"a": [1, 2]}, "tuned": {"a": [3, 4]}}
    assert grouped(both) == {"a": [1, 2]}
    assert grouped(both, base="tuned") == {"a": [3, 4]}


@pytest.mark.slow
def test_validate_reads_the_same_layouts(tmp_path):
    base, tuned = policies(0, 0.0), policies(1, 0.7)
    (tmp_path / "base.json").write_text(json.dumps(base))
    (tmp_path / "tuned.jsonl.gz").write_bytes(gzip.compress(lines(tuned).encode()))
    files = it.validate([tmp_path / "base.json", tmp_path / "tuned.jsonl.gz"], procedure="bon:2")
    memory = it.validate({"base": base, "tuned": tuned}, procedure="bon:2")
    assert files.policies["tuned"].win_rates == memory.policies["tuned"].win_rates


@pytest.mark.slow
def test_a_wide_table_of_two_policies_is_validated():
    rng = np.random.default_rng(0)
    columns = {f"base_{i}": rng.normal(size=30) for i in range(6)}
    columns |= {f"tuned_{i}": rng.normal(0.8, 1.0, 30) for i in range(6)}
    wide = pd.DataFrame({"prompt": np.arange(30), **columns})
    long = {
        name: [{"prompt": p, "reward": wide[f"{name}_{i}"][p]} for p in range(30) for i in range(6)]
        for name in ("base", "tuned")
    }
    found, expected = (it.validate(wide, wide=True), it.validate(long))
    assert found.policies["tuned"].win_rates == expected.policies["tuned"].win_rates
