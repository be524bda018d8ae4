"""Signals side by side, and one rule over many alphas, from what is stored: nothing is judged and nothing decided."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from curator import __version__
from curator.combining import Combined, Panel, combine
from curator.errors import StoreError
from curator.intervals import clopper_pearson
from curator.options import Rule
from curator.pair import JudgeInfo
from curator.quality import accuracy, auprc, auroc, ece
from curator.signals import Signal, of_judge, of_replies, p_right
from curator.steps.deciding import Rows, calibrated, shown_threshold
from curator.steps.scoring import A, B, Scored, panel_of, read_replies, score_input, score_judges
from curator.store import Store
from curator.store.judgments import latest_judge, members
from curator.store.looks import add_look, earlier_looks, judges_of_input

Floats = NDArray[np.float64]

ALPHAS = tuple(Fraction(percent, 100) for percent in (1, 2, 3, 5, 7, 10, 12, 15, 20, 25, 30))
"""What a sweep goes over where nothing else is asked for."""

NOTE = (
    "For planning. Rule, alpha and signal are chosen before results are seen: picking the {choice} that pleases, on "
    "the same labels, is a choice that no promise covers. It is recorded that this was looked at."
)


@dataclass(frozen=True, slots=True)
class _Team:
    """Judges whose replies are put together: `first` of those that were scored."""

    judges: Sequence[JudgeInfo]
    panel: Panel
    first: int


def compare(store: Store, rule: Rule) -> dict[str, Any]:
    """Every signal that the store can answer, on the labels that may calibrate.

    First each judge with replies about the input, that of the latest calibration before the others; then the panel of
    the latest calibration, or where it was of one judge, all of them with equal weights.

    Returns:
        The rows of the table, and what they were made from. Calibration error, AUROC and AUPRC are over the calibration
        pairs on which the signal has a label (`labelled`); coverage is of the pool, under the rule.

    Raises:
        StoreError: nothing is judged, or no label may calibrate.
    """
    latest = _latest(store)
    inside, panel = members(store, latest), panel_of(latest)
    ids = {judge.judge_id for judge in inside}
    judges = [*inside, *(judge for judge in judges_of_input(store) if judge.judge_id not in ids)]
    with store.undone():  # the store goes on resolving votes as it was decided on
        scored = score_judges(store, judges, panel, replace(rule, score=Signal.BPE))
    team = _Team(inside, panel, len(inside)) if len(inside) > 1 else _Team(judges, panel, len(judges))
    signals = [
        {"signal": kind.value, "judges": [{"judge_id": one.judge_id, "name": one.name} for one in whose],
         **_measured(odds, scored, rule)}
        for kind, whose, odds in _signals(scored, team, rule)
    ]  # fmt: skip
    rows = _rows(store, scored.log_odds, scored, rule)
    before = earlier_looks(store)
    add_look(store, "comparison")
    return {
        "version": __version__,
        **_named(rule), "alpha": float(rule.alpha), "n": int(np.count_nonzero(rows.calibrates)),
        "pool": int(np.count_nonzero(rows.pool)), "signals": signals, "earlier_looks": before,
        "note": NOTE.format(choice="signal or the judge"),
    }  # fmt: skip


def _signals(scored: Scored, team: _Team, rule: Rule) -> Iterator[tuple[Signal, Sequence[JudgeInfo], Floats]]:
    """What each judge's replies, and then those of the team, can be ranked by; log-odds of shape (n_pairs,)."""
    for judge, one in zip(scored.judges, scored.known.replies, strict=True):
        alone = of_judge(Signal.BPE, one)
        yield Signal.BPE, [judge], alone
        yield Signal.ONE_ORDER, [judge], of_judge(Signal.ONE_ORDER, one)
        yield Signal.AGREEMENT, [judge], of_replies(Signal.AGREEMENT, [one], alone)
        if one.stated_ab is not None:
            yield Signal.VERBALISED, [judge], of_judge(Signal.VERBALISED, one)
    known, replies = scored.known, scored.known.replies[: team.first]
    side = np.select([known.verdict == A, known.verdict == B], [1, -1], 0)

    def together(kind: Signal) -> Combined:
        return combine(np.array([of_judge(kind, one) for one in replies]), team.panel, known.fits, side)

    averaged = together(Signal.BPE)
    all_averaged, read = averaged.log_odds, read_replies(replies, averaged)
    if len(replies) > 1:
        yield Signal.BPE, team.judges, all_averaged
        yield Signal.ONE_ORDER, team.judges, together(Signal.ONE_ORDER).log_odds
        yield Signal.AGREEMENT, team.judges, of_replies(Signal.AGREEMENT, read, all_averaged)
        if all(one.stated_ab is not None for one in replies):
            yield Signal.VERBALISED, team.judges, together(Signal.VERBALISED).log_odds
    yield Signal.VOTES, team.judges, of_replies(Signal.VOTES, read, all_averaged)


def _measured(odds: Floats, scored: Scored, rule: Rule) -> dict[str, Any]:
    """How good a ranking is on the calibration rows, and what the rule accepts with it."""
    rows = Rows.of(odds, scored, rule.ties)
    shown = rows.calibrates & (rows.label != 0)
    sureness, right = rows.sureness[shown], ~rows.wrong[shown]
    return {
        "labelled": int(right.size), "accuracy": accuracy(right), "ece": ece(p_right(sureness), right),
        "auroc": auroc(sureness, right), "auprc": auprc(sureness, right), "levels": int(np.unique(sureness).size),
        **_accepted(scored, rows, rule),
    }  # fmt: skip


def sweep(store: Store, rule: Rule, alphas: Sequence[Fraction] = ALPHAS) -> dict[str, Any]:
    """One rule over many alphas, with the stored judgments of the latest judge or panel. No decision changes.

    Returns:
        For each alpha: threshold, coverage of the pool, and the share wrong among the accepted calibration rows with
        its exact interval (95%), as if the threshold had not been chosen on the same rows. With groups, sums over them.

    Raises:
        StoreError: nothing is judged, or no label may calibrate.
    """
    with store.undone():  # the store goes on resolving votes as it was decided on
        scored = score_input(store, _latest(store), rule)
    rows = _rows(store, scored.log_odds, scored, rule)
    steps = []
    for alpha in sorted(set(alphas)):
        step = _accepted(scored, rows, replace(rule, alpha=alpha))
        k, e = step["calibration_accepted"], step["calibration_errors"]
        low, high = clopper_pearson(e, k) if k else (None, None)
        step |= {"error": e / k if k else None, "error_low": low, "error_high": high}
        steps.append({"alpha": float(alpha), **step})
    before = earlier_looks(store)
    add_look(store, "sweep")
    return {
        "version": __version__,
        **_named(rule), "n": int(np.count_nonzero(rows.calibrates)),
        "errors": int(np.count_nonzero(rows.calibrates & rows.wrong)), "pool": int(np.count_nonzero(rows.pool)),
        "alphas": steps, "earlier_looks": before, "note": NOTE.format(choice="alpha"),
    }  # fmt: skip


def _latest(store: Store) -> JudgeInfo:
    if (judge := latest_judge(store)) is None:
        raise StoreError(f"{store.path}: nothing is judged yet; run `curator label` first")
    return judge


def _rows(store: Store, odds: Floats, scored: Scored, rule: Rule) -> Rows:
    rows = Rows.of(odds, scored, rule.ties)
    if not rows.calibrates.any():
        raise StoreError(
            f"{store.path}: no label may calibrate yet: have people label the calibration draw at the head of the "
            "queue, and bring it in with `curator import`"
        )
    return rows


def _accepted(scored: Scored, rows: Rows, rule: Rule) -> dict[str, Any]:
    """What the rule accepts, over all groups; the threshold is that of the least sure pair."""
    found = [made for _, _, made in calibrated(scored, rows, rule)]
    lowest = min((one.threshold for one in found if one.threshold is not None), default=None)
    accepted, pool = sum(one.accepted for one in found), sum(one.m for one in found)
    return {
        "threshold": shown_threshold(lowest),
        "accepted": accepted, "coverage": accepted / pool if pool else 0.0,
        "calibration_accepted": sum(one.k for one in found), "calibration_errors": sum(one.errors for one in found),
    }  # fmt: skip


def _named(rule: Rule) -> dict[str, Any]:
    return {
        "score": rule.score.value, "guarantee": rule.guarantee.value, "delta": float(rule.delta),
        "ties": rule.ties.value, "votes": rule.votes.value, "group_by": rule.group_by,
    }  # fmt: skip
