"""What a source may be: files, patterns, folders, a data set of the hub; and what is read again of them."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from curator.errors import InputError
from curator.sources import default_out, require_source, source_files, source_rows
from tests import fake_hub
from tests.conftest import ROOT, Cli, judgments, pairs, read_rows, write_rows


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with `data` in it, whose files hold one row each, named as the file."""
    monkeypatch.chdir(tmp_path)
    for name in ("b.jsonl", "a.jsonl", "deep/c.JSON", ".hidden.jsonl", ".git/d.jsonl", "README.md", "notes.txt"):
        path = tmp_path / "data" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        write_rows(path, [{"name": path.name}])
    (tmp_path / "data" / "e.csv.gz").write_bytes(gzip.compress(b"name,x\ne.csv.gz,1\n"))
    pq.write_table(pa.table({"name": ["f.parquet"]}), tmp_path / "data" / "f.parquet")
    write_rows(tmp_path / "data" / "dataset_info.json", [{"name": "about"}])
    return tmp_path


def names(raw: str) -> list[str]:
    return [row.values["name"] for row in source_rows(raw)]  # type: ignore[union-attr]


def test_folders_and_patterns(folder: Path) -> None:
    assert names("data") == ["a.jsonl", "b.jsonl", "c.JSON", "e.csv.gz", "f.parquet"]
    assert names("data/") == names("data")
    assert source_files("data/*.jsonl") == ["data/a.jsonl", "data/b.jsonl"]
    assert names("data/*.[jc]*") == ["a.jsonl", "b.jsonl", "about", "e.csv.gz"]
    assert names("data/**/*.JSON") == ["c.JSON"]
    assert [row.file for row in source_rows("data/deep")] == ["data/deep/c.JSON"]
    write_rows(folder / "odd[1].jsonl", [{"name": "odd"}])
    assert names("odd[1].jsonl") == ["odd"], "a file is no pattern"


def test_what_is_no_source_says_why(folder: Path) -> None:
    (folder / "empty").mkdir()
    (folder / "out" / "dataset").mkdir(parents=True)
    for name in ("out/curator.duckdb", "out/run.json", "out/dataset/a.parquet"):
        (folder / name).touch()
    for raw, reason in {
        "missing.jsonl": "No such file or directory",
        "data/missing": "No such file or directory",
        "org/missing.jsonl": "No such file or directory",
        "a/b/c": "No such file or directory",
        "": "No such file or directory",
        "data/*.xml": "no file is named so",
        "empty": "no file in it is named as one of rows (.jsonl, .csv, .parquet, ...)",
        "out": "was written by curator; give the raw pairs that it was made of",
        "out/dataset": "was written by curator; give the raw pairs that it was made of",
        "hf://org/name": "a data set of the hub is named as hf://datasets/ORG/NAME",
        "hf://datasets/data/deep": "data/deep is here, and would be read instead: run from another folder",
    }.items():
        with pytest.raises(InputError) as caught:
            require_source(raw)
        assert str(caught.value).startswith(f"{raw}: {reason}")
    assert names(".") == names("data"), "what curator wrote is left out of a folder above it"


def test_names_of_output_folders(folder: Path) -> None:
    for raw, out in {
        "data/a.jsonl": "data/a.curated",
        "data/e.csv.gz": "data/e.curated",
        "data/f.parquet": "data/f.curated",
        "data": "data.curated",
        "data/deep/": "data/deep.curated",
        "hf://datasets/org/name@v1:config#train": "name.curated",
        "org/name": "name.curated",
        "org/name.v2#train": "name.v2.curated",
    }.items():
        assert default_out(raw) == Path(out), raw
    for name, out in {"x.v1.jsonl.zst": "x.v1.curated", ".jsonl": "raw.curated", "plain": "plain.curated"}.items():
        (folder / name).touch()
        assert default_out(name) == Path(out)
    for raw in ("-", "data/*.jsonl", ".", "data/.."):
        with pytest.raises(InputError, match="give --out DIR"):
            default_out(raw)


def test_a_pipe_is_read_once() -> None:
    reading = (
        "import sys; from curator.sources import *; from curator.sources import require_source as r; r(sys.argv[1])"
    )
    code = f"{reading}; print(sum(1 for _ in source_rows(sys.argv[1])))"
    shell = f"""{sys.executable} -c '{code}' <(printf '{{"a": 1}}\\n{{"a": 2}}\\n')"""
    done = subprocess.run(["bash", "-c", shell], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout == "2\n"


SAME = "unchanged since the last run"


def test_a_folder_is_read_again_when_a_file_of_it_changes(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("curator.steps.unchanged.SETTLED_SECONDS", -3600.0)
    rows, data = pairs(60, labelled=30), tmp_path / "data"
    data.mkdir()
    write_rows(data / "a.jsonl", rows[:20])
    pq.write_table(pa.Table.from_pylist(rows[20:40]), data / "b.parquet")
    log = write_rows(tmp_path / "log.jsonl", judgments(60))

    def run(*more: object) -> dict[str, Any]:
        time.sleep(0.02)
        return cli.json("label", data, "--judgments", log, *more)

    assert (run()["judged"], SAME in cli.err) == (40, False)
    assert (run()["judged"], SAME in cli.err) == (40, True)
    assert run("--alpha", "0.3")["judged"] == 40
    assert f"unchanged since it was read: {data} (40 rows)" in cli.err
    write_rows(data / "c.jsonl", rows[40:])
    assert (run()["judged"], SAME in cli.err) == (60, False)
    os.utime(data / "b.parquet")
    assert (run()["judged"], "reading " in cli.err) == (60, True)
    (data / "c.jsonl").unlink()
    assert (run()["judged"], SAME in cli.err) == (40, False)
    assert run("--calibration", data / "a.jsonl")["calibration_file"]["duplicates"] == 20


def test_rejects_and_labels_of_a_parquet_file_are_named_by_row(cli: Cli, tmp_path: Path) -> None:
    rows = pairs(12, labelled=12)
    rows[4]["response_b"] = rows[4]["response_a"]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "raw.parquet")
    log = write_rows(tmp_path / "log.jsonl", judgments(12))
    result = cli.json("label", tmp_path / "raw.parquet", "--judgments", log)
    assert (result["rows"], result["rejected"], result["labelled"]) == (12, 1, 11)
    assert f"{tmp_path / 'raw.parquet'}, row 5: response_b is identical to response_a" in cli.err
    (reject,) = read_rows(tmp_path / "raw.curated" / "rejects.jsonl")
    assert (reject["file"], reject["line"]) == (str(tmp_path / "raw.parquet"), 5)
    assert json.loads(reject["raw"]) == rows[4]


HUB = """
import json, sys
from curator.errors import InputError
from curator.sources import source_rows
for raw in sys.argv[1:]:
    try:
        print(json.dumps([[row.file, row.line, row.values] for row in source_rows(raw)]))
    except InputError as error:
        print(json.dumps(str(error)))
"""


def hub_says(url: str, home: Path, *raw: str, **more: str) -> list[Any]:
    environment = {**os.environ, "HF_ENDPOINT": url, "HF_HOME": str(home), **more}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", HUB, *raw], capture_output=True, text=True, check=False, env=environment,
        cwd=home, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_data_sets_of_the_hub_are_streamed(tmp_path: Path) -> None:
    """By the real `datasets` and `huggingface_hub`, from a hub on this machine."""
    hub, home = tmp_path / "hub", tmp_path / "home"
    rows = [{"p": f"p{i}", "m": [{"role": "user", "content": "é\n"}], "s": None} for i in range(600)]
    for name, part in {"name/data/train-0-of-1": rows, "name/data/test-0-of-1": rows[:2]}.items():
        path = hub / "org" / f"{name}.parquet"
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.Table.from_pylist(part), path, row_group_size=100)
    for config in ("one", "two"):
        (hub / "org" / "tables" / config).mkdir(parents=True)
        write_rows(hub / "org" / "tables" / config / "x.jsonl", [{"t": config}])
    entries = "".join(f"- config_name: {one}\n  data_files: {one}/*.jsonl\n" for one in ("one", "two"))
    (hub / "org" / "tables" / "README.md").write_text(f"---\nconfigs:\n{entries}---\n")
    home.mkdir()
    with fake_hub.serve(hub) as (url, asked):
        train, both, piece, two, several, config, split, nothing, revision = hub_says(
            url, home, "org/name#train", "hf://datasets/org/name@v1#test+train", "hf://datasets/org/name/data/test*",
            "org/tables:two", "org/name", "org/tables", "org/name#nine", "org/nothing", "org/name@v9#train",
            HF_TOKEN="hf_secret", PYTHONPATH=str(ROOT),
        )  # fmt: skip
    assert train == [["org/name#train", i + 1, row] for i, row in enumerate(rows)]
    place = "hf://datasets/org/name@v1"
    assert both == [[f"{place}#test", 1, rows[0]], [f"{place}#test", 2, rows[1]]] + [
        [f"{place}#train", i + 1, row] for i, row in enumerate(rows)
    ]
    assert [values for _, _, values in piece] == rows[:2]
    assert two == [["org/tables:two#train", 1, {"t": "two"}]]
    assert several == "org/name: has the splits train, test: say which, as in org/name#train"
    assert "available configs: ['one', 'two']" in config
    assert split == "org/name#nine: has no split 'nine'; there are: train, test"
    assert "'org/nothing' doesn't exist on the Hub or cannot be accessed" in nothing
    assert "Revision 'v9' doesn't exist" in revision
    assert {told for path, told in asked if "/datasets/" in path} == {"Bearer hf_secret"}


def test_no_network_and_no_extra_are_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (found,) = hub_says("http://127.0.0.1:9", tmp_path, "org/name#train", HF_HUB_OFFLINE="1", PYTHONPATH=str(ROOT))
    assert found.startswith("org/name#train: cannot be read from the hub (")
    assert "Couldn't reach 'org/name' on the Hub" in found
    monkeypatch.setattr("curator.sources.hub.find_spec", lambda name: None)
    with pytest.raises(
        InputError, match=r"org/name: reading the hub needs more: pip install 'preference-curator\[hub\]'"
    ):
        require_source("org/name")


@pytest.mark.parametrize("raw", ["https://me:hunter2@host/rows.jsonl", "hf://me:hunter2@datasets/org/name"])
def test_a_password_in_an_address_is_not_repeated(raw: str, cli: Cli) -> None:
    assert cli("label", raw) == 1
    assert "address with a name or password" in cli.err
    assert "hunter2" not in cli.err + cli.out
