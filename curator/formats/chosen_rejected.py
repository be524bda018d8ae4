"""Rows that already say which response was chosen, as trainers read them: `chosen`, `rejected` and mostly `prompt`.

Both are text, one message of the assistant, or a transcript. The prompt may also be `question`, `input`, or
`instruction` with `input` and `history`, as LLaMA-Factory has it; where there is none, it is what both begin with.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from curator.formats.base import At, BadRow, Format, ranked_pair, rest, source_id
from curator.formats.transcripts import Answers, Turns, answers, split_text
from curator.pair import Pair

_ROLES = ("user", "assistant")
_PROMPTS = ("prompt", "instruction", "question", "input")


def _prompt(row: Mapping[str, Any]) -> tuple[Turns | None, tuple[str, ...]]:
    """The prompt, and the fields that it comes from."""
    name = next((name for name in _PROMPTS if row.get(name) is not None), None)
    if name is None:
        return None, ()
    prompt = row[name]
    if name == "prompt":
        return prompt, (name,)
    if not isinstance(prompt, str):
        raise BadRow(name, "is not text")
    if name != "instruction":
        return prompt, (name,)
    more, before = row.get("input"), row.get("history")
    if more and isinstance(more, str):
        prompt = f"{prompt}\n{more}"
    return _after(before, prompt) if before else prompt, (name, "input", "history")


def _after(history: Any, prompt: str) -> list[dict[str, str]]:
    """A prompt with the questions and answers before it."""
    exchanges = history if isinstance(history, list) else [history]
    if not all(isinstance(two, list) and len(two) == 2 and {*map(type, two)} == {str} for two in exchanges):
        raise BadRow("history", "is not a list of a question and its answer each")
    turns = [{"role": role, "content": text} for two in exchanges for role, text in zip(_ROLES, two, strict=True)]
    return [*turns, {"role": "user", "content": prompt}]


def _read(row: Mapping[str, Any], prompt: Turns | None, field: str) -> Answers:
    one, other = row["chosen"], row["rejected"]
    if prompt is None and isinstance(one, str) and isinstance(other, str) and not row.get("system"):
        return split_text(one, other)
    return answers(prompt, one, other, prompt_field=field, system=row.get("system"))


def number(row: Mapping[str, Any], field: str) -> float | None:
    """A number of a row; None where there is none (Parquet holds NaN for that).

    Raises:
        BadRow: it is something else.
    """
    value = row.get(field)
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or math.isinf(value):
        raise BadRow(field, "is not a number")
    return float(value)


def convert(row: Mapping[str, Any], at: At, scores: tuple[str, str] | None = None) -> Pair:
    """The pair of a row that matches `chosen_rejected.schema.json`.

    Args:
        scores: fields with the scores of the chosen and the rejected response. Equal ones are a tie; where both are
            missing, nothing is said. None: `margin`, if there is one, says how much better the chosen one is.
    """
    prompt, fields = _prompt(row)
    read = _read(row, prompt, fields[0] if fields else "chosen")
    used = {"id", "chosen", "rejected", "system", *fields}
    if row.get("messages") is not None and row["messages"] in (row["chosen"], row["rejected"]):
        used.add("messages")  # a copy, for another kind of training
    tie, unknown, strength = False, False, None
    if scores is None:
        if (strength := number(row, "margin")) is not None and strength < 0:
            raise BadRow("margin", "is below 0, which says that the rejected response is the better one")
    else:
        high, low = number(row, scores[0]), number(row, scores[1])
        unknown = high is None or low is None
        if high is not None and low is not None:
            if high < low:
                raise BadRow(scores[0], f"is less than {scores[1]}: they contradict chosen and rejected")
            tie, strength = high == low, high - low
    pair = ranked_pair(
        read.prompt,
        read.one,
        read.other,
        at=at,
        source_id=source_id(row),
        metadata=rest(row, *used) | read.more,
        strength=strength,
        tie=tie,
    )
    return replace(pair, votes=()) if unknown else pair


def is_human_assistant(value: object) -> bool:
    """Whether a text is a transcript of HH-RLHF's kind."""
    return isinstance(value, str) and value.lstrip().startswith("Human:")


_OWN = frozenset({"id", "chosen", "rejected", "margin", "images", "image", "tools", "chat_template_kwargs"})


def _fits(row: Mapping[str, Any]) -> bool:
    if any(row.get(name) is not None for name in _PROMPTS):
        return True
    if isinstance(row["chosen"], str) or isinstance(row["rejected"], str):
        # Of what two texts share, only rows that can hold no other prompt are taken at their word.
        return row.keys() <= _OWN and not is_human_assistant(row["chosen"])
    return True


def key_sets(*fields: str) -> tuple[frozenset[str], ...]:
    """The sets of fields by which rows with `chosen`, `rejected` and these are recognised, with each kind of prompt."""
    return tuple(frozenset({"chosen", "rejected", *fields, *prompt}) for prompt in (("prompt",), (), *_OTHERS))


_OTHERS = (("instruction",), ("question",), ("input",))

_SETS = key_sets()
FORMAT = Format("chosen_rejected", "chosen_rejected", _SETS[0], convert, _fits, also=_SETS[1:])
