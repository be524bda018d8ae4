"""Clopper-Pearson: exact ends, exact coverage, and the sentence of an audit."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from scipy.stats import binom, hypergeom

from curator.conformal import tail_at_most
from curator.intervals import audit_sentence, clopper_pearson


@pytest.mark.parametrize(
    ("errors", "n", "low", "high"),
    [
        (0, 10, 0.0, 0.30849710781876083),
        (10, 10, 0.69150289218123917, 1.0),
        (3, 40, 0.01574, 0.20387),
        (0, 1, 0, 0.975),
    ],
)
def test_known_intervals(errors: int, n: int, low: float, high: float) -> None:
    """The first is 1 - .025^(1/10) by hand."""
    assert clopper_pearson(errors, n) == pytest.approx((low, high), abs=1e-5)


@pytest.mark.parametrize(("errors", "n"), [(0, 1), (0, 50), (1, 2), (7, 60), (59, 60), (60, 60), (3, 2000)])
def test_the_ends_are_where_the_tails_hold_a_fortieth(errors: int, n: int) -> None:
    low, high = clopper_pearson(errors, n)
    tail = Fraction("0.025")
    near = Fraction(1, 10**6)
    if errors:
        # P(Bin(n, low) >= errors) = P(Bin(n, 1 - low) <= n - errors) is the tail, just.
        assert tail_at_most(n - errors, n, 1 - Fraction(low) + near, tail)
        assert not tail_at_most(n - errors, n, 1 - Fraction(low) - near, tail)
    else:
        assert low == 0.0
    if errors < n:
        assert tail_at_most(errors, n, Fraction(high) + near, tail)
        assert not tail_at_most(errors, n, Fraction(high) - near, tail)
    else:
        assert high == 1.0


@pytest.mark.parametrize("n", [1, 5, 20, 83])
@pytest.mark.parametrize("confidence", [0.8, 0.95])
def test_it_covers_every_rate(n: int, confidence: float) -> None:
    """Exactly, by the binomial distribution: no simulation, no margin."""
    ends = np.array([clopper_pearson(errors, n, confidence) for errors in range(n + 1)])
    rates = np.linspace(0, 1, 401)
    inside = (ends[:, :1] <= rates) & (rates <= ends[:, 1:])
    covered = (inside * binom.pmf(np.arange(n + 1)[:, None], n, rates)).sum(axis=0)
    assert covered.min() >= confidence - 1e-9
    if n >= 20:
        assert covered[200] < confidence + 0.1, "and not by being wide"


@pytest.mark.parametrize(("accepted", "n"), [(30, 10), (200, 40), (200, 190)])
def test_it_covers_every_share_of_a_batch_drawn_without_replacement(accepted: int, n: int) -> None:
    ends = np.array([clopper_pearson(errors, n) for errors in range(n + 1)])
    for wrong in range(accepted + 1):
        inside = (ends[:, 0] <= wrong / accepted) & (wrong / accepted <= ends[:, 1])
        assert hypergeom.pmf(np.flatnonzero(inside), accepted, wrong, n).sum() >= 0.95 - 1e-9


@pytest.mark.parametrize(
    ("errors", "n", "confidence"), [(1, 0, 0.95), (3, 2, 0.95), (-1, 2, 0.95), (1, 2, 1.0), (0, 0, 0.9)]
)
def test_what_is_no_sample_is_refused(errors: int, n: int, confidence: float) -> None:
    with pytest.raises(ValueError, match="must"):
        clopper_pearson(errors, n, confidence)


AUDIT = {
    "drawn": 40, "accepted": 1200, "labelled": 40, "ties_left_out": 0, "errors": 3, "error": 0.075, "low": 0.0157,
    "high": 0.204, "confidence": 0.95,
}  # fmt: skip


@pytest.mark.parametrize(
    ("change", "says", "does_not_say"),
    [
        ({}, "is 0.075, between 0.0157 and 0.204 (95% interval, Clopper-Pearson).", "if it is chance"),
        ({"labelled": 30}, "if it is chance which of the drawn pairs have no label yet.", "It is not chance"),
        ({"labelled": 0}, "nothing is known of the error", "between"),
        ({"labelled": 30, "low": None, "high": None}, "when all drawn pairs are labelled", "between"),
        ({"ties_left_out": 4}, "4 ties are left out", "if it is chance"),
    ],
)
def test_the_sentence_says_what_holds(change: dict[str, Any], says: str, does_not_say: str) -> None:
    sentence = audit_sentence({**AUDIT, **change})
    assert says in sentence
    assert does_not_say not in sentence
    assert sentence.startswith("40 of the 1,200 accepted pairs")
