"""Makes prompts ahead of need: first in a thread, and in processes of their own once a run turns out to be long.

Rendering and tokenising a prompt takes more of this machine than sending it. Left to the event loop, that work would
make servers wait.
"""

from __future__ import annotations

import asyncio
import signal
from collections import deque
from collections.abc import AsyncGenerator, Iterable, Iterator
from concurrent.futures import BrokenExecutor, Future
from itertools import groupby, islice

import loky

from curator.judges.prompting import Prompt, Prompter
from curator.prompts import Question

PROCESSES_FROM = 2_048
"""Questions after which processes are started: until then a run may be over before they are up."""

MOST_PROCESSES = 8
"""More than this the one that sends the prompts cannot use up."""

IDLE_SECONDS = 30
"""When processes end by themselves whose parent was killed."""

LEAD, MOST_LEAD = 2, 64
"""Runs that are ready or in the making; doubled whenever one was asked for and not ready."""

RUN_REQUESTS = 16
"""Requests that a run may fill: the pairs of one prompt stay together, but not a million of them."""


def in_runs(questions: Iterable[Question], size: int) -> Iterator[list[Question]]:
    """Questions in lots for one server each: whole prompts, as many as fill a request of `size`.

    The questions about one prompt share the longest prefix, which is in the cache of the server that saw it first.
    """
    run: list[Question] = []
    for _, group in groupby(questions, key=lambda question: question.conversation):
        while part := list(islice(group, size * RUN_REQUESTS)):
            if run and len(run) + len(part) > size:
                yield run
                run = []
            run += part
            if len(run) >= size:
                yield run
                run = []
    if run:
        yield run


async def prompts_ahead(
    prompter: Prompter, questions: Iterable[Question], size: int
) -> AsyncGenerator[list[Prompt], None]:
    """The prompts of `questions`, in order and in runs, made while earlier ones are under way.

    Args:
        questions: read in a thread, a few runs further than has been asked for.
        size: prompts of a request.
    """
    makers = _Makers(prompter)
    runs = in_runs(questions, size)
    making: deque[asyncio.Future[list[Prompt]]] = deque()
    lead, more = LEAD, True
    try:
        while True:
            if more and (room := lead - len(making)) > 0:
                found = await asyncio.to_thread(lambda: list(islice(runs, room)))
                more = len(found) == room
                making.extend(makers.make(run) for run in found)
            if not making:
                return
            if makers.many and not making[0].done():
                lead = min(2 * lead, MOST_LEAD)
            yield await making.popleft()
    finally:
        for future in making:
            future.cancel()
        await asyncio.gather(*making, return_exceptions=True)
        await makers.close()


class _Makers:
    """Who makes prompts: a thread of this process, or a few others."""

    def __init__(self, prompter: Prompter) -> None:
        self._prompter = prompter
        self._seen = 0
        self._processes = min(MOST_PROCESSES, loky.cpu_count() - 1)
        self._executor: loky.ProcessPoolExecutor | None = None
        self._ready: Future[None] | None = None

    @property
    def many(self) -> bool:
        """Whether other processes are at work."""
        return self._ready is not None and self._ready.done()

    def make(self, run: list[Question]) -> asyncio.Future[list[Prompt]]:
        self._seen += len(run)
        if self._executor is None and self._ready is None and self._seen > PROCESSES_FROM and self._processes > 0:
            self._executor = loky.ProcessPoolExecutor(
                self._processes, timeout=IDLE_SECONDS, initializer=_start, initargs=(self._prompter,)
            )
            self._ready = self._executor.submit(_nothing)
        return asyncio.ensure_future(self._made(run))

    async def _made(self, run: list[Question]) -> list[Prompt]:
        if self._executor is not None and self.many:
            try:
                return await asyncio.wrap_future(self._executor.submit(_make, run))
            except BrokenExecutor:  # a process was killed, for want of memory perhaps: this one goes on
                self._executor = None
        return await asyncio.to_thread(lambda: [self._prompter.prompt(question) for question in run])

    async def close(self) -> None:
        if self._executor is not None:
            await asyncio.to_thread(self._executor.shutdown, kill_workers=True)


_prompter: Prompter


def _start(prompter: Prompter) -> None:
    global _prompter  # noqa: PLW0603 - what a process is for, set once at its start
    _prompter = prompter
    # Ctrl-C goes to every process of a terminal; it is for the one that asked for the prompts to say what is finished.
    for sign in (signal.SIGINT, signal.SIGHUP):
        signal.signal(sign, signal.SIG_IGN)


def _make(run: list[Question]) -> list[Prompt]:
    return [_prompter.prompt(question) for question in run]


def _nothing() -> None:
    """A first task, done when a process is up."""
