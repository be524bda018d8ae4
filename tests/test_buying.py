"""`curator plan --labels`: what it prints, draws and records, and what it says to what it cannot use."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from random import Random
from xml.etree import ElementTree as ET

import pytest

from curator.resources import first_error
from curator.store import open_store
from curator.store.looks import earlier_looks
from tests.conftest import Cli, pairs, read_rows, without_votes, write_rows
from tests.test_comparing import noisy


@pytest.fixture
def db(cli: Cli, tmp_path: Path) -> Path:
    """A store with 400 pairs and a judge; 120 pairs have a label."""
    raw = write_rows(tmp_path / "raw.jsonl", pairs(400, labelled=120))
    cli("label", raw, "--judgments", write_rows(tmp_path / "log.jsonl", noisy(400, "j", 1)))
    return tmp_path / "raw.curated" / "curator.duckdb"


def test_a_plan_from_a_pilot(db: Path, cli: Cli) -> None:
    result = cli.json("plan", "--labels", "--db", db, "--guarantee", "pac", "--guarantee", "fdr", "--alphas", "0.2,0.1")
    assert cli.code == 0
    assert first_error("plan", result) is None
    assert set(result) == {"version", "labels"}
    plan = result["labels"]
    assert (plan["pairs"], plan["scored"], plan["accuracy"], plan["delta"]) == (400, 400, None, 0.1)
    with open_store(db) as store:
        wrong = store.count(
            """SELECT count(*) FROM calibration_label JOIN score USING (pair_id)
            WHERE (verdict = 'a') <> (log_odds > 0)"""
        )
        assert earlier_looks(store) == {"plan": 1}
    assert plan["pilot"] == {"n": 120, "errors": wrong}
    assert [(cell["guarantee"], cell["alpha"], cell["labels"]) for cell in plan["cells"]] == [
        (rule, alpha, n) for rule in ("pac", "fdr") for alpha in (0.1, 0.2) for n in (50, 100, 200)
    ]
    for cell in plan["cells"]:
        assert 0 <= cell["low"] <= cell["high"] <= 1
        assert cell["coverage"] <= cell["chance"]
        assert cell["coverage_error"] < 0.04
    assert plan["advice"].startswith("At alpha 0.1 under pac, ")
    # Nothing is decided by it, and it says the same again.
    assert (
        cli.json("plan", "--labels", "--db", db, "--guarantee", "pac", "--guarantee", "fdr", "--alphas", "0.1,0.2")[
            "labels"
        ]
        == plan
    )


def test_a_plan_from_an_assumed_accuracy_looks_at_no_label(db: Path, cli: Cli) -> None:
    better, worse = (
        cli.json("plan", "--labels", "--db", db, "--accuracy", share)["labels"] for share in ("0.95", "0.75")
    )
    assert first_error("plan", {"version": "x", "labels": better}) is None
    assert better["pilot"] is None
    for high, low in zip(better["cells"], worse["cells"], strict=True):
        assert high["coverage"] >= low["coverage"]
        assert high["low"] is high["high"] is None
    assert better["cells"][-1]["coverage"] == 1.0, "at alpha .2 a judge that is right on .95 labels everything"
    with open_store(db) as store:
        assert earlier_looks(store) == {}


def test_the_plan_in_words(db: Path, cli: Cli) -> None:
    assert cli("plan", "--labels", "--db", db, "--guarantee", "pac", "--guarantee", "fdr") == 0
    lines = cli.out.splitlines()
    assert lines[0] == "pairs        400, 400 of them with a score"
    assert lines[1].startswith("judge        error rate over sureness fitted to 120 labelled pairs, ")
    assert "200 draws a cell: standard error up to" in lines[3]
    assert (lines[5], lines[11]) == ("pac (delta 0.1)", "fdr")
    assert lines[6].split() == ["labels", "alpha", "0.05", "alpha", "0.1", "alpha", "0.2"]
    assert [line.split()[0] for line in lines[7:10]] == ["50", "100", "200"]
    assert cli.out.count(" to ") >= 18
    assert lines[-1].startswith("At alpha 0.1 under pac, ")


def test_cost_and_labels_at_once(db: Path, cli: Cli) -> None:
    result = cli.json("plan", "--cost", "--labels", "--db", db, "--parameters", "14B", "--accuracy", "0.8")
    assert first_error("plan", result) is None
    assert set(result) == {"version", "cost", "labels"}
    assert cli("plan", "--cost", "--labels", "--db", db, "--parameters", "14B", "--accuracy", "0.8") == 0
    assert cli.out.index("GPU-hours") < cli.out.index("taken to be right on 80.0%")


def test_the_picture_is_well_formed_and_says_what_the_plan_says(db: Path, cli: Cli, tmp_path: Path) -> None:
    path, asked = tmp_path / "plan.svg", ("--guarantee", "fdr", "--guarantee", "pac", "--alphas", "0.05,0.15")
    plan = cli.json("plan", "--labels", "--db", db, *asked, "--picture", path)["labels"]
    first = path.read_bytes()
    root = ET.fromstring(first)
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    texts = {"".join(node.itertext()).strip() for node in root.iter("{http://www.w3.org/2000/svg}text")}
    assert {"fdr", "pac", "alpha 0.05", "alpha 0.15", "calibration labels", "50", "100", "200"} <= texts
    assert any(plan["advice"] in "".join(node.itertext()) for node in root.iter())
    cli("plan", "--labels", "--db", db, *asked, "--picture", path)
    assert path.read_bytes() == first


def test_a_recipe_gives_defaults(db: Path, cli: Cli, tmp_path: Path) -> None:
    recipe = tmp_path / "mine.yaml"
    recipe.write_text('name: mine\ndescription: x\nguarantee: pac\ndelta: "0.05"\nties: exclude\nalpha: 0.2\n')
    plan = cli.json("plan", "--labels", "--db", db, "--recipe", recipe)["labels"]
    assert {cell["guarantee"] for cell in plan["cells"]} == {"pac"}
    assert (plan["delta"], plan["ties"]) == (0.05, "exclude")


def test_what_cannot_be_planned(db: Path, cli: Cli, tmp_path: Path) -> None:
    raw = tmp_path / "raw.jsonl"
    for wrong in (("--labels", raw), ("--labels", raw, "--db", db), ("--db", db), ("--cost", raw, "--picture", "x.svg"),
                  ("--labels", "--db", db, "--accuracy", 1), ("--labels", "--db", db, "--alphas", "2")):  # fmt: skip
        assert cli("plan", *wrong) == 2
    rows = write_rows(tmp_path / "new.jsonl", pairs(60))
    cli("label", rows, "--judgments", tmp_path / "log.jsonl")
    new = tmp_path / "new.curated" / "curator.duckdb"
    assert cli("plan", "--labels", "--db", new) == 1
    assert "--accuracy 0.85" in cli.err
    assert cli("plan", "--labels", "--db", new, "--accuracy", "0.85") == 0
    with open_store(tmp_path / "empty.duckdb"):
        pass
    assert cli("plan", "--labels", "--db", tmp_path / "empty.duckdb", "--accuracy", "0.85") == 1
    assert "no pair has a score yet" in cli.err


def test_the_plan_of_real_pairs_comes_near_what_they_give(
    shared_data: Callable[[str], Path], cli: Cli, tmp_path: Path
) -> None:
    """PRD's panel at alpha .2: planned from 150 labels for 500, against 500 real labels of five draws."""
    rows = [without_votes(row) for row in read_rows(shared_data("prd_vicuna80.jsonl"))]
    log = shared_data("prd_vicuna80.panel.judgements.jsonl")

    def store(name: str, seed: int, labelled: int) -> Path:
        order = Random(seed).sample(rows, len(rows))
        raw = write_rows(
            tmp_path / f"{name}.jsonl",
            ({**row, "label": row["label"] if i < labelled else None} for i, row in enumerate(order)),
        )
        cli("label", raw, "--judgments", log, "--alpha", "0.2")
        return tmp_path / f"{name}.curated" / "curator.duckdb"

    plans = []
    for seed in range(3):
        plan = cli.json("plan", "--labels", "--db", store(f"pilot{seed}", seed, 150), "--alphas", "0.2")["labels"]
        plans.append(next(cell["coverage"] for cell in plan["cells"] if cell["labels"] == 500))
    real = []
    for seed in range(5):
        compared = cli.json("calibrate", "--db", store(f"real{seed}", 100 + seed, 500), "--sweep", "--alphas", "0.2")
        real.append(compared["alphas"][0]["coverage"])
    print(f"\nplanned {sum(plans) / 3:.3f} {plans}, real {sum(real) / 5:.3f} {real}")
    assert sum(plans) / 3 == pytest.approx(sum(real) / 5, abs=0.15)
