"""Pages that open from the disk: a file of tasks is one page with nothing to install, and saves a file of labels."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from typing import Any

from curator.annotation.base import Answer, Task, Tool
from curator.annotation.page import embedded, frame, page_task, whole_text
from curator.files import Reject, Row


def _encode(lines: Iterable[bytes]) -> Iterator[bytes]:
    """One page; a task at a time is in memory."""
    before, after = frame("file")
    yield before.encode()
    opening = b'{"tasks":['
    for line in lines:
        yield opening + embedded(_stored(Task.of(line)))
        opening = b",\n"
    yield (opening if opening.startswith(b"{") else b"") + b"]}"
    yield after.encode()


def _stored(task: Task) -> dict[str, Any]:
    """What the page shows of a task, all of the texts that it has cut, and the response that it shows left as it is.

    The browser keeps the answer under `key`, which is of what was asked and of nothing else: a page that is written
    anew finds it, but not where the sides have changed, or where one of both pages shows the judge's verdict.
    """
    shown = page_task(task)
    parts = {"left": shown["left"], "right": shown["right"], **{str(i): one for i, one in enumerate(shown["prompt"])}}
    whole = {part: whole_text(task, part) for part, text in parts.items() if text["cut"]}
    key = f"{task.pair_id}-{hashlib.sha256(task.left.encode()).hexdigest()[:16]}" + ("-judged" if task.judge else "")
    return {"task": shown, "key": key, "left": task.left, "whole": whole}


def _recognises(values: Mapping[str, Any]) -> bool:
    return values.get("tool") == "curator" and "pair_id" in values


def _answers(row: Row) -> Iterator[Answer | Reject]:
    values = row.values
    if bad := row.check("label"):
        yield bad
        return
    try:
        said_at = datetime.fromisoformat(values["said_at"])
    except ValueError:
        said_at = None
    if said_at is None or said_at.tzinfo is None:
        yield row.reject("said_at", "is no time with a time zone")
        return
    yield Answer(
        row,
        values["pair_id"],
        values["label"],
        values["annotator"],
        values["note"],
        values["left"],
        values["seconds"],
        said_at,
        shown=values["judge"] is not None,
    )


TOOL = Tool("html", ".html", _encode, _recognises, _answers, fillable=False, row="tool, pair_id and label")
