"""`curator calibrate --compare` and `--sweep`: the figures are those of the definitions, and nothing is decided."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest

from curator.intervals import clopper_pearson
from curator.quality import auprc, auroc, ece
from curator.store import open_store
from curator.store.looks import add_look, earlier_looks
from tests.conftest import Cli, judgments, pairs, read_rows, without_votes, write_rows

LEVELS = (0.95, 0.9, 0.8, 0.7, 0.6)


def noisy(count: int, judge: str, seed: int) -> list[dict[str, Any]]:
    """A judge whose probabilities are true, with a stated confidence that is the same in both orders."""
    rng, rows = Random(seed), []
    for i in range(count):
        sure = LEVELS[i % len(LEVELS)]
        right = rng.random() < sure
        a = (i % 2 == 0) == right
        verdict = {"verdict": "a" if a else "b", "confidence": sure}
        for order in ("ab", "ba"):
            rows.append({"id": f"p{i}", "judge": judge, "order": order, "p_a": sure if a else 1 - sure, **verdict})
    return rows


@pytest.fixture
def decided(cli: Cli, tmp_path: Path) -> Path:
    """A store with 400 pairs, 200 of them labelled, and two judges."""
    raw = write_rows(tmp_path / "raw.jsonl", pairs(400, labelled=200))
    for judge, seed in (("one", 1), ("two", 2)):
        log = write_rows(tmp_path / f"{judge}.jsonl", noisy(400, judge, seed))
        cli("label", raw, "--judgments", log, "--alpha", "0.2")
    return tmp_path / "raw.curated" / "curator.duckdb"


def row(result: dict[str, Any], signal: str, judge: str | None = None) -> dict[str, Any]:
    (found,) = [
        one
        for one in result["signals"]
        if one["signal"] == signal and (judge is None or [who["name"] for who in one["judges"]] == [judge])
    ]
    return dict(found)


def test_the_table_is_what_its_figures_are_defined_as(decided: Path, cli: Cli, tmp_path: Path) -> None:
    result = cli.json("calibrate", "--db", decided, "--compare", "--alpha", "0.2")
    assert cli.code == 0
    assert (result["n"], result["pool"], result["alpha"], result["guarantee"]) == (200, 200, 0.2, "fdr")
    assert [one["signal"] for one in result["signals"]] == [
        "bpe", "one-order", "agreement", "verbalised", "bpe", "one-order", "agreement", "verbalised",
        "bpe", "one-order", "agreement", "verbalised", "votes",
    ]  # fmt: skip
    assert result["signals"][0]["judges"][0]["name"] == "two", "the judge of the latest calibration comes first"
    for judge in ("one", "two"):
        p = np.array([one["p_a"] for one in read_rows(tmp_path / f"{judge}.jsonl")[:400:2]])
        right, sure = (p > 0.5) == (np.arange(200) % 2 == 0), np.maximum(p, 1 - p).round(6)
        bpe = row(result, "bpe", judge)
        assert (bpe["labelled"], bpe["accuracy"], bpe["levels"]) == (200, right.mean(), 5)
        assert bpe["auroc"] == pytest.approx(auroc(sure, right))
        assert bpe["auprc"] == pytest.approx(auprc(sure, right))
        assert bpe["ece"] == pytest.approx(ece(sure + 1e-9, right), abs=1e-6)
        # Both orders say the same here, and the confidence is the probability.
        for signal in ("one-order", "verbalised"):
            assert row(result, signal, judge)["auroc"] == pytest.approx(bpe["auroc"])
            assert row(result, signal, judge)["coverage"] == bpe["coverage"]
        agreement = row(result, "agreement", judge)
        assert (agreement["levels"], agreement["auroc"], agreement["accuracy"]) == (1, 0.5, bpe["accuracy"])
        assert agreement["ece"] == pytest.approx(1 - right.mean())
    # Both together: the mean of their log-odds knows more than either, and than the share of their verdicts.
    both, votes = result["signals"][8], row(result, "votes")
    assert [who["name"] for who in both["judges"]] == [who["name"] for who in votes["judges"]] == ["two", "one"]
    assert both["auroc"] > max(row(result, "bpe", judge)["auroc"] for judge in ("one", "two")) > votes["auroc"]
    assert votes["labelled"] < 200, "two judges that differ are a tie"
    assert votes["levels"] == 1


def test_coverage_is_what_a_decision_would_give(decided: Path, cli: Cli) -> None:
    for rule in ("fdr", "pac", "scope"):
        compared = row(cli.json("calibrate", "--db", decided, "--compare", "--guarantee", rule), "bpe", "two")
        result = cli.json("calibrate", "--db", decided, "--guarantee", rule)
        for name in ("coverage", "accepted"):
            assert compared[name] == result[name]
        assert compared["calibration_errors"] == result["calibration"]["accepted_errors"]


def snapshot(db: Path) -> list[Any]:
    with open_store(db) as store:
        tables = ("calibration", "decision", "score", "run")
        return [store.rows(f"SELECT t::TEXT FROM {table} t ORDER BY ALL") for table in tables]


def test_a_sweep_is_many_decisions_and_makes_none(decided: Path, cli: Cli) -> None:
    before = snapshot(decided)
    swept = cli.json("calibrate", "--db", decided, "--sweep", "--alphas", "0.3, 0.05,0.2")
    cli("calibrate", "--db", decided, "--compare")
    assert snapshot(decided) == before
    assert [step["alpha"] for step in swept["alphas"]] == [0.05, 0.2, 0.3]
    for step in swept["alphas"]:
        result = cli.json("calibrate", "--db", decided, "--alpha", step["alpha"])
        for name in ("coverage", "accepted", "threshold"):
            assert step[name] == result[name]
        k, e = result["calibration"]["accepted"], result["calibration"]["accepted_errors"]
        assert (step["calibration_accepted"], step["calibration_errors"]) == (k, e)
        if k:
            assert (step["error"], step["error_low"], step["error_high"]) == (e / k, *clopper_pearson(e, k))
    assert swept["alphas"][-1]["coverage"] > 0.5
    assert sum(step["error"] is None for step in swept["alphas"]) == sum(
        step["threshold"] is None for step in swept["alphas"]
    )


@pytest.mark.parametrize("more", [(), ("--combine", "fitted", "--fit-fraction", "0.3"), ("--cascade", "0.9")])
def test_a_panel_is_compared_and_swept_as_it_decides(cli: Cli, tmp_path: Path, more: tuple[str, ...]) -> None:
    """With groups, and rows on which weights are fitted and which do not calibrate."""
    rows = [{**one, "topic": "xy"[i % 4 < 2]} for i, one in enumerate(pairs(600, labelled=300))]
    raw = write_rows(tmp_path / "raw.jsonl", rows)
    logs = [
        write_rows(tmp_path / f"{judge}.jsonl", noisy(600, judge, seed)) for judge, seed in (("one", 1), ("two", 2))
    ]
    rule = ("--alpha", "0.15", "--group-by", "topic")
    db = tmp_path / "raw.curated" / "curator.duckdb"
    decided = cli.json("label", raw, *(x for log in logs for x in ("--judgments", log)), *rule, *more)
    compared = cli.json("calibrate", "--db", db, "--compare", *rule)
    together = [one for one in compared["signals"] if len(one["judges"]) == 2]
    assert [one["signal"] for one in together] == ["bpe", "one-order", "agreement", "verbalised", "votes"]
    assert compared["n"] == decided["calibration"]["n"]
    for name in ("coverage", "accepted", "threshold"):
        assert together[0][name] == decided[name]
    for name in ("accuracy", "auroc"):
        assert together[0][name] == decided["judge"][name]
        for judge in decided["judges"][: 1 if "--cascade" in more else 2]:
            assert row(compared, "bpe", judge["name"])[name] == judge[name]
    (step,) = cli.json("calibrate", "--db", db, "--sweep", "--alphas", "0.15", "--group-by", "topic")["alphas"]
    for name in ("coverage", "accepted", "threshold"):
        assert step[name] == decided[name]
    assert step["calibration_errors"] == decided["calibration"]["accepted_errors"]
    assert cli("calibrate", "--db", db, "--sweep", "--group-by", "topic") == 0
    assert "fdr within each group of topic" in cli.out


def test_looks_are_recorded_as_long_as_labels_they_saw_calibrate(decided: Path, cli: Cli, tmp_path: Path) -> None:
    for _ in range(2):
        cli("calibrate", "--db", decided, "--sweep")
    assert cli.json("calibrate", "--db", decided, "--compare")["earlier_looks"] == {"sweep": 2}
    assert cli.json("calibrate", "--db", decided, "--sweep")["earlier_looks"] == {"sweep": 2, "comparison": 1}
    result = cli.json("calibrate", "--db", decided, "--alpha", "0.2")
    (doubt,) = [one for one in result["doubts"] if one["name"] == "looked before"]
    assert doubt["figures"] == {"sweep": 3, "comparison": 1}
    assert "1 comparison of signals, 3 sweeps over alpha. If rule, alpha or signal was chosen by that" in doubt["text"]
    # A second vote on each, from a file of another name, does not undo that somebody looked at the first.
    renamed = (tmp_path / "raw.jsonl").rename(tmp_path / "renamed.jsonl")
    cli("label", renamed, "--db", decided, "--out", tmp_path / "again", "--judgments", tmp_path / "one.jsonl")
    with open_store(decided) as store:
        assert store.count("SELECT count(*) FROM human_label") == 400
        assert earlier_looks(store) == {"sweep": 3, "comparison": 1}
    # Other pairs with labels of their own: nobody has looked at those.
    rows = [{**one, "prompt": "new " + one["prompt"]} for one in pairs(100, labelled=60)]
    cli("label", write_rows(tmp_path / "other.jsonl", rows), "--db", decided, "--out", tmp_path / "other",
        "--judgments", tmp_path / "one.jsonl")  # fmt: skip
    with open_store(decided) as store:
        assert earlier_looks(store) == {}
        add_look(store, "plan")
        assert earlier_looks(store) == {"plan": 1}


def test_the_sweep_in_words(decided: Path, cli: Cli) -> None:
    assert cli("calibrate", "--db", decided, "--sweep", "--guarantee", "pac", "--alphas", "0.01,0.3") == 0
    lines = cli.out.splitlines()
    assert lines[1] == "coverage     of 200 pairs under pac (delta 0.1), ranked by bpe"
    assert " ".join(lines[4].split()) == "alpha coverage accepted BPE at most labelled wrong error 95% interval"
    assert lines[5].split() == ["0.01", "none", "0", "-", "0", "0", "-"]
    assert lines[6].split()[0] == "0.3"
    assert "a choice that no promise covers" in " ".join(lines[-3:])
    assert cli("calibrate", "--db", decided, "--compare") == 0
    assert "a choice that no promise covers" in " ".join(cli.out.splitlines()[-3:])
    assert "all 2" in cli.out


def test_what_cannot_be_compared(cli: Cli, tmp_path: Path) -> None:
    raw = write_rows(tmp_path / "raw.jsonl", pairs(30))
    log = write_rows(tmp_path / "log.jsonl", judgments(30))
    cli("label", raw, "--judgments", log)
    db = tmp_path / "raw.curated" / "curator.duckdb"
    for how in ("--compare", "--sweep"):
        assert cli("calibrate", "--db", db, how) == 1
        assert "no label may calibrate yet" in cli.err
    for wrong in (("--compare", "--sweep"), ("--alphas", "0.1"), ("--sweep", "--alpha", "0.1"),
                  ("--sweep", "--alphas", "0.1,,2")):  # fmt: skip
        assert cli("calibrate", "--db", db, *wrong) == 2
    with open_store(tmp_path / "empty.duckdb"):
        pass
    for how in ("--compare", "--sweep"):
        assert cli("calibrate", "--db", tmp_path / "empty.duckdb", how) == 1
        assert "nothing is judged yet" in cli.err


def labelled(path: Path, to: Path, count: int) -> Path:
    """Real pairs, a random draw of which keeps its label."""
    rows = [without_votes(row) for row in read_rows(path)]
    Random(0).shuffle(rows)
    return write_rows(to, ({**one, "label": one["label"] if i < count else None} for i, one in enumerate(rows)))


def test_published_judges_of_real_pairs(shared_data: Callable[[str], Path], cli: Cli, tmp_path: Path) -> None:
    raw = labelled(shared_data("prd_vicuna80.jsonl"), tmp_path / "prd.jsonl", 400)
    single, panel = shared_data("prd_vicuna80.judgements.jsonl"), shared_data("prd_vicuna80.panel.judgements.jsonl")
    for judge in ("claude", "gpt4"):
        cli("label", raw, "--judgments", single, "--judge", judge)
    cli("label", raw, "--judgments", panel)
    result = cli.json("calibrate", "--db", tmp_path / "prd.curated" / "curator.duckdb", "--compare", "--alpha", "0.2")
    assert (result["n"], result["pool"]) == (400, 400)
    for one in result["signals"]:
        assert 0 < one["labelled"] <= 400
        for name in ("accuracy", "ece", "auroc", "auprc", "coverage"):
            assert 0 <= one[name] <= 1, (one["signal"], name)
    share, verdicts = row(result, "bpe", "panel-of-5"), row(result, "bpe", "gpt4")
    assert share["levels"] > 10 > 3 > verdicts["levels"] == 2
    assert share["auroc"] > 0.7 > verdicts["auroc"] > 0.5
    assert share["ece"] < verdicts["ece"]
    assert share["coverage"] >= 0.5
    assert row(result, "one-order", "claude")["levels"] == 1, "a bare verdict is always as sure"
    votes = row(result, "votes")
    assert verdicts["levels"] < votes["levels"]
    assert votes["auroc"] > verdicts["auroc"]


def test_published_judges_of_llmbar(shared_data: Callable[[str], Path], cli: Cli, tmp_path: Path) -> None:
    raw = labelled(shared_data("llmbar.jsonl"), tmp_path / "llmbar.jsonl", 200)
    log = shared_data("llmbar.voteshare.judgements.jsonl")
    for judge in ("LLaMA2", "GPT-4"):
        cli("label", raw, "--judgments", log, "--judge", judge)
    result = cli.json("calibrate", "--db", tmp_path / "llmbar.curated" / "curator.duckdb", "--compare")
    good, weak = row(result, "bpe", "GPT-4"), row(result, "bpe", "LLaMA2")
    assert good["accuracy"] > 0.7 > weak["accuracy"]
    assert good["auroc"] > 0.65
    assert good["levels"] > row(result, "agreement", "GPT-4")["levels"]
    assert good["coverage"] > row(result, "agreement", "GPT-4")["coverage"]
    assert json.dumps(result)
