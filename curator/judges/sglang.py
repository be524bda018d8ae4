"""Asks running SGLang servers, over their native `/generate`, for the log-probabilities of the labels."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Sequence
from contextlib import aclosing
from functools import partial
from types import TracebackType
from typing import Any, Protocol, Self

import aiohttp
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception, stop_after_attempt

from curator.errors import JudgeError
from curator.judges.ahead import prompts_ahead
from curator.judges.describing import describe, identity
from curator.judges.http import Refused, Transient, address, backoff, open_session, request, shown
from curator.judges.prompting import SAMPLE, OnOverlong, Prompt, Prompter, TextPrompter, TokenPrompter
from curator.judges.serving import STOP_SECONDS, Reply, Server, Window, answers
from curator.judges.tokenizer import JudgeTokenizer
from curator.judges.wire import RATIONALE_TOKENS, Known, failed, generate, no_rationale, write
from curator.pair import JudgeInfo, Judgment, Rationale
from curator.prompts import Question, Template

BATCH = 16
"""Prompts a request: measured, 16 carry 1.5 times as many a second as one, and a lost request costs little."""

BATCH_RETRY_SECONDS = 5.0
"""How long a batch is tried as a whole: a server whose queue is full refuses a batch however idle it is."""

CONTROL_TRIES = 5
"""How often a server that fails on a prompt is asked another, if it can be one that it has answered before."""


class Ask(Protocol[Reply]):
    """One request to a server, for one reply a prompt; see `curator.judges.wire`."""

    async def __call__(
        self, session: aiohttp.ClientSession, url: str, prompter: Prompter, known: Known, prompts: Sequence[Prompt], /
    ) -> list[Reply]: ...


class SGLangJudge:
    """One judge, served by one or more equal servers.

    Args:
        urls: base URLs. A key for them is read from the environment variable SGLANG_API_KEY.
        tokenizer: folder or hub name of the tokenizer; None: the one that the server names, where it can be read here.
        in_flight: requests in flight a server; None: as many as make it answer faster.
        retry_seconds: how long a request is tried again before a server counts as gone.
        writes: prompts leave room for the tokens of `rationales`.
    """

    def __init__(
        self,
        urls: Sequence[str],
        template: Template,
        *,
        tokenizer: str | None = None,
        on_overlong: OnOverlong = OnOverlong.TRUNCATE,
        batch: int = BATCH,
        in_flight: int | None = None,
        retry_seconds: float = 120.0,
        writes: bool = False,
    ) -> None:
        self._urls = list(dict.fromkeys(address(url) for url in urls))
        self._template, self._tokenizer, self._on_overlong = template, tokenizer, on_overlong
        self._batch, self._in_flight, self._retry_seconds = batch, in_flight, retry_seconds
        self._room = RATIONALE_TOKENS if writes else 0
        self._doubted: set[str] = set()  # addresses where another judge may listen by now
        self._comparing = asyncio.Lock()
        self._answered: dict[str, tuple[float, Prompt]] = {}  # by server: when it last gave an answer, and to what
        self._prompter: Prompter
        self._known: Known
        self._settings: dict[str, Any]
        self._info: JudgeInfo

    @property
    def info(self) -> JudgeInfo:
        return self._info

    async def __aenter__(self) -> Self:
        self._session = open_session(self._doubted.add)
        try:
            await self._introduce()
        except BaseException:
            await self._session.close()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        await self._session.close()

    async def _introduce(self) -> None:
        described = [await describe(self._session, url) for url in self._urls]
        settings, context, source, version = described[0]
        for url, (other, *_) in zip(self._urls, described, strict=True):
            if other != settings:
                raise JudgeError(
                    f"{shown(url)} serves {other}, but {shown(self._urls[0])} serves {settings}: one judge is one model"
                )
        self._settings = settings
        self._known = Known.of(version, settings["weights"])
        tokenizer = self._load_tokenizer(source)
        if tokenizer is not None:
            await self._compare(tokenizer)
            self._prompter = TokenPrompter(self._template, tokenizer, context - self._room, self._on_overlong, SAMPLE)
        else:
            try:
                self._prompter = await TextPrompter.ask(self._template, self._ask_any, SAMPLE)
            except (LookupError, TypeError, ValueError, AttributeError, Transient, Refused) as error:
                raise JudgeError(
                    f"{shown(self._urls[0])} does not tokenise for us ({error}); give --tokenizer"
                ) from None
        self._info = JudgeInfo(
            name=self._template.judge_name(str(settings["model"]).rstrip("/").rpartition("/")[2] or "model"),
            engine="sglang",
            settings={
                **settings,
                **self._template.settings,
                **self._prompter.settings,
            },
            details={"version": version, "servers": [shown(url) for url in self._urls]},
        )

    async def _compare(self, tokenizer: JudgeTokenizer) -> None:
        """Refuse a tokenizer that is not the server's: ids of another vocabulary mean other words, or kill it."""
        text = SAMPLE.conversation[0].content
        try:
            theirs = (await self._ask_any("/v1/tokenize", {"prompt": text, "add_special_tokens": False}))["tokens"]
        except (LookupError, TypeError, Transient, Refused):
            return  # a router has no such page
        if theirs != tokenizer.plain(text):
            raise JudgeError(f"{shown(self._urls[0])} tokenises otherwise than the tokenizer at hand; give --tokenizer")

    def _load_tokenizer(self, source: str | None) -> JudgeTokenizer | None:
        if self._tokenizer is not None:
            return JudgeTokenizer.load(self._tokenizer)
        try:
            return JudgeTokenizer.load(source) if source else None
        except (JudgeError, OSError, ValueError):  # a server may name anything
            return None

    async def _ask_any(self, path: str, body: dict[str, Any]) -> Any:
        return await request(self._session, "POST", self._urls[0] + path, body)

    async def judge(
        self, questions: Iterable[Question], stopping: Callable[[], bool] = lambda: False
    ) -> AsyncIterator[list[Judgment]]:
        async with aclosing(self._replies(questions, stopping, generate, failed)) as lots:
            async for judgments in lots:
                yield judgments

    async def rationales(
        self, questions: Iterable[Question], stopping: Callable[[], bool] = lambda: False
    ) -> AsyncIterator[list[Rationale]]:
        """What the model writes to questions of `curator.prompts.rationale_template`; as `judge` otherwise."""
        async with aclosing(self._replies(questions, stopping, write, no_rationale)) as lots:
            async for rationales in lots:
                yield rationales

    def _replies(
        self,
        questions: Iterable[Question],
        stopping: Callable[[], bool],
        ask: Ask[Reply],
        give_up: Callable[[Prompt, str], Reply],
    ) -> AsyncGenerator[list[Reply], None]:
        answer = partial(self._answer, ask, give_up, stopping)
        servers = [
            Server(url, Window(self._in_flight), answer, self._is_back, self._retry_seconds) for url in self._urls
        ]
        return answers(servers, prompts_ahead(self._prompter, questions, self._batch), self._batch, stopping)

    async def _is_back(self, url: str) -> bool:
        """Whether a server answers again.

        Raises:
            JudgeError: it does, as another judge.
        """
        try:
            settings, *_ = await describe(self._session, url)
        except JudgeError:  # not yet: what stands before it may answer in its place while it starts
            return False
        self._require_same(url, settings)
        return True

    def _require_same(self, url: str, settings: dict[str, Any]) -> None:
        known = {name: self._settings[name] for name in settings}
        if settings != known:
            raise JudgeError(
                f"{shown(url)} came back and serves {settings} instead of {known}: that is another judge. "
                "What was judged is kept"
            )

    def _patience(self, prompts: int, since: float, stopping: Callable[[], bool]) -> Callable[[RetryCallState], bool]:
        """When to stop trying a request again: a batch that a server answers with errors is soon tried in halves."""

        def stop(state: RetryCallState) -> bool:
            error = state.outcome.exception() if state.outcome else None
            soon = prompts > 1 and (state.seconds_since_start or 0.0) >= BATCH_RETRY_SECONDS
            return soon or stopping() or self._too_long(since, error)

        return stop

    def _too_long(self, since: float, error: BaseException | None) -> bool:
        return time.monotonic() - since + getattr(error, "after", 0.0) >= self._retry_seconds

    async def _answer(
        self,
        ask: Ask[Reply],
        give_up: Callable[[Prompt, str], Reply],
        stopping: Callable[[], bool],
        server: Server[Reply],
        prompts: Sequence[Prompt],
        since: float | None = None,
    ) -> list[Reply]:
        """One reply for each prompt. A batch that is refused is asked in halves, down to the prompt at fault.

        Args:
            since: when the server began to say that it has no room for these; None: it has not.
        """
        good = [prompt for prompt in prompts if prompt.failed is None]
        found = [give_up(prompt, prompt.failed) for prompt in prompts if prompt.failed is not None]
        if not good:
            return found
        start = time.monotonic()
        since = start if since is None else since

        def again(state: RetryCallState) -> None:
            error = state.outcome.exception() if state.outcome else None
            if isinstance(error, Transient) and error.busy:
                server.window.crowded()
                self._doubted.add(server.url + "/generate")  # what stands before a server says so while it starts anew

        busy_since = None
        try:
            async for attempt in AsyncRetrying(
                retry=retry_if_exception(lambda error: isinstance(error, Transient) and not error.unreachable),
                stop=self._patience(len(good), since, stopping), sleep=partial(_doze, stopping), wait=backoff,
                before_sleep=again, reraise=True,
            ):  # fmt: skip
                with attempt:
                    return found + await self._believed(ask, server.url, good)
        except Transient as error:
            # So patiently asked, for so little: it is the server, not the prompt.
            if error.unreachable or (error.busy and (len(good) == 1 or self._too_long(since, error))):
                raise
            if stopping():
                raise Transient(error.reason, unreachable=True) from None
            if len(good) == 1 and not await self._answers_others(ask, server.url, start):
                raise Transient(error.reason, busy=True) from None
            reason = error.reason
            if error.busy:
                busy_since = since
                await _doze(stopping, error.after)
        except Refused as error:
            reason = str(error)
        if len(good) == 1:
            return [*found, give_up(good[0], reason)]
        middle = len(good) // 2
        first = await self._answer(ask, give_up, stopping, server, good[:middle], busy_since)
        return [*found, *first, *await self._answer(ask, give_up, stopping, server, good[middle:])]

    async def _believed(self, ask: Ask[Reply], url: str, prompts: Sequence[Prompt]) -> list[Reply]:
        """Replies of which it is known that they come from this judge."""
        replies = await ask(self._session, url, self._prompter, self._known, prompts)
        async with self._comparing:  # whoever comes meanwhile waits for what is found
            if (address := url + "/generate") in self._doubted:
                self._doubted.discard(address)
                try:
                    self._require_same(url, await self._identity(url))
                except BaseException:
                    self._doubted.add(address)
                    raise
        self._answered[url] = time.monotonic(), prompts[0]
        return replies

    async def _identity(self, url: str) -> dict[str, Any]:
        try:
            return await identity(self._session, url)
        except (Transient, Refused, JudgeError):
            raise Transient("it does not say any more what it serves", unreachable=True) from None

    async def _answers_others(self, ask: Ask[Reply], url: str, start: float) -> bool:
        """Whether a server that has failed on a prompt since `start` answers others: then the prompt is at fault."""
        answered, prompt = self._answered.get(url) or (-1.0, self._prompter.prompt(SAMPLE))
        if answered >= start:
            return True
        try:
            async for attempt in AsyncRetrying(
                retry=retry_if_exception(lambda error: isinstance(error, Transient)),
                stop=stop_after_attempt(CONTROL_TRIES), wait=backoff, reraise=True,
            ):  # fmt: skip
                with attempt:
                    await self._believed(ask, url, [prompt])
        except (Transient, Refused):
            return False
        return True


async def _doze(stopping: Callable[[], bool], seconds: float) -> None:
    """Wait, but not when the user wants to stop."""
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0 and not stopping():
        await asyncio.sleep(min(left, STOP_SECONDS))
