"""Which pairs people are asked about, by whom, in which order, and what they are shown."""

from __future__ import annotations

import hashlib
import json
import math
import shutil
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from curator.cli import main
from curator.combining import Panel
from curator.conformal import exact
from curator.options import QueueOrder, Rule, Ties, Wanted
from curator.pair import JudgeInfo, Judgment, Message, Order, Origin, Pair, Verdict, Vote
from curator.resources import first_error
from curator.steps.auditing import audit_result
from curator.steps.deciding import decide
from curator.steps.scoring import panel_judge
from curator.steps.sides import sides
from curator.store import Store, open_store
from curator.store import tasks as stored
from curator.store.agreement import keep_only
from curator.store.audits import ask_again, audited, draw_audit, rechecked, waiting_again
from curator.store.dataset import dataset, examples
from curator.store.doubts import find_calibrating, refused, votes
from curator.store.judgments import add_judge, add_judgments
from curator.store.labels import Label, add_labels, draw_for_calibration, drawn_without_label
from curator.store.pairs import replace_input
from curator.store.tasks import (
    Readers,
    counts,
    left_out,
    lines_of,
    readers,
    set_readers,
    task_lines,
    task_order,
)
from tests.conftest import Cli, judgments, pairs, read_rows, write_rows

ORDERS = list(QueueOrder)
COUNT, SEEN = 300, 60
SUBJECTS = (
    "cooking rice salt pan",
    "sailing harbour wind rope",
    "proof lemma theorem axiom",
    "paint brush canvas blue",
)


def subject(i: int) -> int:
    """Most pairs are about one thing."""
    return 0 if (i // 3) % 8 else (i // 24) % 3 + 1


def pair(i: int, label: Verdict | None = None) -> Pair:
    words = SUBJECTS[subject(i)]
    text = (Message("user", f"about {words} {i}"),)
    return Pair(
        text,
        f"first {words}",
        f"second {words}",
        () if label is None else (Vote(label),),
        f"p{i}",
        {},
        "raw.jsonl",
        i + 1,
    )


def probability(i: int) -> float:
    """P(a better): sure and right about two pairs in three, unsure about the others and wrong about half of these."""
    right = 0.95 if i % 3 else 0.55 + (i % 7) / 100
    return right if (i % 2 == 0) != (i % 12 in {0, 3}) else 1 - right


def judge_pairs(store: Store, judge: JudgeInfo, said: Callable[[int], tuple[float, float] | None]) -> None:
    """Have a judge say P(a better) of each pair, shown first and second."""
    add_judge(store, judge)
    found = []
    for i in range(COUNT):
        for order, p in zip(Order, said(i) or (), strict=False):
            logprobs = tuple(math.log(x) if x else -math.inf for x in (p, 1 - p))
            found.append(Judgment(pair(i).pair_id, order, *logprobs))
    add_judgments(store, judge.judge_id, found)


JUDGE = JudgeInfo("j", "recorded", {"log": 1})
RULE = Rule(alpha=exact("0.05"))


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of pairs of which the first are labelled, and about one in three of the others is a task."""
    path = tmp_path_factory.mktemp("store") / "s.duckdb"
    with open_store(path) as opened:
        rows = [pair(i, Verdict("ab"[i % 2]) if i < SEEN else None) for i in range(COUNT)]
        replace_input(opened, [("pool", rows)])
        judge_pairs(opened, JUDGE, lambda i: (probability(i), probability(i)))
        decide(opened, JUDGE, RULE)
        assert opened.seed
    return path


@pytest.fixture
def store(template: Path, tmp_path: Path) -> Iterator[Store]:
    with open_store(Path(shutil.copy(template, tmp_path))) as opened:
        yield opened


def queue(store: Store, order: QueueOrder = QueueOrder.UNCERTAIN, **more: Any) -> list[dict[str, Any]]:
    lines = b"".join(lines.to_pybytes() for _, lines in task_lines(store, order, **more))
    return [json.loads(line) for line in lines.splitlines()]


def ids(store: Store, order: QueueOrder = QueueOrder.UNCERTAIN, **more: Any) -> list[str]:
    return [task["pair_id"] for task in queue(store, order, **more)]


def number(pair_id: str) -> int:
    return NUMBERS[pair_id]


NUMBERS = {pair(i).pair_id: i for i in range(COUNT)}
IDS = [pair(i).pair_id for i in range(COUNT)]


def say(store: Store, annotator: str, verdict: Verdict | None, *pair_ids: str, blind: bool = True) -> None:
    """An answer to tasks."""
    add_labels(store, [Label(one, annotator, verdict, blind=blind, left_side="a") for one in pair_ids])


# Orders.


def digest(text: str) -> int:
    """DuckDB's md5_number_lower."""
    return int.from_bytes(hashlib.md5(text.encode(), usedforsecurity=False).digest()[8:], "little")


def unsure(i: int) -> tuple[float, int]:
    return abs(probability(i) - 0.5), i


def test_the_least_sure_come_first(store: Store) -> None:
    found = [number(one) for one in ids(store)]
    assert set(found) == {i for i in range(SEEN, COUNT) if i % 3 == 0}
    assert found == sorted(found, key=lambda i: (round(unsure(i)[0], 9), i))
    assert found == [number(one) for one in ids(store, QueueOrder.UNCERTAIN)]


def test_a_random_order_is_that_of_the_seed(store: Store) -> None:
    found = ids(store, QueueOrder.RANDOM)
    assert found == sorted(ids(store), key=lambda one: digest("order" + store.seed + one))
    assert found != ids(store)


def test_judges_and_orders_that_disagree_come_first(store: Store) -> None:
    other = JudgeInfo("k", "recorded", {"log": 2})
    stranger = JudgeInfo("s", "recorded", {"log": 3})
    random = np.random.default_rng(4)
    first, second = random.uniform(0, 1, (2, COUNT)).round(3), random.uniform(0, 1, (2, COUNT)).round(3)
    first[:, 90], second[0, 93] = [1, 0], 1  # a bare verdict is a probability too
    store.rows("DELETE FROM judgment")
    unjudged = {96, 99}
    judge_pairs(store, JUDGE, lambda i: None if i in unjudged else (first[0, i], first[1, i]))
    judge_pairs(store, other, lambda i: None if i in unjudged else (second[0, i], second[1, i]))
    judge_pairs(store, stranger, lambda i: (0.0, 1.0))
    panel = panel_judge([JUDGE, other], Panel())
    add_judge(store, panel)
    decide(store, panel, Rule(alpha=exact("0.001")))
    said = np.vstack([first, second])
    apart = said.max(axis=0) - said.min(axis=0)
    found = [number(one) for one in ids(store, QueueOrder.DISAGREEMENT)]
    assert len(found) == COUNT - SEEN
    assert found[-2:] == sorted(unjudged), "those that nobody judged come last, and no other judge has a say"
    assert found[0] == 90
    assert all(apart[one] >= apart[after] - 1e-9 for one, after in pairwise(found[:-2]))
    # One judge: the gap between both orders.
    decide(store, JUDGE, Rule(alpha=exact("0.001")))
    gap = abs(first[0] - first[1])
    found = [number(one) for one in ids(store, QueueOrder.DISAGREEMENT)][:-2]
    assert all(gap[one] >= gap[after] - 1e-9 for one, after in pairwise(found))


def test_a_tie_is_half_of_each_where_judges_disagree(store: Store) -> None:
    store.rows("DELETE FROM judgment WHERE pair_id IN (?, ?)", [IDS[60], IDS[63]])
    # P(a), P(b), P(equal): .6 + .1 of a, and .1 + .4; .3 + .2 and .5 + .0.
    for i, (ab, ba) in {60: ((0.6, 0.2, 0.2), (0.1, 0.1, 0.8)), 63: ((0.3, 0.3, 0.4), (0.5, 0.5, 0.0))}.items():
        rows = [
            Judgment(IDS[i], order, math.log(p[0]), math.log(p[1]), logprob_tie=math.log(p[2]) if p[2] else -math.inf)
            for order, p in zip(Order, (ab, ba), strict=True)
        ]
        add_judgments(store, JUDGE.judge_id, rows)
    found = ids(store, QueueOrder.DISAGREEMENT)
    assert found[0] == IDS[60], "a is preferred .7 and .5; in all others there is no gap"
    assert found[1:] == [one for one in ids(store) if one != IDS[60]], "and there sureness decides"


def test_a_diverse_order_shows_some_of_everything(store: Store) -> None:
    found = [number(one) for one in ids(store, QueueOrder.DIVERSE)]
    assert sorted(found) == sorted(number(one) for one in ids(store))
    assert found == [number(one) for one in ids(store, QueueOrder.DIVERSE)]
    topics = round(math.sqrt(len(found)))
    assert {subject(i) for i in found[:topics]} == {0, 1, 2, 3}
    for about in range(4):
        of_subject = [i for i in found if subject(i) == about]
        assert unsure(of_subject[0])[0] == pytest.approx(min(unsure(i)[0] for i in of_subject))


def task_table(store: Store, order: QueueOrder = QueueOrder.UNCERTAIN) -> pa.Table:
    """The tasks in their order, with why each is one."""
    topics = stored._topics(store) if order is QueueOrder.DIVERSE else None
    sql = f"""SELECT pair_id, drawn IS NOT NULL AS drawn, audited, again, another, several
        FROM ({stored._task_sql(order, readers(store), stored._judges(store))}) task {stored._SORTED}"""
    return pa.Table.from_batches(store.stream(sql, 100_000, {"seed": store.seed}, topics))


def waiting_for_another(store: Store) -> set[str]:
    """The tasks that somebody has answered, and that wait for another person."""
    table = task_table(store)
    return {
        one
        for one, another in zip(*(table[name].to_pylist() for name in ("pair_id", "another")), strict=True)
        if another
    }


@pytest.mark.parametrize("order", ORDERS)
def test_the_draw_comes_first_and_what_is_hidden_stands_where_chance_says(store: Store, order: QueueOrder) -> None:
    draw_audit(store, 0.2)
    draw_for_calibration(store, 20)
    assert ask_again(store, IDS[:5]) == 5
    say(store, "anna", Verdict.A, *ids(store)[:6])
    set_readers(store, Readers(2, 0.5))
    found, table = ids(store, order), task_table(store, order)
    assert found == table["pair_id"].to_pylist()
    flags = {name: dict(zip(found, table[name].to_pylist(), strict=True)) for name in table.column_names[1:]}
    drawn = [one for one in found if flags["drawn"][one]]
    position = dict(store.rows("SELECT pair_id, position FROM draw"))
    assert found[: len(drawn)] == drawn == sorted(drawn, key=position.__getitem__)
    assert len(drawn) == drawn_without_label(store) == 14
    hidden = [
        one for one in found[len(drawn) :] if flags["audited"][one] or flags["again"][one] or flags["another"][one]
    ]
    assert sum(flags["again"].values()) == 5
    assert sum(flags["another"].values()) > 0
    assert sum(flags["audited"].values()) > 10
    others = [one for one in found[len(drawn) :] if one not in hidden]
    place = {one: (len(others) + 1) * digest("place" + store.seed + one) / 2**64 for one in hidden}
    place |= {one: float(at) for at, one in enumerate(others, 1)}
    assert found[len(drawn) :] == sorted(place, key=place.__getitem__)
    assert sorted(found) == sorted(ids(store))


def test_every_task_has_one_text_however_it_is_asked_for(store: Store) -> None:
    ask_again(store, IDS[:5])
    every = queue(store)
    chosen = every[::-7]
    lines = lines_of(store, [*(task["pair_id"] for task in chosen), "0" * 32])
    assert [json.loads(line) for line in lines] == chosen
    assert task_order(store)["pair_id"].to_pylist() == [task["pair_id"] for task in every]


# Several people.


def coin(store: Store, pair_id: str) -> float:
    return digest("overlap" + store.seed + pair_id) / 2**64


def test_a_share_of_the_pairs_waits_for_several_people(store: Store) -> None:
    before = ids(store)
    assert readers(store) == Readers()
    set_readers(store, Readers(3, 0.3))
    assert readers(store) == Readers(3, 0.3)
    several = [one for one in before if coin(store, one) < 0.3]
    assert 10 < len(several) < 40
    assert ids(store) == before, "nobody has answered yet"
    assert ids(store, person=2) == ids(store, person=3) == several
    assert ids(store, person=4) == []
    found = counts(store)
    assert (found["waiting"], found["waiting_for_another"], found["answers_wanted"]) == (
        len(before), 0, len(before) + 2 * len(several),
    )  # fmt: skip

    one, plain = several[0], next(pair_id for pair_id in before if pair_id not in several)
    say(store, "anna", Verdict.A, one, plain)
    assert plain not in ids(store)
    assert one in ids(store)
    assert one in ids(store, person=2)
    assert one not in ids(store, person=3)
    assert waiting_for_another(store) == {one}
    assert counts(store)["waiting_for_another"] == 1
    say(store, "anna", Verdict.B, one)
    assert waiting_for_another(store) == {one}, "the same person, once more"
    say(store, "ben", Verdict.SKIP, one)
    assert one not in ids(store, person=2)
    say(store, "ben", None, one)
    assert one in ids(store, person=2)
    say(store, "ben", Verdict.BOTH_BAD, one)
    say(store, "cleo", Verdict.A, one)
    assert one not in ids(store)
    assert waiting_for_another(store) == set()

    set_readers(store, Readers(3, 0.6))
    assert set(several[1:]) < set(ids(store, person=2)), "a larger share adds pairs"
    set_readers(store, Readers(1))
    assert ids(store) == [pair_id for pair_id in before if pair_id not in {one, plain}]


def test_labels_that_came_with_rows_make_no_tasks(store: Store) -> None:
    before = ids(store)
    set_readers(store, Readers(2, 1.0))
    assert ids(store) == before
    assert not {number(one) for one in before} & set(range(SEEN))


def test_the_coin_has_nothing_to_do_with_draw_or_sides(store: Store) -> None:
    set_readers(store, Readers(2, 0.5))
    draw_for_calibration(store, 200)
    table = task_table(store)
    drawn = [bool(x) for x in table["several"].filter(table["drawn"]).to_pylist()]
    assert len(drawn) == 200
    assert 70 < sum(drawn) < 130
    left = sides(store)
    both = [left(one) == "a" for one in table["pair_id"].filter(table["several"]).to_pylist()]
    assert 0.35 < np.mean(both) < 0.65


def test_a_second_answer_changes_the_label_of_a_calibration_pair_and_not_whether_it_calibrates(store: Store) -> None:
    set_readers(store, Readers(2, 1.0))
    draw_for_calibration(store, 20)
    drawn = ids(store)[:20]
    say(store, "anna", Verdict.A, *drawn)
    assert drawn_without_label(store) == 0
    calibrating = "SELECT pair_id, verdict FROM calibration_label SEMI JOIN draw USING (pair_id)"
    assert dict(store.rows(calibrating)) == dict.fromkeys(drawn, "a")
    assert set(drawn) <= waiting_for_another(store), "they wait for another person, behind the draw"
    assert counts(store)["waiting_for_calibration"] == 0
    say(store, "ben", Verdict.A, *drawn[:10])
    say(store, "ben", Verdict.B, *drawn[10:])
    assert dict(store.rows(calibrating)) == {one: "a" if at < 10 else "tie" for at, one in enumerate(drawn)}
    assert not set(drawn) & set(ids(store))
    find_calibrating(store)
    assert {(v.votes, v.first, v.second): v.pairs for v in votes(store) if v.votes == 2} == {
        (2, "a", "a"): 10, (2, "a", "b"): 10,
    }  # fmt: skip


def test_a_pair_that_came_back_in_doubt_waits_for_one_answer(store: Store) -> None:
    set_readers(store, Readers(2, 1.0))
    one = ids(store)[0]
    say(store, "anna", Verdict.A, one)
    assert waiting_for_another(store) == {one}
    ask_again(store, [one])
    assert waiting_for_another(store) == set()
    assert one not in ids(store, person=2)
    say(store, "ben", Verdict.B, one)
    assert one not in ids(store)


def test_only_a_blind_answer_is_one_of_several(store: Store) -> None:
    one = ids(store)[0]
    say(store, "anna", Verdict.A, one, blind=False)
    set_readers(store, Readers(2, 1.0))
    assert one in ids(store, person=2)
    say(store, "ben", Verdict.A, one)
    say(store, "cleo", Verdict.A, one)
    assert one not in ids(store)


def test_readers_are_a_number_of_people_and_a_share() -> None:
    for annotators, share in ((0, 0.1), (2, -0.1), (2, 1.1), (2, math.nan)):
        with pytest.raises(ValueError, match="no such thing"):
            Readers(annotators, share)


# Sides.


def test_tasks_show_the_sides_that_labels_are_read_by(store: Store) -> None:
    """Also of a pair that came back, was answered, and is drawn only then."""
    one, two, *_ = ids(store)
    say(store, "anna", Verdict.A, one, two, blind=False)
    ask_again(store, [one, two, *IDS[:10]])
    say(store, "anna", Verdict.A, one, blind=False)
    draw_for_calibration(store, 10**6)
    found = queue(store)
    assert {one, two, *IDS[:10]} <= {task["pair_id"] for task in found}
    left = sides(store)
    for task in found:
        shown = "a" if task["left"].startswith("first") else "b"
        assert shown == left(task["pair_id"])


# The verdict shown.


def test_a_shown_verdict_is_that_of_the_score(store: Store) -> None:
    hidden = {task["pair_id"]: task for task in queue(store)}
    shown = queue(store, show_verdict=True)
    assert [task["pair_id"] for task in shown] == list(hidden)
    for task in shown:
        assert first_error("queue", task) is None
        p = probability(number(task["pair_id"]))
        preferred = "first" if p > 0.5 else "second"
        side = "left" if task["left"].startswith(preferred) else "right"
        assert task.pop("judge") == {"prefers": side, "probability": pytest.approx(max(p, 1 - p))}
        assert task == hidden[task["pair_id"]]
    store.rows("UPDATE score SET log_odds = 0 WHERE pair_id = ?", [shown[0]["pair_id"]])
    store.rows("DELETE FROM score WHERE pair_id = ?", [shown[1]["pair_id"]])
    judge = {task["pair_id"]: task["judge"] for task in queue(store, show_verdict=True)}
    assert judge[shown[0]["pair_id"]] == {"prefers": None, "probability": None}
    assert judge[shown[1]["pair_id"]] is None, "nothing is shown, and the label is blind"


def test_no_verdict_is_shown_where_blind_eyes_are_needed(store: Store) -> None:
    every = ids(store)
    draw_audit(store, 0.2)
    draw_for_calibration(store, 20)
    ask_again(store, IDS[:5])
    say(store, "anna", Verdict.A, every[0])
    set_readers(store, Readers(2, 0.4))
    shown = {task["pair_id"] for task in queue(store, show_verdict=True)}
    drawn = {row[0] for row in store.rows("SELECT pair_id FROM draw")}
    assert shown == {one for one in every if one not in drawn and coin(store, one) >= 0.4} - {every[0]}
    found = left_out(store)
    assert found["again"] == 5
    assert sum(found.values()) == counts(store)["waiting"] - len(shown)
    assert found["calibration_draw"] == drawn_without_label(store)
    assert found["audit"] == counts(store)["waiting_for_audit"]


def test_labels_given_beside_a_verdict_never_calibrate_and_the_draw_waits_for_others(store: Store) -> None:
    shown = ids(store)[:10]
    say(store, "anna", Verdict.A, *shown, blind=False)
    assert not set(shown) & set(ids(store)), "the data set has what it needs"
    assert {row[0] for row in store.rows("SELECT pair_id FROM label WHERE verdict = 'a'")} >= set(shown)
    find_calibrating(store)
    assert refused(store) == {"not blind": 10}

    draw_for_calibration(store, 10**6)
    assert drawn_without_label(store) == COUNT - SEEN, "nobody whom no verdict was shown has labelled any of them"
    assert set(shown) <= set(ids(store))
    # Who has seen a verdict is not blind afterwards, whatever the task then shows.
    say(store, "anna", Verdict.B, *shown)
    assert store.rows("SELECT DISTINCT blind FROM human_label WHERE annotator = 'anna'") == [(False,)]
    say(store, "anna", None, *shown)
    say(store, "anna", Verdict.B, *shown)
    assert store.rows("SELECT DISTINCT blind FROM latest_label WHERE annotator = 'anna'") == [(False,)]
    assert drawn_without_label(store) == COUNT - SEEN
    say(store, "ben", Verdict.B, *shown[:9])
    find_calibrating(store)
    assert refused(store)["not blind"] == 1, "somebody else's word on the other nine counts"
    assert drawn_without_label(store) == COUNT - SEEN - 9
    assert set(ids(store)) & set(shown) == {shown[9]}
    blind = dict(store.rows("SELECT pair_id, verdict FROM calibration_label SEMI JOIN draw USING (pair_id)"))
    assert {one: blind.get(one) for one in shown} == {**dict.fromkeys(shown[:9], "b"), shown[9]: None}


def test_an_answer_beside_a_verdict_is_not_made_blind_by_the_next_row_of_a_file(store: Store) -> None:
    draw_for_calibration(store, 10)
    one, other = ids(store)[:2]
    said = [Label(one, "anna", Verdict.A, blind=False), Label(one, "anna", Verdict.B), Label(other, "anna", Verdict.B)]
    add_labels(store, said)
    assert store.rows("SELECT verdict, blind FROM human_label WHERE pair_id = ?", [one]) == [("b", False)]
    assert drawn_without_label(store) == 9


@pytest.mark.parametrize("again", ["corrected", "second", "given anew"])
def test_a_pair_that_was_labelled_before_its_draw_stays_one_whatever_is_said_of_it_later(
    store: Store, again: str
) -> None:
    hard = ids(store)[:40]
    say(store, "anna", Verdict.A, *hard)
    draw_for_calibration(store, 30)
    early = [row[0] for row in store.rows("SELECT pair_id FROM draw ORDER BY position") if row[0] in hard]
    drawn = "SELECT count(*) FROM calibration_label SEMI JOIN draw USING (pair_id)"
    assert early
    assert store.count(drawn) == 0
    if again == "given anew":
        say(store, "anna", None, *early)
    say(store, "ben" if again == "second" else "anna", Verdict.B, *early)
    assert store.count(drawn) == 0, "hard pairs would calibrate while the others of their draw wait"
    say(store, "ben", Verdict.B, *ids(store)[:30])
    assert (drawn_without_label(store), store.count(drawn)) == (0, 30 + len(early))


def test_a_group_calibrates_on_no_draw_from_which_others_had_taken_pairs(store: Store) -> None:
    """The others had read them because they were hard; what was left to be asked about is easy."""
    hard = ids(store)
    say(store, "ben", Verdict.A, *hard)
    draw_for_calibration(store, 40)
    easy = ids(store)
    say(store, "anna", Verdict.A, *easy)
    n = store.count("SELECT count(*) FROM calibration_label")
    assert n == SEEN + store.count("SELECT count(*) FROM draw") > SEEN + len(easy), "all of it is labelled"
    with store.undone():
        keep_only(store, ["anna"])
        assert store.count("SELECT count(*) FROM calibration_label") == 0
        find_calibrating(store)
        assert refused(store) == {"draw incomplete": len(easy)}
        say(store, "anna", Verdict.A, *(row[0] for row in store.rows("SELECT pair_id FROM draw")))
        assert store.count("SELECT count(*) FROM calibration_label") == n - SEEN, "what is complete is random"
    assert store.count("SELECT count(*) FROM calibration_label") == n


def test_what_a_group_said_when_others_were_doubted_is_not_its_first_word(store: Store) -> None:
    """It would calibrate where a judge had contradicted somebody, and make a random draw look as if it were none."""
    draw_for_calibration(store, 40)
    drawn = ids(store)[:40]
    say(store, "ben", Verdict.A, *drawn[:15])
    say(store, "anna", Verdict.A, *drawn[15:])
    ask_again(store, drawn[:20])
    say(store, "anna", Verdict.B, *drawn[:20])
    rows = "SELECT pair_id, verdict FROM calibration_label SEMI JOIN draw USING (pair_id)"
    assert dict(store.rows(rows)) == dict.fromkeys(drawn, "a")
    with store.undone():
        keep_only(store, ["anna"])
        assert dict(store.rows(rows)) == dict.fromkeys(drawn[15:], "a")
        said = dict(store.rows("SELECT pair_id, verdict FROM label"))
        assert said == {**dict.fromkeys(drawn[:20], "b"), **dict.fromkeys(drawn[20:], "a")}


def test_a_group_has_no_interval_from_an_audit_from_which_others_had_taken_pairs(store: Store) -> None:
    early = [row[0] for row in store.rows("SELECT pair_id FROM decision WHERE decision = 'accept' ORDER BY pair_id")]
    say(store, "ben", Verdict.A, *early[:5])
    draw_audit(store, 1.0)
    say(store, "anna", Verdict.A, *early[5:])
    assert (audit_result(store) or {})["low"] is not None
    with store.undone():
        keep_only(store, ["anna"])
        found = audit_result(store) or {}
        assert (found["labelled"], found["drawn"], found["low"]) == (len(early) - 5, len(early), None)


def test_an_audit_waits_for_somebody_who_was_shown_nothing(store: Store) -> None:
    draw_audit(store, 1.0)
    accepted = [row[0] for row in store.rows("SELECT pair_id FROM decision WHERE decision = 'accept' LIMIT 4")]
    say(store, "anna", Verdict.TIE, *accepted, blind=False)
    found = audited(store)
    assert found is not None
    assert (found.labelled, found.errors) == (0, 0)
    assert set(accepted) <= set(ids(store))
    say(store, "ben", Verdict.BOTH_BAD, *accepted[:3])
    found = audited(store)
    assert found is not None
    assert (found.labelled, found.errors, found.ties) == (3, 3, 3)
    assert set(ids(store)) & set(accepted) == {accepted[3]}


def test_a_blind_answer_to_asking_again_is_the_first_blind_word_where_all_before_were_shown(store: Store) -> None:
    """Or the draw would wait for ever: whoever answers now answers after the doubt."""
    one = ids(store)[0]
    say(store, "anna", Verdict.A, one, blind=False)
    ask_again(store, [one])
    draw_for_calibration(store, 10**6)
    assert ids(store).index(one) < drawn_without_label(store), "with its draw"
    assert counts(store)["waiting_again"] == 0
    say(store, "ben", Verdict.B, one)
    assert one not in ids(store)
    assert store.rows("SELECT verdict FROM blind_label WHERE pair_id = ?", [one]) == [("b",)]
    assert drawn_without_label(store) == COUNT - SEEN - 1


# What else people say.


def test_both_bad_is_kept_and_counts_as_a_tie(store: Store) -> None:
    one, two, three, *_ = ids(store)
    say(store, "anna", Verdict.BOTH_BAD, one, two, three)
    say(store, "ben", Verdict.TIE, two)
    say(store, "ben", Verdict.A, three)
    said = store.rows("SELECT verdict FROM human_label WHERE pair_id = ? ORDER BY number", [two])
    assert said == [("both_bad",), ("tie",)]
    for view in ("label", "first_label", "blind_label"):
        found = dict(store.rows(f"SELECT pair_id, verdict FROM {view}"))
        assert [found[pair_id] for pair_id in (one, two, three)] == ["tie"] * 3, view
    assert not {one, two, three} & {
        row["pair_id"] for batch in dataset(store, examples(store, Wanted())) for row in batch.to_pylist()
    }
    assert not {one, two, three} & set(ids(store))
    assert counts(store)["labelled"] == SEEN + 3


def test_both_bad_calibrates_as_ties_do(store: Store) -> None:
    draw_for_calibration(store, 30)
    drawn = ids(store)[:30]
    for one in drawn:
        say(store, "anna", Verdict("ab"[number(one) % 2]), one)
    before = decide(store, JUDGE, RULE).calibrations[0]
    right = [one for one in drawn if number(one) % 3][:4]
    say(store, "anna", Verdict.BOTH_BAD, *right)
    after = decide(store, JUDGE, RULE).calibrations[0]
    assert (after.found.n, after.found.n_errors) == (before.found.n, before.found.n_errors + 4)
    aside = decide(store, JUDGE, Rule(alpha=exact("0.05"), ties=Ties.EXCLUDE)).calibrations[0]
    assert (aside.found.n, aside.found.n_errors, aside.ties_left_out) == (
        before.found.n - 4, before.found.n_errors, 4,
    )  # fmt: skip


def test_an_audit_counts_both_bad_as_the_rule_counts_ties(store: Store) -> None:
    draw_audit(store, 1.0)
    accepted = store.rows("SELECT pair_id, label FROM decision WHERE decision = 'accept' ORDER BY pair_id")
    for verdict in ("a", "b"):
        say(store, "anna", Verdict(verdict), *(pair_id for pair_id, label in accepted[2:] if label == verdict))
    say(store, "anna", Verdict.BOTH_BAD, accepted[0][0], accepted[1][0])
    found = audit_result(store)
    assert found is not None
    assert (found["labelled"], found["errors"], found["ties_left_out"]) == (len(accepted), 2, 0)


def test_what_is_taken_back_is_asked_for_again(store: Store) -> None:
    draw_for_calibration(store, 12)
    tasks = ids(store)
    drawn, review = tasks[0], tasks[-1]
    say(store, "anna", Verdict.A, drawn, review)
    assert not {drawn, review} & set(ids(store))
    say(store, "anna", None, drawn, review)
    assert ids(store) == tasks, "at its old place"
    assert drawn_without_label(store) == 12
    for view in ("word", "latest_label", "label", "first_label", "blind_label", "calibration_label"):
        assert store.rows(f"SELECT * FROM {view} WHERE pair_id IN (?, ?)", [drawn, review]) == [], view
    said = store.rows("SELECT verdict FROM human_label WHERE pair_id = ? ORDER BY number", [drawn])
    assert said == [("a",), ("withdrawn",)]
    assert counts(store)["labelled"] == SEEN
    # What nobody said cannot be taken back, and one of two voices leaves the other.
    assert add_labels(store, [Label(drawn, "anna", None)]).added == 0
    say(store, "anna", Verdict.A, drawn)
    say(store, "ben", Verdict.B, drawn)
    say(store, "anna", None, drawn)
    assert store.rows("SELECT verdict FROM calibration_label WHERE pair_id = ?", [drawn]) == [("b",)]


def test_what_was_said_before_it_was_taken_back_does_not_come_in_again(store: Store) -> None:
    one, when = ids(store)[0], datetime(2026, 1, 1, tzinfo=UTC)

    def answer(verdict: Verdict | None, hour: int | None) -> int:
        said_at = None if hour is None else when + timedelta(hours=hour)
        return add_labels(store, [Label(one, "anna", verdict, said_at=said_at)]).added

    assert answer(Verdict.A, 0) == 1
    answer(None, 2)
    assert (answer(Verdict.A, 1), one in ids(store)) == (0, True)
    assert answer(Verdict.B, 3) == 1
    answer(Verdict.TIE, None)
    assert answer(Verdict.A, 1) == 0
    assert store.rows("SELECT verdict FROM label WHERE pair_id = ?", [one]) == [("tie",)]


def test_an_answer_to_asking_again_can_be_taken_back(store: Store) -> None:
    ask_again(store, [IDS[0]])
    say(store, "anna", Verdict.B, IDS[0])
    assert waiting_again(store) == set()
    assert store.rows("SELECT verdict FROM label WHERE pair_id = ?", [IDS[0]]) == [("b",)]
    say(store, "anna", None, IDS[0])
    assert waiting_again(store) == {IDS[0]}
    assert IDS[0] in ids(store)
    assert store.rows("SELECT verdict FROM label WHERE pair_id = ?", [IDS[0]]) == [("a",)]
    say(store, "anna", Verdict.BOTH_BAD, IDS[0])
    assert rechecked(store) == {"asked": 1, "waiting": 0, "confirmed": 0, "changed": 1, "undecided": 0}
    assert store.rows("SELECT verdict FROM label WHERE pair_id = ?", [IDS[0]]) == [("tie",)]


def test_an_audited_pair_whose_label_is_taken_back_waits_again(store: Store) -> None:
    draw_audit(store, 0.3)
    one = str(store.one("SELECT min(pair_id) FROM audit")[0])
    say(store, "anna", Verdict.A, one)
    assert store.rows("SELECT DISTINCT origin FROM human_label WHERE pair_id = ?", [one]) == [(Origin.AUDIT.value,)]
    assert one not in ids(store)
    say(store, "anna", None, one)
    assert one in ids(store)
    found = audited(store)
    assert found is not None
    assert found.labelled == 0


# Through the commands.


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run of `curator label` with some tasks."""
    folder = tmp_path_factory.mktemp("run")
    raw = write_rows(folder / "raw.jsonl", pairs(400, labelled=60))
    sure, unsure = judgments(400, 0.97), judgments(400, 0.55, wrong=range(0, 400, 6))
    log = write_rows(folder / "log.jsonl", ((sure if i // 2 % 3 else unsure)[i] for i in range(800)))
    assert main.run(["label", str(raw), "--judgments", str(log)]) == 0
    return folder


@pytest.fixture
def run(finished: Path, cli: Cli, tmp_path: Path) -> tuple[Path, Callable[..., dict[str, Any]]]:
    """The store of such a run, and how to run it again."""
    shutil.copytree(finished, tmp_path, dirs_exist_ok=True)

    def label(*more: object) -> dict[str, Any]:
        result = cli.json("label", tmp_path / "raw.jsonl", "--judgments", tmp_path / "log.jsonl", *more)
        assert first_error("run", result) is None
        return result

    return tmp_path / "raw.curated" / "curator.duckdb", label


def fill(path: Path, label: str = "left", annotator: str | None = None) -> list[str]:
    """Answer every task of a file."""
    write_rows(path, [{**task, "label": label, "annotator": annotator} for task in read_rows(path)])
    return [task["pair_id"] for task in read_rows(path)]


def test_further_sets_hold_what_further_people_are_to_answer(
    run: tuple[Path, Callable[..., dict[str, Any]]], cli: Cli, tmp_path: Path
) -> None:
    db, label = run
    out = tmp_path / "people"
    queue = ("queue", "--db", db, "--out", out)
    assert cli(*queue, "--annotators-per-pair", 2, "--overlap", 0.25, "--shard-size", 20) == 0
    first = [task["pair_id"] for path in sorted(out.glob("queue-*.jsonl")) for task in read_rows(path)]
    second = [task["pair_id"] for path in sorted(out.glob("person-2/queue-*.jsonl")) for task in read_rows(path)]
    assert f"{out / 'person-2'}: {len(second)} of them, to be answered by one person more" in cli.out
    assert 10 < len(second) < 50
    assert [one for one in first if one in second] == second
    result = label()
    assert result["queue"]["tasks"] == len(first)
    assert result["queue"]["answers"] == len(first) + len(second)
    cli("label", tmp_path / "raw.jsonl", "--judgments", tmp_path / "log.jsonl")
    assert f"{len(first) + len(second)} answers are wanted" in cli.out
    assert cli.json("status", "--db", db)["overlap"] == 0.25
    cli("status", "--db", db)
    assert "people       2 are to answer 0.25 of the pairs; 0 of the queue wait for another person" in cli.out

    # The first person's answers come in: what is left is for somebody else.
    for path in out.glob("queue-*.jsonl"):
        fill(path, annotator="anna")
    assert cli("import", *sorted(out.glob("queue-*.jsonl")), "--db", db) == 0
    result = label()
    assert (result["queue"]["tasks"], result["queue"]["another"]) == (len(second), len(second))
    assert result["queue"]["answers"] == len(second)
    cli("label", tmp_path / "raw.jsonl", "--judgments", tmp_path / "log.jsonl")
    assert f"{len(second)} pairs for people: {len(second)} waiting for another person" in cli.out
    # Nobody's answers are written over before they are in the store, though somebody else's are.
    for path in out.glob("person-2/queue-*.jsonl"):
        fill(path, "right", "ben")
    assert cli(*queue) == 1
    assert "labels that are not imported yet" in cli.err
    assert cli("import", *sorted(out.glob("person-2/queue-*.jsonl")), "--db", db) == 0
    assert cli.json(*queue)["sets"] == [0]
    assert not list(out.rglob("*.jsonl"))
    assert label()["queue"]["tasks"] == 0
    with open_store(db) as store:
        kept = store.rows("SELECT pair_id FROM latest_label GROUP BY pair_id HAVING count(DISTINCT annotator) = 2")
    assert {row[0] for row in kept} == set(second)


def test_answers_without_a_name_are_known_by_what_they_say(
    run: tuple[Path, Callable[..., dict[str, Any]]], cli: Cli, tmp_path: Path
) -> None:
    db, _ = run
    out = tmp_path / "people"
    queue = ("queue", "--db", db, "--out", out)
    cli(*queue, "--annotators-per-pair", 2, "--overlap", 1)
    fill(out / "queue-0001.jsonl", "left")
    cli("import", out / "queue-0001.jsonl", "--db", db, "--annotator", "anna")
    assert cli(*queue) == 0, "imported, though each pair waits for somebody else"
    fill(out / "queue-0001.jsonl", "right")
    assert cli(*queue) == 1
    cli("import", out / "queue-0001.jsonl", "--db", db, "--annotator", "ben")
    assert cli.json(*queue)["tasks"] == 0


def test_shares_are_of_pairs_that_several_people_answer(
    run: tuple[Path, Callable[..., dict[str, Any]]], cli: Cli, tmp_path: Path
) -> None:
    queue = ("queue", "--db", run[0], "--out", tmp_path / "people")
    assert cli(*queue, "--overlap", 0.5) == 2
    assert "give --annotators-per-pair" in cli.err
    assert cli(*queue, "--annotators-per-pair", 0) == 2
    assert cli(*queue, "--annotators-per-pair", 2, "--overlap", 1.5) == 2
    assert cli(*queue, "--annotators-per-pair", 2) == 0
    assert cli.json("status", "--db", run[0])["overlap"] == 0.1
    assert cli(*queue, "--overlap", 0.5) == 0
    assert cli.json("status", "--db", run[0])["annotators_per_pair"] == 2
    assert cli.json(*queue, "--annotators-per-pair", 1)["sets"] == [cli.json("status", "--db", run[0])["waiting"]]
    cli("status", "--db", run[0])
    assert "people " not in cli.out


@pytest.mark.parametrize("order", ORDERS)
def test_every_order_can_be_asked_for(
    run: tuple[Path, Callable[..., dict[str, Any]]], cli: Cli, tmp_path: Path, order: QueueOrder
) -> None:
    out = tmp_path / "people"
    cli.json("queue", "--db", run[0], "--out", out, "--order", order)
    with open_store(run[0]) as store:
        assert [task["pair_id"] for task in read_rows(out / "queue-0001.jsonl")] == ids(store, order)


def test_the_whole_circle_of_a_shown_verdict(
    run: tuple[Path, Callable[..., dict[str, Any]]], cli: Cli, tmp_path: Path
) -> None:
    db, label = run
    out = tmp_path / "people"
    before = label("--audit", 0.1)
    assert cli("queue", "--db", db, "--out", out, "--show-verdict") == 0
    audit = before["queue"]["audit"]
    assert f"left out: {audit} pairs that need people who have not seen the verdict ({audit} of the audit)" in cli.out
    path = out / "queue-0001.jsonl"
    shown = fill(path, "left", "anna")
    assert len(shown) == before["queue"]["tasks"] - audit
    assert {task["judge"]["prefers"] for task in read_rows(path)} == {"left", "right"}
    cli("import", path, "--db", db)
    with open_store(db) as store:
        rows = store.rows("SELECT DISTINCT blind, origin FROM human_label WHERE annotator = 'anna'")
        assert rows == [(False, "review")]
    after = label()
    same = ("calibration", "pool", "accepted", "threshold", "promise")
    assert {name: after[name] for name in same} == {name: before[name] for name in same}
    assert after["queue"]["tasks"] == audit
    assert after["dataset"]["human"] == before["dataset"]["human"] + len(shown)
    refused = [doubt["figures"]["pairs"] for doubt in after["doubts"] if doubt["name"] == "labels: not blind"]
    assert refused == [len(shown)]
    # Drawn afterwards, they wait for somebody else, in the next queue, which shows nothing.
    with open_store(db) as store:
        draw_for_calibration(store, 10**6)
        waiting = drawn_without_label(store)
    result = label()
    assert result["queue"]["calibration_draw"] == waiting == 340
    tasks = read_rows(tmp_path / "raw.curated" / "queue.jsonl")
    assert set(shown) <= {task["pair_id"] for task in tasks}
    assert not any("judge" in task for task in tasks)
    assert cli.json("queue", "--db", db, "--out", out, "--show-verdict")["tasks"] == 0
