"""Rows of a JSON array, one in memory at a time."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import IO, Any

import orjson

from curator.errors import InputError
from curator.files import MAX_LINE, Reject, Row

DEEPEST = 200
"""Arrays and objects inside each other in an item; what people have needs about ten."""


class ItemReject(Reject):
    """What was not used of a JSON array: it has no lines that say where to look."""

    __slots__ = ()
    unit = "item"


class Item(Row):
    """An object of a JSON array."""

    __slots__ = ()
    rejected = ItemReject


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


def array_rows(file: IO[bytes], name: str, *, inside: bool = False) -> Iterator[Row | Reject]:
    """The objects of a JSON array; what cannot be read on from is the last reject.

    Args:
        inside: the array is the only value of an object.

    Raises:
        InputError: the object has another value.
    """
    import ijson

    watched, number = _Watched(file), 0
    try:
        events = ijson.basic_parse(watched, use_float=True)
        for number, item in enumerate(_items(events, 2 if inside else 1, name), 1):
            watched.since = 0
            try:
                data = orjson.dumps(item)
            except orjson.JSONEncodeError as error:
                yield Item(name, number, {}, b"").reject("row", f"is not usable JSON: {error}")
                continue
            row = Item(name, number, item, data)
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
        yield Item(name, number + 1, {}, b"").reject("row", reason)


def _items(events: Iterable[tuple[str, Any]], outer: int, name: str) -> Iterator[Any]:
    """The items inside `outer` containers. ijson's own way to them takes memory with the square of the nesting."""
    open_: list[Any] = []
    key, keys = "", 0
    for event, value in events:
        if event == "map_key":
            key = value
            if len(open_) < outer and (keys := keys + 1) > 1:
                raise InputError(f"{name}: is one JSON object, with more in it than rows ({key[:60]!r})")
            continue
        if event in {"end_map", "end_array"}:
            value = open_.pop()  # noqa: PLW2901
        else:
            if event in {"start_map", "start_array"}:
                value = {} if event == "start_map" else []  # noqa: PLW2901
            if len(open_) > outer:
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
        if len(open_) == outer:
            yield value
