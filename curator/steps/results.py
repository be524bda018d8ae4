"""Says what a decision came to: the object of `run.json`, but for what reading and asking cost."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from curator.bias import Bias
from curator.conformal import promise
from curator.options import Rule, Ties
from curator.pair import JudgeInfo
from curator.quality import accuracy, auroc
from curator.steps.auditing import audit_result
from curator.steps.changes import before
from curator.steps.deciding import Decided, Rows, calibrated, shown_threshold
from curator.steps.doubting import Answers, find_doubts, judge_bias
from curator.steps.scoring import A, B, told_apart
from curator.store import Store, tasks, views
from curator.store.dataset import dataset_counts
from curator.store.decisions import GroupCalibration, earlier_tries
from curator.store.provenance import provenance
from curator.store.suspects import suspect_counts

Result = dict[str, Any]


def decision_result(store: Store, decided: Decided) -> Result:
    """The part of `run.json` that is about the decision: equal for equal stores, whenever it was made."""
    rule, judge, rows = decided.rule, decided.judge, decided.rows
    every = [one.found for one in decided.calibrations]
    counts = tasks.counts(store)
    each, biases = _judges(store, decided)
    suspects, signs = suspect_counts(store)
    prompts, drawn = views.calibration_rows(store)
    cuts = [found.threshold for found in every if found.threshold is not None]
    failures: dict[str, int] = {}
    for one in each:
        for reason, count in one.pop("failures").items():
            failures[reason] = failures.get(reason, 0) + count
    result = {
        "pairs": counts["pairs"],
        "judged": decided.judged,
        "failed": counts["pairs"] - decided.judged,
        "failures": failures,
        "judge_ties": counts["judge_ties"],
        "calibration": {
            "n": sum(found.n for found in every), "errors": sum(found.n_errors for found in every),
            "accepted": sum(found.k for found in every), "accepted_errors": sum(found.errors for found in every),
            "ties_left_out": sum(one.ties_left_out for one in decided.calibrations),
            "fitted": int(np.count_nonzero(decided.scored.known.fits)), "prompts": prompts, "drawn": drawn,
            "earlier_tries": max(
                earlier_tries(store, judge.judge_id, rule.score, rule.group_by, one, sum(found.n for found in every))
                for one in decided.calibrations
            ),
        },
        **provenance(store),
        "score": rule.score.value,
        "guarantee": rule.guarantee.value,
        "alpha": float(rule.alpha),
        "delta": float(rule.delta),
        "ties": rule.ties.value,
        "votes": rule.votes.value,
        "suspects": {"decided_by": rule.suspects.value, "pairs": suspects, "signs": signs},
        "threshold": shown_threshold(min(cuts, default=None)),
        "group_by": rule.group_by,
        "groups": None if rule.group_by is None else [_group(one, rule) for one in decided.calibrations],
        "pool": decided.pool,
        "accepted": decided.accepted,
        "abstained": decided.pool - decided.accepted,
        "coverage": decided.coverage,
        "labels_missing": decided.missing,
        "labelled": counts["labelled"],
        "dataset": dataset_counts(store),
        "queue": {
            "tasks": counts["waiting"], "calibration_draw": counts["waiting_for_calibration"],
            "audit": counts["waiting_for_audit"], "again": counts["waiting_again"],
            "another": counts["waiting_for_another"], "answers": counts["answers_wanted"],
        },
        "judge": {
            "judge_id": judge.judge_id, "name": judge.name, "engine": judge.engine,
            "demonstration": judge.demonstration, "settings": judge.settings, "details": judge.details,
            "bias": each[0]["bias"] if len(each) == 1 else None,
            **_quality(rows, decided),
        },
        "judges": each,
        "panel": _panel(decided, each),
        "promise": group_promise(decided),
        "audit": audit_result(store),
        "tokens": sum(one["tokens"] for one in each),
        "cached_tokens": sum(one["cached_tokens"] for one in each),
    }  # fmt: skip
    return {
        **result,
        "before": before(views.latest_run(store), result),
        "doubts": find_doubts(store, rule, result, biases, _answers(decided)),
    }


def _group(one: GroupCalibration, rule: Rule) -> Result:
    found = one.found
    return {
        "group": one.name, "n": found.n, "errors": found.n_errors, "pool": found.m,
        "threshold": shown_threshold(found.threshold), "accepted": found.accepted, "coverage": found.coverage,
        "promise": promise(found, rule.ties is Ties.EXCLUDE, one.ties_left_out),
    }  # fmt: skip


def group_promise(decided: Decided) -> str:
    """The sentence that was bought: with groups, one that holds within each of those that have a threshold."""
    every, rule = decided.calibrations, decided.rule
    aside = rule.ties is Ties.EXCLUDE
    if rule.group_by is None:
        return promise(every[0].found, aside, every[0].ties_left_out)
    bought = [one.found for one in every if one.found.threshold is not None]
    if not bought:
        telling = max((one.found for one in every), key=lambda found: (found.m > 0, found.n))
        return promise(telling, aside, sum(one.ties_left_out for one in every))
    return (
        f"Within each group of {rule.group_by!r} that has a threshold ({len(bought)} of {len(every)}), and not "
        f"over all groups together: {promise(max(bought, key=lambda found: found.m), aside)}"
    )


def _judges(store: Store, decided: Decided) -> tuple[list[Result], list[tuple[str, Bias]]]:
    """Each judge by itself: what it cost, how good it is, and what it would have bought alone; and what it goes by."""
    found: list[Result] = []
    biases: list[tuple[str, Bias]] = []
    scored = decided.scored
    for judge, name, log_odds, read in zip(
        scored.judges, told_apart(scored.judges), scored.each, scored.combined.read, strict=True
    ):
        replies = views.replies(store, judge.judge_id, read)
        bias = judge_bias(store, judge.judge_id, decided.rule.min_label_mass)
        biases.append((name, bias))
        # What a judge of a cascade has said about other pairs, for another run, is no part of this.
        own = np.where(read, log_odds, np.nan)
        alone = decided.rows if len(decided.scored.each) == 1 else Rows.of(own, decided.scored, decided.rule.ties)
        found.append(
            {
                "judge_id": judge.judge_id, "name": name, "engine": judge.engine,
                "template": _template(judge), "read": int(np.count_nonzero(read & decided.scored.known.in_pool)),
                "judged": int(np.count_nonzero(~np.isnan(own) & decided.scored.known.in_pool)),
                **{**_quality(alone, decided), **({} if read.all() else {"coverage": None})},
                "bias": bias.figures(), "failures": dict(replies.failures[:10]),
                "tokens": replies.tokens, "cached_tokens": replies.cached_tokens,
            }
        )  # fmt: skip
    return found, biases


def _template(judge: JudgeInfo) -> str | None:
    """Name and hash of what a judge is asked with; None: it was asked elsewhere."""
    digest = judge.settings.get("template_digest")
    return None if digest is None else f"{judge.settings.get('template')}, hash {digest}"


def _answers(decided: Decided) -> list[Answers]:
    """How much of what each judge was to read it answered, of the calibration rows and of the pool."""
    found: list[Answers] = []
    scored = decided.scored
    for name, log_odds, read in zip(told_apart(scored.judges), scored.each, scored.combined.read, strict=True):
        answered = read & ~np.isnan(log_odds)
        rows, pool = (
            (int(np.count_nonzero(answered & side)), int(np.count_nonzero(read & side)))
            for side in (decided.rows.calibrates, decided.rows.pool)
        )
        found.append((name, rows, pool))
    return found


def _quality(rows: Rows, decided: Decided) -> Result:
    """How good labels and ranking are on the calibration rows, and the coverage that the rule buys."""
    labelled = rows.calibrates & (rows.label != 0)
    sided = labelled & np.isin(decided.scored.known.verdict, [A, B])
    right = ~rows.wrong[labelled]
    return {
        "sided": int(np.count_nonzero(sided)), "right": int(np.count_nonzero(sided & ~rows.wrong)),
        "accuracy": accuracy(right), "auroc": auroc(rows.sureness[labelled], right),
        "coverage": decided.coverage if rows is decided.rows else _coverage_alone(rows, decided),
    }  # fmt: skip


def _coverage_alone(rows: Rows, decided: Decided) -> float:
    """What the rule would accept with these rows in place of those that were decided with."""
    found = [made for _, _, made in calibrated(decided.scored, rows, decided.rule)]
    return sum(made.accepted for made in found) / max(1, sum(made.m for made in found))


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
