"""Brings people's labels from files into the store."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from curator.annotation.base import Answer
from curator.annotation.registry import read_answers
from curator.files import Reject
from curator.pair import Verdict, first_by_hash
from curator.store import Store
from curator.store.audits import asked_again
from curator.store.labels import Label, add_labels, drawn_without_label, swapped_pairs, unknown_pairs

CHUNK = 5_000


@dataclass(slots=True)
class Imported:
    """What became of the answers of some files.

    Attributes:
        ignored: answers that count for nothing, by reason.
        refused: rows that cannot be used, as messages.
    """

    added: int = 0
    superseded: int = 0
    unchanged: int = 0
    ignored: Counter[str] = field(default_factory=Counter)
    refused: list[str] = field(default_factory=list)


def import_labels(store: Store, files: Sequence[str], annotator: str) -> dict[str, Any]:
    """Store the labels of annotation files; a row that cannot be used is refused by name, the others count.

    Args:
        annotator: who labelled, where a row does not say.

    Returns:
        `added`, `superseded`, `unchanged` labels; `ignored` answers by reason; `refused` rows as messages; `draw_left`.

    Raises:
        InputError: a file cannot be read. Files before it are stored.
    """
    done = Imported()
    for path in files:
        chunk: list[Answer] = []
        for answer in read_answers(path):
            if isinstance(answer, Reject):
                done.refused.append(str(answer))
            elif answer.ignored is not None:
                done.ignored[answer.ignored] += 1
            else:
                chunk.append(answer)
            if len(chunk) == CHUNK:
                _store(store, chunk, annotator, done)
                chunk = []
        _store(store, chunk, annotator, done)
    return {
        "added": done.added,
        "superseded": done.superseded,
        "unchanged": done.unchanged,
        "ignored": dict(sorted(done.ignored.items())),
        "refused": done.refused,
        "draw_left": drawn_without_label(store),
    }


def sides(store: Store) -> Callable[[str], str]:
    """Which response of a pair the queue shows left, a or b: the store's seed says, whatever a file says.

    A pair that people are asked about again shows its sides the other way round.
    """
    seed, again = store.seed, asked_again(store)
    return lambda pair_id: "a" if first_by_hash(seed, pair_id) != (pair_id in again) else "b"


def verdict_of(label: str, left_side: str) -> Verdict:
    """What a person said about sides, about the responses."""
    if label == "left":
        return Verdict(left_side)
    if label == "right":
        return Verdict("b" if left_side == "a" else "a")
    return Verdict(label)


def _store(store: Store, answers: list[Answer], annotator: str, done: Imported) -> None:
    dealt, again = sides(store), asked_again(store)
    unknown = unknown_pairs(store, [answer.pair_id for answer in answers])
    # "left" would mean the wrong response in a queue of another store, or of a version that dealt the sides otherwise.
    # Of a pair that came back in doubt, it is a task from before, and no answer to being asked again.
    swapped = swapped_pairs(
        store, [(answer.pair_id, dealt(answer.pair_id), answer.left) for answer in answers if answer.left is not None]
    )
    for answer in answers:
        if answer.pair_id in unknown:
            done.refused.append(str(answer.row.reject("pair_id", "is of no pair in this store")))
        elif answer.pair_id in swapped:
            reason = (
                "is from before this pair was asked about again: answer it in the new queue"
                if answer.pair_id in again
                else "is the response that this store shows on the right: write the queue anew"
            )
            done.refused.append(str(answer.row.reject("left", reason)))
    unusable = unknown | swapped
    added = add_labels(
        store,
        [
            Label(
                answer.pair_id,
                answer.annotator or annotator,
                verdict_of(answer.label, dealt(answer.pair_id)),
                blind=not answer.shown,
                left_side=dealt(answer.pair_id),
                note=answer.note,
                seconds=answer.seconds,
                said_at=answer.said_at,
            )
            for answer in answers
            if answer.pair_id not in unusable and answer.label is not None
        ],
    )
    done.added += added.added
    done.superseded += added.superseded
    done.unchanged += added.unchanged
