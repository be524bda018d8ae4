"""`curator review` as people use it: a real browser, real pairs, a real server that is stopped and started again."""

from __future__ import annotations

import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from curator.annotation.base import QUESTION
from curator.cli.main import run
from curator.store import open_store
from tests.browsers import LEAST_CONTRAST, PHONE, TOO_WIDE, WIDE, launched, listen
from tests.conftest import ROOT, Cli, judgments, pairs, read_rows, write_rows
from tests.review_servers import held, serving
from tests.test_annotation_page import ATTACKS, ATTRIBUTES, FASTER, HURRY, SETTLE

IDLE = "() => document.querySelector('main').ariaBusy === 'false'"
OUTBOX = """() => Object.entries(localStorage).filter(([key]) => key.includes(':outbox:')).sort()
  .map(([, value]) => JSON.parse(value).label)"""


@dataclass
class Office:
    """Where people label: each has a browser of their own, and what it said and asked for is kept."""

    chromium: Any
    said: list[str] = field(default_factory=list)
    asked: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)

    def person(self, size: tuple[int, int] = WIDE, **context: Any) -> Any:
        found = self.chromium.new_context(viewport={"width": size[0], "height": size[1]}, **context)
        found.add_init_script(HURRY)
        found.set_default_timeout(20_000)
        return found

    def tab(self, person: Any, address: str, name: str | None = None) -> Any:
        opened = person.new_page()
        listen(opened, self.said, self.asked)
        opened.on("response", lambda reply: self.refused.append(reply.url) if reply.status >= 400 else None)
        opened.goto(address)
        if name is not None:
            opened.fill("#name", name)
            opened.press("#name", "Enter")
        opened.wait_for_selector("#task:not([hidden])")
        return opened


@pytest.fixture(scope="module")
def _browser() -> Iterator[Any]:
    yield from launched()


@pytest.fixture
def office(_browser: Any) -> Iterator[Office]:
    yield Office(_browser)
    for context in _browser.contexts:
        context.close()


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made")
    raw = write_rows(folder / "raw.jsonl", pairs(8))
    assert run(["label", str(raw), "--judgments", str(write_rows(folder / "log.jsonl", judgments(8)))]) == 4
    return folder / "raw.curated"


@pytest.fixture
def db(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "raw.curated")) / "curator.duckdb"


def labels(db: Path) -> list[dict[str, Any]]:
    with open_store(db) as store:
        return store.records(
            """SELECT annotator, verdict, note, seconds, origin, blind, response_a, response_b, pair_id
            FROM latest_label JOIN pair USING (pair_id) ORDER BY number"""
        )


def counts(opened: Any) -> str:
    return str(opened.inner_text("#counts"))


def press(opened: Any, *keys: str) -> None:
    """Press keys, each once the page has taken in the one before."""
    for key in keys:
        opened.wait_for_timeout(SETTLE / FASTER)
        opened.keyboard.press(key)
        opened.wait_for_function(IDLE)


def shown(opened: Any) -> tuple[str, str]:
    """The two responses as a person sees them, without what layout and Markdown take away: numbers of lists."""
    left, right = ("".join(re.findall(r"[^\W\d_]", opened.inner_text(f"#{side} .text"))) for side in ("left", "right"))
    return left, right


def task(opened: Any) -> str:
    return str(opened.inner_text("#left .text"))


def spelled(text: str) -> str:
    return "".join(re.findall(r"[^\W\d_]", text))


def test_thirty_real_pairs_by_keyboard(
    office: Office, shared_data: Callable[[str], Path], cli: Cli, tmp_path: Path
) -> None:
    """Undo, reload, a second tab, a server that is gone and comes back, and then the data set."""
    rows = read_rows(shared_data("prd_vicuna80.jsonl"))
    raw = write_rows(tmp_path / "raw.jsonl", ({**row, "label": None} for row in rows))
    log = shared_data("prd_vicuna80.panel.judgements.jsonl")
    label = ("label", raw, "--judgments", log, "--alpha", "0.25")
    first = cli.json(*label)
    db = tmp_path / "raw.curated" / "curator.duckdb"
    queue = read_rows(tmp_path / "raw.curated" / "queue.jsonl")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    keys = {"a": "left", "b": "right", "t": "tie", "n": "both_bad", "s": "skip"}
    # What an annotator goes by here: a comes from the same place in each pair.
    plan = "abatabnsab" * 3
    with serving(db, "--port", port) as server:
        mia = office.person()
        opened = office.tab(mia, server.address, "Mia")
        assert opened.url == f"http://127.0.0.1:{port}/", "the token is no longer in the address"
        for i in range(12):
            assert shown(opened) == (spelled(queue[i]["left"]), spelled(queue[i]["right"])), i
            press(opened, plan[i])
        assert counts(opened).startswith("12 done · 788 left")

        # Two steps back: what was said stands there, with its comment, and is said anew.
        press(opened, "u", "u")
        assert counts(opened).startswith("10 done · 790 left")
        assert opened.eval_on_selector_all(".previous", "all => all.map(e => e.dataset.label)") == [keys[plan[10]]]
        press(opened, "c")
        opened.keyboard.type("on second thoughts")
        opened.keyboard.press("Enter")
        press(opened, plan[10], plan[11])
        assert [row["note"] for row in labels(db) if row["note"]] == ["on second thoughts"]

        # A reload in the middle of a comment, and a second tab.
        press(opened, "c")
        opened.keyboard.type("half a thou")
        opened.reload()
        opened.wait_for_selector("#task:not([hidden])")
        assert counts(opened).startswith("12 done")
        assert opened.inner_text("#who") == "Mia"
        assert opened.input_value("#note") == "half a thou"
        opened.fill("#note", "")
        opened.keyboard.press("Enter")
        second = office.tab(mia, f"http://127.0.0.1:{port}/")
        assert shown(second) == shown(opened)
        press(second, plan[12])
        opened.wait_for_function("() => document.getElementById('counts').textContent.startsWith('13 done')")
        assert shown(opened) == shown(second) == (spelled(queue[13]["left"]), spelled(queue[13]["right"]))
        second.close()
        for i in range(13, 20):
            press(opened, plan[i])

        # The server is gone: the answer stays in the browser. It comes back: the answer arrives by itself.
        code, out, _ = server.stop()
        assert (code, out.splitlines()[0]) == (0, "Mia: 20 pairs labelled")
        press(opened, plan[20])
        assert "The server does not answer. Your answer is kept in this browser." in opened.inner_text("#problem")
        assert opened.evaluate(OUTBOX) == [keys[plan[20]]]
        assert len(labels(db)) == 20
    with serving(db, "--port", port) as server:
        opened.reload()  # the page as it was is gone with the server's token
        assert "Open the address" in opened.inner_text("body")
        opened.close()
        opened = office.tab(mia, server.address)
        opened.wait_for_function("() => document.getElementById('counts').textContent.startsWith('21 done')")
        assert opened.evaluate(OUTBOX) == []
        for i in range(21, 30):
            assert shown(opened) == (spelled(queue[i]["left"]), spelled(queue[i]["right"])), i
            press(opened, plan[i])
        assert counts(opened).startswith("30 done · 770 left")
        code, out, err = server.stop()
    assert (code, err) == (0, "")
    draw = first["queue"]["calibration_draw"]
    assert out.splitlines() == [
        "Mia: 10 pairs labelled",
        f"calibration draw: {draw - 30} pairs still without a label",
        "Next: run the same `curator label` again.",
    ]

    # Every label says of the responses what the keys said of the sides.
    found = labels(db)
    assert [row["pair_id"] for row in found] == [task["pair_id"] for task in queue[:30]]
    for row, task, key in zip(found, queue, plan, strict=False):
        better = {"left": task["left"], "right": task["right"]}.get(keys[key])
        assert {"a": row["response_a"], "b": row["response_b"]}.get(row["verdict"], row["verdict"]) == (
            better or keys[key]
        )
        assert (row["annotator"], row["origin"], row["blind"]) == ("Mia", "calibration", True)
        assert row["seconds"] is not None
    again = cli.json(*label)
    assert again["calibration"]["n"] == 30, "a skip counts: as an error of any label"
    sided = sum(key in "ab" for key in plan)
    assert again["dataset"]["human"] == sided
    assert cli.json("export", "--db", db, "--out", tmp_path / "dataset")["human"] == sided
    table = pq.read_table(tmp_path / "dataset" / "data").to_pylist()
    chosen = {row["pair_id"]: row["chosen"][0]["content"] for row in table if row["label_source"] == "human"}
    assert chosen == {task["pair_id"]: task[keys[key]] for task, key in zip(queue, plan, strict=False) if key in "ab"}
    everywhere = {url for url in office.asked if not url.startswith(f"http://127.0.0.1:{port}/")}
    assert everywhere == set()


def test_two_annotators_at_once(office: Office, db: Path) -> None:
    with serving(db) as server:
        mia, ben = (office.tab(office.person(), server.address, name) for name in ("Mia", "Ben"))
        for _ in range(3):
            assert task(mia) != task(ben)
            press(mia, "a")
            assert task(mia) != task(ben)
            press(ben, "b")
        assert counts(mia).startswith("3 done")
        press(mia, "u")
        assert counts(mia).startswith("2 done")
        press(mia, "t", "s")
    assert office.said == []
    found = labels(db)
    assert len({row["pair_id"] for row in found}) == len(found) == 7
    assert sorted(row["annotator"] for row in found) == ["Ben"] * 3 + ["Mia"] * 4
    assert [row["verdict"] for row in found if row["annotator"] == "Mia"][2:] == ["tie", "skip"]


def test_somebody_else_takes_over_once_all_is_stored(office: Office, db: Path) -> None:
    with serving(db) as server:
        opened = office.tab(office.person(), server.address, "Mia")
        with held(db):
            press(opened, "a", "?")
            opened.click("#leave")
            opened.wait_for_function(IDLE)
            assert opened.inner_text("#problem p") == "Your answers are not stored yet: wait until they are."
        press(opened, "?")
        opened.click("#leave")
        opened.wait_for_selector("#join:not([hidden])")
        opened.fill("#name", "Ben")
        opened.press("#name", "Enter")
        opened.wait_for_selector("#task:not([hidden])")
        assert opened.inner_text("#who") == "Ben"
        press(opened, "b")
        assert counts(opened).startswith("1 done · 6 left")
    assert [row["annotator"] for row in labels(db)] == ["Mia", "Ben"]
    with serving(db, "--annotator", "Mia") as server:
        opened = office.tab(office.person(), server.address)
        press(opened, "?")
        assert not opened.is_visible("#leave")


def test_a_page_goes_on_while_another_command_has_the_store(office: Office, db: Path) -> None:
    with serving(db, "--annotator", "Mia") as server:
        opened = office.tab(office.person(), server.address)
        with held(db) as holder:
            press(opened, "a", "b")
            assert counts(opened).startswith("2 done")
            notice = opened.inner_text("#notice")
            assert f"(process {holder})" in notice
            assert "You can go on" in notice
            assert opened.evaluate(OUTBOX) == ["left", "right"]
            press(opened, "u")
            assert opened.evaluate(OUTBOX) == ["left", "right", None]
            press(opened, "t")
            opened.reload()
            opened.wait_for_selector("#task:not([hidden])")
            assert counts(opened).startswith("2 done")
        # Nobody presses anything: the page tries by itself.
        opened.wait_for_function("() => document.getElementById('notice').hidden")
        assert opened.evaluate(OUTBOX) == []
    assert [row["verdict"] for row in labels(db)][1:] == ["tie"]
    assert len(labels(db)) == 2


def test_nobody_is_sent_home_before_all_is_stored(office: Office, db: Path) -> None:
    asked: list[str] = []
    with serving(db, "--annotator", "Mia") as server:
        opened = office.tab(office.person(), server.address)
        opened.on("dialog", lambda dialog: (asked.append(dialog.type), dialog.dismiss()))
        with held(db):
            press(opened, *"tttttttt")
            assert opened.inner_text("h1") == "Almost done"
            assert opened.inner_text("#after") == "Leave this page open until your answers are stored."
            opened.close(run_before_unload=True)
            opened.wait_for_timeout(300)
            assert asked == ["beforeunload"]
        opened.wait_for_function("() => document.querySelector('h1').textContent === 'All done, thank you'")
        assert opened.inner_text("#after").endswith("Your answers are in the store.")
        opened.close(run_before_unload=True)
        assert asked == ["beforeunload"]
    assert [row["verdict"] for row in labels(db)] == ["tie"] * 8


def test_a_page_that_tries_again_says_what_is_in_the_way_now(office: Office, db: Path) -> None:
    with serving(db, "--annotator", "Mia", "--port", "0") as server:
        opened = office.tab(office.person(PHONE), server.address)
        server.process.kill()
        server.process.wait()
        press(opened, "a")
        assert opened.inner_text("#problem p").startswith("The server does not answer. Your answer is kept")
        again = opened.locator("#again").bounding_box()
        assert again["height"] < 1.5 * opened.locator("#help").bounding_box()["height"]  # one line
    with serving(db, "--annotator", "Mia", "--port", str(server.port)):
        opened.wait_for_function(
            "() => document.querySelector('#problem p').textContent.startsWith('Open the address')"
        )


def test_kill_9_loses_no_answer(office: Office, db: Path) -> None:
    with serving(db, "--annotator", "Mia", "--port", "0") as server:
        opened = office.tab(person := office.person(), server.address)
        press(opened, "a", "b")
        server.process.kill()
        server.process.wait()
        press(opened, "t")
        assert opened.is_visible("#problem")
    with serving(db, "--annotator", "Mia", "--port", str(server.port)) as again:
        other = office.tab(person, again.address)
        other.wait_for_function("() => document.getElementById('counts').textContent.startsWith('3 done')")
        # The page that was open all the time has the new token too, and finds out by itself.
        opened.wait_for_function("() => document.getElementById('counts').textContent.startsWith('3 done')")
        assert not opened.is_visible("#problem")
        assert task(opened) == task(other)
    assert [row["verdict"] for row in labels(db)][2:] == ["tie"]


def test_hostile_texts_stay_texts(office: Office, tmp_path: Path) -> None:
    rows = [
        {**row, "prompt": f"{i} {attack}", "response_a": f"{attack} a", "response_b": f"b {attack}"}
        for i, (row, attack) in enumerate(zip(pairs(len(ATTACKS)), ATTACKS, strict=True))
    ]
    raw, log = write_rows(tmp_path / "raw.jsonl", rows), write_rows(tmp_path / "log.jsonl", judgments(len(rows)))
    run(["label", str(raw), "--judgments", str(log)])
    with serving(tmp_path / "raw.curated" / "curator.duckdb") as server:
        opened = office.tab(office.person(), server.address, "<img src=x onerror=alert(1)>\u202e")
        assert opened.inner_text("#who") == "<img src=x onerror=alert(1)>"
        whole = 0
        for i in range(len(ATTACKS)):
            assert opened.inner_text("h1") == QUESTION
            assert opened.title().endswith("curator review")
            assert (
                opened.evaluate("document.querySelectorAll('#task :is(script, style, img, a, svg, link)').length") == 0
            )
            assert opened.evaluate(ATTRIBUTES) == []
            assert opened.evaluate(TOO_WIDE) == []
            if opened.is_visible("#left .more"):
                opened.click("#left .more")
                opened.wait_for_selector("#left .more", state="detached")
                whole = max(whole, opened.evaluate("document.querySelector('#left .text').textContent.length"))
            assert counts(opened).startswith(f"{i} done")
            press(opened, "s")
        assert whole > 5_000_000
        assert opened.inner_text("h1") == "All done, thank you"
    assert office.said == []
    assert office.refused == []
    assert all(url.startswith(f"http://127.0.0.1:{server.port}/") for url in office.asked)


def test_were_a_script_to_get_in_it_would_not_run(office: Office, db: Path) -> None:
    with serving(db, "--annotator", "Mia") as server:
        person = office.person()
        inside = "<script>document.title = 'owned'</script><img src='https://example.org/x.png'><p style='color: red'>"

        def let_in(route: Any) -> None:
            reply = route.fetch()
            route.fulfill(response=reply, body=reply.text().replace("<main>", f"<main>{inside}", 1))

        opened = office.tab(person, server.address)
        assert office.said == []
        opened.route(lambda url: url.endswith(f":{server.port}/"), let_in)
        opened.reload()
        opened.wait_for_selector("#task:not([hidden])")
        assert opened.title().endswith("curator review")
        assert len(office.said) == 6, "both the header and the page forbid each of them"
        assert all("Content Security Policy" in message for message in office.said)


def test_another_site_can_neither_read_nor_write(office: Office, db: Path, tmp_path: Path) -> None:
    """Its scripts run in the browser that has the cookie, on this very machine."""
    site = tmp_path / "site"
    site.mkdir()
    (site / "index.html").write_text("<title>evil</title>")
    command = [sys.executable, "-u", "-m", "http.server", "0", "--bind", "127.0.0.1", "--directory", str(site)]
    with (
        serving(db, "--annotator", "Mia") as server,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, cwd=ROOT) as evil,
    ):
        try:
            assert evil.stdout is not None
            found = re.search(r"port (\d+)", evil.stdout.readline())
            assert found is not None
            opened = office.tab(person := office.person(), server.address)
            pair_id = opened.evaluate("backend.load().then(state => state.task.pair_id)")
            other = person.new_page()
            other.goto(f"http://127.0.0.1:{found[1]}/")
            body = f'{{"annotator": "evil", "said": [{{"pair_id": "{pair_id}", "label": "tie", "dealt": "a"}}]}}'
            tried = other.evaluate(
                """async ([home, body]) => {
                  const outcomes = [];
                  for (const [path, settings] of [
                    ['', {}], ['', {mode: 'no-cors'}],
                    ['sync', {method: 'POST', body, headers: {'Content-Type': 'application/json'}}],
                    ['sync', {method: 'POST', body, mode: 'no-cors', headers: {'Content-Type': 'text/plain'}}],
                  ]) {
                    try {
                      const reply = await fetch(home + path, {credentials: 'include', ...settings});
                      outcomes.push(await reply.text());
                    } catch (error) { outcomes.push('refused'); }
                  }
                  const frame = document.createElement('iframe');
                  await new Promise(done => {
                    frame.onload = done;
                    frame.src = home;
                    document.body.append(frame);
                  });
                  try { outcomes.push(frame.contentDocument.body.textContent); } catch { outcomes.push('refused'); }
                  return outcomes;
                }""",
                [f"http://127.0.0.1:{server.port}/", body],
            )
            assert [text for text in tried if text not in {"refused", ""}] == []
            assert other.frames[1].locator("#title").count() == 0, "it cannot be framed"
        finally:
            evil.kill()
    assert labels(db) == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [WIDE, PHONE], ids=["1280", "390"])
def test_everybody_can_use_it(office: Office, db: Path, scheme: str, size: tuple[int, int]) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()

    def check(state: str) -> None:
        found = axe.run(opened).response["violations"]
        serious = [(one["id"], one["nodes"][0]["html"]) for one in found if one["impact"] in {"serious", "critical"}]
        assert serious == [], state
        assert opened.evaluate("document.documentElement.scrollWidth") == size[0], state
        contrast, where = opened.evaluate(LEAST_CONTRAST)
        assert contrast >= 4.5, (state, where)

    with serving(db) as server:
        opened = office.tab(office.person(size, color_scheme=scheme), server.address, "Mia")
        check("task")
        with held(db):
            press(opened, "a")
            check("a task while another command has the store")
        opened.wait_for_function("() => document.getElementById('notice').hidden")
        server.process.kill()
        press(opened, "b")
        check("no server")


def test_the_pace_of_many_answers(office: Office, db: Path) -> None:
    """Half an hour each is the page's clock here; what counts is that the server keeps what it was told."""
    with serving(db, "--annotator", "Mia") as server:
        opened = office.tab(office.person(), server.address)
        press(opened, *"aaa")
        assert re.search(r"3 done · 5 left · \d+ (s|min) each", counts(opened))
        press(opened, *"aaaaa")
        assert opened.inner_text("h1") == "All done, thank you"
        assert "curator label" in opened.inner_text("#after")
    assert len(labels(db)) == 8
