"""Rows of cascaded selective evaluation (Jung and others): two outputs, and who prefers the first (1) or second (2)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from curator.formats.base import At, BadRow, Format, conversation, rest, source_id
from curator.formats.sides import annotator
from curator.pair import Pair, Verdict, Vote

_USED = ("instruction", "outputs", "preferences")


def _convert(row: Mapping[str, Any], at: At) -> Pair:
    a, b = row["outputs"]
    if a == b:
        raise BadRow("outputs", "are identical: there is nothing to prefer")
    votes = tuple(
        Vote(Verdict.A if said == 1 else Verdict.B, annotator(name))
        for name, said in row["preferences"].items()
        if said is not None
    )
    prompt = conversation(row["instruction"])
    return Pair(prompt, a, b, votes, source_id(row), rest(row, "id", *_USED), at.file, at.line)


FORMAT = Format("jung", "jung", frozenset(_USED), _convert)
