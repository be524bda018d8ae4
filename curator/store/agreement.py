"""Reads who said what about which pair, and sets how votes are resolved."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from curator.store.connection import Store
from curator.store.decisions import BOTH_ORDERS, GOOD_REPLY

_VOTES = "votes"

# Who has been shown what the judge says agrees with it, and so with others who have; and a pair comes back because a
# judge disagrees with what was said.
_COUNTED = "word SEMI JOIN input USING (pair_id) WHERE NOT again AND blind"


@dataclass(frozen=True, slots=True)
class Words:
    """The latest word of each annotator on each pair of the input. Arrays of shape (n_words,).

    Words of people who had been shown the judge's verdict, and those given when a pair had come back in doubt, are not
    among them.

    Attributes:
        pair, annotator: codes, 0, 1, ...
        verdict: 0 a, 1 b, 2 tie or both bad, -1 skip.
        left: 1 where the side that was chosen stood left, 0 where it stood right, -1 where neither is known.
        seconds: that it took; NaN: not known.
        names: of the annotators, sorted.
        pairs: how many there are.
        left_out: words that are not among these, by reason.
    """

    pair: NDArray[np.int64]
    annotator: NDArray[np.int64]
    verdict: NDArray[np.int8]
    left: NDArray[np.int8]
    seconds: NDArray[np.float64]
    names: list[str]
    pairs: int
    left_out: dict[str, int]


def words(store: Store) -> Words:
    """Everything that people said about the input, each for himself or herself."""
    store.rows(
        f"""CREATE OR REPLACE TEMP TABLE spoken AS
        SELECT pair_id, dense_rank() OVER (ORDER BY pair_id) - 1 AS pair,
               dense_rank() OVER (ORDER BY annotator) - 1 AS annotator, annotator AS name,
               CASE verdict WHEN 'a' THEN 0 WHEN 'b' THEN 1 WHEN 'skip' THEN -1 ELSE 2 END::TINYINT AS verdict,
               CASE WHEN left_side IS NULL OR verdict NOT IN ('a', 'b') THEN -1
                    ELSE (verdict = left_side)::TINYINT END::TINYINT AS left_chosen,
               coalesce(seconds, 'nan'::DOUBLE) AS seconds
        FROM {_COUNTED}"""
    )
    table = store.arrow("SELECT * EXCLUDE (pair_id, name) FROM spoken ORDER BY pair, annotator")
    not_blind, again = store.one(
        """SELECT count(*) FILTER (NOT blind AND NOT again), count(*) FILTER (again)
        FROM word SEMI JOIN input USING (pair_id)"""
    )
    pair = table["pair"].to_numpy()
    return Words(
        pair, table["annotator"].to_numpy(), table["verdict"].to_numpy(), table["left_chosen"].to_numpy(),
        table["seconds"].to_numpy(), [row[0] for row in store.rows("SELECT DISTINCT name FROM spoken ORDER BY name")],
        int(pair.max(initial=-1)) + 1, {"not blind": not_blind, "asked again": again},
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Said:
    """What one judge said in both orders about pairs that people spoke about; arrays of shape (n,).

    Attributes:
        pair: codes of `Words`.
        d_ab, d_ba, tie_ab, tie_ba: as `curator.signals.Replies` has them.
    """

    pair: NDArray[np.int64]
    d_ab: NDArray[np.float64]
    d_ba: NDArray[np.float64]
    tie_ab: NDArray[np.float64]
    tie_ba: NDArray[np.float64]


def judge_said(store: Store, judge_id: str, min_label_mass: float) -> Said:
    """A judge's replies about the pairs that `words` found. A reply whose label mass is too low is none."""
    table = store.arrow(
        f"""SELECT pair, {BOTH_ORDERS}
        FROM (SELECT DISTINCT pair_id, pair FROM spoken)
             JOIN ({GOOD_REPLY} AND judge_id = $judge) USING (pair_id)
        GROUP BY pair HAVING NOT isnan(d_ab) AND NOT isnan(d_ba) ORDER BY pair""",
        {"judge": judge_id, "mass": min_label_mass},
    )
    return Said(*(table[name].to_numpy() for name in ("pair", "d_ab", "d_ba", "tie_ab", "tie_ba")))


def resolve(store: Store, votes: str, weights: Mapping[str | None, float] | None) -> None:
    """Set how several labels of a pair become one: the views `label`, `first_label`, `blind_label` follow.

    Args:
        votes: a value of `curator.options.Votes`.
        weights: of each annotator's word, in (0, 999], kept to six decimals; None: all weigh the same.
    """
    wanted = {} if weights is None else {name: f"{weight:.6f}" for name, weight in weights.items()}
    known = {name: str(weight) for name, weight in store.rows("SELECT annotator, weight FROM annotator_weight")}
    if known == wanted and resolution(store) == votes:
        return
    table: dict[str, Any] = {
        "annotator": pa.array(wanted.keys(), pa.string()), "weight": pa.array(wanted.values(), pa.string())
    }  # fmt: skip
    with store.transaction(), store.incoming(pa.table(table)):
        store.set(_VOTES, votes)
        store.rows("DELETE FROM annotator_weight")
        store.rows("INSERT INTO annotator_weight SELECT annotator, weight::DECIMAL(9, 6) FROM incoming")


def resolution(store: Store) -> str:
    """How several labels of a pair become one."""
    rows = store.rows("SELECT value FROM setting WHERE name = ?", [_VOTES])
    return str(rows[0][0]) if rows else "majority"


def keep_only(store: Store, annotators: Collection[str]) -> int:
    """Forget what everybody else said; how many of these have said something. Only within `Store.undone`.

    Nobody was asked about the pairs of a draw, or of the audit, that others had labelled before for another reason:
    that they were hard, perhaps. What these annotators were asked about is then random only if it is all of it. What
    they said when a pair came back in doubt is not what anybody said of it first.
    """
    store.rows(
        """UPDATE human_label SET origin = 'review'
        WHERE pair_id IN (
            SELECT pair_id FROM draw WHERE draw_number IN (
                SELECT draw_number FROM draw JOIN blind_label USING (pair_id) WHERE NOT random)
        ) OR pair_id IN (SELECT pair_id FROM audit) AND EXISTS (
            SELECT pair_id FROM human_label SEMI JOIN audit USING (pair_id)
            GROUP BY pair_id HAVING arg_min(origin, number) <> 'audit')"""
    )
    store.rows(
        """UPDATE human_label SET blind = false FROM recheck
        WHERE human_label.pair_id = recheck.pair_id AND number > after_number
          AND human_label.pair_id IN (SELECT pair_id FROM word WHERE blind AND NOT again)"""
    )
    with store.incoming(pa.table({"name": pa.array(list(annotators), pa.string())})):
        store.rows("DELETE FROM human_label WHERE annotator NOT IN (SELECT name FROM incoming)")
    return store.count("SELECT count(DISTINCT annotator) FROM human_label SEMI JOIN input USING (pair_id)")
