"""How good a judge's labels are, and how well its sureness tells right from wrong. Pure NumPy.

`right` says of each labelled pair whether the judge's label is the human one; shape (n,). Pairs on which the judge has
no label are left out by the caller, who says how many they were.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

BINS = 10
"""Bins of equal width for the calibration error."""


def accuracy(right: ArrayLike) -> float | None:
    """Share of labels that are right, in [0, 1]; None: there are none.

    >>> accuracy([True, False, True, True])
    0.75
    """
    good = _right(right)
    return float(good.mean()) if good.size else None


def ece(p_right: ArrayLike, right: ArrayLike, bins: int = BINS) -> float | None:
    """Expected calibration error: how far the claimed probabilities are from the share that is right, on average.

    Args:
        p_right: the probability, in [0, 1], that the judge gives to its own label; shape (n,).
        right: whether it is right; same shape.
        bins: bins of equal width over [0, 1]; a value on an edge belongs to the bin above it, and 1 to the last.

    Returns:
        The mean over pairs of |share right - mean claim| in the pair's bin, in [0, 1]; None: there are no pairs.

    Raises:
        ValueError: shapes differ, or a probability is NaN or outside [0, 1].

    >>> round(ece([0.9, 0.9, 0.6, 0.6], [1, 1, 1, 0]), 3)
    0.1
    """
    claimed, good = np.asarray(p_right, dtype=np.float64), _right(right)
    _same_shape(claimed, good)
    if not ((claimed >= 0) & (claimed <= 1)).all():
        raise ValueError("probabilities must lie in [0, 1], and none may be NaN")
    if not claimed.size:
        return None
    place = np.minimum((claimed * bins).astype(np.int64), bins - 1)
    gap = np.bincount(place, good, bins) - np.bincount(place, claimed, bins)
    return float(np.abs(gap).sum() / claimed.size)


def auroc(sureness: ArrayLike, right: ArrayLike) -> float | None:
    """Probability that a pair labelled rightly has a larger sureness than one labelled wrongly; equal ones count half.

    Args:
        sureness: what pairs are ranked by, larger is surer; shape (n,). May be infinite; only its order matters.
        right: whether the label is right; same shape.

    Returns:
        In [0, 1]: 1/2 where sureness says nothing; None: all labels are right, or all are wrong.

    Raises:
        ValueError: shapes differ, or a sureness is NaN.

    >>> auroc([3.0, 2.0, 2.0, 1.0], [1, 1, 0, 0])
    0.875
    """
    of_right, of_wrong = _levels(sureness, right)
    pairs = int(of_right.sum()) * int(of_wrong.sum())
    if not pairs:
        return None
    wrong_below = of_wrong.sum() - np.cumsum(of_wrong)
    return float((of_right * (2 * wrong_below + of_wrong)).sum() / (2 * pairs))


def auprc(sureness: ArrayLike, right: ArrayLike) -> float | None:
    """Average precision: the share right among the surest, averaged over the pairs that are right.

    Tied pairs are taken in as one step: each has the share right down to the end of its block.

    Args, Raises: as for `auroc`.

    Returns:
        In (0, 1]; about the accuracy where sureness says nothing; None: no label is right.

    >>> round(auprc([3.0, 2.0, 1.0], [1, 0, 1]), 4)
    0.8333
    """
    of_right, of_wrong = _levels(sureness, right)
    if not (total := int(of_right.sum())):
        return None
    precision = np.cumsum(of_right) / np.cumsum(of_right + of_wrong)
    return float((of_right * precision).sum() / total)


def _right(right: ArrayLike) -> NDArray[np.bool_]:
    good = np.asarray(right).astype(bool)
    if good.ndim != 1:
        raise ValueError(f"`right` must be one-dimensional, not of shape {good.shape}")
    return good


def _same_shape(values: NDArray[np.float64], good: NDArray[np.bool_]) -> None:
    if values.shape != good.shape:
        raise ValueError(f"values and `right` must have one shape, not {values.shape} and {good.shape}")


def _levels(sureness: ArrayLike, right: ArrayLike) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """How many labels are right, and how many wrong, at each distinct sureness, the surest first."""
    values, good = np.asarray(sureness, dtype=np.float64), _right(right)
    _same_shape(values, good)
    if np.isnan(values).any():
        raise ValueError("a sureness is NaN; leave pairs without a label out")
    levels, place = np.unique(values, return_inverse=True)
    counts = [np.bincount(place[chosen], minlength=levels.size)[::-1] for chosen in (good, ~good)]
    return counts[0], counts[1]
