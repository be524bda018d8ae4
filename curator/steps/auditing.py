"""Checks labels: the error among accepted pairs, human labels in doubt, verdicts that cannot all be right."""

from __future__ import annotations

from typing import Any

import numpy as np

from curator.contradictions import KINDS, Kind, contradictions, strength
from curator.intervals import clopper_pearson
from curator.options import Ties
from curator.signals import Replies, Signal, of_judge
from curator.store import Store, audits

CONFIDENCE = 0.95

SHOWN = 80
"""Characters of a text that a listing shows."""


def audit_result(store: Store) -> dict[str, Any] | None:
    """What is known of the error among the pairs that the latest decision accepted: `audit` in `run.json`.

    The sample is drawn by a number that belongs to each pair, so that it is a uniform sample of whatever pairs are
    accepted now. A person's tie is an error, or left out where the decision leaves ties out. A skip is always an error:
    without the pairs on which nobody could decide, the sample would be easier than the batch. A label that people gave
    when they were asked again is not used: they are only asked again where the judge disagrees.

    `low` and `high` are None while no label counts, and while some drawn pairs wait that others preceded for a reason:
    pairs labelled because the judge once abstained on them are harder than those that wait, and pairs drawn from what a
    stricter decision accepted are easier.
    """
    if (found := audits.audited(store)) is None:
        return None
    left_out = found.ties if Ties(found.ties_policy) is Ties.EXCLUDE else 0
    n, errors = found.labelled - left_out, found.errors - left_out
    random = found.labelled == found.drawn or not (found.earlier or found.sources > 1)
    low, high = clopper_pearson(errors, n, CONFIDENCE) if n and random else (None, None)
    return {
        "drawn": found.drawn,
        "accepted": found.accepted,
        "labelled": found.labelled,
        "ties_left_out": left_out,
        "errors": errors,
        "error": errors / n if n else None,
        "low": low,
        "high": high,
        "confidence": CONFIDENCE,
    }


def doubtful_labels(store: Store, min_label_mass: float, top: int) -> dict[str, Any]:
    """Human labels that judges contradict, the most strongly first, and then those about which judges are of two minds.

    Every judge that judged a pair in both orders has a say. `preference` is the mean of their probabilities that the
    response people chose is better, `spread` the standard deviation over judges, `strength` the mean of the log-odds. A
    label is ambiguous where the preference is no further from one half than the spread, and else contradicted where it
    is below. Ties and skips are nobody's preference and are not doubted. `confident` are the contradicted pairs that
    the latest decision's own score puts on the other side, as surely as the threshold of their group.
    """
    replies = audits.replies_to_labelled(store, min_label_mass)
    pair = replies["pair"].to_numpy()
    shown, first = np.unique(pair, return_index=True)
    said_a = np.asarray(replies["verdict"].to_numpy(zero_copy_only=False) == "a", dtype=bool)
    said = Replies(*(replies[name].to_numpy() for name in ("d_ab", "d_ba", "tie_ab", "tie_ba")))
    odds = of_judge(Signal.BPE, said)
    found = strength(pair, np.where(said_a, odds, -odds), shown.size)
    ambiguous, contradicted = found.ambiguous, found.contradicted
    doubtful = np.flatnonzero(contradicted | ambiguous)
    chosen = doubtful[np.lexsort((found.log_odds[doubtful], ambiguous[doubtful]))][:top]
    ids = replies["pair_id"].take(first[chosen]).to_pylist()
    details = audits.pair_details(store, ids, SHOWN)
    surely = audits.surely_contradicted(store)
    listed = [
        {
            "pair_id": pair_id,
            "verdict": "a" if said_a[first[i]] else "b",
            "reading": "ambiguous" if ambiguous[i] else "contradicted",
            "strength": float(found.log_odds[i]),
            "preference": float(found.preference[i]),
            "spread": float(found.spread[i]) if found.judges[i] > 1 else None,
            "judges": int(found.judges[i]),
            **{key: details[pair_id][key] for key in ("recheck", "file", "line", "prompt")},
        }
        for pair_id, i in zip(ids, chosen, strict=True)
    ]
    return {
        "labelled": audits.preferred_by_people(store),
        "judged": int(shown.size),
        "contradicted": int(np.count_nonzero(contradicted)),
        "ambiguous": int(np.count_nonzero(ambiguous)),
        "confident": None
        if surely is None
        else len(surely.intersection(replies["pair_id"].take(first[contradicted]).to_pylist())),
        "rechecks": audits.rechecked(store),
        "listed": listed,
    }


def contradicting_verdicts(store: Store, top: int, *, people: bool) -> dict[str, Any]:
    """Triples of verdicts about one prompt that no ranking agrees with, of the latest judge or of people.

    The ones whose weakest preference is strongest come first.
    """
    rows = audits.verdicts_by_prompt(store, people=people)
    a = rows["a"].to_numpy()
    found = contradictions(rows["prompt"].to_numpy(), a, rows["b"].to_numpy(), rows["strength"].to_numpy())
    chosen = np.argsort(-found.strength, kind="stable")[:top]
    ids = rows["pair_id"].take(found.rows[chosen].ravel()).to_pylist()
    details = audits.pair_details(store, ids, SHOWN)
    listed = []
    for i, place in enumerate(chosen):
        pairs = ids[3 * i : 3 * i + 3]
        # Response 1 is in the first pair, 2 in the second, 3 in the third, as a or as b.
        is_a = a[found.rows[place]] == found.responses[place]
        about = details[pairs[0]]
        listed.append(
            {
                "kind": KINDS[found.kind[place]].value,
                "strength": float(found.strength[place]),
                "pairs": pairs,
                "responses": [
                    details[pair_id]["response_a" if first else "response_b"]
                    for pair_id, first in zip(pairs, is_a, strict=True)
                ],
                **{key: about[key] for key in ("prompt_id", "file", "line", "prompt")},
            }
        )
    return {
        "triples": found.triples,
        **{f"{kind.value}s": found.count(kind) for kind in Kind},
        "limited_prompts": found.limited,
        "most_responses": found.most,
        "listed": listed,
    }


def audit_store(store: Store, min_label_mass: float, top: int, *, requeue: bool) -> dict[str, Any]:
    """Everything that `curator audit` says, as `schemas/audit.schema.json` has it.

    Args:
        top: how many to list of each.
        requeue: put the listed labels' pairs back among the tasks for people. Those that were put there before, and
            pairs of --calibration, which are no tasks, are left out.
    """
    labels = doubtful_labels(store, min_label_mass, top)
    requeued = None
    if requeue:
        requeued = audits.ask_again(store, [row["pair_id"] for row in labels["listed"]])
        labels = doubtful_labels(store, min_label_mass, top)
    return {
        "labels": labels,
        "requeued": requeued,
        "contradictions": {
            "judge": contradicting_verdicts(store, top, people=False),
            "people": contradicting_verdicts(store, top, people=True),
        },
        "audit": audit_result(store),
    }
