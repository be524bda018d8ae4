"""What speaks against the promise of a run, or against its judge, found by a test or a count. Pure.

Every finding is a `Doubt`: a name, a sentence that says what is the matter and what to do, and the figures behind it.
What a test finds is said only where chance alone would show as much once in a thousand runs (`LEVEL`).
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from curator.conformal import Guarantee

LEVEL = 0.001
"""How often one kind of doubt may be raised by chance alone, all its tests together."""

CONFIDENCE = 0.95
"""Confidence of the intervals that doubts state."""

REPEATED = 0.05
"""Where fewer of the calibration pairs have another pair of their prompt beside them, that is not worth a line."""

_EXACT_CELLS = 1_000_000
"""Up to this product of the sample sizes the two-sample test is exact; beyond it the limit is as good, and quicker."""

_COMPARED = {
    "sureness": ("the judge is surer", "the judge is less sure"),
    "prompt": ("prompts are longer", "prompts are shorter"),
    "responses": ("responses are longer", "responses are shorter"),
}


@dataclass(frozen=True, slots=True)
class Doubt:
    """Something that a reader of the promise should know. `figures` can be written as JSON."""

    name: str
    text: str
    figures: Mapping[str, Any]


def drift(calibration: Mapping[str, ArrayLike], pool: Mapping[str, ArrayLike]) -> Doubt | None:
    """Whether the calibration pairs look like no random draw from them and the pool together.

    Args:
        calibration: `sureness` (-inf: not judged, or no preference), `prompt` and `responses` (characters, both
            responses together) of the calibration pairs; each of shape (n,).
        pool: the same of all other pairs of the batch, each of shape (m,): those too that people labelled because the
            judge abstained.

    Returns:
        None where every Kolmogorov-Smirnov test has p >= LEVEL / 3 (Bonferroni), or a side is empty. Tied values make
        the tests conservative. They see nothing of what else may differ, least of all labels.

    Raises:
        ValueError: a value is NaN.
    """
    from scipy.stats import ks_2samp

    figures: dict[str, Any] = {}
    odd: list[str] = []
    for name, (more, less) in _COMPARED.items():
        x, y = (np.asarray(side[name], dtype=np.float64) for side in (calibration, pool))
        if np.isnan(x).any() or np.isnan(y).any():
            raise ValueError(f"{name} holds NaN; use -inf for a pair that was not judged")
        if not x.size or not y.size:
            return None
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # where the exact sum runs out of digits, the limit serves
            found = ks_2samp(x, y, method="exact" if x.size * y.size <= _EXACT_CELLS else "asymp")
        p, centres = float(found.pvalue), [float(np.median(_shown(name, values))) for values in (x, y)]
        figures[name] = {
            "p": p, "statistic": float(found.statistic), "median_calibration": centres[0], "median_pool": centres[1],
        }  # fmt: skip
        if p < LEVEL / len(_COMPARED):
            unit = "better response has " if name == "sureness" else ""
            way = less if found.statistic_sign > 0 else more
            odd.append(f"{way} (median: {unit}{centres[0]:.3g} against {centres[1]:.3g}; {p_value(p)})")
    if not odd:
        return None
    return Doubt(
        "drift",
        f"exchangeability is implausible: on the calibration pairs, against the rest of the pool, {'; '.join(odd)}. "
        "The promise is about pairs like the calibration pairs, and these are hardly a random draw of this pool. Have "
        "one labelled: `curator label` heads the queue with it when no pair has a label.",
        figures,
    )


def _shown(name: str, values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Sureness as the probability of the better response, which is finite; a pair without a verdict has 0.5."""
    if name != "sureness":
        return values
    from scipy.special import expit

    return np.asarray(expit(np.maximum(values, 0.0)))


def p_value(p: float) -> str:
    """A p-value for people.

    >>> p_value(0.00023), p_value(1e-40)
    ('p = 0.0002', 'p < 1e-9')
    """
    return f"p = {p:.1g}" if p >= 1e-9 else "p < 1e-9"


@dataclass(frozen=True, slots=True)
class Prompts:
    """How calibration pairs and pool share prompts. One entry a prompt size; arrays of shape (n_sizes,).

    Attributes:
        size: pairs of a prompt, calibration and pool together.
        prompts: how many prompts have this size.
        used: of these, prompts with a calibration pair.
        shared: of these, prompts that have a pair in the pool as well.
        calibration: calibration pairs of these prompts.
    """

    size: NDArray[np.int64]
    prompts: NDArray[np.int64]
    used: NDArray[np.int64]
    shared: NDArray[np.int64]
    calibration: NDArray[np.int64]


def expected_prompts(found: Prompts) -> float:
    """How many prompts as many pairs would come from on average, were each set of them as likely as any other.

    >>> one = np.array([1])
    >>> expected_prompts(Prompts(2 * one, 2 * one, one, one, 2 * one))  # 2 of 4 pairs, of 2 prompts with 2 pairs each
    1.6666666666666667
    """
    total, n = int((found.size * found.prompts).sum()), int(found.calibration.sum())
    expected = 0.0
    for size, prompts in zip(found.size.tolist(), found.prompts.tolist(), strict=True):
        # P(none of a prompt's pairs is drawn): the product of (total - n - i) / (total - i) over its pairs.
        left = math.prod((total - n - i) / (total - i) for i in range(size)) if size <= total - n else 0.0
        expected += prompts * (1 - left)
    return expected


def repeated_prompts(found: Prompts, drawn: int, same_response: float, guarantee: Guarantee) -> Doubt | None:
    """What pairs of one prompt, which resemble each other, do to the promise.

    Whether prompts were labelled, and not single pairs, is tested: the number of calibration pairs that are not the
    first of their prompt against a Poisson law with its expectation under single draws, which has the heavier tail.

    Args:
        drawn: calibration pairs that curator drew itself, one by one.
        same_response: share of the calibration pairs of which a response, to the same prompt, is in the pool as well.
    """
    n, prompts, shared = (int(values.sum()) for values in (found.calibration, found.used, found.shared))
    figures: dict[str, Any] = {"pairs": n, "prompts": prompts, "shared_prompts": shared, "drawn": drawn}
    if drawn == n:
        if guarantee is not Guarantee.PAC or n - prompts < REPEATED * n:
            return None  # single pairs drawn at random are exchangeable with the others, however alike they are
        return Doubt(
            "repeated prompts",
            f"the {n:,} calibration pairs come from {prompts:,} prompts; pac speaks of pairs to come, and several "
            "pairs of one prompt say less about those.",
            figures,
        )
    from scipy.stats import poisson

    expected = expected_prompts(found)
    p = float(poisson.sf(n - prompts - 1, max(n - expected, 0.0)))
    figures |= {"expected_prompts": expected, "p": p, "same_response": same_response}
    if p < LEVEL:
        return Doubt(
            "whole prompts",
            f"the {n:,} calibration pairs come from {prompts:,} prompts; drawn one by one they would come from about "
            f"{expected:,.0f} ({p_value(p)}). So prompts were chosen, and not pairs. Pairs of a prompt are alike: such "
            "labels say less than their number, and the promise is weaker. Draw single pairs.",
            figures,
        )
    if max(n - prompts, shared) < REPEATED * n:
        return None
    also = f", and {same_response:.0%} of the pairs share a response with those" if same_response else ""
    return Doubt(
        "repeated prompts",
        f"the {n:,} calibration pairs come from {prompts:,} prompts, {shared:,} of which have pairs in the pool "
        f"too{also}. That is well if chance chose single pairs, and weakens the promise if prompts were chosen: pairs "
        "of a prompt are alike.",
        figures,
    )


_REFUSED = {
    "offered": "their labels came with a file after this store had put them in its queue, least sure first, and may "
    "have been given because the judge found them hard. If they are a random sample all the same, give the file to a "
    "new --db",
    "review": "people saw them because the judge was not sure enough of them",
    "audit": "people saw them in order to check labels that were accepted",
    "not blind": "whoever labelled them had been shown a verdict",
    "draw incomplete": "some of their draw were labelled for review before, and count when all of it is labelled",
}


def refused_labels(counts: Mapping[str, int]) -> list[Doubt]:
    """Why labelled pairs do not calibrate, one doubt a reason.

    Args:
        counts: labelled pairs by reason: offered, review, audit, not blind, draw incomplete.

    Raises:
        ValueError: a reason is unknown.
    """
    if unknown := counts.keys() - _REFUSED.keys():
        raise ValueError(f"unknown reasons: {', '.join(sorted(unknown))}")
    return [
        Doubt(
            f"labels: {reason}",
            f"{counts[reason]:,} labelled {'pairs do' if counts[reason] > 1 else 'pair does'} not calibrate: {why}.",
            {"pairs": counts[reason]},
        )
        for reason, why in _REFUSED.items()
        if counts.get(reason)
    ]


def changed_labels(changed: int) -> Doubt | None:
    """Calibration labels that were another thing when a decision was made with them."""
    if not changed:
        return None
    return Doubt(
        "labels: changed",
        f"{changed:,} calibration {'labels were' if changed > 1 else 'label was'} changed by whoever gave "
        f"{'them' if changed > 1 else 'it'}, after a decision had been made. Whoever knew by then what the judge says "
        "was not blind. Leave the first labels, and have doubtful ones asked about again: `curator audit --labels "
        "--requeue`.",
        {"pairs": changed},
    )


def waiting_draw(waiting: int) -> Doubt | None:
    """Drawn pairs without a label."""
    if not waiting:
        return None
    return Doubt(
        "draw unfinished",
        f"{waiting:,} pairs of the calibration draw have no label. The promise holds only if it is chance which ones: "
        "label in the queue's order and leave none out.",
        {"pairs": waiting},
    )


def outgrown_draw(waiting: int, held: int) -> Doubt | None:
    """Labels of a calibration draw from an input that has grown since.

    Args:
        waiting: pairs that came later, stand among the drawn ones in the random order, and have no label.
        held: labelled pairs of the draw that do not calibrate until those before them are labelled.
    """
    if not held:
        return None
    return Doubt(
        "draw outgrown",
        f"the input has grown since the calibration draw. {waiting:,} pairs that came later would have been drawn too, "
        f"and must be labelled first: {held:,} labelled pairs do not calibrate until those before them in the random "
        "order have a label. They head the queue: label in its order and leave none out.",
        {"pairs": waiting, "labels": held},
    )


def earlier_tries(tries: int) -> Doubt | None:
    """Labelling until a threshold appears."""
    if not tries:
        return None
    return Doubt(
        "earlier tries",
        f"with fewer labels this rule found no threshold ({tries}x). Labelling until it does is a choice that the "
        "promise does not allow for: expect a little more error.",
        {"tries": tries},
    )


def worse_than_a_coin(name: str, right: int, sided: int) -> Doubt | None:
    """A judge of several that is right less often than a coin: with equal weights it takes from what the others know.

    Args:
        sided: calibration pairs on which it and people both name a side; `right`: those on which they name the same.
    """
    from scipy.stats import binom

    p = float(binom.cdf(right, sided, 0.5)) if sided else 1.0
    if p >= LEVEL:
        return None
    return Doubt(
        "worse than a coin",
        f"the judge {name} is right on {right:,} of {sided:,} labelled pairs with a side, less often than a coin "
        f"({p_value(p)}). In a mean of equal weights it takes from what the others know. Fit weights on rows that do "
        "not calibrate (--combine fitted --fit-fraction 0.3), or do without it and have new pairs labelled.",
        {"judge": name, "right": right, "sided": sided, "p": p},
    )


def earlier_looks(looks: Mapping[str, int]) -> Doubt | None:
    """Choosing rule, alpha or signal by what the calibration labels say.

    Args:
        looks: how often people looked, by what they looked at: "sweep", "comparison" or "plan".

    >>> earlier_looks({"sweep": 2, "plan": 1}).text.partition(". ")[0]
    'what these labels say was looked at before: 1 plan, 2 sweeps over alpha'
    """
    if not looks:
        return None
    names = {"comparison": ("comparison of signals", "comparisons of signals"), "plan": ("plan", "plans"),
             "sweep": ("sweep over alpha", "sweeps over alpha")}  # fmt: skip
    listed = ", ".join(f"{times:,} {names[what][times > 1]}" for what, times in sorted(looks.items()))
    return Doubt(
        "looked before",
        f"what these labels say was looked at before: {listed}. If rule, alpha or signal was chosen by that, it is a "
        "choice that the promise does not cover.",
        dict(looks),
    )


def chosen_before(settings: int) -> Doubt | None:
    """Choosing judge, rule, alpha, signal, resolution of votes or groups by what came of others on the same labels.

    Args:
        settings: how many others were decided on.
    """
    if not settings:
        return None
    others = "1 other setting was" if settings == 1 else f"{settings:,} other settings were"
    return Doubt(
        "chosen before",
        f"{others} decided on before with these labels at hand (judge, signal, guarantee, alpha, ties, votes or "
        "groups). If this one was chosen by what those gave, that is a choice that the promise does not cover.",
        {"settings": settings},
    )


def other_pools(conditions: int) -> Doubt | None:
    """Choosing which pairs the promise is about by what came of others on the same labels.

    Args:
        conditions: how many others were decided on; none is one.
    """
    if not conditions:
        return None
    others = "another condition" if conditions == 1 else f"{conditions:,} other conditions"
    return Doubt(
        "other pool before",
        f"with these labels at hand, pairs were taken by {others} (--where) before. If this one was chosen by what "
        "came of that, it is a choice that the promise does not cover.",
        {"conditions": conditions},
    )


def uneven_answers(name: str, calibration: tuple[int, int], pool: tuple[int, int], judges: int) -> Doubt | None:
    """A judge of several that answers a larger, or smaller, share of the calibration pairs than of the pool.

    Where the others speak for it on the rest, the calibration pairs were then judged by another panel than the pool.

    Args:
        calibration, pool: pairs with an answer, and pairs that it was to read.
        judges: how many are tested; each at LEVEL / judges.
    """
    from scipy.stats import fisher_exact

    (answered, read), (others, rest) = calibration, pool
    p = float(fisher_exact(np.array([[answered, read - answered], [others, rest - others]])).pvalue)
    if p >= LEVEL / judges:
        return None
    return Doubt(
        "uneven answers",
        f"the judge {name} answered {answered:,} of {read:,} calibration pairs, and {others:,} of {rest:,} others "
        f"({p_value(p)}). On the rest the others speak for it (--missing mean), so that the calibration pairs were not "
        "judged as the pool is, and the promise does not hold. Have it judge the rest, or take --missing abstain.",
        {"judge": name, "calibration": [answered, read], "pool": [others, rest], "p": p},
    )
