"""A coverage-guided fuzzer on everything that reads files of others: `python -m tests.survival fuzz --minutes 5`.

It needs Atheris (`pip install atheris`; Linux and macOS). What it finds is kept by kind of error in `--findings`, one
file each; a file that shows a defect goes to tests/golden/fuzz/TARGET/ when the defect is mended, where the ordinary
suite reads it for good.
"""

from __future__ import annotations

import argparse
import hashlib
import random
import re
import resource
import subprocess
import sys
import tempfile
import time
import traceback
from dataclasses import dataclass, field
from pathlib import Path

_INSIDE = "--inside"
_MEMORY = 64 * 2**20
"""Bytes that any input may take beside a hundred times its own size."""


@dataclass
class Tally:
    """What the fuzzing of one target came to.

    Attributes:
        edges: of curator's own code that some input reached.
        findings: kinds of errors.
    """

    executions: int = 0
    edges: int = 0
    findings: set[str] = field(default_factory=set)


def main() -> None:
    """Fuzz each target for its share of the time, and print what came of it as a table."""
    if _INSIDE in sys.argv:
        _inside(sys.argv[sys.argv.index(_INSIDE) + 1], Path(sys.argv[sys.argv.index(_INSIDE) + 2]))
    from tests.survival.targets import TARGETS

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=5.0, help="In all, shared equally by the targets.")
    parser.add_argument("--target", action="append", choices=list(TARGETS), help="This one alone; may be repeated.")
    parser.add_argument("--findings", type=Path, help="Where they are kept. [default: a temporary folder]")
    parser.add_argument("--corpus", type=Path, help="Where inputs that reach something new are kept between runs.")
    chosen = parser.parse_args()
    targets = chosen.target or list(TARGETS)
    findings = chosen.findings or Path(tempfile.mkdtemp(prefix="curator-findings-"))
    tallies = {}
    for target in targets:
        corpus = (chosen.corpus or findings / ".corpus") / target
        tallies[target] = fuzz(target, chosen.minutes * 60 / len(targets), findings / target, corpus)
    print(table(tallies))
    found = sum(len(one.findings) for one in tallies.values())
    print(f"\n{found} findings{f' in {findings}' if found else ''}")
    sys.exit(bool(found))


def table(tallies: dict[str, Tally]) -> str:
    """What was tried, in Markdown."""
    rows = [f"| {name} | {one.executions:,} | {one.edges:,} | {len(one.findings)} |" for name, one in tallies.items()]
    every = sum(one.executions for one in tallies.values())
    found = sum(len(one.findings) for one in tallies.values())
    head = ["| target | executions | edges | findings |", "|---|---|---|---|"]
    return "\n".join([*head, *rows, f"| all | {every:,} | | {found} |"])


def fuzz(target: str, seconds: float, findings: Path, corpus: Path) -> Tally:
    """Fuzz one target in processes of its own: one that crashes or hangs is a finding, and another goes on."""
    from tests.survival.making import seeds

    findings.mkdir(parents=True, exist_ok=True)
    corpus.mkdir(parents=True, exist_ok=True)
    for seed in seeds(target):
        (corpus / hashlib.sha256(seed).hexdigest()[:16]).write_bytes(seed)
    tally, end = Tally(), time.monotonic() + seconds
    while (left := end - time.monotonic()) > 1:
        command = [
            sys.executable, "-m", "tests.survival.fuzz", _INSIDE, target, str(findings), str(corpus),
            f"-max_total_time={int(left)}", "-timeout=30", "-rss_limit_mb=3000", "-max_len=65536", "-len_control=0",
            f"-artifact_prefix={findings}/", "-print_final_stats=1", "-detect_leaks=0", "-reload=0",
        ]  # fmt: skip
        try:
            done = subprocess.run(command, capture_output=True, check=False, timeout=left + 300)
        except subprocess.TimeoutExpired as late:  # not even libFuzzer's own limit ended it
            (findings / "hang").write_bytes(late.stderr or b"")
            break
        said = done.stderr.decode(errors="replace")
        counts = re.findall(r"stat::number_of_executed_units:\s*(\d+)", said) or re.findall(r"#(\d+)\s", said)[-1:]
        tally.executions += int(counts[-1]) if counts else 0
        tally.edges = max([tally.edges, *map(int, re.findall(r"cov: (\d+)", said))])
        if done.returncode:
            (findings / f"crash-{time.time():.0f}.log").write_text(said[-20_000:], encoding="utf-8")
            if not counts:
                break
    tally.findings = {path.name for path in findings.iterdir() if path.suffix != ".log" and path.name != ".corpus"}
    return tally


def _inside(target: str, findings: Path) -> None:
    """Be the process that fuzzes."""
    import atheris

    # Only the modules of curator count: what makes inputs and checks outputs is no news.
    with atheris.instrument_imports(include=["curator"]):
        from tests.survival import making, targets

    work = targets.TARGETS[target]
    dice = random.Random(0)

    def mutate(data: bytes, most: int, seed: int) -> bytes:
        dice.seed(seed)
        if dice.random() < (0.7 if target in {"arrow"} else 0.1):
            return bytes(atheris.Mutate(data, most))
        try:
            return making.changed(data, dice)[:most]
        except (UnicodeDecodeError, RecursionError):
            return bytes(atheris.Mutate(data, most))

    def one(data: bytes) -> None:
        start, before = time.thread_time(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        kind = ""
        try:
            work(data)
        except Exception as error:
            kind = _kind(error)
            said = "".join(traceback.format_exception(error))
        else:
            seconds = time.thread_time() - start
            if seconds > targets.SECONDS:  # not where something was loaded for the first time
                start = time.thread_time()
                work(data)
                seconds = time.thread_time() - start
            grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024
            if seconds > targets.SECONDS:
                said = kind = f"slow, {seconds:.0f} s"
            elif grown > _MEMORY + 100 * len(data) and warm[0] > 2_000:
                said = kind = f"memory, {grown // 2**20} MiB"
        warm[0] += 1
        if kind:
            path = findings / re.sub(r"[^\w.-]+", "_", kind)[:100]
            if not path.exists():
                path.write_bytes(data)
                path.with_suffix(path.suffix + ".log").write_text(said[-8_000:], encoding="utf-8", errors="replace")

    warm = [0]
    flags = [sys.argv[0], *(flag for flag in sys.argv[1:] if flag.startswith("-") and flag != _INSIDE)]
    flags.insert(1, sys.argv[sys.argv.index(_INSIDE) + 3])
    atheris.Setup(flags, one, custom_mutator=mutate)
    atheris.Fuzz()


def _kind(error: BaseException) -> str:
    """An error by its type and where curator, or the check, was last: the same defect has one name."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if "/curator/" in frame.filename]
    frames = frames or traceback.extract_tb(error.__traceback__)
    at = f"{Path(frames[-1].filename).stem}.{frames[-1].name}" if frames else ""
    text = re.sub(r"\d+", "N", str(error))[:40] if type(error).__name__ == "Broken" else ""
    return f"{type(error).__name__} {at} {text}"


if __name__ == "__main__":
    main()
