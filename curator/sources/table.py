"""Rows of a table that a spreadsheet saved as text (CSV, TSV)."""

from __future__ import annotations

import csv
import re
from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import zip_longest
from typing import IO

from curator.errors import InputError
from curator.files import MAX_LINE, Reject, Row, is_cut, pass_over

TABLE = re.compile(r"\.(csv|tsv|tab)(\.(gz|zst|zstd))?$", re.IGNORECASE)
"""Names of files that are tables."""

MOST_TWICE = 4 * MAX_LINE
"""Characters, a line counting as 50 more, that are read anew because of stray quotation marks."""

OLD_MAC = "has line ends of old Macs: save it as CSV UTF-8"

LONGEST_HEADER = 2**20
"""Bytes of the longest first line that names columns: each row is as wide as that, whatever it says."""

_NAME = re.compile(r"[^\W\d][\w .-]{0,60}")
"""What the name of a column looks like where nothing else says that a file is a table."""


@dataclass(frozen=True, slots=True)
class Header:
    """The first line of a table.

    Attributes:
        names: of the columns; "" where a column has none.
        as_saved: cells are what they are, and those that are left away are missing; else empty ones are null.
    """

    delimiter: str
    names: list[str]
    as_saved: bool = False


def header(first: bytes, name: str) -> Header | None:
    """The names of the columns, where a first line has any; in a file that is named as a table it always does.

    Raises:
        InputError: the line cannot be split into cells.
    """
    named = TABLE.search(name)
    if len(first) > LONGEST_HEADER:
        if not named:
            return None
        raise InputError(f"{name}: has a first line of more than {LONGEST_HEADER // 2**20} MiB: no names of columns")
    found = [Header(one, cells_of(first, one)) for one in ",;\t"]
    best = max(found, key=lambda one: len(one.names))
    if named and not best.names and b"\r" in first.rstrip():
        raise InputError(f"{name}: {OLD_MAC}")
    if not named and (len(best.names) < 2 or not all(map(_NAME.fullmatch, best.names))):
        return None
    return Header(best.delimiter, [one or f"Unnamed: {place}" for place, one in enumerate(best.names)])


def cells_of(first: bytes, delimiter: str) -> list[str]:
    """The cells of a first line, without white space around them; none where it is no line of a table."""
    try:
        cells = next(csv.reader([first.decode(errors="replace")], delimiter=delimiter), [])
    except csv.Error:
        return []
    return [cell.strip() for cell in cells]


def table_rows(file: IO[bytes], name: str, number: int, header: Header) -> Iterator[Row | Reject]:
    """Rows of a table of which `number` lines have been read, its header the last of them.

    Each is numbered by the line in which it begins. Values are text. Rows without any are passed over.

    Raises:
        InputError: two columns have one name.
    """
    names = header.names
    if twice := {one for one, count in Counter(filter(None, names)).items() if count > 1}:
        raise InputError(f"{name}: two columns have one name: {', '.join(sorted(twice))}")
    for start, text, cells in records(_numbered(file, number), header.delimiter):
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
        if any(cells[len(names) :]):
            reason = f"has {len(cells)} cells, and the first line names {len(names)} columns"
            yield Row(name, start, {}, data).reject("row", reason)
        elif header.as_saved:
            yield Row(name, start, {key: cell for key, cell in zip(names, cells, strict=False) if key}, data)
        else:
            filled = zip_longest(names, cells[: len(names)])
            yield Row(name, start, {key: cell or None for key, cell in filled}, data)


def _numbered(file: IO[bytes], number: int) -> Iterator[tuple[int, str]]:
    while data := file.readline(MAX_LINE + 1):
        number += 1
        if is_cut(data):
            # Padded, for what is too long is told by its characters, and there may be fewer than bytes.
            yield number, data.decode(errors="replace").ljust(MAX_LINE + 1)
            pass_over(file)
        else:
            yield number, data.decode(errors="surrogateescape")


def records(lines: Iterator[tuple[int, str]], delimiter: str) -> Iterator[tuple[int, str, list[str] | str]]:
    """Rows of a table: first line, text, and cells, or why there are none.

    A cell may run over lines, so that a stray quotation mark can swallow the rows behind it. Where that comes to light
    only the first line is given up, and reading begins anew behind it; so long as not too much was read twice already,
    for each line can hold such a mark.
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

    twice = 0
    reader = csv.reader(feed(), delimiter=delimiter, strict=True)
    while True:
        taken.clear()
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            swallowed = taken[1:]
            twice += sum(50 + len(text) for _, text in swallowed)
            if twice <= MOST_TWICE:
                again.extendleft(reversed(swallowed))
                swallowed = []
            if str(error) == "unexpected end of data":
                reason = "opens a quotation mark that nothing closes"
            else:
                reason = str(error) if str(error).startswith("is ") else f"is broken: {error}"
            yield *taken[0], reason
            for line in swallowed:
                yield *line, f"stands behind an open quotation mark, in line {taken[0][0]}"
            reader = csv.reader(feed(), delimiter=delimiter, strict=True)
        else:
            yield taken[0][0], "".join(text for _, text in taken), cells
