"""A real SGLang server on a CPU, as the double of a GPU judge. No pytest in here; standard library only.

`install.sh` makes the environment that it runs in; without one `python_path()` is None and tests are to be skipped.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

HERE = Path(__file__).resolve().parent
STARTUP_SECONDS = 180.0
STOP_SECONDS = 10.0
LOG_LINES = 40
# Ends the server when whoever started it is killed and cleans up nothing: prctl(PR_SET_PDEATHSIG, SIGKILL), kept over
# exec. SGLang's own children watch their parent in the same way.
LAUNCHER = """
import ctypes, os, sys
ctypes.CDLL(None).prctl(1, 9)
os.execv(sys.executable, [sys.executable, *sys.argv[1:]])
"""

ARGUMENTS: list[str] = [
    "--device=cpu",
    "--attention-backend=torch_native",
    "--disable-overlap-schedule",
    "--max-total-tokens=65536",  # otherwise it allocates a cache of 15 GB
    "--skip-server-warmup",
    "--enable-cache-report",
    "--sleep-on-idle",  # otherwise an idle server takes a core
]

# With these the replies are the same to the last bit, whatever the grouping, the order and the history of the
# prompts: each prompt is computed alone and whole. No prefix cache, and about a third of the throughput.
REPEATABLE: list[str] = ["--disable-radix-cache", "--prefill-max-requests=1"]


def home() -> Path:
    """Where the environment is, or would be."""
    return Path(os.environ.get("CURATOR_TEST_SGLANG") or Path.home() / ".cache/curator-tests/sglang")


def python_path() -> Path | None:
    """The environment's Python, or None where `install.sh` has not finished."""
    python = home() / "bin/python"
    return python if (home() / "curator-stamp").is_file() and python.exists() else None


def environment() -> dict[str, str]:
    """What SGLang needs in its environment, beside what is there already."""
    return {
        "PYTHONPATH": str(HERE / "standins"),  # and nothing of ours: the server must not see the packages under test
        "SGLANG_USE_CPU_ENGINE": "1",  # without it: "No module named 'vllm'"
        "HF_HUB_OFFLINE": "1",
        "TOKENIZERS_PARALLELISM": "false",
    }


def run(script: Path, *arguments: str | Path) -> None:
    """Run a script inside the environment, such as `models.py`.

    Raises:
        RuntimeError: there is no environment, or the script failed; holds the end of its output.
    """
    command = [str(_python()), str(script), *map(str, arguments)]
    done = subprocess.run(command, env=os.environ | environment(), capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{script.name} failed with {done.returncode}:\n{_tail(done.stdout + done.stderr)}")


@contextmanager
def serve(model: Path, *, dtype: str = "float32", extra: Sequence[str] = (), port: int = 0) -> Iterator[str]:
    """Start a server on a loopback port, yield its base URL once it is healthy, and leave no process behind.

    To be entered in a thread that outlives the server: Linux counts the end of that thread as the end of its parent.

    Args:
        model: a Hugging Face folder.
        dtype: float32 repeats itself to about 1e-5 in a log-probability; bfloat16 only to about 0.1.
        extra: further flags; a flag given here wins over the same flag in `ARGUMENTS`.
        port: 0: a free one.

    Raises:
        RuntimeError: no environment; or the server ended or was not healthy in time, with the end of its log.
    """
    arguments = [f"--model-path={model}", f"--dtype={dtype}", *ARGUMENTS, *extra]
    with _running("sglang.launch_server", arguments, port or _free_port()) as url:
        yield url


@contextmanager
def route(urls: Sequence[str], *extra: str) -> Iterator[str]:
    """The same for an sglang-router before some servers; it is ready when it knows them."""
    arguments = ["--worker-urls", *urls, "--prometheus-port", str(_free_port()), *extra]
    with _running("sglang_router.launch_router", arguments, _free_port(), page="/readiness") as url:
        yield url


@contextmanager
def _running(module: str, arguments: Sequence[str], port: int, page: str = "/health") -> Iterator[str]:
    url = f"http://127.0.0.1:{port}"
    command = [str(_python()), "-c", LAUNCHER, "-m", module, *arguments, "--host=127.0.0.1", f"--port={port}"]
    with tempfile.TemporaryFile("w+", errors="replace") as log:
        process = subprocess.Popen(
            command,
            env=os.environ | environment(),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # its own session and process group: all of it can be found and killed
        )
        try:
            failure = _wait_until_healthy(process, url + page)
            if failure:
                log.seek(0)
                raise RuntimeError(f"{module} {failure}; the end of its log:\n{_tail(log.read())}")
            yield url
        finally:
            _stop(process)


def members(session: int) -> list[int]:
    """The processes of a session that still run; zombies, which only wait to be reaped, are left out. Linux only."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                # "pid (name) state parent group session ...", where the name may hold anything
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except (FileNotFoundError, ProcessLookupError):
                continue
            if int(fields[3]) == session and fields[0] != "Z":
                found.append(int(entry.name))
    return found


def _python() -> Path:
    python = python_path()
    if python is None:
        raise RuntimeError(f"no SGLang environment at {home()}: run {HERE / 'install.sh'}")
    return python


def _free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def _wait_until_healthy(process: subprocess.Popen[bytes], url: str) -> str:
    """Return what went wrong, or an empty string."""
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    deadline = time.monotonic() + STARTUP_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            return f"ended with {process.returncode}"
        try:
            with opener.open(url, timeout=30):
                return ""
        except OSError:  # no listener yet, or 503 while it loads
            time.sleep(0.5)
    return f"was not healthy after {STARTUP_SECONDS:.0f} s"


def _stop(process: subprocess.Popen[bytes]) -> None:
    """End every process of the server's session: politely, then not.

    Raises:
        RuntimeError: something survived SIGKILL.
    """
    for number in (signal.SIGTERM, signal.SIGKILL):
        for pid in members(process.pid):
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                continue
        deadline = time.monotonic() + STOP_SECONDS
        while time.monotonic() < deadline:
            process.poll()
            if not members(process.pid):
                process.wait()
                return
            time.sleep(0.1)
    raise RuntimeError(f"SGLang processes survived SIGKILL: {members(process.pid)}")


def _tail(text: str) -> str:
    # triton's bindings end with pages of leak reports, which would hide the cause
    lines = [line for line in text.splitlines() if not line.startswith((" - ", "nanobind: "))]
    return "\n".join(lines[-LOG_LINES:])
