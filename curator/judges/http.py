"""One JSON request to a judge server: what comes back is a value, an error worth another try, or a refusal."""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit, urlunsplit
from urllib.request import getproxies, proxy_bypass

import aiohttp
import orjson
from tenacity import RetryCallState, wait_random_exponential

from curator.errors import JudgeError
from curator.hiding import hidden

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
        raise JudgeError(f"{hidden(url)!r} is no server address: give one like http://127.0.0.1:30000")
    if "?" in url or "#" in url:
        raise JudgeError(f"{shown(url)}: an address ends with its path; a key goes into SGLANG_API_KEY")
    if "@" in parts.netloc and os.environ.get("SGLANG_API_KEY"):
        raise JudgeError(f"{shown(url)}: give credentials in the URL or SGLANG_API_KEY, not both")
    return url.rstrip("/")


def shown(url: str) -> str:
    """A URL without the credentials it may hold."""
    try:
        parts = urlsplit(hidden(url))
    except ValueError:
        return hidden(url)
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


def _key() -> dict[str, str]:
    """The header with the key, if the environment has one. Not one of the session's: those go to proxies, too."""
    key = os.environ.get("SGLANG_API_KEY", "").strip()
    if not key.isascii() or not key.isprintable():
        raise JudgeError("SGLANG_API_KEY holds characters that no key has")
    return {"Authorization": f"Bearer {key}"} if key else {}


def open_session(opened: Callable[[str], None] = lambda url: None) -> aiohttp.ClientSession:
    """A session for judge servers. A key for them is read from the environment variable SGLANG_API_KEY.

    Args:
        opened: told of each connection that is made for a POST, with its URL: who listens there now may be another.

    Raises:
        JudgeError: the key cannot be one.
    """
    _key()

    async def connected(_: aiohttp.ClientSession, asked: SimpleNamespace, __: Any) -> None:
        if asked.trace_request_ctx is not None:
            opened(asked.trace_request_ctx)

    trace = aiohttp.TraceConfig()
    trace.on_connection_create_end.append(connected)
    return aiohttp.ClientSession(
        # Replies are short: packed ones save nothing, and a few bytes of them can be unpacked to fill the memory.
        headers={"Accept-Encoding": "identity"},
        auto_decompress=False,
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=aiohttp.ClientTimeout(total=REPLY_SECONDS, sock_connect=10),
        connector=aiohttp.TCPConnector(limit=0),
        trace_configs=[trace],
    )


def _proxy(url: str) -> str | None:
    """The proxy that the environment names for a server; None for this machine, which no proxy knows.

    Not left to aiohttp: its `trust_env` also sends the passwords of ~/.netrc, and silently does without some proxies.

    Raises:
        JudgeError: it names one that cannot be used.
    """
    parts = urlsplit(url)
    if _is_local(url) or proxy_bypass(parts.hostname or ""):
        return None
    proxy = getproxies().get(parts.scheme)
    if proxy and not proxy.startswith("http://"):
        raise JudgeError(
            f"{parts.scheme}_proxy is {hidden(proxy)}: only a proxy of the form http://HOST:PORT can be used. NO_PROXY "
            "names hosts that are reached without one"
        )
    return proxy


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
            headers={"Content-Type": "application/json", **_key()},
            timeout=session.timeout if post else aiohttp.ClientTimeout(total=GET_SECONDS),
            proxy=_proxy(url),
            allow_redirects=False,  # prompts and keys go where they were told to, and nowhere else
            trace_request_ctx=url if post else None,
        ) as reply:
            text = await _read(reply)
            status, after = reply.status, _seconds(reply.headers.get("Retry-After", ""))
            onward = reply.headers.get("Location", "")
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        # aiohttp's messages may quote the URL as it was given, credentials and all.
        reason = hidden(str(error), url) or type(error).__name__
        if isinstance(error, aiohttp.ClientConnectorCertificateError):
            reason += ". If the server is yours, name the file with its certificate in SSL_CERT_FILE"
        raise Transient(reason, unreachable=True) from None
    if status in {401, 403}:
        raise JudgeError(f"{shown(url)} refuses the key (HTTP {status}); put the right one in SGLANG_API_KEY")
    if 300 <= status < 400:
        raise JudgeError(
            f"{shown(url)} sends us on to {shown(onward)} (HTTP {status}); give that address if it is right"
        )
    if status in {408, 425, 429} or status >= 500:
        raise Transient(
            f"HTTP {status}: {message(text, url)}",
            busy=status in {429, 502, 503, 504},
            after=after,
        )
    if status >= 400:
        raise Refused(f"HTTP {status}: {message(text, url)}", status)
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        raise Transient(f"the reply is not JSON: {message(text, url)}") from None


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


_LOOKED_AT = 5_000
"""Characters of an error reply that are searched for secrets, of which those that are shown are the first."""


def message(body: bytes, url: str = "") -> str:
    """What an error reply says, made fit for a terminal, without the secrets that were sent to `url`."""
    try:
        values = orjson.loads(body)
        values = values.get("error", values)
        text = str(values["message"] if isinstance(values, dict) else values)
    except (orjson.JSONDecodeError, AttributeError, KeyError, RecursionError):
        text = body[:_LOOKED_AT].decode(errors="replace")
    return "".join(c if c.isprintable() else " " for c in hidden(text[:_LOOKED_AT], url))[:200]
