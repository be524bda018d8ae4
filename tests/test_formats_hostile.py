"""Of every format: rows in which anything may stand anywhere give pairs or rejects, and never an error."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from curator.files import Reject, parse_line
from curator.formats import FORMATS
from curator.formats.read import Seen, read
from curator.options import Reading
from tests.hostile import TEXTS

GOLDEN = Path(__file__).parent / "golden" / "formats"
REFUSED = {"mt_bench_pairs"}
"""Formats that are recognised to be refused as a whole."""

_LEAF = (
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=9)
    | st.sampled_from([text for text in TEXTS if len(text) < 2_000])
    | st.sampled_from(['["a"]', "[null]", "[1", '{"a": 1}', "[" * 1_500, "", " ", "tie", "1"])
    | st.sampled_from([10**400, -(2**63), 2**64, 1e308])
)  # fmt: skip
_TURN = st.fixed_dictionaries({}, optional=dict.fromkeys(("role", "content", "from", "value"), _LEAF))
_VALUE = st.recursive(
    _LEAF | _TURN,
    lambda inside: st.lists(inside, max_size=3) | st.dictionaries(st.text(max_size=3), inside, max_size=3),
    max_leaves=6,
)


def places(value: Any, way: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The way to every value inside another one."""
    inside = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [place for key, one in inside for place in [(*way, key), *places(one, (*way, key))]]


@pytest.mark.parametrize("name", sorted(FORMATS.keys() - REFUSED))
@settings(suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large], deadline=None, max_examples=40)
@given(data=st.data())
def test_anything_anywhere_gives_pairs_or_rejects(name: str, data: st.DataObject) -> None:
    row = json.loads(data.draw(st.sampled_from((GOLDEN / f"{name}.jsonl").read_text(encoding="utf-8").splitlines())))
    for _ in range(data.draw(st.integers(1, 3))):
        *way, last = data.draw(st.sampled_from(places(row)))
        inside = row
        for step in way:
            inside = inside[step]
        inside[last] = data.draw(_VALUE)
    form, seen = FORMATS[name], Seen()
    reading = Reading(name, criterion=data.draw(st.sampled_from(form.criteria)) if form.criteria else None)
    found = list(read([parse_line("raw.jsonl", 1, json.dumps(row).encode())], reading, seen))
    assert seen.rows + sum(isinstance(one, Reject) for one in found) == 1
    for pair in found:
        if not isinstance(pair, Reject):
            assert pair.pair_id
            assert orjson.dumps(dict(pair.metadata))
            assert all(vote.strength is None or vote.strength >= 0 for vote in pair.votes)
