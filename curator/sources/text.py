"""Rows of text, in whatever container: JSON Lines, a JSON array, a table."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

from curator.errors import InputError
from curator.files import MAX_LINE, Reject, Row, is_cut, json_lines, parse_line, pass_over, too_long
from curator.sources.array import array_rows
from curator.sources.table import TABLE, Header, header, table_rows

WEB_PAGE = "is a web page or XML, and no rows"

_BOM = b"\xef\xbb\xbf"
_UTF_16 = "is UTF-16: save it as UTF-8 (in Excel: CSV UTF-8)"
_PACKED = "is packed in a way that is not read: unpack it, or pack it with gzip or zstd"
_UNREADABLE = {
    b"\xff\xfe": _UTF_16,
    b"\xfe\xff": _UTF_16,
    b"PK\x03\x04": "is a spreadsheet or a zip file: save it as CSV UTF-8, or unpack it",
    b"BZh": _PACKED,
    b"\xfd7zXZ": _PACKED,
}
_LOOK = 64
"""Bytes at the beginning of a file that tell text from what is none."""

_LINES = re.compile(r"\.(jsonl|ndjson|json)(\.(gz|zst|zstd))?$", re.IGNORECASE)
"""Names of files that are no tables."""

_WRAPPED = re.compile(rb'\{\s*"(data|rows|examples|items|instances|records|train)"\s*:\s*\[')
"""The beginning of an object whose only value is the array of rows."""

_SEPARATOR = re.compile(rb'"?sep=.{1,4}', re.IGNORECASE)
"""A line before the names of the columns, by which Excel is told what stands between cells."""


def text_rows(
    file: Any, name: str, columns: Callable[[bytes, str], Header | None] = header, web_page: str = WEB_PAGE
) -> Iterator[Row | Reject]:
    """Every row of an open file.

    The first character tells: `[` begins a JSON array, whose items are numbered in messages; a first line that names
    columns begins a table, of cells with `,` `;` or tabs between them, numbered by the line in which a row begins; all
    else is JSON Lines. A JSON array may also be the only value of an object, if its key says that these are rows.

    Args:
        file: binary, buffered, with `peek`.
        columns: finds the names of the columns in a first line of a file of that name; None: it has none.
        web_page: what to say of one.

    Raises:
        InputError: the file is of no such form.
    """
    number, start = _first(file)
    text = start.lstrip()
    for beginning, reason in {**_UNREADABLE, b"<": web_page}.items():
        if text.startswith(beginning):
            raise InputError(f"{name}: {reason}")
    if b"\0" in start[:_LOOK]:
        raise InputError(f"{name}: is not text in UTF-8, but a file of another program, or UTF-16: export it anew")
    if text.startswith(b"[") or _WRAPPED.match(text):
        yield from array_rows(file, name, inside=text.startswith(b"{"))
        return
    if re.match(rb"\{[ \t]*\r?\n", text):
        raise InputError(f"{name}: is one JSON object; it must be an array of objects, or one object a line")
    if text.startswith(b"{") or not text or _LINES.search(name):
        yield from json_lines(file, name, number)
        return
    while (first := file.readline(MAX_LINE + 1)).isspace() or _SEPARATOR.fullmatch(first.rstrip()):
        number += 1
    if is_cut(first):
        yield too_long(name, number + 1, first)
        pass_over(file)
        yield from json_lines(file, name, number + 1)
        return
    # Before objects, a first line that is none is a bad row, whatever it looks like. A cell has no bare quotes.
    objects = not TABLE.search(name) and re.match(rb'\{\s*"', file.peek(1))
    found = None if objects else columns(first, name)
    if found is not None:
        yield from table_rows(file, name, number + 1, found)
    else:
        yield parse_line(name, number + 1, first)
        yield from json_lines(file, name, number + 1)


def _first(file: Any) -> tuple[int, bytes]:
    """How many blank lines were passed over, and what comes then, which is not read yet."""
    number = 0
    if file.peek(3).startswith(_BOM):
        file.read(3)
    while (start := bytes(file.peek(1))) and start.isspace():
        number += start.count(b"\n")
        file.read(len(start))
    return number, start
