"""HH-RLHF: transcripts `chosen` and `rejected`, each one text with "Human:" and "Assistant:" before the turns."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from curator.formats.base import At, BadRow, Format, ranked_pair, rest, source_id
from curator.formats.chosen_rejected import is_human_assistant
from curator.formats.transcripts import part
from curator.pair import Message, Pair

_SPEAKER = re.compile(r"(?:\A\s*|\n\n)(Human|Assistant):[ ]?")
_ROLES = {"Human": "user", "Assistant": "assistant"}


def _turns(text: str, field: str) -> tuple[Message, ...]:
    before, *rest_of = _SPEAKER.split(text)
    if before or not rest_of:
        raise BadRow(field, 'must begin with "Human:" and have "Assistant:" before its answer')
    return tuple(Message(_ROLES[who], said) for who, said in zip(rest_of[::2], rest_of[1::2], strict=True))


def _convert(row: Mapping[str, Any], at: At) -> Pair:
    fields = ("chosen", "rejected")
    prompt, texts, _ = part(_turns(row["chosen"], "chosen"), _turns(row["rejected"], "rejected"), fields, "chosen")
    return ranked_pair(prompt, *texts, at=at, source_id=source_id(row), metadata=rest(row, "id", *fields))


def _fits(row: Mapping[str, Any]) -> bool:
    return is_human_assistant(row["chosen"]) and is_human_assistant(row["rejected"])


FORMAT = Format("hh_rlhf", "hh_rlhf", frozenset({"chosen", "rejected"}), _convert, _fits)
