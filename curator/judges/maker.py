"""A process that makes prompts: a prompter comes in, then runs of questions; runs of prompts go out. All pickled.

Pipes and no pool of a library: a process that is killed must be noticed at once, one whose parent is killed must end,
and a caller's script must not be imported again.
"""

from __future__ import annotations

import asyncio
import os
import pickle
import signal
import sys
from asyncio.subprocess import PIPE, Process
from pathlib import Path
from typing import IO, Any, Self

from curator.errors import CuratorError
from curator.judges.prompting import Prompt, Prompter
from curator.prompts import Question

_COMMAND = (sys.executable, "-P", "-c", "from curator.judges.maker import main; main()")
_ROOT = str(Path(__file__).parents[2])
_LENGTH = 8


class MakerGone(Exception):
    """The process has ended, or was never there."""


class Maker:
    """One such process, seen from the one that asks."""

    def __init__(self, process: Process) -> None:
        self._process = process

    @classmethod
    async def start(cls, prompter: Prompter) -> Self:
        """Start a process; back when it is ready.

        Raises:
            MakerGone: it did not come up.
        """
        path = os.pathsep.join(filter(None, (_ROOT, os.environ.get("PYTHONPATH"))))
        try:
            # A session of its own: Ctrl-C in a terminal is for the process that asks, which says what is finished.
            process = await asyncio.create_subprocess_exec(
                *_COMMAND, stdin=PIPE, stdout=PIPE, start_new_session=True, env=os.environ | {"PYTHONPATH": path}
            )
        except OSError as error:
            raise MakerGone(str(error)) from None
        maker = cls(process)
        try:
            await maker._exchange(prompter)
        except BaseException:
            await maker.stop()
            raise
        return maker

    async def make(self, run: list[Question]) -> list[Prompt]:
        """The prompts of some questions; one call at a time.

        Raises:
            MakerGone: the process has ended.
            CuratorError: the prompter's own.
        """
        prompts: list[Prompt] | CuratorError = await self._exchange(run)
        if isinstance(prompts, CuratorError):
            raise prompts
        return prompts

    async def stop(self) -> None:
        """End the process, whatever it does."""
        if self._process.returncode is None:
            self._process.kill()
        await self._process.wait()
        if self._process.stdin is not None:
            self._process.stdin.close()

    async def _exchange(self, value: Any) -> Any:
        to, from_ = self._process.stdin, self._process.stdout
        if to is None or from_ is None:
            raise MakerGone("it has no pipes")
        try:
            to.write(_packed(value))
            await to.drain()
            data = await from_.readexactly(int.from_bytes(await from_.readexactly(_LENGTH)))
        except (asyncio.IncompleteReadError, OSError) as error:
            raise MakerGone(str(error)) from None
        return pickle.loads(data)  # noqa: S301 - of a process of our own


def _packed(value: Any) -> bytes:
    data = pickle.dumps(value, pickle.HIGHEST_PROTOCOL)
    return len(data).to_bytes(_LENGTH) + data


def _received(file: IO[bytes]) -> Any:
    if len(length := file.read(_LENGTH)) < _LENGTH:
        return None  # whoever asked is gone
    return pickle.loads(file.read(int.from_bytes(length)))  # noqa: S301 - of a process of our own


def _made(prompter: Prompter, run: list[Question]) -> list[Prompt] | CuratorError:
    try:
        return [prompter.prompt(question) for question in run]
    except CuratorError as error:
        return error


def main() -> None:
    """What the process does."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    # Nothing that a library prints may come between the answers.
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    try:
        prompter: Prompter = _received(sys.stdin.buffer)
        answers.write(_packed(None))
        answers.flush()
        while (run := _received(sys.stdin.buffer)) is not None:
            answers.write(_packed(_made(prompter, run)))
            answers.flush()
    except BrokenPipeError:
        pass
