"""How curator does on large files, against DuckDB and NumPy doing the least that would have to be done.

    python -m tests.benchmarks.large                    a million pairs of about 1 KB with judgments in both orders
    python -m tests.benchmarks.large --pairs 100000     fewer
    python -m tests.benchmarks.large --rules            only scoring, calibrating and accepting, without a store
    python -m tests.benchmarks.large --growth           time and memory from 10^4 pairs up to --pairs, with a plot

It makes its own data, the same each time, in a temporary folder (--folder keeps it), runs every phase in a process of
its own, so that its peak memory is its own, and prints a Markdown table. At a million pairs it takes some minutes and 5
GB of disk; nothing else should run meanwhile. The plot is tests/benchmarks/growth.svg.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

ALPHA, WORDS, LIMIT = "0.1", 200_000, 2048
PLOT = Path(__file__).with_name("growth.svg")


# ------------------------------------------------------------------------------------------------------------ the data


def make(folder: Path, count: int) -> None:
    """`raw.jsonl`, four pairs a prompt, every tenth labelled, and `log.jsonl`, a judge that is mostly right."""
    rng = np.random.default_rng(1)
    letters = rng.integers(97, 123, (WORDS, 9), dtype=np.uint8)
    lengths = rng.integers(2, 10, WORDS)
    text = " ".join(bytes(word[:length]).decode() for word, length in zip(letters, lengths, strict=True))
    sign = np.where(np.arange(count) % 2 == 1, 1.0, -1.0)
    sure = sign * rng.normal(2.0, 2.0, count)
    p = 1 / (1 + np.exp(-(sure + rng.normal(0.0, 0.5, (2, count)))))
    with (folder / "raw.jsonl").open("w") as raw, (folder / "log.jsonl").open("w") as log:
        for start in range(0, count, 10_000):
            rows = range(start, min(start + 10_000, count))
            places = rng.integers(0, len(text) - 500, (len(rows), 3))
            for i, (a, b, prompt) in zip(rows, places.tolist(), strict=True):
                if i % 4 == 0:
                    question = f"Question {i}: {text[prompt : prompt + 60]}"
                label = "null" if i % 10 else '"a"' if i % 2 else '"b"'
                raw.write(
                    f'{{"id":"p{i}","prompt":"{question}","response_a":"{i} {text[a : a + 420]}",'
                    f'"response_b":"{text[b : b + 420]}","label":{label},"source":"synthetic","n":{i}}}\n'
                )
                for order, value in zip(("ab", "ba"), p[:, i], strict=True):
                    log.write(f'{{"id":"p{i}","judge":"synthetic","order":"{order}","p_a":{value:.6f}}}\n')


# -------------------------------------------------------------- the phases, each in a process of its own, in seconds


def timed(work: Callable[[], Any]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def duckdb_reads(folder: Path, name: str) -> float:
    import duckdb

    path = folder / f"{name}.duckdb"
    path.unlink(missing_ok=True)

    def work() -> None:
        with duckdb.connect(str(path)) as db:
            source = folder / f"{name}.jsonl"
            db.execute(f"CREATE TABLE t AS SELECT * FROM read_json('{source}', format = 'newline_delimited')")

    return timed(work)


def duckdb_copies(folder: Path) -> float:
    """The rows of the data set, already in a table, to Parquet."""
    import duckdb

    path = folder / "copy.duckdb"
    path.unlink(missing_ok=True)
    with duckdb.connect(str(path)) as db:
        db.execute(f"CREATE TABLE t AS SELECT * FROM '{folder}/phases/dataset/data/*.parquet'")
        return timed(lambda: db.execute(f"COPY t TO '{folder}/copy.parquet' (FORMAT parquet, COMPRESSION zstd)"))


def options(folder: Path) -> Any:
    from curator.conformal import exact
    from curator.options import JudgeChoice, LabelOptions, Rule

    return LabelOptions(
        raw=str(folder / "raw.jsonl"), out=folder / "phases", db=folder / "phases" / "curator.duckdb",
        rule=Rule(alpha=exact(ALPHA)), judges=(JudgeChoice(log=str(folder / "log.jsonl")),),
    )  # fmt: skip


def ingest(folder: Path) -> float:
    from curator.progress import Progress
    from curator.steps.ingesting import ingest as work
    from curator.store import open_store

    chosen = options(folder)

    def whole() -> None:
        with open_store(chosen.db) as store:
            work(store, chosen, Progress())

    return timed(whole)


def judgments(folder: Path) -> dict[str, float]:
    from curator.progress import Progress
    from curator.steps import recording
    from curator.store import open_store

    chosen, reading = options(folder), 0.0
    read = recording._read

    def watched(*arguments: Any) -> Any:
        nonlocal reading
        start = time.perf_counter()
        found = read(*arguments)
        reading = time.perf_counter() - start
        return found

    recording._read = watched
    with open_store(chosen.db) as store:
        whole = timed(lambda: recording.read_judgments(store, chosen.judges[0].log, None, Progress()))
    return {"reading": reading, "whole": whole}


def decide(folder: Path) -> float:
    from curator import pipeline
    from curator.pair import JudgeInfo
    from curator.steps import deciding
    from curator.store import open_store
    from curator.store.judgments import stored_judge

    chosen = options(folder)
    with open_store(chosen.db) as store:
        judge: JudgeInfo = stored_judge(store, store.rows("SELECT judge_id FROM judge")[0][0])
        seconds = timed(lambda: deciding.decide(store, judge, chosen.rule))
        pipeline.recalibrate(store, chosen.rule)
    return seconds


def export(folder: Path) -> dict[str, float]:
    from curator.steps.exporting import export_dataset
    from curator.store import open_store, views

    chosen = options(folder)
    with open_store(chosen.db) as store:
        result = views.latest_run(store)
        assert result is not None
        seconds = timed(lambda: export_dataset(store, result, chosen.out / "dataset"))
    return {"seconds": seconds, "rows": float(sum(result["dataset"].values()))}


def queue(folder: Path) -> dict[str, float]:
    """Every pair without a label as a task: nothing is accepted at such an alpha."""
    from curator import pipeline
    from curator.conformal import exact
    from curator.options import Rule
    from curator.steps.queueing import write_queue
    from curator.store import open_store

    chosen, tasks = options(folder), 0
    with open_store(chosen.db) as store:
        pipeline.recalibrate(store, Rule(alpha=exact("0.000001")))
        start = time.perf_counter()
        tasks = write_queue(store, chosen.out / "all-queue.jsonl")
        seconds = time.perf_counter() - start
    return {"seconds": seconds, "tasks": float(tasks)}


def pure(folder: Path, count: int) -> dict[str, float]:
    from curator.conformal import Guarantee, accept, calibrate
    from curator.preference import preference

    rng = np.random.default_rng(0)
    ab, ba = rng.normal(0, 3, (2, count))
    labelled = slice(0, count // 10)
    wrong = rng.random(count // 10) < 1 / (1 + np.exp(np.abs(ab[labelled])))

    def work(rule: Guarantee) -> None:
        sureness = preference(ab, ba).sureness
        accept(sureness, calibrate(sureness[labelled], wrong, sureness, guarantee=rule).threshold)

    def best(what: Callable[[], Any]) -> float:
        return min(timed(what) for _ in range(5))

    sureness = preference(ab, ba).sureness
    return {"sort": best(lambda: np.sort(sureness)), **{rule.value: best(partial(work, rule)) for rule in Guarantee}}


PHASES: dict[str, Callable[[Path, int], Any]] = {
    "duckdb raw": lambda folder, _: duckdb_reads(folder, "raw"),
    "duckdb log": lambda folder, _: duckdb_reads(folder, "log"),
    "duckdb copy": lambda folder, _: duckdb_copies(folder),
    "ingest": lambda folder, _: ingest(folder),
    "judgments": lambda folder, _: judgments(folder),
    "decide": lambda folder, _: decide(folder),
    "export": lambda folder, _: export(folder),
    "queue": lambda folder, _: queue(folder),
    "pure": pure,
}


def run(command: list[str]) -> tuple[float, float, str]:
    """Seconds, peak MiB and output of a process."""
    start = time.perf_counter()
    with subprocess.Popen([sys.executable, *command], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        out = process.stdout.read()
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode not in {0, 4}:
        raise SystemExit(f"{command} failed with {process.returncode}")
    return time.perf_counter() - start, usage.ru_maxrss / 1024, out


def phase(name: str, folder: Path, count: int) -> tuple[Any, float]:
    _, peak, out = run(
        ["-m", "tests.benchmarks.large", "--phase", name, "--folder", str(folder), "--pairs", str(count)]
    )
    return json.loads(out), peak


def label(folder: Path, out: str) -> tuple[float, float]:
    command = ["label", str(folder / "raw.jsonl"), "--judgments", str(folder / "log.jsonl"), "--out", str(folder / out)]
    seconds, peak, _ = run(["-m", "curator", *command, "--alpha", ALPHA, "--json"])
    return seconds, peak


# ---------------------------------------------------------------------------------------------------------- the tables


def table(folder: Path, count: int) -> str:
    found: dict[str, Any] = {}
    peaks: dict[str, float] = {}
    for name in ("duckdb raw", "ingest", "duckdb log", "judgments", "decide", "export", "duckdb copy", "queue", "pure"):
        found[name], peaks[name] = phase(name, folder, count)
        print(f"{name}: {found[name]}, peak {peaks[name]:.0f} MiB", file=sys.stderr, flush=True)
    fresh, peak = label(folder, "whole")
    again, again_peak = label(folder, "whole")
    (folder / "whole" / ".last-run.json").unlink()
    anew, anew_peak = label(folder, "whole")
    curator, log, copied = found["ingest"], found["judgments"], found["export"]
    sort = found["pure"].pop("sort")
    rows: list[tuple[str, float, str, float, float, float]] = [
        ("ingest", curator, "DuckDB reads the file into a table", found["duckdb raw"], 3, peaks["ingest"])
    ]
    for rule, seconds in found["pure"].items():
        name = f"score, calibrate, accept ({rule})"
        rows.append((name, seconds, "np.sort of as many numbers", sort, 5, peaks["pure"]))
    name, against = f"export of {copied['rows']:,.0f} rows", "DuckDB copies them from a table"
    rows.append((name, copied["seconds"], against, found["duckdb copy"], 3, peaks["export"]))
    name, against = f"read the log of {2 * count:,} rows", "DuckDB reads it into a table"
    rows.append((name, log["reading"], against, found["duckdb log"], 3, peaks["judgments"]))
    rows.append(("the same command with nothing to do", again, "ingest", curator, 0.1, again_peak))
    lines = [
        "| phase | seconds | against | seconds | ratio | target | | peak MiB |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for name, seconds, against, reference, target, most in rows:
        ratio = seconds / reference
        end = f"{ratio:.2f} | {target} | {'pass' if ratio <= target else 'FAIL'} | {most:.0f} |"
        lines.append(f"| {name} | {seconds:.3g} | {against} | {reference:.3g} | {end}")
    fits = "pass" if peak <= LIMIT else "FAIL"
    lines.append(f"| a whole run | {fresh:.3g} | peak memory | | | {LIMIT} MiB | {fits} | {peak:.0f} |")
    for name, seconds, most in (
        ("judgments looked up and stored", log["whole"] - log["reading"], peaks["judgments"]),
        ("decide, with all that is stored", found["decide"], peaks["decide"]),
        (f"queue of {found['queue']['tasks']:,.0f} tasks", found["queue"]["seconds"], peaks["queue"]),
        ("decided and written anew, nothing read", anew, anew_peak),
    ):
        lines.append(f"| {name} | {seconds:.3g} | | | | | | {most:.0f} |")
    return f"{count:,} pairs, {os.cpu_count()} CPU cores\n\n" + "\n".join(lines)


def rules(count: int) -> str:
    """Each rule over `count` pairs, a tenth of them labelled, against sorting as many scores, in one run."""
    found, peak = phase("pure", Path(), count)
    sort = found.pop("sort")
    lines = [
        f"{count:,} scores, {count // 10:,} labels; np.sort of the scores {sort:.3f} s; peak {peak:.0f} MiB\n",
        "| score, calibrate, accept | seconds | times np.sort | target | |",
        "|---|---|---|---|---|",
    ]
    for rule, seconds in found.items():
        ratio = seconds / sort
        lines.append(f"| {rule} | {seconds:.3f} | {ratio:.2f} | 5 | {'pass' if ratio <= 5 else 'FAIL'} |")
    return "\n".join(lines)


def growth(folder: Path, most: int) -> str:
    """Whole runs of ten times more pairs each time."""
    lines = ["| pairs | seconds | us a pair | peak MiB |", "|---|---|---|---|"]
    counts, times, peaks = [], [], []
    count = 10_000
    while count <= most:
        with tempfile.TemporaryDirectory(dir=folder) as one:
            make(Path(one), count)
            seconds, peak = label(Path(one), "whole")
        counts.append(count)
        times.append(seconds)
        peaks.append(peak)
        lines.append(f"| {count:,} | {seconds:.3g} | {seconds / count * 1e6:.3g} | {peak:.0f} |")
        print(lines[-1], file=sys.stderr, flush=True)
        count *= 10
    plot(counts, times, peaks)
    return "\n".join(lines)


def plot(counts: list[int], times: list[float], peaks: list[float]) -> None:
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams.update({"svg.hashsalt": "curator", "font.size": 11})
    mpl.rcParams.update({"axes.spines.top": False, "axes.spines.right": False})
    from matplotlib import pyplot as plt
    from matplotlib.ticker import FuncFormatter, NullFormatter

    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.8), layout="constrained")
    per_pair = [seconds / count * 1e6 for seconds, count in zip(times, counts, strict=True)]
    for axes, values, name in ((left, per_pair, "microseconds a pair"), (right, peaks, "peak memory, MiB")):
        axes.loglog(counts, values, "o-", color="#2b6cb0")
        axes.set(xlabel="pairs", ylabel=name, xlim=(counts[0] / 2, counts[-1] * 2), ylim=(10, 10_000))
        axes.grid(visible=True, which="major", alpha=0.3)
        for axis in (axes.xaxis, axes.yaxis):
            axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
            axis.set_minor_formatter(NullFormatter())
        for count, value in zip(counts, values, strict=True):
            axes.annotate(f"{value:,.0f}", (count, value), xytext=(0, -16), textcoords="offset points", ha="center")
    right.axhline(LIMIT, color="#c05621", linestyle="--", linewidth=1)
    right.annotate("2 GiB", (counts[0], LIMIT), xytext=(0, 5), textcoords="offset points", color="#c05621")
    figure.suptitle("curator label, a whole run with recorded judgments")
    figure.savefig(PLOT, metadata={"Date": None})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=1_000_000)
    parser.add_argument("--growth", action="store_true")
    parser.add_argument("--rules", action="store_true")
    parser.add_argument("--folder", type=Path, help="Make the data here and keep it.")
    parser.add_argument("--phase", choices=sorted(PHASES), help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.phase:
        print(json.dumps(PHASES[chosen.phase](chosen.folder, chosen.pairs)))
        return
    if chosen.rules:
        print(rules(chosen.pairs))
        return
    with tempfile.TemporaryDirectory() as temporary:
        folder = chosen.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        if chosen.growth:
            print(growth(folder, chosen.pairs))
            return
        if not (folder / "log.jsonl").exists():
            make(folder, chosen.pairs)
        print(table(folder, chosen.pairs))


if __name__ == "__main__":
    main()
