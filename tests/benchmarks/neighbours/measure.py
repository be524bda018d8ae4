"""One run of one tool, or of curator, against a stub of its own, and the check that every verdict came back."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.request import urlopen

from tests.benchmarks.neighbours.tools import SCRIPTS, Tool
from tests.benchmarks.stub import ROOT, serving

LIMIT_SECONDS = 1200


class Failed(Exception):
    """A run that is no measurement, and why."""


@dataclass(frozen=True, slots=True)
class Setting:
    """What all runs of a comparison have in common.

    Attributes:
        folder: holds `pairs.jsonl`, `prompts.jsonl` and `template.json`.
        prompts: how many judge prompts there are.
        delay, serial: of the stub.
        stub_core, cores: the core of the stub, and those of the tools; None: any.
    """

    folder: Path
    prompts: int
    delay: float
    serial: bool
    stub_core: int | None
    cores: frozenset[int] | None


@dataclass(frozen=True, slots=True)
class Measured:
    """Seconds that a run took.

    Attributes:
        judging: from the first judge request that came in to the last reply, by the server's clock: no tool's
            imports or set-up are in it.
        own: the same by the tool's own clock, which has the tool's set-up and its writing in it.
        whole: of the process, from start to end.
        cpu: processor time of the process and its children, which other load on the machine changes least.
        requests: HTTP requests that carried the prompts.
    """

    judging: float
    own: float
    whole: float
    cpu: float
    requests: int


def tool(tool: Tool, home: Path, setting: Setting, in_flight: int) -> Measured:
    """Have a neighbour judge everything.

    Raises:
        Failed: it ended with an error, or verdicts are missing or no verdicts.
    """
    prompts, out = setting.folder / "prompts.jsonl", setting.folder / "verdicts.jsonl"
    out.unlink(missing_ok=True)
    with serving(setting.delay, setting.serial, cpu=setting.stub_core) as url:
        script = [str(tool.python(home)), str(SCRIPTS / tool.script)]
        done, whole, cpu = _run([*script, str(prompts), url, str(out), str(in_flight)], setting)
        seen = _seen(url)
    if done.returncode:
        raise Failed(f"{tool.name} ended with {done.returncode}: {done.stderr.strip()[-1500:]}")
    check(prompts, out)
    own = json.loads(done.stdout.splitlines()[-1])["judging_seconds"]
    return _measured(seen, setting, own, whole, cpu)


def curator(setting: Setting, arguments: Sequence[str], *, tokenizer: str | None) -> Measured:
    """Have curator label everything, the whole command.

    Args:
        arguments: further ones of `curator label`.
        tokenizer: folder of the tokenizer, for prompts as token ids; None: prompts as text.

    Raises:
        Failed: it ended with an error, or pairs were not judged.
    """
    pairs, out = setting.folder / "pairs.jsonl", setting.folder / "curated"
    if out.exists():
        subprocess.run(["rm", "-r", str(out)], check=True)
    how = ("--no-tokenize",) if tokenizer else ()
    with serving(setting.delay, setting.serial, *how, cpu=setting.stub_core) as url:
        command = [sys.executable, "-m", "curator", "label", str(pairs), "--judge-url", url, "--no-probe", "--json"]
        command += ["--tokenizer", tokenizer] if tokenizer else []
        done, whole, cpu = _run([*command, "--out", str(out), *arguments], setting)
        seen = _seen(url)
    if done.returncode not in {0, 4}:  # 4: no threshold keeps the promise, which is no concern of a benchmark
        raise Failed(f"curator ended with {done.returncode}: {done.stderr.strip()[-1500:]}")
    result = json.loads(done.stdout)
    asked = result["judgments"]["asked"], 2 * result["judged"], result["failed"]
    if asked != (setting.prompts, setting.prompts, 0):
        raise Failed(f"of {setting.prompts} prompts, curator asked {asked[0]} and judged {asked[1]}")
    return _measured(seen, setting, result["judging_seconds"], whole, cpu)


def _run(command: list[str], setting: Setting) -> tuple[subprocess.CompletedProcess[str], float, float]:
    cores = setting.cores

    def pin() -> None:
        if cores is not None:
            os.sched_setaffinity(0, cores)

    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, check=False, preexec_fn=pin, timeout=LIMIT_SECONDS
    )
    whole, after = time.monotonic() - start, resource.getrusage(resource.RUSAGE_CHILDREN)
    return done, whole, after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


def _seen(url: str) -> dict[str, Any]:
    """What the stub was asked."""
    with urlopen(url + "/stub", timeout=10) as reply:
        seen: dict[str, Any] = json.load(reply)
    return seen


def check(prompts: Path, out: Path) -> None:
    """Every prompt has one verdict, and it is the likelier label.

    Raises:
        Failed: otherwise.
    """
    rows = [json.loads(line) for line in prompts.read_text(encoding="utf-8").splitlines()]
    verdicts = [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]
    keys = {(verdict["id"], verdict["order"]) for verdict in verdicts}
    if keys != {(row["id"], row["order"]) for row in rows} or len(verdicts) != len(rows):
        raise Failed(f"{len(keys)} different verdicts, {len(verdicts)} in all, on {len(rows)} prompts")
    for verdict in verdicts:
        if verdict["verdict"] != ("A" if verdict["p_first"] > 0.5 else "B"):
            raise Failed(f"a verdict that its probability does not give: {verdict}")


def _measured(seen: dict[str, Any], setting: Setting, own: float, whole: float, cpu: float) -> Measured:
    if seen["prompts"] != setting.prompts:
        raise Failed(f"the server was asked {seen['prompts']} prompts instead of {setting.prompts}")
    return Measured(seen["last"] - seen["first"], own, whole, cpu, seen["requests"])
