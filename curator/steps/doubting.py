"""Looks for what speaks against the promise of a decision, and against its judges."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from curator import bias, doubts
from curator.bias import Bias
from curator.combining import Missing
from curator.conformal import Guarantee
from curator.doubts import Doubt
from curator.noise import annotator_noise
from curator.options import Rule, Ties
from curator.store import Store
from curator.store import doubts as stored
from curator.store.looks import chosen_before, earlier_looks, pools_before

Answers = tuple[str, tuple[int, int], tuple[int, int]]
"""A judge's name; of the calibration pairs, and of the pool, how many it answered and was to read."""


def judge_bias(store: Store, judge_id: str, min_label_mass: float) -> Bias:
    """What one judge goes by, from its replies about the input; `Bias.figures` are those of `run.json`."""
    stored.find_calibrating(store)
    seen = stored.verdicts(store, judge_id, min_label_mass)
    mass = stored.label_mass(store, judge_id, min_label_mass)
    return bias.measure(seen.d_ab, seen.d_ba, seen.longer, seen.people, seen.sampled, mass)


def find_doubts(
    store: Store, rule: Rule, result: dict[str, Any], judges: Iterable[tuple[str, Bias]], answers: Sequence[Answers]
) -> list[dict[str, Any]]:
    """The doubts about a decision that was just made, for `run.json`.

    Args:
        result: what the decision came to; `threshold`, `calibration`, `queue`, `judges` and `panel` are used.
        judges: name and bias of each judge.
        answers: of each judge.
    """
    rows, promised = result["calibration"], result["threshold"] is not None
    found: list[Doubt | None] = []
    n, m = stored.find_calibrating(store)
    if n and m:
        found.append(doubts.drift(*stored.compared(store, n, m)))
        drawn = rows["drawn"] == n  # by curator, pair by pair: then only pac has reason to look at prompts
        if promised and (not drawn or rule.guarantee is Guarantee.PAC):
            same = 0.0 if drawn else stored.same_response(store, n)
            found.append(doubts.repeated_prompts(stored.prompts(store), rows["drawn"], same, rule.guarantee))
    found += doubts.refused_labels(stored.refused(store))
    found.append(doubts.outgrown_draw(*stored.outgrown_draw(store)))
    if n:
        found.append(annotator_noise(stored.votes(store), float(rule.alpha), rule.ties is Ties.ERROR, rule.votes))
    if promised:
        found.append(doubts.changed_labels(stored.changed(store)))
        found.append(doubts.waiting_draw(result["queue"]["calibration_draw"]))
        found.append(doubts.earlier_tries(rows["earlier_tries"]))
        found.append(doubts.earlier_looks(earlier_looks(store)))
        found.append(doubts.chosen_before(chosen_before(store)))
        found.append(doubts.other_pools(pools_before(store, result["where"])))
    if result["panel"] is not None and result["panel"]["missing"] == Missing.MEAN:
        found += [doubts.uneven_answers(*one, judges=len(answers)) for one in answers]
    if result["panel"] is not None and result["panel"]["weights"] is None:
        found += [doubts.worse_than_a_coin(one["name"], one["right"], one["sided"]) for one in result["judges"]]
    for name, judge in judges:
        found += bias.doubts(name, judge, rule.min_label_mass)
    return [{"name": one.name, "text": one.text, "figures": dict(one.figures)} for one in found if one is not None]
