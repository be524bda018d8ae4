"""What formats share whose rows have two sides: turns, numbers and annotators as files write them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import takewhile
from typing import Any

import orjson

from curator.formats.base import BadRow
from curator.names import annotator_name
from curator.pair import Message, Verdict

_ROLES = frozenset({"system", "developer", "user", "assistant", "tool"})

_SIGN = {-1: Verdict.B, 0: Verdict.TIE, 1: Verdict.A}


def annotator(name: object) -> str | None:
    """An annotator's name as it is stored; None where a row does not say who."""
    return None if name is None else annotator_name(str(name)) or None


def number(row: Mapping[str, Any], field: str) -> float | None:
    """A number, which tables of text hold as text; None where there is none (null, empty, NaN).

    Raises:
        BadRow: it is something else, or infinite.
    """
    value = row.get(field)
    if value is None or value == "":
        return None
    try:
        found = float(value)
    except (TypeError, ValueError, OverflowError):
        raise BadRow(field, "is not a number") from None
    if math.isinf(found):
        raise BadRow(field, "is too large a number")
    return None if math.isnan(found) else found


def by_difference(difference: float) -> Verdict:
    """What is said by how much more the score of a is than that of b."""
    return _SIGN[(difference > 0) - (difference < 0)]


def decoded(value: object) -> object:
    """A list, which a column of text holds as JSON; text that is no JSON list stays as it is."""
    if isinstance(value, str) and value.lstrip()[:1] == "[":
        try:
            found = orjson.loads(value)
        except orjson.JSONDecodeError:
            return value
        return found if isinstance(found, list) else value
    return value


def turns(row: Mapping[str, Any], field: str) -> tuple[Message, ...]:
    """A conversation: objects with `role` and `content`, text or a list of parts of text, as a list or as JSON.

    Raises:
        BadRow: it is something else.
    """
    listed = decoded(row[field])
    if not isinstance(listed, list):
        raise BadRow(field, "is not a list of turns")
    return tuple(_turn(one, f"{field}.{place}") for place, one in enumerate(listed))


def _turn(one: object, field: str) -> Message:
    role = one.get("role") if isinstance(one, dict) else None
    if not isinstance(one, dict) or not isinstance(role, str) or role not in _ROLES:
        raise BadRow(field, "is not a turn: role must be system, developer, user, assistant or tool")
    content = one.get("content")
    if isinstance(content, list):
        if not all(isinstance(part, dict) and isinstance(part.get("text"), str) for part in content):
            raise BadRow(field, "has a part that is not text")
        content = "\n".join(part["text"] for part in content)
    if not isinstance(content, str):
        raise BadRow(field, "has no text")
    return Message(role, content)


def last_answers(
    a: Sequence[Message], b: Sequence[Message], names: tuple[str, str]
) -> tuple[tuple[Message, ...], str, str]:
    """Of two conversations that are one but for their last answers: what is answered, and both answers.

    Args:
        names: fields of the two, for messages.

    Raises:
        BadRow: they differ before, and so there is no one prompt that both answer; or an answer is missing, empty or
            the same as the other.
    """
    for side, name in zip((a, b), names, strict=True):
        if len(side) < 2 or side[-1].role != "assistant" or side[-2].role not in {"user", "tool"}:
            raise BadRow(name, "must end with an answer to a user or a tool")
        if not side[-1].content.strip():
            raise BadRow(name, "is empty where its last answer should be")
    same = sum(1 for _ in takewhile(lambda both: both[0] == both[1], zip(a, b, strict=False)))
    longer = max(a, b, key=len)
    if same < len(longer) - 1:
        turn = max(1, sum(one.role == "user" for one in longer[: same + 1]))
        reason = f"differs from {names[0]} in turn {turn}, before the last answers: they do not answer the same prompt"
        raise BadRow(names[1], reason)
    if a[-1].content == b[-1].content:
        raise BadRow(names[1], f"ends with the same answer as {names[0]}: there is nothing to prefer")
    return tuple(a[:-1]), a[-1].content, b[-1].content
