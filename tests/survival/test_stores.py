"""A store that is not what it should be: of another version, damaged, not one at all, or somebody else's for now."""

from __future__ import annotations

import json
import os
import random
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from curator.errors import StoreError
from curator.store import connection, open_store
from tests.conftest import judgments, pairs, read_rows, write_rows
from tests.survival.running import ROOT, Done, Runner, inside

PAIRS = 120


@pytest.fixture(scope="module")
def run() -> Iterator[Runner]:
    with Runner() as runner:
        yield runner


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, run: Runner) -> Path:
    """The folder of a run, with 60 labels of its own."""
    folder = tmp_path_factory.mktemp("made")
    write_rows(folder / "raw.jsonl", pairs(PAIRS, 60))
    write_rows(folder / "log.jsonl", judgments(PAIRS))
    done = run("label", folder / "raw.jsonl", "--judgments", folder / "log.jsonl", "--out", folder)
    assert done.code == 0, done
    return folder


@pytest.fixture
def db(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copy(made / "curator.duckdb", tmp_path / "s.duckdb"))


def tables(path: Path) -> dict[str, list[dict[str, object]]]:
    with open_store(path) as store:
        names = [name for (name,) in store.rows("SELECT table_name FROM duckdb_tables() ORDER BY ALL")]
        return {
            name: store.arrow(f"SELECT * FROM {name} ORDER BY ALL").to_pylist() for name in names if name != "migration"
        }


def refused(done: Done, path: Path, *words: str) -> None:
    assert (done.code, "Traceback" in done.err) == (1, False), done
    assert str(path) in done.said
    for word in words:
        assert word in done.said


def test_a_store_of_the_version_before_is_brought_up_and_keeps_every_row(
    db: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = tables(db)
    steps = ("ALTER TABLE setting ADD COLUMN why VARCHAR", "CREATE TABLE later AS SELECT pair_id FROM pair")
    monkeypatch.setattr(connection, "MIGRATIONS", (*connection.MIGRATIONS, *steps))
    with pytest.raises(StoreError, match=f"older schema; run `curator status --db {db}` once"):
        open_store(db, read_only=True)
    after = tables(db)
    assert len(after.pop("later")) == PAIRS
    assert [{**row, "why": 1} for row in before.pop("setting")] == [{**row, "why": 1} for row in after.pop("setting")]
    assert after == before
    with open_store(db, read_only=True) as store:
        assert store.rows("SELECT number FROM migration") == [(number,) for number in range(1, len(steps) + 2)]


def test_a_step_that_fails_leaves_the_version_before(db: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before, known = tables(db), connection.MIGRATIONS
    step = "CREATE TABLE later (x INT); DELETE FROM judgment; SELECT error('the disk is gone')"
    monkeypatch.setattr(connection, "MIGRATIONS", (*known, step))
    with pytest.raises(Exception, match="the disk is gone"):
        open_store(db)
    monkeypatch.setattr(connection, "MIGRATIONS", known)
    assert tables(db) == before


def test_a_newer_store_is_refused_and_left_as_it_is(db: Path) -> None:
    with open_store(db) as store:
        store.rows("INSERT INTO migration (number) VALUES (7)")
    before = db.read_bytes()
    for command in (("status", "--db", db), ("sql", "SELECT 1", "--db", db), ("hygiene", "--db", db)):
        refused(inside(*command), db, "was written by a newer curator (schema 7", "upgrade it")
    assert db.read_bytes() == before
    assert not db.with_name("s.duckdb.wal").exists()


def test_what_is_no_store_is_named_for_what_it_is(db: Path, made: Path) -> None:
    other = db.with_name("other")

    def of_another_program() -> None:
        database = sqlite3.connect(other)
        database.execute("CREATE TABLE x (a)")
        database.close()

    for write, words in (
        (other.touch, "is empty: move it away"),
        (lambda: other.write_text("hello " * 5_000), "is no DuckDB file"),
        (of_another_program, "is no DuckDB file"),
        (lambda: other.write_bytes(next((made / "dataset" / "data").iterdir()).read_bytes()), "is no DuckDB file"),
        (lambda: other.write_bytes(db.read_bytes()[:12] + b"\x07" + db.read_bytes()[13:]), "cannot be opened"),
    ):
        other.unlink(missing_ok=True)
        write()
        content = other.read_bytes()
        label = (
            "label",
            made / "raw.jsonl",
            "--judgments",
            made / "log.jsonl",
            "--out",
            db.parent / "o",
            "--db",
            other,
        )
        for command in (("status", "--db", other), label):
            refused(inside(*command), other, words)
        assert other.read_bytes() == content


COMMANDS = ("status", "export", "calibrate")


def attacked(content: bytes, run: Runner, db: Path) -> list[int]:
    """What commands make of a damaged store: an answer, or a message that says so and what to do."""
    codes = []
    for name in COMMANDS:
        db.write_bytes(content)
        db.with_name("s.duckdb.wal").unlink(missing_ok=True)
        out = ("--out", db.parent / "x") if name == "export" else ()
        done = run(name, "--db", db, *out)
        if done.code not in {0, 4}:
            refused(done, db, "the store is damaged; what is whole of it can be saved")
        codes.append(done.code)
    return codes


@pytest.mark.parametrize("count", [1, pytest.param(3, marks=pytest.mark.survival)])
def test_a_store_that_is_cut_off_is_damaged(count: int, run: Runner, db: Path) -> None:
    content, rng = db.read_bytes(), random.Random(1)
    for _ in range(count):
        codes = attacked(content[: rng.randrange(4_096, len(content) - 300_000)], run, db)
        assert set(codes) == {1}


@pytest.mark.parametrize("count", [2, pytest.param(5, marks=pytest.mark.survival)])
def test_a_store_with_a_flipped_bit_is_damaged_or_as_it_was(count: int, run: Runner, db: Path) -> None:
    content, rng = db.read_bytes(), random.Random(2)
    said = 0
    for _ in range(count):
        damaged = bytearray(content)
        damaged[rng.randrange(13, len(content))] ^= 1 << rng.randrange(8)
        said += 1 in attacked(bytes(damaged), run, db)
    assert said > 0, "most of it is read"


UNFINISHED = """
import os, sys
from pathlib import Path
from curator.store import open_store
store = open_store(Path(sys.argv[1]))
store.set("x", "y" * 20_000)
store.rows("INSERT INTO setting SELECT i::TEXT, i::TEXT FROM range(2_000) t(i)")
os._exit(0)
"""


def test_changes_that_are_not_in_the_file_yet(run: Runner, db: Path, tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-c", UNFINISHED, str(db)], check=True, cwd=ROOT)
    wal = db.with_name("s.duckdb.wal")
    store, changes = db.read_bytes(), wal.read_bytes()

    def settings(log: bytes) -> Done:
        db.write_bytes(store)
        wal.write_bytes(log)
        return run("sql", "SELECT count(*) AS n FROM setting", "--db", db, "--json")

    known = json.loads(settings(changes).out)["n"]
    assert known > 2_000
    for place in (200, len(changes) // 2, len(changes) - 100):
        damaged = bytearray(changes)
        damaged[place] ^= 4
        refused(settings(bytes(damaged)), db, "in the file .wal beside it are damaged", "move that file away")
    cut = settings(changes[:-50])  # as after a crash: what was not committed is not there
    assert json.loads(cut.out)["n"] == known - 2_000
    with open_store(tmp_path / "another.duckdb"):
        pass
    db.write_bytes((tmp_path / "another.duckdb").read_bytes())
    wal.write_bytes(changes)
    refused(run("status", "--db", db), db, "of another store", "move that file away")
    wal.rename(tmp_path / "away")
    assert run("status", "--db", db).code == 0


def saved(run: Callable[..., Done], db: Path, view: str) -> Path | None:
    """What README says to do with a damaged store; None: that part of it is damaged."""
    done = run("sql", f"FROM {view}", "--db", db, "--json")
    if done.code:
        return None
    path = db.with_name(f"{view}.jsonl")
    path.write_text(done.out)
    return path


def kept(db: Path) -> dict[str, list[tuple[object, ...]]]:
    """What people and judges said, and what came of it; a recorded judge that is saved is another judge."""
    with open_store(db, read_only=True) as store:
        return {
            "labels": store.rows(
                """SELECT pair_id, annotator, verdict, origin, blind, left_side, note, seconds,
                coalesce(said_at, recorded_at)::VARCHAR FROM human_label WHERE left_side IS NOT NULL ORDER BY ALL"""
            ),
            "with rows": store.rows(
                "SELECT pair_id, annotator, verdict, origin, blind FROM human_label WHERE left_side IS NULL ORDER BY 1"
            ),
            "judgments": store.rows(
                """SELECT pair_id, pair_order, status, round(logprob_a, 12), round(logprob_b, 12),
                round(logprob_tie, 12), round(stated_p_a, 12) FROM judgment ORDER BY ALL"""
            ),
            "decisions": store.rows("SELECT pair_id, decision, label, reason FROM decision ORDER BY ALL"),
            "threshold": store.rows("SELECT n, errors, m, round(threshold, 12), accepted FROM calibration"),
        }


@pytest.mark.survival
def test_judgments_are_saved_from_a_store_whose_labels_are_damaged(
    run: Runner, db: Path, made: Path, tmp_path: Path
) -> None:
    content, before = db.read_bytes(), kept(db)
    for block in range(12_288, len(content), 262_144):
        damaged = bytearray(content)
        damaged[block + 1_000] ^= 1
        db.write_bytes(damaged)
        if saved(run, db, "label") is None and (log := saved(run, db, "saved_judgment")):
            break
    else:
        pytest.fail("no damage left the judgments whole")
    done = run("label", made / "raw.jsonl", "--judgments", log, "--out", tmp_path / "new")
    assert done.code == 0, done
    assert kept(tmp_path / "new" / "curator.duckdb") == before


def test_whatever_a_judge_and_people_said_is_saved_and_says_the_same_to_a_new_store(tmp_path: Path) -> None:
    count = 400
    raw = write_rows(tmp_path / "raw.jsonl", pairs(count))
    log = judgments(count, wrong=range(0, count, 40))
    for place, row in enumerate(log):
        for_a = row["p_a"] > 0.5
        if place % 6 == 1:
            row.update(p_a=None, verdict="a" if for_a else "b")
        elif place % 6 == 2:
            row.update(p_tie=round(1 - row["p_a"], 3) if place % 4 else 0.04)
        elif place % 6 == 3:
            said_of = (-0.25, -1.75) if for_a else (-1.75, -0.25)
            row.update(p_a=None, logprob_a=said_of[0], logprob_b=said_of[1], logprob_tie=-3.1)
        elif place % 6 == 4:
            row.update(verdict=("a", "tie", "b")[place % 3], confidence=0.8)
        elif place % 30 == 5:
            row.update(p_a=None, failed=True)
    out, new = tmp_path / "out", tmp_path / "new"
    db, judged = out / "curator.duckdb", write_rows(tmp_path / "log.jsonl", log)
    assert inside("label", raw, "--judgments", judged, "--out", out, "--alpha", 0.2).code in {0, 3, 4}
    said: list[dict[str, object]] = []
    for place, task in enumerate(read_rows(out / "queue.jsonl")[:250]):
        right = ("first", "second")[int(task["prompt"][0]["content"].split()[1]) % 2]
        label = "left" if task["left"].startswith(right) else "right"
        if place % 30 == 9:
            label = ("tie", "both_bad", "skip")[place % 3]
        one = {**task, "label": label, "annotator": ("anna", "ben \u202e")[place % 2], "note": None}
        if place % 7 == 0:
            said.append({**one, "annotator": "carl", "note": 'said "so"\n;--'})
        if place > 200:
            one["judge"] = {"prefers": "left", "probability": 0.6}
        if place % 4 == 0:
            one.update(tool="curator", seconds=place / 8, said_at="2026-01-02T03:04:05.678901+05:30")
            one.setdefault("judge", None)
        said.append(one)
    assert inside("import", write_rows(tmp_path / "said.jsonl", said), "--db", db).code == 0
    assert inside("label", raw, "--judgments", judged, "--out", out, "--alpha", 0.2).code in {0, 3, 4}
    before = kept(db)
    assert len(before["labels"]) == len(said) > 60
    assert {row[3] for row in before["labels"]} == {"calibration", "review"}
    assert before["threshold"][-1][4] > 0

    files = [saved(inside, db, view) for view in ("saved_judgment", "saved_label")]
    label = ("label", raw, "--judgments", files[0], "--out", new, "--alpha", 0.2)
    assert inside(*label).code in {0, 3, 4}
    done = inside("import", files[1], "--db", new / "curator.duckdb", "--json")
    assert (done.code, json.loads(done.out)["added"], json.loads(done.out)["refused"]) == (0, len(said), []), done
    assert inside(*label).code in {0, 3, 4}
    after = kept(new / "curator.duckdb")
    assert {name: after[name] for name in before if name != "threshold"} == {
        name: before[name] for name in before if name != "threshold"
    }
    assert after["threshold"][-1] == before["threshold"][-1]


def test_a_time_is_shown_by_sql(made: Path) -> None:
    for query in ('SELECT recorded_at AS "a""b" FROM run ORDER BY 1; ', "FROM run", "SELECT now() -- of today"):
        done = inside("sql", query, "--db", made / "curator.duckdb", "--json")
        assert done.code == 0, done
        assert "+00" in str(list(json.loads(done.out.splitlines()[0]).values())[-1])


@pytest.mark.parametrize("name", ["d\"q' ;--", "nl\u00e9\u202e", "%s{0}[x]*$HOME", "md:x"])
def test_a_store_lies_under_any_name(name: str, run: Runner, made: Path, tmp_path: Path) -> None:
    (tmp_path / name).mkdir()
    path = Path(shutil.copy(made / "curator.duckdb", tmp_path / name / f"{name}.duckdb"))
    done = run("sql", "SELECT count(*) AS n FROM pair", "--db", f"{name}/{name}.duckdb", "--json", folder=tmp_path)
    assert (done.code, done.out) == (0, f'{{"n":{PAIRS}}}\n'), done
    assert run("calibrate", "--db", path).code == 0
    assert sorted(one.name for one in path.parent.iterdir()) == [path.name]


def test_a_name_that_duckdb_reads_otherwise_is_refused(made: Path, tmp_path: Path) -> None:
    out = tmp_path / "what?x=1"
    refused(inside("label", made / "raw.jsonl", "--judgments", made / "log.jsonl", "--out", out), out, "question mark")


@pytest.mark.parametrize("command", ["label", "import", "export", "sql"])
def test_beside_a_writer_a_command_is_told_who_it_is(command: str, run: Runner, made: Path, db: Path) -> None:
    arguments = {
        "label": (made / "raw.jsonl", "--judgments", made / "log.jsonl", "--out", db.parent / "o"),
        "import": (made / "queue.jsonl",),
        "export": ("--out", db.parent / "x"),
        "sql": ("SELECT 1",),
    }[command]
    with open_store(db):
        done = run(command, *arguments, "--db", db)
    refused(done, db, f"is in use by process {os.getpid()}", "a store has one writer")
    assert run(command, *arguments, "--db", db).code in {0, 1}


def test_a_store_that_was_never_finished_being_made_is_not_there(run: Runner, made: Path, tmp_path: Path) -> None:
    code = "import os, duckdb; duckdb.connect = lambda *a, **k: os._exit(9)\n" + UNFINISHED
    path = tmp_path / "s.duckdb"
    assert subprocess.run([sys.executable, "-c", code, str(path)], check=False, cwd=ROOT).returncode == 9
    assert not path.exists()
    label = ("label", made / "raw.jsonl", "--judgments", made / "log.jsonl", "--out", tmp_path, "--db", path)
    assert run(*label).code == 0
    assert [one.name for one in tmp_path.iterdir() if "spill" in one.name] == []
