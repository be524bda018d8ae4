"""Names of people, which come from files and forms of others. Pure."""

from __future__ import annotations

import unicodedata

NAME_MOST = 100
"""Characters of the longest name of an annotator."""

_LOOKED = 10 * NAME_MOST


def annotator_name(name: str) -> str:
    """A name as it is stored, wherever it comes from: one line, no control characters, no spaces at its ends, not long.

    >>> annotator_name("  Anna\\t\\u202e Lee ")
    'Anna Lee'
    """
    name = unicodedata.normalize("NFC", name[:_LOOKED])  # takes the square of the marks on one letter
    kept = "".join(c if c.isprintable() else " " for c in name)
    return " ".join(kept.split())[:NAME_MOST].strip()
