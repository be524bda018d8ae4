"""Agreement of people: by hand, by a published example, by brute force, and intervals that hold what they say."""

from __future__ import annotations

from itertools import combinations

import krippendorff
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from curator.agreement import ENOUGH, PRIOR, against, agreeing, among, count_votes, difference
from curator.intervals import clopper_pearson

A, B, TIE, NONE = 0, 1, 2, -1

TABLES = arrays(np.int64, st.tuples(st.integers(2, 5), st.integers(1, 12)), elements=st.integers(NONE, TIE))
"""Verdicts of annotators (rows) on pairs (columns)."""


def votes_of(table: np.ndarray) -> np.ndarray:
    _, pair = np.nonzero(table >= 0)
    return count_votes(pair, table[table >= 0], table.shape[1])


def test_alpha_of_krippendorffs_own_example() -> None:
    """Two observers of ten units (2011, section A): nominal, a for 0 and b for 1, alpha .095."""
    table = np.array([[0, 1, 0, 0, 0, 0, 0, 0, 1, 0], [1, 1, 1, 0, 0, 1, 0, 0, 0, 0]])
    found = among(votes_of(table))
    assert (found.pairs, found.agreement) == (10, 0.6)
    assert found.alpha == pytest.approx(0.095, abs=5e-4)
    assert (found.low, found.high) == clopper_pearson(6, 10)


def test_alpha_of_a_table_worked_out_by_hand() -> None:
    # Couples: aa on pair 0 (weight 1 of 3 people: all three), a-tie on pair 1, and pair 2 has one person alone.
    table = np.array([[A, A, B], [A, TIE, NONE], [A, NONE, NONE]])
    found = among(votes_of(table))
    assert (found.pairs, found.agreement) == (2, 0.5)
    # Coincidences: aa 3, a-tie 1, tie-a 1; so a 4, tie 1, n 5: alpha = 1 - 4 * 2 / (25 - 17) = 0.
    assert found.alpha == pytest.approx(0.0)


def test_one_verdict_throughout_has_no_alpha_and_nobody_has_no_agreement() -> None:
    found = among(np.array([[2, 0, 0], [3, 0, 0]]))
    assert (found.agreement, found.high, found.alpha, found.alpha_low) == (1.0, 1.0, None, None)
    assert found.low == clopper_pearson(2, 2)[0], "two pairs prove little"
    nothing = among(np.array([[1, 0, 0], [0, 0, 0]]))
    assert (nothing.pairs, nothing.agreement, nothing.low, nothing.alpha) == (0, None, None, None)
    assert against([A, NONE], np.array([[0, 0, 0], [1, 0, 0]])).agreement is None
    assert difference(np.zeros((0, 3), int), np.zeros((0, 3), int)).difference is None


@given(TABLES)
def test_people_by_brute_force(table: np.ndarray) -> None:
    found = among(votes_of(table))
    shares = []
    for column in table.T:
        couples = [x == y for x, y in combinations(column[column >= 0], 2)]
        if couples:
            shares.append(np.mean(couples))
    assert found.pairs == len(shares)
    if shares:
        assert found.agreement == pytest.approx(np.mean(shares))
        assert found.low <= found.agreement + 1e-12 <= found.high + 2e-12
    if found.alpha is not None:
        data = np.where(table >= 0, table, np.nan).astype(float)
        expected = krippendorff.alpha(reliability_data=data, value_domain=[0, 1, 2], level_of_measurement="nominal")
        assert found.alpha == pytest.approx(expected)


@given(TABLES)
def test_one_against_the_others_by_brute_force(table: np.ndarray) -> None:
    one, others = table[0], table[1:]
    found = against(one, votes_of(others))
    shares = [np.mean(said[said >= 0] == own) for own, said in zip(one, others.T, strict=True)
              if own >= 0 and (said >= 0).any()]  # fmt: skip
    assert found.pairs == len(shares)
    if shares:
        assert found.agreement == pytest.approx(np.mean(shares))
    if len(others) == 1:  # then there are two coders, and the library knows their alpha
        both = (table >= 0).all(axis=0)
        if both.any() and np.unique(table[:, both]).size > 1:
            expected = krippendorff.alpha(
                reliability_data=table[:, both].astype(float), value_domain=[0, 1, 2], level_of_measurement="nominal"
            )
            assert found.alpha == pytest.approx(expected)


@given(TABLES, st.permutations([A, B, TIE]), st.randoms())
def test_who_is_who_and_which_side_is_which_does_not_matter(
    table: np.ndarray, names: list[int], shuffled: np.random.Generator
) -> None:
    order = list(range(len(table)))
    shuffled.shuffle(order)
    renamed = np.where(table >= 0, np.array(names)[table], NONE)[order]
    one, other = among(votes_of(table)), among(votes_of(renamed))
    assert (one.pairs, one.agreement) == (other.pairs, pytest.approx(other.agreement))
    assert one.alpha == pytest.approx(other.alpha)
    weights = [agreeing(*words(which), len(which))[0] for which in (table, renamed)]
    assert weights[0][order] == pytest.approx(weights[1])


def words(table: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    who, pair = np.nonzero(table >= 0)
    return pair, who, table[table >= 0]


def people(rng: np.random.Generator, truth: np.ndarray, *right: float) -> np.ndarray:
    """Verdicts a or b of people who are each right with some probability, whatever the others say."""
    wrong = rng.random((len(right), truth.size)) >= np.array(right)[:, None]
    return np.where(wrong, 1 - truth, truth)


def test_intervals_hold_the_truth_as_often_as_they_say() -> None:
    """Three people who are each right on .8: two agree on .68 of the pairs; alpha is .36 as a and b are as frequent."""
    rng, draws, pairs = np.random.default_rng(4), 300, 120
    held = np.zeros(2)
    for _ in range(draws):
        found = among(votes_of(people(rng, rng.integers(0, 2, pairs), 0.8, 0.8, 0.8)))
        assert found.alpha is not None
        held += [found.low <= 0.68 <= found.high, found.alpha_low <= 0.36 <= found.alpha_high]
    error = 3 * (0.95 * 0.05 / draws) ** 0.5
    assert held[0] / draws >= 0.95 - error, "exact intervals are never too narrow"
    assert held[1] / draws == pytest.approx(0.95, abs=error + 0.01)


def groups_of(rng: np.random.Generator, pairs: int, apart: float, care: tuple[float, float]) -> tuple[np.ndarray, ...]:
    """Two groups of two people, who want the other response on a share `apart` of the pairs."""
    truth = rng.integers(0, 2, pairs)
    taste = np.where(rng.random(pairs) < apart, 1 - truth, truth)
    return votes_of(people(rng, truth, care[0], care[0])), votes_of(people(rng, taste, care[1], care[1]))


def test_groups_that_want_the_same_are_seldom_said_to_differ() -> None:
    rng, draws = np.random.default_rng(5), 300
    found = [difference(*groups_of(rng, 100, 0.0, (0.8, 0.8))) for _ in range(draws)]
    assert all(one.same_pairs for one in found)
    assert np.mean([one.differ for one in found]) <= 0.025 + 3 * (0.025 * 0.975 / draws) ** 0.5
    assert np.mean([one.difference for one in found]) == pytest.approx(0, abs=0.006), "it is fair"


def test_groups_that_want_different_things_are_found_out() -> None:
    rng = np.random.default_rng(6)
    found = [difference(*groups_of(rng, 200, 0.4, (0.9, 0.9))) for _ in range(40)]
    assert np.mean([one.differ and one.beyond_care for one in found]) >= 0.95
    # Within .82; between .6 * .82 + .4 * .18 = .564.
    assert np.mean([one.difference for one in found]) == pytest.approx(0.82 - 0.564, abs=0.02)


def test_care_is_not_taken_for_taste() -> None:
    """Careful people agree more with each other than with careless ones, who agree least with each other."""
    rng = np.random.default_rng(7)
    found = [difference(*groups_of(rng, 400, 0.0, (1.0, 0.7))) for _ in range(60)]
    assert np.mean([one.differ for one in found]) > 0.5, "their answers are not distributed alike, and that is said"
    assert not any(one.beyond_care for one in found)
    assert np.mean([one.excess[1] for one in found if one.excess[1] is not None]) == pytest.approx(0.58 - 0.7, abs=0.02)


def test_too_few_pairs_tell_nothing_and_pairs_need_not_be_shared() -> None:
    rng = np.random.default_rng(8)
    few = difference(*groups_of(rng, ENOUGH - 1, 0.5, (0.9, 0.9)))
    assert (few.difference, few.low, few.differ, few.beyond_care) == (None, None, False, False)
    one, other = groups_of(rng, 300, 0.5, (0.95, 0.95))
    one[100:200], other[:100] = 0, 0  # pairs of one group each
    one[200:, :] = one[200:, :] > 0  # and pairs with one voice of each
    other[200:, :] = other[200:, :] > 0
    for votes in (one, other):  # two voices that differ stay two: keep the first
        votes[200:][votes[200:].sum(axis=1) == 2] = [1, 0, 0]
    found = difference(one, other)
    assert (found.same_pairs, found.pairs, found.between.pairs) == (False, (100, 100), 100)
    assert found.differ


def test_weights_by_hand() -> None:
    # 0 and 1 agree on two pairs, 2 disagrees with both on one of them, 3 is alone.
    pair, who, said = [0, 0, 1, 1, 1, 2], [0, 1, 0, 1, 2, 3], [A, A, B, B, A, A]
    weights, mean = agreeing(pair, who, said, 5)
    shares = [1, 1, 0.5, 0.5, 0]
    assert mean == pytest.approx(np.mean(shares))
    assert weights[0] == weights[1] == pytest.approx((1.5 + PRIOR * mean) / (2 + PRIOR))
    assert weights[2] == pytest.approx((0 + PRIOR * mean) / (1 + PRIOR))
    assert weights[3] == weights[4] == pytest.approx(mean)
    alone, mean = agreeing([0, 1], [0, 1], [A, A], 2)
    assert (alone.tolist(), mean) == ([1, 1], 1)


def test_whoever_labels_by_a_coin_weighs_less() -> None:
    rng = np.random.default_rng(9)
    table = people(rng, rng.integers(0, 2, 1000), 0.9, 0.9, 0.5)
    weights, _ = agreeing(*words(table), 3)
    assert weights[2] == pytest.approx(0.5, abs=0.03)
    assert weights[:2] == pytest.approx([(0.82 + 0.5) / 2] * 2, abs=0.03)
