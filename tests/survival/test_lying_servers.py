"""What comes of a run for everything a server can do to it: stored right, asked again, recorded, or ended with a code.

Most faults are those of tests/fake_sglang.py; what no HTTP library lets a server do is written on a bare socket here.
"""

from __future__ import annotations

import asyncio
import gzip
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

from curator.errors import JudgeError, JudgeUnreachable
from curator.judges import http, serving
from curator.judges.http import backoff
from curator.judges.sglang import SGLangJudge
from curator.judges.wire import Known
from curator.pair import Judgment, Order, Rationale
from curator.prompts import Question, rationale_template
from curator.store import open_store
from tests.conftest import ROOT, Cli, pairs, write_rows
from tests.fake_sglang import BIAS, MASS, FakeSGLang
from tests.test_sglang_judge import CHAT, ask, assert_right, client, questions

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


# ------------------------------------------------------------------------------------------- what a reply says wrongly

SPOILT = (
    "NaN", "Infinity", "-Infinity", "1e999", "null", "positive", "too-much", "false", "numbers-as-text", "label-twice",
    "nothing-held", "no-label", "no-positions", "no-meta", "fewer", "more", "disordered", "doubled", "strings", "abort",
    "abort-bare", "html", "truncated", "half", "reset",
)  # fmt: skip
REFUSALS = ("404", "405", "408", "425", "429", "429 0", "500", "501", "502", "503", "503 0", "504")


@pytest.mark.parametrize("fault", ["false", "numbers-as-text", "label-twice", "nothing-held", "disordered", "doubled"])
def test_a_reply_that_cannot_be_right_is_asked_again(server: FakeSGLang, fault: str) -> None:
    asked = questions(10)
    server.misbehave(fault, times=3)
    assert_right(ask(client(server), asked), asked)
    assert server.requests == 5 + 3


@pytest.mark.parametrize(
    ("version", "named"), [("0.5.23", True), ("0.4.9.post2", False), (None, False), ("new", False)]
)
def test_only_servers_that_know_names_are_given_them(server: FakeSGLang, version: Any, named: bool) -> None:
    server.pages["/server_info"] = {"version": version}
    ask(client(server), questions(1))
    assert ["rid" in body for body in server.bodies] == [named]
    assert Known.of(version, None).named is named


def test_other_weights_in_the_middle_are_another_judge(server: FakeSGLang) -> None:
    server.poison = lambda text: "other-weights" if "prompt 9" in text else None
    with pytest.raises(JudgeError, match=r"other weights than before .* another judge"):
        ask(client(server), questions(20))


@pytest.mark.parametrize("status", ["301", "302", "303", "307", "308"])
def test_neither_key_nor_prompts_are_sent_elsewhere(status: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SGLANG_API_KEY", "s3cret")
    with FakeSGLang(key="s3cret") as server, FakeSGLang() as elsewhere:
        server.misbehave(f"{status} {elsewhere.url}/generate")
        with pytest.raises(JudgeError, match=rf"sends us on to .* .HTTP {status}"):
            ask(client(server), questions(2))
        assert (elsewhere.headers, elsewhere.bodies) == ([], [])


def test_a_passing_page_without_anything_is_no_refusal(server: FakeSGLang) -> None:
    """As what stands before servers says while none is up: no pair is recorded as failed for that."""
    asked = questions(10)
    server.misbehave("404", "405", "404")
    assert_right(ask(client(server), asked), asked)


# ----------------------------------------------------------------------------------- whose fault it is, and until when


@pytest.mark.parametrize("fault", ["500", "html", "NaN", "truncated", "no-label", "404", "503", "reset"])
def test_a_server_that_does_nothing_but_that_is_gone_soon(server: FakeSGLang, fault: str) -> None:
    """Else each of its prompts would be tried for as long as a single one may be."""
    server.poison = lambda text: fault
    start = time.monotonic()
    with pytest.raises(JudgeUnreachable, match="no judge server answers any more"):
        ask(client(server, retry_seconds=0.3, batch=16), questions(400))
    assert time.monotonic() - start < 15
    assert server.requests < 400


def test_a_server_that_goes_mad_in_the_middle_is_gone_soon(server: FakeSGLang) -> None:
    server.poison = lambda text: "NaN" if server.requests > 10 else None
    found: list[Judgment] = []
    with pytest.raises(JudgeUnreachable, match=r"cannot be|not JSON"):
        ask(client(server, retry_seconds=0.3), questions(400), found)
    assert len(found) >= 4
    assert [reply.failed for reply in found] == [None] * len(found)


def test_beside_a_server_that_is_right_a_mad_one_costs_nothing(server: FakeSGLang) -> None:
    with FakeSGLang() as mad:
        mad.poison = lambda text: "null"
        asked = questions(200)
        assert_right(ask(client(server, mad, retry_seconds=0.5), asked), asked)


def test_bad_prompts_at_the_end_are_told_from_a_bad_server(server: FakeSGLang) -> None:
    """When nothing else is left to ask, a prompt that was answered before is asked again."""
    server.poison = lambda text: "500" if "POISON" in text else None
    asked = questions(8, poison=[6, 7])
    assert_right(ask(client(server, retry_seconds=0.3), asked), asked, failed=["p6", "p7"])


@pytest.mark.parametrize("after", ["2", "date"])
def test_a_batch_waits_as_it_is_asked_to(server: FakeSGLang, after: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before, a batch that was asked to wait for long was sent in halves at once."""
    monkeypatch.setattr("curator.judges.sglang.backoff", backoff)
    if after == "date":
        after = time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime(time.time() + 3))
    server.misbehave(f"503 {after}")
    asked = questions(8)
    start = time.monotonic()
    assert_right(ask(client(server, batch=16, in_flight=1), asked), asked)
    assert time.monotonic() - start >= 1.5
    assert server.requests == 2


def test_waiting_ends_when_the_user_wants_to_stop(server: FakeSGLang, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("curator.judges.sglang.backoff", backoff)
    server.poison = lambda text: "503 50" if server.requests > 2 else None
    stop = threading.Event()

    async def gather() -> list[Judgment]:
        found = []
        async with client(server, retry_seconds=100.0, in_flight=1) as judge:
            async for lot in judge.judge(questions(400), stop.is_set):
                found += lot
                asyncio.get_running_loop().call_later(0.5, stop.set)
        return found

    start = time.monotonic()
    found = asyncio.run(asyncio.wait_for(gather(), 30))
    assert time.monotonic() - start < 15
    assert 0 < len(found) < 800
    assert [reply.failed for reply in found] == [None] * len(found)


# ------------------------------------------------------------------------------------------- who listens there by now


@pytest.mark.parametrize("fault", ["close", "502"])
def test_another_model_in_the_middle_gives_no_judgment(server: FakeSGLang, fault: str) -> None:
    """A connection that ends between two requests is no fault of any; a proxy says only that nobody was there."""

    def switch(text: str) -> str | None:
        if server.requests == 7:
            server.counts = {"output_token_ids_logprobs": [[[-0.1, 65, None], [-9.0, 66, None]]]}
        if server.requests == 6:
            server.pages["/model_info"] = {**server.pages["/model_info"], "model_path": "org/another"}
            return fault
        return None

    server.poison = switch
    found: list[Judgment] = []
    with pytest.raises(JudgeError, match=r"org/another.* another judge"):
        ask(client(server, in_flight=1), questions(200), found)
    assert {reply.logprob_a for reply in found}.isdisjoint({-0.1, -9.0})


# ------------------------------------------------------------------------------------- what it says before it is asked

ODD: tuple[Any, ...] = (
    None, 5, -1, True, "", "x" * 10_000, "\0", "\x1b[31m", [], [[]], {}, {"model_path": []}, {"tokens": []},
    {"tokens": "ab", "text": 5}, {"tokens": [1e30]}, {"tokens": [None, True, 2**62]}, {"text": "", "tokens": [1, 2]},
    {"data": [{"max_model_len": -4}]}, {"max_req_input_len": "9" * 6_000}, {"version": {"a": [1]}, "dtype": [[1]]},
    b"", b"\xff\xfe", b"[" * 100_000, 204, 307, 400, 403, 404, 500, 503,
)  # fmt: skip


@pytest.mark.parametrize("page", ["/model_info", "/server_info", "/v1/models", "/v1/tokenize", "/v1/detokenize"])
def test_odd_pages_are_a_judge_or_none(server: FakeSGLang, page: str) -> None:
    asked, usual = questions(1), dict(server.pages)
    ends: dict[str, int] = {"judged": 0, "refused": 0}
    for value in ODD:
        server.pages = {**usual, page: value}
        try:
            assert_right(ask(client(server, retry_seconds=0.1), asked), asked)
            ends["judged"] += 1
        except JudgeError:
            ends["refused"] += 1
    expected = {"/model_info": 0, "/v1/tokenize": 0, "/v1/detokenize": 0}
    if page in expected:
        assert ends == {"judged": 0, "refused": len(ODD)}
    else:  # those pages need not be there
        assert ends["judged"] > len(ODD) / 2


@pytest.mark.parametrize("name", ["model_path", "tokenizer_path", "weight_version"])
def test_odd_names_are_a_judge_or_none(server: FakeSGLang, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    asked, usual = questions(1), server.pages["/model_info"]
    values: tuple[Any, ...] = (
        5, True, [], {}, "x" * 100_000, "\0", "../../etc/passwd", "\x1b]0;owned\x07", "{{ 7 * 7 }}",
    )  # fmt: skip
    for value in values:
        server.pages["/model_info"] = {**usual, name: value}
        try:
            assert_right(ask(client(server, retry_seconds=0.1), asked), asked)
        except JudgeError:
            assert name == "model_path"


# ---------------------------------------------------------------------------------------------------------- rationales


def written(server: FakeSGLang, asked: list[Question], **changes: Any) -> list[Rationale]:
    async def gather() -> list[Rationale]:
        judge = client(server, template=rationale_template(CHAT), writes=True, **changes)
        async with judge:
            return [one async for lot in judge.rationales(asked) for one in lot]

    return asyncio.run(asyncio.wait_for(gather(), 30))


WRITING = (
    "no-text", "much-text", "no-meta", "fewer", "more", "disordered", "doubled", "strings", "abort", "abort-bare",
    "html", "truncated", "half", "reset", "429", "500", "502", "503", "504", "404",
)  # fmt: skip


@pytest.mark.parametrize("fault", WRITING)
def test_rationales_are_asked_again(server: FakeSGLang, fault: str) -> None:
    asked = questions(12)
    server.misbehave(fault, times=2)
    found = {one.pair_id: one for one in written(server, [q for q in asked if q.order is Order.AB])}
    assert len(found) == 12
    for i in range(12):
        assert found[f"p{i}"].text == f"It has {i / 100}, the other 0.5."


# ------------------------------------------------------------------------------------------------------ the whole run


LASTING = (
    "NaN", "Infinity", "-Infinity", "1e999", "null", "positive", "too-much", "false", "numbers-as-text", "label-twice",
    "nothing-held", "no-label", "no-positions", "no-meta", "fewer", "strings", "abort", "html", "truncated", "400",
    "413", "408", "425", "500", "501",
)  # fmt: skip
"""What is the fault of one prompt, if it lasts."""


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    """Pairs of which the last ones name a fault each."""
    rows = pairs(60 + len(LASTING), labelled=30)
    for i, row in enumerate(rows):
        row["response_a"] += f" quality {2 if i % 2 == 0 else 0}"
        row["response_b"] += f" quality {0 if i % 2 == 0 else 2}" + (f" <{LASTING[i - 60]}>" if i >= 60 else "")
    return write_rows(tmp_path / "raw.jsonl", rows)


def stored(db: Path) -> dict[str, int]:
    """How many judgments there are, and none of them is another than the server's."""
    with open_store(db) as store:
        (row,) = store.records(
            """SELECT count(*) FILTER (status = 'ok') AS right, count(*) FILTER (status = 'failed') AS failed,
                count(*) FILTER (status = 'ok' AND (
                    abs(logprob_a - logprob_b - (if(response_a LIKE '%quality 2%', 2, -2)
                        + if(pair_order = 'ab', $bias, -$bias))) > 1e-9 OR abs(label_mass - $mass) > 1e-9)) AS wrong,
                count(*) - count(DISTINCT (pair_id, pair_order, judge_id)) AS twice
            FROM judgment JOIN pair USING (pair_id)""",
            {"bias": BIAS, "mass": MASS},
        )
    assert (row.pop("wrong"), row.pop("twice")) == (0, 0)
    return row


@pytest.mark.survival
def test_a_whole_run(raw: Path, server: FakeSGLang, cli: Cli) -> None:
    """Faults that pass leave no trace, those of one prompt are recorded with their reason, a server's end it."""
    label = ("label", raw, "--judge-url", server.url, *ANY, "--retry-seconds", "0.15", "--batch", "8")
    db, all_of_them = raw.with_suffix(".curated") / "curator.duckdb", 2 * (60 + len(LASTING))

    def fault_in(text: str) -> str | None:
        return next((fault for fault in LASTING if f"<{fault}>" in text), None)

    for code, fault in ((5, "404"), (1, "307 http://127.0.0.1:9/"), (1, "other-weights")):
        server.poison = lambda text, fault=fault: fault if "answer to 40 " in text else None  # type: ignore[misc]
        assert cli(*label) == code, cli.err
        assert stored(db)["failed"] == 0
        assert "Traceback" not in cli.err
    server.poison = lambda text: "400" if fault_in(text) else None
    server.misbehave(*SPOILT, *REFUSALS)
    assert cli(*label, "--retry-seconds", "30") == 3, cli.err
    assert stored(db) == {"right": all_of_them - 2 * len(LASTING), "failed": 2 * len(LASTING)}
    server.poison = fault_in
    assert cli(*label) == 3, cli.err
    assert stored(db) == {"right": all_of_them - 2 * len(LASTING), "failed": 2 * len(LASTING)}
    assert len(cli.err.splitlines()) < 40
    with open_store(db) as store:
        reasons = [reason for (reason,) in store.rows("SELECT reason FROM judgment WHERE status = 'failed'")]
    assert all(reason and reason.isprintable() and len(reason) < 300 for reason in reasons)
    server.poison = lambda text: None
    assert cli(*label) == 0, "the same command again goes on from there"
    assert stored(db) == {"right": all_of_them, "failed": 0}


@pytest.mark.survival
def test_ten_thousand_failures_are_a_handful_of_lines(tmp_path: Path) -> None:
    """Whatever a library says of a fault would be on standard error too."""
    rows = [{"id": f"p{i}", "prompt": f"prompt {i}", "response_a": "quality 2", "response_b": f"{i} quality 0",
             "label": "a" if i < 40 else None} for i in range(5_000)]  # fmt: skip
    raw = write_rows(tmp_path / "raw.jsonl", rows)
    with FakeSGLang() as server:
        kinds = [fault for fault in SPOILT + REFUSALS if fault not in {"reset", "half"}]
        server.misbehave(*(name for fault in kinds for name in (fault, "")), times=10)
        server.poison = lambda text: "400" if len(text) % 4 else None
        done = subprocess.run(
            [sys.executable, "-m", "curator", "label", str(raw), "--judge-url", server.url, *ANY, "--batch", "1",
             "--in-flight", "16"],
            cwd=ROOT, capture_output=True, text=True, check=False, timeout=300,
        )  # fmt: skip
        assert done.returncode in {3, 4}, done.stderr
        assert server.requests >= 10_000
    lines = done.stderr.splitlines()
    assert len(lines) < 40, lines
    print(f"\n{server.requests:,} requests, {len(lines)} lines on standard error")
