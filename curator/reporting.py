"""Writes the report: reads the store, has the numbers binned and drawn, and puts the page together."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from curator.conformal import Guarantee
from curator.errors import InputError
from curator.files import whole_file
from curator.options import Ties
from curator.report.drawing import Picture
from curator.report.figures import alpha_figure, entropy_figure, orders_figure, reliability_figure
from curator.report.numbers import ORDER_BINS, entropy_counts, evenly, order_counts, over_alpha, reliability
from curator.report.page import Content, page
from curator.store import Store, report_rows, views

EXAMPLES = 4
"""Pairs shown of those that are accepted, and of those that are not."""

MOST_JUDGES = 6
"""Judges whose orders are drawn; the table has all."""

Floats = NDArray[np.float64]


def write_report(store: Store, path: Path) -> int:
    """Write the report of the latest decision; returns its bytes. Equal stores give equal bytes.

    Raises:
        InputError: nothing is decided yet.
    """
    result = views.latest_run(store)
    if result is None:
        raise InputError(f"{store.path}: nothing is decided yet; run `curator label` first")
    text = page(_content(store, result)).encode()
    with whole_file(path) as aside:
        aside.write_bytes(text)
    return len(text)


def _content(store: Store, result: dict[str, Any]) -> Content:
    pool, labelled = report_rows.pool_scores(store), _labelled(store, result["ties"])
    odds, bpe, accepted = _numbers(pool["log_odds"]), _numbers(pool["bpe"]), pool["accepted"].to_numpy()
    judged, position = ~np.isnan(bpe), pool["position"].to_numpy()
    one_threshold = result.get("score") in {None, "bpe"} and not result.get("groups")
    threshold = result["threshold"]["bpe"] if result["threshold"] and one_threshold else None
    curve, missing = _over_alpha(store, result, labelled, _sureness(odds))
    few = [
        place
        for which in (judged & accepted, judged & ~accepted)
        for place in evenly(np.abs(odds[which]), position[which], EXAMPLES)
    ]
    seconds, asked = report_rows.judging_time(store, result["judge"]["judge_id"])
    recorded = result["judge"]["engine"] == "recorded"  # reading a log is no judging
    return Content(
        result,
        alpha=curve,
        alpha_missing=missing,
        entropy=entropy_figure(entropy_counts(bpe, accepted), threshold) if judged.any() else None,
        reliability=_reliability(labelled),
        orders=_orders(store, result),
        examples=report_rows.decided_pairs(store, few),
        seconds=None if recorded else seconds,
        asked=asked,
    )


@dataclass(frozen=True, slots=True)
class _Labelled:
    """The calibration rows: the judge's log-odds (NaN: none) and probability of a, and whether its label is right."""

    log_odds: Floats
    p_a: Floats
    right: NDArray[np.bool_]


def _labelled(store: Store, ties: str) -> _Labelled:
    rows = report_rows.labelled_scores(store)
    verdict = np.asarray(rows["verdict"].to_pylist(), dtype=str)
    counts = np.isin(verdict, ["a", "b"]) if ties == Ties.EXCLUDE else np.ones(verdict.size, dtype=bool)
    odds, p_a, verdict = _numbers(rows["log_odds"])[counts], _numbers(rows["p_a"])[counts], verdict[counts]
    return _Labelled(odds, p_a, ((odds > 0) & (verdict == "a")) | ((odds < 0) & (verdict == "b")))


def _numbers(column: Any) -> Floats:
    """A column as floats; NaN where it is null."""
    return np.asarray(column.to_numpy(), dtype=np.float64)


def _sureness(log_odds: Floats) -> Floats:
    """What pairs are ranked by; -inf, never accepted, where there is no verdict or no preference."""
    values = np.abs(log_odds)
    return np.where(np.isnan(values) | (values == 0), -np.inf, values)


def _over_alpha(
    store: Store, result: dict[str, Any], labelled: _Labelled, pool: Floats
) -> tuple[Picture | None, str | None]:
    """The curve over alpha, or why there is none. It is drawn only where it goes through the point that was bought."""
    rule, scores = report_rows.latest_rule(store), _sureness(labelled.log_odds)
    if rule is None or not scores.size or not pool.size:
        return None, None
    points = over_alpha(scores, ~labelled.right, pool, Guarantee(rule.guarantee), rule.alpha, rule.delta)
    chosen = next(point for point in points if point.alpha == rule.alpha)
    if (chosen.accepted, chosen.threshold) != (result["accepted"], rule.threshold):
        return None, (
            "Not drawn: the pairs are not ranked by one score with one threshold here, and the curve would not go "
            "through the point that was chosen."
        )
    return (alpha_figure(points, rule.alpha) if any(point.accepted for point in points) else None), None


def _reliability(labelled: _Labelled) -> Picture | None:
    usable = ~np.isnan(labelled.p_a) & (labelled.log_odds != 0)
    if not usable.any():
        return None
    p = labelled.p_a[usable]
    return reliability_figure(reliability(np.maximum(p, 1 - p), labelled.right[usable]))


def _orders(store: Store, result: dict[str, Any]) -> list[tuple[str, Picture]]:
    """Each judge's name with its figure, as far as it has judged."""
    drawn = []
    for number, judge in enumerate((result.get("judges") or [result["judge"]])[:MOST_JUDGES]):
        rows = report_rows.orders(store, judge["judge_id"], ORDER_BINS)
        if rows.num_rows:
            counts = order_counts(*(rows[name].to_numpy() for name in rows.column_names))
            drawn.append((judge["name"], orders_figure(counts, number)))
    return drawn
