"""Rows that already say which response people chose.

Which one becomes a is decided by a content hash: neither the file's habit nor the judge can tell the label from it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from curator.formats.base import BadRow, Format, conversation, rest, source_id
from curator.pair import Pair, Verdict, content_id


def _text(response: str | list[dict[str, str]]) -> str:
    return response if isinstance(response, str) else response[0]["content"]


def _to_pair(row: Mapping[str, Any], file: str = "", line: int = 0) -> Pair:
    chosen, rejected = _text(row["chosen"]), _text(row["rejected"])
    if chosen == rejected:
        raise BadRow("rejected", "is identical to chosen: there is nothing to prefer")
    chosen_is_a = content_id(chosen) < content_id(rejected)
    first, second = (chosen, rejected) if chosen_is_a else (rejected, chosen)
    return Pair(
        prompt=conversation(row["prompt"]),
        response_a=first,
        response_b=second,
        label=Verdict.A if chosen_is_a else Verdict.B,
        source_id=source_id(row),
        metadata=rest(row, "id", "prompt", "chosen", "rejected"),
        file=file,
        line=line,
    )


FORMAT = Format("chosen_rejected", "chosen_rejected", frozenset({"prompt", "chosen", "rejected"}), _to_pair)
