"""Brings people's labels from files into the store."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from curator.errors import InputError
from curator.exports.queue import Answer, read_answers
from curator.files import Reject
from curator.store import Store
from curator.store.audits import asked_again, waiting_again
from curator.store.labels import (
    AddedLabels,
    Label,
    add_labels,
    drawn_without_label,
    labelled_pairs,
    swapped_pairs,
    unknown_pairs,
)

CHUNK = 5_000


def import_labels(store: Store, files: Sequence[str], annotator: str) -> dict[str, Any]:
    """Store the labels of queue files; a row that cannot be used is refused by name, the others count.

    Returns:
        `added`, `superseded`, `unchanged` labels; `empty` tasks; `refused` rows as messages; `draw_left`.

    Raises:
        InputError: a file cannot be read. Files before it are stored.
    """
    totals = {"added": 0, "superseded": 0, "unchanged": 0, "empty": 0}
    refused: list[str] = []
    again = asked_again(store)
    for path in files:
        chunk: list[Answer] = []
        for answer in read_answers(path, store.seed, again):
            if isinstance(answer, Reject):
                refused.append(str(answer))
            elif answer.verdict is None:
                totals["empty"] += 1
            else:
                chunk.append(answer)
            if len(chunk) == CHUNK:
                _store(store, chunk, annotator, again, totals, refused)
                chunk = []
        _store(store, chunk, annotator, again, totals, refused)
    return {**totals, "refused": refused, "draw_left": drawn_without_label(store)}


def require_imported(store: Store, queue: Path) -> None:
    """Raises InputError where a queue about to be written again holds labels that the store does not."""
    if not queue.is_file():
        return
    rows = read_answers(str(queue), store.seed, asked_again(store))
    filled = [answer for answer in rows if isinstance(answer, Answer) and answer.verdict]
    # A pair that came back in doubt is labelled already: what counts is whether this is an answer to asking again.
    waiting = waiting_again(store) - _swapped(store, filled)
    known = labelled_pairs(store, [answer.pair_id for answer in filled]) - waiting
    if lost := sum(answer.pair_id not in known for answer in filled):
        raise InputError(
            f"{queue} holds {lost:,} labels that are not imported yet, and would be written again. Run "
            f"`curator import {queue} --db {store.path}` first, or move the file away."
        )


def _swapped(store: Store, answers: Sequence[Answer]) -> set[str]:
    """The pairs of tasks that show the sides otherwise than they are dealt now."""
    return swapped_pairs(store, [(a.pair_id, a.left_side, str(a.row.values["left"])) for a in answers])


def _store(
    store: Store,
    answers: list[Answer],
    annotator: str,
    again: frozenset[str],
    totals: dict[str, int],
    refused: list[str],
) -> None:
    unknown = unknown_pairs(store, [answer.pair_id for answer in answers])
    refused += [
        str(answer.row.reject("pair_id", "is of no pair in this store"))
        for answer in answers
        if answer.pair_id in unknown
    ]
    # "left" would mean the wrong response in a queue of another store, or of a version that dealt the sides otherwise.
    # Of a pair that came back in doubt, it is a task from before, and no answer to being asked again.
    swapped = _swapped(store, answers)
    refused += [
        str(
            answer.row.reject(
                "left",
                "is from before this pair was asked about again: answer it in the new queue"
                if answer.pair_id in again
                else "is the response that this store shows on the right: write the queue anew",
            )
        )
        for answer in answers
        if answer.pair_id in swapped
    ]
    unusable = unknown | swapped
    done: AddedLabels = add_labels(
        store,
        [
            Label(
                answer.pair_id,
                answer.annotator or annotator,
                answer.verdict,
                left_side=answer.left_side,
                note=answer.note,
            )
            for answer in answers
            if answer.pair_id not in unusable and answer.verdict is not None
        ],
    )
    totals["added"] += done.added
    totals["superseded"] += done.superseded
    totals["unchanged"] += done.unchanged
