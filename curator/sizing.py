"""How many calibration labels a rule of `conformal` would need. Pure.

Nothing here sets a threshold: these are guesses for people who plan, and no promise rests on them.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable
from fractions import Fraction

import numpy as np
from numpy.typing import ArrayLike

from curator.conformal import Guarantee, blocks, tail_at_most


def passes(guarantee: Guarantee, alpha: Fraction, delta: Fraction, n: int, k: int, e: int) -> bool:
    """Whether a rule accepts a block in which k of n calibration rows lie, e of them wrong.

    For `fdr` the batch is taken to have the same share k/n above the threshold as the calibration rows.
    """
    if k <= 0:
        return False
    if guarantee is Guarantee.FDR:
        return bool((1 + e) * n <= alpha * (n + 1) * k)
    if guarantee is Guarantee.PAC:
        return tail_at_most(e, k, alpha, delta)
    return bool(e - alpha * k <= -1)


def labels_needed(
    guarantee: Guarantee,
    alpha: Fraction,
    delta: Fraction,
    *,
    coverage: float = 0.5,
    error_rate: float | None = None,
    power: float = 0.9,
    most: int = 100_000,
) -> int | None:
    """How many calibration labels let a judge through with probability `power`, about.

    Args:
        coverage: share of pairs hoped to be accepted.
        error_rate: the judge's error rate among those; half of alpha when not known.
        power: probability that the rule then accepts them.
        most: give up above this many.

    Returns:
        The smallest such number (to within 2%), or None: no number of labels up to `most` would do.

    >>> labels_needed(Guarantee.FDR, Fraction("0.1"), Fraction("0.1"))
    120
    """
    rate = float(alpha) / 2 if error_rate is None else error_rate
    if not (0 <= coverage <= 1 and 0 <= rate <= 1 and 0 < power < 1):
        raise ValueError("coverage, error_rate and power are shares between 0 and 1")

    def enough(n: int) -> bool:
        k = int(coverage * n)
        return k > 0 and passes(guarantee, alpha, delta, n, k, _binomial_quantile(k, rate, power))

    return _smallest(enough, most)


def labels_missing(
    scores: ArrayLike, errors: ArrayLike, guarantee: Guarantee, alpha: Fraction, delta: Fraction
) -> int | None:
    """How many more calibration labels would probably let the judge through, from those there are.

    The part of the rows on which the judge does best against alpha is taken for what it is like. None: it is over
    alpha even there, so that more labels would not help; a better judge, or a larger alpha, would.
    """
    rows = np.asarray(scores).size
    cal = blocks(scores, errors)
    if not cal.k.size:
        return labels_needed(guarantee, alpha, delta) if not rows else None
    margin = float(alpha) * cal.k - cal.errors
    best = int(np.argmax(margin))
    if margin[best] <= 0:
        return None
    k, e = int(cal.k[best]), int(cal.errors[best])
    needed = labels_needed(guarantee, alpha, delta, coverage=k / rows, error_rate=e / k)
    return None if needed is None else max(needed - rows, rows // 10, 1)


def _smallest(enough: Callable[[int], bool], most: int) -> int | None:
    n = 1
    while n <= most:
        if enough(n):
            return n
        n += max(1, n // 50)
    return None


def _binomial_quantile(k: int, rate: float, power: float) -> int:
    """The smallest e with P(Bin(k, rate) <= e) >= power."""
    from scipy.special import bdtr

    return bisect_left(range(k), power, key=lambda e: float(bdtr(e, k, rate)))
