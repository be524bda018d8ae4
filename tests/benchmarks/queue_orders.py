"""What each order of the queue costs, against DuckDB writing the same rows as JSON.

    python -m tests.benchmarks.queue_orders [--pairs 100000]

Synthetic pairs of 1 KB on 200 subjects, none labelled, judged in both orders: all of them are tasks. Each way runs in a
process of its own; the ratio is the median of three to the median of three of DuckDB.
"""

from __future__ import annotations

import argparse
import multiprocessing
import resource
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa

from curator.options import QueueOrder
from curator.pair import JudgeInfo, Message, Pair
from curator.store import open_store
from curator.store.decisions import GroupCalibration
from curator.store.tasks import task_lines

REPEATS = 3


def made_up(count: int) -> Iterator[Pair]:
    """Pairs of about 1 KB whose words are those of one of 200 subjects."""
    random = np.random.default_rng(7)
    words = np.array([f"w{i:05}" for i in range(20_000)])
    for i in range(count):
        subject = int(random.integers(200))
        near = subject * 100 + random.integers(0, 100, 90)
        far = random.integers(0, 20_000, 60)
        text = words[np.where(random.random(150) < 0.6, np.resize(near, 150), np.resize(far, 150))]
        prompt, a, b = " ".join(text[:40]), " ".join(text[40:95]), " ".join(text[95:])
        yield Pair((Message("user", f"{i} {prompt}"),), a, b, (), f"p{i}", {}, "raw.jsonl", i + 1)


def make_store(path: Path, count: int) -> None:
    """A store in which every pair is judged in both orders, decided about, and abstained on."""
    from curator.conformal import Guarantee, calibrate
    from curator.store.decisions import add_calibration
    from curator.store.judgments import add_judge
    from curator.store.pairs import replace_input

    judge = JudgeInfo("j", "recorded", {"log": 1})
    with open_store(path) as store:
        replace_input(store, [("pool", made_up(count))])
        add_judge(store, judge)
        random = np.random.default_rng(8)
        p = random.uniform(0.02, 0.98, (2, count))
        for order, preferred in zip(("ab", "ba"), p, strict=True):
            with store.incoming(pa.table({"p": preferred})):
                store.rows(
                    """INSERT INTO judgment BY NAME
                    SELECT pair_id, ? AS judge_id, ? AS pair_order, ln(p) AS logprob_a, ln(1 - p) AS logprob_b,
                           'ok' AS status FROM pair POSITIONAL JOIN incoming""",
                    [judge.judge_id, order],
                )
        mean = p.mean(axis=0)
        bpe = -mean * np.log(mean) - (1 - mean) * np.log(1 - mean)
        scores = {"p_a": mean, "p_b": 1 - mean, "log_odds": np.log(mean / (1 - mean)), "bpe": bpe}
        with store.incoming(pa.table(scores)):
            store.rows(
                """INSERT INTO score BY NAME SELECT pair_id, ? AS judge_id, incoming.*, 0.0 AS p_tie
                FROM pair POSITIONAL JOIN incoming""",
                [judge.judge_id],
            )
        nothing = calibrate(
            np.ones(1), np.ones(1, dtype=bool), np.ones(5), guarantee=Guarantee.FDR, alpha="0.1", delta="0.1"
        )
        number = add_calibration(
            store, judge.judge_id, [GroupCalibration(None, nothing)],
            score="bpe", ties="error", group_by=None, fingerprint="",
        )  # fmt: skip
        store.rows("INSERT INTO decision SELECT pair_id, ?, 'abstain', NULL, '' FROM pair", [number])
        store.checkpoint()


def write_queue(path: Path, order: QueueOrder, out: Path) -> int:
    with open_store(path) as store, out.open("wb") as file:
        tasks = 0
        for count, lines in task_lines(store, order):
            file.write(lines)
            tasks += count
    return tasks


def copy(path: Path, out: Path) -> int:
    """The same rows, written by DuckDB alone."""
    db = duckdb.connect(str(path), read_only=True, config={"memory_limit": "1GiB", "threads": 2})
    db.execute(
        f"""COPY (
            SELECT pair_id, prompt::JSON AS prompt, response_a AS left, response_b AS right, NULL AS label,
                   NULL AS annotator, NULL AS note
            FROM pair JOIN score USING (pair_id) ORDER BY bpe DESC, pair_id
        ) TO '{out}' (FORMAT json)"""
    )
    return int(db.execute("SELECT count(*) FROM pair").fetchall()[0][0])


def timed(work: Callable[..., int], *arguments: Any) -> tuple[float, float, int]:
    """Seconds, peak MiB of a process that does nothing else, and rows written."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_timed, (work, arguments))


def _timed(work: Callable[..., int], arguments: tuple[Any, ...]) -> tuple[float, float, int]:
    start = time.perf_counter()
    rows = work(*arguments)
    return time.perf_counter() - start, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=100_000)
    count = parser.parse_args().pairs
    with tempfile.TemporaryDirectory() as folder:
        path, out = Path(folder) / "s.duckdb", Path(folder) / "queue.jsonl"
        make_store(path, count)
        found: dict[str, list[tuple[float, float, int]]] = {}
        for _ in range(REPEATS):
            found.setdefault("DuckDB, COPY TO JSON", []).append(timed(copy, path, out))
            for order in QueueOrder:
                found.setdefault(f"--order {order}", []).append(timed(write_queue, path, order, out))
        against = median(seconds for seconds, _, _ in found["DuckDB, COPY TO JSON"])
        print(f"{count:,} tasks, {out.stat().st_size / 2**20:,.0f} MiB\n")
        print("| | seconds | ratio | peak MiB |\n|---|---|---|---|")
        for name, runs in found.items():
            if any(rows != count for _, _, rows in runs):
                raise SystemExit(f"{name}: wrote {runs[0][2]} of {count} tasks")
            seconds = median(one[0] for one in runs)
            print(f"| {name} | {seconds:.2f} | {seconds / against:.2f} | {max(one[1] for one in runs):,.0f} |")


if __name__ == "__main__":
    main()
