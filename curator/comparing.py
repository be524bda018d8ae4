"""Signals side by side, and one rule over many alphas, from what is stored: nothing is judged and nothing decided."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from curator import __version__
from curator.conformal import Calibration, calibrate
from curator.errors import StoreError
from curator.options import Rule, Ties
from curator.pair import JudgeInfo
from curator.preference import entropy_at
from curator.quality import accuracy, auprc, auroc, ece, exact_interval
from curator.signals import Ranked, Replies, Signal, signal
from curator.store import Store
from curator.store.decisions import VERDICTS
from curator.store.looks import Known, add_look, earlier_looks, judges_of_input, known_pairs, stored_replies

_A, _B = VERDICTS.index("a"), VERDICTS.index("b")

ALPHAS = tuple(Fraction(percent, 100) for percent in (1, 2, 3, 5, 7, 10, 12, 15, 20, 25, 30))
"""What a sweep goes over where nothing else is asked for."""

NOTE = (
    "For planning. Rule, alpha and signal are chosen before results are seen: picking the {choice} that pleases, on "
    "the same labels, is a choice that no promise covers. It is recorded that this was looked at."
)


def compare(store: Store, rule: Rule, judges: Sequence[JudgeInfo] | None = None) -> dict[str, Any]:
    """Every signal that the store can answer, on the labels that may calibrate.

    Args:
        rule: what coverage is under.
        judges: whose replies; None: of every judge that has replied about the input, the latest calibration's first.

    Returns:
        The rows of the table, and what they were made from. Calibration error, AUROC and AUPRC are over the calibration
        pairs on which the signal has a label (`labelled`), coverage is over the pool.

    Raises:
        StoreError: nothing is judged, or no label may calibrate.
    """
    judges = judges_of_input(store) if judges is None else judges
    if not judges:
        raise StoreError(f"{store.path}: nothing is judged yet; run `curator label` first")
    known = known_pairs(store)
    rows = _usable(store, known, rule)
    before = earlier_looks(store)
    replies = [stored_replies(store, judge.judge_id, rule.min_label_mass) for judge in judges]
    signals = [
        {"signal": kind.value, "judges": [_named(judge) for judge in whose], **measure(ranked, known, rows, rule)}
        for kind, whose, ranked in _signals(judges, replies)
    ]
    add_look(store, "comparison")
    return {
        "version": __version__,
        **_rule(rule), "alpha": float(rule.alpha), "n": int(np.count_nonzero(rows)),
        "pool": int(np.count_nonzero(known.in_pool & ~known.calibrates)), "signals": signals, "earlier_looks": before,
        "note": NOTE.format(choice="signal or the judge"),
    }  # fmt: skip


def _signals(
    judges: Sequence[JudgeInfo], replies: Sequence[Replies]
) -> Iterator[tuple[Signal, Sequence[JudgeInfo], Ranked]]:
    """What each judge's replies, and those of all, can be ranked by."""
    for judge, one in zip(judges, replies, strict=True):
        for kind in (Signal.BPE, Signal.ONE_ORDER, Signal.AGREEMENT, Signal.VERBALISED):
            if kind is not Signal.VERBALISED or one.stated_ab is not None:
                yield kind, [judge], signal(kind, [one])
    yield Signal.VOTES, judges, signal(Signal.VOTES, replies)


def measure(ranked: Ranked, known: Known, rows: NDArray[np.bool_], rule: Rule) -> dict[str, Any]:
    """How good a ranking is on the calibration rows, and what the rule accepts with it.

    Args:
        rows: which pairs calibrate; shape (n_pairs,).
    """
    label = np.where(ranked.log_odds > 0, _A, np.where(ranked.log_odds < 0, _B, 0))
    right = label == known.verdict
    shown = rows & (label != 0)
    sureness, claimed, good = ranked.sureness[shown], ranked.p_right[shown], right[shown]
    pool = known.in_pool & ~known.calibrates
    found = calibrate(
        ranked.sureness[rows], ~right[rows], ranked.sureness[pool],
        guarantee=rule.guarantee, alpha=rule.alpha, delta=rule.delta,
    )  # fmt: skip
    return {
        "labelled": int(good.size), "accuracy": accuracy(good), "ece": ece(claimed, good),
        "auroc": auroc(sureness, good), "auprc": auprc(sureness, good), "levels": int(np.unique(sureness).size),
        **_found(found),
    }  # fmt: skip


def sweep(store: Store, rule: Rule, alphas: Sequence[Fraction] = ALPHAS) -> dict[str, Any]:
    """One rule over many alphas, on the scores of the latest decision. No decision changes; the look is recorded.

    Returns:
        For each alpha: threshold, coverage of the pool, and the share wrong among the accepted calibration rows with
        its exact interval (95%), as if the threshold had not been chosen on the same rows.

    Raises:
        StoreError: nothing is decided yet, or no label may calibrate.
    """
    known = known_pairs(store)
    if np.isnan(known.log_odds).all():
        raise StoreError(f"{store.path}: no pair has a score yet; run `curator label` first")
    rows = _usable(store, known, rule)
    sureness, right = scored(known)
    pool = sureness[known.in_pool & ~known.calibrates]
    before = earlier_looks(store)
    steps = []
    for alpha in sorted(set(alphas)):
        found = calibrate(
            sureness[rows], ~right[rows], pool, guarantee=rule.guarantee, alpha=alpha, delta=rule.delta
        )  # fmt: skip
        low, high = exact_interval(found.errors, found.k)
        estimate = {"error": found.errors / found.k, "error_low": low, "error_high": high} if found.k else {
            "error": None, "error_low": None, "error_high": None,
        }  # fmt: skip
        steps.append({"alpha": float(alpha), **_found(found), **estimate})
    add_look(store, "sweep")
    return {
        "version": __version__,
        **_rule(rule), "n": int(np.count_nonzero(rows)), "errors": int(np.count_nonzero(~right[rows])),
        "pool": int(pool.size), "alphas": steps, "earlier_looks": before, "note": NOTE.format(choice="alpha"),
    }  # fmt: skip


def scored(known: Known) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Sureness of every pair by its stored score (-inf: never accepted), and whether its label is the human one."""
    odds = np.nan_to_num(known.log_odds, nan=0.0, posinf=np.inf, neginf=-np.inf)  # not answered: no preference
    sureness = np.where(odds == 0, -np.inf, np.abs(odds))
    return sureness, np.where(odds > 0, _A, np.where(odds < 0, _B, 0)) == known.verdict


def _usable(store: Store, known: Known, rule: Rule) -> NDArray[np.bool_]:
    """Which pairs calibrate.

    Raises:
        StoreError: none does.
    """
    rows = known.calibrates
    if rule.ties is Ties.EXCLUDE:
        rows = rows & np.isin(known.verdict, [_A, _B])
    if not rows.any():
        raise StoreError(
            f"{store.path}: no label may calibrate yet: have people label the calibration draw at the head of the "
            "queue, and bring it in with `curator import`"
        )
    return rows


def _rule(rule: Rule) -> dict[str, Any]:
    return {"guarantee": rule.guarantee.value, "delta": float(rule.delta), "ties": rule.ties.value}


def _named(judge: JudgeInfo) -> dict[str, str]:
    return {"judge_id": judge.judge_id, "name": judge.name}


def _found(found: Calibration) -> dict[str, Any]:
    threshold = None
    if found.threshold is not None:
        odds = found.threshold if np.isfinite(found.threshold) else "inf"
        threshold = {"bpe": entropy_at(found.threshold), "log_odds": odds}
    return {
        "threshold": threshold, "accepted": found.accepted, "coverage": found.coverage,
        "calibration_accepted": found.k, "calibration_errors": found.errors,
    }  # fmt: skip
