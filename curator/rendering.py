"""Shows hostile text to people in a browser: Markdown and code readable, everything else as plain text. Pure.

What comes out has no links, images, styles, classes or scripts: nothing in it can run, restyle the page or reach the
network, wherever it is shown.
"""

from __future__ import annotations

import html
import re
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from markdown_it import MarkdownIt

MARKDOWN_MOST = 50_000
"""Characters of the longest text that is read as Markdown; a longer one is shown as it is."""

_TAGS = {
    "p", "br", "hr", "h1", "h2", "h3", "h4", "h5", "h6", "strong", "em", "s", "code", "pre", "blockquote", "ul", "ol",
    "li", "table", "thead", "tbody", "tr", "th", "td",
}  # fmt: skip

# Line breaks and tabs are layout. The joiners (U+200C, U+200D) and the plain direction marks are part of how people
# write Persian, Hindi or emoji, and so are the variation selectors (U+FE00 to U+FE0F). Everything else that is not
# seen, letters that are blank among it, or that turns the text around, is marked.
_UNSEEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u034f\u115f\u1160\u17b4\u17b5\u180e\u200b\u2028-\u202e\u2060-\u206f"
    "\u2800\u3164\ufeff\uffa0\ufff0-\ufffb\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
)


def visible(text: str) -> str:
    """The text with a mark in place of each character that is not seen or changes the order of others.

    >>> visible("a\\u202eb\\x1b[31m")
    'a⟨U+202E⟩b⟨U+001B⟩[31m'
    """
    return _UNSEEN.sub(lambda found: f"⟨U+{ord(found[0]):04X}⟩", text.replace("\r\n", "\n").replace("\r", "\n"))


def to_html(text: str) -> str:
    """Markdown as HTML of a few harmless tags without attributes; text that is too long is shown as it is.

    >>> to_html("**so** <b onclick=x>it</b> ![i](http://x)")
    '<p><strong>so</strong> &lt;b onclick=x&gt;it&lt;/b&gt; ![i](http://x)</p>\\n'
    """
    import nh3

    text = visible(text)
    if len(text) > MARKDOWN_MOST:
        return f"<pre>{html.escape(text)}</pre>"
    safe = nh3.clean(_markdown().render(text), tags=_TAGS, attributes={}, url_schemes=set(), link_rel=None)
    return visible(safe)  # once more: Markdown makes characters of &#x202e; and the like


@cache
def _markdown() -> MarkdownIt:
    from markdown_it import MarkdownIt

    # A link or an image stays as it is written: that shows what it is, and loads nothing.
    reader = MarkdownIt("commonmark", {"html": False, "breaks": True}).enable(["table", "strikethrough"])
    return reader.disable(["link", "image", "autolink", "reference", "html_inline", "html_block"])
