"""Rows of the files that annotation tools export: JSON Lines, a JSON array, or a table that a spreadsheet saved."""

from __future__ import annotations

from collections.abc import Iterator

from curator.errors import InputError
from curator.files import Reject, Row, opened, shown_name
from curator.sources.table import OLD_MAC, TABLE, Header, cells_of
from curator.sources.text import text_rows

KEY_COLUMN = "pair_id"
"""What every table names in its first line."""

_WEB_PAGE = "is a web page or XML, and no labels: import what the page saves, or what the tool exports"


def read_rows(path: str) -> Iterator[Row | Reject]:
    """Every row of an annotation file, packed or not, in whatever container; "-" is standard input.

    A first line that names the column pair_id begins a table. Its values are text; cells that are missing at the end of
    a row are missing fields, since spreadsheets leave empty ones away.

    Raises:
        InputError: the file cannot be read, is of no such form, or its table lacks the column pair_id.
    """
    with opened(path) as file:
        yield from text_rows(file, shown_name(path), _header, _WEB_PAGE)


def _header(first: bytes, name: str) -> Header | None:
    if found := _with_key(first):
        return found
    if _with_key(first.partition(b"\r")[0]):
        raise InputError(f"{name}: {OLD_MAC}")
    if TABLE.search(name):
        raise InputError(f"{name}: its first line does not name the columns, of which one is {KEY_COLUMN}")
    return None


def _with_key(first: bytes) -> Header | None:
    for delimiter in ",;\t":
        names = [cell.casefold() for cell in cells_of(first, delimiter)]
        if KEY_COLUMN in names:
            return Header(delimiter, names, as_saved=True)
    return None
