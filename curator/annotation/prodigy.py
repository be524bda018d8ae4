"""Prodigy: tasks of its `choice` interface out, what its `db-out` writes back in.

Made after its documentation (annotation interfaces, web app, recipes `mark` and `db-out`); Prodigy itself is not free
and was not run.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson

from curator.annotation.base import CHOICES, QUESTION, Answer, Task, Tool, signs_say, write_files
from curator.files import Reject, Row
from curator.rendering import to_html, visible

DATASET = "preferences"
"""The name that the instructions give Prodigy's data set; it stands before the name of a session."""

_OPTIONS = [{"id": name, "text": words} for name, words in CHOICES.items()]
_NO_PERSON = re.compile(r"\d{4}-\d\d-\d\d_\d\d-\d\d-\d\d")  # a session that nobody named is named by its time
_IGNORED = {"reject": "rejected", "ignore": "skipped"}

_HOW = f"""\
Label these tasks with Prodigy
==============================

Start it in this folder:

    export PRODIGY_CONFIG=prodigy-config.json
    cat queue-*.prodigy.jsonl | prodigy mark {DATASET} - --loader jsonl --view-id choice

Each annotator opens it under a name of their own: http://localhost:8080/?session=anna
Keys 1 to {len(CHOICES)} choose. Do not use reject or ignore: both leave the pair without a label; "{CHOICES["skip"]}"
is an answer. Take the tasks in their order and leave none out.

Then bring the labels back:

    prodigy db-out {DATASET} > labelled.jsonl
    curator import labelled.jsonl --db .../curator.duckdb
"""
_SETTINGS = {
    "choice_style": "single",
    "choice_auto_accept": True,
    "custom_theme": {"cardMaxWidth": "95%"},
}
_SIDE = '<div style="flex: 1 1 20rem; min-width: 0; overflow-wrap: anywhere; text-align: left">'


def _encode(lines: Iterable[bytes]) -> Iterator[bytes]:
    for line in lines:
        task = Task.of(line)
        meta: dict[str, Any] = {"pair_id": task.pair_id}
        if task.judge is not None:
            meta["judge"] = task.judge.get("prefers") or "neither"
        # The texts themselves come back with the answer: they show which response stood left.
        values = {"html": _html(task), "options": _OPTIONS, "meta": meta, "left": task.left, "right": task.right}
        yield orjson.dumps(values) + b"\n"


def _html(task: Task) -> str:
    turns = "".join(
        f"<p><strong>{html.escape(visible(turn['role']))}</strong></p>{to_html(turn['content'])}"
        for turn in task.prompt
    )
    warned = f"<p><em>{html.escape(said)}</em></p>" if (said := signs_say(task.signs)) else ""
    sides = "".join(
        f"{_SIDE}<p><strong>{name}</strong></p>{to_html(text)}</div>"
        for name, text in (("Left", task.left), ("Right", task.right))
    )
    return (
        f'<div style="text-align: left; font-size: 1rem; line-height: 1.5">{warned}{turns}<hr>'
        f'<div style="display: flex; flex-wrap: wrap; gap: 2rem">{sides}</div><hr><p>{QUESTION}</p></div>'
    )


def _set_up(folder: Path) -> list[Path]:
    settings = orjson.dumps(_SETTINGS, option=orjson.OPT_INDENT_2)
    return write_files(folder, {"prodigy.txt": _HOW.encode(), "prodigy-config.json": settings})


def _recognises(values: Mapping[str, Any]) -> bool:
    meta = values.get("meta")
    return isinstance(meta, dict) and "pair_id" in meta and "options" in values


def _answers(row: Row) -> Iterator[Answer | Reject]:
    if bad := row.check("prodigy"):
        yield bad
        return
    values = row.values
    chosen, answer = values.get("accept") or [], values.get("answer")
    if answer == "accept" and len(chosen) > 1:
        yield row.reject("accept", "names more than one choice")
        return
    label = chosen[0] if answer == "accept" and chosen else None
    time = values.get("_timestamp")
    yield Answer(
        row,
        values["meta"]["pair_id"],
        label,
        _person(values.get("_annotator_id") or values.get("_session_id")),
        left=values.get("left"),
        said_at=None if time is None else datetime.fromtimestamp(time, UTC),
        shown=values["meta"].get("judge") is not None,
        ignored=None if label else _IGNORED.get(str(answer), "empty"),
    )


def _person(session: str | None) -> str | None:
    """Who has worked in a session: `preferences-anna` is anna."""
    if session is None:
        return None
    name = session.removeprefix(f"{DATASET}-").strip()
    return None if not name or _NO_PERSON.fullmatch(name) else name


TOOL = Tool(
    "prodigy", ".prodigy.jsonl", _encode, _recognises, _answers, _set_up, row="options, answer, accept and meta.pair_id"
)
