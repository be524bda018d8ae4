"""Writes the tasks for people, for the tool that they label in."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from curator.annotation.base import Answer, Tool
from curator.annotation.registry import read_answers
from curator.errors import InputError
from curator.files import whole_file
from curator.steps.importing import sides
from curator.store import Store
from curator.store.audits import waiting_again
from curator.store.labels import labelled_pairs, swapped_pairs
from curator.store.tasks import task_lines

SHARD = 1_000
"""Tasks a file: what annotation tools import without trouble."""


def write_queue(store: Store, path: Path) -> int:
    """Write all tasks as one queue.jsonl; returns how many.

    Raises:
        InputError: the file is there and holds labels that were not imported.
    """
    require_imported(store, path)
    with whole_file(path) as aside, aside.open("wb") as file:
        tasks = 0
        for count, lines in task_lines(store):
            file.write(lines)
            tasks += count
    return tasks


def write_shards(store: Store, tool: Tool, folder: Path, size: int = SHARD) -> tuple[int, list[Path]]:
    """Write the tasks for a tool, so many a file, and what it needs to be set up.

    Files of an earlier queue of the same tool in the folder are replaced, and removed where there are fewer now.

    Returns:
        How many tasks, and the files.

    Raises:
        InputError: a file is there and holds labels that were not imported.
    """
    # Of this tool alone: the suffix of one may end in that of another.
    named = re.compile(rf"queue-\d+{re.escape(tool.suffix)}")
    before = sorted(path for path in folder.glob("queue-*") if named.fullmatch(path.name))
    for path in before:
        require_imported(store, path)
    tasks, files = 0, list[Path]()
    lines = _lines(store)
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
    for path in set(before) - set(files):
        path.unlink()
    if tool.set_up is not None:
        files += tool.set_up(folder)
    return tasks, files


def _lines(store: Store) -> Iterator[bytes]:
    for _, lines in task_lines(store):
        yield from lines.to_pybytes().splitlines(keepends=True)


def require_imported(store: Store, queue: Path) -> None:
    """Raises InputError where a queue about to be written again holds labels that the store does not."""
    if not queue.is_file():
        return
    dealt = sides(store)
    filled = [one for one in read_answers(str(queue)) if isinstance(one, Answer) and one.ignored is None]
    # A pair that came back in doubt is labelled already: what counts is whether this is an answer to asking again.
    shown = [(one.pair_id, dealt(one.pair_id), one.left) for one in filled if one.left is not None]
    waiting = waiting_again(store) - swapped_pairs(store, shown)
    known = labelled_pairs(store, [one.pair_id for one in filled]) - waiting
    if lost := sum(one.pair_id not in known for one in filled):
        raise InputError(
            f"{queue} holds {lost:,} labels that are not imported yet, and would be written again. Run "
            f"`curator import {queue} --db {store.path}` first, or move the file away."
        )
