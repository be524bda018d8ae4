"""Reads what the report shows: counts, columns of numbers, and the texts of a few pairs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import orjson
import pyarrow as pa

from curator.store.connection import Store
from curator.store.decisions import FITS, GROUP, ODDS, fit_cut, group_path


@dataclass(frozen=True, slots=True)
class LatestRule:
    """The rule of the latest calibration, exact.

    Attributes:
        group_by, groups: the field that pairs are grouped by, and its values that have a calibration of their own.
    """

    guarantee: str
    alpha: Fraction
    delta: Fraction
    ties: str
    group_by: str | None
    groups: list[str]


def latest_rule(store: Store) -> LatestRule | None:
    """How the latest decision was made; None: there is none."""
    rows = store.rows(
        """SELECT guarantee, alpha, delta, ties, group_by, group_name FROM calibration
        WHERE calibration_id = (SELECT max(calibration_id) FROM calibration) ORDER BY rowid"""
    )
    if not rows:
        return None
    guarantee, alpha, delta, ties, group_by, _ = rows[0]
    names = [row[5] for row in rows if row[5] is not None]
    return LatestRule(guarantee, Fraction(alpha), Fraction(delta), ties, group_by, names)


def _grouped(rule: LatestRule) -> tuple[str, dict[str, Any]]:
    """Column in_group in SQL (1, 2, ...: one of the rule's groups; 0: all others), and the values it needs."""
    if rule.group_by is None:
        return "0", {}
    return (
        f"(SELECT coalesce(list_position($groups, {GROUP}), 0) FROM pair p WHERE p.pair_id = input.pair_id)",
        {"groups": rule.groups, "path": group_path(rule.group_by)},
    )


def pool_scores(store: Store, rule: LatestRule) -> pa.Table:
    """All pairs that were decided about.

    Returns:
        Columns position, log_odds (0: no preference, or a suspect that people decide about), bpe (NULL: not judged in
        both orders), accepted, and in_group (0: of no group of its own, else its place in the rule's groups, from 1).
    """
    group, values = _grouped(rule)
    return store.arrow(
        f"""SELECT position, if(held.pair_id IS NULL, log_odds, 0) AS log_odds, bpe,
               decision = 'accept' AS accepted, {group}::INTEGER AS in_group
        FROM input JOIN decision USING (pair_id) LEFT JOIN score USING (pair_id)
             LEFT JOIN held USING (pair_id)""",
        values or None,
    )


def labelled_scores(store: Store, rule: LatestRule, fit_fraction: float) -> pa.Table:
    """The calibration rows, but for those that something was fitted on.

    Returns:
        Columns log_odds, p (of the label that the judge gives; both NULL: not judged in both orders), verdict, and
        in_group as for `pool_scores`.
    """
    group, values = _grouped(rule)
    return store.arrow(
        f"""SELECT if(held.pair_id IS NULL, log_odds, 0) AS log_odds, if(score.log_odds > 0, p_a, p_b) AS p,
               verdict, {group}::INTEGER AS in_group
        FROM input JOIN calibration_label USING (pair_id) LEFT JOIN score USING (pair_id)
             LEFT JOIN held USING (pair_id)
        WHERE NOT {FITS} ORDER BY position""",
        {"seed": store.seed, "cut": fit_cut(fit_fraction), **values},
    )


def orders(store: Store, judge_id: str, bins: int) -> pa.Table:
    """How many scored pairs of the input one judge answers how, in each order, "equal" left aside.

    Returns:
        Columns bin_ab, bin_ba (of P(a better), equal bins of [0, 1]), sign_ab, sign_ba (1: a, -1: b, 0: none), n.
    """
    p, place = "1 / (1 + exp(-greatest(least({0}, 700), -700)))", "least(floor({0} * $bins), $bins - 1)::INTEGER"
    columns = ", ".join(
        f"{place.format(p.format(f'd_{order}'))} AS bin_{order}, sign(d_{order})::INTEGER AS sign_{order}"
        for order in ("ab", "ba")
    )
    return store.arrow(
        f"""WITH reply AS (
            SELECT pair_id, max({ODDS}) FILTER (pair_order = 'ab') AS d_ab,
                   max({ODDS}) FILTER (pair_order = 'ba') AS d_ba
            FROM judgment JOIN input USING (pair_id) JOIN (SELECT pair_id FROM score) USING (pair_id)
            WHERE judgment.judge_id = $judge AND status = 'ok' GROUP BY pair_id
        )
        SELECT bin_ab, bin_ba, sign_ab, sign_ba, count(*) AS n FROM (SELECT {columns} FROM reply)
        WHERE bin_ab IS NOT NULL AND bin_ba IS NOT NULL GROUP BY ALL ORDER BY ALL""",
        {"judge": judge_id, "bins": bins},
    )


def judging_time(store: Store, judge_id: str) -> tuple[float, int]:
    """Seconds that a judge was asked for, over all runs of `curator label`, and how many judgments it gave in them."""
    seconds, asked = store.one(
        """SELECT coalesce(sum((result ->> '$.judging_seconds')::DOUBLE), 0),
               coalesce(sum((result ->> '$.judgments.asked')::BIGINT), 0)::BIGINT
        FROM run WHERE command = 'label' AND (result ->> '$.judge.judge_id') = ?""",
        [judge_id],
    )
    return float(seconds), int(asked)


def decided_pairs(store: Store, positions: Sequence[int]) -> list[dict[str, Any]]:
    """Scored pairs that stand at some positions of the input, in the order given, with what was decided about them.

    Returns:
        prompt (messages), response_a, response_b, p_a, p_b, p_tie, bpe, decision, reason, verdict (of people, or None).
    """
    wanted = pa.table({"position": pa.array(positions, pa.int64()), "place": pa.array(range(len(positions)))})
    with store.incoming(wanted):
        rows = store.records(
            """SELECT prompt, response_a, response_b, p_a, p_b, p_tie, bpe, decision, reason, verdict
            FROM incoming JOIN input USING (position) JOIN pair USING (pair_id) JOIN decision USING (pair_id)
                 JOIN score USING (pair_id) LEFT JOIN label USING (pair_id)
            ORDER BY place"""
        )
    return [{**row, "prompt": orjson.loads(row["prompt"])} for row in rows]
