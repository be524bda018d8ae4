"""PKU-SafeRLHF: two responses, and the number (0 or 1) of the better one and of the safer one.

The two criteria often contradict each other, so the user says which one is meant.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from curator.formats.base import At, BadRow, Format, rest
from curator.pair import Message, Pair, Verdict, Vote

_SIDE = (Verdict.A, Verdict.B)


def _convert(row: Mapping[str, Any], at: At) -> Pair:
    if row["response_0"] == row["response_1"]:
        raise BadRow("response_1", "is identical to response_0: there is nothing to prefer")
    said = row[f"{at.criterion}_response_id"]
    return Pair(
        prompt=(Message("user", row["prompt"]),),
        response_a=row["response_0"],
        response_b=row["response_1"],
        votes=() if said is None else (Vote(_SIDE[int(said)]),),
        metadata=rest(row, "prompt", "response_0", "response_1", f"{at.criterion}_response_id"),
        file=at.file,
        line=at.line,
    )


FORMAT = Format(
    "pku_saferlhf",
    "pku_saferlhf",
    frozenset({"prompt", "response_0", "response_1", "better_response_id", "safer_response_id"}),
    _convert,
    criteria=("better", "safer"),
)
