"""The server of `curator review`: what it refuses, what it stores, and what is left when it is killed."""

from __future__ import annotations

import json
import re
import shutil
import signal
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from curator.annotation.page import page
from curator.cli.main import run
from curator.resources import first_error
from curator.review.server import BODY_MOST
from curator.store import open_store
from curator.store.tasks import task_order
from tests.conftest import Cli, judgments, pairs, write_rows
from tests.review_servers import Server, held, says, serving

PAIRS = 12
NOTHING = {"annotator": "anna", "said": []}


def rows(count: int) -> list[dict[str, Any]]:
    made_up = pairs(count)
    made_up[0]["response_a"] = "long " * 10_000
    return made_up


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made")
    raw = write_rows(folder / "raw.jsonl", rows(PAIRS))
    log = write_rows(folder / "log.jsonl", judgments(PAIRS))
    assert run(["label", str(raw), "--judgments", str(log)]) == 4
    return folder / "raw.curated"


@pytest.fixture(scope="module")
def server(made: Path) -> Iterator[Server]:
    """One that stores nothing: what is refused."""
    db = Path(shutil.copytree(made, made.with_name("refusing"))) / "curator.duckdb"
    with serving(db, "--port", "0") as running:
        yield running
        with open_store(db) as store:
            assert store.count("SELECT count(*) FROM human_label") == 0


@pytest.fixture
def db(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "raw.curated")) / "curator.duckdb"


def stored(db: Path) -> list[tuple[Any, ...]]:
    with open_store(db) as store:
        return store.rows("SELECT pair_id, annotator, note FROM word ORDER BY number")


# --- who is let in


def test_the_token_of_the_address_becomes_a_cookie_that_no_script_reads(server: Server) -> None:
    assert re.fullmatch(rf"http://127\.0\.0\.1:{server.port}/\?token=[\w-]{{32}}", server.address)
    assert server.said == f"{PAIRS} pairs wait to be labelled. Open this address; Ctrl-C ends it.\n"
    status, headers, _ = server.ask("GET", f"/?token={server.token}", without=("Cookie",))
    assert (status, headers["location"]) == (303, "/")
    cookie = headers["set-cookie"].split("; ")
    assert cookie[0] == f"curator_{server.port}={server.token}"
    assert set(cookie[1:]) == {"HttpOnly", "Path=/", "SameSite=Strict"}
    status, headers, body = server.ask("GET", "/")
    assert status == 200
    assert headers["content-type"] == "text/html; charset=utf-8"
    assert b'id="boot"' in body
    assert server.token.encode() not in body


@pytest.mark.parametrize("path", ["/", "/sync", "/whole", "/favicon.ico", "/nothing"])
@pytest.mark.parametrize("cookie", [None, "", "wrong", "é"])
def test_nothing_is_answered_without_the_token(server: Server, path: str, cookie: str | None) -> None:
    method = "POST" if path in {"/sync", "/whole"} else "GET"
    headers = {} if cookie is None else {"Cookie": f"curator_{server.port}={cookie}".encode().decode("latin-1")}
    without = ("Cookie",) if cookie is None else ()
    status, _, body = server.ask(method, path, NOTHING if method == "POST" else None, without=without, **headers)
    assert (status, body) == (
        403,
        b"Open the address that `curator review` printed when it was started: it has a token.",
    )


def test_a_wrong_token_in_the_address_is_refused_and_sets_no_cookie(server: Server) -> None:
    for token in ("", "wrong", server.token + "x", "%C3%A9"):
        status, headers, _ = server.ask("GET", f"/?token={token}")
        assert status == 403
        assert "set-cookie" not in headers


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:{port}", "127.0.0.1.evil.example", "0.0.0.0", "[::1", "a@127.0.0.1@b", ""]
)
def test_another_host_is_refused(server: Server, host: str) -> None:
    """A name that somebody lets point here reaches the server, and stops there."""
    host = host.format(port=server.port)
    assert server.ask("GET", "/", Host=host)[0] == 403
    assert server.ask("GET", f"/?token={server.token}", Host=host)[0] == 403
    assert server.ask("POST", "/sync", NOTHING, Host=host, Origin=f"http://{host}")[0] == 403


@pytest.mark.parametrize("port", ["abc", "99999999", "-1", "", "1/x", "1@127.0.0.1"])
def test_a_host_that_is_none_is_refused(server: Server, port: str) -> None:
    status, _, body = server.ask("GET", "/", Host=f"127.0.0.1:{port}")
    assert (status, body) == (403, b"This server answers to 127.0.0.1 and localhost only.")


def test_what_is_no_request_writes_nothing_to_the_terminal(db: Path) -> None:
    with serving(db, "--port", "0") as server:
        for data in (b"FOO / HTTP/1.1\r\n\r\n", b"GET /?token=\xff HTTP/1.1\r\n\r\n", b"\x16\x03\x01\x02\x00\r\n\r\n"):
            with socket.create_connection(("127.0.0.1", server.port), timeout=10) as connection:
                connection.sendall(data)
                assert connection.recv(100).startswith(b"HTTP/1.0 400 ")
        assert server.stop() == (0, "Nothing was labelled.\n", "")


def test_both_names_of_this_machine_and_a_forwarded_port_are_let_in(server: Server) -> None:
    assert server.ask("GET", "/", Host=f"localhost:{server.port}")[0] == 200
    assert server.ask("GET", "/", Host="127.0.0.1:9000", Cookie=f"curator_9000={server.token}")[0] == 200


@pytest.mark.parametrize(
    "origin",
    [None, "null", "http://evil.example", "http://127.0.0.1", "https://127.0.0.1:{port}", "http://localhost:{port}"],
)
def test_another_origin_is_refused(server: Server, origin: str | None) -> None:
    if origin is None:
        status = server.ask("POST", "/sync", NOTHING, without=("Origin",))[0]
    else:
        status = server.ask("POST", "/sync", NOTHING, Origin=origin.format(port=server.port))[0]
    assert status == 403


def test_what_the_browser_says_of_the_site_counts(server: Server) -> None:
    assert server.ask("POST", "/sync", NOTHING, Sec_Fetch_Site="same-origin")[0] == 200
    assert server.ask("POST", "/sync", NOTHING, Sec_Fetch_Site="same-site")[0] == 403
    assert server.ask("POST", "/sync", NOTHING, Sec_Fetch_Site="cross-site")[0] == 403


@pytest.mark.parametrize("kind", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""])
def test_forms_are_refused(server: Server, kind: str) -> None:
    assert server.ask("POST", "/sync", NOTHING, Content_Type=kind)[0] == 415


@pytest.mark.parametrize("kind", ["gzip", "deflate", "br", "none"])
def test_nothing_is_unpacked(server: Server, kind: str) -> None:
    """Least of all what only says that it is packed."""
    assert server.ask("POST", "/sync", NOTHING, Content_Encoding=kind)[0] in {400, 415}


def test_other_methods_and_paths_are_refused(server: Server) -> None:
    assert server.ask("GET", "/sync")[0] == 405
    assert server.ask("PUT", "/sync", NOTHING)[0] == 403
    assert server.ask("DELETE", "/")[0] == 403
    assert server.ask("OPTIONS", "/sync", Origin="http://evil.example")[0] == 403
    for path in ("/../../etc/passwd", "/curator.duckdb", "//evil.example/", "/static/x"):
        assert server.ask("GET", path)[0] == 404


def test_it_listens_to_this_machine_only(server: Server) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as other:
        other.settimeout(2)
        # Every 127.x.y.z is this machine: one that listened to all addresses would answer at this one too.
        assert other.connect_ex(("127.0.0.2", server.port)) != 0


def test_every_answer_has_the_headers_that_keep_it_here(server: Server) -> None:
    answers = [
        server.ask("GET", "/"),
        server.ask("GET", "/", without=("Cookie",)),
        server.ask("GET", f"/?token={server.token}"),
        server.ask("GET", "/nothing"),
        server.ask("POST", "/sync", NOTHING),
        server.ask("POST", "/sync", b"x" * (BODY_MOST + 1)),
        server.ask("POST", "/sync", b"{"),
    ]
    assert [status for status, _, _ in answers] == [200, 403, 303, 404, 200, 413, 400]
    for status, headers, _ in answers:
        assert headers["cache-control"] == "no-store"
        assert headers["cross-origin-opener-policy"] == "same-origin"
        assert headers["cross-origin-resource-policy"] == "same-origin"
        assert headers["referrer-policy"] == "no-referrer"
        assert headers["server"] == "curator"
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["x-frame-options"] == "DENY"
        policy = headers["content-security-policy"].split("; ")
        assert "default-src 'none'" in policy, status
        assert "frame-ancestors 'none'" in policy
        assert "unsafe" not in headers["content-security-policy"]
        assert not any(name.startswith("access-control") for name in headers)
    # The page's own policy comes as a header too: it holds before the first byte is read.
    own = re.search(r'Policy" content="([^"]*)"', page("server", {}))
    assert own is not None
    assert answers[0][1]["content-security-policy"] == f"{own[1]}; frame-ancestors 'none'"


# --- what it is sent


@pytest.mark.parametrize(
    "body",
    [
        b"", b"{", b"[]", b"null", b"\xff", b'{"annotator": "anna"}', b'{"said": []}',
        b'{"annotator": 1, "said": []}', b'{"annotator": "anna", "said": {}}', b'{"annotator": "anna", "said": [1]}',
        json.dumps({"annotator": "x" * 201, "said": []}).encode(),
        json.dumps({"annotator": "anna", "said": [], "showing": "x" * 33}).encode(),
        *(
            json.dumps({"annotator": "anna", "said": [{"pair_id": "0" * 32, "label": "left", **wrong}]}).encode()
            for wrong in (
                {"pair_id": "0" * 33}, {"pair_id": "../../etc"}, {"label": "a"}, {"dealt": "c"}, {"note": "x" * 5_001},
                {"seconds": -1}, {"seconds": "1"}, {"seconds": 1e300}, {"said_at": -1}, {"said_at": 10**15},
            )
        ),
        json.dumps({"annotator": "anna", "said": [{"pair_id": "0" * 32, "label": "tie"}] * 201}).encode(),
        b"[" * 100_000,
    ],
)  # fmt: skip
def test_what_is_no_answer_is_refused(server: Server, body: bytes) -> None:
    assert server.ask("POST", "/sync", body)[0] == 400


def test_bodies_are_bounded(server: Server) -> None:
    assert server.ask("POST", "/sync", b" " * (BODY_MOST + 1))[0] == 413
    most = {"annotator": "anna", "said": [{"pair_id": "0" * 32, "label": "tie", "note": "\x01" * 3_000}] * 200}
    assert first_error("review", most) is None
    assert len(json.dumps(most)) < BODY_MOST


def test_a_name_is_asked_for_and_cleaned(server: Server) -> None:
    status, state = server.sync(None)
    assert (status, state["annotator"], state["task"], state["left"]) == (200, None, None, PAIRS)
    assert state["message"] is None
    _, state = server.sync("\u202e \x00\n")
    assert (state["annotator"], state["message"]) == (None, "Give a name that can be read.")
    _, state = server.sync(" Anna\x1b Lee ")
    assert state["annotator"] == "Anna Lee"
    assert set(state["task"]) == {"pair_id", "prompt", "left", "right", "diff", "judge", "signs"}
    assert state["task"]["judge"] is None, "what the judge says is never shown"


def test_the_whole_of_a_long_text(server: Server, made: Path) -> None:
    with open_store(made.with_name("refusing") / "curator.duckdb") as store:
        pair_id = store.one("SELECT pair_id FROM pair WHERE response_a LIKE 'long%'")[0]
    texts = []
    for part in ("left", "right"):
        status, _, body = server.ask("POST", "/whole", {"pair_id": pair_id, "part": part})
        assert status == 200
        texts.append(json.loads(body)["text"])
    assert sorted(texts) == ["long " * 10_000, "second answer to 0"]
    assert server.ask("POST", "/whole", {"pair_id": pair_id, "part": "9"})[0] == 404
    assert server.ask("POST", "/whole", {"pair_id": "0" * 32, "part": "left"})[0] == 404
    assert server.ask("POST", "/whole", {"pair_id": 1, "part": "left"})[0] == 400
    assert server.ask("POST", "/whole", [])[0] == 400


# --- what it stores


def test_an_answer_that_is_acknowledged_survives_kill_9(db: Path) -> None:
    acknowledged: list[str] = []
    for _ in range(3):
        with serving(db, "--annotator", "anna") as server:
            _, state = server.sync(None)
            assert state["done"] == len(acknowledged)
            for _ in range(2):
                status, after = server.sync(None, says(state, "left", note="é\U0001f642"))
                assert (status, after["stored"]) == (200, True)
                acknowledged.append(state["task"]["pair_id"])
                state = after
            server.stop(signal.SIGKILL)
    assert stored(db) == [(pair_id, "anna", "é\U0001f642") for pair_id in acknowledged]
    assert len(set(acknowledged)) == 6


def test_a_name_given_on_the_command_line_is_everybodys(db: Path) -> None:
    with serving(db, "--annotator", " Anna ") as server:
        assert server.said == f"{PAIRS} pairs wait to be labelled by Anna. Open this address; Ctrl-C ends it.\n"
        _, state = server.sync("mallory")
        assert state["annotator"] == "Anna"
        server.sync("mallory", says(state, "tie"))
    assert [row[1] for row in stored(db)] == ["Anna"]


def test_while_another_process_has_the_store_the_page_says_so_and_goes_on(db: Path) -> None:
    with serving(db) as server:
        _, first = server.sync("anna")
        with held(db) as holder:
            status, state = server.sync("anna", says(first, "left"))
            assert status == 503
            assert (state["stored"], state["done"]) == (False, 1)
            assert f"(process {holder})" in state["message"]
            assert state["task"]["pair_id"] != first["task"]["pair_id"]
            status, nobody = server.sync("ben")
            assert (status, list(nobody)) == (503, ["message"])
            assert f"(process {holder})" in nobody["message"]
        assert stored(db) == []
        status, state = server.sync("anna", says(first, "left"), says(state, "right"))
        assert (status, state["stored"], state["done"], state["message"]) == (200, True, 2, None)
    assert len(stored(db)) == 2


def test_other_commands_run_beside_it(db: Path, cli: Cli) -> None:
    with serving(db) as server:
        _, state = server.sync("anna")
        for _ in range(3):
            _, state = server.sync("anna", says(state, "left"))
        assert cli.json("status", "--db", db)["labelled"] == 3
        raw, log = db.parents[1] / "raw.jsonl", db.parents[1] / "log.jsonl"
        write_rows(raw, rows(PAIRS + 1))
        write_rows(log, judgments(PAIRS + 1))
        assert cli.json("label", raw, "--judgments", log, "--db", db, "--out", db.parent)["labelled"] == 3
        _, state = server.sync("anna", says(state, "left"))
        assert (state["done"], state["stored"]) == (4, True)


def test_ctrl_c_says_who_did_what_and_what_comes_next(db: Path) -> None:
    server = Server(db)
    for name, count in (("ben", 1), ("Anna\x1b[31m", 2)):
        _, state = server.sync(name)
        for _ in range(count):
            _, state = server.sync(name, says(state, "skip"))
    _, state = server.sync("ben", {"pair_id": server.sync("ben")[1]["undo"], "label": None})
    assert state["previous"] == {"label": "skip", "note": None}
    assert server.stop() == (
        0,
        "Anna [31m: 2 pairs labelled\nNext: run the same `curator label` again.\n",
        "",
    )
    assert Server(db).stop(signal.SIGINT)[:2] == (0, "Nothing was labelled.\n")


def test_the_address_is_the_same_for_a_store_but_for_its_token(db: Path) -> None:
    with serving(db) as one:
        with serving(db) as other:
            assert other.port != one.port, "the usual one is taken"
        port, token = one.port, one.token
    with serving(db) as again:
        assert again.port == port
        assert again.token != token
        assert again.ask("GET", "/", Cookie=f"curator_{port}={token}")[0] == 403


def test_what_is_wrong_is_said_in_a_line(db: Path, cli: Cli, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert cli("review", "--db", db, "--port", port) == 1
    assert cli.err == f"Error: port {port}: Address already in use. Give another --port; 0 takes any that is free\n"
    assert cli("review", "--db", tmp_path / "none.duckdb") == 1
    assert "there is no store" in cli.err
    assert cli("review", "--db", db, "--annotator", "\u200b") == 2
    assert cli("review", "--db", db, "--port", "70000") == 2
    with socket.create_server(("127.0.0.1", 0)) as taken:
        assert cli("review", "--db", db, "--port", taken.getsockname()[1]) == 1
        assert "in use" in cli.err
    with held(db) as holder:
        assert cli("review", "--db", db) == 1
        assert f"in use by process {holder}" in cli.err


def test_all_tasks_of_the_store_can_be_had(db: Path) -> None:
    with open_store(db) as store:
        ids = task_order(store)["pair_id"].to_pylist()
    seen = []
    with serving(db) as server:
        _, state = server.sync("anna")
        while state["task"]:
            seen.append(state["task"]["pair_id"])
            _, state = server.sync("anna", says(state, "tie"))
    assert seen == ids
