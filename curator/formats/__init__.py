"""Raw formats: one module each, found by the fields a row has.

A format module offers `FORMAT`. To add one, write its module and its schema, and name it in `FORMATS`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from curator.errors import InputError
from curator.formats import (
    alpaca_eval,
    argilla,
    canonical,
    chatbot_arena,
    chosen_rejected,
    curated,
    helpsteer2_preference,
    helpsteer2_ratings,
    helpsteer3,
    hh_rlhf,
    jung,
    kaggle_arena,
    model_outputs,
    mt_bench,
    mt_bench_pairs,
    nectar,
    pandalm,
    pku_saferlhf,
    responses,
    rewardbench,
    rewardbench2,
    sharegpt,
    shp,
    skywork,
    ultrafeedback,
    ultrafeedback_binarized,
    webgpt,
)
from curator.formats.base import Format
from curator.progress import one_line

_MODULES = (
    canonical,
    chosen_rejected,
    curated,
    sharegpt,
    hh_rlhf,
    ultrafeedback_binarized,
    argilla,
    skywork,
    rewardbench,
    rewardbench2,
    pku_saferlhf,
    helpsteer2_preference,
    helpsteer3,
    responses,
    model_outputs,
    ultrafeedback,
    nectar,
    helpsteer2_ratings,
    chatbot_arena,
    kaggle_arena,
    mt_bench,
    mt_bench_pairs,
    webgpt,
    shp,
    alpaca_eval,
    jung,
    pandalm,
)

FORMATS: dict[str, Format] = {module.FORMAT.name: module.FORMAT for module in _MODULES}


class UnknownFormat(InputError):
    """A row has the fields of no format."""


def detect(row: Mapping[str, Any], file: str) -> Format:
    """The one format that a row is of, by its fields and, where these are not enough, their values.

    Raises:
        UnknownFormat: none fits.
        InputError: more than one does.
    """
    keys = frozenset(row)
    known_by = {entry.name: entry.known_by(keys) for entry in FORMATS.values()}
    found = {name: fields for name, fields in known_by.items() if fields is not None and FORMATS[name].fits(row)}
    # A format whose fields are some of another's is not meant where all of the other's are there.
    fitting = [FORMATS[name] for name, fields in found.items() if not any(fields < other for other in found.values())]
    if len(fitting) == 1:
        return fitting[0]
    shown = ", ".join(one_line(key, 40) for key in sorted(keys)[:20]) or "none"
    if not fitting:
        heads = any(len(key) > 40 for key in keys)
        hint = "Is the first row data? A table's first row has the names of its columns. " if heads else ""
        raise UnknownFormat(f"{file}: no known format has the fields {shown}. {hint}{_nearest(keys)}")
    names = " and ".join(entry.name for entry in fitting)
    raise InputError(f"{file}: the fields {shown} fit {names}; say which with --input-format")


def _nearest(keys: frozenset[str]) -> str:
    """What there is, and what a row lacks of the format of which it has most."""
    known = f"Formats: {', '.join(FORMATS)}; or say with --map which field is which"
    sets = [(entry.name, fields) for entry in FORMATS.values() for fields in (entry.required, *entry.also)]
    name, fields = max(sets, key=lambda one: len(one[1] & keys) / len(one[1]))
    lacks = ", ".join(sorted(fields - keys))
    return f"The nearest, {name}, also needs {lacks}. {known}" if lacks and fields & keys else known
