"""Human judgments of MT-bench: several experts and authors on the answers of two models to one question.

`turn` says which of the two answers was judged. The first answers share their prompt. Before the second answers stand
the models' own first ones: where these differ, as they nearly always do, no prompt is answered by both, and to train on
such a pair would teach a model to prefer an answer to another conversation. Such rows are rejects.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import islice
from typing import Any

from curator.formats.base import At, BadRow, Format
from curator.formats.chatbot_arena import REQUIRED, battle
from curator.formats.sides import number, turns
from curator.pair import Message, Pair, content_id

_PEOPLE = ("expert", "author")

_OTHER = {
    "conversation_a": "conversation_b", "conversation_b": "conversation_a", "model_a": "model_b", "model_b": "model_a",
}  # fmt: skip


def _convert(row: Mapping[str, Any], at: At) -> Pair:
    if not _is_person(row["judge"]):
        raise BadRow("judge", "is neither an expert nor an author: what a model judged is for --judgments")
    turn = number(row, "turn")
    if turn not in {1, 2}:
        raise BadRow("turn", "must be 1 or 2")
    a, b = (_until(int(turn), turns(row, field), field) for field in ("conversation_a", "conversation_b"))
    # One comparison stands in the file with its models in either order: a content hash makes one pair of all its rows.
    if content_id(a[-1].content) > content_id(b[-1].content):
        a, b = b, a
        row = {**row, **{name: row[other] for name, other in _OTHER.items()}}
        row["winner"] = _OTHER.get(row["winner"], row["winner"])
    own_id = f"{row['question_id']}-{int(turn)}-{row['model_a']}-{row['model_b']}"
    return battle(row, at, own_id, a, b)


def _until(turn: int, said: tuple[Message, ...], field: str) -> tuple[Message, ...]:
    """A conversation up to an answer of it: who judged the first one saw no second one."""
    places = (place for place, one in enumerate(said) if one.role == "assistant")
    last = next(islice(places, turn - 1, None), None)
    if last is None:
        raise BadRow(field, f"has no answer in turn {turn}")
    return said[: last + 1]


def _is_person(judge: object) -> bool:
    return isinstance(judge, str) and judge.startswith(_PEOPLE)


def _fits(row: Mapping[str, Any]) -> bool:
    """Battles of Chatbot Arena have these fields too, and judges by other names."""
    judge = row["judge"]
    return isinstance(judge, list) or (isinstance(judge, str) and judge.startswith((*_PEOPLE, "gpt")))


FORMAT = Format("mt_bench", "mt_bench", REQUIRED | {"question_id", "judge", "turn"}, _convert, _fits)
