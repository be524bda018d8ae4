"""What comes of a run for everything that a server can do to it: stored right, asked again, recorded, or ended with a code.

Most faults are those of tests/fake_sglang.py; what no HTTP library lets a server do is written on a bare socket here.
"""

from __future__ import annotations

import asyncio
import gzip
import json
import os
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from curator.errors import JudgeError, JudgeUnreachable
from curator.judges import http, serving
from curator.judges.http import backoff
from curator.judges.sglang import SGLangJudge
from curator.judges.wire import Known
from curator.pair import Judgment, Message, Order, Rationale
from curator.prompts import Question, rationale_template
from curator.store import open_store
from tests.conftest import ROOT, Cli, pairs, write_rows
from tests.fake_sglang import BIAS, MASS, FakeSGLang
from tests.test_sglang_judge import CHAT, ask, assert_right, client, questions
from tests.test_tokenizer import chatml, codec, save

ANY = ("--no-probe", "--template", "chat", "--alpha", "0.9")


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Waits between tries as long as they are in earnest would make these tests take minutes."""
    monkeypatch.delenv("SGLANG_API_KEY", raising=False)
    monkeypatch.setattr("curator.judges.sglang.backoff", lambda state: min(0.02, backoff(state)))
    monkeypatch.setattr("curator.judges.sglang.BATCH_RETRY_SECONDS", 0.1)
    monkeypatch.setattr(serving, "FIRST_PAUSE", 0.02)


@pytest.fixture
def server() -> Iterator[FakeSGLang]:
    with FakeSGLang() as running:
        yield running


# -------------------------------------------------------------------------------------- what is sent, byte by byte


def head(length: int | None, *lines: str) -> bytes:
    size = () if length is None else (f"Content-Length: {length}",)
    return "\r\n".join(("HTTP/1.1 200 OK", "Content-Type: application/json", *size, *lines, "", "")).encode()


BOMB = gzip.compress(b"[" + b"1," * 50_000_000 + b"1]", 1)


async def _endless(writer: asyncio.StreamWriter) -> None:
    writer.write(head(None, "Transfer-Encoding: chunked"))
    while True:
        writer.write(b"10000\r\n" + b" " * 65_536 + b"\r\n")
        await writer.drain()


async def _trickle(writer: asyncio.StreamWriter) -> None:
    writer.write(head(100_000))
    while True:
        writer.write(b" ")
        await writer.drain()
        await asyncio.sleep(0.05)


async def _slow_headers(writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\n")
    while True:
        writer.write(b"X-Wait: 1\r\n")
        await writer.drain()
        await asyncio.sleep(0.05)


RAW: dict[str, bytes | Callable[[asyncio.StreamWriter], Any]] = {
    "nothing": b"",
    "http-0.9": b"hello, this is a reply of 1991\n",
    "binary": bytes(range(256)) * 20,
    "100,000 headers": head(2, *(f"X-{i}: {i}" for i in range(100_000))) + b"[]",
    "one long header": head(2, "X-Long: " + "x" * 2_000_000) + b"[]",
    "two lengths": head(2, "Content-Length: 3") + b"[]",
    "negative length": head(-5) + b"[]",
    "less than it said": head(1_000) + b"[]",
    "wrong chunks": head(None, "Transfer-Encoding: chunked") + b"zz\r\n[]\r\n0\r\n\r\n",
    "gzip bomb": head(len(BOMB), "Content-Encoding: gzip") + BOMB,
    "unknown encoding": head(2, "Content-Encoding: br") + b"[]",
    "cookies": head(2, *(f"Set-Cookie: a b{i}@=\x01; Path=/" for i in range(50))) + b"[]",
    "deep": head(200_000) + b"[" * 200_000,
    "huge": head(10**9) + b" " * 20_000_000,
    "endless": _endless,
    "trickle": _trickle,
    "slow headers": _slow_headers,
    "100": b"HTTP/1.1 100 Continue\r\n\r\n" * 3,
    "204": b"HTTP/1.1 204 No Content\r\n\r\n",
    "999": b"HTTP/1.1 999 What\r\nContent-Length: 0\r\n\r\n",
}


@contextmanager
def before(server: FakeSGLang, fault: str, times: int = 1_000_000) -> Iterator[str]:
    """An address where `/generate` meets a fault so many times; all else, and what comes later, goes on to `server`."""
    left = times
    listens: queue.SimpleQueue[tuple[str, asyncio.AbstractEventLoop, asyncio.Event]] = queue.SimpleQueue()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal left
        request = await reader.readuntil(b"\r\n\r\n")
        if b" /generate " not in request or left <= 0:
            await pass_on(request, reader, writer)
            return
        left -= 1
        what = RAW[fault]
        if callable(what):
            await what(writer)
        else:
            writer.write(what)
            await writer.drain()

    async def pass_on(request: bytes, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        lines = [line.lower().split(b": ", 1) for line in request.splitlines()[1:-1]]
        size = next((int(value) for name, value in lines if name == b"content-length"), 0)
        there, back = await asyncio.open_connection("127.0.0.1", server.port)
        try:
            back.write(request.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
            back.write(await reader.readexactly(size))
            writer.write(await there.read(-1))
            await writer.drain()
        finally:
            back.close()

    async def met(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await answer(reader, writer)
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    async def listen() -> None:
        over = asyncio.Event()
        async with await asyncio.start_server(met, "127.0.0.1", 0) as listening:
            port = listening.sockets[0].getsockname()[1]
            listens.put((f"http://127.0.0.1:{port}", asyncio.get_running_loop(), over))
            await over.wait()

    thread = threading.Thread(target=lambda: asyncio.run(listen()))
    thread.start()
    url, loop, over = listens.get(timeout=10)
    try:
        yield url
    finally:
        loop.call_soon_threadsafe(over.set)
        thread.join(10)


def at(url: str, **changes: Any) -> SGLangJudge:
    settings: dict[str, Any] = {"batch": 4, "in_flight": 2, "retry_seconds": 10.0, **changes}
    return SGLangJudge([url], settings.pop("template", CHAT), **settings)


@pytest.mark.parametrize("fault", RAW)
def test_what_no_server_should_send_is_asked_again(
    server: FakeSGLang, fault: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(http, "REPLY_SECONDS", 3)
    asked = questions(6)
    with before(server, fault, times=2) as url:
        assert_right(ask(at(url), asked), asked)
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("fault", ["endless", "trickle", "slow headers", "gzip bomb", "http-0.9", "huge"])
def test_a_server_that_only_does_that_is_given_up(
    server: FakeSGLang, fault: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http, "REPLY_SECONDS", 0.5)
    start = time.monotonic()
    with before(server, fault) as url, pytest.raises(JudgeUnreachable, match="kept; run again"):
        ask(at(url, retry_seconds=0.5), questions(6))
    assert time.monotonic() - start < 25
