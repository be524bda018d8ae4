"""The command line: exit codes, messages, what goes to which stream."""

from __future__ import annotations

import gzip
import io
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import curator
from tests.conftest import ROOT, Cli, judgments, pairs, read_rows, write_rows


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    return write_rows(tmp_path / "raw.jsonl", pairs(60, labelled=30))


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return write_rows(tmp_path / "log.jsonl", judgments(60))


def test_done(raw: Path, log: Path, cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # However long it takes, the files were made a moment ago, and nothing is kept about the run.
    monkeypatch.setattr("curator.steps.unchanged.SETTLED_SECONDS", 3600.0)
    assert cli("label", raw, "--judgments", log) == 0
    assert "30 of 30 pairs (coverage 100.0%)" in cli.out
    assert "Nothing is left for people" in cli.out
    assert "judgments: 0 cached / 120 to be found" in cli.err
    assert {path.name for path in (tmp_path / "raw.curated").iterdir()} == {
        "curator.duckdb", "dataset", "queue.jsonl", "rejects.jsonl", "report.html", "run.json",
    }  # fmt: skip


def test_json_is_all_there_is_on_standard_output(raw: Path, log: Path, cli: Cli, tmp_path: Path) -> None:
    result = cli.json("label", raw, "--judgments", log)
    assert result == json.loads((tmp_path / "raw.curated" / "run.json").read_text())


def test_bad_rows_are_rejected_and_counted(raw: Path, log: Path, cli: Cli, tmp_path: Path) -> None:
    lines = raw.read_bytes().splitlines()
    bad = [b"{broken", b'{"prompt": "p", "response_a": "x"}', b'{"prompt":"p","response_a":"x","response_b":"x"}',
           b"\xff\xfe", b'[1]', b'{"prompt":"p","response_a":" ","response_b":"x"}', lines[0]]  # fmt: skip
    raw.write_bytes(b"\n".join([*lines[:10], *bad, *lines[10:]]) + b"\n")
    result = cli.json("label", raw, "--judgments", log)
    assert (result["rows"], result["pairs"], result["duplicates"], result["rejected"]) == (67, 60, 1, 6)
    rejects = read_rows(tmp_path / "raw.curated" / "rejects.jsonl")
    assert [(row["line"], row["field"]) for row in rejects] == [
        (11, "row"), (12, "response_b"), (13, "response_b"), (14, "row"), (15, "row"), (16, "response_a"),
    ]  # fmt: skip
    assert rejects[0]["raw"] == "{broken"
    assert cli("label", raw, "--judgments", log, "--strict") == 1
    assert f"{raw}, line 11: row is not JSON" in cli.err


def test_gzip_and_standard_input(
    raw: Path, log: Path, cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    zipped = tmp_path / "rows.jsonl.gz"
    zipped.write_bytes(gzip.compress(raw.read_bytes()))
    assert cli.json("label", zipped, "--judgments", log)["pairs"] == 60
    assert (tmp_path / "rows.curated").is_dir()

    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(raw.read_bytes())))
    assert cli.json("label", "-", "--judgments", log, "--out", tmp_path / "out")["pairs"] == 60
    assert cli("label", "-", "--judgments", log) == 1
    assert "give --out" in cli.err


def test_chosen_and_rejected_rows_are_labelled(cli: Cli, tmp_path: Path) -> None:
    rows = [{"id": i, "prompt": f"q{i}", "chosen": f"good {i}", "rejected": f"bad {i}"} for i in range(40)]
    raw = write_rows(tmp_path / "raw.jsonl", rows)
    log = write_rows(tmp_path / "log.jsonl", [{"id": "0", "judge": "j", "order": "both", "verdict": "a"}])
    result = cli.json("label", raw, "--judgments", log)
    assert (result["labelled"], result["calibration"]["n"], result["pool"]) == (40, 40, 0)
    assert result["dataset"] == {"auto": 0, "human": 40}
    import pyarrow.parquet as pq

    table = pq.read_table(tmp_path / "raw.curated" / "dataset" / "data").to_pylist()
    assert [row["chosen"][0]["content"] for row in table] == [f"good {i}" for i in range(40)]


def test_calibration_rows_from_elsewhere(log: Path, cli: Cli, tmp_path: Path) -> None:
    rows = pairs(60, labelled=60)
    raw = write_rows(tmp_path / "raw.jsonl", ({**row, "label": None} for row in rows[30:]))
    elsewhere = write_rows(tmp_path / "elsewhere.jsonl", rows[:30])
    result = cli.json("label", raw, "--judgments", log, "--calibration", elsewhere)
    assert (result["pairs"], result["pool"], result["calibration"]["n"]) == (30, 30, 30)
    assert result["dataset"] == {"auto": 30, "human": 0}, "rows from elsewhere are not part of the data set"
    unlabelled = write_rows(tmp_path / "unlabelled.jsonl", pairs(3))
    assert cli("label", raw, "--judgments", log, "--calibration", unlabelled) == 1
    assert f"{unlabelled}, line 1: label is missing" in cli.err


def test_some_pairs_not_judged(raw: Path, cli: Cli, tmp_path: Path) -> None:
    log = write_rows(tmp_path / "log.jsonl", judgments(58))
    assert cli("label", raw, "--judgments", log) == 3
    assert "not judged   2 of 60 pairs" in cli.out
    queue = read_rows(tmp_path / "raw.curated" / "queue.jsonl")
    assert len(queue) == 2


def test_no_threshold(raw: Path, cli: Cli, tmp_path: Path) -> None:
    log = write_rows(tmp_path / "log.jsonl", judgments(60, wrong=range(0, 60, 3)))
    assert cli("label", raw, "--judgments", log) == 4
    assert "No threshold keeps the fdr promise at alpha 0.1: nothing is auto-labelled." in cli.out
    assert "More labels would not help" in cli.out
    run = json.loads((tmp_path / "raw.curated" / "run.json").read_text())
    assert (run["accepted"], run["dataset"]["auto"], run["labels_missing"]) == (0, 0, None)


def test_no_judge_reachable(raw: Path, cli: Cli) -> None:
    assert cli("label", raw, "--judge-url", "http://user:secret@127.0.0.1:9", "--retry-seconds", "0") == 5
    assert "no SGLang server answers at http://127.0.0.1:9" in cli.err
    assert "secret" not in cli.err + cli.out


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--alpha", "2"], "must lie strictly between 0 and 1"),
        (["--alpha", "x"], "not a number"),
        (["--guarantee", "magic"], "is not one of"),
        (["--judgments", "x", "--judgments", "y", "--judge", "a", "--judge", "b", "--judge", "c"], "one for each log"),
        (["--cascade", "0.4"], "neither a probability over 0.5"),
        (["--cascade", "fit"], "needs rows of its own"),
        (["--combine", "fitted"], "needs rows of its own"),
        (["--fit-fraction", "0.5"], "nothing is to be fitted"),
        (["--combine", "fitted", "--cascade", "0.9", "--fit-fraction", "0.5"], "not both"),
    ],
)
def test_usage(raw: Path, cli: Cli, arguments: list[str], says: str) -> None:
    assert cli("label", raw, *arguments) == 2
    assert says in cli.err


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["missing.jsonl"], "No such file"),
        ([str(ROOT / "recipes" / "templates")], "no file in it is named as one of rows"),
        (["{raw}", "--recipe", "nonsense"], "no recipe is named 'nonsense'; there are: code, dpo, h"),
        (["{raw}", "--template", "nonsense"], "no template is named 'nonsense'; there are: chat, chat_ties, c"),
        (["{raw}", "--input-format", "nonsense"], "there are: pair, chosen_rejected"),
        (["{raw}", "--judge-url", "ftp://x"], "is no server address"),
        (["{raw}", "--judgments", "{log}", "--judge", "nobody"], "its judges: j"),
        (["{raw}", "--judgments", "{raw}"], "holds judgments by 0 judges"),
    ],
)
def test_expected_failures(raw: Path, log: Path, cli: Cli, tmp_path: Path, arguments: list[str], says: str) -> None:
    filled = [argument.format(raw=raw, log=log) for argument in arguments]
    if "--out" not in filled:
        filled += ["--out", str(tmp_path / "out")]
    assert cli("label", *filled) == 1
    assert cli.err.startswith(("Error: ", "reading "))
    assert says in cli.err
    assert "Traceback" not in cli.err


def test_options_come_from_flag_then_environment_then_recipe(
    raw: Path, log: Path, cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = tmp_path / "mine.yaml"
    recipe.write_text("name: mine\ndescription: a test\nalpha: 0.3\nguarantee: scope\n")
    label = ("label", raw, "--judgments", log)
    assert cli.json(*label)["alpha"] == 0.1
    assert cli.json(*label, "--recipe", recipe)["alpha"] == 0.3
    monkeypatch.setenv("CURATOR_ALPHA", "0.25")
    result = cli.json(*label, "--recipe", recipe)
    assert (result["alpha"], result["guarantee"]) == (0.25, "scope")
    assert cli.json(*label, "--recipe", recipe, "--alpha", "0.2")["alpha"] == 0.2


def test_a_recipe_with_a_mistake_names_it(raw: Path, cli: Cli, tmp_path: Path) -> None:
    recipe = tmp_path / "mine.yaml"
    recipe.write_text("name: mine\ndescription: a test\nalfa: 0.3\n")
    assert cli("label", raw, "--recipe", recipe) == 1
    assert "alfa" in cli.err
    recipe.write_text("!!python/object/apply:os.system ['true']")
    assert cli("label", raw, "--recipe", recipe) == 1


def test_the_other_commands(raw: Path, log: Path, cli: Cli, tmp_path: Path) -> None:
    mistaken = write_rows(tmp_path / "log.jsonl", judgments(60, wrong=range(31, 60, 4)))
    cli("label", raw, "--judgments", mistaken)
    db = tmp_path / "raw.curated" / "curator.duckdb"
    assert cli("status", "--db", db) == 0
    assert "pairs        60: 60 judged in both orders, 30 labelled by people" in cli.out
    assert cli.json("status", "--db", db)["latest"]["alpha"] == 0.1

    strict = cli.json("calibrate", "--db", db, "--alpha", "0.01")
    assert (cli.code, strict["threshold"]) == (4, None)
    assert cli.json("status", "--db", db)["auto_labelled"] == 0
    assert cli.json("calibrate", "--db", db, "--guarantee", "pac")["guarantee"] == "pac"
    assert cli.json("calibrate", "--db", db)["accepted"] == 30

    assert cli.json("export", "--db", db, "--out", tmp_path / "again")["auto"] == 30
    first = tmp_path / "raw.curated" / "dataset"
    parquet = "data/train-00000-of-00001.parquet"
    assert (tmp_path / "again" / parquet).read_bytes() == (first / parquet).read_bytes()
    # The card is the same but for one thing: that other settings were decided on in between.
    card, doubts = re.subn(
        r"## Doubts\n.*?(?=## )", "", (tmp_path / "again" / "README.md").read_text(), flags=re.DOTALL
    )
    assert doubts == 1
    assert card == (first / "README.md").read_text()
    assert cli("export", "--db", db, "--out", tmp_path) == 1
    assert "with other things in it" in cli.err
    assert cli.json("queue", "--db", db, "--out", tmp_path / "people")["tasks"] == 0

    assert cli("sql", "SELECT decision, count(*) AS n FROM decision GROUP BY ALL", "--db", db) == 0
    assert cli.out.splitlines() == ["decision  n", "accept    30", "(1 rows)"]
    assert cli("sql", "DELETE FROM pair", "--db", db) == 1
    assert cli("status", "--db", tmp_path / "none.duckdb") == 1
    assert "there is no store" in cli.err


def test_import_refuses_by_line_and_is_idempotent(log: Path, cli: Cli, tmp_path: Path) -> None:
    raw = write_rows(tmp_path / "raw.jsonl", pairs(60))
    assert cli("label", raw, "--judgments", log) == 4
    db, tasks = tmp_path / "raw.curated" / "curator.duckdb", read_rows(tmp_path / "raw.curated" / "queue.jsonl")
    filled = [{**task, "label": "left"} for task in tasks[:5]]
    filled += [{**tasks[5], "label": "A"}, {**tasks[6], "pair_id": "0" * 32, "label": "left"}, tasks[7]]
    path = write_rows(tmp_path / "filled.jsonl", filled)
    result = cli.json("import", path, "--db", db, "--annotator", "anna")
    assert (result["added"], result["ignored"]) == (5, {"empty": 1})
    assert [problem.rpartition(": ")[0].rpartition("/")[2] for problem in result["refused"]] == [
        "filled.jsonl, line 6", "filled.jsonl, line 7",
    ]  # fmt: skip
    again = cli.json("import", path, "--db", db, "--annotator", "anna")
    assert (again["added"], again["unchanged"]) == (0, 5)
    write_rows(path, [{**tasks[0], "label": "right"}])
    assert cli.json("import", path, "--db", db, "--annotator", "anna")["superseded"] == 1


def test_a_queue_that_shows_the_sides_otherwise_is_refused(log: Path, cli: Cli, tmp_path: Path) -> None:
    """ "left" in it would mean the other response: it is of another store, or somebody has turned it round."""
    raw = write_rows(tmp_path / "raw.jsonl", pairs(60))
    cli("label", raw, "--judgments", log)
    tasks = read_rows(tmp_path / "raw.curated" / "queue.jsonl")[:10]
    turned = [{**task, "left": task["right"], "right": task["left"], "label": "left"} for task in tasks[:4]]
    good = [{**task, "label": "left"} for task in tasks[4:]]
    queue = write_rows(tmp_path / "queue.jsonl", [*turned, *good])
    result = cli.json("import", queue, "--db", tmp_path / "raw.curated" / "curator.duckdb")
    assert result["added"] == 6
    assert len(result["refused"]) == 4
    assert all("left is the response that this store shows on the right" in text for text in result["refused"])


def test_labels_that_are_not_imported_are_never_overwritten(log: Path, cli: Cli, tmp_path: Path) -> None:
    raw = write_rows(tmp_path / "raw.jsonl", pairs(200))
    log = write_rows(tmp_path / "log.jsonl", judgments(200))
    assert cli("label", raw, "--judgments", log) == 4
    out = tmp_path / "raw.curated"
    queue, db = out / "queue.jsonl", out / "curator.duckdb"
    filled = [{**task, "label": " Left"} if i < 3 else task for i, task in enumerate(read_rows(queue))]
    before = write_rows(queue, filled).read_bytes()
    assert cli("label", raw, "--judgments", log) == 1
    assert f"{queue} holds 3 labels that are not imported yet" in cli.err
    assert queue.read_bytes() == before
    assert cli("queue", "--db", db, "--out", tmp_path / "people") == 0
    shard = tmp_path / "people" / "queue-0001.jsonl"
    filled = write_rows(shard, [{**task, "label": "tie"} for task in read_rows(shard)]).read_bytes()
    assert cli("queue", "--db", db, "--out", tmp_path / "people") == 1
    assert shard.read_bytes() == filled
    assert cli.json("import", queue, "--db", db)["added"] == 3
    assert cli("label", raw, "--judgments", log) == 4
    assert len(read_rows(queue)) == 197


def test_the_counts_of_the_queue_are_those_of_its_file(cli: Cli, tmp_path: Path) -> None:
    """Also where drawn pairs wait for a label that the judge has meanwhile accepted."""
    raw = write_rows(tmp_path / "raw.jsonl", pairs(400, labelled=30))
    log = write_rows(tmp_path / "log.jsonl", judgments(400, wrong=range(0, 400, 9)))
    label, queue = ("label", raw, "--judgments", log), tmp_path / "raw.curated" / "queue.jsonl"
    for alpha in ("0.01", "0.2", "0.05", "0.2"):
        result = cli.json(*label, "--alpha", alpha)
        assert result["queue"]["tasks"] == len(read_rows(queue)), alpha
        status = cli.json("status", "--db", tmp_path / "raw.curated" / "curator.duckdb")
        waiting = (
            "waiting", "waiting_for_calibration", "waiting_for_audit", "waiting_again", "waiting_for_another",
            "answers_wanted",
        )  # fmt: skip
        assert [status[name] for name in waiting] == list(result["queue"].values())


@pytest.mark.parametrize(
    ("labelled", "logged", "alpha", "code", "says"),
    [
        (0, 60, "0.2", 4, "No labelled pairs yet: nothing is promised"),
        (0, 60, "0.2", 4, "have people label the first 50 pairs of the queue"),
        (0, 60, "0.05", 4, "more labels would help, and there are 60 pairs."),
        (60, 60, "0.1", 0, "Next: train on the data set. Nothing is left for people."),
        (30, 0, "0.1", 4, "no pair has a verdict in both orders"),
        (30, 60, "0.1", 0, "(the better response has 0.9)"),
    ],
)
def test_the_summary_says_what_to_do_next(
    cli: Cli, tmp_path: Path, labelled: int, logged: int, alpha: str, code: int, says: str
) -> None:
    raw = write_rows(tmp_path / "raw.jsonl", pairs(60, labelled=labelled))
    rows = judgments(logged) or [{"id": "p0", "judge": "j", "order": "ab", "verdict": "a"}]
    assert cli("label", raw, "--judgments", write_rows(tmp_path / "log.jsonl", rows), "--alpha", alpha) == code
    assert says in " ".join(cli.out.split())


def test_terminal_escapes_do_not_reach_the_terminal(cli: Cli, tmp_path: Path) -> None:
    hostile = "\x1b]0;owned\x07\x1b[31m"
    raw = write_rows(tmp_path / "raw.jsonl", [{**row, "id": hostile + row["id"]} for row in pairs(10, labelled=5)])
    rows = [{**row, "id": hostile + row["id"], "judge": hostile} for row in judgments(10)]
    log = write_rows(tmp_path / "log.jsonl", rows)
    cli("label", raw, "--judgments", log, "--alpha", "0.3")
    assert "\x1b" not in cli.out + cli.err
    db = tmp_path / "raw.curated" / "curator.duckdb"
    cli("sql", "SELECT * FROM input_row, judge", "--db", db)
    assert "\x1b" not in cli.out
    assert "\x1b" not in (tmp_path / "raw.curated" / "dataset" / "README.md").read_text()


def test_the_python_function_does_the_same(raw: Path, log: Path, cli: Cli, tmp_path: Path) -> None:
    result = curator.label(raw, judgments=log, out=tmp_path / "out")
    printed = cli.json("label", raw, "--judgments", log)
    timing = {"seconds", "judging_seconds", "pairs_per_second"}
    assert {k: v for k, v in result.items() if k not in timing} == {k: v for k, v in printed.items() if k not in timing}
    assert curator.label(raw, judgments=log, alpha=0.07)["alpha"] == 0.07
    with pytest.raises(ValueError, match="between 0 and 1"):
        curator.label(raw, judgments=log, alpha=5)
    assert dir(curator) == ["__version__", "label"]


def test_memory_does_not_grow_with_the_file(tmp_path: Path) -> None:
    """Twenty times the rows in the memory of the fewer, but for what an allocator keeps."""

    def peak(count: int) -> int:
        rows = ({**row, "response_a": row["response_a"] + "x" * 2000} for row in pairs(count))
        raw = write_rows(tmp_path / f"{count}.jsonl", rows)
        code = (
            "from curator.formats.read import read; from curator.sources import source_rows\n"
            "from curator.options import Reading; from pathlib import Path\n"
            f"assert sum(1 for _ in read(source_rows({str(raw)!r}), Reading())) == {count}\n"
            "status = dict(line.split(':', 1) for line in Path('/proc/self/status').read_text().splitlines())\n"
            "print(status['VmHWM'].split()[0])"
        )
        return int(subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, cwd=ROOT).stdout)

    small, large = peak(2_000), peak(40_000)
    assert large - small < 20_000, f"{(large - small) // 1024} MiB more for 80 MB of rows"


def test_python_m_curator() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "curator", "--version"], capture_output=True, text=True, check=True, cwd=ROOT,
        env={**os.environ, "PYTHONSAFEPATH": ""},
    )  # fmt: skip
    assert done.stdout == f"curator, version {curator.__version__}\n"
