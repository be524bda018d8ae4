"""Tells whether files are still the ones that were read and written: what is unchanged is not done again.

A file is told by its stamp, as make and git do. Where there is any doubt the answer is no, and the work is done: a slow
run is better than a wrong one. Two things rest on it: a file is not read again into a store that holds it
(`settled`), and a run of which nothing at all has changed is over at once (`LastRun`).
"""

from __future__ import annotations

import stat
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import orjson

from curator import __version__
from curator.files import whole_file
from curator.options import LabelOptions
from curator.pair import content_id
from curator.sources import source_files

SETTLED_SECONDS = 2.0
"""A file changed less long ago may be changed once more without its times showing it: its stamp is not trusted."""

Stamp = list[int]


def stamp(path: str | Path) -> Stamp | None:
    """What changes with a file whenever its bytes do: size, times, identity. None: no regular file is there."""
    try:
        found = Path(path).stat()
    except (OSError, ValueError):
        return None
    if path == "-" or not stat.S_ISREG(found.st_mode):
        return None
    return [found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino, found.st_dev]


def settled(paths: Iterable[str]) -> list[Stamp] | None:
    """The stamps of files about to be read; None where one is no file, or was changed a moment ago."""
    latest = time.time_ns() - int(SETTLED_SECONDS * 1e9)
    stamps = [stamp(path) for path in paths]
    found = [one for one in stamps if one is not None and max(one[1], one[2]) < latest]
    return found if len(found) == len(stamps) else None


def all_files(*sources: str | None) -> list[str] | None:
    """The files of sources, where all are files on this machine's disk. A folder is the files in it."""
    found = [source_files(source) for source in sources if source is not None]
    return None if None in found else [path for files in found if files is not None for path in files]


class LastRun:
    """What the latest run into an output folder was asked, what it read, and what it left behind.

    A run may be taken for the same when it is asked the same by the same version, the files that it read have the same
    stamps, and so have the store and every file that was written. Whatever writes to the store, be it another command
    or another program, changes the store's stamp.
    """

    def __init__(self, options: LabelOptions, template_digests: Sequence[str]) -> None:
        """Note what is asked, and the files as they are before anything is read."""
        # As a hash: addresses and flags of servers may hold credentials.
        asked = content_id(orjson.dumps(asdict(options), default=str).decode())
        self._read = all_files(options.raw, options.calibration, *(judge.log for judge in options.judges))
        self._now = {
            "version": __version__,
            "asked": asked,
            "templates": list(template_digests),
            "read": self._settled(),
        }
        self._options, self._path = options, options.out / ".last-run.json"
        self._store: Stamp | None = None

    def result(self) -> dict[str, Any] | None:
        """The object of `run.json` where nothing has changed since."""
        try:
            known = orjson.loads(self._path.read_bytes())
        except (OSError, orjson.JSONDecodeError):
            return None
        left = self._left()
        if self._now["read"] is None or left is None or known != {**self._now, "left": left}:
            return None
        self._store = left[str(self._options.db)]
        result: dict[str, Any] = orjson.loads((self._options.out / "run.json").read_bytes())
        return result

    def begin(self) -> None:
        """Forget the latest run: what it left is about to change."""
        self._path.unlink(missing_ok=True)

    def note_store(self) -> None:
        """Note the store as it is now. To be called while it is open, complete, and nobody else can write to it."""
        self._store = stamp(self._options.db)

    def finish(self) -> None:
        """Keep what this run was asked, read and left; nothing where any of it has changed meanwhile."""
        read, left = self._now["read"], self._left()
        if read is None or read != self._settled() or left is None or left.get(str(self._options.db)) != self._store:
            return
        with whole_file(self._path) as aside:
            aside.write_bytes(orjson.dumps({**self._now, "left": left}))

    def _settled(self) -> list[list[Any]] | None:
        if self._read is None or (stamps := settled(self._read)) is None:
            return None
        return [list(pair) for pair in zip(self._read, stamps, strict=True)]

    def _left(self) -> dict[str, Stamp] | None:
        """The stamps of the store and of everything written; None where the store is not at rest."""
        out, db = self._options.out, self._options.db
        if db.with_name(f"{db.name}.wal").exists():
            return None
        written = [out / name for name in ("run.json", "report.html", "queue.jsonl", "rejects.jsonl")]
        written += [path for name in ("dataset", "exports") for path in sorted((out / name).rglob("*"))]
        stamps = {str(path): stamp(path) for path in (db, *written)}
        return {path: one for path, one in stamps.items() if one is not None}
