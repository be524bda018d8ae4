"""Reads the rows of the training data set."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from curator.options import Wanted
from curator.pair import content_id
from curator.prompts import prompt_from_json
from curator.softening import Softening
from curator.store.connection import Store
from curator.store.filters import matching, parse_condition
from curator.store.softening import SOFT

_SAID = """
    SELECT pair.rowid AS place, pair_id, prompt_id, coalesce(l.verdict, d.label) AS verdict,
           l.verdict IS NOT NULL AS human
    FROM input LEFT JOIN (SELECT pair_id, verdict FROM label WHERE verdict <> 'skip') l USING (pair_id)
         LEFT JOIN (SELECT pair_id, label FROM decision WHERE label IS NOT NULL) d USING (pair_id)
         JOIN pair USING (pair_id)
    WHERE role = 'pool' AND coalesce(l.verdict, d.label) IS NOT NULL
"""
"""What is said of each pair: people's verdicts first of all, then accepted auto labels."""

_TWINS = """
    WITH shared AS (SELECT prompt_id FROM said GROUP BY prompt_id HAVING count(*) > 1), keyed AS (
        SELECT said.*, md5_number(response_a) AS a, md5_number(response_b) AS b
        FROM said SEMI JOIN shared USING (prompt_id) JOIN pair USING (pair_id)
    ), twin AS (
        SELECT place, human, least(a, b) AS low, greatest(a, b) AS high, prompt_id,
               CASE verdict WHEN 'a' THEN a WHEN 'b' THEN b ELSE 0 END AS winner,
               bool_or(human) OVER (PARTITION BY prompt_id, low, high) AS asked
        FROM keyed QUALIFY count(*) OVER (PARTITION BY prompt_id, low, high) > 1
    )
    SELECT place, winners > 1 AS contradicts FROM (
        SELECT place, count(DISTINCT winner) FILTER (human = asked) OVER same AS winners,
               row_number() OVER (PARTITION BY prompt_id, low, high ORDER BY human DESC, place) AS number
        FROM twin WINDOW same AS (PARTITION BY prompt_id, low, high)
    ) WHERE winners > 1 OR number > 1
"""
"""Of pairs with the same prompt and the same two responses on swapped sides: those that are not to be examples.

The first stays, or the first that people said something of; where these contradict each other, none."""


UNKNOWN_STRENGTH = "of unknown strength"
"""Why examples are left out of which neither the raw file nor `p_target` says how strong the preference is."""

_STRENGTH = "coalesce(strength, ln(p_target / (1 - p_target)))"


@dataclass(frozen=True, slots=True)
class Examples:
    """What will be exported.

    Attributes:
        tools, rationale: whether any example has a list of tools, or a judge's reason.
        left_out: labelled pairs that are no examples, by reason.
        every: examples that there would be if none were chosen.
        chosen: by what they were chosen, in words.
    """

    tools: bool
    rationale: bool
    left_out: dict[str, int]
    every: int
    chosen: tuple[str, ...] = ()


def examples(store: Store, wanted: Wanted, soft: Softening | None = None) -> Examples:
    """Make the table `exported`: every pair that goes into an export, without its texts.

    Args:
        soft: makes the judge's log-odds calibrated ones; None, or without a slope: nothing does.
    """
    left_out = _said(store)
    store.rows(
        f"""CREATE OR REPLACE TEMP TABLE exported AS
        WITH voted AS (
            SELECT pair_id, count(*) AS votes,
                   count(*) FILTER (verdict = 'a') AS a, count(*) FILTER (verdict = 'b') AS b,
                   list_sort(list(strength) FILTER (verdict = 'a' AND strength IS NOT NULL)) AS strength_a,
                   list_sort(list(strength) FILTER (verdict = 'b' AND strength IS NOT NULL)) AS strength_b
            FROM last_word WHERE verdict <> 'skip' GROUP BY pair_id
        ), reason AS (
            SELECT pair_id, label, arg_max(rationale, (recorded_at, writer)) AS rationale FROM rationale GROUP BY ALL
        )
        SELECT place, pair_id, prompt_id, verdict, verdict = 'a' AS a_chosen,
               if(human, 'human', 'auto') AS label_source,
               if(verdict = 'a', s.p_a, s.p_b) AS p_chosen, s.bpe,
               if(human, ((if(verdict = 'a', a, b) + (votes - a - b) / 2) + 0.5) / (votes + 1),
                         {SOFT}) AS p_target,
               list_avg(if(verdict = 'a', strength_a, strength_b)) AS strength, rationale
        FROM said LEFT JOIN score s USING (pair_id) LEFT JOIN voted USING (pair_id)
             LEFT JOIN (SELECT pair_id, label AS verdict, rationale FROM reason) USING (pair_id, verdict)
        WHERE verdict IN ('a', 'b') ORDER BY place""",
        {"slope": soft and soft.slope, "largest": soft and soft.largest},
    )
    every = store.count("SELECT count(*) FROM exported")
    chosen: list[str] = []
    if wanted.where is not None:
        condition = parse_condition(store, wanted.where)
        matching(store, condition)
        left_out |= _leave_out(store, "not where the condition holds", f"NOT ({condition.sql})")
        chosen.append(f"where {wanted.where}")
    if wanted.only is not None:
        left_out |= _leave_out(store, f"not {wanted.only}", f"label_source <> '{wanted.only}'")
        chosen.append(f"only {wanted.only} labels")
    if wanted.min_strength:
        chosen.append(_in_units(store, wanted.min_strength))
        left_out |= _leave_out(store, UNKNOWN_STRENGTH, f"{_STRENGTH} IS NULL")
        left_out |= _leave_out(store, "weak", f"{_STRENGTH} < {float(wanted.min_strength)!r}::DOUBLE")
    tools = store.count(
        """SELECT count(*) FROM pair SEMI JOIN exported USING (pair_id)
        WHERE contains(metadata, '"tools"') AND json_type(metadata, '$.tools') = 'ARRAY'"""
    )
    rationale = store.count("SELECT count(*) FROM exported WHERE rationale IS NOT NULL")
    return Examples(tools > 0, rationale > 0, left_out, every, tuple(chosen))


def _in_units(store: Store, least: float) -> str:
    """What a least strength means here: a strength in the unit of a raw file and log-odds are two scales."""
    stated, odds = store.one(
        f"""SELECT count(strength), count({_STRENGTH}) - count(strength)
        FROM exported"""
    )
    units = [f"{stated:,} by the strength that the raw file states, in its unit"] if stated else []
    units += [f"{odds:,} by the log-odds of p_target"] if odds else []
    scales = " (two scales)" if len(units) == 2 else ""
    return f"strength at least {least:g}, of which {' and '.join(units) or 'nothing is known'}{scales}"


def dataset_counts(store: Store) -> dict[str, int]:
    """Rows of the whole data set by label source."""
    _said(store)
    human, rows = store.one("SELECT count(*) FILTER (human), count(*) FROM said WHERE verdict IN ('a', 'b')")
    return {"auto": rows - human, "human": human}


def _said(store: Store) -> dict[str, int]:
    """Make the table `said`, in which no two responses to a prompt stand twice; how many are no examples, by reason."""
    store.rows(f"CREATE OR REPLACE TEMP TABLE said AS {_SAID}")
    store.rows(f"CREATE OR REPLACE TEMP TABLE twin AS {_TWINS}")
    contradicting, twins = store.one("SELECT count(*) FILTER (contradicts), count(*) FROM twin")
    if twins:
        store.rows("DELETE FROM said WHERE place IN (SELECT place FROM twin)")
    equal = store.count("SELECT count(*) FROM said WHERE verdict NOT IN ('a', 'b')")
    found = {
        "contradict each other": contradicting, "same responses again": twins - contradicting, "called equal": equal,
    }  # fmt: skip
    return {reason: count for reason, count in found.items() if count}


def _leave_out(store: Store, reason: str, condition: str) -> dict[str, int]:
    count = store.count(f"SELECT count(*) FROM exported WHERE {condition}")
    if count:
        store.rows(f"DELETE FROM exported WHERE {condition}")
    return {reason: count} if count else {}


def dataset(store: Store, found: Examples, test: float = 0.0, batch: int = 10_000) -> Iterator[pa.RecordBatch]:
    """The rows of the table `exported`, in the order in which the store came to know the pairs.

    Nothing that holds text is sorted or joined: the texts are read once from end to end, and what was decided about
    them, in the same order, beside them.

    Args:
        test: share of the prompts whose rows are of the split "test".

    Yields:
        Batches with prompt (messages of role, content, and more: a JSON object of other fields, or null), response_a,
        response_b, metadata (a JSON object), tools (a JSON list, or null), file, line, the columns of `exported`,
        and split.
    """
    first, last = store.one("SELECT coalesce(min(place), 0), coalesce(max(place), -1) FROM exported")
    tools = """if(json_type(metadata, '$.tools') = 'ARRAY', metadata->'$.tools', NULL)::VARCHAR"""
    texts = store.stream(
        f"""SELECT rowid AS place, prompt,
                   json_transform(prompt, '[{{"role": "VARCHAR", "content": "VARCHAR"}}]') AS messages,
                   response_a, response_b, metadata, {tools if found.tools else "NULL::VARCHAR"} AS tools, file, line
        FROM pair WHERE rowid BETWEEN {first:d} AND {last:d}""",
        batch,
    )
    seed = store.seed
    for rows in texts:
        places = rows["place"].to_numpy()
        if not places.size:
            continue
        decided = store.arrow(
            "SELECT * FROM exported WHERE place BETWEEN ? AND ? ORDER BY place", [int(places[0]), int(places[-1])]
        ).combine_chunks()
        kept = rows.take(pa.array(np.searchsorted(places, decided["place"].to_numpy())))
        columns = {name: decided[name].combine_chunks() for name in decided.column_names if name != "place"}
        columns |= {name: kept[name] for name in ("response_a", "response_b", "metadata", "tools", "file", "line")}
        columns["prompt"] = _with_more(kept["prompt"], kept["messages"])
        columns["split"] = _split(kept["messages"], seed, test)
        yield pa.record_batch(columns)


def _with_more(text: pa.Array, messages: pa.ListArray) -> pa.ListArray:
    """Messages with all their fields. A quotation mark inside JSON text has a backslash before it: `", "` stands once
    in a message of role and content, and more often in one that has more."""
    offsets: NDArray[np.int32] = messages.offsets.to_numpy() - messages.offsets[0].as_py()
    flat = messages.flatten()
    more = pa.nulls(len(flat), pa.string())
    if odd := np.flatnonzero(pc.count_substring(text, '", "').to_numpy() != np.diff(offsets)).tolist():
        fields: list[str | None] = [None] * len(flat)
        for row in odd:
            for place, turn in enumerate(prompt_from_json(text[row].as_py()), offsets[row]):
                fields[place] = turn.more or None
        more = pa.array(fields, pa.string())
    turns = pa.StructArray.from_arrays([flat.field(0), flat.field(1), more], ["role", "content", "more"])
    return pa.ListArray.from_arrays(pa.array(offsets), turns)


def _split(messages: pa.ListArray, seed: str, share: float) -> pa.Array:
    """Train or test, by a hash of the prompt; prompts that differ in case and white space only go the same way."""
    if not share:
        return pa.repeat("train", len(messages))
    names = []
    for prompt in messages.to_pylist():
        texts = [" ".join(text.casefold().split()) for turn in prompt for text in (turn["role"], turn["content"])]
        digest = hashlib.md5(f"{content_id(*texts)}{seed}split".encode(), usedforsecurity=False).digest()
        names.append("test" if int.from_bytes(digest[:8], "big") < share * 2**64 else "train")
    return pa.array(names, pa.string())
