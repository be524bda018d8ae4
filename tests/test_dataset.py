"""Which pairs become examples of the training data set, and what is known of them."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from curator.options import Wanted
from curator.pair import Message, Pair, Verdict, Vote
from curator.softening import Softening
from curator.store import Store, open_store
from curator.store.dataset import dataset, dataset_counts, examples
from curator.store.pairs import replace_input
from tests.conftest import Cli, judgments, pairs, read_rows, write_rows

A, B, TIE, SKIP = Verdict.A, Verdict.B, Verdict.TIE, Verdict.SKIP


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with open_store(tmp_path / "s.duckdb") as opened:
        yield opened


def pair(a: str, b: str, *votes: Vote | Verdict, prompt: Sequence[Message] | str = "q", **metadata: Any) -> Pair:
    said = tuple(vote if isinstance(vote, Vote) else Vote(vote, f"person {place}") for place, vote in enumerate(votes))
    turns = (Message("user", prompt),) if isinstance(prompt, str) else tuple(prompt)
    return Pair(turns, a, b, said, metadata=metadata, file="raw.jsonl", line=1)


def accept(store: Store, pair: Pair, label: str, log_odds: float = 2.0) -> None:
    """What a decision writes of an accepted pair."""
    p = 1 / (1 + math.exp(-log_odds))
    p_a = p if label == "a" else 1 - p
    odds = log_odds if label == "a" else -log_odds
    store.rows("INSERT INTO score VALUES (?, 'j', ?, ?, 0, ?, 0.3)", [pair.pair_id, p_a, 1 - p_a, odds])
    store.rows("INSERT INTO decision VALUES (?, 1, 'accept', ?, 'sure')", [pair.pair_id, label])


def fill(store: Store, *rows: Pair, auto: dict[int, str] | None = None) -> None:
    replace_input(store, [("pool", rows)])
    for place, label in (auto or {}).items():
        accept(store, rows[place], label)


def found(store: Store, slope: float | None = None, test: float = 0.0, **wanted: Any) -> list[dict[str, Any]]:
    made = examples(store, Wanted(test=test, **wanted), slope and Softening(slope, None, 3.0, 40, 0))
    return [row for batch in dataset(store, made, test) for row in batch.to_pylist()]


def better(rows: list[dict[str, Any]]) -> list[tuple[str, str]]:
    return [(row["response_a"] if row["a_chosen"] else row["response_b"], row["label_source"]) for row in rows]


@pytest.mark.parametrize(
    ("first", "second", "auto", "kept", "left_out"),
    [
        ((A,), (B,), {}, [("x", "human")], {"same responses again": 1}),
        ((A,), (A,), {}, [], {"contradict each other": 2}),
        ((), (), {0: "a", 1: "b"}, [("x", "auto")], {"same responses again": 1}),
        ((), (), {0: "a", 1: "a"}, [], {"contradict each other": 2}),
        ((), (A,), {0: "a"}, [("y", "human")], {"same responses again": 1}),
        ((), (B,), {0: "a"}, [("x", "human")], {"same responses again": 1}),
        ((TIE,), (), {1: "a"}, [], {"same responses again": 1, "called equal": 1}),
        ((TIE,), (A,), {}, [], {"contradict each other": 2}),
        ((SKIP,), (), {1: "a"}, [("y", "auto")], {}),
    ],
    ids=str,
)
def test_the_same_responses_on_swapped_sides_are_one_example(
    store: Store, first: Any, second: Any, auto: dict[int, str], kept: list[Any], left_out: dict[str, int]
) -> None:
    """The pairs (x, y) and (y, x): people's verdict wins, and two of one kind that contradict each other both go."""
    other = pair("x", "y", A, prompt="another question")
    fill(store, pair("x", "y", *first), pair("y", "x", *second), other, auto=auto)
    assert better(found(store)) == [*kept, ("x", "human")]
    assert examples(store, Wanted()).left_out == left_out
    human = sum(source == "human" for _, source in kept) + 1
    assert dataset_counts(store) == {"auto": len(kept) + 1 - human, "human": human}


def test_the_soft_label_and_the_strength(store: Store) -> None:
    rows = [
        pair("1", "x", A),
        pair("2", "x", A, A, B),
        pair("x", "4", Vote(B, "p", 3.0), Vote(B, "q", 2.0), Vote(A, "r", 9.0), Vote(TIE, "s")),
        pair("5", "x", A, Vote(SKIP, "nobody", 1.0)),
        pair("6", "x"),
        pair("x", "7"),
    ]
    fill(store, *rows, auto={4: "a", 5: "b"})
    made = found(store, slope=0.5)
    assert [(row["p_target"], row["strength"]) for row in made[:4]] == [
        (0.75, None), (2.5 / 4, None), ((2 + 0.5 + 0.5) / 5, 2.5), (0.75, None)
    ]  # fmt: skip
    calibrated = 1 / (1 + math.exp(-1.0))
    assert [row["p_target"] for row in made[4:]] == pytest.approx([calibrated, calibrated])
    assert [row["p_chosen"] for row in made[4:]] == pytest.approx([1 / (1 + math.exp(-2.0))] * 2)
    assert [row["p_target"] for row in found(store)[4:]] == [None, None], "nothing is calibrated"


def test_no_auto_label_is_surer_than_what_the_slope_was_fitted_on(store: Store) -> None:
    """Bare verdicts have infinite log-odds; p_target 1 would say that such a judge is never wrong."""
    rows = [pair("1", "x"), pair("2", "x"), pair("3", "x")]
    fill(store, *rows)
    for row, log_odds in zip(rows, (math.inf, 50.0, 2.0), strict=True):
        accept(store, row, "b", log_odds)
    most, some = (1 / (1 + math.exp(-0.5 * log_odds)) for log_odds in (3.0, 2.0))
    assert [row["p_target"] for row in found(store, slope=0.5)] == pytest.approx([most, most, some])


def test_only_what_is_wanted(store: Store) -> None:
    rows = [pair("1", "x", A), pair("2", "x", Vote(A, "p", 0.5)), pair("3", "x", Vote(A, "p", 2.0)), pair("4", "x")]
    fill(store, *rows, auto={3: "a"})
    assert better(found(store, only="auto")) == [("4", "auto")]
    assert better(found(store, only="human")) == [("1", "human"), ("2", "human"), ("3", "human")]
    # 1 has no strength of its own, but log-odds of ln 3; 4 has log-odds of 2 where the slope is known.
    assert better(found(store, slope=1.0, min_strength=1.0)) == [("1", "human"), ("3", "human"), ("4", "auto")]
    assert better(found(store, slope=1.0, min_strength=1.5)) == [("3", "human"), ("4", "auto")]
    assert better(found(store, min_strength=1.5)) == [("3", "human")]
    people = examples(store, Wanted(only="human", min_strength=1.0))
    assert people.left_out == {"not human": 1, "weak": 1}
    assert people.chosen == (
        "only human labels",
        "strength at least 1, of which 2 by the strength that the raw file states, in its unit and 1 by the log-odds "
        "of p_target (two scales)",
    )
    # Without a slope nothing says how strong an auto label is: such a row is not weak, and is counted by itself.
    unknown = examples(store, Wanted(min_strength=1.5))
    assert unknown.left_out == {"of unknown strength": 1, "weak": 2}
    assert (unknown.every, examples(store, Wanted()).chosen) == (4, ())


def test_rows_that_were_chosen_are_named_on_the_card_and_on_the_screen(cli: Cli, tmp_path: Path) -> None:
    raw = write_rows(tmp_path / "raw.jsonl", pairs(60, labelled=25))
    assert cli("label", raw, "--judgments", write_rows(tmp_path / "log.jsonl", judgments(60, wrong=[]))) == 0
    options = ("--db", tmp_path / "raw.curated" / "curator.duckdb", "--to", "trl-kto", "--only", "auto")
    assert cli("export", *options, "--min-strength", "1", "--out", tmp_path / "strong") == 0
    screen, card = " ".join(cli.out.split()), (tmp_path / "strong" / "README.md").read_text()
    assert "35 of unknown strength" in screen
    for text in (screen, card.replace("\\", "")):
        assert "only auto labels; strength at least 1, of which nothing is known; the judge's labels have" in text
        assert "25 labelled pairs on which the judge has a preference: a slope takes 30" in text
    assert "**These are 0 of 120 rows, chosen:**" in card
    assert cli("export", *options, "--out", tmp_path / "auto") == 0
    for text in (cli.out, (tmp_path / "auto" / "README.md").read_text()):
        assert "It does not hold for those that were chosen" in text


def test_all_fields_of_a_message_and_the_tools_are_kept(store: Store) -> None:
    calls = '{"tool_calls": [{"function": {"name": "add"}}]}'
    turns = [Message("user", '", "'), Message("assistant", "", calls), Message("tool", "3", '{"name": "add"}')]
    tools = [{"type": "function", "function": {"name": "add"}}]
    fill(
        store,
        pair("x", "y", A, prompt=turns, tools=tools),
        pair("x", "y", A, prompt='a "b", "c": \\'),
        pair("x", "z", A),
    )
    made = found(store)
    assert [[turn["more"] for turn in row["prompt"]] for row in made] == [
        [None, calls, '{"name": "add"}'],
        [None],
        [None],
    ]
    assert [turn["content"] for row in made for turn in row["prompt"]] == ['", "', "", "3", 'a "b", "c": \\', "q"]
    assert [row["tools"] and json.loads(row["tools"]) for row in made] == [tools, None, None]
    assert json.loads(made[0]["metadata"]) == {"tools": tools}


def test_tools_that_are_no_list_are_a_field_like_others(store: Store) -> None:
    fill(store, pair("x", "y", A, tools="hammer"))
    assert not examples(store, Wanted()).tools
    assert [row["tools"] for row in found(store)] == [None]


def test_no_prompt_is_in_both_splits_whatever_its_case_and_spaces(store: Store) -> None:
    rows = [
        pair(f"a{i} {style}", f"b{i}", A, prompt=text)
        for i in range(300)
        for style, text in enumerate((f"Straße no {i}?", f"  STRASSE\n\tno {i}? ", f"straße\u00a0No  {i}?"))
    ]
    fill(store, *rows)
    splits: dict[int, set[str]] = {}
    for row in found(store, test=0.2):
        splits.setdefault(int(row["prompt"][0]["content"].split()[-1].strip("?")), set()).add(row["split"])
    assert [len(names) for names in splits.values()] == [1] * 300
    test = sum(names == {"test"} for names in splits.values())
    assert 35 < test < 90, "a fifth, by hash"
    assert {row["split"] for row in found(store)} == {"train"}
    larger = {row["pair_id"] for row in found(store, test=0.4) if row["split"] == "test"}
    assert {row["pair_id"] for row in found(store, test=0.2) if row["split"] == "test"} < larger


@pytest.mark.parametrize(
    "values", [{"test": 1.0}, {"test": -0.1}, {"min_strength": math.nan}, {"only": "cat"}, {"margin": "x"}]
)
def test_what_cannot_be_wanted(values: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"split|strength|choice"):
        Wanted(**values)


@pytest.fixture
def db(cli: Cli, tmp_path: Path) -> Path:
    rows = [
        *pairs(300, labelled=100),
        *({**row, "id": f"{row['id']}c", "prompt": row["prompt"].upper()} for row in pairs(20)),
    ]
    raw = write_rows(tmp_path / "raw.jsonl", rows)
    log = write_rows(tmp_path / "log.jsonl", judgments(300))
    assert cli("label", raw, "--judgments", log) in {0, 3}
    return tmp_path / "raw.curated" / "curator.duckdb"


@pytest.mark.parametrize("to", ["parquet", "jsonl", "trl-kto"])
def test_equal_stores_give_equal_bytes_in_every_split(cli: Cli, db: Path, tmp_path: Path, to: str) -> None:
    written = []
    for name in ("one", "two"):
        out = tmp_path / name
        assert cli("export", "--db", db, "--to", to, "--split", "0.25", "--out", out) == 0
        written.append({path.relative_to(out): path.read_bytes() for path in out.rglob("*") if path.is_file()})
    assert written[0] == written[1]
    assert len(written[0]) == (5 if to == "trl-kto" else 4), "card, picture, two splits, configuration"


def test_an_export_says_what_it_holds_and_what_it_leaves_out(cli: Cli, db: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    options = ("--to", "jsonl", "--only", "human", "--split", "0.5", "--min-strength", "1.2")
    made = cli.json("export", "--db", db, *options, "--out", out)
    assert (made["to"], made["auto"], made["human"]) == ("jsonl", 0, 0)
    assert made["left_out"] == {"not human": 200, "weak": 100}, "one vote is 3 to 1, which is 1.1"
    made = cli.json("export", "--db", db, *options[:-1], "1.0", "--out", out)
    rows = {split: read_rows(out / "data" / f"{split}-00000-of-00001.jsonl") for split in ("train", "test")}
    assert made["splits"] == {split: len(found) for split, found in rows.items()}
    assert sum(made["splits"].values()) == made["human"] == 100
    prompts = [{row["prompt"][0]["content"].casefold() for row in found} for found in rows.values()]
    assert not prompts[0] & prompts[1]
    assert cli("export", "--db", db, *options, "--out", out) == 0
    assert "left out: 200 not human, 100 weak" in cli.out


def test_label_writes_the_exports_that_are_wanted(cli: Cli, tmp_path: Path) -> None:
    rows = pairs(60, labelled=30)
    rows.append({**rows[0], "id": "again", "response_a": rows[0]["response_b"], "response_b": rows[0]["response_a"]})
    rows[-1]["label"] = "b"
    raw, log = write_rows(tmp_path / "raw.jsonl", rows), write_rows(tmp_path / "log.jsonl", judgments(60))
    arguments = ("label", raw, "--judgments", log, "--export", "trl-kto", "--export", "axolotl")
    assert cli(*arguments) == 3
    out = tmp_path / "raw.curated"
    result = json.loads((out / "run.json").read_text())
    assert [one["folder"] for one in result["exports"]] == ["dataset", "exports/trl-kto", "exports/axolotl"]
    assert result["dataset"] == result["exports"][0]["rows"] == {"auto": 30, "human": 30}
    assert [one["splits"] for one in result["exports"]] == [{"train": 60}, {"train": 120}, {"train": 60}]
    assert {json.dumps(one["left_out"]) for one in result["exports"]} == {'{"same responses again": 1}'}
    assert pq.read_table(out / "exports" / "trl-kto" / "data").num_rows == 120
    assert f"export       {out / 'exports/axolotl'}: 30 auto labels, 30 human labels" in cli.out
    assert (out / "exports" / "axolotl" / "axolotl.yaml").is_file()
