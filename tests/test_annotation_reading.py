"""Whatever container an annotation file has, each of its rows comes out, or is refused by its place."""

from __future__ import annotations

import gzip
import io
import json
import random
import tracemalloc
from pathlib import Path
from typing import Any

import pytest

from curator.annotation.reading import read_rows
from curator.annotation.registry import read_answers
from curator.errors import InputError
from curator.files import Row
from curator.sources import array, table


def rows(folder: Path, data: bytes | str, name: str = "export") -> list[Any]:
    """Values of the rows of a file, and the messages of its rejects."""
    path = folder / name
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    return [row.values if isinstance(row, Row) else str(row).removeprefix(f"{folder}/") for row in read_rows(str(path))]


ARRAY = b'[{"a": 1, "b": [{"c": "\\u00e9", "d": {}}, [], 2.5, null, true]},\n {"a": "x"}]'
BOTH = [{"a": 1, "b": [{"c": "é", "d": {}}, [], 2.5, None, True]}, {"a": "x"}]


@pytest.mark.parametrize(
    "data",
    [
        ARRAY,
        b"\xef\xbb\xbf\n\n  " + ARRAY + b"\n",
        gzip.compress(ARRAY),
        json.dumps(BOTH, indent=2).encode(),
        b"\n\n" + b"".join(json.dumps(one).encode() + b"\n" for one in BOTH),
        b"\xef\xbb\xbf" + b"\r\n".join(json.dumps(one).encode() for one in BOTH),
    ],
)
def test_forms_of_the_same_rows(tmp_path: Path, data: bytes) -> None:
    assert rows(tmp_path, data) == BOTH


@pytest.mark.parametrize("data", [b"", b"\n \n", b"[]", b" [ ] ", gzip.compress(b""), b"pair_id,label\r\n"])
def test_nothing_in_it(tmp_path: Path, data: bytes) -> None:
    assert rows(tmp_path, data) == []


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b'{"a": 1}, {"a":', "export, item 2: row is cut off: the file ends before the array does"),
        (b'{"a": 1}', "export, item 2: row is cut off: the file ends before the array does"),
        (b'{"a": 1}] x', "export, item 2: row is not JSON: the array has ended; nothing behind it was read"),
        (b'{"a": 1}, 7]', "export, item 2: row is not a JSON object"),
        (b'{"a": 1}, {"a": "\xff"}]', "export, item 2: row is not UTF-8 (byte 7)"),
        (b'{"a": 1}, {"a": "\xed\xa0\x80"}]', "export, item 2: row is not UTF-8 (byte 7)"),
        (b'{"a": 1}, {"a": "\\ud83dA"}]', "export, item 2: row is not JSON: no low surrogate in string (column 8)"),
        (b'{"a": 1}, ]', "export, item 2: row is not JSON: Input is a zero-length, empty document (column 1)"),
        (b'{"a": 1}, ' + b"[" * 300_000, "export, item 2: row is cut off: the file ends before the array does"),
        (b'{"a": 1}, ' + b'{"a":' * 300 + b"1" + b"}" * 300 + b"]", "export, item 2: row is nested too deeply"),
        (b'{"a": 1}, [' + b'1,' * 99_999, "export, item 2: row is longer than 32 MiB; nothing behind it was read"),
    ],
)  # fmt: skip
def test_broken_arrays(tmp_path: Path, data: bytes, message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if "longer" in message:
        monkeypatch.setattr(array, "MAX_LINE", 100_000)
    tracemalloc.start()
    found = rows(tmp_path, b"[" + data)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert found == [{"a": 1}, message]
    assert peak < 20 * 2**20, "deep nesting costs no more than its bytes"


@pytest.mark.parametrize("bad", ['{"a": 1e999}', '{"a": nan}', '{"a": "\\ud800"}', "{'a': 1}", "", "1 2"])
def test_a_broken_item_takes_no_other_with_it(tmp_path: Path, bad: str) -> None:
    found = rows(tmp_path, f'[{{"a": 1}}, {bad}, {{"a": "2, ]"}}]'.encode())
    assert [found[0], found[2]] == [{"a": 1}, {"a": "2, ]"}]
    assert str(found[1]).startswith("export, item 2: row is not JSON: ")
    assert len(found) == 3


@pytest.mark.parametrize("size", [1, 3, 7, 64])
def test_items_are_told_apart_wherever_the_file_is_read_in_pieces(
    tmp_path: Path, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(array, "_CHUNK", size)
    said = [{"a": 'x\\"]},{[', "b": [{}, [], {"c": "\\"}]}, {"d": "é" * 99}, {}]
    assert rows(tmp_path, json.dumps(said, ensure_ascii=False).encode()) == said


def test_a_long_array_is_never_in_memory_as_a_whole(tmp_path: Path) -> None:
    path = tmp_path / "export.json"
    item = json.dumps({"data": {"prompt": "x" * 2_000}})
    path.write_text("[" + ",".join([item] * 10_000) + "]")
    tracemalloc.start()
    count = sum(isinstance(row, Row) for row in read_rows(str(path)))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert count == 10_000
    assert peak < path.stat().st_size / 10


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("bom", ["", "\ufeff"])
def test_tables_as_spreadsheets_save_them(tmp_path: Path, delimiter: str, end: str, bom: str) -> None:
    lines = [
        '" Pair_ID "|Label|"note"|',
        '1|left|"two\nlines, ""quoted""; and a\ttab"|',
        "||",
        "",
        "2|tie",
        "3|right||||",
    ]
    text = bom + end.join(line.replace("|", delimiter) for line in lines) + end
    assert rows(tmp_path, text) == [
        {"pair_id": "1", "label": "left", "note": 'two\nlines, "quoted"; and a\ttab'},
        {"pair_id": "2", "label": "tie"},
        {"pair_id": "3", "label": "right", "note": ""},
    ]


def test_a_cell_may_be_huge(tmp_path: Path) -> None:
    big = "word " * 200_000
    assert rows(tmp_path, f'pair_id,label\n1,"{big}"\n2,tie\n') == [
        {"pair_id": "1", "label": big},
        {"pair_id": "2", "label": "tie"},
    ]


def test_broken_rows_of_a_table_are_refused_and_the_others_come(tmp_path: Path) -> None:
    text = b'pair_id,label,note\n1,left,"a\nb"\n2,right,"never closed\n3,left,\xff\n4,"left"y,z\n5,tie\n'
    text += b'6,a,b,c\n7,skip,"x'
    assert rows(tmp_path, text, "e.csv") == [
        {"pair_id": "1", "label": "left", "note": "a\nb"},
        "e.csv, line 4: row is broken: ',' expected after '\"'",
        "e.csv, line 5: row is not UTF-8 (in Excel: save it as CSV UTF-8)",
        "e.csv, line 6: row is broken: ',' expected after '\"'",
        {"pair_id": "5", "label": "tie"},
        "e.csv, line 8: row has 4 cells, and the first line names 3 columns",
        "e.csv, line 9: row opens a quotation mark that nothing closes",
    ]


def test_a_quotation_mark_that_nothing_closes_swallows_nothing(tmp_path: Path) -> None:
    """Also where no other one in the whole file would give it away."""
    lines = [f"{i},left" for i in range(20_000)]
    lines[3] = '3,"left'
    found = rows(tmp_path, "pair_id,label\n" + "\n".join(lines))
    assert [row for row in found if isinstance(row, str)] == [
        "export, line 5: row opens a quotation mark that nothing closes"
    ]
    assert len(found) == 20_000


@pytest.mark.parametrize("alphabet", ['",\n', '",\na1', '"\n', '"",,\r\n;'])
def test_every_line_is_in_one_row_or_reject(alphabet: str) -> None:
    """However the quotation marks stand; and 200 kB of little else take no long time."""
    rng = random.Random(alphabet)
    text = "".join(rng.choice(alphabet) for _ in range(200_000))
    found = list(table.records(enumerate(io.StringIO(text, newline="\n"), 1), ","))
    assert "".join(taken for _, taken, _ in found) == text
    assert any(isinstance(cells, list) for _, _, cells in found)


NO_LABELS = "is a web page or XML, and no labels: import what the page saves, or what the tool exports"
NO_TEXT = "is not text in UTF-8, but a file of another program, or UTF-16: export it anew"


@pytest.mark.parametrize(
    ("name", "data", "reason"),
    [
        ("e.json", b'{\n "a": 1\n}', "is one JSON object; it must be an array of objects, or one object a line"),
        ("e.csv", "\ufeffpair_id,label".encode("utf-16"), "is UTF-16: save it as UTF-8 (in Excel: CSV UTF-8)"),
        ("e.xlsx", b"PK\x03\x04...", "is a spreadsheet or a zip file: save it as CSV UTF-8, or unpack it"),
        ("e.html", b"\n<!doctype html>\n", NO_LABELS),
        ("e.xml", b'\xef\xbb\xbf<?xml version="1.0"?>', NO_LABELS),
        ("e.xls", b"\xd0\xcf\x11\xe0" + bytes(500), NO_TEXT),
        ("e.duckdb", b"\x97\x1b\r\x80DUCK" + bytes(5_000), NO_TEXT),
        ("e.jsonl", '{"pair_id": "1"}\n'.encode("utf-16-le"), NO_TEXT),
        ("e.csv", b"pair_id,label\r1,left\r2,right\r", "has line ends of old Macs: save it as CSV UTF-8"),
        ("e.csv", b"id" * 200_000 + b"\n", "its first line does not name the columns, of which one is pair_id"),
        ("e.csv", b"id,label\n1,left\n", "its first line does not name the columns, of which one is pair_id"),
        ("e.csv", b"pair_id,label,Label\n1,left,tie\n", "two columns have one name: label"),
        ("e.gz", b"\x1f\x8b" + ARRAY, "damaged gzip file (Unknown compression method)"),
    ],
)  # fmt: skip
def test_files_that_are_no_annotation_files(tmp_path: Path, name: str, data: bytes, reason: str) -> None:
    with pytest.raises(InputError) as caught:
        rows(tmp_path, data, name)
    assert str(caught.value) == f"{tmp_path / name}: {reason}"


@pytest.mark.parametrize("separator", ["sep=;", '"sep=;"', "SEP=;", "\ufeffsep=;"])
def test_a_line_for_excel_before_the_table(tmp_path: Path, separator: str) -> None:
    data = f"{separator}\r\npair_id;label\r\n1;left\r\n2;left;x;y\r\n"
    assert rows(tmp_path, data, "e.csv") == [
        {"pair_id": "1", "label": "left"},
        "e.csv, line 4: row has 4 cells, and the first line names 2 columns",
    ]


def test_a_line_without_end_is_one_reject(tmp_path: Path) -> None:
    (reject,) = rows(tmp_path, b"y" * 300_000)
    assert reject.startswith("export, line 1: row is not JSON: ")


def test_lines_that_are_no_rows(tmp_path: Path) -> None:
    found = rows(tmp_path, b'\nwhat is this\n{"a": 1}\n[1]\n')
    assert [str(row).partition(": row ")[0] for row in found] == ["export, line 2", "{'a': 1}", "export, line 4"]


def test_a_row_of_no_tool_is_told_what_rows_have(tmp_path: Path) -> None:
    path = tmp_path / "export.json"
    path.write_text('[{"id": 1, "annotations": 7}]')
    (reject,) = read_answers(str(path))
    assert str(reject).startswith(f"{path}, item 1: row is of no annotation tool, whose rows have ")
    assert "pair_id and label (csv); " in str(reject)
