"""Rows with several responses, or one each: every row gives pairs or is a reject, labels and sides are as it says."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curator.files import Reject
from curator.formats import FORMATS, detect
from curator.formats.read import Seen, read
from curator.options import Reading
from curator.pair import Candidates, Message, Pair, Response, Verdict
from curator.pairing import Pairing, Policy, pairs_of, parse_pairing
from curator.sources import source_rows
from tests.conftest import ROOT, Cli, read_rows, write_rows

GOLDEN = ROOT / "tests" / "golden" / "formats"

Said = tuple[str, str, float | None]
"""Winner (or the text that sorts first, for a tie), loser, strength: negative for a tie, None without a label."""


def read_golden(name: str, **reading: Any) -> tuple[list[Pair], list[Reject], Seen]:
    seen = Seen()
    found = list(read(source_rows(str(GOLDEN / f"{name}.jsonl")), Reading(**reading), seen))
    assert seen.format is FORMATS[name], "recognised"
    return [one for one in found if isinstance(one, Pair)], [one for one in found if isinstance(one, Reject)], seen


def said(pairs: Sequence[Pair]) -> set[Said]:
    """Who beat whom by how much, whichever is a."""
    found: set[Said] = set()
    for pair in pairs:
        a, b = pair.response_a, pair.response_b
        if not pair.votes:
            found.add((min(a, b), max(a, b), None))
            continue
        (vote,) = pair.votes
        assert vote.strength is not None
        if vote.verdict is Verdict.TIE:
            assert vote.strength == 0
            found.add((min(a, b), max(a, b), -1))
        else:
            found.add((a, b, vote.strength) if vote.verdict is Verdict.A else (b, a, vote.strength))
    return found


def sides(pair: Pair, first: str) -> dict[str, Any]:
    """What a pair's metadata say, with "1" for the side of a text and "2" for the other."""
    own = "a" if pair.response_a == first else "b"
    return {
        f"{name[:-1]}{1 if name[-1] == own else 2}" if name[-2:] in {"_a", "_b"} else name: value
        for name, value in pair.metadata.items()
    }


def counts(seen: Seen) -> tuple[int, int, int, int]:
    return seen.rows, seen.prompts, seen.responses, seen.identical


def reasons(rejects: Sequence[Reject]) -> list[tuple[int, str, str]]:
    return [(one.line, one.field, one.reason) for one in rejects]


def test_responses() -> None:
    pairs, rejects, seen = read_golden("responses")
    even = "2 is the only even one."
    assert said(pairs[:3]) == {("7", "8", 1.5), (even, "7", 1.5), (even, "8", 3)}
    assert said(pairs[3:]) == {("Goethe", "Schiller", 2), ("Hello!", "hello", None)}
    assert pairs[3].prompt == (Message("system", "Be brief."), Message("user", "Who wrote Faust?"))
    assert sides(pairs[3], "Goethe") == {"model_1": "large", "model_2": "small", "seconds_2": 0.2}
    assert pairs[0].metadata == {"topic": "numbers"}
    ids = {(pair.source_id, pair.response_a, pair.response_b) for pair in pairs[:3]}
    texts = ("", "7", "8", even)
    assert ids == {(f"r1#{texts.index(a)}-{texts.index(b)}", a, b) for _, a, b in ids}
    assert pairs[3].source_id in {"2#1-2", "2#2-1"}
    assert pairs[4].source_id is None
    assert counts(seen) == (3, 3, 8, 1)
    assert reasons(rejects) == [(4, "row", "has no two different responses to compare")]


def test_model_outputs() -> None:
    pairs, rejects, seen = read_golden("model_outputs")
    assert said(pairs) == {("4", "5", None), ("4", "Four.", None), ("5", "Four.", None), ("Loud.", "Red.", None)}
    assert [pair.prompt[0].content for pair in pairs] == ["What is 2 + 2?"] * 3 + ["Name a colour."]
    assert sides(pairs[-1], "Red.") == {"dataset": "made_up", "model_1": "large", "model_2": "small"}
    assert counts(seen) == (5, 2, 5, 0)
    assert reasons(rejects) == [(4, "row", "has the only response to its prompt")]
    assert json.loads(rejects[0].raw)["instruction"] == "Name a river."


@pytest.mark.parametrize("prompt", ["prompt", "instruction"])
@pytest.mark.parametrize("response", ["response", "output"])
@pytest.mark.parametrize("model", ["model", "generator"])
def test_names_of_a_table(tmp_path: Path, prompt: str, response: str, model: str) -> None:
    rows = [{prompt: "q", response: text, model: text.upper(), "id": "q1", "seconds": i} for i, text in enumerate("xy")]
    assert detect(rows[0], "f").name == "model_outputs"
    (pair,) = read(source_rows(str(write_rows(tmp_path / "raw.jsonl", rows))), Reading())
    assert isinstance(pair, Pair)
    assert sides(pair, "x") == {"model_1": "X", "model_2": "Y", "seconds_1": 0, "seconds_2": 1}
    assert pair.source_id == ("q1#1-2" if pair.response_a == "x" else "q1#2-1")


ALL, SPIDER = "overall", ("Eight.", "A spider has eight legs, in four pairs.", "Six.")


@pytest.mark.parametrize(
    ("criterion", "scores"),
    [
        (None, (7, 9, 7)), ("overall", (7, 9, 7)), ("fine-grained", (4, 4.75, 2)), ("helpfulness", (2, 4, 2)),
        ("honesty", (5, None, 3)), ("instruction_following", (4, 5, 2)), ("truthfulness", (5, 5, 1)),
    ],
)  # fmt: skip
def test_ultrafeedback(criterion: str | None, scores: tuple[float | None, ...]) -> None:
    pairs, rejects, seen = read_golden("ultrafeedback", criterion=criterion)
    assert said(pairs) == _by(dict(zip(SPIDER, scores, strict=True)))
    kept = sides(next(pair for pair in pairs if "Eight." in (pair.response_a, pair.response_b)), "Eight.")
    assert (kept["source"], kept["model_1"], kept["principle_1"]) == ("made_up", "m1", "helpfulness")
    assert kept["annotations_1"]["truthfulness"]["Rationale For Rating"] == "right"
    assert counts(seen) == (1, 1, 3, 0)
    assert reasons(rejects) == [(2, "row", "has no two different responses to compare")]


def _by(scores: dict[str, float | None]) -> set[Said]:
    found: set[Said] = set()
    for one, this in scores.items():
        for other, that in scores.items():
            if this is None or that is None or this == that:
                found |= (
                    {(min(one, other), max(one, other), -1 if this is not None and that is not None else None)}
                    if one < other
                    else set()
                )
            elif this > that:
                found.add((one, other, this - that))
    return found


def test_nectar() -> None:
    pairs, rejects, seen = read_golden("nectar")
    assert said(pairs) == {("Mars.", "The Moon.", 2), ("Mars.", "Venus?", 1), ("Venus?", "The Moon.", 1)}
    asked = (Message("user", "Hi"), Message("assistant", "Hello, what is it?"), Message("user", "Name a planet."))
    assert {pair.prompt for pair in pairs} == {asked}
    assert sides(pairs[0], "Mars.")["model_1"] == "gpt"
    assert counts(seen) == (1, 1, 3, 0)
    assert reasons(rejects) == [(2, "row", "has the only response to its prompt")]


@pytest.mark.parametrize(
    "prompt", ["\n\nHuman: a\n\nAssistant: b", "x\n\nHuman: a", "\n\nAssistant: ", "\n\nHuman: \n\nAssistant: "]
)
def test_a_conversation_that_ends_nowhere(tmp_path: Path, prompt: str) -> None:
    answers = [{"answer": text, "model": "m", "rank": i} for i, text in enumerate("xy", 1)]
    (bad,) = read(
        source_rows(str(write_rows(tmp_path / "raw.jsonl", [{"prompt": prompt, "answers": answers}]))), Reading()
    )
    assert isinstance(bad, Reject)
    assert (bad.field, bad.line) == ("prompt", 1)


def test_helpsteer2_ratings() -> None:
    pairs, rejects, seen = read_golden("helpsteer2_ratings")
    assert said(pairs) == {("A language.", "A note.", 2), ("A beech.", "An oak.", -1)}
    assert pairs[1].prompt == (Message("user", "Hi"), Message("assistant", "Hello"), Message("user", "Name a tree."))
    assert sides(pairs[0], "A note.")["complexity_1"] == 1
    assert counts(seen) == (4, 2, 4, 0)
    assert reasons(rejects) == [(5, "row", "has the only response to its prompt")]
    by_truth, _, _ = read_golden("helpsteer2_ratings", criterion="correctness")
    assert said(by_truth) == {("A language.", "A note.", -1), ("A beech.", "An oak.", -1)}


def test_models_are_no_people() -> None:
    assert {name: FORMATS[name].labelled_by for name in ("responses", "model_outputs", "ultrafeedback", "nectar")} == {
        "responses": "people", "model_outputs": "", "ultrafeedback": "a model", "nectar": "a model",
    }  # fmt: skip


def test_labels_can_be_left_behind() -> None:
    pairs, _, _ = read_golden("nectar", ignore_labels=True, pairing=parse_pairing("best-worst"))
    assert said(pairs) == {("Mars.", "The Moon.", None)}


@pytest.mark.parametrize(
    ("row", "field"),
    [
        ({"prompt": "q", "responses": ["x", ""]}, "responses.1"),
        ({"prompt": "q", "responses": ["x", {"model": "m"}]}, "responses.1"),
        ({"prompt": "q", "responses": ["x", "y"], "scores": [1]}, "scores"),
        ({"prompt": "q", "responses": ["x", "y"], "scores": ["1", 2]}, "scores.0"),
        ({"prompt": "q", "responses": "xy"}, "responses"),
        ({"prompt": "q", "responses": ["x"]}, "row"),
        ({"prompt": "q", "responses": []}, "row"),
    ],
)
def test_bad_rows(tmp_path: Path, row: dict[str, Any], field: str) -> None:
    (bad,) = read(source_rows(str(write_rows(tmp_path / "raw.jsonl", [row]))), Reading())
    assert isinstance(bad, Reject)
    assert bad.field.startswith(field), bad
    assert json.loads(bad.raw) == row


_ANY = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-9, 9)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=4),
    lambda x: st.lists(x, max_size=2) | st.dictionaries(st.sampled_from(["text", "answer", "rank", "response"]), x),
    max_leaves=5,
)
_FIELDS = sorted({name for entry in FORMATS.values() for name in entry.required.union(*entry.also)} | {"scores", "id"})


@pytest.mark.parametrize("name", ["helpsteer2_ratings", "model_outputs", "nectar", "responses", "ultrafeedback"])
@given(lines=st.lists(st.dictionaries(st.sampled_from(_FIELDS), _ANY, max_size=6), max_size=5))
def test_no_row_is_lost(name: str, tmp_path_factory: pytest.TempPathFactory, lines: list[dict[str, Any]]) -> None:
    """Whatever stands among good rows, each row gives pairs or is a reject, once."""
    path = tmp_path_factory.getbasetemp() / f"{name}.jsonl"
    good = read_rows(GOLDEN / f"{name}.jsonl")
    seen = Seen()
    found = list(read(source_rows(str(write_rows(path, [*lines, *good]))), Reading(name), seen))
    rejects = [row.line for row in found if isinstance(row, Reject)]
    assert len(set(rejects)) == len(rejects)
    assert seen.rows + len(rejects) == len(lines) + len(good)
    pairs, _, alone = read_golden(name)
    assert seen.rows >= alone.rows
    assert {pair.pair_id for pair in pairs} <= {row.pair_id for row in found if isinstance(row, Pair)}


TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8).filter(lambda text: text.strip() != "")
WRITE: dict[str, Any] = {
    "responses": lambda prompt, said: [
        {"prompt": prompt, "id": "i", "responses": [text for text, _ in said], "scores": [mark for _, mark in said]}
    ],
    "model_outputs": lambda prompt, said: [
        {"instruction": prompt, "id": "i", "output": text, "generator": "m"} for text, _ in said
    ],
    "ultrafeedback": lambda prompt, said: [
        {"instruction": prompt, "completions": [{"response": text, "overall_score": mark} for text, mark in said]}
    ],
    "nectar": lambda prompt, said: [
        {
            "prompt": f"\n\nHuman: {prompt}\n\nAssistant: ",
            "answers": [{"answer": text, "rank": -mark} for text, mark in said],
        }
    ],
    "helpsteer2_ratings": lambda prompt, said: [
        {"prompt": prompt, "response": text, "helpfulness": mark, "correctness": 0, "coherence": 0}
        for text, mark in said
    ],
}  # fmt: skip


@pytest.mark.parametrize("name", WRITE)
@given(
    prompt=st.text("abc?", min_size=1, max_size=5),
    said=st.lists(st.tuples(TEXT, st.integers(-3, 3)), min_size=2, max_size=5, unique_by=lambda one: one[0]),
    policy=st.sampled_from(["all", "adjacent", "random:2", "tournament"]),
)
def test_what_is_written_is_read(
    name: str, tmp_path_factory: pytest.TempPathFactory, prompt: str, said: list[tuple[str, int]], policy: str
) -> None:
    """Labels, strengths and sides: as if the pairs were made of what the row was made of."""
    path = write_rows(tmp_path_factory.getbasetemp() / f"{name}.jsonl", WRITE[name](prompt, said))
    labels = FORMATS[name].labelled_by != ""
    own_id = "i" if name in {"responses", "model_outputs"} else None
    responses = tuple(Response(text, score=float(mark) if labels else None) for text, mark in said)
    wanted = pairs_of(Candidates((Message("user", prompt),), responses, own_id), parse_pairing(policy))
    found = read(source_rows(str(path)), Reading(name, pairing=parse_pairing(policy)))
    assert [_heart(pair) for pair in found] == [_heart(pair) for pair in wanted]


def _heart(pair: Pair | Reject) -> tuple[Any, ...]:
    assert isinstance(pair, Pair), pair
    return pair.prompt, pair.response_a, pair.response_b, pair.votes, pair.source_id


def test_neighbours_are_chosen_in_one_way(cli: Cli, tmp_path: Path) -> None:
    """Labelled pairs that are neighbours by score are no sample of pairs that are neighbours by place."""
    scored = [{"prompt": f"q{i}", "responses": ["x", "y", "z"], "scores": [1, 3, 2]} for i in range(2)]
    plain = [{"prompt": f"p{i}", "responses": ["x", "y", "z"]} for i in range(2)]
    mixed = write_rows(tmp_path / "mixed.jsonl", [*plain, *scored])
    apart = [write_rows(tmp_path / f"{i}.jsonl", rows) for i, rows in enumerate((plain, scored))]
    log = write_rows(tmp_path / "log.jsonl", [])
    for source in ([mixed], [apart[0], "--calibration", apart[1]]):
        assert cli("label", *source, "--pairs", "adjacent", "--judgments", log) == 1
        assert "some prompts have scores, and others have none" in cli.err
    found = list(read(source_rows(str(mixed)), Reading(pairing=parse_pairing("adjacent"), ignore_labels=True)))
    assert len(found) == 8
    assert said([one for one in found if isinstance(one, Pair)]) == {
        ("x", "y", None),
        ("y", "z", None),
        ("x", "z", None),
    }


def test_a_policy_that_needs_scores_refuses_rows_without(cli: Cli, tmp_path: Path) -> None:
    raw = write_rows(tmp_path / "raw.jsonl", [{"prompt": "q", "responses": ["x", "y", "z"]}])
    assert cli("label", raw, "--pairs", "best-worst", "--judgments", raw) == 1
    assert "no two responses with scores, which --pairs best-worst needs" in cli.err
    assert cli("label", raw, "--pairs", "best", "--judgments", raw) == 2
    assert "there are: all, adjacent, best-worst, random:K, tournament" in cli.err


TABLE = st.lists(st.tuples(st.sampled_from("pqr"), st.sampled_from("xyz")), max_size=12)


@given(TABLE)
def test_rows_of_a_prompt_find_each_other(
    tmp_path_factory: pytest.TempPathFactory, table: list[tuple[str, str]]
) -> None:
    """Brute force: the rows of a prompt give the pairs of its different texts, or are all rejects."""
    path = tmp_path_factory.getbasetemp() / "table.jsonl"
    rows = [{"prompt": prompt, "response": text, "model": str(i)} for i, (prompt, text) in enumerate(table)]
    seen = Seen()
    found = list(read(source_rows(str(write_rows(path, rows))), Reading("model_outputs"), seen))
    texts = {prompt: {text for other, text in table if other == prompt} for prompt, _ in table}
    wanted = {(q, one, other) for q, some in texts.items() for one in some for other in some if one < other}
    pairs = [row for row in found if isinstance(row, Pair)]
    assert {(p.prompt[0].content, *sorted((p.response_a, p.response_b))) for p in pairs} == wanted
    assert len(pairs) == len(wanted)
    used = [prompt for prompt, _ in table if len(texts[prompt]) > 1]
    assert len(used) + sum(isinstance(row, Reject) for row in found) == len(table)
    assert counts(seen) == (len(used), len(set(used)), len(used), len(used) - sum(len(texts[q]) for q in set(used)))
    asked = [row.prompt[0].content if isinstance(row, Pair) else json.loads(row.raw)["prompt"] for row in found]
    assert [q for i, q in enumerate(asked) if not i or asked[i - 1] != q] == list(dict.fromkeys(q for q, _ in table))


def test_rows_wait_on_the_disk(tmp_path: Path) -> None:
    """A table of 12 MB whose rows of a prompt are as far apart as can be."""
    import tracemalloc

    text = "x" * 4_000
    path = write_rows(
        tmp_path / "raw.jsonl",
        ({"prompt": f"prompt {i % 1_500}", "response": f"{i} {text}", "model": "m"} for i in range(3_000)),
    )
    tracemalloc.start()
    found = sum(isinstance(row, Pair) for row in read(source_rows(str(path)), Reading()))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert found == 1_500
    assert peak < 2 * 2**20


@pytest.mark.parametrize(("policy", "pairs"), [("all", 6), ("best-worst", 1), ("random:2", 2)])
def test_from_responses_to_a_data_set(cli: Cli, tmp_path: Path, policy: str, pairs: int) -> None:
    """Four responses to each of 30 prompts; a judge that likes the larger number; rows are counted right."""
    rows: list[dict[str, Any]] = [
        {"id": f"q{i}", "prompt": f"prompt {i}", "responses": [f"{n} of {i}" for n in (2, 0, 3, 1)]} for i in range(30)
    ]
    for row in rows if policy == "best-worst" else rows[:20]:
        row["scores"] = [2, 0, 3, 1]
    rows[0]["responses"] = ["same", "same", "same", "same"]
    rows[1]["responses"][1] = rows[1]["responses"][0]
    raw = write_rows(tmp_path / "raw.jsonl", [*rows, {"prompt": "nothing"}])
    reading = Reading(pairing=Pairing(Policy("random"), 2) if policy == "random:2" else Pairing(Policy(policy)))
    made = [pair for pair in read(source_rows(str(raw)), reading) if isinstance(pair, Pair)]
    odds = [0.9 if pair.response_a > pair.response_b else 0.1 for pair in made]
    log = write_rows(
        tmp_path / "log.jsonl",
        [
            {"id": pair.source_id, "judge": "j", "order": order, "p_a": p}
            for pair, p in zip(made, odds, strict=True)
            for order in ("ab", "ba")
        ],
    )
    result = cli.json("label", raw, "--pairs", policy, "--judgments", log, "--alpha", "0.2")
    assert (result["rows"], result["rejected"]) == (31, 2)
    assert result["responses"] == {"prompts": 29, "responses": 4 * 29, "identical": 1}
    assert result["pairs"] == len(made) == result["judged"]
    assert 28 * pairs < len(made) <= 29 * pairs
    rejects = read_rows(tmp_path / "raw.curated" / "rejects.jsonl")
    assert [(one["line"], one["field"]) for one in rejects] == [(1, "row"), (31, "responses")]
    assert cli("label", raw, "--pairs", policy, "--judgments", log, "--alpha", "0.2") == cli.code
    line = next(line for line in cli.out.splitlines() if line.startswith("rows "))
    assert line == (
        f"rows         31 = 29 with 116 responses to 29 prompts ({len(made)} pairs + 0 duplicates; "
        "repeated texts: 1) + 2 rejects"
    )
