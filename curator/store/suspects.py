"""Stores which responses talk to the judge; found when a pair comes in, from its texts alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import reduce

import pyarrow as pa
import pyarrow.compute as pc

from curator import suspicion
from curator.pair import content_id
from curator.store.connection import Store

_FOUND_BY = "signs found by"
_BATCH = 20_000

_SIGNS = pa.schema([("pair_id", pa.string()), ("response", pa.string()), ("sign", pa.string())])


def add_signs(store: Store, rows: pa.Table) -> None:
    """Store the signs of some pairs. Columns pair_id, response_a and response_b."""
    found = [
        (pair_id, side, sign)
        for side in ("a", "b")
        for pair_id, signs in _signs(rows["pair_id"], rows[f"response_{side}"])
        for sign in signs
    ]
    if found:
        store.append("sign", pa.table(list(zip(*dict.fromkeys(found), strict=True)), schema=_SIGNS))


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


def _signs(pair_ids: pa.ChunkedArray, texts: pa.ChunkedArray) -> Iterator[tuple[str, Sequence[str]]]:
    """The signs of each text that has any. Arrow's RE2 goes through millions of texts, and without Python's lock."""
    words, *others = (pc.match_substring_regex(texts, pattern) for pattern in suspicion.GLANCES)
    near = reduce(pc.or_, others)
    said = pc.and_not(words, near)
    nearer = reduce(pc.or_, (pc.match_substring_regex(texts.filter(said), pattern) for pattern in suspicion.CLOSER))
    for ids, read in ((pair_ids, texts), (pair_ids.filter(said), texts.filter(said))):
        which = near if read is texts else nearer
        yield from zip(ids.filter(which).to_pylist(), map(suspicion.signs, read.filter(which).to_pylist()), strict=True)
    # Those that were not read may still repeat themselves; of what was read nothing is lost by asking once more.
    long = pc.greater_equal(pc.binary_length(texts), suspicion.LONG)
    for pair_id, text in zip(pair_ids.filter(long).to_pylist(), texts.filter(long).to_pylist(), strict=True):
        if suspicion.repeats(text):
            yield pair_id, ("repetition",)
