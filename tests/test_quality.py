"""Accuracy, calibration error and ranking figures, against their definitions written out."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curator.quality import accuracy, auprc, auroc, ece

ROWS = st.lists(st.tuples(st.sampled_from([-np.inf, 0.0, 0.5, 1.0, 2.0, np.inf]), st.booleans()), max_size=30)
CLAIMS = st.lists(st.tuples(st.floats(0, 1) | st.sampled_from([0.1, 0.3, 0.6, 0.7]), st.booleans()), max_size=30)


def auroc_by_pairs(rows: list[tuple[float, bool]]) -> float | None:
    """Every right pair against every wrong one."""
    won = [(x > y) + 0.5 * (x == y) for x, good in rows if good for y, other in rows if not other]
    return sum(won) / len(won) if won else None


def average_precision(rows: list[tuple[float, bool]]) -> float | None:
    """sum of (recall - recall before) * precision over thresholds, as scikit-learn defines it."""
    total, before, area = sum(good for _, good in rows), 0.0, 0.0
    for threshold in sorted({value for value, _ in rows}, reverse=True):
        taken = [good for value, good in rows if value >= threshold]
        recall = sum(taken) / total if total else 0.0
        area += (recall - before) * sum(taken) / len(taken)
        before = recall
    return area if total else None


def ece_by_bins(rows: list[tuple[float, bool]], bins: int) -> float | None:
    gap = 0.0
    for i in range(bins):
        inside = [(p, good) for p, good in rows if min(int(p * bins), bins - 1) == i]
        if inside:
            gap += abs(sum(good for _, good in inside) - sum(p for p, _ in inside))
    return gap / len(rows) if rows else None


def columns(rows: list[tuple[float, bool]]) -> tuple[list[float], list[bool]]:
    return [value for value, _ in rows], [good for _, good in rows]


@given(ROWS)
def test_ranking_figures_are_what_they_are_defined_as(rows: list[tuple[float, bool]]) -> None:
    for fast, slow in ((auroc(*columns(rows)), auroc_by_pairs(rows)), (auprc(*columns(rows)), average_precision(rows))):
        assert fast == (None if slow is None else pytest.approx(slow))


@given(CLAIMS, st.sampled_from([1, 5, 10]))
def test_the_calibration_error_is_what_it_is_defined_as(rows: list[tuple[float, bool]], bins: int) -> None:
    slow = ece_by_bins(rows, bins)
    assert ece(*columns(rows), bins=bins) == (None if slow is None else pytest.approx(slow, abs=1e-12))


@given(ROWS)
def test_only_the_order_of_sureness_matters_and_turning_it_round_mirrors_auroc(rows: list[tuple[float, bool]]) -> None:
    values, good = columns(rows)
    squeezed = np.tanh(np.asarray(values) / 4)
    assert auroc(squeezed, good) == auroc(values, good)
    assert auprc(squeezed, good) == auprc(values, good)
    if (there := auroc(values, good)) is not None:
        assert auroc(-np.asarray(values), good) == pytest.approx(1 - there)


def test_extreme_cases() -> None:
    assert (accuracy([]), ece([], []), auroc([], []), auprc([], [])) == (None, None, None, None)
    assert (accuracy([1, 1]), auroc([1.0, 2.0], [1, 1]), auprc([1.0, 2.0], [1, 1])) == (1.0, None, 1.0)
    assert (accuracy([0, 0]), auroc([1.0, 2.0], [0, 0]), auprc([1.0, 2.0], [0, 0])) == (0.0, None, None)
    assert (auroc([5.0] * 4, [1, 0, 1, 1]), auprc([5.0] * 4, [1, 0, 1, 1])) == (0.5, 0.75)
    assert ece([1.0, 1.0], [0, 0]) == 1.0
    # A judge that is right as often as it claims, bin by bin.
    assert ece([0.75] * 4 + [0.5] * 2, [1, 1, 1, 0, 1, 0]) == pytest.approx(0.0)


def test_a_million_rows_do_not_overflow() -> None:
    rng = np.random.default_rng(0)
    right = rng.random(1_000_000) < 0.8
    assert auroc(rng.random(right.size), right) == pytest.approx(0.5, abs=0.005)
    assert auroc(right.astype(float), right) == 1.0


@pytest.mark.parametrize("figure", [ece, auroc, auprc])
def test_what_is_refused(figure) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ValueError, match="one shape"):
        figure([0.5], [1, 0])
    with pytest.raises(ValueError, match="NaN"):
        figure([0.5, np.nan], [1, 0])
    with pytest.raises(ValueError, match="one-dimensional"):
        figure([[0.5]], [[1]])
    with pytest.raises(ValueError, match="in \\[0, 1\\]"):
        ece([1.5], [1])
