"""Audits of accepted pairs, labels in doubt that come back, and contradicting verdicts, over whole runs."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from curator.intervals import clopper_pearson
from curator.pair import Origin, Verdict, first_by_hash
from curator.resources import first_error
from curator.store import Store, open_store
from curator.store.audits import ask_again, asked_again, audited, draw_audit, rechecked, waiting_again
from curator.store.doubts import votes
from curator.store.labels import Label, add_labels, draw_for_calibration
from tests.conftest import Cli, judgments, pairs, read_rows, write_rows

PAIRS, LABELLED = 600, 100
UNSURE = set(range(4, PAIRS, 5))
MISTAKEN = set(range(7, PAIRS, 31)) - UNSURE
HARD = len([i for i in UNSURE if i >= LABELLED])


class Run:
    """Runs over made-up pairs of which the judge is unsure about every fifth, and what people answer."""

    def __init__(self, cli: Cli, folder: Path, labelled: int = LABELLED) -> None:
        self.rows = pairs(PAIRS, labelled=labelled)
        sure, unsure = judgments(PAIRS, 0.97, wrong=MISTAKEN), judgments(PAIRS, 0.52, wrong=range(9, PAIRS, 10))
        self.raw = write_rows(folder / "raw.jsonl", self.rows)
        self.log = write_rows(
            folder / "log.jsonl", ((unsure if i // 2 in UNSURE else sure)[i] for i in range(2 * PAIRS))
        )
        self.folder, self.out, self.cli = folder, folder / "raw.curated", cli
        self.db, self.queue = self.out / "curator.duckdb", self.out / "queue.jsonl"

    def label(self, *more: object) -> dict[str, Any]:
        result = self.cli.json("label", self.raw, "--judgments", self.log, *more)
        assert first_error("run", result) is None
        return result

    def audit(self, *more: object) -> dict[str, Any]:
        result = self.cli.json("audit", "--db", self.db, *more)
        assert first_error("audit", result) is None
        return result

    def tasks(self) -> list[dict[str, Any]]:
        return read_rows(self.queue)

    def sql(self, query: str) -> list[dict[str, Any]]:
        self.cli("sql", query, "--db", self.db, "--json")
        return [json.loads(line) for line in self.cli.out.splitlines()]

    def ids(self, query: str) -> set[str]:
        return {row["pair_id"] for row in self.sql(query)}

    def send(self, answers: Iterable[dict[str, Any]], name: str = "filled.jsonl") -> dict[str, Any]:
        return self.cli.json("import", write_rows(self.folder / name, answers), "--db", self.db)

    def dataset(self) -> dict[str, dict[str, Any]]:
        return {row["pair_id"]: row for row in pq.read_table(self.out / "dataset" / "data").to_pylist()}


def queue(tasks: int, audit: int = 0, again: int = 0) -> dict[str, int]:
    """`queue` of run.json where nobody is to answer for the second time."""
    counts = {"tasks": tasks, "calibration_draw": 0, "audit": audit, "again": again}
    return {**counts, "another": 0, "answers": tasks}


def number(task: dict[str, Any]) -> int:
    return int(task["prompt"][0]["content"].split()[1])


def answer(task: dict[str, Any], say: str | None = None) -> dict[str, Any]:
    """The task with the better response named, or the worse one, or what else is said."""
    better = "first" if number(task) % 2 == 0 else "second"
    side = "left" if task["left"].startswith(better) else "right"
    other = {"left": "right", "right": "left"}[side]
    return {**task, "label": {None: side, "wrong": other}.get(say, say), "annotator": "anna"}


@pytest.fixture
def run(cli: Cli, tmp_path: Path) -> Run:
    return Run(cli, tmp_path)


AUDITED = "SELECT pair_id FROM audit"


def test_an_audit_shows_the_error_that_was_bought(run: Run) -> None:
    before = run.label()
    assert before["audit"] is None
    first = run.label("--audit", "0.15")
    drawn = run.ids(AUDITED)
    assert 40 < len(drawn) < 90
    assert first["queue"] == queue(HARD + len(drawn), audit=len(drawn))
    assert {key: first["audit"][key] for key in ("drawn", "accepted", "labelled", "error", "low", "high")} == {
        "drawn": len(drawn), "accepted": first["accepted"], "labelled": 0, "error": None, "low": None, "high": None,
    }  # fmt: skip
    same = ("calibration", "pool", "accepted", "threshold", "coverage", "promise", "dataset")
    assert {key: first[key] for key in same} == {key: before[key] for key in same}

    tasks = run.tasks()
    answers = [answer(task) for task in tasks if task["pair_id"] in drawn]
    assert run.send(answers)["added"] == len(drawn)
    assert run.sql("SELECT DISTINCT origin FROM human_label WHERE annotator = 'anna'") == [{"origin": "audit"}]
    # The status knows before the next run does.
    status = run.cli.json("status", "--db", run.db)
    errors = sum(number(task) in MISTAKEN for task in answers)
    low, high = clopper_pearson(errors, len(drawn))
    expected = {
        "drawn": len(drawn), "accepted": first["accepted"], "labelled": len(drawn), "ties_left_out": 0,
        "errors": errors, "error": errors / len(drawn), "low": low, "high": high, "confidence": 0.95,
    }  # fmt: skip
    assert status["audit"] == expected
    assert 0 < errors < 10

    after = run.label("--audit", "0.15")
    assert after["audit"] == expected
    assert {key: after[key] for key in same[:-1]} == {key: first[key] for key in same[:-1]}, "they never calibrate"
    assert after["queue"]["tasks"] == HARD
    assert after["dataset"] == {"auto": first["dataset"]["auto"] - len(drawn), "human": LABELLED + len(drawn)}
    rows = run.dataset()
    for task in answers:
        better = "first" if number(task) % 2 == 0 else "second"
        row = rows[task["pair_id"]]
        assert row["chosen"][0]["content"] == f"{better} answer to {number(task)}"
        assert row["label_source"] == "human"
    card = (run.out / "dataset" / "README.md").read_text()
    sentence = f"The error among the accepted pairs is {errors / len(drawn):.3g}, between {low:.3g} and {high:.3g}"
    assert sentence in card
    for command in (("status", "--db", run.db), ("audit", "--db", run.db)):
        assert run.cli(*command) == 0
        assert sentence in " ".join(run.cli.out.split())


def test_what_a_stricter_decision_accepted_is_no_sample_of_what_a_wider_one_accepts(run: Run) -> None:
    """The judge is wrong on half of the pairs that only the wider decision accepts."""
    run.label("--audit", "0.15")
    strict = run.ids(AUDITED)
    run.send(answer(task) for task in run.tasks() if task["pair_id"] in strict)
    assert run.label("--audit", "0.15")["audit"]["high"] is not None
    wide = run.label("--audit", "0.15", "--alpha", "0.3")
    assert wide["accepted"] == wide["pool"]
    assert wide["audit"]["labelled"] == len(strict) < wide["audit"]["drawn"]
    assert (wide["audit"]["low"], wide["audit"]["high"]) == (None, None)
    assert run.cli("audit", "--db", run.db) == 0
    assert "or drawn from what an earlier decision accepted" in " ".join(run.cli.out.split())
    drawn = run.ids(AUDITED)
    run.send((answer(task) for task in run.tasks() if task["pair_id"] in drawn), "rest.jsonl")
    done = run.label("--audit", "0.15", "--alpha", "0.3")["audit"]
    assert done["labelled"] == done["drawn"] == len(drawn)
    assert (done["low"], done["high"]) == clopper_pearson(done["errors"], len(drawn))
    again = run.label("--audit", "0.15")["audit"]
    assert again["labelled"] == again["drawn"] == len(strict)
    assert again["high"] is not None


def test_nothing_about_an_audited_task_gives_it_away(run: Run) -> None:
    run.label("--audit", "0.4")
    drawn, tasks = run.ids(AUDITED), run.tasks()
    assert {tuple(task) for task in tasks} == {("pair_id", "prompt", "left", "right", "label", "annotator", "note")}
    assert {(task["label"], task["annotator"], task["note"]) for task in tasks} == {(None, None, None)}
    spread_out(drawn, tasks)
    with open_store(run.db) as store:
        seed = store.seed
        by_hash = [row[0] for row in store.rows("SELECT pair_id FROM audit ORDER BY rowid")]
    in_queue = [task["pair_id"] for task in tasks if task["pair_id"] in drawn]
    ranks = [by_hash.index(pair_id) for pair_id in in_queue]
    assert abs(np.corrcoef(ranks, np.arange(len(ranks)))[0, 1]) < 0.3
    assert 0.35 < np.mean([first_by_hash(seed, pair_id) for pair_id in drawn]) < 0.65
    # The others stand as they would without an audit.
    rest = [task["pair_id"] for task in tasks if task["pair_id"] not in drawn]
    assert rest == [row["pair_id"] for row in run.sql(
        """SELECT pair_id FROM decision JOIN input USING (pair_id) JOIN score USING (pair_id)
        WHERE decision = 'abstain' ORDER BY bpe DESC, position"""
    )]  # fmt: skip


def spread_out(hidden: set[str], tasks: list[dict[str, Any]]) -> None:
    """Whether some tasks stand like thrown at random among all: as many as chance allows in each fifth."""
    places = np.array([i for i, task in enumerate(tasks) if task["pair_id"] in hidden]) / len(tasks)
    assert len(places) > 100
    fifths = np.histogram(places, 5, (0, 1))[0]
    assert fifths.min() > 0.5 * len(places) / 5
    assert fifths.max() < 1.5 * len(places) / 5


def test_audited_tasks_stand_behind_a_draw_that_waits(run: Run) -> None:
    """Drawn pairs that the judge is sure of leave no room for audited ones at the end."""
    run.label()
    with open_store(run.db) as store:
        drawn = draw_for_calibration(store, 200)
    result = run.label("--audit", "0.6")
    tasks = run.tasks()
    assert result["queue"]["calibration_draw"] == drawn == 200
    with open_store(run.db) as store:
        order = [row[0] for row in store.rows("SELECT pair_id FROM draw ORDER BY position")]
    assert [task["pair_id"] for task in tasks[:200]] == order
    hidden = run.ids(AUDITED) - set(order)
    assert len(hidden) == result["queue"]["audit"]
    spread_out(hidden, tasks[200:])


def test_a_larger_share_adds_pairs_and_an_equal_one_none(run: Run) -> None:
    shares = []
    for share in ("0.05", "0.05", "0.2", "0.01", "0", "0.2", "1"):
        run.label("--audit", share)
        shares.append(run.ids(AUDITED))
    assert shares[0] == shares[1] < shares[2] == shares[3] == shares[4] == shares[5] < shares[6]
    assert len(shares[6]) == run.label()["accepted"]
    assert run.cli.json("queue", "--db", run.db, "--out", run.folder / "q", "--audit", "1")["tasks"] == PAIRS - LABELLED


def test_an_audit_is_of_all_groups_together(run: Run) -> None:
    write_rows(run.raw, ({**row, "topic": "xyz"[i % 3]} for i, row in enumerate(run.rows)))
    result = run.label("--audit", "0.2", "--group-by", "topic", "--ties", "exclude")
    assert result["audit"]["accepted"] == result["accepted"]
    assert result["audit"]["drawn"] == len(run.ids(AUDITED)) > 20
    assert run.audit()["labels"]["confident"] is not None


SURELY = """
    SELECT count(*) AS n FROM score JOIN label USING (pair_id) CROSS JOIN calibration
    WHERE calibration_id = (SELECT max(calibration_id) FROM calibration)
      AND abs(log_odds) >= threshold AND verdict IN ('a', 'b') AND (log_odds > 0) <> (verdict = 'a')
"""


def test_as_sure_as_the_threshold_means_the_latest_decision(run: Run, tmp_path: Path) -> None:
    """Of its own judge, on its own scale: another one in the store that is less sure takes nothing away."""
    wrong = len(MISTAKEN & set(range(LABELLED)))
    run.label()
    assert run.audit()["labels"]["confident"] == wrong == run.sql(SURELY)[0]["n"] == 2
    other = write_rows(tmp_path / "other.jsonl", judgments(PAIRS, 0.55, wrong=MISTAKEN, judge="other"))
    run.cli("label", run.raw, "--judgments", other)
    run.label()
    labels = run.audit()["labels"]
    assert labels["confident"] == wrong == run.sql(SURELY)[0]["n"]
    assert [row["judges"] for row in labels["listed"]] == [2] * len(labels["listed"])
    run.cli("calibrate", "--db", run.db, "--alpha", "0.001")
    assert run.audit()["labels"]["confident"] is None, "no threshold"


def test_bare_verdicts_reach_their_threshold(cli: Cli, tmp_path: Path) -> None:
    """They are infinitely sure, and so may the threshold be."""
    raw = write_rows(tmp_path / "raw.jsonl", pairs(60, labelled=40))
    log = write_rows(tmp_path / "log.jsonl", judgments(60, 1.0, wrong=[7]))
    result = cli.json("label", raw, "--judgments", log)
    assert result["threshold"]["log_odds"] == "inf"
    assert cli.json("audit", "--db", tmp_path / "raw.curated" / "curator.duckdb")["labels"]["confident"] == 1


def test_each_group_has_its_own_threshold(cli: Cli, tmp_path: Path) -> None:
    """A judge is surer in one group than in the other; in each its mistakes are as sure as the rest."""
    rows = [{**row, "topic": "xy"[i % 4 // 2]} for i, row in enumerate(pairs(400, labelled=200))]
    sure, less = judgments(400, 0.95, wrong=[4, 8]), judgments(400, 0.7, wrong=[3, 7, 11])
    log = [(sure, less)[i // 2 % 4 // 2][i] for i in range(800)]
    raw = write_rows(tmp_path / "raw.jsonl", rows)
    result = cli.json(
        "label", raw, "--judgments", write_rows(tmp_path / "log.jsonl", log), "--group-by", "topic", "--group-min", 50
    )
    assert [round(group["threshold"]["log_odds"], 3) for group in result["groups"]] == [2.944, 0.847]
    db = tmp_path / "raw.curated" / "curator.duckdb"
    labels = cli.json("audit", "--db", db)["labels"]
    assert (labels["contradicted"], labels["confident"]) == (5, 5)
    cli("audit", "--db", db)
    assert "5 contradicted (5 as surely as the threshold)" in cli.out


def test_one_pair_at_least_is_drawn(run: Run) -> None:
    result = run.label("--audit", "0.0000001")
    assert (result["audit"]["drawn"], result["queue"]["audit"]) == (1, 1)


def test_whoever_is_accepted_later_had_the_same_chance(run: Run) -> None:
    """A stricter decision takes pairs out of the sample, a wider one lets in those that were always below the cut."""
    wide = run.label("--audit", "0.2")["audit"]
    drawn = run.ids(AUDITED)
    run.cli("calibrate", "--db", run.db, "--alpha", "0.001")
    assert run.cli.json("status", "--db", run.db)["audit"] is None, "nothing is accepted, and nothing is to be said"
    run.cli("calibrate", "--db", run.db)
    assert run.cli.json("status", "--db", run.db)["audit"] == wide
    run.cli("calibrate", "--db", run.db, "--alpha", "0.5")
    wider = run.cli.json("status", "--db", run.db)["audit"]
    assert wider["accepted"] == PAIRS - LABELLED > wide["accepted"]
    with open_store(run.db) as store:
        below = {row[0] for row in store.rows(
            """SELECT pair_id FROM decision WHERE decision = 'accept'
            AND md5_number_lower('audit' || ? || pair_id) / 18446744073709551616 <= 0.2""", [store.seed],
        )}  # fmt: skip
    assert below > drawn
    assert len(below) == wider["drawn"]
    assert below == run.ids(AUDITED)


@pytest.mark.parametrize(("policy", "ties_left_out"), [("error", 0), ("exclude", 3)])
def test_ties_are_errors_or_left_out_and_skips_are_always_errors(run: Run, policy: str, ties_left_out: int) -> None:
    run.label("--audit", "0.15", "--ties", policy)
    drawn = run.ids(AUDITED)
    tasks = [task for task in run.tasks() if task["pair_id"] in drawn and number(task) not in MISTAKEN]
    mistaken = len(drawn) - len(tasks)
    run.send(
        [answer(task, {0: "tie", 1: "tie", 2: "tie", 3: "skip", 4: "wrong"}.get(i)) for i, task in enumerate(tasks)]
        + [answer(task) for task in run.tasks() if task["pair_id"] in drawn and number(task) in MISTAKEN]
    )
    found = run.label("--ties", policy)["audit"]
    n, errors = len(drawn) - ties_left_out, mistaken + 5 - ties_left_out
    assert (found["labelled"], found["ties_left_out"], found["errors"]) == (len(drawn), ties_left_out, errors)
    assert (found["error"], found["low"], found["high"]) == (errors / n, *clopper_pearson(errors, n))
    # A tie is no preference; a skip leaves the judge's label.
    rows = run.dataset()
    assert [tasks[i]["pair_id"] in rows for i in range(5)] == [False, False, False, True, True]
    assert rows[tasks[3]["pair_id"]]["label_source"] == "auto"
    assert run.cli.json("status", "--db", run.db)["auto_labelled"] == sum(
        row["label_source"] == "auto" for row in rows.values()
    )


def test_what_is_missing_is_said(run: Run) -> None:
    run.label("--audit", "0.15")
    drawn = run.ids(AUDITED)
    tasks = [task for task in run.tasks() if task["pair_id"] in drawn]
    run.send([answer(task) for task in tasks[:20]])
    found = run.label()["audit"]
    errors = sum(number(task) in MISTAKEN for task in tasks[:20])
    assert (found["labelled"], found["low"], found["high"]) == (20, *clopper_pearson(errors, 20))
    run.cli("status", "--db", run.db)
    assert "if it is chance which of the drawn pairs have no label yet" in " ".join(run.cli.out.split())


def test_pairs_labelled_while_the_judge_abstained_hold_the_interval_back(run: Run) -> None:
    """They are the hard ones: with them and without those that wait, the sample would be too hard."""
    run.label("--alpha", "0.001")
    hard = [answer(task) for task in run.tasks()[:HARD]]
    assert {number(task) in UNSURE for task in hard} == {True}
    run.send(hard[:60])
    wide = run.label("--audit", "0.3", "--alpha", "0.5")
    drawn = run.ids(AUDITED)
    earlier = sum(task["pair_id"] in drawn for task in hard[:60])
    assert wide["audit"]["labelled"] == earlier > 0
    assert wide["queue"]["audit"] == len(drawn) - earlier, "nobody is asked about them again"
    assert (wide["audit"]["low"], wide["audit"]["high"]) == (None, None)
    tasks = run.tasks()
    run.send([answer(task) for task in tasks[:-1]])
    assert run.label("--alpha", "0.5")["audit"]["low"] is None
    run.send([answer(task) for task in tasks[-1:]])
    whole = run.label("--alpha", "0.5")["audit"]
    errors = sum(row["i"] in MISTAKEN or row["i"] % 10 == 9 for row in run.sql(
        "SELECT substr(source_id, 2)::INT AS i FROM audit JOIN input_row USING (pair_id)"
    ))  # fmt: skip
    assert (whole["labelled"], whole["errors"]) == (len(drawn), errors)
    assert (whole["low"], whole["high"]) == clopper_pearson(errors, len(drawn))


def test_an_audited_pair_calibrates_only_with_the_whole_of_a_later_draw(run: Run) -> None:
    run.label("--audit", "0.3")
    drawn = run.ids(AUDITED)
    run.send([answer(task) for task in run.tasks() if task["pair_id"] in drawn])
    with open_store(run.db) as store:
        rows = "SELECT count(*) FROM calibration_label"
        assert store.count(rows) == LABELLED
        draw_for_calibration(store, 50)
        taken = {row[0] for row in store.rows("SELECT pair_id FROM draw")}
        assert taken & drawn
        open_ = sorted(taken - drawn)
        add_labels(store, [Label(pair_id, "anna", Verdict.A) for pair_id in open_[1:]])
        assert store.count(rows) == LABELLED
        add_labels(store, [Label(open_[0], "anna", Verdict.A)])
        assert store.count(rows) == LABELLED + len(taken)
        origins = store.rows("SELECT origin, count(*) FROM human_label GROUP BY ALL ORDER BY ALL")
        assert origins == [("audit", len(drawn)), ("calibration", LABELLED + len(open_))]


# Labels in doubt.


def doubted(run: Run, top: int = 3) -> tuple[dict[str, Any], list[dict[str, Any]], list[dict[str, Any]]]:
    """Run, put the doubted labels back, and write the queue: first result, what was listed, the tasks for it."""
    first = run.label()
    result = run.audit("--labels", "--top", top, "--requeue")
    listed = result["labels"]["listed"]
    assert result["requeued"] == len(listed)
    run.label()
    ids = [row["pair_id"] for row in listed]
    return first, listed, sorted((t for t in run.tasks() if t["pair_id"] in ids), key=lambda t: ids.index(t["pair_id"]))


def test_labels_that_a_judge_contradicts_are_listed_the_strongest_first(cli: Cli, tmp_path: Path) -> None:
    rows = pairs(40, labelled=40)
    rows[5]["label"], rows[6]["label"], rows[9]["label"] = "a", "tie", "a"
    log = [row for row in judgments(40, 0.8) if row["id"] not in {"p9", "p11", "p13"}]
    for i, p in ((9, 0.1), (11, 0.6), (13, 0.5)):
        log += [{"id": f"p{i}", "judge": "j", "order": order, "p_a": p} for order in ("ab", "ba")]
    raw = write_rows(tmp_path / "raw.jsonl", rows)
    cli("label", raw, "--judgments", write_rows(tmp_path / "log.jsonl", log))
    result = cli.json("audit", "--db", tmp_path / "raw.curated" / "curator.duckdb")
    labels = result["labels"]
    assert (labels["labelled"], labels["judged"], labels["contradicted"], labels["ambiguous"]) == (39, 39, 3, 1)
    # p5 and p9 are said to be a, the judge prefers b; p11 is b; on p13 the judge has no preference; p6 is a tie.
    assert [(row["line"], row["verdict"], row["reading"]) for row in labels["listed"]] == [
        (10, "a", "contradicted"), (6, "a", "contradicted"), (12, "b", "contradicted"), (14, "b", "ambiguous"),
    ]  # fmt: skip
    assert [row["strength"] for row in labels["listed"]] == pytest.approx(
        [-np.log(9), -np.log(4), -np.log(1.5), 0.0], abs=1e-12
    )
    assert {(row["spread"], row["judges"], row["file"], row["recheck"]) for row in labels["listed"]} == {
        (None, 1, str(raw), None)
    }


def test_several_judges_give_a_mean_and_a_spread(cli: Cli, tmp_path: Path) -> None:
    """A bare verdict counts as very sure, and not as infinitely so; a judge with one order has no say."""
    raw = write_rows(tmp_path / "raw.jsonl", pairs(4, labelled=4))
    p = {"one": [0.2, 0.9, 0.9, 0.5], "two": [0.4, 0.9, 0.1, 0.5], "three": [0.3, 1.0, 0.8, 0.5]}
    for judge, values in p.items():
        log = [
            {"id": f"p{i}", "judge": judge, "order": order, "p_a": value}
            for i, value in enumerate(values)
            for order in ("ab", "ba")
            if (judge, i, order) != ("three", 0, "ba")
        ]
        cli("label", raw, "--judgments", write_rows(tmp_path / f"{judge}.jsonl", log))
    listed = cli.json("audit", "--db", tmp_path / "raw.curated" / "curator.duckdb")["labels"]["listed"]
    said = {1: [0.2, 0.4], 2: [0.1, 0.1, 2.0**-53], 3: [0.9, 0.1, 0.8], 4: [0.5] * 3}
    for row in listed:
        p_human = np.array(said[row["line"]])
        assert row["strength"] == pytest.approx(np.log(p_human / (1 - p_human)).mean(), abs=1e-12)
        assert (row["preference"], row["spread"]) == pytest.approx((p_human.mean(), p_human.std()), abs=1e-12)
    assert [(row["line"], row["judges"], row["reading"]) for row in listed] == [
        (2, 3, "contradicted"), (1, 2, "contradicted"), (4, 3, "ambiguous"), (3, 3, "ambiguous"),
    ]  # fmt: skip


def test_doubted_pairs_come_back_blind_and_once(run: Run) -> None:
    first, listed, tasks = doubted(run)
    assert len(tasks) == len(listed) == 3
    assert [number(task) in MISTAKEN or number(task) % 10 == 9 for task in tasks] == [True] * 3
    for task in tasks:
        assert list(task) == ["pair_id", "prompt", "left", "right", "label", "annotator", "note"]
        assert (task["label"], task["annotator"], task["note"]) == (None, None, None)
    all_tasks = run.tasks()
    assert len(all_tasks) == HARD + 3
    assert {all_tasks.index(task) for task in tasks} != {0, 1, 2} != {len(all_tasks) - i for i in (1, 2, 3)}
    again = run.audit("--labels", "--top", 3, "--requeue")
    assert again["requeued"] == 0
    assert [row["recheck"] for row in again["labels"]["listed"]] == ["waiting"] * 3
    assert again["labels"]["rechecks"] == {"asked": 3, "waiting": 3, "confirmed": 0, "changed": 0, "undecided": 0}
    result = run.label()
    assert result["queue"] == queue(HARD + 3, again=3)
    # Waiting changes nothing: the labels hold until somebody says otherwise.
    same = ("calibration", "threshold", "accepted", "dataset", "labelled")
    assert {key: result[key] for key in same} == {key: first[key] for key in same}


def test_a_second_label_moves_the_data_set_and_never_the_calibration(run: Run) -> None:
    first, _, tasks = doubted(run)
    rows = run.dataset()
    done = run.send([answer(tasks[0], "wrong"), answer(tasks[1]), answer(tasks[2], "skip")])
    assert (done["added"], done["superseded"], done["refused"]) == (3, 0, [])
    second = run.label()
    same = ("calibration", "threshold", "accepted", "dataset", "labelled", "pool")
    assert {key: second[key] for key in same} == {key: first[key] for key in same}
    now = run.dataset()
    changed = {pair_id for pair_id, row in now.items() if row != rows[pair_id]}
    assert changed == {tasks[0]["pair_id"]}
    assert now[tasks[0]["pair_id"]]["chosen"] == rows[tasks[0]["pair_id"]]["rejected"]
    rechecks = run.audit()["labels"]["rechecks"]
    assert rechecks == {"asked": 3, "waiting": 0, "confirmed": 1, "changed": 1, "undecided": 1}
    said = run.sql(f"SELECT origin, verdict FROM human_label WHERE pair_id = '{tasks[0]['pair_id']}' ORDER BY number")
    assert [row["origin"] for row in said] == ["calibration", "review"]
    assert said[0]["verdict"] != said[1]["verdict"]
    assert not run.ids("SELECT pair_id FROM recheck_waiting")
    assert second["queue"]["tasks"] == HARD
    # The raw file is read once more: it says what it said.
    run.raw.write_text(run.raw.read_text() + "\n")
    third = run.label()
    assert {key: third[key] for key in same} == {key: first[key] for key in same}
    assert run.dataset() == now


@pytest.mark.parametrize("say", [None, "wrong", "tie"])
def test_the_same_annotator_may_say_the_same_or_another_thing(run: Run, say: str | None) -> None:
    """Also of a pair of the calibration draw, where a new label would else be a calibration label."""
    plain = Run(run.cli, run.folder / "drawn", labelled=0) if (run.folder / "drawn").mkdir() is None else run
    plain.label()
    draw = plain.label()["queue"]["calibration_draw"]
    filled = [answer(task, "wrong" if i == 3 else None) for i, task in enumerate(plain.tasks()[:draw])]
    plain.send(filled)
    first = plain.label()
    assert first["calibration"]["n"] == draw
    assert first["threshold"] is not None
    plain.audit("--labels", "--top", 1, "--requeue")
    plain.label()
    pair_id = plain.audit()["labels"]["listed"][0]["pair_id"]
    task = next(task for task in plain.tasks() if task["pair_id"] == pair_id)
    original = next(row for row in filled if row["pair_id"] == pair_id)
    assert (task["left"], task["right"]) == (original["right"], original["left"]), "the sides are turned round"
    assert plain.send([answer(task, say)])["added"] == 1
    assert plain.send([answer(task, say)])["unchanged"] == 1
    second = plain.label()
    same = ("calibration", "threshold", "accepted", "pool")
    assert {key: second[key] for key in same} == {key: first[key] for key in same}
    said = plain.sql(f"SELECT origin, annotator FROM human_label WHERE pair_id = '{pair_id}' ORDER BY number")
    assert said == [{"origin": "calibration", "annotator": "anna"}, {"origin": "review", "annotator": "anna"}]
    assert (pair_id in plain.dataset()) == (say != "tie")
    # The queue of before holds no answer to what was asked now.
    refused = plain.send(filled)
    assert (refused["added"], refused["superseded"], refused["unchanged"]) == (0, 0, draw - 1)
    assert "is from before this pair was asked about again" in refused["refused"][0]
    assert len(refused["refused"]) == 1


def test_answers_about_doubted_pairs_are_never_overwritten(run: Run) -> None:
    """Their pairs have labels already; what counts is whether this answer is imported."""
    _, _, tasks = doubted(run)
    filled = [answer(task) if task in tasks[:2] else task for task in run.tasks()]
    write_rows(run.queue, filled)
    assert run.cli("label", run.raw, "--judgments", run.log) == 1
    assert "holds 2 labels that are not imported yet" in run.cli.err
    assert run.send(filled)["added"] == 2
    assert run.label()["queue"]["again"] == 1


def test_answers_of_before_do_not_stop_the_queue_from_being_written(run: Run) -> None:
    run.label("--alpha", "0.001")
    filled = [answer(task, "wrong" if i == 0 else None) for i, task in enumerate(run.tasks())]
    run.send(filled)
    write_rows(run.queue, filled)
    before = run.audit("--labels", "--top", PAIRS, "--requeue")["requeued"]
    assert before > 1
    assert run.label("--alpha", "0.001")["queue"]["again"] == before


def test_pairs_of_a_calibration_file_are_listed_and_no_tasks(cli: Cli, tmp_path: Path) -> None:
    rows = pairs(60, labelled=60)
    rows[3]["label"] = "a"
    raw = write_rows(tmp_path / "raw.jsonl", ({**row, "label": None} for row in rows[30:]))
    elsewhere = write_rows(tmp_path / "elsewhere.jsonl", rows[:30])
    log = write_rows(tmp_path / "log.jsonl", judgments(60))
    cli("label", raw, "--judgments", log, "--calibration", elsewhere)
    result = cli.json("audit", "--db", tmp_path / "raw.curated" / "curator.duckdb", "--labels", "--requeue")
    assert [(row["file"], row["line"]) for row in result["labels"]["listed"]] == [(str(elsewhere), 4)]
    assert result["requeued"] == 0


@pytest.fixture
def store(run: Run) -> Store:
    run.label("--audit", "0.15")
    with open_store(run.db) as opened:
        yield opened  # type: ignore[misc]


VIEWS = ("label", "first_label", "calibration_label")


def verdicts(store: Store, pair_id: str) -> list[str | None]:
    return [
        (store.rows(f"SELECT verdict FROM {view} WHERE pair_id = ?", [pair_id]) or [(None,)])[0][0] for view in VIEWS
    ]


def abstained(store: Store) -> str:
    return str(store.one("SELECT min(pair_id) FROM decision WHERE decision = 'abstain'")[0])


def test_a_review_label_in_doubt(store: Store) -> None:
    pair_id = abstained(store)
    add_labels(store, [Label(pair_id, "anna", Verdict.A), Label(pair_id, "ben", Verdict.A)])
    assert ask_again(store, [pair_id]) == 1
    assert verdicts(store, pair_id) == ["a", "a", None]
    assert waiting_again(store) == asked_again(store) == {pair_id}
    add_labels(store, [Label(pair_id, "cleo", Verdict.B)])
    assert verdicts(store, pair_id) == ["b", "a", None], "two before are not outvoted: the later question is another"
    add_labels(store, [Label(pair_id, "ben", Verdict.A)])
    assert verdicts(store, pair_id) == ["tie", "a", None], "two answers to it, one vote each"
    assert waiting_again(store) == frozenset()
    # Drawn afterwards, it calibrates with what was said first, and only with all of its draw.
    draw_for_calibration(store, 10**6)
    assert verdicts(store, pair_id)[2] is None
    rest = [row[0] for row in store.rows("SELECT pair_id FROM draw WHERE pair_id NOT IN (SELECT pair_id FROM label)")]
    add_labels(store, [Label(one, "anna", Verdict.A) for one in rest])
    assert verdicts(store, pair_id) == ["tie", "a", "a"]


def test_a_second_label_is_no_double_annotation(store: Store) -> None:
    """Pairs come back because of what was said about them: they tell nothing of how often people agree."""
    ids = [row[0] for row in store.rows("SELECT pair_id FROM calibration_label ORDER BY pair_id LIMIT 5")]
    add_labels(store, [Label(pair_id, "ben", Verdict.A, Origin.CALIBRATION) for pair_id in ids[:2]])
    store.rows("CREATE OR REPLACE TEMP TABLE calibrating AS SELECT pair_id FROM calibration_label")
    before = votes(store)
    assert sum(one.pairs for one in before if one.votes == 2) == 2
    assert ask_again(store, ids) == 5
    add_labels(store, [Label(pair_id, "cleo", Verdict.B) for pair_id in ids])
    assert votes(store) == before


def test_pairs_without_a_label_cannot_come_back(store: Store) -> None:
    assert ask_again(store, [abstained(store), "0" * 32]) == 0
    assert rechecked(store) == {"asked": 0, "waiting": 0, "confirmed": 0, "changed": 0, "undecided": 0}


def test_the_audit_speaks_of_what_was_said_before_the_doubt(store: Store) -> None:
    """People are asked again where the judge disagrees: with their second thoughts errors would only become fewer."""
    drawn = store.rows("SELECT pair_id, d.label FROM audit JOIN decision d USING (pair_id) ORDER BY pair_id")
    other = {"a": Verdict.B, "b": Verdict.A}
    add_labels(
        store,
        [Label(pair_id, "anna", other[label] if i < 2 else Verdict(label)) for i, (pair_id, label) in enumerate(drawn)],
    )
    found = audited(store)
    assert found is not None
    assert (found.drawn, found.labelled, found.errors, found.earlier) == (len(drawn), len(drawn), 2, 0)
    assert ask_again(store, [drawn[0][0]]) == 1
    add_labels(store, [Label(drawn[0][0], "anna", Verdict(drawn[0][1]))])
    assert audited(store) == found
    assert store.rows("SELECT verdict FROM label WHERE pair_id = ?", [drawn[0][0]]) == [(drawn[0][1],)]
    assert store.rows("SELECT origin FROM human_label WHERE pair_id = ? ORDER BY number", [drawn[0][0]]) == [
        (Origin.AUDIT.value,), (Origin.REVIEW.value,),
    ]  # fmt: skip


def test_an_audit_takes_no_share_above_one(run: Run) -> None:
    assert run.cli("label", run.raw, "--judgments", run.log, "--audit", "1.5") == 2
    assert run.cli("label", run.raw, "--judgments", run.log, "--audit", "nan") == 2
    recipe = run.folder / "mine.yaml"
    recipe.write_text("name: mine\ndescription: a test\naudit: 0.2\n")
    assert run.label("--recipe", recipe)["audit"]["drawn"] > 20


def test_without_a_draw_nothing_is_added(tmp_path: Path) -> None:
    with open_store(tmp_path / "s.duckdb") as empty:
        assert draw_audit(empty, 0) == 0
        assert draw_audit(empty, 0.5) == 0
        assert audited(empty) is None


# Contradictions.


def same_prompt(prompt: str, verdicts: dict[str, float], label: dict[str, str]) -> tuple[list[Any], list[Any]]:
    """Rows about responses of one prompt ("xy": P(x better)), and a judge's log of them."""
    rows, log = [], []
    for name, p in verdicts.items():
        rows.append({
            "id": prompt + name, "prompt": prompt, "response_a": f"answer {name[0]}", "response_b": f"answer {name[1]}",
            "label": label.get(name),
        })  # fmt: skip
        log += [{"id": prompt + name, "judge": "j", "order": order, "p_a": p} for order in ("ab", "ba")]
    return rows, log


def test_contradictions_of_judge_and_people_are_counted_and_listed(cli: Cli, tmp_path: Path) -> None:
    parts = [
        same_prompt("one", {"xy": 0.9, "yz": 0.8, "zx": 0.7}, {"xy": "a", "yz": "a", "zx": "b"}),
        same_prompt("two", {"xy": 0.5, "yz": 0.5, "xz": 0.9}, {"xy": "tie", "yz": "a", "xz": "b"}),
        same_prompt("three", {"xy": 0.9, "yz": 0.9, "xz": 0.5}, {"xy": "a", "yz": "a"}),
        same_prompt("four", {"xy": 0.9, "yz": 0.9, "xz": 0.9}, {"xy": "a", "yz": "a", "xz": "a"}),
        same_prompt("five", {"xy": 0.9, "yz": 0.9}, {}),
    ]
    raw = write_rows(tmp_path / "raw.jsonl", [row for rows, _ in parts for row in rows])
    log = write_rows(tmp_path / "log.jsonl", [row for _, rows in parts for row in rows])
    cli("label", raw, "--judgments", log)
    db = tmp_path / "raw.curated" / "curator.duckdb"
    result = cli.json("audit", "--db", db)
    assert first_error("audit", result) is None
    found = result["contradictions"]
    counted = ("triples", "cycles", "equals", "chains", "limited_prompts")
    assert [found["judge"][key] for key in counted] == [4, 1, 1, 1, 0]
    assert [found["people"][key] for key in counted] == [3, 0, 0, 1, 0]
    by_kind = {row["kind"]: row for row in found["judge"]["listed"]}
    assert {kind: row["prompt"] for kind, row in by_kind.items()} == {"cycle": "one", "equal": "two", "chain": "three"}
    assert by_kind["cycle"]["strength"] == pytest.approx(np.log(7 / 3))
    names = [text.removeprefix("answer ") for text in by_kind["cycle"]["responses"]]
    assert "".join(names) in {"xyz", "yzx", "zxy"}
    assert by_kind["equal"]["responses"] == ["answer z", "answer y", "answer x"]
    assert by_kind["chain"]["responses"] == ["answer x", "answer y", "answer z"]
    assert [row["strength"] for row in found["judge"]["listed"]] == sorted(
        (row["strength"] for row in found["judge"]["listed"]), reverse=True
    )
    cli("sql", "SELECT source_id, pair_id FROM input_row", "--db", db, "--json")
    ids = {row["source_id"]: row["pair_id"] for row in map(json.loads, cli.out.splitlines())}
    assert by_kind["chain"]["pairs"] == [ids["threexy"], ids["threeyz"], ids["threexz"]]
    people = found["people"]["listed"][0]
    assert (people["kind"], people["prompt"], people["strength"]) == ("chain", "two", 1.0)
    assert len(cli.json("audit", "--db", db, "--top", 1)["contradictions"]["judge"]["listed"]) == 1
    assert cli("audit", "--db", db, "--contradictions") == 0
    assert "judge: 3 of 4 triples of one prompt contradict themselves: 1 cycles, 1 equals that are not" in cli.out
    assert f"1 and 2: {ids['threexy']}" in cli.out


def test_what_is_listed_cannot_write_to_the_terminal(cli: Cli, tmp_path: Path) -> None:
    hostile = "\x1b]0;owned\x07\x1b[31m\0"
    rows, log = same_prompt(hostile, {"xy": 0.9, "yz": 0.8, "zx": 0.7}, {"xy": "b", "yz": "a", "zx": "b"})
    raw = write_rows(tmp_path / "raw.jsonl", ({**row, "response_a": hostile + row["response_a"]} for row in rows))
    cli("label", raw, "--judgments", write_rows(tmp_path / "log.jsonl", log))
    db = tmp_path / "raw.curated" / "curator.duckdb"
    assert cli("audit", "--db", db, "--labels", "--contradictions") == 0
    assert "contradicted" in cli.out
    assert "\x1b" not in cli.out
    assert "\0" not in cli.out
    assert first_error("audit", cli.json("audit", "--db", db)) is None


def test_an_empty_store_and_a_wrong_call(run: Run, tmp_path: Path) -> None:
    db = tmp_path / "empty.duckdb"
    open_store(db).__exit__(None, None, None)
    result = run.cli.json("audit", "--db", db)
    assert first_error("audit", result) is None
    assert (result["labels"]["judged"], result["contradictions"]["judge"]["triples"], result["audit"]) == (0, 0, None)
    assert run.cli("audit", "--db", db, "--labels", "--contradictions") == 0
    assert "no human label is in doubt" in run.cli.out
    assert run.cli("audit", "--db", db, "--requeue") == 2
    assert "give both" in run.cli.err
