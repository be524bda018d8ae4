"""Several judges become one score: their log-odds averaged, or weighed, or asked one after another. Pure NumPy.

Equal weights are fixed before anything is seen and cost nothing. Weights, or the edge of a cascade, that are chosen
with labels at hand are fitted on rows that do not then calibrate (`Panel.fit_fraction`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import ArrayLike, NDArray

from curator.preference import TIE_TOLERANCE

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

BARE_LOG_ODDS = float(np.log(99))
"""What an infinite log-odds counts as beside other judges: a judge that gives bare verdicts speaks 99 to 1."""


NOTHING_GOES_ON = float(np.nextafter(0.5, 1))
"""Edge of a cascade whose next judge is asked about no pair with a preference."""

CASCADE_RISK = 0.05
"""Share of errors that a fitted cascade may leave among what a judge does not hand on. The same for every alpha, so
that trying another one needs no judge."""


class Combine(StrEnum):
    """How the preferences of several judges become one."""

    LOG_ODDS = "log-odds"
    PROBABILITY = "probability"
    FITTED = "fitted"


class Missing(StrEnum):
    """What becomes of a pair on which one of the judges failed. Chosen before labels are seen."""

    ABSTAIN = "abstain"
    MEAN = "mean"


@dataclass(frozen=True, slots=True)
class Panel:
    """How several judges work together. Fixed before the result is seen.

    Attributes:
        combine: the mean of their log-odds or of their probabilities, or log-odds with fitted weights.
        missing: `abstain`, or the mean of those that answered.
        cascade: each next judge reads only the pairs on which those before it give the better response less than this
            probability; None: all judges read all pairs.
        fit_cascade: choose that probability on the rows of `fit_fraction`.
        fit_fraction: share of the calibration rows on which weights or cascade are fitted, and which do not calibrate.
    """

    combine: Combine = Combine.LOG_ODDS
    missing: Missing = Missing.ABSTAIN
    cascade: float | None = None
    fit_cascade: bool = False
    fit_fraction: float = 0.0

    def __post_init__(self) -> None:
        """Raises ValueError where something is to be fitted on no rows, or rows are taken and nothing is fitted."""
        fits = self.combine is Combine.FITTED or self.fit_cascade
        if fits and not 0 < self.fit_fraction < 1:
            raise ValueError("what is fitted needs rows of its own: give a fit fraction between 0 and 1")
        if self.fit_fraction and not fits:
            raise ValueError("nothing is to be fitted: a fit fraction only takes rows from the calibration")
        if self.combine is Combine.FITTED and self.cascades:
            raise ValueError("fit the weights or cascade, not both: a cascade's later judges read too few pairs")
        if self.cascade is not None and not 0.5 < self.cascade <= 1:
            raise ValueError("the edge of a cascade is a probability of the better response, over 0.5 up to 1")

    @property
    def cascades(self) -> bool:
        return self.cascade is not None or self.fit_cascade


def bounded(log_odds: ArrayLike) -> Floats:
    """Log-odds that can be averaged: infinite ones count as 99 to 1.

    >>> bounded([np.inf, -2.0]).round(2).tolist()
    [4.6, -2.0]
    """
    values = np.asarray(log_odds, dtype=np.float64)
    return np.where(np.isinf(values), np.copysign(BARE_LOG_ODDS, values), values)


def combined(
    log_odds: ArrayLike, *, how: Combine = Combine.LOG_ODDS, missing: Missing = Missing.ABSTAIN,
    weights: ArrayLike | None = None,
) -> Floats:  # fmt: skip
    """The judges' log-odds as one.

    Args:
        log_odds: log p_a - log p_b of each judge, shape (n_judges, n_pairs); NaN where a judge did not answer. Judges
            that were not to be asked about a pair are NaN too: give `missing` as MEAN for those.
        how: FITTED needs weights.
        weights: one a judge, shape (n_judges,).

    Returns:
        Shape (n_pairs,); NaN where no judge answered, or one did not and `missing` is ABSTAIN. Odd under swapping a
        and b.

    >>> combined([[1.0, 2.0, 1.0], [3.0, np.nan, -1.0]]).tolist()
    [2.0, nan, 0.0]
    >>> combined([[1.0, 2.0], [3.0, np.nan]], missing=Missing.MEAN).tolist()
    [2.0, 2.0]
    """
    values = np.atleast_2d(np.asarray(log_odds, dtype=np.float64))
    here = ~np.isnan(values)
    weight = np.ones(values.shape[0]) if weights is None else np.asarray(weights, dtype=np.float64)
    if weight.shape != (values.shape[0],):
        raise ValueError(f"one weight for each of {values.shape[0]} judges, not {weight.shape}")
    usable = here.any(axis=0) if missing is Missing.MEAN else here.all(axis=0)
    if how is Combine.PROBABILITY:
        with np.errstate(invalid="ignore", divide="ignore"):
            found = _log_sum(values, here) - _log_sum(-values, here)
    else:
        found = _mean(np.where(here, bounded(values), 0.0), here, weight)
    # Judges that contradict each other exactly have no preference: what is left of it is rounding.
    return np.where(usable, np.where(np.abs(found) < TIE_TOLERANCE, 0.0, found), np.nan)


def _mean(values: Floats, here: Bools, weight: Floats) -> Floats:
    total = weight @ here
    return np.divide(weight @ values, total, out=np.zeros(values.shape[1]), where=total != 0)


def _log_sum(values: Floats, here: Bools) -> Floats:
    """log of the judges' summed sigmoids, which keeps the digits of sure judges."""
    return np.asarray(np.logaddexp.reduce(np.where(here, -np.logaddexp(0.0, -values), -np.inf)), dtype=np.float64)


def fit_weights(log_odds: ArrayLike, a_better: ArrayLike) -> Floats:
    """Weights of judges by logistic regression of people's verdicts on log-odds, without an intercept.

    Args:
        log_odds: shape (n_judges, n_pairs), without NaN.
        a_better: whether people prefer a, shape (n_pairs,).

    Returns:
        Shape (n_judges,), none negative, of mean 1: only their ratios matter. All 1 where there is nothing to learn.
    """
    values = bounded(log_odds)
    target = np.asarray(a_better, dtype=np.float64)
    spread = np.sqrt(np.square(values).mean(axis=1)) if target.size else np.zeros(values.shape[0])
    scaled = values / np.where(spread > 0, spread, 1.0)[:, None]
    weight, used = np.zeros(values.shape[0]), spread > 0
    # A judge that would count against itself is left out, and the others are weighed anew.
    while used.any():
        weight[:] = 0.0
        weight[used] = _logistic(scaled[used], target)
        if (weight >= 0).all():
            break
        used &= weight > 0
    weight /= np.where(spread > 0, spread, 1.0)
    return weight / weight.mean() if weight.sum() > 0 and used.any() else np.ones(values.shape[0])


def _logistic(values: Floats, target: Floats) -> Floats:
    """Newton's steps; a ridge of one observation keeps perfectly separated rows finite."""
    weight = np.zeros(values.shape[0])
    for _ in range(50):
        p = 1 / (1 + np.exp(-np.clip(weight @ values, -35, 35)))
        step = np.linalg.solve(
            (values * (p * (1 - p))) @ values.T + np.eye(weight.size), values @ (target - p) - weight
        )
        weight = weight + step
        if np.abs(step).max() < 1e-10:
            break
    return weight


def in_band(log_odds: ArrayLike, edge: float) -> Bools:
    """The pairs that the next judge of a cascade reads: those whose better response has less than `edge`.

    Args:
        log_odds: of the judges so far, shape (n_pairs,); NaN, no answer, is in no band.

    >>> in_band([0.0, 3.0, np.nan], 0.9).tolist()
    [True, False, False]
    """
    values = np.abs(np.asarray(log_odds, dtype=np.float64))
    cut = math.log(edge) - math.log1p(-edge) if edge < 1 else math.inf
    return np.asarray(values < cut, dtype=bool) if edge < 1 else ~np.isnan(values)


def fit_edge(log_odds: ArrayLike, right: ArrayLike, target: float) -> float:
    """The lowest edge of a cascade at which the judge so far errs on at most a share `target` of what it keeps.

    Args:
        log_odds: of the rows to fit on, shape (n,); NaN where there is no answer.
        right: whether the judge's label is the human one, shape (n,).

    Returns:
        A probability of the better response; 1 where every pair had better go on. Without a row to fit on none goes on
        yet: the next judge is asked when there are labels.

    >>> fit_edge([1.0, 2.0, 3.0], [False, True, True], 0.1).__round__(3)
    0.881
    """
    values, good = np.abs(np.asarray(log_odds, dtype=np.float64)), np.asarray(right, dtype=bool)
    order = np.argsort(-values[~np.isnan(values)], kind="stable")
    values, wrong = values[~np.isnan(values)][order], ~good[~np.isnan(values)][order]
    if not values.size:
        return NOTHING_GOES_ON
    ends = np.append(values[1:] != values[:-1], True)
    fine = ends & (np.cumsum(wrong) <= target * np.arange(1, values.size + 1))
    if not fine.any():
        return 1.0
    cut = values[np.flatnonzero(fine)[-1]]
    return float(np.clip(1 / (1 + np.exp(-cut)), NOTHING_GOES_ON, np.nextafter(1, 0)))


@dataclass(frozen=True, slots=True)
class Combined:
    """What a panel makes of its judges.

    Attributes:
        log_odds: shape (n_pairs,); NaN where there is no verdict.
        read: which pairs each judge was to read, shape (n_judges, n_pairs).
        weights: of the judges, where they were fitted.
        edge: of the cascade, where there is one.
    """

    log_odds: Floats
    read: Bools
    weights: Floats | None = None
    edge: float | None = None

    def next_band(self, missing: Missing) -> Bools:
        """The pairs that one more judge of the cascade would read."""
        if self.edge is None:
            return np.ones(self.log_odds.shape, dtype=bool)
        further = in_band(self.log_odds, self.edge)
        if missing is Missing.MEAN:
            further |= np.isnan(self.log_odds)
        return np.asarray(further & self.read[-1], dtype=bool)


def combine(each: ArrayLike, panel: Panel, fits: ArrayLike, better: ArrayLike) -> Combined:
    """Make one score of several judges' log-odds, as the panel says.

    Args:
        each: log p_a - log p_b of each judge, shape (n_judges, n_pairs); NaN where there is no answer.
        fits: the pairs to fit on, shape (n_pairs,); none of them may calibrate.
        better: on those, 1 where people prefer a, -1 where b, 0 where neither; shape (n_pairs,).
    """
    values = np.atleast_2d(np.asarray(each, dtype=np.float64))
    rows, side = np.asarray(fits, dtype=bool), np.asarray(better)
    everything = np.ones(values.shape[1], dtype=bool)
    if values.shape[0] == 1 and not panel.cascades:
        return Combined(values[0], everything[None])
    if not panel.cascades:
        weights = None
        if panel.combine is Combine.FITTED:
            clear = rows & (side != 0) & ~np.isnan(values).any(axis=0)
            weights = fit_weights(values[:, clear], side[clear] > 0)
        found = combined(values, how=panel.combine, missing=panel.missing, weights=weights)
        return Combined(found, np.tile(everything, (values.shape[0], 1)), weights)
    edge = panel.cascade
    if edge is None:
        edge = fit_edge(values[0, rows], np.sign(values[0, rows]) == side[rows], CASCADE_RISK)
    step = Combined(values[0], everything[None], edge=edge)
    for count in range(2, values.shape[0] + 1):
        band = step.next_band(panel.missing)
        further = combined(values[:count], how=panel.combine, missing=panel.missing)
        step = Combined(np.where(band, further, step.log_odds), np.vstack([step.read, band]), edge=edge)
    return step
