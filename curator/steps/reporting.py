"""Writes the report: reads the store, has the numbers binned and drawn, and puts the page together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from curator.conformal import Guarantee
from curator.errors import InputError, StoreError
from curator.files import whole_file
from curator.options import Ties
from curator.report.drawing import Picture, standalone
from curator.report.figures import alpha_figure, entropy_figure, orders_figure, reliability_figure
from curator.report.numbers import ORDER_BINS, entropy_counts, evenly, order_counts, over_alpha, reliability, together
from curator.report.page import Content, page
from curator.signals import sureness
from curator.store import Store, report_rows, views
from curator.store.looks import earlier_looks
from curator.store.report_rows import LatestRule

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


def risk_picture(store: Store, result: dict[str, Any]) -> tuple[bytes, str] | None:
    """Coverage and risk over alpha of the latest decision, as an SVG file, and what it shows in words.

    Args:
        result: the object of `run.json`, or the part of it that is about the decision.

    Returns:
        None where nothing is accepted at any alpha, or labels have changed since the decision.
    """
    rule = report_rows.latest_rule(store)
    if rule is None:
        return None
    pool = report_rows.pool_scores(store, rule)
    labelled = _labelled(store, rule, result["judge"]["settings"].get("fit_fraction", 0.0))
    drawn, _ = _over_alpha(rule, result, labelled, sureness(_numbers(pool["log_odds"])), pool["in_group"].to_numpy())
    return None if drawn is None else (standalone(drawn), f"{drawn.title}. {drawn.description}")


def _content(store: Store, result: dict[str, Any]) -> Content:
    rule = report_rows.latest_rule(store)
    if rule is None:
        raise StoreError(f"{store.path}: a run without a calibration; the store is damaged")
    judges = result["judges"]
    pool = report_rows.pool_scores(store, rule)
    labelled = _labelled(store, rule, result["judge"]["settings"].get("fit_fraction", 0.0))
    odds, bpe, accepted = _numbers(pool["log_odds"]), _numbers(pool["bpe"]), pool["accepted"].to_numpy()
    judged, position = ~np.isnan(bpe), pool["position"].to_numpy()
    threshold = result["threshold"]["bpe"] if result["threshold"] and not result["groups"] else None
    curve, missing = _over_alpha(rule, result, labelled, sureness(odds), pool["in_group"].to_numpy())
    few = [
        place
        for which in (judged & accepted, judged & ~accepted)
        for place in evenly(np.abs(odds[which]), position[which], EXAMPLES)
    ]
    seconds, asked = report_rows.judging_time(store, result["judge"]["judge_id"])
    recorded = all(judge["engine"] == "recorded" for judge in judges)  # reading a log is no judging
    return Content(
        result,
        alpha=curve,
        alpha_missing=missing,
        entropy=entropy_figure(entropy_counts(bpe, accepted), threshold) if judged.any() else None,
        reliability=_reliability(labelled),
        orders=_orders(store, judges),
        examples=report_rows.decided_pairs(store, few),
        seconds=None if recorded else seconds,
        asked=asked,
        looks=earlier_looks(store),
    )


@dataclass(frozen=True, slots=True)
class _Labelled:
    """The calibration rows, shape (n,).

    Attributes:
        log_odds, p: of the judge's label, and its probability; NaN: there is no verdict.
        right: whether it is people's.
        group: as in the pool.
    """

    log_odds: Floats
    p: Floats
    right: NDArray[np.bool_]
    group: NDArray[np.int32]


def _labelled(store: Store, rule: LatestRule, fit_fraction: float) -> _Labelled:
    rows = report_rows.labelled_scores(store, rule, fit_fraction)
    verdict = np.asarray(rows["verdict"].to_pylist(), dtype=str)
    odds, p, group = _numbers(rows["log_odds"]), _numbers(rows["p"]), rows["in_group"].to_numpy()
    right = ((odds > 0) & (verdict == "a")) | ((odds < 0) & (verdict == "b"))
    counts = np.isin(verdict, ["a", "b"]) if rule.ties == Ties.EXCLUDE else np.ones(verdict.size, dtype=bool)
    return _Labelled(odds[counts], p[counts], right[counts], group[counts])


def _numbers(column: Any) -> Floats:
    """A column as floats; NaN where it is null."""
    return np.asarray(column.to_numpy(), dtype=np.float64)


def _over_alpha(
    rule: LatestRule, result: dict[str, Any], labelled: _Labelled, pool: Floats, pool_group: NDArray[np.int32]
) -> tuple[Picture | None, str | None]:
    """The curve over alpha, or why there is none. It is drawn only where it goes through the point that was bought."""
    scores = sureness(labelled.log_odds)
    if not scores.size or not pool.size:
        return None, None
    each = []
    for group in np.union1d(labelled.group, pool_group):
        rows = labelled.group == group
        each.append(
            over_alpha(
                scores[rows], ~labelled.right[rows], pool[pool_group == group],
                Guarantee(rule.guarantee), rule.alpha, rule.delta,
            )
        )  # fmt: skip
    points = [together(found) for found in zip(*each, strict=True)]
    chosen = next(point for point in points if point.alpha == rule.alpha)
    bought = result["calibration"]
    if (chosen.accepted, chosen.n, chosen.n_errors) != (result["accepted"], bought["n"], bought["errors"]):
        return None, "Not drawn: labels have changed since the decision. Run the same curator label again."
    return (alpha_figure(points, rule.alpha) if any(point.accepted for point in points) else None), None


def _reliability(labelled: _Labelled) -> Picture | None:
    usable = ~np.isnan(labelled.p) & (labelled.log_odds != 0)
    if not usable.any():
        return None
    return reliability_figure(reliability(labelled.p[usable], labelled.right[usable]))


def _orders(store: Store, judges: Sequence[dict[str, Any]]) -> list[tuple[str, Picture]]:
    """Each judge's name with its figure, as far as it has judged."""
    drawn = []
    for number, judge in enumerate(judges[:MOST_JUDGES]):
        rows = report_rows.orders(store, judge["judge_id"], ORDER_BINS)
        if rows.num_rows:
            counts = order_counts(*(rows[name].to_numpy() for name in rows.column_names))
            if counts.pairs:
                drawn.append((judge["name"], orders_figure(counts, number)))
    return drawn
