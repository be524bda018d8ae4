"""HelpSteer2's ratings: one row a response, `prompt`, `response` and marks from 0 to 4 that people gave.

`complexity` and `verbosity` are marks too, but more is not better: they are no criteria.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from curator.formats.base import At, Format, rest, score
from curator.formats.transcripts import tagged
from curator.pair import Candidates, Response

_CRITERIA = ("helpfulness", "correctness", "coherence")
_MARKS = (*_CRITERIA, "complexity", "verbosity")


def _convert(row: Mapping[str, Any], at: At) -> Candidates:
    marks = {name: row[name] for name in _MARKS if name in row}
    return Candidates(
        prompt=tagged(row["prompt"]),
        responses=(Response(row["response"], None, score(row[at.criterion or _CRITERIA[0]]), marks),),
        metadata=rest(row, "prompt", "response", *_MARKS),
        file=at.file,
        line=at.line,
    )


FORMAT = Format(
    "helpsteer2_ratings", "helpsteer2_ratings", frozenset({"prompt", "response", *_CRITERIA}), _convert,
    criteria=_CRITERIA, default_criterion=True, gather=True,
)  # fmt: skip
