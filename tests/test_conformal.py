"""`curator.conformal` against exact cases, against ten lines of brute force, and on the boundaries floats get wrong."""

from __future__ import annotations

import doctest
import json
import math
import re
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.stats import binom

import curator.conformal as module
from curator.conformal import (
    Blocks,
    Calibration,
    Guarantee,
    accept,
    blocks,
    calibrate,
    exact,
    fixed_sequence,
    pac_grid,
    promise,
    tail_at_most,
)

INF = math.inf
TENTH = Fraction(1, 10)
RULES = list(Guarantee)
GOLDEN = Path(__file__).parent / "golden" / "threshold_cases.json"
CASES: list[dict[str, Any]] = json.loads(GOLDEN.read_text())["cases"]
RULE_CASES = [case for case in CASES if case["rule"] in ("scope", "bh")]
AWKWARD = ["0.01", "0.05", "0.07", "0.1", "0.14", "0.15", "0.2", "0.28", "0.29", "0.3", "0.57", "1/3"]


# ---------------------------------------------------------------------------------------------- exact cases


def sureness(uncertainties: Sequence[float | str | None]) -> NDArray[np.float64]:
    """The oracle scores uncertainty, curator sureness; what has no finite score is never accepted: -inf."""
    values = np.array([float("nan") if score is None else float(score) for score in uncertainties])
    return np.where(np.isfinite(values), -values, -INF)


def last(cal: Blocks, feasible: NDArray[np.bool_]) -> float | None:
    return float(cal.threshold[feasible][-1]) if feasible.any() else None


def contiguous(cal: Blocks, feasible: NDArray[np.bool_]) -> float | None:
    """The end of the first unbroken run of feasible blocks."""
    if not feasible.any():
        return None
    first = int(np.argmax(feasible))
    length = int(np.argmin(np.append(feasible[first:], False)))
    return float(cal.threshold[first + length - 1])


# Rules of the oracle that curator does not offer: they show that its block counts are right under any rule.
OTHER_RULES: dict[str, Callable[[Blocks, Fraction], float | None]] = {
    "plus1": lambda cal, alpha: last(cal, alpha.denominator * (cal.errors + 1) <= alpha.numerator * (cal.k + 1)),
    "naive": lambda cal, alpha: last(cal, alpha.denominator * cal.errors <= alpha.numerator * cal.k),
    "scope_contiguous": lambda cal, alpha: contiguous(
        cal, alpha.denominator * (cal.errors + 1) <= alpha.numerator * cal.k
    ),
}


def threshold_of(case: dict[str, Any]) -> float | None:
    scores, errors, alpha = sureness(case["scores"]), case["errors"], exact(case["alpha"])
    match case["rule"]:
        case "scope":
            return calibrate(scores, errors, scores, guarantee="scope", alpha=alpha).threshold
        case "bh":
            return calibrate(scores, errors, sureness(case["batch"]), guarantee="fdr", alpha=alpha).threshold
        case "fst":
            # All of delta at the start of the given grid, and none to start again with.
            deltas = [exact(case["delta"])] + [Fraction(0)] * (len(case["grid"]) - 1)
            return fixed_sequence(blocks(scores, errors), -np.array(case["grid"]), deltas, alpha)
        case other:
            return OTHER_RULES[other](blocks(scores, errors), alpha)


def test_all_oracle_cases_are_read() -> None:
    rules = [case["rule"] for case in CASES]
    assert {rule: rules.count(rule) for rule in rules} == {
        "scope": 24, "plus1": 16, "naive": 5, "scope_contiguous": 1, "fst": 3, "bh": 4,
    }  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=[f"{case['rule']}-{case['name']}" for case in CASES])
def test_oracle(case: dict[str, Any]) -> None:
    expected, scores = case["expected"], sureness(case["scores"])
    threshold = threshold_of(case)
    assert threshold == (None if expected["threshold"] is None else -expected["threshold"])
    assert int(np.isfinite(scores).sum()) == expected["n_used"]
    above, judged = accept(scores, threshold), sureness(case.get("batch", case["scores"]))
    assert int(accept(judged, threshold).sum()) == expected["accepted"]
    assert int((above & (np.array(case["errors"]) == 1)).sum()) == (expected["errors_in_calibration_accepted"] or 0)


@pytest.mark.parametrize("case", RULE_CASES, ids=lambda case: case["name"])
def test_oracle_counts_in_the_record(case: dict[str, Any]) -> None:
    expected, scores = case["expected"], sureness(case["scores"])
    rule, pool = ("fdr", sureness(case["batch"])) if case["rule"] == "bh" else ("scope", scores)
    got = calibrate(scores, case["errors"], pool, guarantee=rule, alpha=case["alpha"])
    assert (got.guarantee, got.alpha, got.n, got.m) == (rule, Fraction(case["alpha"]), scores.size, pool.size)
    assert got.accepted == expected["accepted"]
    assert got.errors == (expected["errors_in_calibration_accepted"] or 0)
    assert got.n_errors == sum(case["errors"])
    assert got.k == int(accept(scores, got.threshold).sum())


# ---------------------------------------------------------------------------------------------- brute force


Rows = list[tuple[float, bool]]


def tail(errors: int, k: int, alpha: Fraction) -> Fraction:
    return sum((math.comb(k, i) * alpha**i * (1 - alpha) ** (k - i) for i in range(errors + 1)), Fraction(0))


def brute(rule: str, rows: Rows, pool: list[float], alpha: Fraction, delta: Fraction) -> float | None:
    """The rules of `conformal`, word for word, at every score that could be a threshold."""
    n, m, found, level = len(rows), len(pool), None, Fraction(0)
    grid, deltas = pac_grid(pool, n, alpha, delta)
    given = dict(zip(grid.tolist(), deltas, strict=True))
    candidates = {"fdr": pool, "scope": [s for s, _ in rows], "pac": list(given)}
    for t in sorted({t for t in candidates[rule] if t > -INF}, reverse=True):
        k, e, accepted = sum(s >= t for s, _ in rows), sum(w for s, w in rows if s >= t), sum(s >= t for s in pool)
        fdr, scope = m * (1 + e) <= alpha * (n + 1) * accepted, e - alpha * k <= -1
        level += given.get(t, Fraction(0))
        pac = e < k and tail(e, k, alpha) <= level
        level *= pac
        if {"fdr": fdr, "scope": scope, "pac": pac}[rule]:
            found = t
    return found


levels = st.sampled_from([-INF, -1.0, 0.0, 1.0, 2.0, 3.0, INF])
# Rows come as (score, right, wrong): few draws then make the long runs of ties on which rules stand or fall.
counted = st.lists(st.tuples(levels, st.integers(0, 40), st.integers(0, 3)), max_size=6)
calibration_rows = counted.map(lambda c: [row for s, r, w in c for row in [(s, False)] * r + [(s, True)] * w])
pools = st.lists(st.tuples(levels, st.integers(0, 20)), max_size=6).map(lambda c: [s for s, r in c for _ in range(r)])
alphas, deltas = st.sampled_from(AWKWARD).map(Fraction), st.sampled_from(["0.01", "0.05", "0.1", "0.2"]).map(Fraction)
rules = st.sampled_from(RULES)
anything = given(rows=calibration_rows, pool=pools, alpha=alphas, delta=deltas, rule=rules)


def run(rule: str, rows: Rows, pool: list[float], alpha: Fraction | str, delta: Fraction | str = TENTH) -> Calibration:
    return calibrate([s for s, _ in rows], [w for _, w in rows], pool, guarantee=rule, alpha=alpha, delta=delta)


@settings(deadline=None, max_examples=400)
@anything
@example([(1.0, False)] * 72 + [(1.0, True)] * 28, [1.0], Fraction("0.29"), TENTH, Guarantee.SCOPE)
@example([(1.0, False)] * 71 + [(1.0, True)] * 28, [1.0] * 7, Fraction("0.29"), TENTH, Guarantee.FDR)
@example([(INF, False)] * 30 + [(-INF, True)] * 9, [INF, -INF], TENTH, TENTH, Guarantee.FDR)
@example([(INF, False)] * 30 + [(-INF, True)] * 9, [INF, -INF], TENTH, TENTH, Guarantee.PAC)
def test_brute_force_agrees(rows: Rows, pool: list[float], alpha: Fraction, delta: Fraction, rule: Guarantee) -> None:
    assert run(rule, rows, pool, alpha, delta).threshold == brute(rule, rows, pool, alpha, delta)


def test_brute_force_agrees_with_the_oracle() -> None:
    """The judge of the judge: it would be worth little if it were wrong in the same way."""
    for case in RULE_CASES:
        scores = sureness(case["scores"]).tolist()
        rows = [(score, error == 1) for score, error in zip(scores, case["errors"], strict=True)]
        rule, pool = ("scope", scores) if case["rule"] == "scope" else ("fdr", sureness(case["batch"]).tolist())
        expected = case["expected"]["threshold"]
        assert brute(rule, rows, pool, Fraction(case["alpha"]), TENTH) == (None if expected is None else -expected)


@settings(deadline=None)
@anything
def test_the_record_agrees_with_accept(
    rows: Rows, pool: list[float], alpha: Fraction, delta: Fraction, rule: Guarantee
) -> None:
    got, scores, wrong = run(rule, rows, pool, alpha, delta), [s for s, _ in rows], np.array([w for _, w in rows], bool)
    chosen, above = accept(pool, got.threshold), accept(scores, got.threshold)
    assert (got.accepted, got.k, got.errors) == (chosen.sum(), above.sum(), (above & wrong).sum())
    assert (got.n, got.n_errors, got.m) == (len(rows), wrong.sum(), len(pool))
    assert (got.guarantee, got.alpha, got.delta) == (rule, alpha, delta)
    assert got.coverage == (chosen.mean() if pool else 0.0)
    assert not chosen[np.array(pool, dtype=float) == -INF].any(), "a pair that was not judged is never accepted"


@settings(deadline=None)
@given(rows=calibration_rows, pool=pools, alpha=alphas, rule=rules, seed=st.integers(0, 2**32 - 1))
def test_the_order_of_rows_does_not_matter(
    rows: Rows, pool: list[float], alpha: Fraction, rule: Guarantee, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    shuffled = [rows[i] for i in rng.permutation(len(rows))], rng.permutation(pool).tolist()
    assert run(rule, *shuffled, alpha) == run(rule, rows, pool, alpha)


@settings(deadline=None)
@given(rows=calibration_rows, pool=pools, alpha=alphas, rule=rules, data=st.data())
def test_one_more_error_never_accepts_more(
    rows: Rows, pool: list[float], alpha: Fraction, rule: Guarantee, data: st.DataObject
) -> None:
    if not rows:
        return
    at = data.draw(st.integers(0, len(rows) - 1))
    worse = [*rows[:at], (rows[at][0], True), *rows[at + 1 :]]
    before, after = run(rule, rows, pool, alpha), run(rule, worse, pool, alpha)
    assert after.accepted <= before.accepted
    assert after.threshold is None or (before.threshold is not None and after.threshold >= before.threshold)


@settings(deadline=None)
@given(rows=calibration_rows, pool=pools, rule=st.sampled_from([Guarantee.FDR, Guarantee.SCOPE]))
def test_a_larger_alpha_never_accepts_less(rows: Rows, pool: list[float], rule: Guarantee) -> None:
    """Not of `pac`: its sequence starts elsewhere at each alpha."""
    accepted = [run(rule, rows, pool, alpha).accepted for alpha in sorted(map(Fraction, AWKWARD))]
    assert accepted == sorted(accepted)


@settings(deadline=None)
@given(rows=calibration_rows, pool=pools, alpha=alphas, more=st.integers(1, 30))
def test_pairs_that_cannot_be_judged_never_help(rows: Rows, pool: list[float], alpha: Fraction, more: int) -> None:
    """Dropping failures would select the rows; they count in m, and accept no more."""
    assert run("fdr", rows, pool + [-INF] * more, alpha).accepted <= run("fdr", rows, pool, alpha).accepted


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("alpha", ["0.01", "0.5", "0.99"])
def test_no_calibration_rows_accept_nothing(rule: Guarantee, alpha: str) -> None:
    got = run(rule, [], [1.0, 2.0, INF], alpha)
    assert (got.threshold, got.accepted, got.k, got.errors, got.n, got.m) == (None, 0, 0, 0, 0, 3)


@pytest.mark.parametrize("rule", RULES)
def test_rows_that_were_all_not_judged_accept_nothing(rule: Guarantee) -> None:
    assert run(rule, [(-INF, False)] * 500, [-INF] * 50, "0.2").threshold is None


@pytest.mark.parametrize("rule", [Guarantee.FDR, Guarantee.PAC])
def test_an_empty_pool_accepts_nothing(rule: Guarantee) -> None:
    got = run(rule, [(1.0, False)] * 500, [], "0.2")
    assert (got.threshold, got.accepted, got.m, got.coverage) == (None, 0, 0, 0.0)


def test_unjudged_calibration_rows_count_in_n() -> None:
    """n + 1 conformal ranks: nine rows of one score let a batch through, and so do eight and one not judged."""
    assert run("fdr", [(1.0, False)] * 8 + [(-INF, True)], [1.0] * 4, "0.1").accepted == 4
    assert run("fdr", [(1.0, False)] * 8, [1.0] * 4, "0.1").accepted == 0


# ------------------------------------------------------------------------------------ boundaries, exactly met


@pytest.mark.parametrize("hundredths", range(1, 100))
def test_equality_is_enough_and_one_error_more_is_not(hundredths: int) -> None:
    """At 0.29 * 100 = 28.999999999999996 and 0.07 * 100 = 7.000000000000001, floats decide both ways at random."""
    alpha = f"{hundredths / 100:.2f}"
    for rule, n in (("scope", 100), ("fdr", 99)):
        for errors, expected in ((hundredths - 1, 1.0), (hundredths, None)):
            rows = [(1.0, i < errors) for i in range(n)]
            assert run(rule, rows, [1.0] * 10, alpha).threshold == expected, (rule, errors)


def test_fdr_equality_with_part_of_the_batch() -> None:
    """m (1 + V) = alpha (n + 1) R: 10 * (1 + 6) = .07 * 125 * 8. Five more errors below keep the rest out."""
    pool = [2.0] * 8 + [1.0] * 2
    rows = [(2.0, True)] * 6 + [(1.0, True)] * 5 + [(2.0, False)] * 113
    assert run("fdr", rows, pool, "0.07").accepted == 8
    assert run("fdr", rows[:-1], pool, "0.07").accepted == 0
    assert run("fdr", [*rows[:-1], (2.0, True)], pool, "0.07").accepted == 0
    assert run("fdr", rows, [*pool, 1.0], "0.07").accepted == 0


def test_fdr_counts_too_large_for_64_bits() -> None:
    """A level of 18 digits takes the path of Python integers; the answer must not depend on the path."""
    hair = Fraction(1, 10**18)
    for alpha, expected in ((TENTH + hair, 1.0), (TENTH - hair, None)):
        assert module._fdr_threshold(np.ones(9), np.zeros(9, dtype=bool), np.ones(5), alpha) == expected
    rng = np.random.default_rng(8)
    scores, pool = rng.integers(0, 8, 300).astype(float), rng.integers(0, 8, 200).astype(float)
    wrong = rng.random(300) < (8 - scores) / 20
    rows, found = list(zip(scores.tolist(), wrong.tolist(), strict=True)), []
    for alpha in (TENTH * i + hair for i in range(1, 6)):
        found.append(module._fdr_threshold(scores, wrong, pool, alpha))
        assert found[-1] == brute("fdr", rows, pool.tolist(), alpha, TENTH)
    assert len(set(found)) >= 3, "the levels must tell thresholds apart"


SMALLEST_N = {  # STATISTICS.md, section 2: how many rows, all of them correct, before a rule accepts anything
    ("fdr", "0.1"): (99, 19, 9, 4),
    ("scope", "0.1"): (100, 20, 10, 5),
    ("pac", "0.1"): (230, 45, 22, 11),
    ("pac", "0.05"): (299, 59, 29, 14),
}


@pytest.mark.parametrize(("rule", "delta"), SMALLEST_N)
def test_smallest_n(rule: str, delta: str) -> None:
    for alpha, n in zip(("0.01", "0.05", "0.10", "0.20"), SMALLEST_N[rule, delta], strict=True):
        for scores in ([1.0] * n, [1.0 + i for i in range(n)]):  # all tied, all distinct
            rows = [(score, False) for score in scores]
            assert run(rule, rows, scores, alpha, delta).accepted == n
            assert run(rule, rows[:-1], scores, alpha, delta).threshold is None


# ------------------------------------------------------------------------------------------------ tail_at_most


def test_tail_against_fractions_exactly_at_the_boundary() -> None:
    hair = Fraction(1, 10**30)
    for alpha in map(Fraction, ("0.07", "0.1", "0.29", "1/3")):
        for k in (1, 2, 3, 7, 22, 40):
            for errors in range(k):
                exactly = tail(errors, k, alpha)
                assert tail_at_most(errors, k, alpha, exactly)
                assert tail_at_most(errors, k, alpha, exactly + hair)
                assert not tail_at_most(errors, k, alpha, exactly - hair)


@settings(deadline=None)
@given(st.integers(0, 80), st.integers(0, 80), alphas, deltas)
def test_tail_against_fractions(errors: int, k: int, alpha: Fraction, delta: Fraction) -> None:
    assert tail_at_most(errors, k, alpha, delta) == (errors < k and tail(errors, k, alpha) <= delta)


@settings(deadline=None)
@given(st.integers(1, 50_000), st.floats(0, 1.2), alphas, deltas)
def test_tail_against_scipy(k: int, share: float, alpha: Fraction, delta: Fraction) -> None:
    errors = min(k - 1, int(share * float(alpha) * k))
    expected = float(binom.cdf(errors, k, float(alpha)))
    if abs(expected - float(delta)) > 1e-8:  # nearer than that, scipy is no judge
        assert tail_at_most(errors, k, alpha, delta) == (expected <= float(delta))


def test_tail_of_many_rows_is_settled_exactly() -> None:
    """The float that decides first must be better than the margin at which integers take over."""
    k, errors = 4000, 361
    exactly = tail(errors, k, TENTH)
    for relative in (Fraction(1, 10**15), Fraction(1, 10**7), Fraction(11, 10**7), Fraction(1, 10**5)):
        assert tail_at_most(errors, k, TENTH, exactly * (1 + relative))
        assert not tail_at_most(errors, k, TENTH, exactly * (1 - relative))


def test_tail_does_not_overflow_or_underflow() -> None:
    assert tail_at_most(0, 1_000_000, TENTH, Fraction(1, 10**6))
    assert not tail_at_most(100_000, 1_000_000, TENTH, TENTH)


@pytest.mark.parametrize("k", [0, 1, 30])
def test_all_wrong_never_passes(k: int) -> None:
    assert not tail_at_most(k, k, TENTH, Fraction(999_999, 1_000_000))


# -------------------------------------------------------------------------------------- pac: grid and sequence


def test_grid_is_chosen_from_the_pool_alone() -> None:
    grid, deltas = pac_grid(np.arange(1000.0), 500, TENTH, TENTH)
    # ln .09 / ln .9 = 22.9 rows can pass; with two standard deviations 32.4 of 500: the surest 6.5% of the pool.
    assert (grid[0], grid[16], grid[32], grid[-1], grid.size) == (935.0, 623.0, 311.0, 0.0, 49)
    assert (np.diff(grid) < 0).all()
    assert {i: part for i, part in enumerate(deltas) if part} == {
        0: Fraction(9, 100), 16: Fraction(1, 300), 32: Fraction(1, 300), 48: Fraction(1, 300),
    }  # fmt: skip


@settings(deadline=None)
@given(pools, st.integers(0, 400), alphas, deltas)
def test_deltas_of_the_grid_add_up_to_delta(pool: list[float], n: int, alpha: Fraction, delta: Fraction) -> None:
    grid, given = pac_grid(pool, n, alpha, delta)
    assert set(grid.tolist()) <= {t for t in pool if t > -INF}
    assert sorted(set(grid.tolist()), reverse=True) == grid.tolist()
    assert len(given) == grid.size
    assert sum(given) == (delta if grid.size else 0)


def test_with_few_rows_or_one_score_all_of_delta_is_spent_at_once() -> None:
    for pool, n in ((np.arange(1000.0), 10), (np.zeros(1000), 500)):
        grid, deltas = pac_grid(pool, n, TENTH, TENTH)
        assert (grid.tolist(), deltas) == ([0.0], [TENTH])


def test_a_later_start_that_could_not_pass_leaves_its_part_to_the_first() -> None:
    """A 30th of .1 is passed by 55 rows without an error: not by 50, and of 60 only at the last start."""
    pool = np.arange(1000.0)
    for n, parts in ((50, {0: 30}), (60, {0: 29, 48: 1}), (100, {0: 27, 16: 1, 32: 1, 48: 1})):
        _, deltas = pac_grid(pool, n, TENTH, TENTH)
        assert {i: 300 * part for i, part in enumerate(deltas) if part} == parts


def test_grid_leaves_out_what_cannot_be_accepted() -> None:
    """Half of the pairs are not judged: twice the share of the others is needed for as many rows."""
    pool = np.append(np.arange(1000.0), [-INF] * 1000)
    half, whole = pac_grid(pool, 500, TENTH, TENTH), pac_grid(pool[:1000], 250, TENTH, TENTH)
    assert (half[0].tolist(), half[1]) == (whole[0].tolist(), whole[1])
    for nothing in (
        pac_grid([-INF], 500, TENTH, TENTH),
        pac_grid([], 500, TENTH, TENTH),
        pac_grid([1.0], 0, TENTH, TENTH),
    ):
        assert (nothing[0].size, nothing[1]) == (0, [])


RECOVERS = [(3.0, False)] * 30 + [(2.0, True)] * 10 + [(1.0, False)] * 900
ALL_AT_ONCE = [TENTH, Fraction(0), Fraction(0)]


def sequence(grid: list[float], deltas: list[Fraction], rows: Rows = RECOVERS) -> float | None:
    return fixed_sequence(blocks([s for s, _ in rows], [w for _, w in rows]), grid, deltas, TENTH)


def test_fixed_sequence_stops_at_the_first_failure_when_nothing_is_left() -> None:
    assert sequence([3.0, 2.0, 1.0], ALL_AT_ONCE) == 3.0
    assert sequence([3.0, 1.0], ALL_AT_ONCE[:2]) == 1.0
    assert sequence([9.0, 3.0], ALL_AT_ONCE[:2]) is None, "no rows above the first step: nothing is known"
    assert sequence([], []) is None


def test_fixed_sequence_goes_on_with_what_is_given_later() -> None:
    small = Fraction(1, 10**6)
    assert sequence([3.0, 2.0, 1.0], [TENTH, Fraction(0), small]) == 1.0
    assert sequence([9.0, 3.0], [TENTH, TENTH]) == 3.0


def test_what_passes_is_carried_on_and_what_fails_is_lost() -> None:
    """P(Bin(30, .1) = 0) = .042: a tenth handed on, but not a hundredth."""
    little, rows = Fraction(1, 100), [(4.0, False)] * 30 + [(3.0, True)] + [(2.0, False)] * 8
    assert sequence([4.0, 2.0], [TENTH, little], rows) == 2.0, "P(Bin(39, .1) <= 1) = .088"
    assert sequence([3.0, 2.0], [TENTH, little], rows) is None, "one wrong of 31 fails, and takes the tenth along"


# --------------------------------------------------------------------------------------------------- blocks


def test_blocks_are_counted_at_their_ends() -> None:
    got = blocks([1.0, INF, 2.0, -INF, 2.0, INF], [1, 0, 1, 1, 0, 0])
    assert (got.threshold.tolist(), got.k.tolist(), got.errors.tolist()) == ([INF, 2.0, 1.0], [2, 4, 5], [0, 1, 2])


def test_blocks_of_nothing() -> None:
    for got in (blocks([], []), blocks([-INF], [1])):
        assert got.threshold.size == got.k.size == got.errors.size == 0


# ------------------------------------------------------------------------------------------------ bad input


@pytest.mark.parametrize("name", ["alpha", "delta"])
@pytest.mark.parametrize(
    "value", [0.1, np.float64(0.1), "0", "1", "-0.1", "1.5", "nan", "inf", "ten", "", "1/0", 0, 1, "0.1234567"]
)
def test_levels_must_be_exact_and_between_0_and_1(name: str, value: Any) -> None:
    with pytest.raises(ValueError, match=r"as text or Fraction|not a number|strictly between|six decimals"):
        calibrate([1.0], [0], [1.0], **{name: value})


def test_a_float_level_is_told_how_to_be_written() -> None:
    with pytest.raises(ValueError, match=r'as 0\.1: "0\.1"'):
        exact(0.1)  # type: ignore[arg-type]


@pytest.mark.parametrize("value", ["0.07", "7/100", "7e-2", Fraction(7, 100), " 0.070 "])
def test_levels_are_read_exactly(value: str | Fraction) -> None:
    assert exact(value) == Fraction(7, 100)


@pytest.mark.parametrize(
    ("scores", "errors", "pool", "message"),
    [
        ([math.nan], [0], [1.0], "scores holds NaN"),
        ([1.0], [0], [1.0, math.nan], "pool holds NaN"),
        ([[1.0]], [0], [1.0], "one-dimensional"),
        ([1.0], [0], 1.0, "one-dimensional"),
        ([1.0, 2.0], [0], [1.0], "one shape"),
        ([], [0], [1.0], "one shape"),
    ],
)
@pytest.mark.parametrize("rule", RULES)
def test_bad_arrays(rule: Guarantee, scores: Any, errors: Any, pool: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        calibrate(scores, errors, pool, guarantee=rule)


def test_unknown_rule() -> None:
    with pytest.raises(ValueError, match="naive"):
        calibrate([1.0], [0], [1.0], guarantee="naive")


def test_accept_refuses_nan() -> None:
    with pytest.raises(ValueError, match="NaN"):
        accept([1.0, math.nan], 0.5)


# -------------------------------------------------------------------------------------------------- promise


def sentence(rule: Guarantee, alpha: str = "0.07", delta: str = "0.05", *, accepts: bool = True) -> str:
    got = run(rule, [(1.0, not accepts)] * 400, [1.0] * 10, alpha, delta)
    assert (got.threshold is not None) is accepts
    return promise(got)


def test_fdr_promises_an_average() -> None:
    text = sentence(Guarantee.FDR)
    assert "average" in text.lower()
    assert "at most 0.07" in text
    assert "this batch" in text
    assert "probability" not in text.lower(), "nothing is promised of a single run"


def test_pac_states_both_of_its_levels() -> None:
    text = sentence(Guarantee.PAC)
    assert "probability at least 0.95" in text
    assert "error rate" in text
    assert "at most 0.07" in text
    assert "average" not in text


def test_pac_does_not_speak_of_one_batch() -> None:
    """What is bounded is the error rate of the population above the threshold; see tests/validity for a batch of 50."""
    text = sentence(Guarantee.PAC)
    assert re.search("future|long run", text)
    assert "this batch" not in text


def test_scope_promises_nothing_of_the_accepted() -> None:
    text = sentence(Guarantee.SCOPE)
    assert "probability that a pair is accepted and its label is wrong is at most 0.07" in text
    assert text.count("at most") == 1
    assert "error among accepted" in text
    assert "may exceed it" in text


@pytest.mark.parametrize("rule", RULES)
def test_without_a_threshold_there_is_no_promise(rule: Guarantee) -> None:
    text = sentence(rule, accepts=False)
    assert "No threshold" in text
    assert "nothing is auto-labelled" in text
    assert rule.value in text
    assert "at most" not in text
    assert "at least" not in text


@pytest.mark.parametrize("rule", RULES)
def test_where_nothing_is_left_to_label_that_is_said(rule: Guarantee) -> None:
    text = promise(run(rule, [(1.0, False)] * 400, [], "0.1", "0.1"))
    assert text.startswith("No pair is left to label")
    assert "at most" not in text
    assert "No threshold" not in text


def test_ties_that_were_left_out_are_labels_too() -> None:
    none = run(Guarantee.FDR, [], [1.0], "0.1", "0.1")
    assert promise(none).startswith("No labelled pairs yet")
    assert promise(none, True, 20).startswith("No labelled pairs but 20 ties, which are left out: nothing is promised")


def test_docstrings() -> None:
    result = doctest.testmod(module)
    assert result.attempted >= 5
    assert result.failed == 0
