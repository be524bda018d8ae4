"""Stores judgments beside the asking, and keeps count of what they cost."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import chain
from types import TracebackType
from typing import Self

from curator.pair import Judgment
from curator.store import Store
from curator.store.judgments import add_judgments

REST = 4
"""Pause after a write, in times that it took: writing takes a fifth of a core at the most, and loses milliseconds."""

MOST_WAITING = 16
"""Requests whose replies wait to be written: with as many, the pause is over, and judges wait while a write goes on."""


@dataclass(slots=True)
class Cost:
    """What judging took, so far. `tokens`, `cached`: of the prompts, and those of them that a prefix cache served."""

    judgments: int = 0
    failed: int = 0
    tokens: int = 0
    cached: int = 0
    start: float = field(default_factory=time.monotonic)

    def add(self, judgments: Sequence[Judgment]) -> None:
        self.judgments += len(judgments)
        for judgment in judgments:
            self.failed += judgment.failed is not None
            self.tokens += judgment.prompt_tokens or 0
            self.cached += judgment.cached_tokens or 0

    @property
    def seconds(self) -> float:
        return time.monotonic() - self.start

    def remark(self) -> str:
        """For the progress line: pairs and tokens a second, and the share of tokens that were cached."""
        seconds = max(self.seconds, 1e-9)
        parts = [f"{self.judgments / 2 / seconds:,.3g} pairs/s"]
        if self.tokens:
            parts.append(f"{self.tokens / seconds:,.0f} tokens/s, {self.cached / self.tokens:.0%} cached")
        if self.failed:
            parts.append(f"{self.failed:,} failed")
        return ", ".join(parts)


class Recorder:
    """Writes judgments while more are on their way: what comes in during one write goes into the next.

    A crash loses what was answered to `2 * MOST_WAITING` requests at the most: as many are written together as may
    wait meanwhile. On leaving, everything is written, also after an error.
    """

    def __init__(self, store: Store, judge_id: str) -> None:
        self._store, self._judge_id = store, judge_id
        self._waiting: list[Sequence[Judgment]] = []
        self._writing: asyncio.Task[None] | None = None
        self._hurry, self._room = asyncio.Event(), asyncio.Event()
        self._leaving = False

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        self._leaving = True
        self._hurry.set()
        if self._writing is not None:
            await asyncio.shield(self._writing)

    async def add(self, judgments: Sequence[Judgment]) -> None:
        """Take the replies to one request, to be written soon.

        Raises:
            StoreError, OSError: an earlier write failed.
        """
        self._waiting.append(judgments)
        if self._writing is not None and self._writing.done():
            self._writing.result()
            self._writing = None
        if self._writing is None:
            self._writing = asyncio.create_task(self._write())
        if len(self._waiting) >= MOST_WAITING:
            self._hurry.set()
            self._room.clear()
            await self._room.wait()

    async def _write(self) -> None:
        try:
            while self._waiting:
                lot, self._waiting = list(chain.from_iterable(self._waiting)), []
                self._room.set()
                self._hurry.clear()
                start = time.monotonic()
                await asyncio.to_thread(add_judgments, self._store, self._judge_id, lot)
                if not self._leaving:
                    try:
                        await asyncio.wait_for(self._hurry.wait(), REST * (time.monotonic() - start))
                    except TimeoutError:
                        pass
        finally:
            self._room.set()
