"""A judge server that costs almost nothing, so that a benchmark measures the client and not the server.

    python -m tests.benchmarks.stub --port 0 --delay 0.005

It speaks as much of SGLang and of an OpenAI-compatible server as judges ask for, finds the number of prompts and of
their tokens by counting brackets and commas, and never parses a body of the usual shape. The first line that it prints
is its URL.
"""

from __future__ import annotations

import argparse
import asyncio
import math
import os
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from tests.fake_sglang import decode, encode, render

ROOT = Path(__file__).parents[2]
MODEL = "org/stub-judge"
CONTEXT = 32_768
MASS = 0.9
"""Probability that the two labels hold in every reply."""

SHARES = tuple((2 * i + 1) / 32 for i in range(16))
"""The first label's part of that; which of them a prompt gets follows from its length, or from its turn."""

_LOGPROBS = tuple((math.log(MASS * share), math.log(MASS * (1 - share))) for share in SHARES)
_META = (
    b'{"text":"","meta_info":{"id":"0","finish_reason":{"type":"length","length":0},"prompt_tokens":%d,'
    b'"completion_tokens":0,"cached_tokens":3,"output_token_ids_logprobs":[[[%b,%d,null],[%b,%d,null]]]}}'
)
_HEAD = b"HTTP/1.1 %b\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"


@dataclass
class Stub:
    """What the server does.

    Attributes:
        delay: seconds after which a judge's request is answered.
        serial: one request is served after another, as a single GPU would.
        tokenize: whether there is `/v1/tokenize`; its tokens are characters.
        answers: what chat completions say, the first where the first label is less likely, then the others.
        requests, prompts: what judges have asked; `first`, `last`: when the first of it came in, and was answered last
            (seconds on the event loop's clock). `GET /stub` tells these, and `/stub/reset` forgets them.
    """

    delay: float = 0.0
    serial: bool = False
    tokenize: bool = True
    answers: tuple[str, ...] = ("B", "A")
    busy_until: float = 0.0
    requests: int = 0
    prompts: int = 0
    first: float | None = None
    last: float = 0.0
    pages: dict[str, Any] = field(
        default_factory=lambda: {
            "/model_info": {"model_path": MODEL, "tokenizer_path": "/nonexistent/stub", "weight_version": "default"},
            "/server_info": {"dtype": "float32", "quantization": None, "version": "0.5.23"},
            "/v1/models": {"object": "list", "data": [{"id": MODEL, "object": "model", "max_model_len": CONTEXT}]},
            "/health": {},
        }
    )

    def __post_init__(self) -> None:
        self._chats = [self._chat(i, with_logprobs=False) for i in range(len(SHARES))]
        self._chats_with_logprobs = [self._chat(i, with_logprobs=True) for i in range(len(SHARES))]

    def due(self, now: float) -> float:
        """When a judge's request that came in now is answered."""
        if self.first is None:
            self.first = now
        self.requests += 1
        start = max(self.busy_until, now) if self.serial else now
        self.busy_until = start + self.delay
        return self.busy_until

    def answer(self, path: bytes, body: bytes) -> tuple[bytes, bytes, bool]:
        """Status, body, and whether the reply takes the judge's time."""
        if path == b"/generate":
            return b"200 OK", self.generate(body), True
        if path == b"/v1/chat/completions":
            asked = b'"logprobs":true' in body or b'"logprobs": true' in body
            chats = self._chats_with_logprobs if asked else self._chats
            self.prompts += 1
            return b"200 OK", chats[len(body) % len(SHARES)], True
        page = path.decode("latin-1").partition("?")[0]
        if page == "/stub/reset":
            self.requests, self.prompts, self.first = 0, 0, None
            return b"200 OK", b"{}", False
        if page == "/stub":
            seen = {"requests": self.requests, "prompts": self.prompts, "first": self.first, "last": self.last}
            return b"200 OK", orjson.dumps(seen), False
        if page in self.pages:
            return b"200 OK", orjson.dumps(self.pages[page]), False
        if self.tokenize and page == "/v1/tokenize":
            values = orjson.loads(body)
            ids = encode(render(values["messages"]) if "messages" in values else values["prompt"])
            return b"200 OK", orjson.dumps({"tokens": ids, "count": len(ids), "max_model_len": CONTEXT}), False
        if self.tokenize and page == "/v1/detokenize":
            return b"200 OK", orjson.dumps({"text": decode(orjson.loads(body)["tokens"])}), False
        return b"404 Not Found", b'{"detail":"Not Found"}', False

    def generate(self, body: bytes) -> bytes:
        """One entry a prompt. Prompts sent as token ids get what follows from their number of tokens."""
        labels, counts = _counted(body)
        self.prompts += len(counts)
        is_ids = b'"input_ids"' in body
        replies = []
        for i, count in enumerate(counts):
            first, second = _LOGPROBS_TEXT[(count if is_ids else self.prompts - i) % len(SHARES)]
            replies.append(_META % (count, first, labels[0], second, labels[1]))
        return b"[" + b",".join(replies) + b"]"

    def _chat(self, variant: int, *, with_logprobs: bool) -> bytes:
        first, second = _LOGPROBS[variant]
        answer = self.answers[min(variant * len(self.answers) // len(SHARES), len(self.answers) - 1)]
        pairs = sorted([("A", first), ("B", second)], key=lambda pair: -pair[1])
        top = [{"token": token, "logprob": value, "bytes": [ord(token)]} for token, value in pairs]
        content = [{**top[0], "token": answer, "bytes": list(answer.encode()), "top_logprobs": top}]
        message = {"role": "assistant", "content": answer, "tool_calls": None, "refusal": None}
        choice = {
            "index": 0,
            "message": message,
            "finish_reason": "length",
            "logprobs": {"content": content, "refusal": None} if with_logprobs else None,
        }
        usage = {"prompt_tokens": 500, "completion_tokens": 1, "total_tokens": 501}
        head = {"id": "chatcmpl-0", "object": "chat.completion", "created": 1_760_000_000, "model": MODEL}
        return orjson.dumps({**head, "choices": [choice], "usage": usage})


_LOGPROBS_TEXT = tuple((repr(first).encode(), repr(second).encode()) for first, second in _LOGPROBS)


def _counted(body: bytes) -> tuple[tuple[int, int], list[int]]:
    """Ids of the labels, and tokens of each prompt; ids are not parsed but counted."""
    name = b'"token_ids_logprob":['
    start, ids = body.rfind(name), body.find(b'"input_ids"')
    if start < 0 or ids < 0:
        return _parsed(body)
    start += len(name)
    labels = body[start : body.find(b"]", start)].split(b",")
    begin = body.find(b"[[", ids)
    pieces = body[begin : body.find(b"]]", begin)].split(b"]")
    if len(labels) != 2 or labels[0].startswith(b"["):
        return _parsed(body)
    # Every list but the first has the comma before it in its piece.
    counts = [piece.count(b",") + (number == 0) for number, piece in enumerate(pieces)]
    return (int(labels[0]), int(labels[1])), counts


def _parsed(body: bytes) -> tuple[tuple[int, int], list[int]]:
    """The same from a body of another shape: labels once for all prompts."""
    values = orjson.loads(body)
    labels = values["token_ids_logprob"]
    first, second = labels[0] if isinstance(labels[0], list) else labels
    return (first, second), [len(prompt) for prompt in values.get("input_ids") or values["text"]]


class _Connection(asyncio.Protocol):
    """One client: requests are answered in the order in which they came."""

    def __init__(self, stub: Stub, loop: asyncio.AbstractEventLoop) -> None:
        self._stub, self._loop = stub, loop
        self._buffer = bytearray()
        self._head = b""
        self._need = -1
        self._waiting: deque[tuple[bytes, bool]] = deque()
        self._last_due = 0.0
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while True:
            if self._need < 0:
                end = self._buffer.find(b"\r\n\r\n")
                if end < 0:
                    return
                self._head = bytes(self._buffer[:end])
                del self._buffer[: end + 4]
                self._need = _length(self._head)
            if len(self._buffer) < self._need:
                return
            body = bytes(self._buffer[: self._need])
            del self._buffer[: self._need]
            self._need = -1
            self._reply(self._head.split(b" ", 2)[1], body)

    def _reply(self, path: bytes, body: bytes) -> None:
        status, content, takes_time = self._stub.answer(path, body)
        self._waiting.append((_HEAD % (status, len(content)) + content, takes_time))
        now = self._loop.time()
        self._last_due = max(self._last_due, self._stub.due(now) if takes_time else now)
        if self._last_due > now:
            self._loop.call_at(self._last_due, self._send)
        else:
            self._send()

    def _send(self) -> None:
        # Timers of one moment may fire in any order, so each sends the oldest reply and not its own.
        reply, takes_time = self._waiting.popleft()
        if takes_time:
            self._stub.last = self._loop.time()
        if not self._transport.is_closing():
            self._transport.write(reply)


def _length(head: bytes) -> int:
    lower = head.lower()
    at = lower.find(b"\r\ncontent-length:")
    if at < 0:
        if b"\r\ntransfer-encoding:" in lower:
            raise ValueError("the stub reads bodies with a Content-Length only")
        return 0
    end = lower.find(b"\r\n", at + 2)
    return int(lower[at + 17 : end if end >= 0 else None])


async def _serve(stub: Stub, port: int) -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: _Connection(stub, loop), "127.0.0.1", port, backlog=4096)
    print(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", flush=True)
    await server.serve_forever()


def _runner() -> Callable[[Coroutine[Any, Any, None]], None]:
    try:
        import uvloop
    except ImportError:
        return asyncio.run
    run: Callable[[Coroutine[Any, Any, None]], None] = uvloop.run
    return run


@contextmanager
def serving(delay: float = 0.0, serial: bool = False, *arguments: str, cpu: int | None = None) -> Iterator[str]:
    """The URL of a stub in a process of its own, which listens from the start of `with` to its end.

    Args:
        delay, serial: as on the command line; `arguments` are further ones.
        cpu: the one core that it may run on; None: any.
    """
    command = [sys.executable, "-m", "tests.benchmarks.stub", "--delay", str(delay), *arguments]
    command += ["--serial"] if serial else []
    command += ["--cpu", str(cpu)] if cpu is not None else []
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            url = process.stdout.readline().strip()
            if not url:
                raise RuntimeError(f"the stub did not start (exit code {process.wait()})")
            yield url
        finally:
            process.terminate()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, default=0, help="0: any that is free")
    parser.add_argument("--delay", type=float, default=0.0, help="seconds after which a judge's request is answered")
    parser.add_argument("--serial", action="store_true", help="one request after another, as one GPU would")
    parser.add_argument("--no-tokenize", action="store_true", help="no /v1/tokenize: its tokens are characters")
    parser.add_argument("--answer", action="append", help="what chat completions say; repeat for several")
    parser.add_argument("--cpu", type=int, help="the one core to run on")
    chosen = parser.parse_args()
    if chosen.cpu is not None:
        os.sched_setaffinity(0, {chosen.cpu})
    stub = Stub(chosen.delay, chosen.serial, not chosen.no_tokenize, tuple(chosen.answer or ("B", "A")))
    try:
        _runner()(_serve(stub, chosen.port))
    except KeyboardInterrupt:
        pass


if __name__ == "__main__":
    main()
