"""Whatever container raw rows have, the same rows come out of it, and of a broken one each row is a reject or said."""

from __future__ import annotations

import csv
import gzip
import io
import json
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from itertools import islice
from pathlib import Path
from time import process_time
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pyarrow import feather, ipc

from curator.errors import InputError
from curator.files import Meter, Reject, Row
from curator.formats.read import read
from curator.options import Reading
from curator.pair import Pair
from curator.sources import source_rows
from tests.conftest import ROOT, read_rows

QUICKSTART = ROOT / "recipes" / "quickstart" / "pairs.jsonl"
Rows = list[dict[str, Any]]


def found(path: Path, data: bytes | None = None) -> list[Any]:
    """Values of the rows of a file, and the messages of its rejects."""
    if data is not None:
        path.write_bytes(data)
    rows = source_rows(str(path))
    return [row.values if isinstance(row, Row) else str(row).removeprefix(f"{path.parent}/") for row in rows]


def lines(rows: Rows) -> bytes:
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()


def table(rows: Rows, **how: Any) -> bytes:
    file = io.StringIO(newline="")
    writer = csv.DictWriter(file, list(rows[0]), **how)
    writer.writeheader()
    writer.writerows(rows)
    return file.getvalue().encode()


def zstd(data: bytes) -> bytes:
    packed: bytes = pa.compress(data, "zstd", asbytes=True)
    return packed


def parquet(rows: Rows) -> bytes:
    sink = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows), sink, row_group_size=7)
    return sink.getvalue()


def arrow(rows: Rows, new: Callable[..., Any] = ipc.new_file) -> bytes:
    sink, values = io.BytesIO(), pa.Table.from_pylist(rows)
    with new(sink, values.schema) as writer:
        writer.write_table(values, max_chunksize=5)
    return sink.getvalue()


def feathered(rows: Rows) -> bytes:
    sink = io.BytesIO()
    feather.write_feather(pa.Table.from_pylist(rows), sink, compression="zstd")
    return sink.getvalue()


CONTAINERS: dict[str, Callable[[Rows], bytes]] = {
    "a.jsonl": lines,
    "a.jsonl.gz": lambda rows: gzip.compress(lines(rows)),
    "a.jsonl.zst": lambda rows: zstd(lines(rows)),
    "named-for-nothing": lambda rows: zstd(lines(rows[:1])) + zstd(lines(rows[1:])),
    "bom.jsonl": lambda rows: b"\xef\xbb\xbf" + lines(rows).replace(b"\n", b"\r\n"),
    "a.json": lambda rows: json.dumps(rows, indent=1).encode(),
    "a.json.zst": lambda rows: zstd(json.dumps(rows).encode()),
    "wrapped.json": lambda rows: json.dumps({"data": rows}, indent=2).encode(),
    "wrapped.json.gz": lambda rows: gzip.compress(b"\xef\xbb\xbf\n" + json.dumps({"rows": rows}).encode()),
    "a.parquet": parquet,
    "a.arrow": arrow,
    "stream.arrow": lambda rows: arrow(rows, ipc.new_stream),
    "a.feather": feathered,
}
TABLES: dict[str, Callable[[Rows], bytes]] = {
    "a.csv": table,
    "quoted.csv": lambda rows: table(rows, quoting=csv.QUOTE_ALL, lineterminator="\n"),
    "excel.csv": lambda rows: b"\xef\xbb\xbfsep=;\r\n" + table(rows, delimiter=";"),
    "a.tsv.gz": lambda rows: gzip.compress(table(rows, delimiter="\t")),
    "a.csv.zst": lambda rows: zstd(table(rows)),
    "table-by-its-first-line": table,
}


@pytest.mark.parametrize("name", [*CONTAINERS, *TABLES])
def test_the_same_rows_give_the_same_pairs(tmp_path: Path, name: str) -> None:
    raw = [row for row in read_rows(QUICKSTART) if isinstance(row["prompt"], str)][:40]
    plain = [{key: row.get(key) for key in ("id", "prompt", "response_a", "response_b", "label")} for row in raw]
    path = tmp_path / name
    path.write_bytes({**CONTAINERS, **TABLES}[name](plain))
    pairs = list(read(source_rows(str(path)), Reading()))
    ids = {row["id"] for row in plain}
    known = [one for one in read(source_rows(str(QUICKSTART)), Reading()) if isinstance(one, Pair)]
    wanted = [one for one in known if one.source_id in ids]
    assert [one for one in pairs if not isinstance(one, Pair)] == []
    assert [(one.source_id, one.pair_id, one.votes, one.file) for one in pairs] == [
        (one.source_id, one.pair_id, one.votes, str(path)) for one in wanted
    ]
    assert len({one.line for one in pairs}) == 40


TEXT = st.text(max_size=12) | st.sampled_from(
    ['"', ",", "\r\n", '"\n', "\ufeff", "[1]", "=1+1", "a;b\tc", "\x00", "é'"]
)
CELL = TEXT.filter(lambda text: bool(text) and "\x00" not in text)
DEEP = st.lists(st.fixed_dictionaries({"role": TEXT, "content": TEXT}), max_size=2)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60)
@given(rows=st.lists(st.fixed_dictionaries({"p": DEEP, "t": TEXT, "n": st.none() | st.integers(-9, 9)}), min_size=1))
def test_any_text_survives_every_container(tmp_path: Path, rows: Rows) -> None:
    for name, write in CONTAINERS.items():
        assert found(tmp_path / name, write(rows)) == rows, name


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60)
@given(rows=st.lists(st.fixed_dictionaries({"A b": CELL, "t": st.none() | CELL}), min_size=1))
def test_any_text_survives_every_table(tmp_path: Path, rows: Rows) -> None:
    kept = [row for row in rows if any(row.values())]
    for name, write in TABLES.items():
        assert found(tmp_path / name, write(rows)) == kept, name


def test_a_table_keeps_names_and_gaps(tmp_path: Path) -> None:
    data = b',Prompt,human_ref_A\n0,"a, b",\n1,c\n,,\n2,d,e,\n3,d,e,f\n'
    assert found(tmp_path / "a.csv", data) == [
        {"Unnamed: 0": "0", "Prompt": "a, b", "human_ref_A": None},
        {"Unnamed: 0": "1", "Prompt": "c", "human_ref_A": None},
        {"Unnamed: 0": "2", "Prompt": "d", "human_ref_A": "e"},
        "a.csv, line 6: row has 4 cells, and the first line names 3 columns",
    ]


@pytest.mark.parametrize("first", [b"what is this", b"hello, world", b"[1, 2]", b"\0\0", b"<html>"])
def test_a_bad_first_line_of_json_lines_is_one_reject(tmp_path: Path, first: bytes) -> None:
    bad, good = found(tmp_path / "a.jsonl", first + b'\n{"a": 1}\n')
    assert (bad.startswith("a.jsonl, line 1: row "), good) == (True, {"a": 1})
    if first[:1] not in {b"[", b"\0", b"<"}:
        assert found(tmp_path / "unnamed", first + b'\n{"a": 1}\n')[1:] == [{"a": 1}]


def test_values_of_arrow_become_those_of_json(tmp_path: Path) -> None:
    when = datetime(2026, 3, 1, 12, 30, 0, 250_000, UTC)
    values = {
        "nan": pa.array([float("nan"), 1.5]),
        "inf": pa.array([float("inf"), None], pa.float32()),
        "when": pa.array([when, None], pa.timestamp("ns", "UTC")),
        "plain": pa.array([when.replace(tzinfo=None), None], pa.timestamp("us")),
        "day": pa.array([date(2026, 3, 1), None]),
        "hour": pa.array([time(1, 2, 3), None], pa.time64("ns")),
        "long": pa.array([timedelta(seconds=90), None], pa.duration("ns")),
        "sum": pa.array([Decimal("1.50"), None], pa.decimal128(5, 2)),
        "word": pa.array(["x", None]).dictionary_encode(),
        "map": pa.array([[("k", 1)], None], pa.map_(pa.string(), pa.int64())),
        "deep": pa.array([{"scores": [float("nan"), 2.0]}, None]),
        "big": pa.array([2**64 - 1, None], pa.uint64()),
    }
    pq.write_table(pa.table(values), tmp_path / "a.parquet")
    first, second = found(tmp_path / "a.parquet")
    assert first == {
        "nan": None, "inf": None, "when": "2026-03-01T12:30:00.250000+00:00", "plain": "2026-03-01T12:30:00.250000",
        "day": "2026-03-01", "hour": "01:02:03", "long": "0:01:30", "sum": "1.50", "word": "x", "map": [["k", 1]],
        "deep": {"scores": [None, 2.0]}, "big": 2**64 - 1,
    }  # fmt: skip
    assert second == {**dict.fromkeys(values), "nan": 1.5}


def test_rejects_of_a_parquet_file_say_the_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    places = pa.py_buffer(b"\0\0\0\0\1\0\0\0\2\0\0\0\3\0\0\0")
    bad = pa.Array.from_buffers(pa.string(), 3, [None, places, pa.py_buffer(b"a\xffc")])
    pq.write_table(pa.table({"t": bad, "long": ["x", "y", "z" * 200]}), tmp_path / "a.parquet")
    monkeypatch.setattr("curator.sources.arrow.MAX_LINE", 100)
    assert found(tmp_path / "a.parquet") == [
        {"t": "a", "long": "x"},
        "a.parquet, row 2: row is not UTF-8",
        "a.parquet, row 3: row is longer than 0 MiB",
    ]
    row = next(source_rows(str(tmp_path / "a.parquet")))
    assert isinstance(row, Row)
    assert str(row.reject("label", "is missing")).endswith("a.parquet, row 1: label is missing")
    assert row.reject("x", "y").raw == '{"t":"a","long":"x"}'


ROWS = [{"a": i, "t": f"text {i * 7919}"} for i in range(5_000)]
BYTES = "column 'image' holds bytes, which nobody can read: leave it out"
IMAGES = [{"prompt": "p", "image": [{"bytes": b"\x89PNG"}]}]
STORE = "is a store; give the file of pairs that it was made of, or --db with a command"
UNPACK = "Parquet and Arrow are read from files of their own: unpack or save it first"


@pytest.mark.parametrize(
    ("name", "data", "reason"),
    [
        ("a.jsonl.zst", zstd(lines(ROWS))[:-9], "damaged zstd file (Truncated compressed stream)"),
        ("a.jsonl.zst", zstd(lines(ROWS)) + b"more", "damaged zstd file (ZSTD decompress failed: Unknown frame descr"),
        ("a.jsonl.gz", gzip.compress(lines(ROWS))[:-9], "damaged gzip file (Compressed file ended before the end-of-"),
        ("a.parquet", parquet(ROWS)[:-9], "damaged Parquet file (Parquet magic bytes not found in footer."),
        ("a.parquet", parquet(ROWS)[:4], "damaged Parquet file (Parquet file size is 4 bytes, smaller than the minim"),
        ("a.arrow", arrow(ROWS)[:-9], "damaged Arrow file (Not an Arrow file)"),
        ("a.arrow", arrow(ROWS, ipc.new_stream)[:-900], "damaged Arrow file ("),
        ("a.parquet", parquet(IMAGES), BYTES),
        ("a.arrow", arrow(IMAGES), BYTES),
        ("a.parquet.gz", gzip.compress(parquet(ROWS)), UNPACK),
        ("a.feather.zst", zstd(feathered(ROWS)), UNPACK),
        ("old.feather", b"FEA1" + bytes(90), "is Feather of version 1: write it again, as version 2 or Parquet"),
        ("curator.duckdb", bytes(8) + b"DUCK" + bytes(90), STORE),
        ("a.json", b'{\n "prompt": "x"\n}', "is one JSON object; it must be an array of objects, or one object a line"),
        ("a.json", b'{"data": [{"a": 1}], "version": 2}', "is one JSON object, with more in it than rows ('version')"),
        ("a.csv", "prompt,label".encode("utf-16"), "is UTF-16: save it as UTF-8 (in Excel: CSV UTF-8)"),
        ("a.csv", b"prompt,label\rx,a\r", "has line ends of old Macs: save it as CSV UTF-8"),
        ("a.csv", b"prompt,t,t\nx,a,b\n", "two columns have one name: t"),
        ("a.xlsx", b"PK\x03\x04...", "is a spreadsheet or a zip file: save it as CSV UTF-8, or unpack it"),
        ("a.json.xz", b"\xfd7zXZ\0...", "is packed in a way that is not read: unpack it, or pack it with gzip or zstd"),
        ("a.html", b"<!doctype html>", "is a web page or XML, and no rows"),
        ("a", bytes(90), "is not text in UTF-8, but a file of another program, or UTF-16: export it anew"),
    ],
)  # fmt: skip
def test_files_that_cannot_be_read_say_why(tmp_path: Path, name: str, data: bytes, reason: str) -> None:
    with pytest.raises(InputError) as caught:
        found(tmp_path / name, data)
    assert str(caught.value).startswith(f"{tmp_path / name}: {reason}")


def test_damage_in_the_middle_is_never_passed_over(tmp_path: Path) -> None:
    for name in ("a.parquet", "a.arrow", "a.feather", "stream.arrow"):
        data = bytearray(CONTAINERS[name](ROWS))
        for place in range(100, len(data) - 100, len(data) // 40):
            broken = bytes(data[:place]) + bytes([data[place] ^ 0xFF]) + bytes(data[place + 1 :])
            try:
                rows = found(tmp_path / name, broken)
            except InputError as error:
                assert "damaged" in str(error)  # noqa: PT017
            else:
                assert len(rows) == len(ROWS), (name, place)


def test_a_table_may_have_very_many_columns(tmp_path: Path) -> None:
    names = [f"c{place}" for place in range(50_000)]
    path = tmp_path / "raw.csv"
    path.write_text(",".join(names) + "\n" + ",".join(["x"] * len(names)) + "\n", encoding="utf-8")
    start = process_time()
    (row,) = source_rows(str(path))
    assert isinstance(row, Row)
    assert len(row.values) == len(names)
    assert process_time() - start < 5  # comparing each with each takes several times as long


def test_two_columns_of_one_name(tmp_path: Path) -> None:
    twice = pa.Table.from_arrays([pa.array(["x"]), pa.array(["y"])], names=["t", "t"])
    pq.write_table(twice, tmp_path / "a.parquet")
    with pytest.raises(InputError, match=r"a\.parquet: two columns have one name: t"):
        found(tmp_path / "a.parquet")


@pytest.mark.parametrize("name", ["a.jsonl", "a.csv", "a.json", "a.jsonl.gz", "a.jsonl.zst", "a.parquet", "a.arrow"])
def test_the_meter_ends_where_the_file_does(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes({**CONTAINERS, **TABLES}[name](ROWS))
    meter = Meter()
    seen = []
    for _ in range(2):
        for row in source_rows(str(path), meter):
            assert not isinstance(row, Reject)
            seen.append(meter.done)
    size = path.stat().st_size
    assert seen == sorted(seen)
    assert len(seen) == 2 * len(ROWS)
    assert size * 0.9 <= seen[len(ROWS) - 1] <= size
    assert meter.done == 2 * size


def test_standard_input_in_every_text_form() -> None:
    code = "from curator.sources import source_rows\nfor row in source_rows('-'): print(row.file, row.line, row.values)"
    rows = [{"prompt": "x", "t": "1"}, {"prompt": "y", "t": "2"}]
    for name in ("a.jsonl", "a.json.zst", "a.csv", "a.tsv.gz", "stream.arrow"):
        data = {**CONTAINERS, **TABLES}[name](rows)
        done = subprocess.run([sys.executable, "-c", code], input=data, capture_output=True, check=True, cwd=ROOT)
        found_rows = [line.split(" ", 2) for line in done.stdout.decode().splitlines()]
        assert [one[2] for one in found_rows] == [str(row) for row in rows], name
        assert {one[0] for one in found_rows} == {"stdin"}
    done = subprocess.run([sys.executable, "-c", code], input=parquet(rows), capture_output=True, check=False, cwd=ROOT)
    assert f"stdin: {UNPACK}" in done.stderr.decode()


PEAK = """
import resource, sys
from itertools import islice
from curator.sources import source_rows
import pyarrow.parquet, pyarrow.ipc
def peak(): return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
next(source_rows(sys.argv[1]))
before = peak()
count = sum(1 for _ in islice(source_rows(sys.argv[2]), 1_000_000))
print(count, peak() - before)
"""


def grown(small: Path, large: Path) -> tuple[int, int]:
    """Rows of the large file, and MiB by which reading it raised the peak of a process that has read the small one."""
    command = [sys.executable, "-c", PEAK, str(small), str(large)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    count, grew = map(int, done.stdout.split())
    return count, grew


def test_memory_stays_flat(tmp_path: Path) -> None:
    """With one row group of 240 MB, with text that unpacks to hundreds of times its size, with a line without end."""
    noise = [f"{i:08d}" * 250 for i in range(120_000)]
    values = pa.table({"t": noise})
    pq.write_table(values, tmp_path / "a.parquet", row_group_size=len(noise), use_dictionary=False, compression="lz4")
    pq.write_table(values[:9], tmp_path / "small.parquet")
    assert values.nbytes > 240_000_000
    count, grew = grown(tmp_path / "small.parquet", tmp_path / "a.parquet")
    assert count == 120_000
    assert grew < 60
    line = b'{"t": "' + b"x" * 2_000 + b'"}\n'
    for name, opened in (("a.jsonl.gz", gzip.open), ("a.jsonl.zst", lambda p, _: pa.CompressedOutputStream(p, "zstd"))):
        with opened(str(tmp_path / name), "wb") as file:
            for _ in range(120):
                file.write(line * 1_000)
        assert (tmp_path / name).stat().st_size < 2_000_000
        (tmp_path / "small.jsonl").write_bytes(line)
        count, grew = grown(tmp_path / "small.jsonl", tmp_path / name)
        assert count == 120_000
        assert grew < 60, name
    endless = gzip.compress(b'{"t": "' + b"x" * (200 * 2**20))
    (tmp_path / "bomb.jsonl.gz").write_bytes(endless)
    count, grew = grown(tmp_path / "small.jsonl", tmp_path / "bomb.jsonl.gz")
    assert count == 1
    assert grew < 120, "a line is read to its limit of 32 MiB, and no further"


def test_reading_may_stop_early(tmp_path: Path) -> None:
    for name in ("a.parquet", "a.arrow", "a.jsonl.zst", "a.csv"):
        (tmp_path / name).write_bytes({**CONTAINERS, **TABLES}[name](ROWS))
        first = next(islice(source_rows(str(tmp_path / name)), 1))
        assert isinstance(first, Row)
        assert first.values["t"] == "text 0"


@pytest.mark.parametrize("name", ["raw.csv", "raw.json"])
def test_the_rest_of_a_line_that_is_too_long_is_no_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    for module in ("curator.files", "curator.sources.table", "curator.sources.text"):
        monkeypatch.setattr(f"{module}.MAX_LINE", 1_000)
    path = tmp_path / name
    if name == "raw.csv":
        # \u20ac: three bytes a character, so that it is no longer than it may be when counted in these.
        forged = "\u20ac" * 700 + "planted,1,2"
        path.write_text(f"prompt,a,b\nq,1,2\n{forged}\nlast,3,4\n", encoding="utf-8")
        kept = [(2, "q"), (4, "last")]
    else:
        path.write_text("x" * 1_001 + '{"prompt": "planted"}\n{"prompt": "last"}\n', encoding="utf-8")
        kept = [(2, "last")]
    rows = list(source_rows(str(path)))
    assert [(row.line, row.values["prompt"]) for row in rows if isinstance(row, Row)] == kept
    (bad,) = [row for row in rows if isinstance(row, Reject)]
    assert (bad.line, bad.reason) == (3 if name == "raw.csv" else 1, "is longer than 0 MiB")


def test_a_value_that_the_file_holds_once_does_not_fill_the_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("curator.sources.arrow._REPEATED", 16 * 2**20)
    large = pa.array(["x" * 2**20])
    repeated = pa.DictionaryArray.from_arrays(pa.array([0] * 200, pa.int32()), large)
    table = pa.table({"prompt": repeated, "n": list(range(200))})
    pq.write_table(table, tmp_path / "a.parquet", store_schema=False)  # or it is known for a dictionary when read
    assert (tmp_path / "a.parquet").stat().st_size < 2**17
    before, most, numbers = pa.total_allocated_bytes(), 0, []
    for row in source_rows(str(tmp_path / "a.parquet")):
        assert isinstance(row, Row)
        numbers.append(row.values["n"])
        most = max(most, pa.total_allocated_bytes() - before)
    assert numbers == list(range(200))
    assert most < 80 * 2**20  # 200 MiB, were they 200 values
