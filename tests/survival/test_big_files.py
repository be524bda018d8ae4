"""Files that have no end in sight: lines of gigabytes, millions of bad ones, and a source that changes while read."""

from __future__ import annotations

import gzip
import json
import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import judgments, pairs, read_rows, write_rows
from tests.survival.running import Done, Runner

GOOD = 40
MOST = 700
"""MiB that a command may take at its peak, of which importing takes 150, and DuckDB up to as much as it pleases."""


@pytest.fixture(scope="module")
def run() -> Iterator[Runner]:
    with Runner() as runner:
        yield runner


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return write_rows(tmp_path / "log.jsonl", judgments(GOOD))


def rows(first: int = 0, count: int = GOOD) -> bytes:
    return b"".join(json.dumps(row).encode() + b"\n" for row in pairs(GOOD, GOOD)[first : first + count])


def as_csv() -> bytes:
    lines = [",".join(row[key] or "" for key in ("id", "prompt", "response_a", "response_b")) for row in pairs(GOOD)]
    return "\n".join(lines).encode() + b"\n"


def huge(path: Path, before: bytes, size: int, after: bytes) -> Path:
    """A file with a hole of zeros in it: it is as long as it says, and takes no room."""
    with path.open("wb") as file:
        file.write(before)
        file.seek(size, os.SEEK_CUR)
        file.write(after)
    return path


def packed(path: Path, before: bytes, size: int, after: bytes) -> Path:
    member = gzip.compress(bytes(16 * 2**20))
    with path.open("wb") as file:
        file.write(gzip.compress(before))
        for _ in range(size // (16 * 2**20)):
            file.write(member)
        file.write(gzip.compress(after))
    return path


def counted(done: Done, out: Path) -> tuple[int, int, int, int]:
    """Rows, pairs, duplicates and rejects of a run, which add up and are all there."""
    found = json.loads((out / "run.json").read_bytes())
    result = found["rows"], found["pool"] + found["calibration"]["n"], found["duplicates"], found["rejected"]
    assert result[0] == sum(result[1:]), done
    with (out / "rejects.jsonl").open("rb") as file:
        assert sum(1 for _ in file) == found["rejected"]
    return result


OPENED = b'{"id": "long", "prompt": "' + b"x" * 100

SIZE, HUGE = 50 * 2**20, 2**31


@pytest.mark.parametrize(
    ("kind", "size"),
    [
        *((kind, SIZE) for kind in ("jsonl", "csv", "json", "jsonl.gz")),
        *(pytest.param(kind, HUGE, marks=pytest.mark.survival) for kind in ("jsonl", "csv")),
    ],
)
def test_a_line_of_gigabytes_is_one_reject_and_takes_no_memory(
    run: Runner, tmp_path: Path, log: Path, kind: str, size: int
) -> None:
    raw = tmp_path / f"raw.{kind}"
    if kind == "jsonl":
        huge(raw, rows(0, 1) + OPENED, size, b'"}\n' + rows(1))
    elif kind == "jsonl.gz":
        packed(raw, rows(0, 1) + OPENED, size, b'"}\n' + rows(1))
    elif kind == "csv":
        huge(raw, b"id,prompt,response_a,response_b\n" + as_csv() + b"long,x", size, b"\nlast,q,a,b\n")
    else:
        huge(raw, b"[" + b",".join(rows().splitlines()) + b"," + OPENED, size, b'"}]')
    out = tmp_path / "out"
    done = run("label", raw, "--judgments", log, "--out", out)
    assert done.code in {0, 4}, done
    found = read_rows(out / "rejects.jsonl")
    assert "is longer than 32 MiB" in found[0]["reason"]
    assert [row["line"] for row in found] == [{"csv": GOOD + 2, "json": GOOD + 1}.get(kind, 2)]
    assert counted(done, out)[1] == GOOD + (kind == "csv")
    assert done.peak < MOST


@pytest.mark.parametrize("size", [SIZE, pytest.param(HUGE, marks=pytest.mark.survival)])
def test_so_it_is_in_a_log_of_judgments_and_among_labels(run: Runner, tmp_path: Path, log: Path, size: int) -> None:
    raw, out = tmp_path / "raw.jsonl", tmp_path / "out"
    raw.write_bytes(rows())
    long = huge(tmp_path / "long.jsonl", b'{"id": "p0", "judge": "j' + b"x" * 100, size, b'"}\n' + log.read_bytes())
    done = run("label", raw, "--judgments", long, "--out", out)
    assert done.code in {0, 4}, done
    assert "1 rows of the log are not judgments" in done.err
    assert done.peak < MOST
    (pair_id,) = {
        row["pair_id"]
        for row in map(
            json.loads,
            run("sql", "SELECT min(pair_id) AS pair_id FROM pair", "--db", out / "curator.duckdb", "--json")
            .out.splitlines(),
        )
    }  # fmt: skip
    answer = json.dumps({"pair_id": pair_id, "label": "tie", "annotator": "anna"}).encode() + b"\n"
    answers = huge(tmp_path / "answers.jsonl", answer + b'{"pair_id": "' + b"x" * 100, size, b'"}\n' + answer)
    done = run("import", answers, "--db", out / "curator.duckdb", "--json")
    assert (done.code, json.loads(done.out)["added"], len(json.loads(done.out)["refused"])) == (0, 1, 1), done
    assert done.peak < MOST


@pytest.mark.survival
@pytest.mark.parametrize("line", [b"\n", b"{}\n", b"1\n", b"x,y\n"], ids=["blank", "object", "number", "cells"])
def test_millions_of_short_lines_are_as_many_rejects(run: Runner, tmp_path: Path, log: Path, line: bytes) -> None:
    count, table = 100_000, line == b"x,y\n"
    raw, out = tmp_path / ("raw.csv" if table else "raw.jsonl"), tmp_path / "out"
    head = b"id,prompt,response_a,response_b\n" + as_csv() if table else rows()
    raw.write_bytes(head + line * count)
    done = run("label", raw, "--judgments", log, "--out", out, seconds=280)
    assert done.code in {0, 4}, done
    bad = 0 if line.isspace() else count
    assert counted(done, out) == (GOOD + bad, GOOD, 0, bad)
    assert done.peak < MOST
    assert (out / "rejects.jsonl").stat().st_size < 1_000 + bad * (len(str(raw)) + 110)


def test_standard_input_without_end_is_stopped_at_a_limit_and_is_one_reject(
    run: Runner, tmp_path: Path, log: Path
) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    gone = threading.Event()

    def feed() -> None:
        with pipe.open("wb", buffering=0) as file:
            try:
                file.write(rows() + OPENED)
                for _ in range(10):  # then it waits, as a terminal does
                    file.write(b"y" * 2**20)
                while not gone.wait(0.01):
                    file.write(b"y" * 2**20)
            except BrokenPipeError:
                pass

    feeding = threading.Thread(target=feed)
    feeding.start()
    out = tmp_path / "out"
    done = run("label", "-", "--judgments", log, "--out", out, "--limit", GOOD, stdin=pipe)
    gone.set()
    feeding.join(20)
    assert done.code in {0, 4}, done
    assert counted(done, out) == (GOOD, GOOD, 0, 0)
    assert done.peak < MOST


@pytest.mark.survival
@pytest.mark.parametrize("what", ["grows", "is cut", "is replaced"])
def test_a_file_that_changes_while_it_is_read_is_read_again_by_the_next_run(
    run: Runner, tmp_path: Path, log: Path, what: str
) -> None:
    raw, out = tmp_path / "raw.jsonl", tmp_path / "out"
    filler = b'{"prompt": 1}\n' * 30_000
    raw.write_bytes(rows(0, 20) + filler + rows(20))

    def change() -> None:
        while not (out / ".rejects.jsonl.partial").exists() and time.monotonic() < until:
            time.sleep(0.001)
        time.sleep(0.05)
        if what == "grows":
            with raw.open("ab") as file:
                file.write(rows(0, 1) * 3)
        elif what == "is cut":
            os.truncate(raw, len(rows(0, 20)) + 14 * 20_000 + 5)
        else:
            other = tmp_path / "other"
            other.write_bytes(rows(0, 30))
            other.replace(raw)

    until = time.monotonic() + 60
    changing = threading.Thread(target=change)
    changing.start()
    done = run("label", raw, "--judgments", log, "--out", out)
    changing.join()
    assert done.code in {0, 4}, done
    counted(done, out)
    done = run("label", raw, "--judgments", log, "--out", out)
    lines = [line for line in raw.read_bytes().splitlines() if line.strip()]
    again = counted(done, out)
    assert again[0] == len(lines), "the file as it is now"
    assert again[3] == sum(b'"id": "p' not in line for line in lines)
