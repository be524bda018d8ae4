"""Which pairs a judge may label alone, and what is then promised. Pure.

A score says how sure the judge is of a pair: larger is surer. `+inf` is certain; `-inf` marks a pair that
is never accepted (not judged, or no preference) and still counts. The three rules and their promises:

========  =========================================================  ==============================================
rule      largest acceptance with                                    then
========  =========================================================  ==============================================
`fdr`     m (1 + V) <= alpha (n + 1) R                               E[wrong / accepted] <= alpha in this batch
`pac`     P(Bin(k, alpha) <= e) <= d, d its share of delta            with prob. >= 1 - delta: error rate <= alpha
`scope`   e - alpha k <= -1                                          P(accepted and wrong) <= alpha
========  =========================================================  ==============================================

n, m: calibration rows and batch; k, e (or V): accepted calibration rows and errors among them; R: accepted of the
batch. Sources: Jin and Candès, Selection by prediction with conformal p-values, JMLR 2023 (`fdr`); Angelopoulos et
al., Learn then Test, 2021, and Wiens, A fixed sequence Bonferroni procedure, Pharmaceutical Statistics 2003 (`pac`);
Badshah et al., SCOPE, arXiv:2602.13110 (`scope`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

PAC_STARTS = (27, 1, 1, 1)
"""Parts of delta with which `pac` starts at the surest end of its grid, one and two thirds on, and at the other end."""

PAC_STEPS = 16
"""Thresholds of `pac` from one start to the next; more of them do not raise coverage."""


class Guarantee(StrEnum):
    """The rule that sets the threshold, and with it the promise."""

    FDR = "fdr"
    PAC = "pac"
    SCOPE = "scope"


@dataclass(frozen=True, slots=True)
class Calibration:
    """A threshold, or none, and everything that produced it.

    Attributes:
        guarantee, alpha, delta: the rule, its risk level, and (for `pac`) its failure probability.
        n, n_errors: calibration rows, and the judge's errors among them.
        m: pairs of the batch, including those that can never be accepted.
        threshold: accept scores at or above it; None: accept nothing.
        k, errors: calibration rows at or above the threshold, and errors among them (0 without a threshold).
        accepted: pairs of the batch at or above the threshold.
    """

    guarantee: Guarantee
    alpha: Fraction
    delta: Fraction
    n: int
    n_errors: int
    m: int
    threshold: float | None
    k: int = 0
    errors: int = 0
    accepted: int = 0

    @property
    def coverage(self) -> float:
        return self.accepted / self.m if self.m else 0.0


def exact(value: Fraction | str | int) -> Fraction:
    """A risk level as an exact fraction: "0.07" is 7/100, which no float is.

    Raises:
        ValueError: not a number strictly between 0 and 1, or given as a float.
    """
    if not isinstance(value, (Fraction, str, int)):
        raise ValueError(f'give a risk level as text or Fraction, not as {value!r}: "{value}"')
    try:
        level = Fraction(value)
    except (ValueError, ZeroDivisionError):
        raise ValueError(f"not a number: {value!r}") from None
    if not 0 < level < 1:
        raise ValueError(f"must lie strictly between 0 and 1, not {value}")
    if level.denominator > 10**6:
        raise ValueError(f"give at most six decimals, not {value}")
    return level


@dataclass(frozen=True, slots=True)
class Blocks:
    """Cumulative counts at the end of each block of tied calibration scores, surest block first."""

    threshold: Floats
    k: Ints
    errors: Ints


def _checked(name: str, values: ArrayLike) -> Floats:
    scores = np.asarray(values, dtype=np.float64)
    if scores.ndim != 1:
        raise ValueError(f"{name} must be one-dimensional, not of shape {scores.shape}")
    if np.isnan(scores).any():
        raise ValueError(f"{name} holds NaN; use -inf for a pair that must not be accepted")
    return scores


def blocks(scores: ArrayLike, errors: ArrayLike) -> Blocks:
    """Count accepted rows and errors at each distinct score, from the surest down; -inf is left out.

    >>> blocks([3.0, 1.0, 3.0], [0, 1, 1])
    Blocks(threshold=array([3., 1.]), k=array([2, 3]), errors=array([1, 2]))
    """
    values, wrong = _checked("scores", scores), np.asarray(errors).astype(bool)
    if values.shape != wrong.shape:
        raise ValueError(f"scores and errors must have one shape, not {values.shape} and {wrong.shape}")
    usable = ~np.isneginf(values)
    wrong_values = np.sort(values[usable & wrong])
    values = np.sort(values[usable])[::-1]  # sorting scores twice is faster than sorting their places once
    ends = np.flatnonzero(np.append(values[1:] != values[:-1], True)) if values.size else np.empty(0, np.int64)
    threshold = values[ends]
    return Blocks(threshold, ends.astype(np.int64) + 1, _count_at_least(wrong_values, threshold))


def _count_at_least(ascending: Floats, thresholds: Floats) -> Ints:
    return (ascending.size - np.searchsorted(ascending, thresholds, side="left")).astype(np.int64)


def _scope_threshold(cal: Blocks, alpha: Fraction) -> float | None:
    a, b = alpha.numerator, alpha.denominator
    return _last(cal.threshold, b * cal.errors - a * cal.k <= -b)


def _fdr_threshold(scores: Floats, errors: NDArray[np.bool_], pool: Floats, alpha: Fraction) -> float | None:
    # V, the false accepts, grows only at the score of an error, and between two of them R only grows: in each step it
    # is enough to look at the lowest score of the batch above the next error.
    ascending = np.sort(pool)
    next_error = np.append(np.sort(scores[errors])[::-1], -np.inf)
    first = np.searchsorted(ascending, next_error, side="right")
    v, r = np.arange(next_error.size), pool.size - first
    a, b = alpha.numerator, alpha.denominator
    if pool.size * b * (scores.size + 1) >= 2**62:  # Python integers: slower, and never too small
        v, r = v.astype(object), r.astype(object)
    feasible = np.asarray(pool.size * b * (1 + v) <= a * (scores.size + 1) * r, dtype=bool) & (first < pool.size)
    at = np.flatnonzero(feasible)
    return float(ascending[first[at[-1]]]) if at.size else None


def pac_grid(pool: ArrayLike, n: int, alpha: Fraction, delta: Fraction) -> tuple[Floats, list[Fraction]]:
    """The thresholds that `pac` tries, surest first, and what part of delta each is given.

    They are score quantiles of the judged pairs of the pool: no label is seen. The first is where the fewest of n
    calibration rows that can pass are expected above it, and two standard deviations more. A later start that so few
    rows could not pass with its part, even without an error, leaves it to the first.
    """
    scores = np.asarray(pool, dtype=np.float64)
    judged = scores[~np.isneginf(scores)]
    if not n or not judged.size:
        return np.empty(0), []
    parts, expected = np.array(PAC_STARTS), n * judged.size / scores.size
    fewest = np.log(float(delta) * parts / parts.sum()) / math.log1p(-float(alpha))
    start = min(1.0, (fewest[0] + 2 * math.sqrt(fewest[0])) / expected)
    shares = np.linspace(start, 1.0, PAC_STEPS * (parts.size - 1) + 1)
    given = np.zeros(shares.size, dtype=np.int64)
    given[::PAC_STEPS] = np.where(shares[::PAC_STEPS] * expected >= fewest, parts, 0)
    given[0] += parts.sum() - given.sum()
    ranks = judged.size - np.minimum(np.ceil(shares * judged.size).astype(np.int64), judged.size)
    falling, at = np.unique(-np.partition(judged, np.unique(ranks))[ranks], return_inverse=True)
    return -falling, [delta * int(part) / int(parts.sum()) for part in np.bincount(at, given)]


def fixed_sequence(cal: Blocks, grid: ArrayLike, deltas: Sequence[Fraction], alpha: Fraction) -> float | None:
    """The last threshold of a falling `grid` whose test passes with what it is given and what was carried to it.

    A test that passes hands on all it had; one that fails hands on nothing. With probability 1 - sum(deltas) at least,
    no threshold passes whose error rate in the population is over alpha ("bad"), however these lie in the grid:

    1. `grid` and `deltas` owe nothing to the calibration rows, and of k rows above a threshold Bin(k, error rate) are
       wrong: a bad one passes a test at level d with probability d at most.
    2. Until a bad one passes, all bad ones before have failed and handed on nothing: each is tested at no more than
       what was given since the bad one before it.
    3. These are parts of `deltas` that do not overlap, so the probabilities add up to sum(deltas) at most.
    """
    threshold, level, falling = None, Fraction(0), -cal.threshold
    for value, given in zip(np.asarray(grid, dtype=np.float64), deltas, strict=True):
        level += given
        if not level:
            continue
        at = int(np.searchsorted(falling, -value, side="right")) - 1
        k, e = (int(cal.k[at]), int(cal.errors[at])) if at >= 0 else (0, 0)
        if tail_at_most(e, k, alpha, level):
            threshold = float(value)
        else:
            level = Fraction(0)
    return threshold


def _last(thresholds: Floats, feasible: NDArray[np.bool_]) -> float | None:
    at = np.flatnonzero(feasible)
    return float(thresholds[at[-1]]) if at.size else None


def tail_at_most(errors: int, k: int, alpha: Fraction, delta: Fraction) -> bool:
    """Whether P(Bin(k, alpha) <= errors) <= delta, exactly: close calls are settled in integers.

    >>> tail_at_most(0, 22, Fraction("0.1"), Fraction("0.1")), tail_at_most(0, 21, Fraction("0.1"), Fraction("0.1"))
    (True, False)
    """
    from scipy.special import bdtr

    if errors >= k:
        return False
    tail = float(bdtr(errors, k, float(alpha)))
    if abs(tail - float(delta)) > 1e-6 * float(delta):
        return tail <= float(delta)
    a, b = alpha.numerator, alpha.denominator
    total = sum(math.comb(k, j) * a**j * (b - a) ** (k - j) for j in range(errors + 1))
    return bool(total * delta.denominator <= delta.numerator * b**k)


def calibrate(
    scores: ArrayLike,
    errors: ArrayLike,
    pool: ArrayLike,
    *,
    guarantee: Guarantee | str = Guarantee.FDR,
    alpha: Fraction | str = "0.1",
    delta: Fraction | str = "0.1",
) -> Calibration:
    """Find the threshold that accepts most under a rule, or none.

    Args:
        scores: sureness of the calibration rows, shape (n,): a random draw, exchangeable with `pool`.
        errors: whether the judge's label differs from the human one, shape (n,).
        pool: sureness of all pairs the promise is about, shape (m,). Pairs that people labelled *because* they
            were abstained on belong in it: without them the batch is no longer a draw like the calibration rows.
        guarantee: "fdr", "pac" or "scope".
        alpha: risk level, exact ("0.1" or a Fraction).
        delta: failure probability of `pac`; the other rules only record it.

    Returns:
        The calibration with its threshold; `threshold` None means that nothing may be accepted.

    Raises:
        ValueError: shapes differ, a score is NaN, or a level is not an exact number between 0 and 1.

    >>> calibrate([2.0] * 20 + [1.0] * 5, [0] * 20 + [1] * 5, [2.0, 1.0], alpha="0.1").threshold
    2.0
    >>> calibrate([2.0] * 8, [0] * 8, [2.0, 1.0], alpha="0.1").threshold is None
    True
    """
    rule, level, fail = Guarantee(guarantee), exact(alpha), exact(delta)
    cal_scores, batch = _checked("scores", scores), _checked("pool", pool)
    wrong = np.asarray(errors).astype(bool)
    if wrong.shape != cal_scores.shape:
        raise ValueError(f"scores and errors must have one shape, not {cal_scores.shape} and {wrong.shape}")
    threshold: float | None
    if rule is Guarantee.FDR:
        threshold = _fdr_threshold(cal_scores, wrong, batch, level)
    elif rule is Guarantee.PAC:
        threshold = fixed_sequence(blocks(cal_scores, wrong), *pac_grid(batch, cal_scores.size, level, fail), level)
    elif rule is Guarantee.SCOPE:
        threshold = _scope_threshold(blocks(cal_scores, wrong), level)
    else:  # pragma: no cover - a new rule must be written here
        raise ValueError(f"unknown guarantee {rule!r}")
    result = Calibration(rule, level, fail, cal_scores.size, int(wrong.sum()), batch.size, threshold)
    if threshold is None:
        return result
    above = cal_scores >= threshold
    return Calibration(
        rule, level, fail, result.n, result.n_errors, result.m, threshold,
        k=int(np.count_nonzero(above)), errors=int(np.count_nonzero(above & wrong)),
        accepted=int(np.count_nonzero(batch >= threshold)),
    )  # fmt: skip


def accept(scores: ArrayLike, threshold: float | None) -> NDArray[np.bool_]:
    """Which scores reach the threshold; none do when there is none, and -inf never does.

    >>> accept([1.0, -np.inf, 3.0], 2.0).tolist(), accept([9.0], None).tolist()
    ([False, False, True], [False])
    """
    values = _checked("scores", scores)
    if threshold is None:
        return np.zeros(values.shape, dtype=bool)
    return np.asarray((values >= threshold) & ~np.isneginf(values), dtype=bool)


def promise(calibration: Calibration, ties_left_out: bool = False, ties: int = 0) -> str:
    """The sentence that was bought: what is true of this threshold, and no more.

    Args:
        ties_left_out: pairs that people call equal are no calibration rows, and nothing is said of such pairs.
        ties: how many labelled pairs were left out so.
    """
    c, alpha = calibration, f"{float(calibration.alpha):g}"
    if not c.n:
        none = f"No labelled pairs but {ties:,} ties, which are left out" if ties else "No labelled pairs yet"
        return f"{none}: nothing is promised, and nothing is auto-labelled."
    if not c.m:
        return "No pair is left to label: all are calibration rows. Nothing is promised, and nothing is auto-labelled."
    if c.threshold is None:
        return f"No threshold keeps the {c.guarantee} promise at alpha {alpha}: nothing is auto-labelled."
    if c.guarantee is Guarantee.FDR:
        wrong = "name the response that the annotators would reject" if ties_left_out else (
            "carry a label that the annotators would not give"
        )  # fmt: skip
        aside = "; pairs that they would call equal are not counted as wrong" if ties_left_out else ""
        return (
            f"On average over calibration draws, at most {alpha} of the pairs accepted in this batch {wrong}, a draw "
            f"that accepts none counting as 0{aside} (fdr)."
        )
    aside = ", of those that the annotators would not call equal," if ties_left_out else ""
    if c.guarantee is Guarantee.PAC:
        return (
            f"With probability at least {float(1 - c.delta):g} over the calibration draw, the long-run error rate "
            f"among future pairs accepted at this threshold{aside} is at most {alpha}; in one batch it may be higher "
            "(pac)."
        )
    return (
        f"The probability that a pair{aside} is accepted and its label is wrong is at most {alpha}; the error among "
        "accepted pairs is only near that on average and may exceed it (scope)."
    )
