"""What the probe says of judges of known character."""

from __future__ import annotations

import math

import pytest

from curator.judges.base import judgment
from curator.judges.probe import probe_questions, summarise
from curator.pair import Judgment, Order


def replies(p_good: float, first: float = 0.5, mass: float = 0.9, tie: float | None = None) -> list[Judgment]:
    """A judge that likes the good response with odds of `p_good` and the first place with odds of `first`.

    `tie`: how likely it calls a pair equal, where it may.
    """
    found = []
    for question in probe_questions():
        odds = math.log(p_good / (1 - p_good)) * (1 if question.order is Order.AB else -1)
        odds += math.log(first / (1 - first))
        p = 1 / (1 + math.exp(-odds))
        shares = [p * (1 - (tie or 0)), (1 - p) * (1 - (tie or 0)), *([tie] if tie else [])]
        found.append(judgment(question.pair_id, question.order, *(math.log(mass * share) for share in shares)))
    return found


def test_a_sound_judge_is_let_through() -> None:
    probe = summarise(replies(0.9))
    assert (probe.right, probe.ties, probe.pairs, probe.first_shown) == (8, 0, 8, 0.5)
    assert probe.label_mass == pytest.approx(0.9)
    assert probe.objection(0.25) is None


@pytest.mark.parametrize(("tie", "right", "ties"), [(0.1, 8, 0), (0.4, 8, 0), (0.45, 0, 0), (0.6, 0, 8)])
def test_calling_a_pair_equal_is_not_right(tie: float, right: int, ties: int) -> None:
    """The good response has .9 of what a tie leaves; less than half of all is no preference."""
    probe = summarise(replies(0.9, tie=tie))
    assert (probe.right, probe.ties) == (right, ties)
    assert probe.label_mass == pytest.approx(0.9)
    objection = probe.objection(0.25)
    assert (objection is None) == (right == 8)
    assert (f"it calls {ties} of them equal" in (objection or "")) == (ties > 0)


def test_position_bias_alone_is_no_objection_since_both_orders_are_asked() -> None:
    probe = summarise(replies(0.6, first=0.95))
    assert (probe.first_shown, probe.right) == (1.0, 8)
    assert probe.objection(0.25) is None


@pytest.mark.parametrize(
    ("found", "says"),
    [
        (replies(0.5, first=0.95), "right on 0 of 8"),
        (replies(0.2), "right on 0 of 8"),
        (replies(0.9, mass=0.1), "hold only 0.100 of its probability"),
        ([Judgment(reply.pair_id, reply.order, failed="no") for reply in replies(0.9)], "got no answer"),
    ],
)
def test_what_is_refused(found: list[Judgment], says: str) -> None:
    objection = summarise(found).objection(0.25)
    assert objection is not None
    assert says in objection
