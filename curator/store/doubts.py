"""Reads what doubts are made of: samples and counts, so that a million pairs take about a second.

A sample is the pairs whose id lies under a bound. Ids are content hashes: which pairs those are has nothing to do with
what is in them, and they are the same whenever they are asked for.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from curator.doubts import Prompts
from curator.noise import Votes
from curator.store.connection import Store
from curator.store.decisions import ODDS

SAMPLE = 20_000
"""About so many calibration pairs, and as many others, are compared with each other."""

JUDGE_SAMPLE = 50_000
"""About so many of a judge's pairs are looked at."""


def find_calibrating(store: Store) -> tuple[int, int]:
    """Make the table `calibrating` of the input's calibration pairs; their number, and that of the other pairs."""
    store.rows(
        """CREATE OR REPLACE TEMP TABLE calibrating AS
        SELECT pair_id, verdict FROM calibration_label SEMI JOIN input USING (pair_id)"""
    )
    n = store.count("SELECT count(*) FROM calibrating")
    return n, store.count("SELECT count(*) FROM input ANTI JOIN calibrating USING (pair_id) WHERE role = 'pool'")


def _bound(most: int, count: int) -> str:
    """The id under which about `most` of `count` random ids lie."""
    return "g" if count <= most else f"{int(most / count * 2**32):08x}"


Sample = dict[str, NDArray[Any]]


def compared(store: Store, n: int, m: int) -> tuple[Sample, Sample]:
    """Sureness and lengths of a sample of the n calibration pairs, and of the m others: see `curator.doubts.drift`."""
    table = store.arrow(
        """WITH looked_at AS (
            SELECT pair_id, c.pair_id IS NOT NULL AS calibrates
            FROM input LEFT JOIN calibrating c USING (pair_id)
            WHERE pair_id < CASE WHEN c.pair_id IS NOT NULL THEN $calibration WHEN role = 'pool' THEN $pool ELSE '' END
        )
        SELECT calibrates, coalesce(nullif(abs(log_odds), 0), '-inf'::DOUBLE) AS sureness, length(prompt) AS prompt,
               length(response_a) + length(response_b) AS responses
        FROM looked_at JOIN pair USING (pair_id) LEFT JOIN score USING (pair_id)""",
        {"calibration": _bound(SAMPLE, n), "pool": _bound(SAMPLE, m)},
    )
    columns = {name: table[name].to_numpy() for name in ("sureness", "prompt", "responses")}
    calibrates = table["calibrates"].to_numpy()
    used, others = ({name: values[side] for name, values in columns.items()} for side in (calibrates, ~calibrates))
    return used, others


def prompts(store: Store) -> Prompts:
    """How the calibration pairs and the pool share prompts."""
    table = store.arrow(
        """WITH prompt AS (
            SELECT count(*) AS size, count(c.pair_id) AS calibration
            FROM input JOIN pair USING (pair_id) LEFT JOIN calibrating c USING (pair_id)
            WHERE role = 'pool' OR c.pair_id IS NOT NULL GROUP BY prompt_id
        )
        SELECT size, count(*) AS prompts, count(*) FILTER (calibration > 0) AS used,
               count(*) FILTER (calibration > 0 AND calibration < size) AS shared,
               sum(calibration)::BIGINT AS calibration
        FROM prompt GROUP BY size ORDER BY size"""
    )
    return Prompts(*(table[name].to_numpy() for name in ("size", "prompts", "used", "shared", "calibration")))


def same_response(store: Store, n: int) -> float:
    """Share of a sample of the n calibration pairs of which a response, to the same prompt, is in the pool as well."""
    shared, looked_at = store.one(
        """WITH used AS (
            SELECT pair_id, prompt_id FROM pair SEMI JOIN calibrating USING (pair_id) WHERE pair_id < $bound
        ), answer AS (
            SELECT pair_id, prompt_id, unnest([hash(response_a), hash(response_b)]) AS response
            FROM pair WHERE prompt_id IN (SELECT prompt_id FROM used)
        ), other AS (
            SELECT prompt_id, response FROM answer ANTI JOIN calibrating USING (pair_id)
            WHERE pair_id IN (SELECT pair_id FROM input WHERE role = 'pool')
        )
        SELECT count(DISTINCT pair_id), (SELECT count(*) FROM used)
        FROM answer SEMI JOIN used USING (pair_id) SEMI JOIN other USING (prompt_id, response)""",
        {"bound": _bound(SAMPLE, n)},
    )
    return shared / looked_at if looked_at else 0.0


_OUTGROWN = """
    SELECT pair_id, labelled FROM (
        SELECT pair_id, late, position, l.pair_id IS NOT NULL AS labelled,
               min(position) FILTER (late AND NOT labelled) OVER () AS first_waiting
        FROM draw SEMI JOIN input USING (pair_id) LEFT JOIN blind_label l USING (pair_id)
    ) WHERE if(labelled, position > first_waiting, late)
"""
"""Pairs that came after the calibration draw and have no label, and labelled ones of the draw that wait for these."""


def refused(store: Store) -> dict[str, int]:
    """Labelled pairs of the input that do not calibrate, by reason: see `curator.doubts.refused_labels`.

    Those that `outgrown_draw` counts are left to it.
    """
    rows = store.rows(
        f"""WITH outgrown AS ({_OUTGROWN}), said AS (
            SELECT pair_id, bool_or(blind) AS blind, bool_or(origin = 'audit') AS audit,
                   bool_or(origin = 'review' AND left_side IS NULL) AS from_file
            FROM latest_label SEMI JOIN input USING (pair_id) ANTI JOIN calibrating USING (pair_id)
            WHERE pair_id NOT IN (SELECT pair_id FROM outgrown) GROUP BY pair_id
        )
        SELECT CASE WHEN NOT blind THEN 'not blind' WHEN pair_id IN (SELECT pair_id FROM draw) THEN 'draw incomplete'
                    WHEN from_file THEN 'offered' WHEN audit THEN 'audit' ELSE 'review' END AS reason, count(*)
        FROM said GROUP BY reason"""
    )
    return dict(rows)


def outgrown_draw(store: Store) -> tuple[int, int]:
    """How many pairs that came after the calibration draw have no label, and how many labelled ones wait for them."""
    waiting, held = store.one(f"SELECT count(*) FILTER (NOT labelled), count(*) FILTER (labelled) FROM ({_OUTGROWN})")
    return waiting, held


def changed(store: Store) -> int:
    """Calibration pairs of which somebody said another thing before, with which a decision was made."""
    return store.count(
        """SELECT count(DISTINCT word.pair_id)
        FROM word SEMI JOIN calibrating USING (pair_id) JOIN human_label earlier USING (pair_id, annotator)
        WHERE word.blind AND NOT word.again AND earlier.number < word.number
          AND earlier.verdict NOT IN ('withdrawn', word.verdict)
          AND EXISTS (SELECT 1 FROM calibration
                      WHERE n > 0 AND calibration.recorded_at BETWEEN earlier.recorded_at AND word.recorded_at)"""
    )


def votes(store: Store) -> list[Votes]:
    """What people said about the calibration pairs, each before it was asked about again: those are no random pairs."""
    rows = store.rows(
        """WITH vote AS (
            SELECT pair_id, if(verdict = 'both_bad', 'tie', verdict) AS verdict,
                   count(*) OVER (PARTITION BY pair_id) AS votes,
                   row_number() OVER (PARTITION BY pair_id ORDER BY number) AS turn
            FROM word SEMI JOIN calibrating USING (pair_id) WHERE verdict <> 'skip' AND blind AND NOT again
        ), pairs AS (
            SELECT votes, any_value(verdict) FILTER (turn = 1) AS first, any_value(verdict) FILTER (turn = 2) AS second
            FROM vote GROUP BY pair_id, votes
        )
        SELECT votes, first, second, count(*) FROM pairs GROUP BY ALL ORDER BY ALL"""
    )
    return [Votes(*row) for row in rows]


@dataclass(frozen=True, slots=True)
class Verdicts:
    """What a judge said of pairs in both orders; arrays of shape (n_pairs,), as `curator.bias.measure` takes them."""

    d_ab: NDArray[np.float64]
    d_ba: NDArray[np.float64]
    longer: NDArray[np.int8]
    people: NDArray[np.int8]
    sampled: NDArray[np.bool_]


def verdicts(store: Store, judge_id: str, min_label_mass: float) -> Verdicts:
    """A judge's verdicts on a sample of the input, and on (a sample of) the calibration pairs."""
    n, pairs = store.one("SELECT (SELECT count(*) FROM calibrating), (SELECT count(*) FROM input)")
    table = store.arrow(
        f"""WITH looked_at AS (
            SELECT pair_id, pair_id < $sample AS sampled, if(pair_id < $calibration, c.verdict, NULL) AS verdict
            FROM input LEFT JOIN calibrating c USING (pair_id)
            WHERE pair_id < $sample OR c.pair_id IS NOT NULL AND pair_id < $calibration
        ), reply AS (
            SELECT pair_id, max({ODDS}) FILTER (pair_order = 'ab') AS d_ab,
                   max({ODDS}) FILTER (pair_order = 'ba') AS d_ba
            FROM judgment SEMI JOIN looked_at USING (pair_id)
            WHERE judge_id = $judge AND status = 'ok' AND coalesce(label_mass, 1) >= $mass GROUP BY pair_id
        )
        SELECT d_ab, d_ba, sign(length(response_a) - length(response_b))::TINYINT AS longer,
               CASE verdict WHEN 'a' THEN 1 WHEN 'b' THEN -1 ELSE 0 END::TINYINT AS people, sampled
        FROM looked_at JOIN reply USING (pair_id) JOIN pair USING (pair_id)
        WHERE d_ab IS NOT NULL AND d_ba IS NOT NULL""",
        {
            "judge": judge_id, "mass": min_label_mass,
            "sample": _bound(JUDGE_SAMPLE, pairs), "calibration": _bound(SAMPLE, n),
        },
    )  # fmt: skip
    return Verdicts(*(table[name].to_numpy() for name in ("d_ab", "d_ba", "longer", "people", "sampled")))


def label_mass(store: Store, judge_id: str, min_label_mass: float) -> tuple[float | None, int, int]:
    """Median label mass of a judge's replies about the input; replies that tell it; those of them under the minimum."""
    median, replies, low = store.one(
        """SELECT median(label_mass), count(label_mass), count(*) FILTER (label_mass < ?)
        FROM judgment WHERE judge_id = ? AND status = 'ok' AND label_mass IS NOT NULL
             AND pair_id IN (SELECT pair_id FROM input)""",
        [min_label_mass, judge_id],
    )
    return median, replies, low
