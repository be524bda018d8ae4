"""A CSV file to label in a spreadsheet. No cell of it is ever a formula, whatever the responses say."""

from __future__ import annotations

import csv
import io
import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import orjson

from curator.annotation.base import CHOICES, Answer, Task, Tool, judge_says
from curator.files import Reject, Row
from curator.rendering import visible

CELL_MOST = 32_000
"""UTF-16 units of the longest cell; Excel silently drops what is behind 32,767."""

_COLUMNS = ("pair_id", "prompt", "left", "right", "label", "annotator", "note")
_SHOWN = {*_COLUMNS[:4], "judge"}
_LEFT_OUT = "characters of the middle are left out here"
_FORMULA = frozenset("=+-@")
_UNSEEN = re.compile(r"^[\s\u200c-\u200f]+")
_NUMBER = re.compile(r"\s*\d[\d\s.,:/%+-]{,40}([A-Za-z]{1,9}[\d\s.,:/%+-]{,40})?")  # or a date: one word at most
_JUDGED = "-judged"
"""Stands behind the id of a pair that is shown with a verdict: somebody may delete the column that holds it."""

_PAIR_ID = re.compile(rf"([0-9a-f]{{32}})({_JUDGED})?")
_SHORT = {"l": "left", "r": "right", "t": "tie", "s": "skip"}  # no "b": it could be meant for both, or for response b
_SAID = {
    **_SHORT,
    **{name.replace("_", " "): name for name in CHOICES},
    **{words.casefold(): name for name, words in CHOICES.items()},
}


def cell(text: str) -> str:
    """A text as a cell shows it: what is unseen marked, the middle of a long one left out, and never a formula.

    An apostrophe goes before what a spreadsheet would calculate or take for a number or a date, and before one that is
    there already, so that `text_of` can take it away again.

    >>> cell("=1+1"), cell("3/4"), cell("1e5"), cell("'tis"), cell("2 of the 3")
    ("'=1+1", "'3/4", "'1e5", "''tis", '2 of the 3')
    """
    text = visible(text)
    if len(text) > CELL_MOST // 2:
        text = _cut(text)
    # Signs of other widths begin formulas too, and so they may where only unseen characters stand before them.
    first = unicodedata.normalize("NFKC", _UNSEEN.sub("", text)[:1])[:1]
    calculated = first in _FORMULA or text.startswith(("\t", "\n"))
    return f"'{text}" if calculated or _NUMBER.fullmatch(text) or text.startswith("'") else text


def text_of(cell: str) -> str | None:
    """The text that a cell shows; None where it cannot be known, for something in it was marked or left out."""
    if "⟨U+" in cell or _LEFT_OUT in cell:
        return None
    return cell.replace("\r\n", "\n").removeprefix("'")


def label_of(said: str) -> str | None:
    """One of `CHOICES` as people type it; None where it is none of them.

    >>> label_of(" Both-bad "), label_of("L"), label_of("equally good"), label_of("b")
    ('both_bad', 'left', 'tie', None)
    """
    return _SAID.get(" ".join(re.split(r"[\s_-]+", said.strip().casefold())))


def _cut(text: str) -> str:
    units = text.encode("utf-16-le")
    if len(units) <= 2 * CELL_MOST:
        return text
    kept = CELL_MOST - 200
    head, tail = (part.decode("utf-16-le", errors="ignore") for part in (units[:kept], units[-kept:]))
    return f"{head}\n[... {len(text) - len(head) - len(tail):,} {_LEFT_OUT} ...]\n{tail}"


def _encode(lines: Iterable[bytes]) -> Iterator[bytes]:
    buffer = io.StringIO()
    writer = csv.writer(buffer, quoting=csv.QUOTE_ALL)
    yield b"\xef\xbb\xbf"  # tells Excel that this is UTF-8
    columns: tuple[str, ...] = ()
    for line in lines:
        task = Task.of(line)
        if not columns:  # all tasks of a queue have the field, or none has; of a pair that was not judged it is null
            columns = (*_COLUMNS[:4], "judge", *_COLUMNS[4:]) if "judge" in orjson.loads(line) else _COLUMNS
            writer.writerow(columns)
        values = {
            "pair_id": task.pair_id if task.judge is None else f"{task.pair_id}{_JUDGED}",
            "prompt": "\n\n".join(f"[{turn['role']}]\n{turn['content']}" for turn in task.prompt),
            "left": task.left,
            "right": task.right,
            "judge": judge_says(task.judge),
        }
        writer.writerow([cell(values.get(column, "")) for column in columns])
        yield buffer.getvalue().encode()
        buffer.seek(0)
        buffer.truncate()


def _recognises(values: Mapping[str, Any]) -> bool:
    # Only a table has nothing but text, for the prompt of queue.jsonl is a list. Spreadsheets leave empty cells at the
    # end of a row away, the label too; of other tools' tables the answer has another name.
    ours = {"pair_id", "label"} <= values.keys() or {"left", "right"} <= values.keys() <= _SHOWN
    return ours and all(isinstance(value, str) for value in values.values())


def _answers(row: Row) -> Iterator[Answer | Reject]:
    values: dict[str, str] = row.values
    pair_id, said = values.get("pair_id", "").strip().removeprefix("'").lower(), values.get("label", "")
    label = label_of(said)
    known = _PAIR_ID.fullmatch(pair_id)
    if known is None:
        yield row.reject("pair_id", "is none: it has 32 characters, 0 to 9 and a to f")
    elif label is None and said.strip():
        yield row.reject("label", f"must be one of {', '.join(CHOICES)}")
    else:
        yield Answer(
            row,
            known[1],
            label,
            values.get("annotator", "").strip() or None,
            values.get("note", "").strip() or None,
            text_of(values["left"]) if values.get("left") else None,
            shown=bool(known[2] or values.get("judge", "").strip()),
            ignored=None if label else "empty",
        )


TOOL = Tool("csv", ".csv", _encode, _recognises, _answers, row="pair_id and label")
