"""Runs curator in a process of its own, kills it where it is told to, and looks at what is left.

A process that has loaded curator already is forked for each run (a second would be spent on imports else), leads a
process group, and is killed with it. It is killed after so many seconds, or at the n-th of its points: each opening of
a file for writing, each rename, each removal, each folder made or removed, each statement that writes to the store. So
all n together are every state between two steps that another process, or the next run, can see.
"""

from __future__ import annotations

import contextlib
import io
import json
import multiprocessing
import os
import re
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import pyarrow.parquet as pq

ROOT = Path(__file__).parents[2]

MOST_WAITING, MOST_UNSEEN = 2, 1
"""What curator's own are set to in these runs."""

_FORKS = multiprocessing.get_context("forkserver")
_FORKS.set_forkserver_preload(["tests.survival.loaded"])

_POINTS = {"os.rename", "os.remove", "os.rmdir", "os.mkdir", "curator.exchange", "sql"}
_WRITES = ("INSERT", "DELETE", "UPDATE", "COMMIT", "CHECKPOINT", "CREATE TABLE")


_PICTURE = b'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 1 1"></svg>'


@dataclass(frozen=True, slots=True)
class Ended:
    """How a run ended: exit code, -9 where it was killed; what it printed; the points that it passed, in words."""

    code: int
    out: str
    err: str
    points: list[str]
    seconds: float


class Running:
    """A run of `curator` in a folder, in a process group of its own.

    Args:
        at: the point at which it sends itself `sign`; 0 is the first.
        terminal: its standard output and error, which sends it SIGHUP when it goes away; None: files.
        ignores: signals that it ignores from the start, as under `nohup`.
    """

    def __init__(
        self,
        folder: Path,
        arguments: Sequence[str],
        *,
        at: int | None = None,
        sign: signal.Signals = signal.SIGKILL,
        terminal: str | None = None,
        ignores: Sequence[signal.Signals] = (),
    ) -> None:
        self._logs = folder.with_name(f"{folder.name}.said")
        self._logs.mkdir(exist_ok=True)
        for name in ("out", "err", "points"):
            (self._logs / name).write_bytes(b"")
        self._start = time.monotonic()
        given = (str(folder), list(arguments), str(self._logs), at, sign, terminal, tuple(ignores), _told())
        self.process = _FORKS.Process(target=_run, args=given)
        self.process.start()
        self._number = self.process.pid or 0

    @property
    def err(self) -> str:
        return (self._logs / "err").read_text(errors="replace")

    def wait_for(self, text: str, limit: float = 60) -> None:
        """Wait until it has said so on standard error."""
        end = time.monotonic() + limit
        while text not in self.err:
            if not self.process.is_alive() or time.monotonic() > end:
                raise RuntimeError(f"it did not say {text!r}: {self.err}")
            time.sleep(0.01)

    def send(self, sign: signal.Signals) -> None:
        os.kill(self._number, sign)

    def ended(self, limit: float = 120, *, kill: bool = False) -> Ended:
        """How it ends; kill: in so many seconds at the latest."""
        self.process.join(limit)
        if late := self.process.is_alive():
            _kill_group(self._number)
            self.process.join()
            if not kill:
                raise TimeoutError(f"not done in {limit} s: {self.err}")
        code = self.process.exitcode or 0
        if code == -signal.SIGKILL and not late:
            _kill_group(self._number)  # what it had started
        self.process.close()
        out, err, points = ((self._logs / name).read_text(errors="replace") for name in ("out", "err", "points"))
        return Ended(code, out, err, points.splitlines(), time.monotonic() - self._start)


def curator(
    folder: Path, arguments: Sequence[str], *, at: int | None = None, after: float | None = None, limit: float = 120
) -> Ended:
    """Run `curator` in a folder; kill it at a point (0 is the first), or after so many seconds."""
    run = Running(folder, arguments, at=at)
    return run.ended(limit) if after is None else run.ended(after, kill=True)


def _kill_group(number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(number, signal.SIGKILL)
    with contextlib.suppress(ProcessLookupError):  # it had not come to lead one
        os.kill(number, signal.SIGKILL)


def _told() -> dict[str, str]:
    """What has been set since the process that is forked began."""
    return {name: value for name, value in os.environ.items() if name.startswith("HF_")}


def _run(
    folder: str,
    arguments: list[str],
    logs: str,
    at: int | None,
    sign: signal.Signals,
    terminal: str | None,
    ignores: Sequence[signal.Signals],
    environment: dict[str, str],
) -> None:
    os.setsid()
    os.environ |= environment
    for one in (signal.SIGHUP, signal.SIGTERM):  # the tests themselves may run under `nohup`
        signal.signal(one, signal.SIG_IGN if one in ignores else signal.SIG_DFL)
    for number, name in ((1, "out"), (2, "err")):
        # The first terminal that the leader of a session opens, to read and write, is its own.
        os.dup2(os.open(terminal or f"{logs}/{name}", os.O_RDWR), number)
    sys.stdout, sys.stderr = (io.TextIOWrapper(io.FileIO(number, "w"), write_through=True) for number in (1, 2))
    points = os.open(f"{logs}/points", os.O_WRONLY)
    os.chdir(folder)
    from matplotlib.backends.backend_svg import FigureCanvasSVG

    from curator.cli.main import main
    from curator.judges import serving
    from curator.steps import recorder, unchanged
    from curator.store import Store

    # Drawing would be half of a run, and what is in a picture is of no matter here.
    FigureCanvasSVG.print_svg = lambda self, out, **_: out.write(_PICTURE)  # type: ignore[method-assign]
    # Inputs made a moment ago are trusted, so that what is kept about them is put to the test, too.
    unchanged.SETTLED_SECONDS = 0.0
    # Runs are short: what may be lost is to be little of them.
    recorder.MOST_WAITING, serving.MOST_UNSEEN = MOST_WAITING, MOST_UNSEEN
    passed = 0

    def pass_point(event: str, args: tuple[Any, ...]) -> None:
        nonlocal passed
        if event == "open":
            _, mode, flags = args
            if not writes(mode, flags):
                return
        elif event not in _POINTS:
            return
        if str(args[0]).startswith("/"):  # everything of a run lies in its folder
            return
        if at == passed:
            passed += 1
            os.kill(0, sign)  # to the group
            return
        passed += 1
        os.write(points, (" ".join(str(arg).split("\n")[0][:100] for arg in (event, *args[:2])) + "\n").encode())

    def writes(mode: Any, flags: Any) -> bool:
        return bool(set(mode) & set("wax+")) if isinstance(mode, str) else bool(flags & (os.O_WRONLY | os.O_RDWR))

    rows, append = Store.rows, Store.append

    def told(store: Store, sql: str, values: Any = None) -> Any:
        if sql.lstrip().startswith(_WRITES):
            sys.audit("sql", " ".join(sql.split()), "")
        return rows(store, sql, values)

    def told_append(store: Store, table: str, more: Any) -> None:
        sys.audit("sql", f"append to {table}", "")
        append(store, table, more)

    Store.rows, Store.append = told, told_append  # type: ignore[method-assign]
    sys.addaudithook(pass_point)
    main(arguments)


def forget(folder: Path) -> None:
    """Remove what runs in a folder have said."""
    import shutil

    for path in (folder, folder.with_name(f"{folder.name}.said")):
        shutil.rmtree(path, ignore_errors=True)


# What no two runs have in common: times, counters of runs, and stamps of files.
_TIMES = {"recorded_at", "said_at", "seconds", "run_id", "calibration_id", "number", "after_number"}
_RUN = {"seconds", "judging_seconds", "pairs_per_second", "tokens_per_second", "new_pairs", "judgments", "rationales"}


def run_json(data: bytes | str) -> dict[str, Any]:
    """The object of run.json without what depends on time, and on what an earlier run had left to do."""
    result = json.loads(data)
    kept = {name: value for name, value in result.items() if name not in _RUN}
    if (asked := result.get("judgments")) is not None:
        kept["judgments"] = asked["cached"] + asked["asked"]
    if (written := result.get("rationales")) is not None:
        kept["rationales"] = written["cached"] + written["written"]
    kept.pop("cached_share", None)
    sorted_once: dict[str, Any] = json.loads(json.dumps(kept, sort_keys=True))
    return sorted_once


_SECONDS = re.compile(r"<dt>(judging|the whole run)</dt><dd>.*?</dd>\n")
"""What the report says of how long it took."""


def store_rows(path: Path) -> dict[str, list[str]]:
    """Every row of every table of a store, sorted, as text, without times and counters."""
    found = {}
    with duckdb.connect(str(path), read_only=True) as db:
        tables = [row[0] for row in db.execute("SELECT table_name FROM duckdb_tables()").fetchall()]
        for table in sorted(tables):
            columns = [row[0] for row in db.execute(f"DESCRIBE {table}").fetchall() if row[0] not in _TIMES]
            columns = columns or ["'a row'"]
            rows = db.execute(f"SELECT {', '.join(columns)} FROM {table}").fetchall()
            kept = [repr(dict(zip(columns, row, strict=True))) for row in rows]
            if table == "run":  # a run that was killed after it was recorded is recorded twice
                kept = sorted({repr(run_json(row[columns.index("result")])) for row in rows})
            elif table == "setting":
                told = ("input", "recorded judgments", "models of", "traits", "hygiene")
                kept = [text for text, row in zip(kept, rows, strict=True) if not row[0].startswith(told)]
            elif table == "imported_file":
                # Every import is recorded, also one that found all but a file or two stored already.
                kept = list({repr((row[0], row[1], row[2] + row[3] + row[4], *row[5:])) for row in rows})
            found[table] = sorted(kept)
    return found


def files(folder: Path) -> dict[str, str]:
    """Everything under its own name in a folder, but for the store: comparable text by path."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
        if path.is_dir() or hidden or ".duckdb" in path.name or path.suffix == ".log":
            continue
        data = path.read_bytes()
        if path.name == "run.json":
            found[name] = repr(run_json(data))
        elif path.suffix == ".parquet":
            found[name] = repr((pq.read_table(path).to_pylist(), len(data)))
        else:
            found[name] = _SECONDS.sub("", data.decode(errors="backslashreplace"))
    return found


def strays(folder: Path) -> list[str]:
    """What was written aside and never took its place, and what a store has beside it."""
    return sorted(
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if path.name.endswith((".partial", ".old", ".wal")) or ".spill-" in path.name
    )


def whole_folders(folder: Path) -> dict[str, dict[str, str]]:
    """The files of each data set by its folder: they appear together."""
    every = files(folder)
    roots = [name.removesuffix("README.md") for name in every if name.endswith("README.md")]
    roots += sorted({name.partition("data/")[0] for name in every if "data/" in name} - set(roots))
    return {root: {name: text for name, text in every.items() if name.startswith(root)} for root in roots if root}


def problems(before: Path, now: Path, after: Path) -> list[str]:
    """What is wrong with a folder in which a run was killed, given the folders before it and after one that was not.

    Each file and each data set under its own name is the old one or the new one, and none that was there is missing.
    """
    old, seen, new = files(before), files(now), files(after)
    found = [f"{name} is gone" for name in old if name in new and name not in seen]
    found += [
        f"{name} is neither old nor new" for name, text in seen.items() if text not in (old.get(name), new.get(name))
    ]
    sets, old_sets, new_sets = whole_folders(now), whole_folders(before), whole_folders(after)
    found += [
        f"{root} is neither the old data set nor the new one"
        for root, one in sets.items()
        if one not in (old_sets.get(root), new_sets.get(root))
    ]
    return found
