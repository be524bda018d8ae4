"""RewardBench 2: lists of right (`chosen`) and wrong (`rejected`) answers; its subset Ties has several right ones.

Two right answers are not compared: that both are right does not say that people like them equally well.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from curator.formats.base import At, Format, conversation, rest, source_id
from curator.pair import Candidates, Response


def _convert(row: Mapping[str, Any], at: At) -> Candidates:
    right = tuple(Response(text, score=1.0) for text in row["chosen"])
    wrong = tuple(Response(text, score=0.0) for text in row["rejected"])
    return Candidates(
        prompt=conversation(row["prompt"]),
        responses=right + wrong,
        source_id=source_id(row),
        ties=False,
        metadata=rest(row, "id", "prompt", "chosen", "rejected"),
        file=at.file,
        line=at.line,
    )


FORMAT = Format("rewardbench2", "rewardbench2", frozenset({"prompt", "chosen", "rejected", "num_correct"}), _convert)
