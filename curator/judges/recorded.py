"""Judgments that people already have: a JSON Lines log instead of a judge.

A log has millions of short rows. Arrow parses them a block at a time; a block that it cannot parse, and each row of
which a column does not prove that it matches the schema, is read row by row like any other file. Both ways give the
same readings (tests/test_recorded.py).
"""

from __future__ import annotations

import io
import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.json as pj
from numpy.typing import NDArray

from curator.files import Meter, Reject, Row, parse_line, read_lines, shown_name

Floats = NDArray[np.float64]

BLOCK_ROWS, BLOCK_BYTES = 20_000, 16 * 2**20

_ROW = (
    ("judge", pa.string()), ("order", pa.string()), ("p_a", pa.float64()), ("logprob_a", pa.float64()),
    ("logprob_b", pa.float64()), ("verdict", pa.string()), ("failed", pa.bool_()),
    ("p_tie", pa.float64()), ("logprob_tie", pa.float64()), ("confidence", pa.float64()),
)  # fmt: skip

_MODES = [(kind, extra) for extra in ("error", "ignore") for kind in (pa.string(), pa.int64())]
"""What a block's ids are, and whether its rows have fields of no concern here."""

_LARGEST_LOGPROB = 0.000001  # as in schemas/judgment.schema.json

_MOST_TOGETHER = 1.001
"""What the probabilities of a, b and a tie may come to: written down, they are rounded."""

_HUGE = re.compile(rb"[eE]\+?[0-9]{3}|[0-9]{300}")

_LOGPROBS = ("logprob_a", "logprob_b", "logprob_tie")

READING = pa.schema(
    [
        ("name", pa.string()), ("judge", pa.string()), ("pair_order", pa.string()),
        ("p_a", pa.float64()), ("p_tie", pa.float64()),
        *((name, pa.float64()) for name in _LOGPROBS), ("stated_p_a", pa.float64()),
    ]
)  # fmt: skip
"""A reading: the row's id or pair_id; who judged; "ab", "ba", or "both" for a judgment that is already an average; P(a
preferred), null where the judge failed; P(equal), null where it had no label for that; the log-probabilities, where
the log has them; P(a preferred) by the confidence that the judge stated."""


@dataclass(frozen=True, slots=True)
class Block:
    """Some rows of a log: those that are judgments, as a table with the columns of `READING`, and the others."""

    readings: pa.Table
    rejects: list[Reject] = field(default_factory=list)


def read_log(path: str, meter: Meter | None = None) -> Iterator[Block]:
    """Every row of a log of judgments.

    Raises:
        InputError: the file cannot be read.
    """
    name = shown_name(path)
    lines: list[tuple[int, bytes]] = []
    rejects: list[Reject] = []
    size, mode = 0, 0
    for number, data in read_lines(path, meter):
        if isinstance(data, Reject):
            rejects.append(data)
            continue
        lines.append((number, data))
        size += len(data)
        if len(lines) == BLOCK_ROWS or size >= BLOCK_BYTES:
            block, mode = _block(name, lines, mode)
            yield Block(block.readings, sorted(rejects + block.rejects, key=lambda bad: bad.line))
            lines, rejects, size = [], [], 0
    block, mode = _block(name, lines, mode)
    yield Block(block.readings, sorted(rejects + block.rejects, key=lambda bad: bad.line))


def _block(name: str, lines: Sequence[tuple[int, bytes]], mode: int) -> tuple[Block, int]:
    """Some lines, and the mode in which Arrow parsed them (to be tried first with the next ones)."""
    data = [line for _, line in lines]
    if not _is_plain(text := b"".join(data), len(lines)):
        return _row_by_row(name, lines), mode
    for attempt in (mode, *(other for other in range(len(_MODES)) if other != mode)):
        kind, extra = _MODES[attempt]
        if extra == "ignore" and not _is_harmless(text, data):
            continue
        if (table := _parsed(text, kind, extra)) is not None and table.num_rows == len(lines):
            proven = _proven(table)
            block = _row_by_row(name, [lines[at] for at in np.flatnonzero(~proven).tolist()])
            readings = _readings(table if proven.all() else table.filter(pa.array(proven)))
            return Block(pa.concat_tables([readings, block.readings]), block.rejects), attempt
    return _row_by_row(name, lines), mode


def _is_plain(text: bytes, count: int) -> bool:
    """Whether the lines hold one object each, if it parses at all, and nothing that Arrow takes and JSON does not.

    Inside a JSON value a line cannot end with } where the next begins with {: between them stands a comma.
    """
    if text.count(b"}\n{") + text.count(b"}\r\n{") != count - 1 or not text.startswith(b"{"):
        return False
    if any(odd in text for odd in (b"NaN", b"Inf", b"\\ud", b"\\uD", b"\0")):
        return False
    try:
        return text.isascii() or bool(text.decode())
    except UnicodeDecodeError:
        return False


def _is_harmless(text: bytes, lines: list[bytes]) -> bool:
    """Whether no field that is passed over could make a row a reject: a number too large, a value nested too deeply."""
    return not _HUGE.search(text) and all(line.count(b"{") + line.count(b"[") <= 200 for line in lines)


def _parsed(text: bytes, kind: pa.DataType, extra: str) -> pa.Table | None:
    try:
        return pj.read_json(
            io.BytesIO(text),
            read_options=pj.ReadOptions(use_threads=False, block_size=len(text) + 1),
            parse_options=pj.ParseOptions(pa.schema([("id", kind), *_ROW]), unexpected_field_behavior=extra),
        )
    except pa.ArrowInvalid:
        return None


def _proven(table: pa.Table) -> NDArray[np.bool_]:
    """Which rows match the schema for certain. Of one with null for its verdict it is not known whether it had any."""
    # Null becomes NaN.
    p, a, b, sure = (table[name].to_numpy() for name in ("p_a", "logprob_a", "logprob_b", "confidence"))
    order = pc.is_in(table["order"], pa.array(["ab", "ba", "both"]))
    verdict = pc.is_in(table["verdict"], pa.array(["a", "b", "tie"]))
    named = pc.and_(table["id"].is_valid(), pc.greater(pc.fill_null(pc.binary_length(table["judge"]), 0), 0))
    said = ~np.isnan(p) | (~np.isnan(a) & ~np.isnan(b)) | verdict.to_numpy()
    in_range = ~(p < 0) & ~(p > 1) & ~(a > _LARGEST_LOGPROB) & ~(b > _LARGEST_LOGPROB) & np.isfinite(_filled(a, b))
    in_range &= np.isnan(sure) | (verdict.to_numpy() & (sure >= 0) & (sure <= 1))
    fits = pc.or_(verdict, table["verdict"].is_null())
    proven = np.asarray(pc.and_(pc.and_(order, named), fits).to_numpy() & said & in_range, dtype=bool)
    return proven & _proven_ties(table, p, a, b) if _has_ties(table) else proven


def _has_ties(table: pa.Table) -> bool:
    return any(table[name].null_count < table.num_rows for name in ("p_tie", "logprob_tie"))


def _proven_ties(table: pa.Table, p: Floats, a: Floats, b: Floats) -> NDArray[np.bool_]:
    """Which rows, good ones otherwise, say nothing about ties or what can be."""
    share, logprob = table["p_tie"].to_numpy(), table["logprob_tie"].to_numpy()
    with np.errstate(over="ignore"):
        together = np.exp(a) + np.exp(b) + np.exp(logprob)
    fits = (logprob <= _LARGEST_LOGPROB) & np.isfinite(logprob) & (together <= _MOST_TOGETHER)
    shared = (share >= 0) & (share <= 1) & (p + share <= _MOST_TOGETHER)
    return np.asarray((np.isnan(share) | shared) & (np.isnan(logprob) | fits), dtype=bool)


def _filled(a: Floats, b: Floats) -> Floats:
    return np.where(np.isnan(a), 0.0, a) + np.where(np.isnan(b), 0.0, b)


def _row_by_row(name: str, lines: Sequence[tuple[int, bytes]]) -> Block:
    rejects, rows = [], []
    for number, data in lines:
        row = parse_line(name, number, data)
        if isinstance(row, Row):
            row = row.check("judgment") or _reject(row) or row
        if isinstance(row, Reject):
            rejects.append(row)
        else:
            rows.append(_values(row.values))
    fields = [("id", pa.string()), *_ROW]
    columns = zip(*rows, strict=True) if rows else [()] * len(fields)
    table = pa.table({key: pa.array(column, kind) for (key, kind), column in zip(fields, columns, strict=True)})
    return Block(_readings(table), rejects)


def _reject(row: Row) -> Reject | None:
    """What is wrong with a row that matches the schema; None: nothing."""
    if isinstance(row.values["id"], float):
        return row.reject("id", "is no whole number that can be told from others: write it as text")
    p, a, b, share, logprob = (_number(row.values, name) for name in _NUMBERS)
    if share is not None and p is None:
        return row.reject("p_tie", "stands without p_a")
    if logprob is not None and (a is None or b is None):
        return row.reject("logprob_tie", "stands without logprob_a and logprob_b")
    if share is not None and p is not None and p + share > _MOST_TOGETHER:
        return row.reject("p_tie", "comes to more than 1 together with p_a")
    if logprob is not None and sum(math.exp(value) for value in (a, b, logprob) if value is not None) > _MOST_TOGETHER:
        return row.reject("logprob_tie", "is of a probability that comes to more than 1 together with those of a and b")
    return None


_NUMBERS = ("p_a", "logprob_a", "logprob_b", "p_tie", "logprob_tie")


def _number(row: dict[str, Any], name: str) -> float | None:
    value = row.get(name)
    return None if value is None else float(value)


def _values(row: dict[str, Any]) -> tuple[Any, ...]:
    p, a, b, *others = (_number(row, name) for name in (*_NUMBERS, "confidence"))
    said = row.get("verdict"), row.get("failed") is True
    return str(row["id"]), row["judge"], row["order"], p, a, b, *said, *others


def _readings(table: pa.Table) -> pa.Table:
    """What the rows say: log-probabilities before a probability before a bare verdict, which is taken at its word."""
    a, b = table["logprob_a"].to_numpy(), table["logprob_b"].to_numpy()
    from_logprobs = 0.5 * (1.0 + np.tanh(0.5 * (a - b)))
    verdict = pc.index_in(table["verdict"], pa.array(["a", "tie", "b"]))
    bare = 1.0 - 0.5 * pc.fill_null(pc.cast(verdict, pa.float64()), np.nan).to_numpy()
    p = table["p_a"].to_numpy()
    p = np.where(np.isnan(from_logprobs), np.where(np.isnan(p), bare, p), from_logprobs)
    stated = _stated(bare, table["confidence"].to_numpy())
    tie = np.full(p.size, np.nan)
    if _has_ties(table):
        with np.errstate(over="ignore"):
            logprob = table["logprob_tie"].to_numpy()
            from_logprobs_tie = 1.0 / (1.0 + np.exp(a - logprob) + np.exp(b - logprob))
        tie = np.where(np.isnan(from_logprobs), table["p_tie"].to_numpy(), from_logprobs_tie)
        p = np.where(np.isnan(from_logprobs_tie), p, p * (1.0 - from_logprobs_tie))
    p[pc.fill_null(table["failed"], pa.scalar(value=False)).to_numpy()] = np.nan
    tie[np.isnan(p)], stated[np.isnan(p)] = np.nan, np.nan
    # Of a row that gives but one of them, none is used.
    logprobs = [pc.if_else(pa.array(~np.isnan(from_logprobs)), table[name], None) for name in _LOGPROBS]
    columns = [
        pc.cast(table["id"], pa.string()), table["judge"], table["order"], pa.array(p, mask=np.isnan(p)),
        pa.array(tie, mask=np.isnan(tie)), *logprobs, pa.array(stated, mask=np.isnan(stated)),
    ]  # fmt: skip
    return pa.table(columns, schema=READING)


def _stated(verdict: NDArray[np.float64], confidence: NDArray[np.float64]) -> NDArray[np.float64]:
    """P(a preferred) by the confidence in a verdict of a (1), b (0) or tie (1/2), which it never turns round."""
    of_winner = np.maximum(confidence, 0.5)
    stated = np.where(verdict == 0.5, 0.5, np.where(verdict == 1.0, of_winner, 1.0 - of_winner))
    stated[np.isnan(verdict) | np.isnan(confidence)] = np.nan
    return stated
