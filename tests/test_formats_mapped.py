"""`--map`: a table of one's own is read by what the user says of its fields, and by nothing that is guessed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from curator.errors import InputError
from curator.files import Reject
from curator.formats.mapped import at_path
from curator.formats.read import Seen, read
from curator.options import Reading
from curator.pair import Message, Pair, Verdict, Vote
from curator.sources import source_rows
from tests.conftest import Cli, judgments, pairs, write_rows

ROW = {"q": "why?", "left": "because", "right": "who knows", "pick": "left", "topic": "t"}
FIELDS = {"prompt": "q", "a": "left", "b": "right", "label": "pick"}


def reading(fields: dict[str, str], values: dict[str, str] | None = None) -> Reading:
    return Reading(fields=tuple(fields.items()), values=tuple((values or {}).items()))


def read_all(
    path: Path, rows: list[dict[str, Any]], fields: dict[str, str], values: dict[str, str] | None = None
) -> list[Pair | Reject]:
    return list(read(source_rows(str(write_rows(path / "raw.jsonl", rows))), reading(fields, values)))


def one(path: Path, row: dict[str, Any], fields: dict[str, str], values: dict[str, str] | None = None) -> Pair:
    (found,) = read_all(path, [row], fields, values)
    assert isinstance(found, Pair), found
    return found


def test_fields_by_name(tmp_path: Path) -> None:
    fields = {**FIELDS, "id": "n", "annotator": "who", "strength": "by", "system": "role"}
    row = {**ROW, "n": 7, "who": " Anna\u202e Lee ", "by": "2.5", "role": "Be kind."}
    pair = one(tmp_path, row, fields)
    assert pair.prompt == (Message("system", "Be kind."), Message("user", "why?"))
    assert (pair.response_a, pair.response_b, pair.source_id) == ("because", "who knows", "7")
    assert pair.votes == (Vote(Verdict.A, "Anna Lee", 2.5),)
    assert pair.metadata == {"topic": "t"}


def test_fields_by_path(tmp_path: Path) -> None:
    row = {
        "question": {"full_text": "why?", "id": 3},
        "answers": [{"text": "because"}, {"text": "who knows"}],
        "a.b": "b",
    }
    fields = {"prompt": "question.full_text", "a": "answers.0.text", "b": "answers.-1.text", "label": "a.b"}
    pair = one(tmp_path, row, fields)
    assert pair.prompt == (Message("user", "why?"),)
    assert (pair.response_a, pair.response_b, pair.label) == ("because", "who knows", Verdict.B)
    assert pair.metadata == {"question": row["question"], "answers": row["answers"]}


@pytest.mark.parametrize("path", ["x.y", "list.2", "list.-3", "list.a", "list.0.a.b", "text.0", "x.", ".x", "list.²"])
def test_paths_that_lead_nowhere(path: str) -> None:
    assert at_path({"list": [{"a": 1}, 2], "text": "abc", "x": {"z": 1}}, path) is None


def test_chosen_and_rejected(tmp_path: Path) -> None:
    transcript = [{"role": "user", "content": "why?"}, {"role": "assistant", "content": "because"}]
    other = [transcript[0], {"role": "assistant", "content": "who knows"}]
    pair = one(tmp_path, {"good": transcript, "bad": other, "by": 3}, {
        "chosen": "good", "rejected": "bad", "strength": "by"
    })  # fmt: skip
    assert pair.prompt == (Message("user", "why?"),)
    (vote,) = pair.votes
    assert (pair.response_a if vote.verdict is Verdict.A else pair.response_b) == "because"
    assert vote.strength == 3.0


@pytest.mark.parametrize(
    ("label", "verdict"),
    [
        ("a", Verdict.A), ("A", Verdict.A), ("model_a", Verdict.A), ("left", Verdict.A), (" Left ", Verdict.A),
        ("b", Verdict.B), ("model_b", Verdict.B), ("right", Verdict.B), ("tie", Verdict.TIE), ("Tie", Verdict.TIE),
        ("both_bad", Verdict.BOTH_BAD), ("tie (bothbad)", Verdict.BOTH_BAD), ("skip", Verdict.SKIP),
        (None, None), ("", None),
    ],
)  # fmt: skip
def test_words_that_need_no_explanation(tmp_path: Path, label: str | None, verdict: Verdict | None) -> None:
    pair = one(tmp_path, {**ROW, "pick": label}, FIELDS)
    assert [vote.verdict for vote in pair.votes] == ([] if verdict is None else [verdict])


@pytest.mark.parametrize("label", [0, 1, 2, "1", "0", " 2 ", 1.5, "1.0", True, False, "true"])
def test_bare_numbers_are_refused(tmp_path: Path, label: object) -> None:
    with pytest.raises(InputError, match=r"line 1: pick is .*, which may mean either response .*--label-value 1=a"):
        read_all(tmp_path, [{**ROW, "pick": label}], FIELDS)


@pytest.mark.parametrize(
    ("label", "verdict"), [(1, "a"), ("1", "a"), (1.0, "a"), (0, "b"), (1.5, "tie"), ("1.5", "tie"), (True, "skip")]
)
def test_numbers_mean_what_the_user_says(tmp_path: Path, label: object, verdict: str) -> None:
    values = {"1": "a", "0": "b", "1.5": "tie", "true": "skip"}
    assert one(tmp_path, {**ROW, "pick": label}, FIELDS, values).votes == (Vote(Verdict(verdict)),)


def test_a_value_that_was_not_explained_is_a_reject(tmp_path: Path) -> None:
    rows = [{**ROW, "pick": label} for label in ("1", "left", "3", None)]
    made = read_all(tmp_path, rows, FIELDS, {"1": "b"})
    assert [(row.field, row.reason) for row in made if isinstance(row, Reject)] == [
        ("pick", "is a value that no --label-value names")
    ] * 2
    assert [row.votes for row in made if isinstance(row, Pair)] == [(Vote(Verdict.B),), ()]


@pytest.mark.parametrize(
    ("change", "field", "reason"),
    [
        ({"pick": "first"}, "pick", "is none of the words"),
        ({"pick": ["a"]}, "pick", "is no label"),
        ({"q": None}, "q", "is missing"),
        ({"q": " "}, "q", "is empty"),
        ({"q": 3}, "q", "shapes"),
        ({"q": [{"role": "assistant", "content": "x"}]}, "q", "last message must be the user's"),
        ({"right": ""}, "right", "is empty"),
        ({"right": None}, "right", "is missing"),
        ({"right": "because"}, "right", "is identical"),
        ({"right": [{"role": "robot"}]}, "right.0.role", "must be one of"),
        ({"by": -1}, "by", "is not a number from 0 up"),
        ({"by": "much"}, "by", "is not a number from 0 up"),
        ({"n": 1.5}, "n", "type"),
    ],
)
def test_bad_rows(tmp_path: Path, change: dict[str, Any], field: str, reason: str) -> None:
    fields = {**FIELDS, "strength": "by", "id": "n"}
    bad, good = read_all(tmp_path, [{**ROW, **change}, {**ROW, "by": 1, "n": "x"}], fields)
    assert isinstance(good, Pair)
    assert isinstance(bad, Reject)
    assert bad.field == field
    assert reason in bad.reason


@pytest.mark.parametrize(
    ("fields", "values", "reason"),
    [
        ({"prompt": "q", "a": "left"}, {}, "name the field of b too"),
        ({"prompt": "q"}, {}, "name the field of a too"),
        ({"prompt": "q", "chosen": "left"}, {}, "name the field of rejected too"),
        ({**FIELDS, "chosen": "left"}, {}, "name a and b, with a label, or chosen and rejected"),
        ({"prompt": "q", "chosen": "left", "rejected": "right", "label": "pick"}, {}, "say already which"),
        ({**FIELDS, "winner": "pick"}, {}, "winner=...: there is no such name; there are: id, prompt, system, a, b"),
        (FIELDS, {"1": "first"}, "--label-value 1=first: a verdict is one of a, b, tie, both_bad, skip"),
        ({"prompt": "q", "a": "left", "b": "right"}, {"1": "a"}, "name the label's field too"),
        ({}, {"1": "a"}, "give that too"),
    ],
)
def test_mappings_that_are_none(tmp_path: Path, fields: dict[str, str], values: dict[str, str], reason: str) -> None:
    with pytest.raises(InputError, match=reason.replace(".", r"\.")):
        read_all(tmp_path, [ROW], fields, values)


def test_a_name_has_one_field_and_the_format_one_description() -> None:
    with pytest.raises(InputError, match="a name stands twice"):
        list(read([], Reading(fields=(("a", "x"), ("b", "y"), ("a", "z")))))
    with pytest.raises(InputError, match="leave out --input-format"):
        list(read([], Reading("pair", fields=tuple(FIELDS.items()))))


def test_a_field_that_no_row_has_ends_the_reading_early(tmp_path: Path) -> None:
    rows = source_rows(str(write_rows(tmp_path / "raw.jsonl", [ROW] * 5000)))
    with pytest.raises(InputError, match=r"--map prompt=question: no row has that field; a row has these: left, pick"):
        list(read(rows, reading({**FIELDS, "prompt": "question"})))
    assert next(rows).line == 101
    with pytest.raises(InputError, match=r"--map b=x\.y: no row has that field"):
        read_all(tmp_path, [ROW] * 3, {**FIELDS, "b": "x.y"})


def test_fields_that_some_rows_lack(tmp_path: Path) -> None:
    """A label may be rare. What no row had is known at the end, when all files have been read."""
    rows = [{name: text for name, text in ROW.items() if name != "pick"}] * 150
    seen = Seen()
    made = list(read(source_rows(str(write_rows(tmp_path / "raw.jsonl", [*rows, ROW]))), reading(FIELDS), seen))
    assert [len(row.votes) for row in made if isinstance(row, Pair)] == [0] * 150 + [1]
    assert seen.absent == frozenset()
    seen = Seen()
    list(read(source_rows(str(write_rows(tmp_path / "raw.jsonl", rows))), reading(FIELDS), seen))
    assert seen.absent == {"pick"}


NAMED = {"id": "n", "prompt": "q", "a": "x", "b": "y", "label": "pick"}


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """60 pairs in fields of other names, 30 of them labelled by 1 for a and 2 for b."""
    rows = [
        {
            "n": row["id"],
            "q": row["prompt"].replace(" ", "\n\n"),
            "x": row["response_a"],
            "y": row["response_b"],
            "pick": pick,
        }
        for row in pairs(60, labelled=30)
        for pick in [{"a": 1, "b": 2, None: None}[row["label"]]]
    ]
    return write_rows(tmp_path / "table.jsonl", rows)


def options(fields: dict[str, str]) -> list[str]:
    return [text for name, field in fields.items() for text in ("--map", f"{name}={field}")]


def test_label_reads_a_table_of_ones_own(table: Path, cli: Cli, tmp_path: Path) -> None:
    log = write_rows(tmp_path / "log.jsonl", judgments(60))
    said = ["--label-value", "1=a", "--label-value", "2=b"]
    result = cli.json("label", table, "--judgments", log, *options(NAMED), *said)
    assert (result["pairs"], result["rejected"], result["calibration"]["n"]) == (60, 0, 30)
    assert result["calibration"]["errors"] == 0
    assert "format map; the first pair:\n  prompt prompt 0\n  a      first answer to 0\n" in cli.err
    assert "\n  label  a\n" in cli.err


def test_what_is_wrong_with_a_mapping_is_an_error(table: Path, cli: Cli, tmp_path: Path) -> None:
    log = write_rows(tmp_path / "log.jsonl", judgments(60))
    label = ("label", table, "--judgments", log)
    assert cli(*label, *options(NAMED)) == 1
    assert "pick is 1, which may mean either response" in cli.err
    assert cli(*label, *options({**NAMED, "label": "verdict"})) == 1
    assert "--map label=verdict: no row has that field" in cli.err
    assert cli(*label, *options({**NAMED, "b": "z"})) == 1
    assert "--map b=z: no row has that field; a row has these: n, pick, q, x, y" in cli.err
    assert cli(*label, "--map", "prompt") == 2
    assert "'prompt': write it as NAME=VALUE" in cli.err
