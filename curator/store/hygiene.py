"""Keeps the traits of pairs and prompts that `curator hygiene` finds, and finds texts that may be near duplicates.

No open stream is used: it would not see what the same transaction has stored.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from curator.store.connection import Store

PAGE = 2_000
"""Rows with texts that are in memory at a time."""

_NUMBER, _SIMILARITY = "traits number", "similarity"

PROMPT_TRAITS = pa.schema(
    [
        ("prompt_id", pa.string()), ("language", pa.string()), ("cluster", pa.string()),
        ("bands", pa.list_(pa.uint32())),
    ]
)  # fmt: skip
PAIR_TRAITS = pa.schema(
    [
        ("pair_id", pa.string()), ("language_a", pa.string()), ("language_b", pa.string()), ("alike", pa.float64()),
        ("near_group", pa.string()),
    ]
)  # fmt: skip
LEAKS = pa.schema([("prompt_id", pa.string()), ("against", pa.string()), ("line", pa.int64())])
RUNS = pa.schema([("name", pa.string()), ("run", pa.uint64()), ("line", pa.int64())])


def traits_number(store: Store) -> int:
    """How often traits have changed."""
    return int(store.setting(_NUMBER, "0"))


def traits_changed(store: Store) -> None:
    """Note that traits have changed."""
    store.set(_NUMBER, str(traits_number(store) + 1))


def use_similarity(store: Store, similarity: float | None) -> float:
    """The similarity from which on texts are near duplicates: as given, else as before, else 0.8.

    With another one than before, all traits are forgotten.
    """
    known = float(store.setting(_SIMILARITY, "0.8"))
    if similarity is None or similarity == known:
        return known
    store.rows("DELETE FROM prompt_trait")
    store.rows("DELETE FROM pair_trait")
    store.rows("DELETE FROM leak")
    store.set(_SIMILARITY, repr(similarity))
    return similarity


def forget_evaluation(store: Store, name: str) -> None:
    """Forget an evaluation set, and which prompts stand in it."""
    store.rows("DELETE FROM evaluation WHERE name = ?", [name])
    store.rows("DELETE FROM leak WHERE against = ?", [name])


def evaluation_runs(store: Store) -> tuple[NDArray[np.uint64], list[str], NDArray[np.int64], NDArray[np.int64]]:
    """What stands in the evaluation sets: runs in order, names of the sets, and for each run its set and line."""
    table = store.arrow("""SELECT run, name, min(line) AS line FROM evaluation GROUP BY run, name ORDER BY run, name""")
    names = [name for (name,) in store.rows("SELECT DISTINCT name FROM evaluation ORDER BY name")]
    place = {name: i for i, name in enumerate(names)}
    sets = np.array([place[name] for name in table["name"].to_pylist()], np.int64)
    return table["run"].to_numpy(), names, sets, table["line"].to_numpy()


def begin_prompts(store: Store, *, known_too: bool) -> int:
    """Gather the prompts to be read, in the order in which they are stored; how many there are.

    Args:
        known_too: those that have traits, too: they are compared with a new evaluation set.
    """
    known = "UNION SELECT prompt_id, true FROM prompt_trait" if known_too else ""
    store.rows(
        f"""CREATE OR REPLACE TEMP TABLE read_prompt AS
        SELECT *, row_number() OVER (ORDER BY place) - 1 AS number FROM (
        SELECT prompt_id, known, min(pair.rowid) AS place FROM pair JOIN (
            SELECT DISTINCT prompt_id, false AS known FROM input JOIN pair USING (pair_id)
            WHERE prompt_id NOT IN (SELECT prompt_id FROM prompt_trait) {known}
        ) USING (prompt_id) GROUP BY ALL)"""
    )
    return store.count("SELECT count(*) FROM read_prompt")


def begin_pairs(store: Store) -> int:
    """Gather the pairs of the input that have no traits; how many there are."""
    store.rows(
        """CREATE OR REPLACE TEMP TABLE read_pair_trait AS
        SELECT pair_id, pair.rowid AS place, row_number() OVER (ORDER BY pair.rowid) - 1 AS number FROM pair
        WHERE pair_id IN (SELECT pair_id FROM input) AND pair_id NOT IN (SELECT pair_id FROM pair_trait)"""
    )
    return store.count("SELECT count(*) FROM read_pair_trait")


def pages(store: Store, table: str, columns: str, count: int) -> Iterator[list[dict[str, Any]]]:
    """The rows of a gathered table with columns of their pairs, `PAGE` at a time.

    They are numbered: the rowid of what its own transaction has written does not count from 0.
    """
    for start in range(0, count, PAGE):
        here = f"number >= {start:d} AND number < {start + PAGE:d}"
        first, last = store.one(f"SELECT min(place), max(place) FROM {table} WHERE {here}")
        yield store.records(  # the bounds spare reading all other texts
            f"""SELECT t.*, {columns} FROM {table} t JOIN pair ON pair.rowid = t.place
            WHERE {here} AND pair.rowid BETWEEN {first:d} AND {last:d} ORDER BY number"""
        )


def add_rows(store: Store, table: str, schema: pa.Schema, rows: Iterable[tuple[object, ...]]) -> None:
    """Add rows to one of the tables of traits."""
    if found := list(rows):
        columns = [pa.array(column, field.type) for column, field in zip(zip(*found, strict=True), schema, strict=True)]
        store.append(table, pa.table(columns, schema=schema))


def begin_clusters(store: Store) -> NDArray[np.int64]:
    """Number the prompts by their ids, as the table `node`; which number stands for each so far, shape (n_prompts,)."""
    store.rows(
        """CREATE OR REPLACE TEMP TABLE node AS
        SELECT (row_number() OVER (ORDER BY prompt_id) - 1)::BIGINT AS number, prompt_id AS id, cluster, '' AS scope,
               bands, prompt_id IN (SELECT prompt_id FROM read_prompt WHERE NOT known) AS fresh, place, 'p' AS side
        FROM prompt_trait JOIN (SELECT prompt_id, min(pair.rowid) AS place FROM pair GROUP BY prompt_id)
             USING (prompt_id) ORDER BY prompt_id"""
    )
    table = store.arrow("SELECT c.number FROM node n JOIN node c ON c.id = n.cluster ORDER BY n.number")
    first: NDArray[np.int64] = table["number"].to_numpy()
    return first


def keep_clusters(store: Store, roots: NDArray[np.int64]) -> None:
    """Keep what stands for each prompt of `begin_clusters` now."""
    with store.incoming(pa.table({"number": np.arange(roots.size), "root": roots})):
        store.rows(
            """UPDATE prompt_trait SET cluster = made.cluster FROM (
                SELECT n.id, c.id AS cluster FROM incoming JOIN node n USING (number) JOIN node c ON c.number = root
                WHERE c.id <> n.cluster
            ) made WHERE prompt_trait.prompt_id = made.id"""
        )


def begin_responses(store: Store) -> int:
    """Gather the distinct responses to near prompts, of which at least one pair is new; how many there are.

    A cluster of prompts with one pair holds no near duplicate, and is not looked at.
    """
    store.rows(
        """CREATE OR REPLACE TEMP TABLE same_prompt AS
        WITH every AS (
            SELECT pair_id, cluster, pair.rowid AS place, md5(response_a) AS a, md5(response_b) AS b
            FROM pair JOIN pair_trait USING (pair_id) JOIN prompt_trait USING (prompt_id)
        )
        SELECT * FROM every WHERE cluster IN (
            SELECT cluster FROM every LEFT JOIN read_pair_trait USING (pair_id) GROUP BY cluster
            HAVING count(*) > 1 AND count(read_pair_trait.pair_id) > 0)"""
    )
    store.rows(
        """CREATE OR REPLACE TEMP TABLE read_response AS
        SELECT *, row_number() OVER (ORDER BY place, side) - 1 AS number FROM (
        SELECT scope, id, min(place) AS place, arg_min(side, (place, side)) AS side FROM (
            SELECT cluster AS scope, a AS id, place, 'a' AS side FROM same_prompt
            UNION ALL SELECT cluster, b, place, 'b' FROM same_prompt
        ) GROUP BY scope, id)"""
    )
    store.rows("CREATE OR REPLACE TEMP TABLE response_bands (scope VARCHAR, id VARCHAR, bands UINTEGER[])")
    return store.count("SELECT count(*) FROM read_response")


BANDS = pa.schema([("scope", pa.string()), ("id", pa.string()), ("bands", pa.list_(pa.uint32()))])


def number_responses(store: Store) -> int:
    """Number the responses as the table `node`; how many there are."""
    store.rows(
        """CREATE OR REPLACE TEMP TABLE node AS
        SELECT (row_number() OVER (ORDER BY scope, id) - 1)::BIGINT AS number, scope, id, bands, true AS fresh,
               place, side
        FROM response_bands JOIN read_response USING (scope, id) ORDER BY number"""
    )
    return store.count("SELECT count(*) FROM node")


def keep_groups(store: Store, roots: NDArray[np.int64]) -> None:
    """Group the pairs whose prompts and responses are near duplicates, on whichever sides these stand."""
    with store.incoming(pa.table({"number": np.arange(roots.size), "root": roots})):
        store.rows(
            """UPDATE pair_trait SET near_group = made.near_group FROM (
                WITH near AS (SELECT scope, id, root FROM incoming JOIN node USING (number))
                SELECT pair_id, min(pair_id) OVER (
                    PARTITION BY cluster, least(a.root, b.root), greatest(a.root, b.root)) AS near_group
                FROM same_prompt s JOIN near a ON (a.scope, a.id) = (s.cluster, s.a)
                     JOIN near b ON (b.scope, b.id) = (s.cluster, s.b)
            ) made WHERE pair_trait.pair_id = made.pair_id AND pair_trait.near_group <> made.near_group"""
        )


def buckets(store: Store, band: int) -> list[list[int]]:
    """Numbers of the nodes that share a band, in order; only where one of them is new."""
    table = store.arrow(
        """SELECT list(number ORDER BY number) AS numbers FROM node GROUP BY scope, bands[$band]
        HAVING count(*) > 1 AND bool_or(fresh) ORDER BY min(number)""",
        {"band": band + 1},
    )
    found: list[list[int]] = table["numbers"].to_pylist()
    return found


def texts_of(store: Store, numbers: list[int]) -> Iterator[tuple[int, str]]:
    """The texts of some nodes; of prompts, their messages as JSON."""
    with store.incoming(pa.table({"number": pa.array(numbers, pa.int64())})):
        rows = store.rows(
            """SELECT number, CASE side WHEN 'p' THEN prompt WHEN 'a' THEN response_a ELSE response_b END
            FROM incoming JOIN node USING (number) JOIN pair ON pair.rowid = node.place"""
        )
    yield from ((int(number), str(text)) for number, text in rows)


def hygiene_counts(store: Store, similarity: float) -> dict[str, Any]:
    """What was found about the pairs of the raw file.

    Returns:
        pairs, prompts, near_prompts (beyond the first of each cluster), near_duplicates (of pairs, likewise), alike
        (pairs whose responses are near duplicates of each other), languages (of prompts, by pairs), against.
    """
    found = store.records(
        """SELECT count(*) AS pairs, count(DISTINCT prompt_id) AS prompts,
               count(DISTINCT prompt_id) - count(DISTINCT prompt_cluster) AS near_prompts,
               count(near_duplicate_of) AS near_duplicates, count(*) FILTER (alike >= $similarity) AS alike
        FROM example SEMI JOIN (SELECT pair_id FROM input WHERE role = 'pool') USING (pair_id)""",
        {"similarity": similarity},
    )[0]
    languages = store.rows(
        """SELECT language, count(*) FROM input JOIN pair USING (pair_id) JOIN prompt_trait USING (prompt_id)
        WHERE role = 'pool' GROUP BY language ORDER BY count(*) DESC, language"""
    )
    against = store.records(
        """SELECT name, count(DISTINCT prompt_id) AS prompts, count(DISTINCT pair_id) AS pairs
        FROM (SELECT DISTINCT name FROM evaluation)
             LEFT JOIN (SELECT against, prompt_id, pair_id FROM leak JOIN pair USING (prompt_id)
                        SEMI JOIN (SELECT pair_id FROM input WHERE role = 'pool') USING (pair_id)) ON name = against
        GROUP BY name ORDER BY name"""
    )
    return {**found, "languages": dict(languages), "against": against}
