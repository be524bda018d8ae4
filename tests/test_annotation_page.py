"""The page that people label on, opened from the disk in a real browser, and the labels that come back from it."""

from __future__ import annotations

import json
import re
import tracemalloc
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import orjson
import pytest

from curator.annotation import html
from curator.annotation.base import CHOICES, QUESTION, Answer, Task
from curator.annotation.page import DIFF_MOST, FIRST_VIEW, differences, embedded, frame, page, page_task, whole_text
from curator.annotation.registry import read_answers
from curator.cli.main import run
from curator.files import Reject
from curator.resources import first_error
from curator.store import open_store
from tests.browsers import LEAST_CONTRAST, PHONE, TOO_WIDE, WIDE, launched, listen
from tests.conftest import Cli, judgments, pairs, read_rows, write_rows
from tests.reports import HOSTILE

SETTLE, FASTER = 260, 20
"""Milliseconds that the page takes no answer after a new task is shown, and a little more; how much faster its clock
runs here."""

HURRY = f"const now = performance.now.bind(performance); performance.now = () => {FASTER} * now();"

HUGE = "word <b>bold</b> \u202e " * 250_000
ATTACKS = [
    *HOSTILE,
    "</script><script>document.title = 'owned'</script><!-- <script>",
    "<style>* { display: none !important }</style><link rel=stylesheet href=https://example.org/x.css>",
    "![x](https://example.org/x.png) [y](javascript:alert(1)) <https://example.org> <img src=https://example.org/y.png>",
    "<svg><animate onbegin=\"document.title='owned'\" attributeName=x dur=1s>",
    "| a | b |\n|---|---|\n| " + "wide" * 200 + " | x |\n\n```html\n</pre><script>document.title='owned'</script>\n```",
    "# heading\n\n" + "> " * 500 + "deep\n\n" + "[" * 5_000,
    HUGE,
]


@dataclass
class Desk:
    """Where somebody labels: opens pages, and keeps what they said and asked for."""

    chromium: Any
    said: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    context: Any = None

    def open(
        self, path: Path, size: tuple[int, int] = WIDE, name: str | None = "Ana", script: str = HURRY, **context: Any
    ) -> Any:
        viewport = {"width": size[0], "height": size[1]}
        self.context = self.chromium.new_context(viewport=viewport, offline=True, **context)
        self.context.add_init_script(script)
        return self.tab(path, name)

    def tab(self, path: Path, name: str | None = None) -> Any:
        opened = self.context.new_page()
        opened.set_default_timeout(20_000)
        listen(opened, self.said, self.asked)
        opened.goto(path.as_uri())
        if name is not None:
            opened.fill("#name", name)
            opened.press("#name", "Enter")
            opened.wait_for_selector("#task:not([hidden])")
        return opened


@pytest.fixture(scope="module")
def _browser() -> Iterator[Any]:
    yield from launched()


@pytest.fixture
def desk(_browser: Any) -> Iterator[Desk]:
    yield Desk(_browser)
    for context in _browser.contexts:
        context.close()


@dataclass
class Queue:
    """A store and the pages that it gave out."""

    db: Path
    page: Path
    rows: list[dict[str, Any]]

    @property
    def labels(self) -> list[dict[str, Any]]:
        with open_store(self.db, create=False) as store:
            return store.records(
                """SELECT annotator, verdict, note, seconds, blind, epoch_ms(said_at) AS said_at, response_a, response_b
                FROM latest_label JOIN pair USING (pair_id) ORDER BY number"""
            )


def made(folder: Path, rows: list[dict[str, Any]]) -> Queue:
    raw = write_rows(folder / "raw.jsonl", rows)
    run(["label", str(raw), "--judgments", str(write_rows(folder / "log.jsonl", judgments(len(rows))))])
    db = folder / "raw.curated" / "curator.duckdb"
    assert run(["queue", "--db", str(db), "--to", "html", "--out", str(folder / "people")]) == 0
    return Queue(db, folder / "people" / "queue-0001.html", read_rows(folder / "raw.curated" / "queue.jsonl"))


@pytest.fixture(scope="module")
def queue(tmp_path_factory: pytest.TempPathFactory) -> Queue:
    return made(tmp_path_factory.mktemp("queue"), pairs(8))


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Queue:
    rows = [
        {**row, "prompt": [{"role": "system", "content": attack[:9_000]}, {"role": "user", "content": f"{i} {attack}"}],
         "response_a": f"{attack} a", "response_b": f"b {attack}"}
        for i, (row, attack) in enumerate(zip(pairs(len(ATTACKS)), ATTACKS, strict=True))
    ]  # fmt: skip
    return made(tmp_path_factory.mktemp("hostile"), rows)


def press(opened: Any, *keys: str) -> None:
    for key in keys:
        opened.wait_for_timeout(SETTLE / FASTER)
        opened.keyboard.press(key)


def counts(opened: Any) -> str:
    return str(opened.inner_text("#counts").partition(" · about")[0])


def shown(opened: Any) -> tuple[str, str, str]:
    """Prompt, left and right as a person sees them."""
    prompt, left, right = (opened.inner_text(f"#{part} .text").strip() for part in ("prompt", "left", "right"))
    return prompt, left, right


def saved(opened: Any, folder: Path) -> Path:
    with opened.expect_download() as waiting:
        opened.click("#save, #save-end")
    path = folder / str(waiting.value.suggested_filename)
    waiting.value.save_as(path)
    return path


def test_labels_by_keyboard_come_back_with_the_right_sides(desk: Desk, queue: Queue, tmp_path: Path, cli: Cli) -> None:
    opened = desk.open(queue.page, name="Zoë O'Hara")
    seen = []
    for key in ("a", "2", "t", "n", "s"):
        opened.wait_for_timeout(SETTLE / FASTER)
        seen.append(shown(opened))
        if key == "t":
            opened.keyboard.press("c")
            opened.keyboard.type("a tie, but both are long")
            assert opened.evaluate("document.activeElement.id") == "note", "letters of a comment are no answers"
            opened.keyboard.press("Enter")
        opened.keyboard.press(key)
    assert [(row["prompt"][0]["content"], row["left"], row["right"]) for row in queue.rows[:5]] == seen
    assert counts(opened).startswith("5 done · 3 left")
    path = saved(opened, tmp_path)
    assert path.name == "labels-Zoë_O_Hara-0001.jsonl"
    rows = read_rows(path)
    assert [first_error("label", row) for row in rows] == [None] * 5
    assert [row["label"] for row in rows] == ["left", "right", "tie", "both_bad", "skip"]
    assert [row["note"] for row in rows] == [None, None, "a tie, but both are long", None, None]
    for expected in ({"added": 5, "superseded": 0, "unchanged": 0}, {"added": 0, "superseded": 0, "unchanged": 5}):
        done = cli.json("import", path, "--db", queue.db)
        assert {name: done[name] for name in expected} == expected
        assert done["refused"] == []
    labels = queue.labels
    better = [row["response_a"] if row["verdict"] == "a" else row["response_b"] for row in labels[:2]]
    assert better == [seen[0][1], seen[1][2]]
    assert [row["verdict"] for row in labels[2:]] == ["tie", "both_bad", "skip"]
    assert [row["note"] for row in labels] == [row["note"] for row in rows]
    assert [row["seconds"] for row in labels] == [row["seconds"] for row in rows]
    assert all(0.2 <= row["seconds"] <= 20 * FASTER for row in rows)
    times = [round(datetime.fromisoformat(row["said_at"]).timestamp() * 1000) for row in rows]
    assert [row["said_at"] for row in labels] == times == sorted(times)
    assert all(row["blind"] for row in labels)
    assert desk.said == []
    assert desk.asked[0] == queue.page.as_uri()
    assert all(url.startswith("blob:") for url in desk.asked[1:])


def test_by_touch_on_a_phone_with_undo(desk: Desk, queue: Queue) -> None:
    opened = desk.open(queue.page, PHONE, has_touch=True)
    first = shown(opened)
    opened.tap("#write")
    opened.fill("#note", "hm")
    opened.wait_for_timeout(SETTLE / FASTER)
    opened.tap("[data-label=left]")
    assert counts(opened).startswith("1 done · 7 left")
    assert shown(opened) != first
    opened.tap("#undo")
    assert counts(opened) == "0 done · 8 left"
    assert shown(opened) == first
    assert opened.input_value("#note") == "hm"
    assert opened.eval_on_selector_all(".previous", "all => all.map(e => e.dataset.label)") == ["left"]
    opened.wait_for_timeout(SETTLE / FASTER)
    opened.tap("[data-label=both_bad]")
    assert opened.evaluate(KEPT) == [["both_bad", "hm"]]
    assert opened.input_value("#note") == "", "a comment belongs to one answer"
    bar = opened.locator("#answer").bounding_box()
    assert bar["y"] + bar["height"] == pytest.approx(PHONE[1], abs=1)


KEPT = """() => Object.entries(localStorage).filter(([key]) => key.startsWith('curator:answer:Ana:'))
  .map(([, value]) => JSON.parse(value)).sort((one, other) => one.said_at < other.said_at ? -1 : 1)
  .map(one => [one.label, one.note])"""


def test_nothing_is_lost_on_reload_nor_counted_twice(desk: Desk, queue: Queue) -> None:
    opened = desk.open(queue.page, script="")
    opened.wait_for_timeout(SETTLE)
    opened.evaluate("""() => { for (const key of ['a', 'a', 'b'])
        document.dispatchEvent(new KeyboardEvent('keydown', {key, bubbles: true})); }""")
    opened.wait_for_timeout(50)
    opened.keyboard.press("b")
    assert counts(opened).startswith("1 done · 7 left"), "the next task had not been read"
    opened.wait_for_timeout(SETTLE)
    opened.keyboard.press("t")
    second = shown(opened)
    opened.keyboard.press("c")
    opened.keyboard.type("half a comm")
    opened.reload()
    opened.wait_for_selector("#task:not([hidden])")
    assert counts(opened).startswith("2 done · 6 left")
    assert shown(opened) == second
    assert opened.input_value("#note") == "half a comm"
    assert opened.inner_text("#who") == "Ana"
    opened.keyboard.press("u")
    assert counts(opened).startswith("1 done · 7 left")
    assert opened.evaluate(KEPT) == [["left", None]]


def test_a_page_written_anew_still_has_the_answers_that_are_not_saved(desk: Desk, tmp_path: Path, cli: Cli) -> None:
    queue = made(tmp_path, pairs(5))
    opened = desk.open(queue.page)
    press(opened, "a", "b", "t")
    tasks = [shown(opened)]
    first = {**queue.rows[0], "label": "left", "annotator": "Ana"}
    assert cli("import", write_rows(tmp_path / "first.jsonl", [first]), "--db", queue.db) == 0
    assert len(queue.labels) == 1
    before = queue.page.read_bytes()
    assert cli("queue", "--db", queue.db, "--to", "html", "--out", queue.page.parent) == 0
    assert queue.page.read_bytes() != before
    opened.reload()
    opened.wait_for_selector("#task:not([hidden])")
    assert counts(opened).startswith("2 done · 2 left")
    assert [shown(opened)] == tasks
    assert opened.inner_text("#save") == "Save labels (2 new)"
    labels = read_rows(saved(opened, tmp_path))
    said = [(row["pair_id"], row["label"]) for row in labels]
    assert said == [(queue.rows[1]["pair_id"], "right"), (queue.rows[2]["pair_id"], "tie")]
    assert opened.inner_text("#save") == "Save labels"
    opened.keyboard.press("u")
    assert shown(opened)[0] == queue.rows[2]["prompt"][0]["content"]
    press(opened, "n")
    assert opened.inner_text("#save") == "Save labels (1 new)"
    labels = read_rows(saved(opened, tmp_path))
    assert [row["label"] for row in labels] == ["right", "both_bad"]


def test_a_second_tab_knows_what_the_first_one_did(desk: Desk, queue: Queue) -> None:
    first = desk.open(queue.page)
    second = desk.tab(queue.page)
    second.wait_for_selector("#task:not([hidden])")
    press(first, "a")
    second.wait_for_selector("#counts:has-text('1 done')")
    assert shown(second) == shown(first)
    press(second, "b", "t")
    first.wait_for_selector("#counts:has-text('3 done')")
    assert shown(first) == shown(second)
    assert first.evaluate(KEPT) == [["left", None], ["right", None], ["tie", None]]


def test_somebody_else_can_take_over(desk: Desk, queue: Queue) -> None:
    opened = desk.open(queue.page)
    press(opened, "a", "?")
    assert "You label as Ana" in opened.inner_text("#me")
    opened.click("#leave")
    opened.fill("#name", "Ben")
    opened.press("#name", "Enter")
    assert counts(opened) == "0 done · 8 left"
    press(opened, "t")
    assert opened.evaluate(KEPT) == [["left", None]]
    assert opened.evaluate(KEPT.replace("Ana", "Ben")) == [["tie", None]]


def test_the_end_says_what_to_do(desk: Desk, queue: Queue, tmp_path: Path) -> None:
    opened = desk.open(queue.page)
    press(opened, *"abababab")
    assert opened.inner_text("h1") == "All done, thank you"
    assert "Save the labels" in opened.inner_text("#after")
    assert not opened.is_visible("[data-label=left]")
    assert len(read_rows(saved(opened, tmp_path))) == 8
    opened.keyboard.press("u")
    assert opened.is_visible("[data-label=left]")
    assert counts(opened).startswith("7 done · 1 left")


def test_without_storage_it_says_so_and_warns(desk: Desk, queue: Queue, tmp_path: Path) -> None:
    off = "Object.defineProperty(window, 'localStorage', { get() { throw new DOMException('no', 'SecurityError') } })"
    opened = desk.open(queue.page, script=f"{HURRY} {off}")
    assert "keeps nothing" in opened.inner_text("#notice")
    press(opened, "a", "b")
    assert counts(opened).startswith("2 done · 6 left")
    asked: list[str] = []
    opened.on("dialog", lambda dialog: (asked.append(dialog.type), dialog.accept()))
    path = saved(opened, tmp_path)
    assert [row["label"] for row in read_rows(path)] == ["left", "right"]
    press(opened, "t")
    opened.reload()
    assert asked == ["beforeunload"]
    assert desk.said == []


def test_differences_and_folds(desk: Desk, tmp_path: Path) -> None:
    long = "\n\n".join(f"Paragraph {i} says the same." for i in range(120))
    turns = [{"role": role, "content": f"{role} {i} speaks"} for i, role in enumerate(("user", "assistant", "user"))]
    alike = {"prompt": turns, "response_a": f"{long} It ends well.", "response_b": f"{long} It ends ill."}
    rows = [{**pairs(1)[0], **alike}, {**pairs(2)[1], "response_a": "x " * DIFF_MOST, "response_b": "y"}]
    opened = desk.open(made(tmp_path, rows).page)
    task = 0 if opened.query_selector(".role") else 1
    for at in (task, 1 - task):
        if at == 1:
            press(opened, "d")
            assert "too long" in opened.inner_text("#live")
            assert opened.query_selector("mark") is None
            press(opened, "s")
            continue
        assert opened.eval_on_selector_all(".role", "all => all.map(e => e.textContent)") == [
            "user",
            "assistant",
            "user",
        ]
        folded = opened.locator("#left").bounding_box()["height"]
        assert "Unfold Left" in opened.inner_text("#left")
        press(opened, "f")
        assert opened.locator("#left").bounding_box()["height"] > 2 * folded
        opened.reload()
        opened.wait_for_selector("#task:not([hidden])")
        assert opened.locator("#left").bounding_box()["height"] > 2 * folded, "as it was left"
        press(opened, "f")
        assert opened.locator("#left").bounding_box()["height"] == folded
        opened.click("#left .toggle")
        assert opened.get_attribute("#left .toggle", "aria-expanded") == "true"
        press(opened, "d")
        marked = opened.eval_on_selector_all("mark", "all => all.map(e => e.textContent.trim())")
        assert sorted(marked) == ["ill", "well"]
        assert opened.get_attribute("#compare", "aria-pressed") == "true"
        press(opened, "d")
        assert opened.query_selector("mark") is None
        press(opened, "s")
    assert opened.inner_text("h1") == "All done, thank you"


def test_hostile_texts_neither_run_nor_restyle_nor_reach_out(desk: Desk, hostile: Queue) -> None:
    opened = desk.open(hostile.page)
    style = (
        "() => [getComputedStyle(document.body).backgroundColor, document.styleSheets.length, document.scripts.length]"
    )
    before = opened.evaluate(style)
    for row in hostile.rows:
        opened.wait_for_timeout(SETTLE / FASTER)
        assert opened.title().endswith("curator review")
        assert opened.inner_text("h1") == QUESTION
        assert opened.is_visible("[data-label=left]")
        assert (
            opened.evaluate("document.querySelectorAll('#task :is(script, style, img, a, svg, link, iframe)').length")
            == 0
        )
        assert opened.evaluate(ATTRIBUTES) == []
        text = str(opened.evaluate("document.getElementById('left').textContent"))
        assert not re.search("[\u202a-\u202e\u2066-\u2069\x00\x1b]", text)
        if "<script>" in row["left"] and len(row["left"]) < FIRST_VIEW:
            assert "<script>" in text
        assert opened.evaluate("document.documentElement.scrollWidth") == WIDE[0]
        assert opened.evaluate(TOO_WIDE) == []
        opened.keyboard.press("d")
        assert opened.evaluate("document.querySelectorAll('#left :is(script, style, img, a)').length") == 0
        opened.keyboard.press("d")
        if len(row["left"]) > 1_000_000:
            opened.click("#left .more")
            opened.wait_for_selector("#left .more", state="detached")
            whole = opened.evaluate("document.querySelector('#left .text').textContent.length")
            assert whole == len(row["left"]) + 7 * row["left"].count("\u202e"), "each of them is shown by its number"
            assert opened.evaluate("document.querySelector('#left .text').querySelectorAll(':not(.piece)').length") == 0
        opened.keyboard.press("s")
    assert opened.inner_text("h1") == "All done, thank you"
    assert opened.evaluate(style) == before
    assert desk.said == []
    assert desk.asked == [hostile.page.as_uri()]


ATTRIBUTES = """() => [...document.querySelectorAll('.text *')].flatMap(e => [...e.attributes].map(a => a.name))
  .filter(name => !['class', 'tabindex', 'role', 'aria-label'].includes(name))"""


def test_were_a_script_to_get_in_it_would_not_run(desk: Desk, queue: Queue, tmp_path: Path) -> None:
    inside = "<script>document.title = 'owned'</script><img src='https://example.org/x.png'><p style='color: red'>"
    path = tmp_path / "queue-0001.html"
    path.write_text(queue.page.read_text(encoding="utf-8").replace("<main>", f"<main>{inside}", 1), encoding="utf-8")
    opened = desk.open(path)
    assert not opened.title().startswith("owned")
    assert len(desk.said) == 3
    assert all("Content Security Policy" in message for message in desk.said)


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [WIDE, PHONE], ids=["1280", "390"])
def test_everybody_can_use_it(desk: Desk, queue: Queue, hostile: Queue, scheme: str, size: tuple[int, int]) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()

    def check(state: str) -> None:
        found = axe.run(opened).response["violations"]
        serious = [(one["id"], one["nodes"][0]["html"]) for one in found if one["impact"] in {"serious", "critical"}]
        assert serious == [], state
        assert opened.evaluate("document.documentElement.scrollWidth") == size[0], state
        contrast, where = opened.evaluate(LEAST_CONTRAST)
        assert contrast >= 4.5, (state, where)

    opened = desk.open(queue.page, size, name=None, color_scheme=scheme)
    check("join")
    opened.fill("#name", "Ana")
    opened.press("#name", "Enter")
    press(opened, "a", "d", "c")
    check("task, with differences and a comment")
    opened.keyboard.press("Escape")
    opened.keyboard.press("?")
    assert opened.is_visible("#keys")
    opened.keyboard.press("a")
    check("help")
    opened.keyboard.press("Escape")
    press(opened, *"bbbbbbb")
    check("end")
    assert opened.evaluate("getComputedStyle(document.body).backgroundColor") == (
        "rgb(255, 255, 255)" if scheme == "light" else "rgb(20, 23, 27)"
    )
    if size == PHONE and scheme == "light":
        opened = desk.open(hostile.page, size, color_scheme=scheme)
        for _ in hostile.rows:
            press(opened, "s")
            assert opened.evaluate("document.documentElement.scrollWidth") == size[0]
            assert opened.evaluate(TOO_WIDE) == []


def test_with_the_keyboard_alone_and_with_a_screen_reader(desk: Desk, queue: Queue) -> None:
    opened = desk.open(queue.page)
    assert "Task 1 of 8, 8 left" in opened.inner_text("#live")
    assert opened.evaluate("document.activeElement.id") == "title"
    order = []
    for _ in range(8):
        opened.keyboard.press("Tab")
        order.append(opened.evaluate("document.activeElement.innerText.split(/\\s+[A-Z]$/)[0].trim()"))
    assert order == [*CHOICES_IN_PLACE, "Undo", "Comment", "Differences"]
    outline = "getComputedStyle(document.activeElement).outlineStyle"
    assert opened.evaluate(outline) == "solid"
    opened.focus("[data-label=tie]")
    opened.wait_for_timeout(SETTLE / FASTER)
    opened.keyboard.press("Enter")
    assert opened.inner_text("#live").startswith("Equally good. Task 2 of 8, 7 left")
    assert opened.evaluate("document.activeElement.id") == "title"
    landmarks = {role: opened.get_by_role(role).count() for role in ("banner", "main", "region")}
    assert landmarks == {"banner": 1, "main": 1, "region": 4}
    opened.keyboard.press("?")
    opened.uncheck("#single")
    opened.click("#keys .main")
    press(opened, "a")
    assert counts(opened).startswith("1 done"), "single keys can be switched off"


def test_at_twice_the_size_the_bar_leaves_room(desk: Desk, queue: Queue) -> None:
    opened = desk.open(queue.page, (WIDE[0] // 2, WIDE[1] // 2))
    assert opened.evaluate("document.documentElement.scrollWidth") == WIDE[0] // 2
    assert opened.evaluate(TOO_WIDE) == []
    assert opened.evaluate("getComputedStyle(document.getElementById('answer')).position") == "static"


CHOICES_IN_PLACE = [CHOICES[name] for name in ("left", "tie", "both_bad", "skip", "right")]


def test_buttons_are_worded_as_everywhere() -> None:
    text = "".join(frame("file"))
    assert dict(re.findall(r'data-label="(\w+)"><span>([^<]+)<', text)) == CHOICES
    assert QUESTION in text


def test_a_page_is_one_file_that_may_load_nothing() -> None:
    text = page("file", {"tasks": [], "key": "</script><!--"})
    policy = re.findall(r'Content-Security-Policy" content="([^"]+)"', text)[0]
    assert re.sub("'sha256-[^']+'", "HASH", policy) == (
        "default-src 'none'; script-src HASH; style-src HASH; connect-src 'none'; base-uri 'none'; form-action 'none'"
    )
    assert text.count("</script>") == 2
    assert not re.search(r"@\w+@|https?://|\bsrc=|<link|@import|url\(", text)
    boot = re.findall(r'<script type="application/json" id="boot">(.*?)</script>', text, re.DOTALL)[0]
    assert json.loads(boot) == {"tasks": [], "key": "</script><!--"}
    assert not set("<>&") & set(boot)


def test_a_task_as_the_page_shows_it() -> None:
    judge = {"prefers": "left", "probability": 0.9}
    prompt = [{"role": "system\u202e" + "m" * 90, "content": "# Be brief"}, {"role": "user", "content": "\x1bhi"}]
    task = Task("0" * 32, prompt, "**a** < b", "x\u202e" * FIRST_VIEW, judge)
    found = page_task(task)
    assert found["judge"] == judge
    assert found["prompt"][0] == {
        "role": "system⟨U+202E⟩" + "m" * 33, "html": "<h3>Be brief</h3>\n", "cut": False, "characters": 10,
    }  # fmt: skip
    assert found["left"] == {"html": "<p><strong>a</strong> &lt; b</p>\n", "cut": False, "characters": 9}
    assert (found["right"]["cut"], found["right"]["characters"]) == (True, 2 * FIRST_VIEW)
    assert found["right"]["html"].count("x⟨U+202E⟩") == FIRST_VIEW / 2
    assert whole_text(task, "right") == "x⟨U+202E⟩" * FIRST_VIEW
    assert whole_text(task, "1") == "⟨U+001B⟩hi"
    for part in ("2", "-1", "middle", ""):
        with pytest.raises(ValueError, match="no part"):
            whole_text(task, part)


@pytest.mark.parametrize(
    ("left", "right", "marked"),
    [
        ("same text here", "same  text\nhere", ([], [])),
        ("It costs 5 dollars.", "It costs 6 dollars.", (["5 "], ["6 "])),
        ("", "all new", ([], ["all new"])),
        ("今日は晴れ", "今日は雨", (["晴れ"], ["雨"])),
        ("one two three and four five six", "un deux trois and quatre cinq six",
         (["one two three and four five "], ["un deux trois and quatre cinq "])),
        ("x\u202ey", "xy", (["x⟨U+202E⟩y"], ["xy"])),
    ],
)  # fmt: skip
def test_differences_are_of_words(left: str, right: str, marked: tuple[list[str], list[str]]) -> None:
    found = differences(left, right)
    assert found is not None
    assert tuple([text for changed, text in found[side] if changed] for side in ("left", "right")) == marked
    assert "".join(text for _, text in found["right"]) == right


def test_too_many_words_are_not_compared() -> None:
    assert differences("a " * DIFF_MOST, "") is not None
    assert differences("a " * DIFF_MOST, "b") is None
    assert differences("a", "b " * (50 * DIFF_MOST)) is None


def test_json_inside_a_page() -> None:
    hostile = ["</script>", "<!--", "&amp;", "\u2028\u2029", "\x00\x1b\ud7ff"]
    data = embedded(hostile)
    assert orjson.loads(data) == hostile
    assert not set("<>&\u2028\u2029") & set(data.decode())


def test_pages_are_written_task_by_task() -> None:
    def lines(count: int) -> Iterator[bytes]:
        for i in range(count):
            row = {"pair_id": f"{i:032x}", "prompt": [{"role": "user", "content": "p"}], "left": f"l {i}" * 2_000}
            yield orjson.dumps({**row, "right": "r " * 4_000, "label": None}) + b"\n"

    next(iter(html.TOOL.encode(lines(1))))
    peaks = []
    for count in (5, 60):
        tracemalloc.start()
        size = sum(map(len, html.TOOL.encode(lines(count))))
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert size > 1_500_000
    assert peaks[1] < 1.3 * peaks[0]


def test_answers_are_kept_under_what_was_asked() -> None:
    def key(**change: Any) -> str:
        row = {"pair_id": "0" * 32, "prompt": [{"role": "user", "content": "p"}], "left": "l", "right": "r", **change}
        return re.findall(r'"key":"([^"]+)"', b"".join(html.TOOL.encode([orjson.dumps(row)])).decode())[0]

    verdict = {"prefers": "left", "probability": 0.9}
    keys = [key(), key(label="tie"), key(left="r", right="l"), key(pair_id="1" * 32), key(judge=verdict)]
    assert keys[0] == keys[1]
    assert len(set(keys[1:])) == 4
    assert key(judge={**verdict, "probability": 0.8}) == keys[4]


ROW = {"pair_id": "0" * 32, "left": "l", "label": "tie", "annotator": "Ana", "note": None, "seconds": 3.5,
       "said_at": "2026-01-02T03:04:05.678Z", "judge": None, "tool": "curator"}  # fmt: skip


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({}, None),
        ({"judge": {"prefers": "left", "probability": 0.9}}, None),
        ({"label": "a"}, "label"),
        ({"annotator": ""}, "annotator"),
        ({"seconds": -1}, "seconds"),
        ({"said_at": "yesterday"}, "said_at is no time with a time zone"),
        ({"said_at": "2026-01-02T03:04:05"}, "said_at is no time with a time zone"),
    ],
)
def test_rows_of_labels(tmp_path: Path, change: dict[str, Any], message: str | None) -> None:
    [found] = read_answers(str(write_rows(tmp_path / "labels.jsonl", [{**ROW, **change}])))
    if message is not None:
        assert isinstance(found, Reject)
        assert message in str(found)
        return
    assert isinstance(found, Answer)
    assert (found.label, found.annotator, found.left, found.seconds) == ("tie", "Ana", "l", 3.5)
    assert found.said_at is not None
    assert found.said_at.isoformat() == "2026-01-02T03:04:05.678000+00:00"
    assert found.shown == bool(change)


def test_real_pairs_fit(desk: Desk, shared_data: Callable[[str], Path], tmp_path: Path) -> None:
    rows = read_rows(shared_data("prd_vicuna80.jsonl"))[::27][:30]
    opened = desk.open(made(tmp_path, [{**row, "id": f"p{i}", "label": None} for i, row in enumerate(rows)]).page)
    for key in "abtns" * 6:
        opened.wait_for_timeout(SETTLE / FASTER)
        assert opened.evaluate(TOO_WIDE) == []
        opened.keyboard.press(key)
    assert opened.inner_text("h1") == "All done, thank you"
    labels = read_rows(saved(opened, tmp_path))
    assert [row["label"] for row in labels] == ["left", "right", "tie", "both_bad", "skip"] * 6
