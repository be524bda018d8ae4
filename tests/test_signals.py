"""Signals: log-odds of each, against their definitions pair by pair."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curator.preference import preference
from curator.signals import LEAST, Replies, Signal, of_judge, of_replies, p_right

INF, NAN = math.inf, math.nan
D = st.sampled_from([NAN, -INF, INF, 0.0, 1.5, -1.5]) | st.floats(-20, 20)
TIE = st.sampled_from([0.0, 0.25, 0.75])
STATED = st.just(NAN) | st.integers(0, 64).map(lambda n: n / 64)  # of which 1 - p is exact
PAIR = st.tuples(D, D, TIE, TIE, STATED, STATED)
PANELS = st.integers(1, 3).flatmap(
    lambda judges: st.lists(st.lists(PAIR, min_size=judges, max_size=judges), min_size=1, max_size=8)
)


def replies(rows: list[tuple[float, ...]]) -> Replies:
    """A judge's replies: d_ab, d_ba, and perhaps P(equal) and what it stated, a row a pair."""
    return Replies(*(np.array(column, dtype=float) for column in zip(*rows, strict=True)))


def swapped(one: Replies) -> Replies:
    """The same judge after a and b have changed names: each order is then the other one."""
    return Replies(-one.d_ba, -one.d_ab, one.tie_ba, one.tie_ab, 1 - one.stated_ba, 1 - one.stated_ab)  # type: ignore[operator]


def panel(rows: list[list[tuple[float, ...]]]) -> list[Replies]:
    return [replies([row[judge] for row in rows]) for judge in range(len(rows[0]))]


@settings(deadline=None)
@given(PANELS)
def test_no_signal_but_one_order_knows_names(rows: list[list[tuple[float, ...]]]) -> None:
    judges = panel(rows)
    others = [swapped(one) for one in judges]
    for kind in (Signal.BPE, Signal.VERBALISED):
        np.testing.assert_allclose(of_judge(kind, others[0]), -of_judge(kind, judges[0]), rtol=1e-9, atol=1e-9)
    averaged = of_judge(Signal.BPE, judges[0])
    for kind in (Signal.VOTES, Signal.AGREEMENT):
        np.testing.assert_allclose(
            of_replies(kind, others, -averaged), -of_replies(kind, judges, averaged), rtol=1e-9, atol=1e-12
        )


def vote(d: float, tie: float) -> Fraction:
    """One for a, none for b, half where neither response has more than half of the probability."""
    a = (1 - tie) / (1 + math.exp(-d)) if abs(d) < 700 else (1 - tie) * (d > 0)
    b = (1 - tie) / (1 + math.exp(d)) if abs(d) < 700 else (1 - tie) * (d < 0)
    return Fraction(1) if a > 0.5 + 1e-9 else Fraction(0) if b > 0.5 + 1e-9 else Fraction(1, 2)


D_CLEAR = st.sampled_from([NAN, -INF, INF, 0.0, 1.5, -1.5, 0.3, -4.0])


@settings(deadline=None)
@given(st.integers(1, 3).flatmap(lambda n: st.lists(
    st.lists(st.tuples(D_CLEAR, D_CLEAR, TIE, TIE), min_size=n, max_size=n), min_size=1, max_size=8,
)))  # fmt: skip
def test_votes_and_agreement_are_counted_one_by_one(rows: list[list[tuple[float, ...]]]) -> None:
    judges = panel(rows)
    averaged = of_judge("bpe", judges[0])
    votes, agreement = of_replies("votes", judges, averaged), of_replies("agreement", judges, averaged)
    for i, row in enumerate(rows):
        if math.isnan(averaged[i]):
            assert math.isnan(votes[i])
            assert math.isnan(agreement[i])
            continue
        answered = [one for one in row if not (math.isnan(one[0]) or math.isnan(one[1]))]
        cast = [vote(one[order], one[order + 2]) for one in answered for order in (0, 1)]
        share = sum(cast, Fraction()) / len(cast)
        assert np.sign(votes[i]) == (share > Fraction(1, 2)) - (share < Fraction(1, 2))
        assert p_right(votes[i]) == pytest.approx(float(max(share, 1 - share)), abs=1e-11)
        assert np.sign(agreement[i]) == np.sign(averaged[i])
        if averaged[i]:
            named = share if averaged[i] > 0 else 1 - share
            assert p_right(agreement[i]) == pytest.approx(max(0.5, float(named)), abs=1e-9)


def test_equal_shares_of_different_numbers_of_votes_are_tied() -> None:
    a, b, none = (2.0, 2.0), (-2.0, -2.0), (NAN, NAN)
    judges = [replies(rows) for rows in ([a, b, a], [a, b, a], [b, a, a], [none, none, a])]
    three = replies([a, b, a])
    found = of_replies("votes", judges, of_judge("bpe", three))
    assert found.tolist() == [pytest.approx(math.log(2)), pytest.approx(-math.log(2)), INF]
    six = [*judges[:3], *judges[:3]]
    assert of_replies("votes", six, of_judge("bpe", three)).tolist() == found.tolist()


def test_bpe_and_one_order_of_one_judge() -> None:
    one = replies([(3.0, 1.0), (2.0, -2.0), (-4.0, NAN), (NAN, 1.0)])
    expected = preference([3.0], [1.0])
    np.testing.assert_array_equal(of_judge("bpe", one), [expected.log_odds[0], 0.0, NAN, NAN])
    np.testing.assert_allclose(of_judge("one-order", one), [3.0, 2.0, -4.0, NAN])
    # A third label for "equal": whoever has half or less has no label.
    tied = replies([(3.0, 3.0, 0.4, 0.2), (3.0, 3.0, 0.5, 0.6)])
    p = 1 / (1 + math.exp(-3))
    assert p_right(of_judge("bpe", tied)).tolist() == [pytest.approx(0.7 * p), 0.5]
    assert p_right(of_judge("one-order", tied)).tolist() == [pytest.approx(0.6 * p), 0.5]
    assert of_judge("one-order", tied)[1] == 0.0
    assert of_replies("votes", [tied], of_judge("bpe", tied)).tolist() == [INF, 0.0]


def test_agreement_takes_the_label_of_bpe_and_ranks_by_agreeing_replies() -> None:
    one = replies([(3.0, 1.0), (-3.0, 1.0), (2.0, 0.0), (1.0, -1.0), (INF, -INF), (1.0, NAN)])
    found = of_replies("agreement", [one], of_judge("bpe", one))
    np.testing.assert_allclose(found, [INF, -LEAST, math.log(3), 0.0, 0.0, NAN])
    assert p_right(found[:3]).tolist() == [1.0, pytest.approx(0.5), 0.75]
    # Several judges: the label of the preference given, the share of all their replies.
    other = replies([(1.0, 1.0)] * 6)
    assert p_right(of_replies("agreement", [one, other], [2.0] * 6)[:5]).tolist() == [1.0, 0.75, 0.875, 0.75, 0.75]


def test_stated_confidence_is_averaged_over_both_orders() -> None:
    stated = [(0.9, 0.8), (0.9, 0.4), (0.9, NAN), (0.75, 0.25)]
    one = replies([(INF, INF, 0.0, 0.0, *said) for said in stated])
    found = of_judge("verbalised", one)
    assert p_right(found[[0, 1, 3]]).tolist() == [pytest.approx(0.85), pytest.approx(0.65), 0.5]
    assert math.isnan(found[2])
    with pytest.raises(ValueError, match="never said"):
        of_judge("verbalised", Replies(one.d_ab, one.d_ba))


def test_claims_of_shares_lie_in_the_bin_that_begins_there() -> None:
    for share in (0.6, 0.7, 0.8, 0.9):
        assert float(p_right(math.log(share) - math.log(1 - share))) >= share


def test_what_is_refused() -> None:
    one = replies([(1.0, 1.0)])
    with pytest.raises(ValueError, match="no judge"):
        of_replies("votes", [], [1.0])
    with pytest.raises(ValueError, match="entropy"):
        of_judge("entropy", one)
    for kind in ("votes", "agreement"):
        with pytest.raises(ValueError, match="of one judge alone"):
            of_judge(kind, one)
    for kind in ("bpe", "one-order", "verbalised"):
        with pytest.raises(ValueError, match="does not count replies"):
            of_replies(kind, [one], [1.0])
