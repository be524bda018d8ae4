"""Shares runs of prompts among equal servers: each takes what it bears; one that goes away gives back what it had."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Sequence
from contextlib import aclosing, contextmanager
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from curator.errors import JudgeUnreachable
from curator.judges.http import Transient, shown
from curator.judges.prompting import Prompt

Reply = TypeVar("Reply")
"""What comes back for a prompt."""

START_IN_FLIGHT, MOST_IN_FLIGHT = 4, 64
"""Requests in flight a server, before anything is known of it and at the most."""

GAIN = 1.1
"""How much faster a server must answer with twice the requests in flight, or they only wait in its queue."""

SETTLED_ROUNDS = 16
"""Rounds after which a server that once gained nothing from more is tried with more again: it may have changed."""

FIRST_PAUSE, LONGEST_PAUSE = 0.25, 5.0
"""Seconds between looks at whether a server is back."""

STOP_SECONDS = 1.0
"""How soon it is noticed that the user wants to stop, where no server answers."""

MOST_UNSEEN = 16
"""Requests whose answers nobody has taken yet; with more, servers are asked nothing new. A crash loses these, too."""


class Window:
    """How many requests one server may have in flight.

    Now and then twice as many are tried, and kept where that makes it answer `GAIN` times as many prompts a second. A
    round is two windows full of answers; one in which the server had to wait for prompts says nothing about it.
    """

    def __init__(self, fixed: int | None = None) -> None:
        self.limit = fixed or START_IN_FLIGHT
        self._fixed = fixed is not None
        self._before: float | None = None  # prompts a second with half as many, while twice as many are tried
        self._rest = 1
        self._begin()

    def _begin(self) -> None:
        self._requests = self._prompts = 0
        self._starved = False
        self._start = time.monotonic()

    def crowded(self) -> None:
        """Say that the server has no room for what it was sent."""
        if not self._fixed:
            self.limit = max(1, self.limit // 2)
            self._settle()

    def answered(self, prompts: int, in_flight: int) -> None:
        """Say that a request of so many prompts came back, one of so many in flight."""
        self._requests += 1
        self._prompts += prompts
        self._starved = self._starved or 2 * in_flight < self.limit
        if self._fixed or self._requests < 2 * self.limit:
            return
        if not self._starved:
            self._judge(self._prompts / max(time.monotonic() - self._start, 1e-9))
        self._begin()

    def _judge(self, rate: float) -> None:
        if self._before is None:
            self._rest -= 1
            gained = self._rest <= 0
        else:
            gained = rate >= GAIN * self._before
            if not gained:
                self.limit //= 2
                self._settle()
        if gained and self.limit < MOST_IN_FLIGHT:
            self._before = rate
            self.limit *= 2

    def _settle(self) -> None:
        self._before, self._rest = None, SETTLED_ROUNDS
        self._begin()


@dataclass(slots=True)
class Request:
    """Prompts that are sent together. `failing`: since when each server that had them has not answered them."""

    prompts: Sequence[Prompt]
    failing: dict[str, float] = field(default_factory=dict)


class Work:
    """The requests to be answered: what a server gave back goes out first, then runs of new prompts.

    Args:
        runs: prompts that go to one server, all of a run if it can.
        size: prompts of a request.
        stopping: whether the user wants to stop: then nothing more goes out.
    """

    def __init__(
        self, runs: AsyncGenerator[list[Prompt], None], size: int, stopping: Callable[[], bool] = lambda: False
    ) -> None:
        self._runs, self._size, self._stopping = runs, size, stopping
        self._returned: deque[list[Request]] = deque()
        self._backlogs: list[deque[Request]] = []
        self._more = True
        self._out = 0
        self._taking = asyncio.Lock()
        self._changed = asyncio.Event()
        self.over = asyncio.Event()

    @contextmanager
    def backlog(self) -> Iterator[deque[Request]]:
        """A place for requests that a server has taken and not sent yet. Others may help it out; what is left at the
        end is given back."""
        mine: deque[Request] = deque()
        self._backlogs.append(mine)
        try:
            yield mine
        finally:
            self._backlogs = [one for one in self._backlogs if one is not mine]
            self.give_back(mine)

    def stopped(self) -> bool:
        """Whether nothing more is to be sent."""
        if self._stopping() and not self.over.is_set():
            self._end()
        return self.over.is_set()

    async def take(self) -> list[Request]:
        """Requests for one server; none when there is nothing left that could still come back."""
        while not self.stopped():
            async with self._taking:
                if self._returned:
                    return self._given(self._returned.popleft())
                if self._more:
                    run = await anext(self._runs, None)
                    if run is not None:
                        starts = range(0, len(run), self._size)
                        return self._given([Request(run[at : at + self._size]) for at in starts])
                    self._more = False
                    self._check()
                if help_out := max(self._backlogs, key=len, default=None):
                    return [help_out.pop() for _ in range(-(-len(help_out) // 2))][::-1]
            if not self.over.is_set():
                self._changed.clear()
                await self._changed.wait()
        return []

    def _given(self, requests: list[Request]) -> list[Request]:
        self._out += len(requests)
        return requests

    def finish(self) -> None:
        """Say that a request is answered."""
        self._out -= 1
        self._check()

    def give_back(self, requests: deque[Request]) -> None:
        """Let another server have these, all of them."""
        if requests:
            self._out -= len(requests)
            self._returned.append(list(requests))
            requests.clear()
            self._changed.set()

    def _check(self) -> None:
        if not self._more and not self._returned and not self._out:
            self._end()

    def _end(self) -> None:
        self.over.set()
        self._changed.set()


class Server(Generic[Reply]):
    """One server and what it is busy with.

    Args:
        url: its base URL.
        ask: answers a request, or raises Transient when the server cannot be had.
        is_back: whether it answers again, as the same judge; raises where it is another one.
    """

    def __init__(
        self,
        url: str,
        window: Window,
        ask: Callable[[Server[Reply], Sequence[Prompt]], Awaitable[list[Reply]]],
        is_back: Callable[[str], Awaitable[bool]],
        patience: float,
    ) -> None:
        self.url, self.window = url, window
        self._ask, self._is_back, self._patience = ask, is_back, patience
        self._in_flight = 0
        self._room = asyncio.Event()
        self._away_since: float | None = None
        self.gone: str | None = None
        """Why this server is given up; None while it is not."""
        self._reason = ""

    async def work(self, work: Work, done: asyncio.Queue[list[Reply]], tasks: asyncio.TaskGroup) -> None:
        """Answer requests until there are none, or until the server is given up."""
        with work.backlog() as mine:
            while self.gone is None and not work.stopped():
                if self._away_since is not None:
                    work.give_back(mine)
                    await self._wait_until_back(work)
                elif self._in_flight >= self.window.limit:
                    self._room.clear()
                    await self._room.wait()
                elif mine:
                    self._in_flight += 1
                    tasks.create_task(self._answer(mine.popleft(), work, done))
                else:
                    mine.extend(await work.take())

    async def _answer(self, request: Request, work: Work, done: asyncio.Queue[list[Reply]]) -> None:
        try:
            replies = await self._ask(self, request.prompts)
        except Transient as error:
            self._fail(request, error)
            work.give_back(deque([request]))
        else:
            self._away_since = None
            self.window.answered(len(request.prompts), self._in_flight)
            await done.put(replies)
            work.finish()
        finally:
            self._in_flight -= 1
            self._room.set()

    def _fail(self, request: Request, error: Transient) -> None:
        now = time.monotonic()
        self._away_since = self._away_since or now
        self._reason = error.reason
        # A request that brings servers down whenever they are back would go round for ever.
        if error.busy or now - request.failing.setdefault(self.url, now) >= self._patience:
            self.gone = error.reason

    async def _wait_until_back(self, work: Work) -> None:
        """Look now and then whether the server answers again; it is given up when it does not for too long."""
        pause = min(FIRST_PAUSE, self._patience)
        look = time.monotonic() + pause
        while self._away_since is not None and self.gone is None and not work.stopped():
            try:
                await asyncio.wait_for(work.over.wait(), min(pause, STOP_SECONDS))
            except TimeoutError:
                pass
            if time.monotonic() < look or work.stopped():
                continue
            # While it is asked, a request that was still under way may be answered, and clear the time.
            if await self._is_back(self.url):
                self._away_since = None
            elif self._away_since is not None and time.monotonic() - self._away_since >= self._patience:
                self.gone = self._reason
            pause = min(2 * pause, LONGEST_PAUSE)
            look = time.monotonic() + pause


async def answers(
    servers: Sequence[Server[Reply]],
    runs: AsyncGenerator[list[Prompt], None],
    size: int,
    stopping: Callable[[], bool],
) -> AsyncGenerator[list[Reply], None]:
    """Have servers answer runs of prompts, each as many as it can, `size` in a request.

    When `stopping` says so, what is in flight is finished and the rest left.

    Raises:
        JudgeUnreachable: no server is left.
    """
    done: asyncio.Queue[list[Reply]] = asyncio.Queue(MOST_UNSEEN)

    async def busy() -> None:
        work = Work(runs, size, stopping)

        async def until_gone(server: Server[Reply]) -> None:
            await server.work(work, done, tasks)
            if all(one.gone is not None for one in servers):
                raise _unreachable(servers)

        try:
            async with aclosing(runs), asyncio.TaskGroup() as tasks:
                for server in servers:
                    tasks.create_task(until_gone(server))
        except BaseExceptionGroup as group:
            raise _first(group) from None

    task = asyncio.create_task(busy())
    getting: asyncio.Task[list[Reply]] | None = None
    try:
        while not (task.done() and done.empty()):
            getting = asyncio.create_task(done.get())
            await asyncio.wait({getting, task}, return_when=asyncio.FIRST_COMPLETED)
            if getting.done():
                yield getting.result()
            else:
                getting.cancel()
        await task
    finally:
        for one in filter(None, (task, getting)):
            one.cancel()
        await asyncio.gather(task, return_exceptions=True)


def _first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    error = group.exceptions[0]
    return _first(error) if isinstance(error, BaseExceptionGroup) else error


def _unreachable(servers: Sequence[Server[Reply]]) -> JudgeUnreachable:
    reasons = "; ".join(f"{shown(server.url)}: {server.gone}" for server in servers)
    return JudgeUnreachable(f"no judge server answers any more ({reasons}). What was judged is kept; run again.")
