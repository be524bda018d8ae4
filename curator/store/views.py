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

_WAITS = """
    role = 'pool' AND (w.pair_id IS NOT NULL OR l.verdict IS NULL AND (
        draw.pair_id IS NOT NULL OR audit.pair_id IS NOT NULL OR coalesce(d.decision, 'abstain') = 'abstain'))
"""
"""Which pairs are tasks for people."""

_PLACES = """
    input LEFT JOIN label l USING (pair_id) LEFT JOIN decision d USING (pair_id) LEFT JOIN draw USING (pair_id)
    LEFT JOIN audit USING (pair_id) LEFT JOIN recheck_waiting w USING (pair_id) LEFT JOIN score s USING (pair_id)
"""

# Pairs of the audit, and those that come back in doubt, stand at random places among those that the judge abstained on:
# neither their place nor their form tells them apart. Yet another hash decides, or audited pairs would stand together.
_TASK = f"""
    WITH task AS MATERIALIZED (
        SELECT pair_id, s.bpe, input.position, w.pair_id IS NOT NULL AS again,
               if(again, NULL, draw.position) AS drawn,
               drawn IS NULL AND (again OR coalesce(d.decision, 'abstain') = 'accept') AS hidden
        FROM {_PLACES} WHERE {_WAITS}
    )
    SELECT pair_id, drawn, again,
           row_number() OVER (PARTITION BY drawn IS NULL ORDER BY bpe DESC NULLS LAST, position)::DOUBLE AS place
    FROM task WHERE NOT hidden
    UNION ALL
    SELECT pair_id, drawn, again, (SELECT count(*) + 1 FROM task WHERE drawn IS NULL AND NOT hidden)
               * (md5_number_lower('place' || $seed || pair_id) / 18446744073709551616)
    FROM task WHERE hidden
"""

# Sorted before the lines are made: DuckDB sorts three texts faster than one as long. The coin for the sides is that of
# curator.pair.first_by_hash; a pair that comes back in doubt shows its sides the other way round.
_QUEUE = f"""
    SELECT '{{"pair_id":"' || pair_id || '","prompt":' || prompt
           || ',"left":' || to_json(if(a_left, response_a, response_b))::VARCHAR
           || ',"right":' || to_json(if(a_left, response_b, response_a))::VARCHAR
           || ',"label":null,"annotator":null,"note":null}}' || chr(10) AS line
    FROM (SELECT pair_id, prompt, response_a, response_b, (md5(pair_id || $seed) < '8') <> again AS a_left
          FROM ({_TASK}) JOIN pair USING (pair_id) ORDER BY drawn NULLS LAST, place, pair_id)
"""


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


def queue(store: Store) -> Iterator[tuple[int, pa.Buffer]]:
    """Tasks for people: the unfinished calibration draw in its order, then what the judge knows least about, and among
    it, at random places, accepted pairs of the audit and pairs whose labels are in doubt.

    Yields:
        How many tasks, and their lines of queue.jsonl.
    """
    for rows in store.stream(_QUEUE, 10_000, {"seed": store.seed}):
        lines = rows.column(0).cast(pa.large_string())
        _, offsets, text = lines.buffers()
        if len(lines):
            start, *_, end = np.frombuffer(offsets, np.int64)[[lines.offset, lines.offset + len(lines)]].tolist()
            yield len(lines), text.slice(start, end - start)


def counts(store: Store) -> dict[str, Any]:
    """What the store holds about the latest input."""
    return store.records(
        f"""SELECT count(*) AS pairs,
               count(*) FILTER (l.verdict IS NOT NULL) AS labelled,
               count(*) FILTER (c.pair_id IS NOT NULL) AS calibration_labels,
               count(*) FILTER (s.pair_id IS NOT NULL) AS judged,
               count(*) FILTER (s.p_tie > s.p_a AND s.p_tie > s.p_b) AS judge_ties,
               count(*) FILTER ({_WAITS}) AS waiting,
               count(*) FILTER (l.verdict IS NULL AND draw.pair_id IS NOT NULL) AS waiting_for_calibration,
               count(*) FILTER (l.verdict IS NULL AND draw.pair_id IS NULL AND audit.pair_id IS NOT NULL
                                AND d.decision = 'accept') AS waiting_for_audit,
               count(w.pair_id) AS waiting_again
        FROM {_PLACES} LEFT JOIN calibration_label c USING (pair_id) WHERE role = 'pool'"""
    )[0]


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
