"""Conditions of --where: what they choose, and that they can do nothing else."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curator.errors import ConditionError, InputError
from curator.pair import Message, Pair, Verdict, Vote
from curator.resources import first_error
from curator.store import Store, open_store
from curator.store.filters import matching, parse_condition
from curator.store.pairs import replace_input
from tests.conftest import Cli, judgments, pairs, read_rows, write_rows

ROWS = [
    Pair(
        (Message("system", "be brief"), Message("user", f"Say 世界 {i} times")),
        "word " * i + "end",
        f"b{i}",
        (Vote(Verdict.A, strength=float(i)),) if i % 2 else (),
        metadata={"domain": "code" if i < 4 else "it's law", "n": i},
        file="raw.jsonl",
        line=i,
    )
    for i in range(10)
]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    with open_store(tmp_path_factory.mktemp("filters") / "store.duckdb") as opened:
        replace_input(opened, [("pool", ROWS)])
        yield opened


def lines(store: Store, text: str) -> list[int]:
    condition = parse_condition(store, text)
    found = [line for (line,) in store.rows(f"SELECT line FROM pair WHERE {condition.sql} ORDER BY line")]
    assert matching(store, condition) == len(found)
    return found


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("metadata->>'domain' = 'code'", [0, 1, 2, 3]),
        ("metadata->>'domain' = 'it''s law' AND (metadata->>'n')::INT > 7", [8, 9]),
        ("words_a <= 3 -- at most", [0, 1, 2]),
        ("words_prompt = 7 AND characters_b = 2 AND prompt_turns = 2", list(range(10))),  # 世 and 界 are two words
        ("prompt LIKE 'be brief%Say%5 times'", [5]),
        ("line = 1 OR line = 9", [1, 9]),
        ("EXAMPLE.Line BETWEEN 2 AND 3", [2, 3]),
        ("verdict = 'a' AND label_source = 'human' AND strength >= 5", [5, 7, 9]),
        ("p_a > 0.5", []),  # of nothing judged it is not true
        ("NOT p_a > 0.5", []),
        ("bpe IS NULL\n/* always */", list(range(10))),
        ("list_sum(list_transform([line], lambda x: x + 1)) = 3", [2]),
        ("CASE WHEN line > 7 THEN regexp_matches(response_b, 'b[89]') ELSE false END", [8, 9]),
    ],
)
def test_a_condition_chooses_pairs(store: Store, text: str, expected: list[int]) -> None:
    assert lines(store, text) == expected


REFUSED = {
    "": "SELECT clause without selection list",
    "line = 1) OR (true": 'syntax error at or near ")"',
    "true) UNION SELECT pair_id FROM pair WHERE (true": 'syntax error at or near ")"',
    "line = 1; DROP TABLE pair": "SELECT",
    "line = 1 /* and": "unterminated",
    "line FRO = 1": "character 10: syntax error",
    "line = 1 FROM pair": "one expression",
    "line = 1 ORDER BY 1": "one expression",
    "line = 1 USING SAMPLE 1": "one expression",
    "line = 1, line = 2": "one expression",
    "line AS other": "one expression",
    "pair_id IN (SELECT pair_id FROM human_label)": "subquery",
    "EXISTS (FROM read_text('/etc/hostname'))": "subquery",
    "read_csv('/etc/hostname') = 1": "no function read_csv",
    "read_text('/etc/hostname') = 1": "no function read_text",
    "getenv('HOME') = 'x'": "no function getenv",
    "current_setting('threads') = '1'": "no function current_setting",
    "nextval('label_number') > 0": "no function nextval",
    "setseed(0.5) IS NULL": "no function setseed",
    "write_log('x') IS NULL": "no function write_log",
    "sleep_ms(10000) IS NULL": "no function sleep_ms",
    "random() < 0.5": "no function random",
    "current_date > '2020-01-01'": "no function current_date",
    "system.main.now() IS NULL": "without a schema",
    "count(*) > 1": "no function count_star",
    "row_number() OVER () = 1": "window",
    "COLUMNS(*) IS NULL": "star",
    "line = $1": "parameter",
    "line = ?": "parameter",
    "COPY pair TO '/tmp/x'": "syntax error",
    "ATTACH '/tmp/x'": "does not exist",
    "INSTALL httpfs": "one expression",
    "PRAGMA database_list": "one expression",
    "SET threads = 1": "syntax error",
    "elephant = 1": 'Referenced column "elephant" not found',
    "human_label.verdict = 'a'": "not found",
    "(metadata->>'domain')::INT > 3": "Could not convert string 'code' to INT32",
    "regexp_matches(prompt, '(')": "missing )",
    "line = 1\0": "zero byte",
}


@pytest.mark.parametrize("text", REFUSED)
def test_whatever_is_no_condition_is_refused_in_plain_words(store: Store, text: str) -> None:
    with pytest.raises(ConditionError) as error:
        matching(store, parse_condition(store, text))
    assert REFUSED[text] in str(error.value)
    assert store.count("SELECT count(*) FROM pair") == len(ROWS)


def test_an_error_points_at_its_place(store: Store) -> None:
    with pytest.raises(ConditionError) as error:
        parse_condition(store, "line = 1 AND\nrandom() < 1")
    said, shown, mark = str(error.value).splitlines()
    assert said == "condition, character 14: no function random may be used in a condition"
    assert shown[mark.index("^") :] == "random() < 1"


_PIECES = (
    "line",
    "'x'",
    "(",
    ")",
    "=",
    ";",
    "--",
    "/*",
    "*/",
    "\n",
    "OR",
    "SELECT",
    "pair",
    "FROM",
    "random()",
    "1",
    "$1",
)


@given(st.lists(st.sampled_from(_PIECES), max_size=8).map(" ".join) | st.text(max_size=20))
@settings(max_examples=150, deadline=None)
def test_any_text_is_a_condition_or_refused(store: Store, text: str) -> None:
    try:
        count = matching(store, parse_condition(store, text))
    except ConditionError:
        return
    assert 0 <= count <= len(ROWS)
    assert store.count("SELECT count(*) FROM pair") == len(ROWS)
    assert (
        not {"SELECT", ";", "random()", "$1"} & set(text.partition("--")[0].replace("'x'", "").split()) or "/*" in text
    )


@given(st.integers(0, 9), st.sampled_from(["<", "<=", "=", "<>", ">", ">="]), st.booleans())
@settings(max_examples=30, deadline=None)
def test_comparisons_are_those_of_python(store: Store, value: int, sign: str, negated: bool) -> None:
    python = {"=": "==", "<>": "!="}.get(sign, sign)
    expected = [i for i in range(10) if bool(eval(f"{i} {python} {value}")) != negated]
    assert lines(store, f"{'NOT ' if negated else ''}(metadata->>'n')::INT {sign} {value}") == expected


def test_file_and_line_are_those_of_this_input(tmp_path: Path) -> None:
    with open_store(tmp_path / "store.duckdb") as other:
        replace_input(other, [("pool", ROWS)])
        replace_input(other, [("pool", [replace(ROWS[9], file="new.jsonl", line=1)])])
        assert matching(other, parse_condition(other, "file = 'new.jsonl' AND line = 1")) == 1
        assert matching(other, parse_condition(other, "line = 9")) == 0


def test_traits_that_are_not_there_name_the_command(store: Store) -> None:
    with pytest.raises(InputError, match=r"language_a, which 10 pairs do not have yet: run `curator hygiene --db .*`"):
        matching(store, parse_condition(store, "language_a = 'en'"))
    with pytest.raises(InputError, match=r"no evaluation set is known: run `curator hygiene --db .* --against FILE`"):
        matching(store, parse_condition(store, "against IS NULL"))


@pytest.fixture
def raw(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """300 pairs, the even ones about code, 60 of them labelled; with a duplicate and a bad row."""
    monkeypatch.setattr("curator.steps.unchanged.SETTLED_SECONDS", -3600.0)
    rows = pairs(300, labelled=60)
    for i, row in enumerate(rows):
        row["topic"] = "law" if i % 3 else "code"
    write_rows(tmp_path / "log.jsonl", judgments(300, wrong=range(50, 300, 7)))
    return write_rows(tmp_path / "raw.jsonl", [*rows, rows[0], {"prompt": "x"}])


def label(cli: Cli, raw: Path, *more: object) -> int:
    folder = raw.parent
    return cli("label", raw, "--judgments", folder / "log.jsonl", "--out", folder / "out", *more)


def test_label_judges_draws_and_counts_only_what_the_condition_leaves(cli: Cli, raw: Path) -> None:
    out = raw.parent / "out"
    assert label(cli, raw, "--where", "metadata->>'topic' = 'law'", "--alpha", "0.2") == 0
    assert "rows         302 = 200 pairs + 1 duplicates + 1 rejects + 100 left out by --where" in cli.out
    result = json.loads((out / "run.json").read_text())
    assert first_error("run", result) is None
    assert result["rows"] == result["pairs"] + result["duplicates"] + result["rejected"] + result["filtered"] == 302
    assert (result["pairs"], result["filtered"], result["where"]) == (200, 100, "metadata->>'topic' = 'law'")
    assert result["calibration"]["n"] == 40
    assert result["pool"] == 160
    with open_store(out / "curator.duckdb", read_only=True) as store:
        judged = "SELECT DISTINCT metadata->>'topic' FROM (SELECT pair_id FROM judgment) JOIN pair USING (pair_id)"
        assert store.rows(judged) == [("law",)]
        assert store.count("SELECT count(*) FROM pair") == 300
    # The same again is over at once; another condition is another input, and the rest is judged then.
    assert label(cli, raw, "--where", "metadata->>'topic' = 'law'", "--alpha", "0.2") == 0
    assert "unchanged since the last run" in cli.err
    card = (out / "dataset" / "README.md").read_text().replace("\\", "")
    assert "Only pairs that meet a condition were taken: metadata->>'topic' = 'law'." in card.replace("&gt;", ">")
    assert "of pairs where metadata->>'topic' = 'law', and no others" in cli.out
    assert "other pool before" not in {doubt["name"] for doubt in result["doubts"]}
    assert cli("calibrate", "--db", out / "curator.duckdb", "--alpha", "0.2") == 0
    assert "of pairs where metadata->>'topic' = 'law', and no others" in cli.out
    assert label(cli, raw, "--alpha", "0.2") == 0
    # Which pairs the promise is about was chosen with the labels at hand.
    assert "pairs were taken by another condition (--where) before" in " ".join(cli.out.split())
    assert "rows         302 = 300 pairs + 1 duplicates + 1 rejects\n" in cli.out


def test_the_draw_is_of_the_pairs_that_are_left(cli: Cli, raw: Path) -> None:
    assert label(cli, raw, "--where", "metadata->>'topic' = 'law'", "--ignore-labels", "--alpha", "0.2") == 4
    with open_store(raw.parent / "out" / "curator.duckdb", read_only=True) as store:
        topics = store.rows("SELECT DISTINCT metadata->>'topic' FROM draw JOIN pair USING (pair_id)")
        first = store.rows("SELECT pair_id FROM draw ORDER BY position")
        every = store.rows(
            "SELECT pair_id FROM example ORDER BY md5((SELECT value FROM setting WHERE name = 'seed') || pair_id)"
        )
    assert topics == [("law",)]
    assert first == every[: len(first)]
    assert 0 < len(first) < 200


def test_rows_of_a_calibration_file_are_left_out_alike(cli: Cli, raw: Path) -> None:
    rows = read_rows(raw)[:300]
    write_rows(raw, rows[100:])
    known = write_rows(raw.parent / "known.jsonl", [{**row, "label": row["label"] or "a"} for row in rows[:100]])
    label(cli, raw, "--where", "metadata->>'topic' = 'law'", "--calibration", known)
    result = json.loads((raw.parent / "out" / "run.json").read_text())
    assert result["calibration_file"] == {"pairs": 66, "duplicates": 0, "rejected": 0, "filtered": 34}
    assert (result["pairs"], result["filtered"], result["calibration"]["n"]) == (134, 66, 66)


def test_what_judges_or_people_say_cannot_choose_what_is_labelled(cli: Cli, raw: Path) -> None:
    for column in ("verdict", "label_source", "p_a", "bpe", "decision", "strength"):
        assert label(cli, raw, "--where", f"{column} IS NULL") == 2
        assert f"the condition names {column}: which pairs are labelled at all must not hang" in cli.err
    assert not (raw.parent / "out" / "run.json").exists()
    assert label(cli, raw, "--where", "line = 1; SELECT 1") == 2
    assert label(cli, raw, "--where", "line = 0") == 1
    assert "no pair of the input meets the condition 'line = 0'" in cli.err


def test_label_finds_the_traits_that_a_condition_names(cli: Cli, raw: Path) -> None:
    rows = read_rows(raw)[:300]
    for i, row in enumerate(rows):
        row["prompt"] = "Wie backt man ein gutes Brot zu Hause?" if i < 100 else f"How does one bake bread number {i}?"
    write_rows(raw, rows)
    label(cli, raw, "--where", "language_prompt = 'de'")
    result = json.loads((raw.parent / "out" / "run.json").read_text())
    assert (result["pairs"], result["filtered"]) == (100, 200)
    # What is known of evaluation sets changes what a condition means, though no file has changed.
    assert label(cli, raw, "--where", "against IS NULL") == 1
    assert "no evaluation set is known" in cli.err
    db = raw.parent / "out" / "curator.duckdb"
    known = write_rows(raw.parent / "test.jsonl", [{"question": rows[0]["prompt"]}])
    assert cli("hygiene", "--db", db, "--against", known) == 0
    label(cli, raw, "--where", "against IS NULL")
    assert json.loads((raw.parent / "out" / "run.json").read_text())["pairs"] == 200
    write_rows(known, [{"question": rows[200]["prompt"]}])
    assert cli("hygiene", "--db", db, "--against", known) == 0
    label(cli, raw, "--where", "against IS NULL")
    assert json.loads((raw.parent / "out" / "run.json").read_text())["pairs"] == 299


def test_export_writes_what_is_chosen_and_says_that_nothing_is_promised_of_it(cli: Cli, raw: Path) -> None:
    assert label(cli, raw, "--alpha", "0.2") == 0
    db, out = raw.parent / "out" / "curator.duckdb", raw.parent / "chosen"
    found = cli.json(
        "export", "--db", db, "--out", out, "--where", "label_source = 'auto' AND metadata->>'topic'='law'"
    )
    with open_store(db, read_only=True) as store:
        expected = store.count(
            """SELECT count(*) FROM decision JOIN pair USING (pair_id)
            WHERE label IS NOT NULL AND metadata->>'topic' = 'law'
              AND pair_id NOT IN (SELECT pair_id FROM human_label)"""
        )
    assert (found["auto"], found["human"]) == (expected, 0)
    card = (out / "README.md").read_text()
    every = sum(json.loads((raw.parent / "out" / "run.json").read_text())["dataset"].values())
    assert f"**These are {expected} of {every} rows, chosen:** where label\\_source = 'auto'" in card
    assert "It does not hold for those that were chosen" in card
    assert cli("export", "--db", db, "--out", raw.parent / "other", "--where", "elephant") == 2
    assert not (raw.parent / "other").exists()


def test_a_queue_of_chosen_tasks_leaves_random_draws_whole(cli: Cli, raw: Path) -> None:
    assert label(cli, raw, "--ignore-labels", "--alpha", "0.2") == 4
    db, out = raw.parent / "out" / "curator.duckdb", raw.parent / "tasks"
    found = cli.json("queue", "--db", db, "--out", out, "--where", "metadata->>'topic' = 'code'")
    tasks = [row for path in found["files"] for row in read_rows(Path(path))]
    with open_store(db, read_only=True) as store:
        drawn = {pair_id for (pair_id,) in store.rows("SELECT pair_id FROM draw")}
        code = {pair_id for (pair_id,) in store.rows("SELECT pair_id FROM pair WHERE metadata->>'topic' = 'code'")}
    assert {row["pair_id"] for row in tasks} == code - drawn
    assert found["left_out"]["calibration_draw"] == len(code & drawn) > 0
    assert cli("queue", "--db", db, "--out", out, "--where", "SELECT") == 2
