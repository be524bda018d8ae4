"""What labelling until a threshold appears costs: the loop as people go through it, with the tool's own planning.

The promise of `fdr` is for a number of labels chosen beforehand. Here the rule is tried, and when it finds nothing as
many labels are added as `labels_missing` says, up to six tries. The price is small, and it is not nothing.
"""

from __future__ import annotations

import numpy as np
import pytest

from curator.conformal import Guarantee, accept, calibrate, exact
from curator.sizing import labels_missing, labels_needed
from tests.validity.simulation import ALPHA, BATCH, POPULATIONS

pytestmark = pytest.mark.validity

DRAWS, TRIES, MOST = 1500, 6, 3000
LEVEL = exact("0.1")


def loop(name: str) -> tuple[float, float, float]:
    """Mean share of wrong among accepted, its standard error, and the mean number of tries."""
    population, rng = POPULATIONS[name], np.random.default_rng(5)
    shares, tries = [], []
    for _ in range(DRAWS):
        (scores, errors), (pool, wrong) = population.draw(rng, MOST), population.draw(rng, BATCH)
        n = labels_needed(Guarantee.FDR, LEVEL, LEVEL) or 0
        for attempt in range(1, TRIES + 1):  # noqa: B007 - the last one is what is counted
            found = calibrate(scores[:n], errors[:n], pool, alpha=LEVEL)
            more = labels_missing(scores[:n], errors[:n], Guarantee.FDR, LEVEL, LEVEL)
            if found.threshold is not None or more is None or n + more > MOST:
                break
            n += more
        chosen = accept(pool, found.threshold)
        shares.append((chosen & wrong).sum() / max(1, chosen.sum()))
        tries.append(attempt)
    return float(np.mean(shares)), float(np.std(shares, ddof=1) / DRAWS**0.5), float(np.mean(tries))


@pytest.mark.parametrize("name", ["calibrated", "overconfident", "constant risk"])
def test_labelling_until_it_passes_costs_a_twentieth_of_alpha_at_most(name: str) -> None:
    mean, spread, tries = loop(name)
    print(f"\n{name}: {tries:.2f} tries, wrong/accepted {mean:.4f} +- {spread:.4f} (alpha {ALPHA})")
    assert mean <= 1.05 * ALPHA + 3 * spread
