"""Nectar: `prompt`, and `answers` that GPT-4 ranked, 1 the best; ranks may repeat, which says "equally good"."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from curator.formats.base import At, BadRow, Format, rest, score
from curator.pair import Candidates, Message, Response

_TURN = re.compile(r"\n\n(Human|Assistant): ?")
_ROLES = {"Human": "user", "Assistant": "assistant"}


def _conversation(text: str) -> tuple[Message, ...]:
    r"""The turns of "\n\nHuman: ...\n\nAssistant: ": the last one is the answer's and empty."""
    start, *turns = _TURN.split(text)
    if not turns:
        return (Message("user", text),)
    said = [Message(_ROLES[who], words.strip()) for who, words in zip(turns[::2], turns[1::2], strict=True)]
    if said[-1].role == "assistant" and not said[-1].content:
        said.pop()
    if start.strip() or not said or said[-1].role != "user" or not all(one.content for one in said):
        raise BadRow("prompt", "is no conversation of Human and Assistant that ends with the turn to be answered")
    return tuple(said)


def _convert(row: Mapping[str, Any], at: At) -> Candidates:
    return Candidates(
        prompt=_conversation(row["prompt"]),
        responses=tuple(
            Response(
                one["answer"],
                one.get("model"),
                None if (rank := score(one["rank"])) is None else -rank,
                rest(one, "answer", "model", "rank"),
            )
            for one in row["answers"]
        ),
        metadata=rest(row, "prompt", "answers"),
        file=at.file,
        line=at.line,
    )


FORMAT = Format("nectar", "nectar", frozenset({"prompt", "answers"}), _convert, labelled_by="a model")
