"""The tasks for people: which pairs wait for somebody, in which order, and how they are shown."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from curator.store.connection import Store

_WAITS = """
    role = 'pool' AND (w.pair_id IS NOT NULL
        OR blind.pair_id IS NULL AND (draw.pair_id IS NOT NULL OR audit.pair_id IS NOT NULL)
        OR l.verdict IS NULL AND coalesce(d.decision, 'abstain') = 'abstain')
"""
"""Which pairs are tasks for people. Draw and audit want the label of somebody who has not been shown a verdict."""

_PLACES = """
    input LEFT JOIN label l USING (pair_id) LEFT JOIN decision d USING (pair_id) LEFT JOIN draw USING (pair_id)
    LEFT JOIN audit USING (pair_id) LEFT JOIN recheck_waiting w USING (pair_id) LEFT JOIN score s USING (pair_id)
    LEFT JOIN blind_label blind USING (pair_id)
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
_LINE = """
    '{"pair_id":"' || pair_id || '","prompt":' || prompt
           || ',"left":' || to_json(if(a_left, response_a, response_b))::VARCHAR
           || ',"right":' || to_json(if(a_left, response_b, response_a))::VARCHAR
           || ',"label":null,"annotator":null,"note":null}' || chr(10) AS line
"""

_QUEUE = f"""
    SELECT {_LINE}
    FROM (SELECT pair_id, prompt, response_a, response_b, (md5(pair_id || $seed) < '8') <> again AS a_left
          FROM ({_TASK}) JOIN pair USING (pair_id) ORDER BY drawn NULLS LAST, place, pair_id)
"""


def task_lines(store: Store) -> Iterator[tuple[int, pa.Buffer]]:
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


def task_ids(store: Store) -> list[str]:
    """Pairs that wait for people, in the order of the queue."""
    rows = store.arrow(f"SELECT pair_id FROM ({_TASK}) ORDER BY drawn NULLS LAST, place, pair_id", {"seed": store.seed})
    return rows["pair_id"].to_pylist()  # type: ignore[no-any-return]


def lines_of(store: Store, pair_ids: Sequence[str], most: int | None = None) -> dict[str, bytes]:
    """Lines of queue.jsonl of some pairs, whether they wait or not; without those of more than `most` bytes."""
    wanted = pa.table({"pair_id": pa.array(pair_ids, pa.string())})
    with store.incoming(wanted):
        rows = store.rows(
            f"""SELECT pair_id, {_LINE} FROM (
                SELECT pair_id, prompt, response_a, response_b,
                       (md5(pair_id || $seed) < '8') <> (pair_id IN (SELECT pair_id FROM recheck)) AS a_left
                FROM pair WHERE pair_id IN (SELECT pair_id FROM incoming)
                  AND coalesce(strlen(prompt) + strlen(response_a) + strlen(response_b) <= $most, true)
            )""",
            {"seed": store.seed, "most": most},
        )
    return {pair_id: line.encode() for pair_id, line in rows}


def counts(store: Store) -> dict[str, Any]:
    """What the store holds about the latest input."""
    return store.records(
        f"""SELECT count(*) AS pairs,
               count(*) FILTER (l.verdict IS NOT NULL) AS labelled,
               count(*) FILTER (c.pair_id IS NOT NULL) AS calibration_labels,
               count(*) FILTER (s.pair_id IS NOT NULL) AS judged,
               count(*) FILTER (s.p_tie > s.p_a AND s.p_tie > s.p_b) AS judge_ties,
               count(*) FILTER ({_WAITS}) AS waiting,
               count(*) FILTER (blind.pair_id IS NULL AND draw.pair_id IS NOT NULL) AS waiting_for_calibration,
               count(*) FILTER (blind.pair_id IS NULL AND draw.pair_id IS NULL AND audit.pair_id IS NOT NULL
                                AND d.decision = 'accept') AS waiting_for_audit,
               count(w.pair_id) AS waiting_again
        FROM {_PLACES} LEFT JOIN calibration_label c USING (pair_id) WHERE role = 'pool'"""
    )[0]
