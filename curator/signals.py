"""What pairs can be ranked by: each signal makes a label and a sureness of a judge's replies. Pure NumPy.

The sureness of every signal is on the scale of log-odds, so that a threshold on it can be shown as an entropy. Which
signal is used is chosen before results are seen: picking the one that accepts most on the calibration rows is a choice
that no promise covers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

from curator.preference import Preference, log_odds, preference

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


class Signal(StrEnum):
    """What a pair's label and sureness come from.

    BPE: the preference averaged over both orders.
    ONE_ORDER: the reply in order ab alone.
    AGREEMENT: the label of BPE, ranked by the share of replies that name it.
    VOTES: each reply of each judge is one vote, a tie half a vote for each side; the sureness is the majority's share.
    VERBALISED: how sure the judge says it is of its verdicts, averaged over both orders.
    """

    BPE = "bpe"
    ONE_ORDER = "one-order"
    AGREEMENT = "agreement"
    VOTES = "votes"
    VERBALISED = "verbalised"


@dataclass(frozen=True, slots=True)
class Replies:
    """One judge's replies to every pair. Arrays of shape (n_pairs,).

    Attributes:
        d_ab, d_ba: logprob(a) - logprob(b) in each order, in nats; +-inf for a bare verdict; NaN: no reply.
        stated_ab, stated_ba: P(a preferred) by the judge's own words, in [0, 1]; NaN: it said nothing. None: never.
    """

    d_ab: Floats
    d_ba: Floats
    stated_ab: Floats | None = None
    stated_ba: Floats | None = None

    @property
    def answered(self) -> Bools:
        """Which pairs have a reply in both orders."""
        return ~(np.isnan(self.d_ab) | np.isnan(self.d_ba))


@dataclass(frozen=True, slots=True)
class Ranked:
    """Label and rank of every pair. Arrays of shape (n_pairs,).

    Attributes:
        log_odds: the label: above 0 for a, below 0 for b, 0 for none (no preference, or not answered).
        sureness: what pairs are ranked by, larger is surer: the log-odds of `p_right`; -inf: never accepted.
        p_right: the probability in [1/2, 1] that the signal claims for its label; 1/2 where there is none.
        answered: whether there were the replies that the signal needs.
    """

    log_odds: Floats
    sureness: Floats
    p_right: Floats
    answered: Bools


def by_preference(averaged: Preference, answered: Bools) -> Ranked:
    """Rank by the log-odds of a preference.

    Args:
        averaged: of the answered pairs alone, however it was combined; arrays of shape (answered.sum(),).
        answered: shape (n_pairs,).
    """
    odds = _spread(averaged.log_odds, answered, 0.0)
    claimed = _spread(np.maximum(averaged.p_a, averaged.p_b), answered, 0.5)
    return _ranked(odds, np.abs(odds), claimed, answered)


def signal(
    kind: Signal | str, replies: Sequence[Replies], *, averaged: Preference | None = None, every: bool = True
) -> Ranked:
    """Label and rank pairs by a signal.

    Args:
        kind: which one.
        replies: one entry a judge (or template of a judge); BPE, ONE_ORDER and VERBALISED take exactly one.
        averaged: for BPE and AGREEMENT, the preference to use, over the pairs that every judge answered (several judges
            combined); None: that of the one judge.
        every: for VOTES, a pair counts as answered when every judge has answered it; else when one has, and only those
            that did vote.

    Returns:
        Swapping a and b in the replies negates `log_odds` and changes nothing else, except for ONE_ORDER, whose order
        ab is then the other one.

    Raises:
        ValueError: unknown signal, no judge, or several where one is needed; or no confidence was ever stated.

    >>> one = Replies(np.array([3.0, 1.0]), np.array([1.0, -2.0]))
    >>> signal("agreement", [one]).p_right.tolist(), signal("one-order", [one]).sureness.tolist()
    ([1.0, 0.5], [3.0, 1.0])
    """
    kind = Signal(kind)
    if not replies:
        raise ValueError("no judge, no signal")
    if kind is Signal.VOTES:
        return _votes(replies, every)
    if kind is Signal.AGREEMENT:
        return _agreement(replies, averaged)
    if kind is Signal.BPE and averaged is not None:
        return by_preference(averaged, _all_answered(replies))
    if len(replies) > 1:
        raise ValueError(f"{kind} is of one judge, not of {len(replies)}")
    (one,) = replies
    if kind is Signal.BPE:
        return by_preference(_of_one(one), one.answered)
    if kind is Signal.ONE_ORDER:
        answered = ~np.isnan(one.d_ab)
        return by_preference(preference(one.d_ab[answered], one.d_ab[answered]), answered)
    if kind is Signal.VERBALISED:
        return _verbalised(one)
    raise ValueError(f"unknown signal {kind!r}")  # pragma: no cover - a new signal must be written here


def _of_one(one: Replies) -> Preference:
    return preference(one.d_ab[one.answered], one.d_ba[one.answered])


def _all_answered(replies: Sequence[Replies]) -> Bools:
    return np.asarray(np.logical_and.reduce([one.answered for one in replies]), dtype=bool)


def _points(replies: Sequence[Replies]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Half votes for a, and all half votes, of the judges that answered each pair."""
    for_a = np.zeros(replies[0].d_ab.size, dtype=np.int64)
    cast = np.zeros_like(for_a)
    for one in replies:
        for d in (one.d_ab, one.d_ba):
            for_a += np.where(one.answered, 1 + (d > 0) - (d < 0), 0)
            cast += np.where(one.answered, 2, 0)
    return for_a, cast


def _votes(replies: Sequence[Replies], every: bool) -> Ranked:
    for_a, cast = _points(replies)
    answered = _all_answered(replies) if every else cast > 0
    sign = np.where(answered, np.sign(2 * for_a - cast), 0)
    # Of one rational number there is one quotient: equal shares of different numbers of votes stay tied.
    share = np.maximum(for_a, cast - for_a) / np.maximum(cast, 1)
    claimed = np.where(answered, share, 0.5)
    sureness = log_odds(claimed)
    return _ranked(np.where(sign == 0, 0.0, sign * sureness), sureness, claimed, answered)


def _agreement(replies: Sequence[Replies], averaged: Preference | None) -> Ranked:
    if averaged is None:
        if len(replies) > 1:
            raise ValueError("several judges: give their averaged preference")
        averaged = _of_one(replies[0])
    answered = _all_answered(replies)
    odds = _spread(averaged.log_odds, answered, 0.0)
    for_a, cast = _points(replies)
    share = np.where(odds > 0, for_a, cast - for_a) / np.maximum(cast, 1)
    # Of two orders that differ the surer one gives the label: it is no less likely than not.
    claimed = np.where(answered, np.maximum(share, 0.5), 0.5)
    return _ranked(odds, log_odds(claimed), claimed, answered)


def _verbalised(one: Replies) -> Ranked:
    if one.stated_ab is None or one.stated_ba is None:
        raise ValueError("the judge has stated no confidence")
    answered = one.answered & ~(np.isnan(one.stated_ab) | np.isnan(one.stated_ba))
    return by_preference(preference(log_odds(one.stated_ab[answered]), log_odds(one.stated_ba[answered])), answered)


def _ranked(odds: Floats, sureness: Floats, claimed: Floats, answered: Bools) -> Ranked:
    labelled = answered & (odds != 0)
    return Ranked(odds, np.where(labelled, sureness, -np.inf), np.where(labelled, claimed, 0.5), answered)


def _spread(values: Floats, places: Bools, empty: float) -> Floats:
    full = np.full(places.size, empty)
    full[places] = values
    return full
