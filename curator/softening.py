"""How likely people prefer a response, out of a judge's log-odds: one slope, fitted on the labelled pairs. Pure.

A judge that is sure too often, or not often enough, gives log-odds that are too large or too small by a factor. With

    P(people prefer a) = sigmoid(slope * log_odds)

that factor is the only parameter (the inverse of a temperature). There is no intercept: which response is a and which
is b means nothing, so that swapping them must turn p into 1 - p. It is an estimate for methods that read soft targets,
and no promise: what is promised rests on ranks alone, which a slope does not change.

Sources: Platt, Probabilistic outputs for support vector machines, 1999; Guo et al., On calibration of modern neural
networks, ICML 2017; the prior is that of Clogg et al., Multiple imputation of industry and occupation codes, JASA 1991.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]

FEWEST = 30
"""Labelled pairs with a preference of the judge that a slope is fitted on; of fewer it would be mostly luck."""


@dataclass(frozen=True, slots=True)
class Softening:
    """A slope, or none, and what it was fitted on.

    Attributes:
        slope: over 0; None: there is none.
        reason: why there is none; None where there is one.
        largest: the largest |log_odds| among the rows, as far as they are finite (1 where none is). Surer pairs are
            taken as if they were as sure as that: of them nothing more is known.
        n: rows that it was fitted on; ties: how many of them people call equal.
    """

    slope: float | None
    reason: str | None
    largest: float
    n: int
    ties: int


def fit_slope(log_odds: ArrayLike, preferred: ArrayLike) -> Softening:
    """The slope of largest likelihood, with a prior as strong as one row.

    Each row counts as n / (n + 1) of what people said and 1 / (n + 1) of a toss of a coin. So the slope stays finite
    where all labels agree with the judge, and a judge of bare verdicts, right on k of n rows, gets
    p = (k + 1/2) / (n + 1). Swapping a and b in any row changes nothing; log-odds in another unit change the slope by
    that unit.

    Args:
        log_odds: of a over b, averaged over both orders; shape (n,). May be infinite. Rows without a preference (0)
            say nothing about the slope and are left out.
        preferred: what people prefer: 1 for a, 0 for b, 1/2 where they call them equal; same shape.

    Returns:
        The slope; None with a reason where there are fewer than `FEWEST` rows, or where people do not agree with the
        judge more than with a coin.

    Raises:
        ValueError: shapes differ, a log-odds is NaN, or a preference is none of 0, 1/2 and 1.

    >>> fit_slope([2.0] * 30 + [-2.0] * 10, [1.0] * 25 + [0.0] * 15).slope.__round__(3)
    0.932
    >>> fit_slope([1.0], [1.0]).reason
    '1 labelled pair on which the judge has a preference: a slope takes 30'
    """
    odds, said = np.asarray(log_odds, dtype=np.float64), np.asarray(preferred, dtype=np.float64)
    if odds.ndim != 1 or odds.shape != said.shape:
        raise ValueError(f"log_odds and preferred must have one shape (n,), not {odds.shape} and {said.shape}")
    if np.isnan(odds).any():
        raise ValueError("a log-odds is NaN; leave pairs that were not judged out")
    if not np.isin(said, [0.0, 0.5, 1.0]).all():
        raise ValueError("a preference is 1 for a, 0 for b, or 0.5 for a tie")
    said, odds = said[odds != 0], odds[odds != 0]
    n, ties = odds.size, int(np.count_nonzero(said == 0.5))
    sure = np.abs(odds)
    largest = float(sure[np.isfinite(sure)].max(initial=0.0)) or 1.0
    if n < FEWEST:
        pairs = "1 labelled pair" if n == 1 else f"{n} labelled pairs"
        reason = f"{pairs} on which the judge has a preference: a slope takes {FEWEST}"
        return Softening(None, reason, largest, n, ties)
    agrees = np.where(odds > 0, said, 1.0 - said)  # the same question with the judge's own side as a
    slope = _maximum(np.minimum(sure, largest) / largest, (n * agrees + 0.5) / (n + 1))
    if slope <= 0:
        reason = f"on the {n} labelled pairs people do not agree with the judge more than with a coin"
        return Softening(None, reason, largest, n, ties)
    return Softening(slope / largest, None, largest, n, ties)


def _maximum(x: Floats, target: Floats) -> float:
    """Where sum(target log sigmoid(s x) + (1 - target) log sigmoid(-s x)) is largest; 0 where that is below 0.

    It is strictly concave in s, so that its derivative has one zero, which is finite as every target is inside (0, 1).
    """
    from scipy.optimize import brentq
    from scipy.special import expit

    def rise(s: float) -> float:
        return float(np.sum(x * (target - expit(s * x))))

    if rise(0.0) <= 0:
        return 0.0
    high = 1.0
    while rise(high) > 0:
        high *= 2
    return float(brentq(rise, 0.0, high, xtol=1e-13, rtol=1e-14))


def soften(log_odds: ArrayLike, found: Softening) -> Floats:
    """P(people prefer a) of each pair, in [0, 1]; 1/2 where the judge has no preference, NaN where it gave none.

    Args:
        log_odds: as for `fit_slope`; shape (n_pairs,).

    Raises:
        ValueError: there is no slope.

    >>> soften([2.0, 0.0, float("-inf")], Softening(0.5, None, 4.0, 50, 0)).round(3).tolist()
    [0.731, 0.5, 0.119]
    """
    from scipy.special import expit

    if found.slope is None:
        raise ValueError(f"there is no slope: {found.reason}")
    return np.asarray(expit(found.slope * np.clip(log_odds, -found.largest, found.largest)), dtype=np.float64)
