"""Which files of labels came in before."""

from __future__ import annotations

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
