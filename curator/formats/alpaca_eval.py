"""Annotations of AlpacaEval, and the human ones of AlpacaFarm: `preference` is 1, 2 or between.

1.5 is a tie, and so is 0 in old files; null is an annotation that failed, and no label. Between lies what a judge's
probabilities came to: the nearer output is preferred, as strongly as the number is from 1.5.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from curator.formats.base import At, BadRow, Format, conversation, rest
from curator.formats.sides import annotator, by_difference, number
from curator.pair import Pair, Vote

_USED = ("instruction", "output_1", "output_2", "preference")


def instructed(row: Mapping[str, Any]) -> str:
    """An instruction, and below it the input that it is about, where there is one."""
    given = row.get("input")
    return f"{row['instruction']}\n\n{given}" if isinstance(given, str) and given.strip() else str(row["instruction"])


def _convert(row: Mapping[str, Any], at: At) -> Pair:
    a, b = row["output_1"], row["output_2"]
    if a == b:
        raise BadRow("output_2", "is identical to output_1: there is nothing to prefer")
    votes: tuple[Vote, ...] = ()
    if (preference := number(row, "preference")) is not None:
        if preference != 0 and not 1 <= preference <= 2:
            raise BadRow("preference", "must lie between 1 and 2, or be null")
        difference = 1.5 - (preference or 1.5)
        votes = (Vote(by_difference(difference), annotator(row.get("annotator")), abs(difference)),)
    metadata = rest(row, *_USED, "input", "annotator")
    return Pair(conversation(instructed(row)), a, b, votes, None, metadata, at.file, at.line)


FORMAT = Format("alpaca_eval", "alpaca_eval", frozenset(_USED), _convert, labelled_by="a model")
