"""Arenas and files of votes: who said what of which response, and what no honest pair can be made of."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curator.errors import InputError
from curator.files import Reject, Row
from curator.formats import FORMATS, detect
from curator.formats.read import Seen, read
from curator.formats.sides import annotator, decoded, last_answers
from curator.options import Reading
from curator.pair import Message, Pair, Verdict, Vote
from curator.sources import source_rows
from curator.store import open_store
from curator.store.pairs import replace_input
from tests.conftest import ROOT, Cli, judgments, pairs, read_rows, write_rows

GOLDEN = ROOT / "tests" / "golden" / "formats"

A, B, TIE, BOTH_BAD, SKIP = Verdict

NAMES = ("chatbot_arena", "kaggle_arena", "mt_bench", "webgpt", "shp", "alpaca_eval", "jung", "pandalm", "pair")


def golden(name: str, input_format: str | None = None) -> list[Pair | Reject]:
    """What a golden file gives, the format told by its fields."""
    seen = Seen()
    found = list(read(source_rows(str(GOLDEN / f"{name}.jsonl")), Reading(input_format), seen))
    assert seen.format is not None
    assert seen.format.name == name
    assert len(found) == len(read_rows(GOLDEN / f"{name}.jsonl")), "every row is a pair or a reject"
    return found


def short(found: Pair | Reject) -> tuple[Any, ...]:
    """A pair as its texts and votes, a reject as its line and field."""
    if isinstance(found, Reject):
        return found.line, found.field
    return (
        found.prompt[-1].content,
        found.response_a,
        found.response_b,
        *[(x.annotator, x.verdict) for x in found.votes],
    )


def test_chatbot_arena() -> None:
    found = golden("chatbot_arena")
    assert [short(one) for one in found] == [
        ("Name a prime.", "Seven.", "Nine.", ("arena_user_1", A)),
        ("Name a prime.", "Eight.", "Eleven.", ("arena_user_2", B)),
        ("Say hello.", "Hello!", "Hello.", ("arena_user_3", TIE)),
        ("Say hello.", "No.", "Why?", ("arena_user_4", BOTH_BAD)),
        ("Sum 1 and 2.", "3", "12", ("arena_user_5", A)),
        (6, "conversation_b"),
        (7, "conversation_b"),
        ("As text?", "Yes.", "No.", ("0f3a", BOTH_BAD)),
        ("In parts?", "Yes.", "No.", ("arena_user_9", A)),
    ]
    fifth, sixth, eighth, ninth = found[4], found[5], found[7], found[8]
    assert isinstance(fifth, Pair)
    assert fifth.prompt == (Message("user", "Hi"), Message("assistant", "Hi!"), Message("user", "Sum 1 and 2."))
    assert fifth.source_id == "q5"
    assert fifth.metadata == {
        "model_a": "red", "model_b": "blue", "turn": 2, "anony": True, "language": "English", "tstamp": 1700000005.5,
    }  # fmt: skip
    assert isinstance(sixth, Reject)
    assert sixth.reason == (
        "differs from conversation_a in turn 1, before the last answers: they do not answer the same prompt"
    )
    assert isinstance(eighth, Pair)
    assert isinstance(ninth, Pair)
    assert ninth.source_id == "parts"


def test_kaggle_arena() -> None:
    found = golden("kaggle_arena")
    assert [short(one) for one in found] == [
        ("Name a prime.", "Seven.", "Nine.", (None, A)),
        ("Sum 1 and 2.", "12", "3", (None, B)),
        ("Plain text [sic]", "One.", "Two.", (None, TIE)),
        (4, "response_b"),
        (5, "response_a"),
        (6, "prompt"),
        ("Nobody voted.", "One.", "Two."),
        (8, "winner_tie"),
        ("A real list.", "One.", "Two.", (None, B)),
    ]
    assert [one.reason for one in found if isinstance(one, Reject)] == [
        "differs from response_a in turn 1, before the last answers: they do not answer the same prompt",
        "is null in turn 2",
        "looks like a JSON list of turns and is none (half a character in it, perhaps)",
        "must be 1 or one of winner_model_a and winner_model_b, and the others 0",
    ]
    first = found[0]
    assert isinstance(first, Pair)
    assert (first.source_id, dict(first.metadata)) == ("30192", {"model_a": "red", "model_b": "blue"})


def test_kaggle_rows_without_winners(tmp_path: Path) -> None:
    """The competition's test file has the fields of `pair`; only its name tells it apart."""
    row = {"id": 1, "prompt": '["Hi"]', "response_a": '["One."]', "response_b": '["Two."]'}
    rows = source_rows(str(write_rows(tmp_path / "test.jsonl", [row])))
    (found,) = read(rows, Reading("kaggle_arena"))
    assert short(found) == ("Hi", "One.", "Two.")


def test_mt_bench() -> None:
    """One comparison in either order of its models is one pair; what models judged, and second turns, are rejects."""
    found = golden("mt_bench")
    pair = found[0]
    assert isinstance(pair, Pair)
    red, blue = (A, B) if pair.response_a.startswith("A red") else (B, A)
    texts = (pair.prompt[-1].content, pair.response_a, pair.response_b)
    assert texts[0] == "Describe Mars."
    assert [short(one) for one in found[:5]] == [
        (*texts, ("expert_0", red)), (*texts, ("expert_1", red)), (*texts, ("author_2", TIE)),
        (*texts, ("author_2", blue)), (5, "conversation_b"),
    ]  # fmt: skip
    for one in found[:4]:
        assert isinstance(one, Pair)
        assert one.source_id == pair.source_id
        assert {one.response_a: one.metadata["model_a"], one.response_b: one.metadata["model_b"]} == {
            "A red, cold planet.": "red", "A planet, I believe.": "blue",
        }  # fmt: skip
    fifth, sixth, seventh, last = found[4:]
    assert isinstance(fifth, Reject)
    assert "in turn 1, before the last answers" in fifth.reason
    assert isinstance(sixth, Pair), "the first answers are the same: the second ones share their prompt"
    assert [one.content for one in sixth.prompt] == ["Describe Mars.", "A red, cold planet.", "In one word."]
    assert {sixth.response_a, sixth.response_b} == {"Red.", "Rust."}
    assert (sixth.response_a if sixth.label is A else sixth.response_b) == "Rust."
    assert isinstance(seventh, Reject)
    assert (seventh.field, "--judgments" in seventh.reason) == ("judge", True)
    assert short(last) == (8, "conversation_a")


def test_what_models_judged_on_mt_bench_is_refused() -> None:
    path = GOLDEN / "mt_bench_pairs.jsonl"
    with pytest.raises(InputError, match=r"mt_bench_pairs.jsonl: .* hold no texts. Give .* as --judgments"):
        list(read(source_rows(str(path)), Reading()))


def test_webgpt() -> None:
    found = golden("webgpt")
    asked = "Why is the sea salty?"
    assert [short(one) for one in found] == [
        (asked, "Rivers carry salt [1].", "Fish.", (None, A)),
        (asked, "Rain.", "Rocks [1][2].", (None, B)),
        (asked, "Salt.", "Of salt.", (None, TIE)),
        (asked, "Flat.", "Rivers.", (None, B)),
        (5, "answer_0"),
        (asked, "No score.", "None here."),
    ]
    assert [one.votes[0].strength for one in found[:4] if isinstance(one, Pair)] == [1.5, 1, 0, 2]
    assert isinstance(found[0], Pair)
    assert found[0].metadata["question"] == {"dataset": "eli5", "id": "x1"}
    assert found[0].metadata["quotes_0"] == {"title": ["Sea"], "extract": ["wet"]}


def test_shp() -> None:
    """1 is A and 0 is B, and a row whose scores say otherwise is no label but a reject."""
    found = golden("shp")
    asked = "Why rest the dough?"
    assert [short(one) for one in found] == [
        (asked, "The gluten relaxes.", "No idea.", (None, A)),
        (asked, "Magic.", "It hydrates.", (None, B)),
        (3, "labels"),
        (asked, "As text.", "From a table.", (None, B)),
        (5, "labels"),
        (6, "human_ref_B"),
    ]
    assert [one.votes[0].strength for one in found if isinstance(one, Pair)] == [2.5, 3, 4]
    assert isinstance(found[2], Reject)
    assert found[2].reason == "contradicts score_A and score_B: 1 says A, 0 says B"


def test_alpaca_eval() -> None:
    found = golden("alpaca_eval")
    asked, who = "Name a tree.", "weighted_judge"
    assert [short(one) for one in found] == [
        (asked, "Oak.", "Cat.", (who, A)),
        (asked, "Dog.", "Elm.", (who, B)),
        (asked, "Ash.", "Ash!", (who, TIE)),
        (asked, "Yew.", "Fir."),
        (asked, "Oak.", "Elm.", (who, A)),
        (asked, "Pine.", "Fir tree.", (who, B)),
        (asked, "Old.", "Older.", ("3", TIE)),
        (8, "preference"),
        (f"{asked}\n\nIt must be green.", "Text.", "Of a table.", (who, B)),
        (10, "output_2"),
    ]
    strengths = [one.votes[0].strength for one in found if isinstance(one, Pair) and one.votes]
    assert strengths == pytest.approx([0.5, 0.5, 0, 0.4999951111, 0.25, 0, 0.5])
    assert FORMATS["alpaca_eval"].labelled_by == "a model"


def test_jung() -> None:
    found = golden("jung")
    assert [short(one) for one in found] == [
        ("Is ice cold?", "Yes.", "No.", ("human", A)),
        ("Is fire cold?", "Yes.", "No.", ("human_0", B), ("human_1", B), ("human_2", A)),
        (3, "outputs.0"),
        ("Is tea cold?", "At times.", "At other times."),
        (5, "preferences.human"),
        (6, "outputs"),
    ]
    assert isinstance(found[1], Pair)
    assert found[1].metadata == {"probs": [0.1, 0.9]}


def test_pandalm() -> None:
    found = golden("pandalm")
    people = ("annotator1", "annotator2", "annotator3")
    assert [short(one) for one in found] == [
        ("Shorten the text.\n\nIt is raining today.", "Rain.", "It rains today.",
         *zip(people, (B, B, A), strict=True)),
        ("Shorten the text.", "Which?", "Text, please.", *zip(people, (A, TIE, TIE), strict=True)),
        (3, "response2"),
        (4, "response2"),
        (5, "annotator2"),
    ]  # fmt: skip
    assert isinstance(found[0], Pair)
    assert (found[0].source_id, found[0].metadata) == ("0", {"motivation_app": "Mail", "cmp_key": "red-7b_blue-7b"})


def test_votes_of_canonical_rows() -> None:
    """Votes win over the label that was made of them, unless that is null: such a row is unlabelled on purpose."""
    votes: dict[str, tuple[Any, ...]] = {}
    metadata = {}
    rejects = []
    for one in golden("pair"):
        if isinstance(one, Reject):
            rejects.append((one.line, one.field))
        else:
            votes[str(one.source_id)] = one.votes
            metadata[one.source_id] = one.metadata
    assert votes == {
        "one": (Vote(A),),
        "none": (),
        "nothing": (),
        "votes": (Vote(A), Vote(A), Vote(B)),
        "named": (Vote(A, "Anna"), Vote(TIE, "Ben", 0.5), Vote(SKIP)),
        "mapped": (Vote(B, "Anna"), Vote(BOTH_BAD, "Ben")),
        "both": (Vote(TIE), Vote(TIE), Vote(A)),
        "held out": (),
        "no votes": (Vote(B),),
        "names": (Vote(B),),
        "counted": (Vote(B),),
    }
    assert {name: found for name, found in metadata.items() if found} == {
        "both": {"label": "a"},
        "held out": {"annotators": ["a", "a"]},
        "no votes": {"annotators": []},
        "names": {"annotators": ["Anna", "Ben"]},
        "counted": {"votes": 17},
    }
    assert rejects == [(12, "annotators"), (13, "votes.0")]


def test_names_of_annotators_are_cleaned() -> None:
    hostile = "\x1b[31m\u202eAnna\n\t<b>" + "x" * 200
    assert annotator(hostile) == "[31m Anna <b>" + "x" * 87
    assert (annotator(" \x00\n"), annotator(None), annotator(0)) == (None, None, "0")


@pytest.mark.parametrize(
    ("a", "b", "problem"),
    [
        ("uA", "uAuA", r"b: differs from a in turn 2"),
        ("uA", "vB", r"b: differs from a in turn 1"),
        ("uAuA", "uBuA", r"b: differs from a in turn 1"),
        ("uAvA", "uAuB", r"b: differs from a in turn 2"),
        ("suA", "tuB", r"b: differs from a in turn 1"),
        ("uA", "uA", r"b: ends with the same answer"),
        ("A", "B", r"a: must end with an answer to"),
        ("uAu", "uBu", r"a: must end with an answer"),
        ("uA", "u", r"b: must end with an answer"),
        ("uA", "u ", r"b: is empty where its last answer"),
        ("uAA", "uAB", r"a: must end with an answer to a user"),
    ],
)
def test_conversations_that_make_no_pair(a: str, b: str, problem: str) -> None:
    """Turns as letters: s, t are systems, u, v users, the others assistants that say their letter."""
    roles = {"s": "system", "t": "system", "u": "user", "v": "user"}

    def said(turns: str) -> list[Message]:
        return [Message(roles.get(letter, "assistant"), letter) for letter in turns]

    with pytest.raises(ValueError, match=problem):
        last_answers(said(a), said(b), ("a", "b"))


def test_text_that_only_looks_like_a_list_stays_text() -> None:
    assert decoded("[sic] that") == "[sic] that"
    assert decoded('{"a": 1}') == '{"a": 1}'
    assert decoded(' ["a", null]') == ["a", None]
    assert decoded(5) == 5


# ------------------------------------------------------------------------------------------------ there and back

TEXT = st.text(st.characters(codec="utf-8"), min_size=1).filter(lambda text: text.strip() != "")
PLAIN = TEXT.filter(lambda text: not text.lstrip().startswith("["))
NAME = st.sampled_from(["anna", "Ben Lee", "判定者", "expert_7"])


@st.composite
def pairs_with(
    draw: st.DrawFn, verdicts: list[Verdict], *, turns: bool = False, named: bool = False, most: int = 1
) -> Pair:
    """A pair with votes: of one turn or several, of named annotators or not."""
    prompt = [Message("user", draw(TEXT))]
    for _ in range(draw(st.integers(0, 2)) if turns else 0):
        prompt += [Message("assistant", draw(TEXT)), Message("user", draw(TEXT))]
    a, b = draw(st.lists(TEXT, min_size=2, max_size=2, unique=True))
    names = draw(st.lists(NAME, min_size=most > 1, max_size=most, unique=True))
    votes = tuple(Vote(draw(st.sampled_from(verdicts)), name if named else None) for name in names)
    return Pair(tuple(prompt), a, b, votes)


def back(pair: Pair, name: str, row: dict[str, Any]) -> Pair:
    """What is read of a row in a format, without what the row alone knows."""
    data = orjson.dumps(row)
    (found,) = read([Row("f", 1, orjson.loads(data), data)], Reading(name))
    assert isinstance(found, Pair), found
    return replace(found, source_id=None, metadata={}, file="", line=0)


def as_turns(pair: Pair, answer: str) -> list[dict[str, str]]:
    return [{"role": one.role, "content": one.content} for one in (*pair.prompt, Message("assistant", answer))]


WINNER = {A: "model_a", B: "model_b", TIE: "tie", BOTH_BAD: "tie (bothbad)"}


@given(pairs_with([A, B, TIE, BOTH_BAD], turns=True, named=True), st.booleans())
def test_chatbot_arena_there_and_back(pair: Pair, as_text: bool) -> None:
    vote = pair.votes[0] if pair.votes else None
    row: dict[str, Any] = {"model_a": "x", "model_b": "y", "winner": vote and WINNER[vote.verdict],
                           "judge": vote and vote.annotator}  # fmt: skip
    for side, answer in (("a", pair.response_a), ("b", pair.response_b)):
        said = as_turns(pair, answer)
        row[f"conversation_{side}"] = json.dumps(said) if as_text else said
    assert back(pair, "chatbot_arena", row) == pair


@given(pairs_with([A, B, TIE], turns=True), st.sampled_from(["json", "list"]))
def test_kaggle_arena_there_and_back(pair: Pair, how: str) -> None:
    said = [one.content for one in pair.prompt]
    texts = {"prompt": said[::2], "response_a": [*said[1::2], pair.response_a],
             "response_b": [*said[1::2], pair.response_b]}  # fmt: skip
    row: dict[str, Any] = {key: orjson.dumps(one).decode() if how == "json" else one for key, one in texts.items()}
    for field, verdict in (("winner_model_a", A), ("winner_model_b", B), ("winner_tie", TIE)):
        row[field] = str(int(pair.votes[0].verdict is verdict)) if pair.votes else ""
    assert back(pair, "kaggle_arena", row) == pair


@given(pairs_with([A, B, TIE]), PLAIN, PLAIN)
def test_kaggle_text_there_and_back(pair: Pair, a: str, b: str) -> None:
    if a == b:
        return
    pair = replace(pair, response_a=a, response_b=b, votes=())
    row = {"prompt": pair.prompt[0].content, "response_a": a, "response_b": b, "winner_tie": None}
    assert back(pair, "kaggle_arena", row) == pair


@given(pairs_with([A, B, TIE], named=True), st.booleans(), TEXT)
def test_mt_bench_there_and_back(pair: Pair, turned: bool, later: str) -> None:
    """Whichever model stands first, it is the same pair with the same better response."""
    if not pair.votes:
        return
    verdict = pair.votes[0].verdict
    a, b = (pair.response_b, pair.response_a) if turned else (pair.response_a, pair.response_b)
    shown = {A: B, B: A}.get(verdict, verdict) if turned else verdict
    more = [{"role": "user", "content": "and?"}, {"role": "assistant", "content": later}]
    row = {"question_id": 1, "model_a": "x", "model_b": "y", "winner": WINNER[shown], "judge": "expert_7", "turn": 1,
           "conversation_a": as_turns(pair, a) + more, "conversation_b": as_turns(pair, b) + more}  # fmt: skip
    found = back(pair, "mt_bench", row)
    better = {A: pair.response_a, B: pair.response_b}.get(verdict)
    assert {found.response_a, found.response_b} == {pair.response_a, pair.response_b}
    assert {A: found.response_a, B: found.response_b}.get(found.votes[0].verdict) == better
    assert found.votes[0].annotator == "expert_7"
    assert found.pair_id == back(pair, "mt_bench", {**row, "conversation_a": row["conversation_b"],
                                                    "conversation_b": row["conversation_a"]}).pair_id  # fmt: skip


@given(pairs_with([A, B, TIE]), st.floats(0.01, 1), st.booleans())
def test_webgpt_there_and_back(pair: Pair, score: float, flat: bool) -> None:
    asked = pair.prompt[0].content
    row: dict[str, Any] = {"question": asked if flat else {"full_text": asked}, "score_0": None, "score_1": None}
    row |= {"answer_0": pair.response_a, "answer_1": pair.response_b}
    if pair.votes:
        row["score_0"] = {A: score, B: -score, TIE: 0}[pair.votes[0].verdict]
        row["score_1"] = -row["score_0"]
        pair = replace(pair, votes=(replace(pair.votes[0], strength=2 * abs(row["score_0"])),))
    assert back(pair, "webgpt", row) == pair


@given(pairs_with([A, B]), st.none() | st.floats(1, 100))
def test_shp_there_and_back(pair: Pair, ratio: float | None) -> None:
    row = {"history": pair.prompt[0].content, "human_ref_A": pair.response_a, "human_ref_B": pair.response_b,
           "labels": int(pair.votes[0].verdict is A) if pair.votes else None, "score_ratio": ratio}  # fmt: skip
    votes = tuple(replace(one, strength=ratio) for one in pair.votes)
    assert back(pair, "shp", row) == replace(pair, votes=votes)


@given(pairs_with([A, B, TIE], named=True), st.floats(0.001, 0.5))
def test_alpaca_eval_there_and_back(pair: Pair, strength: float) -> None:
    row: dict[str, Any] = {"instruction": pair.prompt[0].content, "output_1": pair.response_a,
                           "output_2": pair.response_b, "preference": None}  # fmt: skip
    for one in pair.votes:
        row |= {"annotator": one.annotator, "preference": 1.5 + {A: -strength, B: strength, TIE: 0}[one.verdict]}
    found = back(pair, "alpaca_eval", row)
    assert [one.strength for one in found.votes] == pytest.approx(
        [0 if one.verdict is TIE else strength for one in pair.votes]
    )
    assert replace(found, votes=tuple(replace(one, strength=None) for one in found.votes)) == pair


@given(pairs_with([A, B], named=True, most=4))
def test_jung_there_and_back(pair: Pair) -> None:
    said = {one.annotator: 1 if one.verdict is A else 2 for one in pair.votes}
    row = {"instruction": pair.prompt[0].content, "outputs": [pair.response_a, pair.response_b], "preferences": said}
    assert back(pair, "jung", row) == pair


@given(pairs_with([A, B, TIE], most=4))
def test_pandalm_there_and_back(pair: Pair) -> None:
    pair = replace(pair, votes=tuple(replace(one, annotator=f"annotator{i + 1}") for i, one in enumerate(pair.votes)))
    said = {one.annotator: {A: 1, B: 2, TIE: 0}[one.verdict] for one in pair.votes}
    row = {"instruction": pair.prompt[0].content, "response1": pair.response_a, "response2": pair.response_b, **said}
    assert back(pair, "pandalm", row) == pair


@given(pairs_with(list(Verdict), turns=True, named=True, most=4), st.sampled_from(["list", "mapping", "annotators"]))
def test_canonical_votes_there_and_back(pair: Pair, how: str) -> None:
    row: dict[str, Any] = {"prompt": as_turns(pair, "")[:-1], "response_a": pair.response_a,
                           "response_b": pair.response_b}  # fmt: skip
    if how == "list":
        row["votes"] = [{"annotator": one.annotator, "label": one.verdict} for one in pair.votes]
    else:
        row["votes" if how == "mapping" else "annotators"] = {one.annotator: one.verdict for one in pair.votes}
    assert back(pair, "pair", row) == pair


@pytest.mark.parametrize("name", NAMES)
def test_a_broken_row_is_a_reject_and_never_worse(name: str) -> None:
    """Any field of a good row replaced by anything."""
    good = read_rows(GOLDEN / f"{name}.jsonl")[0]
    anything: list[Any] = [None, "", " ", "x", '["x"]', "[1", 0, -1, 2.5, 1e308, True, [], {}, [None], [{}], [[]],
                           ["x", "y"], {"role": "user"}, [{"role": "user", "content": 1}], {"x": None}]  # fmt: skip
    for field in good:
        for value in anything:
            row = {**good, field: value}
            (found,) = read([Row("f", 1, row, orjson.dumps(row))], Reading(name))
            if isinstance(found, Pair):
                assert found.response_a != found.response_b
                assert found.response_a.strip()
                assert found.response_b.strip()
                assert found.prompt[-1].role in {"user", "tool"}
                assert all(isinstance(one.verdict, Verdict) for one in found.votes)
            else:
                assert found.reason
                assert (found.file, found.line, found.raw) == ("f", 1, orjson.dumps(row).decode())


@pytest.mark.parametrize("name", NAMES)
def test_formats_are_told_by_their_fields(name: str) -> None:
    for row in read_rows(GOLDEN / f"{name}.jsonl"):
        assert detect(row, "f").name == name


# ------------------------------------------------------------------------------------------------ whole runs


REAL = {"rmbench": 0, "hhh": 0, "pandalm": 0, "prd_lfqa": 0, "llmbar": 0, "prd_vicuna80": 19}
"""Files of real pairs, and how many labels in each are not what most of its votes say."""


@pytest.mark.parametrize("name", REAL)
def test_real_pairs_go_in(name: str, shared_data: Callable[[str], Path], tmp_path: Path) -> None:
    """Rows are pairs, duplicates and rejects; each vote is one label, and the votes of a pair are its verdict."""
    path = shared_data(f"{name}.jsonl")
    rows = {str(row["id"]): row for row in read_rows(path)}
    found = list(read(source_rows(str(path)), Reading()))
    kept = [one for one in found if isinstance(one, Pair)]
    rejects = [one for one in found if isinstance(one, Reject)]
    with open_store(tmp_path / "store.duckdb") as store:
        added = replace_input(store, [("pool", kept)])["pool"]
        words = store.rows("SELECT pair_id, verdict FROM human_label")
        verdicts = dict(store.rows("SELECT pair_id, verdict FROM label"))
    assert added.pairs + added.duplicates + len(rejects) == len(rows)
    assert all(one.reason == "is empty" or "identical" in one.reason for one in rejects)
    said: dict[str, Counter[str]] = defaultdict(Counter)
    for one in kept:
        row = rows[str(one.source_id)]
        assert (one.response_a, one.response_b) == (row["response_a"], row["response_b"])
        said[one.pair_id].update(row["annotators"] or [row["label"]])
    assert Counter(words) == {(pair, verdict): n for pair, votes in said.items() for verdict, n in votes.items()}
    assert verdicts == {pair: _most(votes) for pair, votes in said.items()}
    once = [one for one in kept if sum(said[one.pair_id].values()) == len(one.votes)]
    assert len(once) > 0.8 * len(kept)
    assert sum(verdicts[one.pair_id] != rows[str(one.source_id)]["label"] for one in once) == REAL[name]


def _most(votes: Counter[str]) -> str:
    """The verdict of most; equal numbers are a tie."""
    first = max(votes.values())
    best = [verdict for verdict, count in votes.items() if count == first]
    return best[0] if len(best) == 1 else "tie"


def test_several_judges_of_mt_bench_label_one_pair(cli: Cli, tmp_path: Path) -> None:
    """From rows of one person each, in either order of the models, to agreement between people."""

    def conversation(i: int, model: str) -> list[dict[str, str]]:
        said = (f"Question {i}?", f"Answer {i} of {model}.", "More?", f"{model} {i}")
        return [{"role": ("user", "assistant")[place % 2], "content": text} for place, text in enumerate(said)]

    rows = []
    for i, person in product(range(30), range(3)):
        first, second = ("x", "y") if person % 2 else ("y", "x")
        better = "y" if person == 2 and i % 3 == 0 else "x"  # the third disagrees on ten pairs
        rows.append({
            "question_id": i, "model_a": first, "model_b": second, "judge": f"expert_{person}", "turn": 1,
            "winner": "model_a" if better == first else "model_b",
            "conversation_a": conversation(i, first), "conversation_b": conversation(i, second),
        })  # fmt: skip
    raw = write_rows(tmp_path / "raw.jsonl", rows)
    found = {x.source_id: x for x in read(source_rows(str(raw)), Reading()) if isinstance(x, Pair)}
    log = write_rows(tmp_path / "log.jsonl", [
        {"id": name, "judge": "j", "order": order, "p_a": 0.9 if pair.metadata["model_a"] == "x" else 0.1}
        for name, pair in found.items() for order in ("ab", "ba")
    ])  # fmt: skip
    run = cli.json("label", raw, "--judgments", log, "--out", tmp_path / "out")
    assert (run["pairs"], run["duplicates"], run["rejected"]) == (30, 60, 0)
    assert run["calibration"]["n"] == 30
    assert run["calibration"]["errors"] == 0
    db = tmp_path / "out" / "curator.duckdb"
    found = cli.json("agreement", "--db", db)
    assert [found["labels"][name] for name in ("labels", "annotators", "pairs")] == [90, 3, 30]
    assert found["people"]["pairs"] == 30
    assert found["people"]["agreement"] == pytest.approx((20 + 10 / 3) / 30)
    by_name = {one["annotator"]: one["agreement"] for one in found["annotators"]}
    assert by_name == pytest.approx({"expert_0": 50 / 60, "expert_1": 50 / 60, "expert_2": 20 / 30})


def test_votes_calibrate_from_a_file_of_their_own(cli: Cli, tmp_path: Path) -> None:
    """Rows of --calibration may have several labels each, with the names and strengths that the file gives."""
    pool = write_rows(tmp_path / "pool.jsonl", pairs(40))
    said = {"anna": "a", "ben\u202e": "a", "carl": "b"}
    rows = [{key: row[key] for key in row if key != "label"} | {"votes": said} for row in pairs(80)[40:]]
    rows[0]["votes"] = [{"annotator": "anna", "label": "a", "strength": 2}, {"annotator": None, "label": "skip"}]
    known = write_rows(tmp_path / "known.jsonl", rows)
    log = write_rows(tmp_path / "log.jsonl", judgments(80))
    run = cli.json("label", pool, "--calibration", known, "--judgments", log, "--out", tmp_path / "out")
    assert run["calibration"]["n"] == 40
    assert run["calibration"]["errors"] == 20, "the judge says a of every other pair, and most people of all"
    with open_store(tmp_path / "out" / "curator.duckdb") as store:
        found = store.rows("SELECT annotator, verdict, strength, count(*) FROM human_label GROUP BY ALL ORDER BY ALL")
    assert found == [
        ("anna", "a", 2.0, 1), ("anna", "a", None, 39), ("ben", "a", None, 39), ("carl", "b", None, 39),
        ("known.jsonl", "skip", None, 1),
    ]  # fmt: skip
    bare = write_rows(tmp_path / "bare.jsonl", [*rows, {**rows[1], "label": None}])  # held back
    assert cli("label", pool, "--calibration", bare, "--judgments", log, "--out", tmp_path / "other") == 1
    assert "bare.jsonl, line 41: label is missing" in cli.err


def test_a_refused_file_says_how_to_use_it(cli: Cli, tmp_path: Path) -> None:
    assert cli("label", GOLDEN / "mt_bench_pairs.jsonl", "--out", tmp_path / "out") == 1
    assert "hold no texts" in cli.err
    assert "--judgments" in cli.err
