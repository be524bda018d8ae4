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


def next_step(result: Mapping[str, Any]) -> tuple[str, bool]:
    """What to do now, and whether that is to have people label the queue."""
    tasks, draw = result["queue"]["tasks"], result["queue"]["calibration_draw"]
    missing, pool = result["labels_missing"], result["pool"]
    if not pool or (result["threshold"] is not None and not tasks):
        return "train on the data set. Nothing is left for people.", False
    if result["threshold"] is not None:
        return f"train on the data set, or have people label the {tasks:,} pairs of the queue first.", True
    if not result["judged"]:
        return "get judgments: no pair has a verdict in both orders, and only such pairs can be labelled.", False
    if missing is None:
        return _no_use_of_more(result)
    if not draw:
        return (
            f"add raw pairs, give labelled ones of the same kind with --calibration, allow a larger --alpha, or let "
            f"people label them all. About {missing:,} more labels would help, and there are {pool:,} pairs.",
            False,
        )
    return (
        f"have people label the first {min(missing, draw):,} pairs of the queue, which were drawn at random: in the "
        f"order of the file, and leaving none out (skip is a label). About {missing:,} more labels would do.",
        True,
    )


def _no_use_of_more(result: Mapping[str, Any]) -> tuple[str, bool]:
    """The next step where more labels would not help, by those that calibrate: few, if the draw was outgrown."""
    if any(doubt["name"] == "draw outgrown" for doubt in result["doubts"]):
        return (
            "have people label the pairs that head the queue and came after the calibration draw: in the order of the "
            "file, and leaving none out (skip is a label). Until then hardly a label calibrates.",
            True,
        )
    return (
        "take a better judge or template, or a larger --alpha. More labels would not help: the judge is wrong too "
        "often for this alpha even where it is surest. The queue holds every pair for people.",
        False,
    )
