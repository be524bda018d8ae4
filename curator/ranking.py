"""The order of all responses to a prompt, from what is known of its pairs. Pure.

It promises nothing: it reads every pair that was judged, those that were abstained on among them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]

TIE = 0.01
"""Beside its shares, every pair counts so much of a win for either side: without that, a response that certainly wins
all of its pairs would be infinitely strong. Of one certain pair it makes log-odds of log(1.01 / .01) = 4.6."""

DIGITS = 6
"""Decimals of a strength. The fit is finer: what differs less is equal, on any machine."""

_TOLERANCE, _ITERATIONS = 1e-10, 300


class Unranked(StrEnum):
    """Why the responses to a prompt have no common order."""

    APART = "the pairs that are known do not connect all responses"
    FAR = "strengths are too far apart to compute"


@dataclass(frozen=True, slots=True)
class Ranking:
    """The responses to a prompt, best first.

    Attributes:
        order: places of the responses in the input; of equal ones, the smaller key is first.
        strengths: their log-strengths by Bradley-Terry, falling, with mean 0: the log-odds between two are their
            difference.
    """

    order: tuple[int, ...]
    strengths: tuple[float, ...]


def rank(
    keys: Sequence[str], first: Sequence[int], second: Sequence[int], won: ArrayLike, lost: ArrayLike
) -> Ranking | Unranked:
    """Order responses by the Bradley-Terry model that fits what is known of their pairs best.

    The result is the same to the last bit in whatever order responses and pairs come, and whichever of two is first.

    Args:
        keys: of each response, different ones; shape (n,).
        first, second: the responses of each pair, as places in `keys`; shape (m,).
        won: P(first is better) of each pair, half of a tie included; shape (m,), in [0, 1]. A person's verdict: 1, 0
            or .5.
        lost: P(second is better), likewise.

    Raises:
        ValueError: shapes differ, a value is no probability, or keys are not different.

    >>> rank(["x", "y", "z"], [0, 1], [1, 2], [0.9, 0.2], [0.1, 0.8])
    Ranking(order=(0, 2, 1), strengths=(0.958667, 0.19563, -1.154297))
    """
    wins, losses = np.asarray(won, dtype=np.float64), np.asarray(lost, dtype=np.float64)
    if not len(first) == len(second) == wins.size == losses.size or len(set(keys)) != len(keys):
        raise ValueError("every response needs a key of its own, and every pair two responses and two probabilities")
    if not ((wins >= 0) & (wins <= 1) & (losses >= 0) & (losses <= 1)).all():
        raise ValueError("probabilities must lie in [0, 1], and none may be NaN")
    by_key = sorted(range(len(keys)), key=keys.__getitem__)
    seat = {place: number for number, place in enumerate(by_key)}
    directed = [
        found
        for i, j, win, loss in zip(first, second, wins.tolist(), losses.tolist(), strict=True)
        for found in ((seat[i], seat[j], win), (seat[j], seat[i], loss))
    ]
    matrix = np.zeros((len(keys), len(keys)))
    for winner, loser, share in sorted(directed):
        matrix[winner, loser] += share + TIE
    strengths = _strengths(matrix)
    if isinstance(strengths, Unranked):
        return strengths
    best = np.argsort(-strengths, kind="stable").tolist()
    return Ranking(tuple(by_key[number] for number in best), tuple(float(strengths[number]) for number in best))


def _strengths(matrix: Floats) -> Floats | Unranked:
    """Log-strengths from the matrix of how much each wins against each; shape (n,), rounded."""
    import choix  # takes most of a second, which other exports need not wait for
    from scipy.sparse.csgraph import connected_components

    if connected_components(matrix > 0, directed=False)[0] != 1:
        return Unranked.APART
    try:
        with np.errstate(invalid="raise", divide="raise"):  # so that it ends where no digit is left
            found = choix.ilsr_pairwise_dense(matrix, max_iter=_ITERATIONS, tol=_TOLERANCE)
    except (ArithmeticError, RuntimeError, ValueError):
        return Unranked.FAR
    rounded: Floats = np.round(found - found.mean(), DIGITS)
    return rounded + 0.0  # so that no 0 is -0
