"""Files at the edge: lines in, as a stream that survives any line; files and folders out, whole or not at all."""

from __future__ import annotations

import gzip
import io
import shutil
import sys
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, ClassVar

import orjson

from curator.errors import InputError
from curator.resources import first_error

MAX_LINE = 32 * 2**20
"""Bytes of the longest row that is read; no judge's context holds a tenth of it."""

_KEPT = 64 * 2**10
"""Characters of a rejected line that are kept: enough to find the row in its file."""


@dataclass(frozen=True, slots=True)
class Reject:
    """A row that was not used; every field goes to `rejects.jsonl`."""

    unit: ClassVar[str] = "line"
    """What is counted in a file of its kind."""

    file: str
    line: int
    field: str
    reason: str
    raw: str

    def __str__(self) -> str:
        said = f"{self.file}, {self.unit} {self.line}: {self.field} {self.reason}"
        return said.replace("\n", " ")  # a field's name may hold anything


@dataclass(slots=True)
class Row:
    """A line that holds a JSON object. Not frozen: that would cost more than parsing the line."""

    rejected: ClassVar[type[Reject]] = Reject

    file: str
    line: int
    values: dict[str, Any]
    data: bytes

    def reject(self, field: str, reason: str) -> Reject:
        return _reject(self.file, self.line, self.data, field, reason, self.rejected)

    def check(self, schema: str) -> Reject | None:
        """The row as a reject when it does not match `schemas/<schema>.schema.json`."""
        problem = first_error(schema, self.values)
        return self.reject(*problem) if problem else None


class Meter:
    """How far the reading of files, one after the other, is: in bytes as they lie on the disk."""

    def __init__(self) -> None:
        self._tell: Callable[[], int] | None = None
        self._before = self._done = 0

    def watch(self, tell: Callable[[], int]) -> None:
        """From now on `tell` says how many bytes of the present file are read."""
        self._tell = tell

    def end(self) -> None:
        """The present file is about to be closed."""
        self._before = self.done
        self._tell = None

    @property
    def done(self) -> int:
        if self._tell is not None:
            self._done = self._before + self._tell()
        return self._done


def shown_name(path: str) -> str:
    """What a file is called in messages."""
    return "stdin" if path == "-" else path


def read_lines(path: str, meter: Meter | None = None) -> Iterator[tuple[int, bytes | Reject]]:
    """Every line that is not blank, with its number; one that is too long is a reject.

    Raises:
        InputError: the file cannot be read.
    """
    with opened(path, meter) as file:
        yield from lines_of(file, shown_name(path))


def lines_of(file: IO[bytes], name: str, number: int = 0) -> Iterator[tuple[int, bytes | Reject]]:
    """`read_lines` of an open file of which `number` lines have been read."""
    while data := file.readline(MAX_LINE + 1):
        number += 1
        if number == 1:
            data = data.removeprefix(b"\xef\xbb\xbf")
        if len(data) > MAX_LINE and not data.endswith(b"\n"):
            reason = f"is longer than {MAX_LINE // 2**20} MiB"
            yield number, _reject(name, number, data[: _KEPT + 1], "row", reason)
            while data and not data.endswith(b"\n"):
                data = file.readline(MAX_LINE)
        elif not data.isspace() and data:
            yield number, data


def json_lines(file: IO[bytes], name: str, number: int = 0) -> Iterator[Row | Reject]:
    """Every line of a JSON Lines file of which `number` lines have been read. Blank lines are passed over."""
    for line, data in lines_of(file, name, number):
        yield data if isinstance(data, Reject) else parse_line(name, line, data)


def parse_line(name: str, number: int, data: bytes) -> Row | Reject:
    """A line as a JSON object, or as a reject that says why it is none."""
    try:
        values = orjson.loads(data)
        if data.count(b"{") + data.count(b"[") > 200:
            orjson.dumps(values)  # what can be read can be nested deeper than what can be written
    except orjson.JSONDecodeError as error:
        try:
            data.decode()
        except UnicodeDecodeError as bad:
            return _reject(name, number, data, "row", f"is not UTF-8 (byte {bad.start})")
        return _reject(name, number, data, "row", f"is not JSON: {error.msg} (column {error.colno})")
    except (RecursionError, orjson.JSONEncodeError):
        return _reject(name, number, data, "row", "is nested too deeply")
    if not isinstance(values, dict):
        return _reject(name, number, data, "row", "is not a JSON object")
    return Row(name, number, values, data)


def _reject(name: str, number: int, data: bytes, field: str, reason: str, kind: type[Reject] = Reject) -> Reject:
    raw = data.rstrip(b"\r\n").decode(errors="backslashreplace")
    return kind(name, number, field, reason, raw if len(raw) <= _KEPT else raw[:_KEPT] + " [...]")


@contextmanager
def _standard_input() -> Iterator[io.BufferedReader]:
    if sys.stdin is None:
        raise InputError("there is no standard input")
    raw: Any = sys.stdin.buffer  # not always one that can peek
    file = io.BufferedReader(raw)
    try:
        yield file
    finally:
        file.detach()  # or standard input would be closed with it


class _KeptOpen(io.RawIOBase):
    """A file that is not closed by whoever reads it."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        return self._file.read(size)


@contextmanager
def opened(path: str, meter: Meter | None = None) -> Iterator[IO[bytes]]:
    """A file to read, unpacked if it is gzip or zstd; "-" is standard input.

    Raises:
        InputError: the file cannot be read, also while it is being read.
    """
    try:
        with _standard_input() if path == "-" else Path(path).open("rb") as file:
            if meter is not None and path != "-":
                meter.watch(file.tell)
            try:
                with _unpacked(file, path) as plain:
                    yield plain
            finally:
                if meter is not None:
                    meter.end()
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise InputError(f"{path}: damaged gzip file ({error})") from None
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}") from None
    except ValueError as error:  # a name with a zero byte
        raise InputError(f"{path!r}: {error}") from None


@contextmanager
def _unpacked(file: io.BufferedReader, path: str) -> Iterator[IO[bytes]]:
    start = file.peek(4)
    if start.startswith(b"\x1f\x8b"):
        with gzip.GzipFile(fileobj=file) as unzipped:
            yield unzipped  # type: ignore[misc]  # GzipFile is a binary file in all but name
    elif start.startswith(b"\x28\xb5\x2f\xfd"):
        import pyarrow as pa

        try:
            with io.BufferedReader(pa.CompressedInputStream(_KeptOpen(file), "zstd")) as plain:
                yield plain
        except OSError as error:
            raise InputError(f"{path}: damaged zstd file ({error})") from None
    else:
        yield file


def require_readable(path: str) -> None:
    """Raises InputError for a file that is not there or cannot be opened, before anything is made for it."""
    if path != "-" and not Path(path).is_fifo():  # what a pipe gives is gone once it is read
        with opened(path):
            pass


def require_dataset_folder(path: Path) -> None:
    """Raises InputError for a folder with other things in it than a data set, which would be replaced."""
    if path.exists() and any(path.iterdir()) and not (path / "README.md").is_file():
        raise InputError(f"{path} is a folder with other things in it: give a new one")


def _aside(path: Path) -> Path:
    """Where a file is written until it is whole. One name for all, so that what a killed run left is overwritten."""
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f".{path.name}.partial")
    if aside.is_symlink():  # somebody else's: it would have us write over what it points to
        aside.unlink()
    return aside


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """A path to write to, renamed to `path` at the end, removed on failure."""
    aside = _aside(path)
    try:
        yield aside
        aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)


@contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """A folder to fill, which takes the place of `path` at the end, removed on failure."""
    aside, old = _aside(path), path.with_name(f".{path.name}.old")
    for left in (aside, old):
        shutil.rmtree(left, ignore_errors=True)
    aside.mkdir()
    try:
        yield aside
        if path.is_symlink() or path.is_file():
            raise InputError(f"{path} is no folder: move it out of the way")
        if path.exists():
            path.rename(old)
        try:
            aside.rename(path)
        except OSError:
            if old.exists():
                old.rename(path)
            raise
    finally:
        shutil.rmtree(aside, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)


def write_json_lines(path: Path, rows: Iterable[dict[str, Any]]) -> int:
    """Write rows as JSON Lines; returns how many."""
    count = 0
    with whole_file(path) as aside, aside.open("wb") as file:
        for row in rows:
            file.write(orjson.dumps(row) + b"\n")
            count += 1
    return count
