"""What the figures show, counted by hand and by other means."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from scipy.stats import binomtest

from curator.conformal import Guarantee, calibrate, exact
from curator.report.numbers import (
    ORDER_BINS,
    entropy_counts,
    evenly,
    observed_risk,
    order_counts,
    over_alpha,
    reliability,
    together,
)

ALPHA, DELTA = exact("0.1"), exact("0.1")


def scores(n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    odds = rng.normal(0, 2, n)
    return np.abs(odds), rng.random(n) < 1 / (1 + np.exp(np.abs(odds)))


@pytest.mark.parametrize("guarantee", list(Guarantee))
def test_every_level_is_the_rule_at_that_level(guarantee: Guarantee) -> None:
    sure, wrong = scores(400)
    pool = scores(700, seed=1)[0]
    points = over_alpha(sure, wrong, pool, guarantee, ALPHA, DELTA)
    assert [point.alpha for point in points] == [Fraction(i, 100) for i in range(1, 31)]
    for point in points:
        assert point == calibrate(sure, wrong, pool, guarantee=guarantee, alpha=point.alpha, delta=DELTA)
    assert points[9].alpha == ALPHA
    assert points[-1].accepted > points[9].accepted > 0


def test_levels_are_ones_that_a_rule_takes() -> None:
    for alpha in ("0.000001", "0.123457", "0.4", "0.9", "0.999999"):
        levels = [point.alpha for point in over_alpha([], [], [], Guarantee.FDR, exact(alpha), DELTA)]
        assert exact(alpha) in levels
        assert levels == sorted(levels)
        assert 0 < levels[0] < levels[-1] <= max(exact(alpha), Fraction(1, 2))


def test_the_risk_is_the_one_that_the_rule_bounds() -> None:
    sure, wrong = np.array([3.0] * 30 + [1.0] * 10), np.array([1] * 2 + [0] * 28 + [1] * 10)
    found = {rule: calibrate(sure, wrong, [3.0, 1.0], guarantee=rule, alpha="0.2") for rule in ("fdr", "scope")}
    assert [(one.k, one.errors, one.n) for one in found.values()] == [(30, 2, 40)] * 2
    assert observed_risk(found["fdr"]) == 2 / 30
    assert observed_risk(found["scope"]) == 2 / 40
    assert observed_risk(calibrate([1.0], [1], [1.0])) is None


def test_entropy_is_counted_once_a_pair() -> None:
    bpe = [0.0, 0.01, math.log(2), math.log(2) + 1e-16, np.nan, 0.35]
    counts = entropy_counts(bpe, [True, True, False, False, False, True])
    assert (counts.accepted.sum(), counts.abstained.sum()) == (3, 2)
    assert counts.accepted[0] == 2
    assert counts.abstained[-1] == 2
    assert (counts.edges[0], counts.edges[-1], counts.edges.size) == (0.0, math.log(2), counts.accepted.size + 1)


def test_reliability_by_brute_force() -> None:
    rng = np.random.default_rng(3)
    p = np.concatenate([rng.uniform(0.5, 1, 500), [0.5, 0.55, 1.0]])
    agree = rng.random(p.size) < p
    bins = reliability(p, agree)
    assert len(bins) == 10
    for i, one in enumerate(bins):
        low, high = 0.5 + i * 0.05, 0.5 + (i + 1) * 0.05
        inside = (p >= one.low) & ((p < one.high) | (i == 9))
        assert (one.low, one.high) == (pytest.approx(low), pytest.approx(high))
        assert (one.n, one.agree) == (inside.sum(), agree[inside].sum())
        assert one.p == pytest.approx(p[inside].mean())
        exact_interval = binomtest(one.agree, one.n).proportion_ci(method="exact")
        assert (one.agree_low, one.agree_high) == (
            pytest.approx(exact_interval.low),
            pytest.approx(exact_interval.high),
        )
    assert sum(one.n for one in bins) == p.size


def test_empty_bins_are_left_out() -> None:
    bins = reliability([0.97, 0.98], [True, False])
    assert [(one.n, one.agree, one.low) for one in bins] == [(2, 1, pytest.approx(0.95))]
    assert reliability([], []) == []


def test_groups_are_added_up() -> None:
    rows = [scores(300, seed) for seed in (1, 2)]
    found = [calibrate(sure, wrong, sure, alpha="0.2") for sure, wrong in rows]
    whole = together(found)
    assert (whole.n, whole.m, whole.alpha) == (600, 600, exact("0.2"))
    assert whole.accepted == sum(one.accepted for one in found) > 0
    assert (whole.k, whole.errors) == (found[0].k + found[1].k, found[0].errors + found[1].errors)
    assert whole.threshold == min(one.threshold for one in found if one.threshold is not None)
    assert together([calibrate([], [], [1.0]), found[0]]).coverage == found[0].accepted / 301
    assert together([calibrate([], [], [])]).threshold is None


def test_orders_are_summed_up() -> None:
    # Both a; first shown twice; second shown twice; no preference in one order.
    counts = order_counts([19, 15, 2, 10], [18, 3, 17, 19], [1, 1, -1, 0], [1, -1, 1, 1], [40, 7, 2, 1])
    assert (counts.same, counts.first, counts.second, counts.undecided, counts.pairs) == (40, 7, 2, 1, 50)
    assert counts.grid.shape == (ORDER_BINS, ORDER_BINS)
    assert (counts.grid[19, 18], counts.grid[15, 3], counts.grid[2, 17], counts.grid[10, 19]) == (40, 7, 2, 1)


def test_groups_of_one_bin_add_up() -> None:
    counts = order_counts([10, 10], [10, 10], [1, 0], [1, 1], [3, 4])
    assert (counts.grid[10, 10], counts.same, counts.undecided) == (7, 3, 4)


def test_examples_go_from_the_surest_to_the_least_sure() -> None:
    assert evenly([1.0, 2.0, 2.0, 3.0], [5, 9, 7, 1], 4) == [1, 7, 9, 5]
    assert evenly([1.0], [5], 4) == [5]
    assert evenly([], [], 4) == []
    assert evenly(np.arange(1000.0), np.arange(1000), 4) == [999, 666, 333, 0]
