"""Labels for `curator review`, on a real store: who gets which task, and what is stored of what they say."""

from __future__ import annotations

import shutil
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from curator.annotation.base import Task
from curator.cli.main import run
from curator.errors import StoreLocked
from curator.names import annotator_name
from curator.options import QueueOrder
from curator.pair import Verdict
from curator.steps import reviewing
from curator.steps.reviewing import Review, Said, State, review_summary
from curator.steps.seating import Desk, Word
from curator.steps.sides import sides
from curator.store import open_store
from curator.store.audits import ask_again
from curator.store.labels import Label, add_labels, draw_for_calibration
from curator.store.tasks import Readers, lines_of, set_readers, task_lines, task_order
from tests.conftest import ROOT, Cli, judgments, pairs, read_rows, write_rows
from tests.review_servers import HOLD, held

PAIRS = 16


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made")
    raw = write_rows(folder / "raw.jsonl", pairs(PAIRS))
    log = write_rows(folder / "log.jsonl", judgments(PAIRS))
    assert run(["label", str(raw), "--judgments", str(log)]) == 4
    return folder / "raw.curated"


@pytest.fixture
def db(made: Path, tmp_path: Path) -> Path:
    """A store all of whose pairs wait to be labelled."""
    return Path(shutil.copytree(made, tmp_path / "raw.curated")) / "curator.duckdb"


def order(db: Path) -> list[str]:
    with open_store(db) as store:
        return list(task_order(store)["pair_id"].to_pylist())


def stored(db: Path) -> list[tuple[Any, ...]]:
    with open_store(db) as store:
        return store.rows("SELECT pair_id, annotator, verdict, origin, blind, note FROM word ORDER BY number")


def shown(state: State) -> str:
    assert state.task is not None
    return state.task.pair_id


def says(state: State, label: str | None, **more: Any) -> Said:
    return Said(shown(state), label, state.dealt, **more)


def undo(state: State) -> Said:
    assert state.undo is not None
    return Said(state.undo, None)


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


# --- the order


def test_tasks_are_those_of_the_queue_in_its_order_and_words(db: Path) -> None:
    with open_store(db) as store:
        lines = [line for _, some in task_lines(store) for line in some.to_pybytes().splitlines(keepends=True)]
        ids = task_order(store)["pair_id"].to_pylist()
        assert lines_of(store, ids[5:2:-1], most=10_000) == lines[5:2:-1]
        assert lines_of(store, ids[:2], most=10) == []
        assert lines_of(store, []) == []
    assert [Task.of(line).pair_id for line in lines] == ids
    assert len(ids) == PAIRS


def test_one_annotator_goes_through_the_queue(db: Path) -> None:
    ids, review = order(db), Review(db)
    state = review.sync("anna", [])
    assert (state.done, state.left, state.total, state.pace, state.undo) == (0, PAIRS, PAIRS, None, None)
    for i in range(5):
        assert shown(state) == ids[i]
        state = review.sync("anna", [says(state, "left", seconds=float(i))])
        assert state.stored
        assert (state.done, state.left, state.total) == (i + 1, PAIRS - i - 1, PAIRS)
    assert state.pace == 2.0
    assert [row[0] for row in stored(db)] == ids[:5]
    assert order(db) == ids[5:]


def test_all_is_done(db: Path) -> None:
    review = Review(db)
    state = review.sync("anna", [])
    for _ in range(PAIRS):
        state = review.sync("anna", [says(state, "skip")])
    assert (state.task, state.done, state.left) == (None, PAIRS, 0)
    assert review.sync("ben", []).task is None


def test_sides_come_back_as_they_were_dealt(db: Path) -> None:
    review, truth = Review(db), {}
    with open_store(db) as store:
        dealt = sides(store)
    state = review.sync("anna", [])
    for label in ("left", "right", "tie", "both_bad", "skip", "left"):
        left = dealt(shown(state))
        assert state.task is not None
        assert state.dealt == left
        assert state.task.left.startswith("first" if left == "a" else "second")
        truth[shown(state)] = {"left": left, "right": "b" if left == "a" else "a"}.get(label, label)
        state = review.sync("anna", [says(state, label, note=f"said {label}", seconds=2.5)])
    rows = stored(db)
    assert {row[0]: row[2] for row in rows} == truth
    assert {row[1:2] + row[3:5] for row in rows} == {("anna", "review", True)}
    assert [row[5] for row in rows] == [f"said {x}" for x in ("left", "right", "tie", "both_bad", "skip", "left")]
    with open_store(db) as store:
        sided = store.rows("SELECT DISTINCT left_side IN ('a', 'b'), seconds FROM human_label")
    assert sided == [(True, 2.5)]


# --- several annotators


def test_two_annotators_never_get_one_task_while_there_are_others(db: Path) -> None:
    ids, review = order(db), Review(db)
    anna, ben = review.sync("anna", []), review.sync("ben", [])
    seen = []
    while anna.task is not None and ben.task is not None and shown(anna) != shown(ben):
        seen += [shown(anna), shown(ben)]
        anna = review.sync("anna", [says(anna, "left")])
        ben = review.sync("ben", [says(ben, "right")])
    assert sorted(seen) == sorted(ids)
    assert (anna.done, ben.done) == (PAIRS // 2, PAIRS // 2)
    assert (review.sync("anna", []).left, ben.left) == (0, 0)


def test_nobody_is_blocked_by_a_screen(db: Path) -> None:
    review = Review(db)
    away = review.sync("away", [])
    state = review.sync("anna", [])
    for _ in range(PAIRS - 1):
        assert shown(state) != shown(away)
        state = review.sync("anna", [says(state, "left")])
    # Nothing else is left: it is shown to both, and whoever is second is heard too.
    assert shown(state) == shown(away)
    assert review.sync("anna", [says(state, "left")]).left == 0
    late = review.sync("away", [says(away, "right")])
    assert (late.task, late.done) == (None, 1)
    assert len(stored(db)) == PAIRS + 1


def test_a_screen_that_nobody_looks_at_is_given_up(db: Path) -> None:
    clock = Clock()
    review = Review(db, clock=clock)
    away = review.sync("away", [])
    clock.now = 599
    assert shown(review.sync("anna", [])) != shown(away)
    clock.now = 601
    assert shown(review.sync("ben", [])) == shown(away)
    assert shown(review.sync("away", [])) == shown(away), "their own page stays as it is"


def test_a_reload_and_a_new_server_show_the_same_task(db: Path) -> None:
    review = Review(db)
    first = review.sync("anna", [])
    second = review.sync("ben", [])
    assert shown(review.sync("anna", [])) == shown(first)
    again = Review(db)
    assert shown(again.sync("ben", [], shown(second))) == shown(second)
    assert shown(again.sync("anna", [], "no such pair")) == shown(first)


# --- taking back


def test_undo_goes_back_step_by_step_and_shows_what_was_said(db: Path) -> None:
    ids, review = order(db), Review(db)
    state = review.sync("anna", [])
    for label in ("left", "tie", "right"):
        state = review.sync("anna", [says(state, label, note=f"because {label}")])
    for i, label in ((2, "right"), (1, "tie"), (0, "left")):
        state = review.sync("anna", [undo(state)])
        assert shown(state) == ids[i]
        assert state.previous == Word(ids[i], label, f"because {label}")
        assert (state.done, state.left) == (i, PAIRS - i)
    assert state.undo is None
    assert stored(db) == []
    state = review.sync("anna", [says(state, "both_bad")])
    assert state.previous is None
    assert shown(state) == ids[1]
    assert [row[:3] for row in stored(db)] == [(ids[0], "anna", "both_bad")]
    with open_store(db) as store:
        assert store.count("SELECT count(*) FROM human_label") == 7, "history stays: 3 said, 3 taken back, 1 said"


def test_the_same_twice_is_the_same(db: Path) -> None:
    review = Review(db)
    state = review.sync("anna", [])
    one = says(state, "left", note="n", said_at=datetime.now(UTC))
    after = review.sync("anna", [one])
    assert review.sync("anna", [one, one]) == after
    back = review.sync("anna", [undo(after)])
    assert review.sync("anna", [undo(after)]) == back
    assert review.sync("anna", [one, undo(after)]) == back
    with open_store(db) as store:
        assert store.count("SELECT count(*) FROM word") == 0


def test_a_new_server_takes_back_what_was_said_within_the_hour(db: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    review = Review(db)
    state = review.sync("anna", [])
    state = review.sync("anna", [says(state, "left", note="mine", seconds=4.0)])
    again = Review(db).sync("anna", [])
    assert (again.done, again.pace, again.undo) == (1, 4.0, state.undo)
    back = Review(db).sync("anna", [undo(again)])
    assert back.previous == Word(shown(back), "left", "mine", 4.0)
    assert back.done == 0
    Review(db).sync("anna", [says(back, "tie")])
    monkeypatch.setattr(reviewing, "SITTING", 0.0)
    assert Review(db).sync("anna", []).undo is None


def test_what_one_takes_back_waits_for_the_others_too(db: Path) -> None:
    review = Review(db)
    anna = review.sync("anna", [])
    anna = review.sync("anna", [says(anna, "left")])
    ben = review.sync("ben", [])
    assert (anna.left, ben.left) == (PAIRS - 1, PAIRS - 1)
    assert review.sync("anna", [undo(anna)]).left == PAIRS
    assert review.sync("ben", []).left == PAIRS


# --- the store changes underneath


def test_an_import_meanwhile_is_seen(db: Path, cli: Cli, tmp_path: Path) -> None:
    ids, review = order(db), Review(db)
    state = review.sync("anna", [])
    tasks = [row for row in read_rows(db.parent / "queue.jsonl") if row["pair_id"] in ids[1:4]]
    filled = write_rows(tmp_path / "filled.jsonl", [{**row, "label": "tie", "annotator": "carl"} for row in tasks])
    assert cli("import", filled, "--db", db) == 0
    state = review.sync("anna", [says(state, "left")])
    assert shown(state) == ids[4]
    assert (state.done, state.left) == (1, PAIRS - 4)


def test_a_decision_meanwhile_is_seen_and_the_screen_stays(db: Path, cli: Cli, tmp_path: Path) -> None:
    review = Review(db)
    first = review.sync("anna", [])
    rows = write_rows(tmp_path / "raw.jsonl", pairs(PAIRS + 5))
    log = write_rows(tmp_path / "log.jsonl", judgments(PAIRS + 5))
    assert cli("label", rows, "--judgments", log, "--out", db.parent, "--db", db) == 4
    state = review.sync("anna", [])
    assert shown(state) == shown(first)
    assert state.left == PAIRS + 5


def test_a_label_of_a_killed_import_is_seen(db: Path) -> None:
    """It stands in the log beside the store's file, which looks as before."""
    ids, review = order(db), Review(db)
    code = f"""
import os, signal
from pathlib import Path
from curator.options import QueueOrder
from curator.pair import Verdict
from curator.store import open_store
from curator.store.labels import Label, add_labels, draw_for_calibration
add_labels(open_store(Path({str(db)!r})), [Label({ids[0]!r}, "carl", Verdict.A)])
os.kill(os.getpid(), signal.SIGKILL)
"""
    assert subprocess.run([sys.executable, "-c", code], check=False, cwd=ROOT).returncode == -9
    assert shown(review.sync("anna", [])) == ids[1]


def test_an_answer_from_before_a_pair_came_back_does_not_count(db: Path) -> None:
    ids, review = order(db), Review(db)
    with open_store(db) as store:
        add_labels(store, [Label(ids[0], "file", Verdict.A)])
    anna = review.sync("anna", [], ids[1])
    old = Said(ids[0], "left", "a" if review.sync("anna", []).dealt is not None else None)
    with open_store(db) as store:
        was = sides(store)(ids[0])
        assert ask_again(store, [ids[0]]) == 1
        assert sides(store)(ids[0]) != was
    state = review.sync("anna", [Said(old.pair_id, "left", was), says(anna, "tie")])
    assert state.message is not None
    assert "come back in doubt" in state.message
    assert {row[0] for row in stored(db) if row[1] == "anna"} == {shown(anna)}
    # Asked again, it is a task once more, with its sides the other way round.
    assert ids[0] in order(db)
    state = review.sync("anna", [Said(ids[0], "left", "b" if was == "a" else "a")])
    assert state.message is None
    assert (ids[0], "anna", "b" if was == "a" else "a") in [row[:3] for row in stored(db)]


def test_an_answer_about_no_pair_is_refused_and_the_others_count(db: Path) -> None:
    review = Review(db)
    state = review.sync("anna", [])
    strange = "0" * 32
    with open_store(db) as store:
        dealt = sides(store)(strange)
    after = review.sync("anna", [Said(strange, "left", dealt), says(state, "left")])
    assert after.message == "An answer was about a pair that this store does not have, and is not stored."
    assert after.done == 1
    assert [row[0] for row in stored(db)] == [shown(state)]
    assert review.task(strange) is None


def test_a_clock_that_is_ahead_does_not_block_corrections(db: Path) -> None:
    review = Review(db)
    state = review.sync("anna", [])
    later = datetime.now(UTC) + timedelta(days=2)
    review.sync("anna", [says(state, "left", said_at=later)])
    review.sync("anna", [says(state, "right", said_at=datetime.now(UTC))])
    assert [row[2] for row in stored(db)] == [{"a": "b", "b": "a"}[str(state.dealt)]]


def test_a_clock_that_is_set_back_takes_no_correction_away(db: Path) -> None:
    review, now = Review(db), datetime.now(UTC)
    state = review.sync("anna", [])
    pair_id = state.task.pair_id if state.task else ""
    side = {"left": state.dealt, "right": {"a": "b", "b": "a"}[str(state.dealt)]}
    # As they come when a store was held for a while, and the clock went back by an hour meanwhile.
    said = [
        says(state, "left", said_at=now),
        Said(pair_id, None, said_at=now - timedelta(minutes=60)),
        says(state, "right", said_at=now - timedelta(minutes=59)),
    ]
    review.sync("anna", said)
    assert [row[2] for row in stored(db)] == [side["right"]]
    # And where the first was stored before it went back.
    with open_store(db) as store:
        store.rows("UPDATE human_label SET said_at = now() + INTERVAL 1 HOUR")
    review.sync("anna", [Said(pair_id, None)])
    assert stored(db) == []
    review.sync("anna", [says(state, "left")])
    assert [row[2] for row in stored(db)] == [side["left"]]


# --- another process has the store


def test_annotators_go_on_while_another_command_has_the_store(db: Path) -> None:
    ids, review = order(db), Review(db)
    state = review.sync("anna", [])
    with held(db) as holder:
        kept: list[Said] = []
        for i in range(3):
            kept.append(says(state, "left", seconds=1.0))
            state = review.sync("anna", kept, shown(state))
            assert not state.stored
            assert f"process {holder}" in str(state.message)
            assert shown(state) == ids[i + 1]
            assert (state.done, state.left) == (i + 1, PAIRS - i - 1)
        kept.append(undo(state))
        state = review.sync("anna", kept, shown(state))
        assert state.previous == Word(ids[2], "left", None, 1.0)
        with pytest.raises(StoreLocked, match=f"process {holder}"):
            review.sync("ben", [])
    state = review.sync("anna", kept, shown(state))
    assert state.stored
    assert state.message is None
    assert shown(state) == ids[2]
    assert [row[0] for row in stored(db)] == ids[:2]
    assert review.labelled == {"anna": set(ids[:2])}


def test_what_was_only_heard_is_offered_again(db: Path) -> None:
    """A browser that is closed before its answers could be stored takes them along."""
    ids, review = order(db), Review(db)
    state = review.sync("anna", [])
    with held(db):
        review.sync("anna", [says(state, "left")])
    assert shown(review.sync("ben", [])) == ids[0]


def test_no_more_is_shown_than_was_read_ahead(db: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reviewing, "AHEAD", 3)
    review, kept = Review(db), list[Said]()
    state = review.sync("anna", [])
    with held(db):
        for _ in range(2):
            kept.append(says(state, "left"))
            state = review.sync("anna", kept)
        kept.append(says(state, "left"))
        with pytest.raises(StoreLocked, match="answers are kept in this browser"):
            review.sync("anna", kept)
    assert review.sync("anna", kept).done == 3


def test_other_commands_wait_for_the_moment_that_an_answer_takes(db: Path) -> None:
    with held(db):
        begun = time.monotonic()
        with pytest.raises(StoreLocked):
            open_store(db, patience=0.2)
        assert 0.2 <= time.monotonic() - begun < 2
    other = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(db)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=ROOT
    )
    assert other.stdout is not None
    assert other.stdin is not None
    assert other.stdout.readline() == b"open\n"
    other.stdin.close()
    with open_store(db, patience=30) as store:
        assert store.count("SELECT count(*) FROM pair") == PAIRS
    other.wait()
    other.stdout.close()


def test_the_store_is_free_between_answers(db: Path) -> None:
    review = Review(db)
    state = review.sync("anna", [])
    review.sync("anna", [says(state, "left")])
    with held(db):
        pass
    assert not list(db.parent.glob("*.wal"))


# --- texts


def test_long_texts_are_read_when_they_are_shown(cli: Cli, tmp_path: Path) -> None:
    rows = pairs(3)
    for row in rows:
        row["response_a"] = row["id"] + "x" * 300_000
    raw, log = write_rows(tmp_path / "raw.jsonl", rows), write_rows(tmp_path / "log.jsonl", judgments(3))
    cli("label", raw, "--judgments", log)
    db = tmp_path / "raw.curated" / "curator.duckdb"
    review = Review(db)
    state = review.sync("anna", [])
    for _ in range(3):
        assert state.task is not None
        assert max(len(state.task.left), len(state.task.right)) == 300_002
        assert review.task(shown(state)) == state.task
        state = review.sync("anna", [says(state, "left")])
    assert state.task is None
    assert shown(review.sync("anna", [undo(state)])) == state.undo


# --- the rest


def test_the_summary_says_who_did_what(db: Path) -> None:
    review = Review(db)
    assert review_summary(review) == "Nothing was labelled."
    state = review.sync("anna", [])
    for _ in range(3):
        state = review.sync("anna", [says(state, "left")])
    state = review.sync("anna", [undo(state)])
    ben = review.sync("ben", [])
    review.sync("ben", [says(ben, "left")])
    with open_store(db) as store:
        draw_for_calibration(store, 5)
    left = 5  # a draw is of so many pairs that have no label yet
    assert review_summary(review).splitlines() == [
        "anna: 2 pairs labelled",
        "ben: 1 pair labelled",
        f"calibration draw: {left} pairs still without a label",
        "Next: run the same `curator label` again.",
    ]


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        (" Anna  Lee ", "Anna Lee"),
        ("a\x1b[31mb\u202e", "a [31mb"),
        ("a\nb\tc", "a b c"),
        ("\u200b\x00 ", ""),
        ("e\u0301", "é"),
        ("安娜", "安娜"),
        ("x" * 500, "x" * 100),
    ],
)
def test_names_are_one_readable_line(given: str, kept: str) -> None:
    assert annotator_name(given) == kept


def test_pairs_for_two_go_to_two_people(db: Path) -> None:
    with open_store(db) as store:
        set_readers(store, Readers(2, 1.0))
        some = task_order(store)
    review = Review(db)
    anna, ben, carl = (review.sync(name, []) for name in ("anna", "ben", "carl"))
    assert shown(anna) == shown(ben) != shown(carl)
    for _ in range(PAIRS):
        anna = review.sync("anna", [says(anna, "left")])
    assert (anna.task, anna.left) == (None, 0)
    for _ in range(PAIRS):
        ben = review.sync("ben", [says(ben, "left")])
    assert (ben.task, ben.left) == (None, 0)
    assert review.sync("carl", []).task is None
    with open_store(db) as store:
        none_left = task_order(store)
    assert none_left.num_rows == 0
    assert none_left.schema.names == some.schema.names
    assert len(stored(db)) == 2 * PAIRS
    # What one takes back waits for one person again, and not for the one who has answered.
    review.sync("anna", [undo(anna)])
    assert order(db) == [anna.undo]
    assert Review(db).sync("ben", []).task is None
    assert shown(Review(db).sync("carl", [])) == anna.undo


def test_the_order_is_the_one_asked_for(db: Path) -> None:
    with open_store(db) as store:
        chosen = task_order(store, QueueOrder.RANDOM)["pair_id"].to_pylist()
    assert shown(Review(db, QueueOrder.RANDOM).sync("anna", [])) == chosen[0] != order(db)[0]


def test_the_diverse_order_is_kept_when_the_store_changes(cli: Cli, tmp_path: Path) -> None:
    subjects = ("bread flour yeast oven dough", "python function list loop error", "goal football league striker cup")
    rows = [{**row, "prompt": f"{subjects[i // 6]} {i}"} for i, row in enumerate(pairs(18))]
    raw, log = write_rows(tmp_path / "raw.jsonl", rows), write_rows(tmp_path / "log.jsonl", judgments(18))
    cli("label", raw, "--judgments", log)
    db = tmp_path / "raw.curated" / "curator.duckdb"
    with open_store(db) as store:
        chosen = task_order(store, QueueOrder.DIVERSE)["pair_id"].to_pylist()
        usual = task_order(store)["pair_id"].to_pylist()
    assert chosen != usual
    review = Review(db, QueueOrder.DIVERSE)
    state = review.sync("anna", [])
    assert shown(state) == chosen[0]
    with open_store(db) as store:
        add_labels(store, [Label(chosen[2], "carl", Verdict.A)])
        draw_for_calibration(store, 2)
        drawn = [row[0] for row in store.rows("SELECT pair_id FROM draw ANTI JOIN human_label USING (pair_id)")]
        first = task_order(store)["pair_id"].to_pylist()[: len(drawn)]
    assert set(first) == set(drawn)
    seen = []
    while state.task is not None:
        seen.append(shown(state))
        state = review.sync("anna", [says(state, "left")])
    waiting = [pair_id for pair_id in chosen if pair_id not in {chosen[0], chosen[2], *drawn}]
    assert seen == [chosen[0], *(pair_id for pair_id in first if pair_id != chosen[0]), *waiting]


def test_a_task_for_two_goes_to_two() -> None:
    desk = Desk(["p", "q"], [2, 1])
    for name in ("anna", "ben", "carl"):
        desk.sit(name, [], [])
    assert [desk.show(name) for name in ("anna", "ben", "carl")] == ["p", "p", "q"]
    desk.say("anna", Word("p", "left"))
    assert (desk.seats["anna"].left, desk.seats["ben"].left) == (1, 2)
    assert desk.show("carl") == "q"
    desk.say("ben", Word("p", "right"))
    assert [desk.seats[name].left for name in ("anna", "ben", "carl")] == [1, 1, 1]
    desk.take_back("anna", "p")
    assert [desk.seats[name].left for name in ("anna", "ben", "carl")] == [2, 1, 2]
    desk.say("carl", Word("q", "tie"))
    assert desk.show("ben") is None
    assert desk.show("carl") == "p", "anna looks at it, but nothing else is left"


def test_a_desk_of_many_tasks_is_quick() -> None:
    """No answer goes through all tasks: 20,000 answers about 100,000 tasks, half of them by somebody else."""
    tasks = [f"{i:032}" for i in range(100_000)]
    desk = Desk(tasks)
    for name in ("anna", "ben"):
        desk.sit(name, [], [])
    begun = time.perf_counter()
    for _ in range(10_000):
        for name in ("anna", "ben"):
            pair_id = desk.show(name)
            assert pair_id is not None
            desk.say(name, Word(pair_id, "left"))
    assert time.perf_counter() - begun < 10
    assert desk.seats["anna"].left == 80_000
    assert desk.show("anna") == tasks[20_000]
