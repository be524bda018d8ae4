"""Calibrates, within groups or for all, and accepts or abstains; and says what came of it."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import compress
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from curator.auditing import audit_result
from curator.conformal import accept, calibrate, promise
from curator.errors import StoreError
from curator.options import Rule, Ties
from curator.pair import JudgeInfo
from curator.preference import entropy_at
from curator.quality import accuracy, auroc
from curator.scoring import A, B, Scored, score_input
from curator.sizing import labels_missing
from curator.store import Store, views
from curator.store.audits import draw_audit
from curator.store.decisions import (
    GroupCalibration,
    add_calibration,
    calibration_ids,
    earlier_tries,
    replace_decisions,
)
from curator.store.judgments import latest_judge

Result = dict[str, Any]
Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Rows:
    """What a calibration is made from. Arrays of shape (n_pairs,), in input order.

    Attributes:
        sureness: |log-odds|; -inf where nothing may be accepted.
        label: the judges' label as a code of `VERDICTS`; 0 where they have none.
        wrong: whether that is not the human verdict.
        calibrates, pool: the calibration rows, and the pairs that the promise is about.
    """

    sureness: Floats
    label: NDArray[np.int8]
    wrong: Bools
    calibrates: Bools
    pool: Bools

    @classmethod
    def of(cls, log_odds: Floats, scored: Scored, ties: Ties) -> Rows:
        """Of a judge's log-odds (NaN: no verdict), or of a panel's."""
        known = scored.known
        # No preference is no label, however low the threshold.
        none = np.isnan(log_odds) | (log_odds == 0)
        label = np.select([none, log_odds > 0], [np.int8(0), A], B)
        calibrates = known.calibrates & ~known.fits
        if ties is Ties.EXCLUDE:
            calibrates = calibrates & np.isin(known.verdict, [A, B])
        sureness = np.where(none, -np.inf, np.abs(log_odds))
        return cls(sureness, label, label != known.verdict, calibrates, known.in_pool & ~known.calibrates)


@dataclass(frozen=True, slots=True)
class Decided:
    """Calibrations and what they were made from and led to. `complete`: no pair of the input lacks a verdict.

    Attributes:
        calibrations: one for all pairs, or one a group.
        missing: about how many labels more would help where there is no threshold; None: none would, or none is needed.
    """

    judge: JudgeInfo
    rule: Rule
    scored: Scored
    rows: Rows
    calibrations: Sequence[GroupCalibration]
    judged: int
    complete: bool
    missing: int | None

    @property
    def accepted(self) -> int:
        return sum(one.found.accepted for one in self.calibrations)

    @property
    def pool(self) -> int:
        return sum(one.found.m for one in self.calibrations)


def decide(store: Store, judge: JudgeInfo, rule: Rule) -> Decided:
    """Score every pair of the input, calibrate, and accept or abstain.

    The pool is every pair that is no calibration row, also those that people labelled because the judge abstained:
    a pool without them would hold fewer hard pairs than the calibration rows, and the promise would be void.
    """
    scored = score_input(store, judge, rule)
    log_odds, known = scored.combined.log_odds, scored.known
    answered = ~np.isnan(log_odds)
    rows = Rows.of(log_odds, scored, rule.ties)
    calibrations, accepted, missing = [], np.zeros(answered.size, dtype=bool), []
    for name, here in groups(scored, rows, rule):
        uses, pool = rows.calibrates & here, rows.pool & here
        found = calibrate(
            rows.sureness[uses], rows.wrong[uses], rows.sureness[pool],
            guarantee=rule.guarantee, alpha=rule.alpha, delta=rule.delta,
        )  # fmt: skip
        calibrations.append(GroupCalibration(name, found))
        accepted[here] = accept(rows.sureness[here], found.threshold)
        if found.threshold is None:
            more = labels_missing(rows.sureness[uses], rows.wrong[uses], rule.guarantee, rule.alpha, rule.delta)
            if more is not None:  # the draw is from all pairs, so that a group gets only its share
                missing.append(-(-more * answered.size // max(1, int(here.sum()))))
    with store.transaction():
        number = add_calibration(
            store, judge.judge_id, calibrations, score=rule.score.value, ties=rule.ties.value, group_by=rule.group_by,
            fingerprint=_fingerprint(store, known.verdict, rows),
        )  # fmt: skip
        reason = _reasons(
            accepted, answered, rows.sureness, any(one.found.threshold is not None for one in calibrations)
        )
        replace_decisions(
            store, judge.judge_id, number, scored.preference, answered,
            np.where(accepted, rows.label, np.int8(0)), reason,
        )  # fmt: skip
    judged = int(np.count_nonzero(answered & known.in_pool))
    return Decided(judge, rule, scored, rows, calibrations, judged, _complete(scored), max(missing, default=None))


def groups(scored: Scored, rows: Rows, rule: Rule) -> list[tuple[str | None, Bools]]:
    """The groups within which the rule is to hold; small ones, and pairs without the field, come together as None.

    Which groups are small depends on how many labels they have, and not on what the labels say: a promise within each
    of the groups that are left is as good as if they had been named beforehand.
    """
    known = scored.known
    everything = np.ones(known.verdict.shape, dtype=bool)
    if rule.group_by is None:
        return [(None, everything)]
    labels = np.bincount(known.group[rows.calibrates], minlength=len(known.groups))
    own = [code for code, name in enumerate(known.groups) if name is not None and labels[code] >= rule.group_min]
    found: list[tuple[str | None, Bools]] = [(known.groups[code], known.group == code) for code in own]
    found.sort(key=lambda one: str(one[0]))
    others = ~np.isin(known.group, own)
    return [*found, (None, others)] if others.any() else found


def _complete(scored: Scored) -> bool:
    """Whether every judge has given a verdict on every pair that it was to read."""
    return bool((~np.isnan(scored.each) | ~scored.combined.read).all())


def _reasons(accepted: Bools, answered: Bools, sureness: Floats, threshold: bool) -> pa.DictionaryArray:
    """Why each pair is accepted or not, in words."""
    words = [
        "less sure than the threshold" if threshold else "no threshold",
        "no preference", "not judged in both orders", "at least as sure as the threshold",
    ]  # fmt: skip
    code = np.isneginf(sureness).astype(np.int8)
    code[~answered] = 2
    code[accepted] = 3
    return pa.DictionaryArray.from_arrays(code, words)


def _fingerprint(store: Store, verdict: NDArray[np.int8], rows: Rows) -> str:
    """Hash of the calibration rows that thresholds were made from."""
    ids, place = calibration_ids(store)
    used = rows.calibrates[place]
    digest = hashlib.blake2b(digest_size=16)
    digest.update("".join(compress(ids, used)).encode())
    digest.update(verdict[place[used]].tobytes() + rows.sureness[place[used]].tobytes())
    return digest.hexdigest()


def decision_result(store: Store, decided: Decided) -> Result:
    """The part of `run.json` that is about the decision: equal for equal stores, whenever it was made."""
    rule, judge, rows = decided.rule, decided.judge, decided.rows
    every = [one.found for one in decided.calibrations]
    counts = views.counts(store)
    each = _judges(store, decided)
    prompts, drawn = views.calibration_rows(store)
    cuts = [found.threshold for found in every if found.threshold is not None]
    failures: dict[str, int] = {}
    for one in each:
        for reason, count in one.pop("failures").items():
            failures[reason] = failures.get(reason, 0) + count
    return {
        "pairs": counts["pairs"],
        "judged": decided.judged,
        "failed": counts["pairs"] - decided.judged,
        "failures": failures,
        "judge_ties": counts["judge_ties"],
        "calibration": {
            "n": sum(found.n for found in every), "errors": sum(found.n_errors for found in every),
            "accepted": sum(found.k for found in every), "accepted_errors": sum(found.errors for found in every),
            "fitted": int(np.count_nonzero(decided.scored.known.fits)), "prompts": prompts, "drawn": drawn,
            "earlier_tries": max(
                earlier_tries(store, judge.judge_id, rule.score, rule.group_by, one) for one in decided.calibrations
            ),
        },
        "score": rule.score.value,
        "guarantee": rule.guarantee.value,
        "alpha": float(rule.alpha),
        "delta": float(rule.delta),
        "ties": rule.ties.value,
        "threshold": _threshold(min(cuts, default=None)),
        "group_by": rule.group_by,
        "groups": None if rule.group_by is None else [_group(one) for one in decided.calibrations],
        "pool": decided.pool,
        "accepted": decided.accepted,
        "abstained": decided.pool - decided.accepted,
        "coverage": decided.accepted / decided.pool if decided.pool else 0.0,
        "labels_missing": decided.missing,
        "labelled": counts["labelled"],
        "dataset": views.dataset_counts(store),
        "queue": {
            "tasks": counts["waiting"], "calibration_draw": counts["waiting_for_calibration"],
            "audit": counts["waiting_for_audit"], "again": counts["waiting_again"],
        },
        "judge": {
            "judge_id": judge.judge_id, "name": judge.name, "engine": judge.engine,
            "demonstration": judge.demonstration, "settings": judge.settings, "details": judge.details,
            "first_shown_preferred": each[0]["first_shown_preferred"] if len(each) == 1 else None,
            **_quality(rows, rule),
        },
        "judges": each,
        "panel": _panel(decided, each),
        "promise": group_promise(decided),
        "audit": audit_result(store),
        "tokens": sum(one["tokens"] for one in each),
        "cached_tokens": sum(one["cached_tokens"] for one in each),
    }  # fmt: skip


def _threshold(log_odds: float | None) -> Result | None:
    if log_odds is None:
        return None
    return {"bpe": entropy_at(log_odds), "log_odds": log_odds if np.isfinite(log_odds) else "inf"}


def _group(one: GroupCalibration) -> Result:
    found = one.found
    return {
        "group": one.name, "n": found.n, "errors": found.n_errors, "pool": found.m,
        "threshold": _threshold(found.threshold), "accepted": found.accepted, "coverage": found.coverage,
        "promise": promise(found),
    }  # fmt: skip


def group_promise(decided: Decided) -> str:
    """The sentence that was bought: with groups, one that holds within each of those that have a threshold."""
    every = decided.calibrations
    if decided.rule.group_by is None:
        return promise(every[0].found)
    bought = [one.found for one in every if one.found.threshold is not None]
    if not bought:
        return promise(max((one.found for one in every), key=lambda found: found.n))
    return (
        f"Within each group of {decided.rule.group_by!r} that has a threshold ({len(bought)} of {len(every)}), and not "
        f"over all groups together: {promise(bought[0])}"
    )


def _judges(store: Store, decided: Decided) -> list[Result]:
    """Each judge by itself: what it cost, how good it is, and what it would have bought alone."""
    found = []
    for judge, log_odds, read in zip(
        decided.scored.judges, decided.scored.each, decided.scored.combined.read, strict=True
    ):
        replies = views.replies(store, judge.judge_id)
        alone = decided.rows if len(decided.scored.each) == 1 else Rows.of(log_odds, decided.scored, decided.rule.ties)
        found.append(
            {
                "judge_id": judge.judge_id, "name": judge.name, "engine": judge.engine,
                "read": int(np.count_nonzero(read & decided.scored.known.in_pool)),
                "judged": int(np.count_nonzero(~np.isnan(log_odds) & read & decided.scored.known.in_pool)),
                **_quality(alone, decided.rule),
                "first_shown_preferred": replies.first_shown, "failures": dict(replies.failures[:10]),
                "tokens": replies.tokens, "cached_tokens": replies.cached_tokens,
            }
        )  # fmt: skip
    return found


def _quality(rows: Rows, rule: Rule) -> Result:
    """How good labels and ranking are on the calibration rows, and the coverage that the rule buys without groups."""
    uses, labelled = rows.calibrates, rows.calibrates & (rows.label != 0)
    found = calibrate(
        rows.sureness[uses], rows.wrong[uses], rows.sureness[rows.pool],
        guarantee=rule.guarantee, alpha=rule.alpha, delta=rule.delta,
    )  # fmt: skip
    right = ~rows.wrong[labelled]
    return {"accuracy": accuracy(right), "auroc": auroc(rows.sureness[labelled], right), "coverage": found.coverage}


def _panel(decided: Decided, each: Sequence[Result]) -> Result | None:
    """How several judges were put together."""
    if len(each) == 1:
        return None
    settings, made = decided.judge.settings, decided.scored.combined
    tokens = sum(one["tokens"] for one in each)
    return {
        "combine": settings["combine"],
        "missing": settings["missing"],
        "weights": None if made.weights is None else made.weights.tolist(),
        "cascade": None if made.edge is None else {
            "edge": made.edge, "fitted": settings["fit_cascade"],
            "pairs_share": each[-1]["read"] / max(1, each[0]["read"]),
            "tokens_share": each[-1]["tokens"] / tokens if tokens else None,
        },
    }  # fmt: skip


def recalibrate(store: Store, rule: Rule) -> Result:
    """Decide anew with the latest judge's stored judgments.

    Raises:
        StoreError: nothing has been judged yet.
    """
    from curator import __version__

    judge = latest_judge(store)
    if judge is None:
        raise StoreError(f"{store.path}: nothing is judged yet; run `curator label` first")
    decided = decide(store, judge, rule)
    draw_audit(store, 0)
    result = decision_result(store, decided)
    views.add_run(store, __version__, "calibrate", result)
    return result
