"""Judges that may answer "equal", from their log to the data set: a tie is never a preference."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from curator.resources import first_error
from curator.store import open_store
from tests.conftest import Cli, judgments, pairs, read_rows, write_rows

PAIRS, LABELLED, EVERY = 60, 30, 5
"""Pairs, those that people labelled, and: of so many pairs one is equal to the judge."""


def tied(i: int) -> bool:
    return i % EVERY == 0


def log_rows() -> list[dict[str, Any]]:
    """A judge that is right and sure, but calls every fifth pair equal, each way round a little differently."""
    rows = []
    for i in range(PAIRS):
        for order in ("ab", "ba"):
            p_tie = (0.9 if order == "ab" else 0.5) if tied(i) else 0.05
            p_right = (1 - p_tie) * 0.97
            p_a = p_right if i % 2 == 0 else 1 - p_tie - p_right
            rows.append({"id": f"p{i}", "judge": "j", "order": order, "p_a": p_a, "p_tie": p_tie})
    return rows


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return write_rows(tmp_path / "log.jsonl", log_rows())


def raw_rows(human: str | None = None) -> list[dict[str, Any]]:
    """The pairs of `log_rows`; what people say of the labelled ones that the judge calls equal is `human`."""
    rows = pairs(PAIRS, labelled=LABELLED)
    return [{**row, "label": human} if human and i < LABELLED and tied(i) else row for i, row in enumerate(rows)]


def test_what_the_judge_calls_equal_is_never_auto_labelled(cli: Cli, log: Path, tmp_path: Path) -> None:
    raw = write_rows(tmp_path / "raw.jsonl", raw_rows())
    assert cli("label", raw, "--judgments", log) == 0
    assert "judge ties   12 pairs, which it calls equal: none of them is auto-labelled" in cli.out
    out = tmp_path / "raw.curated"
    result = json.loads((out / "run.json").read_text())
    assert first_error("run", result) is None
    assert (result["judged"], result["judge_ties"], result["pool"]) == (60, 12, 30)
    assert (result["accepted"], result["abstained"], result["dataset"]["auto"]) == (24, 6, 24)
    with open_store(out / "curator.duckdb") as store:
        decided = store.rows(
            """SELECT source_id, decision, label, p_tie > 0.5 FROM decision JOIN score USING (pair_id)
            JOIN input_row USING (pair_id)"""
        )
    for name, decision, label, is_tie in decided:
        i = int(name[1:])
        assert is_tie == tied(i)
        assert (decision, label) == (("abstain", None) if tied(i) else ("accept", "ab"[i % 2]))
    assert len(read_rows(out / "queue.jsonl")) == 6
    auto = [row for row in pq.read_table(out / "dataset" / "data").to_pylist() if row["label_source"] == "auto"]
    assert [row["p_chosen"] for row in auto] == pytest.approx([0.95 * 0.97] * 24)


@pytest.mark.parametrize("guarantee", ["fdr", "pac", "scope"])
@pytest.mark.parametrize("human", ["tie", "a", "b"])
def test_a_judges_tie_on_a_calibration_pair_is_neither_accepted_nor_an_accepted_error(
    cli: Cli, log: Path, tmp_path: Path, human: str, guarantee: str
) -> None:
    """Whatever people say of it; it is a pair on which the judge is not right, and of a large alpha no use is made."""
    raw = write_rows(tmp_path / "raw.jsonl", raw_rows(human))
    result = cli.json("label", raw, "--judgments", log, "--alpha", "0.5", "--guarantee", guarantee)
    rows = result["calibration"]
    assert (rows["n"], rows["errors"], rows["accepted"], rows["accepted_errors"]) == (30, 6, 24, 0)
    assert (result["accepted"], result["judge_ties"]) == (24, 12)


def test_ties_of_people_are_left_out_where_that_is_wished(cli: Cli, log: Path, tmp_path: Path) -> None:
    raw = write_rows(tmp_path / "raw.jsonl", raw_rows("tie"))
    rows = cli.json("label", raw, "--judgments", log, "--ties", "exclude")["calibration"]
    assert (rows["n"], rows["errors"], rows["accepted"], rows["accepted_errors"]) == (24, 0, 24, 0)


def test_where_every_label_is_a_tie_that_is_said(cli: Cli, log: Path, tmp_path: Path) -> None:
    """Alone, and beside labels that name a side."""
    label = ("label", tmp_path / "raw.jsonl", "--judgments", log, "--ties", "exclude")
    raw = write_rows(tmp_path / "raw.jsonl", ({**row, "label": row["label"] and "tie"} for row in raw_rows()))
    result = cli.json(*label)
    assert first_error("run", result) is None
    assert (result["calibration"]["n"], result["calibration"]["ties_left_out"]) == (0, 30)
    assert result["promise"].startswith("No labelled pairs but 30 ties, which are left out")
    cli(*label)
    assert "30 more are ties, and left out" in cli.out
    assert "pairs yet" not in cli.out

    write_rows(raw, raw_rows("tie"))
    label = (*label, "--out", tmp_path / "some")
    assert cli.json(*label)["calibration"]["ties_left_out"] == 6
    assert cli.json(*label[:-4], *label[-2:])["calibration"]["ties_left_out"] == 0, "ties: error"


def test_a_judges_tie_contradicts_no_label(cli: Cli, tmp_path: Path) -> None:
    """What it leaves for a and b, however unevenly, is no more than that."""
    rows = pairs(40, labelled=40)
    said = {"p0": (0.005, 0.9), "p2": (0.3, 0.0), "p4": (0.2, 0.1), "p6": (0.2, 0.35)}
    log = [
        {"id": row["id"], "judge": "j", "order": order, "p_a": p_a, "p_tie": p_tie}
        for i, row in enumerate(rows) for p_a, p_tie in [said.get(row["id"], ((0.9, 0.05), (0.05, 0.05))[i % 2])]
        for order in ("ab", "ba")
    ]  # fmt: skip
    raw = write_rows(tmp_path / "raw.jsonl", rows)
    cli("label", raw, "--judgments", write_rows(tmp_path / "log.jsonl", log))
    labels = cli.json("audit", "--db", tmp_path / "raw.curated" / "curator.duckdb")["labels"]
    assert (labels["judged"], labels["contradicted"], labels["ambiguous"]) == (40, 2, 2)
    contradicted = [row for row in labels["listed"] if row["reading"] == "contradicted"]
    # b has .7, with a tie of .1 beside it, and .45 with .35, which is no preference.
    assert [row["line"] for row in contradicted] == [3, 5]
    assert [row["preference"] for row in labels["listed"]] == pytest.approx([0.3, 0.3, 0.5, 0.5])
    assert [row["strength"] for row in contradicted] == pytest.approx([math.log(3 / 7)] * 2)


def test_the_orders_are_averaged_in_pair_identity_over_all_three(cli: Cli, tmp_path: Path) -> None:
    """As a probability, as logarithms, and beside a row that knows no tie; the scores are those of the definition."""
    rows = pairs(4, labelled=1)
    said: list[dict[str, Any]] = [
        {"id": "p0", "order": "ab", "p_a": 0.6, "p_tie": 0.4},
        {"id": "p0", "order": "ba", "p_a": 0.45, "p_tie": 0.1},
        # Half of the vocabulary's probability is not theirs.
        {"id": "p1", "order": "ab", **logarithms(0.05, 0.4, 0.05)},
        {"id": "p1", "order": "ba", **logarithms(0.1, 0.2, 0.2)},
        {"id": "p2", "order": "ab", "p_a": 0.8},
        {"id": "p2", "order": "ba", "p_a": 0.4, "p_tie": 0.5},
        {"id": "p3", "order": "both", "p_a": 0, "p_tie": 1},
    ]
    raw = write_rows(tmp_path / "raw.jsonl", [{**rows[0], "label": "b"}, *rows[1:]])
    log = write_rows(tmp_path / "log.jsonl", [{"judge": "j", **row} for row in said])
    assert cli("label", raw, "--judgments", log) == 4
    with open_store(tmp_path / "raw.curated" / "curator.duckdb") as store:
        found = store.rows(
            "SELECT p_a, p_b, p_tie, log_odds, bpe FROM score JOIN input USING (pair_id) ORDER BY position"
        )
    expected = [
        (0.525, 0.225, 0.25, math.log(0.525 / 0.475)), (0.15, 0.6, 0.25, -math.log(0.6 / 0.4)),
        (0.6, 0.15, 0.25, math.log(0.6 / 0.4)), (0.0, 0.0, 1.0, 0.0),
    ]  # fmt: skip
    assert [row[:4] for row in found] == [pytest.approx(row) for row in expected]
    assert [row[4] for row in found] == pytest.approx([entropy(p) for p in (0.525, 0.6, 0.6, 0.5)])
    (row,) = pq.read_table(tmp_path / "raw.curated" / "dataset" / "data").to_pylist()
    assert (row["label_source"], row["p_chosen"]) == ("human", pytest.approx(0.225)), "of what was chosen, not the rest"


def logarithms(a: float, b: float, tie: float) -> dict[str, float]:
    return {"logprob_a": math.log(a), "logprob_b": math.log(b), "logprob_tie": math.log(tie)}


def entropy(p: float) -> float:
    return -p * math.log(p) - (1 - p) * math.log(1 - p)


def test_a_bare_tie_is_what_it_was(cli: Cli, tmp_path: Path) -> None:
    """Of a log of verdicts, "tie" says that a and b are as likely: the other order may still tip the scales."""
    raw = write_rows(tmp_path / "raw.jsonl", pairs(2, labelled=1))
    verdicts = [("p0", "ab", "tie"), ("p0", "ba", "tie"), ("p1", "ab", "tie"), ("p1", "ba", "a")]
    log = write_rows(
        tmp_path / "log.jsonl",
        ({"id": name, "judge": "j", "order": order, "verdict": said} for name, order, said in verdicts),
    )
    result = cli.json("label", raw, "--judgments", log)
    assert result["judge_ties"] == 0
    with open_store(tmp_path / "raw.curated" / "curator.duckdb") as store:
        found = store.rows("SELECT p_a, p_b, p_tie, log_odds FROM score JOIN input USING (pair_id) ORDER BY position")
    assert found == [(0.5, 0.5, 0.0, 0.0), (pytest.approx(0.75), pytest.approx(0.25), 0.0, pytest.approx(math.log(3)))]


def test_a_certain_tie_is_a_verdict_like_any_other(tmp_path: Path, cli: Cli) -> None:
    rows = [{**row, "p_a": 0.0, "p_tie": 1.0} if row["id"] == "p3" else {**row, "p_tie": 0.0} for row in judgments(40)]
    raw = write_rows(tmp_path / "raw.jsonl", pairs(40, labelled=30))
    got = cli.json("label", raw, "--judgments", write_rows(tmp_path / "log.jsonl", rows))
    assert cli.code == 0
    assert (got["judged"], got["judge_ties"]) == (40, 1)
