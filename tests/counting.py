"""A proxy before a judge server that counts what passes through it, also of runs that were killed."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from aiohttp import ClientSession, web


class Counting:
    """`prompts` went to the server, `answered` came back; `seen` holds the prompts as they were sent."""

    def __init__(self, target: str) -> None:
        self.target, self.prompts, self.answered = target, 0, 0
        self.seen: list[Any] = []

    async def _pass_on(self, request: web.Request) -> web.Response:
        body = await request.read()
        if request.path == "/generate":
            sent = json.loads(body)["input_ids"]
            self.prompts += len(sent)
            self.seen += sent
        async with (
            ClientSession() as session,
            session.request(
                request.method, self.target + request.path, data=body, headers={"Content-Type": "application/json"}
            ) as reply,
        ):
            data = await reply.read()
        if request.path == "/generate":
            self.answered += len(sent)
        return web.Response(body=data, status=reply.status, content_type=reply.content_type)

    async def start(self) -> tuple[web.AppRunner, str]:
        app = web.Application(client_max_size=1 << 28)
        app.router.add_route("*", "/{path:.*}", self._pass_on)
        runner = web.AppRunner(app)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        return runner, f"http://127.0.0.1:{runner.addresses[0][1]}"


@contextmanager
def counted(target: str) -> Iterator[tuple[Counting, str]]:
    """A counting proxy in a thread of its own, and its address."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, daemon=True)
    thread.start()
    counting = Counting(target)
    runner, url = asyncio.run_coroutine_threadsafe(counting.start(), loop).result(10)
    try:
        yield counting, url
    finally:
        asyncio.run_coroutine_threadsafe(runner.cleanup(), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()
