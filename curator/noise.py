"""How far people agree with each other, and what that leaves for a judge to reach. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from curator.doubts import CONFIDENCE, Doubt
from curator.intervals import clopper_pearson
from curator.options import Votes as Resolution


@dataclass(frozen=True, slots=True)
class Votes:
    """Calibration pairs that were voted on alike.

    Attributes:
        votes: people who voted on each (a skip is no vote).
        first, second: the first two votes; second None where there is one.
        pairs: how many such pairs.
    """

    votes: int
    first: str
    second: str | None
    pairs: int


@dataclass(frozen=True, slots=True)
class Noise:
    """How often people's labels are wrong, measured by how often two of them disagree.

    Attributes:
        pairs, apart: pairs on which the first two people both chose a side, and on which they chose different ones.
        rate, low, high: probability that a label is wrong, if people err alike on every pair, and its 95% interval.
    """

    pairs: int
    apart: int
    rate: float
    low: float
    high: float


def measured_noise(found: Sequence[Votes]) -> Noise | None:
    """The noise that disagreement shows; None where no two people chose a side on the same pair.

    Where both chose a side, P(disagree) = 2 h (1 - h) for people who err alike on every pair with probability h.

    >>> measured_noise([Votes(2, "a", "a", 82), Votes(2, "a", "b", 18)]).rate.__round__(3)
    0.1
    """
    sided = [one for one in found if {one.first, one.second} <= {"a", "b"}]
    both, apart = sum(one.pairs for one in sided), sum(one.pairs for one in sided if one.first != one.second)
    if not both:
        return None
    return Noise(both, apart, *(_noise(share) for share in (apart / both, *clopper_pearson(apart, both, CONFIDENCE))))


def annotator_noise(
    found: Sequence[Votes], alpha: float, ties_are_errors: bool, resolution: Resolution = Resolution.MAJORITY
) -> Doubt | None:
    """What disagreement among people says about the alphas that any judge can reach.

    On each pair with two votes or more the first two are compared, so that the comparisons are independent and the
    interval exact; copies of one row that count as two votes make it look better than it is. Where both chose a side,
    P(disagree) = 2 h (1 - h) for people who err alike on every pair with probability h. A judge that is always right is
    then contradicted where the verdict that the votes are resolved to is wrong, or tied.

    Returns:
        None where nobody disagrees, or the noise is certainly too small to matter at `alpha`.
    """
    compared = sum(one.pairs for one in found if one.second)
    disagree = sum(one.pairs for one in found if one.second and one.first != one.second)
    seen = measured_noise(found)
    if seen is None or not seen.apart:
        return None
    votes = [(one.votes, one.pairs) for one in found]
    noise = [seen.rate, seen.low, seen.high]
    floor = [contradicted(votes, h, ties_are_errors, resolution) for h in noise]
    if floor[2] < alpha:
        return None
    reach = "is" if floor[1] > alpha else "may be"
    return Doubt(
        "annotator noise",
        f"people disagree on {disagree:,} of {compared:,} calibration pairs with two labels or more: erring alike on "
        f"every pair, in {noise[0]:.1%} of their labels ({CONFIDENCE:.0%} interval {noise[1]:.1%} to {noise[2]:.1%}). "
        "The promise is about agreement with these people, and a judge that is always right would still be "
        f"contradicted on {floor[0]:.1%} of the pairs ({floor[1]:.1%} to {floor[2]:.1%}): no alpha below that is in "
        f"reach in truth, unless on pairs where people agree more, and alpha {alpha:g} {reach}. More people a pair, or "
        "clearer instructions, help.",
        {
            "compared": compared, "disagree": disagree,
            "both_chose_a_side": seen.pairs, "of_these_disagree": seen.apart,
            "noise": noise[0], "noise_interval": noise[1:],
            "contradicted": floor[0], "contradicted_interval": floor[1:],
        },
    )  # fmt: skip


def _noise(disagreement: float) -> float:
    """h of 2 h (1 - h) = disagreement; 1/2, no information, where people disagree more often than coins."""
    return (1 - math.sqrt(max(0.0, 1 - 2 * disagreement))) / 2


def contradicted(
    votes: Sequence[tuple[int, int]],
    noise: float,
    ties_are_errors: bool,
    resolution: Resolution = Resolution.MAJORITY,
) -> float:
    """How often people's verdict contradicts the truth, or is tied, if each vote is wrong with probability `noise`.

    Args:
        votes: (votes a pair, pairs).
        ties_are_errors: a tied vote is an error of any label; else the pair is left out.
        resolution: how votes become a verdict; weights, of people who err alike, are luck and break a tie either way.

    >>> [round(contradicted([(k, 1)], 0.1, True), 3) for k in (1, 2, 3)]
    [0.1, 0.19, 0.028]
    >>> [round(contradicted([(3, 1)], 0.1, ties, Resolution.STRICT), 3) for ties in (True, False)]
    [0.271, 0.001]
    """
    from scipy.stats import binom

    wrong = total = 0.0
    for k, pairs in votes:
        tied = float(binom.pmf(k // 2, k, noise)) if k % 2 == 0 else 0.0
        most = float(binom.sf(k // 2, k, noise))
        if resolution is Resolution.STRICT:
            most = noise**k
            tied = 1 - (1 - noise) ** k - most
        elif resolution is Resolution.WEIGHTED:
            most, tied = most + tied / 2, 0.0
        wrong += pairs * (most + (tied if ties_are_errors else 0.0))
        total += pairs * (1.0 if ties_are_errors else 1.0 - tied)
    return wrong / total if total else 0.0
