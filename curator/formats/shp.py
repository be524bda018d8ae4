"""Stanford Human Preferences: two comments on a post, and which got more votes. `labels` is 1 for A and 0 for B."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from curator.formats.base import At, BadRow, Format, conversation, rest
from curator.formats.sides import number
from curator.pair import Pair, Verdict, Vote

_USED = ("history", "human_ref_A", "human_ref_B", "labels")

_LABELS = {1: Verdict.A, 0: Verdict.B}


def _convert(row: Mapping[str, Any], at: At) -> Pair:
    a, b = row["human_ref_A"], row["human_ref_B"]
    if a == b:
        raise BadRow("human_ref_B", "is identical to human_ref_A: there is nothing to prefer")
    return Pair(conversation(row["history"]), a, b, _votes(row), None, rest(row, *_USED), at.file, at.line)


def _votes(row: Mapping[str, Any]) -> tuple[Vote, ...]:
    label = number(row, "labels")
    if label is None:
        return ()
    if label not in _LABELS:
        raise BadRow("labels", "must be 1 (A is better) or 0 (B is)")
    a, b, strength = (number(row, field) for field in ("score_A", "score_B", "score_ratio"))
    # Other data sets count from 0: a file that was put together with the label turned round shows it here.
    if a is not None and b is not None and (a < b if label else a > b):
        raise BadRow("labels", "contradicts score_A and score_B: 1 says A, 0 says B")
    if strength is not None and strength < 0:
        raise BadRow("score_ratio", "must not be negative")
    return (Vote(_LABELS[int(label)], strength=strength),)


FORMAT = Format("shp", "shp", frozenset(_USED), _convert)
