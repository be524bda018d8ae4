"""Keeps where the pairs of the input and the labels of files come from, which every decision about them has to say."""

from __future__ import annotations

from collections.abc import Set
from typing import Any

import orjson

from curator.store.connection import Store

_WHERE, _MODELS = "condition of the input", "models that labelled"


def keep_provenance(store: Store, where: str | None, labelled_by: Set[str]) -> None:
    """Note what an input was made by.

    Args:
        where: the condition that its pairs meet; None: there was none.
        labelled_by: who gave labels of its files, where that was not people alone ("a model"). Labels stay in the
            store, and so does who gave them.
    """
    store.set(_WHERE, orjson.dumps(where).decode())
    known = orjson.loads(store.setting(_MODELS, "[]"))
    store.set(_MODELS, orjson.dumps(sorted({*labelled_by, *known})).decode())


def provenance(store: Store) -> dict[str, Any]:
    """`where` and `labelled_by` of `run.json`."""
    models = orjson.loads(store.setting(_MODELS, "[]"))
    return {"where": orjson.loads(store.setting(_WHERE, "null")), "labelled_by": " and ".join(models) or None}
