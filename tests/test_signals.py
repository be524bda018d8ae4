"""Signals: label and sureness of each, against their definitions pair by pair."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curator.preference import preference
from curator.signals import Ranked, Replies, Signal, signal

INF, NAN = math.inf, math.nan
D = st.sampled_from([NAN, -INF, INF, 0.0, 1.5, -1.5]) | st.floats(-20, 20)
STATED = st.just(NAN) | st.integers(0, 64).map(lambda n: n / 64)  # of which 1 - p is exact
PAIR = st.tuples(D, D, STATED, STATED)


def replies(rows: list[tuple[float, ...]]) -> Replies:
    columns = [np.array([row[i] for row in rows], dtype=float) for i in range(4)]
    return Replies(*columns)


def swapped(one: Replies) -> Replies:
    """The same judge after a and b have changed names: each order is then the other one."""
    return Replies(-one.d_ba, -one.d_ab, 1 - one.stated_ba, 1 - one.stated_ab)  # type: ignore[operator]


PANELS = st.integers(1, 3).flatmap(
    lambda judges: st.lists(st.lists(PAIR, min_size=judges, max_size=judges), min_size=1, max_size=8)
)


def panel(rows: list[list[tuple[float, ...]]]) -> list[Replies]:
    return [replies([row[judge] for row in rows]) for judge in range(len(rows[0]))]


def consistent(found: Ranked) -> None:
    labelled = found.log_odds != 0
    assert (np.isneginf(found.sureness) == ~labelled).all()
    assert (found.p_right[~labelled] == 0.5).all()
    assert ((found.p_right >= 0.5) & (found.p_right <= 1)).all()
    assert not (labelled & ~found.answered).any()
    sure = found.sureness[labelled]
    np.testing.assert_allclose(1 / (1 + np.exp(-sure)), found.p_right[labelled], atol=1e-12)


@given(PANELS, st.booleans())
def test_every_signal_is_consistent_and_blind_to_names(rows: list[list[tuple[float, ...]]], every: bool) -> None:
    judges = panel(rows)
    for kind in Signal:
        if kind is not Signal.VOTES and len(judges) > 1:
            continue
        found = signal(kind, judges, every=every)
        consistent(found)
        other = signal(kind, [swapped(one) for one in judges], every=every)
        if kind is Signal.ONE_ORDER:
            continue
        np.testing.assert_allclose(other.log_odds, -found.log_odds, rtol=1e-9, atol=1e-9)
        assert (other.answered == found.answered).all()


@given(PANELS, st.booleans())
def test_votes_are_counted_one_by_one(rows: list[list[tuple[float, ...]]], every: bool) -> None:
    found = signal("votes", panel(rows), every=every)
    for i, row in enumerate(rows):
        voters = [one for one in row if not (math.isnan(one[0]) or math.isnan(one[1]))]
        assert found.answered[i] == (len(voters) == len(row) if every else bool(voters))
        if not found.answered[i]:
            assert found.sureness[i] == -INF
            continue
        votes = [Fraction(1, 2) if d == 0 else Fraction(int(d > 0)) for one in voters for d in one[:2]]
        share = sum(votes, Fraction()) / len(votes)
        assert np.sign(found.log_odds[i]) == (share > Fraction(1, 2)) - (share < Fraction(1, 2))
        assert found.p_right[i] == float(max(share, 1 - share))


def test_equal_shares_of_different_numbers_of_votes_are_tied() -> None:
    a, b, none = [2.0, 2.0], [-2.0, -2.0], [NAN, NAN]
    judges = [
        replies([[*row, NAN, NAN] for row in rows]) for rows in ([a, b, a], [a, b, a], [b, a, a], [none, none, a])
    ]
    found = signal("votes", judges, every=False)
    assert found.sureness[0] == found.sureness[1] == pytest.approx(math.log(2))
    assert found.sureness[2] == INF
    assert np.sign(found.log_odds).tolist() == [1, -1, 1]
    assert signal("votes", judges).answered.tolist() == [False, False, True]


def test_bpe_and_one_order_of_one_judge() -> None:
    one = replies([(3.0, 1.0, NAN, NAN), (2.0, -2.0, NAN, NAN), (-4.0, NAN, NAN, NAN), (NAN, 1.0, NAN, NAN)])
    both, first = signal("bpe", [one]), signal("one-order", [one])
    expected = preference([3.0, 2.0], [1.0, -2.0])
    assert both.log_odds.tolist() == [expected.log_odds[0], 0.0, 0.0, 0.0]
    assert both.sureness.tolist() == [expected.log_odds[0], -INF, -INF, -INF]
    assert both.p_right[0] == pytest.approx((1 / (1 + math.exp(-3)) + 1 / (1 + math.exp(-1))) / 2)
    assert both.answered.tolist() == [True, True, False, False]
    np.testing.assert_allclose(first.log_odds, [3.0, 2.0, -4.0, 0.0])
    assert first.p_right[2] == pytest.approx(1 / (1 + math.exp(-4)))
    assert first.answered.tolist() == [True, True, True, False]


def test_agreement_takes_the_label_of_bpe_and_ranks_by_agreeing_replies() -> None:
    one = replies([(3.0, 1.0, 0, 0), (-3.0, 1.0, 0, 0), (2.0, 0.0, 0, 0), (1.0, -1.0, 0, 0), (INF, -INF, 0, 0)])
    found = signal("agreement", [one])
    assert np.sign(found.log_odds).tolist() == [1, -1, 1, 0, 0]
    assert found.p_right.tolist() == [1.0, 0.5, 0.75, 0.5, 0.5]
    assert found.sureness.tolist() == [INF, 0.0, pytest.approx(math.log(3)), -INF, -INF]
    # Several judges: the label of the preference given, the share of all their replies.
    other = replies([(1.0, 1.0, 0, 0)] * 5)
    averaged = preference([2.0] * 5, [2.0] * 5)
    assert signal("agreement", [one, other], averaged=averaged).p_right.tolist() == [1.0, 0.75, 0.875, 0.75, 0.75]
    assert signal("bpe", [one, other], averaged=averaged).sureness.tolist() == [pytest.approx(2.0)] * 5


def test_stated_confidence_is_averaged_over_both_orders() -> None:
    one = replies([(INF, INF, 0.9, 0.8), (INF, -INF, 0.9, 0.4), (INF, INF, 0.9, NAN), (INF, -INF, 0.75, 0.25)])
    found = signal("verbalised", [one])
    assert found.p_right.tolist() == [pytest.approx(0.85), pytest.approx(0.65), 0.5, 0.5]
    assert found.answered.tolist() == [True, True, False, True]
    with pytest.raises(ValueError, match="no confidence"):
        signal("verbalised", [Replies(one.d_ab, one.d_ba)])


def test_what_is_refused() -> None:
    one = replies([(1.0, 1.0, NAN, NAN)])
    with pytest.raises(ValueError, match="no judge"):
        signal("votes", [])
    with pytest.raises(ValueError, match="entropy"):
        signal("entropy", [one])
    for kind in ("bpe", "one-order", "verbalised"):
        with pytest.raises(ValueError, match="of one judge, not of 2"):
            signal(kind, [one, one])
    with pytest.raises(ValueError, match="averaged preference"):
        signal("agreement", [one, one])
