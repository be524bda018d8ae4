"""Reads the store for exports, summaries and people."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import orjson
import pyarrow as pa
from numpy.typing import NDArray

from curator.errors import StoreError
from curator.store.connection import Store, open_store


@dataclass(frozen=True, slots=True)
class Replies:
    """What a judge's replies about the input came to.

    Attributes:
        failures: why replies failed, most frequent first.
        tokens, cached_tokens: prompt tokens, and how many of them a prefix cache served.
    """

    failures: list[tuple[str, int]]
    tokens: int
    cached_tokens: int


def replies(store: Store, judge_id: str, read: NDArray[np.bool_]) -> Replies:
    """Sum up a judge's replies about the pairs of the table `judged` that it was to read; shape (n_pairs,)."""
    with store.incoming(pa.table({"wanted": read})):
        store.rows(
            """CREATE OR REPLACE TEMP TABLE read_pair AS
            SELECT pair_id FROM judged POSITIONAL JOIN incoming WHERE wanted"""
        )
    failed, sent, cached = store.one(
        """SELECT count(*) FILTER (status = 'failed'), coalesce(sum(prompt_tokens), 0)::BIGINT,
               coalesce(sum(cached_tokens), 0)::BIGINT
        FROM judgment WHERE judge_id = ? AND pair_id IN (SELECT pair_id FROM read_pair)""",
        [judge_id],
    )
    failures = [] if not failed else store.rows(
        """SELECT reason, count(*) FROM judgment
        WHERE judge_id = ? AND status = 'failed' AND pair_id IN (SELECT pair_id FROM read_pair)
        GROUP BY reason ORDER BY count(*) DESC, reason""",
        [judge_id],
    )  # fmt: skip
    return Replies(failures, sent, cached)


def calibration_rows(store: Store) -> tuple[int, int]:
    """Distinct prompts of the calibration rows, and how many of the rows curator drew itself."""
    prompts, drawn = store.one(
        """SELECT count(DISTINCT prompt_id), count(DISTINCT draw.pair_id)
        FROM input JOIN calibration_label USING (pair_id) JOIN pair USING (pair_id)
             LEFT JOIN draw USING (pair_id)"""
    )
    return prompts, drawn


def add_run(store: Store, version: str, command: str, result: dict[str, Any]) -> None:
    """Record what a run did."""
    store.rows(
        "INSERT INTO run (run_id, version, command, result) SELECT coalesce(max(run_id), 0) + 1, ?, ?, ? FROM run",
        [version, command, orjson.dumps(result).decode()],
    )


def latest_run(store: Store) -> dict[str, Any] | None:
    """What the latest run came to."""
    rows = store.rows("SELECT result FROM run ORDER BY run_id DESC LIMIT 1")
    return orjson.loads(rows[0][0]) if rows else None


@contextmanager
def query(path: Path, sql: str) -> Iterator[tuple[list[str], Iterator[tuple[Any, ...]]]]:
    """Names of the columns and rows of a query by the user; the store is open for reading only, and no other file is.

    However many rows there are, some are in memory.

    Raises:
        StoreError: DuckDB refuses the query, also while rows are read; its words say why.
    """
    with open_store(path, create=False, read_only=True) as store:
        try:
            with store.reading(sql) as found:
                yield found
        except duckdb.Error as error:
            raise StoreError(str(error)) from None
