"""Argilla 2: records for its client, the settings of a dataset for them, and answers as its exports hold them.

How texts are shown. Argilla puts a text field on the page as Markdown, with images and embedded objects loaded from
wherever they point to, or, without `use_markdown`, as HTML (read in the sources of its front end). So fields hold HTML
of a few harmless tags, in which every character that Markdown gives a meaning is a character reference: it looks the
same either way, and nothing in it can run or load anything. A chat field would refuse messages of more than 20,000
characters; the conversation is one text field, its turns the rows of a table. What stood on the left is told by a
digest among the metadata, which is also part of the record's id: a pair that is asked about again, with its sides the
other way round, is another record and does not take over the answers to the first. So is one that shows the judge's
verdict: sent once more without it, its answers would look as if they had been given blind.

How to get answers out. What each way keeps:

    python argilla-sync.py pull NAME FILE                    status, users by name, times
    json.dump(dataset.records.to_list(flatten=True), file)   status, users by id
    dataset.records.to_datasets().to_json(path)              status, users by id
    dataset.records.to_datasets().to_csv(path)               status, users by id
    dataset.records.to_json(path), dataset.to_disk(path)     users by id; of a response not whether it was submitted

Of the last, an answer counts where it must have been submitted: the only one of a completed record. Stay with one way:
a user's name and id would count as two people. Only submitted answers count; drafts and discarded ones are ignored.
"""

from __future__ import annotations

import hashlib
import html
import io
import os
import re
import sys
import warnings
from ast import literal_eval
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import nullcontext, redirect_stderr
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson

from curator.annotation.base import CHOICES, QUESTION, Answer, Task, Tool, json_array, signs_say, write_files
from curator.errors import AnnotationError
from curator.files import Reject, Row
from curator.hiding import hidden
from curator.rendering import to_html, visible

SETTINGS = "argilla-settings.json"
"""The file of a dataset's settings."""

GUIDELINES = """\
Read the prompt and both responses, and say which response you would rather have got. Which of them stands left was
decided by chance.

- **Equally good**: you would take either. **Both are bad**: you would take neither.
- **Cannot say**: for instance because the matter is one that you do not know. Please choose this rather than
  discarding a record: discarded records and drafts do not count, and records that nobody answers leave a gap.
"""

_ANSWER, _NOTE = "preference", "note"
_STATUS, _USERS = f"{_ANSWER}.responses.status", f"{_ANSWER}.responses.users"
_STATES = ["submitted", "draft", "discarded", "not completed"]
_NAMES = {"pair_id", "left_sha256"}

# What Markdown and its extension for formulas could read as structure, and line breaks, which end a block of HTML.
_STRUCTURE = str.maketrans({c: f"&#{ord(c)};" for c in "\n!$()*:@[\\]_`|~"})


def settings(annotators: int = 1) -> dict[str, Any]:
    """What `argilla.Settings.from_json` reads: fields, questions, and how many people answer each record."""
    fields = {"prompt": "Prompt", "left": "Left", "right": "Right"}
    options = [{"value": value, "text": text} for value, text in CHOICES.items()]
    choice = {"type": "label_selection", "options": options, "visible_options": len(options)}
    return {
        "guidelines": GUIDELINES,
        "fields": [
            {"name": name, "title": title, "required": True, "settings": {"type": "text", "use_markdown": True}}
            for name, title in fields.items()
        ],
        "questions": [
            {"name": _ANSWER, "title": QUESTION, "required": True, "settings": choice},
            {"name": _NOTE, "title": "Note", "required": False, "settings": {"type": "text", "use_markdown": False}},
        ],
        "vectors": [],
        "metadata": [],
        "allow_extra_metadata": True,
        "distribution": {"strategy": "overlap", "min_submitted": annotators},
        "mapping": None,
    }


def record(task: Task) -> dict[str, Any]:
    """A task as `argilla.Record.from_dict` reads it."""
    left = hashlib.sha256(task.left.encode()).hexdigest()
    metadata: dict[str, Any] = {"pair_id": task.pair_id, "left_sha256": left}
    suggestions = {}
    if task.judge is not None:
        prefers, probability = task.judge.get("prefers"), task.judge.get("probability")
        metadata["judge_prefers"] = prefers or "neither"
        if probability is not None:
            metadata["judge_probability"] = probability
        if prefers:
            suggestions[_ANSWER] = {"value": prefers, "score": probability, "agent": "judge", "type": "model"}
    return {
        "id": f"{task.pair_id}-{left[:8]}" + ("" if task.judge is None else "-judged"),
        "fields": {
            "prompt": _warning(task.signs) + _conversation(task.prompt),
            "left": _block(task.left),
            "right": _block(task.right),
        },
        "metadata": metadata,
        "suggestions": suggestions,
        "responses": {},
    }


def _warning(signs: Sequence[str] | None) -> str:
    return f"<p><em>{html.escape(said)}</em></p>".translate(_STRUCTURE) if (said := signs_say(signs)) else ""


def _conversation(messages: list[dict[str, str]]) -> str:
    if [message["role"] for message in messages] == ["user"]:
        return _block(messages[0]["content"])
    turns = (
        f"<tr><th>{html.escape(visible(message['role']))}</th><td>{to_html(message['content']).strip()}</td></tr>"
        for message in messages
    )
    return f"<table><tbody>{''.join(turns)}</tbody></table>".translate(_STRUCTURE)


def _block(text: str) -> str:
    return f"<div>{to_html(text).strip()}</div>".translate(_STRUCTURE)


def _encode(lines: Iterable[bytes]) -> Iterator[bytes]:
    return json_array(record(Task.of(line)) for line in lines)


def _set_up(folder: Path, annotators: int = 1) -> list[Path]:
    script = Path(__file__).with_name("argilla_sync.py").read_bytes()
    return write_files(
        folder, {SETTINGS: orjson.dumps(settings(annotators), option=orjson.OPT_INDENT_2), "argilla-sync.py": script}
    )


def _recognises(values: Mapping[str, Any]) -> bool:
    metadata = values.get("metadata")
    return values.keys() >= _NAMES or (isinstance(metadata, dict) and metadata.keys() >= _NAMES)


def _answers(row: Row) -> Iterator[Answer | Reject]:
    values = row.values
    about = values if values.keys() >= _NAMES else values["metadata"]
    pair_id, digest = about["pair_id"], about["left_sha256"]
    if not isinstance(pair_id, str) or not isinstance(digest, str):
        yield row.reject("metadata", "has no pair_id and left_sha256, which say what was shown")
        return
    shown = bool(about.get("judge_prefers") or values.get("suggestions") or _suggested(values))
    try:
        said = list(_said(values))
    except (AttributeError, KeyError, SyntaxError, TypeError, ValueError):
        yield row.reject("responses", "are not as an export of Argilla has them")
        return
    if not said:
        yield Answer(row, pair_id, None, ignored="empty")
    for status, user, label, note, said_at in said:
        if status == "unknown":
            yield row.reject(
                "responses", "do not say which of them are submitted: export with dataset.records.to_list(flatten=True)"
            )
            return
        if status not in _STATES or not all(one is None or isinstance(one, str) for one in (user, note)):
            yield row.reject("responses", "are not as an export of Argilla has them")
            continue
        if status == "submitted" and label is not None and label not in list(CHOICES):
            yield row.reject(_ANSWER, f"is none of {', '.join(CHOICES)}")
            continue
        ignored = status if status != "submitted" else None if label else "empty"
        yield Answer(
            row, pair_id, label, user, note or None, f"sha256:{digest}", said_at=said_at, shown=shown, ignored=ignored
        )


def _suggested(values: dict[str, Any]) -> bool:
    """Whether a flat row holds a suggestion, of curator or of somebody else."""
    name = f"{_ANSWER}.suggestion"
    value = values.get(name)
    # A dataset of Hugging Face holds the number of a label, and "no suggestion" may be one: what comes with it tells.
    said = isinstance(value, str) and not value.isdigit() and value
    return bool(said or values.get(f"{name}.agent") or values.get(f"{name}.score"))


_Said = tuple[str, str | None, Any, str | None, datetime | None]


def _said(values: dict[str, Any]) -> Iterator[_Said]:
    """Status, user, label, note and time of each answer."""
    responses = values.get("responses")
    if isinstance(responses, list):
        yield from _of_server(responses)
    elif isinstance(responses, dict):
        yield from _of_records(responses, values.get("status"))
    elif "responses" not in values:
        yield from _of_columns(values)


def _of_server(responses: list[dict[str, Any]]) -> Iterator[_Said]:
    for response in responses:
        given = {name: value.get("value") for name, value in (response["values"] or {}).items()}
        when = response.get("updated_at") or response.get("inserted_at")
        said_at = datetime.fromisoformat(when) if when else None
        if said_at is not None and said_at.tzinfo is None:
            said_at = said_at.replace(tzinfo=UTC)  # the server's times have no zone, and are in this one
        user = response.get("username") or response.get("user_id")
        yield response["status"], user, given.get(_ANSWER), given.get(_NOTE), said_at


def _of_records(responses: dict[str, Any], status: str | None) -> Iterator[_Said]:
    notes = {one["user_id"]: one["value"] for one in responses.get(_NOTE) or ()}
    answers = responses.get(_ANSWER) or ()
    # A record is completed by submitted answers alone: where there is one answer, it is one of these.
    sure = "not completed" if status != "completed" else "submitted" if len(answers) == 1 else "unknown"
    for one in answers:
        yield sure, one["user_id"], one["value"], notes.get(one["user_id"]), None


def _of_columns(values: dict[str, Any]) -> Iterator[_Said]:
    labels, users, states = (_items(values.get(name)) for name in (f"{_ANSWER}.responses", _USERS, _STATUS))
    said = (_items(values.get(f"{_NOTE}.responses{name}")) for name in (".users", ""))
    notes = dict(zip(*said, strict=True))
    for label, user, status in zip(labels, users, states, strict=True):
        yield status or "draft", user, label, notes.get(user), None


# In a CSV file a list is what Python or NumPy prints, the latter without commas.
# What nothing closes goes on to the end, or every quotation mark in it would be looked at to the end anew.
_ITEM = re.compile(r"""'(?:[^'\\]|\\.?)*(?:'|\Z)|"(?:[^"\\]|\\.?)*(?:"|\Z)|None""", re.DOTALL)


def _items(cell: Any) -> list[Any]:
    if isinstance(cell, str):
        return [_literal(item) for item in _ITEM.findall(cell)]
    return list(cell or ())


def _literal(item: str) -> str | None:
    with warnings.catch_warnings(action="error"):  # Python warns of a backslash that it never wrote itself
        value: str | None = literal_eval(item)
    if value is not None:
        value.encode()  # half a character can be written so, and not be stored
    return value


def push(folder: Path, shards: Iterable[Path], name: str, workspace: str | None) -> int:
    """Send the records of some files to the dataset of a name, which is made where there is none; returns how many.

    Records that the dataset has are updated. The server and the key are those of the environment.

    Raises:
        AnnotationError: the client is not installed, the environment names no server, or it refuses.
    """
    url, key = os.environ.get("ARGILLA_API_URL"), os.environ.get("ARGILLA_API_KEY")
    if not url or not key:
        raise AnnotationError("--push needs the address and a key of your Argilla in ARGILLA_API_URL, ARGILLA_API_KEY")
    try:
        import httpx
        from argilla._exceptions._base import ArgillaError  # the base of its errors has no public name

        from curator.annotation import argilla_sync
    except ImportError:
        raise AnnotationError("--push needs Argilla's client: pip install 'preference-curator[argilla]'") from None
    server = re.sub(r"^.*?//|[/?#].*", "", url.rpartition("@")[2])
    # The client shows a bar of its own: for somebody who looks at it.
    quiet = nullcontext() if sys.stderr.isatty() else redirect_stderr(io.StringIO())
    try:
        with quiet, warnings.catch_warnings(action="ignore"), argilla_sync.connected() as client:
            return sum(argilla_sync.push(client, folder / SETTINGS, shards, name, workspace))
    except argilla_sync.NotThere as error:
        raise AnnotationError(f"Argilla at {server}: {error}") from None
    except (ArgillaError, httpx.HTTPError, httpx.InvalidURL) as error:
        said = ": ".join(dict.fromkeys(str(one) for one in (error, error.__cause__) if one is not None))
        raise AnnotationError(f"Argilla at {server}: {hidden(said, url)[:500]}") from None
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise AnnotationError(f"what answers at {server} is no Argilla server") from error


TOOL = Tool("argilla", ".argilla.json", _encode, _recognises, _answers, _set_up)
