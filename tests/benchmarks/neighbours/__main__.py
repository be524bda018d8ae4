"""`python -m tests.benchmarks.neighbours install|tune|run`."""

from __future__ import annotations

import os
import shlex
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

import curator
from curator.judges.embedded import model_folder
from tests.benchmarks.neighbours import measure, pairs, tools
from tests.benchmarks.neighbours.measure import Failed, Measured, Setting
from tests.benchmarks.neighbours.tools import TOOLS, Tool
from tests.benchmarks.stub import ROOT

home_option = click.option(
    "--home", type=click.Path(path_type=Path), default=tools.default_home, help="Where the environments are."
)
only_option = click.option("--only", multiple=True, help="Only this tool; repeat for several.")


@click.group(help=__doc__)
def main() -> None:
    pass


@main.command()
@click.argument("home", type=click.Path(path_type=Path), default=tools.default_home)
@only_option
def install(home: Path, only: tuple[str, ...]) -> None:
    """Make an environment for each tool in HOME (about 2 GB)."""
    for tool in _chosen(only):
        failure = tools.install(tool, home)
        click.echo(f"{tool.name}: {tools.version(tool, home) if failure is None else failure}")


def shared(command: Callable[..., Any]) -> Callable[..., Any]:
    """Options of what is asked, and of whom."""
    for option in (
        home_option,
        only_option,
        click.option("--data", type=click.Path(path_type=Path), default=ROOT.parent / "shared" / "data"),
        click.option("--pairs", "count", default=2_000, show_default=True),
        click.option("--delay", default=0.005, show_default=True, help="Seconds the server takes for a request."),
        click.option(
            "--serial",
            is_flag=True,
            help="One request at a time, whatever is in it: flatters who sends many prompts in one.",
        ),
        click.option("--pin", is_flag=True, help="Keep the tools off the server's core."),
    ):
        command = option(command)
    return command


@main.command()
@shared
def tune(home: Path, only: tuple[str, ...], **values: Any) -> None:
    """Try several numbers of requests at once for each tool."""
    with _setting(**values) as setting:
        for tool in _chosen(only):
            for in_flight in tool.tried:
                try:
                    found = measure.tool(tool, home, setting, in_flight)
                except Failed as error:
                    click.echo(f"{tool.name}, {in_flight} in flight: {error}")
                    continue
                speed = setting.prompts / 2 / found.judging
                click.echo(f"{tool.name}, {in_flight} in flight: {speed:.1f} pairs/s, {found.cpu:.1f} s of processor")


@main.command()
@shared
@click.option("--repeat", default=1, show_default=True, help="Runs of each, in turn; the fastest counts.")
@click.option("--tokenizer", help="Folder of a tokenizer.  [default: SmolLM2's, of the embedded judge]")
@click.option("--curator", "arguments", default="", help="Further arguments of curator label.")
def run(home: Path, only: tuple[str, ...], repeat: int, tokenizer: str | None, arguments: str, **values: Any) -> None:
    """Have curator and every tool judge the same pairs, and print one table."""
    folder = tokenizer or str(model_folder(lambda line: click.echo(line, err=True))[0])
    more = shlex.split(arguments)
    with _setting(**values) as setting:
        runs: dict[str, Callable[[], Measured]] = {
            "curator, token ids": lambda: measure.curator(setting, more, tokenizer=folder),
            "curator, text": lambda: measure.curator(setting, more, tokenizer=None),
        }
        for tool in _chosen(only):
            runs[tool.name] = lambda tool=tool: measure.tool(tool, home, setting, tool.in_flight)  # type: ignore[misc]
        found: dict[str, list[Measured]] = {name: [] for name in runs}
        failures: dict[str, str] = {}
        for _ in range(repeat):
            for name, once in runs.items():
                click.echo(f"{name} ...", err=True)
                try:
                    found[name].append(once())
                except (Failed, FileNotFoundError) as error:
                    failures[name] = str(error)
        for line in _table(setting, found, home):
            click.echo(line)
    for name, reason in failures.items():
        click.echo(f"\n{name} failed: {reason}")


def _table(setting: Setting, found: dict[str, list[Measured]], home: Path) -> Iterator[str]:
    count = setting.prompts // 2
    serving = "one request at a time" if setting.serial else "any number of requests at once"
    pinned = "tools and server on cores of their own" if setting.cores else "tools on any core"
    repeat = max(map(len, found.values()))
    yield (
        f"{count:,} real pairs in both orders ({setting.prompts:,} judge prompts), a server that takes "
        f"{setting.delay:g} s a request and {serving}, {os.cpu_count()} cores, {pinned}; fastest of {repeat}."
    )
    yield "Judging: first request in to last reply out, as the server saw it; the ratios are of this."
    yield ""
    yield "| tool | version | driven | pairs/s judging | token ids are | text is | pairs/s whole | own clock | CPU s |"
    yield "|---|---|---|---|---|---|---|---|---|"
    best = {name: min(runs, key=lambda run: run.judging) for name, runs in found.items() if runs}
    ours = [best.get(name) for name in ("curator, token ids", "curator, text")]
    described = {tool.name: tool for tool in TOOLS}
    for name, run in best.items():
        whole, own = (count / min(getattr(one, key) for one in found[name]) for key in ("whole", "own"))
        tool = described.get(name)
        release = tools.version(tool, home) if tool else curator.__version__
        driven = f"{tool.how}; {tool.in_flight} in flight" if tool else f"`curator label`, {run.requests} requests"
        ratios = [f"{run.judging / mine.judging:.1f} x" if mine else "" for mine in ours]
        yield (
            f"| {name} | {release} | {driven} | {count / run.judging:.1f} | {ratios[0]} | {ratios[1]} "
            f"| {whole:.1f} | {own:.1f} | {min(one.cpu for one in found[name]):.1f} |"
        )


@contextmanager
def _setting(data: Path, count: int, delay: float, serial: bool, pin: bool) -> Iterator[Setting]:
    if not data.is_dir():
        raise click.ClickException(f"the real pairs are not at hand: there is no {data}")
    cores = sorted(os.sched_getaffinity(0))
    with tempfile.TemporaryDirectory() as name:
        _, prompts = pairs.write(data, Path(name), count)
        number = len(prompts.read_text(encoding="utf-8").splitlines())
        apart = frozenset(cores[:-1]) if pin and len(cores) > 1 else None
        yield Setting(Path(name), number, delay, serial, cores[-1] if len(cores) > 1 else None, apart)


def _chosen(only: tuple[str, ...]) -> list[Tool]:
    unknown = set(only) - {tool.name for tool in TOOLS}
    if unknown:
        raise click.UsageError(f"no such tool: {', '.join(unknown)}; there are {', '.join(t.name for t in TOOLS)}")
    return [tool for tool in TOOLS if not only or tool.name in only]


if __name__ == "__main__":
    main()
