"""A server that curator starts is stopped with all its children, whatever happens; one that dies says why."""

from __future__ import annotations

import asyncio
import os
import signal
import stat
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

from curator.errors import JudgeError
from curator.judges.launch import running_server
from tests.conftest import ROOT

SERVES = """
import http.server, os, signal, subprocess, sys
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
with open({pids!r}, "w") as file:
    file.write(f"{{os.getpid()}} {{child.pid}}")
port = int(sys.argv[sys.argv.index("--port") + 1])
if {stubborn}:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("serving", sys.argv, flush=True)
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200 if self.path == "/health" else 404)
        self.end_headers()
        self.wfile.write(b"ok")
    def log_message(self, *_):
        pass
http.server.HTTPServer(("127.0.0.1", port), Handler).serve_forever()
"""


def fake_python(folder: Path, body: str) -> str:
    """An executable that takes the place of the Python that has SGLang."""
    path = folder / "python"
    path.write_text(f"#!{sys.executable}\n{body}", encoding="utf-8")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return str(path)


def alive(number: int) -> bool:
    try:
        state = Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"  # a child of the server is reaped by init, not by us


def gone(numbers: list[int]) -> bool:
    for _ in range(500):
        if not any(alive(number) for number in numbers):
            return True
        time.sleep(0.02)
    return False


@pytest.mark.parametrize("fails", [False, True])
def test_server_and_its_children_are_stopped(tmp_path: Path, fails: bool) -> None:
    python = fake_python(tmp_path, SERVES.format(pids=str(tmp_path / "pids"), stubborn=False))
    numbers: list[int] = []

    async def use() -> None:
        async with running_server("a model", tmp_path / "logs" / "log", python=python, arguments="--x 'y z'") as url:
            numbers.extend(map(int, (tmp_path / "pids").read_text().split()))
            assert all(alive(number) for number in numbers)
            with urllib.request.urlopen(url + "/health") as reply:
                assert reply.read() == b"ok"
            if fails:
                raise ValueError("the body fails")

    if fails:
        with pytest.raises(ValueError, match="the body fails"):
            asyncio.run(use())
    else:
        asyncio.run(use())
    assert len(numbers) == 2
    assert gone(numbers)
    log = (tmp_path / "logs" / "log").read_text()
    assert "'--model-path', 'a model'" in log
    assert "'--x', 'y z'" in log
    assert "sglang.launch_server" in log


def test_cancelling_stops_it(tmp_path: Path) -> None:
    python = fake_python(tmp_path, SERVES.format(pids=str(tmp_path / "pids"), stubborn=False))

    async def use() -> None:
        async with running_server("m", tmp_path / "log", python=python):
            await asyncio.sleep(60)

    async def cancelled() -> None:
        task = asyncio.create_task(use())
        while not (tmp_path / "pids").exists():
            await asyncio.sleep(0.05)
        await asyncio.sleep(0.2)
        task.cancel()
        await task

    with pytest.raises(asyncio.CancelledError):
        asyncio.run(cancelled())
    assert gone([int(number) for number in (tmp_path / "pids").read_text().split()])


def start(python: str, log: Path, seconds: float = 10, arguments: str = "") -> None:
    async def use() -> None:
        async with running_server("m", log, python=python, arguments=arguments, start_seconds=seconds):
            raise AssertionError("it never serves")

    asyncio.run(use())


def test_server_that_ends_at_once(tmp_path: Path) -> None:
    body = "import sys\nfor i in range(100): print('line', i)\nprint('CUDA out of \\x1b[31mmemory')\nsys.exit(3)"
    with pytest.raises(JudgeError) as raised:
        start(fake_python(tmp_path, body), tmp_path / "log")
    message = str(raised.value)
    assert "ended with status 3" in message
    assert str(tmp_path / "log") in message
    assert message.endswith("  | line 99\n  | CUDA out of  [31mmemory")
    assert "line 50" not in message
    assert "pip install" not in message


def test_sglang_is_missing(tmp_path: Path) -> None:
    with pytest.raises(JudgeError, match=r"status 1\. `pip install .*sglang.*--sglang-python"):
        start(fake_python(tmp_path, "raise ModuleNotFoundError(\"No module named 'sglang'\")"), tmp_path / "log")


def test_server_that_never_answers(tmp_path: Path) -> None:
    pids = str(tmp_path / "pids")
    body = (
        f"import os, time\nopen({pids!r}, 'w').write(str(os.getpid()))\nprint('loading', flush=True)\ntime.sleep(600)"
    )
    with pytest.raises(JudgeError, match=r"did not answer within 1 s\. Its log .* ends:\n  \| loading"):
        start(fake_python(tmp_path, body), tmp_path / "log", seconds=1)
    assert gone([int((tmp_path / "pids").read_text())])


def test_no_such_python(tmp_path: Path) -> None:
    with pytest.raises(JudgeError, match=r"cannot run .*nowhere: No such file"):
        start(str(tmp_path / "nowhere"), tmp_path / "log")
    (tmp_path / "text").write_text("not a program")
    with pytest.raises(JudgeError, match=r"cannot run .*text: Permission denied"):
        start(str(tmp_path / "text"), tmp_path / "log")


def test_arguments_that_do_not_parse(tmp_path: Path) -> None:
    with pytest.raises(JudgeError, match="--sglang-args"):
        start(sys.executable, tmp_path / "log", arguments="--x 'open")


def test_child_that_outlives_a_server_that_fell(tmp_path: Path) -> None:
    """The server dies while it is in use; what it started is killed all the same."""
    python = fake_python(tmp_path, SERVES.format(pids=str(tmp_path / "pids"), stubborn=False))

    async def use() -> None:
        async with running_server("m", tmp_path / "log", python=python):
            os.kill(int((tmp_path / "pids").read_text().split()[0]), 9)
            await asyncio.sleep(0.1)

    asyncio.run(use())
    assert gone([int(number) for number in (tmp_path / "pids").read_text().split()])


def test_a_killed_curator_leaves_no_server(tmp_path: Path) -> None:
    """Neither the server nor what it started outlives a process that can clean up nothing."""
    python = fake_python(tmp_path, SERVES.format(pids=str(tmp_path / "pids"), stubborn=True))
    code = f"""
import asyncio
from pathlib import Path
from curator.judges.launch import running_server

async def use():
    async with running_server("m", Path({str(tmp_path / "log")!r}), python={python!r}):
        print("serves", flush=True)
        await asyncio.sleep(600)

asyncio.run(use())
"""
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, cwd=ROOT, start_new_session=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"serves\n"
        numbers = [int(number) for number in (tmp_path / "pids").read_text().split()]
        assert all(alive(number) for number in numbers)
        os.killpg(process.pid, signal.SIGKILL)
    assert gone(numbers)
