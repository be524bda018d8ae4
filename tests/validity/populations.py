"""Judges of known truth, for the simulations of tests/validity and tests/benchmarks/pac.py.

A population is two functions of u, uniform on (0, 1): how sure the judge is of the pair, and how likely it is wrong.
Calibration rows and batch are drawn from it alike, and its risk above any threshold is known without simulation.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from curator.preference import preference

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


def generator(*key: object) -> np.random.Generator:
    """A stream of its own for each setting, so that adding one leaves the others as they were; all rules see one."""
    return np.random.default_rng(list(repr(key).encode()))


def surer_first(u: Floats) -> Floats:
    return 1 - u


@dataclass(frozen=True, eq=False)
class Population:
    """`risk(u)`, the probability of a wrong label, and `score(u)`; small u is what the judge is surer of."""

    risk: Callable[[Floats], Floats]
    score: Callable[[Floats], Floats] = field(default=surer_first)

    def draw(self, rng: np.random.Generator, size: int) -> tuple[Floats, Bools]:
        u = rng.random(size)
        return self.score(u), rng.random(size) < self.risk(u)

    @cached_property
    def _sums(self) -> tuple[Floats, Floats]:
        u = (np.arange(200_000) + 0.5) / 200_000
        scores, risks = self.score(u), self.risk(u)
        order = np.argsort(-scores, kind="stable")
        return -scores[order], np.concatenate([[0.0], np.cumsum(risks[order])]) / u.size

    def above(self, thresholds: list[float | None]) -> tuple[Floats, Floats]:
        """Share of the population at or above each threshold, and share that is there and wrong; 0 for none."""
        falling, wrong = self._sums
        cuts = np.array([np.inf if t is None else -t for t in thresholds])
        counts = np.where(np.isinf(cuts), 0, np.searchsorted(falling, cuts, side="right"))
        return counts / falling.size, wrong[counts]


@dataclass(frozen=True, eq=False)
class Sampled:
    """A population known by drawing from it: `sample(rng, size)` gives scores, and each pair's probability of an error.

    What it is above a threshold is read off a million pairs, to within .0005.
    """

    sample: Callable[[np.random.Generator, int], tuple[Floats, Floats]]

    def draw(self, rng: np.random.Generator, size: int) -> tuple[Floats, Bools]:
        scores, risk = self.sample(rng, size)
        return scores, rng.random(size) < risk

    @cached_property
    def _sums(self) -> tuple[Floats, Floats]:
        scores, risk = self.sample(generator("reference"), 1_000_000)
        order = np.argsort(-scores, kind="stable")
        return -scores[order], np.concatenate([[0.0], np.cumsum(risk[order])]) / scores.size

    above = Population.above


def unjudged_slivers(u: Floats) -> Floats:
    """Sureness, except that about one pair in four, more among the hard ones, was not judged.

    Thin alternating slivers of u, rather than a coin, keep the population a function of u alone.
    """
    return np.where((u * 1000) % 1 < 0.1 + 0.3 * u, -np.inf, 1 - u)


def levels(*risks: float) -> Callable[[Floats], Floats]:
    """One risk for each of as many equal parts of the population."""
    return lambda u: np.array(risks)[(len(risks) * u).astype(int)]


def populations(alpha: float) -> dict[str, Population]:
    """Judges on which the rules are tried; those that are meant to be near alpha move with it."""
    return {
        # The stated sureness says how often the judge is wrong: hardly ever at first, a coin toss at last.
        "calibrated": Population(lambda u: u**2 / 2),
        # The judge is wrong often even where it is surest, and sureness tells little; over alpha from u = .375 on.
        "overconfident": Population(lambda u: 0.7 * alpha + 1.6 * alpha * u),
        # Bare verdicts of a few repeats: five levels, of which the first four together are wrong 8% of the time.
        "five tied levels": Population(levels(0.02, 0.05, 0.10, 0.15, 0.35), lambda u: -np.floor(5 * u)),
        # No threshold is any good, and a draw of luck is all that can let pairs through.
        "constant risk": Population(lambda u: np.full(u.shape, 1.2 * alpha)),
        # One pair in four has no verdict, more often a hard one, in calibration and batch alike.
        "a quarter unjudged": Population(lambda u: u**2 / 2, unjudged_slivers),
        # The same luck as with a constant risk, but all or nothing: every score is the same.
        "one score for all": Population(lambda u: np.full(u.shape, 1.1 * alpha), np.zeros_like),
        # Goes over alpha in the middle and comes back under it at u = .65: a good threshold lies beyond bad ones.
        "recovering risk": Population(lambda u: np.where((u > 0.2) & (u < 0.4), 3 * alpha, 0.2 * alpha)),
        # What the judge is surest of is what it gets wrong.
        "wrong where surest": Population(lambda u: np.where(u < 0.02, 0.3, 0.3 * alpha + alpha * u)),
    }


def easy_populations(alpha: float) -> dict[str, Population]:
    """Judges that are good at least for many pairs: what they lose to a rule is coverage."""
    return {
        "half of alpha everywhere": Population(lambda u: np.full(u.shape, 0.5 * alpha)),
        "three quarters of alpha": Population(lambda u: np.full(u.shape, 0.75 * alpha)),
        "good, then a coin toss": Population(lambda u: np.where(u < 0.5, 0.2 * alpha, 0.5)),
        "fair, then a coin toss": Population(lambda u: np.where(u < 0.8, 0.6 * alpha, 0.5)),
        "linear risk": Population(lambda u: 0.4 * u),
        "steep risk": Population(lambda u: np.sqrt(u) / 2),
        "logistic risk": Population(lambda u: 1 / (1 + np.exp(6 * (1 - u)))),
    }


# ------------------------------------------------------------------------------------------- judges of log-odds


def two_judges(rng: np.random.Generator, size: int) -> tuple[Floats, Floats, Floats]:
    """How much people prefer a to b, and the log-odds, over both orders, of a small and of a large judge.

    Both like what is shown first, and err on their own; the large one less.
    """
    liking = rng.normal(0, 4, size)
    small, large = (
        preference(
            liking + rng.normal(0, noise, size) + bias, liking + rng.normal(0, noise, size) - bias
        ).log_odds
        for noise, bias in ((3.0, 1.0), (2.5, 0.5))
    )  # fmt: skip
    return liking, small, large


def wrong_by_chance(liking: Floats, log_odds: Floats) -> Floats:
    """The probability that a person, who prefers a with odds exp(liking), contradicts the sign of the log-odds."""
    return np.asarray(1 / (1 + np.exp(np.sign(log_odds) * liking)))


BAND = float(np.log(0.9 / 0.1))
"""The cascade's small judge is believed where it gives its winner a probability of .9; chosen without looking."""


def large_alone(rng: np.random.Generator, size: int) -> tuple[Floats, Floats]:
    liking, _, large = two_judges(rng, size)
    return np.abs(large), wrong_by_chance(liking, large)


def mean_log_odds(rng: np.random.Generator, size: int) -> tuple[Floats, Floats]:
    liking, small, large = two_judges(rng, size)
    combined = (small + large) / 2
    return np.abs(combined), wrong_by_chance(liking, combined)


def cascade(rng: np.random.Generator, size: int) -> tuple[Floats, Floats]:
    """The large judge is asked, and its log-odds taken, only where the small one is not sure."""
    liking, small, large = two_judges(rng, size)
    final = np.where(np.abs(small) >= BAND, small, large)
    return np.abs(final), wrong_by_chance(liking, final)


JUDGES = {
    "the larger of two judges": Sampled(large_alone),
    "mean log-odds of both": Sampled(mean_log_odds),
    "cascade of both": Sampled(cascade),
}
