"""How fast tasks go to annotation tools and labels come back, against DuckDB writing and reading the same.

    python -m tests.benchmarks.people                   reading 100,000 labelled tasks of about 1.5 kB, three containers
    python -m tests.benchmarks.people --commands        `curator queue` and `curator import` whole, for every tool
    python -m tests.benchmarks.people --tasks 10000     fewer

It makes its own data, the same each time, in a temporary folder, runs every phase in a process of its own, so that its
peak memory is its own, and prints a Markdown table.
"""

from __future__ import annotations

import argparse
import json
import re
import shutil
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

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


def _reader(path: Path) -> str:
    return {
        ".csv": f"read_csv('{path}', header = true, all_varchar = true)",
        ".jsonl": f"read_json('{path}', format = 'newline_delimited')",
        ".json": f"read_json('{path}', format = 'array')",
    }[path.suffix]


def duckdb_reads(path: Path, count: int) -> float:
    import duckdb

    store = path.with_suffix(".duckdb")
    store.unlink(missing_ok=True)
    with duckdb.connect(str(store)) as db:
        seconds = timed(lambda: db.execute(f"CREATE TABLE t AS SELECT * FROM {_reader(path)}"))
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


# ---------------------------------------------------------------------- whole commands, from a store and back into it


def tasks_of(path: Path) -> Iterator[Any]:
    data = path.read_bytes()
    yield from orjson.loads(data) if path.suffix == ".json" else map(orjson.loads, data.splitlines())


def said(tool: str, task: dict[str, Any]) -> dict[str, Any]:
    """A task as the tool exports it once somebody has said that left is better."""
    if tool == "jsonl":
        return {**task, "label": "left", "annotator": "anna"}
    if tool == "prodigy":
        return {**task, "accept": ["left"], "answer": "accept", "_timestamp": 1_700_000_000, "_annotator_id": "anna"}
    if tool == "label-studio":
        choice = {"from_name": "verdict", "to_name": "prompt", "type": "choices", "value": {"choices": ["left"]}}
        done = {"id": 1, "completed_by": 1, "was_cancelled": False, "result": [choice], "lead_time": 9.5}
        return {"id": 1, **task, "annotations": [{**done, "created_at": "2026-01-01T00:00:00.000000Z"}], "drafts": []}
    answered = {"responses": ["left"], "responses.users": ["anna"], "responses.status": ["submitted"]}
    named = {f"preference.{name}": value for name, value in answered.items()}
    return {"id": task["id"], "status": "completed", **task["fields"], **task["metadata"], **named}


def export(tool: str, folder: Path) -> Path:
    """What the tool gives back for all the tasks of a folder, as one file."""
    shards = sorted(folder.glob("queue-*"))
    if tool == "csv":
        path = folder / "export.csv"
        with path.open("wb") as file:
            for i, shard in enumerate(shards):
                head, _, rows = shard.read_bytes().partition(b"\r\n")
                labelled = rows.replace(b'"","",""\r\n', b'"left","anna",""\r\n')
                file.write((b"" if i else head + b"\r\n") + labelled)
        return path
    array = tool in {"label-studio", "argilla"}
    path = folder / ("export.json" if array else "export.jsonl")
    with path.open("wb") as file:
        for i, task in enumerate(task for shard in shards for task in tasks_of(shard)):
            file.write((b"" if not array else b"," if i else b"[") + orjson.dumps(said(tool, task)) + b"\n")
        file.write(b"]" if array else b"")
    return path


def duckdb_writes(store: Path, out: Path) -> float:
    """The store's pairs, as one file of JSON Lines."""
    import duckdb

    with duckdb.connect(str(store), read_only=True) as db:
        columns = "pair_id, prompt, response_a, response_b"
        return timed(lambda: db.execute(f"COPY (SELECT {columns} FROM pair) TO '{out}' (FORMAT json)"))


def aside(work: Callable[..., Any], *arguments: Any) -> Any:
    """Work in a process of its own: the peak of each later one would begin with what this one has taken."""
    with ProcessPoolExecutor(1, get_context("spawn")) as pool:
        return pool.submit(work, *arguments).result()


def make_unlabelled(folder: Path, count: int) -> None:
    from tests.benchmarks.large import make as make_pairs

    make_pairs(folder, count)
    raw = folder / "raw.jsonl"
    raw.write_bytes(re.sub(rb'"label":("a"|"b")', b'"label":null', raw.read_bytes()))


def commands(folder: Path, count: int) -> str:
    from curator.annotation.registry import TOOLS

    aside(make_unlabelled, folder, count)
    raw, out = folder / "raw.jsonl", folder / "out"
    run(["-m", "curator", "label", str(raw), "--judgments", str(folder / "log.jsonl"), "--out", str(out), "--json"])
    store = out / "curator.duckdb"
    copied = aside(duckdb_writes, store, folder / "copy.json")
    rows = [
        f"{count:,} pairs; DuckDB writes them as JSON in {copied:.2f} s",
        "",
        "| tool | written, MB | `curator queue`, s | x DuckDB | peak MiB | read, MB | `curator import`, s | x DuckDB | "
        "peak MiB |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for tool in TOOLS:
        people = folder / tool
        command = ["-m", "curator", "queue", "--db", str(store), "--to", tool, "--out", str(people), "--json"]
        wrote, peak, printed = run(command)
        if json.loads(printed)["tasks"] != count:
            raise SystemExit(f"{tool}: {json.loads(printed)['tasks']:,} tasks of {count:,} were written")
        size = sum(path.stat().st_size for path in people.glob("queue-*")) / 1e6
        line = f"| {tool} | {size:.0f} | {wrote:.1f} | {wrote / copied:.1f} | {peak:.0f} | "
        if tool == "html":  # labelled in a browser
            rows.append(line + "- | - | - | - |")
            continue
        path, fresh = aside(export, tool, people), people / "curator.duckdb"
        shutil.copy(store, fresh)
        read, peak, printed = run(["-m", "curator", "import", str(path), "--db", str(fresh), "--json"])
        done = json.loads(printed)
        if (done["added"], done["refused"]) != (count, []):
            raise SystemExit(f"{tool}: {done['added']:,} labels of {count:,} came back; {done['refused'][:3]}")
        theirs = aside(duckdb_takes, path)
        rows.append(f"{line}{path.stat().st_size / 1e6:.0f} | {read:.1f} | {read / theirs:.1f} | {peak:.0f} |")
        shutil.rmtree(people)
    return "\n".join(rows)


def duckdb_takes(path: Path) -> float:
    """DuckDB reading a file into a table."""
    import duckdb

    with duckdb.connect(str(path.with_suffix(".taken"))) as db:
        return timed(lambda: db.execute(f"CREATE TABLE t AS SELECT * FROM {_reader(path)}"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tasks", type=int, default=100_000)
    parser.add_argument("--commands", action="store_true", help="whole commands, for every tool")
    parser.add_argument("--phase", choices=sorted(PHASES), help=argparse.SUPPRESS)
    parser.add_argument("--file", type=Path, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.phase:
        print(json.dumps(PHASES[chosen.phase](chosen.file, chosen.tasks)))
        return
    with tempfile.TemporaryDirectory() as folder:
        print((commands if chosen.commands else reading)(Path(folder), chosen.tasks))


if __name__ == "__main__":
    main()
