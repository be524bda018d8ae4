"""Label Studio: tasks and a labelling configuration out; its JSON, JSON_MIN, CSV and TSV exports and API tasks in.

Label Studio's HyperText shows HTML that only scripts, frames and event handlers were taken out of, and its Markdown
loads images from anywhere. So it gets HTML of curator's own making, in which there is nothing to take out.
"""

from __future__ import annotations

import html
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from math import isfinite
from pathlib import Path
from typing import Any

import orjson

from curator.annotation.base import CHOICES, QUESTION, Answer, Task, Tool
from curator.files import Reject, Row, whole_file
from curator.rendering import to_html, visible

_VERDICT, _NOTE = "verdict", "note"
_DATA = {"pair_id", "prompt_html", "left_html", "right_html", "left_json", "judge"}
_EXPORTED = {"id", "annotator", "annotation_id", "created_at", "updated_at", "lead_time", "agreement", "history"}

# Sides stand beside each other as long as each has 22em. Only greys that suit the light and the dark theme.
_STYLE = """
    .curator-sides { display: flex; flex-wrap: wrap; gap: 1em; margin: 1em 0 }
    .curator-sides .curator-text { flex: 1 1 22em; min-width: 0 }
    .curator-text { border: 1px solid rgba(128, 128, 128, .4); border-radius: 6px; padding: .5em 1em }
    .curator-text article, .curator-text dl { line-height: 1.5; overflow-wrap: anywhere }
    .curator-text p, .curator-text ul, .curator-text ol, .curator-text table { margin: .5em 0 }
    .curator-text ul { list-style: disc; padding-left: 1.5em }
    .curator-text ol { list-style: decimal; padding-left: 1.5em }
    .curator-text dt { font-weight: 600; margin-top: .75em }
    .curator-text dd, .curator-text blockquote { border-left: 3px solid rgba(128, 128, 128, .4) }
    .curator-text dd, .curator-text blockquote { margin: 0; padding-left: 1em }
    .curator-text pre { overflow-x: auto; padding: .5em; background: rgba(128, 128, 128, .12); white-space: pre-wrap }
    .curator-text code { font: .9em/1.45 monospace !important; background: rgba(128, 128, 128, .12) }
    .curator-text pre code { background: none }
    .curator-text h1, .curator-text h2, .curator-text h3 { font-size: 1.15em; font-weight: 600; margin: .75em 0 }
    .curator-text th, .curator-text td { border: 1px solid rgba(128, 128, 128, .4); padding: .2em .5em }
    .curator-verdict { position: sticky; bottom: -1em; padding: .5em 0 1em; z-index: 1 }
    .curator-verdict { border-top: 1px solid rgba(128, 128, 128, .4); background: var(--color-neutral-background) }
"""

_CONFIG = """\
<View>
  <Style>{style}</Style>
  <View className="curator-text">
    <HyperText name="prompt" value="$prompt_html" inline="true"/>
  </View>
  <View className="curator-sides">
    <View className="curator-text">
      <Header value="Left" size="5"/>
      <HyperText name="left" value="$left_html" inline="true"/>
    </View>
    <View className="curator-text">
      <Header value="Right" size="5"/>
      <HyperText name="right" value="$right_html" inline="true"/>
    </View>
  </View>
  <View className="curator-verdict">
    <Header value="{question}" size="5"/>
    <Choices name="{verdict}" toName="prompt" choice="single-radio" showInline="true" required="true">
{choices}
    </Choices>
  </View>
  <TextArea name="{note}" toName="prompt" rows="1" maxSubmissions="1" editable="true" placeholder="Note"/>
</View>
"""

_README = """\
Labelling in Label Studio
=========================

1. Create a project.
2. Settings > Labeling Interface > Code: paste labeling-config.xml and save.
3. Import queue-0001.json and the files after it, in their order. Each is a list of tasks.
4. Label in the order of the tasks and leave none out: "Cannot say" is an answer. What Label Studio's own Skip button
   skips is not counted.
5. Export as JSON (or JSON-MIN, CSV, TSV), then: curator import EXPORT --db CURATOR.DUCKDB

Steps 1 to 3 by its API, with an access token of your account:

  pip install label-studio-sdk
  python - <<'END'
  from pathlib import Path
  import json
  from label_studio_sdk import LabelStudio
  studio = LabelStudio(base_url="http://localhost:8080", api_key="TOKEN")
  project = studio.projects.create(title="curator", label_config=Path("labeling-config.xml").read_text())
  for path in sorted(Path(".").glob("queue-*.json")):
      studio.projects.import_tasks(project.id, request=json.loads(path.read_text()))
  END

Several people may answer the same task (Settings > Quality > annotations per task, where your edition has it): each
answer is a label of its own. Leave out pre-labelling by a model: answers to tasks that show a prediction are kept, but
do not calibrate.
"""


def _config() -> str:
    choices = "\n".join(
        f'      <Choice value="{html.escape(words)}" alias="{name}" hotkey="{key}"/>'
        for key, (name, words) in enumerate(CHOICES.items(), 1)
    )
    return _CONFIG.format(style=_STYLE, question=html.escape(QUESTION), verdict=_VERDICT, note=_NOTE, choices=choices)


def _set_up(folder: Path) -> list[Path]:
    files = {"labeling-config.xml": _config(), "README.txt": _README}
    for name, text in files.items():
        with whole_file(folder / name) as aside:
            aside.write_text(text, encoding="utf-8")
    return [folder / name for name in files]


def _encode(lines: Iterable[bytes]) -> Iterator[bytes]:
    before = b"[\n"
    for line in lines:
        yield before + orjson.dumps({"data": _data(Task.of(line))})
        before = b",\n"
    yield b"\n]\n" if before != b"[\n" else b"[]\n"


def _data(task: Task) -> dict[str, Any]:
    """What a task shows, and what its answer is known by.

    The left text comes back as JSON: without line ends, which CSV may change, without the zero bytes that Label
    Studio's database refuses, and behind a quotation mark, so that no spreadsheet takes it for a formula.
    """
    data = {
        "pair_id": task.pair_id,
        "prompt_html": _judge(task.judge) + _conversation(task.prompt),
        "left_html": _article(task.left),
        "right_html": _article(task.right),
        "left_json": orjson.dumps(task.left).decode(),
    }
    return data if task.judge is None else {**data, "judge": dict(task.judge)}


def _article(text: str) -> str:
    return f"<article>{to_html(text)}</article>"


def _conversation(messages: list[dict[str, str]]) -> str:
    """Messages under their roles. No Markdown makes a list of terms, so that no message can pretend to be two."""
    if len(messages) == 1 and messages[0]["role"] == "user":
        return _article(messages[0]["content"])
    turns = (f"<dt>{html.escape(visible(m['role']))}</dt><dd>{to_html(m['content'])}</dd>" for m in messages)
    return f"<dl>{''.join(turns)}</dl>"


def _judge(judge: Mapping[str, Any] | None) -> str:
    # Text and no prediction: that would tick the judge's choice beforehand.
    if judge is None:
        return ""
    side, probability = judge.get("prefers"), judge.get("probability")
    sure = f" ({probability:.0%})" if probability is not None else ""
    said = f"prefers the {side} response{sure}" if side in {"left", "right"} else "has no preference"
    return f"<p><strong>The judge {said}.</strong></p>"


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
    answers: list[Answer | Reject] = []
    for place, annotation in enumerate(annotations):
        try:
            answers.append(_annotation(row, annotation))
        except _Bad as bad:
            field, reason = bad.args
            answers.append(row.reject(field if field.startswith("data.") else f"annotations.{place}.{field}", reason))
    earliest = datetime.min.replace(tzinfo=UTC)
    answers.sort(key=lambda one: (one.said_at if isinstance(one, Answer) else None) or earliest)
    yield from answers
    pair_id = str(values["data"].get("pair_id"))
    for _ in drafts:
        yield Answer(row, pair_id, None, ignored="draft")
    if not annotations and not drafts:
        yield Answer(row, pair_id, None, ignored="empty")


def _annotation(row: Row, annotation: Any) -> Answer:
    if not isinstance(annotation, dict):
        raise _Bad("row", "is not an object")
    task = row.values
    said, notes = list[str](), list[str]()
    results = annotation.get("result") or []
    if not isinstance(results, list):
        raise _Bad("result", "is not a list")
    for result in results:
        name, kind = (result.get("from_name"), result.get("type")) if isinstance(result, dict) else (None, None)
        value = result.get("value") if isinstance(result, dict) else None
        if kind == "pairwise":
            said.append(_pairwise(value))
        elif (name, kind) == (_VERDICT, "choices"):
            said += _texts(value, "choices")
        elif (name, kind) == (_NOTE, "textarea"):
            notes += _texts(value, "text")
        else:
            raise _Bad("result", "is of a control that is not in curator's labelling configuration")
    skipped = bool(annotation.get("was_cancelled"))
    if annotation.get("ground_truth") and not skipped:
        raise _Bad("ground_truth", "is set: a reference, not what a person said of this task")
    anchored = bool(task.get("predictions") or annotation.get("prediction"))
    return _answer(row, task["data"], annotation, annotation.get("completed_by"), said, notes, anchored, skipped)


def _of_flat(row: Row) -> Iterator[Answer | Reject]:
    """The one answer of a row of JSON_MIN, CSV or TSV, which holds the task's data and each control's value."""
    values = row.values
    try:
        said, notes = list[str](), list[str]()
        if verdict := values.get(_VERDICT):
            said.append(verdict)
        if note := values.get(_NOTE):
            notes += [note] if isinstance(note, str) else _texts(note, "text")
        others = values.keys() - _DATA - _EXPORTED - {_VERDICT, _NOTE}
        said += [_pairwise(one) for name in others for one in _pairs(values[name])]
        if others and not said and values.get("annotation_id"):
            raise _Bad(_VERDICT, "is missing: this is no export of curator's labelling configuration")
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
    return (
        value
        if isinstance(value, list) and value and all(isinstance(x, dict) and "selected" in x for x in value)
        else []
    )


def _pairwise(value: Any) -> str:
    selected = value.get("selected") if isinstance(value, dict) else None
    if selected not in {"left", "right"}:
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
    said_with: Mapping[str, Any],
    annotator: Any,
    said: list[str],
    notes: list[str],
    anchored: bool = False,
    skipped: bool = False,
) -> Answer:
    pair_id = data.get("pair_id")
    if not isinstance(pair_id, str):
        raise _Bad("data.pair_id", "is missing")
    if len(said) > 1:
        raise _Bad(_VERDICT, "says more than one thing")
    label = said[0] if said else None
    if label is not None and label not in CHOICES:
        raise _Bad(_VERDICT, "must be one of " + ", ".join(CHOICES))
    return Answer(
        row,
        pair_id,
        None if skipped else label,
        _name(annotator),
        "\n".join(notes) or None,
        _left(data),
        _seconds(said_with.get("lead_time")),
        _time(said_with.get("updated_at") or said_with.get("created_at")),
        shown=anchored or bool(data.get("judge")),
        ignored="skipped" if skipped else None if label else "empty",
    )


def _name(annotator: Any) -> str | None:
    """Who answered: by e-mail address where the export has it, else by their number there."""
    if isinstance(annotator, dict):
        annotator = annotator.get("email") or annotator.get("id")
    if isinstance(annotator, int) or (isinstance(annotator, str) and annotator.isdecimal()):
        return f"label-studio:{annotator}"
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
        raise _Bad("data.left_json", "is not the text that was written there")
    return left


def _seconds(value: Any) -> float | None:
    if value in {None, ""}:
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


TOOL = Tool("label-studio", ".json", _encode, _recognises, _answers, _set_up)
