"""The warnings about exchangeability: rare where it holds, and there where it does not.

Under exchangeability the calibration pairs are a random draw from all pairs, whatever these look like: skewed, tied, in
clusters of a prompt, unjudged in part. Then each kind of doubt is raised in `LEVEL` of the draws at most. Under drift
of the sizes named below it is raised in more than nine of ten.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from curator.bias import doubts, measure
from curator.conformal import Guarantee
from curator.doubts import LEVEL, Prompts, drift, repeated_prompts

pytestmark = pytest.mark.validity

DRAWS, DRIFTED = 4000, 400
Pairs = dict[str, NDArray[np.float64]]


def continuous(rng: np.random.Generator, size: int) -> Pairs:
    return {
        "sureness": np.abs(rng.normal(1.0, 1.5, size)),
        "prompt": rng.lognormal(5.0, 1.0, size),
        "responses": rng.lognormal(7.0, 0.6, size),
    }


def tied(rng: np.random.Generator, size: int) -> Pairs:
    """Three levels of sureness, a quarter of it unjudged, and prompts of four lengths."""
    return {
        "sureness": rng.choice([-np.inf, 0.7, np.inf], size, p=[0.25, 0.35, 0.4]),
        "prompt": rng.choice([40.0, 80.0, 200.0, 1000.0], size),
        "responses": rng.lognormal(7.0, 0.6, size).round(-2),
    }


def clustered(rng: np.random.Generator, size: int) -> Pairs:
    """Ten pairs a prompt, which are as sure as each other, and almost as long."""
    own = continuous(rng, size // 10)
    return {
        "sureness": np.repeat(own["sureness"], 10),
        "prompt": np.repeat(own["prompt"], 10),
        "responses": np.repeat(own["responses"], 10) + rng.normal(0.0, 5.0, size),
    }


POPULATIONS: dict[str, Callable[[np.random.Generator, int], Pairs]] = {
    "continuous": continuous, "tied, a quarter unjudged": tied, "clusters of ten": clustered,
}  # fmt: skip


def split(pairs: Pairs, n: int, rng: np.random.Generator) -> tuple[Pairs, Pairs]:
    order = rng.permutation(pairs["sureness"].size)
    return {k: v[order[:n]] for k, v in pairs.items()}, {k: v[order[n:]] for k, v in pairs.items()}


@pytest.mark.parametrize("n", [10, 100, 500])
@pytest.mark.parametrize("name", POPULATIONS)
def test_a_random_draw_is_seldom_doubted(name: str, n: int) -> None:
    rng = np.random.default_rng(20261124)
    warned = sum(drift(*split(POPULATIONS[name](rng, 1500), n, rng)) is not None for _ in range(DRAWS))
    rate, spread = warned / DRAWS, (LEVEL * (1 - LEVEL) / DRAWS) ** 0.5
    print(f"\n{name}, {n} labels of 1,500 pairs: warned in {rate:.5f} of draws (level {LEVEL})")
    assert rate <= LEVEL + 3 * spread


def harder(pairs: Pairs, rng: np.random.Generator) -> Pairs:
    return {**pairs, "sureness": pairs["sureness"] * 0.5}


def longer(pairs: Pairs, rng: np.random.Generator) -> Pairs:
    return {**pairs, "responses": pairs["responses"] * 1.5}


def other_prompts(pairs: Pairs, rng: np.random.Generator) -> Pairs:
    return {**pairs, "prompt": pairs["prompt"] * 2.0}


def failures(pairs: Pairs, rng: np.random.Generator) -> Pairs:
    """A fifth of the pool could not be judged, and all calibration pairs could."""
    return {**pairs, "sureness": np.where(rng.random(pairs["sureness"].size) < 0.2, -np.inf, pairs["sureness"])}


@pytest.mark.parametrize(
    ("change", "n"),
    [(harder, 100), (longer, 100), (other_prompts, 120), (failures, 160)],
    ids=["half as sure, 100 labels", "1.5 times as long, 100", "prompts twice as long, 120", "a fifth unjudged, 160"],
)
def test_drift_is_warned_of(change: Callable[[Pairs, np.random.Generator], Pairs], n: int) -> None:
    rng = np.random.default_rng(7)
    warned = sum(drift(continuous(rng, n), change(continuous(rng, 2000), rng)) is not None for _ in range(DRIFTED))
    print(f"\n{change.__name__}, {n} labels, a pool of 2,000: warned in {warned / DRIFTED:.3f} of draws")
    assert warned > 0.9 * DRIFTED


def hardest_left_out(rng: np.random.Generator, n: int, share: float) -> tuple[Pairs, Pairs]:
    """A random draw of which people have left out the pairs that the judge was least sure of."""
    drawn, pool = split(continuous(rng, 2000 + n), n, rng)
    kept = drawn["sureness"] >= np.quantile(drawn["sureness"], share)
    return {k: v[kept] for k, v in drawn.items()}, pool


def test_a_draw_without_its_hard_pairs_is_warned_of() -> None:
    rng = np.random.default_rng(8)
    warned = sum(drift(*hardest_left_out(rng, 250, 0.25)) is not None for _ in range(DRIFTED))
    print(f"\na quarter of 250 drawn pairs left out, the least sure: warned in {warned / DRIFTED:.3f} of draws")
    assert warned > 0.9 * DRIFTED


def shared(owner: NDArray[np.int64], drawn: NDArray[np.int64]) -> Prompts:
    size, used = np.bincount(owner), np.bincount(owner[drawn], minlength=owner.max() + 1)
    kinds = np.unique(size)
    at = [size == kind for kind in kinds]
    return Prompts(
        kinds, np.array([one.sum() for one in at]), np.array([(used[one] > 0).sum() for one in at]),
        np.array([((used[one] > 0) & (used[one] < size[one])).sum() for one in at]),
        np.array([used[one].sum() for one in at]),
    )  # fmt: skip


SIZES = {
    "two a prompt": np.repeat(np.arange(500), 2),
    "ten a prompt": np.repeat(np.arange(100), 10),
    "one prompt of 300, others alone": np.concatenate([np.zeros(300, int), np.arange(1, 701)]),
    "one to forty": np.repeat(np.arange(45), np.arange(45) + 1)[:1000],
}


@pytest.mark.parametrize("n", [10, 60, 300])
@pytest.mark.parametrize("name", SIZES)
def test_single_pairs_are_seldom_taken_for_whole_prompts(name: str, n: int) -> None:
    rng, owner = np.random.default_rng(9), SIZES[name]
    warned = 0
    for _ in range(DRAWS):
        found = repeated_prompts(shared(owner, rng.choice(owner.size, n, replace=False)), 0, 0.0, Guarantee.FDR)
        warned += found is not None and found.name == "whole prompts"
    print(
        f"\n{name}, {n} of {owner.size} pairs: taken for whole prompts in {warned / DRAWS:.5f} of draws (level {LEVEL})"
    )
    assert warned / DRAWS <= LEVEL + 3 * (LEVEL * (1 - LEVEL) / DRAWS) ** 0.5


def test_whole_prompts_are_always_found() -> None:
    rng, owner = np.random.default_rng(10), SIZES["ten a prompt"]
    for _ in range(DRIFTED):
        drawn = np.flatnonzero(np.isin(owner, rng.choice(100, 3, replace=False)))
        found = repeated_prompts(shared(owner, drawn), 0, 0.0, Guarantee.FDR)
        assert found is not None
        assert found.name == "whole prompts"


@pytest.mark.parametrize("people_like_longer", [0.5, 0.25])
def test_a_judge_without_bias_is_seldom_blamed(people_like_longer: float) -> None:
    """It is wrong on a quarter of the pairs, whatever their length, and unsteady on a third, whatever their order."""
    rng, n, warned = np.random.default_rng(11), 400, 0
    for _ in range(DRAWS):
        people = rng.choice([-1, 1], n)
        longer = np.where(rng.random(n) < people_like_longer, people, -people)
        label = np.where(rng.random(n) < 0.25, -people, people)
        place = rng.choice([-2.0, 0.0, 0.0, 0.0, 0.0, 2.0], n)
        warned += bool(doubts("j", measure(label + place, label - place, longer, people, np.ones(n, bool)), 0.25))
    print(
        f"\npeople like the longer in {people_like_longer}: blamed in {warned / DRAWS:.5f} of draws (level 2 x {LEVEL})"
    )
    assert warned / DRAWS <= 2 * LEVEL + 3 * (2 * LEVEL / DRAWS) ** 0.5
