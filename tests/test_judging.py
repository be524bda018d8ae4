"""Asking a judge through the pipeline: a scripted server behind `curator label`."""

from __future__ import annotations

import os
import signal
import threading
import time
from pathlib import Path

import pytest

from tests.conftest import Cli, pairs, write_rows
from tests.fake_sglang import FakeSGLang

ANY = ("--no-probe", "--template", "chat")


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    """Rows whose better response says so in the words that the scripted server reads."""
    rows = pairs(60, labelled=30)
    for i, row in enumerate(rows):
        row["response_a"] += f" quality {2 if i % 2 == 0 else 0}"
        row["response_b"] += f" quality {0 if i % 2 == 0 else 2}"
    return write_rows(tmp_path / "raw.jsonl", rows)


def test_an_equal_request_with_nothing_left_to_ask_needs_no_server(raw: Path, cli: Cli) -> None:
    with FakeSGLang() as server:
        label = ("label", raw, "--judge-url", server.url, *ANY)
        first = cli.json(*label)
        assert (first["judged"], server.prompts) == (60, 120)
    again = cli.json(*label)
    assert again["judgments"] == {"cached": 120, "asked": 0, "retried": 0}
    assert again["judge"] == first["judge"]
    other = ("--no-probe", "--template", "completion")
    assert cli("label", raw, "--judge-url", server.url, *other, "--retry-seconds", "0") == 5, "another judge"


def test_another_model_behind_the_same_address_is_another_judge(raw: Path, cli: Cli, tmp_path: Path) -> None:
    with FakeSGLang(model="org/one") as server:
        one = cli.json("label", raw, "--judge-url", server.url, *ANY)
    with FakeSGLang(model="org/two") as server:
        two = cli.json("label", raw, "--judge-url", server.url, *ANY)
        assert server.prompts == 120
    assert one["judge"]["judge_id"] != two["judge"]["judge_id"]


def test_a_failed_pair_is_told_kept_apart_and_asked_again(raw: Path, cli: Cli) -> None:
    with FakeSGLang() as server:
        label = ("label", raw, "--judge-url", server.url, *ANY)
        server.poison = lambda text: "400" if "prompt 7\n" in text else None
        first = cli.json(*label)
        assert (cli.code in {3, 4}, first["judged"], first["failed"]) == (True, 59, 1)
        assert list(first["failures"].values()) == [2]
        server.poison = lambda text: None
        second = cli.json(*label)
        assert second["judgments"] == {"cached": 118, "asked": 2, "retried": 2}
        assert second["failed"] == 0


def test_the_probe_refuses_what_does_not_answer(raw: Path, cli: Cli) -> None:
    with FakeSGLang() as server:
        # It cannot read the built-in pairs, and answers 500.
        assert cli("label", raw, "--judge-url", server.url, "--retry-seconds", "0") == 1
    assert "is refused" in cli.err
    assert "(--no-probe skips this check.)" in cli.err


def test_one_signal_drains_and_two_stop(raw: Path, cli: Cli) -> None:
    """The signal goes to this very process, in which the command runs."""
    with FakeSGLang(delay=0.05) as server:

        def press(times: int) -> None:
            while not server.prompts:
                time.sleep(0.01)
            for _ in range(times):
                os.kill(os.getpid(), signal.SIGINT)
                time.sleep(0.1)

        label = ("label", raw, "--judge-url", server.url, *ANY, "--batch", "1", "--in-flight", "1")
        threading.Thread(target=press, args=(1,)).start()
        assert cli(*label) == 130
        assert "judgments are kept" in cli.err
        drained = server.prompts
        assert 0 < drained < 120

        server.prompts, server.delay = 0, 1.0
        threading.Thread(target=press, args=(2,)).start()
        assert cli(*label) == 130
        server.delay = 0.0
        result = cli.json(*label)
        assert result["judgments"]["cached"] >= drained
        assert result["judged"] == 60


def test_credentials_of_a_server_are_written_nowhere(raw: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("curator.steps.unchanged.SETTLED_SECONDS", -3600.0)
    monkeypatch.delenv("SGLANG_API_KEY", raising=False)
    with FakeSGLang() as server:
        url = server.url.replace("http://", "http://someone:pa55word@")
        for _ in range(2):
            assert cli("label", raw, "--judge-url", url, *ANY) in {0, 4}
            assert "pa55word" not in cli.out + cli.err
    assert "unchanged since the last run" in cli.err
    written = [path for path in raw.with_suffix(".curated").rglob("*") if path.is_file()]
    assert {path.name for path in written} >= {".last-run.json", "curator.duckdb", "run.json"}
    assert not [path for path in written if b"pa55word" in path.read_bytes()]


def test_run_json_says_what_judging_took(raw: Path, cli: Cli) -> None:
    with FakeSGLang() as server:
        result = cli.json("label", raw, "--judge-url", server.url, *ANY)
    assert result["tokens"] == sum(len(text) for body in server.bodies for text in body["text"])
    assert result["cached_tokens"] == 3 * 120
    assert result["cached_share"] == round(360 / result["tokens"], 4)
    assert result["tokens_per_second"] == pytest.approx(result["tokens"] / result["judging_seconds"], rel=0.05)
