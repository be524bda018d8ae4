"""LLaMA-Factory's and axolotl's rows: `conversations` or `messages`, and `chosen` and `rejected` as one message each.

A message is `{"from", "value"}` or `{"role", "content"}`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from curator.formats.base import At, BadRow, Format, ranked_pair, rest, source_id
from curator.formats.transcripts import answers
from curator.pair import Pair

_ROLES = {"human": "user", "gpt": "assistant", "observation": "tool", "system": "system"}


def _turn(said: Mapping[str, Any], field: str) -> Mapping[str, Any]:
    if "from" not in said:
        return said
    if said["from"] not in _ROLES:
        raise BadRow(f"{field}.from", f"must be one of {', '.join(_ROLES)}")
    return {"role": _ROLES[said["from"]], "content": said["value"], **rest(said, "from", "value")}


def _convert(row: Mapping[str, Any], at: At) -> Pair:
    field = "conversations" if "conversations" in row else "messages"
    read = answers(
        [_turn(said, f"{field}.{place}") for place, said in enumerate(row[field])],
        [_turn(row["chosen"], "chosen")],
        [_turn(row["rejected"], "rejected")],
        prompt_field=field,
        system=row.get("system"),
    )
    metadata = rest(row, "id", field, "chosen", "rejected", "system") | read.more
    return ranked_pair(read.prompt, read.one, read.other, at=at, source_id=source_id(row), metadata=metadata)


def _fits(row: Mapping[str, Any]) -> bool:
    return isinstance(row["chosen"], Mapping)


_FIELDS = frozenset({"chosen", "rejected"})
FORMAT = Format(
    "sharegpt", "sharegpt", _FIELDS | {"conversations"}, _convert, _fits, also=(_FIELDS | {"messages"},)
)  # fmt: skip
