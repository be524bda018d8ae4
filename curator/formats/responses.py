"""A prompt and a list of responses: `prompt`, `responses`, perhaps `scores` (larger is better) and `id`.

A response is text, or an object of `text` or `content`, perhaps with `model` and `score`; its other fields stay beside
it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from curator.formats.base import At, BadRow, Format, conversation, rest, score, source_id
from curator.pair import Candidates, Response

_RANKING = frozenset({"pair_ids", "n_pairs", "label_source"})
"""Fields of curator's own rankings."""


def _response(said: str | dict[str, Any], given: object) -> Response:
    if isinstance(said, str):
        return Response(said, score=score(given))
    text = "text" if "text" in said else "content"
    own = score(said.get("score"))
    return Response(
        said[text], said.get("model"), score(given) if own is None else own, rest(said, text, "model", "score")
    )


def _convert(row: Mapping[str, Any], at: At) -> Candidates:
    responses, scores, used = row["responses"], row.get("scores"), {"id", "prompt", "responses", "scores"}
    if scores is not None and len(scores) != len(responses):
        raise BadRow("scores", f"are {len(scores)}, for {len(responses)} responses")
    if row.keys() >= _RANKING and row["label_source"] != "human":
        scores, used = None, used - {"scores"}  # a judge's: a threshold set on them would promise agreement with it
    return Candidates(
        prompt=conversation(row["prompt"]),
        responses=tuple(map(_response, responses, scores or [None] * len(responses))),
        source_id=source_id(row),
        metadata=rest(row, *used),
        file=at.file,
        line=at.line,
    )


FORMAT = Format("responses", "responses", frozenset({"prompt", "responses"}), _convert)
