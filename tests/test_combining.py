"""Several judges as one score: arithmetic, symmetry, what is fitted, and who is asked in a cascade."""

from __future__ import annotations

import math
from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from curator.combining import (
    BARE_LOG_ODDS,
    NOTHING_GOES_ON,
    Combine,
    Missing,
    Panel,
    combine,
    combined,
    fit_edge,
    fit_weights,
    in_band,
)

NAN, INF = math.nan, math.inf
ODDS = st.floats(-30, 30) | st.sampled_from([INF, -INF, 0.0, NAN])


def slowly(column: list[float], how: Combine, missing: Missing) -> float:
    """One pair's score in plain arithmetic."""
    here = [value for value in column if not math.isnan(value)]
    if not here or (missing is Missing.ABSTAIN and len(here) < len(column)):
        return NAN
    if how is Combine.PROBABILITY:
        p = sum(1 / (1 + math.exp(-value)) for value in here) / len(here)
        q = sum(1 / (1 + math.exp(value)) for value in here) / len(here)
        return INF if q == 0 else -INF if p == 0 else math.log(p) - math.log(q)
    bounded = [math.copysign(BARE_LOG_ODDS, value) if math.isinf(value) else value for value in here]
    return sum(bounded) / len(bounded)


@given(
    st.lists(st.lists(ODDS, min_size=3, max_size=3), min_size=1, max_size=6),
    st.sampled_from([Combine.LOG_ODDS, Combine.PROBABILITY]),
    st.sampled_from(list(Missing)),
)
def test_against_plain_arithmetic(pairs: list[list[float]], how: Combine, missing: Missing) -> None:
    got = combined(np.array(pairs).T, how=how, missing=missing)
    assert got == pytest.approx([slowly(pair, how, missing) for pair in pairs], nan_ok=True, abs=1e-9)


@given(st.lists(st.lists(ODDS, min_size=2, max_size=2), min_size=1, max_size=6), st.sampled_from(list(Combine)))
def test_swapping_a_and_b_negates_the_score(pairs: list[list[float]], how: Combine) -> None:
    each = np.array(pairs).T
    weights = [0.5, 1.5] if how is Combine.FITTED else None
    there = combined(each, how=how, missing=Missing.MEAN, weights=weights)
    back = combined(-each, how=how, missing=Missing.MEAN, weights=weights)
    assert np.array_equal(there, -back, equal_nan=True)


def test_a_judge_that_abstained_weighs_nothing_in_a_mean_of_those_that_answered() -> None:
    got = combined([[1.0, NAN], [4.0, 4.0]], missing=Missing.MEAN, weights=[2.0, 1.0])
    assert got.tolist() == [2.0, 4.0]


def test_weights_need_one_for_each_judge() -> None:
    with pytest.raises(ValueError, match="one weight for each of 2 judges"):
        combined([[1.0], [2.0]], weights=[1.0])


@pytest.mark.parametrize(
    ("panel", "says"),
    [
        ({"combine": Combine.FITTED}, "needs rows of its own"),
        ({"fit_cascade": True}, "needs rows of its own"),
        ({"fit_fraction": 0.3}, "nothing is to be fitted"),
        ({"cascade": 0.5}, "over 0.5"),
        ({"combine": Combine.FITTED, "cascade": 0.9, "fit_fraction": 0.5}, "not both"),
    ],
)
def test_panels_that_make_no_sense(panel: dict[str, object], says: str) -> None:
    with pytest.raises(ValueError, match=says):
        Panel(**panel)  # type: ignore[arg-type]


# ------------------------------------------------------------------------------------------------------- fitting


def two_judges(n: int, seed: int = 3) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """A judge whose log-odds are worth twice those of the other, and a third of noise."""
    random = np.random.default_rng(seed)
    each = random.normal(size=(3, n)) * [[1.0], [1.0], [1.0]]
    a_better = random.random(n) < 1 / (1 + np.exp(-(2 * each[0] + each[1])))
    return each, a_better


def test_fitted_weights_find_who_is_worth_more() -> None:
    each, a_better = two_judges(20_000)
    weights = fit_weights(each, a_better)
    assert weights.mean() == pytest.approx(1.0)
    assert weights[0] / weights[1] == pytest.approx(2.0, rel=0.1)
    assert weights[2] < 0.1


def test_fitted_weights_are_the_same_when_a_and_b_are_swapped() -> None:
    each, a_better = two_judges(300)
    assert fit_weights(each, a_better) == pytest.approx(fit_weights(-each, ~a_better))


def test_nothing_to_fit_on_gives_equal_weights() -> None:
    assert fit_weights(np.empty((2, 0)), []).tolist() == [1.0, 1.0]


def test_separated_rows_give_finite_weights() -> None:
    weights = fit_weights([[5.0, -5.0, INF], [1.0, -1.0, 1.0]], [True, False, True])
    assert np.isfinite(weights).all()


@given(st.lists(st.tuples(st.sampled_from([0.5, 1.0, 1.5, 2.0, NAN]), st.booleans()), max_size=12))
def test_the_edge_is_the_lowest_that_is_good_enough(rows: list[tuple[float, bool]]) -> None:
    odds, right = [row[0] for row in rows], [row[1] for row in rows]
    good = [
        cut
        for cut in (0.5, 1.0, 1.5, 2.0)
        if (kept := [r for o, r in rows if o >= cut]) and kept.count(False) <= 0.25 * len(kept) and cut in odds
    ]
    answered = any(not math.isnan(odd) for odd in odds)
    expected = 1 / (1 + math.exp(-min(good))) if good else 1.0 if answered else NOTHING_GOES_ON
    assert fit_edge(odds, right, 0.25) == pytest.approx(expected)


# ------------------------------------------------------------------------------------------------------- cascades


@pytest.mark.parametrize(("missing", "third"), [(Missing.ABSTAIN, False), (Missing.MEAN, True)])
def test_the_next_judge_reads_what_those_before_are_not_sure_of(missing: Missing, third: bool) -> None:
    first = [5.0, 0.5, NAN, -0.5, -5.0]
    panel = Panel(cascade=0.9, missing=missing)
    alone = combine([first], panel, np.zeros(5, bool), np.zeros(5))
    band = alone.next_band(missing)
    assert band.tolist() == [False, True, third, True, False]
    # What a later judge says about pairs that it was not to read does not count.
    both = combine([first, [-9.0, 3.5, 2.0, 1.5, 9.0]], panel, np.zeros(5, bool), np.zeros(5))
    assert both.read.tolist() == [[True] * 5, band.tolist()]
    assert both.log_odds == pytest.approx([5.0, 2.0, 2.0 if third else NAN, 0.5, -5.0], nan_ok=True)


def test_three_judges_in_a_row() -> None:
    panel = Panel(cascade=0.9)
    each = [[3.0, 0.0, 0.0], [0.0, 9.0, 0.3], [NAN, NAN, 3.0]]
    got = combine(each, panel, np.zeros(3, bool), np.zeros(3))
    assert got.read.tolist() == [[True] * 3, [False, True, True], [False, False, True]]
    assert got.log_odds == pytest.approx([3.0, 4.5, 1.1])


def test_an_edge_of_one_hands_everything_on() -> None:
    assert in_band([0.0, 40.0, INF, NAN], 1.0).tolist() == [True, True, True, False]


def test_a_fitted_cascade_looks_at_the_rows_to_fit_on_only() -> None:
    panel = Panel(fit_cascade=True, fit_fraction=0.5)
    odds, side = [4.0, 3.0, 2.0, 1.0], np.array([1, 1, -1, 1])
    for fits, edge in (([True] * 4, 3.0), ([True, True, False, True], 1.0)):
        got = combine([odds], panel, np.array(fits), side)
        assert got.edge == pytest.approx(1 / (1 + math.exp(-edge)))


@pytest.mark.parametrize(("how", "fits"), list(product([Combine.LOG_ODDS, Combine.PROBABILITY], [True, False])))
def test_one_judge_alone_is_left_as_it_is(how: Combine, fits: bool) -> None:
    got = combine([[INF, -0.3, NAN]], Panel(combine=how), np.array([fits] * 3), np.ones(3))
    assert got.log_odds == pytest.approx([INF, -0.3, NAN], nan_ok=True)
