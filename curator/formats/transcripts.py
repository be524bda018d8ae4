"""Two responses and the prompt that they answer, however a row writes them: as texts, messages or whole transcripts."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import takewhile
from typing import Any

from curator.formats.base import BadRow, conversation
from curator.pair import Message
from curator.prompts import message

Turns = str | Mapping[str, Any] | Sequence[Mapping[str, Any]]
"""A text, or objects with `role` and `content`; one object is a list of one."""

_SAME = "is identical to the other response: there is nothing to prefer"


@dataclass(frozen=True, slots=True)
class Answers:
    """What two sides of a row come to.

    Attributes:
        more: what they say beyond that, for the metadata.
    """

    prompt: tuple[Message, ...]
    one: str
    other: str
    more: dict[str, Any] = field(default_factory=dict)


def answers(
    prompt: Turns | None,
    one: Turns,
    other: Turns,
    fields: tuple[str, str] = ("chosen", "rejected"),
    *,
    prompt_field: str = "prompt",
    system: str | None = None,
) -> Answers:
    """The prompt of two sides, each a text, one message of the assistant or a transcript, and the responses to it.

    Args:
        prompt: None where it stands inside both sides.
        fields: what the sides are called, for messages.
        system: text of a system message that belongs before the prompt; None or empty: none.

    Raises:
        BadRow: they share no prompt, or do not differ in one message of the assistant each.
    """
    if isinstance(prompt, str) and not prompt.strip():
        raise BadRow(prompt_field, "is empty")
    if one == other:
        raise BadRow(fields[1], _SAME)
    if isinstance(prompt, str) and isinstance(one, str) and isinstance(other, str) and not system:
        return Answers(conversation(prompt), one, other)  # nearly all rows are so: no transcripts are made of them
    given = () if prompt is None else _given(prompt)
    first, second = _whole(given, prompt, one, fields[0]), _whole(given, prompt, other, fields[1])
    asked, texts, more = part(first, second, fields, prompt_field if prompt is not None else fields[0])
    if isinstance(prompt, str) and all(turn.content != prompt for turn in asked):
        more[prompt_field] = prompt  # rendered in some other way than the transcripts, which are read
    if system and asked[0] != Message("system", system):
        if asked[0].role == "system":
            raise BadRow("system", f"is not the system message that {prompt_field} begins with")
        asked = (Message("system", system), *asked)
    return Answers(asked, *texts, more)


def _given(prompt: Turns) -> tuple[Message, ...]:
    return (Message("user", prompt),) if isinstance(prompt, str) else _messages(prompt)


def _messages(turns: Mapping[str, Any] | Sequence[Mapping[str, Any]]) -> tuple[Message, ...]:
    return (message(turns),) if isinstance(turns, Mapping) else tuple(message(turn) for turn in turns)


def _whole(given: tuple[Message, ...], prompt: Turns | None, side: Turns, name: str) -> tuple[Message, ...]:
    """A side with its prompt before it."""
    if isinstance(side, str):
        if prompt is None:
            raise BadRow(name, "is text, and no field has the prompt")
        return (*given, Message("assistant", side))
    turns = _messages(side)
    if turns[: len(given)] == given or (isinstance(prompt, str) and turns[0].role != "assistant"):
        return turns
    return (*given, *turns)


def part(
    first: tuple[Message, ...], second: tuple[Message, ...], fields: tuple[str, str], prompt_field: str
) -> tuple[tuple[Message, ...], tuple[str, str], dict[str, Any]]:
    """Two transcripts as the turns that they share, which are the prompt, and the two messages in which they differ.

    Returns:
        Prompt, texts, and what the two messages hold beside their texts.
    """
    if first == second:
        raise BadRow(fields[1], _SAME)
    shared = sum(1 for _ in takewhile(lambda two: two[0] == two[1], zip(first, second, strict=False)))
    more: dict[str, Any] = {}
    texts = []
    for name, rest, other in zip(fields, (first[shared:], second[shared:]), reversed(fields), strict=True):
        if len(rest) != 1 or rest[0].role != "assistant":
            raise BadRow(name, f"must differ from {other} in its last message alone, one of the assistant")
        texts.append(_text(rest[0], name, more))
    if texts[0] == texts[1]:
        raise BadRow(fields[1], _SAME)
    if not shared:
        raise BadRow(prompt_field, "is not to be told: the two sides share no message")
    prompt = first[:shared]
    if prompt[-1].role not in {"user", "tool"}:
        raise BadRow(prompt_field, "the last message must be the user's (or a tool's): both responses answer it")
    return prompt, (texts[0], texts[1]), more


def _text(answer: Message, name: str, more: dict[str, Any]) -> str:
    rest = json.loads(answer.more) if answer.more else {}
    if rest.keys() & {"tool_calls", "function_call"}:
        raise BadRow(name, "calls a tool: only responses in text can be compared")
    if not answer.content.strip():
        raise BadRow(name, "is empty")
    if rest:
        more[f"{name}_message"] = rest
    return answer.content


def split_text(one: str, other: str, fields: tuple[str, str] = ("chosen", "rejected")) -> Answers:
    """Two texts that begin with their prompt, as TRL's implicit prompts do: what they share, up to a space, is it.

    Raises:
        BadRow: they share nothing, or one is no more than that.
    """
    same = sum(1 for _ in takewhile(lambda two: two[0] == two[1], zip(one, other, strict=False)))
    while same and not one[same - 1].isspace():  # a word belongs to one of the two
        same -= 1
    prompt = one[:same].rstrip()
    if not prompt:
        raise BadRow(fields[0], "shares no beginning with the other side, and no field has the prompt")
    texts = one[same:], other[same:]
    for name, text in zip(fields, texts, strict=True):
        if not text.strip():
            raise BadRow(name, "is empty after the prompt")
    return Answers(conversation(prompt), *texts)


_TAG = re.compile(r"\n?<extra_id_1>(User|Assistant)\n")


def tagged(text: str, field: str = "prompt") -> tuple[Message, ...]:
    """A prompt as HelpSteer2 writes it: the user's first turn, and behind tags the others."""
    first, *rest = _TAG.split(text)
    turns = [Message(who.lower(), words) for who, words in zip(rest[::2], rest[1::2], strict=True)]
    if turns and turns[-1].role != "user":
        raise BadRow(field, "the last turn must be the user's: both responses answer it")
    return (Message("user", first), *turns)
