"""UltraFeedback as openbmb publishes it: `instruction`, and `completions` that GPT-4 rated.

The criterion `overall` is `overall_score`, the mark (1 to 10) of a critique of the whole response; `fine-grained` is
the mean of the four aspects, each of which is a criterion too. Argilla found marks of 10 among the overall ones whose
critiques say 1.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from curator.formats.base import At, Format, conversation, rest, score
from curator.pair import Candidates, Response

_FIELDS = {"overall": "overall_score", "fine-grained": "fine-grained_score"}
_ASPECTS = ("helpfulness", "honesty", "instruction_following", "truthfulness")


def _score(completion: Mapping[str, Any], criterion: str) -> float | None:
    if criterion in _FIELDS:
        return score(completion.get(_FIELDS[criterion]))
    try:
        return score(float(completion["annotations"][criterion]["Rating"]))
    except (KeyError, TypeError, ValueError):  # "N/A", or not rated by this aspect
        return None


def _convert(row: Mapping[str, Any], at: At) -> Candidates:
    criterion = at.criterion or "overall"
    return Candidates(
        prompt=conversation(row["instruction"], "instruction"),
        responses=tuple(
            Response(one["response"], one.get("model"), _score(one, criterion), rest(one, "response", "model"))
            for one in row["completions"]
        ),
        metadata=rest(row, "instruction", "completions"),
        file=at.file,
        line=at.line,
    )


FORMAT = Format(
    "ultrafeedback", "ultrafeedback", frozenset({"instruction", "completions"}), _convert,
    criteria=(*_FIELDS, *_ASPECTS), default_criterion=True, labelled_by="a model",
)  # fmt: skip
