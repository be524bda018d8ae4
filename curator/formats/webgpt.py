"""WebGPT comparisons: two answers to a question, each with the strength of the preference for it.

Scores lie between -1 and 1 and sum to 0; 0 is a tie. `question` is text or an object with the text in `full_text`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from curator.formats.base import At, BadRow, Format, conversation, rest, source_id
from curator.formats.sides import by_difference, number
from curator.pair import Pair, Vote

_USED = ("question", "answer_0", "answer_1", "score_0", "score_1")


def _convert(row: Mapping[str, Any], at: At) -> Pair:
    question, a, b = row["question"], row["answer_0"], row["answer_1"]
    if a == b:
        raise BadRow("answer_1", "is identical to answer_0: there is nothing to prefer")
    scores = [number(row, field) for field in ("score_0", "score_1")]
    votes: tuple[Vote, ...] = ()
    if scores[0] is not None and scores[1] is not None:
        difference = scores[0] - scores[1]
        votes = (Vote(by_difference(difference), strength=abs(difference)),)
    metadata = rest(row, "id", *_USED)
    text = question
    if isinstance(question, dict):
        text = question["full_text"]
        metadata["question"] = rest(question, "full_text")
    return Pair(conversation(text), a, b, votes, source_id(row), metadata, at.file, at.line)


FORMAT = Format("webgpt", "webgpt", frozenset(_USED), _convert)
