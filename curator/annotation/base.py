"""What every annotation tool has: a task to show, an answer that comes back, and a way to write and read them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import orjson

from curator.files import Reject, Row, whole_file

CHOICES = {
    "left": "Left is better",
    "right": "Right is better",
    "tie": "Equally good",
    "both_bad": "Both are bad",
    "skip": "Cannot say",
}
"""What a person can say of a task, by name, and how a tool words it. Sides are those shown, not responses a and b."""

QUESTION = "Which response is better?"


@dataclass(frozen=True, slots=True)
class Task:
    """Two responses for a person to compare.

    Attributes:
        prompt: messages, {"role", "content"} each.
        left, right: the responses, on sides that the store's seed has dealt.
        judge: {"prefers": "left" | "right" | None, "probability"} where the judge's verdict is shown; labels given so
            are not blind and never calibrate. None where it is hidden.
        signs: that a response talks to the judge (`curator.suspicion.SIGNS`); no verdict, and shown whatever that is.
    """

    pair_id: str
    prompt: list[dict[str, str]]
    left: str
    right: str
    judge: Mapping[str, Any] | None = None
    signs: Sequence[str] | None = None

    @classmethod
    def of(cls, line: bytes) -> Task:
        """A task from its line of queue.jsonl, as the store makes it."""
        values = orjson.loads(line)
        return cls(*(values.get(name) for name in ("pair_id", "prompt", "left", "right", "judge", "signs")))


@dataclass(frozen=True, slots=True)
class Answer:
    """What one person said of one task.

    Attributes:
        row: where it stood, for messages.
        label: one of `CHOICES`; None where there is none (see `ignored`).
        left: the text that the row shows on the left, where it shows one: it must be the one that is dealt there. Or
            "sha256:" and its digest, where a tool is given texts in another form.
        seconds: that it took.
        said_at: when, with time zone.
        shown: whether the task showed the judge's verdict.
        ignored: why the answer counts for nothing, in one or two words ("empty", "draft", "discarded"); None: it does.
    """

    row: Row
    pair_id: str
    label: str | None
    annotator: str | None = None
    note: str | None = None
    left: str | None = None
    seconds: float | None = None
    said_at: datetime | None = None
    shown: bool = False
    ignored: str | None = None


@dataclass(frozen=True, slots=True)
class Tool:
    """One annotation tool.

    Attributes:
        name: of `--to`.
        suffix: of a file of tasks.
        encode: the contents of one file of tasks, piece by piece: lines of queue.jsonl in, for tools that read those.
        set_up: writes what else the tool needs into the folder; returns these files.
        fillable: whether a file of tasks may come to hold labels; it is not written over before they are imported.
        row: what tells a row of its exports from others, for messages.
        recognises: whether a row, by its keys, is of an export of this tool.
        answers: what such a row says; a row may hold the answers of several people.
    """

    name: str
    suffix: str
    encode: Callable[[Iterable[bytes]], Iterator[bytes]]
    recognises: Callable[[Mapping[str, Any]], bool]
    answers: Callable[[Row], Iterator[Answer | Reject]]
    set_up: Callable[[Path], list[Path]] | None = None
    fillable: bool = True
    row: str = ""


def judge_says(judge: Mapping[str, Any] | None) -> str:
    """What the judge says of a task, in words; empty where that is hidden.

    >>> judge_says({"prefers": "left", "probability": 0.834}), judge_says({"prefers": None, "probability": 0.5})
    ('prefers left (83%)', 'prefers neither')
    """
    if judge is None:
        return ""
    side, probability = judge.get("prefers"), judge.get("probability")
    if side not in {"left", "right"}:
        return "prefers neither"
    return f"prefers {side}" + ("" if probability is None else f" ({probability:.0%})")


def signs_say(signs: Sequence[str] | None) -> str:
    """What to tell whoever reads a task whose responses show signs; empty where they show none.

    >>> signs_say(["order"])
    'A response may talk to a judge rather than to the user (order). Judge what it does for the user.'
    """
    named = ", ".join(signs or ())
    why = f"A response may talk to a judge rather than to the user ({named}). Judge what it does for the user."
    return why if named else ""


def json_array(items: Iterable[Any]) -> Iterator[bytes]:
    """A JSON array, piece by piece, an item a line.

    >>> b"".join(json_array([1, 2])), b"".join(json_array([]))
    (b'[\\n1,\\n2\\n]\\n', b'[]\\n')
    """
    before = b"[\n"
    for item in items:
        yield before + orjson.dumps(item)
        before = b",\n"
    yield b"[]\n" if before == b"[\n" else b"\n]\n"


def write_files(folder: Path, files: Mapping[str, bytes]) -> list[Path]:
    """Write files by their names, each whole or not at all; returns their paths. The names begin with the tool's."""
    for name, data in files.items():
        with whole_file(folder / name) as aside:
            aside.write_bytes(data)
    return [folder / name for name in files]
