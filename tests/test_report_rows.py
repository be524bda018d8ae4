"""What the report reads from the store."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from curator.store import Store, open_store, report_rows, views
from curator.store.report_rows import LatestRule
from tests.conftest import Cli, pairs, write_rows

RULE = LatestRule("fdr", Fraction(1, 10), Fraction(1, 10), "error", None, [])


def reading(i: int, **orders: float | str) -> list[dict[str, Any]]:
    return [
        {"id": f"p{i}", "judge": "j", "order": order, ("verdict" if isinstance(said, str) else "p_a"): said}
        for order, said in orders.items()
    ]


@pytest.fixture
def store(cli: Cli, tmp_path: Path) -> Iterator[Store]:
    log = [
        *reading(0, ab=0.97, ba=0.92), *reading(1, ab=0.92, ba=0.22), *reading(2, ab=0.22, ba=0.92),
        *reading(3, ab=0.5, ba=0.92), *reading(4, ab="a", ba="a"), *reading(5, ab="b", ba="a"),
        *reading(6, ab="tie", ba="tie"), *reading(7, ab=0.92), *reading(8, ab=0.97, ba=0.92),
    ]  # fmt: skip
    raw = write_rows(tmp_path / "raw.jsonl", pairs(10, labelled=2))
    assert cli("label", raw, "--judgments", write_rows(tmp_path / "log.jsonl", log)) == 4
    with open_store(tmp_path / "raw.curated" / "curator.duckdb") as opened:
        yield opened


def test_orders_are_counted_in_the_store(store: Store) -> None:
    judge = store.one("SELECT judge_id FROM judge")[0]
    rows = report_rows.orders(store, judge, 20).to_pylist()
    assert {tuple(row.values()) for row in rows} == {
        (19, 18, 1, 1, 2), (18, 4, 1, -1, 1), (4, 18, -1, 1, 1), (10, 18, 0, 1, 1), (19, 19, 1, 1, 1),
        (0, 19, -1, 1, 1), (10, 10, 0, 0, 1),
    }  # fmt: skip
    assert sum(row["n"] for row in rows) == 8, "a pair with one order is not among them"
    assert report_rows.orders(store, "0" * 32, 20).num_rows == 0


def test_scores_of_the_pool_and_of_the_labelled(store: Store) -> None:
    pool = report_rows.pool_scores(store, RULE)
    assert sorted(pool["position"].to_pylist()) == list(range(2, 10))
    by_position = dict(zip(pool["position"].to_pylist(), pool["bpe"].to_pylist(), strict=True))
    assert by_position[4] == 0.0
    assert by_position[6] == pytest.approx(0.6931, abs=1e-4)
    assert (by_position[7], by_position[9]) == (None, None)
    assert pool["accepted"].to_pylist() == [False] * 8
    assert set(pool["in_group"].to_pylist()) == {0}
    labelled = report_rows.labelled_scores(store, RULE, 0.0).to_pylist()
    assert [(row["verdict"], round(row["p"], 3), row["in_group"]) for row in labelled] == [
        ("a", 0.945, 0),
        ("b", 0.57, 0),
    ]
    assert report_rows.labelled_scores(store, RULE, 1 - 2**-32).num_rows == 0, "all were fitted on"


def test_groups_are_those_of_the_rule(store: Store) -> None:
    grouped = replace(RULE, group_by="topic", groups=["else", "made up"])
    assert set(report_rows.pool_scores(store, grouped)["in_group"].to_pylist()) == {2}
    assert report_rows.labelled_scores(store, grouped, 0.0)["in_group"].to_pylist() == [2, 2]
    for other in (replace(grouped, groups=[]), replace(grouped, group_by="absent")):
        assert set(report_rows.pool_scores(store, other)["in_group"].to_pylist()) == {0}


def test_pairs_come_in_the_order_asked_for(store: Store) -> None:
    rows = report_rows.decided_pairs(store, [8, 2, 4])
    assert [row["response_a"] for row in rows] == [f"first answer to {i}" for i in (8, 2, 4)]
    assert rows[0]["prompt"] == [{"role": "user", "content": "prompt 8"}]
    assert {(row["decision"], row["reason"], row["verdict"]) for row in rows} == {("abstain", "no threshold", None)}
    assert report_rows.decided_pairs(store, []) == []
    assert report_rows.decided_pairs(store, [7, 9]) == [], "there is nothing to show of a pair that was not judged"


def test_the_latest_rule_is_exact(store: Store) -> None:
    assert str(RULE.alpha) == "1/10"
    assert report_rows.latest_rule(store) == RULE
    with store.transaction():
        store.rows("DELETE FROM calibration")
    assert report_rows.latest_rule(store) is None


def test_time_is_summed_over_the_runs_of_a_judge(store: Store) -> None:
    for command, judge, seconds, asked in (("label", "x", 2.5, 10), ("label", "x", 0.25, 4), ("label", "y", 9.0, 9)):
        result = {"judge": {"judge_id": judge}, "judging_seconds": seconds, "judgments": {"asked": asked}}
        views.add_run(store, "0", command, result)
    views.add_run(store, "0", "calibrate", {"judge": {"judge_id": "x"}})
    assert report_rows.judging_time(store, "x") == (2.75, 14)
    assert report_rows.judging_time(store, "nobody") == (0.0, 0)
