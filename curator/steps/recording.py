"""Brings a log of recorded judgments into the store."""

from __future__ import annotations

import hashlib
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import orjson
import pyarrow.compute as pc

from curator.errors import InputError
from curator.files import Meter, Reject
from curator.judges.recorded import read_log
from curator.pair import JudgeInfo, content_id
from curator.progress import Progress
from curator.steps.unchanged import settled, stamp
from curator.store import Store
from curator.store.judgments import Pending, add_judge, find_pending, forget_failures, stored_judge
from curator.store.pairs import input_number
from curator.store.readings import add_readings, begin_readings, keep_readings

_READ = "recorded judgments "


def read_judgments(
    store: Store, path: str, wanted: str | None, progress: Progress, *, band: bool = False
) -> tuple[JudgeInfo, Pending, int, float]:
    """Store what a log says about the input: its judge, what there was to find, how much was found, in which time.

    With `band`, only about the pairs of `store.decisions.hold_band`.

    Raises:
        InputError: the log cannot be read, holds several judges and none is chosen, or nothing about the input.
    """
    if path == "-":
        raise InputError("judgments cannot come from standard input: give a file")
    start = time.monotonic()
    as_it_was = settled([path])
    key = _READ + content_id(path, wanted or "")
    known = orjson.loads(store.setting(key, "null"))
    if known is not None and as_it_was is not None and known["log"] == as_it_was:
        judge = stored_judge(store, known["judge_id"])
        pending = find_pending(store, judge.judge_id, band=band)
        # All that the log says about this very input is stored; or there is nothing to look for.
        if (known["input"] == input_number(store) and not band) or not pending.questions:
            progress.say(f"judgments: {pending.cached} cached / 0 new ({path} is unchanged since it was read)")
            return judge, pending, 0, 0.0
    judge = _read(store, path, wanted, progress)
    add_judge(store, judge)
    pending = find_pending(store, judge.judge_id, band=band)
    progress.say(f"judgments: {pending.cached} cached / {pending.questions} to be found in {path}")
    found = 0
    if pending.questions:
        forget_failures(store, judge.judge_id)
        used = add_readings(store, judge.judge_id)
        if not used and not pending.cached:
            raise InputError(
                f"{path}: no judgment in it is about a pair of this input; `id` must be a row's id or pair_id"
            )
        found = pending.questions - find_pending(store, judge.judge_id, band=band).questions
    if as_it_was is not None and stamp(path) == as_it_was[0]:
        whole = None if band else input_number(store)  # of a band, nobody knows the rest
        known = {"log": as_it_was, "judge_id": judge.judge_id, "input": whole}
        store.set(key, orjson.dumps(known).decode())
    return judge, pending, found, time.monotonic() - start if pending.questions else 0.0


def _read(store: Store, path: str, wanted: str | None, progress: Progress) -> JudgeInfo:
    """Hold the readings of a log ready in the store. Another log by the same name is another judge."""
    begin_readings(store)
    names: set[str] = set()
    first_reject: Reject | None = None
    meter = Meter()
    with ThreadPoolExecutor(1) as aside, progress.bar("reading judgments", "B", Path(path).stat().st_size) as advance:
        digest = aside.submit(_sha256, path)
        done = rows = rejected = 0
        for block in read_log(path, meter):
            readings = block.readings
            judges = pc.unique(readings["judge"]).to_pylist()
            names.update(judges)
            rejected += len(block.rejects)
            first_reject = first_reject or next(iter(block.rejects), None)
            # Where two are found and none is wanted, there is no judge, and nothing of this is used.
            if wanted is not None and judges != [wanted]:
                readings = readings.filter(pc.equal(readings["judge"], wanted))
            keep_readings(store, readings.drop_columns("judge"))
            rows += readings.num_rows + len(block.rejects)
            advance(meter.done - done, f"{rows:,} rows")
            done = meter.done
    listed = ", ".join(sorted(names)[:20]) or "none"
    if wanted is not None and wanted not in names:
        raise InputError(f"{path} holds no judgments by {wanted!r}; its judges: {listed}")
    if wanted is None and len(names) != 1:
        raise InputError(f"{path} holds judgments by {len(names)} judges; choose one with --judge: {listed}")
    if first_reject is not None:
        progress.say(f"{rejected} rows of the log are not judgments; the first: {first_reject}")
    settings = {"log_sha256": digest.result()}
    return JudgeInfo(wanted or next(iter(names)), "recorded", settings, {"log": Path(path).name})


def _sha256(path: str) -> str:
    with Path(path).open("rb") as log:
        return hashlib.file_digest(log, "sha256").hexdigest()
