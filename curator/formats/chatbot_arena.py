"""Battles of Chatbot Arena: whole conversations of one person with two models, and whom that person preferred.

Also its later releases, whose conversations are JSON text or whose turns are lists of parts. In most battles of several
turns each model has gone its own way from the first answer on: they answer different prompts, and are rejects.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from curator.formats.base import At, Format, rest, source_id
from curator.formats.sides import annotator, last_answers, turns
from curator.pair import Message, Pair, Verdict, Vote

WINNERS = {
    "model_a": Verdict.A, "model_b": Verdict.B, "tie": Verdict.TIE, "tie (bothbad)": Verdict.BOTH_BAD,
    "both_bad": Verdict.BOTH_BAD,
}  # fmt: skip

REQUIRED = frozenset({"conversation_a", "conversation_b", "model_a", "model_b", "winner"})

_SIDES = ("conversation_a", "conversation_b")


def _convert(row: Mapping[str, Any], at: At) -> Pair:
    own_id = source_id(row, "question_id") or source_id(row)
    return battle(row, at, own_id, turns(row, _SIDES[0]), turns(row, _SIDES[1]))


def battle(row: Mapping[str, Any], at: At, own_id: str | None, a: tuple[Message, ...], b: tuple[Message, ...]) -> Pair:
    """The pair of the last answers of two conversations, with the vote of the row's judge."""
    prompt, response_a, response_b = last_answers(a, b, _SIDES)
    who = "judge" if row.get("judge") is not None else "judge_hash"
    votes = (Vote(WINNERS[row["winner"]], annotator(row.get(who))),) if row["winner"] else ()
    metadata = rest(row, *_SIDES, "winner", who, "question_id", "id")
    return Pair(prompt, response_a, response_b, votes, own_id, metadata, at.file, at.line)


FORMAT = Format("chatbot_arena", "arena", REQUIRED, _convert)
