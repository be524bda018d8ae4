"""Stores pairs and which of them the latest input named."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import PurePath

import numpy as np
import orjson
import pyarrow as pa
from numpy.typing import NDArray

from curator.pair import Message, Pair, content_id
from curator.prompts import prompt_from_json, prompt_json
from curator.store.connection import Store
from curator.store.labels import add_row_labels, top_up_draw
from curator.store.suspects import add_signs, find_anew

CHUNK_ROWS, CHUNK_CHARACTERS = 20_000, 32 * 2**20
"""A chunk of rows is stored when it has so many of either: two chunks are in memory, one read and one written."""

_NUMBER = "input number"

_COLUMNS = (
    "pair_id", "prompt_id", "prompt", "response_a", "response_b", "metadata", "file", "line", "source_id",
)  # fmt: skip


_PAIRS = pa.schema([(name, pa.int64() if name == "line" else pa.string()) for name in _COLUMNS])
_VOTES = pa.schema(
    [
        ("position", pa.int64()), ("vote", pa.int64()), ("pair_id", pa.string()), ("verdict", pa.string()),
        ("annotator", pa.string()), ("strength", pa.float64()), ("named", pa.bool_()),
    ]
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Added:
    """What became of the rows of one input: `pairs` distinct ones, of which `new` were not stored before."""

    pairs: int
    duplicates: int
    new: int
    labels: int


def replace_input(
    store: Store, sources: Iterable[tuple[str, Iterable[Pair]]], settle: Callable[[], None] = lambda: None
) -> dict[str, Added]:
    """Store the pairs of (role, pairs) sources as the new input; all or nothing.

    A pair that was decided about or reviewed before and comes back labelled was perhaps labelled because it is hard:
    its label is kept as a review label, whatever the role of its row. The calibration draw grows with the input.
    Fields of a row that differ from those that the store knows of its pair take their place.

    Args:
        settle: is called when all rows are stored, before the draw grows: what it takes out is never drawn.
    """
    with store.transaction():
        store.rows("DELETE FROM input_row")
        store.set(_NUMBER, str(input_number(store) + 1))
        store.seed  # noqa: B018 - fixed before anything depends on it
        find_anew(store)
        added = {role: _add(store, role, pairs) for role, pairs in sources}
        settle()
        top_up_draw(store)
        return added


def stored_pairs(store: Store) -> Iterator[Pair]:
    """Every pair of the store, without labels; some thousand at a time in memory."""
    for batch in store.stream("SELECT prompt, response_a, response_b, metadata, file, line FROM pair", CHUNK_ROWS):
        for row in batch.to_pylist():
            texts, rest = (row.pop("response_a"), row.pop("response_b")), orjson.loads(row.pop("metadata"))
            yield Pair(prompt_from_json(row.pop("prompt")), *texts, metadata=rest, **row)


def input_number(store: Store) -> int:
    """How many inputs there have been: equal numbers of one store mean the same input."""
    return int(store.setting(_NUMBER, "0"))


def _add(store: Store, role: str, pairs: Iterable[Pair]) -> Added:
    start, stored = store.count("SELECT count(*) FROM input_row"), store.count("SELECT count(*) FROM pair")
    store.rows(
        """CREATE OR REPLACE TEMP TABLE row_label (
            position BIGINT, vote BIGINT, pair_id TEXT, verdict TEXT, annotator TEXT, strength DOUBLE, named BOOLEAN)"""
    )
    store.rows("CREATE OR REPLACE TEMP TABLE other_fields (position BIGINT, pair_id TEXT, metadata TEXT)")
    known, position = _Known(store), start
    # DuckDB stores one chunk while Python reads the next; the transaction is of the connection, not of a thread.
    with ThreadPoolExecutor(1) as writer:
        writing: Future[None] | None = None
        for rows, labels in _chunks(pairs):
            fresh, changed = known.compare(rows)
            if writing is not None:
                writing.result()
            writing = writer.submit(_write, store, role, position, rows, labels, fresh, changed)
            position += rows.num_rows
        if writing is not None:
            writing.result()
    _mark_duplicates(store)
    _replace_fields(store)
    duplicates = store.count("SELECT count(*) FROM input_row WHERE role = ? AND duplicate", [role])
    said = add_row_labels(store, "row_label")
    new = store.count("SELECT count(*) FROM pair") - stored
    return Added(position - start - duplicates, duplicates, new, said)


def _chunks(pairs: Iterable[Pair]) -> Iterator[tuple[pa.Table, pa.Table]]:
    """Pairs with their ids as tables, each of which holds so many rows or so much text, and the votes on them."""
    rows: list[tuple[object, ...]] = []
    votes: list[tuple[object, ...]] = []
    size = 0
    prompt: tuple[Message, ...] = ()
    prompt_id, prompt_text = "", "[]"
    for pair in pairs:
        if pair.prompt != prompt:  # the pairs of a prompt are often neighbours
            prompt, prompt_id, prompt_text = pair.prompt, pair.prompt_id, prompt_json(pair.prompt)
        a, b = pair.response_a, pair.response_b
        metadata = orjson.dumps(pair.metadata).decode()
        pair_id = content_id(prompt_id, a, b)
        for number, vote in enumerate(pair.votes):
            file = PurePath(pair.file).name
            annotator = vote.annotator or file
            votes.append((len(rows), number, pair_id, vote.verdict, annotator, vote.strength, annotator != file))
        rows.append((pair_id, prompt_id, prompt_text, a, b, metadata, pair.file, pair.line, pair.source_id))
        size += len(prompt_text) + len(a) + len(b) + len(metadata)
        if len(rows) >= CHUNK_ROWS or size >= CHUNK_CHARACTERS:
            yield _table(rows, _PAIRS), _table(votes, _VOTES)
            rows, votes, size = [], [], 0
    if rows:
        yield _table(rows, _PAIRS), _table(votes, _VOTES)


def _table(rows: list[tuple[object, ...]], schema: pa.Schema) -> pa.Table:
    columns = zip(*rows, strict=True) if rows else [()] * len(schema)
    return pa.table([pa.array(one, field.type) for one, field in zip(columns, schema, strict=True)], schema=schema)


class _Known:
    """The ids of stored pairs, 16 bytes each, and hashes of their fields, 8 each, to look up chunks in.

    So no chunk is joined with all that is stored.
    """

    def __init__(self, store: Store) -> None:
        ids, fields = [np.empty(0, "S16")], [np.empty(0, np.uint64)]
        for batch in store.stream("SELECT pair_id, md5_number_lower(metadata) AS fields FROM pair", 100_000):
            ids.append(_bytes(batch["pair_id"]))
            fields.append(batch["fields"].to_numpy())
        every = np.concatenate(ids)
        order = np.argsort(every)
        self._ids, self._fields = every[order], np.concatenate(fields)[order]

    def compare(self, rows: pa.Table) -> tuple[pa.Array, pa.Array]:
        """Which rows of a chunk are of pairs that are neither stored nor stand before in it; which have other fields.

        The latter are rows of stored pairs.
        """
        ids = _bytes(rows["pair_id"])
        lacks, changed = np.zeros(ids.size, dtype=bool), np.zeros(ids.size, dtype=bool)
        lacks[np.unique(ids, return_index=True)[1]] = True
        if self._ids.size:
            at = np.minimum(np.searchsorted(self._ids, ids), self._ids.size - 1)
            stored = self._ids[at] == ids
            lacks &= ~stored
            fields = rows["metadata"].filter(pa.array(stored)).to_pylist()
            changed[stored] = self._fields[at[stored]] != np.array([_hash(text) for text in fields], np.uint64)
        return pa.array(lacks), pa.array(changed)


def _bytes(pair_ids: pa.Array | pa.ChunkedArray) -> NDArray[np.bytes_]:
    return np.frombuffer(bytes.fromhex("".join(pair_ids.to_pylist())), "S16")


def _hash(text: str) -> int:
    """DuckDB's `md5_number_lower`."""
    return int.from_bytes(hashlib.md5(text.encode(), usedforsecurity=False).digest()[8:], "little")


def _write(
    store: Store, role: str, start: int, rows: pa.Table, labels: pa.Table, fresh: pa.Array, changed: pa.Array
) -> None:
    count = rows.num_rows
    position = pa.array(np.arange(start, start + count))
    new = rows.filter(fresh)
    store.append("pair", new.select(_COLUMNS[:8]))
    add_signs(store, new)
    seen = {
        "position": position, "role": pa.repeat(role, count), "file": rows["file"], "line": rows["line"],
        "pair_id": rows["pair_id"], "source_id": rows["source_id"], "duplicate": pa.repeat(False, count),
    }  # fmt: skip
    store.append("input_row", pa.table(seen))
    if changed.true_count:
        other = {"position": position, "pair_id": rows["pair_id"], "metadata": rows["metadata"]}
        store.append("other_fields", pa.table(other).filter(changed))
    if labels.num_rows:
        placed = pa.array(labels["position"].to_numpy() + start)
        store.append("row_label", labels.set_column(0, "position", placed))


def _mark_duplicates(store: Store) -> None:
    """Find the rows that repeat an earlier row of the input, over the ids alone; each pair is kept once."""
    store.rows(
        """CREATE OR REPLACE TEMP TABLE repeated AS
        SELECT pair_id, min(position) AS position FROM input_row GROUP BY pair_id HAVING count(*) > 1"""
    )
    if not store.count("SELECT count(*) FROM repeated"):
        return
    store.rows(
        """UPDATE input_row SET duplicate = true FROM repeated
        WHERE input_row.pair_id = repeated.pair_id AND input_row.position > repeated.position"""
    )
    store.rows(
        """DELETE FROM pair WHERE rowid IN (
            SELECT pair.rowid FROM pair JOIN repeated USING (pair_id)
            QUALIFY row_number() OVER (PARTITION BY pair_id ORDER BY pair.rowid) > 1)"""
    )


def _replace_fields(store: Store) -> None:
    """Give known pairs the fields of their rows, where these differ: groups are made of what the input says now."""
    if not store.count("SELECT count(*) FROM other_fields"):
        return
    store.rows(
        """UPDATE pair SET metadata = other_fields.metadata
        FROM other_fields JOIN input_row USING (position)
        WHERE pair.pair_id = other_fields.pair_id AND NOT input_row.duplicate"""
    )
