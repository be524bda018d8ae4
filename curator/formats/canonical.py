"""curator's own format: `prompt`, `response_a`, `response_b`, perhaps `id`, and `label` or `votes`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from curator.formats.base import At, BadRow, Format, conversation, rest, source_id
from curator.formats.sides import annotator
from curator.pair import Pair, Verdict, Vote

_VERDICTS = frozenset(Verdict)


def _convert(row: Mapping[str, Any], at: At) -> Pair:
    if row["response_a"] == row["response_b"]:
        raise BadRow("response_b", "is identical to response_a: there is nothing to prefer")
    votes, used = _votes(row)
    return Pair(
        prompt=conversation(row["prompt"]),
        response_a=row["response_a"],
        response_b=row["response_b"],
        votes=votes,
        source_id=source_id(row),
        metadata=rest(row, "id", "prompt", "response_a", "response_b", used),
        file=at.file,
        line=at.line,
    )


def _votes(row: Mapping[str, Any]) -> tuple[tuple[Vote, ...], str]:
    """The votes of a row, and the field that they come from: the label is what somebody made of them, and no other one.

    A label of null says that the row is to be taken as unlabelled: its votes are kept as they are, and not used.
    """
    label = row.get("label")
    if label is None and "label" in row:
        return (), "label"
    for field in ("votes", "annotators"):
        if field in row and (votes := _said(row, field)):
            return votes, field
    return (() if label is None else (Vote(Verdict(label)),)), "label"


def _said(row: Mapping[str, Any], field: str) -> tuple[Vote, ...]:
    listed = row[field]
    if not isinstance(listed, list | dict) or (field == "annotators" and not _are_verdicts(listed)):
        return ()
    if isinstance(listed, dict):
        listed = [{"annotator": name, "label": said} for name, said in listed.items()]
    votes = [one if isinstance(one, dict) else {"label": one} for one in listed]
    return tuple(
        Vote(Verdict(one["label"]), annotator(one.get("annotator")), one.get("strength"))
        for one in votes
        if one["label"] is not None
    )


def _are_verdicts(listed: list[Any] | dict[str, Any]) -> bool:
    """Whether a field that may be anything holds verdicts.

    Raises:
        BadRow: some are and some are not.
    """
    said = [one for one in (listed.values() if isinstance(listed, dict) else listed) if one is not None]
    verdicts = sum(isinstance(one, str) and one in _VERDICTS for one in said)
    if 0 < verdicts < len(said):
        raise BadRow("annotators", "holds verdicts and other things: write what people said in votes")
    return verdicts > 0


FORMAT = Format("pair", "pair", frozenset({"prompt", "response_a", "response_b"}), _convert)
