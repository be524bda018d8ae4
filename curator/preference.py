"""From the two label log-odds of a pair, one per response order, to its preference. Pure NumPy.

Source: Badshah, Emami, Sajjad, SCOPE, arXiv:2602.13110, section 3.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]

_LN2 = np.log(2)

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


def _log_mean(x: Floats, y: Floats) -> Floats:
    """log((exp(x) + exp(y)) / 2) of values up to 0, also where exp gives 0; np.logaddexp is ten times slower."""
    high = np.maximum(x, y)
    with np.errstate(invalid="ignore"):  # -inf less -inf: both are impossible, and so is their mean
        difference = np.fmax(np.minimum(x, y) - high, -np.inf)
    return np.asarray(high + (np.log1p(np.exp(difference)) - _LN2), dtype=np.float64)


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
    # log sigmoid(x) is min(x, 0) - log1p(exp(-|x|)), and the second term serves -x too.
    rest_ab, rest_ba = np.log1p(np.exp(-np.abs(ab))), np.log1p(np.exp(-np.abs(ba)))
    log_p = _log_mean(np.minimum(ab, 0.0) - rest_ab, np.minimum(ba, 0.0) - rest_ba)
    log_q = _log_mean(np.minimum(-ab, 0.0) - rest_ab, np.minimum(-ba, 0.0) - rest_ba)
    log_odds = log_p - log_q
    log_odds = np.where(np.abs(log_odds) < TIE_TOLERANCE, 0.0, log_odds)
    # The larger probability by way of the smaller: near log 1 the sums above have no digits left.
    log_small = np.minimum(np.minimum(log_p, log_q), -_LN2)
    small = np.exp(log_small)
    large, log_large = 1.0 - small, np.log1p(-small)
    with np.errstate(invalid="ignore"):
        terms = np.where(small == 0.0, 0.0, log_small * small) + log_large * large
    a_is_small, b_is_small = log_p < log_q, log_q < log_p
    return Preference(
        np.where(a_is_small, small, large),
        np.where(b_is_small, small, large),
        log_odds,
        np.clip(0.0 - terms, 0.0, _LN2),
    )


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
