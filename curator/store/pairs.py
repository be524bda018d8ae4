"""Stores pairs and which of them the latest input named."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import PurePath

import orjson
import pyarrow as pa

from curator.pair import Origin, Pair
from curator.prompts import prompt_from_json, prompt_json
from curator.store.connection import Store
from curator.store.labels import Label, add_labels

BATCH = 5_000
"""Pairs a transaction step: enough that an anti-join over what is stored costs little a pair."""

_ROW = pa.schema(
    [
        pa.field(name, pa.int64() if name in {"position", "line"} else pa.string())
        for name in (
            "position", "pair_id", "prompt_id", "prompt", "response_a", "response_b",
            "metadata", "file", "line", "source_id",
        )
    ]
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Added:
    """What became of the rows of one input: `pairs` distinct ones, of which `new` were not stored before."""

    pairs: int
    duplicates: int
    new: int
    labels: int


def replace_input(store: Store, sources: Iterable[tuple[str, Iterable[Pair]]]) -> dict[str, Added]:
    """Store the pairs of (role, pairs) sources as the new input; all or nothing.

    A pair that was routed before and comes back labelled was perhaps labelled because it is hard: its label is
    kept as a review label. Rows of role "calibration" were given as a random sample and count as such.
    """
    with store.transaction():
        store.rows("DELETE FROM input_row")
        store.seed  # noqa: B018 - fixed before anything depends on it
        position = 0
        added: dict[str, Added] = {}
        for role, pairs in sources:
            before = store.count("SELECT count(*) FROM pair")
            rows = labels = 0
            for chunk in _chunks(pairs):
                labels += _add(store, role, chunk, position + rows)
                rows += len(chunk)
            duplicates = store.count("SELECT count(*) FROM input_row WHERE role = ? AND duplicate", [role])
            new = store.count("SELECT count(*) FROM pair") - before
            added[role] = Added(rows - duplicates, duplicates, new, labels)
            position += rows
        return added


def stored_pairs(store: Store) -> Iterator[Pair]:
    """Every pair of the store, without labels; some thousand at a time in memory."""
    for batch in store.stream("SELECT prompt, response_a, response_b, metadata, file, line FROM pair", BATCH):
        for row in batch.to_pylist():
            texts, rest = (row.pop("response_a"), row.pop("response_b")), orjson.loads(row.pop("metadata"))
            yield Pair(prompt_from_json(row.pop("prompt")), *texts, metadata=rest, **row)


def _chunks(pairs: Iterable[Pair]) -> Iterator[tuple[Pair, ...]]:
    rows = iter(pairs)
    while chunk := tuple(islice(rows, BATCH)):
        yield chunk


def _add(store: Store, role: str, pairs: tuple[Pair, ...], start: int) -> int:
    ids = [pair.pair_id for pair in pairs]
    rows = pa.table(
        {
            "position": range(start, start + len(pairs)),
            "pair_id": ids,
            "prompt_id": [pair.prompt_id for pair in pairs],
            "prompt": [prompt_json(pair.prompt) for pair in pairs],
            "response_a": [pair.response_a for pair in pairs],
            "response_b": [pair.response_b for pair in pairs],
            "metadata": [orjson.dumps(pair.metadata).decode() for pair in pairs],
            "file": [pair.file for pair in pairs],
            "line": [pair.line for pair in pairs],
            "source_id": [pair.source_id for pair in pairs],
        },
        schema=_ROW,
    )
    with store.incoming(rows):
        store.rows(
            """INSERT INTO pair
            SELECT pair_id, prompt_id, prompt, response_a, response_b, metadata, file, line FROM incoming
            WHERE pair_id NOT IN (SELECT pair_id FROM pair)
            QUALIFY row_number() OVER (PARTITION BY pair_id ORDER BY position) = 1 ORDER BY position"""
        )
        store.rows(
            """INSERT INTO input_row
            SELECT position, $role, file, line, pair_id, source_id,
                   row_number() OVER (PARTITION BY pair_id ORDER BY position) > 1
                   OR pair_id IN (SELECT pair_id FROM input_row)
            FROM incoming ORDER BY position""",
            {"role": role},
        )
    return _add_labels(store, role, pairs, ids)


def _add_labels(store: Store, role: str, pairs: tuple[Pair, ...], ids: list[str]) -> int:
    """Labels that rows carry; each further row of one pair in a file is another vote."""
    if all(pair.label is None for pair in pairs):
        return 0
    labelled = pa.table({"pair_id": ids, "labelled": [pair.label is not None for pair in pairs]})
    with store.incoming(labelled):
        routed = {
            row[0]
            for row in store.rows(
                """SELECT pair_id FROM incoming WHERE labelled AND pair_id IN (
                    SELECT pair_id FROM decision JOIN calibration USING (calibration_id) WHERE threshold IS NOT NULL)
                AND pair_id NOT IN (SELECT pair_id FROM human_label WHERE origin = 'calibration')
                AND pair_id NOT IN (SELECT pair_id FROM draw)"""
            )
        }
    votes: dict[tuple[str, str], int] = {}
    labels = []
    for pair, pair_id in zip(pairs, ids, strict=True):
        if pair.label is None:
            continue
        name = PurePath(pair.file).name
        vote = votes[pair_id, name] = votes.get((pair_id, name), 0) + 1
        origin = Origin.REVIEW if role == "pool" and pair_id in routed else Origin.CALIBRATION
        labels.append(Label(pair_id, name if vote == 1 else f"{name}#{vote}", pair.label, origin))
    return add_labels(store, labels).added
