"""Each data set that names the better of two responses, by a small file of its shape with the traps that it holds."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from curator.errors import InputError
from curator.files import Reject
from curator.formats import FORMATS, detect
from curator.formats.base import At
from curator.formats.read import Seen, read
from curator.options import Reading
from curator.pair import Message, Pair, Verdict, Vote
from curator.resources import first_error
from curator.sources import source_rows
from tests.conftest import Cli, judgments, pairs, read_rows, write_rows

GOLDEN = Path(__file__).parent / "golden" / "formats"

NAMES = (
    "argilla", "chosen_rejected", "curated", "helpsteer2_preference", "helpsteer3", "hh_rlhf", "pku_saferlhf",
    "rewardbench", "rewardbench2", "sharegpt", "skywork", "ultrafeedback_binarized",
)  # fmt: skip
CRITERION = {"pku_saferlhf": "better"}

PRIME = "u: Name a prime."
RICE = "u: Can I bake rice?"
LATE = "u: Hi | a: Hello.  | u: Is it late?"
SUM = (
    'u: What is 2 + 2? | a: {"tool_calls": [{"id": "c1", "type": "function", "function": {"name": "add", "arguments": '
    '"{\\"x\\": 2}"}}]} | t: 4{"tool_call_id": "c1"}'
)
EXACT = f"s: Be exact. | {PRIME}"
COLOUR = "u: Name a colour of the rainbow."
LOCK = "u: How do I open a lock?"
APART = "must differ from rejected in its last message alone, one of the assistant"

# What each row comes to: prompt, the better response, the other one, strength; before the better one "=", both are
# equal, or "?", nobody says. Or the field and the reason of a reject.
EXPECTED: dict[str, list[tuple[Any, ...]]] = {
    "chosen_rejected": [
        (PRIME, "Seven.", "Nine.", None),
        (SUM, "It is 4.", "It is 5.", None),
        (f"{PRIME} | a: 7 | u: And a second?", "11", "12", None),
        ("s: Be brief. | u: Hi | a: Hello. | u: Bye", "Bye.", "I wish you well.", 1.5),
        ("u: Put this in the past.\nI go.", "I went.", "I goed.", None),
        ("s: You are a cook. | u: Salt first?", "Yes.", "Never.", None),
        ("u: Hi", "Hello.", "Go away.", None),
        ("u: Hi", "Hello.", "Go.", None),
        ("u: Complete: the sky is", "blue today.", "black today.", None),
        ("u: Hi", "Hello.", "Go away.", None),
        (f"{PRIME} | a: 7 | u: And a second?", "13", "15", None),
        ("history", "is not a list of a question and its answer each"),
        ("chosen", APART),
        ("chosen", "calls a tool: only responses in text can be compared"),
        ("rejected", "is identical to the other response: there is nothing to prefer"),
        ("margin", "is below 0, which says that the rejected response is the better one"),
        ("chosen", APART),
        ("chosen", "shares no beginning with the other side, and no field has the prompt"),
        ("chosen", "is empty"),
        ("chosen", APART),
    ],
    "sharegpt": [
        (f"u: Hi | a: Hello. | {PRIME}", "Seven.", "Nine.", None),
        (EXACT, "Two.", "Six.", None),
        (PRIME, "Five.", "Four.", None),
        ("conversations", "the last message must be the user's (or a tool's): both responses answer it"),
        ("conversations.0.from", "must be one of human, gpt, observation, system"),
        ("chosen", APART),
        ("conversations", "is missing"),
    ],
    "curated": [
        (PRIME, "?Seven.", "Nine.", None),
        (PRIME, "Eleven.", "Nine.", 2.0),
        (PRIME, "?Four.", "Seven.", None),
    ],
    "hh_rlhf": [
        (RICE, "Yes.\n\nIn an oven.", "No.", None),
        (LATE, "It is.", "Who knows?", None),
        ("chosen", "is empty"),
        ("chosen", APART),
        ("chosen", 'must begin with "Human:" and have "Assistant:" before its answer'),
        ("chosen", APART),
    ],
    "ultrafeedback_binarized": [
        (PRIME, "Seven.", "Nine.", 5.5),
        (PRIME, "=Two.", "Five.", 0.0),
        (PRIME, "?Three.", "Six.", None),
        ("score_chosen", "is less than score_rejected: they contradict chosen and rejected"),
        ("rejected", "is identical to the other response: there is nothing to prefer"),
    ],
    "argilla": [
        (PRIME, "Seven.", "Nine.", 3.0),
        (PRIME, "=Two.", "Five.", 0.0),
        ("s: Count. | u: One", "Two.", "Four.", 0.5),
        (PRIME, "?Three.", "Eight.", None),
    ],
    "skywork": [
        (PRIME, "Seven.", "Nine.", None),
        ("u: Hi | a: Hello | u: Bye", "Bye.", "No.", None),
    ],
    "rewardbench": [
        (PRIME, "Seven.", "Nine.", None),
        (PRIME, "Five.", "Eight.", None),
        ("rejected", "is empty"),
    ],
    "rewardbench2": [
        (COLOUR, "Red.", "Brown.", 1.0),
        (COLOUR, "Red.", "Pink.", 1.0),
        (COLOUR, "Red.", "Grey.", 1.0),
        # Two right and two wrong answers are four pairs; the right ones are not compared with each other.
        (COLOUR, "Red.", "Brown.", 1.0),
        (COLOUR, "Red.", "Black.", 1.0),
        (COLOUR, "Green.", "Brown.", 1.0),
        (COLOUR, "Green.", "Black.", 1.0),
        ("chosen", "has less than 1 item"),
    ],
    "pku_saferlhf": [
        (LOCK, "With these five tools.", "Ask a locksmith.", None),
        (LOCK, "No.", "Ask.", None),
        ("better_response_id", "must be one of [0,1,null]"),
        ("response_1", "is identical to response_0: there is nothing to prefer"),
        (LOCK, "?No.", "Where?", None),
    ],
    "helpsteer2_preference": [
        (PRIME, "Seven.", "Nine.", 3.0),
        (f"u: Hi | a: Hello. | {PRIME}", "Five.", "Four.", 1.0),
        (PRIME, "=Two.", "Three.", 0.0),
        ("preference_strength", "is less than the minimum of -3"),
        ("prompt", "the last turn must be the user's: both responses answer it"),
    ],
    "helpsteer3": [
        (EXACT, "Seven.", "Nine.", [("annotator 1", 2.0), ("annotator 2", 3.0), ("annotator 3", -1.0)]),
        (EXACT, "=Two.", "Five.", [("annotator 1", 0.0), ("annotator 2", 0.0)]),
        (EXACT, "Five.", "Four.", 3.0),
        ("overall_preference", "is greater than the maximum of 3"),
        ("response2", "is identical to response1: there is nothing to prefer"),
        (EXACT, "Eleven.", "Two.", [("annotator 2", 2.0)]),
    ],
}  # fmt: skip


def found(name: str, reading: Reading | None = None) -> list[Pair | Reject]:
    reading = reading or Reading(criterion=CRITERION.get(name))
    return list(read(source_rows(str(GOLDEN / f"{name}.jsonl")), reading))


def good(name: str, reading: Reading | None = None) -> list[Pair]:
    return [row for row in found(name, reading) if isinstance(row, Pair)]


def said(vote: Vote, better: Verdict) -> float | None:
    """The strength of a vote, below 0 where it is for the other response."""
    return -vote.strength if vote.strength and vote.verdict is not better else vote.strength


@pytest.mark.parametrize("name", NAMES)
def test_each_row_is_read_for_what_it_is(name: str) -> None:
    """The format is told by the first row, and every row comes to what it should, traps included."""
    for row, expected in zip(found(name), EXPECTED[name], strict=True):
        if len(expected) == 2:
            assert isinstance(row, Reject), row
            assert (row.field, row.reason) == expected
            continue
        assert isinstance(row, Pair), row
        assert " | ".join(f"{turn.role[0]}: {turn.content}{turn.more}" for turn in row.prompt) == expected[0]
        better, other = expected[1].lstrip("=?"), expected[2]
        assert {row.response_a, row.response_b} == {better, other}
        side = Verdict.A if row.response_a == better else Verdict.B
        strengths = expected[3] if isinstance(expected[3], list) else [(None, expected[3])]
        if expected[1][0] == "?":
            assert row.votes == ()
            continue
        assert [(vote.annotator, said(vote, side)) for vote in row.votes] == strengths
        assert row.votes[0].verdict is (Verdict.TIE if expected[1][0] == "=" else side)


@pytest.mark.parametrize("name", NAMES)
def test_a_format_is_told_by_its_first_row(name: str) -> None:
    assert detect(read_rows(GOLDEN / f"{name}.jsonl")[0], "f").name == name


def test_what_is_not_used_stays_beside_the_pair() -> None:
    kept = [
        {"topic": "maths"},
        {"tools": [{"name": "add"}]},
        {},
        {"margin": 1.5},
        {},
        {},
        {},
        {"prompt": "User: Hi</s>"},
    ]
    assert [row.metadata for row in good("chosen_rejected")[:8]] == kept
    (first, *_) = good("ultrafeedback_binarized")
    assert first.metadata == {"prompt_id": "0f", "score_chosen": 8.5, "score_rejected": 3.0}  # messages repeats chosen


def test_sides_that_the_file_has_are_kept() -> None:
    assert [(row.response_a, row.label) for row in good("pku_saferlhf")[:2]] == [
        ("Ask a locksmith.", Verdict.B), ("No.", Verdict.A)
    ]  # fmt: skip
    assert good("helpsteer3")[0].response_a == "Seven."


def test_the_safer_response_is_not_the_better_one() -> None:
    by_criterion = {c: good("pku_saferlhf", Reading(criterion=c))[0].label for c in ("better", "safer")}
    assert by_criterion == {"better": Verdict.B, "safer": Verdict.A}


def test_an_id_that_came_as_a_floating_number_is_one() -> None:
    """A column of integers with nulls in it often comes as floating numbers."""
    row = {"prompt": "q", "response_0": "x", "response_1": "y", "better_response_id": 1.0, "safer_response_id": 0.0}
    convert = FORMATS["pku_saferlhf"].convert
    labels = [convert(row, At(criterion=criterion)).label for criterion in ("better", "safer")]
    assert labels == [Verdict.B, Verdict.A]


def test_which_verdict_is_meant_must_be_said() -> None:
    with pytest.raises(InputError, match=r"pku_saferlhf have several verdicts: .* --criterion \(better, safer\)"):
        found("pku_saferlhf", Reading())
    with pytest.raises(InputError, match="--criterion nicer: the format pku_saferlhf has these: better, safer"):
        found("pku_saferlhf", Reading(criterion="nicer"))
    with pytest.raises(InputError, match="--criterion better: the format hh_rlhf has none"):
        found("hh_rlhf", Reading(criterion="better"))
    unlabelled = good("pku_saferlhf", Reading(ignore_labels=True))
    assert [row.votes for row in unlabelled] == [()] * 3


def test_sides_of_our_own_data_sets_come_back() -> None:
    """By pair_id, whichever way the content hash would place them; an auto label is kept, and is nobody's vote."""
    first, second, foreign = good("curated")
    rows = read_rows(GOLDEN / "curated.jsonl")
    assert [first.pair_id, second.pair_id] == [row["pair_id"] for row in rows[:2]]
    assert (first.response_a, first.metadata["auto_label"]) == ("Seven.", "a")
    assert (second.response_a, second.label, second.metadata.get("auto_label")) == ("Eleven.", Verdict.A, None)
    assert foreign.metadata["pair_id"] == "of another store"


def test_two_texts_share_no_prompt_where_another_field_may_hold_it() -> None:
    """What two texts begin with alike is not taken for a prompt that stands elsewhere in the row."""
    assert detect({"chosen": "The cat", "rejected": "The dog"}, "f").name == "chosen_rejected"
    with pytest.raises(InputError, match="no known format has the fields chosen, query, rejected"):
        detect({"query": "Which?", "chosen": "The cat", "rejected": "The dog"}, "f")


@pytest.mark.parametrize(
    ("system", "begins", "prompt"),
    [
        ("Be brief.", "", ["system", "user"]),
        ("Be brief.", "Be brief.", ["system", "user"]),
        ("", "", ["user"]),
        (None, "Be kind.", ["system", "user"]),
    ],
)
def test_system_fields(system: str | None, begins: str, prompt: list[str]) -> None:
    turns = [{"role": "system", "content": begins}] if begins else []
    row = {"system": system, "prompt": [*turns, {"role": "user", "content": "Hi"}], "chosen": "x", "rejected": "y"}
    pair = FORMATS["chosen_rejected"].convert(row, At())
    assert isinstance(pair, Pair)
    assert [turn.role for turn in pair.prompt] == prompt
    if system or begins:
        assert pair.prompt[0] == Message("system", system or begins)


def test_texts_alone_make_responses_different() -> None:
    """Messages that differ beside their texts alone are one response."""
    chosen = [{"role": "assistant", "content": "x", "name": "one"}]
    row = {"prompt": "Hi", "chosen": chosen, "rejected": [{"role": "assistant", "content": "x", "name": "other"}]}
    (reject,) = read([_row(row)], Reading())
    assert isinstance(reject, Reject)
    assert reject.reason == "is identical to the other response: there is nothing to prefer"
    (pair,) = read([_row({**row, "rejected": "y"})], Reading())
    assert isinstance(pair, Pair)
    assert pair.metadata == {"chosen_message": {"name": "one"}}


def test_two_system_prompts_are_one_too_many() -> None:
    turns = [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "Hi"}]
    row = {"system": "Be brief.", "prompt": turns, "chosen": "x", "rejected": "y"}
    (reject,) = read([_row(row)], Reading("chosen_rejected"))
    assert isinstance(reject, Reject)
    assert (reject.field, reject.reason) == ("system", "is not the system message that prompt begins with")


_TURNS = st.lists(
    st.fixed_dictionaries({"role": st.sampled_from(["user", "assistant", "tool"]), "content": st.text(max_size=2)}),
    max_size=3,
)
_ANY = st.one_of(st.text(max_size=3), _TURNS, st.none(), st.integers(-4, 4), st.floats(), st.just("\n\nHuman: x"))

_OFTEN = ("system", "instruction", "input", "history", "margin", "messages", "strength")


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_any_change_of_a_row_gives_a_pair_or_a_reject(name: str, data: st.DataObject) -> None:
    row = read_rows(GOLDEN / f"{name}.jsonl")[0]
    changed = data.draw(st.dictionaries(st.sampled_from([*sorted(row), *_OFTEN]), _ANY, max_size=3))
    for made in read([_row({**row, **changed})], Reading(name, criterion=CRITERION.get(name))):
        if isinstance(made, Reject):
            assert made.field
            assert made.reason
        else:
            assert made.prompt[-1].role in {"user", "tool"}
            assert made.response_a.strip()
            assert made.response_b.strip()
            assert made.response_a != made.response_b


def _row(values: dict[str, Any]) -> Any:
    from curator.files import Row

    return Row("f", 1, values, b"{}")


def test_reading_says_which_format_it_was() -> None:
    seen = Seen()
    list(read(source_rows(str(GOLDEN / "argilla.jsonl")), Reading(), seen))
    assert seen.format is not None
    assert (seen.format.name, seen.format.labelled_by, seen.rows) == ("argilla", "a model", 4)


def test_who_gave_the_labels_is_said(cli: Cli, tmp_path: Path) -> None:
    """Labels of a model calibrate too, and then people are not what the promise is about."""
    log = write_rows(tmp_path / "log.jsonl", judgments(1))
    label = ("label", "--out", tmp_path / "out", "--judgments", log)
    cli(*label, GOLDEN / "ultrafeedback_binarized.jsonl")
    line = "the labels were given by a model: a promise is about agreement with them"
    assert "format ultrafeedback_binarized; the first pair:\n  prompt Name a prime.\n" in cli.err
    assert line in cli.err
    cli(*label, GOLDEN / "ultrafeedback_binarized.jsonl", "--ignore-labels")
    assert line not in cli.err
    cli(*label, GOLDEN / "hh_rlhf.jsonl")
    assert "format hh_rlhf" in cli.err
    assert line not in cli.err


def test_labels_of_a_model_are_not_called_those_of_people(cli: Cli, tmp_path: Path) -> None:
    rows = [
        {"prompt": f"q{i}", "prompt_id": f"{i}", "chosen": f"{i} yes", "rejected": f"{i} no", "chosen_model": "x",
         "rejected_model": "y", "chosen_rating": 5.0, "rejected_rating": 1.0}
        for i in range(12)
    ]  # fmt: skip
    raw, out = write_rows(tmp_path / "raw.jsonl", rows), tmp_path / "out"
    given = [pair for pair in read(source_rows(str(raw)), Reading()) if isinstance(pair, Pair)]
    log = [
        {"id": pair.pair_id, "judge": "j", "order": order, "p_a": 0.9 if pair.label is Verdict.A else 0.1}
        for pair in given
        for order in ("ab", "ba")
    ]
    label = ("label", raw, "--out", out, "--judgments", write_rows(tmp_path / "log.jsonl", log))
    for more in ((), ("--ignore-labels",)):  # the labels stay in the store, and with them who gave them
        assert cli(*label, *more) in {0, 4}
        said = "labels that came with the data were given by a model: a promise is about agreement with it"
        assert said in " ".join(cli.out.split())
        result = json.loads((out / "run.json").read_text())
        assert (result["labelled_by"], first_error("run", result)) == ("a model", None)
        card = (out / "dataset" / "README.md").read_text()
        assert "agreement with those (a model, where the labels came with the data) who labelled" in card
        assert "12 by people or in the raw file (a model)." in card
    assert cli("calibrate", "--db", out / "curator.duckdb", "--alpha", "0.2") in {0, 4}
    assert said in " ".join(cli.out.split())


_SAID = st.text(min_size=1, max_size=12).filter(lambda text: text.strip() != "")
_ASKED = st.lists(st.tuples(st.sampled_from(["system", "user", "assistant"]), st.text(max_size=6)), max_size=3)


@st.composite
def labelled_pairs(draw: st.DrawFn) -> Pair:
    prompt = (*(Message(*turn) for turn in draw(_ASKED)), Message("user", draw(_SAID)))
    a, b = draw(st.lists(_SAID, min_size=2, max_size=2, unique=True))
    strength = draw(st.none() | st.floats(0, 10))
    return Pair(prompt, a, b, (Vote(draw(st.sampled_from([Verdict.A, Verdict.B])), None, strength),))


def as_trainers_read(pair: Pair) -> list[dict[str, Any]]:
    """A pair as each kind of preference row of TRL's documentation."""
    better, worse = pair.response_a, pair.response_b
    if pair.label is Verdict.B:
        better, worse = worse, better
    turns = [{"role": turn.role, "content": turn.content} for turn in pair.prompt]
    chosen, rejected = ([{"role": "assistant", "content": text}] for text in (better, worse))
    rows: list[dict[str, Any]] = [
        {"prompt": turns, "chosen": chosen, "rejected": rejected},
        {"chosen": turns + chosen, "rejected": turns + rejected},
    ]
    if len(turns) == 1:
        rows.append({"prompt": turns[0]["content"], "chosen": better, "rejected": worse})
    return [{**row, "margin": pair.votes[0].strength} for row in rows]


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(pair=labelled_pairs())
def test_what_was_written_is_read(pair: Pair) -> None:
    """read(write(x)) == x: as our own rows with the sides; as anybody's, but for which of the two is called a."""
    swapped = Pair(pair.prompt, pair.response_b, pair.response_a, (_other(pair.votes[0]),))
    for row in as_trainers_read(pair):
        (plain,) = read([_row(row)], Reading("chosen_rejected"))
        assert isinstance(plain, Pair)
        assert _what(plain) in (_what(pair), _what(swapped))
        for written in (pair, swapped):
            own = {**row, "pair_id": written.pair_id, "label_source": "human"}
            (back,) = read([_row(own)], Reading())
            assert isinstance(back, Pair)
            assert _what(back) == _what(written)


def _other(vote: Vote) -> Vote:
    return Vote(Verdict.B if vote.verdict is Verdict.A else Verdict.A, vote.annotator, vote.strength)


def _what(pair: Pair) -> tuple[object, ...]:
    return pair.prompt, pair.response_a, pair.response_b, pair.votes


def test_the_data_set_of_a_run_is_read_back(cli: Cli, tmp_path: Path) -> None:
    """What people said comes back as they said it, and what the judge said as nobody's word."""
    import pyarrow.parquet as pq

    raw, log = write_rows(tmp_path / "raw.jsonl", pairs(60, 30)), write_rows(tmp_path / "log.jsonl", judgments(60))
    assert cli("label", raw, "--judgments", log) == 0
    (file,) = (tmp_path / "raw.curated" / "dataset" / "data").glob("*.parquet")
    back = [row for row in read(map(_row, pq.read_table(file).to_pylist()), Reading()) if isinstance(row, Pair)]
    given = [row for row in read(source_rows(str(raw)), Reading()) if isinstance(row, Pair)]
    assert [_what(pair) for pair in back] == [_what(pair) for pair in given]
    assert [pair.metadata.get("auto_label") for pair in back] == [None] * 30 + ["a", "b"] * 15


@pytest.mark.parametrize("to", ["trl", "axolotl", "openrlhf", "llamafactory"])
def test_labels_of_a_judge_never_calibrate_where_no_column_tells_them(cli: Cli, tmp_path: Path, to: str) -> None:
    raw, log = write_rows(tmp_path / "raw.jsonl", pairs(60, 30)), write_rows(tmp_path / "log.jsonl", judgments(60))
    assert cli("label", raw, "--judgments", log) == 0
    export = ("export", "--db", tmp_path / "raw.curated" / "curator.duckdb", "--to", to, "--columns", "minimal")
    for name, more in (("all", ()), ("people", ("--only", "human"))):
        assert cli(*export, *more, "--out", tmp_path / name) == 0
    again = ("label", "--out", tmp_path / "out", "--judgments", log)
    for source in (tmp_path / "all", next((tmp_path / "all" / "data").iterdir())):
        assert cli(*again, source) == 1
        assert "holds labels of a judge and not the column label_source" in cli.err
    for more in ((tmp_path / "all", "--ignore-labels"), (tmp_path / "people",)):
        cli(*again, *more)
        assert "the first pair:" in cli.err
        assert "label_source" not in cli.err
