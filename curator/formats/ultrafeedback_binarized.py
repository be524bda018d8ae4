"""ultrafeedback_binarized: transcripts `chosen` and `rejected` with the scores of a model; equal scores are a tie."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from curator.formats.base import At, Format
from curator.formats.chosen_rejected import convert, key_sets
from curator.pair import Pair

_SCORES = ("score_chosen", "score_rejected")
_SETS = key_sets(*_SCORES)


def _convert(row: Mapping[str, Any], at: At) -> Pair:
    return convert(row, at, _SCORES)


FORMAT = Format("ultrafeedback_binarized", "chosen_rejected", _SETS[0], _convert, also=_SETS[1:], labelled_by="a model")
