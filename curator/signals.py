"""What pairs can be ranked by: each signal makes log-odds of a judge's replies. Pure NumPy.

Above 0 the label is a, below 0 b, and the distance from 0 is the sureness; 0 is no label, NaN no verdict. So whatever
the signal, a threshold means the same and can be shown as an entropy. Which signal is used is chosen before results
are seen: picking the one that accepts most on the calibration rows is a choice that no promise covers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

import numpy as np
from numpy.typing import ArrayLike, NDArray

from curator.preference import log_odds, preference

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

LEAST = 1e-9
"""Log-odds of a label that only half of the replies name: ranked behind all others, and still a label."""


class Signal(StrEnum):
    """What a pair's label and sureness come from.

    BPE: the preference averaged over both orders.
    ONE_ORDER: the reply in order ab alone.
    AGREEMENT: the label of BPE, ranked by the share of replies that name it.
    VOTES: each reply of each judge is a vote, a tie half a vote for each side; ranked by the majority's share.
    VERBALISED: how sure the judge says it is of its verdicts, averaged over both orders.
    """

    BPE = "bpe"
    ONE_ORDER = "one-order"
    AGREEMENT = "agreement"
    VOTES = "votes"
    VERBALISED = "verbalised"


OF_ONE_JUDGE = (Signal.BPE, Signal.ONE_ORDER, Signal.VERBALISED)
"""Signals that each judge has by itself; the others count the replies of all judges."""


@dataclass(frozen=True, slots=True)
class Replies:
    """One judge's two replies to every pair. Arrays of shape (n_pairs,), in input order.

    Attributes:
        d_ab, d_ba: logprob(a) - logprob(b) in each order, in nats; +-inf for a bare verdict; NaN: there is no verdict.
        tie_ab, tie_ba: P(equal) among the judge's labels; None where no reply of it has one for that.
        stated_ab, stated_ba: P(a preferred) by the judge's own words; NaN: it said nothing. None: it never did.
    """

    d_ab: Floats
    d_ba: Floats
    tie_ab: Floats | None = None
    tie_ba: Floats | None = None
    stated_ab: Floats | None = None
    stated_ba: Floats | None = None

    @property
    def answered(self) -> Bools:
        """Where there is a verdict in both orders."""
        return ~(np.isnan(self.d_ab) | np.isnan(self.d_ba))

    def only(self, which: Bools) -> Replies:
        """The same, but for pairs that the judge was not to read: there it has no verdict."""
        return replace(self, d_ab=np.where(which, self.d_ab, np.nan), d_ba=np.where(which, self.d_ba, np.nan))

    def of(self, which: Bools) -> tuple[Floats, ...]:
        """The arguments of `curator.preference.preference` for some of the pairs."""
        columns = (self.d_ab, self.d_ba, self.tie_ab, self.tie_ba)
        return tuple(column[which] for column in columns if column is not None)


def of_judge(kind: Signal | str, one: Replies) -> Floats:
    """Log-odds of one judge by itself; those of several can be combined.

    Args:
        kind: BPE, ONE_ORDER or VERBALISED; the others count replies and need those of all judges (`of_replies`).

    Returns:
        Shape (n_pairs,). Odd under swapping a and b, except for ONE_ORDER, whose order ab is then the other one.

    Raises:
        ValueError: another signal, or VERBALISED of a judge that never said how sure it is.

    >>> one = Replies(np.array([3.0, np.nan]), np.array([3.0, -2.0]))
    >>> of_judge("bpe", one).round(6).tolist()
    [3.0, nan]
    """
    kind = Signal(kind)
    if kind is Signal.BPE:
        return _averaged(one.answered, *one.of(one.answered))
    if kind is Signal.ONE_ORDER:
        return _reply(one.d_ab, one.tie_ab)
    if kind is Signal.VERBALISED:
        if one.stated_ab is None or one.stated_ba is None:
            raise ValueError("the judge never said how sure it is")
        said = one.answered & ~(np.isnan(one.stated_ab) | np.isnan(one.stated_ba))
        return _averaged(said, log_odds(one.stated_ab[said]), log_odds(one.stated_ba[said]))
    raise ValueError(f"{kind} is no signal of one judge alone")


def of_replies(kind: Signal | str, replies: Sequence[Replies], averaged: ArrayLike) -> Floats:
    """Log-odds by counting the replies of all judges.

    Args:
        kind: AGREEMENT or VOTES.
        replies: one entry a judge (or template of a judge); one counts where it answered in both orders.
        averaged: the log-odds of BPE, of the one judge or of all combined, shape (n_pairs,); NaN: no verdict. It says
            which pairs have one, and gives AGREEMENT its labels.

    Returns:
        Shape (n_pairs,); +-inf where all replies agree. Odd under swapping a and b.

    Raises:
        ValueError: another signal, or no judge.

    >>> one = Replies(np.array([3.0, 1.0]), np.array([1.0, -2.0]))
    >>> of_replies("agreement", [one], of_judge("bpe", one)).tolist(), of_replies("votes", [one], [1.0, 1.0]).tolist()
    ([inf, -1e-09], [inf, 0.0])
    """
    kind, odds = Signal(kind), np.asarray(averaged, dtype=np.float64)
    if not replies:
        raise ValueError("no judge, no signal")
    for_a, cast = _half_votes(replies)
    if kind is Signal.VOTES:
        side = np.sign(2 * for_a - cast)
        share = np.maximum(for_a, cast - for_a)
        least = 0.0
    elif kind is Signal.AGREEMENT:
        side = np.sign(np.nan_to_num(odds, nan=0.0)).astype(np.int64)
        share = np.where(side > 0, for_a, cast - for_a)
        least = LEAST
    else:
        raise ValueError(f"{kind} does not count replies")
    # Of one rational number there is one quotient: equal shares of different numbers of votes stay tied.
    sure = np.maximum(log_odds(share / np.maximum(cast, 1)), least)
    found = np.zeros(odds.size)
    np.multiply(side, sure, out=found, where=side != 0)
    return np.where(np.isnan(odds), np.nan, found)


def sureness(odds: ArrayLike) -> Floats:
    """What pairs are ranked by; -inf, never accepted, where there is no verdict or no preference; shape as given.

    >>> sureness([-2.0, 0.0, np.nan]).tolist()
    [2.0, -inf, -inf]
    """
    values = np.abs(np.asarray(odds, dtype=np.float64))
    return np.where(np.isnan(values) | (values == 0), -np.inf, values)


def p_right(odds: ArrayLike) -> Floats:
    """The probability, in [1/2, 1], that log-odds claim for their label; shape as given.

    >>> p_right([0.0, -np.log(9), np.inf]).tolist()
    [0.5, 0.9, 1.0]
    """
    # Rounded, so that a share of votes like .7 lies in the bin that begins there.
    return np.round(1 / (1 + np.exp(-np.abs(np.asarray(odds, dtype=np.float64)))), 12)


def _averaged(which: Bools, *said: Floats) -> Floats:
    found = np.full(which.size, np.nan)
    found[which] = preference(*said).log_odds
    return found


def _reply(d: Floats, tie: Floats | None) -> Floats:
    """Log-odds of the replies in one order; 0 where neither response has more than half."""
    which = ~np.isnan(d)
    ties = () if tie is None else (tie[which], tie[which])
    return _averaged(which, d[which], d[which], *ties)


def _half_votes(replies: Sequence[Replies]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Half votes for a, and all half votes, of the judges that answered each pair."""
    for_a = np.zeros(replies[0].d_ab.size, dtype=np.int64)
    cast = np.zeros_like(for_a)
    for one in replies:
        for d, tie in ((one.d_ab, one.tie_ab), (one.d_ba, one.tie_ba)):
            vote = np.sign(np.nan_to_num(_reply(d, tie), nan=0.0)).astype(np.int64)
            for_a += np.where(one.answered, 1 + vote, 0)
            cast += np.where(one.answered, 2, 0)
    return for_a, cast
