"""`curator.preference` against exact cases, and the symmetries that the averaging over both orders must have."""

from __future__ import annotations

import doctest
import json
import math
from decimal import Decimal, localcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

import curator.preference as module
from curator.preference import Preference, bidirectional_preference_entropy, entropy_at, log_odds, preference

LN2 = math.log(2)
CASES: list[dict[str, Any]] = json.loads((Path(__file__).parent / "golden" / "bpe_cases.json").read_text())["cases"]
ids = [case["name"] for case in CASES]

# A probability is rounded when it is read: of 0.999999 as a float, 1 - p is known to about 11 digits only.
PROBS_RELATIVE, LOGPROBS_RELATIVE = 1e-10, 1e-13
# Below 2e-308 floats thin out, to steps of 5e-324; an entropy is up to 745 times such a rounded probability.
SUBNORMAL = 745 * 5e-324

odds = st.floats(-1100, 1100) | st.sampled_from([0.0, 1e-13, 1e300, np.inf, -np.inf])
shares = st.floats(0, 1) | st.sampled_from([0.0, 1.0, 0.5, 1e-300, 1e-17, 1 - 1e-16])
some_odds = st.floats(-1100, 1100) | st.sampled_from([0.0, 1e-13, np.inf, -np.inf])
with_ties = st.lists(st.tuples(some_odds, some_odds, shares, shares), min_size=1, max_size=8).map(
    lambda rows: np.array(rows).T
)
pairs_of_odds = st.lists(st.tuples(odds, odds), min_size=1, max_size=8).map(lambda rows: np.array(rows).T)


def both_orders(case: dict[str, Any]) -> tuple[float, float]:
    """The case's log-odds of a over b when a, and when b, was shown first.

    In a `logprobs` case A and B are positions: in the reverse order B is the response that was a before.
    """
    given_ = {key: float(value) for key, value in case["input"].items() if key != "kind"}
    if case["input"]["kind"] == "probs":
        return float(log_odds(given_["p_forward"])), float(log_odds(given_["p_reverse"]))
    return given_["forward_A"] - given_["forward_B"], given_["reverse_B"] - given_["reverse_A"]


def relative(case: dict[str, Any]) -> float:
    return PROBS_RELATIVE if case["input"]["kind"] == "probs" else LOGPROBS_RELATIVE


def one(case: dict[str, Any]) -> Preference:
    ab, ba = both_orders(case)
    return preference([ab], [ba])


def test_all_oracle_cases_are_read() -> None:
    kinds = [case["input"]["kind"] for case in CASES]
    assert (kinds.count("probs"), kinds.count("logprobs")) == (17, 14)


@pytest.mark.parametrize("case", CASES, ids=ids)
def test_oracle_values(case: dict[str, Any]) -> None:
    expected, got = case["expected"], one(case)
    for value, name in ((got.p_a, "p_A"), (got.p_b, "p_B"), (got.bpe, "entropy_nats")):
        assert value[0] == pytest.approx(float(expected[name]), rel=relative(case), abs=SUBNORMAL), name


@pytest.mark.parametrize("case", CASES, ids=ids)
def test_oracle_label(case: dict[str, Any]) -> None:
    assert {1.0: "A", -1.0: "B", 0.0: "tie"}[float(np.sign(one(case).log_odds[0]))] == case["expected"]["label"]


@pytest.mark.parametrize("case", CASES, ids=ids)
def test_oracle_log_odds_do_not_underflow(case: dict[str, Any]) -> None:
    """Ranking needs the log-odds of pairs whose probability is 1e-435, which no float holds."""
    p_a, p_b = Decimal(case["expected"]["p_A"]), Decimal(case["expected"]["p_B"])
    assert one(case).log_odds[0] == pytest.approx(float(p_a.ln() - p_b.ln()), rel=relative(case), abs=1e-15)


@pytest.mark.parametrize("case", [c for c in CASES if c["input"]["kind"] == "probs"], ids=lambda case: case["name"])
def test_oracle_entropy_from_probabilities(case: dict[str, Any]) -> None:
    got = bidirectional_preference_entropy([float(case["input"]["p_forward"])], [float(case["input"]["p_reverse"])])
    assert got[0] == pytest.approx(float(case["expected"]["entropy_nats"]), rel=PROBS_RELATIVE)


@settings(deadline=None)
@given(pairs_of_odds)
def test_swapping_the_responses_only_swaps_the_names(d: np.ndarray) -> None:
    """With a and b exchanged, "a shown first" is the other call, and its log-odds change sign."""
    got, swapped = preference(d[0], d[1]), preference(-d[1], -d[0])
    assert np.array_equal(swapped.log_odds, -got.log_odds)
    assert np.array_equal(swapped.p_a, got.p_b)
    assert np.array_equal(swapped.p_b, got.p_a)
    assert np.array_equal(swapped.sureness, got.sureness)
    # Only the two terms of the entropy are added in the other order.
    assert np.array_equal(swapped.bpe, got.bpe)


@settings(deadline=None)
@given(pairs_of_odds)
def test_the_order_shown_does_not_matter(d: np.ndarray) -> None:
    got, mirrored = preference(d[0], d[1]), preference(d[1], d[0])
    for name in ("p_a", "p_b", "log_odds", "bpe"):
        assert np.array_equal(getattr(got, name), getattr(mirrored, name)), name


@settings(deadline=None)
@given(pairs_of_odds)
@example(np.array([[40.0], [-40.0]]))
@example(np.array([[np.inf, 1e300], [np.inf, 1e300]]))
def test_ranges(d: np.ndarray) -> None:
    got = preference(d[0], d[1])
    assert ((got.bpe >= 0) & (got.bpe <= LN2)).all()
    assert ((got.p_a >= 0) & (got.p_a <= 1) & (got.p_b >= 0) & (got.p_b <= 1)).all()
    assert np.allclose(got.p_a + got.p_b, 1.0, rtol=0, atol=1e-13)
    assert not np.isnan(got.log_odds).any()
    assert (got.sureness == np.abs(got.log_odds)).all()


@settings(deadline=None)
@given(odds, odds)
def test_averaging_never_leaves_the_two_orders(ab: float, ba: float) -> None:
    got = preference([ab], [ba]).log_odds[0]
    slack = 1e-12 * (1 + min(abs(ab), abs(ba), 2000.0))
    assert min(ab, ba) - slack <= got <= max(ab, ba) + slack


@settings(deadline=None)
@given(pairs_of_odds)
def test_entropy_falls_as_sureness_grows(d: np.ndarray) -> None:
    """The entropy shown to people and the sureness pairs are ranked by never contradict each other."""
    got = preference(d[0], d[1])
    shown = got.bpe[np.argsort(got.sureness, kind="stable")]
    assert (np.diff(shown) <= 1e-14).all()


@settings(deadline=None)
@given(odds, odds)
def test_entropy_at_is_the_entropy_of_that_sureness(ab: float, ba: float) -> None:
    got = preference([ab], [ba])
    assert entropy_at(float(got.sureness[0])) == pytest.approx(got.bpe[0], rel=1e-9, abs=1e-300)


def test_sureness_tells_pairs_apart_that_entropy_cannot() -> None:
    got = preference([800.0, 900.0], [800.0, 900.0])
    assert got.bpe.tolist() == [0.0, 0.0]
    assert got.sureness.tolist() == pytest.approx([800.0, 900.0])


def test_bare_verdicts_have_three_levels() -> None:
    """A judge without probabilities says a, b, or (its two orders disagreeing) nothing."""
    inf = np.inf
    got = preference([inf, inf, -inf, -inf], [inf, -inf, inf, -inf])
    assert got.log_odds.tolist() == [inf, 0.0, 0.0, -inf]
    assert got.p_a.tolist() == pytest.approx([1.0, 0.5, 0.5, 0.0])
    assert got.bpe.tolist() == pytest.approx([0.0, LN2, LN2, 0.0])


def test_one_bare_verdict_and_one_even_answer() -> None:
    got = preference([np.inf, -np.inf], [0.0, 0.0])
    assert got.p_a.tolist() == pytest.approx([0.75, 0.25])
    assert got.log_odds.tolist() == pytest.approx([math.log(3), -math.log(3)])


def test_rounding_does_not_break_a_tie() -> None:
    p = np.array([0.1, 0.2, 0.3, 0.35, 0.7])
    assert preference(log_odds(p), log_odds(1 - p)).log_odds.tolist() == [0.0] * 5
    assert preference([4e-12], [4e-12]).log_odds[0] == pytest.approx(4e-12, rel=1e-3)


def test_no_pairs() -> None:
    for got in (preference([], []), preference([], [], [], [])):
        assert [values.shape for values in (got.p_a, got.p_b, got.p_tie, got.log_odds, got.bpe, got.sureness)] == [
            (0,)
        ] * 6


def exactly(ab: float, ba: float, tie_ab: float, tie_ba: float) -> dict[str, Decimal]:
    """The definition, word for word."""

    def sigmoid(d: float) -> Decimal:
        e = (-abs(Decimal(d))).exp()
        return 1 / (1 + e) if d >= 0 else e / (1 + e)

    rest_ab, rest_ba = 1 - Decimal(tie_ab), 1 - Decimal(tie_ba)
    a = (rest_ab * sigmoid(ab) + rest_ba * sigmoid(ba)) / 2
    b = (rest_ab * sigmoid(-ab) + rest_ba * sigmoid(-ba)) / 2
    tie = (Decimal(tie_ab) + Decimal(tie_ba)) / 2
    odds, small = Decimal(0), Decimal("0.5")
    for winner, rest, sign in ((a, b + tie, 1), (b, a + tie, -1)):
        if winner > rest:
            odds, small = sign * (winner.ln() - (rest.ln() if rest else Decimal("-Infinity"))), rest
    entropy = -(small * small.ln() + (1 - small) * (1 - small).ln()) if small else Decimal(0)
    return {"p_a": a, "p_b": b, "p_tie": tie, "log_odds": odds, "bpe": entropy}


@settings(deadline=None, max_examples=300)
@given(some_odds, some_odds, shares, shares)
@example(40.0, 40.0, 0.0, 1e-17)
@example(np.inf, np.inf, 0.0, 0.0)
@example(np.inf, 0.0, 0.0, 1.0)
@example(0.1, 0.1, 1.0, 1.0)
@example(900.0, 1000.0, 0.0, 0.0)
def test_with_ties_it_is_what_the_definition_says(ab: float, ba: float, tie_ab: float, tie_ba: float) -> None:
    got = preference([ab], [ba], [tie_ab], [tie_ba])
    with localcontext(prec=550):  # of 1 - 1e-478 nothing is lost
        expected = exactly(ab, ba, tie_ab, tie_ba)
    for name in ("p_a", "p_b", "p_tie", "bpe"):
        assert getattr(got, name)[0] == pytest.approx(float(expected[name]), rel=1e-11, abs=SUBNORMAL), name
    assert got.log_odds[0] == pytest.approx(float(expected["log_odds"]), rel=1e-11, abs=2e-12)
    assert (got.log_odds[0] > 0) == (expected["log_odds"] > 1e-12) or abs(expected["log_odds"]) < 2e-12


@settings(deadline=None)
@given(with_ties)
def test_with_ties_swapping_the_responses_only_swaps_the_names(rows: np.ndarray) -> None:
    ab, ba, tie_ab, tie_ba = rows
    got, swapped = preference(ab, ba, tie_ab, tie_ba), preference(-ba, -ab, tie_ba, tie_ab)
    assert np.array_equal(swapped.log_odds, -got.log_odds)
    for name, other in (("p_a", "p_b"), ("p_b", "p_a"), ("p_tie", "p_tie"), ("bpe", "bpe"), ("is_tie", "is_tie")):
        assert np.array_equal(getattr(swapped, name), getattr(got, other)), name


@settings(deadline=None)
@given(with_ties)
def test_a_judge_that_never_says_equal_is_one_without_that_label(rows: np.ndarray) -> None:
    none = np.zeros(rows.shape[1])
    got, two = preference(rows[0], rows[1], none, none), preference(rows[0], rows[1])
    assert np.array_equal(got.log_odds, two.log_odds)
    assert np.array_equal(got.bpe, two.bpe)
    assert np.allclose(got.p_a, two.p_a, rtol=1e-12, atol=0)
    assert np.allclose(got.p_b, two.p_b, rtol=1e-12, atol=0)
    assert (got.p_tie == 0).all()
    assert (two.p_tie == 0).all()


@settings(deadline=None)
@given(with_ties)
def test_only_more_than_half_of_all_is_a_preference(rows: np.ndarray) -> None:
    got = preference(*rows)
    assert not np.isnan(got.log_odds).any()
    assert np.allclose(got.p_a + got.p_b + got.p_tie, 1.0, rtol=0, atol=1e-13)
    assert ((got.bpe >= 0) & (got.bpe <= LN2)).all()
    for odds_of, p in ((got.log_odds, got.p_a), (-got.log_odds, got.p_b)):
        assert (p[odds_of > 0] > 0.5).all()
        assert (odds_of[p > 0.5 + 1e-12] > 0).all()
    assert (got.log_odds[got.is_tie] == 0).all(), "what the judge calls equal is never a preference"
    assert np.allclose(got.bpe[got.log_odds == 0], LN2, rtol=1e-12, atol=0)


@settings(deadline=None)
@given(with_ties)
def test_equal_doubt_in_both_orders_never_makes_a_judge_surer(rows: np.ndarray) -> None:
    ab, ba, tie, _ = rows
    slack = 2e-12 + 1e-14 * np.abs(np.where(np.isinf(ab), 0.0, ab))
    assert (preference(ab, ba, tie, tie).sureness <= preference(ab, ba).sureness + slack).all()


def test_half_of_all_is_no_preference_and_a_plurality_is_none_either() -> None:
    got = preference([np.inf] * 3, [np.inf] * 3, [0.5, 0.499, 0.6], [0.5, 0.499, 0.6])
    assert got.p_a.tolist() == pytest.approx([0.5, 0.501, 0.4])
    assert got.log_odds.tolist() == pytest.approx([0.0, math.log(0.501 / 0.499), 0.0])
    assert got.is_tie.tolist() == [False, False, True]


@pytest.mark.parametrize("tie", [[np.nan], [-1e-9], [1.1], [np.inf]])
def test_a_tie_has_a_probability(tie: list[float]) -> None:
    with pytest.raises(ValueError, match=r"tie_ba must lie in \[0, 1\]"):
        preference([0.0], [0.0], [0.5], tie)


@pytest.mark.parametrize(("ties", "message"), [(([0.5], None), "both be given"), (([0.5], [0.5, 0.5]), "the shape of")])
def test_ties_are_of_both_orders(ties: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        preference([0.0], [0.0], *ties)


@pytest.mark.parametrize(("ab", "ba"), [([np.nan], [0.0]), ([0.0], [np.nan]), ([1.0, np.nan], [np.inf, 0.0])])
def test_nan_is_an_error(ab: list[float], ba: list[float]) -> None:
    with pytest.raises(ValueError, match="NaN"):
        preference(ab, ba)


@pytest.mark.parametrize(("ab", "ba"), [([0.0], [0.0, 1.0]), ([[0.0]], [0.0]), ([], [0.0])])
def test_shapes_must_agree(ab: Any, ba: Any) -> None:
    with pytest.raises(ValueError, match="one shape"):
        preference(ab, ba)


@pytest.mark.parametrize("p", [np.nan, -1e-9, 1.0000001, np.inf, -np.inf])
def test_probabilities_must_be_probabilities(p: float) -> None:
    with pytest.raises(ValueError, match=r"\[0, 1\]"):
        log_odds([0.5, p])
    with pytest.raises(ValueError, match=r"\[0, 1\]"):
        bidirectional_preference_entropy([0.5], [p])


def test_entropy_of_probabilities_wants_one_shape() -> None:
    with pytest.raises(ValueError, match="one shape"):
        bidirectional_preference_entropy([0.5], [0.5, 0.5])


def test_entropy_at_nan_is_an_error() -> None:
    with pytest.raises(ValueError, match="NaN"):
        entropy_at(math.nan)


def test_log_odds_of_small_probabilities() -> None:
    assert log_odds([0.0, 1e-300, 0.25, 1.0]).tolist() == pytest.approx(
        [-np.inf, -300 * math.log(10), -math.log(3), np.inf]
    )


def test_docstrings() -> None:
    result = doctest.testmod(module)
    assert result.attempted >= 5
    assert result.failed == 0
