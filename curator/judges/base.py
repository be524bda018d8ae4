"""What a judge is: something that is asked questions and gives judgments."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Callable, Iterable
from types import TracebackType
from typing import Protocol, Self

from curator.pair import JudgeInfo, Judgment, Order
from curator.prompts import Question


class Judge(Protocol):
    """A judge that is ready between `async with` and its end."""

    @property
    def info(self) -> JudgeInfo: ...

    async def __aenter__(self) -> Self: ...

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None: ...

    def judge(
        self, questions: Iterable[Question], stopping: Callable[[], bool] = lambda: False
    ) -> AsyncIterator[list[Judgment]]:
        """Answer questions in batches, in any order; each question gets one judgment, failed or not.

        Args:
            questions: read lazily, some way ahead of what is asked.
            stopping: looked at between requests; once it says so, what is in flight is finished and the rest left.

        Raises:
            JudgeUnreachable: no server is left to ask.
        """
        ...


def judgment(
    pair_id: str,
    order: Order,
    logprob_first: float,
    logprob_second: float,
    logprob_tie: float | None = None,
    *,
    note: str | None = None,
    prompt_tokens: int | None = None,
    cached_tokens: int | None = None,
    seconds: float | None = None,
) -> Judgment:
    """A good reply: log-probabilities of the labels over the whole vocabulary, first shown first."""
    a, b = (logprob_first, logprob_second) if order is Order.AB else (logprob_second, logprob_first)
    mass = math.exp(logprob_first) + math.exp(logprob_second)
    if logprob_tie is not None:
        mass += math.exp(logprob_tie)
    return Judgment(
        pair_id, order, a, b, min(1.0, mass), None, note, prompt_tokens, cached_tokens, seconds, logprob_tie
    )
