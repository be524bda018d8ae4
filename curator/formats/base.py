"""What a raw format is, and what reading one yields."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Set
from dataclasses import dataclass
from typing import Any

from curator.pair import Candidates, Message, Pair, Verdict, Vote, content_id
from curator.prompts import message


@dataclass(frozen=True, slots=True)
class At:
    """Where a row stands, and which of its verdicts is meant."""

    file: str = ""
    line: int = 0
    criterion: str | None = None


def _always(row: Mapping[str, Any]) -> bool:
    return True


@dataclass(frozen=True, slots=True)
class Format:
    """A shape of raw rows.

    Attributes:
        schema: name of the JSON Schema a row must match; "" where `convert` checks it.
        required: fields by which the format is recognised. Where those of one format are among those of another, a row
            that has them all is of the other.
        also: other sets of fields by which it is recognised.
        convert: makes a pair, or candidates, of a row that matches the schema; raises `BadRow` for what a schema cannot
            say.
        fits: tells formats of the same fields apart, by the values of a first row.
        criteria: names of the verdicts that a row has, where it has several; the user must choose one, or the first
            is meant if `default_criterion`.
        gather: each row has one response, as `Candidates`; those of one prompt belong together.
        labelled_by: "people", "a model" or a mix, in words; "" where rows have no labels. A promise is about agreement
            with them.
    """

    name: str
    schema: str
    required: frozenset[str]
    convert: Callable[[Mapping[str, Any], At], Pair | Candidates]
    fits: Callable[[Mapping[str, Any]], bool] = _always
    criteria: tuple[str, ...] = ()
    default_criterion: bool = False
    gather: bool = False
    labelled_by: str = "people"
    also: tuple[frozenset[str], ...] = ()

    def known_by(self, keys: Set[str]) -> frozenset[str] | None:
        """The largest set of fields by which a row with these is recognised; None where there is none."""
        fitting = [one for one in (self.required, *self.also) if one <= keys]
        return max(fitting, key=len, default=None)


class BadRow(ValueError):
    """A row's values contradict each other or the format."""

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(f"{field}: {reason}")
        self.field, self.reason = field, reason


def conversation(prompt: str | list[dict[str, Any]], field: str = "prompt") -> tuple[Message, ...]:
    """A prompt as messages; plain text is one user turn."""
    if isinstance(prompt, str):
        return (Message("user", prompt),)
    if prompt[-1]["role"] not in {"user", "tool"}:
        raise BadRow(field, "the last message must be the user's (or a tool's): both responses answer it")
    return tuple(message(turn) for turn in prompt)


def source_id(row: Mapping[str, Any], field: str = "id") -> str | None:
    """The row's own id as text."""
    value = row.get(field)
    if isinstance(value, float):  # JSON integers beyond 64 bits are read as such, and different ones become equal
        raise BadRow(field, "is too large a number: write it as text")
    return None if value is None else str(value)


def rest(row: Mapping[str, Any], *used: str) -> dict[str, Any]:
    """The fields that curator does not use, kept as metadata."""
    return {key: value for key, value in row.items() if key not in used}


def score(value: object) -> float | None:
    """A number as a score; None where there is none, or one that is no finite number (Parquet holds NaN)."""
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else None


def ranked_pair(
    prompt: tuple[Message, ...],
    better: str,
    worse: str,
    *,
    at: At,
    source_id: str | None = None,
    metadata: Mapping[str, Any] | None = None,
    strength: float | None = None,
    tie: bool = False,
    field: str = "rejected",
) -> Pair:
    """The pair of a row that names its responses by which is better.

    Which one becomes a is decided by a content hash: neither the file's habit nor the judge can tell the label from it.

    Args:
        tie: they are called equal after all.
        field: where the worse response stands, for messages.
    """
    if better == worse:
        raise BadRow(field, "is identical to the other response: there is nothing to prefer")
    first = content_id(better) < content_id(worse)
    a, b = (better, worse) if first else (worse, better)
    verdict = Verdict.TIE if tie else Verdict.A if first else Verdict.B
    return Pair(prompt, a, b, (Vote(verdict, strength=strength),), source_id, metadata or {}, at.file, at.line)
