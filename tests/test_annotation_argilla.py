"""Argilla: its own client takes what is written, and what it exports comes back with the right sides.

`python -m tests.test_annotation_argilla` records the exports in tests/golden/annotation anew.
"""

from __future__ import annotations

import csv
import io
import json
import os
import re
import runpy
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from uuid import uuid4

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from curator.annotation import argilla as ours
from curator.annotation.base import CHOICES, QUESTION, Answer, Task
from curator.annotation.registry import TOOLS
from curator.cli.main import run
from curator.files import Reject, Row
from curator.steps.importing import import_labels
from curator.store import Store, open_store
from tests.conftest import Cli, read_rows, write_rows
from tests.fake_argilla import KEY, FakeArgilla
from tests.hostile import TEXTS

GOLDEN = Path(__file__).parent / "golden" / "annotation"
CODE = "Use a *loop*:\n\n```python\nfor x in y:\n\n    print(x)\n```\n"
WAYS = ("argilla_flat.json", "argilla_datasets.jsonl", "argilla_datasets.csv", "argilla_server.jsonl")


def made_up() -> list[dict[str, Any]]:
    """Six pairs of which the longer response is better, one of them a conversation of several turns."""
    turns = [("system", "Be brief."), ("user", "Add *one*."), ("assistant", "I did."), ("user", CODE)]
    prompts: list[Any] = [[{"role": role, "content": content} for role, content in turns]]
    prompts += [f"Question {i}?" for i in range(1, 6)]
    short, long = "No.", 'Yes, because of this:\n\n- first\n- it\'s "second", [third]'
    return [
        {
            "id": f"m{i}",
            "prompt": prompt,
            "response_a": f"{i}: {long if i % 2 else short}",
            "response_b": f"{i}: {short if i % 2 else long}",
        }
        for i, prompt in enumerate(prompts)
    ]


def stored(folder: Path, rows: Sequence[dict[str, Any]]) -> Path:
    """A store of these pairs, none labelled."""
    raw = write_rows(folder / "raw.jsonl", ({**row, "label": None} for row in rows))
    log = [{"id": row["id"], "judge": "j", "order": order, "p_a": 0.5} for row in rows for order in ("ab", "ba")]
    assert run(["label", str(raw), "--judgments", str(write_rows(folder / "log.jsonl", log))]) == 4
    return folder / "raw.curated" / "curator.duckdb"


def record_exports(db: Path, folder: Path, say: Callable[[FakeArgilla, dict[str, dict[str, Any]]], None]) -> None:
    """The queue goes to a server, people answer there, and the client exports what they said in every way it has."""
    import argilla
    from datasets.utils.logging import disable_progress_bar

    from curator.annotation import argilla_sync

    disable_progress_bar()
    with FakeArgilla() as server:
        os.environ["ARGILLA_API_URL"], os.environ["ARGILLA_API_KEY"] = server.url, KEY
        try:
            assert run(["queue", "--db", str(db), "--to", "argilla", "--out", str(folder), "--push", "pairs"]) == 0
            say(server, {one["metadata"]["pair_id"]: one for one in server.records("pairs")})
            with argilla_sync.connected() as client:
                write_rows(folder / "argilla_server.jsonl", argilla_sync.pull(client, "pairs", "team", page=4))
                records = client.datasets("pairs", workspace="team").records
                (folder / "argilla_flat.json").write_text(json.dumps(records.to_list(flatten=True)))
                records.to_json(folder / "argilla_records.json")
                records.to_datasets().to_json(folder / "argilla_datasets.jsonl")
                records.to_datasets().to_csv(folder / "argilla_datasets.csv")
        finally:
            argilla.Argilla._default_client = None
            del os.environ["ARGILLA_API_URL"], os.environ["ARGILLA_API_KEY"]


def people(tasks: dict[str, dict[str, Any]]) -> Callable[[FakeArgilla, dict[str, dict[str, Any]]], None]:
    """Anna says which response is longer, Ben that nothing is better; a draft, a discarded one, one left alone."""

    def say(server: FakeArgilla, records: dict[str, dict[str, Any]]) -> None:
        for number, (pair_id, task) in enumerate(sorted(tasks.items())):
            record, better = records[pair_id], "left" if len(task["left"]) > len(task["right"]) else "right"
            match number:
                case 0:
                    server.respond(record, 1, "submitted", preference=better, note="it's \"clear\", [isn't it?]\nNone")
                    server.respond(record, 2, "submitted", preference="tie", note="so\\so")
                case 1:
                    server.respond(record, 1, "submitted", preference=better)
                    server.respond(record, 2, "discarded")
                case 2:
                    server.respond(record, 1, "submitted", preference="both_bad")
                case 3:
                    server.respond(record, 1, "draft", preference=better)
                case 4:
                    server.respond(record, 1, "submitted", preference="skip", note="")
                    server.respond(record, 2, "draft", preference=better)

    return say


def row(values: dict[str, Any]) -> Row:
    return Row("file", 1, values, orjson.dumps(values))


def said(values: dict[str, Any]) -> list[Answer | Reject]:
    assert [tool.name for tool in TOOLS.values() if tool.recognises(values)] == ["argilla"]
    return list(ours.TOOL.answers(row(values)))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return stored(tmp_path_factory.mktemp("made"), made_up()).parent


@pytest.fixture
def db(made: Path, tmp_path: Path) -> Path:
    return shutil.copytree(made, tmp_path / "raw.curated") / "curator.duckdb"


@pytest.fixture
def tasks(db: Path) -> dict[str, dict[str, Any]]:
    return {task["pair_id"]: task for task in read_rows(db.parent / "queue.jsonl")}


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeArgilla]:
    import argilla

    with FakeArgilla() as fake:
        monkeypatch.setenv("ARGILLA_API_URL", fake.url)
        monkeypatch.setenv("ARGILLA_API_KEY", KEY)
        monkeypatch.setattr(argilla.Argilla, "_default_client", None)
        yield fake


# What is written


def test_the_clients_own_models_take_settings_and_records(
    db: Path, tasks: dict[str, dict[str, Any]], server: FakeArgilla, cli: Cli, tmp_path: Path
) -> None:
    import argilla

    out = tmp_path / "people"
    written = cli.json("queue", "--db", db, "--to", "argilla", "--out", out, "--shard-size", 4)
    names = ["queue-0001.argilla.json", "queue-0002.argilla.json", "argilla-settings.json", "argilla-sync.py"]
    assert [Path(path).name for path in written["files"]] == names
    assert (written["tasks"], written["pushed"]) == (6, {})
    client = argilla.Argilla(api_url=server.url, api_key=KEY)
    made = argilla.Settings.from_json(out / "argilla-settings.json")
    assert made == argilla.Settings(
        guidelines=ours.GUIDELINES,
        fields=[argilla.TextField(name, name.title(), use_markdown=True) for name in ("prompt", "left", "right")],
        questions=[
            argilla.LabelQuestion("preference", labels=CHOICES, title=QUESTION),
            argilla.TextQuestion("note", title="Note", required=False),
        ],
        allow_extra_metadata=True,
        distribution=argilla.TaskDistribution(min_submitted=1),
    )
    made.validate()
    shards = [json.loads((out / name).read_text()) for name in names[:2]]
    assert [len(shard) for shard in shards] == [4, 2]
    records = [argilla.Record.from_dict(one) for shard in shards for one in shard]
    assert [record.metadata["pair_id"] for record in records] == list(tasks)  # in the queue's order
    for record, task in zip(records, tasks.values(), strict=True):
        assert Page(record.fields["left"]).text.startswith(task["left"][:5])
        assert record.id.startswith(f"{task['pair_id']}-")
        assert record.metadata.keys() == {"pair_id", "left_sha256"}  # nothing of a judge
        assert len(record.suggestions) == 0
    # The client's own reader of files takes a shard too.
    dataset = argilla.Dataset("again", workspace="team", settings=made).create()
    dataset.records.from_json(out / names[1])
    assert [one["external_id"] for one in server.records("again")] == [one["id"] for one in shards[1]]
    client.http_client.close()
    assert cli("queue", "--db", db, "--to", "argilla", "--out", out) == 0  # nothing in them that would be lost
    assert not (out / names[1]).exists()


def test_two_people_a_record_are_a_setting(tmp_path: Path) -> None:
    ours._set_up(tmp_path, annotators=2)
    assert json.loads((tmp_path / "argilla-settings.json").read_text())["distribution"] == {
        "strategy": "overlap",
        "min_submitted": 2,
    }


def test_a_shown_verdict_is_a_suggestion_and_a_pair_asked_again_another_record() -> None:
    import argilla

    task = Task("0" * 32, [{"role": "user", "content": "?"}], "one", "two", {"prefers": "right", "probability": 0.8})
    shown = argilla.Record.from_dict(ours.record(task))
    suggestion = shown.suggestions["preference"]
    assert (suggestion.value, suggestion.score, suggestion.agent, suggestion.type) == ("right", 0.8, "judge", "model")
    assert (shown.metadata["judge_prefers"], shown.metadata["judge_probability"]) == ("right", 0.8)
    torn = ours.record(Task("0" * 32, task.prompt, "one", "two", {"prefers": None, "probability": 0.5}))
    assert (torn["metadata"]["judge_prefers"], torn["suggestions"]) == ("neither", {})
    again = ours.record(Task("0" * 32, task.prompt, "two", "one"))
    assert (again["id"] == shown.id, again["id"][:33] == shown.id[:33]) == (False, True)
    hidden = ours.record(Task("0" * 32, task.prompt, task.left, task.right))
    assert shown.id == f"{hidden['id']}-judged", "what was said beside a verdict stays with a record that shows it"


class Page(HTMLParser):
    """What a browser makes of HTML: its elements, their attributes and its text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[Any] = []
        self.text = ""
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.tags.append(tag)
        self.attributes += attrs

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.mark.parametrize("text", [*TEXTS, CODE, "a\n\n![i](http://127.0.0.1:9/i.png)\n\n$x$", "\n\n    ![i](//x)\n"])
def test_texts_look_the_same_read_as_markdown_or_as_html_and_load_nothing(text: str) -> None:
    task = Task("0" * 32, [{"role": text, "content": text}, {"role": "user", "content": text}], text, text)
    markdown = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
    for field in ours.record(task)["fields"].values():
        plain, marked = Page(field), Page(markdown.render(field))
        assert (marked.text.rstrip(), marked.tags, marked.attributes) == (plain.text.rstrip(), plain.tags, [])
        assert not plain.attributes
        assert not set(plain.tags) & {"a", "img", "object", "embed", "svg", "script", "style", "iframe"}
        assert "\n" not in field


def test_a_conversation_is_a_table_of_turns_and_code_is_code() -> None:
    prompt = made_up()[0]["prompt"]
    shown = Page(ours.record(Task("0" * 32, prompt, "one", "two"))["fields"]["prompt"])
    assert shown.tags.count("tr") == 4
    assert ("em" in shown.tags, "pre" in shown.tags) == (True, True)
    assert "for x in y:\n\n    print(x)" in shown.text
    assert re.findall("system|user|assistant", shown.text) == ["system", "user", "assistant", "user"]


# Sending


def test_pushing_makes_the_dataset_and_pushing_again_doubles_nothing(
    db: Path, server: FakeArgilla, cli: Cli, tmp_path: Path
) -> None:
    push = ("queue", "--db", db, "--to", "argilla", "--out", tmp_path / "people", "--shard-size", 4, "--push", "pairs")
    assert cli.json(*push)["pushed"] == {"pairs": 6}
    assert server.bulks == [4, 2]
    made = server.dataset("pairs")
    assert (made["status"], made["workspace_id"]) == ("ready", server.workspaces[0]["id"])
    assert (made["guidelines"], made["distribution"]["min_submitted"]) == (ours.GUIDELINES.strip(), 1)
    assert [one["name"] for one in made["fields"] + made["questions"]] == [
        "prompt",
        "left",
        "right",
        "preference",
        "note",
    ]
    assert made["questions"][0]["settings"]["options"] == [
        {"value": value, "text": text} for value, text in CHOICES.items()
    ]
    records = server.records("pairs")
    written = [one for path in sorted((tmp_path / "people").glob("queue-*")) for one in json.loads(path.read_text())]
    assert [(one["external_id"], one["fields"], one["metadata"]) for one in records] == [
        (one["id"], one["fields"], one["metadata"]) for one in written
    ]
    server.respond(records[0], 1, "submitted", preference="left")
    assert cli(*push, "--workspace", "team") == 0
    assert "Argilla has them: 6 records in pairs" in cli.out
    assert cli.err == ""
    assert server.records("pairs") == records  # the answer too
    assert len(server.datasets) == 1


def test_what_is_wrong_with_a_server_is_said_without_the_key(
    db: Path, server: FakeArgilla, cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import argilla

    from curator.annotation import argilla_sync

    def problem(*more: object) -> str:
        out = ("--out", tmp_path / "people", "--push", "pairs")
        assert cli("queue", "--db", db, "--to", "argilla", *out, *more) == 1
        assert cli.out == ""
        assert KEY not in cli.err
        return cli.err

    assert "name one workspace with --workspace; there are: team" in problem("--workspace", "nobody's")
    with argilla_sync.connected() as client:
        fields, questions = [argilla.TextField("text")], [argilla.TextQuestion("what")]
        other = argilla.Settings(fields=fields, questions=questions)
        argilla.Dataset("other", workspace="team", settings=other, client=client).create()
    assert "dataset other holds something else" in problem("--push", "other")
    server.status = 500
    assert "Argilla at 127.0.0.1" in (said := problem())
    assert "refused, ***\ufffd[31m" in said
    server.status = 299
    assert "is no Argilla server" in problem()
    server.status = None
    monkeypatch.setenv("ARGILLA_API_KEY", "another.secret")
    assert "Credentials" in problem()
    assert "another.secret" not in cli.err
    for url, said in (
        ("http://olga:my@pass@127.0.0.1:9/x", "Argilla at 127.0.0.1:9: [Errno 111] Connection refused"),
        ("127.0.0.1:9", "Argilla at 127.0.0.1:9: Request URL is missing"),
        ("http://[::1", "at [::1"),
        ("http://127.0.0.1:x", "at 127.0.0.1:x"),
    ):
        monkeypatch.setenv("ARGILLA_API_URL", url)
        assert said in problem()
    assert "pass" not in cli.err
    with monkeypatch.context() as without:
        without.setitem(sys.modules, "argilla._exceptions._base", None)
        assert "pip install 'preference-curator[argilla]'" in problem()
    monkeypatch.delenv("ARGILLA_API_KEY")
    assert "ARGILLA_API_KEY" in problem()


def test_pushing_is_for_argilla(db: Path, cli: Cli, tmp_path: Path) -> None:
    assert cli("queue", "--db", db, "--out", tmp_path / "people", "--push", "pairs") == 2
    assert cli("queue", "--db", db, "--to", "argilla", "--out", tmp_path / "people", "--workspace", "team") == 2
    assert "--workspace goes with --push" in cli.err
    assert not (tmp_path / "people").exists()


def test_the_script_beside_the_queue_needs_no_curator(
    db: Path,
    server: FakeArgilla,
    cli: Cli,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = tmp_path / "people"
    assert cli("queue", "--db", db, "--to", "argilla", "--out", out, "--shard-size", 4) == 0

    def sync(*arguments: object) -> str:
        monkeypatch.setattr(sys, "argv", ["argilla-sync.py", *map(str, arguments)])
        runpy.run_path(str(out / "argilla-sync.py"), run_name="__main__")
        return capsys.readouterr().out

    assert sync("push", "pairs") == "6 records sent\n"
    record = server.records("pairs")[2]
    server.respond(record, 2, "submitted", preference="tie")
    server.respond(record, 1, "discarded")
    record["responses"][1]["values"] = None  # the client itself cannot read this
    assert sync("pull", "pairs", tmp_path / "said.jsonl", "--workspace", "team") == "6 records written\n"
    assert "curator" not in re.findall(r"^(?:from|import) (\w+)", (out / "argilla-sync.py").read_text(), re.MULTILINE)
    imported = cli.json("import", tmp_path / "said.jsonl", "--db", db)
    assert (imported["added"], imported["ignored"], imported["refused"]) == (1, {"discarded": 1, "empty": 5}, [])


# Coming back


def verdicts(store: Store) -> set[tuple[str, str, str | None]]:
    rows = store.rows("SELECT response_a, response_b, verdict, note FROM human_label JOIN pair USING (pair_id)")
    longer = ["a" if len(a) > len(b) else "b" for a, b, *_ in rows]
    return {("better" if v == best else v, n) for (_, _, v, n), best in zip(rows, longer, strict=True)}


@pytest.mark.parametrize("name", WAYS)
def test_recorded_exports_come_back_with_the_right_sides(name: str, db: Path, tmp_path: Path) -> None:
    with open_store(db, create=False) as store:
        done = import_labels(store, [str(GOLDEN / name)], "somebody")
        assert (done["added"], done["refused"]) == (5, [])
        assert (
            done["ignored"] == {"discarded": 1, "draft": 2, "empty": 1}
            if "server" in name
            else {"draft": 2, "empty": 1}
        )
        first = store.rows("SELECT blind, epoch(said_at) FROM human_label WHERE note LIKE 'it%'")
        people = store.rows("SELECT annotator, count(*) FROM human_label GROUP BY ALL ORDER BY 2 DESC")
        assert verdicts(store) == {
            ("better", "it's \"clear\", [isn't it?]\nNone"),
            ("better", None),
            ("tie", "so\\so"),
            ("both_bad", None),
            ("skip", None),
        }
        assert [count for _, count in people] == [4, 1]
        assert first[0][0] is True
        if "server" in name:
            assert [who for who, _ in people] == ["anna", "ben"]
            assert first[0][1] == datetime(2026, 3, 2, 9, 30, 0, 250_000, UTC).timestamp()
        assert import_labels(store, [str(GOLDEN / name)], "somebody")["unchanged"] == 5


def test_to_json_forgets_what_was_submitted_so_only_what_must_have_been_counts(db: Path, tmp_path: Path) -> None:
    with open_store(db, create=False) as store:
        done = import_labels(store, [str(GOLDEN / "argilla_records.json")], "somebody")
        # Two answers to one record, and an answer beside a draft, look the same.
        assert (done["added"], done["ignored"]) == (2, {"empty": 1, "not completed": 1})
        assert len(done["refused"]) == 2
        assert "export with dataset.records.to_list(flatten=True)" in done["refused"][0]
        assert verdicts(store) == {("better", None), ("both_bad", None)}


def test_a_record_of_a_queue_that_dealt_the_sides_otherwise_is_refused(db: Path, tmp_path: Path) -> None:
    rows = json.loads((GOLDEN / "argilla_flat.json").read_text())
    task = {one["pair_id"]: one for one in read_rows(db.parent / "queue.jsonl")}
    given = (["left"], ["submitted"]), (["right"], ["submitted"])
    labelled = next(one for one in rows if (one["preference.responses"], one["preference.responses.status"]) in given)
    shown = task[labelled["pair_id"]]
    turned = ours.record(Task(shown["pair_id"], shown["prompt"], shown["right"], shown["left"]))["metadata"]
    with open_store(db, create=False) as store:
        done = import_labels(store, [str(write_rows(tmp_path / "turned.jsonl", [labelled | turned]))], "somebody")
        assert (done["added"], len(done["refused"])) == (0, 1)
        assert "write the queue anew" in done["refused"][0]
        done = import_labels(store, [str(write_rows(tmp_path / "right.jsonl", [labelled]))], "somebody")
        assert (done["added"], done["refused"]) == (1, [])


def test_real_pairs_go_out_and_come_back(shared_data: Callable[[str], Path], tmp_path: Path) -> None:
    rows = [row for row in read_rows(shared_data("prd_vicuna80.jsonl")) if row["label"] in ("a", "b")][:30]
    db = stored(tmp_path, rows)
    tasks = read_rows(db.parent / "queue.jsonl")
    better = {row["response_a"] + "\0" + row["response_b"]: row["label"] for row in rows}
    assert len(tasks) == len(better) == 30

    def say(server: FakeArgilla, records: dict[str, dict[str, Any]]) -> None:
        for task in tasks:
            given = better.get(task["left"] + "\0" + task["right"]), better.get(task["right"] + "\0" + task["left"])
            side = "left" if given in (("a", None), (None, "b")) else "right"
            server.respond(records[task["pair_id"]], 1, "submitted", preference=side)

    record_exports(db, tmp_path / "people", say)
    for name in (*WAYS, "argilla_records.json"):
        with open_store(db, create=False) as store:
            done = import_labels(store, [str(tmp_path / "people" / name)], "somebody")
            assert (done["added"] + done["unchanged"], done["refused"], done["ignored"]) == (len(tasks), [], {})
            labels = store.rows("SELECT response_a, response_b, verdict FROM latest_label JOIN pair USING (pair_id)")
            assert {a + "\0" + b: verdict for a, b, verdict in labels} == better


def test_a_shown_verdict_comes_back_as_not_blind() -> None:
    flat = {
        "pair_id": "0" * 32, "left_sha256": "x", "preference.responses": ["tie"], "preference.responses.users": ["u"],
        "preference.responses.status": ["submitted"], "preference.suggestion": None,
    }  # fmt: skip
    assert [one.shown for one in said(flat) if isinstance(one, Answer)] == [False]
    # A set of labels is numbers in a dataset of Hugging Face, "nothing" being one of them.
    for more, shown in (
        ({"judge_prefers": "neither"}, True),
        ({"preference.suggestion": "left"}, True),
        ({"preference.suggestion": 0}, False),
        ({"preference.suggestion": "0"}, False),
        ({"preference.suggestion": 1, "preference.suggestion.agent": "somebody's model"}, True),
        ({"preference.suggestion": 1, "preference.suggestion.score": 0.7}, True),
    ):
        assert [one.shown for one in said(flat | more) if isinstance(one, Answer)] == [shown]


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"preference.responses": ["Left!"]}, "preference is none of left, right, tie, both_bad, skip"),
        ({"preference.responses": [["left"]]}, "preference is none of"),
        ({"preference.responses.users": [3]}, "responses are not as an export"),
        ({"preference.responses.status": ["\x1b[31m"]}, "responses are not as an export"),
        ({"preference.responses.status": [3]}, "responses are not as an export"),
        ({"preference.responses.users": []}, "responses are not as an export"),
        ({"preference.responses": 7}, "responses are not as an export"),
        ({"preference.responses": "['\\x']"}, "responses are not as an export"),
        ({"pair_id": None}, "metadata has no pair_id"),
        ({"left_sha256": 3}, "metadata has no pair_id"),
        ({"responses": [{"status": "submitted"}]}, "responses are not as an export"),
        ({"responses": [{"status": "submitted", "values": {"preference": 3}}]}, "responses are not as an export"),
        ({"responses": [{"status": "submitted", "values": {}, "updated_at": "soon"}]}, "responses are not as"),
        ({"responses": {"preference": [{"value": "left"}]}, "status": "completed"}, "responses are not as an export"),
    ],
)
def test_rows_that_were_tampered_with_are_refused_by_name(change: dict[str, Any], problem: str) -> None:
    flat = {
        "pair_id": "0" * 32, "left_sha256": "x", "preference.responses": ["left"],
        "preference.responses.users": ["u"], "preference.responses.status": ["submitted"],
    }  # fmt: skip
    answers = said(flat | change)
    assert len(answers) == 1
    assert isinstance(answers[0], Reject)
    assert problem in str(answers[0])


TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=90)
SAID = st.tuples(st.sampled_from(list(CHOICES)), TEXT, st.sampled_from(["submitted", "draft", "discarded"]))


@settings(max_examples=40, deadline=None)
@given(st.lists(SAID, min_size=1, max_size=4), TEXT, TEXT)
def test_whatever_people_say_comes_back(everybody: list[tuple[str, str, str]], left: str, right: str) -> None:
    import argilla
    from argilla.records._io import GenericIO
    from datasets import Dataset
    from datasets.utils.logging import disable_progress_bar

    disable_progress_bar()
    record = argilla.Record.from_dict(ours.record(Task("0" * 32, [{"role": "user", "content": left}], left, right)))
    for label, note, status in everybody:
        who = uuid4()
        record.responses.add(argilla.Response("preference", label, who, status))
        if note:
            record.responses.add(argilla.Response("note", note, who, status))
    users = [str(one.user_id) for one in record.responses if one.question_name == "preference"]
    expected = [
        (label, user, note or None, None if status == "submitted" else status)
        for (label, note, status), user in zip(everybody, users, strict=True)
    ]
    table = io.BytesIO()
    Dataset.from_dict(GenericIO.to_dict([record], flatten=True)).to_csv(table)
    text = io.StringIO(table.getvalue().decode(), newline="")
    for values in (GenericIO.to_list([record], flatten=True)[0], next(csv.DictReader(text))):
        found = [one for one in said(json.loads(json.dumps(values))) if isinstance(one, Answer)]
        assert [(one.label, one.annotator, one.note, one.ignored) for one in found] == expected


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        new = stored(Path(folder), made_up())
        queue = {task["pair_id"]: task for task in read_rows(new.parent / "queue.jsonl")}
        record_exports(new, Path(folder), people(queue))
        for export in Path(folder).glob("argilla_*"):
            (GOLDEN / export.name).write_bytes(export.read_bytes())
