"""Raw formats: one module each, found by the fields a row has.

A format module offers `FORMAT`. To add one, write its module and its schema, and name it in `FORMATS`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from curator.errors import InputError
from curator.formats import (
    alpaca_eval,
    canonical,
    chatbot_arena,
    chosen_rejected,
    jung,
    kaggle_arena,
    mt_bench,
    mt_bench_pairs,
    pandalm,
    shp,
    webgpt,
)
from curator.formats.base import Format

_MODULES = (
    canonical, chosen_rejected, chatbot_arena, kaggle_arena, mt_bench, mt_bench_pairs, webgpt, shp, alpaca_eval, jung,
    pandalm,
)  # fmt: skip

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
    fitting = [entry for entry in FORMATS.values() if entry.required <= keys and entry.fits(row)]
    # A format whose fields are some of another's is not meant where all of the other's are there.
    fitting = [one for one in fitting if not any(one.required < other.required for other in fitting)]
    if len(fitting) == 1:
        return fitting[0]
    known = "; ".join(f"{entry.name} ({', '.join(sorted(entry.required))})" for entry in FORMATS.values())
    shown = ", ".join(sorted(keys)[:20]) or "none"
    if not fitting:
        raise UnknownFormat(f"{file}: no known format has the fields {shown}. Formats: {known}")
    names = " and ".join(entry.name for entry in fitting)
    raise InputError(f"{file}: the fields {shown} fit {names}; say which with --input-format")
