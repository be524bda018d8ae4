"""What is unseen in a text is shown, and what people write with stays."""

from __future__ import annotations

import pytest

from curator.annotation.sheet import cell
from curator.rendering import to_html, visible

UNSEEN = (
    0x00, 0x1B, 0xAD, 0x034F, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x200B, 0x202E, 0x2800, 0x3164, 0xFEFF, 0xFFA0, 0x1D173,
    0xE0041, 0xE0100, 0xE01EF,
)  # fmt: skip


@pytest.mark.parametrize("code", UNSEEN, ids="{:04X}".format)
def test_what_is_not_seen_is_marked(code: int) -> None:
    text, marked = f"a{chr(code)}b", f"a⟨U+{code:04X}⟩b"
    assert visible(text) == cell(text) == marked
    assert to_html(text) == f"<p>{marked}</p>\n"
    if code > 0x1F:  # HTML has no references to those
        assert to_html(f"a&#{code};b") == f"<p>{marked}</p>\n"


@pytest.mark.parametrize(
    "text", ["\u0645\u06cc\u200c\u062e", "\U0001f468\u200d\U0001f469", "\u2764\ufe0f", "\ud55c\uae00", "\u2803\u2801"]
)
def test_what_people_write_with_stays(text: str) -> None:
    assert visible(text) == text
    assert to_html(text) == f"<p>{text}</p>\n"
