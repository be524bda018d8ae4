"""Rows that already say which response people chose: `prompt`, `chosen`, `rejected`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from curator.formats.base import At, Format, conversation, ranked_pair, rest, source_id
from curator.pair import Pair


def _text(response: str | list[dict[str, str]]) -> str:
    return response if isinstance(response, str) else response[0]["content"]


def _convert(row: Mapping[str, Any], at: At) -> Pair:
    return ranked_pair(
        conversation(row["prompt"]),
        _text(row["chosen"]),
        _text(row["rejected"]),
        at=at,
        source_id=source_id(row),
        metadata=rest(row, "id", "prompt", "chosen", "rejected"),
    )


FORMAT = Format("chosen_rejected", "chosen_rejected", frozenset({"prompt", "chosen", "rejected"}), _convert)
