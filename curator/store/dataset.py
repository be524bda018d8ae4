"""Reads the rows of the training data set."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from curator.store.connection import Store
from curator.store.filters import Condition

_FINAL = """
    SELECT pair_id, coalesce(l.verdict, d.label) = 'a' AS a_chosen, l.verdict IS NOT NULL AS human
    FROM input LEFT JOIN (SELECT pair_id, verdict FROM label WHERE verdict <> 'skip') l USING (pair_id)
         LEFT JOIN (SELECT pair_id, label FROM decision WHERE label IS NOT NULL) d USING (pair_id)
    WHERE role = 'pool' AND coalesce(l.verdict, d.label) IN ('a', 'b') AND {where}
"""
"""The pairs of the data set: people's verdicts first of all, then accepted auto labels."""

_DATASET = ["prompt", "chosen", "rejected", "pair_id", "p_chosen", "bpe", "label_source"]


def dataset(store: Store, where: Condition | None = None, batch: int = 10_000) -> Iterator[pa.RecordBatch]:
    """Rows of the training data set, in the order in which the store came to know the pairs.

    Nothing that holds text is sorted or joined: the texts are read once from end to end, and what was decided about
    them, in the same order, beside them.

    Args:
        where: leave out the pairs for which it does not hold.

    Yields:
        Batches with prompt, chosen, rejected (messages), pair_id, p_chosen, bpe, label_source.
    """
    store.rows(
        f"""CREATE OR REPLACE TEMP TABLE final AS
        SELECT pair.rowid AS place, a_chosen, if(a_chosen, s.p_a, s.p_b) AS p_chosen, s.bpe,
               if(human, 'human', 'auto') AS label_source
        FROM ({_final(where)}) JOIN pair USING (pair_id) LEFT JOIN score s USING (pair_id) ORDER BY place"""
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


def _final(where: Condition | None) -> str:
    return _FINAL.format(where="true" if where is None else where.sql)


def dataset_counts(store: Store, where: Condition | None = None) -> dict[str, int]:
    """Rows of the data set by label source."""
    human, rows = store.one(f"SELECT count(*) FILTER (human), count(*) FROM ({_final(where)})")
    return {"auto": rows - human, "human": human}
