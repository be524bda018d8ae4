"""Stores what judges wrote about verdicts that are decided."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from operator import itemgetter

import pyarrow as pa

from curator.pair import Order, Rationale
from curator.prompts import Question, prompt_from_json
from curator.store.connection import Store

PAGE = 2_000
"""Pairs whose texts are in memory at a time."""


def find_unexplained(store: Store, writer: str) -> tuple[int, int]:
    """Find the accepted pairs that have no rationale of a writer for the label they have; how many, and how many have.

    They stay in the table `unexplained`, the pairs of a prompt beside each other.
    """
    store.rows(
        """CREATE OR REPLACE TEMP TABLE unexplained AS
        SELECT row_number() OVER (ORDER BY prompt_id, position) AS number,
               pair.rowid AS place, pair_id, label
        FROM input JOIN decision USING (pair_id) JOIN pair USING (pair_id)
             ANTI JOIN (SELECT pair_id, label FROM rationale WHERE writer = ?) USING (pair_id, label)
        WHERE role = 'pool' AND decision = 'accept'""",
        [writer],
    )
    accepted = store.count("SELECT count(*) FROM input JOIN decision USING (pair_id) WHERE decision = 'accept'")
    wanted = store.count("SELECT count(*) FROM unexplained")
    return wanted, accepted - wanted


def unexplained_questions(store: Store) -> Iterator[Question]:
    """The questions that `find_unexplained` found; the preferred response is shown first in each."""
    last = store.count("SELECT coalesce(max(number), 0) FROM unexplained")
    for start in range(1, last + 1, PAGE):
        rows = store.rows(
            """SELECT prompt, u.pair_id, label, response_a, response_b
            FROM unexplained u JOIN pair ON pair.rowid = u.place WHERE number >= ? AND number < ? ORDER BY number""",
            [start, start + PAGE],
        )
        for prompt, found in groupby(rows, key=itemgetter(0)):
            conversation = prompt_from_json(prompt)
            for _, pair_id, label, a, b in found:
                shown = (Order.AB, a, b) if label == "a" else (Order.BA, b, a)
                yield Question(pair_id, shown[0], conversation, *shown[1:])


def add_rationales(store: Store, writer: str, name: str, rationales: Sequence[Rationale]) -> None:
    """Store a batch of rationales of unexplained pairs; failed ones are left out, and asked for again another time."""
    good = [one for one in rationales if one.failed is None]
    table = pa.table(
        {
            "pair_id": pa.array([one.pair_id for one in good], pa.string()),
            "rationale": pa.array([one.text for one in good], pa.string()),
        }
    )
    with store.transaction(), store.incoming(table):
        store.rows(
            """INSERT INTO rationale (pair_id, writer, name, label, rationale)
            SELECT pair_id, $writer, $name, label, rationale FROM incoming JOIN unexplained USING (pair_id)""",
            {"writer": writer, "name": name},
        )
