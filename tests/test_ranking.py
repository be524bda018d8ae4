"""The order of many responses: known orders, an independent fit, and the same bits whatever comes first."""

from __future__ import annotations

from itertools import combinations, pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.optimize import minimize

from curator.ranking import DIGITS, TIE, Ranking, Unranked, rank

Pairs = list[tuple[int, int, float]]

SHARE = st.sampled_from([0.0, 1.0, 0.5]) | st.floats(0, 1)


@st.composite
def games(draw: st.DrawFn) -> tuple[int, Pairs]:
    """Up to eight responses, each of which is connected to one before it, and some more pairs."""
    count = draw(st.integers(2, 8))
    joined = [(draw(st.integers(0, i - 1)), i, draw(SHARE)) for i in range(1, count)]
    more = draw(st.lists(st.tuples(st.sampled_from([*combinations(range(count), 2)]), SHARE), max_size=8))
    return count, joined + [(i, j, p) for (i, j), p in more]


def ranked(count: int, pairs: Pairs, keys: list[str] | None = None) -> Ranking | Unranked:
    keys = keys or [f"k{i}" for i in range(count)]
    first, second, won = zip(*pairs, strict=True) if pairs else ((), (), ())
    return rank(keys, first, second, won, [1 - p for p in won])


def strengths(found: Ranking | Unranked) -> NDArray[np.float64]:
    assert isinstance(found, Ranking)
    return np.array([strength for _, strength in sorted(zip(found.order, found.strengths, strict=True))])


@settings(deadline=None)  # the first one waits for the library
@given(games())
def test_it_is_the_fit_of_greatest_likelihood(game: tuple[int, Pairs]) -> None:
    count, pairs = game

    def loss(theta: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        value, slope = 0.0, np.zeros(count)
        for i, j, p in pairs:
            for winner, loser, share in ((i, j, p + TIE), (j, i, 1 - p + TIE)):
                odds = theta[winner] - theta[loser]
                value += share * np.logaddexp(0, -odds)
                step = share / (1 + np.exp(odds))
                slope[winner] -= step
                slope[loser] += step
        return value, slope

    best = minimize(loss, np.zeros(count), jac=True, method="BFGS", options={"gtol": 1e-10}).x
    np.testing.assert_allclose(strengths(ranked(count, pairs)), best - best.mean(), atol=2e-6)


@settings(deadline=None)
@given(games(), st.randoms())
def test_the_same_bits_in_any_order(game: tuple[int, Pairs], chance: st.random) -> None:  # type: ignore[name-defined]
    count, pairs = game
    keys = [f"k{i}" for i in range(count)]
    first, second, won = (list(column) for column in zip(*pairs, strict=True))
    lost = [1 - p for p in won]
    found = rank(keys, first, second, won, lost)
    moved = chance.sample(range(count), count)
    rows = chance.sample(list(zip(first, second, won, lost, strict=True)), len(pairs))
    rows = [
        (moved.index(i), moved.index(j), w, v) if chance.random() < 0.5 else (moved.index(j), moved.index(i), v, w)
        for i, j, w, v in rows
    ]
    other = rank([keys[i] for i in moved], *(list(column) for column in zip(*rows, strict=True)))
    assert isinstance(found, Ranking)
    assert isinstance(other, Ranking)
    assert other.strengths == found.strengths
    assert [moved[i] for i in other.order] == list(found.order)


@settings(deadline=None)
@given(st.permutations(range(6)), st.floats(0.501, 1))
def test_verdicts_that_agree_give_their_order(order: list[int], p: float) -> None:
    every = [(i, j, p) if order.index(i) < order.index(j) else (j, i, p) for i, j in combinations(range(6), 2)]
    neighbours = [(i, j, p) for i, j in pairwise(order)]
    for pairs in (every, neighbours, [(j, i, 1 - q) for i, j, q in every]):
        found = ranked(6, pairs)
        assert isinstance(found, Ranking)
        assert list(found.order) == order
        assert list(found.strengths) == sorted(found.strengths, reverse=True)
        assert sum(found.strengths) == pytest.approx(0, abs=10 * 10**-DIGITS)


def test_two_responses_differ_by_the_log_odds_of_their_pair() -> None:
    found = ranked(2, [(0, 1, 0.2)])
    assert isinstance(found, Ranking)
    assert found.order == (1, 0)
    assert found.strengths[0] - found.strengths[1] == pytest.approx(np.log(0.81 / 0.21), abs=1e-5)


def test_equal_ones_stand_by_their_keys() -> None:
    for keys in (["b", "c", "a"], ["c", "a", "b"]):
        found = ranked(3, [(0, 1, 1.0), (1, 2, 1.0), (2, 0, 1.0)], keys)
        assert isinstance(found, Ranking)
        assert [keys[i] for i in found.order] == ["a", "b", "c"]
        assert found.strengths == (0, 0, 0)


@pytest.mark.parametrize("pairs", [[], [(0, 1, 1.0)], [(0, 1, 1.0), (2, 3, 0.5)]])
def test_what_is_not_connected_has_no_order(pairs: Pairs) -> None:
    assert ranked(4, pairs) is Unranked.APART


def test_what_is_too_far_apart_is_said() -> None:
    assert ranked(150, [(i, i + 1, 1.0) for i in range(149)]) is Unranked.FAR
    near = ranked(32, [(i, i + 1, 1.0) for i in range(31)])
    assert isinstance(near, Ranking)
    assert near.order == tuple(range(32))
    assert near.strengths[0] - near.strengths[1] == pytest.approx(np.log(101), abs=1e-5)


def test_what_is_refused() -> None:
    for bad in (float("nan"), -0.1, 1.1):
        with pytest.raises(ValueError, match="probabilities"):
            rank(["x", "y"], [0], [1], [bad], [0.5])
    with pytest.raises(ValueError, match="a key of its own"):
        rank(["x", "x"], [0], [1], [0.5], [0.5])
    with pytest.raises(ValueError, match="two probabilities"):
        rank(["x", "y"], [0], [1], [0.5, 0.5], [0.5])
