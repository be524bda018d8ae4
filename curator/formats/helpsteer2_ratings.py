"""HelpSteer2's ratings: one row a response, `prompt`, `response` and marks from 0 to 4 that people gave.

`complexity` and `verbosity` are marks too, but more is not better: they are no criteria.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from curator.formats.base import At, BadRow, Format, rest, score
from curator.pair import Candidates, Message, Response

_CRITERIA = ("helpfulness", "correctness", "coherence")
_MARKS = (*_CRITERIA, "complexity", "verbosity")
_TURN = re.compile(r"\n?<extra_id_1>(User|Assistant)\n")


def _conversation(text: str) -> tuple[Message, ...]:
    """The user's first turn, and behind marks the others."""
    first, *turns = _TURN.split(text)
    said = [Message("user", first)]
    said += [Message(who.lower(), words) for who, words in zip(turns[::2], turns[1::2], strict=True)]
    if said[-1].role != "user":
        raise BadRow("prompt", "ends with a turn of the assistant's")
    return tuple(said)


def _convert(row: Mapping[str, Any], at: At) -> Candidates:
    marks = {name: row[name] for name in _MARKS if name in row}
    return Candidates(
        prompt=_conversation(row["prompt"]),
        responses=(Response(row["response"], None, score(row[at.criterion or _CRITERIA[0]]), marks),),
        metadata=rest(row, "prompt", "response", *_MARKS),
        file=at.file,
        line=at.line,
    )


FORMAT = Format(
    "helpsteer2_ratings", "helpsteer2_ratings", frozenset({"prompt", "response", *_CRITERIA}), _convert,
    criteria=_CRITERIA, default_criterion=True, gather=True,
)  # fmt: skip
