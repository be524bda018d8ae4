"""Which files of labels came in before, and what people have said until some moment."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa

from curator.store.connection import Store


def imported_before(store: Store, digest: str) -> bool:
    """Whether a file of this content has been imported, in whole or in part, under whatever name."""
    return store.count("SELECT count(*) FROM imported_file WHERE digest = ?", [digest]) > 0


def record_import(
    store: Store, digest: str, name: str, added: int, superseded: int, unchanged: int, ignored: int, refused: int
) -> None:
    """Remember that a file has been imported, and what became of its answers."""
    store.rows(
        """INSERT INTO imported_file (digest, name, added, superseded, unchanged, ignored, refused)
        VALUES (?, ?, ?, ?, ?, ?, ?)""",
        [digest, name, added, superseded, unchanged, ignored, refused],
    )


def last_label(store: Store) -> int:
    """The number of the latest label; 0 where there is none."""
    return store.count("SELECT coalesce(max(number), 0) FROM human_label")


def said_before(store: Store, said: Sequence[tuple[str, str]], until: int) -> set[tuple[str, str]]:
    """Those of some (pair_id, annotator) about which there is a label up to number `until`, taken back or not."""
    columns = [pa.array([row[i] for row in said], pa.string()) for i in range(2)]
    with store.incoming(pa.table(columns, names=["pair_id", "annotator"])):
        rows = store.rows(
            """SELECT pair_id, annotator FROM incoming SEMI JOIN (SELECT * FROM human_label WHERE number <= $until)
            USING (pair_id, annotator)""",
            {"until": until},
        )
    return {(pair_id, annotator) for pair_id, annotator in rows}
