"""Rows of a JSON array, one in memory at a time.

An item is found by its brackets and commas alone and then parsed as a line of JSON Lines is: the same text is the same
row, or the same reject, in both, and reading goes on behind an item that is broken.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import IO

from curator.errors import InputError
from curator.files import MAX_LINE, Reject, Row, parse_line

_CHUNK = 64 * 2**10

_TOO_LONG = f"is longer than {MAX_LINE // 2**20} MiB"

_MARK = re.compile(rb'"[^"]*+"(?<!\\")|"(?:[^"\\]++|\\.)*+"|["\[\]{},]', re.DOTALL)
"""What tells items apart: texts, first those that are quickly known, and signs. One quotation mark alone opens a text
whose end is not at hand yet."""

_MORE = re.compile(rb'\s*,\s*"((?:[^"\\]|\\.){0,60})')
"""What stands behind an array that is not the only value of its object."""


class ItemReject(Reject):
    """What was not used of a JSON array: it has no lines that say where to look."""

    __slots__ = ()
    unit = "item"


class Item(Row):
    """An object of a JSON array."""

    __slots__ = ()
    rejected = ItemReject


class _Unreadable(Exception):
    """The array cannot be read on: why, and the beginning of the item."""

    def __init__(self, reason: str, data: bytes) -> None:
        super().__init__(reason)
        self.reason, self.data = reason, data[:_CHUNK]


def array_rows(file: IO[bytes], name: str, *, inside: bool = False) -> Iterator[Row | Reject]:
    """The objects of a JSON array; where it cannot be read on, that is the last reject.

    Args:
        inside: the array is the only value of an object.

    Raises:
        InputError: the object has another value.
    """
    number, first = 0, file.read(_CHUNK)
    try:
        for text, is_last in _texts(file, first[first.index(b"[") + 1 :]):
            if is_last is None:
                if inside and (more := _MORE.match(text)):
                    key = more[1].decode(errors="replace")
                    raise InputError(f"{name}: is one JSON object, with more in it than rows ({key!r})")
                if text.removeprefix(b"}" if inside else b"").strip():
                    raise _Unreadable("is not JSON: the array has ended; nothing behind it was read", text)
            elif number or text or not is_last:  # not in an empty array
                number += 1
                if len(text) > MAX_LINE:
                    yield Item(name, number, {}, text[:_CHUNK]).reject("row", _TOO_LONG)
                else:
                    yield parse_line(name, number, text, Item)
    except _Unreadable as error:
        yield Item(name, number + 1, {}, error.data).reject("row", error.reason)


def _texts(file: IO[bytes], data: bytes) -> Iterator[tuple[bytes, bool | None]]:
    """The text of each item of an array whose bracket has been read, and whether it is the last; then what stands
    behind the array, with None, to the end of the file.
    """
    start = at = depth = 0
    while True:
        for mark in _MARK.finditer(data, at):
            what = mark[0]
            if what == b'"':
                at = mark.start()
                break
            at = mark.end()
            if len(what) > 1:
                continue
            if what in b"[{":
                depth += 1
            elif depth:
                depth -= what in b"]}"
            elif what in b",]":
                yield data[start : mark.start()].strip(), what == b"]"
                start = at
                if what == b"]":
                    yield from _behind(file, data[at:])
                    return
        else:
            at = len(data)
        held = len(data) - start
        if held > MAX_LINE:
            raise _Unreadable(f"{_TOO_LONG}; nothing behind it was read", data[start : start + _CHUNK])
        more = file.read(max(_CHUNK, held))  # twice as much each time: a long text is looked at from its beginning
        if not more:
            if depth == 0 and (text := data[start:].strip()) and not text.startswith(b'"'):
                yield text, False
                start = len(data)
            raise _Unreadable("is cut off: the file ends before the array does", data[start : start + _CHUNK])
        data = data[start:] + more
        at, start = at - start, 0


def _behind(file: IO[bytes], data: bytes) -> Iterator[tuple[bytes, None]]:
    yield (data + file.read(_CHUNK)).strip(), None
    while more := file.read(_CHUNK):
        if more.strip():
            yield more, None
