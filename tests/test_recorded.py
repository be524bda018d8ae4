"""Logs of judgments: a block parsed by Arrow says exactly what its rows say one by one."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from curator.files import Reject, read_lines
from curator.judges import recorded
from curator.judges.recorded import read_log
from tests.conftest import write_rows

ROW = {"id": "x", "judge": "j", "order": "ab", "p_a": 0.25}


def both_ways(path: Path) -> Iterator[tuple[list[Any], list[Reject]]]:
    """What the blocks of a file say, and what its rows say one by one."""
    blocks = list(read_log(str(path)))
    yield readings(blocks), [bad for block in blocks for bad in block.rejects]
    lines = [line for line in read_lines(str(path)) if not isinstance(line[1], Reject)]
    slow = recorded._row_by_row(str(path), lines)  # type: ignore[arg-type]
    yield readings([slow]), slow.rejects


def readings(blocks: list[recorded.Block]) -> list[Any]:
    rows = [tuple(row.values()) for block in blocks for row in block.readings.to_pylist()]
    return sorted(rows, key=repr)


NUMBER = st.none() | st.sampled_from([0, 1, 0.5, -0.0, -1, 1e-7, 2, -3.5, -1e-300, 2**70, "0.5", True, math.nan, 1e308])
VALUE = {
    "id": st.sampled_from(
        ["x", "", "é\u2028", "\ud83d\ude00", 7, -0, 2**63, 2**64, 10**30, 1.0, 1.5, None, True, ["x"]]
    ),
    "judge": st.sampled_from(["j", "j", "k", "", None, 3]),
    "order": st.sampled_from(["ab", "ba", "both", "AB", "", None, 1]),
    "p_a": NUMBER,
    "logprob_a": NUMBER,
    "logprob_b": NUMBER,
    "p_tie": NUMBER,
    "logprob_tie": NUMBER,
    "verdict": st.sampled_from(["a", "b", "tie", "c", "", None, 0]),
    "failed": st.sampled_from([True, False, None, "yes", 1]),
    "confidence": NUMBER,
    "more": st.recursive(
        st.none() | NUMBER | st.text(max_size=3), lambda x: st.lists(x) | st.dictionaries(st.text(max_size=2), x)
    ),
}
GOOD = st.fixed_dictionaries(
    {"id": st.sampled_from(["x", "y"]), "judge": st.just("j"), "order": st.sampled_from(["ab", "ba", "both"])},
    optional={"p_a": st.floats(0, 1), "logprob_a": st.floats(-40, 0), "logprob_b": st.floats(-40, 0),
              "p_tie": st.floats(0, 1), "logprob_tie": st.floats(-40, 0),
              "verdict": st.sampled_from(["a", "b", "tie", None]), "confidence": st.none() | st.floats(0, 1)},
)  # fmt: skip
TIED = st.fixed_dictionaries(
    {"id": st.sampled_from(["x", "y"]), "judge": st.just("j"), "order": st.sampled_from(["ab", "ba", "both"])}
    | {
        "p_a": st.floats(0, 1) | st.sampled_from([0.5, 0.7, 1]),
        "p_tie": st.floats(0, 0.6) | st.sampled_from([0.3, 0.5]),
    },
    optional={"logprob_a": st.floats(-40, -0.5), "logprob_b": st.floats(-40, -0.5), "logprob_tie": st.floats(-9, -0.5)},
)
START = '{"id":"x","judge":"j","order":"ab","p_a":'
ODD = [
    START + "0.5}" + START + "0.5}",
    '{"id":"x","judge":"j",',
    '"order":"ab","p_a":0.5}',
    *(START + end for end in ("NaN}", "01}", "1.}", "0.5,}", '0.5,"p_a":2}', '0.5,"z":1e400}', '0.5,"z":NaN}')),
    *(
        START + '0.5,"z":' + z + "}"
        for z in ("[" * 300 + "]" * 300, "-1" + "0" * 400, '"\t"', '"\\ud800"', "{}", "1e9")
    ),
    '{"id":"\\ud800","judge":"j","order":"ab","p_a":0.5}',
    '{"id":"\0","judge":"j","order":"ab","p_a":0}',
    '{"id":-0,"judge":"j","order":"ab","p_a":-0}',
    " " + START + "0.5} ",
    *("[1]", "{}", "x", "", "  ", "\ufeff{}", "{'id':'x'}"),
]
LINE = GOOD.map(json.dumps) | st.fixed_dictionaries({}, optional=VALUE).map(json.dumps) | st.sampled_from(ODD)


SOME_GOOD = st.lists(GOOD.map(json.dumps), max_size=5) | st.lists((TIED | GOOD).map(json.dumps), max_size=5)


@settings(deadline=None, max_examples=400)
@given(lines=SOME_GOOD | st.lists(LINE, max_size=6), end=st.sampled_from(["\n", "\r\n", "\n\n"]))
@example(lines=ODD, end="\n")
@example(lines=[ODD[0], *ODD[1:3]], end="\n")
def test_blocks_say_what_their_rows_say(tmp_path_factory: pytest.TempPathFactory, lines: list[str], end: str) -> None:
    path = tmp_path_factory.getbasetemp() / "log.jsonl"
    path.write_bytes(end.join(lines).encode(errors="surrogatepass"))
    fast, slow = both_ways(path)
    assert fast == slow


@pytest.mark.parametrize("odd", ODD)
def test_one_odd_row_among_good_ones(tmp_path: Path, odd: str) -> None:
    path = tmp_path / "log.jsonl"
    path.write_text("\n".join([json.dumps(ROW), odd, json.dumps(ROW)]), encoding="utf-8")
    fast, slow = both_ways(path)
    assert fast == slow
    assert len(fast[0]) >= 2


@pytest.mark.parametrize(
    ("change", "p_a"),
    [
        ({}, 0.25),
        ({"p_a": 1}, 1.0),
        ({"p_a": None, "verdict": "a"}, 1.0),
        ({"p_a": None, "verdict": "b"}, 0.0),
        ({"p_a": None, "verdict": "tie"}, 0.5),
        ({"p_a": None, "verdict": None}, None),
        ({"failed": True}, None),
        ({"logprob_a": -1.0, "logprob_b": -2.0}, 1 / (1 + math.exp(-1))),
        ({"logprob_a": -1.0, "logprob_b": None}, 0.25),
        ({"logprob_a": -800, "logprob_b": -1e-9}, 0.0),
    ],
)
def test_what_a_row_says(tmp_path: Path, change: dict[str, Any], p_a: float | None) -> None:
    path = write_rows(tmp_path / "log.jsonl", [{**ROW, **change}])
    (row,) = [row for block in read_log(str(path)) for row in block.readings.to_pylist()]
    assert row["p_a"] == (None if p_a is None else pytest.approx(p_a))
    assert (row["name"], row["judge"], row["pair_order"]) == ("x", "j", "ab")


@pytest.mark.parametrize(
    ("verdict", "confidence", "stated"),
    [("a", 0.9, 0.9), ("b", 0.9, 0.1), ("a", 0.2, 0.5), ("tie", 0.9, 0.5), ("b", 1, 0.0), ("a", None, None)],
)
def test_what_a_stated_confidence_says(
    tmp_path: Path, verdict: str, confidence: float | None, stated: float | None
) -> None:
    row = {"id": "x", "judge": "j", "order": "ab", "verdict": verdict, "confidence": confidence}
    path = write_rows(tmp_path / "log.jsonl", [row, {**row, "failed": True}])
    first, failed = [row for block in read_log(str(path)) for row in block.readings.to_pylist()]
    assert first["stated_p_a"] == (None if stated is None else pytest.approx(stated))
    assert first["p_a"] == {"a": 1.0, "tie": 0.5, "b": 0.0}[verdict]
    assert failed["stated_p_a"] is None


@pytest.mark.parametrize(
    ("change", "field"),
    [({}, "verdict"), ({"verdict": None}, "verdict"), ({"verdict": "a", "confidence": 87}, "confidence")],
)
def test_a_confidence_is_of_a_verdict_and_a_share(tmp_path: Path, change: dict[str, Any], field: str) -> None:
    path = write_rows(tmp_path / "log.jsonl", [{**ROW, "confidence": 0.8, **change}])
    (block,) = read_log(str(path))
    assert block.readings.num_rows == 0
    assert [bad.field for bad in block.rejects] == [field]


LOGPROBS = {"logprob_a": math.log(0.3), "logprob_b": math.log(0.1), "logprob_tie": math.log(0.4)}


@pytest.mark.parametrize(
    ("change", "p_a", "p_tie", "logprob_tie"),
    [
        ({}, 0.25, None, None),
        ({"p_tie": None}, 0.25, None, None),
        ({"p_tie": 0}, 0.25, 0.0, None),
        ({"p_tie": 0.75}, 0.25, 0.75, None),
        ({"p_a": 0, "p_tie": 1}, 0.0, 1.0, None),
        ({"p_tie": 0.5, "verdict": "a"}, 0.25, 0.5, None),
        ({"p_tie": 0.5, "failed": True}, None, None, None),
        (LOGPROBS, 0.375, 0.5, math.log(0.4)),
        # Logarithms come first, and bring their own tie or none.
        ({**LOGPROBS, "p_tie": 0.1}, 0.375, 0.5, math.log(0.4)),
        ({**LOGPROBS, "p_tie": 0.1, "logprob_tie": None}, 0.75, None, None),
        ({"logprob_a": 0, "logprob_b": -800, "logprob_tie": -1e308}, 1.0, 0.0, -1e308),
        ({"logprob_a": -800, "logprob_b": -1e308, "logprob_tie": 0}, 0.0, 1.0, 0.0),
        # A bare verdict says as ever that both are as likely, not that they are equal.
        ({"p_a": None, "verdict": "tie"}, 0.5, None, None),
    ],
)
def test_what_a_row_says_about_ties(
    tmp_path: Path, change: dict[str, Any], p_a: float | None, p_tie: float | None, logprob_tie: float | None
) -> None:
    path = write_rows(tmp_path / "log.jsonl", [{**ROW, **change}])
    (block,) = read_log(str(path))
    (row,) = block.readings.to_pylist()
    for name, value in (("p_a", p_a), ("p_tie", p_tie), ("logprob_tie", logprob_tie)):
        assert row[name] == (None if value is None else pytest.approx(value)), name
    assert (row["logprob_a"] is None) == ("logprob_a" not in change)


@pytest.mark.parametrize(
    ("change", "field", "reason"),
    [
        ({"p_tie": 0.76}, "p_tie", "comes to more than 1 together with p_a"),
        ({"p_tie": 1.5}, "p_tie", "is greater than the maximum of 1"),
        ({"p_tie": -0.1}, "p_tie", "is less than the minimum of 0"),
        ({"p_tie": "0.5"}, "p_tie", 'is not of types "null", "number"'),
        ({"p_a": None, "p_tie": 0.5}, "p_tie", "stands without p_a"),
        ({"p_a": None, "verdict": "tie", "p_tie": 1}, "p_tie", "stands without p_a"),
        ({"logprob_tie": -1}, "logprob_tie", "stands without logprob_a and logprob_b"),
        ({"logprob_a": -1, "logprob_tie": -1}, "logprob_tie", "stands without logprob_a and logprob_b"),
        ({**LOGPROBS, "logprob_tie": 0.1}, "logprob_tie", "is greater than the maximum"),
        (
            {**LOGPROBS, "logprob_tie": -0.5}, "logprob_tie",
            "is of a probability that comes to more than 1 together with those of a and b",
        ),
    ],
)  # fmt: skip
def test_what_ties_cannot_be(tmp_path: Path, change: dict[str, Any], field: str, reason: str) -> None:
    path = write_rows(tmp_path / "log.jsonl", [ROW, {**ROW, **change}, ROW])
    (block,) = read_log(str(path))
    assert block.readings.num_rows == 2
    (bad,) = block.rejects
    assert (bad.line, bad.field) == (2, field)
    assert reason in bad.reason


def test_half_of_the_logarithms_is_none(tmp_path: Path) -> None:
    path = write_rows(tmp_path / "log.jsonl", [{**ROW, "logprob_a": -1.0}])
    (block,) = read_log(str(path))
    (row,) = block.readings.to_pylist()
    assert (row["p_a"], row["logprob_a"], row["logprob_b"]) == (0.25, None, None)


@pytest.mark.parametrize(
    "row",
    [
        ROW,
        {**ROW, "id": 7},
        {**ROW, "extra": {"a": [1]}},
        {**ROW, "p_tie": 0.5},
        {**ROW, **LOGPROBS},
        {**ROW, "verdict": "a", "confidence": 1},
    ],
)
def test_usual_logs_take_the_fast_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, row: dict[str, Any]) -> None:
    monkeypatch.setattr(recorded, "BLOCK_ROWS", 100)
    path = write_rows(tmp_path / "log.jsonl", [row] * 250)
    asked: list[int] = []
    slow = recorded._row_by_row
    monkeypatch.setattr(recorded, "_row_by_row", lambda name, lines: asked.append(len(lines)) or slow(name, lines))
    assert sum(block.readings.num_rows for block in read_log(str(path))) == 250
    assert sum(asked) == 0
