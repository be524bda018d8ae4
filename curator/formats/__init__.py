"""Raw formats: one module each, found by the fields a row has.

A format module offers `FORMAT`. To add one, write its module and its schema, and name it in `FORMATS`.
"""

from __future__ import annotations

from curator.errors import InputError
from curator.formats import canonical, chosen_rejected
from curator.formats.base import Format

FORMATS: dict[str, Format] = {module.FORMAT.name: module.FORMAT for module in (canonical, chosen_rejected)}


class UnknownFormat(InputError):
    """A row has the fields of no format."""


def detect(keys: frozenset[str], file: str) -> Format:
    """The one format whose fields are all among `keys`.

    Raises:
        InputError: none fits, or more than one does.
    """
    fitting = [entry for entry in FORMATS.values() if entry.required <= keys]
    if len(fitting) == 1:
        return fitting[0]
    known = "; ".join(f"{entry.name} ({', '.join(sorted(entry.required))})" for entry in FORMATS.values())
    shown = ", ".join(sorted(keys)[:20]) or "none"
    if not fitting:
        raise UnknownFormat(f"{file}: no known format has the fields {shown}. Formats: {known}")
    names = " and ".join(entry.name for entry in fitting)
    raise InputError(f"{file}: the fields {shown} fit {names}; say which with --input-format")
