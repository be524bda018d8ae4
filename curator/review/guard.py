"""Keeps others out: every request to the review page must come from this machine, this page, and whoever has the token.

Another site's script cannot read the page (no token), post to it (its origin differs), or reach it under a name of its
own that it lets point here (its Host differs). Another user of this machine does not know the token.
"""

from __future__ import annotations

import hmac
import re

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

_HOST = re.compile(r"(?:127\.0\.0\.1|localhost)(?::(\d{1,5}))?", re.ASCII | re.IGNORECASE)

_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


async def add_headers(request: web.Request, response: web.StreamResponse) -> None:
    """Give every response, errors too, the headers that keep it where it is."""
    for name, value in _HEADERS.items():
        response.headers.setdefault(name, value)
    response.headers["Server"] = "curator"


def guard(token: str) -> Middleware:
    """The middleware that refuses requests with another host, another origin, or without the token.

    The token comes once in the address, and from then on in a cookie that scripts cannot read.
    """

    @web.middleware
    async def check(request: web.Request, handler: Handler) -> web.StreamResponse:
        if not _HOST.fullmatch(request.host):
            raise web.HTTPForbidden(text="This server answers to 127.0.0.1 and localhost only.")
        if request.method not in {"GET", "HEAD"}:
            _require_own_page(request)
        if request.path == "/" and "token" in request.query:
            if not _same(request.query["token"], token):
                raise web.HTTPForbidden(text=_WHERE)
            # Out of the address, so that it is neither kept in a history nor seen over a shoulder.
            onward = web.HTTPSeeOther("/")
            onward.set_cookie(_cookie(request), token, httponly=True, samesite="Strict", path="/")
            raise onward
        if not _same(request.cookies.get(_cookie(request), ""), token):
            raise web.HTTPForbidden(text=_WHERE)
        return await handler(request)

    return check


_WHERE = "Open the address that `curator review` printed when it was started: it has a token."


def _require_own_page(request: web.Request) -> None:
    if request.headers.get("Origin") != f"http://{request.host}":
        raise web.HTTPForbidden(text="Only the page of this server may send answers to it.")
    if request.headers.get("Sec-Fetch-Site", "same-origin") != "same-origin":
        raise web.HTTPForbidden(text="Only the page of this server may send answers to it.")
    if request.content_type != "application/json" or "Content-Encoding" in request.headers:
        raise web.HTTPUnsupportedMediaType(text="Answers are sent as application/json, not packed.")


def _cookie(request: web.Request) -> str:
    """Cookies do not know ports: two servers beside each other need two names."""
    found = _HOST.fullmatch(request.host)
    return f"curator_{(found and found[1]) or 80}"


def _same(one: str, other: str) -> bool:
    return hmac.compare_digest(one.encode(errors="replace"), other.encode())
