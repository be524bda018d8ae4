"""Stores which responses talk to the judge; found when a pair comes in, from its texts alone."""

from __future__ import annotations

import pyarrow as pa

from curator import suspicion
from curator.pair import content_id
from curator.store.connection import Store

_FOUND_BY = "signs found by"
_BATCH = 20_000

_SIGNS = pa.schema([("pair_id", pa.string()), ("response", pa.string()), ("sign", pa.string())])


def add_signs(store: Store, rows: pa.Table) -> None:
    """Store the signs of some pairs. Columns pair_id, response_a and response_b."""
    found = [
        (rows["pair_id"][row].as_py(), side, sign)
        for side in ("a", "b")
        for row, sign in suspicion.find(rows[f"response_{side}"].combine_chunks())
    ]
    if found:
        store.append("sign", pa.table(list(zip(*found, strict=True)), schema=_SIGNS))


def find_anew(store: Store) -> None:
    """Find the signs of all stored pairs again, where those that the store holds were found in another way."""
    digest = content_id(*suspicion.RULES)
    if store.setting(_FOUND_BY, "") == digest:
        return
    store.rows("DELETE FROM sign")
    for batch in store.stream("SELECT pair_id, response_a, response_b FROM pair", _BATCH):
        add_signs(store, pa.Table.from_batches([batch]))
    store.set(_FOUND_BY, digest)


def suspect_counts(store: Store) -> tuple[int, dict[str, int]]:
    """Pairs of the raw file of which a response talks to the judge, and how many show which sign, most first."""
    found = store.rows(
        """SELECT sign, count(*) AS pairs FROM input JOIN suspect USING (pair_id), unnest(signs) AS each(sign)
        WHERE role = 'pool' GROUP BY sign ORDER BY pairs DESC, sign"""
    )
    pairs = store.count("SELECT count(*) FROM input JOIN suspect USING (pair_id) WHERE role = 'pool'")
    return pairs, dict(found)
