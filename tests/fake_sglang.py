"""A judge's double: a real HTTP server on loopback that answers as SGLang does, or misbehaves as it is told.

What it says about a prompt follows from the prompt alone: responses carry a quality ("quality 0.75"), and the better
one is preferred by the difference, plus a bias for the response shown first; where there is a third label, `equal` says
how likely it is. So a test knows every reply beforehand.
"""

from __future__ import annotations

import asyncio
import json
import math
import re
import threading
from collections import deque
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any, Self

import orjson
from aiohttp import web

MASS = 0.8
"""Probability that the two labels hold in every reply."""

BIAS = 0.25
"""How much the first response shown gains, in log-odds."""

_QUALITY = re.compile(r"quality (-?[0-9]+(?:\.[0-9]+)?)")

# The chat frame of the fake model: control tokens are single ids above all characters.
_SPECIALS = {"<|im_start|>": 1_200_000, "<|im_end|>": 1_200_001}
_SPECIAL_TEXT = {number: text for text, number in _SPECIALS.items()}
_TOKENS = re.compile("|".join(map(re.escape, _SPECIALS)) + "|.", re.DOTALL)


def encode(text: str) -> list[int]:
    """The fake model's tokenizer: a character is a token; control tokens are honoured, as a server does with text."""
    return [_SPECIALS.get(piece) or ord(piece) for piece in _TOKENS.findall(text)]


def decode(ids: Sequence[int]) -> str:
    return "".join(_SPECIAL_TEXT.get(number) or chr(number) for number in ids)


def render(messages: Sequence[dict[str, str]]) -> str:
    turns = "".join(f"<|im_start|>{turn['role']}\n{turn['content']}<|im_end|>\n" for turn in messages)
    return turns + "<|im_start|>assistant\n"


def equal(first: float, second: float) -> float:
    """Share of the third label: the more the better the response shown first, so that a wrong order shows."""
    return 0.9 / (1 + math.exp(second - 2 * first))


def logprobs(text: str, labels: int = 2) -> list[float]:
    """Log-probabilities of the labels: of the first response shown, of the second, and of both being equal."""
    first, second = (float(value) for value in ["0", "0", *_QUALITY.findall(text)][-2:])
    gap = first - second + BIAS
    tie = equal(first, second) if labels == 3 else 0.0
    share = (1 - tie) / (1 + math.exp(-gap))
    return [math.log(MASS * value) for value in (share, 1 - tie - share, tie)[:labels]]


class FakeSGLang:
    """One server in a thread of its own, from `with` to its end.

    Args:
        encode, decode: the tokenizer of the model it serves.
        delay: seconds every `/generate` takes.
        at_once: how many requests of `/generate` are served at a time, the others waiting; 0: all.
        key: the API key it wants, if any.

    Attributes:
        requests, prompts: what reached `/generate`.
        bodies: every body of `/generate`, as received; `headers` of every request.
        most_at_once: the largest number of requests of `/generate` in flight.
        poison: decides from a prompt's text which fault its request meets, for good; None: none.
        most_prompts: how many a request may have before the queue counts as full; 0: any number.
        counts: token counts that replies hold instead of the right ones.
        pages: replies of other pages, by path, instead of the usual; an int is a status.
    """

    def __init__(
        self,
        *,
        encode: Callable[[str], list[int]] = encode,
        decode: Callable[[Sequence[int]], str] = decode,
        delay: float = 0.0,
        at_once: int = 0,
        key: str | None = None,
        model: str = "org/fake-judge",
        context: int = 4_096,
        port: int = 0,
    ) -> None:
        self._encode, self._decode, self._key, self._context = encode, decode, key, context
        self.delay = delay
        self._slots = asyncio.Semaphore(at_once or 1_000_000)
        self.requests = self.prompts = self.at_once = self.most_at_once = 0
        self.bodies: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.poison: Callable[[str], str | None] = lambda text: None
        self.pages: dict[str, Any] = {
            "/model_info": {
                "model_path": model, "tokenizer_path": "/nonexistent/fake-judge", "weight_version": "default",
            },
            "/server_info": {"dtype": "float32", "quantization": None, "version": "0.5.23"},
            "/v1/models": {"data": [{"id": model, "max_model_len": context}]},
        }  # fmt: skip
        self.most_prompts = 0
        self.counts: dict[str, Any] = {}
        self._faults: deque[str] = deque()
        self._loop = asyncio.new_event_loop()
        self._started = threading.Event()
        self._gone = False
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self.port = port

    @property
    def gone(self) -> bool:
        return self._gone

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def __enter__(self) -> Self:
        self._thread.start()
        self._started.wait(10)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.die()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)

    def misbehave(self, *faults: str, times: int = 1) -> None:
        """Meet the next requests of `/generate` with these faults, one a request."""
        self._faults.extend(faults * times)

    def die(self) -> None:
        """Go away for good: nothing listens any more, and open connections are reset."""
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result(10)

    async def _close(self) -> None:
        if not self._gone:
            self._gone = True
            await self._site.stop()
        if self._runner.server is not None:
            for connection in self._runner.server.connections:
                if connection.transport is not None:
                    connection.transport.abort()

    def _serve(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._start())
        self._started.set()
        self._loop.run_forever()
        self._loop.run_until_complete(self._runner.cleanup())
        self._loop.close()

    async def _start(self) -> None:
        app = web.Application(client_max_size=2**28, middlewares=[self._guard])
        app.router.add_post("/generate", self._generate)
        app.router.add_post("/v1/tokenize", self._tokenize)
        app.router.add_post("/v1/detokenize", self._detokenize)
        app.router.add_get("/{page:.*}", self._page)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        self._site = web.TCPSite(self._runner, "127.0.0.1", self.port, reuse_address=True)
        await self._site.start()
        self.port = self._runner.addresses[0][1]

    @web.middleware
    async def _guard(self, request: web.Request, handler: Callable[..., Any]) -> web.StreamResponse:
        self.headers.append(dict(request.headers))
        if self._key is not None and request.headers.get("Authorization") != f"Bearer {self._key}":
            return web.json_response({"error": "Unauthorized"}, status=401)
        response: web.StreamResponse = await handler(request)
        return response

    async def _page(self, request: web.Request) -> web.Response:
        value = self.pages.get(request.path, 404)
        if isinstance(value, int):
            return web.json_response({"detail": "no"}, status=value)
        if isinstance(value, bytes):
            return web.Response(body=value)
        return web.json_response(value)

    async def _tokenize(self, request: web.Request) -> web.Response:
        if "/v1/tokenize" in self.pages:
            return await self._page(request)
        body = await request.json()
        ids = self._encode(render(body["messages"]) if "messages" in body else body["prompt"])
        return web.json_response({"tokens": ids, "count": len(ids), "max_model_len": self._context})

    async def _detokenize(self, request: web.Request) -> web.Response:
        if "/v1/detokenize" in self.pages:
            return await self._page(request)
        return web.json_response({"text": self._decode((await request.json())["tokens"])})

    async def _generate(self, request: web.Request) -> web.StreamResponse:
        body = await request.json(loads=orjson.loads)
        self.requests += 1
        self.bodies.append(body)
        self.at_once += 1
        self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            async with self._slots:
                await asyncio.sleep(self.delay)
                return await self._answer(request, body)
        finally:
            self.at_once -= 1

    async def _answer(self, request: web.Request, body: dict[str, Any]) -> web.StreamResponse:
        texts = body.get("text") or [self._decode(ids) for ids in body["input_ids"]]
        counts = [len(prompt) for prompt in body.get("text") or body["input_ids"]]
        self.prompts += len(texts)
        found = [fault for text in texts if (fault := self.poison(text))]
        fault = self._faults.popleft() if self._faults else (found[0] if found else None)
        if self.most_prompts and len(texts) > self.most_prompts:
            fault = "503"
        name, _, value = (fault or "").partition(" ")
        if name == "longest":  # refuses prompts of more tokens than that
            most, name = int(value), ""
            if max(counts) > most:
                message = f"The input ({max(counts)} tokens) is longer than the model's context length ({most} tokens)."
                return web.json_response({"error": {"message": message}}, status=400)
        if name in {"301", "302", "303", "307", "308"}:
            return web.Response(status=int(name), headers={"Location": value})
        if name.isdecimal():
            after = {"Retry-After": value} if value else {}
            said = {"object": "error", "message": f"status {name} as told"}
            return web.json_response(said, status=int(name), headers=after)
        if name == "echo":  # repeats what it was sent, keys and all, as a careless server does
            return web.json_response({"error": {"message": f"{dict(request.headers)}"}}, status=int(value))
        if name == "hang":
            await asyncio.sleep(float(value or 3600))
        if name == "die":
            await self._close()
        if name in {"reset", "die"}:
            _abort(request)
            return web.Response()
        if name == "html":
            return web.Response(text="<html><body>502 \x1b[31mBad Gateway</body></html>", content_type="text/html")
        if body["sampling_params"]["max_new_tokens"]:
            replies = [self._written(text) for text in texts]
        else:
            replies = [self._reply(*item, body["token_ids_logprob"]) for item in zip(texts, counts, strict=True)]
        for place, reply in enumerate(replies):
            reply["meta_info"] |= {"id": f"{body.get('rid', 'none')}_{place}", **self.counts}
        spoil(name, replies)
        data = json.dumps(replies).encode()
        if name == "truncated":
            data = data[: len(data) // 2]
        if name in {"half", "trickle"}:
            return await _piecewise(request, data, cut=name == "half")
        response = web.Response(body=data, content_type="application/json")
        if name == "close":
            response.force_close()
        return response

    def _written(self, text: str) -> dict[str, Any]:
        first, second = ["0", "0", *_QUALITY.findall(text)][-2:]
        text = f" It has {first}, the other {second}. " if first != "0.13" else "   "
        finish = "length" if first == "0.77" else "stop"
        return {"text": text, "meta_info": {"finish_reason": {"type": finish}}}

    def _reply(self, text: str, count: int, labels: list[int]) -> dict[str, Any]:
        values = logprobs(text, len(labels))
        # Sorted by id: whoever reads by place rather than by id is found out.
        entries = sorted(([*entry, None] for entry in zip(values, labels, strict=True)), key=lambda entry: -entry[1])
        return {
            "text": "",
            "meta_info": {
                "id": "0", "finish_reason": {"type": "length", "length": 0}, "prompt_tokens": count,
                "completion_tokens": 0, "cached_tokens": 3, "output_token_ids_logprobs": [entries],
            },
        }  # fmt: skip


def spoil(fault: str, replies: list[dict[str, Any]]) -> None:
    """Change good replies into what a broken server might say."""
    meta = replies[-1]["meta_info"]
    entries = meta.get("output_token_ids_logprobs", [[]])[0]  # what is written has none
    if fault in {"NaN", "Infinity", "-Infinity", "1e999"}:
        entries[0][0] = float(fault)  # written by json as the bare word, which is not JSON
    elif fault == "null":
        entries[0][0] = None
    elif fault == "positive":
        entries[0][0] = 0.7
    elif fault == "too-much":  # each can be, both together cannot
        entries[0][0] = entries[1][0] = math.log(0.9)
    elif fault == "no-label":
        del entries[0]
    elif fault == "no-positions":
        meta["output_token_ids_logprobs"] = []
    elif fault == "no-meta":
        del replies[-1]["meta_info"]
    elif fault == "abort":
        meta["finish_reason"] = {"type": "abort", "message": "Abort in waiting queue", "status_code": 503}
    elif fault == "abort-bare":
        meta["finish_reason"] = {"type": "abort"}
        del meta["output_token_ids_logprobs"]
    elif fault == "fewer":
        replies.pop()
    elif fault == "more":
        replies.append(replies[-1])
    elif fault == "miscounted":
        meta["prompt_tokens"] += 1
    elif fault == "false":  # as a number it is 0, and exp(0) a certainty
        entries[0][0], entries[1][0] = -50.0, False
    elif fault == "numbers-as-text":
        entries[0][0] = str(entries[0][0])
    elif fault == "label-twice":
        entries.append([-3.0, *entries[0][1:]])
    elif fault == "nothing-held":
        for entry in entries:
            entry[0] = -1e308
    elif fault == "disordered":
        replies.reverse()
    elif fault == "doubled":
        replies[-1] = replies[0]
    elif fault == "no-text":
        replies[-1]["text"] = None
    elif fault == "much-text":
        replies[-1]["text"] = "word " * 100_000
    elif fault == "other-weights":
        meta["weight_version"] = "2"
    elif fault == "strings":
        replies[-1] = "internal error"  # type: ignore[call-overload]
    elif fault not in {"", "hang", "truncated", "half", "trickle", "close"}:
        raise ValueError(f"no fault is named {fault!r}")


def _abort(request: web.Request) -> None:
    if request.transport is not None:
        request.transport.abort()


async def _piecewise(request: web.Request, data: bytes, *, cut: bool) -> web.StreamResponse:
    """The reply in pieces; cut: the connection is reset in the middle of it."""
    response = web.StreamResponse(headers={"Content-Length": str(len(data)), "Content-Type": "application/json"})
    await response.prepare(request)
    middle = len(data) // 2
    await response.write(data[:middle])
    if cut:
        _abort(request)
        return response
    for start in range(middle, len(data), max(1, len(data) // 20)):
        await asyncio.sleep(0.02)
        await response.write(data[start : start + max(1, len(data) // 20)])
    await response.write_eof()
    return response
