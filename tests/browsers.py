"""Chromium for the tests of pages: where it is, and how wide people's windows are."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from typing import Any

import pytest

WIDE, PHONE = (1280, 900), (390, 844)

"""Pixels; paper is A4 within margins of one centimetre."""

LUMINANCE = """
const parts = colour => colour.match(/[\\d.]+/g).map(Number);
const luminance = colour => {
  const linear = c => c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
  const [r, g, b] = parts(colour).slice(0, 3).map(c => linear(c / 255));
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
};
const ground = element => {
  for (let at = element; at; at = at.parentElement) {
    const colour = getComputedStyle(at).backgroundColor;
    if (!(parts(colour)[3] === 0)) return colour;
  }
  return 'rgb(255, 255, 255)';
};
"""

LEAST_CONTRAST = f"""() => {{
  {LUMINANCE}
  let least = [99, ''];
  for (const element of document.querySelectorAll('body *')) {{
    const text = [...element.childNodes].some(node => node.nodeType === 3 && node.textContent.trim());
    if (!text || element.closest('title, desc') || !element.getClientRects().length) continue;
    const style = getComputedStyle(element);
    const ink = luminance(element.closest('svg') ? style.fill : style.color), paper = luminance(ground(element));
    const contrast = (Math.max(ink, paper) + 0.05) / (Math.min(ink, paper) + 0.05);
    if (contrast < least[0]) least = [contrast, element.tagName + ' ' + element.textContent.slice(0, 40)];
  }}
  return least;
}}"""

TOO_WIDE = """() => {
  const inside = element => !element.closest('.scroll') && !element.closest('svg');
  return [...document.querySelectorAll('body *')].filter(inside)
    .filter(element => element.getBoundingClientRect().right > document.documentElement.clientWidth + 0.5)
    .map(element => element.tagName + ' ' + element.className);
}"""

CUT_OFF = """() => {
  const cut = [];
  for (const svg of document.querySelectorAll('svg')) {
    const box = svg.getBoundingClientRect();
    for (const text of svg.querySelectorAll('text')) {
      const at = text.getBoundingClientRect();
      if (at.left < box.left - 1 || at.right > box.right + 1 || at.top < box.top - 1 || at.bottom > box.bottom + 1)
        cut.push(text.textContent);
    }
  }
  return cut;
}"""

ELEMENTS = (
    "() => [...new Set([...document.querySelectorAll('*')].map(element => element.tagName.toLowerCase()))].sort()"
)


def listen(opened: Any, said: list[str], asked: list[str]) -> None:
    """Keep what a page says, its errors too, and the addresses that it asks for."""
    opened.on("console", lambda message: said.append(message.text))
    opened.on("pageerror", lambda error: said.append(str(error)))
    opened.on("request", lambda request: asked.append(request.url))


def launched() -> Iterator[Any]:
    """The browser, for a fixture. A proxy that is not there: whatever leaves this machine fails, and so is seen."""
    found = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if found is None:
        if os.environ.get("CURATOR_REQUIRE_BROWSER"):
            pytest.fail("no Chromium on this machine")
        pytest.skip("no Chromium on this machine")
    playwright = pytest.importorskip("playwright.sync_api")
    with playwright.sync_playwright() as driver:
        proxy = {"server": "http://127.0.0.1:9", "bypass": "127.0.0.1"}
        opened = driver.chromium.launch(executable_path=found, args=["--no-sandbox"], proxy=proxy)
        yield opened
        opened.close()
