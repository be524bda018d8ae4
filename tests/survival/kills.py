"""Kills every command, and compares what comes of it with a run that nobody killed.

    python -m tests.survival kills                    random kills of every stage, then each point of each, all of them
    python -m tests.survival kills --random 20        random kills a stage
    python -m tests.survival kills --every 5          each fifth point
    python -m tests.survival kills --stages label again

After each kill every file under its own name must be the old one or the new one. Then the same command runs to its end:
store, data sets, queue, rejects, report and run.json must be those of the uninterrupted run, and nothing may be left
lying about.
"""

from __future__ import annotations

import argparse
import gzip
import http.client
import json
import os
import random
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from tests.benchmarks.people import export
from tests.conftest import judgments, pairs, write_rows
from tests.fake_hub_uploads import TOKEN, FakeHub
from tests.fake_sglang import FakeSGLang
from tests.review_servers import says, serving
from tests.survival.killing import (
    MOST_UNSEEN,
    MOST_WAITING,
    Ended,
    curator,
    files,
    forget,
    problems,
    store_rows,
    strays,
)

COUNT = 60
BATCH, IN_FLIGHT = 4, 2
MOST_TWICE = BATCH * (IN_FLIGHT + MOST_UNSEEN + 2 * MOST_WAITING)
"""Judgments that a kill loses at the most: asked for, answered and not taken, being written, and waiting to be."""
DB = "raw.curated/curator.duckdb"
RECORDED = ("--judgments", "log.jsonl", "--judge", "j", "--alpha", "0.3")
EXPORTS = ("--export", "trl-reward", "--export", "axolotl", "--audit", "0.3")
FITTED = ("--combine", "fitted", "--fit-fraction", "0.3")
LABEL = ("label", "raw.jsonl", *RECORDED, *EXPORTS)
SERVED = ("--batch", str(BATCH), "--in-flight", str(IN_FLIGHT), "--alpha", "0.3", "--retry-seconds", "5")


def rows(count: int = COUNT, labelled: int = COUNT // 2) -> list[dict[str, Any]]:
    """Pairs of which the fake server makes something, a row twice, and one in which a field is missing."""
    made = pairs(count, labelled)
    for i, row in enumerate(made):
        row["response_a"] += f" quality {(i * 7) % 5}"
        row["response_b"] += f" quality {(i * 3) % 4}"
    return [*made, made[0], {"id": "bad", "prompt": "no responses"}]


def start(folder: Path, count: int = COUNT) -> None:
    """What people begin with."""
    write_rows(folder / "raw.jsonl", rows(count, count // 2))
    log = judgments(count, wrong=range(0, count, 9)) + judgments(count, 0.8, range(0, count, 5), judge="k")
    write_rows(folder / "log.jsonl", log)


def done(folder: Path, *arguments: str) -> Ended:
    ended = curator(folder, arguments)
    if ended.code not in {0, 4}:
        raise RuntimeError(f"{arguments}: {ended.code}: {ended.err}")
    return ended


def labelled(folder: Path) -> None:
    start(folder)
    done(folder, *LABEL)


def sources(folder: Path) -> None:
    """A folder of every kind of file, a part of the rows in each."""
    start(folder)
    kinds = folder / "kinds"
    kinds.mkdir()
    every = rows()
    write_rows(kinds / "a.jsonl", every[:10])
    (kinds / "b.json").write_text(json.dumps(every[10:20]))
    with gzip.open(kinds / "c.jsonl.gz", "wt") as packed:
        packed.writelines(json.dumps(row) + "\n" for row in every[20:30])
    pq.write_table(pa.Table.from_pylist(every[30:50]), kinds / "d.parquet")
    names = ["id", "prompt", "response_a", "response_b"]
    table = [names, *([row.get(name, "") for name in names] for row in every[50:])]
    (kinds / "e.csv").write_text("".join(",".join(f'"{cell}"' for cell in line) + "\n" for line in table))


def big(folder: Path) -> None:
    """More rows than are stored at a time."""
    start(folder, 45_000)


def answered(folder: Path, tools: tuple[str, ...] = ("jsonl",)) -> None:
    labelled(folder)
    for tool in tools:
        done(folder, "queue", "--db", DB, "--to", tool, "--out", f"tasks-{tool}", "--shard-size", "7")
        (folder / f"answers-{tool}").mkdir()
        path = export(tool, folder / f"tasks-{tool}")
        path.rename(folder / f"answers-{tool}" / path.name)


ALL_TOOLS = ("jsonl", "csv", "argilla", "label-studio", "prodigy")


def all_answered(folder: Path) -> None:
    answered(folder, ALL_TOOLS)
    (folder / "answers-jsonl" / "export.jsonl.gz").write_bytes(
        gzip.compress((folder / "answers-jsonl" / "export.jsonl").read_bytes().replace(b"anna", b"ben"))
    )


def imported(folder: Path) -> None:
    answered(folder)
    done(folder, "import", "answers-jsonl/export.jsonl", "--db", DB)


def exported(folder: Path) -> None:
    imported(folder)
    done(folder, "export", "--db", DB, "--out", "out", "--to", "trl")
    done(folder, "queue", "--db", DB, "--out", "people", "--shard-size", "2")
    (folder / "groups.yaml").write_text("some: [raw.jsonl]\nothers: [anna]\n")
    write_rows(folder / "test.jsonl", [{"question": f"prompt {i}"} for i in range(5)])


def waiting(folder: Path) -> None:
    """Tasks for people are written, and nobody has answered any."""
    labelled(folder)
    done(folder, "queue", "--db", DB, "--out", "people", "--shard-size", "2")


def told(folder: Path) -> None:
    """Groups have their data sets already, of which more labels will make others."""
    exported(folder)
    done(folder, "agreement", "--db", DB, "--annotator-groups", "groups.yaml", "--datasets", "by-group")
    done(folder, *LABEL, "--alpha", "0.2")


@dataclass(frozen=True, slots=True)
class Stage:
    """A command that is killed: what its folder holds before, and its arguments, which may name the server."""

    prepare: Callable[[Path], None]
    arguments: tuple[str, ...]
    served: bool = False


def _served(*more: str) -> tuple[str, ...]:
    return ("label", "raw.jsonl", "--judge-url", "URL", *SERVED, *more)


STAGES = {
    "label": Stage(start, LABEL),
    "sources": Stage(sources, ("label", "kinds", "--out", "raw.curated", *RECORDED)),
    "big": Stage(big, ("label", "raw.jsonl", *RECORDED)),
    "served": Stage(start, _served("--no-probe"), served=True),
    "rationale": Stage(start, _served("--no-probe", "--rationale"), served=True),
    "panel": Stage(start, ("label", "raw.jsonl", *RECORDED, "--judge", "k", *FITTED)),
    "again": Stage(imported, LABEL),
    "calibrate": Stage(imported, ("calibrate", "--db", DB, "--alpha", "0.2")),
    "import": Stage(
        all_answered,
        ("import", *(f"answers-{tool}/export.{end}" for tool, end in zip(
            ALL_TOOLS, ("jsonl", "csv", "json", "json", "jsonl"), strict=True)),
         "answers-jsonl/export.jsonl.gz", "--db", DB),
    ),
    "queue": Stage(waiting, ("queue", "--db", DB, "--out", "people", "--shard-size", "5", "--to", "html")),
    "queue-again": Stage(waiting, ("queue", "--db", DB, "--out", "people", "--shard-size", "3")),
    "export": Stage(exported, ("export", "--db", DB, "--out", "out", "--to", "openrlhf", "--split", "0.2")),
    "ranking": Stage(exported, ("export", "--db", DB, "--out", "out", "--to", "ranking")),
    "agreement": Stage(told, ("agreement", "--db", DB, "--annotator-groups", "groups.yaml", "--datasets", "by-group")),
    "hygiene": Stage(exported, ("hygiene", "--db", DB, "--against", "test.jsonl")),
    "report": Stage(imported, ("report", "--db", DB)),
    "audit": Stage(imported, ("audit", "--db", DB, "--labels", "--requeue")),
    "push": Stage(labelled, ("push", "me/pairs", "--dataset", "raw.curated/dataset", "--send")),
}  # fmt: skip


@dataclass(slots=True)
class Tally:
    """What a run of this came to."""

    kills: int = 0
    runs: int = 0
    asked_twice: list[int] = field(default_factory=list)
    wrong: list[str] = field(default_factory=list)


class Trials:
    """One stage: the folder before, the folder after a run that nobody killed, and as many killed runs as wanted."""

    def __init__(self, name: str, root: Path, server: FakeSGLang, hub: FakeHub | None = None) -> None:
        self.name, self.root, self.tally = name, root, Tally()
        self._server, self._hub = server, hub
        stage = STAGES[name]
        self.arguments = [server.url if one == "URL" else one for one in stage.arguments]
        self._before, self._after = root / "before", root / "after"
        self._before.mkdir(parents=True)
        stage.prepare(self._before)
        shutil.copytree(self._before, self._after)
        asked = server.prompts
        ended = self._done(self._after)
        self.needed = server.prompts - asked
        self.points, self.seconds = ended.points, ended.seconds
        self._end = store_rows(self._after / DB), files(self._after)
        # Where a run that had done all is killed and run again, that is a second run, or one that finds all unchanged.
        twice = Path(shutil.copytree(self._after, root / "twice"))
        self._done(twice)
        tables, texts = self._end
        again = files(twice)
        results = {name: text for name, text in again.items() if name.endswith("run.json")}
        self._twice = (store_rows(twice / DB), again), (tables, texts | results)
        self._last = max((place for place, what in enumerate(ended.points) if "COMMIT" in what), default=-1)
        self._sent = None if hub is None else {name: dict(repo["branches"]["main"]) for name, repo in hub.repos.items()}

    def _done(self, folder: Path) -> Ended:
        ended = curator(folder, self.arguments)
        if ended.code not in {0, 4}:
            raise RuntimeError(f"{self.name}: {ended.code}: {ended.err}")
        return ended

    def at(self, point: int) -> None:
        """A trial with one kill, at a point."""
        where = f"{point}, {self.points[point]}"
        self._trial(lambda folder: [curator(folder, self.arguments, at=point)], where, late=point > self._last)

    def random(self, dice: random.Random, times: int = 1) -> None:
        """A trial with kills at random moments, one after the other."""

        def kill(folder: Path) -> Iterator[Ended]:
            for _ in range(times):
                yield curator(folder, self.arguments, after=dice.uniform(0.02, 1.05) * self.seconds)

        self._trial(kill, "a random moment")

    def _trial(self, kill: Callable[[Path], Any], where: str, *, late: bool = True) -> None:
        folder = self.root / "now"
        shutil.copytree(self._before, folder)
        if self._hub is not None:
            self._hub.repos.clear()
        asked, killed = self._server.prompts, 0
        for ended in kill(folder):
            killed += ended.code == -9
            if ended.code not in {-9, 0, 4}:
                self._wrong(where, f"ended with {ended.code}: {ended.err[-400:]}")
            for problem in problems(self._before, folder, self._after):
                self._wrong(where, problem)
        self._done(folder)
        self.tally.kills += killed
        self.tally.runs += 1
        if self.needed:
            twice = -(-(self._server.prompts - asked - self.needed) // max(1, killed))
            self.tally.asked_twice.append(twice)
            if twice > MOST_TWICE:
                self._wrong(where, f"{twice} judgments were asked for twice, of {MOST_TWICE} at the most")
        found = list(self._different(folder, *self._end))
        if found and not (late and any(not list(self._different(folder, *end)) for end in self._twice)):
            for problem in found:
                self._wrong(where, problem)
        forget(folder)

    def _wrong(self, where: str, what: str) -> None:
        self.tally.wrong.append(f"{self.name}: killed at {where}: {what}")

    def _different(self, folder: Path, tables: dict[str, list[str]], texts: dict[str, str]) -> Iterator[str]:
        """How what a folder has come to differs from a store and files."""
        if left := strays(folder):
            yield f"{left} are left"
        store = store_rows(folder / DB)
        for table, kept in tables.items():
            if store[table] != kept:
                extra, lacks = (sorted(set(a) - set(b))[:1] for a, b in ((store[table], kept), (kept, store[table])))
                yield f"table {table} has {len(store[table])} rows for {len(kept)}; extra {extra}, lacks {lacks}"
        now = files(folder)
        for name in sorted(texts.keys() | now.keys()):
            if now.get(name) != texts.get(name):
                yield f"{name} differs: {_first_difference(texts.get(name), now.get(name))}"
        if self._hub is not None:
            sent = {name: repo["branches"]["main"] for name, repo in self._hub.repos.items()}
            if sent != self._sent:
                yield f"the hub holds {sorted(sent)}"


def _first_difference(one: str | None, other: str | None) -> str:
    if one is None or other is None:
        return "it is there only " + ("once killed" if one is None else "if not killed")
    at = next((i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))
    return f"{one[max(0, at - 40) : at + 60]!r} became {other[max(0, at - 40) : at + 60]!r}"


@contextmanager
def trials(name: str) -> Iterator[Trials]:
    """The trials of a stage, in a temporary folder, with the servers that it needs."""
    with ExitStack() as stack:
        root = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix=f"kills-{name}-")))
        curator(root, ["--version"])  # the first run waits for what is loaded beforehand, which is not its own time
        server = stack.enter_context(FakeSGLang(delay=0.1))
        hub = stack.enter_context(FakeHub()) if name == "push" else None
        if hub is not None:
            os.environ |= {"HF_TOKEN": TOKEN, "HF_ENDPOINT": hub.url, "HF_HUB_DISABLE_XET": "1"}
        yield Trials(name, root, server, hub)


def review(kills: int, dice: random.Random) -> Tally:
    """Kill `curator review` while answers come in, as often as told: each that was acknowledged is kept, once."""
    tally, acknowledged, sent = Tally(), list[str](), 0
    with tempfile.TemporaryDirectory(prefix="kills-review-") as folder:
        start(Path(folder), 200)
        done(Path(folder), "label", "raw.jsonl", *RECORDED, "--alpha", "0.001")  # all but the labelled ones wait
        for _ in range(kills):
            with serving(Path(folder) / DB, "--port", "0") as server:
                _, state = server.sync("anna")
                killer = threading.Timer(dice.uniform(0, 1.5), server.process.kill)
                killer.start()
                try:
                    while state["task"] is not None:
                        sent += 1
                        answer = says(state, "left")
                        status, state = server.sync("anna", answer)
                        if status == 200:
                            acknowledged.append(answer["pair_id"])
                except (OSError, http.client.HTTPException, ValueError):
                    pass  # it is dead
                killer.join()
            tally.kills += 1
            with duckdb.connect(str(Path(folder) / DB), read_only=True) as db:
                kept = [
                    row[0] for row in db.execute("SELECT pair_id FROM human_label WHERE annotator = 'anna'").fetchall()
                ]
            if lost := set(acknowledged) - set(kept):
                tally.wrong.append(f"review: {len(lost)} answers are lost")
            if len(kept) != len(set(kept)) or len(kept) > sent:
                tally.wrong.append(f"review: {len(kept)} labels of {sent} answers")
        tally.runs = len(acknowledged)
    return tally


def main() -> None:
    """Run the trials and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--random", type=int, default=12, help="trials with random kills a stage; each third has three")
    parser.add_argument("--every", type=int, default=1, help="kill at each so-manyth point of a stage; 0: at none")
    every = [*STAGES, "review"]
    parser.add_argument("--stages", nargs="*", default=every, choices=every, metavar="STAGE")
    parser.add_argument("--seed", type=int, default=7)
    asked = parser.parse_args()
    dice = random.Random(asked.seed)
    begun, total = time.monotonic(), Tally()
    print("| stage | points | kills | runs | asked twice a kill, at most | wrong |\n|---|---|---|---|---|---|")
    for name in asked.stages:
        if name == "review":
            found = review(asked.random, dice)
            print(f"| review | - | {found.kills} | {found.runs} answers | - | {len(found.wrong)} |", flush=True)
            total.kills, total.wrong = total.kills + found.kills, total.wrong + found.wrong
            continue
        with trials(name) as stage:
            for number in range(asked.random):
                stage.random(dice, 3 if number % 3 == 2 else 1)
            for point in range(0, len(stage.points), asked.every) if asked.every else ():
                stage.at(point)
            tally = stage.tally
            twice = max(tally.asked_twice, default="-")
            print(
                f"| {name} | {len(stage.points)} | {tally.kills} | {tally.runs} | {twice} | {len(tally.wrong)} |",
                flush=True,
            )
            total.kills, total.runs = total.kills + tally.kills, total.runs + tally.runs
            total.wrong += tally.wrong
            for one in tally.wrong:
                print(f"  {one}", flush=True)
    print(f"\n{total.kills} kills in {total.runs} runs, {time.monotonic() - begun:.0f} s; "
          f"asked twice a kill: {MOST_TWICE} may be; wrong: {len(total.wrong)}")  # fmt: skip
    raise SystemExit(1 if total.wrong else 0)
