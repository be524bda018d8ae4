"""Stores judges and their judgments, and tells which are still to be asked for."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby, islice
from operator import itemgetter
from typing import Any

import orjson
import pyarrow as pa

from curator.errors import StoreError
from curator.pair import JudgeInfo, Judgment, Order
from curator.prompts import Question, prompt_from_json
from curator.store.connection import Store

PAGE, MOST_PAGES, MOST_PAGE = 8_192, 64, 131_072
"""Pairs read from the store at a time while judging. A page costs up to one reading of all texts, where the pairs of a
prompt stand far apart; so there are no more than `MOST_PAGES`, as long as memory allows."""

GROUP = 1_024
"""Pairs of one prompt that are put in order together."""

_JUDGMENT = pa.schema(
    [
        ("pair_id", pa.string()), ("judge_id", pa.string()), ("pair_order", pa.string()),
        ("logprob_a", pa.float64()), ("logprob_b", pa.float64()), ("logprob_tie", pa.float64()),
        ("label_mass", pa.float64()),
        ("status", pa.string()), ("reason", pa.string()),
        ("prompt_tokens", pa.int32()), ("cached_tokens", pa.int32()), ("seconds", pa.float64()),
    ]
)  # fmt: skip


PANEL = "panel"
"""The engine of a judge that is several judges together."""


@dataclass(frozen=True, slots=True)
class Pending:
    """What one judge has still to be asked about the input: `retried` failed before."""

    questions: int
    cached: int
    retried: int


def add_judge(store: Store, judge: JudgeInfo) -> None:
    """Record a judge; one with the same id is the same judge."""
    store.rows(
        """INSERT INTO judge SELECT $id, $name, $engine, $settings, $details, $demonstration
        WHERE $id NOT IN (SELECT judge_id FROM judge)""",
        {
            "id": judge.judge_id,
            "name": judge.name,
            "engine": judge.engine,
            "settings": judge.settings_json,
            "details": orjson.dumps(judge.details).decode(),
            "demonstration": judge.demonstration,
        },
    )


def add_judgments(store: Store, judge_id: str, judgments: Sequence[Judgment]) -> None:
    """Store a batch of replies in one transaction."""
    columns = {
        "pair_id": [j.pair_id for j in judgments],
        "judge_id": [judge_id] * len(judgments),
        "pair_order": [j.order.value for j in judgments],
        "logprob_a": [j.logprob_a for j in judgments],
        "logprob_b": [j.logprob_b for j in judgments],
        "logprob_tie": [j.logprob_tie for j in judgments],
        "label_mass": [j.label_mass for j in judgments],
        "status": ["ok" if j.failed is None else "failed" for j in judgments],
        "reason": [j.failed or j.note for j in judgments],
        "prompt_tokens": [j.prompt_tokens for j in judgments],
        "cached_tokens": [j.cached_tokens for j in judgments],
        "seconds": [j.seconds for j in judgments],
    }
    with store.incoming(pa.table(columns, schema=_JUDGMENT)):
        store.rows("INSERT INTO judgment BY NAME SELECT * FROM incoming")


def find_pending(store: Store, judge_id: str, *, band: bool = False) -> Pending:
    """Work out which pairs of the input lack a judgment, in which order; failed ones are asked again.

    Both orders of a pair, and all pairs of a prompt, are made neighbours, so that a prefix cache serves them.

    Args:
        band: look only at the pairs of `store.decisions.hold_band`.
    """
    wanted = "input_row" + (" SEMI JOIN band USING (pair_id)" if band else "")
    with store.transaction():
        retried = store.count(
            f"""SELECT count(*) FROM judgment
            WHERE judge_id = ? AND status = 'failed' AND pair_id IN (SELECT pair_id FROM {wanted})""",
            [judge_id],
        )
        store.rows(
            f"""CREATE OR REPLACE TEMP TABLE pending AS
            WITH wanted AS (SELECT pair_id, min(position) AS position FROM {wanted} GROUP BY pair_id),
            answered AS (
                SELECT pair_id, bool_or(pair_order = 'ab') AS ab, bool_or(pair_order = 'ba') AS ba
                FROM judgment WHERE judge_id = ? AND status = 'ok' GROUP BY pair_id
            ), unanswered AS (
                SELECT w.pair_id, p.rowid AS place, p.prompt_id, w.position,
                       min(w.position) OVER (PARTITION BY p.prompt_id) AS prompt_position,
                       NOT coalesce(ab, false) AS ab, NOT coalesce(ba, false) AS ba
                FROM wanted w JOIN pair p USING (pair_id) LEFT JOIN answered USING (pair_id)
                WHERE NOT (coalesce(ab, false) AND coalesce(ba, false))
            )
            SELECT row_number() OVER (ORDER BY prompt_position, position) AS number, pair_id, place, prompt_id, ab, ba
            FROM unanswered ORDER BY number""",
            [judge_id],
        )
    pairs = store.count(f"SELECT count(DISTINCT pair_id) FROM {wanted}")
    questions = store.count("SELECT coalesce(sum(ab::INT + ba::INT), 0)::BIGINT FROM pending")
    return Pending(questions, 2 * pairs - questions, retried)


def forget_failures(store: Store, judge_id: str) -> None:
    """Take out the failed judgments that `find_pending` found, about to be asked for again."""
    store.rows(
        """DELETE FROM judgment
        WHERE judge_id = ? AND status = 'failed' AND pair_id IN (SELECT pair_id FROM pending)""",
        [judge_id],
    )


def pending_questions(store: Store) -> Iterator[Question]:
    """The questions that `find_pending` found: prompt by prompt, and those that show the same response first together.

    So every question shares as much of its prompt as it can with the one before it, and the servers' prefix cache is
    used as well as it can be.
    """
    for _, pairs in groupby(_pending_pairs(store), key=itemgetter(0)):
        while group := list(islice(pairs, GROUP)):
            rank: dict[str, int] = {}
            found: list[tuple[int, int, int, Question]] = []
            for _, pair_id, ab, ba, prompt, a, b in group:
                first, second = rank.setdefault(a, len(rank)), rank.setdefault(b, len(rank))
                conversation = prompt_from_json(prompt)
                if ab:
                    found.append((first, second, len(found), Question(pair_id, Order.AB, conversation, a, b)))
                if ba:
                    found.append((second, first, len(found), Question(pair_id, Order.BA, conversation, b, a)))
            yield from (row[-1] for row in sorted(found, key=itemgetter(0, 1, 2)))


def _pending_pairs(store: Store) -> Iterator[tuple[Any, ...]]:
    """What is pending as rows of prompt_id, pair_id, ab, ba, prompt, response_a, response_b, a page at a time."""
    last = store.count("SELECT coalesce(max(number), 0) FROM pending")
    page = min(max(PAGE, -(-last // MOST_PAGES)), MOST_PAGE)
    for start in range(1, last + 1, page):
        rows = store.rows(
            """SELECT n.prompt_id, n.pair_id, n.ab, n.ba, p.prompt, p.response_a, p.response_b
            FROM pending n JOIN pair p ON p.rowid = n.place WHERE n.number >= ? AND n.number < ? ORDER BY n.number""",
            [start, start + page],
        )
        if len(rows) != min(page, last + 1 - start):
            raise StoreError(f"{store.path}: pairs have moved while they were judged; run again")
        yield from rows


def remember_judge(store: Store, request: str, judge: JudgeInfo) -> None:
    """Keep which judge a request led to."""
    store.set(f"judge of {request}", judge.judge_id)


def recall_judge(store: Store, request: str) -> JudgeInfo | None:
    """The judge that an equal request led to before, as it is stored."""
    return _stored_judge(store, "(SELECT value FROM setting WHERE setting.name = ?)", [f"judge of {request}"])


def stored_judge(store: Store, judge_id: str) -> JudgeInfo:
    """A judge by its id.

    Raises:
        StoreError: there is none.
    """
    if (judge := _stored_judge(store, "?", [judge_id])) is None:
        raise StoreError(f"{store.path}: the judge {judge_id} is missing; the store is damaged")
    return judge


def latest_judge(store: Store) -> JudgeInfo | None:
    """The judge of the latest calibration, or the panel."""
    return _stored_judge(store, "(SELECT judge_id FROM calibration ORDER BY calibration_id DESC LIMIT 1)", [])


def members(store: Store, judge: JudgeInfo) -> list[JudgeInfo]:
    """The judges of a panel; of one that is none, itself."""
    return [stored_judge(store, member) for member in judge.settings["judges"]] if judge.engine == PANEL else [judge]


def _stored_judge(store: Store, which: str, values: list[str]) -> JudgeInfo | None:
    rows = store.rows(
        f"SELECT name, engine, settings, details, demonstration FROM judge WHERE judge_id = {which}", values
    )
    if not rows:
        return None
    name, engine, settings, details, demonstration = rows[0]
    return JudgeInfo(name, engine, orjson.loads(settings), orjson.loads(details), demonstration)
