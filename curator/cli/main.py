"""`curator`: the group of commands, and the one place where errors become messages and exit codes."""

from __future__ import annotations

import errno
import importlib
import io
import os
import signal
import sys
from contextlib import suppress
from typing import Any

import click

from curator import __version__
from curator.errors import ConditionError, CuratorError, Interrupted, JudgeUnreachable
from curator.hiding import hidden
from curator.progress import clean

OK, FAILED, USAGE, SOME_UNJUDGED, NO_THRESHOLD, UNREACHABLE, INTERRUPTED = 0, 1, 2, 3, 4, 5, 130

COMMANDS = {
    "plan": "Reckon what judging will cost and what labels will buy, before anything is rented.",
    "label": "Label raw pairs: judge, calibrate, auto-label what is sure, queue the rest.",
    "review": "Label in the browser: a page on this machine, for one person or several.",
    "import": "Bring people's labels back in.",
    "calibrate": "Set the threshold anew from stored judgments and labels.",
    "export": "Write the training data set in the form that a trainer reads.",
    "push": "Send a data set to the hub: says what would go, and sends it only when told to.",
    "queue": "Write the tasks for people again.",
    "report": "Write the report again: what was promised, in numbers and pictures.",
    "hygiene": "Find near duplicates, languages and prompts of evaluation sets, for --where.",
    "status": "Say what the store holds and what was promised.",
    "audit": "Check labels: the error bought, labels that judges contradict, verdicts that contradict each other.",
    "agreement": "Say how far people and judges agree, and whether groups of people differ.",
    "recipes": "List the recipes and rubrics that are shipped, or show one.",
    "doctor": "Check a judge: is it up, does it answer, is it biased.",
    "sql": "Ask the store a question in SQL.",
}
"""Every command with its purpose; a command's module is loaded when it is called."""


class Commands(click.Group):
    """Loads a command when it is asked for, so that `curator --help` imports nothing but Click."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"curator.cli.{cmd_name}_command")
        command: click.Command = module.command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="curator")
def curator() -> None:
    """People label a few hundred pairs, judges label the rest, and curator says how often the judges may be wrong.

    \b
    Example:
      curator label raw.jsonl --judge-url http://127.0.0.1:30000
    """


def main(arguments: list[str] | None = None) -> None:
    """Run a command and leave with its exit code. SIGTERM, and a terminal that goes away, do what Ctrl-C does."""
    for name in ("SIGTERM", "SIGHUP"):
        sign = getattr(signal, name, None)  # not all systems have both
        if sign is not None and signal.getsignal(sign) is signal.SIG_DFL:  # `nohup` has it ignored
            signal.signal(sign, _interrupt)
    try:
        code = run(arguments)
    except Exception:  # a fault of ours, told as such, but for what no log may hold
        import traceback

        code = FAILED
        _tell(traceback.format_exc().expandtabs())
    for stream in (sys.stdout, sys.stderr):
        _let_go(stream)
    sys.exit(code)


def _interrupt(number: int, frame: object) -> None:
    if callable(signal.getsignal(signal.SIGINT)):  # so that it does just what Ctrl-C would do now
        signal.raise_signal(signal.SIGINT)
    else:
        raise KeyboardInterrupt


def _let_go(stream: Any) -> None:
    """Drop what cannot be written any more: Python would try again at the end, and leave with a code of its own."""
    try:
        if stream is not None:
            stream.flush()
    except (OSError, ValueError):
        with suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def run(arguments: list[str] | None = None) -> int:
    """Run a command; returns its exit code.

    0 done; 1 error; 2 usage; 3 some pairs not judged; 4 no threshold; 5 no judge reachable; 130 interrupted.
    """
    given = sys.argv[1:] if arguments is None else arguments
    if (strange := next(filter(None, map(_strange, given)), None)) is not None:
        click.echo(f"Error: {strange}: rename the file", err=True)
        return USAGE
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal that cannot show a character shows a mark
    try:
        code: Any = curator.main(arguments, prog_name="curator", standalone_mode=False)
        return code if isinstance(code, int) else OK
    except click.exceptions.Exit as leaving:
        return leaving.exit_code
    except click.ClickException as error:
        said = io.StringIO()
        error.show(said)
        _tell(said.getvalue().removesuffix("\n"))
        return error.exit_code
    except BrokenPipeError:
        # The reader of our output has gone; nothing is wrong, and nothing more can be said.
        _let_go(sys.stdout)
        return FAILED
    except (CuratorError, OSError, MemoryError, click.Abort, KeyboardInterrupt) as error:
        _tell(f"Error: {_message(error)}")
        return _CODES.get(type(error), FAILED)


def _tell(text: str) -> None:
    """Say what went wrong, without what it may quote of secrets and hostile text."""
    with suppress(OSError):  # nobody may be there to read it
        click.echo(clean(hidden(text)), err=True)


def _strange(argument: str) -> str | None:
    """Why an argument is no name of a file to work with: in a message, a line of it could pass for one of ours."""
    try:
        argument.encode()
    except UnicodeEncodeError:
        return f"{argument!a} is not UTF-8"
    there = "\n" in argument and os.path.lexists(argument)  # Path raises where a query is too long to be a name
    return f"{argument!a} has a line break in its name" if there else None


_CODES: dict[type[BaseException], int] = {
    Interrupted: INTERRUPTED,
    click.Abort: INTERRUPTED,
    KeyboardInterrupt: INTERRUPTED,
    JudgeUnreachable: UNREACHABLE,
    ConditionError: USAGE,
}


def _message(error: BaseException) -> str:
    if isinstance(error, MemoryError):
        return "this process may take no more memory: give it more, or less to do at once (CURATOR_MEMORY)"
    if isinstance(error, OSError):
        full = error.errno in {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
        advice = ". Make space, and run the same command again" if full else ""
        return f"{error.filename or 'disk'}: {error.strerror or error}{advice}"
    return str(error) or "stopped"
