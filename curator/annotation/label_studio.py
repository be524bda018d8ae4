"""Label Studio: what it is given, and its exports (JSON, JSON_MIN, CSV, TSV) and the tasks of its API back in."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from math import isfinite
from typing import Any

import orjson

from curator.annotation.base import CHOICES, Answer, Tool
from curator.annotation.label_studio_tasks import DATA, NOTE, VERDICT, encode, set_up
from curator.files import Reject, Row

_EXPORTED = {"id", "annotator", "annotation_id", "created_at", "updated_at", "lead_time", "agreement", "history"}


def _recognises(values: Mapping[str, Any]) -> bool:
    return isinstance(values.get("data"), Mapping) or {"annotation_id", "annotator", "lead_time"} <= values.keys()


def _answers(row: Row) -> Iterator[Answer | Reject]:
    yield from _of_task(row) if isinstance(row.values.get("data"), Mapping) else _of_flat(row)


class _Bad(Exception):
    """What is wrong with a row: field and reason."""


def _of_task(row: Row) -> Iterator[Answer | Reject]:
    """The answers to a task of the JSON export or of the API, the latest last."""
    values = row.values
    annotations, drafts = values.get("annotations") or [], values.get("drafts") or []
    if not (isinstance(annotations, list) and isinstance(drafts, list)):
        yield row.reject("annotations", "is not a list")
        return
    answers = list[Answer | Reject]()
    for place, annotation in enumerate(annotations):
        try:
            answers.append(_annotation(row, annotation))
        except _Bad as bad:
            field, reason = bad.args
            answers.append(row.reject(f"annotations.{place}.{field}", reason))
    earliest = datetime.min.replace(tzinfo=UTC)
    yield from sorted(answers, key=lambda one: (one.said_at if isinstance(one, Answer) else None) or earliest)
    for _ in drafts:
        yield _ignored(row, "draft")
    if not annotations and not drafts:
        yield _ignored(row, "empty")


def _ignored(row: Row, why: str) -> Answer:
    return Answer(row, str(row.values["data"].get("pair_id")), None, ignored=why)


def _annotation(row: Row, annotation: Any) -> Answer:
    results = annotation.get("result") or [] if isinstance(annotation, dict) else None
    if not (isinstance(results, list) and all(isinstance(result, dict) for result in results)):
        raise _Bad("result", "is not a list of objects")
    if annotation.get("was_cancelled"):
        return _ignored(row, "skipped")
    if annotation.get("ground_truth"):
        raise _Bad("ground_truth", "is set: a reference, not what a person said of this task")
    said, notes, strange = list[str](), list[str](), False
    for result in results:
        control, value = (result.get("from_name"), result.get("type")), result.get("value")
        if control[1] == "pairwise":
            said.append(_pairwise(value))
        elif control == (VERDICT, "choices"):
            said += _texts(value, "choices")
        elif control == (NOTE, "textarea"):
            notes += _texts(value, "text")
        else:
            strange = True
    if strange and not said:
        raise _Bad("result", "is of a control that is not in curator's labelling configuration")
    shown = bool(row.values.get("predictions") or annotation.get("prediction"))
    return _answer(row, row.values["data"], annotation, annotation.get("completed_by"), said, notes, shown)


def _of_flat(row: Row) -> Iterator[Answer | Reject]:
    """The one answer of a row of JSON_MIN, CSV or TSV, which holds the task's data and each control's value."""
    values = row.values
    try:
        said, notes = list[str](), list[str]()
        if verdict := values.get(VERDICT):
            said.append(verdict)
        if note := values.get(NOTE):
            notes += [note] if isinstance(note, str) else _texts(note, "text")
        others = values.keys() - DATA - _EXPORTED - {VERDICT, NOTE}
        said += [_pairwise(one) for name in others for one in _pairs(values[name])]
        if others and not said and values.get("annotation_id"):
            raise _Bad(VERDICT, "is missing: this is no export of curator's labelling configuration")
        yield _answer(row, values, values, values.get("annotator"), said, notes)
    except _Bad as bad:
        yield row.reject(*bad.args)


def _pairs(value: Any) -> list[Any]:
    """What a Pairwise control's value is in JSON_MIN (a list of objects) and CSV (the same as text), if it is one."""
    if isinstance(value, str) and value.startswith('[{"selected"'):
        try:
            value = orjson.loads(value)
        except orjson.JSONDecodeError:
            return []
    pairs = isinstance(value, list) and all(isinstance(one, dict) and "selected" in one for one in value)
    return value if pairs else []


def _pairwise(value: Any) -> str:
    selected = value.get("selected") if isinstance(value, dict) else None
    if selected not in ("left", "right"):
        raise _Bad("selected", "must be left or right")
    return str(selected)


def _texts(value: Any, name: str) -> list[str]:
    texts = value.get(name) if isinstance(value, dict) else None
    texts = [texts] if isinstance(texts, str) else texts
    if not (isinstance(texts, list) and all(isinstance(text, str) for text in texts)):
        raise _Bad(name, "is not a list of text")
    return texts


def _answer(
    row: Row,
    data: Mapping[str, Any],
    about: Mapping[str, Any],
    annotator: Any,
    said: list[str],
    notes: list[str],
    shown: bool = False,
) -> Answer:
    pair_id = data.get("pair_id")
    if not (isinstance(pair_id, str) and pair_id):
        raise _Bad("pair_id", "is missing")
    if len(said) > 1:
        raise _Bad(VERDICT, "says more than one thing")
    label = said[0] if said else None
    if label is not None and not (isinstance(label, str) and label in CHOICES):
        raise _Bad(VERDICT, "must be one of " + ", ".join(CHOICES))
    return Answer(
        row,
        pair_id,
        label,
        _name(annotator),
        "\n".join(notes) or None,
        _left(data),
        _seconds(about.get("lead_time")),
        _time(about.get("updated_at") or about.get("created_at")),
        shown=shown or bool(data.get("judge")),
        ignored=None if label else "empty",
    )


def _name(annotator: Any) -> str | None:
    """Who answered: by their number in that Label Studio; by e-mail address only where the export has no number."""
    if isinstance(annotator, dict):
        annotator = annotator.get("id") or annotator.get("email")
    if isinstance(annotator, int) or (isinstance(annotator, str) and annotator.isdecimal()):
        return f"label-studio:{annotator}"
    if annotator and not isinstance(annotator, str):
        raise _Bad("annotator", "is neither a name nor a number")
    return annotator or None


def _left(data: Mapping[str, Any]) -> str | None:
    given = data.get("left_json")
    if given is None:
        left = data.get("left")  # of tasks that somebody made
        return left if isinstance(left, str) else None
    try:
        left = orjson.loads(given)
    except (orjson.JSONDecodeError, TypeError):
        left = None
    if not isinstance(left, str):
        raise _Bad("left_json", "is not the text that was written there")
    return left


def _seconds(value: Any) -> float | None:
    if value is None or value == "":
        return None
    try:
        seconds = float(value)
    except (TypeError, ValueError):
        seconds = -1.0
    if not (isfinite(seconds) and seconds >= 0):
        raise _Bad("lead_time", "is not a number of seconds")
    return seconds


def _time(value: Any) -> datetime | None:
    if not value:
        return None
    try:
        time = datetime.fromisoformat(value)
    except (TypeError, ValueError):
        raise _Bad("updated_at", "is not a time") from None
    return time if time.tzinfo else time.replace(tzinfo=UTC)


TOOL = Tool("label-studio", ".label-studio.json", encode, _recognises, _answers, set_up)
