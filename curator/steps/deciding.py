"""Calibrates, within groups or for all pairs, and accepts or abstains."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from fractions import Fraction
from itertools import compress
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
from numpy.typing import NDArray

from curator.conformal import Calibration, Guarantee, accept, calibrate
from curator.options import Rule, Suspects, Ties, Votes
from curator.pair import JudgeInfo
from curator.preference import entropy_at
from curator.signals import Signal, sureness
from curator.sizing import labels_missing
from curator.steps.scoring import TIE, A, B, Scored, panel_of, score_input
from curator.store import Store
from curator.store.decisions import (
    GroupCalibration,
    add_calibration,
    calibration_ids,
    replace_decisions,
)

_RULE = "rule of the latest decision"

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
        left_out: pairs that would calibrate, did people not call them equal.
    """

    sureness: Floats
    label: NDArray[np.int8]
    wrong: Bools
    calibrates: Bools
    pool: Bools
    left_out: Bools

    @classmethod
    def of(cls, log_odds: Floats, scored: Scored, ties: Ties) -> Rows:
        """Of a judge's log-odds (NaN: no verdict), or of a panel's.

        About a suspect nothing the judges say is taken for a preference: it is an abstention, wherever it stands.
        """
        known = scored.known
        log_odds = np.where(known.suspect, 0.0, log_odds)
        # No preference is no label, however low the threshold.
        none = np.isnan(log_odds) | (log_odds == 0)
        label = np.select([none, log_odds > 0], [np.int8(0), A], B)
        calibrates = known.calibrates & ~known.fits
        left_out = np.zeros_like(calibrates)
        if ties is Ties.EXCLUDE:
            left_out = calibrates & (known.verdict == TIE)
            calibrates = calibrates & np.isin(known.verdict, [A, B])
        return cls(
            sureness(log_odds), label, label != known.verdict, calibrates, known.in_pool & ~known.calibrates, left_out
        )


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

    @property
    def coverage(self) -> float:
        return self.accepted / self.pool if self.pool else 0.0


def decide(store: Store, judge: JudgeInfo, rule: Rule) -> Decided:
    """Score every pair of the input, calibrate, and accept or abstain.

    The pool is every pair that is no calibration row, also those that people labelled because the judge abstained:
    a pool without them would hold fewer hard pairs than the calibration rows, and the promise would be void.
    """
    scored = score_input(store, judge, rule)
    log_odds, known = scored.log_odds, scored.known
    answered = ~np.isnan(log_odds)
    rows = Rows.of(log_odds, scored, rule.ties)
    calibrations, accepted = [], np.zeros(answered.size, dtype=bool)
    missing: list[tuple[bool, int]] = []
    for name, here, found in calibrated(scored, rows, rule):
        uses = rows.calibrates & here
        calibrations.append(GroupCalibration(name, found, int(np.count_nonzero(rows.left_out & here))))
        accepted[here] = accept(rows.sureness[here], found.threshold)
        if found.threshold is None:
            more = labels_missing(rows.sureness[uses], rows.wrong[uses], rule.guarantee, rule.alpha, rule.delta)
            if more is not None:
                missing.append((more < found.m, _to_label(more, here, panel_of(judge).fit_fraction)))
    with store.transaction():
        number = add_calibration(
            store, judge.judge_id, calibrations, score=rule.score.value, ties=rule.ties.value, votes=rule.votes.value,
            suspects=rule.suspects.value, group_by=rule.group_by, fingerprint=_fingerprint(store, known.verdict, rows),
        )  # fmt: skip
        reason = _reasons(
            accepted,
            answered,
            known.suspect,
            rows.sureness,
            any(one.found.threshold is not None for one in calibrations),
        )
        store.set(_RULE, orjson.dumps(asdict(rule), default=str).decode())
        replace_decisions(
            store, judge.judge_id, number, scored.preference, answered,
            np.where(accepted, rows.label, np.int8(0)), reason,
        )  # fmt: skip
    judged = int(np.count_nonzero(answered & known.in_pool))
    within_reach = [more for possible, more in missing if possible] or [more for _, more in missing]
    return Decided(judge, rule, scored, rows, calibrations, judged, _complete(scored), max(within_reach, default=None))


def latest_rule(store: Store) -> Rule | None:
    """The rule of the latest decision; None: there is none."""
    if not (made := orjson.loads(store.setting(_RULE, "null"))):
        return None
    return Rule(
        Guarantee(made["guarantee"]), Fraction(made["alpha"]), Fraction(made["delta"]), Ties(made["ties"]),
        made["min_label_mass"], made["group_by"], made["group_min"], Signal(made["score"]), Votes(made["votes"]),
        Suspects(made["suspects"]),
    )  # fmt: skip


def calibrated(scored: Scored, rows: Rows, rule: Rule) -> list[tuple[str | None, Bools, Calibration]]:
    """What the rule makes of each group: its name, its pairs and the calibration. Nothing is stored."""
    found = []
    for name, here in groups(scored, rule):
        uses, pool = rows.calibrates & here, rows.pool & here
        made = calibrate(
            rows.sureness[uses], rows.wrong[uses], rows.sureness[pool],
            guarantee=rule.guarantee, alpha=rule.alpha, delta=rule.delta,
        )  # fmt: skip
        found.append((name, here, made))
    return found


def shown_threshold(log_odds: float | None) -> dict[str, Any] | None:
    """A threshold as `run.json` has it."""
    if log_odds is None:
        return None
    return {"bpe": entropy_at(log_odds), "log_odds": log_odds if np.isfinite(log_odds) else "inf"}


def _to_label(more: int, here: Bools, fitted: float) -> int:
    """How many pairs to draw from all for `more` of a group to calibrate: it gets its share, less what is fitted on."""
    return math.ceil(more * here.size / max(1, int(here.sum())) / (1 - fitted))


def groups(scored: Scored, rule: Rule) -> list[tuple[str | None, Bools]]:
    """The groups within which the rule is to hold; small ones, and pairs without the field, come together as None.

    Which groups are small depends on how many labels they have, ties included, and not on what the labels say: a
    promise within each of the groups that are left is as good as if they had been named beforehand.
    """
    known = scored.known
    everything = np.ones(known.verdict.shape, dtype=bool)
    if rule.group_by is None:
        return [(None, everything)]
    labels = np.bincount(known.group[known.calibrates & ~known.fits], minlength=len(known.groups))
    own = [code for code, name in enumerate(known.groups) if name is not None and labels[code] >= rule.group_min]
    found: list[tuple[str | None, Bools]] = [(known.groups[code], known.group == code) for code in own]
    found.sort(key=lambda one: str(one[0]))
    others = ~np.isin(known.group, own)
    return [*found, (None, others)] if others.any() else found


def _complete(scored: Scored) -> bool:
    """Whether every judge has given a verdict on every pair that it was to read."""
    return bool((~np.isnan(scored.each) | ~scored.combined.read).all())


def _reasons(accepted: Bools, answered: Bools, suspect: Bools, sureness: Floats, threshold: bool) -> pa.DictionaryArray:
    """Why each pair is accepted or not, in words."""
    words = [
        "less sure than the threshold" if threshold else "no threshold",
        "no preference", "not judged in both orders", "at least as sure as the threshold",
        "a response talks to the judge",
    ]  # fmt: skip
    code = np.isneginf(sureness).astype(np.int8)
    code[~answered] = 2
    code[accepted] = 3
    code[suspect] = 4
    return pa.DictionaryArray.from_arrays(code, words)


def _fingerprint(store: Store, verdict: NDArray[np.int8], rows: Rows) -> str:
    """Hash of the calibration rows that thresholds were made from."""
    ids, place = calibration_ids(store)
    used = rows.calibrates[place]
    digest = hashlib.blake2b(digest_size=16)
    digest.update("".join(compress(ids, used)).encode())
    digest.update(verdict[place[used]].tobytes() + rows.sureness[place[used]].tobytes())
    return digest.hexdigest()
