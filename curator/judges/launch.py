"""Starts an SGLang server on this machine for the length of a run, and stops it, whatever happens to either."""

from __future__ import annotations

import asyncio
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import aiohttp

from curator.errors import JudgeError
from curator.hiding import hidden

START_SECONDS = 1_800
"""How long a server may take to load a model: large ones come over a network file system."""


@asynccontextmanager
async def running_server(
    model: str, log: Path, *, python: str | None = None, arguments: str = "", start_seconds: float = START_SECONDS
) -> AsyncIterator[str]:
    """Serve `model` and yield the base URL once it answers.

    Args:
        model: folder or hub name.
        log: file for what the server prints.
        python: interpreter of the environment that has SGLang; None: this one.
        arguments: further flags for `sglang.launch_server`, as on a command line.

    Raises:
        JudgeError: the server ended or did not answer in time; the message ends with its last lines.
    """
    try:
        flags = shlex.split(arguments)
    except ValueError as error:
        raise JudgeError(f"--sglang-args: {error}") from None
    if any(re.match(r"--(admin-)?api|--ssl-keyfile-p", flag) for flag in flags):
        raise JudgeError(
            "--sglang-args holds a key, which everybody here could read in the list of processes and in the server's "
            "log. A server that curator starts is for this machine alone; for one with a key, start it and name it "
            "with --judge-url"
        )
    port = _free_port()
    url = f"http://127.0.0.1:{port}"
    command = [
        python or sys.executable, "-m", "sglang.launch_server", "--model-path", model,
        "--host", "127.0.0.1", "--port", str(port), "--enable-cache-report", *flags,
    ]  # fmt: skip
    log.parent.mkdir(parents=True, exist_ok=True)
    log.unlink(missing_ok=True)  # a link that somebody left there would be followed
    with log.open("wb") as output:
        try:
            # A process group of its own: Ctrl-C reaches curator alone, which stops the server when it is done with it.
            process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, start_new_session=True)
        except OSError as error:
            raise JudgeError(f"cannot run {command[0]}: {error.strerror}") from None
    with _guarded(process):
        try:
            await _until_healthy(url, process, log, start_seconds)
            yield url
        finally:
            _stop(process)


# Reads until curator closes its end of the pipe, which a killed process does as well.
_GUARD = "import os, signal, sys; sys.stdin.read(); os.killpg(int(sys.argv[1]), signal.SIGKILL)"


@contextmanager
def _guarded(process: subprocess.Popen[bytes]) -> Iterator[None]:
    """Have a small process end the server, should this one be killed: it would hold its GPU for ever."""
    command = [sys.executable, "-I", "-S", "-c", _GUARD, str(process.pid)]
    # A session of its own, too: what kills all of curator's does not kill this one.
    with subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True) as guard:
        try:
            yield
        finally:
            guard.kill()  # before its end of the pipe is closed: the number may be another's by now


_MISSING = " `pip install 'preference-curator[sglang]'`, or name a Python that has SGLang with --sglang-python."


async def _until_healthy(url: str, process: subprocess.Popen[bytes], log: Path, seconds: float) -> None:
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=5)) as session:
        end = asyncio.get_running_loop().time() + seconds
        while asyncio.get_running_loop().time() < end:
            if process.poll() is not None:
                missing = "No module named" in _tail(log) and "sglang" in _tail(log)
                hint = _MISSING if missing else ""
                status = process.returncode
                raise JudgeError(
                    f"the SGLang server ended with status {status}.{hint} Its log ({log}) ends:\n{_tail(log)}"
                )
            try:
                async with session.get(url + "/health") as reply:
                    if reply.status == 200:
                        return
            except (aiohttp.ClientError, TimeoutError, OSError):
                pass
            await asyncio.sleep(0.5)
    raise JudgeError(f"the SGLang server did not answer within {seconds:g} s. Its log ({log}) ends:\n{_tail(log)}")


def _stop(process: subprocess.Popen[bytes]) -> None:
    for sign, seconds in ((signal.SIGTERM, 10), (signal.SIGKILL, 10)):
        try:
            os.killpg(process.pid, sign)
        except ProcessLookupError:
            break
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            continue
        if sign is signal.SIGTERM:
            continue  # its children may outlive it: the group is killed once more
    process.wait()


def _tail(log: Path, lines: int = 25) -> str:
    text = hidden(log.read_bytes()[-20_000:].decode(errors="replace"))
    clean = "".join(c if c.isprintable() or c == "\n" else " " for c in text)
    return "\n".join("  | " + line[:300] for line in clean.splitlines()[-lines:])


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])
