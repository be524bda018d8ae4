"""From the two label log-odds of a pair, one per response order, to its preference. Pure NumPy.

Source: Badshah, Emami, Sajjad, SCOPE, arXiv:2602.13110, section 3.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]

TIE_TOLERANCE = 1e-12
"""Log-odds nearer to zero than this are a tie: probabilities like .9 and .1 do not cancel exactly in binary."""


@dataclass(frozen=True, slots=True)
class Preference:
    """Preference between a and b, averaged over both orders. Every array has shape (n_pairs,).

    Attributes:
        p_a: P(a preferred), in [0, 1].
        p_b: P(b preferred); computed on its own, since 1 - p_a loses every digit of a sure preference.
        log_odds: log p_a - log p_b; 0 for a tie, +-inf for a judge that gives bare verdicts.
        bpe: bidirectional preference entropy in nats, in [0, ln 2]; for people to read.
    """

    p_a: Floats
    p_b: Floats
    log_odds: Floats
    bpe: Floats

    @property
    def sureness(self) -> Floats:
        """|log_odds|: what pairs are ranked by. Unlike the entropy it does not underflow."""
        return np.abs(self.log_odds)


def _log_sigmoid(x: Floats) -> Floats:
    return -np.logaddexp(0.0, -x)


def _entropy_terms(log_p: Floats) -> Floats:
    with np.errstate(invalid="ignore"):
        return np.where(np.isneginf(log_p), 0.0, -log_p * np.exp(log_p))


def preference(d_ab: ArrayLike, d_ba: ArrayLike) -> Preference:
    """Average a judge's preference over both response orders.

    Args:
        d_ab: logprob(a) - logprob(b) of the judge's reply when a was shown first; shape (n_pairs,).
        d_ba: the same difference, still about a and b, when b was shown first. May be infinite.

    Returns:
        The averaged preference; swapping a and b in the input negates `log_odds` and swaps `p_a` and `p_b`.

    Raises:
        ValueError: shapes differ, or a value is NaN.

    >>> preference([np.log(9)], [np.log(4)]).p_a.round(3).tolist()
    [0.85]
    >>> preference([2.0], [-2.0]).log_odds.tolist()
    [0.0]
    """
    ab, ba = np.asarray(d_ab, dtype=np.float64), np.asarray(d_ba, dtype=np.float64)
    if ab.shape != ba.shape:
        raise ValueError(f"d_ab and d_ba must have one shape, not {ab.shape} and {ba.shape}")
    if np.isnan(ab).any() or np.isnan(ba).any():
        raise ValueError("a log-odds value is NaN; leave pairs that were not judged out")
    log_p = np.logaddexp(_log_sigmoid(ab), _log_sigmoid(ba)) - np.log(2)
    log_q = np.logaddexp(_log_sigmoid(-ab), _log_sigmoid(-ba)) - np.log(2)
    log_odds = log_p - log_q
    log_odds = np.where(np.abs(log_odds) < TIE_TOLERANCE, 0.0, log_odds)
    # The larger probability by way of the smaller: near log 1 the sums above have no digits left.
    small = np.minimum(log_p, log_q)
    large = np.where(log_p == log_q, small, np.log1p(-np.exp(np.minimum(small, -np.log(2)))))
    log_p, log_q = np.where(log_p < log_q, small, large), np.where(log_q < log_p, small, large)
    bpe = np.clip(_entropy_terms(log_p) + _entropy_terms(log_q), 0.0, np.log(2))
    return Preference(np.exp(log_p), np.exp(log_q), log_odds, bpe)


def log_odds(p: ArrayLike) -> Floats:
    """log p - log(1 - p) of probabilities; +-inf at 1 and 0.

    Raises:
        ValueError: a value is NaN or outside [0, 1].

    >>> log_odds([0.5, 1.0]).tolist()
    [0.0, inf]
    """
    values = np.asarray(p, dtype=np.float64)
    if not ((values >= 0) & (values <= 1)).all():
        raise ValueError("probabilities must lie in [0, 1], and none may be NaN")
    with np.errstate(divide="ignore"):
        return np.log(values) - np.log1p(-values)


def bidirectional_preference_entropy(p_ab: ArrayLike, p_ba: ArrayLike) -> Floats:
    """Entropy, in nats, of the preference averaged over both response orders.

    Args:
        p_ab: P(a preferred) when a was shown first; shape (n_pairs,), in [0, 1].
        p_ba: P(a preferred) when b was shown first; same shape. About `a`, not "the first shown".

    Returns:
        Shape (n_pairs,), in [0, ln 2]. 0: certain; ln 2: no preference. Equal under swapping a and b.

    Raises:
        ValueError: shapes differ, or a value is NaN or outside [0, 1].

    Source: Badshah, Emami, Sajjad, SCOPE, arXiv:2602.13110, section 3.

    >>> bidirectional_preference_entropy([0.9, 1.0], [0.1, 1.0]).round(3).tolist()
    [0.693, 0.0]
    """
    return preference(log_odds(p_ab), log_odds(p_ba)).bpe


def entropy_at(sureness: float) -> float:
    """The BPE, in nats, of a pair whose |log-odds| is `sureness`: how a threshold is shown to people.

    >>> round(entropy_at(0.0), 3), entropy_at(float("inf"))
    (0.693, 0.0)
    """
    return float(preference([sureness], [sureness]).bpe[0])
