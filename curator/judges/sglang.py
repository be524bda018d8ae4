"""Asks running SGLang servers, over their native `/generate`, for the log-probabilities of the two labels."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from itertools import islice
from types import TracebackType
from typing import Any, Self

from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type

from curator.errors import JudgeError, JudgeUnreachable
from curator.judges.base import judgment
from curator.judges.http import Refused, Transient, address, backoff, message, open_session, request, shown
from curator.judges.prompting import SAMPLE, OnOverlong, Prompt, Prompter, TextPrompter, TokenPrompter
from curator.judges.tokenizer import JudgeTokenizer
from curator.pair import JudgeInfo, Judgment
from curator.prompts import Question, Template

BATCH = 16
"""Prompts a request: measured, 16 carry 1.5 times as many a second as one, and a lost request costs little."""

IN_FLIGHT = 4
"""Requests in flight a server: enough that it never waits for the next one."""

BATCH_RETRY_SECONDS = 5.0
"""How long a batch is tried as a whole: a server whose queue is full refuses a batch however idle it is."""


class SGLangJudge:
    """One judge, served by one or more equal servers.

    Args:
        urls: base URLs. A key for them is read from the environment variable SGLANG_API_KEY.
        tokenizer: folder or hub name of the tokenizer; None: the one that the server names, where it can be read here.
        retry_seconds: how long a request is tried again before a server counts as gone.
    """

    def __init__(
        self,
        urls: Sequence[str],
        template: Template,
        *,
        tokenizer: str | None = None,
        on_overlong: OnOverlong = OnOverlong.TRUNCATE,
        batch: int = BATCH,
        in_flight: int = IN_FLIGHT,
        retry_seconds: float = 120.0,
    ) -> None:
        self._urls = list(dict.fromkeys(address(url) for url in urls))
        self._template, self._tokenizer, self._on_overlong = template, tokenizer, on_overlong
        self._batch, self._in_flight, self._retry_seconds = batch, in_flight, retry_seconds
        self._prompter: Prompter
        self._info: JudgeInfo

    @property
    def info(self) -> JudgeInfo:
        return self._info

    async def __aenter__(self) -> Self:
        self._session = open_session(self._urls)
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
        described = [await self._describe(url) for url in self._urls]
        settings, context, source, version = described[0]
        for url, (other, *_) in zip(self._urls, described, strict=True):
            if other != settings:
                raise JudgeError(
                    f"{shown(url)} serves {other}, but {shown(self._urls[0])} serves {settings}: one judge is one model"
                )
        tokenizer = self._load_tokenizer(source)
        if tokenizer is not None:
            await self._compare(tokenizer)
            self._prompter = TokenPrompter(self._template, tokenizer, context, self._on_overlong, SAMPLE)
        else:
            try:
                self._prompter = await TextPrompter.ask(self._template, self._ask_any, SAMPLE)
            except (KeyError, TypeError, Transient, Refused) as error:
                raise JudgeError(
                    f"{shown(self._urls[0])} does not tokenise for us ({error}); give --tokenizer"
                ) from None
        self._info = JudgeInfo(
            name=str(settings["model"]).rstrip("/").rpartition("/")[2] or "model",
            engine="sglang",
            settings={
                **settings,
                "template": self._template.name,
                "template_digest": self._template.digest,
                **self._prompter.settings,
            },
            details={"version": version, "servers": [shown(url) for url in self._urls]},
        )

    async def _compare(self, tokenizer: JudgeTokenizer) -> None:
        """Refuse a tokenizer that is not the server's: ids of another vocabulary mean other words, or kill it."""
        text = SAMPLE.conversation[0].content
        try:
            theirs = (await self._ask_any("/v1/tokenize", {"prompt": text, "add_special_tokens": False}))["tokens"]
        except (KeyError, TypeError, Transient, Refused):
            return  # a router has no such page
        if theirs != tokenizer.plain(text):
            raise JudgeError(f"{shown(self._urls[0])} tokenises otherwise than the tokenizer at hand; give --tokenizer")

    def _load_tokenizer(self, source: str | None) -> JudgeTokenizer | None:
        if self._tokenizer is not None:
            return JudgeTokenizer.load(self._tokenizer)
        try:
            return JudgeTokenizer.load(source) if source else None
        except JudgeError:
            return None

    async def _describe(self, url: str) -> tuple[dict[str, Any], int, str | None, str | None]:
        """What a server serves: the settings that make it this judge, context length, tokenizer, version."""
        try:
            model = await self._get(url, "/model_info", "/get_model_info")
        except (Transient, Refused) as error:
            raise JudgeUnreachable(f"no SGLang server answers at {shown(url)}: {error}") from None
        if not isinstance(model, dict) or not isinstance(model.get("model_path"), str):
            raise JudgeError(f"{shown(url)} answers, but not as an SGLang server does")
        try:
            server = await self._get(url, "/server_info", "/get_server_info")
        except (Transient, Refused):
            server = None  # a router has no such page; what it would say is recorded as unknown
        server = server if isinstance(server, dict) else {}
        try:
            # The longest input is a little less than the model's context; only /server_info says how much.
            context = int(
                server.get("max_req_input_len") or (await self._get(url, "/v1/models"))["data"][0]["max_model_len"]
            )
        except (Transient, Refused, LookupError, TypeError, ValueError):
            context = 0
        settings = {
            "model": model["model_path"],
            "weights": model.get("weight_version"),
            "dtype": server.get("dtype"),
            "quantization": server.get("quantization"),
        }
        return settings, context or 1 << 30, model.get("tokenizer_path") or model["model_path"], server.get("version")

    async def _get(self, url: str, *paths: str) -> Any:
        for path in paths[:-1]:
            try:
                return await request(self._session, "GET", url + path)
            except Refused:
                continue
        return await request(self._session, "GET", url + paths[-1])

    async def _ask_any(self, path: str, body: dict[str, Any]) -> Any:
        return await request(self._session, "POST", self._urls[0] + path, body)

    async def judge(self, questions: Iterable[Question]) -> AsyncIterator[list[Judgment]]:
        workers = [url for url in self._urls for _ in range(self._in_flight)]
        todo: asyncio.Queue[list[Prompt] | None] = asyncio.Queue(maxsize=len(workers))
        done: asyncio.Queue[list[Judgment] | None] = asyncio.Queue()
        gone: dict[str, str] = {}
        source = iter(questions)

        async def produce() -> None:
            while batch := list(islice(source, self._batch)):
                await todo.put(await asyncio.to_thread(self._prompts, batch))
            for _ in workers:
                await todo.put(None)

        async def work(url: str) -> None:
            while url not in gone and (prompts := await todo.get()) is not None:
                try:
                    await done.put(await self._answer(url, prompts))
                except Transient as error:
                    gone[url] = error.reason
                    returned.append(prompts)
            await done.put(None)

        returned: list[list[Prompt]] = []
        tasks = [asyncio.create_task(produce()), *(asyncio.create_task(work(url)) for url in workers)]
        try:
            running = len(workers)
            while running:
                finished = await _next(done, tasks)
                if finished is None:
                    running -= 1
                else:
                    yield finished
            if len(gone) == len(self._urls):
                raise self._unreachable(gone)
            standing = next(url for url in self._urls if url not in gone)
            for prompts in returned:
                try:
                    yield await self._answer(standing, prompts)
                except Transient as error:
                    raise self._unreachable({**gone, standing: error.reason}) from None
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def _prompts(self, questions: list[Question]) -> list[Prompt]:
        return [self._prompter.prompt(question) for question in questions]

    def _unreachable(self, gone: dict[str, str]) -> JudgeUnreachable:
        reasons = "; ".join(f"{shown(url)}: {reason}" for url, reason in gone.items())
        return JudgeUnreachable(f"no judge server answers any more ({reasons}). What was judged is kept; run again.")

    def _patience(self, prompts: int) -> Callable[[RetryCallState], bool]:
        """When to stop trying a request again: a batch that a server answers with errors is soon tried in halves."""

        def stop(state: RetryCallState) -> bool:
            error = state.outcome.exception() if state.outcome else None
            alone = prompts == 1 or getattr(error, "unreachable", False)
            limit = self._retry_seconds if alone else min(self._retry_seconds, BATCH_RETRY_SECONDS)
            return (state.seconds_since_start or 0.0) + getattr(error, "after", 0.0) >= limit

        return stop

    async def _answer(self, url: str, prompts: list[Prompt]) -> list[Judgment]:
        """One judgment for each prompt. A batch that is refused is asked in halves, down to the prompt at fault."""
        good = [prompt for prompt in prompts if prompt.failed is None]
        answers = [_failed(prompt, prompt.failed) for prompt in prompts if prompt.failed is not None]
        if not good:
            return answers
        try:
            async for attempt in AsyncRetrying(
                retry=retry_if_exception_type(Transient), stop=self._patience(len(good)), wait=backoff, reraise=True
            ):
                with attempt:
                    return answers + await self._generate(url, good)
        except Transient as error:
            if error.unreachable or (error.busy and len(good) == 1):
                raise  # so patiently asked, for so little: it is the server, not the prompt
            reason = error.reason
        except Refused as error:
            reason = str(error)
        if len(good) == 1:
            return [*answers, _failed(good[0], reason)]
        middle = len(good) // 2
        return answers + await self._answer(url, good[:middle]) + await self._answer(url, good[middle:])

    async def _generate(self, url: str, prompts: list[Prompt]) -> list[Judgment]:
        labels = list(self._prompter.labels)
        body = {
            self._prompter.field: [prompt.content for prompt in prompts],
            "sampling_params": {"max_new_tokens": 0, "temperature": 0},
            "return_logprob": True,
            "token_ids_logprob": [labels] * len(prompts),
        }
        start = time.monotonic()
        replies = await request(self._session, "POST", url + "/generate", body)
        seconds = time.monotonic() - start
        if not isinstance(replies, list) or len(replies) != len(prompts):
            count = len(replies) if isinstance(replies, list) else "no list of"
            raise Transient(f"asked {len(prompts)} prompts and got {count} replies")
        return [_judgment(prompt, reply, labels, seconds) for prompt, reply in zip(prompts, replies, strict=True)]


async def _next(done: asyncio.Queue[Any], tasks: list[asyncio.Task[None]]) -> Any:
    """The next finished batch; an error in any task is raised here."""
    getting = asyncio.ensure_future(done.get())
    try:
        # A task may have failed while the caller was busy with the last batch, and nobody has seen that yet.
        for failed in [task for task in tasks if task.done()]:
            failed.result()
        waiting: set[asyncio.Future[Any]] = {getting, *(task for task in tasks if not task.done())}
        while not getting.done():
            finished, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            for task in finished - {getting}:
                task.result()
        return getting.result()
    finally:
        getting.cancel()


def _judgment(prompt: Prompt, reply: Any, labels: list[int], seconds: float) -> Judgment:
    """The judgment a reply holds; a reply that cannot be right is not stored but asked for again."""
    try:
        meta = reply["meta_info"]
        finish = (meta.get("finish_reason") or {}).get("type")
        if finish == "abort":
            raise Transient(f"the server aborted the request: {message(str(meta['finish_reason']).encode())}")
        values = {int(entry[1]): entry[0] for entry in meta["output_token_ids_logprobs"][0]}
        first, second = float(values[labels[0]]), float(values[labels[1]])
    except (KeyError, IndexError, TypeError, ValueError, AttributeError) as error:
        raise Transient(f"a reply lacks the labels' log-probabilities ({type(error).__name__}: {error})") from None
    possible = math.isfinite(first) and math.isfinite(second) and max(first, second) < 0.001
    if not possible or math.exp(first) + math.exp(second) > 1.001:
        raise Transient(f"a reply's log-probabilities cannot be: {first!r}, {second!r}")
    sent = len(prompt.content) if isinstance(prompt.content, list) else None
    counted = meta.get("prompt_tokens")
    if sent is not None and counted is not None and counted != sent:
        raise Transient(f"a reply is about {counted} prompt tokens, but {sent} were sent")
    return judgment(
        prompt.question, first, second,
        note=prompt.note, prompt_tokens=_count(counted), cached_tokens=_count(meta.get("cached_tokens")),
        seconds=seconds,
    )  # fmt: skip


def _count(value: Any) -> int | None:
    """A number of tokens; None where a server says something else."""
    return value if isinstance(value, int) and 0 <= value < 2**31 else None


def _failed(prompt: Prompt, reason: str) -> Judgment:
    return Judgment(prompt.question.pair_id, prompt.question.order, failed=reason)
