"""The page that people label on: HTML, style and scripts in one text, with nothing to load. Pure string work.

Every text of a pair is hostile. Those that are shown as Markdown go through `curator.rendering`; all others reach the
page as JSON and are put into it as text. Should one get through, the page's policy neither runs it nor lets it style
anything or reach the network.
"""

from __future__ import annotations

import base64
import hashlib
import re
from functools import cache
from importlib.resources import files
from itertools import islice
from typing import Any, Literal

import orjson

from curator.annotation.base import Task
from curator.rendering import to_html, visible

Mode = Literal["file", "server"]
"""Where answers go: into the browser, for a page opened from the disk, or to `curator review`."""

FIRST_VIEW = 20_000
"""Characters of a text that are shown at first; the rest on demand (`whole_text`)."""

DIFF_MOST = 20_000
"""Words of two responses together that are compared; comparing takes time and room of their product."""

_ROLE_MOST = 40

# Scripts without spaces are compared by character.
_NO_SPACES = "\u3040-\u30ff\u3400-\u9fff"
_WORD = re.compile(rf"(?:[{_NO_SPACES}]|[^\W{_NO_SPACES}]+|[^\w\s])\s*")
_HEADING = re.compile(r"<(/?)h([1-6])>")


def page(mode: Mode, boot: Any) -> str:
    """The whole page; `boot` is what its backend starts with, anything that JSON can say."""
    before, after = frame(mode)
    return before + embedded(boot).decode() + after


@cache
def frame(mode: Mode) -> tuple[str, str]:
    """The page up to what its backend starts with, and from there on."""
    text = _asset("page.html")
    for mark, value in (("@policy@", policy(mode)), ("@style@", _asset("page.css")), ("@script@", _script(mode))):
        text = text.replace(mark, value, 1)
    before, _, after = text.partition("@boot@")
    return before, after


def policy(mode: Mode) -> str:
    """What the page may do: run and style by what is its own to the letter, and reach nothing but its server."""
    reach = "'self'" if mode == "server" else "'none'"
    return (
        f"default-src 'none'; script-src {_hash(_script(mode))}; style-src {_hash(_asset('page.css'))}; "
        f"connect-src {reach}; base-uri 'none'; form-action 'none'"
    )


def embedded(value: Any) -> bytes:
    """A value as JSON that can stand inside an HTML script element, whatever its texts say.

    >>> embedded(["</script>"])
    b'["\\\\u003c/script\\\\u003e"]'
    """
    data = orjson.dumps(value)
    for character in "<>&\u2028\u2029":
        data = data.replace(character.encode(), f"\\u{ord(character):04x}".encode())
    return data


def page_task(task: Task) -> dict[str, Any]:
    """A task as the page shows it.

    Returns:
        `pair_id`; `prompt`, messages with a `role`; `left` and `right`, all texts as `html` (harmless tags without
        attributes), whether it was `cut`, and its `characters`; `diff`, see `differences`; `judge` where its verdict is
        shown; `signs`, that a response talks to the judge.
    """
    return {
        "pair_id": task.pair_id,
        "prompt": [
            {"role": visible(str(message["role"])[:_ROLE_MOST]), **_shown(str(message["content"]))}
            for message in task.prompt
        ],
        "left": _shown(task.left),
        "right": _shown(task.right),
        "diff": differences(task.left, task.right),
        "judge": task.judge or None,
        "signs": list(task.signs or ()),
    }


def whole_text(task: Task, part: str) -> str:
    """All of a text that the page has cut, to be shown as text: "left", "right" or the number of a prompt's message.

    Raises:
        ValueError: the task has no such part.
    """
    if part in {"left", "right"}:
        return visible(task.left if part == "left" else task.right)
    if not part.isdecimal() or int(part) >= len(task.prompt):
        raise ValueError(f"a task has no part {part!r}")
    return visible(str(task.prompt[int(part)]["content"]))


def differences(left: str, right: str) -> dict[str, list[tuple[bool, str]]] | None:
    """Both responses in runs of words that the other one has too, and runs that it has not.

    Returns:
        For `left` and `right`, (whether it differs, text); None above `DIFF_MOST` words.

    >>> differences("It is blue.", "It is dark blue.")["right"]
    [(False, 'It is '), (True, 'dark '), (False, 'blue.')]
    """
    from rapidfuzz.distance import Indel

    words = {"left": _words(left, DIFF_MOST)}
    words["right"] = _words(right, DIFF_MOST - len(words["left"]))
    if len(words["left"]) + len(words["right"]) > DIFF_MOST:
        return None
    steps = Indel.opcodes(*([word.rstrip() for word in side] for side in words.values()))
    # What one response lost and the other gained at one place is one change.
    runs: list[tuple[bool, list[int]]] = []
    for step in steps:
        same = step.tag == "equal"
        if runs and runs[-1][0] == same:
            runs[-1][1][1], runs[-1][1][3] = step.src_end, step.dest_end
        else:
            runs.append((same, [step.src_start, step.src_end, step.dest_start, step.dest_end]))
    sizes = [max(end - start, right_end - right_start) for _, (start, end, right_start, right_end) in runs]
    found: dict[str, list[tuple[bool, str]]] = {"left": [], "right": []}
    for place, (same, (start, end, right_start, right_end)) in enumerate(runs):
        # A word or two that happen to recur amid much that differs tell nothing, and break up what could be read.
        amid = 0 < place < len(runs) - 1 and sizes[place] < min(sizes[place - 1], sizes[place + 1])
        _add(found["left"], not same or amid, "".join(words["left"][start:end]))
        _add(found["right"], not same or amid, "".join(words["right"][right_start:right_end]))
    return found


def _add(runs: list[tuple[bool, str]], changed: bool, text: str) -> None:
    if runs and runs[-1][0] == changed:
        runs[-1] = (changed, runs[-1][1] + text)
    elif text:
        runs.append((changed, text))


def _words(text: str, most: int) -> list[str]:
    """Words with the space that follows them, one more than `most` at the most."""
    return [found[0] for found in islice(_WORD.finditer(visible(text).strip()), most + 1)]


def _shown(text: str) -> dict[str, Any]:
    return {"html": _html(text[:FIRST_VIEW]), "cut": len(text) > FIRST_VIEW, "characters": len(text)}


def _html(text: str) -> str:
    """Markdown as HTML whose headings stand below those of the page."""
    return _HEADING.sub(lambda found: f"<{found[1]}h{min(6, int(found[2]) + 2)}>", to_html(text))


def _script(mode: Mode) -> str:
    return "".join(map(_asset, ("storage.js", f"{mode}.js", "page.js")))


def _asset(name: str) -> str:
    return (files("curator.annotation") / "page" / name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
