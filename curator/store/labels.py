"""Stores what people say, and draws the pairs that they are asked about for calibration."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import pyarrow as pa

from curator.pair import Origin, Verdict
from curator.store.connection import Store

_TAKEN_BACK = "withdrawn"


@dataclass(frozen=True, slots=True)
class Label:
    """One person's verdict on one pair, in pair identity.

    Attributes:
        verdict: None takes back what the annotator said of the pair before.
        origin: what the label was asked for; a pair of the calibration draw counts as drawn whatever this says, and one
            of the audit as audited.
        blind: whether the annotator was shown no judge's verdict with it. Whoever has been shown one before is not
            blind whatever this says.
        left_side: which response stood left; None where the label does not come from a queue.
        seconds: that the annotator took.
        said_at: by the annotator's own tool. What was said earlier than what is known already corrects nothing, unless
            that bears a time still to come: then a clock has been set back in between.
    """

    pair_id: str
    annotator: str
    verdict: Verdict | None
    origin: Origin = Origin.REVIEW
    blind: bool = True
    left_side: str | None = None
    note: str | None = None
    seconds: float | None = None
    said_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class AddedLabels:
    """What became of some labels: new ones, ones known already, and corrections of an earlier verdict or note."""

    added: int
    unchanged: int
    superseded: int


def unknown_pairs(store: Store, pair_ids: Sequence[str]) -> set[str]:
    """Those of some ids that no stored pair has."""
    with store.incoming(pa.table({"pair_id": pa.array(pair_ids, pa.string())})):
        rows = store.rows("SELECT pair_id FROM incoming WHERE pair_id NOT IN (SELECT pair_id FROM pair)")
    return {row[0] for row in rows}


def said_before(
    store: Store, answers: Sequence[tuple[str, str | None, str | None, str | None]], until: int | None = None
) -> set[int]:
    """Which of some answers (pair_id, annotator, verdict, note) the store holds, corrected or taken back since or not.

    Args:
        answers: None stands for any annotator, verdict or note.
        until: look at labels up to this number only.

    Returns:
        Their places.
    """
    names = ("pair_id", "annotator", "verdict", "note")
    columns = [pa.array([row[i] for row in answers], pa.string()) for i in range(len(names))]
    table = pa.table([*columns, pa.array(range(len(answers)), pa.int64())], names=[*names, "place"])
    with store.incoming(table):
        rows = store.rows(
            """SELECT DISTINCT place FROM incoming i JOIN human_label h USING (pair_id)
            WHERE coalesce(i.annotator = h.annotator, true) AND coalesce(i.verdict = h.verdict, true)
              AND (i.note IS NULL OR i.note IS NOT DISTINCT FROM h.note) AND coalesce(h.number <= $until, true)""",
            {"until": until},
        )
    return {row[0] for row in rows}


def swapped_pairs(store: Store, shown: Sequence[tuple[str, str, str]]) -> set[str]:
    """Those of some (pair_id, side, text) whose text, or "sha256:" and its digest, is the response of the other side,
    however its lines end.
    """

    def one_end(column: str) -> str:
        return f"replace(replace({column}, chr(13) || chr(10), chr(10)), chr(13), chr(10))"

    names = ("pair_id", "side", "text")
    columns = [pa.array([row[i] for row in shown], pa.string()) for i in range(len(names))]
    with store.incoming(pa.table(columns, names=names)):
        rows = store.rows(
            f"""SELECT pair_id FROM (
                SELECT pair_id, text, if(side = 'a', response_a, response_b) AS own,
                       if(side = 'a', response_b, response_a) AS other
                FROM incoming JOIN pair USING (pair_id)
            ) WHERE CASE WHEN text LIKE 'sha256:%' THEN text = 'sha256:' || sha256(other)
                    ELSE text = other OR {one_end("text")} = {one_end("other")}
                                         AND {one_end("own")} <> {one_end("other")} END"""
        )
    return {row[0] for row in rows}


def words_of(store: Store, annotator: str, seconds: float) -> list[dict[str, Any]]:
    """What an annotator has said of the pairs of the input, the latest last; of those that are asked about again,
    nobody has said anything yet.

    Returns:
        pair_id, verdict, left_side, note, seconds of each; `recent`: it was stored in the latest so many seconds.
    """
    return store.records(
        """SELECT pair_id, verdict, left_side, note, seconds, epoch(now()) - epoch(recorded_at) < $recent AS recent
        FROM latest_label SEMI JOIN (SELECT pair_id FROM input WHERE role = 'pool') USING (pair_id)
             ANTI JOIN recheck_waiting USING (pair_id)
        WHERE annotator = $annotator ORDER BY number""",
        {"annotator": annotator, "recent": seconds},
    )


def add_labels(store: Store, labels: Sequence[Label]) -> AddedLabels:
    """Add labels; what was said before stays as history."""
    table = pa.table(
        {
            "number": pa.array(range(len(labels)), pa.int64()),
            "pair_id": pa.array([label.pair_id for label in labels], pa.string()),
            "annotator": pa.array([label.annotator for label in labels], pa.string()),
            "verdict": pa.array([_TAKEN_BACK if x.verdict is None else x.verdict.value for x in labels], pa.string()),
            "origin": pa.array([label.origin.value for label in labels], pa.string()),
            "blind": pa.array([label.blind for label in labels], pa.bool_()),
            "left_side": pa.array([label.left_side for label in labels], pa.string()),
            "note": pa.array([label.note for label in labels], pa.string()),
            "seconds": pa.array([label.seconds for label in labels], pa.float64()),
            "said_at": pa.array([label.said_at for label in labels], pa.timestamp("us", "UTC")),
        }
    )
    with store.transaction(), store.incoming(table):
        added, superseded = _add(
            store,
            """SELECT incoming.* REPLACE (if(origin = 'review' AND pair_id IN (
                       SELECT pair_id FROM audit JOIN decision USING (pair_id) WHERE decision = 'accept'
                   ), 'audit', origin) AS origin,
                   bool_and(blind) OVER (PARTITION BY pair_id, annotator) AS blind),
                   coalesce(after_number, 0) AS after_number, NULL::DOUBLE AS strength
            FROM incoming LEFT JOIN recheck USING (pair_id)
            QUALIFY row_number() OVER (
                PARTITION BY pair_id, annotator ORDER BY said_at DESC NULLS LAST, number DESC) = 1""",
        )
    return AddedLabels(added - superseded, len(labels) - added, superseded)


def add_row_labels(store: Store, rows: str) -> int:
    """Add the labels that came with the rows of a file; returns how many are new or changed.

    Each further row of one pair in a file is another vote, but of somebody who is named the last one counts. A label of
    a pair that was decided about before, or labelled for review or audit, is a review label whatever file it comes
    with, unless the pair was drawn or has calibrated: with a threshold or without one, the queue that people saw began
    with the hard pairs.

    Args:
        rows: a table of (position, vote, pair_id, verdict, annotator, strength, named): votes of one row are numbered,
            and an annotator that the row does not name is called as its file is.
    """
    routed = """(pair_id IN (SELECT pair_id FROM decision)
             OR pair_id IN (SELECT pair_id FROM human_label WHERE origin <> 'calibration'))
        AND pair_id NOT IN (SELECT pair_id FROM human_label WHERE origin = 'calibration')
        AND pair_id NOT IN (SELECT pair_id FROM draw)"""
    with store.transaction():
        added, _ = _add(
            store,
            f"""SELECT row_number() OVER (ORDER BY position, vote) AS number, pair_id,
                       if(named OR again = 1, annotator, annotator || '#' || again) AS annotator, verdict, strength,
                       CASE WHEN {routed} THEN 'review' ELSE 'calibration' END AS origin,
                       true AS blind, NULL::TEXT AS left_side, NULL::TEXT AS note, NULL::DOUBLE AS seconds,
                       NULL::TIMESTAMPTZ AS said_at, 0 AS after_number
            FROM (SELECT *, row_number() OVER said AS again FROM {rows}
                  WINDOW said AS (PARTITION BY pair_id, annotator ORDER BY position, vote)
                  QUALIFY NOT named OR lead(vote) OVER said IS NULL)""",
        )
    return added


def _add(store: Store, said: str) -> tuple[int, int]:
    """Add labels that differ from what the same annotator said last; how many, and how many of them correct it.

    Of a pair that came back in doubt, only what was said since (after `after_number`) is compared: to say the same once
    more is to say something.

    A pair of the draw that somebody had labelled for another reason, without having been shown a verdict, keeps that
    reason whatever is said of it later: see `calibration_label`.
    """
    store.rows(
        f"""CREATE OR REPLACE TEMP TABLE fresh AS
        SELECT said.* REPLACE (said.blind AND NOT EXISTS (
                   SELECT 1 FROM human_label h
                   WHERE h.pair_id = said.pair_id AND h.annotator = said.annotator AND NOT h.blind) AS blind),
               l.verdict IS NOT NULL AS supersedes
        FROM ({said}) said LEFT JOIN latest_label l
            ON l.pair_id = said.pair_id AND l.annotator = said.annotator AND l.number > said.after_number
        WHERE (said.verdict, said.note) IS DISTINCT FROM (l.verdict, l.note)
          AND NOT EXISTS (  -- taken back meanwhile, perhaps
                   SELECT 1 FROM human_label h
                   WHERE h.pair_id = said.pair_id AND h.annotator = said.annotator AND h.number > said.after_number
                         AND h.said_at > said.said_at AND h.said_at <= now())
          AND NOT (said.verdict = '{_TAKEN_BACK}' AND l.verdict IS NULL)"""
    )
    store.rows(
        """INSERT INTO human_label
            (pair_id, annotator, verdict, origin, blind, left_side, note, seconds, said_at, strength)
        WITH earlier AS (
            SELECT pair_id, arg_min(origin, number) AS first_origin
            FROM human_label SEMI JOIN fresh USING (pair_id) WHERE blind GROUP BY pair_id
        )
        SELECT pair_id, annotator, verdict,
               CASE WHEN after_number > 0 THEN 'review'
                    WHEN pair_id IN (SELECT pair_id FROM draw) THEN coalesce(first_origin, 'calibration')
                    ELSE origin END,
               blind, left_side, note, seconds, said_at, strength
        FROM fresh LEFT JOIN earlier USING (pair_id) ORDER BY number"""
    )
    added, superseded = store.one("SELECT count(*), count(*) FILTER (supersedes) FROM fresh")
    return int(added), int(superseded)


def draw_for_calibration(store: Store, size: int) -> int:
    """Draw `size` more unlabelled pairs, each as likely as any other; returns how many were drawn.

    Pairs are drawn one by one, not prompt by prompt: then drawn and other pairs are exchangeable however much the pairs
    of one prompt resemble each other, which whole prompts are not (tests/validity/test_draws.py shows what that costs).
    Pairs follow a random order fixed by the store's seed, so that all draws together are one random sample, of an input
    that grows too (`top_up_draw`). One that already has a review label is drawn too: leaving it out would make the
    sample easier.
    """
    number = store.count("SELECT coalesce(max(draw_number), 0) + 1 FROM draw")
    return store.count(
        """INSERT INTO draw
        WITH candidate AS (
            SELECT DISTINCT pair_id, md5($seed || pair_id) AS random_order, l.verdict IS NULL AS unlabelled
            FROM input_row LEFT JOIN blind_label l USING (pair_id)
            WHERE role = 'pool' AND pair_id NOT IN (SELECT pair_id FROM draw)
              AND pair_id NOT IN (SELECT pair_id FROM human_label WHERE origin = 'calibration')
        ), numbered AS (
            SELECT *, sum(unlabelled::INT) OVER (ORDER BY random_order) AS wanted FROM candidate
        )
        SELECT pair_id, $number, random_order, false
        FROM numbered WHERE wanted <= $size AND (unlabelled OR wanted < $size) ORDER BY random_order""",
        {"seed": store.seed, "size": size, "number": number},
    )


def top_up_draw(store: Store) -> int:
    """Draw the pairs of a new input that would have been drawn, had they been there; returns how many those are.

    Drawn pairs that have left the input do not matter: it is today's input of which the drawn ones are a sample.
    """
    return store.count(
        """INSERT INTO draw
        SELECT pair_id, (SELECT max(draw_number) + 1 FROM draw), md5($seed || pair_id) AS random_order, true
        FROM input
        WHERE role = 'pool' AND random_order < (SELECT max(draw.position) FROM draw SEMI JOIN input USING (pair_id))
          AND pair_id NOT IN (SELECT pair_id FROM draw)
          AND pair_id NOT IN (SELECT pair_id FROM human_label WHERE origin = 'calibration')""",
        {"seed": store.seed},
    )


def drawn_without_label(store: Store) -> int:
    """How many drawn pairs of the input still wait for a label that may calibrate."""
    return store.count(
        """SELECT count(*) FROM draw JOIN (SELECT DISTINCT pair_id FROM input_row WHERE role = 'pool') USING (pair_id)
        WHERE pair_id NOT IN (SELECT pair_id FROM blind_label)"""
    )
