"""queue.jsonl when it comes back: what people said, mapped from the sides they saw to responses a and b."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass

from curator.files import Reject, Row, read_rows
from curator.pair import Verdict, first_by_hash


@dataclass(frozen=True, slots=True)
class Answer:
    """A task of a queue. `verdict` is in pair identity; None: not filled in yet."""

    row: Row
    pair_id: str
    verdict: Verdict | None
    annotator: str | None
    note: str | None
    left_side: str


def read_answers(path: str, seed: str, again: Collection[str] = ()) -> Iterator[Answer | Reject]:
    """Every task of a queue file. The sides follow from the store's seed, whatever the file says.

    Args:
        again: the pairs that people were asked about again: their sides are the other way round.

    Raises:
        InputError: the file cannot be read.
    """
    for row in read_rows(path):
        if isinstance(row, Reject):
            yield row
            continue
        if isinstance(row.values.get("label"), str):
            row.values["label"] = row.values["label"].strip().lower()  # "Left" is as good as "left"
        if bad := row.check("queue"):
            yield bad
            continue
        values = row.values
        left_side = "a" if first_by_hash(seed, values["pair_id"]) != (values["pair_id"] in again) else "b"
        verdict = _verdict(values["label"], left_side)
        yield Answer(row, values["pair_id"], verdict, values.get("annotator"), values.get("note"), left_side)


def _verdict(label: str | None, left_side: str) -> Verdict | None:
    if label is None:
        return None
    if label in {"tie", "skip"}:
        return Verdict(label)
    return Verdict(left_side) if label == "left" else Verdict("b" if left_side == "a" else "a")
