"""What the page says in sentences of its own. The promise is not among them: that one is never reworded."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def headline(result: Mapping[str, Any]) -> str:
    """The result in one line.

    >>> headline({"pool": 240, "accepted": 173, "threshold": {}})
    '173 of 240 pairs are auto-labelled'
    """
    if not result["pool"]:
        return "People have labelled every pair"
    if not result["accepted"]:
        return f"None of {result['pool']:,} pairs is auto-labelled"
    return f"{result['accepted']:,} of {result['pool']:,} pairs are auto-labelled"


def next_steps(result: Mapping[str, Any]) -> list[str]:
    """What to do now, as paragraphs."""
    tasks, draw = result["queue"]["tasks"], result["queue"]["calibration_draw"]
    missing, pool = result["labels_missing"], result["pool"]
    how = (
        "In queue.jsonl, set “label” of a task to left, right, tie or skip; run curator import on the file; then run "
        "the same curator label again. Judgments are kept."
    )
    if not pool or (result["threshold"] is not None and not tasks):
        return ["Train on the data set. Nothing is left for people."]
    if result["threshold"] is not None:
        return [f"Train on the data set, or have people label the {tasks:,} pairs of the queue first.", how]
    if not result["judged"]:
        return ["Get judgments: no pair has a verdict in both orders, and only such pairs can be labelled."]
    if missing is None:
        return [
            "More labels would not help: the judge is wrong too often for this alpha even where it is surest. Take a "
            "better judge or template, or a larger alpha. The queue holds every pair for people."
        ]
    if not draw:
        return [
            f"About {missing:,} more labels would help, and there are {pool:,} pairs. Add raw pairs, give labelled "
            "ones of the same kind with --calibration, allow a larger alpha, or let people label them all."
        ]
    return [
        f"About {missing:,} more labels would do: have people label the first {min(missing, draw):,} pairs of the "
        "queue, which were drawn at random: in the order of the file, and leaving none out (skip is a label).",
        how,
    ]
