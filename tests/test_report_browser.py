"""The report in a real browser: two widths, paper, light and dark, and texts that try to break out."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from curator.report.page import Content, page
from tests.browsers import CUT_OFF, ELEMENTS, LEAST_CONTRAST, PHONE, TOO_WIDE, WIDE, launched, listen
from tests.reports import HOSTILE, full_content, result

PAPER = (718, 1000)


@dataclass
class Browser:
    """Opens pages, and keeps what they said and asked for."""

    chromium: Any
    folder: Path
    said: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)

    def open(self, text: str, size: tuple[int, int] = WIDE, **context: Any) -> Any:
        path = self.folder / "report.html"
        path.write_text(text, encoding="utf-8")
        self.said, self.asked = [], []
        viewport = {"width": size[0], "height": size[1]}
        opened = self.chromium.new_context(viewport=viewport, offline=True, **context).new_page()
        listen(opened, self.said, self.asked)
        opened.goto(path.as_uri())
        return opened


@pytest.fixture(scope="module")
def _browser() -> Iterator[Any]:
    yield from launched()


@pytest.fixture
def browser(_browser: Any, tmp_path: Path) -> Iterator[Browser]:
    yield Browser(_browser, tmp_path)
    for context in _browser.contexts:
        context.close()


@pytest.fixture(scope="module")
def text() -> str:
    return page(full_content())


@pytest.mark.parametrize("size", [WIDE, PHONE], ids=["1280", "390"])
def test_it_is_quiet_alone_and_fits(browser: Browser, text: str, size: tuple[int, int]) -> None:
    opened = browser.open(text, size)
    assert browser.said == []
    assert browser.asked == [(browser.folder / "report.html").as_uri()]
    assert opened.evaluate("document.documentElement.scrollWidth") == size[0]
    assert opened.evaluate(TOO_WIDE) == []
    assert opened.evaluate(CUT_OFF) == []
    assert opened.eval_on_selector_all(".raw", "all => all.filter(e => e.scrollWidth > e.clientWidth).length") == 0
    for summary in opened.query_selector_all("summary"):
        summary.click()
    assert opened.evaluate("document.documentElement.scrollWidth") == size[0], "with all tables open"
    assert opened.evaluate("[...document.querySelectorAll('details[open]')].length") == 5


def test_letters_on_a_phone_can_be_read(browser: Browser, text: str) -> None:
    opened = browser.open(text, PHONE)
    scale = "svg => svg.getBoundingClientRect().width / svg.viewBox.baseVal.width"
    shown = opened.eval_on_selector_all(
        "svg text",
        f"all => all.map(text => parseFloat(getComputedStyle(text).fontSize) * ({scale})(text.closest('svg')))",
    )
    assert min(shown) >= 10
    assert (
        min(
            opened.eval_on_selector_all(
                "p, td, figcaption", "all => all.map(e => parseFloat(getComputedStyle(e).fontSize))"
            )
        )
        >= 14
    )


def test_hostile_texts_are_text(browser: Browser, text: str) -> None:
    opened = browser.open(text)
    tame = browser.open(page(full_content(examples=full_content().examples[-1:] + full_content().examples[:1])))
    assert opened.evaluate(ELEMENTS) == tame.evaluate(ELEMENTS)
    assert opened.title().startswith("curator: 421 of 600")
    assert opened.eval_on_selector_all("h1", "all => all.map(h => h.textContent)") == [
        "421 of 600 pairs are auto-labelled"
    ]
    assert opened.is_visible("main")
    shown = opened.eval_on_selector_all(".raw", "all => all.map(e => e.textContent)")
    for hostile in HOSTILE[:3]:
        assert hostile in shown
        assert f"a {hostile}" in shown
    assert not [one for one in shown if "\u202e" in one or "\x1b" in one]
    assert opened.eval_on_selector_all(".raw", "all => all.every(e => e.children.length === 0)")


def test_were_a_script_to_get_in_it_would_not_run(browser: Browser, text: str) -> None:
    """The policy of the page is the second line of defence; this is the first one taken away."""
    let_in = text.replace(
        "<main>", "<main><script>document.title = 'owned'</script><img src='https://example.org/x.png'>"
    )
    opened = browser.open(let_in)
    assert opened.title() != "owned"
    assert len(browser.said) == 2
    assert all("Content Security Policy" in message for message in browser.said)


def test_every_figure_has_words(browser: Browser, text: str) -> None:
    opened = browser.open(text)
    found = opened.eval_on_selector_all(
        "figure svg",
        """all => all.map(svg => ({role: svg.getAttribute('role'),
             words: svg.getAttribute('aria-labelledby').split(' ').map(id => document.getElementById(id).textContent),
             caption: svg.closest('figure').querySelector('figcaption').textContent.trim(),
             rows: svg.closest('figure').querySelectorAll('tbody tr').length}))""",
    )
    assert len(found) == 5
    for figure in found:
        assert figure["role"] == "img"
        title, description = figure["words"]
        assert title
        assert figure["caption"].startswith(description)
        assert any(c.isdigit() for c in description)
        assert figure["rows"]
    named = opened.get_by_role("img").evaluate_all("all => all.length")
    assert named == 5
    levels = opened.eval_on_selector_all("h1, h2, h3, h4", "all => all.map(h => Number(h.tagName[1]))")
    assert levels[0] == 1
    assert all(after - before <= 1 for before, after in pairwise(levels)), "no level is left out"


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("media", ["screen", "print"])
def test_letters_stand_out(browser: Browser, text: str, scheme: str, media: str) -> None:
    opened = browser.open(text, color_scheme=scheme)
    opened.emulate_media(media=media)
    contrast, where = opened.evaluate(LEAST_CONTRAST)
    assert contrast >= 4.5, where
    paper = opened.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (paper == "rgb(255, 255, 255)") == (scheme == "light" or media == "print")


def test_on_paper(browser: Browser, text: str) -> None:
    opened = browser.open(text, PAPER, color_scheme="dark")
    opened.emulate_media(media="print")
    assert opened.evaluate("document.documentElement.scrollWidth") <= PAPER[0]
    assert opened.evaluate(TOO_WIDE) == []
    assert not opened.is_visible("details")
    printed = opened.pdf(format="A4", margin=dict.fromkeys(("top", "right", "bottom", "left"), "1cm"))
    assert printed.startswith(b"%PDF-")
    assert 5 <= printed.count(b"/Type /Page\n") + printed.count(b"/Type /Page ") <= 25


@pytest.mark.parametrize("size", [WIDE, PHONE], ids=["1280", "390"])
def test_a_page_without_figures(browser: Browser, size: tuple[int, int]) -> None:
    opened = browser.open(page(Content(result(threshold=None, accepted=0, coverage=0.0, labels_missing=60))), size)
    assert browser.said == []
    assert opened.query_selector("svg") is None
    assert opened.evaluate("document.documentElement.scrollWidth") == size[0]
    assert opened.is_visible("text=What to do next")
