"""Where raw rows come from: files of any kind, folders, the hub. Rows out, whatever the container.

Below the edges, as `curator.files` is, and knowing nothing of what a row means.
"""

from __future__ import annotations

from collections.abc import Iterator

from curator.files import Meter, Reject, Row, read_rows


def source_rows(raw: str, meter: Meter | None = None) -> Iterator[Row | Reject]:
    """Every row of a source, in order.

    Args:
        raw: a file, a pattern of names, a folder, a data set of the hub, or "-" for standard input.
        meter: is told how far the reading is.

    Raises:
        InputError: it cannot be read.
    """
    yield from read_rows(raw, meter)


def source_files(raw: str) -> list[str] | None:
    """The files of a source, in the order in which they are read; None where it is none on this machine's disk.

    Raises:
        InputError: there is no such file.
    """
    return None if raw == "-" else [raw]
