"""Stores scores, calibrations and decisions; each decision is about the whole latest input."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from curator.conformal import Calibration
from curator.preference import Preference, entropy_at
from curator.store.connection import Store


@dataclass(frozen=True, slots=True)
class Judged:
    """Every pair of the input with one judge's two replies. Arrays of shape (n_pairs,), in input order.

    Attributes:
        pair_id: content hashes (Arrow strings).
        d_ab, d_ba: logprob(a) - logprob(b) in each order; NaN where there is no verdict.
        verdict: the human verdict ("" where there is none).
        calibrates: whether the human verdict may set a threshold.
        in_pool: whether the pair is of the raw file rather than of --calibration.
    """

    pair_id: pa.ChunkedArray
    d_ab: NDArray[np.float64]
    d_ba: NDArray[np.float64]
    verdict: NDArray[np.str_]
    calibrates: NDArray[np.bool_]
    in_pool: NDArray[np.bool_]


def judged_pairs(store: Store, judge_id: str, min_label_mass: float) -> Judged:
    """What is known of every pair of the input. A reply whose label mass is too low is no verdict."""
    table = store.arrow(
        """WITH input AS (
            SELECT pair_id, min(position) AS position, bool_or(role = 'pool') AS in_pool FROM input_row GROUP BY pair_id
        ), reply AS (
            SELECT pair_id, max(logprob_a - logprob_b) FILTER (pair_order = 'ab') AS d_ab,
                   max(logprob_a - logprob_b) FILTER (pair_order = 'ba') AS d_ba
            FROM judgment WHERE judge_id = ? AND status = 'ok' AND coalesce(label_mass, 1) >= ? GROUP BY pair_id
        )
        SELECT pair_id, coalesce(d_ab, 'nan'::DOUBLE) AS d_ab, coalesce(d_ba, 'nan'::DOUBLE) AS d_ba,
               coalesce(l.verdict, '') AS verdict, c.pair_id IS NOT NULL AS calibrates, in_pool
        FROM input LEFT JOIN reply USING (pair_id) LEFT JOIN label l USING (pair_id)
             LEFT JOIN calibration_label c USING (pair_id)
        ORDER BY input.position""",
        [judge_id, min_label_mass],
    )
    columns = {name: table[name].to_numpy() for name in ("d_ab", "d_ba", "verdict", "calibrates", "in_pool")}
    return Judged(
        table["pair_id"],
        columns["d_ab"],
        columns["d_ba"],
        columns["verdict"].astype(str),
        columns["calibrates"],
        columns["in_pool"],
    )


def replace_scores(store: Store, judge_id: str, pair_id: pa.ChunkedArray, scores: Preference) -> None:
    """Make `score` hold these pairs and no others."""
    rows = pa.table({"pair_id": pair_id, "p_a": scores.p_a, "log_odds": scores.log_odds, "bpe": scores.bpe})
    with store.transaction(), store.incoming(rows):
        store.rows("DELETE FROM score")
        store.rows("INSERT INTO score SELECT pair_id, ?, p_a, log_odds, bpe FROM incoming", [judge_id])


def add_calibration(store: Store, judge_id: str, found: Calibration, ties: str, fingerprint: str) -> int:
    """Record a calibration; one that repeats the latest in every respect is the latest. Returns its id."""
    shown = None if found.threshold is None else entropy_at(found.threshold)
    values = [
        judge_id, found.guarantee.value, str(found.alpha), str(found.delta), ties, found.n, found.n_errors, found.m,
        found.threshold, shown, found.accepted, found.k, found.errors, fingerprint,
    ]  # fmt: skip
    latest = store.rows(
        """SELECT calibration_id, judge_id, guarantee, alpha, delta, ties, n, errors, m, threshold, bpe_threshold,
                  accepted, accepted_calibration, accepted_errors, fingerprint
        FROM calibration ORDER BY calibration_id DESC LIMIT 1"""
    )
    if latest and list(latest[0][1:]) == values:
        return int(latest[0][0])
    number = int(latest[0][0]) + 1 if latest else 1
    marks = ", ".join("?" * (len(values) + 1))
    store.rows(f"INSERT INTO calibration VALUES ({marks}, now())", [number, *values])
    return number


def earlier_tries(store: Store, judge_id: str, tried: Calibration) -> int:
    """How often the same rule with the same judge found no threshold before, on fewer labels."""
    return store.count(
        """SELECT count(DISTINCT n) FROM calibration
        WHERE threshold IS NULL AND n > 0 AND n < ? AND judge_id = ? AND guarantee = ? AND alpha = ? AND delta = ?""",
        [tried.n, judge_id, tried.guarantee.value, str(tried.alpha), str(tried.delta)],
    )


def replace_decisions(
    store: Store, calibration_id: int, pair_id: pa.ChunkedArray, label: NDArray[np.str_], reason: NDArray[np.str_]
) -> None:
    """Decide anew for these pairs: an empty label is an abstention. Decisions about other pairs stay as history."""
    rows = pa.table({"pair_id": pair_id, "label": label, "reason": reason})
    with store.transaction(), store.incoming(rows):
        store.rows("DELETE FROM decision WHERE pair_id IN (SELECT pair_id FROM input_row)")
        store.rows(
            """INSERT INTO decision
            SELECT pair_id, ?, CASE WHEN label = '' THEN 'abstain' ELSE 'accept' END, nullif(label, ''), reason
            FROM incoming""",
            [calibration_id],
        )
