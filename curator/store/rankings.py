"""Reads what is known of the pairs of each prompt, for the order of its responses."""

from __future__ import annotations

from collections.abc import Iterator

import pyarrow as pa

from curator.store.connection import Store

_KNOWN = """
    WITH placed AS (
        SELECT pair_id, position, min(position) OVER (PARTITION BY prompt_id) AS first
        FROM input JOIN pair USING (pair_id) WHERE role = 'pool'
    ), judged AS (
        SELECT pair_id, least(p_a + p_tie / 2, 1) AS a, least(p_b + p_tie / 2, 1) AS b FROM score
    ), said AS (
        SELECT pair_id, CASE verdict WHEN 'a' THEN 1 WHEN 'b' THEN 0 ELSE 0.5 END AS a
        FROM label WHERE verdict IN ('a', 'b', 'tie')
    )
    SELECT prompt_id, prompt::JSON::STRUCT("role" VARCHAR, content VARCHAR)[] AS prompt, pair_id,
           response_a, json_extract_string(metadata, '/model_a') AS model_a,
           response_b, json_extract_string(metadata, '/model_b') AS model_b,
           said.a IS NOT NULL AS human,
           coalesce(said.a, judged.a)::DOUBLE AS a, coalesce(1 - said.a, judged.b)::DOUBLE AS b
    FROM placed JOIN pair USING (pair_id) LEFT JOIN judged USING (pair_id) LEFT JOIN said USING (pair_id)
    ORDER BY first, position
"""
"""People's verdicts first of all, then what the latest judge says, half of a tie for either side. Sorted on the disk
where it does not fit into memory."""


def known_pairs(store: Store, batch: int = 2_000) -> Iterator[pa.RecordBatch]:
    """Every pair of the raw file, those of a prompt one after another; prompts in the order in which they came.

    Yields:
        Batches with prompt_id, prompt (messages), pair_id, response_a, response_b, model_a, model_b (null: not known),
        human (whether people said it), a and b (how far either is better; null: nobody has said anything).
    """
    yield from store.stream(_KNOWN, batch)
