"""Score tables: the same numbers whatever the file, and one clear message for bad ones."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from infalign_theory.empirical.scores.reading import read_scores
from infalign_theory.errors import InfalignError

ODD = 'x"; DROP TABLE source; --'
NAMES = [("prompt", "reward"), ("task id", "RM score"), ("Frage ü", "π/π_ref"), ("a'b", 'c"d')]
NAMES += [(ODD, "reward"), ("prompt", ODD), ("select", "from"), ("a,b", "c;d"), ("%s", "{}")]


def rows(seed=0):
    rng = np.random.default_rng(seed)
    prompts = ["a", "b, c", 'said "hi"', "zwölf", "2020-01-01", "007"]
    return [(p, float(x)) for p in prompts for x in np.round(rng.normal(size=5), 1) * (1 + 1e-12)]


def write(path, table, columns=("prompt", "reward")):
    frame = pd.DataFrame(table, columns=list(columns))
    if path.suffix == ".csv":
        frame.to_csv(path, index=False)
    elif path.suffix == ".parquet":
        import duckdb

        target = str(path).replace("'", "''")
        with duckdb.connect() as connection:
            connection.register("given", frame)
            connection.execute(f"COPY given TO '{target}' (FORMAT parquet)")
    else:
        lines = [json.dumps(dict(zip(columns, row, strict=True))) for row in table]
        path.write_text("\n".join(lines) + "\n")
    return path


def same(found, expected):
    assert found.prompts == expected.prompts
    np.testing.assert_array_equal(found.rewards.offsets, expected.rewards.offsets)
    np.testing.assert_array_equal(found.rewards.values, expected.rewards.values)


def expected_of(table):
    groups = {}
    for prompt, reward in table:
        groups.setdefault(str(prompt), []).append(reward)
    return {key: sorted(values) for key, values in groups.items()}


def as_groups(found):
    return {
        prompt: part.tolist()
        for prompt, part in zip(
            found.prompts, np.split(found.rewards.values, found.rewards.offsets[1:-1]), strict=True
        )
    }


@pytest.mark.slow
@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".ndjson", ".parquet", ".CSV"])
@pytest.mark.parametrize(("prompt", "reward"), NAMES)
def test_every_kind_of_file_and_any_column_names(tmp_path, suffix, prompt, reward):
    table = rows()
    np.random.default_rng(1).shuffle(table)
    path = tmp_path / f"scores{suffix}"
    if suffix == ".CSV":
        write(tmp_path / "x.csv", table, (prompt, reward)).rename(path)
    else:
        write(path, table, (prompt, reward))
    found = read_scores(path, prompt=prompt, reward=reward)
    assert as_groups(found) == expected_of(table)
    frame = pd.DataFrame(table, columns=[prompt, reward])
    same(read_scores(frame, prompt=prompt, reward=reward), found)
    same(read_scores(str(path), prompt=prompt, reward=reward), found)


@pytest.mark.slow
@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
def test_several_files_are_one_table(tmp_path, suffix):
    table = rows()
    whole = read_scores(write(tmp_path / f"all{suffix}", table))
    parts = [write(tmp_path / f"{i}{suffix}", table[start::3]) for i, start in enumerate((2, 0, 1))]
    same(read_scores(parts), whole)
    same(read_scores(tuple(reversed(parts))), whole)


@pytest.mark.slow
def test_files_of_different_kinds_and_number_types_are_one_table(tmp_path):
    """Whole numbers in one file must not round the fractions of the next."""
    first = tmp_path / "whole.jsonl"
    first.write_text('{"prompt": 1, "reward": 1}\n{"prompt": 1, "reward": 2}\n')
    for suffix in (".jsonl", ".csv", ".parquet"):
        second = write(tmp_path / f"rest{suffix}", [("abc", 2.6), ("1", 0.5)])
        found = read_scores([first, second])
        assert as_groups(found) == {"1": [0.5, 1.0, 2.0], "abc": [2.6]}
        same(read_scores([second, first]), found)


@pytest.mark.slow
def test_fractions_after_many_whole_numbers_keep_their_value(tmp_path):
    """A reader that guesses types from the first rows would round or refuse the last."""
    table = [("p", float(i % 3)) for i in range(30000)] + [("p", 0.6), ("q", 1.5)]
    csv = write(tmp_path / "a.csv", [(p, f"{x:g}") for p, x in table])
    lines = [json.dumps({"prompt": p, "reward": int(x) if x == int(x) else x}) for p, x in table]
    (tmp_path / "a.jsonl").write_text("\n".join(lines))
    found = read_scores(csv)
    assert as_groups(found)["q"] == [1.5]
    assert 0.6 in as_groups(found)["p"]
    same(read_scores(tmp_path / "a.jsonl"), found)


@pytest.mark.slow
def test_prompts_that_turn_to_text_late_are_read(tmp_path):
    lines = [json.dumps({"prompt": 1, "reward": 1.5})] * 30000
    lines.append(json.dumps({"prompt": "abc", "reward": 2.5}))
    (tmp_path / "a.jsonl").write_text("\n".join(lines))
    assert read_scores(tmp_path / "a.jsonl").prompts == ("1", "abc")


@pytest.mark.parametrize("late", ['"late, comma"', '"late"'])
def test_quotes_that_come_late_are_quotes(tmp_path, late):
    path = tmp_path / "a.csv"
    body = "".join(f"p{i % 7},{i}\n" for i in range(30000))
    path.write_text(f"prompt,reward\n{body}{late},5\n")
    assert late.strip('"') in read_scores(path).prompts


@pytest.mark.slow
@pytest.mark.parametrize(
    "pair",
    [
        ("2020-01-01", "2020-1-1"), ("12:00:00", "12:00:00.0"), ("1", "01"), ("1", "1.0"),
        ("123e4567-e89b-12d3-a456-426614174000", "123E4567-E89B-12D3-A456-426614174000"),
        ("a", "A"), ("a", "a "), ("true", "True"), ("#a", "a"), ("", " "), ("null", "NULL"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
def test_prompts_are_text_and_stay_apart(tmp_path, pair, suffix):
    if "" in pair and suffix == ".csv":
        pytest.skip("an empty field of a CSV file is a missing one")
    path = write(tmp_path / f"a{suffix}", [(pair[0], 1.0), (pair[1], 2.0)])
    assert as_groups(read_scores(path)) == {pair[0]: [1.0], pair[1]: [2.0]}


@pytest.mark.slow
def test_numeric_prompts_read_alike(tmp_path):
    table = [(i, float(i)) for i in (3, 1, 20, 100)]
    found = read_scores(write(tmp_path / "a.csv", table))
    same(read_scores(write(tmp_path / "a.jsonl", table)), found)
    same(read_scores(write(tmp_path / "a.parquet", table)), found)
    same(read_scores(pd.DataFrame(table, columns=["prompt", "reward"])), found)
    assert set(found.prompts) == {"1", "3", "20", "100"}


@pytest.mark.parametrize(
    "name", ["a[1].csv", "a*.csv", "a?.csv", "a{1,2}.csv", "a b.csv", "ü'.csv"]
)
def test_a_path_is_a_path_and_no_pattern(tmp_path, name):
    for other in ("a1.csv", "ab.csv", "a2.csv"):
        write(tmp_path / other, [("wrong", 1.0)])
    assert as_groups(read_scores(write(tmp_path / name, [("right", 2.0)]))) == {"right": [2.0]}


@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
@pytest.mark.parametrize("folder", ["reward=5", "prompt=5", "policy=base"])
def test_folder_names_are_no_columns(tmp_path, suffix, folder):
    (tmp_path / folder).mkdir()
    path = write(tmp_path / folder / f"a{suffix}", [("p", 1.0), ("q", 2.0)])
    assert as_groups(read_scores(path)) == {"p": [1.0], "q": [2.0]}


TABLE = {"a": [1.0, 2.0], "b, c": [-3.5]}
LAST = b'{"prompt":"b, c","reward":-35e-1}'


@pytest.mark.parametrize(
    "text",
    [
        b'prompt,reward\na,1\na,2\n"b, c",-3.5\n',
        b'\xef\xbb\xbfprompt,reward\na,1\na,2\n"b, c",-3.5\n',
        b'prompt,reward\r\na,1\r\na,2\r\n"b, c",-3.5\r\n',
        b'"prompt","reward"\n"a","1"\n"a","2.0"\n"b, c","-35e-1"',
        b'other,reward,prompt\n,1,a\n,2,a\nx,-3.5,"b, c"\n',
        b'prompt,reward\na,1\n\na, 2\n"b, c",-3.5 \n\n',
    ],
)
def test_csv_as_programs_write_it(tmp_path, text):
    path = tmp_path / "a.csv"
    path.write_bytes(text)
    assert as_groups(read_scores(path)) == TABLE


@pytest.mark.parametrize(
    "text",
    [
        b'{"prompt":"a","reward":1}\r\n{"prompt":"a","reward":2}\r\n\r\n' + LAST,
        b'{"reward":1,"prompt":"a","z":[1]}\n{"prompt":"a","reward":2.0}\n' + LAST,
    ],
)  # fmt: skip
def test_json_lines_as_programs_write_them(tmp_path, text):
    path = tmp_path / "a.jsonl"
    path.write_bytes(text)
    assert as_groups(read_scores(path)) == TABLE


def test_json_lines_with_a_byte_order_mark_are_refused(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_bytes(b"\xef\xbb\xbf" + LAST)
    with pytest.raises(InfalignError, match="byte order mark"):
        read_scores(path)


@pytest.mark.slow
@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
def test_a_verifiers_true_and_false_are_one_and_zero(tmp_path, suffix):
    path = write(tmp_path / f"a{suffix}", [("a", True), ("a", False), ("b", True)])
    assert as_groups(read_scores(path)) == {"a": [0.0, 1.0], "b": [1.0]}
    frame = pd.DataFrame({"prompt": ["a", "a", "b"], "reward": [True, False, True]})
    assert as_groups(read_scores(frame)) == {"a": [0.0, 1.0], "b": [1.0]}


@pytest.mark.slow
def test_line_breaks_and_quotes_inside_prompts(tmp_path):
    table = [
        ("two\nlines", 1.0),
        ('"', 2.0),
        ("'", 3.0),
        ("\\", 4.0),
        ("#x", 5.0),
        ("a;b|c\t", 6.0),
    ]
    for suffix in (".csv", ".jsonl", ".parquet"):
        found = read_scores(write(tmp_path / f"a{suffix}", table))
        assert as_groups(found) == expected_of(table)


# ------------------------------------------------------------------------------------- bad tables
BAD_CSV = {
    "header only": (b"prompt,reward\n", "no rows"),
    "empty": (b"", "empty"),
    "text": (b"prompt,reward\na,1\na,good\n", "1 of 2.*'good'"),
    "nan": (b"prompt,reward\na,1\na,nan\n", "1 of 2.*'nan'"),
    "inf": (b"prompt,reward\na,-inf\na,1\n", "1 of 2.*'-inf'"),
    "blank": (b"prompt,reward\na,1\na,\n", "1 of 2.*missing"),
    "overflow": (b"prompt,reward\na,1e400\na,1\n", "1 of 2"),
    "decimal comma": (b'prompt,reward\na,"1,5"\n', "1,5"),
    "hex": (b"prompt,reward\na,0x10\n", "0x10"),
    "no prompt": (b"prompt,reward\n,1\n", "prompt"),
    "missing column": (b"prompt,score\na,1\n", "'reward'.*prompt, score"),
    "case": (b"Prompt,Reward\na,1\n", "'prompt'.*Prompt, Reward"),
    "not utf-8": (b"prompt,reward\n\xff\xfe,1\n", ""),
    "latin-1": ("prompt,reward\ncafé,1\n".encode("latin-1"), ""),
    "utf-16": ("prompt,reward\na,1\n".encode("utf-16"), ""),
    "zeros": (b"\0" * 100, ""),
    "blank line": (b"\n", ""),
}


@pytest.mark.parametrize("case", BAD_CSV)
def test_bad_csv_is_refused_in_one_line(tmp_path, case):
    content, pattern = BAD_CSV[case]
    path = tmp_path / "a.csv"
    path.write_bytes(content)
    with pytest.raises(InfalignError, match=pattern or ".") as caught:
        read_scores(path)
    message = str(caught.value)
    assert "\n" not in message
    assert "\0" not in message
    assert len(message) < 400


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
def test_binary_junk_is_refused(tmp_path, suffix, seed):
    path = tmp_path / f"junk{suffix}"
    path.write_bytes(np.random.default_rng(seed).bytes(4000))
    with pytest.raises(InfalignError) as caught:
        read_scores(path)
    assert str(caught.value).isprintable()


@pytest.mark.parametrize(
    "text",
    [
        '{"prompt":1,"reward":1}\n{"prompt":1,"rew\n', "1\n2\n", "[1,2]\n", "null\n", "{}\n",
        '{"prompt":1,"reward":"x"}\n', '{"prompt":1,"reward":null}\n', '{"prompt":1}\n',
        '{"prompt":1,"reward":NaN}\n', '{"prompt":1,"reward":[[1]]}\n', "not json\n", " \n",
        '{"prompt":1,"reward":1}\n{"prompt":1}\n', '{"prompt":null,"reward":1}\n',
        '{"prompt":1,"reward":true}\n{"prompt":1,"reward":2}\n',
    ],
)  # fmt: skip
def test_bad_json_lines_are_refused(tmp_path, text):
    path = tmp_path / "a.jsonl"
    path.write_text(text)
    with pytest.raises(InfalignError) as caught:
        read_scores(path)
    assert "\n" not in str(caught.value)


def test_a_bad_row_says_in_which_file(tmp_path):
    good = write(tmp_path / "good.csv", [("a", 1.0)])
    (tmp_path / "worse.csv").write_text("prompt,score\na,1\n")
    with pytest.raises(InfalignError, match=r"worse\.csv"):
        read_scores([good, tmp_path / "worse.csv"])


def test_a_second_file_may_carry_more_columns(tmp_path):
    first = write(tmp_path / "a.csv", [("a", 1.0)])
    second = tmp_path / "b.csv"
    second.write_text("prompt,extra,reward\na,x,2\n")
    assert as_groups(read_scores([first, second])) == {"a": [1.0, 2.0]}


def test_bad_paths_are_refused(tmp_path):
    (tmp_path / "a.txt").write_text("prompt,reward\na,1\n")
    (tmp_path / "folder.csv").mkdir()
    bad = [
        "missing.csv",
        tmp_path / "a.txt",
        tmp_path / "folder.csv",
        "",
        "a\0b.csv",
        "x" * 5000 + ".csv",
        [],
        [tmp_path, "b.csv"],
    ]
    for path in bad:
        with pytest.raises(InfalignError) as caught:
            read_scores(path)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "table",
    [None, 5, {"prompt": ["a"]}, [{"prompt": 1}], b"abc", [1], object(), 1j, [{"prompt": 1}, 2]],
)
def test_things_that_are_no_table_are_refused(table):
    with pytest.raises(InfalignError):
        read_scores(table)


@pytest.mark.slow
def test_frames_that_hold_no_scores_are_refused():
    bad = [
        pd.DataFrame(),
        pd.DataFrame({"prompt": [], "reward": []}),
        pd.DataFrame({"prompt": ["a", "b"], "reward": [1.0, np.nan]}),
        pd.DataFrame({"prompt": ["a", "b"], "reward": [1.0, np.inf]}),
        pd.DataFrame({"prompt": ["a", None], "reward": [1.0, 2.0]}),
        pd.DataFrame({"prompt": ["a"], "reward": ["x"]}),
        pd.DataFrame({"prompt": ["a"], "reward": pd.to_datetime(["2020"])}),
        pd.DataFrame({"prompt": ["a", "a"], "reward": [True, 0.5]}),
        pd.DataFrame({"reward": [1.0]}),
    ]
    for frame in bad:
        with pytest.raises(InfalignError):
            read_scores(frame)


def test_columns_named_alike_but_for_case_are_refused(tmp_path):
    table = [("a", 1.0, 9.0)]
    columns = ("prompt", "Reward", "reward")
    for suffix in (".csv", ".jsonl"):
        path = write(tmp_path / f"a{suffix}", table, columns)
        for name in ("reward", "Reward"):
            with pytest.raises(InfalignError, match=r"'Reward', 'reward'.*rename"):
                read_scores(path, reward=name)


# --------------------------------------------------------------------------------------- policies
@pytest.mark.slow
def test_one_policy_out_of_several(tmp_path):
    table = [("a", 1.0, "base"), ("a", 2.0, "tuned"), ("b", 3.0, "base"), ("c", 4.0, "tuned")]
    for suffix in (".csv", ".jsonl", ".parquet"):
        path = write(tmp_path / f"a{suffix}", table, ("prompt", "reward", "who's"))
        found = read_scores(path, policy="who's", base="base")
        assert as_groups(found) == {"a": [1.0], "b": [3.0]}
        with pytest.raises(InfalignError, match=r"2 policies.*'base', 'tuned'.*--base"):
            read_scores(path, policy="who's")
        with pytest.raises(InfalignError, match=r"'x' OR 1=1.*'base', 'tuned'"):
            read_scores(path, policy="who's", base="'x' OR 1=1")
        with pytest.raises(InfalignError, match="policy="):
            read_scores(path, base="base")
        with pytest.raises(InfalignError, match=r"'nope' is not in .*a[.]"):
            read_scores(path, policy="nope", base="base")


def test_a_single_policy_needs_no_name(tmp_path):
    path = write(tmp_path / "a.csv", [("a", 1.0, "m")], ("prompt", "reward", "policy"))
    assert as_groups(read_scores(path, policy="policy")) == {"a": [1.0]}


def test_bad_rewards_of_other_policies_do_not_matter(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("prompt,reward,policy\na,1,base\na,,tuned\n")
    assert as_groups(read_scores(path, policy="policy", base="base")) == {"a": [1.0]}


@pytest.mark.slow
def test_polars_is_read_without_pyarrow():
    """Not every environment with Polars has pyarrow, which DuckDB would want for it."""
    code = (
        "import sys; sys.modules['pyarrow'] = None; import polars as pl; "
        "from infalign_theory.empirical.scores.reading import read_scores; "
        "t = pl.DataFrame({'prompt': ['b', 'a', 'a'], 'reward': [1.5, 3, 2], 'c': list('xyz')}); "
        "s = read_scores(t); print(s.prompts, s.rewards.values.tolist())"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "('a', 'b') [2.0, 3.0, 1.5]"
