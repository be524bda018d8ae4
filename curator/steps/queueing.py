"""Writes the tasks for people, for the tool that they label in."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from curator.annotation.base import Answer, Tool
from curator.annotation.registry import read_answers
from curator.errors import InputError
from curator.files import whole_file
from curator.options import QueueOrder
from curator.progress import Progress
from curator.steps.sides import other_side, sides, verdict_of
from curator.store import Store
from curator.store.audits import waiting_again
from curator.store.filters import Condition, matching, parse_condition
from curator.store.labels import said_before, swapped_pairs
from curator.store.tasks import Readers, counts, left_out, readers, set_readers, task_lines

SHARD = 1_000
"""Tasks a file: what annotation tools import without trouble."""


def keep_readers(store: Store, annotators: int | None, share: float | None) -> None:
    """Keep in the store how many people answer a pair, and what share of the pairs they all answer; None: as it was.

    Raises:
        InputError: a share is named of what one person alone is to answer.
    """
    kept = readers(store)
    if share is not None and (annotators or kept.annotators) == 1:
        raise InputError("--overlap is the share of pairs that several people answer: give --annotators-per-pair")
    if annotators is not None or share is not None:
        set_readers(store, Readers(annotators or kept.annotators, kept.share if share is None else share))


def write_queue(store: Store, path: Path, order: QueueOrder = QueueOrder.UNCERTAIN) -> int:
    """Write all tasks as one queue.jsonl; returns how many.

    Raises:
        InputError: the file is there and holds labels that were not imported.
    """
    require_imported(store, path)
    with whole_file(path) as aside, aside.open("wb") as file:
        tasks = 0
        for count, lines in task_lines(store, order):
            file.write(lines)
            tasks += count
    return tasks


@dataclass(frozen=True, slots=True)
class Written:
    """What was written for people.

    Attributes:
        sets: tasks of each set, each for another person: every task first, then those that two or more people are to
            answer, and so on.
        files: all that was written.
        left_out: tasks that were not, by why; None where nothing is.
    """

    sets: list[int]
    files: list[Path]
    left_out: dict[str, int] | None


def write_shards(
    store: Store,
    tool: Tool,
    folder: Path,
    size: int = SHARD,
    order: QueueOrder = QueueOrder.UNCERTAIN,
    *,
    show_verdict: bool = False,
    where: str | None = None,
    progress: Progress | None = None,
) -> Written:
    """Write the tasks for a tool, so many a file, and what it needs to be set up.

    The sets of further people go to the folders person-2, person-3, ... in the folder. Files of an earlier queue of the
    same tool are replaced, and removed where there are fewer now.

    Args:
        show_verdict: give what the judge says with each task, and leave out those that need eyes which have not seen
            it.
        where: a condition over the view `example`: only these, and none of the tasks of which no part may be chosen.

    Raises:
        ConditionError: it is no condition.
        InputError: it names traits that are not known; or a file is there and holds labels that were not imported.
    """
    condition = None if where is None else parse_condition(store, where)
    if condition is not None:
        matching(store, condition)
    # Of this tool alone: the suffix of one may end in that of another.
    named = re.compile(rf"queue-\d+{re.escape(tool.suffix)}")
    there = (*folder.glob("queue-*"), *folder.glob("person-[0-9]*/queue-*"))
    before = sorted(path for path in there if named.fullmatch(path.name))
    for path in before if tool.fillable else ():
        require_imported(store, path)
    sets, files = list[int](), list[Path]()
    partly = show_verdict or condition is not None
    people = 1 if partly else readers(store).annotators
    with (progress or Progress()).bar(
        "writing", " tasks", None if partly else counts(store)["answers_wanted"]
    ) as advance:
        for person in range(1, people + 1):
            lines = _lines(store, order, person, advance, show_verdict=show_verdict, where=condition)
            place = folder if person == 1 else folder / f"person-{person}"
            tasks, written = _write_set(tool, lines, place, size)
            sets.append(tasks)
            files += written
            if tool.set_up is not None and (written or person == 1):
                files += tool.set_up(place)
    for path in set(before) - set(files):
        path.unlink()
    return Written([sets[0], *filter(None, sets[1:])], files, left_out(store, condition) if partly else None)


def _write_set(tool: Tool, lines: Iterator[bytes], folder: Path, size: int) -> tuple[int, list[Path]]:
    """Write the tasks of one person."""
    tasks, files = 0, list[Path]()
    for first in lines:
        path = folder / f"queue-{len(files) + 1:04}{tool.suffix}"
        count = 0

        def counted(first: bytes = first) -> Iterator[bytes]:
            nonlocal count
            count = 1
            yield first
            for line in islice(lines, size - 1):
                count += 1
                yield line

        with whole_file(path) as aside, aside.open("wb") as file:
            for piece in tool.encode(counted()):
                file.write(piece)
        files.append(path)
        tasks += count
    return tasks, files


def _lines(
    store: Store,
    order: QueueOrder,
    person: int,
    advance: Callable[[int, str], None],
    *,
    show_verdict: bool,
    where: Condition | None,
) -> Iterator[bytes]:
    for _, lines in task_lines(store, order, person=person, show_verdict=show_verdict, where=where):
        for line in lines.to_pybytes().splitlines(keepends=True):
            advance(1, "")
            yield line


def require_imported(store: Store, queue: Path) -> None:
    """Raises InputError where a queue about to be written again holds labels that the store does not."""
    if not queue.is_file():
        return
    dealt = sides(store)
    found = [one for one in read_answers(str(queue)) if isinstance(one, Answer) and one.ignored is None]
    filled = [(one, one.label) for one in found if one.label]
    # A pair that came back in doubt is labelled already: what counts is whether this is an answer to asking again. One
    # from before shows the sides as they were.
    swapped = swapped_pairs(
        store, [(one.pair_id, dealt(one.pair_id), one.left) for one in found if one.left is not None]
    )

    def side(pair_id: str) -> str:
        return other_side(dealt(pair_id)) if pair_id in swapped else dealt(pair_id)

    answers = [(one.pair_id, one.annotator, verdict_of(label, side(one.pair_id)), one.note) for one, label in filled]
    waiting, known = waiting_again(store) - swapped, said_before(store, answers)
    if lost := sum(place not in known or one.pair_id in waiting for place, (one, _) in enumerate(filled)):
        raise InputError(
            f"{queue} holds {lost:,} labels that are not imported yet, and would be written again. Run "
            f"`curator import {queue} --db {store.quoted}` first, or move the file away."
        )
