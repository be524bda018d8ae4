"""queue.jsonl: a task a line, labelled by filling in `label`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from curator.annotation.base import Answer, Tool
from curator.files import Reject, Row


def _encode(lines: Iterable[bytes]) -> Iterator[bytes]:
    yield from lines


def _recognises(values: Mapping[str, Any]) -> bool:
    return {"pair_id", "label"} <= values.keys()


def _answers(row: Row) -> Iterator[Answer | Reject]:
    values = row.values
    if isinstance(values.get("label"), str):
        values["label"] = values["label"].strip().lower()  # "Left" is as good as "left"
    if bad := row.check("queue"):
        yield bad
        return
    label = values["label"]
    yield Answer(
        row,
        values["pair_id"],
        label,
        values.get("annotator"),
        values.get("note"),
        values["left"],
        shown=values.get("judge") is not None,
        ignored=None if label else "empty",
    )


TOOL = Tool("jsonl", ".jsonl", _encode, _recognises, _answers, row="pair_id, prompt, left, right and label")
