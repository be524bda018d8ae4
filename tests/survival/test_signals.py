"""Whoever asks curator to stop, and however its terminal goes away: what it has is kept, and the next run goes on."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import ROOT, judgments, pairs, write_rows
from tests.fake_sglang import FakeSGLang
from tests.review_servers import serving
from tests.survival import kills
from tests.survival.killing import Running, curator, files, problems, store_rows, strays
from tests.test_launch import SERVES, fake_python, gone

AT_LENGTH = pytest.mark.survival
SIGNS = (signal.SIGTERM, *(pytest.param(sign, marks=AT_LENGTH) for sign in (signal.SIGINT, signal.SIGHUP)))
SERVED = ("--no-probe", "--batch", "4", "--in-flight", "2", "--alpha", "0.3")
DRAINS = "finishing what is in flight"
FULL = "Error: disk: No space left on device. Make space, and run the same command again\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "work"
    folder.mkdir()
    kills.start(folder)
    return folder


@pytest.fixture(scope="module")
def labelled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which all is done."""
    folder = tmp_path_factory.mktemp("labelled") / "work"
    folder.mkdir()
    kills.answered(folder, ("csv",))
    return folder


@pytest.fixture
def terminal() -> Iterator[tuple[int, str]]:
    """One that is read, as terminals are: its master end, and the name of the other."""
    master, slave = os.openpty()
    name = os.ttyname(slave)
    os.close(slave)
    os.set_blocking(master, False)
    read = threading.Event()

    def keep_reading() -> None:
        while not read.is_set():
            try:
                os.read(master, 65_536)
            except BlockingIOError:
                time.sleep(0.01)
            except OSError:
                time.sleep(0.01)  # nobody has opened it yet, or it is closed

    reader = threading.Thread(target=keep_reading)
    reader.start()

    yield master, name

    read.set()
    reader.join()


def stored(folder: Path) -> int:
    return len(store_rows(folder / kills.DB)["judgment"])


def wait_for_prompts(run: Running, server: FakeSGLang, count: int) -> None:
    end = time.monotonic() + 60
    while server.prompts < count:
        assert run.process.is_alive(), run.err
        assert time.monotonic() < end
        time.sleep(0.01)


@pytest.mark.parametrize("sign", SIGNS)
def test_once_drains_and_nothing_is_asked_twice(sign: signal.Signals, folder: Path) -> None:
    with FakeSGLang(delay=0.1) as server:
        command = ("label", "raw.jsonl", "--judge-url", server.url, *SERVED)
        run = Running(folder, command)
        wait_for_prompts(run, server, 12)
        run.send(sign)
        ended = run.ended()
        assert ended.code == 130, ended.err
        assert DRAINS in ended.err
        assert "Traceback" not in ended.err
        assert 12 <= stored(folder) == server.prompts < 120
        assert strays(folder) == []
        ended = curator(folder, command)
        assert ended.code == 0, ended.err
        assert server.prompts == stored(folder) == 120


@pytest.mark.parametrize("sign", SIGNS)
def test_twice_stops_now(sign: signal.Signals, folder: Path) -> None:
    with FakeSGLang() as server:
        server.poison = lambda text: "hang" if "prompt 30\n" in text else None
        command = ("label", "raw.jsonl", "--judge-url", server.url, *SERVED)
        run = Running(folder, command)
        wait_for_prompts(run, server, 60)
        run.send(sign)
        run.wait_for(DRAINS)
        run.send(sign)
        ended = run.ended(30)
        assert ended.code == 130, ended.err
        assert "Error: stopped" in ended.err or "what was judged is kept" in ended.err
        assert 0 < stored(folder) < 120


def test_a_terminal_that_goes_away_stops_it_as_ctrl_c_does(folder: Path, terminal: tuple[int, str]) -> None:
    """The system says so with SIGHUP, and from then on nothing can be written to it."""
    master, name = terminal
    with FakeSGLang(delay=0.1) as server:
        command = ("label", "raw.jsonl", "--judge-url", server.url, *SERVED)
        run = Running(folder, command, terminal=name)
        wait_for_prompts(run, server, 12)
        os.close(master)
        ended = run.ended()
        assert ended.code == 130
        assert 12 <= stored(folder) == server.prompts < 120
        assert curator(folder, command).code == 0
        assert server.prompts == stored(folder) == 120


@pytest.mark.parametrize("sign", [None, pytest.param(signal.SIGHUP, marks=AT_LENGTH)])
def test_one_that_is_to_outlive_its_terminal_goes_on_to_the_end(
    sign: signal.Signals | None, folder: Path, terminal: tuple[int, str]
) -> None:
    """Under `nohup`: SIGHUP is ignored, and a bar is drawn on a terminal that is not there any more."""
    master, name = terminal
    with FakeSGLang(delay=0.05) as server:
        command = ("label", "raw.jsonl", "--judge-url", server.url, *SERVED)
        run = Running(folder, command, terminal=name if sign is None else None, ignores=[signal.SIGHUP])
        wait_for_prompts(run, server, 12)
        if sign is None:
            os.close(master)
        else:
            run.send(sign)
        ended = run.ended()
        assert ended.code == (1 if sign is None else 0), "the summary could not be shown"
        assert server.prompts == stored(folder) == 120
        assert (folder / "raw.curated" / "report.html").is_file()
        assert (folder / "raw.curated" / ".last-run.json").is_file()


def stopped(
    before: Path, after: Path, folder: Path, arguments: tuple[str, ...], point: int, sign: signal.Signals
) -> None:
    """A command that is stopped at a point leaves what was there, or what was to be, and nothing beside it."""
    shutil.copytree(before, folder)
    ended = Running(folder, arguments, at=point, sign=sign).ended()
    where = ended.points[-1]
    assert ended.code == 130, (where, ended.err)
    assert "Traceback" not in ended.err, where
    assert "Error: stopped" in ended.err, where
    if not where.startswith(("os.remove", "os.rmdir")):  # the next run removes what this one was removing
        assert [name for name in strays(folder) if not name.endswith(".wal")] == [], where
    assert problems(before, folder, after) == [], where
    shutil.rmtree(folder)


@pytest.mark.parametrize("sign", [signal.SIGTERM, pytest.param(signal.SIGHUP, marks=AT_LENGTH)])
@pytest.mark.parametrize(
    "arguments",
    [
        ("export", "--db", kills.DB, "--out", "out"),
        pytest.param(("import", "answers-csv/export.csv", "--db", kills.DB), marks=AT_LENGTH),
        pytest.param(("hygiene", "--db", kills.DB), marks=AT_LENGTH),
        pytest.param(("label", "raw.jsonl", *kills.RECORDED, "--limit", "50"), marks=AT_LENGTH),
    ],
    ids=lambda arguments: arguments[0],
)
def test_wherever_it_is_it_stops_as_with_ctrl_c(
    arguments: tuple[str, ...], sign: signal.Signals, labelled: Path, tmp_path: Path
) -> None:
    after = Path(shutil.copytree(labelled, tmp_path / "after"))
    ended = curator(after, arguments)
    assert ended.code in {0, 4}, ended.err
    last = len(ended.points) - 1
    for point in {last // 3, 2 * last // 3}:
        stopped(labelled, after, tmp_path / "now", arguments, point, sign)


@pytest.mark.parametrize("sign", [signal.SIGTERM, pytest.param(signal.SIGHUP, marks=AT_LENGTH)])
@pytest.mark.parametrize(
    "command", [("label", "raw.jsonl"), pytest.param(("doctor",), marks=AT_LENGTH)], ids=lambda command: command[0]
)
def test_a_server_that_was_started_goes_too(command: tuple[str, ...], sign: signal.Signals, folder: Path) -> None:
    """While it loads its model: it is never healthy here."""
    pids = folder / "pids"
    body = SERVES.format(pids=str(pids), stubborn=False).replace('"/health"', '"/never"')
    run = Running(folder, (*command, "--judge-model", "m", "--sglang-python", fake_python(folder, body)))
    end = time.monotonic() + 60
    while not (pids.exists() and len(pids.read_text().split()) == 2):
        assert time.monotonic() < end, run.err
        time.sleep(0.02)
    run.send(sign)
    ended = run.ended(60)
    assert ended.code == 130, ended.err
    assert "Traceback" not in ended.err
    assert gone([int(number) for number in pids.read_text().split()])


@pytest.mark.parametrize("sign", SIGNS)
def test_the_review_page_ends_and_keeps_what_was_said(sign: signal.Signals, labelled: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(labelled, tmp_path / "review"))
    with serving(folder / kills.DB, "--port", "0") as server:
        code, out, err = server.stop(sign)
    assert (code, out, err) == (0, "Nothing was labelled.\n", "")


def shell(line: str, folder: Path) -> tuple[int, str]:
    """A line of shell in which $curator stands for the program: its exit code and standard error."""
    done = subprocess.run(
        ["bash", "-c", f"set -o pipefail; {line}"], check=False, cwd=folder, capture_output=True, text=True,
        timeout=120,
        env={**os.environ, "curator": f"{sys.executable} -m curator", "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    return done.returncode, done.stderr


@pytest.mark.parametrize(
    ("streams", "code", "said"),
    [
        (">/dev/full", 1, FULL),
        pytest.param("--json >/dev/full", 1, FULL, marks=AT_LENGTH),
        pytest.param(">/dev/full 2>/dev/full", 1, "", marks=AT_LENGTH),
        pytest.param(">&-", 0, "", marks=AT_LENGTH),
        pytest.param("2>&-", 0, "", marks=AT_LENGTH),
        (">&- 2>&-", 0, ""),
        ("| true", 1, ""),
    ],
)
def test_output_that_cannot_be_written(streams: str, code: int, said: str, labelled: Path) -> None:
    assert shell(f"$curator status --db {kills.DB} {streams}", labelled) == (code, said)


@pytest.mark.parametrize(
    "streams", ["2>/dev/full", pytest.param("2>&-", marks=AT_LENGTH), pytest.param("2> >(true)", marks=AT_LENGTH)]
)
def test_a_run_that_nobody_listens_to_is_a_run(streams: str, tmp_path: Path) -> None:
    write_rows(tmp_path / "raw.jsonl", pairs(40, 30))
    write_rows(tmp_path / "log.jsonl", judgments(40))
    assert shell(f"$curator label raw.jsonl --judgments log.jsonl {streams}", tmp_path)[0] == 0
    assert "raw.curated/dataset/README.md" in files(tmp_path)
