"""Files at the edge: lines in, as a stream that survives any line; files and folders out, whole or not at all."""

from __future__ import annotations

import ctypes
import gzip
import io
import os
import shutil
import sys
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, nullcontext, suppress
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

    def record(self) -> dict[str, Any]:
        """What is written of it; `dataclasses.asdict` would take longer than all the rest of a bad row."""
        return {
            "file": self.file, "line": self.line, "field": self.field, "reason": self.reason, "raw": self.raw,
        }  # fmt: skip

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
        if is_cut(data):
            yield number, too_long(name, number, data)
            pass_over(file)
        elif not data.isspace() and data:
            yield number, data


def is_cut(data: bytes) -> bool:
    """Whether what `readline(MAX_LINE + 1)` gave is not all of its line."""
    return len(data) > MAX_LINE and not data.endswith(b"\n")


def pass_over(file: IO[bytes]) -> None:
    """Read the rest of a line, which must not be taken for lines of its own."""
    while (data := file.readline(MAX_LINE)) and not data.endswith(b"\n"):
        pass


def too_long(name: str, number: int, data: bytes) -> Reject:
    """A line of which only the beginning was read."""
    return _reject(name, number, data[: _KEPT + 1], "row", f"is longer than {MAX_LINE // 2**20} MiB")


def json_lines(file: IO[bytes], name: str, number: int = 0) -> Iterator[Row | Reject]:
    """Every line of a JSON Lines file of which `number` lines have been read. Blank lines are passed over."""
    for line, data in lines_of(file, name, number):
        yield data if isinstance(data, Reject) else parse_line(name, line, data)


def parse_line(name: str, number: int, data: bytes, kind: type[Row] = Row) -> Row | Reject:
    """A line as a JSON object, or as a reject that says why it is none. `kind`: what it is where it is no line."""
    try:
        values = orjson.loads(data)
        if data.count(b"{") + data.count(b"[") > 200:
            orjson.dumps(values)  # what can be read can be nested deeper than what can be written
    except orjson.JSONDecodeError as error:
        try:
            data.decode()
        except UnicodeDecodeError as bad:
            return _reject(name, number, data, "row", f"is not UTF-8 (byte {bad.start})", kind.rejected)
        return _reject(name, number, data, "row", f"is not JSON: {error.msg} (column {error.colno})", kind.rejected)
    except (RecursionError, orjson.JSONEncodeError):
        return _reject(name, number, data, "row", "is nested too deeply", kind.rejected)
    if not isinstance(values, dict):
        return _reject(name, number, data, "row", "is not a JSON object", kind.rejected)
    return kind(name, number, values, data)


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
def naming(path: Path | str) -> Iterator[None]:
    """What fails inside without saying which file it was about was about this one."""
    try:
        yield
    except OSError as error:
        if error.filename is None:
            error.filename = str(path)
        raise


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """A path to write to, renamed to `path` at the end, removed on failure.

    What is in it is on the disk before it has its name, so that a power cut leaves the old file or the new one, too.
    """
    aside = _aside(path)
    try:
        with naming(path):
            yield aside
            _to_disk(aside)
        aside.replace(path)
    finally:
        aside.unlink(missing_ok=True)


@contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """A folder to fill, which takes the place of `path` at the end, removed on failure; on the disk as `whole_file` is.

    Where the system can exchange two names in one step (Linux), whoever looks finds the old folder or the new one at
    any time. Elsewhere there is none for a moment; if the process is killed in that moment, the old one lies beside it,
    as `.NAME.old`, and takes its place again when the next one is written.
    """
    aside, old = _aside(path), path.with_name(f".{path.name}.old")
    if old.exists() and not path.exists():
        old.rename(path)
    for left in (aside, old):
        shutil.rmtree(left, ignore_errors=True)
    aside.mkdir()
    try:
        with naming(path):
            yield aside
            for one in (*aside.rglob("*"), aside):
                _to_disk(one)
        if path.is_symlink() or path.is_file():
            raise InputError(f"{path} is no folder: move it out of the way")
        if not path.exists():
            aside.rename(path)
        elif not _exchanged(aside, path):
            path.rename(old)
            try:
                aside.rename(path)
            except OSError:
                old.rename(path)
                raise
    finally:
        shutil.rmtree(aside, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)


def _to_disk(path: Path) -> None:
    """Wait until what is in a file, or which names are in a folder, is on the disk; not all systems can, of folders."""
    with suppress(OSError) if path.is_dir() else nullcontext():
        handle = os.open(path, os.O_RDWR if path.is_file() else os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


_RENAME_EXCHANGE = 2


def _exchanged(one: Path, other: Path) -> bool:
    """Exchange the names of two folders in one step; False: this system, or this file system, cannot."""
    here = -100  # AT_FDCWD: paths are relative to the working folder
    try:
        rename = ctypes.CDLL(None).renameat2
    except (AttributeError, OSError, TypeError):  # TypeError: as Windows says it
        return False
    sys.audit("curator.exchange", str(one), str(other))
    return bool(rename(here, os.fsencode(one), here, os.fsencode(other), _RENAME_EXCHANGE) == 0)


def write_json_lines(path: Path, rows: Iterable[dict[str, Any]]) -> int:
    """Write rows as JSON Lines; returns how many."""
    count = 0
    with whole_file(path) as aside, aside.open("wb") as file:
        for row in rows:
            file.write(orjson.dumps(row) + b"\n")
            count += 1
    return count
