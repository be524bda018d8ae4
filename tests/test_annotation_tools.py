"""CSV and Prodigy: tasks of hostile texts go out harmless, and what people say of them comes back right."""

from __future__ import annotations

import csv
import html
import io
import json
import unicodedata
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from curator.annotation import prodigy, sheet
from curator.annotation.base import CHOICES, Answer
from curator.annotation.registry import TOOLS, read_answers
from curator.files import Reject
from tests.conftest import Cli, read_rows, write_rows

GOLDEN = Path(__file__).parent / "golden" / "annotation"

HOSTILE = [
    "=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "\n=1", " =1", "\u00a0\u3000=1", "＝1", "＋1", "－1", "＠x", "﹦1",
    "\u200e=1", "\u200b=1", "\x00=1", "\x1b[31m=1", "'=1", "''", "'", "\ufeff=1", "=cmd|' /C calc'!A0", "3/4", "0012",
    "1e5", "<script>alert(1)</script>", "<img src=x onerror=alert(1)>", "<style>*{display:none}</style>", "- item", "",
    '"', '","left"', "a\r\nb\rc", "[link](javascript:alert(1))", "{{ 7 * 7 }}", "```\n</div>\n```", "é😀" * 20_000, " ",
    "⟨U+0000⟩", "\u202egnp.exe", "x" * 40_000,
]  # fmt: skip
SIGNS = "=+-@'\" \t\r\n,;＝a1<"
texts = st.one_of(st.sampled_from(HOSTILE), st.text(max_size=60), st.text(alphabet=SIGNS, max_size=12))
said = st.tuples(texts, texts, st.lists(texts, min_size=1, max_size=3), st.sampled_from(list(CHOICES)))


def line(number: int, left: str, right: str, prompt: list[str], judge: Any = None) -> bytes:
    turns = [{"role": "user" if i % 2 == 0 else "assistant", "content": text} for i, text in enumerate(prompt)]
    task = {"pair_id": f"{number:032x}", "prompt": turns, "left": left, "right": right}
    empty = {"label": None, "annotator": None, "note": None}
    return orjson.dumps({**task, **empty, **({} if judge is None else {"judge": judge})}) + b"\n"


def table(data: bytes) -> list[dict[str, str]]:
    assert data.startswith(b"\xef\xbb\xbf")
    csv.field_size_limit(10**6)
    return list(csv.DictReader(io.StringIO(data.decode("utf-8-sig"), newline=""), strict=True))


def fill_csv(data: bytes, labels: list[str]) -> bytes:
    """What a person with a spreadsheet does: everything is saved anew, with as few quotation marks as will do."""
    rows = table(data)
    out = io.StringIO()
    writer = csv.DictWriter(out, list(rows[0]))
    writer.writeheader()
    writer.writerows({**row, "label": label, "annotator": "anna"} for row, label in zip(rows, labels, strict=True))
    return out.getvalue().encode()


def fill_jsonl(data: bytes, labels: list[str]) -> bytes:
    rows = [json.loads(row) for row in data.splitlines()]
    return b"".join(
        orjson.dumps({**row, "label": label, "annotator": "anna"}) + b"\n"
        for row, label in zip(rows, labels, strict=True)
    )


def fill_prodigy(data: bytes, labels: list[str]) -> bytes:
    rows = [json.loads(row) for row in data.split(b"\n") if row]
    return b"".join(
        orjson.dumps({**row, "accept": [label], "answer": "accept", "_annotator_id": "preferences-anna"}) + b"\n"
        for row, label in zip(rows, labels, strict=True)
    )


FILL: dict[str, Callable[[bytes, list[str]], bytes]] = {
    "csv": fill_csv, "jsonl": fill_jsonl, "prodigy": fill_prodigy,
}  # fmt: skip


@pytest.mark.parametrize("name", sorted(FILL))
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(said, min_size=1, max_size=8))
def test_what_people_say_comes_back(name: str, tmp_path: Path, tasks: list[tuple[str, str, list[str], str]]) -> None:
    lines = [line(i, left, right, prompt) for i, (left, right, prompt, _) in enumerate(tasks)]
    path = tmp_path / "labelled"
    path.write_bytes(FILL[name](b"".join(TOOLS[name].encode(lines)), [label for *_, label in tasks]))
    found = list(read_answers(str(path)))
    assert [answer for answer in found if isinstance(answer, Reject)] == []
    for i, (answer, (left, right, _, label)) in enumerate(zip(found, tasks, strict=True)):
        assert isinstance(answer, Answer)
        assert (answer.pair_id, answer.label, answer.annotator) == (f"{i:032x}", label, "anna")
        assert (answer.shown, answer.ignored) == (False, None)
        if name != "csv":
            assert answer.left == left
        elif answer.left is not None:
            # Never taken for another text, least of all for the one on the right.
            assert answer.left == left.replace("\r\n", "\n").replace("\r", "\n")
            assert left == right or answer.left != right or "\r" in left + right


def test_a_csv_runs_nothing_and_hides_nothing() -> None:
    lines = [
        line(i, text, text, [text, text], {"prefers": "left", "probability": 0.75}) for i, text in enumerate(HOSTILE)
    ]
    rows = table(b"".join(sheet.TOOL.encode(lines)))
    assert list(rows[0]) == ["pair_id", "prompt", "left", "right", "judge", "label", "annotator", "note"]
    assert len(rows) == len(HOSTILE)
    for row in rows:
        assert row["judge"] == "prefers left (75%)"
        for cell in row.values():
            start = unicodedata.normalize("NFKC", cell.lstrip(" \u00a0\u3000\u200c\u200d\u200e\u200f\t\r\n"))
            assert not start.startswith(("=", "+", "-", "@"))
            assert not cell.startswith(("\t", "\r", "\n"))
            assert not set(cell) & {"\0", "\x1b", "\r", "\u202e", "\u200b", "\ufeff"}
            assert len(cell.encode("utf-16-le")) // 2 < 32_767


@given(texts)
def test_no_cell_is_a_formula(text: str) -> None:
    cell = sheet.cell(text)
    assert unicodedata.normalize("NFKC", cell.strip())[:1] not in {"=", "+", "-", "@"}
    back = sheet.text_of(cell)
    assert back in {None, text.replace("\r\n", "\n").replace("\r", "\n")}


def test_every_cell_of_a_csv_is_quoted_and_the_file_says_that_it_is_utf8() -> None:
    data = b"".join(sheet.TOOL.encode([line(1, "no", 'say "é"', ["hi", "hello", "bye"])]))
    assert data.decode() == (
        '\ufeff"pair_id","prompt","left","right","label","annotator","note"\r\n'
        f'"\'{1:032x}","[user]\nhi\n\n[assistant]\nhello\n\n[user]\nbye","no","say ""é""","","",""\r\n'
    )


def test_long_texts_are_cut_where_one_sees_it() -> None:
    text = "a" * 20_000 + "😀" * 20_000
    cell = sheet.cell(text)
    assert len(cell.encode("utf-16-le")) // 2 <= sheet.CELL_MOST
    assert cell.startswith("a" * 15_000)
    assert cell.endswith("😀" * 7_000)
    left_out = len(text) - cell.count("a" * 100) * 100
    assert "characters of the middle are left out here ...]" in cell
    assert sheet.text_of(cell) is None
    assert left_out > 0


def read(folder: Path, data: str, name: str = "labelled.csv") -> list[Any]:
    path = folder / name
    path.write_text(data, encoding="utf-8")
    return [
        str(one).rpartition("/")[2] if isinstance(one, Reject) else (one.pair_id[-1], one.label, one.ignored)
        for one in read_answers(str(path))
    ]


def test_labels_as_people_type_them(tmp_path: Path) -> None:
    said = [
        "Left", " RIGHT ", "tie", "both bad", "Both-Bad", "BOTH_BAD", "L", "r", "skip", "Cannot say", "left is better",
        "Equally  good", "", "  ", "b", "a", "lft", "left?",
    ]  # fmt: skip
    text = "pair_id,label\n" + "".join(f"{i:032x},{one}\n" for i, one in enumerate(said))
    words = ["left", "right", "tie", "both_bad", "both_bad", "both_bad", "left", "right", "skip", "skip", "left", "tie"]
    refused = [f"labelled.csv, line {i}: label must be one of left, right, tie, both_bad, skip" for i in range(16, 20)]
    empty = [("c", None, "empty"), ("d", None, "empty")]
    assert read(tmp_path, text) == [(f"{i:x}", word, None) for i, word in enumerate(words)] + empty + refused


def test_a_number_made_of_a_pair_id_is_refused(tmp_path: Path) -> None:
    assert read(tmp_path, "pair_id;label\n1,23457E+31;left\n") == [
        "labelled.csv, line 2: pair_id is none: it has 32 characters, 0 to 9 and a to f"
    ]
    assert read(tmp_path, f"label\tPAIR_ID\nright\t'{7:032X}\n") == [("7", "right", None)]


def test_rows_of_which_the_empty_end_was_left_away(tmp_path: Path) -> None:
    text = f"pair_id,prompt,left,right,label,annotator,note\n{1:032x},p,x,y\n{2:032x},p,x,y,tie\n{3:032x},p,x\n"
    first, second, third = read(tmp_path, text)
    assert (first, second) == (("1", None, "empty"), ("2", "tie", None))
    assert third.startswith("labelled.csv, line 4: row is of no annotation tool")


def test_a_table_with_the_answer_under_another_name_is_refused(tmp_path: Path) -> None:
    (found,) = read(tmp_path, f"annotator,choice,left,pair_id,prompt,right\n1,left,x,{1:032x},p,y\n")
    assert found.startswith("labelled.csv, line 2: row is of no annotation tool, whose rows have ")
    assert "pair_id and label (csv); " in found


@pytest.mark.parametrize(("judge", "shown"), [(None, False), ({"prefers": None, "probability": None}, True)])
@pytest.mark.parametrize("name", ["csv", "prodigy"])
def test_whether_a_verdict_was_shown_comes_back(tmp_path: Path, name: str, judge: Any, shown: bool) -> None:
    data = b"".join(TOOLS[name].encode([line(1, "x", "y", ["p"], judge)]))
    path = tmp_path / "labelled"
    path.write_bytes(FILL[name](data, ["tie"]))
    (answer,) = read_answers(str(path))
    assert isinstance(answer, Answer)
    assert answer.shown is shown


def test_a_verdict_was_shown_also_where_its_column_is_deleted(tmp_path: Path) -> None:
    """And a pair that was not judged, though first, does not keep the verdicts of the others from being shown."""
    judged = {"prefers": "left", "probability": 0.75}
    lines = [orjson.dumps({**orjson.loads(line(1, "x", "y", ["p"])), "judge": None}), line(2, "x", "y", ["p"], judged)]
    rows = table(b"".join(sheet.TOOL.encode(lines)))
    assert [row.pop("judge") for row in rows] == ["", "prefers left (75%)"]
    path = tmp_path / "labelled.csv"
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows({**row, "label": label} for row, label in zip(rows, ("left", "right"), strict=True))
    found = [one for one in read_answers(str(path)) if isinstance(one, Answer)]
    assert [(one.pair_id, one.label, one.shown) for one in found] == [
        (f"{1:032x}", "left", False), (f"{2:032x}", "right", True),
    ]  # fmt: skip


def test_a_prodigy_export_by_its_documentation() -> None:
    """Made by hand after the documented shape of `db-out`, not recorded from a running Prodigy, which is not free."""
    found = list(read_answers(str(GOLDEN / "prodigy.jsonl")))
    good = {int(one.pair_id, 16): one for one in found if isinstance(one, Answer)}
    assert {i: (one.label, one.annotator) for i, one in good.items() if one.ignored is None} == {
        1: ("left", "anna"), 2: ("right", "ben"), 3: ("both_bad", None), 9: ("skip", "other-anna"),
    }  # fmt: skip
    assert {i: one.ignored for i, one in good.items() if one.ignored} == {
        4: "empty", 5: "rejected", 6: "skipped", 10: "empty",
    }  # fmt: skip
    assert good[1].said_at == datetime(2025, 11, 24, 16, 0, tzinfo=UTC)
    assert good[1].left == "left of 1"
    assert [(one.line, one.field, one.reason) for one in found if isinstance(one, Reject)] == [
        (7, "accept", "names more than one choice"),
        (8, "accept.0", 'must be one of ["left","right","tie","both_bad","skip"]'),
    ]


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"meta": {"pair_id": 7}}, "meta.pair_id"),
        ({"_timestamp": 1e300}, "_timestamp"),
        ({"_timestamp": "now"}, "_timestamp"),
        ({"accept": "left"}, "accept"),
        ({"accept": [["left"]]}, "accept.0"),
        ({"answer": 1}, "answer"),
        ({"_annotator_id": {}}, "_annotator_id"),
        ({"left": 1}, "left"),
    ],
)
def test_prodigy_rows_of_wrong_types_are_refused(tmp_path: Path, change: dict[str, Any], problem: str) -> None:
    row = {**read_rows(GOLDEN / "prodigy.jsonl")[0], **change}
    (found,) = read_answers(str(write_rows(tmp_path / "labelled.jsonl", [row])))
    assert isinstance(found, Reject)
    assert found.field == problem


def test_prodigy_shows_text_and_nothing_else() -> None:
    for text in HOSTILE:
        task = json.loads(b"".join(prodigy.TOOL.encode([line(1, text, text, [text])])))
        assert (task["left"], task["right"], task["meta"]) == (text, text, {"pair_id": f"{1:032x}"})
        assert [option["id"] for option in task["options"]] == list(CHOICES)
        shown = task["html"].lower()
        assert not any(bad in shown for bad in ("<script", "<img", "<style", "<a ", "\u202e", "\x1b"))
        assert shown.count("<div") == shown.count("</div") == 4


@pytest.mark.parametrize("name", ["label-studio", "argilla", "prodigy"])
def test_tools_say_that_a_response_talks_to_the_judge(name: str) -> None:
    plain = orjson.loads(line(1, "yes", "no", ["q"]))
    warned, silent = (
        html.unescape(b"".join(TOOLS[name].encode([orjson.dumps(task)])).decode())
        for task in ({**plain, "signs": ["order", "claim"]}, plain)
    )
    said = "A response may talk to a judge rather than to the user (order, claim)."
    assert said in warned
    assert "talk to a judge" not in silent


def test_each_tool_writes_its_own_files_and_leaves_the_others(cli: Cli, tmp_path: Path) -> None:
    from tests.conftest import judgments, pairs

    raw = write_rows(tmp_path / "raw.jsonl", pairs(30))
    cli("label", raw, "--judgments", write_rows(tmp_path / "log.jsonl", judgments(30)))
    db, out = tmp_path / "raw.curated" / "curator.duckdb", tmp_path / "people"
    out.mkdir()
    names = ("README.txt", "README.md", "prodigy.json", "settings.json", "labeling-config.xml", "sync.py", "argilla.py")
    written = {out / name: b"somebody's own" for name in names}
    for path, data in written.items():
        path.write_bytes(data)
    for tool in TOOLS:
        done = cli.json("queue", "--db", db, "--to", tool, "--out", out, "--shard-size", 20)
        files = [Path(path) for path in done["files"]]
        assert (done["tasks"], [path.name for path in files[:2]]) == (
            30,
            [f"queue-000{shard}{TOOLS[tool].suffix}" for shard in (1, 2)],
        )
        assert not written.keys() & set(files)
        assert all(path.name.startswith(tool) for path in files[2:])
        written |= {path: path.read_bytes() for path in files}
    assert {path: path.read_bytes() for path in out.iterdir()} == written
    assert "prodigy mark preferences - --loader jsonl --view-id choice" in (out / "prodigy.txt").read_text()
    for tool, how in (("html", "open a file in any browser"), ("prodigy", "prodigy.txt in that folder")):
        assert cli("queue", "--db", db, "--to", tool, "--out", out) == 0, "a second time"
        assert f"\nNext: {how}" in cli.out
        assert cli.out.endswith(f" Then:\n  curator import FILE... --db {db}\n")
    labelled = out / "queue-0001.csv"
    labelled.write_bytes(fill_csv(labelled.read_bytes(), ["Left"] * 20))
    assert cli("queue", "--db", db, "--to", "csv", "--out", out) == 1
    assert "holds 20 labels that are not imported yet" in cli.err
    result = cli.json("import", labelled, "--db", db)
    assert (result["added"], result["tools"], result["annotator_labels"]) == (20, {"csv": 20}, {"anna": 20})
