"""What the promises do not survive, shown by how far each goes over alpha: reasons for rules the pipeline keeps."""

from __future__ import annotations

import numpy as np
import pytest

from curator.conformal import Guarantee, accept, calibrate
from tests.validity.populations import BAND, Bools, Floats, Population, generator, two_judges
from tests.validity.simulation import (
    ALPHA,
    BATCH,
    DELTA,
    HARD,
    MARGIN_OF_SHARE,
    POPULATIONS,
    Run,
    error_of_mean,
    false_share,
    grouped,
    simulate,
)  # fmt: skip

pytestmark = pytest.mark.validity

DRAWS = 1500


def over(label: str, shares: Floats) -> bool:
    """Whether the mean is over alpha by more than chance; the figure is printed."""
    mean, margin = float(shares.mean()), 3 * error_of_mean(shares)
    print(f"\n{label}: wrong/accepted {mean:.4f} +- {margin:.4f} (alpha {ALPHA})")
    return mean > ALPHA + margin


# ------------------------------------------------------------------------------------------------------ cascades


def cascade_errors(rng: np.random.Generator, size: int) -> tuple[Floats, Floats, Bools, Bools]:
    """Sureness of the small and of the large judge, and whether each is wrong."""
    liking, small, large = two_judges(rng, size)
    person = rng.random(size) < 1 / (1 + np.exp(-liking))
    return np.abs(small), np.abs(large), (small > 0) != person, (large > 0) != person


def searched(n: int, rng: np.random.Generator) -> float:
    """Both thresholds of a cascade chosen on the same labelled rows: the pair of them that accepts most.

    Pairs on which the small judge reaches the first threshold are accepted; the others go to the large one, with the
    threshold that `fdr` allows when the small judge's errors are counted.
    """
    small, large, small_wrong, large_wrong = cascade_errors(rng, n + BATCH)
    most, share = 0, 0.0
    for first in (np.inf, *np.quantile(small[n:], np.linspace(0.3, 0.98, 15))):
        scores = np.where(small >= first, np.inf, large)
        wrong = np.where(small >= first, small_wrong, large_wrong)
        found = calibrate(scores[:n], wrong[:n], scores[n:])
        if found.accepted > most:
            most, share = found.accepted, false_share(accept(scores[n:], found.threshold), wrong[n:])
    return share


@pytest.mark.parametrize("n", [100, 500])
def test_two_thresholds_searched_on_the_same_rows_go_over_alpha(n: int) -> None:
    """A band fixed beforehand, and one scalar calibrated, do not: "cascade of both" in the table."""
    rng = generator("searched", n)
    assert over(f"two thresholds, {n} labels", np.array([searched(n, rng) for _ in range(DRAWS)]))


def test_the_band_fixed_beforehand_keeps_it() -> None:
    assert pytest.approx(np.log(9)) == BAND
    for rule, share in ((Guarantee.FDR, "fdp"), (Guarantee.SCOPE, "wrong")):
        values = getattr(simulate("cascade of both", 500, BATCH, rule), share)
        assert not over(f"one scalar, {rule.value}", values)


# -------------------------------------------------------------------------------------------------------- groups


def test_one_rule_for_all_groups_promises_nothing_of_a_hard_one() -> None:
    """The whole batch keeps alpha, and the hard group goes far over it; with a rule of its own it does not."""
    rng, whole, hard = generator("one rule"), [], []
    for _ in range(DRAWS):
        draw, _, group = grouped(rng, 500, BATCH)
        chosen = accept(draw.pool, calibrate(draw.scores, draw.errors, draw.pool).threshold)
        whole.append(false_share(chosen, draw.wrong))
        hard.append(false_share(chosen & (group == HARD), draw.wrong))
    assert not over("one rule for all, in the whole batch", np.array(whole))
    assert over("one rule for all, in the hard group", np.array(hard))
    assert not over("its own rule", simulate("a hard group, its own rule", 500, BATCH, Guarantee.FDR).fdp)


# --------------------------------------------------------------------------------------------------------- drift

HARDER = Population(lambda u: np.minimum(u**2 / 2 + 0.08, 0.5))
"""Pairs like the calibrated judge's, on which it is as sure as ever and wrong more often."""


@pytest.mark.parametrize("rule", Guarantee)
def test_no_rule_survives_drift(rule: Guarantee) -> None:
    """Labelled rows from one population, batch from another: no promise holds, so `curator` warns."""
    rng, easy, shares, thresholds = generator("drift", rule.value), POPULATIONS["calibrated"], [], []
    for _ in range(DRAWS):
        (scores, errors), (pool, wrong) = easy.draw(rng, 500), HARDER.draw(rng, BATCH)
        thresholds.append(calibrate(scores, errors, pool, guarantee=rule).threshold)
        shares.append(false_share(accept(pool, thresholds[-1]), wrong))
    run = Run(np.array(shares), np.zeros(0), *HARDER.above(thresholds))
    if rule is Guarantee.FDR:
        assert over("drift, fdr", run.fdp)
    elif rule is Guarantee.PAC:
        exceeded = float((run.risk > ALPHA).mean())
        print(f"\ndrift, pac: draws over alpha {exceeded:.3f} (delta {DELTA})")
        assert exceeded > DELTA + 2 * MARGIN_OF_SHARE
    else:
        assert over("drift, scope (accepted and wrong)", run.wrong)


# ---------------------------------------------------------------------------------------------------------- ties


def test_ties_left_out_need_ties_that_are_rarer_where_the_judge_is_sure() -> None:
    """`fdr` with --ties exclude counts accepted pairs that turn out to be ties among the accepted.

    Nobody knows which pairs of the batch are ties. Where they are rarer above the threshold than below, as with any
    judge that notices them ("ties left out" in the table), the error among pairs that are none is at most alpha. Here
    half of the surest pairs are ties and none of the others: it goes over alpha, while the error among all accepted
    pairs, ties counted as right, does not.
    """
    rng, among_untied, among_all = generator("ties where surest"), [], []
    for _ in range(DRAWS):
        u, wrong = rng.random(500 + BATCH), rng.random(500 + BATCH)
        tied, wrong = rng.random(u.size) < np.where(u < 0.8, 0.5, 0.0), wrong < u**2 / 2
        kept = np.flatnonzero(~tied[:500])
        found = calibrate((1 - u)[kept], wrong[kept], (1 - u)[500:])
        chosen = accept((1 - u)[500:], found.threshold)
        among_untied.append(false_share(chosen & ~tied[500:], wrong[500:]))
        among_all.append(false_share(chosen, wrong[500:] & ~tied[500:]))
    assert over("ties where the judge is sure, among the others", np.array(among_untied))
    assert not over("ties where the judge is sure, among all accepted", np.array(among_all))
