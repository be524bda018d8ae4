"""Tells whether a file is still the one that was read or written."""

from __future__ import annotations

import stat
import time
from collections.abc import Iterable
from pathlib import Path

SETTLED_SECONDS = 2.0
"""A file changed less long ago may be changed once more without its times showing it: its stamp is not trusted."""

Stamp = list[int]


def stamp(path: str | Path) -> Stamp | None:
    """What changes with a file whenever its bytes do: size, times, identity. None: no regular file is there."""
    try:
        found = Path(path).stat()
    except (OSError, ValueError):
        return None
    if not stat.S_ISREG(found.st_mode):
        return None
    return [found.st_size, found.st_mtime_ns, found.st_ctime_ns, found.st_ino, found.st_dev]


def settled(paths: Iterable[str | Path]) -> list[Stamp] | None:
    """The stamps of files about to be read; None where one is no file, or was changed a moment ago."""
    latest = time.time_ns() - int(SETTLED_SECONDS * 1e9)
    stamps = [stamp(path) for path in paths]
    found = [one for one in stamps if one is not None and max(one[1], one[2]) < latest]
    return found if len(found) == len(stamps) else None
