"""Whether `fdr` keeps its promise when several labels of a pair become one, however they do.

Each pair of a batch has a verdict too: that of as many people, who are drawn from the same crowd, resolved in the same
way and, where they are weighed, with the weights that the calibration labels gave. Weights look at the calibration rows
and not at the batch, which is where exchangeability could break; the smaller the set, the more.
"""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from curator.agreement import agreeing
from curator.conformal import accept, calibrate
from curator.options import Ties, Votes
from tests.validity.populations import Bools, Floats
from tests.validity.simulation import ALPHA, BATCH, error_of_mean, false_share

Ints = NDArray[np.int64]

pytestmark = pytest.mark.validity

DRAWS = 3000
CROWD = np.array([0.97, 0.95, 0.92, 0.8, 0.6])
"""How often each annotator is right; the last is hardly better than a coin."""


def resolved(votes: Ints, who: Ints, weight: Floats, policy: Votes) -> Ints:
    """1 a, -1 b, 0 tie, of votes of 1 or -1; shape (n_pairs, n_people) to (n_pairs,)."""
    if policy is Votes.STRICT:
        return np.where((votes == votes[:, :1]).all(axis=1), votes[:, 0], 0)
    total = (votes * (weight[who] if policy is Votes.WEIGHTED else 1.0)).sum(axis=1)
    return np.where(np.abs(total) < 1e-9, 0, np.sign(total)).astype(np.int64)


def draw(rng: np.random.Generator, n: int, people: int) -> tuple[Floats, Ints, Ints, Ints]:
    """Sureness, the judge's label, who spoke, and what they said."""
    u, truth = rng.random(n), rng.choice([-1, 1], n)
    judge = np.where(rng.random(n) < u**2 / 2, -truth, truth)
    who = rng.permuted(np.tile(np.arange(CROWD.size), (n, 1)), axis=1)[:, :people]
    votes = np.where(rng.random((n, people)) < CROWD[who], truth[:, None], -truth[:, None])
    return 1 - u, judge, who, votes


def weights(who: Ints, votes: Ints) -> Floats:
    pair = np.repeat(np.arange(len(who)), who.shape[1])
    return agreeing(pair, who.ravel(), (votes.ravel() < 0).astype(np.int64), CROWD.size)[0]


def shares(policy: Votes, ties: Ties, n: int, people: int) -> tuple[Floats, float]:
    """Share of wrong among accepted in each draw, and mean coverage."""
    rng = np.random.default_rng([n, people])
    found, coverage = np.zeros(DRAWS), 0.0
    for i in range(DRAWS):
        scores, judge, who, votes = draw(rng, n, people)
        pool, pool_judge, pool_who, pool_votes = draw(rng, BATCH, people)
        weight = weights(who, votes)
        people_say, pool_say = resolved(votes, who, weight, policy), resolved(pool_votes, pool_who, weight, policy)
        used: Bools = (people_say != 0) | (ties is Ties.ERROR)
        promised: Bools = (pool_say != 0) | (ties is Ties.ERROR)
        errors = (people_say != judge)[used]
        chosen = accept(pool, calibrate(scores[used], errors, pool, alpha=str(ALPHA)).threshold)
        found[i] = false_share(chosen & promised, pool_say != pool_judge)
        coverage += chosen.mean() / DRAWS
    return found, coverage


@pytest.mark.parametrize(("n", "people"), [(40, 2), (300, 2), (300, 3)])
@pytest.mark.parametrize("ties", list(Ties))
@pytest.mark.parametrize("policy", list(Votes))
def test_the_promise_holds_under_each_resolution(policy: Votes, ties: Ties, n: int, people: int) -> None:
    found, coverage = shares(policy, ties, n, people)
    spread = error_of_mean(found)
    print(
        f"\n{policy}, ties {ties}, n {n}, {people} people: {found.mean():.4f} +- {spread:.4f}, coverage {coverage:.3f}"
    )
    assert found.mean() <= ALPHA + 3 * spread
