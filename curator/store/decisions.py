"""Stores scores, calibrations and decisions; each decision is about the whole latest input."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from curator.conformal import Calibration
from curator.errors import InputError
from curator.preference import Preference, entropy_at
from curator.signals import Replies
from curator.store.connection import Store

VERDICTS = ("", "a", "b", "tie", "skip")
"""What the codes of verdicts and labels mean: a million small numbers are quick where a million words are not."""


# A certain tie leaves nothing to a nor to b, and no preference between them.
ODDS = "CASE WHEN logprob_a = logprob_b THEN 0 ELSE logprob_a - logprob_b END"

FITS = "md5(pair_id || 'fit' || $seed) < $cut"
"""Whether a calibration row is one to fit on, in SQL; $cut is that of `fit_cut`."""

GROUP = "json_extract_string(metadata, $path)"
"""The value of a field of the raw row, in SQL; $path is that of `group_path`."""

# The share of "equal" among the labels, each infinite logarithm by itself: of them, differences are not numbers.
TIE = """CASE WHEN logprob_tie IS NULL OR isinf(logprob_tie) THEN 0
              ELSE 1 / (1 + exp(logprob_a - logprob_tie) + exp(logprob_b - logprob_tie)) END"""

GOOD_REPLY = f"""
    SELECT *, if(logprob_tie IS NULL, logprob_a - logprob_b, {ODDS}) AS odds, {TIE} AS tie FROM judgment
    WHERE status = 'ok' AND coalesce(label_mass, 1) >= $mass
"""
"""Replies that are verdicts, in SQL; $mass is the least label mass."""

BOTH_ORDERS = """
    max(odds) FILTER (pair_order = 'ab') AS d_ab, max(odds) FILTER (pair_order = 'ba') AS d_ba,
    max(tie) FILTER (pair_order = 'ab') AS tie_ab, max(tie) FILTER (pair_order = 'ba') AS tie_ba
"""
"""What they say in each order, of replies that are grouped by pair and judge."""


@dataclass(frozen=True, slots=True)
class Judged:
    """Every pair of the input with the replies of each judge. Arrays of shape (n_pairs,), in input order.

    Attributes:
        replies: of each judge, in the order in which they were asked for.
        verdict: the human verdict as a code of `VERDICTS`.
        calibrates: whether the human verdict may set a threshold.
        fits: whether it is of the share of these that something is fitted on, and so sets none.
        suspect: whether a response talks to the judge, and that keeps a pair from being auto-labelled.
        in_pool: whether the pair is of the raw file rather than of --calibration.
        group: code of its group in `groups`; 0 throughout where there are none.
        groups: the values of the field that pairs are grouped by.
    """

    replies: tuple[Replies, ...]
    verdict: NDArray[np.int8]
    calibrates: NDArray[np.bool_]
    fits: NDArray[np.bool_]
    suspect: NDArray[np.bool_]
    in_pool: NDArray[np.bool_]
    group: NDArray[np.int64]
    groups: list[str | None]


def judged_pairs(
    store: Store,
    judge_ids: Sequence[str],
    min_label_mass: float,
    *,
    fit_fraction: float = 0.0,
    group_by: str | None = None,
    suspects: bool = True,
) -> Judged:
    """What is known of every pair of the input. A reply whose label mass is too low is no verdict.

    The pairs stay in the table `judged`, in the order of the arrays, for `replace_decisions`.

    Args:
        fit_fraction: share of the calibration rows to fit on; each pair falls there or not by a coin of its own, so
            that more labels leave the others where they are.
        group_by: field of the raw rows.
        suspects: whether to look for pairs of which a response talks to the judge; there are none otherwise.

    Raises:
        InputError: no row has such a field.
    """
    judges = {f"judge_{i}": judge_id for i, judge_id in enumerate(judge_ids)}
    with_ties, with_stated = (
        {
            row[0]
            for row in store.rows(
                f"SELECT DISTINCT judge_id FROM judgment WHERE {column} IS NOT NULL AND list_contains(?, judge_id)",
                [list(judge_ids)],
            )
        }
        for column in ("logprob_tie", "stated_p_a")
    )
    columns: dict[str, str] = {}
    for name, judge_id in judges.items():
        for order in ("ab", "ba"):
            said = f"FILTER (judge_id = ${name} AND pair_order = '{order}')"
            odds = ODDS if judge_id in with_ties else "logprob_a - logprob_b"
            columns[f"d_{order}_{name}"] = f"max({odds}) {said}"
            if judge_id in with_ties:
                columns[f"tie_{order}_{name}"] = f"max({TIE}) {said}"
            if judge_id in with_stated:
                columns[f"stated_{order}_{name}"] = f"max(stated_p_a) {said}"
    grouped = group_by is not None
    store.rows(
        f"""CREATE OR REPLACE TEMP TABLE judged AS
        WITH reply AS (
            SELECT pair_id, {", ".join(f"{made} AS {name}" for name, made in columns.items())} FROM judgment
            WHERE judge_id IN ({", ".join(f"${name}" for name in judges)})
              AND status = 'ok' AND coalesce(label_mass, 1) >= $mass
            GROUP BY pair_id
        )
        SELECT pair_id, {", ".join(f"coalesce({name}, {_absent(name)}) AS {name}" for name in columns)},
               (coalesce(list_position($verdicts, coalesce(c.verdict, l.verdict)), 1) - 1)::TINYINT AS verdict,
               c.pair_id IS NOT NULL AS calibrates,
               c.pair_id IS NOT NULL AND {FITS} AS fits,
               {"pair_id IN (SELECT pair_id FROM sign)" if suspects else "false"} AS suspect,
               role = 'pool' AS in_pool
               {f", {GROUP} AS in_group" if grouped else ""}
        FROM input LEFT JOIN reply USING (pair_id) LEFT JOIN label l USING (pair_id)
             LEFT JOIN calibration_label c USING (pair_id) {"JOIN pair USING (pair_id)" if grouped else ""}
        ORDER BY position""",
        {
            **judges, "mass": min_label_mass, "verdicts": list(VERDICTS), "seed": store.seed,
            "cut": fit_cut(fit_fraction), **({} if group_by is None else {"path": group_path(group_by)}),
        },
    )  # fmt: skip
    table = store.arrow("SELECT * EXCLUDE pair_id FROM judged")
    arrays = {
        name: table[name].to_numpy() for name in (*columns, "verdict", "calibrates", "fits", "suspect", "in_pool")
    }
    group, groups = np.zeros(table.num_rows, dtype=np.int64), list[str | None]([None])
    if grouped:
        coded = table["in_group"].combine_chunks().dictionary_encode("encode")
        group, groups = coded.indices.to_numpy(), coded.dictionary.to_pylist()
        if not any(name is not None for name in groups):
            raise InputError(
                f"no row of the input has a field {group_by!r} to group by; prompt, responses, id and label are none"
            )
    return Judged(
        tuple(
            Replies(
                arrays[f"d_ab_{name}"], arrays[f"d_ba_{name}"],
                arrays.get(f"tie_ab_{name}"), arrays.get(f"tie_ba_{name}"),
                arrays.get(f"stated_ab_{name}"), arrays.get(f"stated_ba_{name}"),
            )
            for name in judges
        ),
        arrays["verdict"], arrays["calibrates"], arrays["fits"], arrays["suspect"], arrays["in_pool"], group, groups,
    )  # fmt: skip


def fit_cut(share: float) -> str:
    """Where the coins of `FITS` are cut."""
    return f"{round(share * 16**8):08x}"


def group_path(field: str) -> str:
    """Where a field of the raw row is found, as a JSON pointer: unlike a path, it takes any name as it is."""
    return "/" + field.replace("~", "~0").replace("/", "~1")


def _absent(column: str) -> str:
    """What stands where a judge has given no reply: no odds, nothing stated, and no share of "equal"."""
    return "0" if column.startswith("tie_") else "'nan'::DOUBLE"


def hold_band(store: Store, band: NDArray[np.bool_]) -> None:
    """Hold the judged pairs that the next judge of a cascade is to read; shape (n_pairs,)."""
    with store.incoming(pa.table({"wanted": band})):
        store.rows(
            """CREATE OR REPLACE TEMP TABLE band AS
            SELECT pair_id FROM judged POSITIONAL JOIN incoming WHERE wanted"""
        )


def calibration_ids(store: Store) -> tuple[list[str], NDArray[np.int64]]:
    """The ids of the judged pairs that may calibrate, sorted, and where each stands in the arrays."""
    # What is not committed yet, as within `Store.undone`, is numbered from a high number on.
    table = store.arrow(
        """SELECT pair_id, rowid - (SELECT min(rowid) FROM judged) AS place FROM judged
        WHERE calibrates ORDER BY pair_id"""
    )
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
    names = ("p_a", "p_b", "p_tie", "log_odds", "bpe")
    rows = pa.table(
        {**{name: _spread(getattr(scores, name), answered) for name in names}, "label": label, "reason": reason}
    )
    with store.transaction(), store.incoming(rows):
        store.rows("DELETE FROM score")
        store.rows(
            """INSERT INTO score SELECT pair_id, ?, p_a, p_b, p_tie, log_odds, bpe FROM judged POSITIONAL JOIN incoming
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


@dataclass(frozen=True, slots=True)
class GroupCalibration:
    """The calibration of one group of pairs, or of all.

    Attributes:
        name: the value that the pairs have in common; None: all pairs, or those of the small groups together.
        found: what the rule made of it.
        ties_left_out: labelled pairs that would calibrate, were they no ties.
    """

    name: str | None
    found: Calibration
    ties_left_out: int = 0


def add_calibration(
    store: Store,
    judge_id: str,
    calibrations: Sequence[GroupCalibration],
    *,
    score: str,
    ties: str,
    votes: str,
    suspects: str,
    group_by: str | None,
    fingerprint: str,
) -> int:
    """Record a calibration; one that repeats the latest in every respect is the latest. Returns its id."""
    rows = [
        [
            group_by, one.name, judge_id, score, found.guarantee.value, str(found.alpha), str(found.delta), ties,
            votes, suspects, found.n, found.n_errors, found.m, found.threshold,
            None if found.threshold is None else entropy_at(found.threshold),
            found.accepted, found.k, found.errors, fingerprint,
        ]
        for one in calibrations
        for found in [one.found]
    ]  # fmt: skip
    latest = store.rows(
        """SELECT * EXCLUDE recorded_at FROM calibration
        WHERE calibration_id = (SELECT max(calibration_id) FROM calibration) ORDER BY rowid"""
    )
    if [list(row[1:]) for row in latest] == rows:
        return int(latest[0][0])
    number = int(latest[0][0]) + 1 if latest else 1
    for row in rows:
        marks = ", ".join("?" * (len(row) + 1))
        store.rows(f"INSERT INTO calibration VALUES ({marks}, now())", [number, *row])
    return number


def earlier_tries(
    store: Store, judge_id: str, score: str, group_by: str | None, tried: GroupCalibration, labels: int
) -> int:
    """How often the same rule with the same judge and signal found no threshold before, on fewer labels.

    A group may have been tried among the small ones before it had labels enough to be tried by itself.

    Args:
        labels: calibration rows of all groups.
    """
    found = tried.found
    return store.count(
        """WITH try AS (
            SELECT *, sum(n) OVER decision AS labels, bool_or(group_name = $group) OVER decision AS by_itself
            FROM calibration
            WHERE judge_id = $judge AND score = $score AND guarantee = $guarantee AND alpha = $alpha AND delta = $delta
              AND group_by IS NOT DISTINCT FROM $group_by
            WINDOW decision AS (PARTITION BY calibration_id)
        )
        SELECT count(DISTINCT (group_name IS NULL, n)) FROM try
        WHERE threshold IS NULL AND n > 0
          AND CASE WHEN group_name IS NOT DISTINCT FROM $group THEN n < $n
                   ELSE group_name IS NULL AND NOT coalesce(by_itself, false) AND labels < $labels END""",
        {
            "judge": judge_id, "score": score, "guarantee": found.guarantee.value, "alpha": str(found.alpha),
            "delta": str(found.delta), "group_by": group_by, "group": tried.name, "n": found.n, "labels": labels,
        },
    )  # fmt: skip
