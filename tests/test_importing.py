"""Files of labels come in once, whatever happened in between, and say where they came from."""

from __future__ import annotations

import csv
import gzip
import io
import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from curator.annotation import sheet
from curator.pair import Message, Pair, Verdict
from curator.steps.importing import import_labels
from curator.steps.queueing import write_queue
from curator.steps.sides import sides
from curator.store import Store, open_store
from curator.store.audits import ask_again, waiting_again
from curator.store.labels import Label, add_labels
from tests.conftest import Cli, judgments, pairs, read_rows, write_rows

COUNT = 12


class Desk:
    """A store of some pairs, and files that people fill in."""

    def __init__(self, folder: Path, cli: Cli, rows: list[dict[str, Any]]) -> None:
        self.folder, self.cli, self.rows = folder, cli, rows
        self.raw = folder / "raw.jsonl"
        self.db = folder / "raw.curated" / "curator.duckdb"
        self.label(COUNT)

    def label(self, count: int) -> None:
        """Run over the first so many pairs."""
        write_rows(self.raw, self.rows[:count])
        log = write_rows(self.folder / "log.jsonl", judgments(len(self.rows)))
        assert self.cli("label", self.raw, "--judgments", log) == 4

    def tasks(self) -> list[dict[str, Any]]:
        return read_rows(self.folder / "raw.curated" / "queue.jsonl")

    def send(self, answers: Iterable[dict[str, Any]], name: str = "filled.jsonl") -> dict[str, Any]:
        return self.cli.json("import", write_rows(self.folder / name, answers), "--db", self.db)

    def said(self) -> list[dict[str, Any]]:
        sql = "SELECT pair_id, annotator, verdict FROM latest_label ORDER BY ALL"
        self.cli("sql", sql, "--db", self.db, "--json")
        return [json.loads(line) for line in self.cli.out.splitlines()]


@pytest.fixture
def desk(tmp_path: Path, cli: Cli) -> Desk:
    return Desk(tmp_path, cli, pairs(2 * COUNT))


def changes(result: dict[str, Any]) -> tuple[int, int, int, int]:
    return result["added"], result["superseded"], result["unchanged"], len(result["refused"])


def test_the_same_file_again_takes_no_correction_back(desk: Desk) -> None:
    tasks = desk.tasks()
    filled = [{**task, "label": "left", "annotator": "anna"} for task in tasks]
    first = desk.send(filled)
    assert changes(first) == (COUNT, 0, 0, 0)
    assert first["imported_before"] == []
    assert changes(desk.send([{**filled[0], "label": "right"}], "corrected.jsonl")) == (0, 1, 0, 0)
    said = desk.said()
    again = desk.send(filled)
    assert changes(again) == (0, 0, COUNT, 0)
    assert again["imported_before"] == [str(desk.folder / "filled.jsonl")]
    # Under another name, and packed, it is the same file.
    packed = desk.folder / "copy.jsonl.gz"
    packed.write_bytes(gzip.compress((desk.folder / "filled.jsonl").read_bytes()))
    assert changes(desk.cli.json("import", packed, "--db", desk.db)) == (0, 0, COUNT, 0)
    assert desk.said() == said
    assert desk.cli("import", packed, "--db", desk.db) == 0
    assert f"imported before: {packed}; what was said since stays" in desk.cli.out
    # What somebody says anew in another file corrects, as ever.
    assert changes(desk.send([{**filled[0], "label": "left", "note": "sure"}], "third.jsonl")) == (0, 1, 0, 0)
    sql = "SELECT added, superseded, unchanged FROM imported_file ORDER BY recorded_at"
    desk.cli("sql", sql, "--db", desk.db, "--json")
    counts = [tuple(json.loads(line).values()) for line in desk.cli.out.splitlines()]
    assert counts == [(COUNT, 0, 0), (0, 1, 0), (0, 0, COUNT), (0, 0, COUNT), (0, 0, COUNT), (0, 1, 0)]


def test_a_file_of_which_some_pairs_were_not_there_comes_in_again(desk: Desk) -> None:
    """What was refused then counts now; what was corrected since does not go back."""
    ids = [Pair((Message("user", row["prompt"]),), row["response_a"], row["response_b"]).pair_id for row in desk.rows]
    filled = [{"pair_id": pair_id, "label": "left", "annotator": "anna"} for pair_id in ids]
    first = desk.send(filled)
    assert changes(first) == (COUNT, 0, 0, COUNT)
    assert first["refused"][0].endswith(f"filled.jsonl, line {COUNT + 1}: pair_id is of no pair in this store")
    assert changes(desk.send([{**filled[0], "label": "tie"}], "corrected.jsonl")) == (0, 1, 0, 0)
    desk.label(2 * COUNT)
    assert changes(desk.send([{**filled[-1], "label": "skip"}], "meanwhile.jsonl")) == (1, 0, 0, 0)
    again = desk.send(filled)
    assert changes(again) == (COUNT - 1, 0, COUNT + 1, 0)
    assert again["imported_before"] == [str(desk.folder / "filled.jsonl")]
    said = {row["pair_id"]: row["verdict"] for row in desk.said()}
    assert (said[ids[0]], said[ids[-1]]) == ("tie", "skip")
    assert changes(desk.send(filled)) == (0, 0, 2 * COUNT, 0)


def prodigy(task: dict[str, Any], label: str, time: int, who: str = "anna") -> dict[str, Any]:
    row = {"options": [], "meta": {"pair_id": task["pair_id"]}, "left": task["left"], "accept": [label]}
    return {**row, "answer": "accept", "_timestamp": time, "_annotator_id": f"preferences-{who}"}


def test_what_was_said_earlier_corrects_nothing(desk: Desk) -> None:
    task, other = desk.tasks()[:2]
    # In one file the time decides, and not the line.
    new = [prodigy(task, "left", 1_764_000_900), prodigy(task, "right", 1_764_000_100), prodigy(other, "skip", 7)]
    assert changes(desk.send(new)) == (2, 0, 1, 0)
    said = desk.said()
    side = {row["pair_id"]: row["verdict"] for row in said}[task["pair_id"]]
    old = [prodigy(task, "right", 1_764_000_500), prodigy(task, "tie", 1_764_000_600, "ben")]
    assert changes(desk.send(old, "older.jsonl")) == (1, 0, 1, 0)
    assert [
        row["verdict"] for row in desk.said() if row["annotator"] == "anna" and row["pair_id"] == task["pair_id"]
    ] == [side]
    assert changes(desk.send([prodigy(task, "right", 1_764_001_000)], "newer.jsonl")) == (0, 1, 0, 0)
    assert {"a": "b", "b": "a"}[side] in [row["verdict"] for row in desk.said() if row["annotator"] == "anna"]


def test_labels_come_from_tools_and_people(desk: Desk) -> None:
    tasks = desk.tasks()
    table = desk.folder / "t.csv"
    table.write_text("pair_id;label;annotator\n" + "".join(f"{one['pair_id']};l;ben\n" for one in tasks[:3]))
    rows = [prodigy(task, "tie", 9) for task in tasks] + [{**prodigy(tasks[0], "tie", 9), "answer": "ignore"}]
    export = write_rows(desk.folder / "p.jsonl", rows)
    result = desk.cli.json("import", table, export, "--db", desk.db)
    assert (result["tools"], result["annotators"]) == ({"csv": 3, "prodigy": COUNT}, 2)
    assert result["annotator_labels"] == {"anna": COUNT, "ben": 3}
    assert result["ignored"] == {"skipped": 1}
    desk.cli("import", table, export, "--db", desk.db)
    assert f"labels 3 from csv, {COUNT} from prodigy; by anna ({COUNT}), ben (3)\n" in desk.cli.out


def test_names_of_annotators_cannot_write_to_the_terminal(desk: Desk) -> None:
    task = desk.tasks()[0]
    rows = [{**task, "label": "tie", "annotator": f"\x1b[31m{i}\x9b\n" + "x" * 500} for i in range(30)]
    result = desk.send(rows)
    assert result["annotators"] == 30
    assert len(result["annotator_labels"]) == 10
    assert all(len(name) <= 60 and name.isprintable() for name in result["annotator_labels"])
    desk.cli("import", desk.folder / "filled.jsonl", "--db", desk.db)
    assert "and 25 more\n" in desk.cli.out
    assert "\x1b" not in desk.cli.out
    assert "\x9b" not in desk.cli.out


def test_a_name_is_one_person_however_it_is_typed(desk: Desk) -> None:
    names = ["Zo\u00eb Lee", "Zoe\u0308 Lee", " Zo\u00eb  Lee\t", None, " "]
    rows = [{**task, "label": "tie", "annotator": name} for task, name in zip(desk.tasks(), names, strict=False)]
    assert desk.send(rows)["annotator_labels"] == {"Zo\u00eb Lee": 3, "annotator": 2}
    assert {row["annotator"] for row in desk.said()} == {"Zo\u00eb Lee", "annotator"}
    assert desk.cli("queue", "--db", desk.db, "--out", desk.folder) == 0  # no label of it is taken for a new one


def test_nothing_is_stored_where_one_of_the_files_is_not_there(desk: Desk) -> None:
    filled = write_rows(desk.folder / "filled.jsonl", [{**task, "label": "tie"} for task in desk.tasks()])
    assert desk.cli("import", filled, desk.folder / "none.jsonl", "--db", desk.db) == 1
    assert desk.cli.err == f"Error: {desk.folder / 'none.jsonl'}: No such file or directory\n"
    assert desk.said() == []


def test_a_file_without_rows_is_refused(desk: Desk) -> None:
    for name, data in (("empty.csv", ""), ("empty.json", "[]"), ("header.csv", "pair_id,label\n")):
        (desk.folder / name).write_text(data)
        assert desk.cli("import", desk.folder / name, "--db", desk.db) == 1
        assert f"refused: {desk.folder / name}: holds no rows" in desk.cli.err


def test_standard_input_is_read_once_and_not_remembered(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    data = "".join(f'{{"pair_id": "{task["pair_id"]}", "label": "L"}}\n' for task in desk.tasks()).encode()
    for expected in ((COUNT, 0, 0, 0), (0, 0, COUNT, 0)):
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(data)))
        result = desk.cli.json("import", "-", "--db", desk.db)
        assert (changes(result), result["imported_before"]) == (expected, [])


@pytest.fixture
def doubted(desk: Desk) -> Iterable[tuple[Store, str]]:
    """A store with a labelled pair whose responses have line ends of two kinds."""
    with open_store(desk.db) as store:
        pair_id = desk.tasks()[0]["pair_id"]
        store.rows("UPDATE pair SET response_a = 'a' || chr(13) || chr(10) || 'b', response_b = '=b' || chr(13)")
        write_queue(store, desk.folder / "before.jsonl")
        add_labels(store, [Label(pair_id, "anna", Verdict.A)])
        yield store, pair_id


def table(path: Path, queue: Path) -> Path:
    """The queue as a spreadsheet saves it, every label being left."""
    data = b"".join(sheet.TOOL.encode(queue.read_bytes().splitlines(keepends=True)))
    rows = list(csv.DictReader(io.StringIO(data.decode("utf-8-sig"), newline="")))
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows({**row, "label": "left", "annotator": "anna"} for row in rows)
    return path


def test_a_table_from_before_a_pair_came_back_is_no_answer(doubted: tuple[Store, str], tmp_path: Path) -> None:
    """The sides are turned round then: "left" in it would be taken for the other response."""
    store, pair_id = doubted
    before = table(tmp_path / "before.csv", tmp_path / "before.jsonl")
    ask_again(store, [pair_id])
    write_queue(store, tmp_path / "now.jsonl")
    now = table(tmp_path / "now.csv", tmp_path / "now.jsonl")
    bare = tmp_path / "bare.csv"
    bare.write_text(f"pair_id,label\n{pair_id},left\n")
    for path, reason in ((before, "is from before this pair"), (bare, "does not show the response as it is")):
        refused = import_labels(store, [str(path)], "anna")["refused"]
        assert len(refused) == 1
        assert f"left {reason}" in refused[0]
        assert waiting_again(store) == {pair_id}
    assert import_labels(store, [str(now)], "anna")["refused"] == []
    assert not waiting_again(store)
    dealt = sides(store)(pair_id)
    assert store.rows("SELECT verdict FROM word WHERE pair_id = ? AND again", [pair_id]) == [(dealt,)]


def test_corrections_and_other_peoples_answers_are_not_written_over(desk: Desk, cli: Cli, tmp_path: Path) -> None:
    queue, raw = desk.folder / "raw.curated" / "queue.jsonl", ("label", desk.raw, "--judgments", tmp_path / "log.jsonl")
    filled = [{**task, "label": "left", "annotator": "anna"} for task in desk.tasks()]
    assert changes(cli.json("import", write_rows(queue, filled), "--db", desk.db)) == (COUNT, 0, 0, 0)
    for other in (
        [{**filled[0], "label": "right"}, *filled[1:]],  # a correction
        [{**filled[0], "note": "they differ in tone only"}, *filled[1:]],
        [{**filled[0], "label": "right", "annotator": None}, *filled[1:]],  # somebody else, without a name
        [{**filled[0], "annotator": "ben"}, *filled[1:]],
    ):
        before = write_rows(queue, other).read_bytes()
        assert cli(*raw) == 1
        assert f"{queue} holds 1 labels that are not imported yet" in cli.err
        assert queue.read_bytes() == before
    write_rows(queue, filled)
    assert cli(*raw) in {0, 4}
    assert read_rows(queue) == []


def test_people_without_a_name_are_not_taken_for_one(desk: Desk, cli: Cli, tmp_path: Path) -> None:
    out = tmp_path / "people"
    cli("queue", "--db", desk.db, "--out", out, "--annotators-per-pair", 2, "--overlap", 1)
    first, second = (
        write_rows(path, [{**task, "label": label} for task in read_rows(path)])
        for path, label in ((out / "queue-0001.jsonl", "left"), (out / "person-2" / "queue-0001.jsonl", "right"))
    )
    result = cli.json("import", first, "--db", desk.db)
    assert (cli.code, changes(result)) == (1, (0, 0, 0, COUNT))
    assert "annotator does not say who it was" in result["refused"][0]
    assert "give --annotator NAME" in result["refused"][0]
    for name, path in (("anna", first), ("ben", second)):
        assert changes(cli.json("import", path, "--db", desk.db, "--annotator", name)) == (COUNT, 0, 0, 0)
    assert {row["annotator"] for row in desk.said()} == {"anna", "ben"}


def test_a_file_given_again_in_another_name_makes_no_second_person(desk: Desk, cli: Cli) -> None:
    filled = write_rows(desk.folder / "filled.jsonl", [{**task, "label": "left"} for task in desk.tasks()])
    assert changes(cli.json("import", filled, "--db", desk.db)) == (COUNT, 0, 0, 0)
    assert changes(cli.json("import", filled, "--db", desk.db, "--annotator", "anna")) == (0, 0, COUNT, 0)
    assert {row["annotator"] for row in desk.said()} == {"annotator"}


def test_one_name_however_it_is_written_is_one_person(desk: Desk) -> None:
    for name in ("Zoë", "Zoe\u0308", " Zoë\t", "\u200bZoë"):
        desk.send([{**task, "label": "left", "annotator": name} for task in desk.tasks()], "filled.jsonl")
    desk.send([{**task, "label": "left", "annotator": " \u202e "} for task in desk.tasks()], "nobody.jsonl")
    assert {row["annotator"] for row in desk.said()} == {"Zoë", "annotator"}
