"""Brings people's labels from files into the store."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from curator.annotation.base import Answer
from curator.annotation.registry import read_by_tool
from curator.files import Reject, opened, require_readable, shown_name
from curator.names import annotator_name
from curator.progress import Progress, one_line
from curator.steps.sides import other_side, sides, verdict_of
from curator.store import Store
from curator.store.audits import asked_again
from curator.store.imports import imported_before, last_label, record_import
from curator.store.labels import (
    Label,
    add_labels,
    drawn_without_label,
    said_before,
    swapped_pairs,
    unknown_pairs,
)
from curator.store.tasks import readers

CHUNK, CHUNK_BYTES = 5_000, 64 * 2**20
NAMED = 10
"""Annotators who are named; a file may name any number."""


@dataclass(slots=True)
class Imported:
    """What became of the answers of some files.

    Attributes:
        ignored: answers that count for nothing, by reason.
        refused: rows that cannot be used, as messages.
        tools, annotators: labels, new or not, by the tool that they came from and by who gave them.
    """

    added: int = 0
    superseded: int = 0
    unchanged: int = 0
    ignored: Counter[str] = field(default_factory=Counter)
    refused: list[str] = field(default_factory=list)
    tools: Counter[str] = field(default_factory=Counter)
    annotators: Counter[str] = field(default_factory=Counter)

    @property
    def counts(self) -> tuple[int, int, int, int, int]:
        return self.added, self.superseded, self.unchanged, self.ignored.total(), len(self.refused)


def import_labels(
    store: Store, files: Sequence[str], annotator: str | None = None, progress: Progress | None = None
) -> dict[str, Any]:
    """Store the labels of annotation files; a row that cannot be used is refused by name, the others count.

    The same file twice changes nothing, also where a label was corrected in between: of a file whose content has been
    imported before, under whatever name, an answer counts only where its annotator (where it names none: anybody) had
    said nothing of the pair when the import began. So what was refused the first time, for its pair was not there yet,
    can still come in. Standard input is no file, and is not remembered.

    Args:
        annotator: who labelled, where a row does not say; None: "annotator", and where several people are to answer one
            pair such a row is refused, for two of them would be taken for one.

    Returns:
        `added`, `superseded`, `unchanged` labels; `ignored` answers by reason; `refused` rows as messages; labels by
        `tools`; `annotators`, how many, and `annotator_labels`, of those with most; `imported_before`, files;
        `draw_left`.

    Raises:
        InputError: a file cannot be read; nothing is stored, or, where that shows only in the middle of a file, what
            came before.
    """
    annotator = annotator_name(annotator or "") or None
    for path in files:
        if path != "-" and not Path(path).is_fifo():
            require_readable(path)
    done = Imported()
    with (progress or Progress()).bar("reading", " rows") as advance:
        before = [shown_name(path) for path in files if _import(store, path, annotator, done, advance)]
    return {
        "added": done.added,
        "superseded": done.superseded,
        "unchanged": done.unchanged,
        "ignored": dict(sorted(done.ignored.items())),
        "refused": done.refused,
        "tools": dict(sorted(done.tools.items())),
        "annotators": len(done.annotators),
        "annotator_labels": {one_line(name): count for name, count in done.annotators.most_common(NAMED)},
        "imported_before": before,
        "draw_left": drawn_without_label(store),
    }


def _import(
    store: Store, path: str, annotator: str | None, done: Imported, advance: Callable[[int, str], None]
) -> bool:
    """Add the labels of a file; whether it was imported before."""
    digest, until, start = _digest(path), last_label(store), done.counts
    again = digest is not None and imported_before(store, digest)
    chunk: list[tuple[str, Answer]] = []
    size = rows = 0

    def flush() -> None:
        _store(store, chunk, annotator, done, until if again else 0)
        chunk.clear()

    for tool, answer in read_by_tool(path):
        rows += 1
        if isinstance(answer, Reject):
            done.refused.append(str(answer))
        elif answer.ignored is not None:
            done.ignored[answer.ignored] += 1
        elif tool is not None:
            chunk.append((tool, answer))
            size += len(answer.row.data)
        if len(chunk) == CHUNK or size >= CHUNK_BYTES:
            flush()
            size = 0
        advance(1, "")
    flush()
    if not rows:
        done.refused.append(f"{shown_name(path)}: holds no rows")
    elif digest is not None:
        record_import(store, digest, shown_name(path), *(b - a for a, b in zip(start, done.counts, strict=True)))
    return again


def _digest(path: str) -> str | None:
    """What is in a file, unpacked, as SHA-256; None where it can be read only once."""
    if path == "-" or not Path(path).is_file():
        return None
    with opened(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()  # type: ignore[arg-type]  # as it lacks fileno


def _store(store: Store, said: list[tuple[str, Answer]], annotator: str | None, done: Imported, until: int) -> None:
    """Add labels.

    Args:
        until: leave out what an annotator had said something about up to the label of this number.
    """
    dealt, again, several = sides(store), asked_again(store), readers(store).annotators > 1
    unknown = unknown_pairs(store, [answer.pair_id for _, answer in said])
    # "left" would mean the wrong response in a queue of another store, or of a version that dealt the sides otherwise.
    # Of a pair that came back in doubt, it is a task from before, and no answer to being asked again.
    shown = [(answer.pair_id, dealt(answer.pair_id), answer.left) for _, answer in said if answer.left is not None]
    swapped = swapped_pairs(store, shown)
    # What such a pair is sure to show as it is dealt now would be swapped, were it dealt the other way round.
    sure = swapped_pairs(
        store, [(pair_id, other_side(side), left) for pair_id, side, left in shown if pair_id in again]
    )
    labels: list[Label] = []
    named: list[str | None] = []
    for tool, answer in said:
        pair_id, name = answer.pair_id, answer.annotator
        if pair_id in unknown:
            done.refused.append(str(answer.row.reject("pair_id", "is of no pair in this store")))
        elif pair_id in swapped:
            reason = (
                "is from before this pair was asked about again: answer it in the new queue"
                if pair_id in again
                else "is the response that this store shows on the right: write the queue anew"
            )
            done.refused.append(str(answer.row.reject("left", reason)))
        elif pair_id in again and pair_id not in sure:
            reason = "does not show the response as it is, and may be from before this pair was asked about again"
            done.refused.append(str(answer.row.reject("left", f"{reason}: answer it in queue.jsonl")))
        elif name is None and annotator is None and several:
            reason = "does not say who it was, and several people answer one pair here: give --annotator NAME"
            done.refused.append(str(answer.row.reject("annotator", reason)))
        elif answer.label is not None:
            named.append(name)
            labels.append(
                Label(
                    pair_id,
                    name or annotator or "annotator",
                    verdict_of(answer.label, dealt(pair_id)),
                    blind=not answer.shown,
                    left_side=dealt(pair_id),
                    note=answer.note,
                    seconds=answer.seconds,
                    said_at=answer.said_at,
                )
            )
            done.tools[tool] += 1
            done.annotators[labels[-1].annotator] += 1
    asked = [(one.pair_id, name, None, None) for one, name in zip(labels, named, strict=True)]
    known = said_before(store, asked, until) if until else set()
    new = [one for place, one in enumerate(labels) if place not in known]
    added = add_labels(store, new)
    done.added += added.added
    done.superseded += added.superseded
    done.unchanged += added.unchanged + len(labels) - len(new)
