"""A table of the user's own: `--map` says which of its fields are prompt, responses and label."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from curator.errors import InputError
from curator.files import Row
from curator.formats.base import At, BadRow, Format, ranked_pair, rest, source_id
from curator.formats.transcripts import answers
from curator.names import annotator_name
from curator.options import Reading
from curator.pair import Pair, Verdict, Vote
from curator.resources import first_error

NAMES = ("id", "prompt", "system", "a", "b", "label", "chosen", "rejected", "annotator", "strength")

LOOKED = 100
"""Rows without a field that every row needs, after which none is expected to have it."""

_WORDS = {
    "a": Verdict.A, "model_a": Verdict.A, "left": Verdict.A,
    "b": Verdict.B, "model_b": Verdict.B, "right": Verdict.B,
    "tie": Verdict.TIE, "both_bad": Verdict.BOTH_BAD, "tie (bothbad)": Verdict.BOTH_BAD, "skip": Verdict.SKIP,
}  # fmt: skip
"""Labels that mean the same everywhere, in small letters."""

_NUMBER = re.compile(r"\s*[-+]?\d+(\.\d*)?\s*|\s*(true|false)\s*", re.IGNORECASE)
_ABSENT = object()
_INDEX = re.compile(r"-?\d{1,9}")


def at_path(row: Mapping[str, Any], path: str, absent: object = None) -> Any:
    """A field of a row, by its name or by the way to it: `question.full_text`, `answers.0`; else `absent`.

    >>> at_path({"a.b": 1, "c": [{"d": 2}]}, "a.b"), at_path({"c": [{"d": 2}]}, "c.0.d")
    (1, 2)
    """
    if path in row:
        return row[path]
    value: Any = row
    for step in path.split("."):
        if isinstance(value, Mapping):
            value = value.get(step, absent)
        elif isinstance(value, list) and _INDEX.fullmatch(step) and -len(value) <= int(step) < len(value):
            value = value[int(step)]
        else:
            return absent
    return value


def lacking(row: Mapping[str, Any], paths: frozenset[str]) -> frozenset[str]:
    """Those of some fields that a row does not have."""
    return frozenset(path for path in paths if at_path(row, path, _ABSENT) is _ABSENT)


def required(reading: Reading, absent: frozenset[str], row: Row) -> None:
    """Raises InputError if a field that every row needs is among those that none had so far; `row` is one of them."""
    for name, path in reading.fields:
        if path in absent and name in {"prompt", "a", "b", "chosen", "rejected"}:
            shown = ", ".join(sorted(row.values)[:20]) or "none"
            raise InputError(f"{row.file}: --map {name}={path}: no row has that field; a row has these: {shown}")


def mapped(fields: tuple[tuple[str, str], ...], values: tuple[tuple[str, str], ...]) -> Format:
    """The format that some (name, field) describe, with the verdicts that some values of the label mean.

    Raises:
        InputError: they describe none.
    """
    paths = dict(fields)
    if unknown := [name for name in paths if name not in NAMES]:
        raise InputError(f"--map {unknown[0]}=...: there is no such name; there are: {', '.join(NAMES)}")
    if len(paths) < len(fields):
        raise InputError("--map: a name stands twice, and has one field")
    sides = next((two for two in (("chosen", "rejected"), ("a", "b")) if paths.keys() & set(two)), ("a", "b"))
    if paths.keys() & {"a", "b"} and sides[0] == "chosen":
        raise InputError("--map: name a and b, with a label, or chosen and rejected")
    if missing := [name for name in sides if name not in paths]:
        raise InputError(f"--map: name the field of {missing[0]} too")
    if "label" in paths and sides[0] == "chosen":
        raise InputError("--map label=...: chosen and rejected say already which response is better")
    if "label" not in paths and values:
        raise InputError("--label-value: name the label's field too, with --map label=FIELD")
    verdicts = {value: _verdict(value, meant) for value, meant in values}

    def convert(row: Mapping[str, Any], at: At) -> Pair:
        return _convert(row, at, paths, sides, verdicts)

    return Format("map", "", frozenset(), convert, labelled_by="people")


def _verdict(value: str, meant: str) -> Verdict:
    try:
        return Verdict(meant)
    except ValueError:
        raise InputError(f"--label-value {value}={meant}: a verdict is one of {', '.join(Verdict)}") from None


def _convert(
    row: Mapping[str, Any], at: At, paths: Mapping[str, str], sides: tuple[str, str], verdicts: Mapping[str, Verdict]
) -> Pair:
    got = {name: value for name, path in paths.items() if (value := at_path(row, path)) is not None}
    for name in sides:
        if name not in got:
            raise BadRow(paths[name], "is missing")
    if "prompt" in paths and "prompt" not in got:
        raise BadRow(paths["prompt"], "is missing")
    said = got.pop("label", None)
    if bad := first_error("mapped", got):
        name, _, inside = bad[0].partition(".")
        raise BadRow(".".join(filter(None, (paths.get(name, name), inside))), bad[1])
    names = (paths[sides[0]], paths[sides[1]])
    prompt_field = paths.get("prompt", names[0])
    read = answers(
        got.get("prompt"), got[sides[0]], got[sides[1]], names, prompt_field=prompt_field, system=got.get("system")
    )
    strength = _strength(got["strength"], paths["strength"]) if got.get("strength", "") != "" else None
    who = annotator_name(str(got.get("annotator", ""))) or None
    metadata = rest(row, *paths.values()) | read.more
    own_id = source_id(got)
    if sides[0] == "chosen":
        pair = ranked_pair(
            read.prompt, read.one, read.other, at=at, source_id=own_id, metadata=metadata, strength=strength,
            field=names[1],
        )  # fmt: skip
        return replace(pair, votes=(replace(pair.votes[0], annotator=who),))
    verdict = None if said is None or said == "" else _meaning(said, at, paths["label"], verdicts)
    votes = () if verdict is None else (Vote(verdict, who, strength),)
    return Pair(read.prompt, read.one, read.other, votes, own_id, metadata, at.file, at.line)


def _strength(value: float | str, field: str) -> float:
    try:
        strength = float(value)
    except ValueError:
        strength = -1.0
    if not 0 <= strength < float("inf"):
        raise BadRow(field, "is not a number from 0 up")
    return strength


def _meaning(said: Any, at: At, field: str, verdicts: Mapping[str, Verdict]) -> Verdict:
    """What a label says.

    Raises:
        BadRow: it is none.
        InputError: it is a number, and nobody has said what that means.
    """
    if not isinstance(said, str | int | float):
        raise BadRow(field, "is no label: text or a number is")
    if verdicts:
        for text in (str(said), f"{said:g}" if isinstance(said, float) else str(said).lower()):
            if text in verdicts:
                return verdicts[text]
        raise BadRow(field, "is a value that no --label-value names")
    if not isinstance(said, str) or _NUMBER.fullmatch(said):
        raise InputError(
            f"{at.file}, line {at.line}: {field} is {str(said)[:20].strip()}, which may mean either response (1 is the "
            "first one in SHP and the second one in PKU-SafeRLHF): say what each value means, as in --label-value 1=a "
            "--label-value 0=b"
        )
    verdict = _WORDS.get(said.strip().lower())
    if verdict is None:
        known = ", ".join(_WORDS)
        raise BadRow(field, f"is none of the words {known}: say what its values mean, with --label-value VALUE=VERDICT")
    return verdict
