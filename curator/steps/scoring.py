"""Reads what judges said about the input and makes one score a pair of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import numpy as np
from numpy.typing import NDArray

from curator.combining import Combine, Combined, Missing, Panel, combine
from curator.errors import InputError
from curator.options import Rule, Suspects
from curator.pair import JudgeInfo
from curator.preference import Preference, preference
from curator.signals import OF_ONE_JUDGE, Replies, Signal, of_judge, of_replies
from curator.steps.voting import resolve_votes
from curator.store import Store
from curator.store.decisions import VERDICTS, Judged, judged_pairs
from curator.store.judgments import PANEL, members

Floats = NDArray[np.float64]

A, B, TIE = (np.int8(VERDICTS.index(verdict)) for verdict in ("a", "b", "tie"))


@dataclass(frozen=True, slots=True)
class Scored:
    """Every pair of the input with its score.

    Attributes:
        judges: those of the panel, or the only one.
        each: log-odds of each judge, by the signal that ranks pairs; shape (n_judges, n_pairs), NaN without a verdict.
        combined: what they come to together, by the signals that a judge has by itself; a cascade goes by this.
        log_odds: what ranks the pairs, by the signal that was asked for; shape (n_pairs,), NaN without a verdict.
        preference: the same of the pairs that have a verdict, with its probabilities and entropy.
    """

    judges: Sequence[JudgeInfo]
    known: Judged
    each: Floats
    combined: Combined
    log_odds: Floats
    preference: Preference


def panel_judge(judges: Sequence[JudgeInfo], panel: Panel) -> JudgeInfo:
    """Several judges as one, which has an id of its own; one alone is itself.

    Raises:
        InputError: one judge alone is to be weighed, or to hand pairs on.
    """
    if len(judges) == 1:
        if panel.cascades or panel.combine is Combine.FITTED:
            raise InputError(f"{judges[0].name} is the only judge: a cascade, or fitted weights, need several")
        return judges[0]
    return JudgeInfo(
        name=(" > " if panel.cascades else " + ").join(told_apart(judges)),
        engine=PANEL,
        settings={"judges": [judge.judge_id for judge in judges], **asdict(panel)},
        demonstration=any(judge.demonstration for judge in judges),
    )


def told_apart(judges: Sequence[JudgeInfo]) -> list[str]:
    """The names of judges; those of one name, such as a model with two templates, with what tells them apart."""
    names = [judge.name for judge in judges]
    by = [", ".join(filter(None, (judge.settings.get("template"), judge.settings.get("rubric")))) for judge in judges]
    return [
        name if names.count(name) == 1 else f"{name} ({what or judge.judge_id[:6]})"
        for name, what, judge in zip(names, by, judges, strict=True)
    ]


def panel_of(judge: JudgeInfo) -> Panel:
    """How the judges of a panel work together, from its settings."""
    if judge.engine != PANEL:
        return Panel()
    values = {name: value for name, value in judge.settings.items() if name != "judges"}
    return Panel(**{**values, "combine": Combine(values["combine"]), "missing": Missing(values["missing"])})


def score_input(store: Store, judge: JudgeInfo, rule: Rule) -> Scored:
    """Score every pair of the input with a judge, or a panel of them. See `judged_pairs` for the table it leaves."""
    return score_judges(store, members(store, judge), panel_of(judge), rule)


def score_judges(store: Store, judges: Sequence[JudgeInfo], panel: Panel, rule: Rule) -> Scored:
    """Score every pair of the input with some judges: all of a panel, or those of a cascade that have been asked.

    People's labels are resolved as the rule says, from here on.

    Raises:
        InputError: a judge has not said how sure it is, and that is to rank the pairs.
    """
    resolve_votes(store, rule.votes)
    known = judged_pairs(
        store, [judge.judge_id for judge in judges], rule.min_label_mass,
        fit_fraction=panel.fit_fraction, group_by=rule.group_by,
        suspects=rule.suspects is Suspects.QUEUE,
    )  # fmt: skip
    side = np.select([known.verdict == A, known.verdict == B], [1, -1], 0)
    kind = rule.score if rule.score in OF_ONE_JUDGE else Signal.BPE
    try:
        each = np.array([of_judge(kind, replies) for replies in known.replies])
    except ValueError as error:
        raise InputError(f"--score {rule.score}: {error}") from None
    combined = combine(each, panel, known.fits, side)
    odds = combined.log_odds
    if kind is not rule.score:
        odds = of_replies(rule.score, read_replies(known.replies, combined), odds)
        if len(judges) == 1:
            each = odds[None]
    return Scored(judges, known, each, combined, odds, _shown(rule.score, known.replies, odds))


def read_replies(replies: Sequence[Replies], combined: Combined) -> list[Replies]:
    """Of each judge, the replies about pairs that it was to read: it may have read others for another run."""
    return [one.only(read) for one, read in zip(replies, combined.read, strict=True)]


def _shown(score: Signal, replies: Sequence[Replies], odds: Floats) -> Preference:
    """Probabilities and entropies of the pairs that have a verdict."""
    if score is Signal.BPE and len(replies) == 1:
        return preference(*replies[0].of(replies[0].answered))
    odds = odds[~np.isnan(odds)]
    return preference(odds, odds)
