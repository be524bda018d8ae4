"""What distilabel makes and Argilla publishes: `chosen`, `rejected`, and the rating that a model gave each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from curator.formats.base import At, Format
from curator.formats.chosen_rejected import convert, key_sets
from curator.pair import Pair

_RATINGS = (
    ("chosen_rating", "rejected_rating"),
    ("chosen-rating", "rejected-rating"),
    ("rating_chosen", "rating_rejected"),
)
_SETS = tuple(keys for names in _RATINGS for keys in key_sets(*names))


def _convert(row: Mapping[str, Any], at: At) -> Pair:
    return convert(row, at, next((names for names in _RATINGS if row.keys() >= set(names)), _RATINGS[0]))


FORMAT = Format("argilla", "chosen_rejected", _SETS[0], _convert, also=_SETS[1:], labelled_by="a model")
