"""The interval of an audit holds the true error among accepted pairs as often as it says, whatever the threshold did.

Nothing is random but the store's seed: batch, decisions and truth are fixed, and the true error is counted. In the real
store, the harder half of the accepted pairs is accepted by a second decision only, and is wrong more often.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import orjson
import pytest

from curator.pair import Message, Pair
from curator.steps.auditing import audit_result
from curator.store import Store, open_store
from curator.store.audits import draw_audit
from curator.store.pairs import replace_input
from curator.store.tasks import task_lines

pytestmark = pytest.mark.validity

EASY, HARD, ABSTAINED = 250, 250, 100
WRONG = {"easy": 10, "hard": 60}
DRAWS = 300
LEAST = 0.95 - 3 * (0.05 * 0.95 / DRAWS) ** 0.5


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    count = EASY + HARD + ABSTAINED
    rows = [Pair((Message("user", f"q{i}"),), f"a{i}", f"b{i}") for i in range(count)]
    with open_store(tmp_path / "s.duckdb") as opened:
        replace_input(opened, [("pool", rows)])
        opened.rows(
            """INSERT INTO calibration (calibration_id, judge_id, score, guarantee, alpha, delta, ties, votes, suspects,
                                        n, errors, m, threshold, accepted, accepted_calibration, accepted_errors,
                                        fingerprint)
            SELECT i, 'j', 'bpe', 'fdr', '1/10', '1/10', 'error', 'majority', 'queue', 0, 0, 0, 1.0, 0, 0, 0, ''
            FROM range(1, 3) t(i)"""
        )
        # The judge says a; people say b where it is wrong.
        opened.rows(
            """CREATE TABLE truth AS SELECT pair_id, position,
                if(position < $easy_wrong OR position BETWEEN $easy AND $easy + $hard_wrong - 1, 'b', 'a') AS verdict
            FROM input""",
            {"easy_wrong": WRONG["easy"], "easy": EASY, "hard_wrong": WRONG["hard"]},
        )
        yield opened


def decide(store: Store, accepted: int, number: int) -> float:
    """Accept the first pairs; returns the true error among them."""
    store.rows("DELETE FROM decision")
    store.rows(
        """INSERT INTO decision SELECT pair_id, $number, if(position < $accepted, 'accept', 'abstain'),
            if(position < $accepted, 'a', NULL), '' FROM truth""",
        {"number": number, "accepted": accepted},
    )
    return float(store.one("SELECT avg((verdict = 'b')::INT) FROM truth WHERE position < ?", [accepted])[0])


def label(store: Store, which: str) -> None:
    store.rows("DELETE FROM human_label")
    store.rows(
        f"""INSERT INTO human_label (pair_id, annotator, verdict, origin, blind)
        SELECT pair_id, 'anna', verdict, 'audit', true FROM truth WHERE {which}"""
    )


def begin(store: Store, draw: int) -> None:
    store.set("seed", f"seed {draw}")
    store.rows("DELETE FROM audit")


def coverage(found: list[tuple[float, float]], truth: float) -> float:
    return float(np.mean([low <= truth <= high for low, high in found]))


@pytest.mark.parametrize("share", [0.000001, 0.02, 0.1, 0.4])
def test_the_interval_covers(store: Store, share: float) -> None:
    truth = decide(store, EASY + HARD, 1)
    label(store, "true")
    ends, sizes = [], []
    for draw in range(DRAWS):
        begin(store, draw)
        draw_audit(store, share)
        found = audit_result(store)
        assert found is not None
        assert found["labelled"] == found["drawn"]
        ends.append((found["low"], found["high"]))
        sizes.append(found["drawn"])
    covered = coverage(ends, truth)
    print(f"\nshare {share:g}: {np.mean(sizes):.1f} pairs drawn, {covered:.3f} of intervals hold the error {truth:.3f}")
    assert covered >= LEAST
    assert np.mean(sizes) == pytest.approx(max(1, share * (EASY + HARD)), rel=0.05)


def test_it_covers_after_a_wider_decision_and_a_larger_share(store: Store) -> None:
    """A sample that stays what the first decision drew does not: it holds none of the hard pairs."""
    label(store, "true")
    ends, stale, truth = [], [], 0.0
    for draw in range(DRAWS):
        begin(store, draw)
        decide(store, EASY, 1)
        draw_audit(store, 0.2)
        first = audit_result(store)
        draw_audit(store, 0.3)
        truth = decide(store, EASY + HARD, 2)
        draw_audit(store, 0)
        found = audit_result(store)
        assert first is not None
        assert found is not None
        assert found["drawn"] > first["drawn"]
        ends.append((found["low"], found["high"]))
        stale.append((first["low"], first["high"]))
    covered, naive = coverage(ends, truth), coverage(stale, truth)
    print(
        f"\nafter a wider decision: {covered:.3f} of intervals hold the error {truth:.3f}; of first samples {naive:.3f}"
    )
    assert covered >= LEAST
    assert naive < LEAST


def test_it_covers_when_only_the_first_tasks_of_the_queue_are_labelled(store: Store) -> None:
    """Audited pairs stand at random places: those that people get to are a random part of them."""
    truth = decide(store, EASY + HARD, 1)
    store.rows(
        """INSERT INTO score (pair_id, judge_id, p_a, p_b, p_tie, log_odds, bpe)
        SELECT pair_id, 'j', 0.6, 0.4, 0, 1.0, 1.0 / (1 + position) FROM truth"""
    )
    ends, parts = [], []
    for draw in range(DRAWS // 2):
        begin(store, draw)
        store.rows("DELETE FROM human_label")
        draw_audit(store, 0.2)
        lines = b"".join(lines.to_pybytes() for _, lines in task_lines(store)).splitlines()
        done = [orjson.loads(line)["pair_id"] for line in lines[: len(lines) // 2]]
        label(store, f"pair_id IN ({', '.join(repr(pair_id) for pair_id in done)})")
        found = audit_result(store)
        assert found is not None
        if found["labelled"]:
            ends.append((found["low"], found["high"]))
            parts.append(found["labelled"] / found["drawn"])
    covered = coverage(ends, truth)
    print(
        f"\nhalf of the queue labelled: {np.mean(parts):.2f} of the audit, {covered:.3f} of intervals hold {truth:.3f}"
    )
    assert covered >= 0.95 - 3 * (0.05 * 0.95 / len(ends)) ** 0.5
    assert np.mean(parts) == pytest.approx(0.5, abs=0.03)
