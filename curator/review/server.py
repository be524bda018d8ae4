"""Serves the review page on this machine, and to this machine only."""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import secrets
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import orjson
from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from curator.annotation.base import Task
from curator.annotation.page import page, page_task, policy, whole_text
from curator.errors import CuratorError, InputError
from curator.names import annotator_name
from curator.pair import content_id
from curator.resources import first_error
from curator.review.guard import add_headers, guard
from curator.steps.reviewing import Review, Said, State

BODY_MOST = 4 * 2**20
"""Bytes of a request: an outbox of 200 answers with long comments."""


class Server:
    """One store's page. Requests wait for each other: the store does one thing at a time."""

    def __init__(self, review: Review, annotator: str | None, token: str) -> None:
        """
        Args:
            annotator: who sits at this page; None: the page asks.
            token: without it nothing is answered.
        """
        self._review, self._annotator = review, annotator
        self._one_at_a_time = ThreadPoolExecutor(1)
        page_task(Task("", [{"role": "user", "content": "*"}], "a", "b"))  # what renders is loaded before anybody waits
        # What a browser keeps for one store is not for another one at the same address.
        key = content_id(str(review.path.resolve()))
        self._page = page("server", {"key": key, "annotator": annotator})
        self._policy = f"{policy('server')}; frame-ancestors 'none'"
        self.app = web.Application(middlewares=[guard(token)], client_max_size=BODY_MOST)
        self.app.on_response_prepare.append(add_headers)
        self.app.on_cleanup.append(self._end)
        self.app.add_routes(
            [
                web.get("/", self._home),
                web.get("/favicon.ico", self._no_icon),
                web.post("/sync", self._sync),
                web.post("/whole", self._whole),
            ]
        )

    async def _end(self, app: web.Application) -> None:
        self._one_at_a_time.shutdown()

    async def _home(self, request: web.Request) -> web.Response:
        headers = {"Content-Security-Policy": self._policy}
        return web.Response(text=self._page, content_type="text/html", headers=headers)

    async def _no_icon(self, request: web.Request) -> web.Response:
        return web.Response(status=204)

    async def _sync(self, request: web.Request) -> web.Response:
        """Store what the page sends, and say what it is to show.

        200: all that was sent is in the store for good. 503: nothing is, keep it and send it again; the body says what
        to show meanwhile, or only why.
        """
        body = await _read(request)
        if problem := problem_of(body):
            raise web.HTTPBadRequest(text=": ".join(problem))
        said = [_said(one) for one in body["said"]]
        annotator = self._annotator or annotator_name(body["annotator"] or "")
        if not annotator:
            return _json(200, _nobody(self._review.waiting, body["annotator"] is not None))
        return await self._answered(
            lambda: _shown(self._review.sync(annotator, said, body.get("showing"))), lambda state: bool(state["stored"])
        )

    async def _whole(self, request: web.Request) -> web.Response:
        body = await _read(request)
        pair_id, part = (body.get(name) for name in ("pair_id", "part")) if isinstance(body, dict) else (None, None)
        if not isinstance(pair_id, str) or not isinstance(part, str):
            raise web.HTTPBadRequest(text="pair_id and part are missing")

        def text() -> dict[str, Any]:
            task = self._review.task(pair_id)
            try:
                return {} if task is None else {"text": whole_text(task, part)}
            except ValueError:
                return {}

        return await self._answered(text, lambda found: "text" in found, otherwise=404)

    async def _answered(
        self, work: Callable[[], dict[str, Any]], good: Callable[[dict[str, Any]], bool], otherwise: int = 503
    ) -> web.Response:
        try:
            found = await asyncio.get_running_loop().run_in_executor(self._one_at_a_time, work)
        except CuratorError as error:
            return _json(503, {"message": str(error)})
        return _json(200 if good(found) else otherwise, found)


def serve(review: Review, annotator: str | None, port: int | None, say: Callable[[str], None]) -> None:
    """Serve until Ctrl-C.

    Args:
        port: None: one that is the same for this store each time, where it is free; 0: any.
        say: told the address once the page can be opened.

    Raises:
        InputError: the port is taken, or may not be had.
    """
    logging.getLogger("aiohttp.server").addFilter(_is_ours)
    try:
        asyncio.run(_serve(review, annotator, port, say))
    except KeyboardInterrupt:
        pass


async def _serve(review: Review, annotator: str | None, port: int | None, say: Callable[[str], None]) -> None:
    token = secrets.token_urlsafe(24)
    runner = web.AppRunner(Server(review, annotator, token).app, access_log=None, shutdown_timeout=10)
    await runner.setup()
    try:
        # A page that is still open after the server was started again finds it, and what its browser keeps is found.
        usual = 20_000 + int(content_id(str(review.path.resolve())), 16) % 10_000
        try:
            await web.TCPSite(runner, "127.0.0.1", usual if port is None else port).start()
        except OSError as error:
            if port is not None or error.errno != errno.EADDRINUSE:
                reason = os.strerror(error.errno or 0)
                raise InputError(f"port {port}: {reason}. Give another --port; 0 takes any that is free") from None
            await web.TCPSite(runner, "127.0.0.1", 0).start()
        say(f"http://127.0.0.1:{runner.addresses[0][1]}/?token={token}")
        await asyncio.Event().wait()
    finally:
        await runner.cleanup()


def _is_ours(record: logging.LogRecord) -> bool:
    """Whether an error is of this server: whoever sends what is no HTTP is refused, and nothing to tell of."""
    return not (record.exc_info and isinstance(record.exc_info[1], HttpProcessingError))


async def _read(request: web.Request) -> Any:
    try:
        return orjson.loads(await request.read())
    except orjson.JSONDecodeError:
        raise web.HTTPBadRequest(text="This is not JSON.") from None


def problem_of(body: Any) -> tuple[str, str] | None:
    """Where what a page has sent is not what `schemas/review.schema.json` says, and why; None: it is."""
    try:
        return first_error("review", body)
    except ValueError:
        return "body", "is nested too deeply"


def _said(one: dict[str, Any]) -> Said:
    at = one.get("said_at")
    return Said(
        one["pair_id"],
        one["label"],
        one.get("dealt"),
        one.get("note") or None,
        one.get("seconds"),
        None if at is None else datetime.fromtimestamp(at / 1000, UTC),
    )


def _shown(state: State) -> dict[str, Any]:
    return {
        "annotator": state.annotator,
        "task": None if state.task is None else page_task(state.task),
        "dealt": state.dealt,
        "done": state.done,
        "left": state.left,
        "total": state.total,
        "pace": state.pace,
        "can_undo": state.undo is not None,
        "undo": state.undo,
        "previous": state.previous and {"label": state.previous.label, "note": state.previous.note},
        "stored": state.stored,
        "message": state.message,
    }


def _nobody(waiting: int, named: bool) -> dict[str, Any]:
    """What the page shows before it knows who sits there."""
    message = "Give a name that can be read." if named else None
    return _shown(State(None, None, None, 0, waiting, waiting, None, None, None, True, message))


def _json(status: int, value: dict[str, Any]) -> web.Response:
    return web.Response(status=status, body=orjson.dumps(value), content_type="application/json")
