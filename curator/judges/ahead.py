"""Makes prompts ahead of need: first in a thread, and in processes of their own once a run turns out to be long.

Rendering and tokenising a prompt takes more of this machine than sending it. Left to the event loop, that work would
make servers wait.
"""

from __future__ import annotations

import asyncio
import os
from collections import deque
from collections.abc import AsyncGenerator, Iterable, Iterator
from itertools import groupby, islice, zip_longest

from curator.judges.maker import Maker, MakerGone
from curator.judges.prompting import Prompt, Prompter
from curator.prompts import Question

PROCESSES_FROM = 8_192
"""Questions after which processes are started: a shorter run is over before they have paid for their start."""

MOST_PROCESSES = 8
"""More than this the one that sends the prompts cannot use up."""

RUN_PROMPTS, RUN_QUESTIONS = 128, 512
"""Conversations, and questions about them, that are dealt out together and go to one server."""

LEAD, MOST_LEAD = 2, 16
"""Runs that are ready or in the making; doubled whenever one was asked for and not ready."""


def in_runs(questions: Iterable[Question], size: int) -> Iterator[list[Question]]:
    """Questions in lots for one server each: whole conversations, dealt out so that those about one are kept apart.

    What questions about one conversation share is in the cache of the server that saw the first of them, once that is
    answered. In one request, or in requests in flight together, each of them would compute it anew (measured on a
    real server by tests/benchmarks/orders.py). So a run has the first question about each of its conversations, then
    the second, and so on. The first runs are short, not to make the servers wait.

    Args:
        questions: those about one conversation are neighbours, and those that show the same response first.
        size: questions of a request.
    """
    groups: list[list[Question]] = []
    held, most = 0, size
    for _, group in groupby(questions, key=lambda question: question.conversation):
        while part := list(islice(group, RUN_QUESTIONS)):
            if groups and held + len(part) > most:
                yield _dealt(groups)
                groups, held, most = [], 0, min(2 * most, RUN_QUESTIONS)
            groups.append(part)
            held += len(part)
            if held >= most or len(groups) == RUN_PROMPTS:
                yield _dealt(groups)
                groups, held, most = [], 0, min(2 * most, RUN_QUESTIONS)
    if groups:
        yield _dealt(groups)


def _dealt(groups: list[list[Question]]) -> list[Question]:
    return [question for turn in zip_longest(*groups) for question in turn if question is not None]


async def prompts_ahead(
    prompter: Prompter, questions: Iterable[Question], size: int
) -> AsyncGenerator[list[Prompt], None]:
    """The prompts of `questions` in runs, made while earlier ones are under way.

    Args:
        questions: read in a thread, a few runs further than has been asked for.
        size: prompts of a request.
    """
    makers = _Makers(prompter)
    runs = in_runs(questions, size)
    making: deque[asyncio.Task[list[Prompt]]] = deque()
    lead, more = LEAD, True
    try:
        while True:
            if more and (room := lead - len(making)) > 0:
                found = await asyncio.to_thread(lambda: list(islice(runs, room)))
                more = len(found) == room
                making.extend(asyncio.create_task(makers.make(run)) for run in found)
            if not making:
                return
            if makers.many and not making[0].done():
                lead = min(2 * lead, MOST_LEAD)
            yield await making.popleft()
    finally:
        for task in making:
            task.cancel()
        await asyncio.gather(*making, return_exceptions=True)
        await makers.close()


def _cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class _Makers:
    """Who makes prompts: a thread of this process until others are up, and again when those are gone."""

    def __init__(self, prompter: Prompter) -> None:
        self._prompter = prompter
        self._seen = 0
        self._starting: asyncio.Task[None] | None = None
        self._all: list[Maker] = []
        self._idle: asyncio.Queue[Maker | None] = asyncio.Queue()

    @property
    def many(self) -> bool:
        """Whether other processes are at work."""
        return bool(self._all)

    async def make(self, run: list[Question]) -> list[Prompt]:
        self._seen += len(run)
        if self._starting is None and self._seen > PROCESSES_FROM:
            self._starting = asyncio.create_task(self._start())
        while self._all and (maker := await self._idle.get()) is not None:
            try:
                prompts = await maker.make(run)
            except MakerGone:  # killed, for want of memory perhaps: the others go on, or this process
                self._all.remove(maker)
                await maker.stop()
            else:
                self._idle.put_nowait(maker)
                return prompts
        if self._starting is not None and self._starting.done() and not self._all:
            self._idle.put_nowait(None)  # for whoever else waits for one
        return await asyncio.to_thread(lambda: [self._prompter.prompt(question) for question in run])

    async def _start(self) -> None:
        async def one() -> None:
            maker = await Maker.start(self._prompter)
            self._all.append(maker)
            self._idle.put_nowait(maker)

        count = min(MOST_PROCESSES, _cores() - 1)
        await asyncio.gather(*(one() for _ in range(count)), return_exceptions=True)
        if not self._all:
            self._idle.put_nowait(None)  # all are gone already: nobody may wait for one

    async def close(self) -> None:
        if self._starting is not None:
            self._starting.cancel()
            await asyncio.gather(self._starting, return_exceptions=True)
        await asyncio.gather(*(maker.stop() for maker in self._all))
