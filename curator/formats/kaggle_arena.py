"""The arena data of Kaggle's competition (and its 55,000 rows on the hub): texts, or lists of turns written as JSON.

Rows without a winner (the competition's test file) have the fields of `pair`: name this format for them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from curator.formats.base import At, BadRow, Format, rest, source_id
from curator.formats.sides import decoded, last_answers, number
from curator.pair import Message, Pair, Verdict, Vote

_TEXTS = ("prompt", "response_a", "response_b")

_WINNERS = {"winner_model_a": Verdict.A, "winner_model_b": Verdict.B, "winner_tie": Verdict.TIE}


def _convert(row: Mapping[str, Any], at: At) -> Pair:
    prompt, a, b = (_said(row, field) for field in _TEXTS)
    if isinstance(a, str) and isinstance(b, str):
        prompt = row["prompt"]  # which may well be about a list
    for field, one in zip(_TEXTS, (prompt, a, b), strict=True):
        if isinstance(one, str) != isinstance(b, str):
            raise BadRow(field, "must be a list of turns where the other texts are, and else text")
    asked, response_a, response_b = last_answers(
        _conversation(prompt, a, "response_a"), _conversation(prompt, b, "response_b"), ("response_a", "response_b")
    )
    metadata = rest(row, "id", *_TEXTS, *_WINNERS)
    return Pair(asked, response_a, response_b, _votes(row), source_id(row), metadata, at.file, at.line)


def _said(row: Mapping[str, Any], field: str) -> str | list[str | None]:
    """The texts of all turns, or one text."""
    value = row[field]
    listed = decoded(value)
    if isinstance(listed, list) and all(one is None or isinstance(one, str) for one in listed):
        return listed
    if isinstance(value, str) and value.startswith('["') and value.endswith('"]'):
        raise BadRow(field, "looks like a JSON list of turns and is none (half a character in it, perhaps)")
    return str(value)


def _conversation(prompt: str | list[str | None], answers: str | list[str | None], field: str) -> list[Message]:
    asked, said = ([one] if isinstance(one, str) else one for one in (prompt, answers))
    if len(asked) != len(said):
        raise BadRow(field, f"has {len(said)} turns, and the prompt {len(asked)}")
    turns = []
    for turn, (question, answer) in enumerate(zip(asked, said, strict=True), 1):
        if question is None or answer is None:
            raise BadRow("prompt" if question is None else field, f"is null in turn {turn}")
        turns += [Message("user", question), Message("assistant", answer)]
    return turns


def _votes(row: Mapping[str, Any]) -> tuple[Vote, ...]:
    said = {verdict: number(row, field) for field, verdict in _WINNERS.items()}
    if all(value is None for value in said.values()):
        return ()
    if sorted(value or 0 for value in said.values()) != [0, 0, 1]:
        raise BadRow("winner_tie", "must be 1 or one of winner_model_a and winner_model_b, and the others 0")
    return tuple(Vote(verdict) for verdict, value in said.items() if value)


def _fits(row: Mapping[str, Any]) -> bool:
    return row.keys() >= _WINNERS.keys()  # without them, rows are of this format only where it is named


FORMAT = Format(
    "kaggle_arena", "kaggle_arena", frozenset({*_TEXTS, *_WINNERS}), _convert, _fits, also=(frozenset(_TEXTS),)
)
