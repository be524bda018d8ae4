"""Noise of annotators: out of votes, into the alphas that no judge can reach."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import binom

from curator.noise import Votes, annotator_noise, contradicted


@pytest.mark.parametrize("noise", [0.0, 0.05, 0.3, 0.5])
@pytest.mark.parametrize("votes", [1, 2, 3, 4, 5])
def test_how_often_most_votes_are_wrong(noise: float, votes: int) -> None:
    wrong = sum(binom.pmf(k, votes, noise) for k in range(votes + 1) if 2 * k > votes)
    tied = binom.pmf(votes / 2, votes, noise) if votes % 2 == 0 else 0.0
    assert contradicted([(votes, 7)], noise, True) == pytest.approx(wrong + tied)
    assert contradicted([(votes, 7)], noise, False) == pytest.approx(wrong / (1 - tied))


def test_noise_comes_out_of_disagreement() -> None:
    rng = np.random.default_rng(3)
    h, n = 0.15, 4000
    both = rng.random((n, 2)) < h
    same = int((both[:, 0] == both[:, 1]).sum())
    found = annotator_noise([Votes(2, "a", "a", same), Votes(2, "a", "b", n - same)], 0.1, True)
    assert found is not None
    low, high = found.figures["noise_interval"]
    assert low < h < high
    assert high - low < 0.03
    assert found.figures["noise"] == pytest.approx(h, abs=0.015)
    assert found.figures["contradicted"] == pytest.approx(1 - (1 - h) ** 2, abs=0.025), (
        "two votes, and a tie is an error"
    )
    assert "and alpha 0.1 is." in found.text


def test_noise_is_silent_where_it_does_not_matter() -> None:
    assert annotator_noise([], 0.1, True) is None
    assert annotator_noise([Votes(1, "a", None, 100)], 0.1, True) is None
    assert annotator_noise([Votes(2, "a", "a", 100)], 0.1, True) is None
    few = [Votes(2, "b", "b", 990), Votes(2, "a", "b", 10)]
    assert annotator_noise(few, 0.1, True) is None
    found = annotator_noise(few, 0.01, True)
    assert found is not None
    assert "and alpha 0.01 may be." in found.text


def test_a_tie_against_a_side_is_disagreement_but_tells_no_noise() -> None:
    found = annotator_noise([Votes(2, "a", "tie", 50), Votes(2, "a", "b", 20), Votes(3, "b", "b", 80)], 0.1, True)
    assert found is not None
    assert (found.figures["compared"], found.figures["disagree"]) == (150, 70)
    assert (found.figures["both_chose_a_side"], found.figures["of_these_disagree"]) == (100, 20)
    assert found.figures["noise"] == pytest.approx((1 - math.sqrt(0.6)) / 2)


def test_people_who_disagree_more_than_coins_tell_nothing() -> None:
    found = annotator_noise([Votes(2, "a", "b", 90), Votes(2, "a", "a", 10)], 0.1, True)
    assert found is not None
    assert found.figures["noise"] == 0.5
