"""Reads the store for exports, summaries and people."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from curator.errors import StoreError
from curator.store.connection import Store, open_store

_FINAL = """
    SELECT pair_id, coalesce(l.verdict, d.label) = 'a' AS a_chosen, l.verdict IS NOT NULL AS human
    FROM input LEFT JOIN (SELECT pair_id, verdict FROM label WHERE verdict <> 'skip') l USING (pair_id)
         LEFT JOIN (SELECT pair_id, label FROM decision WHERE label IS NOT NULL) d USING (pair_id)
    WHERE role = 'pool' AND coalesce(l.verdict, d.label) IN ('a', 'b')
"""
"""The pairs of the data set: people's verdicts first of all, then accepted auto labels."""

_DATASET = ["prompt", "chosen", "rejected", "pair_id", "p_chosen", "bpe", "label_source"]


def dataset(store: Store, batch: int = 10_000) -> Iterator[pa.RecordBatch]:
    """Rows of the training data set, in the order in which the store came to know the pairs.

    Nothing that holds text is sorted or joined: the texts are read once from end to end, and what was decided about
    them, in the same order, beside them.

    Yields:
        Batches with prompt, chosen, rejected (messages), pair_id, p_chosen, bpe, label_source.
    """
    store.rows(
        f"""CREATE OR REPLACE TEMP TABLE final AS
        SELECT pair.rowid AS place, a_chosen, if(a_chosen, s.p_a, s.p_b) AS p_chosen, s.bpe,
               if(human, 'human', 'auto') AS label_source
        FROM ({_FINAL}) JOIN pair USING (pair_id) LEFT JOIN score s USING (pair_id) ORDER BY place"""
    )
    first, last = store.one("SELECT coalesce(min(place), 0), coalesce(max(place), -1) FROM final")
    texts = store.stream(
        f"""SELECT rowid AS place, prompt::JSON::STRUCT("role" VARCHAR, content VARCHAR)[] AS prompt,
                   response_a, response_b, pair_id
        FROM pair WHERE rowid BETWEEN {first:d} AND {last:d}""",
        batch,
    )
    for rows in texts:
        places = rows["place"].to_numpy()
        if not places.size:
            continue
        decided = store.arrow(
            "SELECT * FROM final WHERE place BETWEEN ? AND ? ORDER BY place", [int(places[0]), int(places[-1])]
        )
        kept = rows.take(pa.array(np.searchsorted(places, decided["place"].to_numpy())))
        prompt, a, b, pair_id = (kept.column(name) for name in ("prompt", "response_a", "response_b", "pair_id"))
        a_chosen, p_chosen, bpe, source = (column.combine_chunks() for column in decided.columns[1:])
        chosen, rejected = _answers(pc.if_else(a_chosen, a, b)), _answers(pc.if_else(a_chosen, b, a))
        yield pa.record_batch([prompt, chosen, rejected, pair_id, p_chosen, bpe, source], names=_DATASET)


def _answers(content: pa.Array) -> pa.Array:
    """Each text as a conversation of one assistant message."""
    messages = pa.StructArray.from_arrays([pa.repeat("assistant", len(content)), content], ["role", "content"])
    return pa.ListArray.from_arrays(pa.array(np.arange(len(content) + 1, dtype=np.int32)), messages)


def dataset_counts(store: Store) -> dict[str, int]:
    """Rows of the data set by label source."""
    human, rows = store.one(f"SELECT count(*) FILTER (human), count(*) FROM ({_FINAL})")
    return {"auto": rows - human, "human": human}


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


def query(path: Path, sql: str) -> pa.Table:
    """The result of a query by the user; the store is open for reading only, and no other file is.

    Raises:
        StoreError: DuckDB refuses the query; its words say why.
    """
    with open_store(path, create=False, read_only=True) as store:
        try:
            return store.arrow(sql)
        except duckdb.Error as error:
            raise StoreError(str(error)) from None
