"""The tasks for people: which pairs wait for somebody, in which order, and how they are shown."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from curator.options import QueueOrder
from curator.store.connection import Store
from curator.store.decisions import ODDS, TIE
from curator.store.filters import Condition
from curator.store.judgments import latest_judge, members


@dataclass(frozen=True, slots=True)
class Readers:
    """How many people are asked about a pair: a setting of the store.

    Whether a pair is read by several is a coin of its own, which the store's seed throws and nothing about the pair
    decides: pairs of the calibration draw, of the audit and all others are equally likely to be. So the calibration
    rows stay exchangeable with the pool, although a pair on which two people disagree becomes a tie, and an error of
    any label: the same share of the pool's pairs would become one. It is a skip or a missing answer that would make a
    difference, were it given because a pair is hard: give out whole sets.

    Attributes:
        annotators: people who answer such a pair, each without having been shown the judge's verdict.
        share: of the pairs that are read by so many; a larger share adds pairs.
    """

    annotators: int = 1
    share: float = 0.1

    def __post_init__(self) -> None:
        if self.annotators < 1 or not 0 <= self.share <= 1:
            raise ValueError(f"{self.annotators} annotators for a share of {self.share} of the pairs: no such thing")

    @property
    def several(self) -> str:
        """Whether a pair is read by several people, in SQL."""
        if self.annotators == 1:
            return "($seed IS NULL)"  # never; DuckDB refuses a value that no part of a statement asks for
        coin = "md5_number_lower('overlap' || $seed || pair_id) / 18446744073709551616"
        return f"(recheck.pair_id IS NULL AND {coin} < {self.share!r})"

    @property
    def wanted(self) -> str:
        """How many answers a pair waits for, in SQL."""
        more = f"if({self.several} AND ({_ONCE} OR said > 0), {self.annotators} - coalesce(blind_said, 0), 0)"
        return f"if(role = 'pool', greatest({_ONCE}::INTEGER, {more}), 0)"


_ONCE = """(
    w.pair_id IS NOT NULL
    OR blind.pair_id IS NULL AND (draw.pair_id IS NOT NULL
                                  OR audit.pair_id IS NOT NULL AND coalesce(d.decision = 'accept', false))
    OR l.verdict IS NULL AND coalesce(d.decision, 'abstain') = 'abstain'
)"""
"""Which pairs wait for somebody, whoever it is. Draw and audit want the label of a person who has not been shown a
verdict. Other pairs may wait for another person: `Readers.wanted`."""

_PLACES = """
    input LEFT JOIN label l USING (pair_id) LEFT JOIN decision d USING (pair_id) LEFT JOIN draw USING (pair_id)
    LEFT JOIN audit USING (pair_id) LEFT JOIN recheck USING (pair_id) LEFT JOIN recheck_waiting w USING (pair_id)
    LEFT JOIN score s USING (pair_id) LEFT JOIN blind_label blind USING (pair_id)
    LEFT JOIN (
        SELECT pair_id, count(*) AS said, count(*) FILTER (blind) AS blind_said
        FROM word WHERE left_side IS NOT NULL AND NOT again GROUP BY pair_id
    ) reader USING (pair_id)
"""

_UNSURE = "bpe DESC NULLS LAST, input_position"

_ORDER = {
    QueueOrder.UNCERTAIN: _UNSURE,
    QueueOrder.DISAGREEMENT: f"disagreement DESC NULLS LAST, {_UNSURE}",
    QueueOrder.RANDOM: "md5_number_lower('order' || $seed || pair_id)",
    QueueOrder.DIVERSE: f"turn, {_UNSURE}",
}
"""What sorts the tasks behind the calibration draw."""

# What a reply gives a of a and b, "equal" being half of each. With one judge the range is the gap between both orders.
_DISAGREEMENT = f"""
    SELECT pair_id, max(prefers_a) - min(prefers_a) AS disagreement FROM (
        SELECT pair_id, (1 - tie) / (1 + exp(-odds)) + tie / 2 AS prefers_a FROM (
            SELECT pair_id, if(isnan(odds), 0, odds) AS odds, tie
            FROM (SELECT pair_id, {ODDS} AS odds, {TIE} AS tie FROM judgment
                  WHERE status = 'ok' AND list_contains({{judges}}, judge_id)))
    ) GROUP BY pair_id HAVING count(*) > 1
"""
"""How far apart the replies about a pair are, over both orders and all judges: the largest P(a) less the smallest."""

_TURN = f"row_number() OVER (PARTITION BY drawn IS NULL, topic ORDER BY {_UNSURE})"


def _task_sql(order: QueueOrder, readers: Readers, judges: Sequence[str]) -> str:
    """Every task with its place, in SQL; of order DIVERSE, `incoming` holds the topics (`_topics`).

    Pairs of the audit, those that come back in doubt and those that wait for another person stand at random places
    among those that the judge abstained on: neither their place nor their form tells them apart. Yet another hash
    decides, or audited pairs would stand together.
    """
    listed = "[" + ", ".join(f"'{judge}'" for judge in judges) + "]::VARCHAR[]"
    columns, join = {
        QueueOrder.DISAGREEMENT: (
            ", disagreement",
            f"LEFT JOIN ({_DISAGREEMENT.format(judges=listed)}) USING (pair_id)",
        ),
        QueueOrder.DIVERSE: (f", {_TURN} AS turn", "LEFT JOIN incoming USING (input_position)"),
    }.get(order, ("", ""))
    found = "pair_id, drawn, audited, again, turned, another, several, wanted"
    return f"""
        WITH task AS MATERIALIZED (
            SELECT pair_id, s.bpe, input.position AS input_position, w.pair_id IS NOT NULL AS again,
                   recheck.pair_id IS NOT NULL AS turned, NOT {_ONCE} AS another, {readers.several} AS several,
                   {readers.wanted} AS wanted, if(blind.pair_id IS NULL, draw.position, NULL) AS drawn,
                   drawn IS NULL AND NOT again AND NOT another AND audit.pair_id IS NOT NULL AS audited,
                   drawn IS NULL AND (again OR another OR coalesce(d.decision, 'abstain') = 'accept') AS hidden
            FROM {_PLACES} WHERE wanted > 0
        ), seen AS (SELECT task.*{columns} FROM task {join} WHERE NOT hidden)
        SELECT {found}, row_number() OVER (PARTITION BY drawn IS NULL ORDER BY {_ORDER[order]})::DOUBLE AS place
        FROM seen
        UNION ALL
        SELECT {found}, (SELECT count(*) + 1 FROM task WHERE drawn IS NULL AND NOT hidden)
                   * (md5_number_lower('place' || $seed || pair_id) / 18446744073709551616)
        FROM task WHERE hidden
    """


_PLAIN = "drawn IS NULL AND NOT audited AND NOT again AND NOT another AND NOT several"
"""Tasks that need no eyes that have been shown no verdict."""

_SORTED = "ORDER BY task.drawn NULLS LAST, task.place, task.pair_id"

# Sorted before the lines are made: DuckDB sorts three texts faster than one as long. The coin for the sides is that of
# curator.pair.first_by_hash; a pair that came back in doubt shows its sides the other way round.
_SHOWN = "pair_id, prompt, response_a, response_b, (md5(pair_id || $seed) < '8') <> turned AS a_left, signs"
_LINE = """
    SELECT '{"pair_id":"' || pair_id || '","prompt":' || prompt
           || ',"left":' || to_json(if(a_left, response_a, response_b))::VARCHAR
           || ',"right":' || to_json(if(a_left, response_b, response_a))::VARCHAR
           || ',"label":null,"annotator":null,"note":null'
           || if(signs IS NULL, '', ',"signs":' || to_json(signs)::VARCHAR) %s || '}' || chr(10) AS line
"""
_HIDDEN_LINE = _LINE % ""
_JUDGED_LINE = (
    _LINE
    % """ || ',"judge":' || CASE WHEN log_odds IS NULL THEN 'null'
               WHEN log_odds = 0 THEN '{"prefers":null,"probability":null}'
               ELSE '{"prefers":"' || if((log_odds > 0) = a_left, 'left', 'right') || '","probability":'
                    || greatest(p_a, p_b)::VARCHAR || '}' END"""
)


def task_lines(
    store: Store,
    order: QueueOrder = QueueOrder.UNCERTAIN,
    *,
    person: int = 1,
    show_verdict: bool = False,
    where: Condition | None = None,
) -> Iterator[tuple[int, pa.Buffer]]:
    """Tasks for people: the unfinished calibration draw in its order, then the others in the chosen one, and among
    them, at random places, those that `_task_sql` hides.

    Args:
        person: 1: every task; 2: those that wait for two or more people; and so on.
        show_verdict: give what the judge says with each task, and leave out the tasks of `left_out`.
        where: only tasks for which it holds, and none of `left_out`: a chosen part of a random draw is none.

    Yields:
        How many tasks, and their lines of queue.jsonl.
    """
    chosen = f"{_task_sql(order, readers(store), _judges(store))}"
    plain = f"AND {_PLAIN}" if show_verdict or where is not None else ""
    chosen_ones = "" if where is None else f"AND {where.sql}"
    judged = ", log_odds, p_a, p_b" if show_verdict else ""
    score = "LEFT JOIN score USING (pair_id)" if show_verdict else ""
    queue = f"""{_JUDGED_LINE if show_verdict else _HIDDEN_LINE}
        FROM (SELECT {_SHOWN}{judged} FROM ({chosen}) task JOIN pair USING (pair_id)
                   LEFT JOIN suspect USING (pair_id) {score}
              WHERE wanted >= {person:d} {plain} {chosen_ones} {_SORTED})"""
    topics = _topics(store) if order is QueueOrder.DIVERSE else None
    for rows in store.stream(queue, 10_000, {"seed": store.seed}, topics):
        lines = rows.column(0).cast(pa.large_string())
        _, offsets, text = lines.buffers()
        if len(lines):
            start, *_, end = np.frombuffer(offsets, np.int64)[[lines.offset, lines.offset + len(lines)]].tolist()
            yield len(lines), text.slice(start, end - start)


_NO_TASKS = pa.schema([("pair_id", pa.string()), ("drawn", pa.bool_()), ("wanted", pa.int64())])


def task_order(store: Store, order: QueueOrder = QueueOrder.UNCERTAIN) -> pa.Table:
    """The tasks of `task_lines` without their texts, in its order.

    Returns:
        Columns pair_id; drawn: whether it is of the unfinished calibration draw; wanted: how many answers it waits for.
    """
    topics = _topics(store) if order is QueueOrder.DIVERSE else None
    sql = f"""SELECT pair_id, drawn IS NOT NULL AS drawn, wanted
        FROM ({_task_sql(order, readers(store), _judges(store))}) task {_SORTED}"""
    batches = list(store.stream(sql, 100_000, {"seed": store.seed}, topics))
    return pa.Table.from_batches(batches) if batches else _NO_TASKS.empty_table()


def lines_of(store: Store, pair_ids: Sequence[str], *, most: int | None = None) -> list[bytes]:
    """The lines of queue.jsonl of some pairs, in the order given; unknown ones are left out.

    Args:
        most: leave out those with texts of more than so many bytes; None: none.
    """
    wanted = pa.table(
        {"pair_id": pa.array(pair_ids, pa.string()), "number": pa.array(range(len(pair_ids)), pa.int64())}
    )
    with store.incoming(wanted):
        rows = store.rows(
            f"""{_HIDDEN_LINE} FROM (
                SELECT {_SHOWN}, number
                FROM (SELECT incoming.*, recheck.pair_id IS NOT NULL AS turned
                      FROM incoming LEFT JOIN recheck USING (pair_id)) JOIN pair USING (pair_id)
                     LEFT JOIN suspect USING (pair_id)
                WHERE coalesce(strlen(prompt) + strlen(response_a) + strlen(response_b) <= $most, true)
            ) ORDER BY number""",
            {"seed": store.seed, "most": most},
        )
    return [row[0].encode() for row in rows]


def left_out(store: Store, where: Condition | None = None) -> dict[str, int]:
    """The tasks with which no verdict may be shown, and of which no part may be chosen, by why.

    Args:
        where: only those for which it holds.
    """
    return store.records(
        f"""SELECT count(*) FILTER (drawn IS NOT NULL) AS calibration_draw, count(*) FILTER (audited) AS audit,
                   count(*) FILTER (drawn IS NULL AND again) AS again,
                   count(*) FILTER (drawn IS NULL AND NOT audited AND NOT again AND (another OR several)) AS several
        FROM ({_task_sql(QueueOrder.UNCERTAIN, readers(store), [])})
        WHERE {"true" if where is None else where.sql}""",
        {"seed": store.seed},
    )[0]


def readers(store: Store) -> Readers:
    """How many people are asked about a pair."""
    kept = dict(store.rows("SELECT name, value FROM setting WHERE name IN ('annotators', 'overlap')"))
    return Readers(int(kept["annotators"]), float(kept["overlap"])) if kept else Readers()


def set_readers(store: Store, value: Readers) -> None:
    """Keep how many people are to be asked about a pair."""
    with store.transaction():
        store.set("annotators", str(value.annotators))
        store.set("overlap", repr(value.share))


def _judges(store: Store) -> list[str]:
    """The judges of the latest decision."""
    judge = latest_judge(store)
    return [] if judge is None else [one.judge_id for one in members(store, judge)]


_TEXT = """
    replace(right(prompt, 400), '\\n', ' ') || ' ' || left(response_a, 200) || ' ' || left(response_b, 200)
"""
"""What a pair's topic is made out by: the end of the conversation, and how the responses begin."""


def _topics(store: Store) -> pa.Table:
    """The topic of each task, as columns input_position and topic."""
    from curator.diversity import SAMPLE, find_topics

    tasks = f"""(SELECT input.position AS input_position, pair_id FROM {_PLACES}
        WHERE {readers(store).wanted} > 0) task JOIN pair USING (pair_id)"""
    seed = {"seed": store.seed}
    sample = store.rows(
        f"SELECT {_TEXT} FROM {tasks} ORDER BY md5_number_lower('topic' || $seed || pair_id), pair_id LIMIT {SAMPLE}",
        seed,
    )
    number = int.from_bytes(hashlib.blake2b(store.seed.encode(), digest_size=8).digest())
    topics = find_topics([row[0] for row in sample], number)
    places, found = [np.empty(0, np.int64)], [np.empty(0, np.int32)]
    for rows in store.stream(f"SELECT input_position, {_TEXT} AS text FROM {tasks}", 256, seed):
        places.append(rows["input_position"].to_numpy())
        found.append(topics.nearest(rows["text"].to_pylist()))
    return pa.table({"input_position": np.concatenate(places), "topic": np.concatenate(found)})


def counts(store: Store) -> dict[str, Any]:
    """What the store holds about the latest input."""
    wanted = readers(store).wanted
    sql = f"""SELECT count(*) AS pairs,
               count(*) FILTER (l.verdict IS NOT NULL) AS labelled,
               count(*) FILTER (c.pair_id IS NOT NULL) AS calibration_labels,
               count(*) FILTER (s.pair_id IS NOT NULL) AS judged,
               count(*) FILTER (s.p_tie > s.p_a AND s.p_tie > s.p_b) AS judge_ties,
               count(*) FILTER ({wanted} > 0) AS waiting,
               count(*) FILTER (blind.pair_id IS NULL AND draw.pair_id IS NOT NULL) AS waiting_for_calibration,
               count(*) FILTER (w.pair_id IS NULL AND blind.pair_id IS NULL AND draw.pair_id IS NULL
                                AND audit.pair_id IS NOT NULL AND d.decision = 'accept') AS waiting_for_audit,
               count(w.pair_id) FILTER (blind.pair_id IS NOT NULL OR draw.pair_id IS NULL) AS waiting_again,
               count(*) FILTER ({wanted} > 0 AND NOT {_ONCE}) AS waiting_for_another,
               coalesce(sum({wanted}), 0)::BIGINT AS answers_wanted
        FROM {_PLACES} LEFT JOIN calibration_label c USING (pair_id) WHERE role = 'pool'"""
    return store.records(sql, {"seed": store.seed})[0]
