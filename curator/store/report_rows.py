"""Reads what the report shows: counts, columns of numbers, and the texts of a few pairs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import orjson
import pyarrow as pa

from curator.store.connection import Store


@dataclass(frozen=True, slots=True)
class LatestRule:
    """The rule of the latest calibration, exact, and the least |log-odds| that it accepts (None: nothing)."""

    guarantee: str
    alpha: Fraction
    delta: Fraction
    ties: str
    threshold: float | None


def latest_rule(store: Store) -> LatestRule | None:
    """How the latest decision was made; None: there is none."""
    rows = store.rows(
        "SELECT guarantee, alpha, delta, ties, threshold FROM calibration ORDER BY calibration_id DESC LIMIT 1"
    )
    if not rows:
        return None
    guarantee, alpha, delta, ties, threshold = rows[0]
    return LatestRule(guarantee, Fraction(alpha), Fraction(delta), ties, threshold)


def pool_scores(store: Store) -> pa.Table:
    """Columns position, log_odds, bpe (NULL: not judged in both orders) and accepted of all pairs decided about."""
    return store.arrow(
        """SELECT position, log_odds, bpe, decision = 'accept' AS accepted
        FROM input JOIN decision USING (pair_id) LEFT JOIN score USING (pair_id)"""
    )


def labelled_scores(store: Store) -> pa.Table:
    """Columns log_odds, p_a (NULL: not judged in both orders) and verdict of all pairs that may calibrate."""
    return store.arrow(
        """SELECT log_odds, p_a, verdict
        FROM input JOIN calibration_label USING (pair_id) LEFT JOIN score USING (pair_id) ORDER BY position"""
    )


def orders(store: Store, judge_id: str, bins: int) -> pa.Table:
    """How many scored pairs of the input one judge answers how, in each order.

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
            SELECT pair_id, max(logprob_a - logprob_b) FILTER (pair_order = 'ab') AS d_ab,
                   max(logprob_a - logprob_b) FILTER (pair_order = 'ba') AS d_ba
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
        prompt (messages), response_a, response_b, p_a, bpe, decision, reason, verdict (of people, or None).
    """
    wanted = pa.table({"position": pa.array(positions, pa.int64()), "place": pa.array(range(len(positions)))})
    with store.incoming(wanted):
        rows = store.records(
            """SELECT prompt, response_a, response_b, p_a, bpe, decision, reason, verdict
            FROM incoming JOIN input USING (position) JOIN pair USING (pair_id) JOIN decision USING (pair_id)
                 JOIN score USING (pair_id) LEFT JOIN label USING (pair_id)
            ORDER BY place"""
        )
    return [{**row, "prompt": orjson.loads(row["prompt"])} for row in rows]
