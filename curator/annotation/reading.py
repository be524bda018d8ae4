"""Rows of the files that annotation tools export: JSON Lines, a JSON array, or a table that a spreadsheet saved."""

from __future__ import annotations

import csv
import re
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import astuple
from typing import IO, Any

import orjson

from curator.errors import InputError
from curator.files import MAX_LINE, Reject, Row, lines_of, opened, parse_line, shown_name

DEEPEST = 200
"""Arrays and objects inside each other in an item of a JSON array; exports of annotation tools need about ten."""

KEY_COLUMN = "pair_id"
"""What every table names in its first line."""

_BOM = b"\xef\xbb\xbf"
_TABLE = re.compile(r"\.(csv|tsv|tab)(\.gz)?$", re.IGNORECASE)
_UNREADABLE = {
    b"\xff\xfe": "is UTF-16: save it as UTF-8 (in Excel: CSV UTF-8)",
    b"\xfe\xff": "is UTF-16: save it as UTF-8 (in Excel: CSV UTF-8)",
    b"PK\x03\x04": "is a spreadsheet or a zip file: save it as CSV UTF-8, or unpack it",
    b"<": "is a web page or XML, and no labels: import what the page saves, or what the tool exports",
}
_LOOK = 64
"""Bytes at the beginning of a file that tell text from what is none."""

_SEPARATOR = re.compile(rb'"?sep=.{1,4}', re.IGNORECASE)
"""A line before the names of the columns, by which Excel is told what stands between cells."""


def read_rows(path: str) -> Iterator[Row | Reject]:
    """Every row of an annotation file, plain or gzip, in whatever container; "-" is standard input.

    The first character tells: `[` begins a JSON array, whose items are numbered in messages; a first line that names
    the column pair_id begins a table, of cells with `,` `;` or tabs between them, numbered by the line in which a row
    begins; all else is JSON Lines. Values of a table are text; cells that are missing at the end of a row are missing
    fields, since spreadsheets leave empty ones away.

    Raises:
        InputError: the file cannot be read, is of no such form, or its table lacks the column pair_id.
    """
    name = shown_name(path)
    with opened(path) as file:
        number, start = _first(file)
        text = start.lstrip()
        for beginning, reason in _UNREADABLE.items():
            if text.startswith(beginning):
                raise InputError(f"{name}: {reason}")
        if b"\0" in start[:_LOOK]:
            raise InputError(f"{name}: is not text in UTF-8, but a file of another program, or UTF-16: export it anew")
        if text.startswith(b"["):
            yield from _array(file, name)
            return
        if re.match(rb"\{[ \t]*\r?\n", text):
            raise InputError(f"{name}: is one JSON object; it must be an array of objects, or one object a line")
        if text.startswith(b"{") or not text:
            yield from _json_lines(file, name, number)
            return
        while (first := file.readline(MAX_LINE)).isspace() or _SEPARATOR.fullmatch(first.rstrip()):
            number += 1
        delimiter = _delimiter(first)
        if delimiter is not None:
            yield from _table(file, name, number + 1, first, delimiter)
        elif _delimiter(first.partition(b"\r")[0]) is not None:
            raise InputError(f"{name}: has line ends of old Macs: save it as CSV UTF-8")
        elif _TABLE.search(name):
            raise InputError(f"{name}: its first line does not name the columns, of which one is {KEY_COLUMN}")
        else:
            yield parse_line(name, number + 1, first)
            yield from _json_lines(file, name, number + 1)


def _first(file: Any) -> tuple[int, bytes]:
    """How many blank lines were passed over, and what comes then, which is not read yet."""
    number = 0
    if file.peek(3).startswith(_BOM):
        file.read(3)
    while (start := bytes(file.peek(1))) and start.isspace():
        number += start.count(b"\n")
        file.read(len(start))
    return number, start


def _json_lines(file: IO[bytes], name: str, number: int) -> Iterator[Row | Reject]:
    for line, data in lines_of(file, name, number):
        yield data if isinstance(data, Reject) else parse_line(name, line, data)


# ----------------------------------------------------------------------------------------------------- a JSON array


class _ItemReject(Reject):
    """What was not used of a JSON array: it has no lines that say where to look."""

    __slots__ = ()

    def __str__(self) -> str:
        return f"{self.file}, item {self.line}: {self.field} {self.reason}"


class _Item(Row):
    __slots__ = ()

    def reject(self, field: str, reason: str) -> Reject:
        return _ItemReject(*astuple(super().reject(field, reason)))


class _TooMuch(Exception):
    """Something of which no end is in sight; says what."""


class _Watched:
    """A file that gives no more bytes than one item may have until `since` is set back."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self.since = 0

    def read(self, size: int = -1) -> bytes:
        data = self._file.read(size)
        self.since += len(data)
        if self.since > MAX_LINE:
            raise _TooMuch(f"is longer than {MAX_LINE // 2**20} MiB")
        return data


def _array(file: IO[bytes], name: str) -> Iterator[Row | Reject]:
    """The objects of a JSON array, one in memory at a time; what cannot be read on from is the last reject."""
    import ijson

    watched, number = _Watched(file), 0
    try:
        for number, item in enumerate(_items(ijson.basic_parse(watched, use_float=True)), 1):
            watched.since = 0
            try:
                data = orjson.dumps(item)
            except orjson.JSONEncodeError as error:
                yield _Item(name, number, {}, b"").reject("row", f"is not usable JSON: {error}")
                continue
            row = _Item(name, number, item, data)
            yield row if isinstance(item, dict) else row.reject("row", "is not a JSON object")
    except (ijson.JSONError, UnicodeDecodeError, _TooMuch) as error:
        if isinstance(error, ijson.IncompleteJSONError) and "premature EOF" in str(error):
            reason = "is cut off: the file ends before the array does"
        elif isinstance(error, UnicodeDecodeError) or "invalid bytes in UTF8" in str(error):
            reason = "is not UTF-8; nothing behind it was read"
        elif isinstance(error, _TooMuch):
            reason = f"{error}; nothing behind it was read"
        else:
            reason = f"is not JSON: {str(error).splitlines()[0]}; nothing behind it was read"
        yield _Item(name, number + 1, {}, b"").reject("row", reason)


def _items(events: Iterable[tuple[str, Any]]) -> Iterator[Any]:
    """The items of the outermost array. ijson's own way to them takes memory with the square of the nesting."""
    open_: list[Any] = []
    key = ""
    for event, value in events:
        if event == "map_key":
            key = value
            continue
        if event in {"end_map", "end_array"}:
            value = open_.pop()  # noqa: PLW2901
        else:
            if event in {"start_map", "start_array"}:
                value = {} if event == "start_map" else []  # noqa: PLW2901
            if len(open_) > 1:
                inside = open_[-1]
                if type(inside) is dict:
                    inside[key] = value
                else:
                    inside.append(value)
            if event in {"start_map", "start_array"}:
                open_.append(value)
                if len(open_) > DEEPEST:
                    raise _TooMuch("is nested too deeply")
                continue
        if len(open_) == 1:
            yield value


# ---------------------------------------------------------------------------------------------------------- a table


def _delimiter(first: bytes) -> str | None:
    """What stands between the cells of a first line that names the columns; None where it does not."""
    return next((one for one in ",;\t" if KEY_COLUMN in _columns(first, one)), None)


def _columns(first: bytes, delimiter: str) -> list[str]:
    try:
        cells = next(csv.reader([first.decode(errors="replace")], delimiter=delimiter), [])
    except csv.Error:  # no line of a table
        return []
    return [cell.strip().casefold() for cell in cells]


def _table(file: IO[bytes], name: str, number: int, first: bytes, delimiter: str) -> Iterator[Row | Reject]:
    names = _columns(first, delimiter)
    if twice := {one for one in names if one and names.count(one) > 1}:
        raise InputError(f"{name}: two columns have one name: {', '.join(sorted(twice))}")
    for start, text, cells in _records(_numbered(file, number), delimiter):
        try:
            data = text.encode()
        except UnicodeEncodeError:
            data = text.encode(errors="surrogateescape")
            yield Row(name, start, {}, data).reject("row", "is not UTF-8 (in Excel: save it as CSV UTF-8)")
            continue
        if isinstance(cells, str):
            yield Row(name, start, {}, data).reject("row", cells)
            continue
        if not any(cells):
            continue
        row = Row(name, start, {column: cell for column, cell in zip(names, cells, strict=False) if column}, data)
        if any(cells[len(names) :]):
            yield row.reject("row", f"has {len(cells)} cells, and the first line names {len(names)} columns")
        else:
            yield row


def _numbered(file: IO[bytes], number: int) -> Iterator[tuple[int, str]]:
    while data := file.readline(MAX_LINE):
        number += 1
        yield number, data.decode(errors="surrogateescape")


def _records(lines: Iterator[tuple[int, str]], delimiter: str) -> Iterator[tuple[int, str, list[str] | str]]:
    """Rows of a table: first line, text, and cells, or why there are none.

    A cell may run over lines, so that a stray quotation mark can swallow the rows behind it. Where that comes to light
    only the first line is given up, and reading begins anew behind it.
    """
    csv.field_size_limit(MAX_LINE)
    again: deque[tuple[int, str]] = deque()
    taken: list[tuple[int, str]] = []

    def feed() -> Iterator[str]:
        size = 0
        while line := again.popleft() if again else next(lines, None):
            taken.append(line)
            size += len(line[1])
            if size > MAX_LINE:
                raise csv.Error(f"is longer than {MAX_LINE // 2**20} MiB")
            yield line[1]
            if not taken:
                size = 0

    reader = csv.reader(feed(), delimiter=delimiter, strict=True)
    while True:
        taken.clear()
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            again.extendleft(reversed(taken[1:]))
            if str(error) == "unexpected end of data":
                reason = "opens a quotation mark that nothing closes"
            else:
                reason = str(error) if str(error).startswith("is ") else f"is broken: {error}"
            yield *taken[0], reason
            reader = csv.reader(feed(), delimiter=delimiter, strict=True)
        else:
            yield taken[0][0], "".join(text for _, text in taken), cells
