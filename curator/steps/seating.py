"""Who labels what: the tasks in their order, and for each annotator the next one that wants a label. In memory only."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from statistics import median

LEASE = 600.0
"""Seconds for which a task that somebody has on screen is offered to others only when nothing else is left."""

PACE_OF = 20
"""The latest answers that the pace is the median of."""


@dataclass(frozen=True, slots=True)
class Word:
    """What an annotator said of a pair: a label among `annotation.base.CHOICES`, a note, and the seconds it took."""

    pair_id: str
    label: str
    note: str | None = None
    seconds: float | None = None


@dataclass(slots=True)
class Seat:
    """What is known of one annotator.

    Attributes:
        said: pairs they have labelled.
        left: how many tasks want a label of theirs.
        recent: what they said at this sitting and may take back, the latest last.
        shown: the pair on their screen.
        previous: what they had said of it, where they took it back.
    """

    said: set[str]
    left: int
    recent: dict[str, Word] = field(default_factory=dict)
    paces: deque[float] = field(default_factory=lambda: deque(maxlen=PACE_OF))
    shown: str | None = None
    previous: Word | None = None
    _until: float = 0.0
    _cursor: int = 0

    @property
    def pace(self) -> float | None:
        """Seconds an answer, the median of the latest."""
        return median(self.paces) if self.paces else None


class Desk:
    """The tasks and the annotators. Saying the same twice, or taking it back twice, is saying it once.

    Only who sits down has all tasks counted. After that a seat's cursor passes each task that is none for it once, and
    what others have on screen is passed over again.
    """

    def __init__(
        self,
        tasks: Sequence[str],
        wanted: Sequence[int] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """
        Args:
            tasks: ids of pairs, in the order in which they are to be labelled.
            wanted: labels that each of them wants; None: one.
        """
        self._tasks = tasks
        self._wanted = [1] * len(tasks) if wanted is None else list(wanted)
        self._place = {pair_id: i for i, pair_id in enumerate(tasks)}
        self._clock = clock
        self.seats: dict[str, Seat] = {}

    def __contains__(self, pair_id: str) -> bool:
        return pair_id in self._place

    def sit(self, name: str, said: Iterable[str], recent: Iterable[Word], before: Seat | None = None) -> None:
        """Give an annotator a seat: the pairs they have labelled, and what they may take back, the latest last.

        Args:
            before: their seat at a desk that this one takes the place of: what is on their screen stays there.
        """
        known = set(said)
        seat = self.seats[name] = Seat(known, sum(count > 0 for count in self._wanted))
        seat.left -= sum(self._wants(pair_id) for pair_id in known)
        for word in recent:
            seat.recent[word.pair_id] = word
            if word.seconds is not None:
                seat.paces.append(word.seconds)
        if before is not None and before.shown not in known:
            seat.shown, seat.previous, seat._until = before.shown, before.previous, before._until

    def say(self, name: str, word: Word) -> None:
        """An annotator said something of a pair, whether it was theirs to label or not."""
        seat = self.seats[name]
        again = word.pair_id in seat.said
        seat.recent.pop(word.pair_id, None)
        seat.recent[word.pair_id] = word
        if word.seconds is not None and not again:
            seat.paces.append(word.seconds)
        if not again:
            seat.left -= self._wants(word.pair_id)
            seat.said.add(word.pair_id)
            self._change(word.pair_id, -1)
        if seat.shown == word.pair_id:
            seat.shown = seat.previous = None

    def take_back(self, name: str, pair_id: str) -> None:
        """An annotator took back what they said of a pair, which is shown to them again."""
        seat = self.seats[name]
        if pair_id not in seat.said:
            return
        self._change(pair_id, +1)
        seat.said.remove(pair_id)
        seat.left += self._wants(pair_id)
        seat.previous = seat.recent.pop(pair_id, None)
        seat.shown = pair_id

    def show(self, name: str, wish: str | None = None, among: Iterable[str] | None = None) -> str | None:
        """What an annotator is to see now; None: nothing is left for them.

        Args:
            wish: what their page says it shows, taken where it may be.
            among: shown only if it is one of these; None: any.
        """
        seat, now = self.seats[name], self._clock()
        may = None if among is None else set(among)
        for pair_id in self._offers(name, wish):
            if may is None or pair_id in may:
                if pair_id != seat.shown:
                    seat.shown, seat.previous = pair_id, None
                seat._until = now + LEASE
                return pair_id
        seat.shown = seat.previous = None
        return None

    def ahead(self, name: str, count: int) -> list[str]:
        """The next tasks of an annotator, so many at the most."""
        return list(islice(self._next(name), count))

    def _offers(self, name: str, wish: str | None) -> Iterator[str]:
        seat = self.seats[name]
        if seat.shown is not None and (self._is_for(seat, seat.shown) or seat.previous is not None):
            yield seat.shown
        if wish is not None and self._is_for(seat, wish) and not self._taken(name)[wish]:
            yield wish
        yield from self._next(name)

    def _next(self, name: str) -> Iterator[str]:
        """What wants a label of an annotator, in order; last, what others have on screen."""
        seat, taken, aside = self.seats[name], self._taken(name), list[str]()
        passing = True
        for i in range(seat._cursor, len(self._tasks)):
            pair_id = self._tasks[i]
            if not self._is_for(seat, pair_id):
                if passing:
                    seat._cursor = i + 1
                continue
            passing = False
            if taken[pair_id] >= self._wanted[i]:
                aside.append(pair_id)
            else:
                yield pair_id
        yield from aside

    def _taken(self, name: str) -> Counter[str]:
        """How many others have a pair on their screen."""
        now = self._clock()
        return Counter(
            seat.shown
            for other, seat in self.seats.items()
            if other != name and seat.shown is not None and seat._until > now
        )

    def _is_for(self, seat: Seat, pair_id: str) -> bool:
        return self._wants(pair_id) and pair_id not in seat.said

    def _wants(self, pair_id: str) -> bool:
        place = self._place.get(pair_id)
        return place is not None and self._wanted[place] > 0

    def _change(self, pair_id: str, by: int) -> None:
        """Want one label more or fewer of a pair."""
        if (place := self._place.get(pair_id)) is None:
            return
        before = self._wants(pair_id)
        self._wanted[place] += by
        after = self._wants(pair_id)
        for seat in self.seats.values():
            if pair_id not in seat.said:
                seat.left += after - before
            if after and not before:
                seat._cursor = min(seat._cursor, place)
