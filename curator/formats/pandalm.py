"""The test set of PandaLM: two responses to an instruction, and what each annotator said: 1, 2, or 0 for a tie."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from curator.formats.alpaca_eval import instructed
from curator.formats.base import At, BadRow, Format, conversation, rest, source_id
from curator.formats.sides import number
from curator.pair import Pair, Verdict, Vote

_ANNOTATOR = re.compile(r"annotator[0-9]{1,3}")

_SAID = {0: Verdict.TIE, 1: Verdict.A, 2: Verdict.B}


def _convert(row: Mapping[str, Any], at: At) -> Pair:
    a, b = row["response1"], row["response2"]
    if a == b:
        raise BadRow("response2", "is identical to response1: there is nothing to prefer")
    people = [field for field in row if _ANNOTATOR.fullmatch(field)]
    votes = []
    for name in people:
        said = number(row, name)
        if said is not None and said not in _SAID:
            raise BadRow(name, "must be 1, 2 or 0 (a tie)")
        if said is not None:
            votes.append(Vote(_SAID[int(said)], name))
    metadata = rest(row, "idx", "instruction", "input", "response1", "response2", *people)
    own_id = source_id(row, "idx")
    return Pair(conversation(instructed(row)), a, b, tuple(votes), own_id, metadata, at.file, at.line)


FORMAT = Format("pandalm", "pandalm", frozenset({"instruction", "response1", "response2", "annotator1"}), _convert)
