"""`curator.sizing`: what planning says, against what `curator.conformal` then grants."""

from __future__ import annotations

import doctest
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom

import curator.sizing as module
from curator.conformal import Guarantee, calibrate
from curator.sizing import labels_missing, labels_needed, passes
from tests.test_conformal import RULES, SMALLEST_N, TENTH, alphas, deltas, rules

# --------------------------------------------------------------------------------------------------- passes


@settings(deadline=None)
@given(rule=rules, alpha=alphas, delta=deltas, n=st.integers(0, 150), errors=st.integers(0, 20))
def test_passes_is_the_rule_for_one_block(
    rule: Guarantee, alpha: Fraction, delta: Fraction, n: int, errors: int
) -> None:
    """Planning must not promise what the threshold search would not grant."""
    errors = min(errors, n)
    wrong = [i < errors for i in range(n)]
    found = calibrate([1.0] * n, wrong, [1.0] * 5, guarantee=rule, alpha=alpha, delta=delta)
    assert passes(rule, alpha, delta, n, n, errors) == (found.threshold is not None)


@pytest.mark.parametrize("hundredths", range(1, 100))
def test_equality_passes_and_one_error_more_does_not(hundredths: int) -> None:
    for rule, n in ((Guarantee.SCOPE, 100), (Guarantee.FDR, 99)):
        assert passes(rule, Fraction(hundredths, 100), TENTH, n, n, hundredths - 1)
        assert not passes(rule, Fraction(hundredths, 100), TENTH, n, n, hundredths)


@pytest.mark.parametrize(("rule", "delta"), SMALLEST_N)
def test_the_smallest_n_passes_and_one_less_does_not(rule: str, delta: str) -> None:
    for alpha, n in zip(("0.01", "0.05", "0.10", "0.20"), SMALLEST_N[rule, delta], strict=True):
        assert passes(Guarantee(rule), Fraction(alpha), Fraction(delta), n, n, 0)
        assert not passes(Guarantee(rule), Fraction(alpha), Fraction(delta), n - 1, n - 1, 0)


# -------------------------------------------------------------------------------------------- labels_needed

HALVES = [(rule, alpha) for rule in RULES for alpha in map(Fraction, ("0.02", "0.05", "0.1", "0.2"))]


@pytest.mark.parametrize(("rule", "alpha"), HALVES)
def test_labels_needed_buys_its_power(rule: Guarantee, alpha: Fraction) -> None:
    """With that many labels the rule lets the judge through with probability .9, by the binomial law itself."""
    n = labels_needed(rule, alpha, TENTH, coverage=0.5, power=0.9)
    assert n is not None
    k = n // 2
    most_errors = sum(passes(rule, alpha, TENTH, n, k, e) for e in range(k + 1)) - 1
    assert binom.cdf(most_errors, k, float(alpha) / 2) >= 0.9 - 1e-9


def test_labels_needed_of_a_faultless_judge_is_the_smallest_n() -> None:
    """To within the 2% steps of the search, from above."""
    for (rule, delta), smallest in SMALLEST_N.items():
        for alpha, n in zip(("0.01", "0.05", "0.10", "0.20"), smallest, strict=True):
            got = labels_needed(Guarantee(rule), Fraction(alpha), Fraction(delta), coverage=1.0, error_rate=0.0)
            assert got is not None
            assert n <= got <= n * 1.02


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("error_rate", [0.11, 0.5, 1.0])
def test_labels_needed_is_none_when_hopeless(rule: Guarantee, error_rate: float) -> None:
    assert labels_needed(rule, TENTH, TENTH, error_rate=error_rate, most=20_000) is None
    assert labels_needed(rule, TENTH, TENTH, coverage=0.0, most=1000) is None
    assert labels_needed(rule, Fraction("0.01"), TENTH, most=30) is None


@pytest.mark.parametrize("rule", RULES)
def test_labels_needed_moves_the_right_way(rule: Guarantee) -> None:
    def needed(alpha: str = "0.1", coverage: float = 0.5, error_rate: float = 0.02, power: float = 0.9) -> int:
        n = labels_needed(rule, Fraction(alpha), TENTH, coverage=coverage, error_rate=error_rate, power=power)
        assert n is not None
        return n

    by_alpha = [needed(alpha) for alpha in ("0.03", "0.05", "0.07", "0.1", "0.15", "0.2", "0.29")]
    assert by_alpha == sorted(by_alpha, reverse=True)
    assert needed(error_rate=0.01) <= needed(error_rate=0.04) <= needed(error_rate=0.08)
    assert needed(power=0.5) <= needed(power=0.9) <= needed(power=0.99)
    assert needed(coverage=0.9) <= needed(coverage=0.5) <= needed(coverage=0.2)


@pytest.mark.parametrize("share", [-0.1, 1.1, float("nan")])
@pytest.mark.parametrize("name", ["coverage", "error_rate", "power"])
def test_shares_must_be_shares(name: str, share: float) -> None:
    with pytest.raises(ValueError, match="shares between 0 and 1"):
        labels_needed(Guarantee.FDR, TENTH, TENTH, **{name: share})  # type: ignore[arg-type]


@given(st.integers(1, 300), st.floats(0, 1), st.floats(0.01, 0.99))
def test_binomial_quantile_against_its_definition(k: int, rate: float, power: float) -> None:
    e = module._binomial_quantile(k, rate, power)
    assert binom.cdf(e, k, rate) >= power - 1e-12
    assert e == 0 or binom.cdf(e - 1, k, rate) < power + 1e-12


# ------------------------------------------------------------------------------------------- labels_missing


def missing(right: int, wrong: int, rule: Guarantee = Guarantee.FDR, unjudged: int = 0) -> int | None:
    scores = [1.0] * (right + wrong) + [-np.inf] * unjudged
    return labels_missing(scores, [False] * right + [True] * (wrong + unjudged), rule, TENTH, TENTH)


@pytest.mark.parametrize("rule", RULES)
def test_without_labels_the_missing_ones_are_the_planned_ones(rule: Guarantee) -> None:
    assert labels_missing([], [], rule, TENTH, TENTH) == labels_needed(rule, TENTH, TENTH)


@pytest.mark.parametrize("rule", RULES)
def test_a_judge_over_alpha_everywhere_is_not_helped_by_labels(rule: Guarantee) -> None:
    assert missing(right=40, wrong=10, rule=rule) is None
    assert missing(right=0, wrong=0, rule=rule, unjudged=30) is None, "never judged is never let through"


@pytest.mark.parametrize("rule", RULES)
def test_missing_labels_let_the_same_judge_through(rule: Guarantee) -> None:
    """Twice in a hundred wrong, every row above the threshold: with the labels asked for, the rule accepts."""
    more = missing(right=49, wrong=1, rule=rule)
    assert more is not None
    n = 50 + more
    assert passes(rule, TENTH, TENTH, n, n, round(n / 50))


def test_a_faultless_judge_misses_what_is_left_to_the_smallest_n() -> None:
    assert missing(right=6, wrong=0, rule=Guarantee.FDR) == 9 - 6
    assert missing(right=15, wrong=0, rule=Guarantee.PAC) == 22 - 15
    assert missing(right=200, wrong=0, rule=Guarantee.FDR) == 20, "never nothing: a tenth more"


def test_docstrings() -> None:
    result = doctest.testmod(module)
    assert result.attempted >= 1
    assert result.failed == 0
