"""Runs commands in processes of their own that cost no start: what kills or limits one of them harms no other."""

from __future__ import annotations

import importlib
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

ROOT = Path(__file__).parents[2]

LIMITS = {"file": resource.RLIMIT_FSIZE, "files": resource.RLIMIT_NOFILE, "memory": resource.RLIMIT_AS}


@dataclass(frozen=True)
class Done:
    """What became of a command: `code` is negative where a signal ended it; `peak` is of its memory, in MiB."""

    code: int
    out: str
    err: str
    peak: int
    seconds: float

    @property
    def said(self) -> str:
        """The message of a command that failed."""
        return next((line for line in self.err.splitlines() if line.startswith("Error: ")), "")


class Forks:
    """A process that has loaded curator and forks a child for each command."""

    def __enter__(self) -> Self:
        command = [sys.executable, "-m", "tests.survival.forks"]
        self._parent = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        return self

    def __exit__(self, *_: object) -> None:
        self._parent.stdin.close()
        self._parent.wait(10)
        self._parent.stdout.close()

    def __call__(
        self,
        *arguments: object,
        user: int | None = None,
        stdin: Path | None = None,
        seconds: float = 120,
        folder: Path = ROOT,
        **limits: int,
    ) -> Done:
        """Run `curator ARGUMENTS`.

        Args:
            user: whose rights it has; None: ours.
            seconds: after which it is killed.
            limits: see `LIMITS`.
        """
        with tempfile.TemporaryDirectory() as said:
            asked = {
                "arguments": [str(argument) for argument in arguments], "said": said, "user": user, "limits": limits,
                "stdin": str(stdin or os.devnull), "seconds": seconds, "folder": str(folder),
            }  # fmt: skip
            print(json.dumps(asked), file=self._parent.stdin, flush=True)
            found = json.loads(self._parent.stdout.readline())
            out, err = (Path(said, name).read_text(errors="replace") for name in ("out", "err"))
        return Done(found["code"], out, err, found["peak"], found["seconds"])


def _serve() -> None:
    for name in ("curator.pipeline", "curator.cli.summary", "curator.cli.tables", "matplotlib.figure", "choix"):
        importlib.import_module(name)
    for line in sys.stdin:
        asked = json.loads(line)
        start = time.monotonic()
        if (child := os.fork()) == 0:
            _run(asked)
        until, status = start + asked["seconds"], 0
        while not (ended := os.wait4(child, os.WNOHANG))[0]:
            if time.monotonic() > until:
                os.kill(child, 9)
                ended = os.wait4(child, 0)
                break
            time.sleep(0.005)
        status, used = ended[1], ended[2]
        found = {
            "code": os.waitstatus_to_exitcode(status), "peak": used.ru_maxrss // 1024,
            "seconds": round(time.monotonic() - start, 3),
        }  # fmt: skip
        print(json.dumps(found), flush=True)


def _run(asked: dict[str, Any]) -> None:
    from curator.cli.main import run

    code = 70
    try:
        os.dup2(os.open(asked["stdin"], os.O_RDONLY), 0)
        for number, name in ((1, "out"), (2, "err")):
            os.dup2(os.open(Path(asked["said"], name), os.O_WRONLY | os.O_CREAT), number)
        sys.stdin = open(0, encoding="utf-8")  # noqa: SIM115 - what was read ahead of it is the parent's
        os.chdir(asked["folder"])
        for name, most in asked["limits"].items():
            resource.setrlimit(LIMITS[name], (most, most))
        if asked["user"] is not None:
            os.setgroups([])
            os.setgid(asked["user"])
            os.setuid(asked["user"])
        code = run(asked["arguments"])
    except BaseException:
        traceback.print_exc()
    finally:
        for stream in (sys.stdout, sys.stderr):
            try:
                stream.flush()
            except OSError:
                pass
        os._exit(code)


if __name__ == "__main__":
    _serve()
