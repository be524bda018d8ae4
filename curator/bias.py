"""What a judge goes by other than the better answer: the place, the length; and replies that are no verdicts. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from curator.doubts import CONFIDENCE, LEVEL, Doubt, p_value
from curator.intervals import clopper_pearson
from curator.preference import TIE_TOLERANCE, preference

POSITION_MARGIN = 0.1
"""A judge that prefers a place by less than this loses little sureness by it, which is not worth a line."""


@dataclass(frozen=True, slots=True)
class Bias:
    """What one judge's replies show.

    Attributes:
        pairs: pairs with a verdict in both orders, of the sample looked at.
        first, second: of these, pairs on which the judge leans to the response shown first (second) over both orders.
        lean: mean of that leaning over the pairs, from -1 (second, always) to 1; a tied reply counts one half.
        labelled, longer: pairs with a label and responses of different lengths, and those whose label is the longer.
        judge_only, people_only: calibration pairs on which only the judge (only people) preferred the longer response.
        both: calibration pairs on which both did.
        compared: calibration pairs on which both chose a side, with responses of different lengths.
        mass_median: median probability of the two labels together; None where the judge cannot tell.
        replies, low_mass: replies that tell it, and those of them under the minimum.
    """

    pairs: int
    first: int
    second: int
    lean: float
    labelled: int
    longer: int
    compared: int
    both: int
    judge_only: int
    people_only: int
    mass_median: float | None = None
    replies: int = 0
    low_mass: int = 0

    @property
    def first_shown(self) -> float | None:
        return (1 + self.lean) / 2 if self.pairs else None

    def figures(self) -> dict[str, Any]:
        """For `run.json`; each figure is None where there is nothing to tell it from."""
        return {
            "pairs": self.pairs,
            "first_shown_preferred": self.first_shown,
            "flipped": _share(self.first + self.second, self.pairs),
            "longer_preferred": _share(self.longer, self.labelled),
            "compared_with_people": self.compared,
            "longer_preferred_there": _share(self.both + self.judge_only, self.compared),
            "longer_preferred_by_people": _share(self.both + self.people_only, self.compared),
            "label_mass_median": self.mass_median,
            "low_label_mass": _share(self.low_mass, self.replies),
        }


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None


def measure(
    d_ab: ArrayLike,
    d_ba: ArrayLike,
    longer: ArrayLike,
    people: ArrayLike,
    sampled: ArrayLike,
    label_mass: tuple[float | None, int, int] = (None, 0, 0),
) -> Bias:
    """Sum up a judge's verdicts. All arrays have shape (n_pairs,).

    Args:
        d_ab, d_ba: logprob(a) - logprob(b), a (b) shown first.
        longer: 1 where a is the longer response, -1 where b is, 0 where neither.
        people: 1 where people prefer a on a calibration pair, -1 where b, 0 elsewhere.
        sampled: pairs that stand for all of the judge's; the others are looked at only to compare it with people.
        label_mass: median, replies that tell their mass, and those under the minimum.

    Raises:
        ValueError: shapes differ, or a log-odds value is NaN.
    """
    ab, ba = np.asarray(d_ab, dtype=np.float64), np.asarray(d_ba, dtype=np.float64)
    label = np.sign(preference(ab, ba).log_odds)
    length, human, counted = np.asarray(longer), np.asarray(people), np.asarray(sampled, dtype=bool)
    if not ab.shape == length.shape == human.shape == counted.shape:
        raise ValueError("all arrays must have one shape")
    lean = ((_side(ab) - _side(ba)) / 2)[counted]
    chosen = (label * length)[counted]  # 1: the longer, -1: the shorter
    by_judge, by_people = (label * length)[human != 0], (human * length)[human != 0]
    by_judge, by_people = by_judge[by_judge != 0] > 0, by_people[by_judge != 0] > 0
    return Bias(
        pairs=lean.size,
        first=int(np.count_nonzero(lean > 0)),
        second=int(np.count_nonzero(lean < 0)),
        lean=float(lean.mean()) if lean.size else 0.0,
        labelled=int(np.count_nonzero(chosen)),
        longer=int(np.count_nonzero(chosen > 0)),
        compared=by_judge.size,
        both=int(np.count_nonzero(by_judge & by_people)),
        judge_only=int(np.count_nonzero(by_judge & ~by_people)),
        people_only=int(np.count_nonzero(~by_judge & by_people)),
        mass_median=label_mass[0],
        replies=label_mass[1],
        low_mass=label_mass[2],
    )  # fmt: skip


def _side(difference: NDArray[np.float64]) -> NDArray[np.float64]:
    """1 for a, -1 for b, 0 for a tie."""
    return np.where(np.abs(difference) < TIE_TOLERANCE, 0.0, np.sign(difference))


def doubts(name: str, judge: Bias, min_label_mass: float) -> list[Doubt]:
    """What of a judge's bias is worth a line.

    Every pair is shown in both orders, so that without position bias the first shown wins one half whatever the labels
    are: tested by the signs of the pairs on which the order decides. Length is compared with people on the same pairs:
    by McNemar's exact test, whether the longer wins as often; by Fisher's, whether errors go to both lengths alike.
    """
    found = (_position(name, judge), _length(name, judge), _mass(name, judge, min_label_mass))
    return [doubt for doubt in found if doubt is not None]


def _position(name: str, judge: Bias) -> Doubt | None:
    rate = judge.first_shown
    if rate is None or abs(rate - 0.5) < POSITION_MARGIN or _sign_test(judge.first, judge.second) >= LEVEL:
        return None
    ends, decided = clopper_pearson(rate * judge.pairs, judge.pairs, CONFIDENCE), judge.first + judge.second
    return Doubt(
        "position bias",
        f"{name} goes by the place: the response shown first wins {rate:.0%} of its replies ({CONFIDENCE:.0%} interval "
        f"{ends[0]:.0%} to {ends[1]:.0%}; unbiased: 50%), and its label changes with the order on {decided:,} of "
        f"{judge.pairs:,} pairs. Averaging both orders cancels this, but costs sureness: another template or judge may "
        "let more pairs through.",
        {
            "judge": name, "pairs": judge.pairs, "first_shown_preferred": rate, "interval": list(ends),
            "changes_with_order": decided,
        },
    )  # fmt: skip


def _length(name: str, judge: Bias) -> Doubt | None:
    long, short = judge.both + judge.people_only, judge.compared - judge.both - judge.people_only
    if not long or not short:
        return None
    from scipy.stats import fisher_exact

    # A judge that errs at random prefers what people do not, long or short: so its errors must lean the same way too.
    to_longer, to_shorter = judge.judge_only / short, judge.people_only / long
    table = np.array([[judge.judge_only, short - judge.judge_only], [judge.people_only, long - judge.people_only]])
    p = max(_sign_test(judge.judge_only, judge.people_only), float(fisher_exact(table).pvalue))
    if p >= LEVEL or (judge.judge_only > judge.people_only) != (to_longer > to_shorter):
        return None
    ours, theirs = (judge.both + judge.judge_only) / judge.compared, long / judge.compared
    return Doubt(
        "length bias",
        f"{name} likes the longer response {'more' if ours > theirs else 'less'} than people do: on {judge.compared:,} "
        f"calibration pairs it prefers it in {ours:.0%}, people in {theirs:.0%}; it contradicts them on "
        f"{to_longer:.0%} of those where they prefer the shorter, and on {to_shorter:.0%} of the others (exact tests: "
        f"{p_value(p)}). This leaves the promise as it is, but teaches length: say in the template what that is worth.",
        {
            "judge": name, "compared": judge.compared, "longer_preferred": ours, "longer_preferred_by_people": theirs,
            "wrongly_longer": to_longer, "wrongly_shorter": to_shorter, "p": p,
        },
    )  # fmt: skip


def _mass(name: str, judge: Bias, least: float) -> Doubt | None:
    if not judge.low_mass:
        return None
    return Doubt(
        "label mass",
        f"{name} did not answer in {judge.low_mass:,} of {judge.replies:,} replies: the two labels have less than "
        f"{least:g} of its probability (median of all replies: {judge.mass_median:.2g}). These are no verdicts, and "
        "their pairs go to people. Another template may do better.",
        {"judge": name, "replies": judge.replies, "low": judge.low_mass, "median": judge.mass_median, "least": least},
    )


def _sign_test(one: int, other: int) -> float:
    """Two-sided p of as uneven a split of one + other by a fair coin."""
    from scipy.stats import binomtest

    return float(binomtest(one, one + other).pvalue) if one + other else 1.0
