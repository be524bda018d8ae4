"""curator's own format: `prompt`, `response_a`, `response_b`, perhaps `id` and `label`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from curator.formats.base import At, BadRow, Format, conversation, rest, source_id
from curator.pair import Pair, Verdict, Vote


def _convert(row: Mapping[str, Any], at: At) -> Pair:
    if row["response_a"] == row["response_b"]:
        raise BadRow("response_b", "is identical to response_a: there is nothing to prefer")
    return Pair(
        prompt=conversation(row["prompt"]),
        response_a=row["response_a"],
        response_b=row["response_b"],
        votes=() if row.get("label") is None else (Vote(Verdict(row["label"])),),
        source_id=source_id(row),
        metadata=rest(row, "id", "prompt", "response_a", "response_b", "label"),
        file=at.file,
        line=at.line,
    )


FORMAT = Format("pair", "pair", frozenset({"prompt", "response_a", "response_b"}), _convert)
