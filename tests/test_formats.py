"""Raw rows become pairs or rejects, none is lost, and a label cannot be told from where a response stands."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curator.errors import InputError
from curator.files import Reject
from curator.formats import FORMATS, detect
from curator.formats.base import At
from curator.formats.read import read
from curator.options import Reading
from curator.pair import Message, Pair, Verdict
from curator.sources import source_rows
from tests.conftest import write_rows

PAIR = {"prompt": "why?", "response_a": "because", "response_b": "who knows"}
CHOSEN = {"prompt": "why?", "chosen": "because", "rejected": "who knows"}


def read_all(path: Path, rows: list[dict[str, Any]], input_format: str | None = None) -> list[Pair | Reject]:
    return list(read(source_rows(str(write_rows(path / "raw.jsonl", rows))), Reading(input_format)))


def one(path: Path, row: dict[str, Any]) -> Pair:
    (found,) = read_all(path, [row])
    assert isinstance(found, Pair), found
    return found


def reject(path: Path, row: dict[str, Any], input_format: str) -> tuple[str, str]:
    (found,) = read_all(path, [row], input_format)
    assert isinstance(found, Reject), found
    assert found.line == 1
    assert json.loads(found.raw) == row
    return found.field, found.reason


def test_canonical(tmp_path: Path) -> None:
    pair = one(tmp_path, {**PAIR, "id": "x-1", "label": "b", "topic": "t", "nested": {"a": [1, None]}})
    assert pair.prompt == (Message("user", "why?"),)
    assert (pair.response_a, pair.response_b) == ("because", "who knows")
    assert (pair.label, pair.source_id) == (Verdict.B, "x-1")
    assert pair.metadata == {"topic": "t", "nested": {"a": [1, None]}}
    assert (pair.file, pair.line) == (str(tmp_path / "raw.jsonl"), 1)


@pytest.mark.parametrize(("label", "verdict"), [("a", Verdict.A), ("b", Verdict.B), ("tie", Verdict.TIE), (None, None)])
def test_canonical_labels(tmp_path: Path, label: str | None, verdict: Verdict | None) -> None:
    assert one(tmp_path, {**PAIR, "label": label}).label is verdict
    assert one(tmp_path, PAIR).label is None


@pytest.mark.parametrize(
    ("given_id", "source_id"),
    [("007", "007"), (7, "7"), (0, "0"), (2**64 - 1, str(2**64 - 1)), ("", ""), ("../../x", "../../x")],
)
def test_ids(tmp_path: Path, given_id: object, source_id: str) -> None:
    assert one(tmp_path, {**PAIR, "id": given_id}).source_id == source_id
    assert one(tmp_path, {**CHOSEN, "id": given_id}).source_id == source_id
    assert one(tmp_path, PAIR).source_id is None
    assert one(tmp_path, {**PAIR, "id": None}).source_id is None, "an empty cell of a table"


def test_huge_ids_stay_apart(tmp_path: Path) -> None:
    """JSON numbers beyond 64 bits are read as floating point: two ids must not become one in silence."""
    rows = [{**PAIR, "id": 10**29 + 1}, {**PAIR, "response_b": "maybe", "id": 10**29 + 2}]
    first, second = read_all(tmp_path, rows)
    if isinstance(first, Pair) and isinstance(second, Pair):
        assert first.source_id != second.source_id


def test_conversations(tmp_path: Path) -> None:
    turns = [{"role": "system", "content": ""}, {"role": "user", "content": "hi"}]
    for row in ({**PAIR, "prompt": turns}, {**CHOSEN, "prompt": turns}):
        assert one(tmp_path, row).prompt == (Message("system", ""), Message("user", "hi"))
    tool = [*turns, {"role": "assistant", "content": "?"}, {"role": "tool", "content": "4"}]
    assert one(tmp_path, {**PAIR, "prompt": tool}).prompt[-1] == Message("tool", "4")


def test_chosen_rejected(tmp_path: Path) -> None:
    pair = one(tmp_path, {**CHOSEN, "id": 3, "score": 1.5})
    assert {pair.response_a, pair.response_b} == {"because", "who knows"}
    winner = pair.response_a if pair.label is Verdict.A else pair.response_b
    assert winner == "because"
    assert pair.metadata == {"score": 1.5}
    as_turns = {key: [{"role": "assistant", "content": CHOSEN[key]}] for key in ("chosen", "rejected")}
    same = one(tmp_path, {"prompt": [{"role": "user", "content": "why?"}], **as_turns})
    assert (same.pair_id, same.label) == (pair.pair_id, pair.label)


TEXT = st.text(min_size=1).filter(lambda text: text.strip() != "")


@given(TEXT, TEXT, TEXT)
def test_a_label_does_not_show_in_the_order(prompt: str, one_text: str, other: str) -> None:
    """Whichever is chosen, the pair is the same pair, and only its label says which."""
    if one_text == other:
        return
    convert = FORMATS["chosen_rejected"].convert
    this = convert({"prompt": prompt, "chosen": one_text, "rejected": other}, At())
    that = convert({"prompt": prompt, "chosen": other, "rejected": one_text}, At())
    assert this.pair_id == that.pair_id
    assert (this.response_a, this.response_b) == (that.response_a, that.response_b)
    assert {this.label, that.label} == {Verdict.A, Verdict.B}
    assert (this.response_a if this.label is Verdict.A else this.response_b) == one_text


def test_chosen_is_a_in_half_of_the_rows(tmp_path: Path) -> None:
    rows = [{"prompt": "q", "chosen": f"good {i}", "rejected": f"bad {i}"} for i in range(1000)]
    found = [pair.label for pair in read_all(tmp_path, rows) if isinstance(pair, Pair)]
    assert 430 < found.count(Verdict.A) < 570


@pytest.mark.parametrize(
    ("change", "field", "reason"),
    [
        ({"response_b": None}, "response_b", 'null is not of type "string"|not of type'),
        ({"response_b": ""}, "response_b", "is empty"),
        ({"response_b": " \n\t"}, "response_b", "is empty"),
        ({"response_b": 5}, "response_b", "not of type"),
        ({"response_b": "because"}, "response_b", "identical to response_a"),
        ({"prompt": ""}, "prompt", "is empty|none of the shapes"),
        ({"prompt": []}, "prompt", "item|shapes"),
        ({"prompt": [{"role": "user"}]}, "prompt.0.content", "is missing"),
        ({"prompt": [{"role": "robot", "content": "x"}]}, "prompt.0.role", "must be one of"),
        ({"prompt": [{"role": "assistant", "content": "x"}]}, "prompt", "last message must be the user's"),
        ({"prompt": {"role": "user"}}, "prompt", "shapes"),
        ({"label": "A"}, "label", "must be one of"),
        ({"label": 1}, "label", "must be one of"),
        ({"id": True}, "id", "type"),
        ({"id": 1.5}, "id", "type"),
        ({"id": ["x"]}, "id", "type"),
    ],
)
def test_bad_canonical_rows(tmp_path: Path, change: dict[str, Any], field: str, reason: str) -> None:
    found = reject(tmp_path, {**PAIR, **change}, "pair")
    assert found[0] == field
    assert re.search(reason, found[1]), found[1]


@pytest.mark.parametrize("name", ["prompt", "response_a", "response_b"])
def test_missing_fields(tmp_path: Path, name: str) -> None:
    assert reject(tmp_path, {key: text for key, text in PAIR.items() if key != name}, "pair") == (name, "is missing")


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"rejected": "because"}, "rejected"),
        ({"chosen": ""}, "chosen"),
        ({"chosen": []}, "chosen"),
        ({"chosen": [{"role": "user", "content": "x"}]}, "chosen"),
        ({"chosen": [{"role": "assistant", "content": "x"}, {"role": "assistant", "content": "y"}]}, "chosen"),
        ({"chosen": 3}, "chosen"),
    ],
)
def test_bad_chosen_rejected_rows(tmp_path: Path, change: dict[str, Any], field: str) -> None:
    assert reject(tmp_path, {**CHOSEN, **change}, "chosen_rejected")[0].split(".")[0] == field


def test_reasons_never_quote_the_text(tmp_path: Path) -> None:
    """It may be long and hostile; `raw` has it."""
    _, reason = reject(tmp_path, {**PAIR, "prompt": ["\x1b[31mred" * 100]}, "pair")
    assert "red" not in reason
    assert len(reason) < 200


@pytest.mark.parametrize("depth", [200, 300, 900])
def test_deeply_nested_metadata(tmp_path: Path, depth: int) -> None:
    """What can be read can be checked and stored, or is a reject."""
    path = tmp_path / "raw.jsonl"
    deep = json.dumps({**PAIR, "deep": "HERE"}).replace('"HERE"', '{"x": ' * depth + "1" + "}" * depth)
    path.write_text(json.dumps(PAIR) + "\n" + deep + "\n" + json.dumps(PAIR) + "\n", encoding="utf-8")
    first, deep_one, last = read(source_rows(str(path)), Reading())
    assert isinstance(first, Pair)
    assert isinstance(last, Pair)
    if isinstance(deep_one, Reject):
        assert "nested" in deep_one.reason
    else:
        import orjson

        orjson.dumps(deep_one.metadata)


def test_detection() -> None:
    assert detect(PAIR, "f").name == "pair"
    assert detect({**PAIR, "extra": 1, "chosen": ""}, "f").name == "pair"
    assert detect(CHOSEN, "f").name == "chosen_rejected"
    with pytest.raises(
        InputError, match=r"f: no known format has the fields x, y\. Formats: pair, chosen_rejected, .*--map"
    ):
        detect({"x": 1, "y": 2}, "f")
    with pytest.raises(InputError, match="none"):
        detect({}, "f")
    with pytest.raises(
        InputError, match=r"has the fields prompt, response_a\. The nearest, pair, also needs response_b\."
    ):
        detect({"prompt": "why?", "response_a": "because"}, "f")
    with pytest.raises(InputError, match=r"fields Why is the sky.{22,26}…\. Is the first row data\?") as raised:
        detect({"Why is the sky so blue, and not green? " * 99: "because"}, "a.csv")
    assert len(str(raised.value)) < 1000
    with pytest.raises(InputError, match="fit pair and chosen_rejected; say which with --input-format"):
        detect({**PAIR, **CHOSEN}, "f")


def test_detection_shows_few_of_many_fields() -> None:
    with pytest.raises(InputError) as raised:
        detect({f"field{i}": 0 for i in range(5000)}, "f")
    assert len(str(raised.value)) < 3000


def test_ambiguous_rows_by_name(tmp_path: Path) -> None:
    both = {**PAIR, **CHOSEN}
    (as_pair,), (as_chosen,) = read_all(tmp_path, [both], "pair"), read_all(tmp_path, [both], "chosen_rejected")
    assert isinstance(as_pair, Pair)
    assert isinstance(as_chosen, Pair)
    assert as_pair.label is None
    assert as_chosen.label is not None


def test_unknown_format_name(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no raw format is named 'csv'; there are: pair, chosen_rejected"):
        read_all(tmp_path, [PAIR], "csv")


def test_format_is_told_by_the_first_object(tmp_path: Path) -> None:
    path = tmp_path / "raw.jsonl"
    path.write_text("not json\n[1]\n" + json.dumps(CHOSEN) + "\n" + json.dumps(PAIR) + "\n", encoding="utf-8")
    assert [type(row) for row in read(source_rows(str(path)), Reading())] == [Reject, Reject, Pair, Reject]


def test_a_bad_first_row_is_one_bad_row(tmp_path: Path) -> None:
    """A row without a field is a reject wherever it stands, also where the format is still to be told."""
    rows = read_all(tmp_path, [{"prompt": "why?", "response_a": "because"}, {}, PAIR, {**PAIR, "id": 2}])
    assert [type(row) for row in rows] == [Reject, Reject, Pair, Pair]


_ANY = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-9, 9)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=4),
    lambda x: st.lists(x, max_size=2) | st.dictionaries(st.text(max_size=3), x, max_size=2),
    max_leaves=4,
)
_TURNS = st.lists(
    st.fixed_dictionaries({"role": st.sampled_from(["user", "assistant", "x"]), "content": st.text(max_size=3)}),
    max_size=3,
)
_FIELD = st.one_of(st.text(max_size=4), _TURNS, _ANY)
_ROW = st.dictionaries(
    st.sampled_from(["id", "prompt", "response_a", "response_b", "chosen", "rejected", "label", "z"]), _FIELD
)
_LINE = st.one_of(_ROW, _ANY).map(json.dumps) | st.text(max_size=8).map(
    lambda text: text.replace("\n", "").replace("\r", "")
)


@pytest.mark.parametrize("name", ["pair", "chosen_rejected"])
@given(lines=st.lists(_LINE, max_size=6))
def test_rows_in_are_pairs_and_rejects(name: str, tmp_path_factory: pytest.TempPathFactory, lines: list[str]) -> None:
    path = tmp_path_factory.getbasetemp() / f"{name}.jsonl"
    good = json.dumps(PAIR if name == "pair" else CHOSEN)
    path.write_text("\n".join([*lines, good]), encoding="utf-8", errors="surrogatepass")
    found = list(read(source_rows(str(path)), Reading(name)))
    body = path.read_bytes().removeprefix(b"\xef\xbb\xbf").split(b"\n")
    assert len(found) == sum(bool(line.strip()) for line in body)
    assert isinstance(found[-1], Pair)
    for row in found:
        if isinstance(row, Pair):
            assert row.response_a != row.response_b
            assert row.response_a.strip()
            assert row.prompt[-1].role in {"user", "tool"}
        else:
            assert row.reason
            assert row.field
