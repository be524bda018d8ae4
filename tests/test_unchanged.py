"""What is unchanged is not done again, and nothing that has changed is taken for unchanged."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pytest

from curator.steps.unchanged import settled, stamp
from tests.conftest import Cli, judgments, pairs, read_rows, write_rows

LAST = "unchanged since the last run"
INPUT = "unchanged since it was read: "
LOG = "is unchanged since it was read"
TIMING = {"seconds", "judging_seconds", "pairs_per_second", "judgments", "new_pairs"}


@pytest.fixture(autouse=True)
def _trusting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files of a test are new; without this, none would be trusted."""
    monkeypatch.setattr("curator.steps.unchanged.SETTLED_SECONDS", -3600.0)


class Run:
    """A run of `curator label` over files of its own, and what it says."""

    def __init__(self, cli: Cli, folder: Path) -> None:
        self.raw = write_rows(folder / "raw.jsonl", [*pairs(60, labelled=30), {"prompt": "no responses"}])
        self.log = write_rows(folder / "log.jsonl", judgments(60, wrong=[40, 44]))
        self.out = folder / "raw.curated"
        self._cli = cli

    def __call__(self, *more: object) -> dict[str, Any]:
        time.sleep(0.02)  # two changes of a file within a clock tick are one
        result = self._cli.json("label", self.raw, "--judgments", self.log, *more)
        self.err = self._cli.err
        assert result == json.loads((self.out / "run.json").read_text())
        return {key: value for key, value in result.items() if key not in {*TIMING, "before"}}

    @property
    def read(self) -> bool:
        return "reading " in self.err.replace("reading judgments", "")

    def files(self) -> dict[str, bytes]:
        kept = [
            *(self.out / name for name in ("queue.jsonl", "rejects.jsonl", "report.html")),
            *(self.out / "dataset").rglob("*"),
        ]
        return {str(path): path.read_bytes() for path in kept if path.is_file()}


@pytest.fixture
def run(cli: Cli, tmp_path: Path) -> Run:
    return Run(cli, tmp_path)


def test_the_same_again_is_over_at_once_and_says_the_same(run: Run) -> None:
    first, files = run(), run.files()
    assert LAST not in run.err
    store = stamp(run.out / "curator.duckdb")
    for _ in range(2):
        assert run() == first
        assert LAST in run.err
        assert (run.files(), stamp(run.out / "curator.duckdb")) == (files, store)
    # Done anew, it comes to the same, to the byte.
    (run.out / ".last-run.json").unlink()
    assert run() == first
    assert LAST not in run.err
    assert INPUT in run.err
    assert LOG in run.err
    assert run.files() == files
    again = json.loads((run.out / "run.json").read_text())
    assert (again["judgments"], again["new_pairs"]) == ({"cached": 120, "asked": 0, "retried": 0}, 0)


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    assert len(old) == len(new)
    path.write_text(text.replace(old, new))


def same_bytes_another_file(path: Path) -> None:
    path.with_suffix(".new").write_bytes(path.read_bytes())
    path.with_suffix(".new").replace(path)


def back_dated(path: Path) -> None:
    """Bytes changed, size and modification time as they were: only the change time tells."""
    before = path.stat()
    edit(path, "first answer to 59", "first answer to XX")
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


@pytest.mark.parametrize(
    "change",
    [
        lambda path: edit(path, "first answer to 59", "first answer to XX"),
        lambda path: path.write_text(path.read_text() + json.dumps(pairs(61)[60]) + "\n"),
        os.utime,
        same_bytes_another_file,
        back_dated,
    ],
    ids=["same size", "longer", "touched", "replaced", "back-dated"],
)
def test_a_changed_file_is_read_again(run: Run, change: Callable[[Path], None]) -> None:
    run()
    change(run.raw)
    time.sleep(0.02)
    run()
    assert LAST not in run.err
    assert run.read
    with duckdb.connect(str(run.out / "curator.duckdb"), read_only=True) as db:
        texts = {row[0] for row in db.execute("SELECT response_a FROM input_row JOIN pair USING (pair_id)").fetchall()}
    assert texts == {json.loads(line).get("response_a", "") for line in run.raw.read_text().splitlines()} - {""}


@pytest.mark.parametrize("more", [("--limit", 50), ("--input-format", "pair")])
def test_another_way_of_reading_reads_again(run: Run, more: tuple[object, ...]) -> None:
    run()
    run(*more)
    assert run.read
    run()
    assert run.read, "the store holds what was read last, not what was read first"


def test_calibration_given_or_not_reads_again(run: Run, tmp_path: Path) -> None:
    rows = [{**row, "id": f"c{i}", "prompt": f"other {i}"} for i, row in enumerate(pairs(20, labelled=20))]
    elsewhere = write_rows(tmp_path / "elsewhere.jsonl", rows)
    log = judgments(60) + [{**row, "id": "c" + row["id"][1:]} for row in judgments(20)]
    write_rows(run.log, log)
    run()
    with_it = run("--calibration", elsewhere)
    assert run.read
    assert with_it["calibration"]["n"] == 50
    assert run("--calibration", elsewhere) == with_it
    assert LAST in run.err
    edit(elsewhere, "first answer to 3", "first answer to X")
    run("--calibration", elsewhere)
    assert run.read
    assert run()["calibration"]["n"] == 30
    assert run.read


def test_strict_and_missing_rejects_read_again(run: Run, cli: Cli) -> None:
    run()
    assert cli("label", run.raw, "--judgments", run.log, "--strict") == 1
    assert "--strict stops at the first bad row" in cli.err
    run()
    (run.out / "rejects.jsonl").unlink()
    run()
    assert run.read
    assert len(read_rows(run.out / "rejects.jsonl")) == 1


def test_another_rule_decides_anew_without_reading(run: Run) -> None:
    run()
    other = run("--guarantee", "pac", "--alpha", "0.3")
    assert other["guarantee"] == "pac"
    assert LAST not in run.err
    assert INPUT in run.err
    assert LOG in run.err


def test_imported_labels_decide_anew_without_reading(run: Run, cli: Cli, tmp_path: Path) -> None:
    write_rows(run.log, [*judgments(50), *({**row, "p_a": 0.5} for row in judgments(60)[100:])])
    first = run()
    tasks = read_rows(run.out / "queue.jsonl")
    assert len(tasks) == 10
    filled = write_rows(tmp_path / "filled.jsonl", [{**task, "label": "left"} for task in tasks[:3]])
    assert cli.json("import", filled, "--db", run.out / "curator.duckdb")["added"] == 3
    again = run()
    assert INPUT in run.err
    assert again["labelled"] == first["labelled"] + 3
    assert len(read_rows(run.out / "queue.jsonl")) == again["queue"]["tasks"]


def test_a_changed_log_is_another_judge(run: Run) -> None:
    first = run()
    write_rows(run.log, judgments(60, wrong=range(40, 50)))
    again = run()
    assert INPUT in run.err
    assert LOG not in run.err
    assert again["judge"]["judge_id"] != first["judge"]["judge_id"]


def test_a_log_is_read_again_for_new_pairs_only(run: Run) -> None:
    write_rows(run.log, judgments(80))
    run()
    write_rows(run.raw, pairs(70, labelled=30))
    assert run()["judged"] == 70
    assert LOG not in run.err, "it may know the new pairs"
    write_rows(run.raw, pairs(65, labelled=30))
    assert run()["judged"] == 65
    assert LOG in run.err, "there is nothing to look for"


@pytest.mark.parametrize(
    "name", ["queue.jsonl", "run.json", "report.html", "dataset/README.md", "dataset/data/train-00000-of-00001.parquet"]
)
@pytest.mark.parametrize("change", [Path.unlink, Path.touch], ids=["gone", "touched"])
def test_what_was_written_is_written_again(run: Run, name: str, change: Callable[[Path], None]) -> None:
    first, files = run(), run.files()
    change(run.out / name)
    assert run() == first
    assert LAST not in run.err
    assert run.files() == files


def test_a_file_too_many_in_the_data_set(run: Run) -> None:
    run()
    (run.out / "dataset" / "data" / "train-more.parquet").touch()
    run()
    assert LAST not in run.err
    assert not (run.out / "dataset" / "data" / "train-more.parquet").exists()


def test_whoever_writes_to_the_store_undoes_it(run: Run, cli: Cli) -> None:
    first = run()
    assert cli("calibrate", "--db", run.out / "curator.duckdb", "--alpha", "0.01") == 4
    noted = run()
    assert LAST not in run.err
    assert [doubt["name"] for doubt in noted["doubts"]] == ["chosen before"]
    assert {**noted, "doubts": []} == first
    with duckdb.connect(str(run.out / "curator.duckdb")) as db:
        db.execute("DELETE FROM decision")
    assert run() == noted
    assert LAST not in run.err
    assert cli("status", "--db", run.out / "curator.duckdb") == 0
    run()
    assert LAST in run.err, "reading is no writing"


def test_incomplete_judgments_are_never_taken_for_done(run: Run) -> None:
    write_rows(run.log, judgments(58))
    for _ in range(3):
        run()
        assert LAST not in run.err


def test_a_file_changed_a_moment_ago_is_not_trusted(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("curator.steps.unchanged.SETTLED_SECONDS", 2.0)
    for _ in range(2):
        run()
        assert LAST not in run.err
        assert INPUT not in run.err
        assert LOG not in run.err


def test_a_file_that_changes_while_it_is_read_is_not_trusted(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    import curator.steps.ingesting as module

    real = module._read

    def and_meanwhile(*arguments: Any) -> Any:
        done = real(*arguments)
        time.sleep(0.02)
        os.utime(run.raw)
        return done

    monkeypatch.setattr(module, "_read", and_meanwhile)
    run()
    monkeypatch.undo()
    monkeypatch.setattr("curator.steps.unchanged.SETTLED_SECONDS", -3600.0)
    run()
    assert run.read


def test_stamps(tmp_path: Path) -> None:
    path = tmp_path / "x"
    assert stamp(path) is None
    assert stamp(tmp_path) is None
    assert stamp("-") is None
    path.write_text("x")
    assert settled([str(path)]) == [stamp(path)]
    assert settled([str(path), str(tmp_path / "y")]) is None
    assert settled(["-"]) is None
