"""Files and folders on this machine's disk, and what is in a file."""

from __future__ import annotations

import glob
import io
import os
import re
from collections.abc import Iterator
from pathlib import Path

from curator.errors import InputError
from curator.files import Meter, Reject, Row, json_lines, opened, shown_name
from curator.sources.arrow import ARROW_FILE, ARROW_STREAM, FEATHER_1, PARQUET, arrow_rows, parquet_rows
from curator.sources.text import text_rows

PACKED = r"(\.(gz|zst|zstd))?"
KNOWN = re.compile(rf"\.((jsonl|ndjson|json|csv|tsv|tab){PACKED}|parquet|arrow|feather|ipc)$", re.IGNORECASE)
"""Names of files that may hold rows."""

_LINES = re.compile(rf"\.(jsonl|ndjson){PACKED}$", re.IGNORECASE)
"""Names that say what is in a file: whatever stands in its first line, each line is a row or a reject."""

_ABOUT = {"dataset_info.json", "dataset_infos.json", "dataset_dict.json", "state.json"}
"""What `datasets` writes beside rows."""

_MADE = ("curator.duckdb", "run.json")
"""What is in every folder that curator writes to."""


def file_rows(path: str, meter: Meter | None = None) -> Iterator[Row | Reject]:
    """Every row of a file of any kind; "-" is standard input.

    Its first bytes tell the kind, whatever it is called, but that text named .jsonl is JSON Lines.

    Raises:
        InputError: the file cannot be read, or is of no known kind.
    """
    name = shown_name(path)
    with opened(path, meter) as file:
        start = bytes(file.peek(16))  # type: ignore[attr-defined]
        in_place = isinstance(getattr(file, "raw", None), io.FileIO) and file.seekable()
        if start[8:12] == b"DUCK":
            raise InputError(f"{name}: is a store; give the file of pairs that it was made of, or --db with a command")
        if start.startswith(FEATHER_1):
            raise InputError(f"{name}: is Feather of version 1: write it again, as version 2 or Parquet")
        if start.startswith((PARQUET, ARROW_FILE)) and not in_place:
            raise InputError(f"{name}: Parquet and Arrow are read from files of their own: unpack or save it first")
        if start.startswith(PARQUET):
            yield from parquet_rows(path, meter)
        elif start.startswith((ARROW_FILE, ARROW_STREAM)):
            yield from arrow_rows(file, name, start)
        elif _LINES.search(name):
            yield from json_lines(file, name)
        else:
            yield from text_rows(file, name)


def folder_files(folder: Path) -> list[str]:
    """The files of a folder that may hold rows, sorted, those in folders of it too; hidden ones are left out.

    Raises:
        InputError: there are none, or the folder is one that curator wrote.
    """
    if _is_output(folder) or (folder.name == "dataset" and _is_output(folder.parent)):
        raise InputError(f"{folder}: was written by curator; give the raw pairs that it was made of")
    found = []
    for place, inside, names in os.walk(folder):
        inside[:] = [one for one in inside if not one.startswith(".") and not _is_output(Path(place) / one)]
        found += [Path(place) / name for name in names if KNOWN.search(name) and name not in _ABOUT]
    files = sorted(str(path) for path in found if not path.name.startswith(".") and path.is_file())
    _require_one_line(files)
    if not files:
        raise InputError(f"{folder}: no file in it is named as one of rows (.jsonl, .csv, .parquet, ...)")
    return files


def matching_files(pattern: str) -> list[str]:
    """The files of a pattern of names, sorted.

    Raises:
        InputError: there are none.
    """
    files = sorted(path for path in glob.glob(pattern, recursive=True) if Path(path).is_file())  # noqa: PTH207
    _require_one_line(files)
    if not files:
        raise InputError(f"{pattern}: no file is named so")
    return files


def _require_one_line(files: list[str]) -> None:
    """Raises InputError where the name of a file would pass for lines of ours in a message."""
    if broken := next((path for path in files if "\n" in path), None):
        raise InputError(f"{broken!a} has a line break in its name: rename the file")


def is_pattern(raw: str) -> bool:
    """Whether a name has `*`, `?` or `[` in it."""
    return glob.has_magic(raw)


def _is_output(folder: Path) -> bool:
    return all((folder / name).is_file() for name in _MADE)
