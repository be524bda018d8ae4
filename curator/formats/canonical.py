"""curator's own format: `prompt`, `response_a`, `response_b`, perhaps `id` and `label`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from curator.formats.base import BadRow, Format, conversation, rest, source_id
from curator.pair import Pair, Verdict


def _to_pair(row: Mapping[str, Any], file: str = "", line: int = 0) -> Pair:
    if row["response_a"] == row["response_b"]:
        raise BadRow("response_b", "is identical to response_a: there is nothing to prefer")
    return Pair(
        prompt=conversation(row["prompt"]),
        response_a=row["response_a"],
        response_b=row["response_b"],
        label=None if row.get("label") is None else Verdict(row["label"]),
        source_id=source_id(row),
        metadata=rest(row, "id", "prompt", "response_a", "response_b", "label"),
        file=file,
        line=line,
    )


FORMAT = Format("pair", "pair", frozenset({"prompt", "response_a", "response_b"}), _to_pair)
