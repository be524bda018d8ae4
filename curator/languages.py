"""Tells the language of a text, offline."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

UNKNOWN = "und"
"""ISO 639's word for a text of which it cannot be told: too short, or code, or a table."""

_LEAST_SURE = 0.5


def language_of(text: str, most: int = 300) -> str:
    """The ISO 639 code of a text's language, by its first `most` characters.

    >>> language_of("Wie geht es dir heute?"), language_of("ok")
    ('de', 'und')
    """
    return _identify()(text[:most])


@cache
def _identify() -> Callable[[str], str]:
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    found = LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True, min_confidence=_LEAST_SURE)

    def identify(text: str) -> str:
        language: str = found.classify(text.encode("utf-8", "replace").decode())[0]
        return language if language != "zxx" else UNKNOWN

    return identify
