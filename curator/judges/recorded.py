"""Judgments that people already have: a JSON Lines log instead of a judge."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from curator.errors import InputError
from curator.files import Reject, read_rows
from curator.pair import JudgeInfo

_VERDICTS = {"a": 1.0, "b": 0.0, "tie": 0.5}
"""P(a preferred) of a bare verdict: a judge that gives no probabilities is taken at its word."""


@dataclass(frozen=True, slots=True)
class Reading:
    """One row of a log.

    Attributes:
        name: the row's id or pair_id.
        order: "ab", "ba", or "both" for a judgment that is already an average.
        p_a: P(a preferred); None where the judge failed.
        logprob_a, logprob_b: log-probabilities, where the log has them.
    """

    name: str
    judge: str
    order: str
    p_a: float | None
    logprob_a: float | None
    logprob_b: float | None


def read_log(path: str) -> Iterator[Reading | Reject]:
    """Every row of a log of judgments.

    Raises:
        InputError: the file cannot be read.
    """
    for row in read_rows(path):
        if isinstance(row, Reject):
            yield row
        elif bad := row.check("judgment"):
            yield bad
        elif isinstance(row.values["id"], float):
            yield row.reject("id", "is no whole number that can be told from others: write it as text")
        else:
            yield _reading(row.values)


def _reading(values: dict[str, Any]) -> Reading:
    a, b = values.get("logprob_a"), values.get("logprob_b")
    if values.get("failed") is True:
        p_a = None
    elif a is not None and b is not None:
        p_a = 0.5 * (1.0 + math.tanh(0.5 * (a - b)))
    else:
        p_a = values.get("p_a")
        p_a = _VERDICTS.get(values.get("verdict") or "") if p_a is None else float(p_a)
    return Reading(str(values["id"]), values["judge"], values["order"], p_a, a, b)


def log_judge(path: str, wanted: str | None) -> JudgeInfo:
    """The judge of a log. Another log by the same name is another judge: what it says may have changed.

    Raises:
        InputError: the log cannot be read, holds several judges and none is chosen, or not the chosen one.
    """
    if path == "-":
        raise InputError("judgments cannot come from standard input: the log is read twice")
    names = {reading.judge for reading in read_log(path) if not isinstance(reading, Reject)}
    listed = ", ".join(sorted(names)[:20]) or "none"
    if wanted is not None and wanted not in names:
        raise InputError(f"{path} holds no judgments by {wanted!r}; its judges: {listed}")
    if wanted is None and len(names) != 1:
        raise InputError(f"{path} holds judgments by {len(names)} judges; choose one with --judge: {listed}")
    with Path(path).open("rb") as log:
        digest = hashlib.file_digest(log, "sha256").hexdigest()
    return JudgeInfo(wanted or next(iter(names)), "recorded", {"log_sha256": digest}, {"log": Path(path).name})
