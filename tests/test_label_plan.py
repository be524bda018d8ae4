"""Plans of labels against the coverage that known judges really reach."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curator.conformal import Guarantee, calibrate
from curator.label_plan import (
    Cell,
    Question,
    advice,
    assumed_curve,
    pilot_curve,
    plan_from_pilot,
    plan_labels,
)
from tests.validity.test_promises_hold import POPULATIONS

ALPHAS = (Fraction("0.1"), Fraction("0.2"))
LABELS = (100, 400)
RULES = (Guarantee.FDR, Guarantee.SCOPE, Guarantee.PAC)
ASKED = Question(RULES, ALPHAS, Fraction("0.1"), LABELS)


def truth(name: str, draws: int = 200) -> np.ndarray:
    """Mean coverage over real draws of labels and batch; shape (rules, alphas, labels)."""
    rng = np.random.default_rng(11)
    found = np.zeros((len(RULES), len(ALPHAS), len(LABELS)))
    for _ in range(draws):
        pool, _ = POPULATIONS[name].draw(rng, 1_500)
        scores, wrong = POPULATIONS[name].draw(rng, LABELS[-1])
        for i, rule in enumerate(RULES):
            for j, alpha in enumerate(ALPHAS):
                for k, n in enumerate(LABELS):
                    found[i, j, k] += calibrate(
                        scores[:n], wrong[:n], pool, guarantee=rule, alpha=alpha, delta="0.1"
                    ).coverage
    return found / draws


def table(cells: list[Cell], what: str = "coverage") -> np.ndarray:
    return np.array([getattr(cell, what) for cell in cells]).reshape(len(RULES), len(ALPHAS), len(LABELS))


def test_with_the_true_error_curve_the_plan_is_the_truth() -> None:
    """Of the calibrated judge, whose error rate at sureness s is (1 - s)^2 / 2."""
    pool, _ = POPULATIONS["calibrated"].draw(np.random.default_rng(5), 20_000)
    cells = plan_labels(pool, lambda s: (1 - s) ** 2 / 2, ASKED)
    assert [(cell.guarantee, cell.alpha, cell.labels) for cell in cells] == [
        (rule, alpha, n) for rule in RULES for alpha in ALPHAS for n in LABELS
    ]
    # Two simulations of 200 draws: each cell within four of the standard errors that the plan states, and of as many.
    bound = 4 * np.sqrt(2) * np.maximum(table(cells, "coverage_error"), 0.002)
    assert (np.abs(table(cells) - truth("calibrated")) <= bound).all()
    assert (table(cells, "chance_error") <= 0.5 / np.sqrt(200)).all()


@pytest.mark.parametrize(
    ("name", "points"),
    # fdr and scope, pac: how far from the truth the mean plan of ten pilots of 300 labels may be.
    [("calibrated", (0.05, 0.15)), ("five tied levels", (0.05, 0.15)), ("a quarter unjudged", (0.06, 0.15)),
     ("overconfident", (0.15, 0.2))],
)  # fmt: skip
def test_plans_from_pilots_come_near_the_truth(name: str, points: tuple[float, float]) -> None:
    rng = np.random.default_rng(7)
    pool, _ = POPULATIONS[name].draw(rng, 3_000)
    plans = []
    for seed in range(10):
        scores, wrong = POPULATIONS[name].draw(rng, 300)
        plans.append(table(plan_labels(pool, pilot_curve(scores, wrong), ASKED, draws=40, seed=seed)))
    off = np.abs(np.mean(plans, axis=0) - truth(name))
    print(f"\n{name}: {off.max(axis=(1, 2)).round(3).tolist()} points off at most (fdr, scope, pac)")
    assert off[:2].max() <= points[0]
    assert off[2].max() <= points[1]


def test_the_range_over_pilots_holds_the_truth_of_most() -> None:
    rng = np.random.default_rng(3)
    asked = Question([Guarantee.FDR], [Fraction("0.1")], Fraction("0.1"), [200])
    pool, _ = POPULATIONS["calibrated"].draw(rng, 2_000)
    real = plan_labels(pool, lambda s: (1 - s) ** 2 / 2, asked)[0].coverage
    held = []
    for seed in range(20):
        scores, wrong = POPULATIONS["calibrated"].draw(rng, 150)
        (cell,) = plan_from_pilot(pool, scores, wrong, asked, seed=seed)
        assert cell.low is not None
        assert cell.high is not None
        held.append(cell.low <= real <= cell.high)
    print(f"\nthe range holds the truth of {sum(held)} of 20 pilots")
    assert 12 <= sum(held) <= 20, "80% of 20 pilots, about"


@given(
    st.lists(st.tuples(st.sampled_from([0.5, 1.0, 2.0, 3.0, np.inf, -np.inf]), st.booleans()), min_size=1, max_size=60)
)
def test_the_fitted_error_rate_falls_with_sureness_and_is_no_certainty(rows: list[tuple[float, bool]]) -> None:
    scores, wrong = np.array([row[0] for row in rows]), np.array([row[1] for row in rows])
    if np.isneginf(scores).all():
        with pytest.raises(ValueError, match="no labelled pair"):
            pilot_curve(scores, wrong)
        return
    rate = pilot_curve(scores, wrong)(np.array([0.1, 0.5, 0.7, 1.0, 2.5, 3.0, 50.0, np.inf]))
    assert (np.diff(rate) <= 1e-12).all()
    assert ((rate >= 0) & (rate <= 1)).all()
    some = wrong[~np.isneginf(scores)]
    if 0 < some.sum() < some.size:
        assert ((rate > 0) & (rate < 1)).all()


@pytest.mark.parametrize("accuracy", [0.5, 0.7, 0.85, 0.99])
@pytest.mark.parametrize("scores", [np.linspace(0.1, 8, 500), np.full(500, np.inf), np.array([np.inf, 1.0, 2.0] * 100)])
def test_an_assumed_accuracy_is_met(scores: np.ndarray, accuracy: float) -> None:
    curve = assumed_curve(np.append(scores, [-np.inf] * 50), accuracy)
    assert 1 - curve(scores).mean() == pytest.approx(accuracy, abs=1e-6)
    assert (np.diff(curve(np.sort(scores))) <= 0).all()


def test_what_is_refused_and_left_out() -> None:
    for accuracy in (0.4, 1.0, float("nan")):
        with pytest.raises(ValueError, match="between"):
            assumed_curve([1.0], accuracy)
    with pytest.raises(ValueError, match="no pair"):
        assumed_curve([-np.inf], 0.8)
    with pytest.raises(ValueError, match="NaN"):
        pilot_curve([np.nan], [1])
    with pytest.raises(ValueError, match="NaN"):
        plan_labels([np.nan], pilot_curve([1.0], [0]), ASKED)
    few = plan_labels(np.linspace(0, 1, 125), pilot_curve([1.0], [0]), ASKED, draws=3)
    assert {cell.labels for cell in few} == {100}
    assert plan_labels(np.linspace(0, 1, 20), pilot_curve([1.0], [0]), ASKED) == []


def test_plans_repeat() -> None:
    rng = np.random.default_rng(1)
    scores, wrong = rng.random(300), rng.random(300) < 0.1
    first = plan_from_pilot(scores, scores[:100], wrong[:100], ASKED)
    assert first == plan_from_pilot(scores, scores[:100], wrong[:100], ASKED)
    assert first != plan_from_pilot(scores, scores[:100], wrong[:100], ASKED, seed=1)


def test_advice_in_words() -> None:
    def cells(*coverage: float, chance: float = 1.0) -> list[Cell]:
        return [
            Cell(Guarantee.FDR, Fraction("0.1"), n, share, 0.0, chance, 0.0)
            for n, share in zip((100, 200, 500, 1000), coverage, strict=False)
        ]

    assert advice(cells(0.2, 0.60, 0.66, 0.66)) == (
        "At alpha 0.1 under fdr, 200 labels buy about 60% coverage; 500 buy 66%."
    )
    assert advice(cells(0.1, 0.2, chance=0.25)) == (
        "At alpha 0.1 under fdr, 200 labels buy about 20% coverage (nothing in 75% of draws)."
    )
    assert "no number of labels up to 500 buys 1% coverage" in advice(cells(0.0, 0.001, 0.002))
    assert "too few pairs" in advice([])
