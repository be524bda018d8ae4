"""The store: one DuckDB file with one writer. Only this package knows SQL.

connection opens and locks it; pairs, judgments, labels, decisions write it, each in one transaction a call;
views reads it for exports and for people.
"""

from curator.store.connection import Store, open_store

__all__ = ["Store", "open_store"]
