"""Reads what a comparison of signals or a plan needs, and records that somebody looked."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np
import orjson
from numpy.typing import NDArray

from curator.pair import JudgeInfo
from curator.store.connection import Store
from curator.store.decisions import VERDICTS
from curator.store.judgments import stored_judge

_LOOKS = "looks at the labels"

# Every word about the calibration pairs: a second vote does not undo that the first was there.
_CALIBRATING = "human_label SEMI JOIN calibration_label USING (pair_id) SEMI JOIN input USING (pair_id)"


@dataclass(frozen=True, slots=True)
class Known:
    """What is known of every pair of the input but its judgments. Arrays of shape (n_pairs,), in input order.

    Attributes:
        log_odds: of the latest decision's score; NaN where there is none, 0 where people decide whatever it is.
        verdict: the human verdict as a code of `VERDICTS`.
        calibrates: whether the human verdict may set a threshold.
        in_pool: whether the pair is of the raw file rather than of --calibration.
    """

    log_odds: NDArray[np.float64]
    verdict: NDArray[np.int8]
    calibrates: NDArray[np.bool_]
    in_pool: NDArray[np.bool_]


def known_pairs(store: Store) -> Known:
    """Scores and labels of the input."""
    table = store.arrow(
        """SELECT if(held.pair_id IS NULL, coalesce(log_odds, 'nan'::DOUBLE), 0) AS log_odds,
               (coalesce(list_position($verdicts, l.verdict), 1) - 1)::TINYINT AS verdict,
               c.pair_id IS NOT NULL AS calibrates, role = 'pool' AS in_pool
        FROM input LEFT JOIN score USING (pair_id) LEFT JOIN label l USING (pair_id) LEFT JOIN held USING (pair_id)
             LEFT JOIN calibration_label c USING (pair_id)
        ORDER BY position""",
        {"verdicts": list(VERDICTS)},
    )
    return Known(*(table[name].to_numpy() for name in ("log_odds", "verdict", "calibrates", "in_pool")))


def judges_of_input(store: Store) -> list[JudgeInfo]:
    """Every judge with a reply about the input, by name."""
    rows = store.rows(
        """SELECT judge_id FROM judge
        WHERE judge_id IN (SELECT judge_id FROM judgment WHERE status = 'ok' AND pair_id IN (SELECT pair_id FROM input))
        ORDER BY name, judge_id"""
    )
    return [stored_judge(store, judge_id) for (judge_id,) in rows]


def add_look(store: Store, what: str) -> None:
    """Record that something was worked out from the labels from which a choice could be made.

    Args:
        what: "sweep", "comparison" or "plan".
    """
    with store.transaction():
        looks = orjson.loads(store.setting(_LOOKS, "[]"))
        label = store.count("SELECT coalesce(max(number), 0) FROM human_label")
        store.set(_LOOKS, orjson.dumps([*looks, {"what": what, "label": label}]).decode())


def earlier_looks(store: Store) -> dict[str, int]:
    """How often people looked, by what they looked at, with some of today's calibration labels already there."""
    looks = orjson.loads(store.setting(_LOOKS, "[]"))
    (first,) = store.one(f"SELECT min(number) FROM {_CALIBRATING}")
    return {} if first is None else dict(Counter(look["what"] for look in looks if look["label"] >= first))


def chosen_before(store: Store) -> int:
    """How many other settings were decided on with some of today's calibration labels already there.

    Settings are judge or panel, signal, guarantee, alpha, delta where it matters, what ties mean, how votes are
    resolved, and groups; those of the latest calibration do not count, however often they were decided on.
    """
    return store.count(
        f"""WITH setting AS (
            SELECT calibration_id, n, recorded_at, row(
                judge_id, score, guarantee, alpha, if(guarantee = 'pac', delta, NULL), ties, votes, group_by) AS made
            FROM calibration
        )
        SELECT count(DISTINCT made) FROM setting
        WHERE n > 0 AND recorded_at >= (SELECT min(recorded_at) FROM {_CALIBRATING})
          AND made IS DISTINCT FROM (SELECT arg_max(made, calibration_id) FROM setting)"""
    )


def pools_before(store: Store, where: str | None) -> int:
    """How many other conditions (--where) chose the pairs of a run with some of today's calibration labels already
    there."""
    return store.count(
        f"""SELECT count(DISTINCT coalesce(result->>'where', '')) FROM run
        WHERE (result->'$.calibration.n')::BIGINT > 0
          AND recorded_at >= (SELECT min(recorded_at) FROM {_CALIBRATING})
          AND (result->>'where') IS DISTINCT FROM ?""",
        [where],
    )
