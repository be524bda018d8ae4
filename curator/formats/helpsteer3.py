"""HelpSteer3: `context`, `response1`, `response2`, and what several people prefer, -3 to 3, below 0 for the first.

The file does not say who the people are: "annotator 1" is whoever stands first in a row, not one person in all rows.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from curator.formats.base import At, BadRow, Format, conversation, rest
from curator.formats.helpsteer2_preference import signed_vote
from curator.pair import Pair, Vote


def _votes(row: Mapping[str, Any]) -> tuple[Vote, ...]:
    """One a person; where nobody is listed, what the file says of all of them."""
    scores = [one["score"] for one in row.get("individual_preference") or ()]
    votes = [signed_vote(score, f"annotator {n}") for n, score in enumerate(scores, 1) if score is not None]
    overall = row["overall_preference"]
    return tuple(votes) or (() if overall is None else (signed_vote(overall),))


def _convert(row: Mapping[str, Any], at: At) -> Pair:
    if row["response1"] == row["response2"]:
        raise BadRow("response2", "is identical to response1: there is nothing to prefer")
    return Pair(
        prompt=conversation(row["context"], "context"),
        response_a=row["response1"],
        response_b=row["response2"],
        votes=_votes(row),
        metadata=rest(row, "context", "response1", "response2"),
        file=at.file,
        line=at.line,
    )


FORMAT = Format(
    "helpsteer3", "helpsteer3", frozenset({"context", "response1", "response2", "overall_preference"}), _convert
)
