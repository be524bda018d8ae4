"""Doubts as real runs raise them: in run.json, in the summary and on the card; and none in a clean run."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

from curator.options import Rule
from curator.pair import Origin, Verdict
from curator.pipeline import recalibrate
from curator.resources import first_error
from curator.store import doubts as stored
from curator.store import open_store
from curator.store.labels import Label, add_labels, draw_for_calibration
from tests.conftest import Cli, judgments, read_rows, write_rows
from tests.conftest import pairs as numbered

Rows = list[dict[str, Any]]


def pairs(count: int, labelled: int = 0) -> Rows:
    """The rows of `conftest.pairs`, all equally long: else the first of a file were shorter, which is drift."""
    return [
        {
            **row,
            "prompt": f"prompt {i:04}",
            "response_a": f"first answer to {i:04}",
            "response_b": f"second one to {i:04}",
        }
        for i, row in enumerate(numbered(count, labelled))
    ]


class Run:
    """`curator label` on rows with a log, in a folder: what it found."""

    def __init__(self, cli: Cli, folder: Path) -> None:
        self.cli, self.folder = cli, folder
        self.out = folder / "raw.curated"
        self.db = self.out / "curator.duckdb"

    def __call__(self, rows: Rows, log: Rows, *options: object) -> dict[str, Any]:
        raw = write_rows(self.folder / "raw.jsonl", rows)
        result = self.cli.json("label", raw, "--judgments", write_rows(self.folder / "log.jsonl", log), *options)
        assert first_error("run", result) is None
        return result


@pytest.fixture
def run(cli: Cli, tmp_path: Path) -> Run:
    return Run(cli, tmp_path)


def names(result: dict[str, Any]) -> list[str]:
    return [doubt["name"] for doubt in result["doubts"]]


def doubt(result: dict[str, Any], name: str) -> dict[str, Any]:
    (found,) = [one for one in result["doubts"] if one["name"] == name]
    return found


def replies(ids: Iterable[int], p_ab: Callable[[int], float], p_ba: Callable[[int], float]) -> Rows:
    """A log of the probabilities of a in each order."""
    return [
        {"id": f"p{i}", "judge": "j", "order": order, "p_a": p(i)}
        for i in ids
        for order, p in (("ab", p_ab), ("ba", p_ba))
    ]


def test_a_clean_run_raises_none(run: Run, tmp_path: Path) -> None:
    result = run(pairs(200, labelled=100), judgments(200, wrong=range(0, 200, 20)))
    assert result["accepted"] == 100
    assert result["doubts"] == []
    assert result["judge"]["bias"] == {
        "pairs": 200, "first_shown_preferred": 0.5, "flipped": 0.0,
        # The first answer of `pairs` is the longer, and right on even numbers; the judge is wrong on some of these.
        "longer_preferred": 0.45, "compared_with_people": 100,
        "longer_preferred_there": 0.45, "longer_preferred_by_people": 0.5,
        "label_mass_median": None, "low_label_mass": None,
    }  # fmt: skip
    run.cli("label", tmp_path / "raw.jsonl", "--judgments", tmp_path / "log.jsonl")
    assert "note " not in run.cli.out
    assert "## Doubts" not in (run.out / "dataset" / "README.md").read_text()


def test_drift_is_said_in_the_file_the_summary_the_status_and_the_card(run: Run, tmp_path: Path) -> None:
    """The labelled pairs are easier for the judge than the others."""
    sure = judgments(400, p_right=0.99)
    log = [row if int(row["id"][1:]) < 100 else {**row, "p_a": 0.4 + 0.2 * row["p_a"]} for row in sure]
    result = run(pairs(400, labelled=100), log)
    assert names(result) == ["drift"]
    figures = doubt(result, "drift")["figures"]
    assert figures["sureness"]["p"] < 1e-9 < min(figures["prompt"]["p"], figures["responses"]["p"])
    assert figures["sureness"]["median_calibration"] == pytest.approx(0.99)
    run.cli("label", tmp_path / "raw.jsonl", "--judgments", tmp_path / "log.jsonl")
    says = "note exchangeability is implausible: on the calibration pairs, against the rest of the pool, the judge is"
    assert says in " ".join(run.cli.out.split())
    run.cli("status", "--db", run.db)
    assert says in " ".join(run.cli.out.split())
    card = (run.out / "dataset" / "README.md").read_text()
    assert "## Doubts\n\n- exchangeability is implausible: " in card
    assert json.loads((run.out / "run.json").read_text())["doubts"] == result["doubts"]


def test_a_longer_pool_is_drift_too(run: Run) -> None:
    rows = pairs(300, labelled=100)
    random.Random(1).shuffle(rows)
    long = [row if row["label"] else {**row, "response_a": row["response_a"] + 40 * "x"} for row in rows]
    assert names(run(rows, judgments(300))) == []
    longer = run(long, judgments(300), "--db", run.folder / "long.duckdb")
    assert "responses are shorter (median: 3" in doubt(longer, "drift")["text"]


def test_reviewed_pairs_stay_in_the_pool_of_the_test(run: Run, tmp_path: Path) -> None:
    """Without them the pool would lack its hard pairs, and a draw that is one would look odd."""
    rows = pairs(400, labelled=100)
    sure = judgments(400, p_right=0.99)
    log = [row if int(row["id"][1:]) % 2 else {**row, "p_a": 0.45 + 0.1 * row["p_a"]} for row in sure]
    first = run(rows, log, "--alpha", "0.02")
    assert (first["doubts"], first["accepted"]) == ([], 300)


def abstaining(run: Run) -> tuple[Rows, Rows, list[int]]:
    """A run that abstains on some pairs of the pool: the rows, the log, and which those are."""
    hard = [i for i in range(200) if i % 9 == 0]

    def unsure(i: int) -> float:
        """The judge errs where people have labelled, in favour of a and b alike."""
        return 0.55 if i >= 100 else 0.4 if i % 2 == 0 else 0.6

    log = [row for row in judgments(200) if int(row["id"][1:]) not in hard] + replies(hard, unsure, unsure)
    rows = pairs(200, labelled=100)
    result = run(rows, log, "--alpha", "0.05")
    assert (result["calibration"]["n"], result["abstained"]) == (100, 11)
    return rows, log, [i for i in hard if i >= 100]


def test_routed_pairs_offered_as_calibration_are_refused(run: Run, tmp_path: Path) -> None:
    rows, log, hard = abstaining(run)
    said = pairs(200, labelled=200)
    other = write_rows(tmp_path / "chosen.jsonl", [said[i] for i in hard])
    result = run(rows, log, "--alpha", "0.05", "--calibration", other)
    assert result["calibration"]["n"] == 100
    assert names(result) == ["labels: offered"]
    assert doubt(result, "labels: offered")["figures"] == {"pairs": 11}
    assert "11 labelled pairs do not calibrate: their labels came with a file after" in result["doubts"][0]["text"]
    fresh = run(rows, log, "--calibration", other, "--db", tmp_path / "fresh.duckdb")
    assert fresh["calibration"]["n"] == 111, "a store that never routed them takes them at their word"


def test_pairs_offered_alone_are_refused_too(run: Run, tmp_path: Path) -> None:
    """The routed pairs are not even part of the new pool."""
    rows, log, hard = abstaining(run)
    said = pairs(200, labelled=200)
    other = write_rows(tmp_path / "chosen.jsonl", [said[i] for i in hard])
    result = run([row for i, row in enumerate(rows) if i not in hard], log, "--alpha", "0.05", "--calibration", other)
    assert result["calibration"]["n"] == 100
    assert doubt(result, "labels: offered")["figures"] == {"pairs": 11}


def test_raw_rows_labelled_after_routing_are_refused(run: Run) -> None:
    rows, log, hard = abstaining(run)
    said = pairs(200, labelled=200)
    again = run([said[i] if i in hard[:5] else row for i, row in enumerate(rows)], log, "--alpha", "0.05")
    assert again["calibration"]["n"] == 100
    assert doubt(again, "labels: offered")["figures"] == {"pairs": 5}


def test_review_labels_do_not_calibrate_and_are_no_way_round(run: Run, tmp_path: Path) -> None:
    rows, log, _ = abstaining(run)
    tasks = read_rows(run.out / "queue.jsonl")
    assert len(tasks) == 11
    write_rows(tmp_path / "filled.jsonl", [{**task, "label": "left"} for task in tasks[:7]])
    run.cli("import", tmp_path / "filled.jsonl", "--db", run.db)
    result = run(rows, log, "--alpha", "0.05")
    assert (result["calibration"]["n"], names(result)) == (100, ["labels: review"])
    assert result["doubts"][0]["text"] == (
        "7 labelled pairs do not calibrate: people saw them because the judge was not sure enough of them."
    )


def test_pairs_reviewed_before_any_threshold_are_refused_as_calibration(run: Run, tmp_path: Path) -> None:
    """They head the queue because the judge knows least about them, though nothing was routed yet."""
    rows, log = pairs(200), judgments(200)
    first = run(rows, log)
    draw, tasks = first["queue"]["calibration_draw"], read_rows(run.out / "queue.jsonl")
    write_rows(tmp_path / "filled.jsonl", [{**task, "label": "left"} for task in tasks[draw : draw + 9]])
    run.cli("import", tmp_path / "filled.jsonl", "--db", run.db)
    reviewed = {task["pair_id"] for task in tasks[draw : draw + 9]}
    with open_store(run.db) as store:
        found = {row[0] for row in store.rows("SELECT source_id, pair_id FROM input_row") if row[1] in reviewed}
    said = [row for row in pairs(200, labelled=200) if row["id"] in found]
    result = run(rows, log, "--calibration", write_rows(tmp_path / "chosen.jsonl", said))
    assert (len(said), result["calibration"]["n"]) == (9, 0)
    assert doubt(result, "labels: offered")["figures"] == {"pairs": 9}


def test_the_tail_of_a_queue_without_a_threshold_is_refused_as_calibration(run: Run, tmp_path: Path) -> None:
    """Behind the draw stands first what the judge knows least about, with a threshold or without one."""
    said = pairs(400, labelled=400)
    rows = [{**row, "label": None} for row in said]
    log = replies(range(400), lambda i: 0.5 + 0.001 * (i + 1), lambda i: 0.5 + 0.001 * (i + 1))
    first = run(rows, log)
    assert (first["threshold"], 0 < first["queue"]["calibration_draw"] < 200) == (None, True)
    hard = {task["pair_id"] for task in read_rows(run.out / "queue.jsonl")[first["queue"]["calibration_draw"] :][:100]}
    with open_store(run.db) as store:
        named = {row[0] for row in store.rows("SELECT source_id, pair_id FROM input_row") if row[1] in hard}
    chosen = write_rows(tmp_path / "chosen.jsonl", [row for row in said if row["id"] in named])
    result = run(rows, log, "--calibration", chosen)
    assert result["calibration"]["n"] == 0
    assert doubt(result, "labels: offered")["figures"] == {"pairs": 100}
    added = run([row if row["id"] in named else {**row, "label": None} for row in said], log)
    assert (added["calibration"]["n"], doubt(added, "labels: offered")["figures"]) == (0, {"pairs": 100})


def test_rows_labelled_at_first_reading_calibrate_also_when_they_are_read_again_changed(run: Run) -> None:
    rows, log = pairs(200, labelled=20), judgments(200)
    assert run(rows, log, "--alpha", "0.01")["threshold"] is None
    other = {"a": "b", "b": "a"}
    changed = [{**row, "label": other[row["label"]]} if i < 3 else row for i, row in enumerate(rows)]
    result = run([*changed, {**rows[5], "label": "a"}], log)
    assert (result["calibration"]["n"], result["calibration"]["errors"]) == (20, 4)
    assert not [name for name in names(result) if name.startswith("labels")]
    # What comes labelled before anything was decided about it calibrates too.
    more = run([*changed, *({**row, "id": f"new {row['id']}", "prompt": "new " + row["prompt"]} for row in rows)], log)
    assert more["calibration"]["n"] == 40
    assert not [name for name in names(more) if name.startswith("labels")]


def test_an_input_that_grows_has_its_draw_topped_up(run: Run, tmp_path: Path) -> None:
    """The first quarter of the file is easy; a threshold from it alone would promise too much."""
    rows, log = pairs(800), judgments(800, wrong=(i for i in range(200, 800) if i % 5 < 2))
    first = run(rows, log, "--limit", 200)
    better = {row["response_a"] if i % 2 == 0 else row["response_b"] for i, row in enumerate(rows)}

    def label(count: int) -> None:
        tasks = read_rows(run.out / "queue.jsonl")[:count]
        filled = [{**task, "label": "left" if task["left"] in better else "right"} for task in tasks]
        assert run.cli("import", write_rows(tmp_path / "filled.jsonl", filled), "--db", run.db) == 0

    draw = first["queue"]["calibration_draw"]
    label(draw)
    assert run(rows, log, "--limit", 200)["accepted"] == 200 - draw
    grown = run(rows, log)
    figures = doubt(grown, "draw outgrown")["figures"]
    assert run.cli.code == 4
    assert (grown["accepted"], grown["calibration"]["n"] + figures["labels"]) == (0, draw)
    assert grown["queue"]["calibration_draw"] == figures["pairs"] > 2 * draw
    run.cli("label", tmp_path / "raw.jsonl", "--judgments", tmp_path / "log.jsonl")
    summary = " ".join(run.cli.out.split())
    assert f"{figures['pairs']:,} pairs that came later would have been drawn too" in summary
    assert "Next: have people label the " in summary
    label(figures["pairs"])
    whole = run(rows, log)
    assert whole["calibration"]["n"] == whole["calibration"]["drawn"] == draw + figures["pairs"]
    assert whole["accepted"] == 0
    assert whole["calibration"]["errors"] / whole["calibration"]["n"] == pytest.approx(0.3, abs=0.08)
    assert "draw outgrown" not in names(whole)


def test_labels_that_are_not_blind_or_whose_draw_is_not_complete(run: Run) -> None:
    run(pairs(200, labelled=50), judgments(200))
    with open_store(run.db) as store:
        ids = [row[0] for row in store.rows("SELECT pair_id FROM input_row ORDER BY position")]
        add_labels(store, [Label(one, "anna", Verdict.A, Origin.CALIBRATION, blind=False) for one in ids[60:63]])
        draw_for_calibration(store, 10)
        drawn = {row[0] for row in store.rows("SELECT pair_id FROM draw")}
        reviewed = [one for one in ids[70:] if one not in drawn][:40]
        add_labels(store, [Label(one, "anna", Verdict.A, left_side="a") for one in reviewed])
        result = recalibrate(store, Rule())
        assert [(one["name"], one["figures"]) for one in result["doubts"] if one["name"].startswith("labels")] == [
            ("labels: review", {"pairs": 40}), ("labels: not blind", {"pairs": 3}),
        ]  # fmt: skip
        # A second draw meets pairs that were reviewed before: they wait for the others.
        draw_for_calibration(store, 60)
        mixed = store.count("SELECT count(*) FROM draw SEMI JOIN label USING (pair_id)")
        assert mixed > 0
        found = {one["name"]: one["figures"] for one in recalibrate(store, Rule())["doubts"]}
    assert found["labels: draw incomplete"]["pairs"] + found["labels: review"]["pairs"] == 40
    assert found["labels: draw incomplete"]["pairs"] >= mixed - 3
    assert found["draw unfinished"]["pairs"] > 60


def test_audit_labels_do_not_calibrate(run: Run) -> None:
    run(pairs(200, labelled=50), judgments(200))
    with open_store(run.db) as store:
        ids = [row[0] for row in store.rows("SELECT pair_id FROM input_row ORDER BY position")]
        add_labels(store, [Label(one, "anna", Verdict.A, left_side="a") for one in ids[60:64]])
        store.rows("UPDATE human_label SET origin = 'audit' WHERE annotator = 'anna'")
        result = recalibrate(store, Rule())
    assert names(result) == ["labels: audit"]
    assert result["doubts"][0]["figures"] == {"pairs": 4}


def of_prompts(count: int, size: int, labelled: Callable[[int], bool]) -> Rows:
    """Rows of which each `size` share a prompt."""
    said = pairs(count, labelled=count)
    return [
        {**row, "prompt": f"prompt {i // size:03}", "label": row["label"] if labelled(i) else None}
        for i, row in enumerate(said)
    ]


def test_whole_prompts_and_single_pairs(run: Run, tmp_path: Path) -> None:
    log = judgments(400)
    whole = run(of_prompts(400, 5, lambda i: i < 100), log)
    assert names(whole) == ["whole prompts"]
    figures = doubt(whole, "whole prompts")["figures"]
    assert (figures["pairs"], figures["prompts"], figures["shared_prompts"], figures["drawn"]) == (100, 20, 0, 0)
    drawn = set(random.Random(1).sample(range(400), 100))
    single = run(of_prompts(400, 5, lambda i: i in drawn), log, "--db", tmp_path / "single.duckdb")
    assert names(single) == ["repeated prompts"]
    figures = doubt(single, "repeated prompts")["figures"]
    assert figures["prompts"] == len({i // 5 for i in drawn})
    assert figures["shared_prompts"] == figures["prompts"] - sum(
        drawn.issuperset(range(start, start + 5)) for start in range(0, 400, 5)
    )
    assert figures["same_response"] == 0


def test_shared_responses_are_counted(run: Run) -> None:
    """Two pairs of each prompt, the second with a response of the first; every fourth prompt with another prompt's."""
    rows = []
    for i in range(100):
        shared = f"first answer to {i:02}" if i % 4 else "a standing phrase."
        texts = {
            "prompt": f"prompt {i}",
            "response_a": f"first answer to {i:02}" if i % 4 else f"another answer: {i:02}",
        }
        rows += [
            {**texts, "id": f"p{2 * i}", "response_b": f"other answer to {i:02}", "label": "ab"[i % 2]},
            {
                "prompt": f"prompt {i}",
                "id": f"p{2 * i + 1}",
                "response_a": f"third answer is {i:02}",
                "response_b": shared,
            },
        ]
    log = replies(range(200), lambda i: 0.1 if i // 2 % 2 else 0.9, lambda i: 0.1 if i // 2 % 2 else 0.9)
    result = run(rows, log)
    assert doubt(result, "repeated prompts")["figures"]["same_response"] == 0.75
    assert (
        "100 prompts, 100 of which have pairs in the pool too, and 75% of the pairs share"
        in result["doubts"][0]["text"]
    )


def test_what_curator_drew_is_not_doubted(run: Run, tmp_path: Path) -> None:
    rows, log = of_prompts(400, 5, lambda _: False), judgments(400)
    first = run(rows, log)
    tasks = read_rows(run.out / "queue.jsonl")[: first["queue"]["calibration_draw"]]
    better = {row["response_a"]: i % 2 == 0 for i, row in enumerate(rows)}
    for task in tasks:
        a_left = task["left"] in better
        task["label"] = "left" if better[task["left"] if a_left else task["right"]] == a_left else "right"
    run.cli("import", write_rows(tmp_path / "filled.jsonl", tasks), "--db", run.db)
    result = run(rows, log)
    assert result["calibration"]["n"] == result["calibration"]["drawn"] == len(tasks) > 50
    assert (result["doubts"], result["accepted"]) == ([], 400 - len(tasks))
    assert names(run(rows, log, "--guarantee", "pac")) == ["repeated prompts", "chosen before"]


def test_the_loop_of_labelling_is_doubted(run: Run, tmp_path: Path) -> None:
    """Labels added until a threshold appears, and a draw that is not finished."""
    rows, log = pairs(200), judgments(200, wrong=range(0, 200, 25))
    draw = run(rows, log)["queue"]["calibration_draw"]
    truth = {row["response_a"]: i % 2 == 0 for i, row in enumerate(rows)}

    def label(tasks: Rows) -> None:
        for task in tasks:
            side = "left" if task["left"] in truth else "right"
            better = truth[task[side]]
            task["label"] = side if better else {"left": "right", "right": "left"}[side]
        run.cli("import", write_rows(tmp_path / "filled.jsonl", tasks), "--db", run.db)

    queue = read_rows(run.out / "queue.jsonl")
    label(queue[:6])
    assert run(rows, log)["threshold"] is None
    label(queue[6 : draw - 4])
    result = run(rows, log)
    assert result["threshold"] is not None
    assert names(result) == ["draw unfinished", "earlier tries"]
    assert doubt(result, "draw unfinished")["figures"] == {"pairs": 4}
    assert doubt(result, "earlier tries")["figures"] == {"tries": 1}

    # Labels that are changed now, when `curator audit` says which of them the judge contradicts, may not be blind.
    def change(tasks: Rows, labels: list[str]) -> dict[str, Any]:
        filled = [{**task, "label": label} for task, label in zip(tasks, labels, strict=True)]
        run.cli("import", write_rows(tmp_path / "changed.jsonl", filled), "--db", run.db)
        return run(rows, log)

    first = [task["label"] for task in queue[:3]]
    result = change(queue[:3], ["tie", "both_bad", first[2]])
    assert doubt(result, "labels: changed")["figures"] == {"pairs": 2}
    assert "2 calibration labels were changed by whoever gave them" in doubt(result, "labels: changed")["text"]
    assert "labels: changed" in names(change(queue[:2], first[:2])), "and back"
    # What is said for the first time, or mended before anybody decides, is not among them.
    rest = [task for task in read_rows(run.out / "queue.jsonl") if task["pair_id"] in {one["pair_id"] for one in queue}]
    label(rest[:4])
    run.cli("import", write_rows(tmp_path / "mended.jsonl", [{**rest[0], "label": "skip"}]), "--db", run.db)
    assert doubt(run(rows, log), "labels: changed")["figures"] == {"pairs": 2}


def test_tries_of_the_small_groups_together_are_those_of_a_group_that_leaves_them(run: Run) -> None:
    """Group x has 50 labels of its own in the end; before, it was tried together with what has no group."""
    fields = [{"field": "x"} if i % 10 else {} for i in range(400)]
    log = judgments(400, wrong=range(0, 40, 3))

    def label(count: int) -> dict[str, Any]:
        rows = [{**row, **field} for row, field in zip(pairs(400, labelled=300), fields, strict=True)]
        return run([*rows[:count], *rows[300:]], log, "--group-by", "field")

    for count, tries in ((40, 0), (45, 1)):
        result = label(count)
        assert [(one["group"], one["n"]) for one in result["groups"]] == [(None, count)]
        assert (result["threshold"], result["calibration"]["earlier_tries"]) == (None, tries)
    result = label(300)
    assert [(one["group"], one["n"]) for one in result["groups"]] == [("x", 270), (None, 30)]
    assert result["calibration"]["earlier_tries"] == 2
    assert doubt(result, "earlier tries")["figures"] == {"tries": 2}


def test_other_settings_on_the_same_labels_are_a_choice(run: Run) -> None:
    rows, log = pairs(300, labelled=100), judgments(300, wrong=range(0, 300, 20))
    assert names(run(rows, log, "--alpha", "0.01")) == []
    first = run(rows, log, "--alpha", "0.1")
    assert doubt(first, "chosen before")["figures"] == {"settings": 1}
    assert first["doubts"][0]["text"].startswith("1 other setting was decided on before with these labels at hand")
    again = run(rows, log, "--alpha", "0.1")
    assert doubt(again, "chosen before")["figures"] == {"settings": 1}
    assert doubt(run(rows, log, "--alpha", "0.1", "--delta", "0.2"), "chosen before")["figures"] == {"settings": 1}
    for count, other in (
        (2, ("--guarantee", "pac", "--alpha", "0.2")),
        (3, ("--score", "agreement", "--alpha", "0.2")),
    ):
        assert doubt(run(rows, log, *other), "chosen before")["figures"] == {"settings": count}
    card = (run.out / "dataset" / "README.md").read_text()
    assert "- 3 other settings were decided on before" in card


def test_the_same_setting_on_more_labels_is_no_choice(run: Run) -> None:
    """Nor are settings that were tried without labels, or before these pairs had any."""
    log = judgments(300, wrong=range(0, 300, 20))
    assert run(pairs(300), log, "--alpha", "0.3")["calibration"]["n"] == 0
    for labelled in (30, 60, 100):
        result = run(pairs(300, labelled=labelled), log, "--alpha", "0.1", "--db", run.folder / "labelled.duckdb")
        assert "chosen before" not in names(result)
    new = [{**row, "prompt": "new " + row["prompt"]} for row in pairs(300, labelled=100)]
    result = run(new, log, "--alpha", "0.2", "--db", run.folder / "labelled.duckdb")
    assert (result["calibration"]["n"], names(result)) == (100, [])


def test_annotator_noise_comes_from_votes_of_duplicate_rows(run: Run) -> None:
    rows = pairs(300, labelled=100)
    flipped = {"a": "b", "b": "a"}
    second = [
        {**row, "label": flipped[row["label"]] if i % 4 == 0 else row["label"]} for i, row in enumerate(rows[:80])
    ]
    result = run([*rows, *second], judgments(300))
    figures = doubt(result, "annotator noise")["figures"]
    assert (figures["compared"], figures["disagree"], figures["both_chose_a_side"]) == (80, 20, 80)
    assert figures["noise"] == pytest.approx(0.146447, abs=1e-6)
    # 80 pairs with two votes, of which a tie is an error, and 20 with one.
    assert figures["contradicted"] == pytest.approx(0.8 * (1 - (1 - 0.146447) ** 2) + 0.2 * 0.146447, abs=1e-6)
    assert (
        "people disagree on 20 of 80 calibration pairs with two labels or more"
        in doubt(result, "annotator noise")["text"]
    )


def test_position_bias_is_a_figure_and_a_doubt(run: Run) -> None:
    """The first shown always wins a little; averaged, the judge is right."""
    right = lambda i: 0.2 if i % 2 == 0 else -0.2  # noqa: E731
    result = run(pairs(200, labelled=100), replies(range(200), lambda i: 0.75 + right(i), lambda i: 0.25 + right(i)))
    assert result["accepted"] == 100
    assert names(result) == ["position bias"]
    assert doubt(result, "position bias")["figures"] == {
        "judge": "j", "pairs": 200, "first_shown_preferred": 1.0, "changes_with_order": 200,
        "interval": [pytest.approx(0.025 ** (1 / 200)), 1.0],
    }  # fmt: skip
    assert result["judge"]["bias"]["flipped"] == 1.0
    run.cli("label", run.folder / "raw.jsonl", "--judgments", run.folder / "log.jsonl")
    assert "judge        j (recorded); the response shown first wins 100%" in run.cli.out


def test_length_bias_is_told_by_people(run: Run) -> None:
    """People like the longer of two answers half of the time, the judge nearly always."""
    rows = [{**row, "response_b": row["response_b"] + " and more of it"} for row in pairs(200, labelled=100)]
    rows = [{**row, "label": row["label"] and "ab"[i // 2 % 2]} for i, row in enumerate(rows)]
    result = run(rows, replies(range(200), lambda _: 0.1, lambda _: 0.2))
    assert names(result) == ["length bias"]
    figures = doubt(result, "length bias")["figures"]
    assert (figures["compared"], figures["longer_preferred"], figures["longer_preferred_by_people"]) == (100, 1.0, 0.5)
    assert (figures["wrongly_longer"], figures["wrongly_shorter"]) == (1.0, 0.0)


def test_replies_without_an_answer_are_counted(run: Run) -> None:
    run(pairs(60, labelled=30), judgments(60))
    with open_store(run.db) as store:
        store.rows("UPDATE judgment SET label_mass = if(pair_order = 'ab' AND pair_id < '4', 0.1, 0.9)")
        low = store.count("SELECT count(*) FROM judgment WHERE label_mass < 0.25")
        result = recalibrate(store, Rule())
    assert 0 < low < 60
    assert doubt(result, "label mass")["figures"] == {
        "judge": "j",
        "replies": 120,
        "low": low,
        "median": 0.9,
        "least": 0.25,
    }
    assert result["judge"]["bias"]["low_label_mass"] == low / 120
    assert result["judge"]["bias"]["pairs"] == 60 - low, "such a reply is no verdict"


def test_a_hostile_judges_name_stays_text_on_the_card(run: Run) -> None:
    name = "\x1b[31m<b>*j*</b>\n# heading"
    right = lambda i: 0.2 if i % 2 == 0 else -0.2  # noqa: E731
    log = replies(range(200), lambda i: 0.75 + right(i), lambda i: 0.25 + right(i))
    result = run(pairs(200, labelled=100), [{**row, "judge": name} for row in log])
    assert name in result["doubts"][0]["text"]
    card = (run.out / "dataset" / "README.md").read_text()
    assert "- [31m\\<b\\>\\*j\\*\\</b\\> \\# heading goes by the place" in card.replace("\\[", "[").replace("-  ", "- ")
    assert "\x1b" not in card


def test_samples_are_what_a_bound_on_the_ids_lets_through(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    run(pairs(2000, labelled=500), judgments(2000))
    with open_store(run.db) as store:
        n, m = stored.find_calibrating(store)
        assert (n, m) == (500, 1500)
        whole = stored.compared(store, n, m)
        assert [side["prompt"].size for side in whole] == [500, 1500]
        (judge,) = store.one("SELECT judge_id FROM judge")
        assert stored.verdicts(store, judge, 0.25).d_ab.size == 2000
        monkeypatch.setattr(stored, "SAMPLE", 200)
        monkeypatch.setattr(stored, "JUDGE_SAMPLE", 300)
        some = stored.compared(store, n, m)
        sizes = [side["prompt"].size for side in some]
        assert sizes == pytest.approx([200, 200], abs=50)
        assert all((a["prompt"] == b["prompt"]).all() for a, b in zip(some, stored.compared(store, n, m), strict=True))
        seen = stored.verdicts(store, judge, 0.25)
        assert seen.sampled.sum() == pytest.approx(300, abs=60)
        assert (seen.people != 0).sum() == sizes[0]


REAL = "prd_vicuna80"


def votes(data: Path, seed: int = 0) -> Rows:
    """The real pairs; half of them, drawn at random, with each vote as a row of its own."""
    rows = read_rows(data)
    drawn = set(random.Random(seed).sample(range(len(rows)), len(rows) // 2))
    found: Rows = []
    for i, row in enumerate(rows):
        rest = {key: row[key] for key in ("id", "prompt", "response_a", "response_b")}
        found += [{**rest, "label": vote} for vote in row["annotators"]] if i in drawn else [rest]
    return found


@pytest.mark.parametrize(("judge", "first"), [("bard", 0.81), ("claude", 0.37), ("vicuna-13b", 0.41)])
def test_real_judges_and_people(run: Run, shared_data: Callable[[str], Path], judge: str, first: float) -> None:
    log = read_rows(shared_data(f"{REAL}.judgements.jsonl"))
    result = run(votes(shared_data(f"{REAL}.jsonl")), log, "--judge", judge, "--alpha", "0.2")
    bias = result["judge"]["bias"]
    assert bias["first_shown_preferred"] == pytest.approx(first, abs=0.01)
    assert ("position bias" in names(result)) == (judge != "vicuna-13b")
    noise = doubt(result, "annotator noise")["figures"]
    assert noise["disagree"] / noise["compared"] == pytest.approx(0.45, abs=0.06)
    assert noise["contradicted_interval"][0] > 0.1
    assert {"drift", "labels: offered"}.isdisjoint(names(result))


def test_a_real_judge_that_likes_length(run: Run, shared_data: Callable[[str], Path]) -> None:
    """LLMBar has long answers that do not do what was asked. ChatGPT falls for them; GPT-4 errs either way alike."""
    rows = read_rows(shared_data("llmbar.jsonl"))
    random.Random(1).shuffle(rows)
    raw = [{**row, "label": row["label"] if i < 210 else None} for i, row in enumerate(rows)]
    log = read_rows(shared_data("llmbar.voteshare.judgements.jsonl"))
    result = run(raw, log, "--judge", "ChatGPT", "--alpha", "0.2")
    figures = doubt(result, "length bias")["figures"]
    assert figures["longer_preferred"] == pytest.approx(0.70, abs=0.01)
    assert figures["longer_preferred_by_people"] == pytest.approx(0.23, abs=0.01)
    assert (figures["wrongly_longer"], figures["wrongly_shorter"]) == pytest.approx((0.70, 0.30), abs=0.01)
    other = run(raw, log, "--judge", "GPT-4", "--alpha", "0.2", "--db", run.folder / "other.duckdb")
    assert other["judge"]["bias"]["longer_preferred_there"] > other["judge"]["bias"]["longer_preferred_by_people"] + 0.1
    assert {"drift", "length bias", "position bias"}.isdisjoint(names(other))
