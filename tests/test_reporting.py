"""The report of a store: what it holds in each state, that it can be written again, and how long it takes."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import Any

import duckdb
import pytest

from tests.conftest import Cli, judgments, pairs, read_rows, write_rows

FIGURES = (
    "Coverage and risk over alpha",
    "How sure the judge is",
    "Is its probability right?",
    "One order against the other",
)


def label(cli: Cli, folder: Path, rows: list[dict[str, Any]], log: list[dict[str, Any]], *more: object) -> str:
    raw = write_rows(folder / "raw.jsonl", rows)
    cli("label", raw, "--judgments", write_rows(folder / "log.jsonl", log), *more)
    return (folder / "raw.curated" / "report.html").read_text(encoding="utf-8")


def drawn(text: str) -> list[str]:
    """The titles of a page's figures."""
    return re.findall(r"<svg[^>]*role=\"img\"[^>]*><title[^>]*>([^<]*)</title>", text)


def graded(count: int, labelled: int) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Pairs, and a judge of 40 levels of sureness that is wrong on the less sure, and prefers what is shown first."""
    log = []
    for i in range(count):
        level = i * 7 % 40
        p = 0.5 + 0.012 * (level + 1)
        right = level % 5 != 0 if level < 15 else level != 15
        p = p if (i % 2 == 0) == right else 1 - p
        log += [
            {"id": f"p{i}", "judge": "graded", "order": "ab", "p_a": min(p + 0.01, 1.0)},
            {"id": f"p{i}", "judge": "graded", "order": "ba", "p_a": p},
        ]
    return pairs(count, labelled), log


def test_a_run_writes_it_and_it_says_what_the_run_did(cli: Cli, tmp_path: Path) -> None:
    text = label(cli, tmp_path, *graded(400, 160))
    result = cli.json("status", "--db", tmp_path / "raw.curated" / "curator.duckdb")["latest"]
    assert drawn(text) == list(FIGURES)
    assert 0 < result["accepted"] < result["pool"] == 240
    assert f"<h1>{result['accepted']} of 240 pairs are auto-labelled</h1>" in text
    assert f"<blockquote><p>{result['promise']}</p></blockquote>" in text
    assert f"at the chosen alpha 0.1 it is {result['coverage']:.1%}" in text
    assert f"{result['accepted']} pairs accepted, {result['abstained']} judged pairs abstained on" in text
    rows = result["calibration"]
    assert f"{rows['accepted']} reach the threshold there, and the judge is wrong on {rows['accepted_errors']}" in text
    assert "160 labelled pairs on which the judge has a preference" in text
    assert "400 pairs by the judge&#39;s probability in each order" in text
    assert text.count("<article>") == 8


def test_it_can_be_written_again_byte_for_byte(cli: Cli, tmp_path: Path) -> None:
    text = label(cli, tmp_path, *graded(400, 160))
    db = tmp_path / "raw.curated" / "curator.duckdb"
    written = tmp_path / "raw.curated" / "report.html"
    assert cli("report", "--db", db, "--out", tmp_path / "deep" / "again.html") == 0
    assert (tmp_path / "deep" / "again.html").read_text(encoding="utf-8") == text
    written.unlink()
    found = cli.json("report", "--db", db)
    assert found == {"out": str(written), "bytes": len(text.encode())}
    assert written.read_text(encoding="utf-8") == text
    # Another run that does all of it anew, and asks nothing, comes to the same page.
    (tmp_path / "raw.curated" / ".last-run.json").unlink(missing_ok=True)
    assert label(cli, tmp_path, *graded(400, 160)) == text


def test_another_rule_is_another_page(cli: Cli, tmp_path: Path) -> None:
    label(cli, tmp_path, *graded(400, 160))
    db = tmp_path / "raw.curated" / "curator.duckdb"
    for guarantee in ("pac", "scope"):
        promise = cli.json("calibrate", "--db", db, "--guarantee", guarantee, "--alpha", "0.25")["promise"]
        assert cli("report", "--db", db) == 0
        text = (tmp_path / "raw.curated" / "report.html").read_text(encoding="utf-8")
        assert f"<blockquote><p>{promise}</p></blockquote>" in text
        assert "at the chosen alpha 0.25" in text


def test_no_labels(cli: Cli, tmp_path: Path) -> None:
    text = label(cli, tmp_path, *graded(400, 0))
    assert drawn(text) == ["How sure the judge is", "One order against the other"]
    assert "None of 400 pairs is auto-labelled" in text
    assert "nothing is promised" in text
    assert re.search(r"Have people label the first \d+ pairs of the queue", text)
    assert "Some accepted pairs" not in text
    assert "Some pairs left to people" in text


def test_none_accepted(cli: Cli, tmp_path: Path) -> None:
    text = label(cli, tmp_path, pairs(60, 30), judgments(60, wrong=range(0, 60, 3)))
    assert drawn(text) == ["How sure the judge is", "Is its probability right?", "One order against the other"]
    assert "No threshold keeps the fdr promise at alpha 0.1" in text
    assert "More labels would not help" in text


def test_nothing_judged(cli: Cli, tmp_path: Path) -> None:
    one_order = [{"id": "p0", "judge": "j", "order": "ab", "verdict": "a"}]
    text = label(cli, tmp_path, pairs(20, 10), one_order)
    assert drawn(text) == []
    assert "Get judgments" in text
    assert "<article>" not in text


def test_everything_labelled(cli: Cli, tmp_path: Path) -> None:
    text = label(cli, tmp_path, pairs(20, 20), judgments(20))
    assert drawn(text) == ["Is its probability right?", "One order against the other"]
    assert "People have labelled every pair" in text


def test_ties_count_as_the_rule_says(cli: Cli, tmp_path: Path) -> None:
    rows, log = graded(400, 160)
    for row in rows[:160:8]:
        row["label"] = "tie"
    text = label(cli, tmp_path, rows, log, "--alpha", "0.3")
    assert "160 labelled pairs on which the judge has a preference" in text
    assert drawn(text)[0] == FIGURES[0], "the curve goes through the point that was bought"
    text = label(cli, tmp_path, rows, log, "--alpha", "0.3", "--ties", "exclude")
    assert "140 labelled pairs on which the judge has a preference" in text
    assert drawn(text)[0] == FIGURES[0]
    assert "leaves the pair out of calibration" in text


def test_failures_and_ids_that_are_not_unique_do_not_count_twice(cli: Cli, tmp_path: Path) -> None:
    rows, log = graded(400, 160)
    text = label(cli, tmp_path, [*rows, rows[399]], log[:780])
    assert "10 of 400 pairs have no verdict in both orders" in text
    assert "390 pairs by the judge&#39;s probability in each order" in text


def test_labels_that_came_since_are_said(cli: Cli, tmp_path: Path) -> None:
    text = label(cli, tmp_path, *graded(400, 160), "--alpha", "0.01")
    assert "labels have changed" not in text
    out = tmp_path / "raw.curated"
    draw = cli.json("status", "--db", out / "curator.duckdb")["waiting_for_calibration"]
    assert draw > 0
    tasks = read_rows(out / "queue.jsonl")[:draw]
    filled = write_rows(tmp_path / "filled.jsonl", [{**task, "label": "left"} for task in tasks])
    assert cli("import", filled, "--db", out / "curator.duckdb") == 0
    assert cli("report", "--db", out / "curator.duckdb") == 0
    text = (out / "report.html").read_text(encoding="utf-8")
    assert FIGURES[0] not in drawn(text)
    assert "labels have changed since the decision" in text


def test_groups_each_have_their_threshold_and_one_curve(cli: Cli, tmp_path: Path) -> None:
    rows, log = graded(1200, 600)
    for i, row in enumerate(rows):
        row["topic"] = "rare" if i % 40 == 0 else ("code", "maths")[i // 2 % 2]
    text = label(cli, tmp_path, rows, log, "--group-by", "topic")
    result = cli.json("status", "--db", tmp_path / "raw.curated" / "curator.duckdb")["latest"]
    assert [one["group"] for one in result["groups"]] == ["code", "maths", None]
    assert result["accepted"] > 0
    assert drawn(text) == list(FIGURES)
    assert f"at the chosen alpha 0.1 it is {result['coverage']:.1%}" in text
    assert "<h2>Groups by topic</h2>" in text
    assert '<th scope="row">(all others)</th>' in text
    assert "one within each group" in text
    assert "Accepted are those with BPE" not in text


@pytest.mark.parametrize(
    "more",
    [
        ("--combine", "log-odds"), ("--combine", "probability"), ("--combine", "fitted", "--fit-fraction", "0.3"),
        ("--cascade", "0.7"), ("--cascade", "fit", "--fit-fraction", "0.3"), ("--score", "votes"),
    ],
)  # fmt: skip
def test_several_judges_have_one_curve_and_an_order_figure_each(
    cli: Cli, tmp_path: Path, more: tuple[str, ...]
) -> None:
    rows, log = graded(400, 200)
    other = [{**row, "judge": "other", "p_a": 0.5 + (row["p_a"] - 0.5) * 0.8} for row in log]
    text = label(cli, tmp_path, rows, [*log, *other], "--judge", "graded", "--judge", "other", "--alpha", "0.2", *more)
    result = cli.json("status", "--db", tmp_path / "raw.curated" / "curator.duckdb")["latest"]
    assert result["accepted"] > 0
    reading = [judge["name"] for judge in result["judges"] if judge["read"]]
    assert reading == ["graded", "other"]
    assert drawn(text) == [*FIGURES[:-1], *(FIGURES[-1] for _ in reading)]
    assert f"at the chosen alpha 0.2 it is {result['coverage']:.1%}".replace("100.0%", "100%") in text
    assert f"{result['calibration']['n']} labelled pairs" in text
    for name in ("together", "graded", "other"):
        assert f'<th scope="row">{name}</th>' in text


def test_one_signal_or_another_the_curve_goes_through_the_point(cli: Cli, tmp_path: Path) -> None:
    for score in ("one-order", "agreement"):
        text = label(cli, tmp_path, *graded(400, 200), "--score", score, "--alpha", "0.3")
        assert drawn(text)[0] == FIGURES[0]
        assert f"<dt>pairs are ranked by</dt><dd>{score}</dd>" in text


def test_judges_that_say_equal(cli: Cli, tmp_path: Path) -> None:
    rows, log = graded(400, 160)
    ties = {"p_a": 0.1, "p_b": 0.1, "p_tie": 0.8}
    for row in log[700:]:
        row.update(ties)
    for row in log[:700]:
        row.update({"p_b": (1 - row["p_a"]) * 0.9, "p_tie": (1 - row["p_a"]) * 0.1})
    text = label(cli, tmp_path, rows, log)
    assert "<dt>called equal</dt><dd>50 pairs" in text
    assert "The judge calls them equal" in text
    assert drawn(text) == list(FIGURES)


def test_an_audit_stands_beside_the_promise(cli: Cli, tmp_path: Path) -> None:
    text = label(cli, tmp_path, *graded(400, 160), "--audit", "0.5")
    assert "<h2>The error that was bought</h2>" in text
    assert "None is labelled yet: nothing is known of the error." in text


def test_looks_are_said(cli: Cli, tmp_path: Path) -> None:
    text = label(cli, tmp_path, *graded(400, 160))
    assert "looked at before" not in text
    db = tmp_path / "raw.curated" / "curator.duckdb"
    assert cli("calibrate", "--db", db, "--sweep") == 0
    assert cli("report", "--db", db) == 0
    text = (tmp_path / "raw.curated" / "report.html").read_text(encoding="utf-8")
    assert "<dt>looked at before</dt><dd>sweep (1×)" in text


def test_people_who_looked_since_are_heard(cli: Cli, tmp_path: Path) -> None:
    label(cli, tmp_path, *graded(400, 160))
    out = tmp_path / "raw.curated"
    tasks = read_rows(out / "queue.jsonl")
    filled = write_rows(tmp_path / "filled.jsonl", [{**task, "label": "tie"} for task in tasks])
    assert cli("import", filled, "--db", out / "curator.duckdb") == 0
    assert cli("report", "--db", out / "curator.duckdb") == 0
    assert (out / "report.html").read_text(encoding="utf-8").count("people call it a tie") == 4


def test_a_store_without_a_decision(cli: Cli, tmp_path: Path) -> None:
    raw = write_rows(tmp_path / "raw.jsonl", pairs(3))
    out = tmp_path / "raw.curated"
    assert cli("label", raw, "--judgments", write_rows(tmp_path / "log.jsonl", [])) == 1
    assert cli("report", "--db", out / "curator.duckdb") == 1
    assert "nothing is decided yet" in cli.err
    assert cli("report", "--db", tmp_path / "none.duckdb") == 1
    assert not (out / "report.html").exists()


def test_two_hundred_thousand_pairs(cli: Cli, tmp_path: Path) -> None:
    """Small and quick: the pairs of a run, a hundred times over."""
    label(cli, tmp_path, *graded(2_000, 400))
    db = tmp_path / "raw.curated" / "curator.duckdb"
    with duckdb.connect(str(db)) as store:
        for table in ("pair", "input_row", "judgment"):
            change = {"input_row": ", position + 2000 * copy AS position", "pair": ", prompt_id || copy AS prompt_id"}
            store.execute(
                f"""INSERT INTO {table}
                SELECT * EXCLUDE copy REPLACE (md5(pair_id || copy) AS pair_id{change.get(table, "")})
                FROM (SELECT t.*, copies.range AS copy FROM {table} t, range(1, 100) copies)"""
            )
    result = cli.json("calibrate", "--db", db)
    assert result["pool"] == 199_600
    start = time.monotonic()
    assert cli.json("report", "--db", db)["bytes"] < 2**20
    assert time.monotonic() - start < 20
    text = (tmp_path / "raw.curated" / "report.html").read_text(encoding="utf-8")
    assert drawn(text) == list(FIGURES)
    assert f"{result['accepted']:,} of 199,600 pairs are auto-labelled" in text
    assert "200,000 pairs by the judge" in text


@pytest.mark.parametrize("name", ["report.html", "report.css"])
def test_what_the_page_is_made_of_comes_with_the_package(name: str) -> None:
    from importlib.resources import files

    assert (files("curator.report") / name).is_file()
