"""Reads raw files as a stream: every row is a pair or a reject, and memory does not grow with the file."""

from __future__ import annotations

from collections.abc import Iterator

from curator.errors import InputError
from curator.files import Meter, Reject, Row, read_rows
from curator.formats import FORMATS, UnknownFormat, detect
from curator.formats.base import BadRow, Format
from curator.pair import Pair


def read(path: str, input_format: str | None = None, meter: Meter | None = None) -> Iterator[Pair | Reject]:
    """Every row of a file, in order.

    Args:
        path: a JSON Lines file, plain or gzip, or "-" for standard input.
        input_format: name of the format; None: recognised by the fields of the first row that is an object.
        meter: is told how far the reading is.

    Raises:
        InputError: the file cannot be read, or its format cannot be told.
    """
    if input_format is not None and input_format not in FORMATS:
        raise InputError(f"no raw format is named {input_format!r}; there are: {', '.join(FORMATS)}")
    chosen = FORMATS[input_format] if input_format else None
    unknown: UnknownFormat | None = None
    for row in read_rows(path, meter):
        if isinstance(row, Reject):
            yield row
            continue
        if chosen is None:
            try:
                chosen = detect(frozenset(row.values), row.file)
            except UnknownFormat as error:
                # One bad row is a reject wherever it stands; that no row at all fits is said at the end.
                unknown = unknown or error
                yield row.reject("row", "has the fields of no known format")
                continue
        yield _to_pair(row, chosen)
    if chosen is None and unknown is not None:
        raise unknown


def _to_pair(row: Row, chosen: Format) -> Pair | Reject:
    if bad := row.check(chosen.schema):
        return bad
    try:
        return chosen.to_pair(row.values, row.file, row.line)
    except BadRow as error:
        return row.reject(error.field, error.reason)
