"""Properties of readers, with rows that hypothesis makes: few in the suite, many under `-m survival`."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyarrow import ipc

from curator.errors import InputError
from curator.files import Row
from curator.sources import source_rows
from tests.survival.targets import TARGETS, on_disk

FEW, MANY = 25, 200

_ODD = ('"', "\\", '\\"', '",x","', "]", "},{", "\0", "\r\n", "\u2028", "a,b;c\t")
_TEXT = st.text(max_size=12) | st.sampled_from(_ODD)
_NUMBER = st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False, allow_infinity=False)
_VALUE = st.recursive(
    st.none() | st.booleans() | _NUMBER | _TEXT,
    lambda one: st.lists(one, max_size=3) | st.dictionaries(_TEXT, one, max_size=3),
    max_leaves=8,
)
_ROWS = st.lists(st.dictionaries(_TEXT, _VALUE, max_size=4), min_size=1, max_size=4)
_BAD = (b"1e999", b"NaN", b'"\\ud800"', b'"\xff"', b"1", b"", b"{'a': 1}", b'{"a": 1,}', b"[1]", b"nul")
_ITEM = st.sampled_from(_BAD)


def values(data: bytes, name: str) -> list[Any]:
    """The rows of a file; a reject is its reason."""
    rows = source_rows(on_disk(data, name))
    return [row.values if isinstance(row, Row) else row.reason for row in rows]


def an_array_is_the_rows_of_its_lines(rows: list[dict[str, Any]], indent: int | None, ascii_only: bool) -> None:
    array = json.dumps(rows, indent=indent, ensure_ascii=ascii_only).encode()
    lines = b"\n".join(json.dumps(row, ensure_ascii=ascii_only).encode() for row in rows)
    assert values(array, "a.json") == values(lines, "a.jsonl") == orjson.loads(orjson.dumps(rows))


def a_bad_item_is_one_reject(rows: list[dict[str, Any]], bad: bytes, at: int) -> None:
    items = [orjson.dumps(row) for row in rows]
    items.insert(at, bad)
    found = values(b"[" + b" ,\n".join(items) + b"]", "a.json")
    assert [one for one in found if not isinstance(one, str)] == orjson.loads(orjson.dumps(rows))
    assert sum(isinstance(one, str) for one in found) == 1


def a_table_is_its_cells(cells: list[tuple[str, str]], delimiter: str) -> None:
    out = io.StringIO()
    writer = csv.writer(out, delimiter=delimiter, lineterminator="\n")
    writer.writerow(["one", "two"])
    writer.writerows(cells)
    found = values(out.getvalue().encode(), "a.csv")
    assert found == [{"one": one or None, "two": two or None} for one, two in cells if one or two]


def every_row_of_every_type_is_a_row_or_a_reject(kinds: list[pa.DataType], numbers: list[int | None], how: str) -> None:
    table = pa.table({f"c{place}": column(kind, numbers) for place, kind in enumerate(kinds)})
    out = io.BytesIO()
    try:
        if how == "parquet":
            pq.write_table(table, out)
        else:
            with (ipc.new_file if how == "file" else ipc.new_stream)(out, table.schema) as writer:
                writer.write_table(table)
    except pa.ArrowException:
        return  # a type, or a time, that Parquet has not
    try:
        found = list(source_rows(on_disk(out.getvalue(), "a.parquet")))
    except InputError as error:
        assert "damaged" in str(error)  # noqa: PT017 - a time of day beyond midnight
        return
    assert [one.line for one in found] == list(range(1, len(numbers) + 1))
    for one in found:
        assert orjson.loads(one.data) == one.values if isinstance(one, Row) else one.reason.startswith("cannot be read")


def column(kind: pa.DataType, numbers: list[int | None]) -> pa.Array:
    """A column of any type whose bits are some numbers, or nulls."""
    ends = list(range(len(numbers) + 1))
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        made = pa.ListArray if pa.types.is_list(kind) else pa.LargeListArray
        return made.from_arrays(ends, column(kind.value_type, numbers))
    if pa.types.is_struct(kind):
        inside = [column(field.type, numbers) for field in kind]
        return pa.StructArray.from_arrays(inside, [field.name for field in kind])
    if pa.types.is_map(kind):
        return pa.MapArray.from_arrays(ends, pa.array(list(map(str, numbers))), column(kind.item_type, numbers))
    if pa.types.is_null(kind):
        return pa.nulls(len(numbers))
    if pa.types.is_interval(kind):
        return pa.array([None if one is None else (one % 99, -one % 99, one) for one in numbers], kind)
    if pa.types.is_decimal(kind) or pa.types.is_string_view(kind):
        return pa.array([None if one is None else str(one) for one in numbers]).cast(kind)
    bits = pa.array(numbers, pa.int64())
    if pa.types.is_temporal(kind):
        return bits.cast(pa.int32() if kind.bit_width == 32 else pa.int64(), safe=False).view(kind)
    return bits.cast(pa.float32(), safe=False).cast(kind) if pa.types.is_float16(kind) else bits.cast(kind, safe=False)


def a_log_is_read_alike_both_ways(row: dict[str, Any], twice: str) -> None:
    line = orjson.dumps({"id": "p", "judge": "j", "order": "ab", "p_a": 0.5} | row)
    if twice:
        line = line[:-1] + b',"' + twice.encode() + b'":' + orjson.dumps(row.get("p_tie", "ba")) + b"}"
    good = b'{"id": "q", "judge": "j", "order": "ba", "p_a": 0.25}'
    TARGETS["logs"](b"\n".join([good, line, good]))


_TYPES = st.sampled_from([
    pa.string(), pa.large_string(), pa.string_view(), pa.int8(), pa.uint64(), pa.float16(), pa.float64(), pa.bool_(),
    pa.null(), pa.date32(), pa.date64(), pa.timestamp("s"), pa.timestamp("ms", "UTC"), pa.timestamp("us"),
    pa.timestamp("ns"), pa.duration("s"), pa.duration("ns"), pa.time32("ms"), pa.time64("ns"), pa.decimal128(38, 10),
    pa.decimal256(76, 0), pa.month_day_nano_interval(),
])  # fmt: skip
_NESTED = st.recursive(
    _TYPES,
    lambda one: (
        one.map(pa.list_)
        | one.map(pa.large_list)
        | one.map(lambda kind: pa.struct([("a", kind), ("b", kind)]))
        | one.map(lambda kind: pa.map_(pa.string(), kind))
    ),
    max_leaves=2,
)
_CELL = st.text(st.characters(exclude_characters="\r\0", exclude_categories=("Cs",)), max_size=9)
_JUDGMENT = {
    "id": _VALUE, "judge": _VALUE, "order": st.sampled_from(["ab", "ba", "both", "a"]) | _VALUE, "failed": _VALUE,
    **dict.fromkeys(("p_a", "p_tie", "confidence"), st.floats(0, 1) | _VALUE),
    **dict.fromkeys(("logprob_a", "logprob_b", "logprob_tie"), st.floats(-9, 0) | _VALUE),
    "verdict": st.sampled_from(["a", "b", "tie", None]) | _VALUE, "more": _VALUE,
}  # fmt: skip

PROPERTIES: dict[Callable[..., None], dict[str, Any]] = {
    an_array_is_the_rows_of_its_lines: {
        "rows": _ROWS, "indent": st.sampled_from([None, 0, 2]), "ascii_only": st.booleans(),
    },
    a_bad_item_is_one_reject: {"rows": _ROWS, "bad": _ITEM, "at": st.integers(0, 4)},
    a_table_is_its_cells: {
        "cells": st.lists(st.tuples(_CELL, _CELL), min_size=1, max_size=5), "delimiter": st.sampled_from(",;\t"),
    },
    every_row_of_every_type_is_a_row_or_a_reject: {
        "kinds": st.lists(_NESTED, min_size=1, max_size=3),
        "numbers": st.lists(
            st.none() | st.integers(-(2**62), 2**62) | st.integers(-(2**31), 2**31), min_size=1, max_size=3
        ),
        "how": st.sampled_from(["parquet", "file", "stream"]),
    },
    a_log_is_read_alike_both_ways: {
        "row": st.fixed_dictionaries({}, optional=_JUDGMENT), "twice": st.sampled_from(["", "p_a", "order", "id"]),
    },
}  # fmt: skip


def holds(property_: Callable[..., None], examples: int) -> None:
    quiet = [HealthCheck.too_slow, HealthCheck.data_too_large]
    test = given(**PROPERTIES[property_])(property_)
    settings(max_examples=examples, deadline=None, suppress_health_check=quiet)(test)()


@pytest.mark.parametrize("property_", PROPERTIES, ids=lambda one: one.__name__)
def test_it_holds(property_: Callable[..., None]) -> None:
    holds(property_, FEW)


@pytest.mark.survival
@pytest.mark.parametrize("property_", PROPERTIES, ids=lambda one: one.__name__)
def test_it_holds_at_length(property_: Callable[..., None]) -> None:
    holds(property_, MANY)
