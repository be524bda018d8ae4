"""What a raw format is, and what reading one yields."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from curator.pair import Message, Pair


@dataclass(frozen=True, slots=True)
class Format:
    """A shape of raw rows.

    Attributes:
        schema: name of the JSON Schema a row must match.
        required: fields by which the format is recognised.
        to_pair: makes a pair of a row that matches the schema, of its file and its line; raises `BadRow` for what a
            schema cannot say.
    """

    name: str
    schema: str
    required: frozenset[str]
    to_pair: Callable[[Mapping[str, Any], str, int], Pair]


class BadRow(ValueError):
    """A row's values contradict each other or the format."""

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(f"{field}: {reason}")
        self.field, self.reason = field, reason


def conversation(prompt: str | list[dict[str, str]]) -> tuple[Message, ...]:
    """A prompt as messages; plain text is one user turn."""
    if isinstance(prompt, str):
        return (Message("user", prompt),)
    if prompt[-1]["role"] not in {"user", "tool"}:
        raise BadRow("prompt", "the last message must be the user's (or a tool's): both responses answer it")
    return tuple(Message(turn["role"], turn["content"]) for turn in prompt)


def source_id(row: Mapping[str, Any]) -> str | None:
    """The row's own id as text."""
    value = row.get("id")
    if isinstance(value, float):  # JSON integers beyond 64 bits are read as such, and different ones become equal
        raise BadRow("id", "is too large a number: write it as text")
    return None if value is None else str(value)


def rest(row: Mapping[str, Any], *used: str) -> dict[str, Any]:
    """The fields that curator does not use, kept as metadata."""
    return {key: value for key, value in row.items() if key not in used}
