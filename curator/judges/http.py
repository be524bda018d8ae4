"""One JSON request to a judge server: what comes back is a value, an error worth another try, or a refusal."""

from __future__ import annotations

import ipaddress
import os
import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import aiohttp
import orjson
from tenacity import RetryCallState, wait_random_exponential

from curator.errors import JudgeError

REPLY_SECONDS = 600
"""How long one request may take; a prefill of 16 long prompts on a slow machine takes minutes."""

GET_SECONDS = 10

MOST_REPLY = 2**23
"""Bytes of the longest reply that is read: to 4,096 prompts, the largest request, a server answers two million."""

LONGEST_AFTER = 60.0
"""Seconds that a server may ask to wait between two tries."""


class Transient(Exception):
    """Worth another try.

    Attributes:
        unreachable: nothing answered.
        busy: the server speaks of itself, not of what it was asked: it has no room, or nobody behind it.
        after: seconds the server asked to wait.
    """

    def __init__(self, reason: str, *, unreachable: bool = False, busy: bool = False, after: float = 0.0) -> None:
        super().__init__(reason)
        self.reason, self.unreachable, self.busy, self.after = reason, unreachable, busy, after


class Refused(Exception):
    """The server will not take this request, however often it is sent. `status`: of HTTP."""

    def __init__(self, reason: str, status: int) -> None:
        super().__init__(reason)
        self.status = status


_CREDENTIALS = re.compile(r"//[^/@\s]*@")


def address(url: str) -> str:
    """A server's base URL, checked.

    Raises:
        JudgeError: it is none, or holds credentials beside those of SGLANG_API_KEY.
    """
    try:
        parts = urlsplit(url)
        good = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:  # half an IPv6 address, a port that is no number
        good = False
    if not good:
        what = _CREDENTIALS.sub("//", url)
        raise JudgeError(f"{what!r} is no server address: give one like http://127.0.0.1:30000")
    if "@" in parts.netloc and os.environ.get("SGLANG_API_KEY"):
        raise JudgeError(f"{shown(url)}: give credentials in the URL or SGLANG_API_KEY, not both")
    return url.rstrip("/")


def shown(url: str) -> str:
    """A URL without the credentials it may hold."""
    parts = urlsplit(url)
    host = parts.netloc.rpartition("@")[2]
    return urlunsplit((parts.scheme, host, parts.path.rstrip("/"), "", ""))


def backoff(state: RetryCallState) -> float:
    """Seconds until the next try: growing, at random, and no less than the server asked for."""
    error = state.outcome.exception() if state.outcome else None
    return max(getattr(error, "after", 0.0), wait_random_exponential(multiplier=0.5, max=15)(state))


def _is_local(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def open_session(urls: Sequence[str], opened: Callable[[str], None] = lambda url: None) -> aiohttp.ClientSession:
    """A session for judge servers. A key for them is read from the environment variable SGLANG_API_KEY.

    Args:
        opened: told of each connection that is made for a POST, with its URL: who listens there now may be another.
    """
    key = os.environ.get("SGLANG_API_KEY", "").strip()
    if not key.isascii() or not key.isprintable():
        raise JudgeError("SGLANG_API_KEY holds characters that no key has")

    async def connected(_: aiohttp.ClientSession, asked: SimpleNamespace, __: Any) -> None:
        if asked.trace_request_ctx is not None:
            opened(asked.trace_request_ctx)

    trace = aiohttp.TraceConfig()
    trace.on_connection_create_end.append(connected)
    return aiohttp.ClientSession(
        # Replies are short: packed ones save nothing, and a few bytes of them can be unpacked to fill the memory.
        headers={"Accept-Encoding": "identity"} | ({"Authorization": f"Bearer {key}"} if key else {}),
        auto_decompress=False,
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=aiohttp.ClientTimeout(total=REPLY_SECONDS, sock_connect=10),
        connector=aiohttp.TCPConnector(limit=0),
        trace_configs=[trace],
        trust_env=not all(map(_is_local, urls)),  # a proxy to the outer world does not know this machine
    )


async def request(
    session: aiohttp.ClientSession, method: str, url: str, body: dict[str, Any] | bytes | None = None
) -> Any:
    """Send one request, its body a value or JSON already; the value of the JSON it is answered with.

    Raises:
        Transient: no answer, or one that another try may mend.
        Refused: the server will not take it.
        JudgeError: the server refuses the key, or sends us elsewhere: neither key nor prompts go where nobody said.
    """
    post = method == "POST"
    try:
        async with session.request(
            method,
            url,
            data=orjson.dumps(body) if isinstance(body, dict) else body,
            headers={"Content-Type": "application/json"},
            timeout=session.timeout if post else aiohttp.ClientTimeout(total=GET_SECONDS),
            allow_redirects=False,
            trace_request_ctx=url if post else None,
        ) as reply:
            text = await _read(reply)
            status, after = reply.status, _seconds(reply.headers.get("Retry-After", ""))
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        # aiohttp's messages may quote the URL as it was given, credentials and all.
        reason = _CREDENTIALS.sub("//", str(error)) or type(error).__name__
        raise Transient(reason, unreachable=True) from None
    if status in {401, 403}:
        raise JudgeError(f"{shown(url)} refuses the key (HTTP {status}); put the right one in SGLANG_API_KEY")
    if 300 <= status < 400:
        raise JudgeError(f"{shown(url)} sends us elsewhere (HTTP {status}); give the address of the judge itself")
    if status in {408, 425, 429} or status >= 500:
        raise Transient(
            f"HTTP {status}: {message(text)}",
            busy=status in {429, 502, 503, 504},
            after=after,
        )
    if status >= 400:
        raise Refused(f"HTTP {status}: {message(text)}", status)
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        raise Transient(f"the reply is not JSON: {message(text)}") from None


async def _read(reply: aiohttp.ClientResponse) -> bytes:
    found = bytearray()
    async for piece in reply.content.iter_any():
        found += piece
        if len(found) > MOST_REPLY:
            reply.close()
            raise Transient(f"the reply is longer than {MOST_REPLY:,} bytes")
    return bytes(found)


def _seconds(after: str) -> float:
    """How long a Retry-After asks to wait: seconds or a date; nothing else is heeded."""
    try:
        seconds = float(after) if after.isdecimal() else _until(parsedate_to_datetime(after))
    except (ValueError, OverflowError):
        return 0.0
    return min(max(seconds, 0.0), LONGEST_AFTER)


def _until(date: datetime) -> float:
    return (date.replace(tzinfo=date.tzinfo or UTC) - datetime.now(UTC)).total_seconds()


def message(body: bytes) -> str:
    """What an error reply says, made fit for a terminal."""
    try:
        values = orjson.loads(body)
        values = values.get("error", values)
        text = str(values["message"] if isinstance(values, dict) else values)
    except (orjson.JSONDecodeError, AttributeError, KeyError, RecursionError):
        text = body[:300].decode(errors="replace")
    return "".join(c if c.isprintable() else " " for c in text[:200])
