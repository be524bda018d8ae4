"""Stores judgments that were recorded elsewhere."""

from __future__ import annotations

import pyarrow as pa

from curator.store.connection import Store


def begin_readings(store: Store) -> None:
    """Make room for the readings of a log."""
    store.rows(
        """CREATE OR REPLACE TEMP TABLE reading (
            name TEXT, pair_order TEXT, p_a DOUBLE, p_tie DOUBLE,
            logprob_a DOUBLE, logprob_b DOUBLE, logprob_tie DOUBLE, stated_p_a DOUBLE)"""
    )


def keep_readings(store: Store, rows: pa.Table) -> None:
    """Hold rows of `judges.recorded.READING`, but for the judge, ready; order "both" answers each order."""
    store.append("reading", rows)


def add_readings(store: Store, judge_id: str) -> int:
    """Store the readings of what `find_pending` found; returns how many rows were about pairs of the input.

    Several readings of one pair in one order become their mean probabilities (the share of votes, for bare verdicts),
    one that knows no tie counting as P(tie) = 0; failed readings count only where there is no other. A row's name is
    the id of input rows, or a pair_id.
    """
    with store.transaction():
        # A statement for each step: together they would want more memory at once than any of them.
        store.rows(
            """CREATE OR REPLACE TEMP TABLE known AS
            SELECT DISTINCT name, pair_id FROM (
                SELECT source_id AS name, pair_id FROM input_row WHERE source_id IS NOT NULL
                UNION ALL SELECT pair_id, pair_id FROM input)"""
        )
        # An id that different pairs share names none of them.
        store.rows("CREATE OR REPLACE TEMP TABLE ambiguous AS SELECT name FROM known GROUP BY name HAVING count(*) > 1")
        store.rows(
            """CREATE OR REPLACE TEMP TABLE answer AS
            SELECT pair_id, reading.* EXCLUDE name FROM reading JOIN known USING (name)
            WHERE name NOT IN (SELECT name FROM ambiguous)"""
        )
        used = store.count("SELECT count(*) FROM answer")
        store.rows(
            """CREATE OR REPLACE TEMP TABLE mean AS
            WITH each AS (
                SELECT * FROM answer WHERE pair_order <> 'both'
                UNION ALL SELECT * REPLACE ('ab' AS pair_order) FROM answer WHERE pair_order = 'both'
                UNION ALL SELECT * REPLACE ('ba' AS pair_order) FROM answer WHERE pair_order = 'both'
            )
            SELECT pair_id, pair_order, count(p_a) AS n, avg(p_a) AS p,
                   CASE WHEN count(p_tie) > 0 THEN avg(coalesce(p_tie, 0)) FILTER (p_a IS NOT NULL) END AS t,
                   CASE WHEN count(p_a) = 1 THEN any_value(logprob_a) FILTER (p_a IS NOT NULL) END AS la,
                   CASE WHEN count(p_a) = 1 THEN any_value(logprob_b) FILTER (p_a IS NOT NULL) END AS lb,
                   CASE WHEN count(p_a) = 1 THEN any_value(logprob_tie) FILTER (p_a IS NOT NULL) END AS lt,
                   avg(stated_p_a) AS stated
            FROM each GROUP BY ALL"""
        )
        store.rows(
            """INSERT INTO judgment
            SELECT pair_id, $judge, pair_order,
                   coalesce(la, CASE WHEN p > 0 THEN ln(p) WHEN p = 0 THEN '-inf'::DOUBLE END),
                   coalesce(lb, CASE WHEN p + t < 1 THEN ln(1 - (p + t)) WHEN p + t >= 1 THEN '-inf'::DOUBLE
                                     WHEN p < 1 THEN ln(1 - p) WHEN p = 1 THEN '-inf'::DOUBLE END),
                   coalesce(lt, CASE WHEN t > 0 THEN ln(t) WHEN t = 0 THEN '-inf'::DOUBLE END),
                   NULL, CASE n WHEN 0 THEN 'failed' ELSE 'ok' END,
                   CASE WHEN n = 0 THEN 'the log has no verdict' WHEN n > 1 THEN 'mean of ' || n || ' readings' END,
                   NULL, NULL, NULL, stated
            FROM mean JOIN pending USING (pair_id)
            WHERE CASE pair_order WHEN 'ab' THEN pending.ab ELSE pending.ba END
            ORDER BY pending.number, pair_order""",
            {"judge": judge_id},
        )
        for table in ("reading", "known", "ambiguous", "answer", "mean"):
            store.rows(f"DROP TABLE {table}")
    return int(used)
