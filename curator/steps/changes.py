"""Says what a run changed against the one before it: what the labels that came in between have bought."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

_RULE = ("score", "guarantee", "alpha", "delta", "ties", "votes", "group_by")


def before(latest: Mapping[str, Any] | None, result: Mapping[str, Any]) -> dict[str, Any] | None:
    """What the latest run had come to when this one began; None where there was none, or where nothing differs.

    Args:
        latest, result: objects of `run.json`, of which only what a decision fills in is used.

    Returns:
        `same_rule`: whether judge and rule were the same, so that what differs comes from labels and pairs alone;
        and, as they were: `pairs`, `labelled`, `calibration` (labels that could calibrate), `accepted`, `dataset`.
    """
    if latest is None:
        return None
    was, now = _outcome(latest), _outcome(result)
    same_judge = latest["judge"]["judge_id"] == result["judge"]["judge_id"]
    same_rule = same_judge and all(latest.get(name) == result[name] for name in _RULE)
    return None if same_rule and was == now else {"same_rule": same_rule, **was}


def _outcome(run: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "pairs": run["pairs"],
        "labelled": run["labelled"],
        "calibration": run["calibration"]["n"],
        "accepted": run["accepted"],
        "dataset": run["dataset"],
    }
