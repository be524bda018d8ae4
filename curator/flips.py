"""What a robust loss may take as the probability that a label of the data set is flipped, and why. Pure.

Robust DPO corrects the loss for labels that are flipped with a known probability below one half (Chowdhury, Kini,
Natarajan, Provably robust DPO, arXiv:2403.00409); TRL calls it `label_smoothing`, of `loss_type: robust`. It is one
number for all rows, so that it is the mean over the labels of judges and of people. What is known of each:

=======  =============================================================================================================
rule     of the auto labels
=======  =============================================================================================================
`fdr`    alpha bounds the share of wrong ones on average over calibration draws
`pac`    alpha bounds the long-run error rate at the threshold, with probability 1 - delta over calibration draws
`scope`  alpha bounds P(accepted and wrong) and no error among accepted pairs: alpha / coverage is an estimate of that
=======  =============================================================================================================

Each bound is about all accepted pairs, and about labels that annotators would not give. Where ties are errors, one that
is called wrong is not always flipped, so that the number is too large rather than too small; where they are left out,
nothing bounds how many of the auto labels stand on pairs that people call equal, and the sentence says so.
People's labels are wrong as often as two people's disagreement on one calibration pair shows, if all of it is error and
if they err as often on the pairs that a judge abstained on, which are harder.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from curator.conformal import Guarantee
from curator.noise import Noise, contradicted
from curator.options import Ties, Votes

Result = Mapping[str, Any]


def label_smoothing(
    result: Result, rows: Mapping[str, int], noise: Noise | None = None, votes: Sequence[tuple[int, int]] = ()
) -> tuple[float | None, str]:
    """The `label_smoothing` of a data set, and the sentence that says what it rests on.

    Args:
        result: the object of `run.json`.
        rows: rows of the data set by label source, "auto" and "human".
        noise: of people's labels; None: no two people chose a side on the same pair.
        votes: of people's labels, (votes a pair, pairs).

    Returns:
        A number over 0 and below 1/2, or None where there is nothing to correct, or nothing that a robust loss can use.
    """
    auto, human = rows["auto"], rows["human"]
    said: list[str] = []
    wrong = 0.0
    if auto:
        error, why = _of_judges(result, auto)
        said.append(why)
        if error is None:
            return None, f"No label_smoothing: {why}."
        wrong += auto * error
    if human:
        error, why = _of_people(result, human, noise, votes)
        said.append(why)
        wrong += human * error
    value = float(f"{wrong / max(1, auto + human):.4g}")
    because = "; ".join(said)
    if not value:
        return None, f"No label_smoothing: {because or 'there are no rows'}."
    if value >= 0.5:
        why = f"the labels come to {value:g}, and from one half on they say nothing"
        return None, f"No label_smoothing: {why}: {because}."
    return value, f"label_smoothing {value:g} for {auto + human:,} rows: {because}."


def _of_judges(result: Result, rows: int) -> tuple[float | None, str]:
    """The error that auto labels count with, and what makes it one."""
    groups = result["groups"]
    bought = [one for one in groups or [result] if one["threshold"] is not None and one["accepted"]]
    accepted, pool = sum(one["accepted"] for one in bought), sum(one["pool"] for one in bought)
    if not accepted:
        return None, f"nothing is promised of the {rows:,} auto labels"
    rule, alpha = Guarantee(result["guarantee"]), result["alpha"]
    error = alpha
    if rule is Guarantee.FDR:
        why = "which bounds the share of wrong ones on average over calibration draws, not in this one (fdr)"
    elif rule is Guarantee.PAC:
        why = (
            f"which bounds the long-run error rate at the threshold with probability {1 - result['delta']:g} over "
            "calibration draws; in one batch it may be higher (pac)"
        )
    elif rule is Guarantee.SCOPE:
        error = alpha * pool / accepted
        why = (
            f"an estimate and no bound: alpha {alpha:g} over coverage {accepted / pool:.3g}, for scope bounds how "
            "often a pair is accepted and wrong, and not the error among accepted pairs"
        )
    else:  # pragma: no cover - a new rule must be written here
        raise ValueError(f"unknown guarantee {rule!r}")
    said = f"{rows:,} auto labels count with {error:.4g}, {why}"
    if Ties(result["ties"]) is Ties.EXCLUDE:
        said += "; pairs that people call equal are not in that, and on them a label says nothing"
    if groups:
        said += ", within each group and not over all groups together"
    if rows != accepted:
        said += f"; that is about all {accepted:,} accepted pairs, and for a part of them it is taken for granted"
    audit = result["audit"]
    if audit is not None and audit["error"] is not None and audit["low"] is not None:
        said += (
            f"; an audit found {audit['error']:.3g} of the accepted pairs wrong "
            f"({audit['confidence']:.0%} interval {audit['low']:.3g} to {audit['high']:.3g})"
        )
    return error, said


def _of_people(result: Result, rows: int, noise: Noise | None, votes: Sequence[tuple[int, int]]) -> tuple[float, str]:
    """The error that people's labels count with, and what makes it one."""
    model = result.get("labelled_by")
    whose = "labels of people" if model is None else f"labels of people or in the raw file ({model})"
    if noise is None:
        return 0.0, f"{rows:,} {whose} count as right, for no two of them chose a side on one calibration pair"
    error = contradicted(votes or [(1, 1)], noise.rate, False, Votes(result["votes"]))
    return error, (
        f"{rows:,} {whose} count with {error:.3g}, as two of them disagree on {noise.apart:,} of {noise.pairs:,} "
        "calibration pairs, if all of that is error; on pairs that a judge abstained on they may err more often"
    )
