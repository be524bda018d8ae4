"""How fast labels come back from files of annotation tools, against DuckDB reading the same file into a table.

    python -m tests.benchmarks.people                   100,000 labelled tasks of about 1.5 kB
    python -m tests.benchmarks.people --tasks 10000     fewer

It makes its own data, the same each time, in a temporary folder, runs every phase in a process of its own, so that its
peak memory is its own, and prints a Markdown table.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import numpy as np
import orjson

from tests.benchmarks.large import run, timed

FILES = {"CSV": "t.csv", "JSON Lines": "t.jsonl", "JSON array": "t.json"}


# ------------------------------------------------------------------------------------------------------------ the data


def lines(count: int) -> Iterator[bytes]:
    """Labelled lines of queue.jsonl."""
    rng = np.random.default_rng(1)
    letters = rng.integers(97, 123, (50_000, 9), dtype=np.uint8)
    text = " ".join(bytes(word[: 2 + i % 8]).decode() for i, word in enumerate(letters))
    text = "\n\n".join(text[i : i + 300] for i in range(0, len(text), 300)).replace(" e", ' "e", ')
    for i in range(count):
        prompt, left, right = rng.integers(0, len(text) - 1_000, 3).tolist()
        task = {
            "pair_id": f"{i:032x}", "prompt": [{"role": "user", "content": f"{i} {text[prompt : prompt + 150]}"}],
            "left": text[left : left + 580], "right": text[right : right + 580],
            "label": ("left", "right", "tie", "both_bad", "skip")[i % 5], "annotator": f"anna{i % 7}", "note": None,
        }  # fmt: skip
        yield orjson.dumps(task) + b"\n"


def filled(rows: Iterable[bytes]) -> Iterator[bytes]:
    """A CSV as it goes out, with the labels in their cells."""
    from curator.annotation.sheet import TOOL

    labels: list[bytes] = []

    def watched() -> Iterator[bytes]:
        for row in rows:
            labels.append(
                b'"%b","%b",""\r\n' % tuple(orjson.loads(row)[key].encode() for key in ("label", "annotator"))
            )
            yield row

    for piece in TOOL.encode(watched()):
        yield piece.removesuffix(b'"","",""\r\n') + labels[-1] if piece.endswith(b'"","",""\r\n') else piece


def make(folder: Path, count: int) -> None:
    with (folder / "t.jsonl").open("wb") as plain, (folder / "t.json").open("wb") as array:
        for i, line in enumerate(lines(count)):
            plain.write(line)
            array.write((b"," if i else b"[") + line)
        array.write(b"]")
    with (folder / "t.csv").open("wb") as table:
        for piece in filled(lines(count)):
            table.write(piece)


# -------------------------------------------------------------- the phases, each in a process of its own, in seconds


def curator_reads(path: Path, count: int) -> float:
    from curator.annotation.base import Answer
    from curator.annotation.registry import read_answers

    start = time.perf_counter()
    found = sum(isinstance(answer, Answer) and answer.label is not None for answer in read_answers(str(path)))
    seconds = time.perf_counter() - start
    if found != count:
        raise SystemExit(f"{path}: {found:,} labels of {count:,} came back")
    return seconds


def duckdb_reads(path: Path, count: int) -> float:
    import duckdb

    store = path.with_suffix(".duckdb")
    store.unlink(missing_ok=True)
    reader = {
        ".csv": f"read_csv('{path}', header = true, all_varchar = true)",
        ".jsonl": f"read_json('{path}', format = 'newline_delimited')",
        ".json": f"read_json('{path}', format = 'array')",
    }[path.suffix]
    with duckdb.connect(str(store)) as db:
        seconds = timed(lambda: db.execute(f"CREATE TABLE t AS SELECT * FROM {reader}"))
        found = db.execute("SELECT count(label) FROM t").fetchall()[0][0]
    if found != count:
        raise SystemExit(f"{path}: DuckDB reads {found:,} labels of {count:,}")
    return seconds


PHASES: dict[str, Callable[[Path, int], float]] = {"curator": curator_reads, "duckdb": duckdb_reads}


def phase(name: str, path: Path, count: int) -> tuple[float, float]:
    """Seconds of the reading alone, and peak MiB of its process."""
    command = ["-m", "tests.benchmarks.people", "--phase", name, "--file", str(path), "--tasks", str(count)]
    _, peak, out = run(command)
    return json.loads(out), peak


# ---------------------------------------------------------------------------------------------------------- the tables


def reading(folder: Path, count: int) -> str:
    make(folder, count)
    rows = [
        "| labels from | MB | curator, s | DuckDB into a table, s | ratio | peak MiB | DuckDB's |",
        "|---|---|---|---|---|---|---|",
    ]
    for kind, name in FILES.items():
        path = folder / name
        (ours, peak), (theirs, other) = (phase(one, path, count) for one in PHASES)
        size = path.stat().st_size / 1e6
        rows.append(
            f"| {kind} | {size:.0f} | {ours:.2f} | {theirs:.2f} | {ours / theirs:.2f} | {peak:.0f} | {other:.0f} |"
        )
    return f"{count:,} labelled tasks\n\n" + "\n".join(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", type=int, default=100_000)
    parser.add_argument("--phase", choices=sorted(PHASES), help=argparse.SUPPRESS)
    parser.add_argument("--file", type=Path, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.phase:
        print(json.dumps(PHASES[chosen.phase](chosen.file, chosen.tasks)))
        return
    with tempfile.TemporaryDirectory() as folder:
        print(reading(Path(folder), chosen.tasks))


if __name__ == "__main__":
    main()
