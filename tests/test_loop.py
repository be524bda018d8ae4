"""The full circle on real pairs: no labels, a draw, people's labels, auto labels, review labels, and again."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from curator.pair import Message, Pair
from tests.conftest import Cli, read_rows, write_rows

ALPHA = "0.25"


def answer(tasks: list[dict[str, Any]], truth: dict[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """What a person does with tasks: reads both responses and writes down a side."""
    filled = []
    for task in tasks:
        row = truth[task["prompt"][-1]["content"] + "\0" + "\0".join(sorted((task["left"], task["right"])))]
        better = {"a": row["response_a"], "b": row["response_b"]}.get(row["label"])
        side = "tie" if better is None else ("left" if better == task["left"] else "right")
        filled.append({**task, "label": side, "annotator": "anna"})
    return filled


@pytest.fixture
def real(shared_data: Callable[[str], Path], tmp_path: Path) -> tuple[Path, Path, dict[str, dict[str, Any]]]:
    rows = read_rows(shared_data("prd_vicuna80.jsonl"))
    truth = {row["prompt"] + "\0" + "\0".join(sorted((row["response_a"], row["response_b"]))): row for row in rows}
    raw = write_rows(tmp_path / "raw.jsonl", ({**row, "label": None} for row in rows))
    return raw, shared_data("prd_vicuna80.panel.judgements.jsonl"), truth


def test_full_circle(real: tuple[Path, Path, dict[str, dict[str, Any]]], cli: Cli, tmp_path: Path) -> None:
    raw, log, truth = real
    out, db = tmp_path / "raw.curated", tmp_path / "raw.curated" / "curator.duckdb"
    label = ("label", raw, "--judgments", log, "--alpha", ALPHA)

    # Cold start: nothing is promised, nothing is auto-labelled, and a random draw heads the queue.
    first = cli.json(*label)
    assert cli.code == 4
    assert first["threshold"] is None
    assert first["dataset"] == {"auto": 0, "human": 0}
    draw = first["queue"]["calibration_draw"]
    assert 0 < first["labels_missing"] <= draw < first["pairs"] == first["queue"]["tasks"] == 800

    # The same command again changes nothing, least of all the draw.
    queue = read_rows(out / "queue.jsonl")
    assert cli.json(*label)["judgments"] == {"cached": 1600, "asked": 0, "retried": 0}
    assert read_rows(out / "queue.jsonl") == queue

    # People label what heads the queue until a threshold keeps the promise.
    labelled = 0
    human: set[str] = set()
    result = first
    for _ in range(6):
        filled = answer(queue[:draw], truth)
        labelled += draw
        human |= {task["pair_id"] for task in filled}
        imported = cli.json("import", write_rows(tmp_path / "filled.jsonl", filled), "--db", db)
        assert (imported["added"], imported["refused"], imported["draw_left"]) == (draw, [], 0)
        earlier, result = result, cli.json(*label)
        assert result["calibration"]["n"] == labelled
        assert result["before"] == {
            "same_rule": True, "pairs": 800, "labelled": labelled - draw, "calibration": labelled - draw,
            "accepted": earlier["accepted"], "dataset": earlier["dataset"],
        }  # fmt: skip
        queue, draw = read_rows(out / "queue.jsonl"), result["queue"]["calibration_draw"]
        if result["threshold"] is not None:
            break
    assert cli.code == 0
    assert result["pool"] == 800 - labelled
    assert result["dataset"]["auto"] == result["accepted"] > 100
    assert result["accepted"] + result["abstained"] == result["pool"]
    assert len(queue) == result["queue"]["tasks"] == result["abstained"]

    # The summary says what the labels have bought; a run after which nothing came in says nothing of the kind.
    assert cli("calibrate", "--db", db, "--alpha", ALPHA) == 0
    assert "change  " not in cli.out
    assert cli("calibrate", "--db", db, "--alpha", "0.3") == 0
    assert "change       with other settings than the run before: +" in cli.out
    cli("calibrate", "--db", db, "--alpha", ALPHA)
    assert cli("calibrate", "--db", db, "--alpha", ALPHA, "--votes", "strict") == 0
    assert "change       with other settings than the run before: +0" in cli.out
    cli("calibrate", "--db", db, "--alpha", ALPHA)

    # Review labels come in. They are in the data set, but neither calibrate nor leave the pool.
    reviewed = answer(queue[:20], truth)
    cli.json("import", write_rows(tmp_path / "reviewed.jsonl", reviewed), "--db", db)
    assert cli(*label) == 0
    assert (
        "change       +20 labelled pairs since the run before, +0 calibration rows: +0 auto-labelled pairs" in cli.out
    )
    again = cli.json(*label, "--limit", 800)
    same = ("calibration", "pool", "accepted", "threshold", "coverage", "promise")
    assert {key: again[key] for key in same} == {key: result[key] for key in same}
    ties = sum(task["label"] == "tie" for task in reviewed)
    assert again["dataset"]["human"] == result["dataset"]["human"] + len(reviewed) - ties
    assert again["dataset"]["auto"] == result["dataset"]["auto"]

    # Each auto label is the judge's own averaged verdict, and exactly the pairs as sure as the threshold have one.
    odds: dict[str, list[float]] = {}
    for row in read_rows(log):
        odds.setdefault(row["id"], []).append(row["p_a"])
    table = pq.read_table(out / "dataset" / "data").to_pylist()
    auto = {row["pair_id"]: row for row in table if row["label_source"] == "auto"}
    human |= {task["pair_id"] for task in reviewed}
    for source in truth.values():
        p = sum(odds[source["id"]]) / 2
        pair_id = Pair((Message("user", source["prompt"]),), source["response_a"], source["response_b"]).pair_id
        if pair_id in auto:
            chosen, better = auto[pair_id]["chosen"][0]["content"], source["response_a" if p > 0.5 else "response_b"]
            assert chosen == better
            assert auto[pair_id]["p_chosen"] == pytest.approx(max(p, 1 - p))
        elif pair_id not in human and p not in (0.0, 1.0):
            assert abs(math.log(p / (1 - p))) < result["threshold"]["log_odds"] + 1e-9


def test_queue_shows_no_verdict(real: tuple[Path, Path, dict[str, dict[str, Any]]], cli: Cli, tmp_path: Path) -> None:
    raw, log, truth = real
    cli("label", raw, "--judgments", log)
    tasks = read_rows(tmp_path / "raw.curated" / "queue.jsonl")
    assert {key for task in tasks for key in task} == {
        "pair_id", "prompt", "left", "right", "label", "annotator", "note",
    }  # fmt: skip
    assert all(task["label"] is None for task in tasks)
    key = [task["prompt"][-1]["content"] + "\0" + "\0".join(sorted((task["left"], task["right"]))) for task in tasks]
    a_left = sum(truth[k]["response_a"] == task["left"] for k, task in zip(key, tasks, strict=True))
    assert 340 < a_left < 460, "the sides of 800 tasks fall like a fair coin"
