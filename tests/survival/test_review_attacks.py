"""The page of `curator review` against whoever is on this machine or in its browser, byte by byte."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from curator.cli.main import run
from curator.store import open_store
from tests.conftest import pairs, write_rows
from tests.review_servers import Server, serving

HALF_OPEN = 200


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("attacked")
    raw = write_rows(folder / "raw.jsonl", pairs(4))
    log = [{"id": f"p{i}", "judge": "j", "order": order, "p_a": 0.9} for i in range(4) for order in ("ab", "ba")]
    assert run(["label", str(raw), "--judgments", str(write_rows(folder / "log.jsonl", log))]) == 4
    db = folder / "raw.curated" / "curator.duckdb"
    with serving(db, "--port", "0") as running:
        yield running
        with open_store(db) as store:
            assert store.count("SELECT count(*) FROM human_label") == 0, "none of this is an answer of a person"


def speak(server: Server, data: bytes) -> bytes:
    """What comes back for these bytes until the server has nothing more to say."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=2) as connection:
        connection.sendall(data)
        found = b""
        try:
            while piece := connection.recv(65_536):
                found += piece
        except (TimeoutError, ConnectionResetError):
            pass
        return found


def answer(server: Server) -> bytes:
    """A body that would store an answer, were it let in."""
    state = server.sync("anna")[1]
    said = {"pair_id": state["task"]["pair_id"], "label": "left", "dealt": state["dealt"]}
    return json.dumps({"annotator": "anna", "said": [said]}).encode()


def head(server: Server, first: str, *lines: str) -> bytes:
    usual = (f"Host: 127.0.0.1:{server.port}", f"Cookie: curator_{server.port}={server.token}")
    return "\r\n".join((first, *usual, *lines, "", "")).encode()


@pytest.mark.parametrize("method", ["TRACE", "TRACK", "CONNECT", "PROPFIND", "PATCH", "DELETE", "PUT", "OPTIONS"])
def test_methods_that_a_page_has_no_use_for(server: Server, method: str) -> None:
    target = f"127.0.0.1:{server.port}" if method == "CONNECT" else "/sync"
    found = speak(server, head(server, f"{method} {target} HTTP/1.1", "Connection: close"))
    assert found.split(b"\r\n")[0].split()[1] in {b"400", b"403", b"404", b"405"}
    assert server.token.encode() not in found, "nothing is echoed"


def test_a_preflight_allows_nothing(server: Server) -> None:
    found = speak(
        server,
        head(
            server, "OPTIONS /sync HTTP/1.1", "Origin: http://evil.example", "Access-Control-Request-Method: POST",
            "Access-Control-Request-Headers: content-type", "Access-Control-Request-Private-Network: true",
            "Connection: close",
        ),
    )  # fmt: skip
    assert b" 403 " in found.split(b"\r\n")[0]
    assert b"access-control" not in found.lower()


@pytest.mark.parametrize(
    "lines",
    [
        ("Content-Length: 4", "Transfer-Encoding: chunked"), ("Transfer-Encoding: chunked", "Content-Length: 4"),
        ("Content-Length: 4", "Content-Length: 5"), ("Content-Length: +4",), ("Content-Length: 4_0",),
        ("Transfer-Encoding: chunked, identity",), ("Transfer-Encoding : chunked",), ("Content-Length: -1",),
    ],
)  # fmt: skip
def test_one_request_is_not_two(server: Server, lines: tuple[str, ...]) -> None:
    """Where two readers of a request might differ about where it ends, it is none."""
    inner = answer(server)
    origin = (f"Origin: http://127.0.0.1:{server.port}", "Content-Type: application/json")
    smuggled = head(server, "POST /sync HTTP/1.1", *origin, f"Content-Length: {len(inner)}") + inner
    found = speak(server, head(server, "POST /sync HTTP/1.1", "Content-Type: text/plain", *lines) + smuggled)
    assert b" 400 " in found.split(b"\r\n")[0]
    assert found.count(b"HTTP/1.") == 1


def test_two_hosts_are_none(server: Server) -> None:
    for other in ("evil.example", "127.0.0.1"):
        found = speak(server, head(server, "GET / HTTP/1.1", f"Host: {other}", "Connection: close"))
        assert found.split(b"\r\n")[0].split()[1] in {b"400", b"403"}, other


def test_a_whole_address_as_target_counts_as_its_host(server: Server) -> None:
    found = speak(server, head(server, "GET http://evil.example/ HTTP/1.1", "Connection: close"))
    assert b"evil.example" not in found, "it is nowhere repeated, and nobody is sent there"
    assert found.split(b"\r\n")[0].split()[1] in {b"200", b"400", b"403", b"404"}


@pytest.mark.parametrize(
    "path",
    ["/../../etc/passwd", "/..%2f..%2fetc/passwd", "/%2e%2e/%2e%2e/etc/passwd", "//etc/passwd", "/\\..\\x", "/%00"],
)
def test_no_path_leads_to_a_file(server: Server, path: str) -> None:
    found = speak(server, head(server, f"GET {path} HTTP/1.1", "Connection: close"))
    assert found.split(b"\r\n")[0].split()[1] in {b"400", b"404"}
    assert b"root:" not in found


def test_endless_headers_and_lines_are_cut_off(server: Server) -> None:
    for data in (
        b"GET /" + b"x" * 100_000 + b" HTTP/1.1\r\n\r\n",
        head(server, "GET / HTTP/1.1", "X: " + "x" * 100_000),
        head(server, "GET / HTTP/1.1", *(f"X-{i}: x" for i in range(20_000))),
    ):
        found = speak(server, data)
        assert found == b"" or b" 400 " in found.split(b"\r\n")[0]
    assert server.ask("GET", "/")[0] == 200


def test_those_who_never_finish_a_request_keep_nobody_out(server: Server) -> None:
    with ExitStack() as stack:
        for _ in range(HALF_OPEN):
            slow = stack.enter_context(socket.create_connection(("127.0.0.1", server.port), timeout=5))
            slow.sendall(b"POST /sync HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Le")
        assert server.ask("GET", "/")[0] == 200
        assert server.sync("anna")[0] == 200
