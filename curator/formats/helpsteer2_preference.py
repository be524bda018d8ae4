"""HelpSteer2's preferences: `response_1`, `response_2` and `preference_strength`, -3 to 3, below 0 for the first."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from curator.formats.base import At, BadRow, Format, rest
from curator.formats.transcripts import tagged
from curator.pair import Pair, Verdict, Vote


def signed_vote(strength: float, annotator: str | None = None) -> Vote:
    """What a preference says that is below 0 for the first response, 0 for neither and above 0 for the second."""
    verdict = Verdict.A if strength < 0 else Verdict.B if strength > 0 else Verdict.TIE
    return Vote(verdict, annotator, abs(float(strength)))


def _convert(row: Mapping[str, Any], at: At) -> Pair:
    if row["response_1"] == row["response_2"]:
        raise BadRow("response_2", "is identical to response_1: there is nothing to prefer")
    strength = row["preference_strength"]
    return Pair(
        prompt=tagged(row["prompt"]),
        response_a=row["response_1"],
        response_b=row["response_2"],
        votes=() if strength is None else (signed_vote(strength),),
        metadata=rest(row, "prompt", "response_1", "response_2", "preference_strength"),
        file=at.file,
        line=at.line,
    )


FORMAT = Format(
    "helpsteer2_preference",
    "helpsteer2_preference",
    frozenset({"prompt", "response_1", "response_2", "preference_strength"}),
    _convert,
)
