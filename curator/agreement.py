"""How far people agree, with each other and with judges, and what each annotator's word weighs. Pure.

The unit is the pair. Verdicts about one pair hang together, so that nothing here counts or draws verdicts one by one:

- The agreement on a pair is the share of its couples of people who say the same, and the figure is the mean over pairs.
  Its interval is Clopper-Pearson's over pairs: exact where each pair has one couple, and wider than need be where it
  has several, for a mean of shares varies less than one of coins. So it also stands where everybody agrees.
- Krippendorff's alpha and differences are ratios and have no exact interval: it comes from a bootstrap that draws whole
  pairs (2,000 draws, fixed seed, percentiles). Pairs of equal votes are drawn together, as a multinomial.

Both take pairs as independent; where a prompt has many pairs, they are a little too narrow.

Verdicts are codes: 0 is a, 1 is b, 2 is a tie. "Both bad" prefers neither response and is a tie; a skip is missing.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from curator.intervals import clopper_pearson

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

CONFIDENCE = 0.95

CODES = 3
"""How many verdicts there are: a, b, tie."""

DRAWS, SEED = 2_000, 0

ENOUGH = 20
"""Pairs that each part of a difference must rest on."""

PRIOR = 10
"""Pairs of average agreement that every annotator's weight starts from."""


@dataclass(frozen=True, slots=True)
class Agreement:
    """How far verdicts on the same pairs agree.

    Attributes:
        pairs: on which somebody can be compared with somebody.
        agreement, low, high: the chance that two of a pair's people say the same, and its interval; None: no pairs.
        alpha, alpha_low, alpha_high: Krippendorff's alpha, nominal: 1 is perfect, 0 what chance would give. None where
            all verdicts are one and the same; the interval is None where resampling changes nothing.
    """

    pairs: int
    agreement: float | None
    low: float | None
    high: float | None
    alpha: float | None
    alpha_low: float | None
    alpha_high: float | None


def count_votes(pair: ArrayLike, verdict: ArrayLike, pairs: int) -> Ints:
    """How often each verdict was given on each pair.

    Args:
        pair: of each label, 0 to pairs - 1; shape (n_labels,).
        verdict: its code; same shape.

    Returns:
        Shape (pairs, 3).

    >>> count_votes([0, 0, 1], [0, 2, 1], 2).tolist()
    [[1, 0, 1], [0, 1, 0]]
    """
    place = np.asarray(pair, dtype=np.int64) * CODES + np.asarray(verdict, dtype=np.int64)
    return np.bincount(place, minlength=pairs * CODES).reshape(pairs, CODES)


def among(votes: Ints) -> Agreement:
    """How far people agree with each other.

    Args:
        votes: how often each verdict was given on each pair; shape (n_pairs, 3).

    Source: Krippendorff, Computing Krippendorff's Alpha-Reliability (2011).

    >>> found = among(np.array([[2, 0, 0]] * 6 + [[0, 2, 0]] * 2 + [[1, 1, 0]] * 2))
    >>> found.pairs, found.agreement, round(found.alpha, 4)
    (10, 0.8, 0.5476)
    """
    import krippendorff

    votes = votes[votes.sum(axis=1) >= 2]
    kinds, times = _kinds(votes)
    people = kinds.sum(axis=1)[:, None, None]
    couples = kinds[:, :, None] * kinds[:, None, :] - kinds[:, :, None] * np.eye(CODES, dtype=np.int64)
    alpha = None
    if np.count_nonzero(votes.sum(axis=0)) > 1:
        alpha = float(krippendorff.alpha(value_counts=votes, level_of_measurement="nominal"))
    return _measured(couples / (people - 1), times, alpha)


def against(one: ArrayLike, others: Ints) -> Agreement:
    """How far one annotator, or one judge, agrees with (other) people, each pair weighing the same.

    Args:
        one: the code of the one's verdict on each pair, -1 where there is none; shape (n_pairs,).
        others: what people said, this one apart; shape (n_pairs, 3).

    >>> against([0, 0, 1, -1], np.array([[1, 1, 0], [2, 0, 0], [0, 1, 0], [1, 0, 0]])).agreement
    0.8333333333333334
    """
    said = np.asarray(one, dtype=np.int64)
    here = (said >= 0) & (others.sum(axis=1) > 0)
    kinds, times = _kinds(np.column_stack([said[here], others[here]]))
    shares = kinds[:, 1:] / kinds[:, 1:].sum(axis=1, keepdims=True)
    half = np.eye(CODES)[kinds[:, 0]][:, :, None] * shares[:, None, :]
    couples = half + half.transpose(0, 2, 1)
    alphas = _alphas(np.tensordot(times, couples, axes=1)[None])
    return _measured(couples, times, None if np.isnan(alphas[0]) else float(alphas[0]))


def _kinds(rows: Ints) -> tuple[Ints, Ints]:
    """The distinct rows, and how often each occurs."""
    kinds, times = np.unique(rows, axis=0, return_counts=True)
    return kinds.astype(np.int64), times.astype(np.int64)


def _measured(couples: Floats, times: Ints, alpha: float | None) -> Agreement:
    """Figures and intervals.

    Args:
        couples: coincidences of each kind of pair, symmetric, by Krippendorff's weights; shape (n_kinds, 3, 3).
        times: pairs of each kind.
    """
    pairs = int(times.sum())
    if not pairs:
        return Agreement(0, None, None, None, alpha, None, None)
    shares = np.trace(couples, axis1=1, axis2=2) / couples.sum(axis=(1, 2))
    same = min(float(times @ shares), float(pairs))
    low, high = clopper_pearson(same, pairs, CONFIDENCE)
    drawn = _alphas(np.tensordot(_resampled(times), couples, axes=1))
    alpha_low, alpha_high = _percentiles(drawn, CONFIDENCE) if alpha is not None else (None, None)
    return Agreement(pairs, same / pairs, low, high, alpha, alpha_low, alpha_high)


def _resampled(times: Ints) -> Ints:
    """How often each kind of pair is drawn, in each bootstrap draw; shape (DRAWS, n_kinds)."""
    pairs = int(times.sum())
    return np.random.default_rng(SEED).multinomial(pairs, times / pairs, size=DRAWS)


def _alphas(couples: Floats) -> Floats:
    """Krippendorff's alpha of coincidence matrices; shape (n, 3, 3) to (n,), NaN where there is one verdict only."""
    values = couples.sum(axis=2)
    n = values.sum(axis=1)
    apart = n - np.trace(couples, axis1=1, axis2=2)
    by_chance = n**2 - (values**2).sum(axis=1)
    ratio = np.divide((n - 1) * apart, by_chance, out=np.full(n.shape, np.nan), where=by_chance > 1e-9)
    return np.asarray(1 - ratio, dtype=np.float64)


def _percentiles(drawn: Floats, confidence: float) -> tuple[float | None, float | None]:
    """The middle of bootstrap draws; None where they tell nothing: hardly any has a value, or all have the same."""
    known = drawn[~np.isnan(drawn)]
    if 10 * known.size < 9 * drawn.size or np.ptp(known) == 0:
        return None, None
    low, high = np.quantile(known, [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(low), float(high)


@dataclass(frozen=True, slots=True)
class Difference:
    """Whether people of two groups agree with their own more than with each other.

    Attributes:
        between: how far people of one group agree with those of the other.
        same_pairs: whether within and between are compared on the very same pairs. If not, it must be chance who was
            asked about what.
        pairs: that the comparison rests on, in each group.
        excess: how much more people of each group agree with each other than with the other group; None: too few pairs.
        difference, low, high: the mean of the two. It is 0 where people of both groups answer alike, each pair taken by
            itself, and above 0 where they do not. None: too few pairs.
        least: the lower end of what is certain of the smaller excess. Where it is above 0, unequal care is not enough
            to explain the difference: of two groups that want the same, the more careless agrees less with its own than
            with the other.
        confidence: of the interval.
    """

    between: Agreement
    same_pairs: bool
    pairs: tuple[int, int]
    excess: tuple[float | None, float | None]
    difference: float | None
    low: float | None
    high: float | None
    least: float | None
    confidence: float

    @property
    def differ(self) -> bool:
        """Whether the interval lies above 0."""
        return self.low is not None and self.low > 0

    @property
    def beyond_care(self) -> bool:
        """Whether each group, for certain, agrees more with its own than with the other."""
        return self.least is not None and self.least > 0


def difference(one: Ints, other: Ints, confidence: float = CONFIDENCE) -> Difference:
    """Compare agreement within two groups with agreement between them.

    On a pair with two of a group and one of the other, the first two are compared with each other and with the third:
    what makes a pair hard is then the same for both. Where fewer than `ENOUGH` pairs have that, all pairs are used, and
    who was asked about what must have been chance. Bootstrap over pairs, for a difference of means has no exact
    interval; it speaks of these annotators on more such pairs, not of other people of their kind.

    Args:
        one, other: what people of each group said; shape (n_pairs, 3).
        confidence: of the interval; where several couples of groups are compared, more than of one.
    """
    kinds, times = _kinds(np.concatenate([one, other], axis=1))
    votes = (kinds[:, :CODES], kinds[:, CODES:])
    met = (votes[0].sum(axis=1) > 0) & (votes[1].sum(axis=1) > 0)
    within, several = zip(*(_couples_within(part) for part in votes), strict=True)
    between = _couples_between(votes[0][met], votes[1][met])
    shared = np.zeros(times.size)
    shared[met] = np.trace(between, axis1=1, axis2=2) / 2
    alphas = _alphas(np.tensordot(times[met], between, axes=1)[None])
    found = _measured(between, times[met], None if np.isnan(alphas[0]) else float(alphas[0]))
    same = [part & met for part in several]
    paired = all(int(times[part].sum()) >= ENOUGH for part in same)
    used = same if paired else list(several)
    counts = (int(times[used[0]].sum()), int(times[used[1]].sum()))
    if min(*counts, found.pairs) < ENOUGH:
        return Difference(found, paired, counts, (None, None), None, None, None, None, confidence)

    def excess(weights: Ints) -> Floats:
        """Of each draw and group; shape (n_draws, 2)."""
        parts = []
        for share, part in zip(within, used, strict=True):
            compared = part if paired else met
            parts.append(_mean(weights, share, part) - _mean(weights, shared, compared))
        return np.stack(parts, axis=1)

    seen, drawn = excess(times[None])[0], excess(_resampled(times))
    low, high = _percentiles(drawn.mean(axis=1), confidence)
    least, _ = _percentiles(drawn.min(axis=1), confidence)
    return Difference(
        found, paired, counts, (float(seen[0]), float(seen[1])), float(seen.mean()), low, high, least, confidence
    )


def _couples_within(votes: Ints) -> tuple[Floats, NDArray[np.bool_]]:
    """Share of couples on each pair that say the same, and whether there is a couple."""
    people = votes.sum(axis=1)
    same, couples = (votes * (votes - 1)).sum(axis=1), people * (people - 1)
    return np.divide(same, couples, out=np.zeros(same.shape), where=couples > 0), people >= 2


def _couples_between(one: Ints, other: Ints) -> Floats:
    """Coincidences of a person of each group on each pair; shape (n_pairs, 3, 3)."""
    shares = [part / part.sum(axis=1, keepdims=True) for part in (one, other)]
    half = shares[0][:, :, None] * shares[1][:, None, :]
    return np.asarray(half + half.transpose(0, 2, 1), dtype=np.float64)


def _mean(weights: Ints, values: Floats, part: NDArray[np.bool_]) -> Floats:
    """Weighted mean over the pairs of `part`, of each draw; NaN where none of them was drawn."""
    total = weights[:, part].sum(axis=1)
    sums = weights[:, part] @ values[part]
    found: Floats = np.divide(sums, total, out=np.full(total.shape, np.nan), where=total > 0)
    return found


def agreeing(pair: ArrayLike, annotator: ArrayLike, verdict: ArrayLike, annotators: int) -> tuple[Floats, float]:
    """What each annotator's word weighs: how far he or she agrees with the others.

    It is the share of others who say the same, over the pairs that others labelled too, and over `PRIOR` more pairs on
    which it is taken to be that of all annotators: nobody weighs much or little by the luck of a few pairs, and whoever
    shares no pair with others has the mean. Nothing but people's labels goes into it.

    Args:
        pair, annotator, verdict: of each label, as codes from 0; shape (n_labels,).
        annotators: how many there are.

    Returns:
        Weights, shape (annotators,), and the mean; all 1 where no pair has two annotators.

    >>> weights, mean = agreeing([0, 0, 0, 1, 1, 2], [0, 1, 2, 0, 1, 3], [0, 0, 1, 1, 1, 0], 4)
    >>> weights.round(3).tolist(), mean
    ([0.625, 0.625, 0.545, 0.6], 0.6)
    """
    rows, who, said = (np.asarray(one, dtype=np.int64) for one in (pair, annotator, verdict))
    votes = count_votes(rows, said, int(rows.max(initial=-1)) + 1)
    others = votes.sum(axis=1)[rows] - 1
    met = others > 0
    if not met.any():
        return np.ones(annotators), 1.0
    shares = (votes[rows, said][met] - 1) / others[met]
    mean = float(shares.mean())
    total = np.bincount(who[met], shares, annotators) + PRIOR * mean
    return total / (np.bincount(who[met], minlength=annotators) + PRIOR), mean
