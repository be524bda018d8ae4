"""curator's own data sets, read back: `chosen`, `rejected`, and by `pair_id` the sides on which they stood.

Labels that were set by judges come back as those of an annotator of that name, never as a person's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from curator.formats.base import At, BadRow, Format
from curator.formats.chosen_rejected import convert, key_sets, number
from curator.pair import Pair, Verdict

_SETS = key_sets("pair_id", "label_source")[:2]

AUTO = "curator (auto)"
"""The annotator of an auto label."""


def _convert(row: Mapping[str, Any], at: At) -> Pair:
    pair = convert(row, at)
    (vote,) = pair.votes
    if vote.strength is None and (strength := number(row, "strength")) is not None:
        if strength < 0:
            raise BadRow("strength", "is below 0")
        vote = replace(vote, strength=strength)
    vote = replace(vote, annotator=AUTO if row["label_source"] == "auto" else None)
    swapped = replace(pair, response_a=pair.response_b, response_b=pair.response_a)
    if row["pair_id"] == swapped.pair_id:
        pair, vote = swapped, replace(vote, verdict=Verdict.B if vote.verdict is Verdict.A else Verdict.A)
    metadata = dict(pair.metadata)
    if row["pair_id"] == pair.pair_id:
        del metadata["pair_id"]
    return replace(pair, votes=(vote,), metadata=metadata)


FORMAT = Format(
    "curated", "chosen_rejected", _SETS[0], _convert, also=_SETS[1:],
    labelled_by="people, and by judges where label_source is auto",
)  # fmt: skip
