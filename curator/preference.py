"""From the two label log-odds of a pair, one per response order, to its preference. Pure NumPy.

Sources: Badshah, Emami, Sajjad, SCOPE, arXiv:2602.13110, section 3; averaging over {a, b, tie} in pair identity for
judges that may answer "equal": TrustJudge, arXiv:2509.21117.
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
        p_tie: P(both are equal); 0 for a judge that has no label for that.
        log_odds: log p - log(1 - p) of the response that has more than half of the probability, positive for a and
            negative for b; 0 where neither has. +-inf for a judge that gives bare verdicts.
        bpe: entropy, in nats, of that response against all else, in [0, ln 2] and ln 2 where neither has more than
            half; without a label for "equal" it is the bidirectional preference entropy. For people to read.
    """

    p_a: Floats
    p_b: Floats
    p_tie: Floats
    log_odds: Floats
    bpe: Floats

    @property
    def is_tie(self) -> NDArray[np.bool_]:
        """Where "equal" is the likeliest of the three. Such a pair has no preference, so it is never accepted."""
        return (self.p_tie > self.p_a) & (self.p_tie > self.p_b)

    @property
    def sureness(self) -> Floats:
        """|log_odds|: what pairs are ranked by. Unlike the entropy it does not underflow."""
        return np.abs(self.log_odds)


def _log_mean(x: Floats, y: Floats) -> Floats:
    """log((exp(x) + exp(y)) / 2) of values up to 0, also where exp gives 0; np.logaddexp is ten times slower."""
    return _log_sum(x, y, -_LN2)


def _log_sum(x: Floats, y: Floats, more: float = 0.0) -> Floats:
    """log(exp(x) + exp(y)) + more."""
    high = np.maximum(x, y)
    with np.errstate(invalid="ignore"):  # -inf less -inf: both are impossible, and so is their sum
        difference = np.fmax(np.minimum(x, y) - high, -np.inf)
    return np.asarray(high + (np.log1p(np.exp(difference)) + more), dtype=np.float64)


def preference(
    d_ab: ArrayLike, d_ba: ArrayLike, tie_ab: ArrayLike | None = None, tie_ba: ArrayLike | None = None
) -> Preference:
    """Average a judge's preference over both response orders.

    In each order "equal" has its probability t, and the rest is split between a and b by the log-odds d; the average
    over the orders is taken in {a, b, tie}. Where neither response has more than half of it there is no preference,
    whether the judge calls them equal or not.

    Args:
        d_ab: logprob(a) - logprob(b) of the judge's reply when a was shown first; shape (n_pairs,).
        d_ba: the same difference, still about a and b, when b was shown first. May be infinite.
        tie_ab: P(equal) of the reply when a was shown first, in [0, 1]; same shape. None: there is no such label.
        tie_ba: the same when b was shown first; None where `tie_ab` is, and only there.

    Returns:
        The averaged preference; swapping a and b in the input negates `log_odds` and swaps `p_a` and `p_b`.

    Raises:
        ValueError: shapes differ, a value is NaN, or a probability lies outside [0, 1].

    >>> preference([np.log(9)], [np.log(4)]).p_a.round(3).tolist()
    [0.85]
    >>> preference([2.0], [-2.0]).log_odds.tolist()
    [0.0]
    >>> got = preference([np.log(9)], [np.log(4)], [0.2], [0.0])
    >>> got.p_a.round(3).tolist(), got.p_b.round(3).tolist(), got.p_tie.round(3).tolist()
    ([0.76], [0.14], [0.1])
    """
    ab, ba = np.asarray(d_ab, dtype=np.float64), np.asarray(d_ba, dtype=np.float64)
    if ab.shape != ba.shape:
        raise ValueError(f"d_ab and d_ba must have one shape, not {ab.shape} and {ba.shape}")
    if np.isnan(ab).any() or np.isnan(ba).any():
        raise ValueError("a log-odds value is NaN; leave pairs that were not judged out")
    if (tie_ab is None) != (tie_ba is None):
        raise ValueError("tie_ab and tie_ba must both be given, or neither")
    # log sigmoid(x) is min(x, 0) - log1p(exp(-|x|)), and the second term serves -x too.
    rest_ab, rest_ba = np.log1p(np.exp(-np.abs(ab))), np.log1p(np.exp(-np.abs(ba)))
    if tie_ab is None or tie_ba is None:
        log_p = _log_mean(np.minimum(ab, 0.0) - rest_ab, np.minimum(ba, 0.0) - rest_ba)
        log_q = _log_mean(np.minimum(-ab, 0.0) - rest_ab, np.minimum(-ba, 0.0) - rest_ba)
        log_odds = log_p - log_q
        log_odds = np.where(np.abs(log_odds) < TIE_TOLERANCE, 0.0, log_odds)
        small, bpe = _small(np.minimum(log_p, log_q))
        p_a, p_b = np.where(log_p < log_q, small, 1.0 - small), np.where(log_q < log_p, small, 1.0 - small)
        return Preference(p_a, p_b, np.zeros(ab.shape), log_odds, bpe)
    (log_t_ab, log_r_ab), (log_t_ba, log_r_ba) = _log_shares("tie_ab", tie_ab, ab), _log_shares("tie_ba", tie_ba, ab)
    log_p = _log_mean(np.minimum(ab, 0.0) - rest_ab + log_r_ab, np.minimum(ba, 0.0) - rest_ba + log_r_ba)
    log_q = _log_mean(np.minimum(-ab, 0.0) - rest_ab + log_r_ab, np.minimum(-ba, 0.0) - rest_ba + log_r_ba)
    log_t = _log_mean(log_t_ab, log_t_ba)
    log_not_p, log_not_q = _log_sum(log_q, log_t), _log_sum(log_p, log_t)
    a_wins, b_wins = log_p - log_not_p >= TIE_TOLERANCE, log_q - log_not_q >= TIE_TOLERANCE
    log_odds = np.where(a_wins, log_p - log_not_p, np.where(b_wins, log_not_q - log_q, 0.0))
    small, bpe = _small(np.minimum(log_not_p, log_not_q))
    p_a, p_b = np.where(a_wins, 1.0 - small, np.exp(log_p)), np.where(b_wins, 1.0 - small, np.exp(log_q))
    return Preference(p_a, p_b, np.exp(log_t), log_odds, bpe)


def _log_shares(name: str, tie: ArrayLike, like: Floats) -> tuple[Floats, Floats]:
    """Logarithms of the probability of a tie and of what it leaves."""
    t = np.asarray(tie, dtype=np.float64)
    if t.shape != like.shape:
        raise ValueError(f"{name} must have the shape of d_ab, {like.shape}, not {t.shape}")
    if not ((t >= 0) & (t <= 1)).all():
        raise ValueError(f"{name} must lie in [0, 1], and none may be NaN")
    with np.errstate(divide="ignore"):
        return np.log(t), np.log1p(-t)


def _small(log_small: Floats) -> tuple[Floats, Floats]:
    """The smaller of two probabilities that sum to 1, and their entropy in nats; both are even where it is above half.

    The larger follows from the smaller: near log 1 sums of logarithms have no digits left.
    """
    log_small = np.minimum(log_small, -_LN2)
    small = np.exp(log_small)
    with np.errstate(invalid="ignore"):
        terms = np.where(small == 0.0, 0.0, log_small * small) + np.log1p(-small) * (1.0 - small)
    return small, np.clip(0.0 - terms, 0.0, _LN2)


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
