"""What the figures show, as a few numbers: arrays of any length in, small results out. NumPy and SciPy alone."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np
from numpy.typing import ArrayLike, NDArray

from curator.conformal import Calibration, Guarantee, calibrate
from curator.intervals import clopper_pearson

Ints = NDArray[np.int64]

ENTROPY_BINS = 28
RELIABILITY_BINS = 10
ORDER_BINS = 20


def over_alpha(
    scores: ArrayLike, errors: ArrayLike, pool: ArrayLike, guarantee: Guarantee, alpha: Fraction, delta: Fraction
) -> list[Calibration]:
    """The rule at a tenth of the chosen alpha, two tenths, and so on up to three times alpha: for planning.

    Args:
        scores, errors, pool: as for `curator.conformal.calibrate`, shapes (n,), (n,) and (m,).
        alpha: the level that was chosen; it is one of those looked at.

    Returns:
        One calibration a level, ascending; levels over one half are left out unless alpha itself is.

    >>> [float(c.alpha) for c in over_alpha([], [], [], Guarantee.FDR, Fraction("0.4"), Fraction("0.1"))][-3:]
    [0.4, 0.44, 0.48]
    """
    batch = np.sort(np.asarray(pool, dtype=np.float64))  # each level sorts it: what is sorted already is quick
    most = max(alpha, Fraction(1, 2))
    levels = [(alpha * tenth / 10).limit_denominator(10**6) for tenth in range(1, 31) if alpha * tenth / 10 <= most]
    return [
        calibrate(scores, errors, batch, guarantee=guarantee, alpha=level, delta=delta) for level in levels if level
    ]


def together(found: Sequence[Calibration]) -> Calibration:
    """The sums over some groups, at one level; the threshold is that of the least sure pair."""
    cuts = [one.threshold for one in found if one.threshold is not None]
    sums = {
        name: sum(getattr(one, name) for one in found) for name in ("n", "n_errors", "m", "k", "errors", "accepted")
    }
    return replace(found[0], threshold=min(cuts, default=None), **sums)


def observed_risk(found: Calibration) -> float | None:
    """The risk that a rule bounds, as the calibration rows have it; None where it accepts none of them.

    Wrong among accepted for `fdr` and `pac`, accepted and wrong for `scope`.
    """
    if not found.k:
        return None
    return found.errors / (found.n if found.guarantee is Guarantee.SCOPE else found.k)


@dataclass(frozen=True, slots=True)
class EntropyCounts:
    """Pairs by bidirectional preference entropy; `edges` has one more than the counts, from 0 to ln 2."""

    edges: NDArray[np.float64]
    accepted: Ints
    abstained: Ints


def entropy_counts(bpe: ArrayLike, accepted: ArrayLike) -> EntropyCounts:
    """Count accepted and abstained pairs in equal bins of BPE.

    Args:
        bpe: in nats, shape (n,); NaN (not judged) is left out.
        accepted: shape (n,), of bool.
    """
    values, taken = np.asarray(bpe, dtype=np.float64), np.asarray(accepted, dtype=bool)
    edges = np.linspace(0.0, math.log(2), ENTROPY_BINS + 1)
    both = [np.histogram(np.minimum(values[which], edges[-1]), edges)[0] for which in (taken, ~taken)]
    return EntropyCounts(edges, both[0].astype(np.int64), both[1].astype(np.int64))


@dataclass(frozen=True, slots=True)
class Reliable:
    """Labelled pairs to whose label the judge gives about the same probability.

    Attributes:
        low, high: that probability lies in [low, high); the last bin includes 1.
        n, agree: pairs, and those of them on which people give that label.
        p: mean of the judge's probability.
        agree_low, agree_high: 95% Clopper-Pearson interval of how often people agree.
    """

    low: float
    high: float
    n: int
    agree: int
    p: float
    agree_low: float
    agree_high: float


def reliability(p: ArrayLike, agree: ArrayLike) -> list[Reliable]:
    """Bin labelled pairs by the probability of the judge's own label; empty bins are left out.

    Args:
        p: probability of the label that the judge gives, in [.5, 1], shape (n,).
        agree: whether people give that label, shape (n,).
    """
    # Rounded, so that a share of votes like .7 lies in the bin that begins there.
    values, right = np.round(np.asarray(p, dtype=np.float64), 12), np.asarray(agree, dtype=bool)
    edges = np.round(np.linspace(0.5, 1.0, RELIABILITY_BINS + 1), 12)
    place = np.clip(np.searchsorted(edges, values, side="right") - 1, 0, RELIABILITY_BINS - 1)
    n = np.bincount(place, minlength=RELIABILITY_BINS)
    hits = np.bincount(place, right, RELIABILITY_BINS).astype(np.int64)
    total = np.bincount(place, values, RELIABILITY_BINS)
    return [
        Reliable(
            float(edges[i]), float(edges[i + 1]), int(n[i]), int(hits[i]), float(total[i] / n[i]),
            *clopper_pearson(int(hits[i]), int(n[i])),
        )
        for i in np.flatnonzero(n)
    ]  # fmt: skip


@dataclass(frozen=True, slots=True)
class OrderCounts:
    """One judge's pairs by its probability of a in each order.

    Attributes:
        grid: pairs by P(a) when a was shown first (rows) and when b was (columns), in equal bins of [0, 1].
        same: both orders prefer the same response.
        first, second: the response shown first, or second, wins both times.
        undecided: no preference in one order or in both.
    """

    grid: Ints
    same: int
    first: int
    second: int
    undecided: int

    @property
    def pairs(self) -> int:
        return self.same + self.first + self.second + self.undecided


def order_counts(
    bin_ab: ArrayLike, bin_ba: ArrayLike, sign_ab: ArrayLike, sign_ba: ArrayLike, n: ArrayLike
) -> OrderCounts:
    """Sum up groups of pairs. All arguments have shape (groups,).

    Args:
        bin_ab, bin_ba: the bin of P(a) in each order, from 0 to `ORDER_BINS` - 1.
        sign_ab, sign_ba: the preference in each order. 1: a; -1: b; 0: none.
        n: pairs of the group.
    """
    x, y = np.asarray(bin_ab, dtype=np.int64), np.asarray(bin_ba, dtype=np.int64)
    ab, ba, count = np.asarray(sign_ab), np.asarray(sign_ba), np.asarray(n, dtype=np.int64)
    grid = np.zeros((ORDER_BINS, ORDER_BINS), dtype=np.int64)
    np.add.at(grid, (x, y), count)
    same, against = (ab * ba == 1), (ab * ba == -1)
    return OrderCounts(
        grid, int(count[same].sum()), int(count[against & (ab == 1)].sum()), int(count[against & (ab == -1)].sum()),
        int(count[ab * ba == 0].sum()),
    )  # fmt: skip


def evenly(sureness: ArrayLike, positions: ArrayLike, count: int) -> list[int]:
    """Positions of a few pairs from the surest to the least sure, evenly by rank; equally sure ones by position.

    >>> evenly([5.0, 1.0, 3.0, 4.0, 2.0], [10, 11, 12, 13, 14], 3)
    [10, 12, 11]
    """
    places = np.asarray(positions, dtype=np.int64)
    ranked = places[np.lexsort((places, -np.asarray(sureness, dtype=np.float64)))]
    if ranked.size <= count:
        return [int(place) for place in ranked]
    return [int(ranked[(ranked.size - 1) * step // (count - 1)]) for step in range(count)]
