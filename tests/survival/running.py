"""Runs commands in processes of their own: what kills or limits one of them harms no other."""

from __future__ import annotations

import io
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from contextlib import redirect_stderr, redirect_stdout
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


class Runner:
    """Runs commands, each in a process of its own."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def __call__(
        self, *arguments: object, stdin: Path | None = None, seconds: float = 120, folder: Path = ROOT, **limits: int
    ) -> Done:
        """Run `curator ARGUMENTS`.

        Args:
            seconds: after which it is killed.
            limits: see `LIMITS`.
        """
        asked = {"arguments": [str(argument) for argument in arguments], "limits": limits, "folder": str(folder)}
        start = time.monotonic()
        with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err, open(stdin or os.devnull, "rb") as given:  # noqa: PTH123
            command = [sys.executable, "-m", "tests.survival.running", json.dumps(asked)]
            child = subprocess.Popen(command, cwd=ROOT, stdin=given, stdout=out, stderr=err)
            while not (ended := os.wait4(child.pid, os.WNOHANG))[0]:
                if time.monotonic() > start + seconds:
                    os.kill(child.pid, 9)
                time.sleep(0.01)
            child.returncode = os.waitstatus_to_exitcode(ended[1])
            for file in (out, err):
                file.seek(0)
            said = [file.read().decode(errors="replace") for file in (out, err)]
        return Done(child.returncode, *said, ended[2].ru_maxrss // 1024, round(time.monotonic() - start, 3))


def inside(*arguments: object) -> Done:
    """The same in this process, which is quicker: for a command that neither limits nor harms it."""
    from curator.cli.main import run

    out, err, start = io.StringIO(), io.StringIO(), time.monotonic()
    with redirect_stdout(out), redirect_stderr(err):
        code = run([str(argument) for argument in arguments])
    return Done(code, out.getvalue(), err.getvalue(), 0, round(time.monotonic() - start, 3))


def _run(asked: dict[str, Any]) -> int:
    from curator.cli.main import run

    os.chdir(asked["folder"])
    for name, most in asked["limits"].items():
        resource.setrlimit(LIMITS[name], (most, most))
    return run(asked["arguments"])


if __name__ == "__main__":
    sys.exit(_run(json.loads(sys.argv[1])))
