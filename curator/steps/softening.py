"""Fits what soft targets and robust losses need, for the latest decision."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from curator.errors import StoreError
from curator.flips import label_smoothing
from curator.noise import measured_noise
from curator.softening import Softening, fit_slope
from curator.store import Store, doubts
from curator.store.judgments import latest_judge
from curator.store.softening import labelled_log_odds, votes_of_people


def latest_softening(store: Store) -> Softening:
    """The slope that makes the log-odds of the latest decision likelihoods of what people prefer, or why there is none.

    Raises:
        StoreError: nothing is decided yet.
    """
    judge = latest_judge(store)
    if judge is None:
        raise StoreError(f"{store.path}: nothing is decided yet; run `curator label` first")
    return fit_slope(*labelled_log_odds(store, judge.settings.get("fit_fraction", 0.0)))


def latest_label_smoothing(
    store: Store, result: Mapping[str, Any], rows: Mapping[str, int]
) -> tuple[float | None, str]:
    """What a robust loss should take as the probability that a label is flipped, and the sentence that says why.

    Args:
        result: the object of `run.json`.
        rows: rows of the mix by label source, "auto" and "human".
    """
    doubts.find_calibrating(store)
    return label_smoothing(result, rows, measured_noise(doubts.votes(store)), votes_of_people(store))
