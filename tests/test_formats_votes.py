"""Arenas and files of votes: who said what of which response, and what no honest pair can be made of."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, replace
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


@dataclass(frozen=True)
class Writer:
    """A format as this test writes it, and what it can hold.

    Attributes:
        write: makes a row of a pair.
        people: who may vote on a pair, the first of them first; None where the file does not say.
        graded: whether a vote has a strength, which is 0 for a tie.
    """

    write: Callable[[Pair], dict[str, Any]]
    verdicts: tuple[Verdict, ...] = (A, B, TIE)
    turns: bool = False
    people: tuple[str | None, ...] = (None,)
    graded: bool = False


def said_by(pair: Pair, words: dict[Verdict, Any]) -> Any:
    """The only vote of a pair, in the words of a format."""
    return words[pair.votes[0].verdict] if pair.votes else None


def leaning(pair: Pair) -> float | None:
    """The strength of the only vote: more than 0 for a, less for b."""
    return said_by(pair, {A: 1, B: -1, TIE: 0}) and said_by(pair, {A: 1, B: -1}) * (pair.votes[0].strength or 0)


def texts(pair: Pair, prompt: str, a: str, b: str) -> dict[str, Any]:
    return {prompt: pair.prompt[0].content, a: pair.response_a, b: pair.response_b}


def as_turns(pair: Pair, answer: str, *later: str) -> list[dict[str, str]]:
    said = [*pair.prompt, Message("assistant", answer)]
    said += [Message(("user", "assistant")[place % 2], text) for place, text in enumerate(later)]
    return [{"role": one.role, "content": one.content} for one in said]


def voter(pair: Pair) -> str | None:
    return pair.votes[0].annotator if pair.votes else None


def arena(pair: Pair, *later: str) -> dict[str, Any]:
    winner = said_by(pair, {A: "model_a", B: "model_b", TIE: "tie", BOTH_BAD: "tie (bothbad)"})
    return {
        "model_a": "x", "model_b": "y", "winner": winner, "judge": voter(pair),
        "conversation_a": as_turns(pair, pair.response_a, *later),
        "conversation_b": as_turns(pair, pair.response_b, *later),
    }  # fmt: skip


def kaggle(pair: Pair) -> dict[str, Any]:
    said = [one.content for one in pair.prompt]
    lists = {"prompt": said[::2], "response_a": [*said[1::2], pair.response_a],
             "response_b": [*said[1::2], pair.response_b]}  # fmt: skip
    won = {f"winner_{name}": str(int(said_by(pair, {A: "model_a", B: "model_b", TIE: "tie"}) == name))
           for name in ("model_a", "model_b", "tie") if pair.votes}  # fmt: skip
    return {key: orjson.dumps(one).decode() for key, one in lists.items()} | won


def webgpt(pair: Pair) -> dict[str, Any]:
    score = None if (lead := leaning(pair)) is None else lead / 2
    row = texts(pair, "question", "answer_0", "answer_1")
    return {**row, "question": {"full_text": row["question"]}, "score_0": score, "score_1": score and -score}


def votes_of(pair: Pair, words: dict[Verdict, Any]) -> dict[str, Any]:
    return {str(one.annotator): words[one.verdict] for one in pair.votes}


def mt_bench(pair: Pair) -> dict[str, Any]:
    return arena(pair, "and?", "no") | {"judge": voter(pair) or "expert_7", "question_id": 1, "turn": 1}


def shp(pair: Pair) -> dict[str, Any]:
    ratio = pair.votes[0].strength if pair.votes else None
    row = texts(pair, "history", "human_ref_A", "human_ref_B")
    return row | {"labels": said_by(pair, {A: 1, B: 0}), "score_ratio": ratio}


def alpaca_eval(pair: Pair) -> dict[str, Any]:
    lead = leaning(pair)
    row = texts(pair, "instruction", "output_1", "output_2")
    return row | {"preference": None if lead is None else 1.5 - lead, "annotator": voter(pair)}


def jung(pair: Pair) -> dict[str, Any]:
    outputs = [pair.response_a, pair.response_b]
    return {"instruction": pair.prompt[0].content, "outputs": outputs, "preferences": votes_of(pair, {A: 1, B: 2})}


def pandalm(pair: Pair) -> dict[str, Any]:
    said = {"annotator1": None} | votes_of(pair, {A: 1, B: 2, TIE: 0})
    return texts(pair, "instruction", "response1", "response2") | said


def canonical(pair: Pair) -> dict[str, Any]:
    votes = [{"annotator": x.annotator, "label": x.verdict, "strength": x.strength} for x in pair.votes]
    row = texts(pair, "prompt", "response_a", "response_b") | {"votes": votes}
    return row | {"prompt": as_turns(pair, "")[:-1]}


PEOPLE = ("expert_7", "Ben Lee", "判定者")

WRITERS = {
    "chatbot_arena": Writer(arena, (A, B, TIE, BOTH_BAD), turns=True, people=PEOPLE[:1]),
    "kaggle_arena": Writer(kaggle, turns=True),
    "mt_bench": Writer(mt_bench, people=PEOPLE[:1]),
    "webgpt": Writer(webgpt, graded=True),
    "shp": Writer(shp, (A, B), graded=True),
    "alpaca_eval": Writer(alpaca_eval, people=PEOPLE[:1], graded=True),
    "jung": Writer(jung, (A, B), people=PEOPLE),
    "pandalm": Writer(pandalm, people=("annotator1", "annotator2", "annotator3")),
    "pair": Writer(canonical, tuple(Verdict), turns=True, people=(*PEOPLE, None), graded=True),
}


@st.composite
def written(draw: st.DrawFn, how: Writer) -> Pair:
    """A pair that a format can hold."""
    prompt = [Message("user", draw(TEXT))]
    for _ in range(draw(st.integers(0, 2)) if how.turns else 0):
        prompt += [Message("assistant", draw(TEXT)), Message("user", draw(TEXT))]
    a, b = draw(st.lists(TEXT, min_size=2, max_size=2, unique=True))
    votes = []
    for person in how.people[: draw(st.integers(0, len(how.people)))]:
        verdict = draw(st.sampled_from(how.verdicts))
        votes.append(
            graded(Vote(verdict, person), draw(st.integers(1, 4)) / 8) if how.graded else Vote(verdict, person)
        )
    return Pair(tuple(prompt), a, b, tuple(votes))


def graded(vote: Vote, strength: float) -> Vote:
    return replace(vote, strength=strength if vote.verdict in {A, B} else 0.0)


def back(name: str, row: dict[str, Any]) -> Pair:
    """What is read of a row in a format, without what the row alone knows."""
    data = orjson.dumps(row)
    (found,) = read([Row("f", 1, orjson.loads(data), data)], Reading(name))
    assert isinstance(found, Pair), found
    return replace(found, source_id=None, metadata={}, file="", line=0)


def turned(pair: Pair) -> Pair:
    """The same pair with its responses the other way round."""
    votes = tuple(replace(one, verdict={A: B, B: A}.get(one.verdict, one.verdict)) for one in pair.votes)
    return replace(pair, response_a=pair.response_b, response_b=pair.response_a, votes=votes)


@pytest.mark.parametrize("name", WRITERS)
@given(data=st.data())
def test_there_and_back(name: str, data: st.DataObject) -> None:
    write = WRITERS[name].write
    pair = data.draw(written(WRITERS[name]))
    found = back(name, write(pair))
    if name == "mt_bench":  # whichever model stands first, it is one pair
        assert found == back(name, write(turned(pair)))
        assert found in (pair, turned(pair))
    else:
        assert found == pair


@pytest.mark.parametrize("name", WRITERS)
def test_real_pairs_there_and_back(name: str, shared_data: Callable[[str], Path]) -> None:
    """The real pairs in every format that can hold their verdicts: the same pairs, verdicts and sides."""
    how = WRITERS[name]
    tried = 0
    for file in ("rmbench", "hhh", "pandalm", "prd_lfqa", "llmbar"):
        for one in read(source_rows(str(shared_data(f"{file}.jsonl"))), Reading()):
            if isinstance(one, Pair) and all(vote.verdict in how.verdicts for vote in one.votes):
                said = zip(one.votes, how.people, strict=False)
                plain = [Vote(vote.verdict, person) for vote, person in said]
                votes = tuple(graded(vote, 0.5) if how.graded else vote for vote in plain)
                pair = Pair(one.prompt, one.response_a, one.response_b, votes)
                assert back(name, how.write(pair)) in ((pair, turned(pair)) if name == "mt_bench" else (pair,))
                tried += 1
    assert tried > 2_000


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


def test_who_is_named_has_one_vote_and_nobody_else_has(tmp_path: Path) -> None:
    """A person's last word on a pair counts, however often a file repeats it; of nameless people each counts."""
    first, other = pairs(2)
    said = [[{"annotator": "anna", "label": "a"}, {"label": "a"}, {"label": "a"}], {"anna": "b", "ben": "b"}, ["b"]]
    rows = [{**first, "votes": votes} for votes in said] + [{**other, "votes": {"anna": "tie", "raw.jsonl": "a"}}]
    for row in rows:
        del row["label"]
    raw = write_rows(tmp_path / "raw.jsonl", rows)
    with open_store(tmp_path / "store.duckdb") as store:
        for labels in (7, 0):  # what has been read before is known
            added = replace_input(store, [("pool", read(source_rows(str(raw)), Reading()))])["pool"]
            assert (added.pairs, added.duplicates, added.labels) == (2, 2, labels)
            found = store.rows("SELECT annotator, verdict FROM human_label ORDER BY number")
            assert found == [
                ("raw.jsonl", "a"), ("raw.jsonl#2", "a"), ("anna", "b"), ("ben", "b"), ("raw.jsonl#3", "b"),
                ("anna", "tie"), ("raw.jsonl", "a"),
            ]  # fmt: skip


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
