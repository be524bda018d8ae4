"""Stores scores, calibrations and decisions; each decision is about the whole latest input."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from curator.conformal import Calibration
from curator.preference import Preference, entropy_at
from curator.store.connection import Store

VERDICTS = ("", "a", "b", "tie", "skip")
"""What the codes of verdicts and labels mean: a million small numbers are quick where a million words are not."""


@dataclass(frozen=True, slots=True)
class Judged:
    """Every pair of the input with one judge's two replies. Arrays of shape (n_pairs,), in input order.

    Attributes:
        d_ab, d_ba: logprob(a) - logprob(b) in each order; NaN where there is no verdict.
        verdict: the human verdict as a code of `VERDICTS`.
        calibrates: whether the human verdict may set a threshold.
        in_pool: whether the pair is of the raw file rather than of --calibration.
    """

    d_ab: NDArray[np.float64]
    d_ba: NDArray[np.float64]
    verdict: NDArray[np.int8]
    calibrates: NDArray[np.bool_]
    in_pool: NDArray[np.bool_]


def judged_pairs(store: Store, judge_id: str, min_label_mass: float) -> Judged:
    """What is known of every pair of the input. A reply whose label mass is too low is no verdict.

    The pairs stay in the table `judged`, in the order of the arrays, for `replace_decisions`.
    """
    store.rows(
        """CREATE OR REPLACE TEMP TABLE judged AS
        WITH reply AS (
            SELECT pair_id, max(logprob_a - logprob_b) FILTER (pair_order = 'ab') AS d_ab,
                   max(logprob_a - logprob_b) FILTER (pair_order = 'ba') AS d_ba
            FROM judgment WHERE judge_id = $judge AND status = 'ok' AND coalesce(label_mass, 1) >= $mass
            GROUP BY pair_id
        )
        SELECT pair_id, coalesce(d_ab, 'nan'::DOUBLE) AS d_ab, coalesce(d_ba, 'nan'::DOUBLE) AS d_ba,
               (coalesce(list_position($verdicts, coalesce(c.verdict, l.verdict)), 1) - 1)::TINYINT AS verdict,
               c.pair_id IS NOT NULL AS calibrates, role = 'pool' AS in_pool
        FROM input LEFT JOIN reply USING (pair_id) LEFT JOIN label l USING (pair_id)
             LEFT JOIN calibration_label c USING (pair_id)
        ORDER BY position""",
        {"judge": judge_id, "mass": min_label_mass, "verdicts": list(VERDICTS)},
    )
    table = store.arrow("SELECT * EXCLUDE pair_id FROM judged")
    return Judged(*(table[name].to_numpy() for name in ("d_ab", "d_ba", "verdict", "calibrates", "in_pool")))


def calibration_ids(store: Store) -> tuple[list[str], NDArray[np.int64]]:
    """The ids of the judged pairs that may calibrate, sorted, and where each stands in the arrays."""
    table = store.arrow("SELECT pair_id, rowid AS place FROM judged WHERE calibrates ORDER BY pair_id")
    return table["pair_id"].to_pylist(), table["place"].to_numpy()


def replace_decisions(
    store: Store,
    judge_id: str,
    calibration_id: int,
    scores: Preference,
    answered: NDArray[np.bool_],
    label: NDArray[np.int8],
    reason: pa.DictionaryArray,
) -> None:
    """Make `score` hold the judged pairs that were answered, and decide anew about those that are no calibration rows.

    Decisions about pairs that are not of the input stay as history.

    Args:
        scores: of the answered pairs.
        label: code of `VERDICTS` for each pair; 0 is an abstention.
        reason: in words, for each pair.
    """
    columns = {"p_a": scores.p_a, "log_odds": scores.log_odds, "bpe": scores.bpe}
    rows = pa.table(
        {**{name: _spread(column, answered) for name, column in columns.items()}, "label": label, "reason": reason}
    )
    with store.transaction(), store.incoming(rows):
        store.rows("DELETE FROM score")
        store.rows(
            """INSERT INTO score SELECT pair_id, ?, p_a, log_odds, bpe FROM judged POSITIONAL JOIN incoming
            WHERE bpe IS NOT NULL""",
            [judge_id],
        )
        store.rows("DELETE FROM decision WHERE pair_id IN (SELECT pair_id FROM input)")
        store.rows(
            """INSERT INTO decision
            SELECT pair_id, $calibration, if(label = 0, 'abstain', 'accept'), nullif($verdicts[label + 1], ''), reason
            FROM judged POSITIONAL JOIN incoming WHERE in_pool AND NOT calibrates""",
            {"calibration": calibration_id, "verdicts": list(VERDICTS)},
        )


def _spread(values: NDArray[np.float64], places: NDArray[np.bool_]) -> pa.Array:
    """The values at their places among all pairs, and null at the others."""
    full = np.zeros(places.size)
    full[places] = values
    return pa.array(full, mask=~places)


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
