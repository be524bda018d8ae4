"""One JSON request to a judge server: what comes back is a value, an error worth another try, or a refusal."""

from __future__ import annotations

import ipaddress
import os
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
    """The server will not take this request, however often it is sent."""


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


def open_session() -> aiohttp.ClientSession:
    """A session for judge servers. A key for them is read from the environment variable SGLANG_API_KEY.

    Raises:
        JudgeError: it cannot be one.
    """
    _key()
    return aiohttp.ClientSession(
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=10, sock_read=REPLY_SECONDS),
        connector=aiohttp.TCPConnector(limit=0),
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
        JudgeError: the server refuses the key.
    """
    try:
        async with session.request(
            method,
            url,
            data=orjson.dumps(body) if isinstance(body, dict) else body,
            headers={"Content-Type": "application/json", **_key()},
            timeout=aiohttp.ClientTimeout(total=GET_SECONDS) if method == "GET" else session.timeout,
            proxy=_proxy(url),
            allow_redirects=False,  # prompts and keys go where they were told to, and nowhere else
        ) as reply:
            text = await reply.read()
            status, after = reply.status, reply.headers.get("Retry-After", "")
            onward = reply.headers.get("Location", "")
    except (aiohttp.ClientError, TimeoutError, OSError) as error:
        # aiohttp's messages may quote the URL as it was given, credentials and all.
        reason = hidden(str(error), url) or type(error).__name__
        if isinstance(error, aiohttp.ClientConnectorCertificateError):
            reason += ". If the server is yours, name the file with its certificate in SSL_CERT_FILE"
        raise Transient(reason, unreachable=True) from None
    if status in {401, 403}:
        raise JudgeError(f"{shown(url)} refuses the key (HTTP {status}); put the right one in SGLANG_API_KEY")
    if status in {408, 425, 429} or status >= 500:
        raise Transient(
            f"HTTP {status}: {message(text, url)}",
            busy=status in {429, 502, 503, 504},
            after=min(float(after), 60.0) if after.isdecimal() else 0.0,
        )
    if status >= 400:
        raise Refused(f"HTTP {status}: {message(text, url)}")
    if status >= 300:
        raise Refused(f"HTTP {status}: it sends us on to {shown(onward)}; give that address if it is right")
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        raise Transient(f"the reply is not JSON: {message(text, url)}") from None


_LOOKED_AT = 5_000
"""Characters of an error reply that are searched for secrets, of which those that are shown are the first."""


def message(body: bytes, url: str = "") -> str:
    """What an error reply says, made fit for a terminal, without the secrets that were sent to `url`."""
    try:
        values = orjson.loads(body)
        values = values.get("error", values)
        text = str(values["message"] if isinstance(values, dict) else values)
    except (orjson.JSONDecodeError, AttributeError, KeyError):
        text = body[:_LOOKED_AT].decode(errors="replace")
    return "".join(c if c.isprintable() else " " for c in hidden(text[:_LOOKED_AT], url))[:200]
