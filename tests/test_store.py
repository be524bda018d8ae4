"""The store, on a real DuckDB file."""

from __future__ import annotations

import hashlib
import json
import math
import subprocess
import sys
from collections import Counter
from dataclasses import replace
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from curator.conformal import Guarantee, calibrate
from curator.errors import StoreError, StoreLocked, StoreVersionError
from curator.judges.recorded import READING
from curator.options import Wanted
from curator.pair import JudgeInfo, Judgment, Message, Order, Origin, Pair, Verdict, Vote, first_by_hash
from curator.store import Store, connection, open_store, views
from curator.store.dataset import dataset, examples
from curator.store.decisions import GroupCalibration, add_calibration, earlier_tries, judged_pairs
from curator.store.doubts import find_calibrating, outgrown_draw, refused
from curator.store.judgments import add_judge, add_judgments, find_pending, pending_questions
from curator.store.labels import Label, add_labels, draw_for_calibration, drawn_without_label
from curator.store.pairs import replace_input
from curator.store.readings import add_readings, begin_readings, keep_readings
from curator.store.tasks import task_lines

JUDGE = JudgeInfo("j", "recorded", {"log": 1})


def said(label: Verdict | None) -> tuple[Vote, ...]:
    return () if label is None else (Vote(label),)


def pair(i: int, label: Verdict | None = None, prompt: str | None = None) -> Pair:
    return Pair((Message("user", prompt or f"q{i}"),), f"a{i}", f"b{i}", said(label), f"id{i}", {}, "raw.jsonl", i + 1)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    with open_store(tmp_path / "s.duckdb") as opened:
        add_judge(opened, JUDGE)
        yield opened  # type: ignore[misc]


def test_every_row_is_a_pair_or_a_duplicate(store: Store) -> None:
    rows = [pair(0), pair(1), pair(0), pair(2), pair(1)]
    first = replace_input(store, [("pool", rows)])["pool"]
    assert (first.pairs, first.duplicates, first.new) == (3, 2, 3)
    more = replace_input(store, [("pool", [*rows, pair(3)])])["pool"]
    assert (more.pairs, more.duplicates, more.new) == (4, 2, 1)
    assert store.count("SELECT count(*) FROM pair") == 4


def test_fields_of_known_pairs_are_those_of_the_latest_row(store: Store) -> None:
    def row(i: int, **fields: object) -> Pair:
        return replace(pair(i), metadata=fields)

    def fields() -> dict[str, str]:
        return {b: json.loads(text) for b, text in store.rows("SELECT response_b, metadata FROM pair")}

    first = [row(0, dom="old"), row(1, dom="old"), row(2), row(3, dom="\u00e9")]
    replace_input(store, [("pool", first)])
    # Of two rows of a pair the first counts, and a pair that is not of the input keeps what it had.
    again = [row(0, dom="new"), row(1, dom="old"), row(1, dom="later"), row(2, dom="more"), row(2, dom="later"), row(4)]
    added = replace_input(store, [("pool", again), ("calibration", [row(2, dom="of another file"), row(5, dom="x")])])
    assert (added["pool"].pairs, added["pool"].duplicates, added["pool"].new) == (4, 2, 1)
    assert fields() == {
        "b0": {"dom": "new"}, "b1": {"dom": "old"}, "b2": {"dom": "more"}, "b3": {"dom": "\u00e9"}, "b4": {},
        "b5": {"dom": "x"},
    }  # fmt: skip
    replace_input(store, [("pool", first)])
    assert fields()["b0"] == {"dom": "old"}
    assert fields()["b2"] == {}
    assert store.count("SELECT count(*) FROM other_fields") == 2, "only what differs is written"


def test_what_failed_is_named_and_not_the_rollback_after_it(tmp_path: Path) -> None:
    code = """
import resource, sys
from pathlib import Path
from curator.errors import StoreError
from curator.store import open_store

path = Path(sys.argv[1])
with open_store(path) as store:
    store.checkpoint()
    # As on a full disk: no file gets longer.
    resource.setrlimit(resource.RLIMIT_FSIZE, (16, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))
    try:
        store.set("name", "x" * 10_000)
    except StoreError as error:
        print(error)
"""
    command = [sys.executable, "-c", code, str(tmp_path / "s.duckdb")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert "the disk is full: make space, and run the same command again" in done.stdout
    assert "File too large" in done.stdout
    assert "rollback" not in done.stdout


def test_a_failed_ingest_leaves_the_last_input(store: Store) -> None:
    replace_input(store, [("pool", [pair(0)])])

    def broken():  # type: ignore[no-untyped-def]
        yield pair(1)
        raise RuntimeError("the disk is gone")

    with pytest.raises(RuntimeError):
        replace_input(store, [("pool", broken())])
    assert store.rows("SELECT source_id FROM input_row") == [("id0",)]


def test_labels_of_duplicate_rows_are_votes(store: Store) -> None:
    rows = [pair(0, Verdict.A), pair(0, Verdict.B), pair(0, Verdict.A), pair(1, Verdict.A), pair(1, Verdict.B)]
    for _ in range(2):  # the second time nothing is new
        replace_input(store, [("pool", rows)])
        found = dict(
            store.rows("SELECT source_id, verdict FROM label JOIN input_row USING (pair_id) WHERE NOT duplicate")
        )
        assert found == {"id0": "a", "id1": "tie"}
        assert store.count("SELECT count(*) FROM human_label") == 5


ROW_LABELS = st.sampled_from([None, Verdict.A, Verdict.B, Verdict.TIE])


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    inputs=st.lists(
        st.lists(st.tuples(st.integers(0, 6), ROW_LABELS), min_size=1, max_size=12), min_size=1, max_size=3
    ),
    chunk=st.integers(1, 5),
)
def test_chunks_come_to_what_rows_one_by_one_come_to(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, inputs: list[list[tuple[int, Verdict | None]]], chunk: int
) -> None:
    monkeypatch.setattr("curator.store.pairs.CHUNK_ROWS", chunk)
    path = tmp_path / "chunks.duckdb"
    path.unlink(missing_ok=True)
    stored: list[str] = []
    said: dict[tuple[str, str], str] = {}
    history = 0
    with open_store(path) as store:
        for rows in inputs:
            seen: list[str] = []
            votes: Counter[str] = Counter()
            new = labels = 0
            for number, label in rows:
                pair_id = pair(number).pair_id
                seen.append(pair_id)
                if pair_id not in stored:
                    stored.append(pair_id)
                    new += 1
                if label is not None:
                    votes[pair_id] += 1
                    annotator = "raw.jsonl" if votes[pair_id] == 1 else f"raw.jsonl#{votes[pair_id]}"
                    labels += said.get((pair_id, annotator)) != label.value
                    said[pair_id, annotator] = label.value
            history += labels
            added = replace_input(store, [("pool", [pair(number, label) for number, label in rows])])["pool"]
            distinct = len(set(seen))
            assert (added.pairs, added.duplicates, added.new, added.labels) == (
                distinct, len(seen) - distinct, new, labels,
            )  # fmt: skip
            assert store.rows("SELECT pair_id, duplicate FROM input_row ORDER BY position") == [
                (pair_id, pair_id in seen[:at]) for at, pair_id in enumerate(seen)
            ]
            assert [row[0] for row in store.rows("SELECT pair_id FROM pair")] == stored
            found = store.rows("SELECT pair_id, annotator, verdict FROM latest_label")
            assert {(pair_id, annotator): verdict for pair_id, annotator, verdict in found} == said
            assert store.count("SELECT count(*) FROM human_label") == history


def test_a_killed_ingest_leaves_the_last_input(tmp_path: Path) -> None:
    path = tmp_path / "s.duckdb"
    with open_store(path) as store:
        replace_input(store, [("pool", [pair(0)])])
    code = f"""
import os, signal
from pathlib import Path
import curator.store.pairs as module
from curator.store import open_store
from tests.test_store import pair
module.CHUNK_ROWS = 1000

def rows():
    yield from (pair(i) for i in range(1, 20_001))
    os.kill(os.getpid(), signal.SIGKILL)

module.replace_input(open_store(Path({str(path)!r})), [("pool", rows())])
"""
    done = subprocess.run([sys.executable, "-c", code], check=False, cwd=Path(__file__).parents[1])
    assert done.returncode == -9
    with open_store(path) as store:
        assert store.rows("SELECT source_id FROM input_row") == [("id0",)]
        assert store.count("SELECT count(*) FROM pair") == 1
        assert replace_input(store, [("pool", [pair(i) for i in range(5)])])["pool"].new == 4


def test_what_memory_does_not_hold_is_spilled_and_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where SQL may open no file, and also what a killed run left."""
    monkeypatch.setitem(connection._CONFIG, "memory_limit", "60MB")
    monkeypatch.setitem(connection._CONFIG, "threads", 1)
    left = tmp_path / ".s.duckdb.spill-1"
    left.mkdir()
    (left / "rest").touch()
    with open_store(tmp_path / "s.duckdb") as store:
        assert not left.exists()
        assert store.rows("SELECT current_setting('enable_external_access')") == [(False,)]
        numbers = store.stream(
            "SELECT md5(i::TEXT) || repeat('x', 100) AS x FROM range(1_000_000) t(i) ORDER BY x", 10_000
        )
        first = next(numbers)
        spilled = [path for path in tmp_path.iterdir() if path.name.startswith(".s.duckdb.spill-")]
        assert len(spilled) == 1
        assert sum(file.stat().st_size for file in spilled[0].iterdir()) > 20_000_000
        assert first.num_rows + sum(batch.num_rows for batch in numbers) == 1_000_000
    assert [path.name for path in tmp_path.iterdir()] == ["s.duckdb"]


def test_too_little_memory_is_an_expected_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(connection._CONFIG, "memory_limit", "20MB")
    with open_store(tmp_path / "s.duckdb") as store, pytest.raises(StoreError, match="set CURATOR_MEMORY"):
        store.rows("SELECT length(string_agg(md5(i::TEXT), '')) FROM range(3_000_000) t(i)")


def test_pending_is_what_lacks_a_judgment_and_failures_are_asked_again(store: Store) -> None:
    # Pairs of one prompt become neighbours, whatever stands between them.
    replace_input(store, [("pool", [pair(0, prompt="p"), pair(1), pair(2, prompt="p")])])
    assert find_pending(store, JUDGE.judge_id).questions == 6
    asked = list(pending_questions(store))
    assert [(q.first, q.order.value) for q in asked] == [
        ("a0", "ab"), ("b0", "ba"), ("a2", "ab"), ("b2", "ba"), ("a1", "ab"), ("b1", "ba"),
    ]  # fmt: skip
    add_judgments(
        store,
        JUDGE.judge_id,
        [
            Judgment(asked[0].pair_id, Order.AB, -0.1, -2.0, 0.9),
            Judgment(asked[1].pair_id, Order.BA, failed="the server said no"),
        ],
    )
    again = find_pending(store, JUDGE.judge_id)
    assert (again.questions, again.cached, again.retried) == (5, 1, 1)
    other = JudgeInfo("j", "recorded", {"log": 2})
    assert find_pending(store, other.judge_id).cached == 0, "another setting is another judge"


def readings(rows: list[tuple[object, ...]], stated: list[float | None] | None = None) -> pa.Table:
    said = [(row[0], "j", *row[1:], own) for row, own in zip(rows, stated or [None] * len(rows), strict=True)]
    return pa.Table.from_pylist([dict(zip(READING.names, row, strict=True)) for row in said], READING).drop_columns(
        "judge"
    )


def test_readings_with_ties_become_the_mean_of_all_three(store: Store) -> None:
    replace_input(store, [("pool", [pair(i) for i in range(5)])])
    find_pending(store, JUDGE.judge_id)
    begin_readings(store)
    rows: list[tuple[object, ...]] = [
        # Three readings, one of which knows no tie: a .4, tie .3.
        ("id0", "ab", 0.5, 0.5, None, None, None), ("id0", "ab", 0.2, 0.4, None, None, None),
        ("id0", "ab", 0.5, None, None, None, None),
        ("id0", "ba", 0.1, 0.2, math.log(0.05), math.log(0.35), math.log(0.1)),  # a single one stays as it is
        ("id1", "ab", 0.0, 1.0, None, None, None), ("id1", "ba", 0.7, 0.3, None, None, None),
        ("id2", "ab", 0.6, 0.0, None, None, None), ("id2", "ba", 0.6, 0.4004, None, None, None),  # as rounded
        ("id3", "both", None, None, None, None, None), ("id3", "ba", 0.5, 0.25, None, None, None),
        ("id4", "ab", 0.25, None, None, None, None),
    ]  # fmt: skip
    keep_readings(store, readings(rows))
    add_readings(store, JUDGE.judge_id)
    found = store.rows(
        """SELECT source_id, pair_order, exp(logprob_a), exp(logprob_b), exp(logprob_tie), status
        FROM judgment JOIN input_row USING (pair_id) ORDER BY ALL"""
    )
    assert [row[:2] + row[5:] for row in found] == [
        ("id0", "ab", "ok"), ("id0", "ba", "ok"), ("id1", "ab", "ok"), ("id1", "ba", "ok"), ("id2", "ab", "ok"),
        ("id2", "ba", "ok"), ("id3", "ab", "failed"), ("id3", "ba", "ok"), ("id4", "ab", "ok"),
    ]  # fmt: skip
    expected = [
        (0.4, 0.3, 0.3), (0.05, 0.35, 0.1), (0, 0, 1), (0.7, 0, 0.3), (0.6, 0.4, 0), (0.6, 0, 0.4004),
        (None, None, None), (0.5, 0.25, 0.25), (0.25, 0.75, None),
    ]  # fmt: skip
    for row, shares in zip(found, expected, strict=True):
        assert row[2:5] == tuple(None if share is None else pytest.approx(share, abs=1e-15) for share in shares)


def test_judged_pairs_have_ties_where_the_judge_has_a_label_for_them(store: Store) -> None:
    rows = [pair(i) for i in range(5)]
    replace_input(store, [("pool", rows)])
    ids, inf = [row.pair_id for row in rows], float("inf")
    ln = math.log
    add_judgments(
        store,
        JUDGE.judge_id,
        [
            Judgment(ids[0], Order.AB, ln(0.2), ln(0.1), 0.5, logprob_tie=ln(0.2)),
            Judgment(ids[0], Order.BA, ln(0.4), ln(0.1), 0.5, logprob_tie=-inf),
            Judgment(ids[1], Order.AB, -inf, -inf, logprob_tie=0.0),
            Judgment(ids[1], Order.BA, -inf, ln(0.75), logprob_tie=ln(0.25)),
            Judgment(ids[2], Order.AB, -1000.0, -1010.0, logprob_tie=-5.0),
            Judgment(ids[2], Order.BA, -5.0, -1010.0, logprob_tie=-1000.0),
            Judgment(ids[3], Order.AB, -1.0, -2.0),
            Judgment(ids[3], Order.BA, failed="no"),
        ],
    )
    found = judged_pairs(store, [JUDGE.judge_id], 0.0).replies[0]
    assert found.d_ab.tolist() == pytest.approx([ln(2), 0.0, 10.0, 1.0, math.nan], nan_ok=True)
    assert found.d_ba.tolist() == pytest.approx([ln(4), -inf, 1005.0, math.nan, math.nan], nan_ok=True)
    assert found.tie_ab is not None
    assert found.tie_ba is not None
    assert found.tie_ab.tolist() == pytest.approx([0.4, 1.0, 1.0, 0.0, 0.0])
    assert found.tie_ba.tolist() == pytest.approx([0.0, 0.25, 0.0, 0.0, 0.0])
    assert len(found.of(found.answered)) == 4
    # Too little label mass is no verdict, and no tie either.
    assert np.isnan(judged_pairs(store, [JUDGE.judge_id], 0.6).replies[0].d_ab[0])
    other = JudgeInfo("other", "recorded", {})
    add_judgments(store, other.judge_id, [Judgment(ids[0], Order.AB, -1.0, -2.0)])
    with_ties, plain = judged_pairs(store, [JUDGE.judge_id, other.judge_id], 0.0).replies
    assert with_ties.tie_ab is not None
    assert (plain.tie_ab, plain.tie_ba, len(plain.of(plain.answered))) == (None, None, 2)


def test_readings_of_one_order_become_their_mean(store: Store) -> None:
    replace_input(store, [("pool", [pair(0), pair(1), pair(2)])])
    find_pending(store, JUDGE.judge_id)
    rows = [
        ("id0", "ab", 1.0, None, None, None, None), ("id0", "ab", 0.0, None, None, None, None),
        ("id0", "ab", 1.0, None, None, None, None),
        ("id0", "ba", None, None, None, None, None), ("id0", "ba", 0.25, None, None, None, None),
        ("id1", "both", 1.0, None, None, None, None),
        ("id2", "ab", None, None, None, None, None), ("id2", "ba", 0.9, None, -0.2, -3.0, None),
        ("nobody", "ab", 1.0, None, None, None, None),
    ]  # fmt: skip
    begin_readings(store)
    for part in (rows[:4], rows[4:]):
        stated = [0.75 if row[2] == 1.0 else 0.25 if row[2] == 0.0 else None for row in part]
        keep_readings(store, readings(part, stated))
    assert add_readings(store, JUDGE.judge_id) == 8
    found = store.rows(
        """SELECT source_id, pair_order, exp(logprob_a), exp(logprob_b), status FROM judgment JOIN input_row
        USING (pair_id) ORDER BY ALL"""
    )
    assert [(name, order, status) for name, order, _, _, status in found] == [
        ("id0", "ab", "ok"), ("id0", "ba", "ok"), ("id1", "ab", "ok"), ("id1", "ba", "ok"),
        ("id2", "ab", "failed"), ("id2", "ba", "ok"),
    ]  # fmt: skip
    assert [row[2] for row in found if row[2] is not None] == pytest.approx([2 / 3, 0.25, 1.0, 1.0, 0.8187308])
    assert found[2][3] == 0.0
    stated = store.rows("SELECT stated_p_a FROM judgment JOIN input_row USING (pair_id) ORDER BY source_id, pair_order")
    assert [row[0] for row in stated] == [pytest.approx(1.75 / 3), None, 0.75, 0.75, None, None]
    # The same log again has nothing to say, but for the failure.
    assert find_pending(store, JUDGE.judge_id).questions == 1


def test_the_latest_word_of_an_annotator_counts_and_history_stays(store: Store) -> None:
    replace_input(store, [("pool", [pair(0)])])
    (pair_id,) = store.rows("SELECT pair_id FROM pair")[0]
    one = Label(pair_id, "anna", Verdict.A)
    assert add_labels(store, [one]).added == 1
    assert add_labels(store, [one]).unchanged == 1
    assert add_labels(store, [Label(pair_id, "anna", Verdict.B)]).superseded == 1
    assert store.rows("SELECT verdict FROM label") == [("b",)]
    add_labels(store, [Label(pair_id, "ben", Verdict.A)])
    assert store.rows("SELECT verdict FROM label") == [("tie",)], "one vote each"
    add_labels(store, [Label(pair_id, "cleo", Verdict.SKIP), Label(pair_id, "dora", Verdict.A)])
    assert store.rows("SELECT verdict FROM label") == [("a",)], "a skip is no vote"
    assert store.count("SELECT count(*) FROM human_label") == 5


def test_the_draw_is_random_fixed_and_grows(store: Store) -> None:
    replace_input(store, [("pool", [pair(i) for i in range(1000)])])
    assert draw_for_calibration(store, 100) == 100
    drawn = [
        row[0] for row in store.rows("SELECT source_id FROM draw JOIN input_row USING (pair_id) ORDER BY draw.position")
    ]
    place = [int(name[2:]) for name in drawn]
    assert 400 < sum(place) / 100 < 600, "not the head of the file"
    assert place != sorted(place)
    assert draw_for_calibration(store, 50) == 50
    assert drawn_without_label(store) == 150
    assert store.count("SELECT count(DISTINCT pair_id) FROM draw") == 150


def in_order(store: Store) -> list[str]:
    """The pairs of the input in the random order of the draw."""
    ids = [row[0] for row in store.rows("SELECT pair_id FROM input")]
    return sorted(ids, key=lambda pair_id: hashlib.md5((store.seed + pair_id).encode()).hexdigest())


def calibrating(store: Store) -> set[str]:
    return {row[0] for row in store.rows("SELECT pair_id FROM calibration_label SEMI JOIN input USING (pair_id)")}


def test_a_draw_of_a_smaller_input_calibrates_as_far_as_it_is_one_of_this_input(store: Store) -> None:
    replace_input(store, [("pool", [pair(i) for i in range(200)])])
    draw_for_calibration(store, 60)
    first = in_order(store)[:60]
    add_labels(store, [Label(pair_id, "anna", Verdict.A) for pair_id in first])
    assert calibrating(store) == set(first)
    replace_input(store, [("pool", [pair(i) for i in range(800)])])
    head = in_order(store)
    head = head[: head.index(first[-1]) + 1]
    late = [pair_id for pair_id in head if pair_id not in first]
    assert 120 < len(late) < 240, "as large a share of what came later"
    assert drawn_without_label(store) == len(late)
    assert calibrating(store) == set(head[: head.index(late[0])])
    # Nothing is drawn twice, and the queue asks for those first that let the labels behind them calibrate.
    replace_input(store, [("pool", [pair(i) for i in range(800)])])
    tasks = [json.loads(line)["pair_id"] for _, lines in task_lines(store) for line in lines.to_pybytes().splitlines()]
    assert tasks[: len(late)] == late
    for k in (1, 50):
        add_labels(store, [Label(pair_id, "anna", Verdict.A) for pair_id in late[:k]])
        assert calibrating(store) == set(head[: head.index(late[k])])
    assert outgrown_draw(store) == (len(late) - 50, sum(head.index(late[50]) < head.index(one) for one in first))
    # One that is left out holds up all that stand behind it.
    add_labels(store, [Label(pair_id, "anna", Verdict.A) for pair_id in late[51:]])
    assert calibrating(store) == set(head[: head.index(late[50])])
    find_calibrating(store)
    assert refused(store) == {}
    add_labels(store, [Label(late[50], "anna", Verdict.SKIP)])
    assert calibrating(store) == set(head)
    assert outgrown_draw(store) == (0, 0)


def test_pairs_that_came_later_and_left_again_hold_up_nothing(store: Store) -> None:
    replace_input(store, [("pool", [pair(i) for i in range(200)])])
    draw_for_calibration(store, 60)
    first = in_order(store)[:60]
    add_labels(store, [Label(pair_id, "anna", Verdict.A) for pair_id in first])
    replace_input(store, [("pool", [pair(i) for i in range(800)])])
    assert len(calibrating(store)) < 60
    replace_input(store, [("pool", [pair(i) for i in range(200)])])
    assert calibrating(store) == set(first)
    # Of an input that has none of the drawn pairs, none is drawn before it is known how many are needed.
    replace_input(store, [("pool", [pair(i) for i in range(1000, 1200)])])
    assert drawn_without_label(store) == 0


def test_rows_labelled_when_they_came_are_not_drawn(store: Store) -> None:
    replace_input(store, [("pool", [pair(i) for i in range(200)])])
    draw_for_calibration(store, 60)
    add_labels(store, [Label(pair_id, "anna", Verdict.A) for pair_id in in_order(store)[:60]])
    replace_input(store, [("pool", [pair(i, Verdict.B if i >= 200 else None) for i in range(400)])])
    assert drawn_without_label(store) == 0
    assert len(calibrating(store)) == 260


def test_a_mixed_draw_is_complete_without_pairs_that_left_the_input(store: Store) -> None:
    rows = [pair(i) for i in range(40)]
    replace_input(store, [("pool", rows)])
    add_labels(store, [Label(row.pair_id, "anna", Verdict.A, Origin.REVIEW) for row in rows[:20]])
    draw_for_calibration(store, 10)
    drawn = {row[0] for row in store.rows("SELECT pair_id FROM draw")}
    waiting = sorted(drawn - {row.pair_id for row in rows[:20]})
    assert drawn - set(waiting)
    add_labels(store, [Label(pair_id, "anna", Verdict.B) for pair_id in waiting[3:]])
    assert calibrating(store) == set()
    replace_input(store, [("pool", [row for row in rows if row.pair_id not in waiting[:3]])])
    assert calibrating(store) == drawn - set(waiting[:3])


def test_labels_of_routed_pairs_never_calibrate_unless_their_whole_draw_is_labelled(store: Store) -> None:
    replace_input(store, [("pool", [pair(i) for i in range(40)])])
    ids = [row[0] for row in store.rows("SELECT pair_id FROM input_row ORDER BY position")]
    add_labels(store, [Label(ids[i], "anna", Verdict.A, Origin.REVIEW) for i in range(20)])
    calibrates = "SELECT count(*) FROM calibration_label"
    assert store.count(calibrates) == 0
    draw_for_calibration(store, 10)
    drawn = [row[0] for row in store.rows("SELECT pair_id FROM draw")]
    # Ten wait for a label; those among them that had one before are drawn too, and wait for the others.
    assert drawn_without_label(store) == 10 < len(drawn)
    open_ = [pair_id for pair_id in drawn if pair_id not in ids[:20]]
    add_labels(store, [Label(pair_id, "anna", Verdict.B) for pair_id in open_[:9]])
    assert store.count(calibrates) == 0
    add_labels(store, [Label(open_[9], "anna", Verdict.B)])
    assert store.count(calibrates) == len(drawn)


def test_labels_that_are_not_blind_never_calibrate(store: Store) -> None:
    replace_input(store, [("pool", [pair(0)])])
    (pair_id,) = store.rows("SELECT pair_id FROM pair")[0]
    add_labels(store, [Label(pair_id, "anna", Verdict.A, Origin.CALIBRATION, blind=False)])
    assert store.count("SELECT count(*) FROM calibration_label") == 0


def test_tries_of_a_group_are_its_own_and_those_of_the_small_groups_it_was_among(store: Store) -> None:
    def tried(name: str | None, n: int) -> GroupCalibration:
        found = calibrate(
            np.ones(n), np.ones(n, dtype=bool), np.ones(5), guarantee=Guarantee.FDR, alpha="0.1", delta="0.1"
        )
        return GroupCalibration(name, found)

    def tries(name: str | None, n: int, labels: int) -> int:
        return earlier_tries(store, JUDGE.judge_id, "bpe", "field", tried(name, n), labels)

    for number, decision in enumerate(
        [[(None, 40)], [(None, 45)], [("x", 60), (None, 20)], [("x", 60), (None, 30)], [("x", 70), (None, 30)]]
    ):
        add_calibration(
            store, JUDGE.judge_id, [tried(*one) for one in decision], score="bpe", ties="error", votes="majority",
            group_by="field", fingerprint=str(number), suspects="queue",
        )  # fmt: skip
    assert tries("x", 70, 100) == 3, "60 labels of its own, 40 and 45 among the small ones; not those it had left"
    assert tries(None, 30, 100) == 1
    assert tries("y", 50, 42) == 1
    assert tries("y", 50, 200) == 4, "40, 45, 20 and 30: y was always among the small ones"


def test_the_second_writer_is_told_who_holds_the_store(store: Store, tmp_path: Path) -> None:
    code = f"from pathlib import Path; from curator.store import open_store; open_store(Path({str(store.path)!r}))"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=Path(__file__).parents[1]
    )
    assert StoreLocked.__name__ in done.stderr
    assert "in use by process" in done.stderr


def test_a_store_of_the_future_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "s.duckdb"
    with open_store(path) as opened:
        opened.rows("INSERT INTO migration (number) VALUES (99)")
    with pytest.raises(StoreVersionError, match="newer"):
        open_store(path)


def test_what_is_no_store_is_refused(tmp_path: Path) -> None:
    other = tmp_path / "other.duckdb"
    with duckdb.connect(str(other)) as db:
        db.execute("CREATE TABLE mine (x INT)")
    with pytest.raises(StoreError, match="not a curator store"):
        open_store(other)
    text = tmp_path / "text.duckdb"
    text.write_text("hello " * 5000)
    with pytest.raises(StoreError, match="is no DuckDB file"):
        open_store(text)
    with pytest.raises(StoreError, match="there is no store"):
        open_store(tmp_path / "none.duckdb", create=False)


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * FROM read_csv('/etc/passwd')",
        "COPY pair TO '/tmp/stolen.csv'",
        "ATTACH '/tmp/other.duckdb'",
        "DELETE FROM pair",
        "SET enable_external_access = true",
        "INSTALL httpfs",
        "nonsense",
    ],
)
def test_a_users_query_reads_the_store_and_nothing_else(tmp_path: Path, sql: str) -> None:
    path = tmp_path / "s.duckdb"
    open_store(path).__exit__(None, None, None)
    with pytest.raises(StoreError), views.query(path, sql):
        pass
    with views.query(path, "SELECT 1 AS one") as (names, rows):
        assert (names, list(rows)) == (["one"], [(1,)])


def test_any_text_goes_in_and_comes_out(store: Store) -> None:
    texts = ["\0 zero", "\x1b[31mred", "\u202eright to left", "'; DROP TABLE pair; --", "😀" * 3, "a\r\n\tb", "{{ x }}"]
    rows = [
        Pair((Message("user", text),), text + "a", text + "b", said(Verdict.A), text, {text: text}) for text in texts
    ]
    replace_input(store, [("pool", rows)])
    tasks = [row for _, lines in task_lines(store) for row in map(json.loads, lines.to_pybytes().splitlines())]
    assert tasks == [], "labelled pairs are no tasks"
    found = [row for batch in dataset(store, examples(store, Wanted())) for row in batch.to_pylist()]
    assert [row["response_a"] for row in found] == [text + "a" for text in texts]
    assert [row["prompt"][0]["content"] for row in found] == texts


def test_the_lines_of_the_queue_hold_any_text_and_the_sides_are_those_of_the_coin(store: Store) -> None:
    texts = ["\0 zero", "\x1b[31mred", '"quoted" \\ and \\"', "\u2028\u202e", "😀" * 3, "a\r\n\tb", "\x7f\x80"]
    replace_input(store, [("pool", [Pair((Message("user", text),), text + "a", text + "b") for text in texts * 2])])
    lines = b"".join(lines.to_pybytes() for _, lines in task_lines(store))
    tasks = [json.loads(line) for line in lines.split(b"\n")[:-1]]
    assert [task["prompt"] for task in tasks] == [[{"role": "user", "content": text}] for text in texts]
    for task, text in zip(tasks, texts, strict=True):
        sides = (text + "a", text + "b") if first_by_hash(store.seed, task["pair_id"]) else (text + "b", text + "a")
        assert (task["left"], task["right"]) == sides
        assert list(task)[:7] == ["pair_id", "prompt", "left", "right", "label", "annotator", "note"]
        assert set(list(task)[7:]) <= {"signs"}, "where a response shows some"


def test_the_sides_of_drawn_pairs_fall_like_a_fair_coin(store: Store) -> None:
    """The draw sorts by a hash too: were it the same one, all drawn pairs would show a on one side."""
    replace_input(store, [("pool", [pair(i) for i in range(4000)])])
    draw_for_calibration(store, 400)
    drawn = [row[0] for row in store.rows("SELECT pair_id FROM draw")]
    assert 150 < sum(first_by_hash(store.seed, pair_id) for pair_id in drawn) < 250
