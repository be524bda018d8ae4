"""Label Studio: what its own library says of what it is given, and what its real exports say."""

from __future__ import annotations

import csv
import json
import re
import shutil
import warnings
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from curator.annotation.base import CHOICES, Answer, signs_say
from curator.annotation.label_studio import TOOL
from curator.annotation.label_studio_tasks import config
from curator.annotation.registry import TOOLS
from curator.cli.main import run
from curator.files import Reject, Row
from tests.conftest import Cli, read_rows, write_rows
from tests.hostile import TEXTS

# Of Label Studio 1.23.2: seven tasks that two people answered, partly in Chromium and partly by its API, and two of a
# Pairwise configuration of somebody's own. The pairs are ours.
RECORDED = Path(__file__).parent / "golden" / "annotation" / "label_studio"

ID = "0123456789abcdef0123456789abcdef"

SHORT = [text for text in TEXTS if len(text) < 500]

texts = st.one_of(st.sampled_from(SHORT), st.text(st.characters(exclude_categories=["Cs"]), max_size=60))


@pytest.fixture(scope="module")
def interface() -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from label_studio_sdk.label_interface import LabelInterface
    return LabelInterface(config())


def row(values: dict[str, Any]) -> Row:
    return Row("export.json", 1, values, json.dumps(values).encode())


def answers(values: dict[str, Any]) -> list[Answer | Reject]:
    assert TOOL.recognises(values)
    return list(TOOL.answers(row(values)))


def tasks(*lines: dict[str, Any]) -> list[dict[str, Any]]:
    """The tasks of a file that was written for some lines of queue.jsonl."""
    whole = {"pair_id": ID, "prompt": [{"role": "user", "content": "Why?"}], "left": "one", "right": "two"}
    written: list[dict[str, Any]] = json.loads(b"".join(TOOL.encode(json.dumps(whole | x).encode() for x in lines)))
    return written


def result(label: str, note: str | None = None) -> list[dict[str, Any]]:
    said = {"from_name": "verdict", "to_name": "prompt", "type": "choices", "value": {"choices": [label]}}
    noted = {"from_name": "note", "to_name": "prompt", "type": "textarea", "value": {"text": [note]}}
    return [said] if note is None else [said, noted]


def annotated(*annotations: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {**tasks({})[0], "annotations": list(annotations), **more}


# --- what Label Studio is given


def test_label_studio_accepts_the_configuration_and_finds_every_choice_in_it(interface: Any) -> None:
    interface.validate()
    assert interface.get_control("verdict").labels == list(CHOICES)
    assert interface.get_control("verdict").to_name == ["prompt"]
    assert {one.name: one.value_name for one in interface.objects} == {
        "prompt": "prompt_html",
        "left": "left_html",
        "right": "right_html",
    }
    keys = {one.get("alias"): one.get("hotkey") for one in ElementTree.fromstring(config()).iter("Choice")}
    assert keys == {"left": "1", "right": "2", "tie": "3", "both_bad": "4", "skip": "5"}


def test_the_sides_stand_where_they_belong() -> None:
    config_root = ElementTree.fromstring(config())
    shown = [(one.tag, one.get("value")) for one in config_root.iter() if one.tag in {"Header", "HyperText"}]
    assert shown == [
        ("HyperText", "$prompt_html"),
        ("Header", "Left"),
        ("HyperText", "$left_html"),
        ("Header", "Right"),
        ("HyperText", "$right_html"),
        ("Header", "Which response is better?"),
    ]
    (task,) = tasks({"left": "the **one**", "right": "the other"})
    assert task["data"] == {
        "pair_id": ID,
        "prompt_html": "<article><p>Why?</p>\n</article>",
        "left_html": "<article><p>the <strong>one</strong></p>\n</article>",
        "right_html": "<article><p>the other</p>\n</article>",
        "left_json": '"the **one**"',
    }


def test_a_conversation_shows_who_said_what() -> None:
    prompt = [("system", "Be brief."), ("user", "</dd><dt>user</dt>"), ("<b>", "# user")]
    (task,) = tasks({"prompt": [{"role": role, "content": content} for role, content in prompt]})
    assert task["data"]["prompt_html"] == (
        "<dl><dt>system</dt><dd><p>Be brief.</p>\n</dd>"
        "<dt>user</dt><dd><p>&lt;/dd&gt;&lt;dt&gt;user&lt;/dt&gt;</p>\n</dd>"
        "<dt>&lt;b&gt;</dt><dd><h1>user</h1>\n</dd></dl>"
    )


@pytest.mark.parametrize(
    ("judge", "words"),
    [
        ({"prefers": "left", "probability": 0.834}, "The judge prefers left (83%)."),
        ({"prefers": "right", "probability": None}, "The judge prefers right."),
        ({"prefers": None, "probability": 0.5}, "The judge prefers neither."),
    ],
)
def test_a_verdict_is_there_only_where_it_is_to_be_shown(judge: dict[str, Any], words: str, interface: Any) -> None:
    hidden, shown = tasks({}, {"judge": judge})
    assert shown["data"]["judge"] == judge
    assert shown["data"]["prompt_html"] == f"<p><strong>{words}</strong></p>" + hidden["data"]["prompt_html"]
    assert "judge" not in json.dumps(hidden)
    assert interface.validate_task(shown)
    said = {"annotations": [{"result": result("tie")}]}
    assert [one.shown for task in (hidden, shown) for one in answers({**task, **said})] == [False, True]  # type: ignore[union-attr]


def test_no_tasks_are_a_list_of_none() -> None:
    assert tasks() == []


class _Html(HTMLParser):
    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[Any] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[Any]) -> None:
        self.tags.append(tag)
        self.attributes += attrs

    def handle_comment(self, data: str) -> None:
        raise AssertionError(data)

    handle_decl = handle_pi = unknown_decl = handle_comment


def assert_harmless(messages: list[dict[str, str]], left: str, right: str) -> None:
    (task,) = tasks({"prompt": messages, "left": left, "right": right})
    data = task["data"]
    for name in ("prompt_html", "left_html", "right_html"):
        html = _Html(data[name])
        assert html.attributes == []
        assert not set(html.tags) & {"script", "style", "img", "a", "iframe", "svg", "form", "input", "link", "meta"}
        assert html.tags[0] == ("dl" if name == "prompt_html" and "<dl>" in data[name] else "article")
        assert html.tags.count("dt") == (len(messages) if html.tags[0] == "dl" else 0)
        assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]", data[name])
    assert json.loads(data["left_json"]) == left
    assert re.fullmatch('"[^\x00-\x1f]*"', data["left_json"])


@given(st.lists(st.tuples(texts, texts), min_size=1, max_size=3), texts, texts)
def test_hostile_text_stays_text(prompt: list[tuple[str, str]], left: str, right: str) -> None:
    assert_harmless([{"role": role, "content": content} for role, content in prompt], left, right)


@pytest.mark.parametrize("text", [text for text in TEXTS if text not in SHORT], ids=lambda text: text[:4])
def test_long_hostile_text_stays_text(text: str) -> None:
    assert_harmless([{"role": "user", "content": text}], text, "other")


def test_a_character_that_markdown_makes_of_its_number_is_marked_too() -> None:
    (task,) = tasks({"left": "&#x202e;a &shy;b &lt;c&gt;"})
    assert task["data"]["left_html"] == "<article><p>⟨U+202E⟩a ⟨U+00AD⟩b &lt;c&gt;</p>\n</article>"


# --- and what comes back


@given(st.sampled_from(list(CHOICES)), texts, texts, st.one_of(st.none(), texts.filter(bool)))
def test_every_answer_comes_back_as_it_was_given(
    interface: Any, label: str, left: str, right: str, note: str | None
) -> None:
    (task,) = tasks({"left": left, "right": right})
    assert interface.validate_task(task)
    annotation = {"completed_by": 3, "result": result(label, note), "lead_time": 2.5}
    assert interface.validate_annotation(annotation)
    flat = {"annotator": 3, "annotation_id": 9, "lead_time": 2.5, "verdict": label, "note": note}
    for values in ({**task, "annotations": [annotation]}, {**task["data"], **flat}):
        (answer,) = answers(values)
        assert isinstance(answer, Answer)
        assert (answer.pair_id, answer.label, answer.note, answer.left) == (ID, label, note, left)
        assert (answer.annotator, answer.seconds, answer.ignored) == ("label-studio:3", 2.5, None)


def convert(exported: list[dict[str, Any]], form: str, folder: Path) -> list[dict[str, Any]]:
    """What Label Studio's own converter makes of a JSON export."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from label_studio_sdk.converter import Converter
    given_file = folder / "export.json"
    given_file.write_text(json.dumps(exported), encoding="utf-8")
    Converter(config(), project_dir=None).convert(str(given_file), str(folder / form), form, is_dir=False)
    if form == "JSON_MIN":
        rows: list[dict[str, Any]] = json.loads((folder / form / "result.json").read_text(encoding="utf-8"))
        return rows
    with (folder / form / "result.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.parametrize("form", ["JSON_MIN", "CSV"])
def test_hostile_tasks_survive_the_converter_of_label_studio(form: str, tmp_path: Path) -> None:
    labels = [list(CHOICES)[i % len(CHOICES)] for i in range(len(TEXTS))]
    exported = [
        {
            **task,
            "id": i,
            "annotations": [{"id": i + 1, "completed_by": 1, "result": result(label, f"{i}."), "created_at": "2026"}],
        }
        for i, (task, label) in enumerate(zip(tasks(*({"left": text} for text in TEXTS)), labels, strict=True))
    ]
    for one in exported:
        one["annotations"][0]["created_at"] = "2026-11-24T12:00:00Z"  # type: ignore[index]
    back = [answer for values in convert(exported, form, tmp_path) for answer in answers(values)]
    found = {(a.left, a.label, a.note) for a in back if isinstance(a, Answer)}
    assert found == {(text, label, f"{i}.") for i, (text, label) in enumerate(zip(TEXTS, labels, strict=True))}


def recorded(name: str) -> list[dict[str, Any]]:
    """The rows of a recorded export."""
    path = RECORDED / name
    if path.suffix == ".json":
        rows: list[dict[str, Any]] = json.loads(path.read_text(encoding="utf-8"))
        return rows
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, delimiter="\t" if path.suffix == ".tsv" else ","))


@pytest.fixture(scope="module")
def labelled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("own")
    files = (RECORDED / "pairs.jsonl", "--judgments", RECORDED / "judgments.jsonl")
    assert run([str(one) for one in ("label", *files, "--out", out)]) == 4
    return out / "curator.duckdb"


@pytest.fixture
def store(labelled: Path, tmp_path: Path) -> Path:
    return Path(shutil.copy(labelled, tmp_path))


def imported(cli: Cli, db: Path, export: Path | Iterable[dict[str, Any]]) -> dict[str, Any]:
    path = export if isinstance(export, Path) else write_rows(db.parent / "export.jsonl", export)
    done = cli.json("import", path, "--db", db)
    assert cli.code == 0
    return done


def stored(cli: Cli, db: Path) -> list[tuple[str, ...]]:
    query = """SELECT 'own-' || (line - 1) AS pair, annotator, verdict, note, seconds
               FROM human_label JOIN pair USING (pair_id) ORDER BY ALL"""
    assert cli("sql", query, "--db", db, "--json") == 0
    return [tuple(json.loads(line).values()) for line in cli.out.splitlines()]


ONE, TWO = "label-studio:1", "label-studio:2"
SAID = [
    # Left showed response b of own-0, own-3, own-4 and own-6, and a of the others.
    ("own-0", ONE, "a", None, 2.971),
    ("own-1", ONE, "a", 'Shorter, and "right".\n=1+1', 12.5),
    ("own-1", TWO, "b", None, 3.0),
    ("own-2", ONE, "tie", None, 5.25),
    ("own-3", ONE, "both_bad", None, 5.25),
    ("own-4", ONE, "b", None, 9.75),  # said right at first, and corrected it there
    ("own-5", TWO, "skip", None, 1.5),
]


@pytest.mark.parametrize(
    ("name", "ignored"),
    [
        ("export.json", {"draft": 1, "skipped": 1}),
        ("export.min.json", {"empty": 1}),
        ("export.csv", {"empty": 1}),
        ("export.tsv", {"empty": 1}),
    ],
)
def test_recorded_exports_come_back_with_the_right_sides(
    name: str, ignored: dict[str, int], cli: Cli, store: Path
) -> None:
    first = imported(cli, store, RECORDED / name)
    assert (first["added"], first["superseded"], first["ignored"], first["refused"]) == (7, 0, ignored, [])
    assert (first["tools"], first["annotator_labels"]) == ({"label-studio": 7}, {ONE: 5, TWO: 2})
    assert stored(cli, store) == SAID
    # The same answers in whatever form add nothing.
    for other in ("export.json", "export.min.json", "export.csv", "export.tsv"):
        again = imported(cli, store, RECORDED / other)
        assert (again["added"], again["superseded"], again["unchanged"], again["refused"]) == (0, 0, 7, [])


def test_tasks_of_the_api_are_of_the_same_people_as_exports(cli: Cli, store: Path) -> None:
    done = imported(cli, store, RECORDED / "api.json")
    assert (done["added"], done["ignored"], done["refused"]) == (7, {"draft": 1, "skipped": 1}, [])
    assert stored(cli, store) == SAID
    again = imported(cli, store, RECORDED / "export.json")
    assert (again["added"], again["superseded"], again["unchanged"], again["refused"]) == (0, 0, 7, [])


@pytest.mark.parametrize(
    ("annotator", "name"),
    [
        (7, "label-studio:7"),
        ("7", "label-studio:7"),
        ({"id": 7, "email": "a@example.com"}, "label-studio:7"),
        ({"email": "a@example.com"}, "a@example.com"),
        ("a@example.com", "a@example.com"),
        ({}, None),
    ],
)
def test_people_are_known_by_their_number_where_there_is_one(annotator: Any, name: str | None) -> None:
    (answer,) = answers(annotated({"completed_by": annotator, "result": result("left")}))
    assert isinstance(answer, Answer)
    assert answer.annotator == name


@pytest.mark.parametrize("name", ["pairwise.json", "pairwise.min.json", "pairwise.csv"])
def test_a_pairwise_export_of_somebodys_own_comes_back(name: str, cli: Cli, store: Path) -> None:
    done = imported(cli, store, RECORDED / name)
    assert (done["added"], done["ignored"], done["refused"]) == (2, {}, [])
    assert stored(cli, store) == [("own-0", ONE, "a", None, 4.0), ("own-1", ONE, "a", None, 4.0)]


def test_an_export_from_before_the_sides_were_dealt_otherwise_is_refused(cli: Cli, store: Path) -> None:
    rows = recorded("export.json")
    pair = read_rows(RECORDED / "pairs.jsonl")[0]
    rows[0]["data"]["left_json"] = json.dumps(pair["response_a"])
    done = imported(cli, store, rows)
    assert done["added"] == 6
    (refused,) = done["refused"]
    assert "line 1: left is the response that this store shows on the right" in refused


def test_the_queue_is_written_for_label_studio_in_shards(cli: Cli, store: Path, tmp_path: Path, interface: Any) -> None:
    done = cli.json("queue", "--db", store, "--to", "label-studio", "--out", tmp_path / "out", "--shard-size", 5)
    names = [
        "queue-0001.label-studio.json",
        "queue-0002.label-studio.json",
        "label-studio.txt",
        "label-studio-config.xml",
    ]
    assert (done["tasks"], [Path(path).name for path in done["files"]]) == (7, names)
    written = [task for name in names[:2] for task in json.loads((tmp_path / "out" / name).read_bytes())]
    assert [len(json.loads((tmp_path / "out" / name).read_bytes())) for name in names[:2]] == [5, 2]
    warned = f"<p><em>{signs_say(['invisible'])}</em></p>"  # the recording is of a curator that knew no signs
    assert [task["data"]["prompt_html"].startswith(warned) for task in written] == [i == 4 for i in range(7)]
    written[4]["data"]["prompt_html"] = written[4]["data"]["prompt_html"].removeprefix(warned)
    assert [task["data"] for task in written] == [task["data"] for task in recorded("export.json")]
    assert all(interface.validate_task(task) for task in written)
    assert (tmp_path / "out" / "label-studio-config.xml").read_text(encoding="utf-8") == config()
    # Its own tasks, unanswered, say nothing, and may be written again.
    assert imported(cli, store, written)["ignored"] == {"empty": 7}


def test_one_person_who_answers_twice_has_said_the_later(cli: Cli, store: Path) -> None:
    (task, *_) = recorded("export.json")
    (given_answer,) = task["annotations"]
    later = {**given_answer, "result": result("tie"), "updated_at": "2026-11-25T00:00:00Z"}
    early, late = ({**task, "annotations": [one]} for one in (given_answer, later))
    labels = [one.label for one in answers({**task, "annotations": [later, given_answer]}) if isinstance(one, Answer)]
    assert labels == ["right", "tie"]
    # JSON_MIN and CSV put the latest first.
    assert imported(cli, store, [late, early])["added"] == 1
    assert [verdict for _, _, verdict, *_ in stored(cli, store)] == ["tie"]


def test_times_have_a_zone() -> None:
    zoned, bare, made = (
        {"completed_by": 1, "result": result("left"), **when}
        for when in (
            {"created_at": "2026-01-01T00:00:00Z", "updated_at": "2026-01-02T05:00:00.5+02:00"},
            {"updated_at": "2026-01-02T03:00:00.500000"},
            {"created_at": "2026-01-02T03:00:00.500000Z"},
        )
    )
    said = [one.said_at for one in answers(annotated(zoned, bare, made)) if isinstance(one, Answer)]
    assert said == [datetime(2026, 1, 2, 3, 0, 0, 500_000, UTC)] * 3


def test_answers_to_a_task_that_showed_a_prediction_are_not_blind() -> None:
    said = {"completed_by": 1, "result": result("left")}
    for values, shown in (
        (annotated(said), False),
        (annotated(said, predictions=[]), False),
        (annotated({**said, "prediction": {}}), False),
        (annotated(said, predictions=[{"model_version": "m"}]), True),
        (annotated({**said, "prediction": {"model_version": "m"}}), True),
    ):
        (answer,) = answers(values)
        assert isinstance(answer, Answer)
        assert answer.shown is shown


PAIRWISE = {"from_name": "pref", "to_name": "pref", "type": "pairwise"}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"ground_truth": True}, "ground_truth is set: a reference, not what a person said of this task"),
        ({"result": [{**result("left")[0], "from_name": "other"}]}, "result is of a control that is not in curator's"),
        ({"result": [{**result("left")[0], "type": "taxonomy"}]}, "result is of a control that is not in curator's"),
        ({"result": [{"type": "relation", "direction": "right"}]}, "result is of a control that is not in curator's"),
        ({"result": result("Left is better")}, "verdict must be one of left, right, tie, both_bad, skip"),
        ({"result": result("left") + result("right")}, "verdict says more than one thing"),
        ({"result": [{**PAIRWISE, "value": {"selected": "leftChoice"}}]}, "selected must be left or right"),
        ({"result": [{**PAIRWISE, "value": {"selected": ["left"]}}]}, "selected must be left or right"),
        ({"result": "left"}, "result is not a list of objects"),
        ({"result": [{**result("left")[0], "value": {"choices": [1]}}]}, "choices is not a list of text"),
        ({"lead_time": "soon"}, "lead_time is not a number of seconds"),
        ({"lead_time": float("nan")}, "lead_time is not a number of seconds"),
        ({"updated_at": "yesterday"}, "updated_at is not a time"),
        ({"completed_by": [1]}, "annotator is neither a name nor a number"),
    ],
)
def test_what_is_not_clear_is_refused_by_line(change: dict[str, Any], message: str) -> None:
    fine = {"completed_by": 1, "result": result("tie"), "lead_time": 1}
    refused, kept = answers(annotated({**fine, **change}, fine))
    assert isinstance(refused, Reject)
    assert str(refused).startswith(f"export.json, line 1: annotations.0.{message}")
    assert isinstance(kept, Answer)
    assert kept.label == "tie"


FLAT = {"pair_id": ID, "annotator": 1, "annotation_id": 1, "lead_time": 1.0, "verdict": "left"}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"verdict": None, "preference": "left"}, "verdict is missing: this is no export of curator's labelling"),
        ({"verdict": ["left", "right"]}, "verdict must be one of"),
        ({"verdict": {"choices": ["left", "right"]}}, "verdict must be one of"),
        ({"pref": '[{"selected": "right"}]'}, "verdict says more than one thing"),
        ({"pair_id": None}, "pair_id is missing"),
        ({"left_json": "{"}, "left_json is not the text that was written there"),
        ({"left_json": "1"}, "left_json is not the text that was written there"),
        ({"note": ["one", "two"]}, "text is not a list of text"),
    ],
)
def test_what_is_not_clear_in_a_flat_export_is_refused_too(change: dict[str, Any], message: str) -> None:
    (refused,) = answers({**FLAT, **change})
    assert isinstance(refused, Reject)
    assert str(refused).startswith(f"export.json, line 1: {message}")


@pytest.mark.parametrize(
    ("values", "ignored"),
    [
        (annotated(), ["empty"]),
        (annotated({"result": []}), ["empty"]),
        (annotated({"result": result("left"), "was_cancelled": True}), ["skipped"]),
        (annotated({"result": result("left"), "was_cancelled": True, "ground_truth": True}), ["skipped"]),
        (annotated(drafts=[{"result": result("left")}]), ["draft"]),
        (annotated({"result": result("left")}, drafts=[{}, {}]), [None, "draft", "draft"]),
        ({**FLAT, "verdict": ""}, ["empty"]),
    ],
)
def test_what_is_no_answer_is_ignored_by_name(values: dict[str, Any], ignored: list[str | None]) -> None:
    said = answers(values)
    assert all(isinstance(one, Answer) and (one.label is None) == (one.ignored is not None) for one in said)
    assert [one.ignored for one in said if isinstance(one, Answer)] == ignored


def test_more_questions_of_somebodys_own_do_no_harm() -> None:
    rating = {"from_name": "quality", "to_name": "left", "type": "rating", "value": {"rating": 4}}
    for values in (annotated({"result": [*result("left"), rating]}), {**FLAT, "quality": '[{"rating": 4}]'}):
        (answer,) = answers(values)
        assert isinstance(answer, Answer)
        assert answer.label == "left"


anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["id", "email", "selected"]), inner),
    max_leaves=5,
)
FIELDS = ("annotations", "drafts", "predictions", "pair_id", "left_json", "left", "judge", "annotator", "annotation_id",
          "lead_time", "updated_at", "verdict", "note", "completed_by", "result", "was_cancelled", "prediction",
          "from_name", "type", "value", "choices", "text")  # fmt: skip


@given(st.dictionaries(st.sampled_from(FIELDS), anything), st.dictionaries(st.sampled_from(FIELDS), anything))
def test_no_row_whatever_breaks_the_reading(outside: dict[str, Any], inside: dict[str, Any]) -> None:
    as_task = {**outside, "data": inside, "annotations": [inside, {"result": [inside]}, outside]}
    as_flat = {"annotator": None, "annotation_id": 1, "lead_time": None, **outside}
    for values in (as_task, as_flat, {**outside, "data": inside}):
        for answer in answers(values):
            assert isinstance(answer, Reject) or answer.ignored is not None or answer.label in CHOICES
            assert isinstance(answer, Reject) or isinstance(answer.annotator, str | None)


def test_no_other_tool_takes_these_exports_for_its_own() -> None:
    names: Callable[[dict[str, Any]], list[str]] = lambda values: [  # noqa: E731
        name for name, tool in TOOLS.items() if tool.recognises(values)
    ]
    for name in ("export.json", "export.min.json", "export.csv", "api.json", "pairwise.min.json"):
        assert {tuple(names(values)) for values in recorded(name)} == {("label-studio",)}
