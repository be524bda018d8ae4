"""The slope of soft targets: against a general optimiser, and what it must not change with."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize_scalar
from scipy.special import expit, log_expit

from curator.softening import FEWEST, fit_slope, soften
from curator.steps.softening import latest_label_smoothing, latest_softening
from curator.store import open_store, views
from curator.store.softening import SOFT, votes_of_people
from tests.conftest import Cli, judgments, pairs, write_rows

ROWS = st.lists(
    st.tuples(st.floats(-30, 30).filter(lambda x: abs(x) > 1e-3), st.sampled_from([0.0, 0.5, 1.0])),
    min_size=FEWEST, max_size=60,
)  # fmt: skip


def by_optimiser(odds: np.ndarray, said: np.ndarray) -> float:
    """The same, written the long way: each row, and a coin that is thrown on every row and weighs one row in all."""

    def loss(slope: float) -> float:
        z = slope * odds
        rows = said * log_expit(z) + (1 - said) * log_expit(-z)
        coins = (0.5 * log_expit(z) + 0.5 * log_expit(-z)) / odds.size
        return -float(np.sum(rows) + np.sum(coins))

    return float(minimize_scalar(loss, bounds=(-50, 50), method="bounded", options={"xatol": 1e-10}).x)


@pytest.mark.parametrize(("slope", "n"), [(0.3, 40), (1.0, 500), (2.5, 3000)])
def test_it_is_the_maximum_of_the_likelihood(slope: float, n: int) -> None:
    rng = np.random.default_rng(n)
    odds = rng.normal(0, 3, n)
    said = (rng.random(n) < expit(slope * odds)).astype(float)
    said[rng.random(n) < 0.1] = 0.5
    found = fit_slope(odds, said)
    assert found.slope == pytest.approx(by_optimiser(odds, said), rel=1e-5)
    assert (found.n, found.ties, found.reason) == (n, int((said == 0.5).sum()), None)


def test_it_finds_the_slope_that_made_the_labels() -> None:
    rng = np.random.default_rng(5)
    odds = rng.normal(0, 3, 40_000)
    said = (rng.random(odds.size) < expit(0.4 * odds)).astype(float)
    assert fit_slope(odds, said).slope == pytest.approx(0.4, abs=0.01)


@given(ROWS, st.lists(st.booleans(), min_size=60, max_size=60))
@settings(deadline=None, max_examples=60)
def test_which_side_is_called_a_means_nothing(rows: list[tuple[float, float]], swapped: list[bool]) -> None:
    odds, said = np.array(rows).T
    swap = np.array(swapped[: odds.size])
    one, other = fit_slope(odds, said), fit_slope(np.where(swap, -odds, odds), np.where(swap, 1 - said, said))
    assert one == other
    if one.slope is not None:
        assert soften(odds, one) == pytest.approx(1 - soften(-odds, one), abs=1e-15)


@given(ROWS, st.sampled_from([1e-6, 0.5, 100.0]))
@settings(deadline=None, max_examples=60)
def test_another_unit_of_the_log_odds_changes_no_probability(rows: list[tuple[float, float]], unit: float) -> None:
    odds, said = np.array(rows).T
    one, other = fit_slope(odds, said), fit_slope(odds * unit, said)
    assert (one.slope is None) == (other.slope is None)
    if one.slope is not None:
        assert soften(odds, one) == pytest.approx(soften(odds * unit, other), rel=1e-8)


@pytest.mark.parametrize("right", [25, 40, 50])
def test_bare_verdicts_are_right_as_often_as_they_were(right: int) -> None:
    said = np.array([1.0] * right + [0.0] * (50 - right))
    for sure in (np.inf, 1e300, 1e-300):
        found = fit_slope(np.full(50, sure), said)
        if right == 25:
            assert found.slope is None
            assert found.reason == "on the 50 labelled pairs people do not agree with the judge more than with a coin"
        else:
            assert soften([sure], found) == pytest.approx((right + 0.5) / 51)


def test_what_is_surer_than_any_labelled_pair_counts_as_the_surest() -> None:
    odds = np.linspace(0.1, 4, 60)
    found = fit_slope(odds, np.ones(60))
    assert 0 < found.slope < np.inf  # type: ignore[operator]
    p = soften([-np.inf, -9.0, 0.0, 4.0, np.inf, np.nan], found)
    assert p[:5] == pytest.approx([1 - p[3], 1 - p[3], 0.5, p[3], p[3]])
    assert 0.9 < p[3] < 1
    assert np.isnan(p[5])


def test_a_slope_below_zero_is_none() -> None:
    odds = np.tile([3.0, -3.0], 40)
    found = fit_slope(odds, (odds < 0).astype(float))
    assert found.slope is None
    with pytest.raises(ValueError, match="there is no slope: on the 80 labelled pairs"):
        soften(odds, found)


@pytest.mark.parametrize(
    ("odds", "said", "message"),
    [
        ([1.0], [1.0, 0.0], "one shape"), ([np.nan], [1.0], "NaN"),
        ([1.0], [0.7], "1 for a, 0 for b"), (1.0, 1.0, "shape"),
    ],
)  # fmt: skip
def test_bad_input_is_refused(odds: object, said: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        fit_slope(odds, said)  # type: ignore[arg-type]


def test_rows_without_a_preference_do_not_count() -> None:
    odds, said = np.array([1.0] * 29 + [0.0] * 20), np.ones(49)
    assert fit_slope(odds, said).reason == "29 labelled pairs on which the judge has a preference: a slope takes 30"


def test_the_slope_of_a_store(cli: Cli, tmp_path: Path) -> None:
    rows = pairs(100, labelled=60)
    rows[7]["label"] = "tie"
    raw = write_rows(tmp_path / "raw.jsonl", rows)
    log = write_rows(tmp_path / "log.jsonl", judgments(100, p_right=0.8, wrong=range(12, 24)))
    assert cli("label", raw, "--judgments", log, "--alpha", "0.4") == 0
    with open_store(tmp_path / "raw.curated" / "curator.duckdb", create=False) as store:
        found = latest_softening(store)
        odds = np.log(0.8 / 0.2)
        said = np.array([1.0] * 47 + [0.5] + [0.0] * 12)
        assert (found.n, found.ties) == (60, 1)
        assert found.slope == pytest.approx(by_optimiser(np.full(60, odds), said), rel=1e-6)
        in_sql = store.rows(
            f"SELECT {SOFT} FROM score JOIN input USING (pair_id) ORDER BY position",
            {"slope": found.slope, "largest": found.largest},
        )
        each = store.rows("SELECT log_odds FROM score JOIN input USING (pair_id) ORDER BY position")
        assert np.ravel(in_sql) == pytest.approx(soften(np.abs(np.ravel(each)), found), rel=1e-12)
        assert votes_of_people(store) == [(1, 59)]
        result = views.latest_run(store)
        assert result is not None
        value, why = latest_label_smoothing(store, result, result["dataset"])
        assert value == pytest.approx(40 * 0.4 / 99, rel=1e-3)
        assert "40 auto labels count with 0.4, which bounds" in why
        assert "59 labels of people count as right" in why
