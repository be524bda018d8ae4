"""The promises of `curator.conformal`, over many draws from populations whose truth is known.

Each bound is the promise itself plus three Monte Carlo standard errors; seeds are fixed. To see the figures:

    pytest -m validity -s
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from fractions import Fraction
from functools import cache

import numpy as np
import pytest
from numpy.typing import NDArray

from curator.conformal import Guarantee, accept, calibrate
from tests.validity.populations import Bools, Floats, generator
from tests.validity.simulation import (
    ALPHA,
    BATCH,
    DELTA,
    DRAWS,
    MARGIN_OF_SHARE,
    POPULATIONS,
    ROWS,
    Run,
    error_of_mean,
    false_share,
    simulate,
)

pytestmark = pytest.mark.validity


Report = Callable[..., None]


@pytest.fixture(scope="module")
def report() -> Iterator[Report]:
    """Collects one line a setting and prints them as a table when the module is done."""
    lines: list[str] = []

    def add(name: str, n: int | str, rule: str, coverage: float, measure: str, value: float, bound: str) -> None:
        lines.append(f"| {name:<39} | {n:>10} | {rule:<5} | {coverage:.3f} | {measure:<32} | {value:.4f} | {bound} |")

    yield add
    head = f"| {'population':<39} | {'n':>10} | rule  | cover | {'measure':<32} | value  | bound |"
    print(f"\n\nalpha {ALPHA}, delta {DELTA}, {DRAWS} draws, m {BATCH} unless stated\n{head}")
    print("\n".join(lines))


# ------------------------------------------------------------------------------------------- the three promises


@pytest.mark.parametrize(("name", "n", "m"), [(*row, BATCH) for row in ROWS] + [(*row, 20) for row in ROWS[:10]])
def test_fdr(name: str, n: int, m: int, report: Report) -> None:
    """E[wrong among accepted / accepted] <= alpha, in batches large and small."""
    got = simulate(name, n, m, Guarantee.FDR)
    mean, margin = float(got.fdp.mean()), 3 * error_of_mean(got.fdp)
    row = (name, f"{n}, m {m}", "fdr", got.accepted.mean())
    report(*row, "mean realised batch error", mean, f"{ALPHA} + {margin:.4f}")
    assert mean <= ALPHA + margin


@pytest.mark.parametrize(("name", "n"), ROWS)
def test_pac(name: str, n: int, report: Report) -> None:
    """The population's error rate above the threshold exceeds alpha in at most a share delta of the draws."""
    got = simulate(name, n, BATCH, Guarantee.PAC)
    exceeded, bound = float((got.risk > ALPHA).mean()), f"{DELTA} + {MARGIN_OF_SHARE:.4f}"
    report(name, n, "pac", got.accepted.mean(), "share of draws with risk > alpha", exceeded, bound)
    report(name, n, "pac", got.accepted.mean(), "(share of batches over alpha)", (got.fdp > ALPHA).mean(), "no promise")
    assert exceeded <= DELTA + MARGIN_OF_SHARE


@pytest.mark.parametrize(("name", "n"), ROWS)
def test_scope(name: str, n: int, report: Report) -> None:
    """P(the next pair is accepted and wrong) <= alpha; known for each draw, so that no further coin is tossed."""
    got = simulate(name, n, BATCH, Guarantee.SCOPE)
    mean, margin = float(got.wrong.mean()), 3 * error_of_mean(got.wrong)
    among = float(got.wrong.mean() / got.coverage.mean())
    report(name, n, "scope", got.accepted.mean(), "P(accepted and wrong)", mean, f"{ALPHA} + {margin:.4f}")
    report(name, n, "scope", got.accepted.mean(), "(wrong among accepted)", among, "no promise")
    assert mean <= ALPHA + margin


def test_pac_speaks_of_the_population_not_of_the_batch(report: Report) -> None:
    """In a batch of 50 the error rate is over alpha far more often than delta, by the luck of 50 draws alone.

    So the sentence of `pac` must be about all future pairs at the threshold, and never about the pairs of one run.
    """
    got = simulate("calibrated", 500, 50, Guarantee.PAC)
    over = float((got.fdp > ALPHA).mean())
    report("calibrated", "500, m 50", "pac", got.accepted.mean(), "(share of batches over alpha)", over, "no promise")
    assert (got.risk > ALPHA).mean() <= DELTA + MARGIN_OF_SHARE
    assert over > 2 * DELTA


def test_fdr_does_not_buy_safety_by_waste() -> None:
    """A rule that never accepts keeps any promise; this one comes within a tenth of what alpha allows."""
    got = simulate("calibrated", 500, BATCH, Guarantee.FDR)
    assert got.fdp.mean() >= 0.9 * ALPHA
    assert got.accepted.mean() > 0.7


@pytest.mark.parametrize("rule", [Guarantee.PAC, Guarantee.SCOPE])
def test_the_other_rules_do_not_either(rule: Guarantee) -> None:
    got = simulate("calibrated", 500, BATCH, rule)
    assert got.accepted.mean() > (0.5 if rule is Guarantee.PAC else 0.7)


# ------------------------------------------------------------------------------- why scope's promise is narrow


def decided(rule: Guarantee, n: int, error: Fraction) -> tuple[Fraction, Fraction]:
    """P(a tied batch is accepted) and P(a pair of it is accepted and wrong), by going through every outcome."""
    accepted = Fraction(0)
    for e in range(n + 1):
        probability = math.comb(n, e) * error**e * (1 - error) ** (n - e)
        if calibrate([1.0] * n, [1] * e + [0] * (n - e), [1.0] * 5, guarantee=rule).accepted:
            accepted += probability
    return accepted, accepted * error


def test_error_among_accepted_is_not_what_scope_bounds(report: Report) -> None:
    """All scores tied, each label wrong with probability .2, alpha .1, n = 10: the error among accepted is .2.

    The rule says yes only when all ten rows happen to be right, and then takes everything. The paper says that the
    error among accepted is at most alpha; what is at most alpha is P(accepted and wrong) = .107 * .2.
    """
    accepted, wrong = decided(Guarantee.SCOPE, 10, Fraction(1, 5))
    row = ("all tied, each wrong with .2", 10, "scope", float(accepted))
    report(*row, "P(accepted and wrong)", float(wrong), "0.1, exactly")
    report(*row, "(wrong among accepted)", float(wrong / accepted), "no promise")
    assert accepted == Fraction(4, 5) ** 10
    assert wrong / accepted == Fraction(1, 5) > Fraction(1, 10)
    assert wrong <= Fraction(1, 10)


def test_fdr_counts_the_batches_that_accept_nothing() -> None:
    """The same trap: fdr's average holds, but only as an average over runs in which most accept nothing."""
    accepted, wrong = decided(Guarantee.FDR, 10, Fraction(1, 5))
    assert accepted > 0
    assert wrong <= Fraction(1, 10)


def test_pac_is_not_fooled() -> None:
    assert decided(Guarantee.PAC, 10, Fraction(1, 5)) == (Fraction(0), Fraction(0))


# ------------------------------------------------------------------------- mistakes that a pipeline could make

WAYS = ("first", "kept", "dropped", "recycled")
HALVES = ("surest", "least sure", "random")


def reviewed_half(rng: np.random.Generator, half: str, pool: Floats, abstained: NDArray[np.intp]) -> Bools:
    by_sureness, chosen = abstained[np.argsort(-pool[abstained], kind="stable")], np.zeros(pool.size, dtype=bool)
    orders = {"surest": by_sureness, "least sure": by_sureness[::-1], "random": rng.permutation(abstained)}
    chosen[orders[half][: abstained.size // 2]] = True
    return chosen


@cache
def review_loop(name: str, half: str, n: int = 500) -> dict[str, Run]:
    """Decide; let people label half of what was abstained on; decide again on the same calibration rows.

    kept: the reviewed pairs stay in the batch. dropped: they leave it. recycled: they stay, and their labels also join
    the calibration rows, as if they had been drawn at random.
    """
    population, rng = POPULATIONS[name], generator(name, n, "review")
    fdp, accepted = np.zeros((len(WAYS), DRAWS)), np.zeros((len(WAYS), DRAWS))
    for i in range(DRAWS):
        (scores, errors), (pool, wrong) = population.draw(rng, n), population.draw(rng, BATCH)
        first = calibrate(scores, errors, pool)
        reviewed = reviewed_half(rng, half, pool, np.flatnonzero(~accept(pool, first.threshold)))
        more_scores, more_errors = np.append(scores, pool[reviewed]), np.append(errors, wrong[reviewed])
        again = (first, calibrate(scores, errors, pool), calibrate(scores, errors, pool[~reviewed]),
                 calibrate(more_scores, more_errors, pool))  # fmt: skip
        for way, found in enumerate(again):
            # A reviewed pair carries the human label, whatever the threshold says: only the judge's can be wrong.
            chosen = accept(pool, found.threshold) & ~reviewed
            fdp[way, i], accepted[way, i] = false_share(chosen, wrong), chosen.mean()
    return {way: Run(fdp[i], accepted[i], np.empty(0), np.empty(0)) for i, way in enumerate(WAYS)}


@pytest.mark.parametrize("half", HALVES)
@pytest.mark.parametrize("name", ["calibrated", "overconfident"])
def test_reviewed_pairs_stay_in_the_batch(name: str, half: str, report: Report) -> None:
    """Kept, they leave the second decision as the first was, promise and all.

    Dropped, the batch is no longer a draw like the calibration rows: its hard pairs are gone, m is too small, and pairs
    get in that the promise does not cover. Recycled, the hard pairs enlarge n without an error above the threshold.
    Only when people happen to take the surest pairs first is neither mistake seen, since what would get in next is
    what they took: no reason to rely on it.
    """
    got = review_loop(name, half)
    for way in WAYS[1:]:
        run, safe = got[way], way == "kept" or half == "surest"
        mean, margin = float(run.fdp.mean()), 3 * error_of_mean(run.fdp)
        bound = f"{ALPHA} + {margin:.4f}" if way == "kept" else "no promise"
        report(f"{name}, {half} half {way}", 500, "fdr", run.accepted.mean(), "mean realised batch error", mean, bound)
        assert mean <= ALPHA + margin if safe else mean > ALPHA + margin
    assert np.array_equal(got["kept"].fdp, got["first"].fdp)
    assert np.array_equal(got["kept"].accepted, got["first"].accepted)


def test_unjudged_pairs_count_in_the_batch(report: Report) -> None:
    """Leaving failures out of the batch, but not out of calibration, goes over alpha as well."""
    population, rng, fdp, coverage = POPULATIONS["a quarter unjudged"], generator("unjudged"), np.zeros(DRAWS), 0.0
    for i in range(DRAWS):
        (scores, errors), (pool, wrong) = population.draw(rng, 500), population.draw(rng, BATCH)
        chosen = accept(pool, calibrate(scores, errors, pool[np.isfinite(pool)]).threshold)
        fdp[i], coverage = false_share(chosen, wrong), coverage + chosen.mean() / DRAWS
    row = ("a quarter unjudged, left out of m", 500, "fdr", coverage)
    report(*row, "mean realised batch error", float(fdp.mean()), "no promise")
    assert fdp.mean() > ALPHA + 3 * error_of_mean(fdp)
