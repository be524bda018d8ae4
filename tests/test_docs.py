"""README, help and behaviour say the same."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
from pathlib import Path

import click
import pytest

from curator.cli.main import COMMANDS, curator
from tests.conftest import ROOT, Cli

README = (ROOT / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_a_purpose_an_example_and_a_line_in_the_readme(name: str, cli: Cli) -> None:
    assert cli(name, "--help") == 0
    assert "Example" in cli.out
    assert f"curator {name}" in cli.out.partition("Example")[2]
    command = curator.get_command(click.Context(curator), name)
    assert command is not None
    # One sentence says what a command is for, in the list of commands, its help and the README.
    purpose = COMMANDS[name]
    assert (command.help or "").startswith(purpose.removesuffix("."))
    assert f"| `curator {name}` | {purpose} |" in README


def test_every_option_says_what_it_does() -> None:
    context = click.Context(curator)
    for name in COMMANDS:
        command = curator.get_command(context, name)
        assert command is not None
        for parameter in command.params:
            if parameter.param_type_name == "option":
                assert parameter.help, (name, parameter.name)  # type: ignore[attr-defined]


def test_every_option_and_file_the_readme_names_exists(cli: Cli) -> None:
    offered = {"--no-deps"}
    for name in COMMANDS:
        cli(name, "--help")
        offered |= set(re.findall(r"--[a-z][a-z-]+", cli.out))
    prose = re.sub(r"```.*?```", "", README, flags=re.DOTALL)
    assert set(re.findall(r"`(--[a-z][a-z-]+)", prose)) <= offered
    for path in re.findall(r"`((?:curator|recipes|schemas|tests)/[\w./-]*)`", README):
        if ".curated" not in path:
            assert (ROOT / path).exists(), path


def block(marker: str) -> str:
    found = re.search(rf"<!-- {marker} -->\n```text\n(.*?)```", README, flags=re.DOTALL)
    assert found is not None
    return found[1]


def without_times(text: str) -> list[str]:
    """Lines without what differs from run to run: seconds, rates, and the bar."""
    lines = [line for line in text.splitlines() if not line.startswith(("judging:", "reading:", "converting"))]
    return [
        re.sub(r"in [\d.]+ s \([\d.]+ pairs/s, [\d,]+ tokens/s", "in S s (R pairs/s, T tokens/s", line)
        for line in lines
    ]


@pytest.mark.embedded
def test_the_quick_start_prints_what_the_readme_shows(tmp_path: Path) -> None:
    """The very command of the README, but for the folder it writes to; minutes, as the README says."""
    pytest.importorskip("torch", reason="the embedded judge is not installed")
    line = next(line for line in README.splitlines() if "curator label recipes/quickstart" in line)
    command = shlex.split(line.rpartition("&&")[2])
    assert command[0] == "curator"
    out = tmp_path / "out"
    done = subprocess.run(
        [sys.executable, "-m", *command, "--out", str(out)], capture_output=True, text=True, check=False, cwd=ROOT
    )
    assert done.returncode == 0, done.stderr
    shown = block("quickstart").replace("recipes/quickstart/pairs.curated", str(out))
    assert without_times(done.stderr + done.stdout) == without_times(shown)


def test_the_plan_prints_what_the_readme_shows(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    line = next(line for line in README.splitlines() if line.startswith("curator plan recipes/quickstart"))
    assert cli(*shlex.split(line)[1:]) == 0
    assert cli.out == block("plan")
