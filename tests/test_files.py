"""Reading survives any line; writing leaves a whole file or none."""

from __future__ import annotations

import gzip
import io
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curator import files
from curator.errors import CuratorError, InputError
from curator.files import Meter, Reject, Row, json_lines, opened, whole_file, whole_folder, write_json_lines


def read_rows(path: str, meter: Meter | None = None) -> Iterator[Row | Reject]:
    with opened(path, meter) as file:
        yield from json_lines(file, path)


def write(folder: Path, data: bytes, name: str = "raw.jsonl") -> str:
    path = folder / name
    path.write_bytes(data)
    return str(path)


def values(path: str) -> list[dict[str, object]]:
    rows = list(read_rows(path))
    assert not [row for row in rows if isinstance(row, Reject)]
    return [row.values for row in rows if isinstance(row, Row)]


LINES = b'{"a": 1}\n{"a": 2}\n'


@pytest.mark.parametrize(
    "data",
    [
        LINES,
        LINES[:-1],
        LINES.replace(b"\n", b"\r\n"),
        b"\xef\xbb\xbf" + LINES,
        b"\n\n" + LINES.replace(b"\n", b"\n  \t\r\n\n"),
        gzip.compress(LINES),
        gzip.compress(LINES[:9]) + gzip.compress(LINES[9:]),
        gzip.compress(b"\xef\xbb\xbf" + LINES[:-1]),
    ],
    ids=["plain", "no-last-newline", "crlf", "bom", "blank-lines", "gzip", "gzip-members", "gzip-bom"],
)
def test_forms_of_the_same_file(tmp_path: Path, data: bytes) -> None:
    assert values(write(tmp_path, data)) == [{"a": 1}, {"a": 2}]


@pytest.mark.parametrize("data", [b"", b"\n\n", b" \r\n", b"\xef\xbb\xbf", b"\xef\xbb\xbf\r\n", gzip.compress(b"")])
def test_nothing_in_it(tmp_path: Path, data: bytes) -> None:
    assert list(read_rows(write(tmp_path, data))) == []


def test_line_numbers_count_every_line(tmp_path: Path) -> None:
    path = write(tmp_path, b'{"a": 1}\n\n\nbad\n{"a": 2}')
    rows = list(read_rows(path))
    assert [(row.file, row.line) for row in rows] == [(path, 1), (path, 4), (path, 5)]
    assert [type(row) for row in rows] == [Row, Reject, Row]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"{", "is not JSON: .* \\(column \\d+\\)"),
        (b"{'a': 1}", "is not JSON"),
        (b'{"a": 1} {"a": 2}', "is not JSON"),
        (b'{"a": NaN}', "is not JSON"),
        (b'{"a": Infinity}', "is not JSON"),
        (b'{"a": 1,}', "is not JSON"),
        (b'{"a": "\x01"}', "is not JSON"),
        (b'{"a": "\\ud800"}', "is not JSON"),
        (b'{"a": "\xff\xfe"}', "is not UTF-8 \\(byte 7\\)"),
        (b'{"a": "\xed\xa0\x80"}', "is not UTF-8"),
        (b"\xff\xfe{\x00}\x00", "is not UTF-8 \\(byte 0\\)"),
        (b"[" * 100_000, "is not JSON|is nested too deeply"),
        (b'{"a": ' * 2_000 + b"1" + b"}" * 2_000, "is not JSON|is nested too deeply"),
        (b"[1, 2]", "is not a JSON object"),
        (b'"text"', "is not a JSON object"),
        (b"null", "is not a JSON object"),
        (b"7", "is not a JSON object"),
        (b"\x00", "is not JSON"),
    ],
)
def test_bad_lines(tmp_path: Path, line: bytes, reason: str) -> None:
    path = write(tmp_path, LINES + line + b"\n" + LINES)
    rows = list(read_rows(path))
    assert [type(row) for row in rows] == [Row, Row, Reject, Row, Row]
    bad = rows[2]
    assert isinstance(bad, Reject)
    assert (bad.file, bad.line, bad.field) == (path, 3, "row")
    assert re.match(reason, bad.reason), bad.reason
    assert str(bad) == f"{path}, line 3: row {bad.reason}"
    json.dumps(bad.raw).encode()
    assert len(bad.raw) <= files._KEPT + 6


def test_raw_text_of_a_bad_line(tmp_path: Path) -> None:
    (bad,) = read_rows(write(tmp_path, 'é"{'.encode() + b"\xff\r\n"))
    assert isinstance(bad, Reject)
    assert bad.raw == 'é"{\\xff'


def test_big_numbers_are_rows(tmp_path: Path) -> None:
    data = b'{"a": 18446744073709551615, "b": -9223372036854775808, "c": 1e300}'
    assert values(write(tmp_path, data)) == [{"a": 2**64 - 1, "b": -(2**63), "c": 1e300}]


def test_too_long_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "MAX_LINE", 2**20)
    monkeypatch.setattr(files, "_KEPT", 1_000)
    exact = b'{"a": "' + b"x" * (2**20 - 9) + b'"}'
    assert len(exact) == 2**20
    long = b'{"a": "' + b"y" * (3 * 2**20) + b'"}'
    path = write(tmp_path, b"\n".join([exact, long, b'{"a": 3}', exact + b" ", b'{"a": 5}', long]))
    rows = list(read_rows(path))
    assert [(row.line, type(row)) for row in rows] == [
        (1, Row), (2, Reject), (3, Row), (4, Reject), (5, Row), (6, Reject),
    ]  # fmt: skip
    bad = rows[1]
    assert isinstance(bad, Reject)
    assert bad.reason == "is longer than 1 MiB"
    assert bad.raw.startswith('{"a": "yyy')
    assert len(bad.raw) <= 1_006
    assert bad.raw.endswith("[...]"), "what is cut is seen to be cut"


def test_long_raw_text_is_cut_visibly(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "_KEPT", 10)
    (bad,) = read_rows(write(tmp_path, b"0123456789abc"))
    assert isinstance(bad, Reject)
    assert bad.raw == "0123456789 [...]"


@pytest.mark.parametrize("keep", [15, -1, -4, -9])
def test_truncated_gzip(tmp_path: Path, keep: int) -> None:
    lines = b"".join(b'{"a": %d}\n' % i for i in range(5_000))
    path = write(tmp_path, gzip.compress(lines)[:keep])
    with pytest.raises(InputError, match="damaged gzip file") as raised:
        list(read_rows(path))
    assert path in str(raised.value)


def test_damaged_gzip(tmp_path: Path) -> None:
    data = bytearray(gzip.compress(b"".join(b'{"a": %d}\n' % (i * 7919) for i in range(5_000))))
    data[len(data) // 2] ^= 0xFF
    with pytest.raises(InputError, match="damaged gzip file"):
        list(read_rows(write(tmp_path, bytes(data))))
    with pytest.raises(InputError, match="damaged gzip file"):
        list(read_rows(write(tmp_path, gzip.compress(LINES) + b"garbage")))


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    for path in (tmp_path / "missing", tmp_path, tmp_path / "missing" / "x"):
        with pytest.raises(InputError, match=str(path)):
            list(read_rows(str(path)))
    with pytest.raises(InputError):
        list(read_rows("bad\0name"))
    if os.geteuid() != 0:
        path = tmp_path / "closed"
        path.touch(mode=0)
        with pytest.raises(InputError, match="Permission denied"):
            list(read_rows(str(path)))


@pytest.mark.parametrize("data", [LINES, gzip.compress(LINES)], ids=["plain", "gzip"])
def test_standard_input(data: bytes) -> None:
    code = "from curator.sources import source_rows\nfor row in source_rows('-'): print(row.file, row.line, row.values)"
    done = subprocess.run([sys.executable, "-c", code], input=data, capture_output=True, check=True)
    assert done.stdout.decode().splitlines() == ["stdin 1 {'a': 1}", "stdin 2 {'a': 2}"]


@given(st.lists(st.one_of(st.binary(max_size=40), st.sampled_from([b"{}", b'{"a": 1}', b"\xef\xbb\xbf", b"\x1f\x8b"]))))
def test_any_bytes(lines: list[bytes]) -> None:
    """Every line that is not blank is a row or a reject, and reading never fails but for damaged gzip."""
    data = b"\n".join(lines)
    path = Path(os.environ.get("PYTEST_TMP", "/tmp")) / f"any-bytes-{os.getpid()}"
    path.write_bytes(data)
    try:
        rows = list(read_rows(str(path)))
    except InputError:
        assert data[:2] == b"\x1f\x8b"
    else:
        body = data.removeprefix(b"\xef\xbb\xbf")
        assert len(rows) == sum(bool(line.strip()) for line in io.BytesIO(body))
        for row in rows:
            json.dumps(row.raw if isinstance(row, Reject) else row.values).encode()
    finally:
        path.unlink()


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_whole_file(tmp_path: Path) -> None:
    target = tmp_path / "new" / "file.json"
    with whole_file(target) as aside:
        aside.write_text("one")
        assert not target.exists()
    assert target.read_text() == "one"
    with whole_file(target) as aside:
        aside.write_text("two")
        assert target.read_text() == "one"
    assert target.read_text() == "two"
    assert names(target.parent) == ["file.json"]


def test_whole_file_on_failure(tmp_path: Path) -> None:
    target = tmp_path / "file.json"
    target.write_text("old")
    with pytest.raises(ValueError, match="no"), whole_file(target) as aside:  # noqa: PT012
        aside.write_text("half")
        raise ValueError("no")
    assert target.read_text() == "old"
    (tmp_path / "folder" / "x").mkdir(parents=True)
    with pytest.raises(OSError, match="directory"), whole_file(tmp_path / "folder") as aside:
        aside.write_text("half")
    assert names(tmp_path) == ["file.json", "folder"]


def test_whole_folder(tmp_path: Path) -> None:
    target = tmp_path / "new" / "dataset"
    for text in ("one", "two"):
        with whole_folder(target) as aside:
            (aside / text).mkdir()
            (aside / text / "x").write_text(text)
        assert [path.relative_to(target).as_posix() for path in target.rglob("*")] == [text, f"{text}/x"]
    assert names(target.parent) == ["dataset"]


def test_whole_folder_on_failure(tmp_path: Path) -> None:
    target = tmp_path / "dataset"
    for before in ([], ["old"]):
        if before:
            target.mkdir()
            (target / "old").touch()
        with pytest.raises(KeyboardInterrupt), whole_folder(target) as aside:  # noqa: PT012
            (aside / "half").touch()
            raise KeyboardInterrupt
        assert names(tmp_path) == (["dataset"] if before else [])
        if before:
            assert names(target) == ["old"]


def test_whole_folder_keeps_the_old_one_when_the_new_one_cannot_take_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "dataset"
    target.mkdir()
    (target / "old").touch()
    rename = Path.rename

    def failing(path: Path, to: Path) -> Path:
        if path.name.endswith(".partial"):
            raise OSError(28, "No space left on device")
        return rename(path, to)

    monkeypatch.setattr(files, "_exchanged", lambda one, other: False)
    monkeypatch.setattr(Path, "rename", failing)
    with pytest.raises(OSError, match="No space left"), whole_folder(target) as aside:
        (aside / "new").touch()
    assert names(tmp_path) == ["dataset"]
    assert names(target) == ["old"]


@pytest.mark.parametrize("exchanges", [True, False])
def test_a_folder_takes_the_place_of_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, exchanges: bool) -> None:
    """In one step where the system can, which is so here; else in two."""
    steps: list[bool] = []
    exchanged = files._exchanged
    monkeypatch.setattr(
        files, "_exchanged", lambda one, other: steps.append(exchanges and exchanged(one, other)) or steps[-1]
    )
    target = tmp_path / "dataset"
    for text in ("one", "two", "three"):
        with whole_folder(target) as aside:
            (aside / text).touch()
        assert names(target) == [text]
        assert names(tmp_path) == ["dataset"]
    assert steps == [exchanges] * 2


def test_a_folder_put_aside_by_a_killed_run_is_put_back(tmp_path: Path) -> None:
    """Where two names cannot be exchanged, a run may be killed between the two renames."""
    target, old = tmp_path / "dataset", tmp_path / ".dataset.old"
    old.mkdir()
    (old / "kept").touch()
    with pytest.raises(ValueError, match="no"), whole_folder(target):
        raise ValueError("no")
    assert names(target) == ["kept"]
    assert names(tmp_path) == ["dataset"]
    shutil.copytree(target, old)
    with whole_folder(target) as aside:
        (aside / "new").touch()
    assert names(target) == ["new"]
    assert names(tmp_path) == ["dataset"]


def test_what_is_renamed_is_on_the_disk_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A power cut must not leave a name without its content: each file, and each folder, is flushed before."""
    done: list[str] = []
    fsync, replace, rename = os.fsync, Path.replace, Path.rename
    monkeypatch.setattr(
        os, "fsync", lambda file: done.append(Path(f"/proc/self/fd/{file}").readlink().name) or fsync(file)
    )
    monkeypatch.setattr(Path, "replace", lambda path, to: done.append("replace") or replace(path, to))
    monkeypatch.setattr(Path, "rename", lambda path, to: done.append("rename") or rename(path, to))
    with whole_file(tmp_path / "file") as aside:
        aside.write_text("x")
    assert done == [".file.partial", "replace"]
    done.clear()
    with whole_folder(tmp_path / "folder") as aside:
        (aside / "data").mkdir()
        (aside / "data" / "x").write_text("x")
    assert sorted(done[:-1]) == [".folder.partial", "data", "x"]
    assert done[-1] == "rename"


@pytest.mark.parametrize("kind", ["file", "link"])
def test_whole_folder_where_something_else_stands(tmp_path: Path, kind: str) -> None:
    target = tmp_path / "dataset"
    if kind == "file":
        target.write_text("a file")
    else:
        (tmp_path / "elsewhere").mkdir()
        target.symlink_to(tmp_path / "elsewhere")
    try:
        with whole_folder(target) as aside:
            (aside / "new").touch()
    except (CuratorError, OSError):
        pass
    assert [name for name in names(tmp_path) if name.startswith(".")] == [], "nothing is left lying about"


def test_write_json_lines(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    rows = [{"a": "é\n\0"}, {"a": None}]
    assert write_json_lines(path, rows) == 2
    assert path.read_bytes().count(b"\n") == 2
    assert values(str(path)) == rows

    def broken() -> Iterator[dict[str, object]]:
        yield {"a": 1}
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        write_json_lines(path, broken())
    assert values(str(path)) == rows
    assert names(tmp_path) == ["out.jsonl"]
