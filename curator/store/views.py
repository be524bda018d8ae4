"""Reads the store for exports, summaries and people."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import orjson
import pyarrow as pa

from curator.errors import StoreError
from curator.pair import first_by_hash
from curator.store.connection import Store, open_store

_MESSAGES = "STRUCT(role VARCHAR, content VARCHAR)[]"

DATASET_SQL = f"""
    WITH input AS (
        SELECT pair_id, min(position) AS position FROM input_row WHERE role = 'pool' GROUP BY pair_id
    ), final AS (
        SELECT pair_id, position, coalesce(l.verdict, d.label) AS verdict,
               CASE WHEN l.verdict IS NOT NULL THEN 'human' ELSE 'auto' END AS label_source
        FROM input LEFT JOIN (SELECT * FROM label WHERE verdict <> 'skip') l USING (pair_id)
             LEFT JOIN decision d USING (pair_id)
    )
    SELECT CAST(p.prompt::JSON AS {_MESSAGES}) AS prompt,
           [{{'role': 'assistant', 'content': if(f.verdict = 'a', response_a, response_b)}}] AS chosen,
           [{{'role': 'assistant', 'content': if(f.verdict = 'a', response_b, response_a)}}] AS rejected,
           pair_id, if(f.verdict = 'a', s.p_a, 1 - s.p_a) AS p_chosen, s.bpe, f.label_source
    FROM final f JOIN pair p USING (pair_id) LEFT JOIN score s USING (pair_id)
    WHERE f.verdict IN ('a', 'b') ORDER BY f.position
"""

QUEUE_SQL = f"""
    WITH input AS (
        SELECT pair_id, min(position) AS position FROM input_row WHERE role = 'pool' GROUP BY pair_id
    )
    SELECT pair_id, CAST(p.prompt::JSON AS {_MESSAGES}) AS prompt, response_a, response_b
    FROM input JOIN pair p USING (pair_id) LEFT JOIN decision d USING (pair_id) LEFT JOIN draw USING (pair_id)
         LEFT JOIN score s USING (pair_id)
    WHERE pair_id NOT IN (SELECT pair_id FROM label)
      AND (draw.pair_id IS NOT NULL OR coalesce(d.decision, 'abstain') = 'abstain')
    ORDER BY draw.draw_number NULLS LAST, draw.position, s.bpe DESC NULLS LAST, input.position
"""


def dataset(store: Store, batch: int = 10_000) -> Iterator[pa.RecordBatch]:
    """Rows of the training data set, in input order: people's verdicts first of all, then accepted auto labels."""
    yield from store.stream(DATASET_SQL, batch)


def queue(store: Store) -> Iterator[dict[str, Any]]:
    """Tasks for people: the unfinished calibration draw in its order, then what the judge knows least about."""
    seed = store.seed
    for rows in store.stream(QUEUE_SQL, 1_000):
        for row in rows.to_pylist():
            a, b = row["response_a"], row["response_b"]
            left, right = (a, b) if first_by_hash(seed, row["pair_id"]) else (b, a)
            yield {
                "pair_id": row["pair_id"], "prompt": row["prompt"], "left": left, "right": right,
                "label": None, "annotator": None, "note": None,
            }  # fmt: skip


def counts(store: Store) -> dict[str, Any]:
    """What the store holds about the latest input."""
    return store.records(
        """WITH input AS (SELECT DISTINCT pair_id FROM input_row WHERE role = 'pool')
        SELECT count(*) AS pairs,
               count(*) FILTER (l.verdict IS NOT NULL) AS labelled,
               count(*) FILTER (c.pair_id IS NOT NULL) AS calibration_labels,
               count(*) FILTER (s.pair_id IS NOT NULL) AS judged,
               count(*) FILTER (l.verdict IS NULL AND d.decision = 'accept') AS auto_labelled,
               count(*) FILTER (l.verdict IS NULL AND (
                   draw.pair_id IS NOT NULL OR coalesce(d.decision, 'abstain') = 'abstain')) AS waiting,
               count(*) FILTER (l.verdict IS NULL AND draw.pair_id IS NOT NULL) AS waiting_for_calibration
        FROM input LEFT JOIN label l USING (pair_id) LEFT JOIN calibration_label c USING (pair_id)
             LEFT JOIN score s USING (pair_id) LEFT JOIN decision d USING (pair_id) LEFT JOIN draw USING (pair_id)"""
    )[0]


def dataset_counts(store: Store) -> dict[str, int]:
    """Rows of the data set by label source."""
    rows = store.rows(f"SELECT label_source, count(*) FROM ({DATASET_SQL}) GROUP BY ALL")
    return {"auto": 0, "human": 0, **dict(rows)}


def failures(store: Store, judge_id: str) -> list[tuple[str, int]]:
    """Why judgments of the input failed, most frequent first."""
    return store.rows(
        """SELECT reason, count(*) FROM judgment
        WHERE judge_id = ? AND status = 'failed' AND pair_id IN (SELECT pair_id FROM input_row)
        GROUP BY reason ORDER BY count(*) DESC, reason""",
        [judge_id],
    )


def tokens(store: Store, judge_id: str) -> tuple[int, int]:
    """Prompt tokens of the input's judgments, and how many of them a prefix cache served."""
    sent, cached = store.one(
        """SELECT coalesce(sum(prompt_tokens), 0)::BIGINT, coalesce(sum(cached_tokens), 0)::BIGINT FROM judgment
        WHERE judge_id = ? AND pair_id IN (SELECT pair_id FROM input_row)""",
        [judge_id],
    )
    return sent, cached


def first_shown_share(store: Store, judge_id: str) -> float | None:
    """How often the response shown first was preferred: one half for a judge without position bias."""
    share = store.one(
        """SELECT avg(CASE WHEN logprob_a = logprob_b THEN 0.5
                           WHEN (logprob_a > logprob_b) = (pair_order = 'ab') THEN 1 ELSE 0 END)
        FROM judgment WHERE judge_id = ? AND status = 'ok' AND pair_id IN (SELECT pair_id FROM input_row)""",
        [judge_id],
    )[0]
    return None if share is None else float(share)


def calibration_rows(store: Store) -> tuple[int, int]:
    """Distinct prompts of the calibration rows, and how many of the rows curator drew itself."""
    prompts, drawn = store.one(
        """SELECT count(DISTINCT prompt_id), count(DISTINCT draw.pair_id)
        FROM input_row JOIN calibration_label USING (pair_id) JOIN pair USING (pair_id)
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
