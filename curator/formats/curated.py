"""curator's own data sets, read back: `chosen`, `rejected`, and by `pair_id` the sides on which they stood.

Only what people said is a label again. What a judge said is kept beside the pair, as `auto_label`: a threshold that was
set on it would promise agreement with a judge.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import orjson

from curator.formats.base import At, BadRow, Format, rest
from curator.formats.chosen_rejected import convert, key_sets, number
from curator.pair import Pair, Verdict

_SETS = key_sets("pair_id", "label_source")[:2]
_TABLE = frozenset({"prompt", "response_a", "response_b", "verdict", "chosen", "rejected", "pair_id", "label_source"})
_OURS = ("response_a", "response_b", "verdict", "prompt_id", "file", "line", "metadata", "tools")


def _unpacked(row: Mapping[str, Any]) -> tuple[Mapping[str, Any], dict[str, Any]]:
    """A row of the forms parquet and jsonl, and its metadata: both have JSON as text where others have objects."""
    try:
        metadata = {**orjson.loads(row.get("metadata") or "{}")}
        turns = row["prompt"]
        if isinstance(turns, list):
            turns = [{**rest(turn, "more"), **orjson.loads(turn.get("more") or "{}")} for turn in turns]
        orjson.dumps([metadata, turns])  # what can be read can be nested deeper than what can be written
        return {**rest(row, *_OURS), "prompt": turns}, metadata
    except (ValueError, TypeError, AttributeError) as error:
        raise BadRow("row", "is no row of the forms parquet or jsonl") from error


def _convert(row: Mapping[str, Any], at: At) -> Pair:
    own: dict[str, Any] = {}
    if row.keys() >= _TABLE:
        row, own = _unpacked(row)
    pair = convert(row, at)
    (vote,) = pair.votes
    if "strength" in row:  # what people said; the margin may be made of what a judge said
        strength = number(row, "strength")
        if strength is not None and strength < 0:
            raise BadRow("strength", "is below 0")
        vote = replace(vote, strength=strength)
    swapped = replace(pair, response_a=pair.response_b, response_b=pair.response_a)
    if row["pair_id"] == swapped.pair_id:
        pair, vote = swapped, replace(vote, verdict=Verdict.B if vote.verdict is Verdict.A else Verdict.A)
    metadata = own | dict(pair.metadata)
    if row["pair_id"] == pair.pair_id:
        del metadata["pair_id"]
    if row["label_source"] == "human":
        return replace(pair, votes=(vote,), metadata=metadata)
    return replace(pair, votes=(), metadata=metadata | {"auto_label": vote.verdict.value})


FORMAT = Format("curated", "chosen_rejected", _SETS[0], _convert, also=(*_SETS[1:], _TABLE))
