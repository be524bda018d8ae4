"""Labels for `curator review`: each answer goes into the store at once, which is open only meanwhile.

The store has one writer. Between two answers it is free for other commands; while one of those has it, annotators go on
with tasks that were read ahead, and their pages keep the answers until they can be stored.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from curator.annotation.base import Task
from curator.errors import StoreLocked
from curator.options import QueueOrder
from curator.steps.seating import Desk, Seat, Word
from curator.steps.sides import label_of, sides, verdict_of
from curator.store import Store, open_store
from curator.store.labels import Label, add_labels, drawn_without_label, unknown_pairs, words_of
from curator.store.tasks import lines_of, task_order

AHEAD = 50
"""Tasks of each annotator whose texts are kept, to go on with while another command has the store."""

LONG = 200_000
"""Bytes of the longest task that is read ahead."""

_KEPT = 64 * 2**20

SITTING = 3_600.0
"""Seconds for which an answer may be taken back after the server was started again."""

_PATIENCE = 0.3


@dataclass(frozen=True, slots=True)
class Said:
    """One thing that an annotator did on the page.

    Attributes:
        label: among `annotation.base.CHOICES`; None takes back what they said of the pair.
        dealt: which response the page showed left, a or b; None where it takes back.
        seconds: that they took.
        said_at: with time zone; None: now.
    """

    pair_id: str
    label: str | None
    dealt: str | None = None
    note: str | None = None
    seconds: float | None = None
    said_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class State:
    """What an annotator's page is to show.

    Attributes:
        annotator: None before they have said who they are.
        dealt: which response of the task stands left.
        done, left, total: labels of this annotator, tasks that want one of theirs, and both together.
        pace: seconds an answer, None before the first.
        undo: the pair that is to be taken back next.
        previous: what they had said of the task before they took it back.
        stored: whether all that was said is in the store.
        message: for the annotator.
    """

    annotator: str | None
    task: Task | None
    dealt: str | None
    done: int
    left: int
    total: int
    pace: float | None
    undo: str | None
    previous: Word | None
    stored: bool
    message: str | None


class Review:
    """The labelling of one store by several annotators. Its methods are to be called one at a time.

    Attributes:
        labelled: the pairs that each annotator has labelled since this was made, by name.
        waiting: tasks when the store was last read.
    """

    def __init__(
        self, path: Path, order: QueueOrder = QueueOrder.UNCERTAIN, clock: Callable[[], float] = time.monotonic
    ) -> None:
        """
        Args:
            order: of the tasks behind the calibration draw.

        Raises:
            StoreError: there is no store, or another process has it.
        """
        self.path, self._order = path, order
        self.labelled: dict[str, set[str]] = {}
        self._clock = clock
        self._mark: tuple[tuple[int, int, int] | None, ...] | None = None
        self._desk = Desk([])
        self._places: dict[str, int] = {}
        self._texts: dict[str, bytes | None] = {}  # None: too long to be read ahead
        with open_store(path, create=False) as store:
            self._read(store)
            self._leave(store)

    def sync(self, annotator: str, said: Sequence[Said], showing: str | None = None) -> State:
        """Store what an annotator said, in order, and say what comes next.

        When this returns a state that is `stored`, all of it is in the store for good. Doing it twice is doing it once.

        Args:
            showing: the pair that their page shows.

        Raises:
            StoreLocked: another process has the store, and nothing that was read ahead is left.
            StoreError: the store cannot be read or written; nothing is stored.
        """
        try:
            with open_store(self.path, create=False, patience=_PATIENCE) as store:
                return self._stored(store, annotator, said, showing)
        except StoreLocked as locked:
            return self._kept(locked, annotator, said, showing)

    def task(self, pair_id: str) -> Task | None:
        """A task with all of its texts; None: there is no such pair.

        Raises:
            StoreLocked: another process has the store, and this task was not read ahead.
        """
        line = self._texts.get(pair_id)
        if line is None:
            with open_store(self.path, create=False, patience=_PATIENCE) as store:
                line = next(iter(lines_of(store, [pair_id])), None)
        return None if line is None else Task.of(line)

    def _stored(self, store: Store, annotator: str, said: Sequence[Said], showing: str | None) -> State:
        changed = self._mark != _mark(self.path)
        if changed:
            self._read(store)
        if annotator not in self._desk.seats:
            self._sit(store, annotator)
        # Of a pair that came back in doubt meanwhile, what was said about it before is no answer to being asked again.
        turned = {one.pair_id for one in said if one.label and one.dealt != self._dealt(one.pair_id)}
        strange = [one.pair_id for one in said if one.pair_id not in self._desk and one.pair_id not in turned]
        unusable = turned | (unknown_pairs(store, strange) if strange else set())
        usable = [one for one in said if one.pair_id not in unusable]
        if usable:
            add_labels(store, self._labels(annotator, usable))
        self._hear(annotator, usable)
        own = self.labelled.setdefault(annotator, set())
        for one in usable:
            (own.discard if one.label is None else own.add)(one.pair_id)
        self._look_ahead(store, annotator, showing)
        if usable or changed:
            self._leave(store)
        refused = (
            "An answer was about a pair that has come back in doubt since you read it, and does not count: it will be "
            "shown to you again."
            if turned
            else "An answer was about a pair that this store does not have, and is not stored."
        )
        return self._state(annotator, True, refused if unusable else None)

    def _kept(self, locked: StoreLocked, annotator: str, said: Sequence[Said], showing: str | None) -> State:
        holder = f" (process {locked.holder})" if locked.holder else ""
        busy = f"Another command has the store open{holder}. "
        if annotator not in self._desk.seats:
            raise StoreLocked(f"{busy}The tasks will be here when it has ended.", locked.holder)
        self._hear(annotator, said)
        if said:
            self._mark = None  # what the desk has heard is not in the store yet: read it anew before relying on it
        at_hand = [pair_id for pair_id, line in self._texts.items() if line is not None]
        if self._desk.show(annotator, showing, at_hand) is None and self._desk.seats[annotator].left:
            kept = "Your answers are kept in this browser. " if said else ""
            raise StoreLocked(f"{busy}{kept}The next tasks will be here when it has ended.", locked.holder)
        return self._state(
            annotator,
            False,
            f"{busy}You can go on: your answers are kept in this browser and will be stored when it has ended.",
        )

    def _read(self, store: Store) -> None:
        """Take the order of the tasks from the store, and what those who are here have said."""
        before = self._desk.seats
        pair_ids, wanted = self._ordered(store)
        self.waiting = len(pair_ids)
        self._desk = Desk(pair_ids, wanted, self._clock)
        self._dealt = sides(store)
        self._texts.clear()
        for name, seat in before.items():
            self._sit(store, name, seat)

    def _ordered(self, store: Store) -> tuple[list[str], list[int]]:
        """The tasks and how many labels each wants. The diverse order takes long: it is made once, and what comes later
        stands at its end.
        """
        known = self._order is QueueOrder.DIVERSE and self._places
        tasks = task_order(store, QueueOrder.UNCERTAIN if known else self._order)
        pair_ids, drawn, wanted = (tasks[name].to_pylist() for name in ("pair_id", "drawn", "wanted"))
        if not known:
            self._places = {pair_id: i for i, pair_id in enumerate(pair_ids)}
            return pair_ids, wanted
        last = len(self._places)
        places = [
            -1 if first else self._places.get(pair_id, last) for pair_id, first in zip(pair_ids, drawn, strict=True)
        ]
        order = sorted(range(len(places)), key=places.__getitem__)
        return [pair_ids[i] for i in order], [wanted[i] for i in order]

    def _sit(self, store: Store, annotator: str, before: Seat | None = None) -> None:
        words = words_of(store, annotator, SITTING)
        recent = [
            Word(row["pair_id"], label_of(row["verdict"], row["left_side"]), row["note"], row["seconds"])
            for row in words
            if row["recent"] and row["left_side"] is not None
        ]
        self._desk.sit(annotator, [row["pair_id"] for row in words], recent, before)

    def _leave(self, store: Store) -> None:
        """Bring everything into the file, and remember how that looks: another command changes it."""
        store.checkpoint()
        self._mark = _mark(self.path)

    def _labels(self, annotator: str, said: Sequence[Said]) -> list[Label]:
        labels, latest = list[Label](), datetime.now(UTC)
        # Their order counts, whatever the clock of a browser has done meanwhile.
        for one in reversed(said):
            dealt, latest = self._dealt(one.pair_id), min(one.said_at or latest, latest)
            verdict = None if one.label is None else verdict_of(one.label, dealt)
            labels.append(
                Label(
                    one.pair_id, annotator, verdict,
                    left_side=dealt, note=one.note, seconds=one.seconds, said_at=latest,
                )
            )  # fmt: skip
        return labels[::-1]

    def _hear(self, annotator: str, said: Sequence[Said]) -> None:
        for one in said:
            if one.label is None:
                self._desk.take_back(annotator, one.pair_id)
            else:
                self._desk.say(annotator, Word(one.pair_id, one.label, one.note, one.seconds))
                if len(self._texts.get(one.pair_id) or b"") > LONG:
                    self._texts[one.pair_id] = None

    def _look_ahead(self, store: Store, annotator: str, showing: str | None) -> None:
        """Read the text of the task to be shown, and now and then those of the next ones."""
        now = self._desk.show(annotator, showing)
        missing = [pair_id for pair_id in self._desk.ahead(annotator, AHEAD) if pair_id not in self._texts]
        if now is not None and self._texts.get(now) is None:
            self._texts.update(_by_pair(lines_of(store, [now])))
        if len(missing) > AHEAD // 2 or (missing and now in missing):
            if sum(map(len, filter(None, self._texts.values()))) > _KEPT:
                self._texts = {pair_id: line for pair_id, line in self._texts.items() if pair_id == now}
            found = _by_pair(lines_of(store, missing, most=LONG))
            self._texts = {**dict.fromkeys(missing), **found, **self._texts}

    def _state(self, annotator: str, stored: bool, message: str | None) -> State:
        seat = self._desk.seats[annotator]
        line = None if seat.shown is None else self._texts[seat.shown]
        return State(
            annotator,
            None if line is None else Task.of(line),
            None if seat.shown is None else self._dealt(seat.shown),
            done=len(seat.said),
            left=seat.left,
            total=len(seat.said) + seat.left,
            pace=seat.pace,
            undo=next(reversed(seat.recent), None),
            previous=seat.previous,
            stored=stored,
            message=message,
        )


def _by_pair(lines: list[bytes]) -> dict[str, bytes]:
    return {Task.of(line).pair_id: line for line in lines}


def _mark(path: Path) -> tuple[tuple[int, int, int] | None, ...]:
    """How the store's files look, which every change to it changes."""
    looks: list[tuple[int, int, int] | None] = []
    for file in (path, path.with_name(f"{path.name}.wal")):
        try:
            found = file.stat()
        except FileNotFoundError:
            looks.append(None)
        else:
            looks.append((found.st_mtime_ns, found.st_size, found.st_ino))
    return tuple(looks)


def review_summary(review: Review) -> str:
    """Who labelled how much since the page was opened, and what to do next."""
    lines = [
        f"{name}: {len(pairs):,} pair{'s' * (len(pairs) != 1)} labelled"
        for name, pairs in sorted(review.labelled.items())
        if pairs
    ]
    if not lines:
        return "Nothing was labelled."
    try:
        with open_store(review.path, create=False) as store:
            if left := drawn_without_label(store):
                lines.append(f"calibration draw: {left:,} pairs still without a label")
    except StoreLocked:
        pass  # the labels are in it, which is what matters
    return "\n".join([*lines, "Next: run the same `curator label` again."])
