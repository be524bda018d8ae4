"""Brings raw files into the store, unless they are the ones that it holds already."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict
from itertools import islice
from typing import Any

import orjson

from curator import __version__
from curator.errors import InputError
from curator.files import Meter, whole_file
from curator.formats.read import read
from curator.options import LabelOptions
from curator.pair import Pair
from curator.progress import Progress
from curator.steps.unchanged import settled, stamp
from curator.store import Store
from curator.store.pairs import Added, input_number, replace_input

_RECORD = "input as it was read"

_STEP = 1_000
"""Rows between two looks at how far the reading is."""


def ingest(store: Store, options: LabelOptions, progress: Progress) -> tuple[dict[str, Added], dict[str, int]]:
    """Read the raw file (and the calibration file) into the store; what cannot be used goes to `rejects.jsonl`.

    Files that have not changed since the store's latest input was made of them are not read again.

    Returns:
        What became of the pairs, and the number of rejects, by role ("pool", "calibration").

    Raises:
        InputError: a file cannot be read, or has no usable pair; with --strict, a bad row.
    """
    paths = [path for path in (options.raw, options.calibration) if path is not None]
    key = _key(options, paths)
    if key is not None and (known := _recall(store, options, key)) is not None:
        added = {role: Added(counts[0], counts[1], 0, 0) for role, counts in known["added"].items()}
        rows = sum(sum(counts) for counts in known["added"].values()) + sum(known["rejected"].values())
        progress.say(f"unchanged since it was read: {' and '.join(paths)} ({rows:,} rows)")
        return added, known["rejected"]
    progress.say(f"reading {options.raw} into {options.db}")
    added, rejected = _read(store, options, progress)
    if key is not None and key == _key(options, paths):
        record = {
            "key": key,
            "input": input_number(store),
            "added": {role: [one.pairs, one.duplicates] for role, one in added.items()},
            "rejected": rejected,
            "rejects": stamp(options.out / "rejects.jsonl"),
        }
        store.set(_RECORD, orjson.dumps(record).decode())
    return added, rejected


def _key(options: LabelOptions, paths: list[str]) -> dict[str, Any] | None:
    """All that decides what an input becomes; None where a file might change without showing it."""
    if (stamps := settled(paths)) is None:
        return None
    read = [list(pair) for pair in zip(paths, stamps, strict=True)]
    return {"version": __version__, "files": read, "format": options.input_format, "limit": options.limit}


def _recall(store: Store, options: LabelOptions, key: dict[str, Any]) -> dict[str, Any] | None:
    """What is known of the store's input, where it was made of these very files and its rejects are still there."""
    known: dict[str, Any] | None = orjson.loads(store.setting(_RECORD, "null"))
    if known is None or (known["key"], known["input"]) != (key, input_number(store)):
        return None
    rejects = stamp(options.out / "rejects.jsonl")
    strict = options.strict and any(known["rejected"].values())
    return None if strict or rejects is None or known["rejects"] != rejects else known


def _read(store: Store, options: LabelOptions, progress: Progress) -> tuple[dict[str, Added], dict[str, int]]:
    rejected = {"pool": 0, "calibration": 0}
    first: list[str] = []
    limit = None if options.limit is None else min(options.limit, sys.maxsize)
    with whole_file(options.out / "rejects.jsonl") as aside, aside.open("wb") as file:

        def pairs(role: str, path: str, advance: Callable[[int, str], None]) -> Iterator[Pair]:
            rows = read(path, options.input_format, meter := Meter())
            for row in _counted(islice(rows, limit if role == "pool" else None), meter, total is not None, advance):
                if isinstance(row, Pair):
                    yield row
                    continue
                if options.strict:
                    raise InputError(f"{row} (--strict stops at the first bad row)")
                rejected[role] += 1
                if not first:
                    first.append(str(row))
                file.write(orjson.dumps(asdict(row)) + b"\n")

        total = None if limit is not None else _size(options)
        with progress.bar("reading", " rows" if total is None else "B", total) as advance:
            sources: list[tuple[str, Iterable[Pair]]] = [("pool", pairs("pool", options.raw, advance))]
            if options.calibration:
                sources.append(("calibration", _labelled(pairs("calibration", options.calibration, advance))))
            added = replace_input(store, sources)
    if not added["pool"].pairs:
        raise InputError(f"{options.raw}: no usable pair in it (JSON Lines is needed). {'; '.join(first)}".rstrip())
    if first:
        progress.say(f"rejected {sum(rejected.values()):,} rows; the first: {first[0]}")
    return added, rejected


def _labelled(pairs: Iterable[Pair]) -> Iterator[Pair]:
    for pair in pairs:
        if pair.label is None:
            raise InputError(f"{pair.file}, line {pair.line}: label is missing; every row of --calibration needs one")
        yield pair


def _size(options: LabelOptions) -> int | None:
    """Bytes to be read; None where that is not known beforehand."""
    stamps = [stamp(path) for path in (options.raw, options.calibration) if path is not None]
    return None if None in stamps else sum(one[0] for one in stamps if one is not None)


def _counted(rows: Iterable[Any], meter: Meter, in_bytes: bool, advance: Callable[[int, str], None]) -> Iterator[Any]:
    """The rows, with word of how far the reading is, in bytes of the file or in rows."""
    start, count, done = time.monotonic(), 0, 0

    def tell() -> None:
        nonlocal done
        now = meter.done if in_bytes else count
        advance(now - done, f"{count:,} rows, {count / max(time.monotonic() - start, 1e-3):,.0f} rows/s")
        done = now

    for row in rows:
        count += 1
        yield row
        if not count % _STEP:
            tell()
    tell()
