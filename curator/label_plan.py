"""How many labels buy how much coverage: simulated, from the pool's scores and a pilot of labels. Pure NumPy, SciPy.

The judge's error rate is taken to fall with its sureness, along a curve fitted to the pilot. Each draw takes rows from
the scores that are there, lets the curve say which of them are wrong, and calibrates. No promise rests on any of this.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np
from numpy.typing import ArrayLike, NDArray

from curator.conformal import Guarantee, calibrate

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Curve = Callable[[Floats], Floats]
"""From sureness to the probability that the label is wrong; shape (n,) both."""

LABELS = (50, 100, 200, 500, 1_000, 2_000, 5_000)
"""Numbers of calibration labels that a plan looks at."""

DRAWS = 200
"""Simulated calibration draws a cell: a standard error of 3.5 points at most, of 1 where coverage varies little."""

PILOTS, DRAWS_A_PILOT = 30, 10
"""Resampled pilots, and draws for each, that show how much a plan owes to the pilot."""

MOST_POOL = 5_000
"""A larger pool is stood for by as many quantiles of its scores."""


@dataclass(frozen=True, slots=True)
class Cell:
    """What so many labels buy under one rule.

    Attributes:
        labels: calibration rows in all, those that there are already included.
        coverage: expected share of the other pairs that is accepted; draws without a threshold count as 0.
        coverage_error: its Monte Carlo standard error.
        chance: share of draws with a threshold that accepts anything.
        chance_error: its Monte Carlo standard error.
        low, high: 80% of the expected coverages that resampled pilots give, about `coverage`; None without a pilot.
    """

    guarantee: Guarantee
    alpha: Fraction
    labels: int
    coverage: float
    coverage_error: float
    chance: float
    chance_error: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, slots=True)
class Question:
    """What is planned for: every rule, alpha and number of labels with every other."""

    guarantees: Sequence[Guarantee]
    alphas: Sequence[Fraction]
    delta: Fraction
    labels: Sequence[int] = LABELS


def pilot_curve(sureness: ArrayLike, errors: ArrayLike) -> Curve:
    """Error rate against sureness, fitted to labelled pairs: binned by rank, shrunk, and made to fall.

    Some 7 bins of equally many pairs for 100 labels, 15 for 1,000; each is drawn to the overall error rate with the
    weight of one pair, so that no pilot says "never wrong"; then isotonic regression, and straight lines between bins.
    Of the fits tried on known judges (more bins, more shrinkage, a logistic curve, bagging) none came nearer by more
    than a fifth: what limits a plan is the size of the pilot.

    Args:
        sureness: shape (n,); +inf is surest; pairs at -inf are never accepted and left out.
        errors: whether the judge's label is wrong; same shape.

    Raises:
        ValueError: shapes differ, a score is NaN, or no pair is left.
    """
    from scipy.optimize import isotonic_regression

    scores, wrong = np.asarray(sureness, dtype=np.float64), np.asarray(errors).astype(bool)
    if scores.shape != wrong.shape or np.isnan(scores).any():
        raise ValueError(f"scores and errors must have one shape and no NaN: {scores.shape} and {wrong.shape}")
    usable = ~np.isneginf(scores)
    if not usable.any():
        raise ValueError("no labelled pair has a score")
    scores, wrong = scores[usable], wrong[usable]
    ascending = np.sort(scores)
    rank = _rank(ascending, scores)
    bins = max(2, round(1.5 * scores.size ** (1 / 3)))
    place = np.minimum((rank * bins).astype(np.int64), bins - 1)  # equal scores share a rank, and so a bin
    count = np.bincount(place, minlength=bins)
    held = count > 0
    rate = (np.bincount(place, wrong, bins) + wrong.mean())[held] / (count[held] + 1)
    centre = np.bincount(place, rank, bins)[held] / count[held]
    falling = isotonic_regression(rate, weights=count[held], increasing=False).x
    return lambda values: np.interp(_rank(ascending, values), centre, falling)


def _rank(ascending: Floats, values: Floats) -> Floats:
    """Share of scores below each value, equal ones counted half."""
    left, right = (np.searchsorted(ascending, values, side=side) for side in ("left", "right"))
    return np.asarray((left + right) / (2 * ascending.size), dtype=np.float64)


def assumed_curve(sureness: ArrayLike, accuracy: float) -> Curve:
    """Error rate against sureness where there are no labels: the judge's own log-odds, scaled to an assumed accuracy.

    Args:
        sureness: |log-odds| of the pairs; shape (n,). Bare verdicts (+inf) count as one nat surer than all others.
        accuracy: share of labels taken to be right among the pairs that have one; from 1/2 up to, not with, 1.

    Raises:
        ValueError: accuracy is out of range, or no pair has a score.
    """
    scores = np.asarray(sureness, dtype=np.float64)
    scores = scores[~np.isneginf(scores)]
    if not 0.5 <= accuracy < 1:
        raise ValueError(f"an assumed accuracy lies between 0.5 and 1, not at {accuracy}")
    if not scores.size:
        raise ValueError("no pair has a score")
    finite = scores[np.isfinite(scores)]
    most = (float(finite.max()) if finite.size else 0.0) + 1.0

    def at(scale: float) -> Curve:
        return lambda values: 1 / (1 + np.exp(np.minimum(scale * np.clip(values, 0, most), 700.0)))

    low, high = 0.0, 1.0
    while at(high)(scores).mean() > 1 - accuracy and high < 1e9:
        high *= 2
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if at(middle)(scores).mean() > 1 - accuracy else (low, middle)
    return at(high)


def plan_from_pilot(
    sureness: ArrayLike, pilot: ArrayLike, errors: ArrayLike, asked: Question, *, seed: int = 0
) -> list[Cell]:
    """Plan by the curve fitted to labelled pairs, with the range that other pilots of this size would give.

    Args:
        sureness: of all pairs, labelled or not; shape (n,).
        pilot, errors: sureness of labelled pairs, a random sample, and whether the judge is wrong; shape (n_pilot,).

    Raises:
        ValueError: as for `pilot_curve` and `plan_labels`.
    """
    scores, wrong = np.asarray(pilot, dtype=np.float64), np.asarray(errors).astype(bool)
    cells = plan_labels(sureness, pilot_curve(scores, wrong), asked, seed=seed)
    rng = np.random.default_rng(seed)
    spread: list[list[float]] = []
    while len(spread) < PILOTS:
        again = rng.integers(scores.size, size=scores.size)
        if np.isneginf(scores[again]).all():
            continue
        curve = pilot_curve(scores[again], wrong[again])
        # All pilots see the same draws, so that they differ by what they say and not by luck in simulation.
        spread.append([cell.coverage for cell in plan_labels(sureness, curve, asked, draws=DRAWS_A_PILOT, seed=seed)])
    around = np.array([cell.coverage for cell in cells]) - np.mean(spread, axis=0)
    low, high = np.clip(np.quantile(spread, [0.1, 0.9], axis=0) + around, 0.0, 1.0)
    return [replace(cell, low=float(low[i]), high=float(high[i])) for i, cell in enumerate(cells)]


def plan_labels(sureness: ArrayLike, curve: Curve, asked: Question, *, draws: int = DRAWS, seed: int = 0) -> list[Cell]:
    """Simulate what calibration labels buy.

    Args:
        sureness: of all pairs, labelled or not; shape (n,). -inf: never accepted.
        curve: from sureness to error rate.
        asked: numbers of labels that leave less than a fifth of the pairs are left out.

    Returns:
        A cell for each guarantee, alpha and number of labels, in this order.

    Raises:
        ValueError: a score is NaN.
    """
    scores = np.asarray(sureness, dtype=np.float64)
    if np.isnan(scores).any():
        raise ValueError("a score is NaN; use -inf for a pair that must not be accepted")
    wanted = [n for n in sorted(set(asked.labels)) if 5 * n <= 4 * scores.size]
    settings = [(guarantee, alpha) for guarantee in asked.guarantees for alpha in asked.alphas]
    found = np.zeros((len(settings), len(wanted), draws))
    rng = np.random.default_rng(seed)
    quantiles = _quantiles(scores) if scores.size > MOST_POOL else None
    for draw in range(draws if wanted else 0):
        mixed = rng.permutation(scores) if quantiles is None else scores[rng.integers(scores.size, size=wanted[-1])]
        drawn = mixed[: wanted[-1]]
        wrong = rng.random(drawn.size) < np.where(np.isneginf(drawn), 1.0, curve(drawn))
        for at, n in enumerate(wanted):  # the rows of a smaller number are among those of a larger one
            pool = mixed[n:] if quantiles is None else quantiles
            for i, (guarantee, alpha) in enumerate(settings):
                found[i, at, draw] = calibrate(
                    drawn[:n], wrong[:n], pool, guarantee=guarantee, alpha=alpha, delta=asked.delta
                ).coverage
    return [
        _cell(guarantee, alpha, n, found[i, at])
        for i, (guarantee, alpha) in enumerate(settings)
        for at, n in enumerate(wanted)
    ]


def advice(cells: Sequence[Cell]) -> str:
    """The cells of one guarantee and one alpha in a sentence: how many labels are worth their while.

    >>> advice([Cell(Guarantee.FDR, Fraction("0.1"), n, share, 0.0, 1.0, 0.0) for n, share in ((50, 0.2), (100, 0.6))])
    'At alpha 0.1 under fdr, 100 labels buy about 60% coverage.'
    """
    if not cells:
        return "There are too few pairs to plan for: let people label them all."
    first, best = cells[0], max(cell.coverage for cell in cells)
    where = f"t alpha {float(first.alpha):g} under {first.guarantee}"
    if best < 0.01:
        return (
            f"A{where}, no number of labels up to {cells[-1].labels:,} buys 1% coverage: a better judge would, or a "
            "larger alpha."
        )
    at = next(i for i, cell in enumerate(cells) if cell.coverage >= 0.9 * best)
    said = f"A{where}, {cells[at].labels:,} labels buy about {cells[at].coverage:.0%} coverage"
    if cells[at].chance < 0.9:
        said += f" (nothing in {1 - cells[at].chance:.0%} of draws)"
    return said + (f"; {cells[at + 1].labels:,} buy {cells[at + 1].coverage:.0%}." if at + 1 < len(cells) else ".")


def _quantiles(scores: Floats) -> Floats:
    places = np.linspace(0, scores.size - 1, MOST_POOL).round().astype(np.int64)
    return np.asarray(np.partition(scores, places)[places], dtype=np.float64)


def _cell(guarantee: Guarantee, alpha: Fraction, n: int, coverage: Floats) -> Cell:
    chance = float(np.mean(coverage > 0))
    error = float(coverage.std(ddof=1) / math.sqrt(coverage.size)) if coverage.size > 1 else 0.0
    return Cell(
        guarantee, alpha, n, float(coverage.mean()), error, chance, math.sqrt(chance * (1 - chance) / coverage.size)
    )
