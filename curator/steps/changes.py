"""Says what a run changed against the one before it: what the labels that came in between have bought."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_RULE = ("score", "guarantee", "alpha", "delta", "ties", "votes", "group_by")


def before(latest: Mapping[str, Any] | None, result: Mapping[str, Any]) -> dict[str, Any] | None:
    """What the latest run had come to when this one began; None where there was none.

    Args:
        latest, result: objects of `run.json`, of which only what a decision fills in is used.

    Returns:
        `same_rule`: whether judge and rule were the same, so that what differs comes from labels and pairs alone;
        and, as they were: `pairs`, `labelled`, `calibration` (labels that could calibrate), `accepted`, `dataset`.
    """
    if latest is None:
        return None
    same = latest["judge"]["judge_id"] == result["judge"]["judge_id"]
    return {
        "same_rule": same and all(latest.get(name) == result[name] for name in _RULE),
        "pairs": latest["pairs"],
        "labelled": latest["labelled"],
        "calibration": latest["calibration"]["n"],
        "accepted": latest["accepted"],
        "dataset": latest["dataset"],
    }
